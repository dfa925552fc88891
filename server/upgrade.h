/* SPDX-License-Identifier: MIT */
/*
 * A running server replaces itself: it starts the program again with its
 * arguments and its listening sockets, waits until that one is ready, and
 * stops.  If the successor does not come up, the server goes on as before.
 *
 * The successor gets the listening sockets as from a service manager
 * (activation.h), and in WEIR_PREDECESSOR the number of a socket that is
 * connected to the predecessor.  It writes there that it is ready, and which of
 * the listening sockets it uses, or why it ends.  It reads the end of input
 * there when the predecessor has closed its listening sockets, or has ended.  A
 * byte before that says that the predecessor keeps them, and that the successor
 * is to end.
 */
#ifndef SERVER_UPGRADE_H
#define SERVER_UPGRADE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "options.h"

/*
 * First of all, before options are read; mask is for a successor.  Returns
 * false after printing an error.
 */
bool upgrade_open(int argc, char **argv, const sigset_t *mask);

/*
 * A successor gets listener id of s; a warning is logged if that is not
 * possible.  is_kept: a service manager is to have it.  Main thread, before the
 * start.
 */
void upgrade_offer(weir_server *s, int id, const struct listener *l,
		   bool is_kept);

void upgrade_start(weir_server *s, const struct options *o);

/*
 * Tell the predecessor, if there is one, that clients are served, and wait a
 * moment for it to close its sockets: from then on they are this server's.
 */
void upgrade_ready(void);

/* Tell it, if there is one that waits, that the start has failed. */
void upgrade_failed(const char *why);

/*
 * Is this a successor whose predecessor still has its listening sockets?  As
 * long as it has them, the service manager may not know this process.
 */
bool upgrade_has_predecessor(void);

/* Does a successor serve instead of this server?  Any thread. */
bool upgrade_has_successor(void);

/*
 * After this no upgrade is under way, and none begins.  has_cut: the stop of
 * this server has cut connections, and does not wait for those of a successor.
 */
void upgrade_end(bool has_cut);

/* False: the server goes on, and why gets one line.  Any thread. */
bool upgrade_run(char *why, size_t cap);

#endif
