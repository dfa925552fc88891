#!/bin/sh
# SPDX-License-Identifier: MIT
# The names of other libraries that docs/FROM_*.md translate are in the headers
# of these libraries.

cd "$(dirname "$0")/../.." || exit 99
missing=
rc=0

# check PAGE HEADERS: the names in the first column of its tables.
check()
{
	[ -e "$2" ] || { missing="$missing $2"; return; }
	names=$(sed -n 's/^| \([^|]*\) |.*/\1/p' "docs/$1" |
		grep -oE '[A-Za-z_:]+\(' | sed 's/.*:://; s/($//' | sort -u)
	[ -n "$names" ] || { echo "docs/$1: no names"; rc=1; }
	for name in $names; do
		grep -rqw "$name" "$2" || {
			echo "docs/$1: no $name in $2"; rc=1
		}
	done
}

check FROM_LIBEVENT.md /usr/include/event2
check FROM_POCO.md /usr/include/Poco/Net
check FROM_CIVETWEB.md /usr/include/civetweb.h
[ $rc = 0 ] || exit 1
[ -z "$missing" ] || { echo "the library of$missing is not installed"; exit 77; }
