#!/bin/sh
# SPDX-License-Identifier: MIT
# The interface is what weir.h says: the same names are marked WEIR_API there,
# listed in weir.map and exported by the shared library; and in the static
# one, which hides nothing, every global name begins with weir_ or wr_.
# Run from the build folder.

top=$(cd "$(dirname "$0")/../.." && pwd)
NM=${NM:-nm}
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
rc=0

# A declaration may span lines: join each from WEIR_API to its semicolon.
sed 's/^ *#.*//' "$top/lib/weir.h" | tr '\n' ' ' | tr ';' '\n' |
	sed -n 's/.*WEIR_API[^(]*[ *]\(weir_[a-z0-9_]*\)(.*/\1/p' |
	sort >"$work/header"
sed -n 's/^[[:space:]]*\(weir_[a-z0-9_]*\);$/\1/p' "$top/lib/weir.map" |
	sort >"$work/map"
[ -s "$work/header" ] || { echo "no WEIR_API found in weir.h"; exit 1; }
diff "$work/header" "$work/map" >"$work/diff" || {
	echo "weir.h (<) and weir.map (>) disagree:"; cat "$work/diff"; rc=1
}

checked=no
if [ -f lib/.libs/libweir.so ]; then
	checked=yes
	# The version itself (WEIR_0.1) is a symbol too: type A.
	$NM -D --defined-only lib/.libs/libweir.so |
		sed -n 's/^[0-9a-f]* [^A] \([^@]*\).*/\1/p' | sort >"$work/so"
	diff "$work/map" "$work/so" >"$work/diff" || {
		echo "weir.map (<) and libweir.so (>) disagree:"
		cat "$work/diff"; rc=1
	}
fi
if [ -f lib/.libs/libweir.a ]; then
	checked=yes
	# Names with __ are the compiler's own (sanitizers, coverage); static
	# probes share one of theirs, hidden and weak.
	$NM -g --defined-only lib/.libs/libweir.a |
		awk 'NF == 3 && $3 !~ /^(weir_|wr_|__|_\.stapsdt\.base$)/ { print $3 }' >"$work/bad"
	[ -s "$work/bad" ] && {
		echo "libweir.a: global names without weir_ or wr_:"
		cat "$work/bad"; rc=1
	}
fi
[ $checked = yes ] || { echo "no library in lib/.libs"; rc=1; }
exit $rc
