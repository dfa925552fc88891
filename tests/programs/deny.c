/* SPDX-License-Identifier: MIT */
/*
 * deny CALL ERRNO PROGRAM [ARGUMENT]...: run the program where that system
 * call, a name or a number, fails with that errno, a number, too.  Exit status
 * 77: that cannot be done here, or this machine has no such call.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "denied.h"

enum { SKIPPED = 77, FAILED = 99 };

/* clang-format off */
#define CALL(name) { #name, SYS_##name }
/* clang-format on */

static const struct call {
	const char *name;
	long number;
} calls[] = {
	CALL(accept4),	    CALL(bind),
	CALL(brk),	    CALL(clock_gettime),
	CALL(connect),	    CALL(epoll_create1),
	CALL(epoll_ctl),    CALL(eventfd2),
	CALL(fchmod),	    CALL(fcntl),
	CALL(flock),	    CALL(fsync),
	CALL(ftruncate),    CALL(getpeername),
	CALL(getpid),	    CALL(getrandom),
	CALL(getrusage),    CALL(getsockname),
	CALL(getsockopt),   CALL(ioctl),
	CALL(listen),	    CALL(lseek),
	CALL(madvise),	    CALL(munmap),
	CALL(prctl),	    CALL(prlimit64),
	CALL(recvfrom),	    CALL(renameat2),
	CALL(rt_sigaction), CALL(sched_getaffinity),
	CALL(sendfile),	    CALL(sendmsg),
	CALL(sendto),	    CALL(set_robust_list),
	CALL(setsockopt),   CALL(shutdown),
	CALL(signalfd4),    CALL(socket),
/* The call by which the C library waits: musl never makes the oldest. */
#if defined(SYS_epoll_wait) && defined(__GLIBC__)
	CALL(epoll_wait),
#else
	{ "epoll_wait", SYS_epoll_pwait },
#endif
#ifdef SYS_poll
	CALL(poll),
#else
	{ "poll", SYS_ppoll },
#endif
/* Older headers lack the newest, newer machines the oldest. */
#ifdef SYS_rename
	CALL(rename),
#endif
#ifdef SYS_unlink
	CALL(unlink),
#endif
#ifdef SYS_clone3
	CALL(clone3),
#endif
#ifdef SYS_epoll_pwait2
	CALL(epoll_pwait2),
#endif
#ifdef SYS_faccessat2
	CALL(faccessat2),
#endif
#ifdef SYS_fchmodat2
	CALL(fchmodat2),
#endif
#ifdef SYS_rseq
	CALL(rseq),
#endif
};

static long number_of(const char *text)
{
	char *end;
	long number = strtol(text, &end, 10);

	if (*end == '\0')
		return number;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (strcmp(text, calls[i].name) == 0)
			return calls[i].number;
	return -1;
}

int main(int argc, char **argv)
{
	long number;

	if (argc < 4) {
		fputs("Usage: deny CALL ERRNO PROGRAM [ARGUMENT]...\n", stderr);
		return FAILED;
	}
	number = number_of(argv[1]);
	if (number < 0) {
		fprintf(stderr, "SKIPPED: no call is named %s here\n", argv[1]);
		return SKIPPED;
	}
	if (!call_is_denied((unsigned)number, (unsigned)atoi(argv[2]))) {
		fputs("SKIPPED: no filter of system calls can be set here\n",
		      stderr);
		return SKIPPED;
	}
	execv(argv[3], argv + 3);
	fprintf(stderr, "deny: %s: %s\n", argv[3], strerror(errno));
	return FAILED;
}
