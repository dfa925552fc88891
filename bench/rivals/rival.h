/* SPDX-License-Identifier: MIT */
/*
 * What the rival servers in C and C++ share: the command line, the listener,
 * the line that says where they listen, and the SLEEP message.
 *
 *	rival [--port N] [--threads N] [--style NAME] [--certificate FILE]
 *
 * A rival listens on 127.0.0.1, prints "listening PORT" and echoes its input
 * until it is killed.  A message that begins with "SLEEP " and a number makes
 * the code that serves it sleep that many milliseconds first, as a callback
 * that asks a database would.  Each rival looks for it in the result of one
 * read.
 */
#ifndef RIVAL_H
#define RIVAL_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The size of a read, the same everywhere. */
#define RIVAL_CHUNK 65536

/* The size of a table of connections by descriptor. */
#define RIVAL_FILES 65536

struct rival {
	int port; /* 0: any */
	int threads;
	const char *style;	 /* "" unless given */
	const char *certificate; /* and its key: speak TLS; NULL */
};

/* Read the command line, raise the limit of descriptors, ignore SIGPIPE. */
void rival_begin(struct rival *r, int argc, char **argv);

/*
 * A non-blocking listener whose connections have TCP_NODELAY.  Several may
 * share a port; the first that asks for 0 picks one for all.
 */
int rival_listen(struct rival *r);

/* All listeners are open: print the port. */
void rival_ready(const struct rival *r);

/* Run fn on r->threads threads, of which the caller is one; never returns. */
void rival_threads(const struct rival *r, void *(*fn)(void *arg), void *arg);

/* Print what failed and exit. */
void rival_fail(const char *what);

void rival_sleep_as_told(const char *message, size_t len);

static inline void rival_nap(const char *message, size_t len)
{
	if (len >= 8 && message[0] == 'S')
		rival_sleep_as_told(message, len);
}

#ifdef __cplusplus
}
#endif

#endif
