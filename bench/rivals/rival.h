/* SPDX-License-Identifier: MIT */
/*
 * What all rival servers written in C and C++ have in common: the command
 * line, the listener, the line that says where they listen, and the one thing
 * a message can ask for besides its echo.
 *
 *	rival [--port N] [--threads N] [--style NAME]
 *
 * A rival listens on 127.0.0.1, prints "listening PORT" and echoes what comes
 * until it is killed.  A message that begins with "SLEEP " and a number makes
 * the code that serves it sleep that many milliseconds first, as a callback
 * does that asks a database.  Each rival looks for it in what one read gave.
 */
#ifndef RIVAL_H
#define RIVAL_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Room for what one read gives; the same everywhere. */
#define RIVAL_CHUNK 65536

/* Connections a table by descriptor has room for. */
#define RIVAL_FILES 65536

struct rival {
	int port; /* 0: any */
	int threads;
	const char *style; /* "" unless given */
};

/* Read the command line, raise the limit of descriptors, ignore SIGPIPE. */
void rival_begin(struct rival *r, int argc, char **argv);

/*
 * A non-blocking listener whose connections have TCP_NODELAY; several may
 * share a port, of which the first that asks for 0 picks one for all.
 */
int rival_listen(struct rival *r);

/* Everything listens: say where. */
void rival_ready(const struct rival *r);

/* Run fn on r->threads threads, of which the caller is one; never returns. */
void rival_threads(const struct rival *r, void *(*fn)(void *arg), void *arg);

/* Say what failed and exit. */
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
