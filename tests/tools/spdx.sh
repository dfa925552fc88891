#!/bin/sh
# SPDX-License-Identifier: MIT
# Every source file says its licence in its first three lines.

cd "$(dirname "$0")/../.." || exit 99
rc=0
for file in configure.ac Makefile.am bootstrap .ci/run tools/* lib/LAYERS \
		lib/weir.map $(find lib cli server client examples tests docs bench \
			-name '*.[ch]' -o -name '*.am' -o -name '*.sh' \
			-o -name '*.py' -o -name '*.[1-8]'); do
	[ -f "$file" ] || continue
	head -n 3 "$file" | grep -q 'SPDX-License-Identifier: MIT' || {
		echo "$file: no SPDX-License-Identifier: MIT"; rc=1
	}
done
exit $rc
