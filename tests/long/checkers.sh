#!/bin/sh
# SPDX-License-Identifier: MIT
# checkers.sh [--quick] [FILE...] : have clang-tidy, cppcheck and gcc -fanalyzer
# read the library and the programs, two at a time.  Each must have nothing to
# say.  --quick: clang-tidy without its analyzer, which takes two minutes.
# No line of the sources silences one of them; what is not asked of them, and
# why, is said in .clang-tidy and below.

top=$(cd "${srcdir:-.}" && pwd) && cd "$top" || exit 99
left_out=
[ "${1-}" != --quick ] || { left_out='-clang-analyzer-*'; shift; }
files=$(ls ${*:-lib/*.c tls/*.c cli/*.c server/*.c server/*/*.c client/*.c \
	client/load/*.c client/load/*/*.c}) || exit 99
packages=
flags='-std=gnu11 -pthread -D_GNU_SOURCE -DHAVE_STATUS -DHAVE_OPENSSL -DWITH_POLL -DPACKAGE_VERSION="0" -Ilib -Itls'
for package in libedit jansson zlib; do
	pkg-config --exists $package 2>/dev/null || continue
	packages="$packages $package"
	flags="$flags -DHAVE_$(echo ${package} | tr a-z A-Z)"
done
flags="$flags $(pkg-config --cflags $packages 2>/dev/null)"
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
printf '%s\n' $flags | sed 's/"/\\"/g' >"$work/flags"
rc=0 ran=0

# tool VERSION COMMAND... : the first of the commands of that version.
tool()
{
	version=$1
	shift
	for name in "$@"; do
		$name --version 2>/dev/null | grep -q "$version" || continue
		echo "$name"
		return
	done
}

# died NAME LOG: a tool that ends so has not looked at all files.
died()
{
	echo "error: $1 ended with another status than 0" >>"$2"
}

# verdict NAME LOG: is the log empty but for counts?
verdict()
{
	ran=$((ran + 1))
	if grep -E '(error|warning|style|performance|portability): ' "$2"; then
		echo "$1: has something to say"
		rc=1
	else
		echo "$1: nothing to say"
	fi
}

# Other versions have other checks.
tidy=$(tool 'version 14\.' clang-tidy-14 clang-tidy)
if [ -n "$tidy" ]; then
	echo "$files" | tr '\n' '\0' | xargs -0 -P 2 -n 1 sh -c '
		"$0" --quiet --checks="$2" "$3" -- \
			$(sed "s/\\\\//g" "$1") 2>/dev/null' \
		"$tidy" "$work/flags" "$left_out" >"$work/tidy" ||
		died "$tidy" "$work/tidy"
	verdict "$tidy" "$work/tidy"
else
	echo 'SKIPPED: clang-tidy: version 14 is not here'
fi

# Not asked of cppcheck: variableScope, because variables are declared where a
# function begins; knownConditionTrueFalse, which takes what another
# configuration makes of a macro, and loops it has not followed, for constants;
# unreachableCode, because it believes that raise() does not return.
if command -v cppcheck >/dev/null; then
	cppcheck --quiet -j 2 --std=c11 --language=c -Ilib -D_GNU_SOURCE \
		-DWR_FAULTS -DWITH_POLL -DHAVE_STATUS -DHAVE_ZLIB -DHAVE_JANSSON -DHAVE_LIBEDIT \
		'-DPACKAGE_VERSION="0"' \
		--enable=warning,style,performance,portability \
		--suppress=variableScope --suppress=knownConditionTrueFalse \
		--suppress=unreachableCode $files 2>"$work/cppcheck" >&2 ||
		died cppcheck "$work/cppcheck"
	verdict cppcheck "$work/cppcheck"
else
	echo 'SKIPPED: cppcheck is not here'
fi

# Not asked of gcc: leaks, which gcc 12 sees wherever memory is put into a
# structure by way of a pointer.  LeakSanitizer and the failure sweeps look
# for them.  Nor shifts, as it takes the elements of vectors for single bits.
cc=$(tool ' 1[2-9]\.' gcc gcc-12)
if [ -n "$cc" ]; then
	echo "$files" | tr '\n' '\0' | xargs -0 -P 2 -n 1 sh -c '
		"$0" $(sed "s/\\\\//g" "$1") -O2 -Wall -Wextra -fanalyzer \
			-Wno-analyzer-malloc-leak \
			-Wno-analyzer-shift-count-overflow -S -o /dev/null "$2"' \
		"$cc" "$work/flags" 2>"$work/analyzer" ||
		died "$cc" "$work/analyzer"
	verdict 'gcc -fanalyzer' "$work/analyzer"
else
	echo 'SKIPPED: gcc -fanalyzer: gcc 12 or later is not here'
fi
[ $ran -gt 0 ] || exit 77
exit $rc
