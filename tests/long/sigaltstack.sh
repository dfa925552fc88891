#!/bin/sh
# SPDX-License-Identifier: MIT
# sigaltstack.sh : the tests in C of sessions with the library built with
# --with-stacks=sigaltstack.

top=$(cd "${srcdir:-.}" && pwd) || exit 99
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 99
tests='tests/unit/check_coroutine tests/behaviour/check_stacks
	tests/behaviour/check_sessions tests/behaviour/check_session_waits
	tests/behaviour/check_session_stops tests/behaviour/check_spawning
	tests/behaviour/check_relay'
tests=$(echo $tests)

"$top/configure" --with-stacks=sigaltstack --disable-static \
	>configure.log 2>&1 &&
	make -s -k -j2 check TESTS= check_PROGRAMS="$tests" \
		>make.log 2>&1 || {
	tail -n 40 configure.log make.log
	exit 1
}
# Many tests wait rather than compute.
make -s -j4 check TESTS="$tests" check_PROGRAMS="$tests" >check.log 2>&1
rc=$?
cat test-count
[ $rc = 0 ] || "$top/tools/failed-tests" "$work"
exit $rc
