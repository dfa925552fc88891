#!/bin/sh
# SPDX-License-Identifier: MIT
# What a program's --help names and what its manual page names are the same
# long options; of the client, that of all its commands but load, which has a
# page of its own.  Run from the build folder.

top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
rc=0

# compare PAGE COMMAND-LINE... : of which each is followed by --help.
compare()
{
	page=$top/docs/man/$1
	shift
	: >"$work/text"
	for line in "$@"; do
		$line --help >>"$work/text" || { echo "$line --help failed"; rc=1; }
	done
	grep -oE -- '--[a-z][a-z0-9-]+' "$work/text" | sort -u >"$work/help"
	# In mdoc an option --name is written ".Fl -name" or "Fl Fl name".
	grep -oE 'Fl (\\?-|Fl )[a-z][a-z0-9\\-]+' "$page" |
		sed 's/^Fl *\(Fl \|\\*-\)/--/; s/\\//g' | sort -u >"$work/man"
	[ -s "$work/help" ] || { echo "$* --help: no options"; rc=1; }
	diff "$work/help" "$work/man" >"$work/diff" || {
		echo "$* --help (<) and $page (>) differ:"
		cat "$work/diff"; rc=1
	}
}

client=./client/weir-client
commands=$($client --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
[ -n "$commands" ] || { echo "$client --help: no commands"; rc=1; }
set -- "$client"
for command in $commands; do
	[ "$command" = load ] || set -- "$@" "$client $command"
done
compare weir-client.1 "$@"
compare weir-client-load.1 "$client load" "$client load compare" \
	"$client load find" "$client load merge"
compare weir-server.8 ./server/weir-server

# The options of the server are in the same groups.
./server/weir-server --help | sed -n 's/^\([A-Z][A-Za-z ]*\):$/\1/p' |
	grep -vE '^(Services|Examples)$' >"$work/help"
sed -n '/^\.Sh OPTIONS$/,/^\.Sh CHAT$/s/^\.Ss //p' \
	"$top/docs/man/weir-server.8" >"$work/man"
[ -s "$work/help" ] || { echo "weir-server --help: no headings"; rc=1; }
diff "$work/help" "$work/man" || {
	echo 'headings of weir-server --help (<) and weir-server.8 (>) differ'
	rc=1
}
exit $rc
