#!/bin/sh
# SPDX-License-Identifier: MIT
# ports.sh [--all] [ARCHITECTURE]... : the library built for other processors,
# and its unit tests run, by qemu where this one cannot: i386 (32 bits), arm64 and
# s390x (its bytes are in the other order).  With --all the behaviour tests run,
# too, which takes hours.  What they are linked with is unpacked from packages of
# Debian.  All is static, so nothing of this machine is used.  What there is no
# time for within the limit of "make check-long" is skipped, by name.

top=$(cd "${srcdir:-.}" && pwd) || exit 99
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 99
rc=0 ran=0
test_limit=120
end=$(($(date +%s) + 1780 - test_limit))

# Not under qemu-user: it prints a line of its own when a program aborts, checks
# the arguments of a call in another order, knows neither SO_BINDTOIFINDEX, which
# fences a listener, nor the whole TCP_INFO nor SIOCOUTQNSD, and cannot start a
# program that another runs.
not_by_qemu='unit/check_error unit/check_listener_fence unit/check_sys
	behaviour/check_gathering behaviour/check_host_exit
	behaviour/check_listeners_come_and_go'
tests='$(unit_tests)'
if [ "$1" = --all ]; then
	tests='$(unit_tests) $(behaviour_tests)' end=$((end + 86400))
	shift
fi

skip()
{
	echo "SKIPPED: $*"
}

# left: the seconds until no other test may begin, at least one.
left()
{
	seconds=$((end - $(date +%s)))
	[ $seconds -gt 0 ] || seconds=1
	echo $seconds
}

# run_tests NAME COMMAND...: by this command, which is an emulator or env.
run_tests()
{
	name=$1
	shift
	for test in $(cd "$name" && MAKEFLAGS= make -s -f Makefile -f list names)
	do
		case "$1 "$(echo $not_by_qemu)" " in
		qemu*" ${test#tests/} "*) skip "$name: $test: not by qemu"; continue ;;
		esac
		[ "$(left)" -gt 1 ] || {
			skip "$name: $test and those after it: no time is left"
			return
		}
		WEIR_TEST_SLOW=10 timeout $test_limit "$@" "$name/$test" \
			>test.log 2>&1
		case $? in
		0) passed=$((passed + 1)) ;;
		77) skip "$name: $test: $(sed -n '/^SKIPPED: /{s///p;q}' test.log)" ;;
		*)
			echo "FAIL: $name: $test"
			tail -n 20 test.log
			rc=1
			;;
		esac
	done
}

# port NAME TRIPLET EMULATOR
port()
{
	name=$1 passed=0
	compiler=$2-gcc flags=--sysroot=$work/root-$1
	[ "$1" != i386 ] || compiler='gcc -m32'
	for tool in mmdebstrap ${compiler%% *} $3; do
		command -v $tool >/dev/null || {
			skip "$name: $tool is not installed"
			return
		}
	done
	timeout "$(left)" mmdebstrap --variant=extract --architectures="$1" \
		--include=check,libc6-dev,libjansson-dev,libssl-dev,zlib1g-dev \
		"$(. /etc/os-release; echo "$VERSION_CODENAME")" \
		"root-$1" $mirror >root.log 2>&1 || {
		tail -n 3 root.log
		skip "$name: no packages of Debian, or no time for them"
		return
	}
	rm -rf "root-$1/dev" # qemu would prefer it to that of this machine
	mkdir "$name" && cat >"$name/list" <<TEXT
names:
	@echo $tests
port: $tests
TEXT
	(cd "$name" && export PKG_CONFIG_SYSROOT_DIR="$work/root-$1" &&
		export PKG_CONFIG_LIBDIR="$work/root-$1/usr/lib/$2/pkgconfig" &&
		"$top/configure" --host="$2" CC="$compiler $flags" \
			--disable-shared --enable-werror --without-libedit &&
		timeout "$(left)" make -s -k -j2 -f Makefile -f list port
	) >build.log 2>&1 || {
		[ $? != 124 ] || {
			skip "$name: no time is left to build it"
			return
		}
		grep -E 'error|warning' build.log || tail -n 40 build.log
		echo "FAIL: $name: the build"
		rc=1
		return
	}
	if [ "$3" ]; then
		run_tests "$name" "$3" -L "$work/root-$1"
	else
		run_tests "$name" \
			env LD_LIBRARY_PATH="$work/root-$1/usr/lib/$2"
	fi
	echo "$name: $passed test programs passed"
	ran=$((ran + passed))
	rm -rf "$name" "root-$1"
}

# The first one that apt knows; those of updates have nothing to add.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
	head -n 1)
for name in ${*:-i386 arm64 s390x}; do
	case $name in
	arm64) port arm64 aarch64-linux-gnu qemu-aarch64-static ;;
	s390x) port s390x s390x-linux-gnu qemu-s390x-static ;;
	i386) port i386 i386-linux-gnu '' ;;
	*) echo "usage: $0 [--all] [arm64|s390x|i386]..." >&2; exit 2 ;;
	esac
done
[ $rc != 0 ] || [ $ran -gt 0 ] || exit 77
exit $rc
