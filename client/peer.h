/* SPDX-License-Identifier: MIT */
/*
 * The one connection of a command that holds a dialogue, and the complaints
 * about it.  Main thread only.
 */
#ifndef CLIENT_PEER_H
#define CLIENT_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <weir.h>

#include "screen.h"

struct peer {
	const char *address;
	int timeout_ms; /* to connect, and for each step; or WEIR_NEVER */
	weir_conn *conn;
	int64_t dialled_at; /* ms */
	int64_t active_at;  /* ms, when something came or went last */
};

/* Milliseconds of the clock that deadlines are measured with. */
int64_t peer_now(void);

/* Returns CLI_DONE, or the exit status after a complaint. */
int peer_dial(struct peer *p);

/* Does nothing if there is no connection. */
void peer_close(struct peer *p);

/*
 * Read what comes within ms, or WEIR_NEVER.  Returns the number of bytes, 0
 * at the end of input, -errno.
 */
ssize_t peer_read(struct peer *p, char *buf, size_t cap, int ms);

/*
 * Send as much of *data as the peer takes without a wait, and move *data and
 * *len on.  Returns > 0 when all has gone and there is room for more; 0 when
 * POLLOUT is to be awaited before the next call; -errno.
 */
int peer_feed(struct peer *p, const char **data, size_t *len);

/*
 * The peer has ended.  Has it had all that we sent, and our end?  Waits until
 * that is known.  Returns 0; -errno.
 */
int peer_settle(struct peer *p);

/*
 * For a person at a terminal: where we are connected to; and that the peer
 * has ended the connection, which is no failure there.  Returns CLI_DONE.
 */
void peer_note_begin(const struct peer *p, struct screen *s);
int peer_note_end(const struct peer *p, struct screen *s);

/* Room for peer_reason(). */
#define PEER_REASON 512

/*
 * What went wrong: rc is what a call said, 0 the end of input, and what is
 * what we waited for.  Returns buf.
 */
const char *peer_reason(const struct peer *p, int rc, const char *what,
			char buf[PEER_REASON]);

/* Complain of the same.  Both return CLI_FAILED. */
int peer_say(const struct peer *p, int rc, const char *what);
int peer_say_timeout(const struct peer *p, const char *what);

#endif
