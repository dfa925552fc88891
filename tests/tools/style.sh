#!/bin/sh
# SPDX-License-Identifier: MIT
# What no compiler sees.  Every file names its licence and stands in an automake
# fragment (a test that does not is never run); no notes of unfinished work, no
# // comments; each test that docs/STOPPING.md names exists.  lib/ calls nothing
# that can fail but through sys.h, and never prints, exits, reads the environment
# or touches signals.  No two files of a program have a static of one name.  The
# layout is that of .clang-format; other versions of clang-format than 14 differ in
# small things.

cd "$(dirname "$0")/../.." || exit 99
sources=$(find lib tls cli server client examples tests bench -name '*.[ch]')
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT

# complain TEXT: report the lines of standard input, if there are any.
complain()
{
	sed "s|^|$1: |" | tee -a "$work/complaints"
}

# code FILE: its lines with their numbers, strings and comments blanked.
code()
{
	awk -v file="$1" '
	{
		gsub(/\\./, "")
		gsub(/"[^"]*"/, "\"\"")
		line = ""
		while ($0 != "") {
			mark = inside ? "*/" : "/*"
			at = index($0, mark)
			if (!at)
				at = length($0) + 1
			if (!inside)
				line = line substr($0, 1, at - 1)
			if (at <= length($0))
				inside = !inside
			$0 = substr($0, at + 2)
		}
		print file ":" FNR ":" line
	}' "$1"
}

for file in $sources; do
	code "$file"
done >"$work/code"

# Every file has its licence in its first three lines.
for file in configure.ac Makefile.am bootstrap .ci/run tools/* lib/LAYERS \
	lib/weir.map $(find lib tls cli server client examples tests docs bench \
		-name '*.[ch]' -o -name '*.am' -o -name '*.sh' \
		-o -name '*.py' -o -name '*.[1-8]' | grep -v '^docs/man3/'); do
	[ ! -f "$file" ] || head -n 3 "$file" |
		grep -q 'SPDX-License-''Identifier: MIT' || echo "$file"
done | complain 'no licence named by SPDX'

# Two folders are distributed whole, and docs/man3 is made.
for fragment in Makefile.am */*.am */*/*.am; do
	sed "/^#/d; s|%D%|${fragment%/*}|g" "$fragment"
done | tr -s ' \t=' '\n' | sed 's/\.c$//' | sort -u >"$work/listed"
find lib tls cli server client examples tests bench docs tools -type f \
	\( -name '*.[ch]' -o -name '*.py' -o -name '*.sh' -o -name '*.md' \
	-o -name '*.[1-8]' -o -path 'tools/*' \) ! -path 'tests/mutants/*' \
	! -path 'docs/man3/*' ! -path '*/__pycache__/*' | sed 's/\.c$//' | sort |
	comm -13 "$work/listed" - | complain 'in no automake fragment'

# In a debugger a name means one function of a program.
grep -E '^(lib|tls|cli|server|client)/[^:]*\.c:[0-9]+:static ' "$work/code" |
	sed -nE 's,^(([a-z]+)/[^:]*):[0-9]+:static [^(=;[]*[ *]([a-z_0-9]+) *[[(=].*,\2 \3 \1,p' |
	sort -u | awk '{
		if ($1 " " $2 == last)
			print file ", " $3 ": " $2
		last = $1 " " $2
		file = $3
	}' | complain 'static names that two files have; prefix that of the module'

names=$(grep -oE '`[a-z0-9]+(_[a-zA-Z0-9]+){3,}`' docs/STOPPING.md | tr -d '`')
for name in ${names:-none}; do
	grep -rqE "START_TEST\($name\)" tests || echo "$name"
done | complain 'docs/STOPPING.md names a test that is not there'

marks='TO''DO|FIX''ME|XX''X'
grep -nEw "$marks" $sources */*.am configure.ac Makefile.am | complain 'notes of unfinished work'
grep '//' "$work/code" | complain '// comments'

# Seconds are 32 bits wide on some machines.
grep -E 'tv_sec \* [0-9]+([^0-9L]|$)' "$work/code" | grep -v 'int64_t)' |
	complain 'a product of tv_sec that may overflow'

# The files of sys.h are the one place where the library meets the system.
fallible='malloc|calloc|realloc|reallocarray|free|strdup|strndup|asprintf'
fallible="$fallible|vasprintf|socket|bind|listen|accept|accept4|connect"
fallible="$fallible|getsockname|getpeername|setsockopt|getsockopt|shutdown"
fallible="$fallible|recv|recvfrom|recvmsg|send|sendto|sendmsg|sendfile|read"
fallible="$fallible|readv|write|writev|close|poll|ppoll|select|epoll_[a-z0-9]+"
fallible="$fallible|eventfd|eventfd_read|eventfd_write|signalfd|timerfd_[a-z]+"
fallible="$fallible|open|openat|dup|dup2|dup3|fcntl|ioctl|stat|lstat|fstat"
fallible="$fallible|unlink|chmod|fchmod|flock|pipe|pipe2|getaddrinfo|getnameinfo|gethostname"
fallible="$fallible|pthread_create|pthread_attr_[a-z]+|pthread_[a-z]+_init"
fallible="$fallible|pthread_setaffinity_np|pthread_sigmask|sigprocmask"
fallible="$fallible|sched_[a-z]+"
# An assertion that fails (error.c) and an overflowed stack (overflow.c) have
# nobody to answer to and may write.
grep '^lib/' "$work/code" | grep -v '^lib/sys[_a-z]*\.[ch]:' |
	grep -vE '^lib/(error|overflow)\.c:.* ?\(?write\(STDERR_FILENO,' |
	grep -E "(^|[^[:alnum:]_.>])($fallible)\(" |
	complain 'calls that belong behind sys.h'

never='exit|_exit|quick_exit|getenv|secure_getenv|setenv|putenv|system|fork'
never="$never|printf|fprintf|puts|putchar|perror|signal|sigaction|usleep"
never="$never|nanosleep|sleep|pthread_cancel|strcpy|strcat"
never="$never|sprintf|gets|strtok|localtime|gmtime|strerror|gethostbyname"
never="$never|time|gettimeofday"
# Handlers of signals are that of an overflowed stack, and one that makes a
# stack where makecontext(3) is missing.
grep '^lib/' "$work/code" | grep -vE '^lib/(overflow|coroutine)\.c:.*sig[a-z]*\(' |
	grep -E "(^|[^[:alnum:]_.>])($never)\(" |
	complain 'calls a library never makes'
# A deadline does not move with the wall clock.
grep '^lib/' "$work/code" | grep -E '\bCLOCK_REALTIME' |
	complain 'the wall clock in the library'

for tool in clang-format-14 clang-format none; do
	$tool --version 2>/dev/null | grep -q 'version 14\.' && break
done
for file in $sources; do
	[ $tool = none ] || $tool "$file" | cmp -s - "$file" || echo "$file"
done | complain "differs; run $tool -i"

[ ! -s "$work/complaints" ] || exit 1
[ $tool != none ] || { echo 'no clang-format 14 here'; exit 77; }
