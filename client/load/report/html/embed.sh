#!/bin/sh
# SPDX-License-Identifier: MIT
# embed.sh FOLDER UPLOT : write a C file that holds the page in two pieces, what
# comes before the JSON of a run and what comes after it.  UPLOT is the folder of
# the chart library.

folder=$1 uplot=$2

# array NAME : standard input as an array of its bytes and its length
array()
{
	printf 'const unsigned char %s[] = {\n' "$1"
	od -An -v -tu1 | sed 's/  */ /g; s/\([0-9]\)\( \|$\)/\1,\2/g'
	printf '};\nconst size_t %s_len = sizeof(%s);\n' "$1" "$1"
}

head_part()
{
	cat <<'TEXT'
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>Load</title>
<style>
TEXT
	cat "$uplot/uPlot.min.css" "$folder/page.css"
	cat <<'TEXT'
</style>
</head>
<body>
<main></main>
<script type="application/json" id="run">
TEXT
}

tail_part()
{
	printf '</script>\n<!--\n'
	cat "$uplot/LICENSE"
	printf -- '-->\n<script>\n'
	cat "$uplot/uPlot.iife.min.js"
	printf '</script>\n<script>\n'
	cat "$folder/page.js"
	printf '</script>\n</body>\n</html>\n'
}

printf '/* Made by embed.sh. */\n#include <stddef.h>\n#include "json.h"\n'
head_part | array html_head
tail_part | array html_tail
