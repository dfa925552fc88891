/* SPDX-License-Identifier: MIT */
/*
 * The connection of a command, and the error messages about it.  Main thread
 * only.
 */
#ifndef CLIENT_PEER_H
#define CLIENT_PEER_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <weir.h>

#include "../cli/proxy_header.h"
#include "peer_tls.h"
#include "screen.h"

/* Rows of an option table; peer_take_option() handles them. */
enum { PEER_OPTION_PROXY = 600 };

#define PEER_OPTION_ROWS PROXY_HEADER_ROW(PEER_OPTION_PROXY), TLS_OPTION_ROWS

struct peer {
	const char *address;
	int timeout_ms; /* to connect, and for each step; or WEIR_NEVER */
	enum proxy_header proxy;
	struct tls_options tls;
	weir_conn *conn;
	int64_t dialled_at; /* ms */
	int64_t active_at;  /* ms; of the latest input or output */
	int untaken;	    /* bytes, when peer_patience() was asked last */
	int64_t taken_at;   /* ms; when it found less than before */
};

/* Milliseconds of the clock that deadlines are measured with. */
int64_t peer_now(void);

/* Its value is in optarg; false after an error. */
bool peer_take_option(struct peer *p, int key);

/* Check it, and the options of TLS.  Returns false after printing an error. */
bool peer_set_address(struct peer *p, const char *address);

/* Also the PROXY header and the handshake of TLS.  Returns the exit status. */
int peer_dial(struct peer *p);

/* No effect without a connection. */
void peer_close(struct peer *p);

/*
 * The result of a call on the connection, but -EHOSTDOWN for an -ETIMEDOUT of
 * the kernel, which has given up.  That of the calls below is such a one.
 */
int peer_result(const struct peer *p, int rc);

/*
 * ms may be WEIR_NEVER.  Returns the number of bytes, 0 at the end of input, or
 * -errno: -ETIMEDOUT after ms.
 */
ssize_t peer_read(struct peer *p, char *buf, size_t cap, int ms);

/*
 * poll(2) for the connection and count other descriptors.  They come first in
 * fds, which has room for the connection; its events are POLLIN, POLLOUT.
 * POLLIN says that a read does not wait.  With TLS poll(2) alone cannot say it:
 * the descriptor is readable without input, and there is input while it is not.
 * Returns how many descriptors have events; 0 after ms; -errno.
 */
int peer_poll(const struct peer *p, struct pollfd *fds, int count, short events,
	      int ms);

/*
 * Send as much of *data as possible without waiting, and advance *data and
 * *len.  Returns 1 when all of it is sent and there is room for more; 0 if the
 * caller must wait for POLLOUT; -errno.
 */
int peer_feed(struct peer *p, const char **data, size_t *len);

/*
 * How long to wait for POLLOUT until this is asked again, in ms: a part of the
 * timeout; 0 when it has passed since that time and since the peer took bytes
 * last; -1: no limit.  POLLOUT comes only once much of what is unsent has been
 * taken.
 */
int peer_patience(struct peer *p, int64_t since);

/*
 * After the peer has ended: wait until it is known whether it has received
 * everything, our end included.  Returns 0 if so; -errno.
 */
int peer_settle(struct peer *p);

/*
 * For a person at a terminal: print where we are connected to; print that the
 * peer has closed, which is no failure there, and return CLI_DONE.
 */
void peer_note_begin(const struct peer *p, struct screen *s);
int peer_note_end(const struct peer *p, struct screen *s);

#define PEER_REASON 512

/* rc is of a call, or 0 at the end of input; what names what was waited for. */
const char *peer_reason(const struct peer *p, int rc, const char *what,
			char buf[PEER_REASON]);

/* Print that as an error.  Both return CLI_FAILED. */
int peer_say(const struct peer *p, int rc, const char *what);
int peer_say_timeout(const struct peer *p, const char *what);

#endif
