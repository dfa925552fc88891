#!/bin/sh
# SPDX-License-Identifier: MIT
# fuzzing.sh [TARGET...] : look for inputs that break a target, a minute for
# each target (FUZZ_SECONDS sets the time), two at a time, beginning with its
# archive in tests/fuzz/corpus.  Run in the build folder; it makes fuzzing/
# there, with the programs, the inputs that reached something new, and crash-...
# if something was wrong.  Replay that with fuzzing/TARGET FILE, and add it with
# tests/fuzz/corpus.sh TARGET FILE.
#
# The sources are compiled again: libFuzzer needs clang and instrumented code.

top=$(cd "$(dirname "$0")/../.." && pwd) || exit 99
seconds=${FUZZ_SECONDS:-60}
work=$PWD/fuzzing
cc=
for tool in "${FUZZ_CC-}" clang-14 clang; do
	[ -n "$tool" ] || continue
	echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n);
	int LLVMFuzzerTestOneInput(const char *d, unsigned long n)
	{ return d && n ? 0 : 0; }' >"fuzzing-probe.c"
	$tool -fsanitize=fuzzer,address fuzzing-probe.c -o fuzzing-probe \
		2>/dev/null && cc=$tool
	rm -f fuzzing-probe.c fuzzing-probe
	[ -z "$cc" ] || break
done
[ -n "$cc" ] || { echo 'SKIPPED: no clang with libFuzzer here'; exit 77; }

mkdir -p "$work/objects" || exit 99
packages=
for package in jansson zlib; do
	pkg-config --exists $package 2>/dev/null || continue
	packages="$packages $package"
	have="${have-} -DHAVE_$(echo $package | tr a-z A-Z)"
done
cflags=$(pkg-config --cflags $packages 2>/dev/null)
libs=$(pkg-config --libs $packages 2>/dev/null)
checks=address,undefined,float-cast-overflow
flags="-std=gnu11 -pthread -g -O1 -fno-omit-frame-pointer
	-fsanitize=fuzzer-no-link,$checks -fno-sanitize-recover=all
	-D_GNU_SOURCE -DWR_FAULTS -DPACKAGE_VERSION=\"0\" ${have-} $cflags
	-I$top/lib -iquote $top/client/load/report -iquote $top/tls"

# object FILE: what it is compiled to.
object()
{
	name=${1#"$top"/}
	echo "$work/objects/$(echo "${name%.c}" | tr / -).o"
}

# objects FILE... : what they are compiled to, one a line.
objects()
{
	for file in "$@"; do
		object "$file"
	done
}

client=$(ls "$top"/client/load/*.c "$top"/client/load/*/*.c)
[ -f "$top/client/load/report/html_parts.c" ] ||
	client="$client $PWD/client/load/report/html_parts.c"
server=$(ls "$top"/server/*.c | grep -v '/main\.c$')
library="$(ls "$top"/lib/*.c "$top"/cli/*.c | grep -v /poller_poll.c) $top/tests/fuzz/support.c"
targets=${*:-$(cd "$top/tests/fuzz" && ls *.c | sed 's/\.c$//' |
	grep -vxE 'replay|support')}
http=$top/server/status/http.c
hello=$top/tls/hello.c
sources="$library $client $server $http $hello $top/client/options.c $top/client/tls_options.c"
for target in $targets; do
	sources="$sources $top/tests/fuzz/$target.c"
done

echo "Compiling with $cc ..."
for file in $sources; do
	echo "$(object "$file") $file"
done | xargs -P 2 -n 2 sh -c "$cc $(echo $flags) -c -o \"\$0\" \"\$1\"" ||
	{ echo 'a source does not compile'; exit 1; }
for target in $targets; do
	case $target in
	server_options) with=$server ;;
	escape) with=$top/server/journal.c ;;
	hello) with=$hello ;;
	http) with=$http ;;
	*) with="$client $top/client/options.c $top/client/tls_options.c" ;;
	esac
	$cc -pthread -fsanitize=fuzzer,$checks -o "$work/$target" \
		$(objects "$top/tests/fuzz/$target.c" $library $with) \
		$libs -lm || { echo "$target: does not link"; exit 1; }
done

# libFuzzer writes what it finds to the first folder.
echo "Looking for $seconds s each ..."
for target in $targets; do
	mkdir -p "$work/found-$target" "$work/corpus-$target" &&
		tar -xf "$top/tests/fuzz/corpus/$target.tar" \
			-C "$work/corpus-$target" || exit 1
	echo "$target"
done | xargs -P 2 -n 1 sh -c '
	timeout -k 10 $(($1 + 60)) "$0/$2" -max_total_time=$1 -timeout=10 \
		-rss_limit_mb=1500 -max_len=4096 -print_final_stats=1 \
		-verbosity=0 -artifact_prefix="$0/crash-$2-" \
		"$0/found-$2" "$0/corpus-$2" >"$0/$2.log" 2>&1
	echo $? >"$0/$2.status"' "$work" "$seconds"

rc=0
for target in $targets; do
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' \
		"$work/$target.log")
	if [ "$(cat "$work/$target.status")" = 0 ] && [ "${runs:-0}" -gt 0 ]
	then
		echo "$target: $runs runs, nothing found"
	else
		tail -n 60 "$work/$target.log"
		echo "$target: FOUND something or did not run, see above"
		rc=1
	fi
done
exit $rc
