#!/bin/sh
# SPDX-License-Identifier: MIT
# The interface is what weir.h says: the same names are marked WEIR_API there,
# listed in weir.map and exported by the shared library, which needs the C
# library alone; and in the static one, which hides nothing, every global name
# begins with weir_ or wr_.  The same for weir-tls.h and libweir-tls.
# A test of cancellations makes each of these calls.
# Run from the build folder.

top=$(cd "$(dirname "$0")/../.." && pwd)
NM=${NM:-nm}
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
rc=0

# agree HEADER MAP: they name the same calls, left in $work/map.
agree()
{
	# A declaration may span lines: join each from WEIR_API to its semicolon.
	sed 's/^ *#.*//' "$top/$1" | tr '\n' ' ' | tr ';' '\n' |
		sed -n 's/.*WEIR_API[^(]*[ *]\(weir_[a-z0-9_]*\)(.*/\1/p' |
		sort >"$work/header"
	sed -n 's/^[[:space:]]*\(weir_[a-z0-9_]*\);$/\1/p' "$top/$2" |
		sort >"$work/map"
	[ -s "$work/header" ] || { echo "no WEIR_API found in $1"; rc=1; }
	diff "$work/header" "$work/map" >"$work/diff" || {
		echo "$1 (<) and $2 (>) disagree:"; cat "$work/diff"; rc=1
	}
}

# exports LIBRARY: those of $work/map.  What is WEIR_PRIVATE is for libweir-tls
# alone.  The version itself (WEIR_0.1) is a symbol too: type A.
exports()
{
	$NM -D --defined-only "$1" | grep -v '@@*WEIR_PRIVATE_.*$' |
		sed -n 's/^[0-9a-f]* [^A] \([^@]*\).*/\1/p' | sort >"$work/so"
	diff "$work/map" "$work/so" >"$work/diff" || {
		echo "its map (<) and $1 (>) disagree:"
		cat "$work/diff"; rc=1
	}
}

# is_cancelled TEST: it makes those of $work/map.
is_cancelled()
{
	while read -r name; do
		grep -q "\<$name(" "$top/$1" || {
			echo "$1 does not call $name()"; rc=1
		}
	done <"$work/map"
}

if [ -f tls/.libs/libweir-tls.so ]; then
	agree tls/weir-tls.h tls/weir-tls.map
	exports tls/.libs/libweir-tls.so
	is_cancelled tests/tls/check_tls_trust.c
fi
agree lib/weir.h lib/weir.map
is_cancelled tests/behaviour/check_cancelling.c
checked=no
if [ -f lib/.libs/libweir.so ]; then
	checked=yes
	exports lib/.libs/libweir.so
	readelf -d lib/.libs/libweir.so | grep NEEDED >"$work/needed"
	grep -q 'libc\.' "$work/needed" || {
		echo 'libweir.so does not need the C library'; rc=1
	}
	# A sanitizer brings its own.
	grep -vE 'libc\.|ld-linux|lib[a-z]*san\.|libgcc_s\.' "$work/needed" && {
		echo 'libweir.so needs more than the C library'; rc=1
	}
fi
if [ -f lib/.libs/libweir.a ]; then
	checked=yes
	# Names with __ are the compiler's own (sanitizers, coverage); static
	# probes share one of theirs, hidden and weak.
	$NM -g --defined-only lib/.libs/libweir.a >"$work/a"
	grep -q ' T weir_server_new$' "$work/a" || {
		echo 'libweir.a: no weir_server_new()'; rc=1
	}
	awk 'NF == 3 && $3 !~ /^(weir_|wr_|__|_\.stapsdt\.base$)/ { print $3 }' \
		"$work/a" >"$work/bad"
	[ -s "$work/bad" ] && {
		echo "libweir.a: global names without weir_ or wr_:"
		cat "$work/bad"; rc=1
	}
fi
[ $checked = yes ] || { echo "no library in lib/.libs"; rc=1; }
exit $rc
