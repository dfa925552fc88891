#!/bin/sh
# SPDX-License-Identifier: MIT
# Includes in lib/ go down only, in the order of lib/LAYERS, and no headers
# include each other in a circle.  Of the library, the programs
# and examples include weir.h alone.  In client/load the commands at the top
# include all folders, report includes judge, and all include measure.

cd "$(dirname "$0")/../.." || exit 99
rc=0

bad=$(grep -n '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' lib/*.[ch] |
awk '
function module(file) {
	sub(/.*\//, "", file)
	sub(/\.[ch]$/, "", file)
	return file
}
FILENAME == "lib/LAYERS" {
	if ($0 !~ /^#/ && NF > 1)
		for (layers++; NF > 1; NF--)
			layer[$NF] = layers
	next
}
{
	split($0, at, ":")
	split($0, quoted, "\"")
	from = module(at[1])
	to = module(quoted[2])
	where = at[1] ":" at[2] ": "
	if (quoted[2] ~ /\//)
		print where "include without a path: " quoted[2]
	else if (to == "weir")
		next
	else if (!(from in layer))
		print where from " is in no layer of lib/LAYERS"
	else if (!(to in layer))
		print where to " is in no layer of lib/LAYERS"
	else if (layer[to] > layer[from])
		print where from " includes " to " of a higher layer"
}' lib/LAYERS -)
[ -z "$bad" ] || { echo "$bad"; rc=1; }

circle=$(for h in lib/*.h; do
	sed -n 's/^#include "\(.*\)".*/\1/p' "$h" | sed "s|^|${h#lib/} |"
done | tsort 2>&1 >/dev/null) || { echo "$circle"; rc=1; }

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
