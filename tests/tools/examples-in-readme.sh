#!/bin/sh
# SPDX-License-Identifier: MIT
# The program printed in README.md is examples/echo.c, byte for byte.

cd "$(dirname "$0")/../.." || exit 99
work=$(mktemp) || exit 99
trap 'rm -f "$work"' EXIT
awk '
/^```/ {
	if (found)
		exit
	block = !block
	text = ""
	next
}
block {
	text = text $0 "\n"
	if ($0 == "/* examples/echo.c: complete */")
		found = 1
}
END {
	if (found)
		printf "%s", text
}' README.md >"$work"
[ -s "$work" ] || {
	echo "README.md: no code block says "examples/echo.c: complete""
	exit 1
}
diff "$work" examples/echo.c || {
	echo "README.md (<) and examples/echo.c (>) differ"; exit 1
}
