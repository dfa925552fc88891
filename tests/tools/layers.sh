#!/bin/sh
# SPDX-License-Identifier: MIT
# The modules of lib/ (a module is NAME.c and NAME.h) use each other down only,
# in the order of lib/LAYERS: no include goes to a higher layer, and no call to
# a module that is listed later.  Headers do not include each other in a circle.
# Of the library, the programs and examples include weir.h alone.  In
# client/load the commands at the top include all folders, report includes
# judge, and all include measure.  Nowhere do calls between files make a circle.

cd "$(dirname "$0")/../.." || exit 99
rc=0
uses=$(mktemp) || exit 99
trap 'rm -f "$uses" "$uses.more"' EXIT

# uses_of NAMES FILE...: "from to place what" for each use of another module,
# with calls of functions whose names match.  Definitions begin in the first
# column, everything inside a function is indented.
uses_of()
{
	names=$1
	shift
	awk -v call="${names}[(]" "$of_each_line" "$@" "$@"
}
of_each_line='
function module(file) {
	sub(/.*\//, "", file)
	sub(/\.[ch]$/, "", file)
	return file
}
function without_comments(line,    at) {
	if (in_comment) {
		if (!(at = index(line, "*/")))
			return ""
		line = substr(line, at + 2)
		in_comment = 0
	}
	while (match(line, /\/\*/)) {
		at = index(substr(line, RSTART), "*/")
		if (!at) {
			in_comment = 1
			return substr(line, 1, RSTART - 1)
		}
		line = substr(line, 1, RSTART - 1) \
			substr(line, RSTART + at + 1)
	}
	return line
}
FNR == 1 { pass = (FILENAME in seen) ? 2 : 1; seen[FILENAME]; in_comment = 0 }
/^[[:space:]]*#[[:space:]]*include[[:space:]]*"/ {
	if (pass == 2) {
		split($0, quoted, "\"")
		print module(FILENAME), module(quoted[2]),
			FILENAME ":" FNR, "includes " quoted[2]
	}
	next
}
{
	line = without_comments($0)
	from = module(FILENAME)
	is_definition = line ~ /^[a-z]/ &&
		(FILENAME ~ /\.c$/ ? line !~ /^static/ : line ~ /^static inline/)
	while (match(line, call)) {
		name = substr(line, RSTART, RLENGTH - 1)
		line = substr(line, RSTART + RLENGTH)
		if (pass == 1 && is_definition && !(name in home))
			home[name] = from
		else if (pass == 2 && $0 ~ /^[\t ]/ && (name in home) &&
			 home[name] != from)
			print from, home[name], FILENAME ":" FNR,
				"calls " name "()"
	}
}'
uses_of '(wr|weir)_[a-z0-9_]+' lib/*.[ch] >"$uses"
for kind in includes calls; do
	grep -q " $kind " "$uses" || { echo "no $kind found in lib"; rc=1; }
done

bad=$(awk '
FILENAME == "lib/LAYERS" {
	if ($0 !~ /^#/ && NF > 1)
		for (layers++; NF > 1; NF--) {
			layer[$NF] = layers
			place[$NF] = 100 * layers + NF
		}
	next
}
{
	where = $3 ": "
	what = $4 " " $5
	if (what ~ /\//)
		print where "include without a path: " $5
	else if ($2 == "weir")
		next
	else if (!($1 in layer))
		print where $1 " is in no layer of lib/LAYERS"
	else if (!($2 in layer))
		print where $2 " is in no layer of lib/LAYERS"
	else if (layer[$2] > layer[$1])
		print where $1 " " what ", of the higher layer of " $2
	else if ($4 == "calls" && place[$2] > place[$1])
		print where $1 " " what ", of " $2 ", which is listed later"
}' lib/LAYERS "$uses")
[ -z "$bad" ] || { echo "$bad"; rc=1; }

# no_circle KIND WHERE, of the uses in standard input
no_circle()
{
	circle=$(awk -v kind="$1" '
		$4 == kind && (kind == "calls" || $3 ~ /\.h:/) { print $1, $2 }
	' | sort -u | tsort 2>&1 >/dev/null) || {
		echo "$2: $1 in a circle: $circle"; rc=1
	}
}
no_circle includes lib <"$uses"
for folder in cli server tls client client/load; do
	files=$(find $folder -name '*.c' ! -path 'client/load/*')
	[ $folder = client/load ] && files=$(find $folder -name '*.c')
	# The names have no blanks.
	uses_of '[a-z][a-z0-9_]*' $files >"$uses.more"
	grep -q ' calls ' "$uses.more" || {
		echo "no calls found in $folder"; rc=1
	}
	no_circle calls $folder <"$uses.more"
done

for name in $(sed -n '/^#/!s/^[a-z]*://p' lib/LAYERS); do
	[ -f "lib/$name.c" ] || [ -f "lib/$name.h" ] || {
		echo "lib/LAYERS: there is no $name"; rc=1
	}
done
for file in lib/*.c; do
	name=$(basename "$file" .c)
	grep -qw -- "$name" lib/LAYERS || {
		echo "$file: in no layer of lib/LAYERS"; rc=1
	}
done

for file in cli/*.[ch] server/*.[ch] client/*.[ch] client/load/*.[ch] \
	client/load/*/*.[ch] examples/*.c examples/*/*.[ch]; do
	for name in $(sed -n 's/^#[[:space:]]*include "\(.*\)".*/\1/p' "$file"); do
		case $name in
		weir.h) continue ;;
		../cli/* | ../../cli/* | ../../../cli/* | ../[a-z]*.h | \
		../../[a-z]*.h | ../[a-z]*/[a-z]*.h | [a-z]*/[a-z]*.h)
			[ ! -f "${file%/*}/$name" ] || continue ;;
		*/*) ;;
		*) [ ! -f "${file%/*}/$name" ] || continue ;;
		esac
		echo "$file: includes $name, which is not of its folder"
		rc=1
	done
	for name in $(sed -n 's/^#[[:space:]]*include <\(.*\)>.*/\1/p' "$file"); do
		[ "$name" = weir.h ] || [ ! -f "lib/$name" ] || {
			echo "$file: includes $name of the library"; rc=1
		}
	done
done

for file in client/load/*/*.[ch]; do
	case $file in
	*/measure/*) below= ;;
	*/report/*) below='measure judge' ;;
	*) below=measure ;;
	esac
	for name in $(sed -n 's/^#[[:space:]]*include "\.\.\/\(.*\)".*/\1/p' "$file")
	do
		case $name in plan.h | ../../cli/*) continue ;; esac
		case " $below " in *" ${name%%/*} "*) continue ;; esac
		echo "$file: includes ../$name, which is not below it"
		rc=1
	done
done
circle=$(for h in client/load/*.h client/load/*/*.h; do
	sed -n 's/^#include "\(.*\/\)*\(.*\)".*/\2/p' "$h" |
		sed "s|^|${h##*/} |"
done | tsort 2>&1 >/dev/null) || { echo "$circle"; rc=1; }
exit $rc
