#!/bin/sh
# SPDX-License-Identifier: MIT
# What a program's --help names and what its manual page names are the same
# long options.  Run from the build folder.

top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
rc=0

for pair in server/weir-server:8 client/weir-client:1; do
	program=${pair%:*}
	page=$top/docs/man/${program#*/}.${pair#*:}
	"./$program" --help >"$work/text" || {
		echo "$program --help failed"; rc=1
	}
	grep -oE -- '--[a-z][a-z0-9-]+' "$work/text" | sort -u >"$work/help"
	# In mdoc an option --name is written ".Fl -name" or "Fl Fl name".
	grep -oE 'Fl (\\?-|Fl )[a-z][a-z0-9\\-]+' "$page" |
		sed 's/^Fl *\(Fl \|\\*-\)/--/; s/\\//g' | sort -u >"$work/man"
	[ -s "$work/help" ] || { echo "$program --help: no options"; rc=1; }
	diff "$work/help" "$work/man" >"$work/diff" || {
		echo "$program --help (<) and its manual page (>) differ:"
		cat "$work/diff"; rc=1
	}
done
exit $rc
