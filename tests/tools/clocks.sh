#!/bin/sh
# SPDX-License-Identifier: MIT
# The library knows one clock, the monotonic one, so that no deadline depends
# on the time of day.  Shown by what its objects ask of the C library and by
# what its sources ask of clock_gettime(2).  Run from the build folder.

top=$(cd "$(dirname "$0")/../.." && pwd)
NM=${NM:-nm}
others='time|ftime|gettimeofday|timespec_get|clock|times|clock_settime'
others="$others|localtime(_r)?|gmtime(_r)?|mktime|strftime|alarm|setitimer"
others="$others|timer_create|timerfd_create|utimensat|usleep|sleep"

asks_for()
{
	case $1 in
	*.a) $NM -u "$1" ;;
	*) $NM -D -u "$1" ;;
	esac | sed -n 's/^ *U \([^@]*\).*/\1/p' | sort -u
}

findings()
{
	checked=no
	for library in lib/.libs/libweir.so lib/.libs/libweir.a; do
		[ -f $library ] || continue
		checked=yes
		asks_for $library | grep -xE "(__)?($others)(64)?" |
			sed "s|^|$library asks for |"
		asks_for $library | grep -qx clock_gettime ||
			echo "$library does not ask for clock_gettime"
	done
	[ $checked = yes ] || echo "no library in lib/.libs"
	cd "$top/lib" || exit 99
	grep -noE '\bCLOCK_[A-Z_]+\b' *.[ch] |
		grep -vE ':CLOCK_(MONOTONIC|H)$' |
		sed 's|^|another clock in lib/|'
	grep -n clock_gettime *.[ch] | grep -v '^clock\.h:' |
		sed 's|^|wr_now_ns() tells the time, lib/|'
}

bad=$(findings)
[ -z "$bad" ] || { echo "$bad"; exit 1; }
