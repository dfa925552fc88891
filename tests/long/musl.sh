#!/bin/sh
# SPDX-License-Identifier: MIT
# The library, both programs and an example built with musl instead of glibc,
# and static: a client and a server of it talk, and the stop loses nothing.  Then
# the tests of the programs with musl's shared library, into which others can be
# preloaded.  Tests in C that run with musl: alpine.sh.

top=$(cd "${srcdir:-.}" && pwd) || exit 99
work=$(mktemp -d) || exit 99
server=
trap '[ -z "$server" ] || kill -9 $server; rm -rf "$work"' EXIT

skip()
{
	echo "SKIPPED: $*"
	exit 77
}

fail()
{
	echo "FAIL: $*"
	for log in "$work"/*.log; do
		echo "--- ${log##*/}"
		tail -n 40 "$log"
	done
	exit 1
}

# wait_for COMMAND...: until it succeeds, ten seconds at most.
wait_for()
{
	tries=100
	until "$@"; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.1
	done
}

is_over()
{
	! kill -0 $server 2>/dev/null
}

# stops: the server that runs ends with status 0 when it is told to.
stops()
{
	kill -TERM $server
	wait_for is_over || fail "$name does not stop"
	wait $server
	status=$?
	server=
	[ $status = 0 ] || fail "$name: exit status $status after SIGTERM"
}

# talks ADDRESS: the service reply sends a banner and what it gets.
talks()
{
	said=$(echo 'hello musl' | timeout 10 "$work/client/weir-client" talk "$1" \
		2>"$work/client.log") || fail "$name: the client has failed"
	[ "$said" = "Connect
Server replies: hello musl" ] || fail "$name: the client has read '$said'"
}

command -v musl-gcc >/dev/null || skip 'there is no musl-gcc here'
cd "$work" || exit 99
# musl-gcc hides what belongs to glibc, and the headers of the kernel with it.
include=$(gcc -print-multiarch 2>/dev/null)
mkdir kernel && for folder in linux asm-generic; do
	ln -s "/usr/include/$folder" "kernel/$folder"
done
ln -s "/usr/include/$include/asm" kernel/asm

# configure_in FOLDER: what musl has no packages of is left out.
configure_in()
{
	mkdir -p "$1" && (cd "$1" && "$top/configure" CC=musl-gcc \
		CPPFLAGS="-idirafter $work/kernel" --disable-shared \
		--without-libedit --without-jansson --without-openssl \
		--without-zlib) >configure.log 2>&1 || fail 'configure'
}

configure_in .
make -j2 LDFLAGS=-all-static lib/libweir.la server/weir-server \
	client/weir-client examples/echo >make.log 2>&1 || fail 'make'
for program in server/weir-server client/weir-client examples/echo; do
	! grep -aq 'GLIBC_2' $program || fail "$program uses glibc"
	! readelf -lW $program | grep -q INTERP || fail "$program is not static"
done
echo 'built with musl-gcc'

name=weir-server
server/weir-server reply@127.0.0.1:0 >server.log 2>&1 &
server=$!
wait_for grep -q '^ready' server.log || fail "$name does not start"
talks "$(sed -n 's/^listening reply@//p' server.log)"
stops
grep -q '^drained accepted=1 completed=1 ' server.log || fail "$name: its report"
echo "$name: a conversation and a stop"

configure_in programs && cd programs || exit 99
make -j2 all >../make.log 2>&1 || fail 'make'
# Many tests wait rather than compute.
make -k -j4 check TESTS='$(program_tests)' \
	check_PROGRAMS='$(program_helpers)' check_LIBRARIES= >../check.log 2>&1
rc=$?
cat test-count || fail 'the tests of the programs'
[ $rc = 0 ] || "$top/tools/failed-tests" .
exit $rc
