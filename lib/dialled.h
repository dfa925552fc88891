/* SPDX-License-Identifier: MIT */
/*
 * Connections of a server that no client has opened: dialled, adopted or
 * spawned (without a socket).  Each has a copy of its service.
 */
#ifndef WR_DIALLED_H
#define WR_DIALLED_H

#include "conn.h"

int wr_dialled_dial(struct wr_core *core, weir_ref **ret, const char *where,
		    int timeout_ms, const struct weir_service *service);

int wr_dialled_adopt(struct wr_core *core, weir_ref **ret, int fd,
		     const struct weir_service *service);

int wr_dialled_spawn(struct wr_core *core, weir_ref **ret, weir_handler_fn *fn,
		     void *arg, void (*drop)(void *arg));

/* The server has started: begin the sessions that were spawned before. */
void wr_dialled_start(struct wr_core *core);

/* It never starts, and has no thread: end these sessions. */
void wr_dialled_end_early(struct wr_core *core);

/* Owner, connecting: do what is due.  0: connected; -EINPROGRESS; -errno. */
int wr_dialled_connect(struct weir_conn *c);

/* Owner, connecting: end all attempts. */
void wr_dialled_give_up(struct weir_conn *c);

#endif
