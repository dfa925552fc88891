#!/bin/sh
# SPDX-License-Identifier: MIT
# helgrind and DRD find nothing in what the library's own means hand from
# thread to thread (helgrind_queue.c), and do find a thread that touches what it
# has given up.

program=tests/long/helgrind_queue
failed=0

skip()
{
	echo "SKIPPED: $*"
	exit 77
}

command -v valgrind >/dev/null || skip 'there is no valgrind here'
[ "${WEIR_TEST_SLOW:-1}" = 1 ] || skip 'a sanitizer and valgrind exclude each other'

# The C library signals a condition inside a wait for it, without its lock.
suppressions=$program.supp
cat >$suppressions <<TEXT
{
   inside_the_wait_of_the_C_library
   Helgrind:Misc
   obj:*vgpreload_helgrind*
   fun:__pthread_cond_wait_common
}
TEXT

watch()
{
	valgrind --tool=$tool --fair-sched=yes --error-exitcode=9 \
		--suppressions=$suppressions "$@"
}

for tool in helgrind drd; do
	log=$program-$tool
	if watch $program >"$log.log" 2>&1; then
		echo "$tool: nothing found"
	else
		echo "FAIL: $tool"
		cat "$log.log"
		failed=1
	fi
	watch $program broken >"$log-broken.log" 2>&1
	if [ $? = 9 ]; then
		echo "$tool: finds a thread that touches what it has given up"
	else
		echo "FAIL: $tool does not notice what is broken"
		failed=1
	fi
done
exit $failed
