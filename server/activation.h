/* SPDX-License-Identifier: MIT */
/*
 * Listening sockets that a service manager passes, as sd_listen_fds(3) says:
 * LISTEN_FDS is their number, and LISTEN_FDNAMES has a name for each.
 */
#ifndef SERVER_ACTIVATION_H
#define SERVER_ACTIVATION_H

#include <stdbool.h>

struct listeners;

/*
 * Replace each fd:NAME by the sockets of that name, a listener for each.  Every
 * socket must have a listener.  Removes the variables from the environment, so
 * call it before there are threads.  Returns false after printing an error.
 */
bool activation_apply(struct listeners *l);

/* After the last use of these listeners. */
void activation_fini(void);

#endif
