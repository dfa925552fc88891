/* SPDX-License-Identifier: MIT */
/*
 * A server: the core, the pool, the acceptor, and who still needs them.
 */
#ifndef WR_SERVER_H
#define WR_SERVER_H

#include "acceptor.h"

struct weir_server {
	struct wr_core core;
	struct wr_pool pool;
	struct wr_acceptor acceptor;
	int signals;	  /* signalfd of weir_server_run() */
	atomic_uint refs; /* the program's, and one of each running thread */
};

/*
 * A deadline of a stop can come nearer without a word to those who wait for the
 * end, since a signal handler may bring it: they look again after this.
 */
#define WR_LOOK_MS 100

/* When the end of the stop is not waited for any longer; never, if so asked. */
int64_t wr_server_gives_up_at(const weir_server *s);
/* Wait a moment without a system call that could fail; whether it has ended. */
bool wr_server_ends_soon(weir_server *s);

/* The descriptor from which weir_server_run() takes signals, or -errno. */
int wr_run_signals(void);

#endif
