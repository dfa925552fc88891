#!/bin/sh
# SPDX-License-Identifier: MIT
# bootstrap says in a line why it cannot go on: in a path that autoconf does not
# take, and in a tree that cannot be written.

top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d) || exit 99
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
rc=0

# says FOLDER PATTERN: bootstrap fails there with this line and no other.
says()
{
	mkdir -p "$work/$1" && cp "$top/bootstrap" "$work/$1" || exit 99
	[ "$1" != fixed ] || chmod a-w "$work/$1"
	"$work/$1/bootstrap" >"$work/said" 2>&1 && status=0 || status=$?
	[ $status = 1 ] && [ "$(wc -l <"$work/said")" = 1 ] &&
		grep -q "^bootstrap: .*$2" "$work/said" || {
		echo "in '$1': exit status $status, not 1; or not '$2' but:"
		cat "$work/said"
		rc=1
	}
}

says 'my projects/weir' 'cannot build below .*without spaces'
says 'a#b' 'cannot build below'
if [ "$(id -u)" = 0 ]; then
	echo 'what cannot be written is left to others than root'
else
	says fixed 'cannot be written'
fi
exit $rc
