#!/bin/sh
# SPDX-License-Identifier: MIT
# configure.ac, weir.h, the files about exported symbols, weir.pc, both programs
# and the manual pages tell the same version.
# Run from the build folder.

top=$(cd "$(dirname "$0")/../.." && pwd)
header=$top/lib/weir.h
rc=0

# agrees NAME VERSION
agrees()
{
	[ "$2" = "$want" ] || {
		echo "$1 says '$2', configure.ac '$want'"; rc=1
	}
}

# part NAME: that number of weir.h
part()
{
	sed -n "s/^#define WEIR_VERSION_$1[[:space:]]*\([0-9]*\).*/\1/p" "$header"
}

want=$(sed -n 's/^AC_INIT(\[weir\], \[\([^]]*\)\]).*/\1/p' "$top/configure.ac")
[ -n "$want" ] || { echo "configure.ac: no version found"; exit 1; }
agrees WEIR_VERSION "$(sed -n \
	's/^#define WEIR_VERSION[[:space:]]*"\(.*\)".*/\1/p' "$header")"
agrees WEIR_VERSION_MAJOR,_MINOR,_PATCH \
	"$(part MAJOR).$(part MINOR).$(part PATCH)"
agrees lib/weir.map \
	"$(sed -n 's/^WEIR_PRIVATE_\(.*\) {$/\1/p' "$top/lib/weir.map")"
agrees lib/weir.abignore "$(sed -n \
	's/.*symbol_version = WEIR_PRIVATE_//p' "$top/lib/weir.abignore")"
agrees debian/libweir0.symbols "$(sed -n \
	's/.*WEIR_PRIVATE_\(.*\) .*/\1/p' "$top/debian/libweir0.symbols")"
agrees lib/weir.pc "$(sed -n 's/^Version: //p' lib/weir.pc)"
agrees configure "${WEIR_PACKAGE_VERSION-$want}"
for program in server/weir-server client/weir-client; do
	agrees $program "$(./$program --version | sed -n '1s/.* //p')"
done
for page in "$top"/docs/man/*.[1-8]; do
	agrees "${page##*/}" "$(sed -n 's/^\.Os weir //p' "$page")"
done
exit $rc
