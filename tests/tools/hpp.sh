#!/bin/sh
# SPDX-License-Identifier: MIT
# weir.hpp: hpp.cc and examples/words.cc compile without a warning as C++17 and
# work, with the built library and its sanitizers (INSTRUMENT_CFLAGS); it
# compiles as C++20; and it defines no macro but its guard.  Run from the build
# folder.

top=$(cd "$(dirname "$0")/../.." && pwd)
CXX=${CXX:-c++}
warn='-Wall -Wextra -Wshadow -pedantic -Werror'
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
rc=0

complain()
{
	echo "hpp.sh: $*"
	rc=1
}

if ! command -v "${CXX%% *}" >/dev/null 2>&1; then
	echo "SKIPPED: ${CXX%% *} is not installed: weir.hpp is not tried"
	exit 77
fi
if [ -f lib/.libs/libweir.so ]; then
	libs="-Llib/.libs -lweir -pthread"
	LD_LIBRARY_PATH=$PWD/lib/.libs
	export LD_LIBRARY_PATH
else
	libs="lib/.libs/libweir.a -pthread"
fi

for source in "$top/tests/tools/hpp.cc" "$top/examples/words.cc"; do
	name=$(basename "$source" .cc)
	$CXX -std=c++17 $warn $INSTRUMENT_CFLAGS -I"$top/lib" "$source" \
		-o "$work/$name" $libs ||
		complain "$name.cc does not compile"
	! echo | $CXX -std=c++20 -fsyntax-only -x c++ - 2>/dev/null ||
		$CXX -std=c++20 $warn -I"$top/lib" -fsyntax-only "$source" ||
		complain "$name.cc does not compile as C++20"
done
[ $rc = 0 ] || exit $rc
"$work/hpp" || complain "weir.hpp does not work"

"$work/words" "unix:$work/socket" 2>"$work/log" &
server=$!
tries=600
until [ -S "$work/socket" ]; do
	kill -0 $server 2>/dev/null && [ $tries -gt 0 ] || break
	tries=$((tries - 1))
	sleep 0.1
done
printf 'one two\nthree\ntotal\n' >"$work/said"
"${WEIR_CLIENT:-client/weir-client}" talk -B -l "unix:$work/socket" <"$work/said" >"$work/answers"
printf '2\n1\n3\n' | diff - "$work/answers" || complain "words.cc answers so"
kill -TERM $server
wait $server || { complain "words.cc ended with $?"; cat "$work/log"; }

# Macros of weir.h and the standard headers are theirs.
sed -n 's/^#include/&/p' "$top/lib/weir.hpp" >"$work/before.cc"
echo '#include <weir.hpp>' >"$work/after.cc"
for which in before after; do
	$CXX -std=c++17 -I"$top/lib" -dM -E "$work/$which.cc" |
		sort >"$work/$which"
done
comm -13 "$work/before" "$work/after" | grep -v '^#define WEIR_HPP *$' |
	grep . && complain "these macros are of weir.hpp"
exit $rc
