/* SPDX-License-Identifier: MIT */
/*
 * Lines to standard output and standard error.  While clients are served, no
 * caller but out_announce() waits longer than OUT_HOLD_MS for a reader that is
 * slow, stopped or gone: such a reader loses lines.  Any thread.
 */
#ifndef SERVER_OUT_H
#define SERVER_OUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define OUT_HOLD_MS 50

/* For out_line(): leave the line in the queue, or lose it. */
#define OUT_NO_WAIT (-1)

/* Lines that were not written. */
struct out_losses {
	atomic_ullong in_all;
	atomic_ullong unreported;
};

/* Returns how many are to be reported now; no other thread reports these. */
static inline unsigned long long out_take_losses(struct out_losses *l)
{
	return atomic_exchange(&l->unreported, 0);
}

/* Count a line, or if it reports others, these: they are unreported again. */
static inline void out_lose(struct out_losses *l, unsigned long long reported)
{
	if (reported == 0)
		atomic_fetch_add(&l->in_all, 1);
	atomic_fetch_add(&l->unreported, reported > 0 ? reported : 1);
}

int out_start(void);

/*
 * len includes the newline and is at most PIPE_BUF.  If fd takes nothing now,
 * wait up to wait_ms for it.  Returns false if the line is lost; true if it has
 * been written, or will be as soon as fd takes it.  That may still fail.  A
 * line that is lost, now or later, is counted with out_lose(l, reported).
 */
bool out_line(int fd, const char *line, size_t len, int wait_ms,
	      struct out_losses *l, unsigned long long reported);

/* print() is offered every line first, and returns true if it has taken it. */
void out_set_console(bool (*print)(int fd, const char *line, size_t len));

/*
 * Lines of services to standard output, as out_line().  They wait between
 * out_hold_prints() and out_release_prints(), which one thread calls.
 */
bool out_print(const char *line, size_t len, struct out_losses *l);
void out_hold_prints(void);
void out_release_prints(void);

/*
 * To standard output.  Waits a moment for a slow reader: other programs rely on
 * such a line.
 */
void out_announce(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

/* Before the process ends: wait a moment for lines not written yet. */
void out_flush(void);

#endif
