#!/bin/sh
# SPDX-License-Identifier: MIT
# The library has the static probes that docs/OBSERVING.md lists, if configure
# found sys/sdt.h.  Run in the build folder.

top=$(cd "$(dirname "$0")/../.." && pwd)
library=lib/.libs/libweir.so

grep -q '^DEFS = .*HAVE_SDT' Makefile || {
	echo 'SKIPPED: sys/sdt.h is not installed'
	exit 77
}
[ -f $library ] || { echo 'SKIPPED: no shared library is built'; exit 77; }
command -v readelf >/dev/null || { echo 'SKIPPED: no readelf here'; exit 77; }

there=$(readelf -n $library | sed -n '/Provider: weir$/{n;s/.*Name: //p;}' |
	sort -u)
named=$(sed -n 's/^| `\([a-z_]*\)` | `id`.*/\1/p' "$top/docs/OBSERVING.md" |
	sort -u)
[ -n "$named" ] && [ "$there" = "$named" ] || {
	echo "The probes in $library are:" $there
	echo "docs/OBSERVING.md lists:" $named
	exit 1
}
