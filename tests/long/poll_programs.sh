#!/bin/sh
# SPDX-License-Identifier: MIT
# poll_programs.sh : the tests of the programs, which are built with
# --with-poller=poll.  Tests in C: poll.sh.

top=$(cd "${srcdir:-.}" && pwd) || exit 99
work=$(mktemp -d) || exit 99
chmod 755 "$work" # other users run the server
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 99

"$top/configure" --with-poller=poll --disable-static >configure.log 2>&1 &&
	make -s -j2 >make.log 2>&1 || {
	tail -n 40 configure.log make.log
	exit 1
}
switched= # what test_tls_switch.py runs
for name in check_input check_kept check_sessions; do
	switched="$switched tests/behaviour/$name"
done
# Many tests wait rather than compute.
make -s -j4 check TESTS='$(program_tests)' \
	check_PROGRAMS='$(program_helpers) $(tls_helpers)'"$switched" \
	>check.log 2>&1
rc=$?
cat test-count || tail -n 40 check.log
[ $rc = 0 ] || "$top/tools/failed-tests" "$work"
exit $rc
