#!/bin/sh
# SPDX-License-Identifier: MIT
# embed.sh PAGE UPLOT : write a C file that holds the page of /status, made of
# the files in the folder PAGE and of the chart library in the folder UPLOT.

page=$1 uplot=$2

cat_page()
{
	cat <<'TEXT'
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>weir-server</title>
<style>
TEXT
	cat "$uplot/uPlot.min.css" "$page/page.css"
	printf '</style>\n</head>\n'
	cat "$page/page.html"
	printf '<!--\n'
	cat "$uplot/LICENSE"
	printf -- '-->\n<script>\n'
	cat "$uplot/uPlot.iife.min.js"
	printf '</script>\n<script>\n'
	cat "$page/page.js"
	printf '</script>\n</body>\n</html>\n'
}

printf '/* Made by embed.sh. */\n#include "page.h"\n\n'
printf 'const unsigned char status_page[] = {\n'
cat_page | od -An -v -tu1 | sed 's/  */ /g; s/\([0-9]\)\( \|$\)/\1,\2/g'
printf '};\nconst size_t status_page_len = sizeof(status_page);\n'
