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
 * socket must have a listener, but of those of a predecessor that its operands
 * and other calls of this file ask for.  Removes the variables from the
 * environment, so call it before there are threads.  Returns false after
 * printing an error.
 */
bool activation_apply(struct listeners *l);

/*
 * The address of the socket that a predecessor passes under this name, or where
 * itself.
 */
const char *activation_address(const char *name, const char *where);

/* Close the sockets of a predecessor that nothing has asked for. */
void activation_close_rest(void);

/* After the last use of these listeners. */
void activation_fini(void);

#endif
