#!/bin/sh
# SPDX-License-Identifier: MIT
# A test has the exit status that is its own, ends in time, and leaves nothing
# in its TMPDIR however it ends.  Of one that fails no process is left.

cd "$(dirname "$0")/../.." || exit 99
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
rc=0

# ends STATUS SECONDS SCRIPT: tools/limit ends so, and the folder is gone.
ends()
{
	tools/limit "$2" sh -c "echo \"\$TMPDIR\" >'$work/folder'
		mkdir \"\$TMPDIR/of a test\" && $3" 2>/dev/null
	status=$?
	[ $status = "$1" ] || { echo "$3: exit status $status"; rc=1; }
	[ ! -e "$(cat "$work/folder")" ] || { echo "$3: left a folder"; rc=1; }
}

ends 0 60 true
ends 77 60 'exit 77'
ends 137 60 'kill -KILL $$'
ends 124 1 'sleep 60'

# What the last one has started is over, or about to be.
is_over()
{
	case $(sed 's/.*) //' "/proc/$(cat "$work/process")/stat" 2>/dev/null) in
	''|Z*) ;;
	*) false ;;
	esac
}

ends 124 1 "sleep 600 & echo \$! >'$work/process'; wait"
tries=100
until is_over; do
	sleep 0.1
	tries=$((tries - 1))
	[ $tries -gt 0 ] || { echo 'a process is left'; rc=1; break; }
done
exit $rc
