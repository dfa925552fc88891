#!/bin/sh
# SPDX-License-Identifier: MIT
# Each test that docs/STOPPING.md names for a guarantee is there.

cd "$(dirname "$0")/../.." || exit 99
rc=0
names=$(grep -oE '`[a-z0-9]+(_[a-zA-Z0-9]+){3,}`' docs/STOPPING.md | tr -d '`')
[ -n "$names" ] || { echo "docs/STOPPING.md names no tests"; exit 1; }
for name in $names; do
	grep -rqE "START_TEST\($name\)" tests || {
		echo "docs/STOPPING.md: no test is called $name"; rc=1
	}
done
exit $rc
