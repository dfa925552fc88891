#!/bin/sh
# SPDX-License-Identifier: MIT
# Every source and test that is on disk is named in its folder's automake
# fragment: one that is not would never be built, run or distributed.

cd "$(dirname "$0")/../.." || exit 99
rc=0

# in_fragment FRAGMENT NAME FILE
in_fragment()
{
	grep -qE -- "%D%/$(echo "$2" | sed 's/\./\\./g')([[:space:]]|\$)" "$1" || {
		echo "$3: not listed in $1"; rc=1
	}
}

for folder in lib cli server client client/load; do
	for file in "$folder"/*.[ch]; do
		name=${file##*/}
		in_fragment "$folder/${folder##*/}.am" "$name" "$file"
	done
done
for file in examples/*.c examples/*/*.c; do
	name=${file#*/}
	in_fragment examples/examples.am "${name%.c}" "$file"
done
for file in tests/*/check_*.c tests/programs/*.c; do
	name=${file#*/}
	in_fragment tests/tests.am "${name%.c}" "$file"
done
for file in tests/support/*.[ch] tests/programs/*.py tests/tools/*.sh; do
	[ -f "$file" ] && in_fragment tests/tests.am "${file#*/}" "$file"
done
for file in tests/long/*; do
	name=${file##*/}
	[ "$name" = long.am ] || [ -d "$file" ] ||
		in_fragment tests/long/long.am "${name%.c}" "$file"
done
for file in tests/newcomer/*.py; do
	grep -qE "[[:space:]]$file([[:space:]]|\$)" tests/long/long.am || {
		echo "$file: not listed in tests/long/long.am"; rc=1
	}
done
for file in tests/fuzz/*.[ch]; do
	in_fragment tests/fuzz/fuzz.am "${file##*/}" "$file"
done
for file in docs/*.md docs/*/*.md docs/man/*.[1-8]; do
	[ -f "$file" ] && in_fragment docs/docs.am "${file#*/}" "$file"
done
for file in bench/*.* bench/build bench/report bench/run bench/rivals/*; do
	[ -f "$file" ] && [ "$file" != bench/bench.am ] &&
		in_fragment bench/bench.am "${file#*/}" "$file"
done
for file in tools/*; do
	grep -qE "[[:space:]]$file([[:space:]]|\$)" Makefile.am || {
		echo "$file: not listed in Makefile.am"; rc=1
	}
done
exit $rc
