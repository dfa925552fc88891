#!/bin/sh
# SPDX-License-Identifier: MIT
# Every source, test and page is named in an automake fragment: a test that is
# not would never run.

cd "$(dirname "$0")/../.." || exit 99
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT

for fragment in Makefile.am */*.am */*/*.am; do
	sed "/^#/d; s|%D%|${fragment%/*}|g" "$fragment"
done | tr -s ' \t=' '\n' | sed 's/\.c$//' | sort -u >"$work/named"
# Folders that are distributed whole.
find lib cli server client examples tests bench docs tools -type f \
	\( -name '*.[ch]' -o -name '*.py' -o -name '*.sh' -o -name '*.md' \
	-o -name '*.[1-8]' -o -path 'tools/*' \) ! -path 'tests/mutants/*' \
	! -path '*/corpus/*' ! -path '*/__pycache__/*' |
	sed 's/\.c$//' | sort >"$work/files"
comm -13 "$work/named" "$work/files" | sed 's/$/: in no automake fragment/' |
	tee "$work/missing"
[ ! -s "$work/missing" ]
