#!/bin/sh
# SPDX-License-Identifier: MIT
# The sources are laid out as .clang-format says.  Other versions of
# clang-format differ in small things, so only version 14 is asked.

cd "$(dirname "$0")/../.." || exit 99
for tool in clang-format-14 clang-format none; do
	$tool --version 2>/dev/null | grep -q 'version 14\.' && break
done
[ $tool != none ] || { echo "no clang-format 14 here"; exit 77; }
rc=0
for file in $(find lib cli server client examples tests bench -name "*.[ch]" |
		sort); do
	$tool "$file" | cmp -s - "$file" || {
		echo "$file: differs; run: $tool -i $file"; rc=1
	}
done
exit $rc
