#!/bin/sh
# SPDX-License-Identifier: MIT
# The tables of docs/PERFORMANCE.md and docs/TUNING.md are what bench/report
# makes of the recording in bench/data, and their pictures are there.

cd "$(dirname "$0")/../.." || exit 99
PYTHON=${PYTHON:-python3}
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
rc=0

# Where it is there, matplotlib keeps what it finds out in a folder.
MPLCONFIGDIR=$work
export MPLCONFIGDIR
PYTHONDONTWRITEBYTECODE=1 $PYTHON bench/report bench/data/*.jsonl \
	--write "$work" >"$work/said" 2>&1 || { cat "$work/said"; exit 1; }
for name in PERFORMANCE.md TUNING.md; do
	diff "docs/$name" "$work/$name" >"$work/diff" || {
		echo "docs/$name (<) is not what was recorded (>);" \
			"run: make bench-docs"
		cat "$work/diff"; rc=1
	}
done
for picture in $(sed -n 's/^!\[.*](\(.*\))$/\1/p' docs/PERFORMANCE.md); do
	[ -s "docs/$picture" ] || { echo "docs: there is no $picture"; rc=1; }
done
exit $rc
