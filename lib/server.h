/* SPDX-License-Identifier: MIT */
/*
 * A server: the hub, the pool, the acceptor, and who still needs them.
 */
#ifndef WR_SERVER_H
#define WR_SERVER_H

#include "acceptor.h"

struct weir_server {
	struct wr_hub hub;
	struct wr_pool pool;
	struct wr_acceptor acceptor;
	int signals;	  /* signalfd of weir_server_run() */
	atomic_uint refs; /* the program's, and one of each running worker */
};

/* The descriptor from which weir_server_run() takes signals, or -errno. */
int wr_run_signals(void);

#endif
