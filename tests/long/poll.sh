#!/bin/sh
# SPDX-License-Identifier: MIT
# poll.sh : the tests in C with the library built with --with-poller=poll.  Those
# of the programs: poll_programs.sh.

top=$(cd "${srcdir:-.}" && pwd) || exit 99
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 99

"$top/configure" --with-poller=poll --disable-static >configure.log 2>&1 &&
	make -s -k -j2 check TESTS= check_PROGRAMS='$(c_tests)' \
		>make.log 2>&1 || {
	tail -n 40 configure.log make.log
	exit 1
}
# Many tests wait rather than compute.
make -s -j4 check TESTS='$(c_tests)' check_PROGRAMS='$(c_tests)' \
	>check.log 2>&1
rc=$?
cat test-count
[ $rc = 0 ] || "$top/tools/failed-tests" "$work"
exit $rc
