/* SPDX-License-Identifier: MIT */
/*
 * weir_server_run(): a server for programs that have nothing else to do, and
 * the signals that end it.
 *
 * Signals are taken from a signalfd by the thread that waits here: nothing
 * runs in a signal handler, and no disposition is touched.  The mask is put
 * back at the end, after those that arrived late have been taken: they were
 * meant for a server that has stopped already.
 *
 * A signal is read from one signalfd only, so two calls that wait for signals
 * would take them from each other: one of a process waits at a time.
 *
 * The signalfd is as old as the server: once that has started, those who
 * connect may have taken every descriptor before somebody calls run.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "clock.h"
#include "server.h"
#include "sys.h"

/* The process in which a call waits for signals: not its children.  0: none. */
static atomic_int taker;

struct watch {
	int fd; /* signalfd; -1: no signals are wanted */
	sigset_t before;
};

static sigset_t stop_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	return set;
}

int wr_run_signals(void)
{
	sigset_t set = stop_signals();

	return wr_sys_signalfd(&set);
}

static int watch_begin(struct watch *w, int fd, unsigned flags)
{
	sigset_t set = stop_signals();
	int self = getpid(), holder = atomic_load(&taker);

	w->fd = -1;
	if (!(flags & WEIR_SIGNALS))
		return 0;
	if (holder == self ||
	    !atomic_compare_exchange_strong(&taker, &holder, self))
		return -EBUSY;
	w->fd = fd;
	wr_sys_sigmask(SIG_BLOCK, &set, &w->before);
	return 0;
}

/* The number of signals that have come. */
static int watch_take(struct watch *w)
{
	struct signalfd_siginfo info;
	int n = 0;

	while (wr_sys_read(w->fd, &info, sizeof(info)) > 0)
		n++;
	return n;
}

static void watch_end(struct watch *w)
{
	if (w->fd < 0)
		return;
	(void)watch_take(w);
	wr_sys_sigmask(SIG_SETMASK, &w->before, NULL);
	atomic_store(&taker, 0);
}

static void wait_for_end(weir_server *s, struct watch *w)
{
	struct pollfd fds[3] = {
		{ .fd = s->core.done_fd, .events = POLLIN },
		{ .fd = w->fd, .events = POLLIN },
		{ .fd = s->core.stop_fd, .events = POLLIN },
	};
	int signals = 0, rc;

	for (;;) {
		bool is_asked = atomic_load(&s->core.stop_wanted);

		if (is_asked && wr_now_ns() >= wr_server_gives_up_at(s))
			return;
		if (is_asked)
			fds[2].fd = -1;
		fds[0].revents = fds[1].revents = 0;
		rc = wr_sys_poll(fds, 3, is_asked ? WR_LOOK_MS : -1);
		if (fds[0].revents)
			return;
		if (rc < 0 && rc != -EINTR) {
			if (wr_server_ends_soon(s))
				return;
		} else if (!fds[1].revents) {
			continue;
		}
		/* The same signal twice while nobody looked is one. */
		signals += watch_take(w);
		if (signals == 1)
			(void)weir_server_drain(s);
		else if (signals > 1)
			(void)weir_server_stop(s, 0);
	}
}

int weir_server_run(weir_server *s, unsigned flags)
{
	WR_NO_CANCEL();
	struct watch w;
	int rc;

	if (s == NULL || (flags & ~(unsigned)WEIR_SIGNALS))
		return -EINVAL;
	if (wr_pool_is_inside(&s->pool))
		return -EDEADLK;
	rc = watch_begin(&w, s->signals, flags);
	if (rc < 0)
		return rc;
	rc = weir_server_start(s);
	/* Somebody may have started it, or stopped it, before. */
	if (rc == 0 || rc == -EBUSY || rc == -ESHUTDOWN) {
		wait_for_end(s, &w);
		rc = weir_server_join(s, NULL);
	}
	watch_end(&w);
	return rc;
}
