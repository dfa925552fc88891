#!/bin/sh
# SPDX-License-Identifier: MIT
# The patches of tests/mutants apply to the sources as they are, and say what
# they break.  docs/MUTANTS.md lists them all.

cd "$(dirname "$0")/../.." || exit 99
command -v patch >/dev/null || { echo 'no patch(1) here'; exit 77; }
rc=0
for file in tests/mutants/*.patch; do
	head -n 3 "$file" | tr '\n' ' ' |
		grep -qE '^Defect: .+ History: .+ Tests: tests/' || {
		echo "$file: does not begin with Defect, History and Tests"
		rc=1
	}
	for test in $(sed -n '3s/^Tests: //p' "$file"); do
		case $test in
		*.py | *.sh) [ -f "$test" ] ;;
		*/short_*) [ -f "tests/behaviour/check_${test##*/short_}.c" ] ;;
		*/replay_*) [ -f "tests/fuzz/${test##*/replay_}.c" ] ;;
		*) [ -f "$test.c" ] ;;
		esac || { echo "$file: there is no $test"; rc=1; }
	done
	patch -p1 -F0 --batch --forward --dry-run -s <"$file" || {
		echo "$file: does not fit any more"; rc=1
	}
done
srcdir=. python3 tests/mutants/run.py --page | diff - docs/MUTANTS.md || {
	echo 'docs/MUTANTS.md is made by: tests/mutants/run.py --page'
	rc=1
}
exit $rc
