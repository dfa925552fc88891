/* SPDX-License-Identifier: MIT */
/*
 * Listening sockets that a service manager passes, as sd_listen_fds(3) says:
 * LISTEN_FDS is their number, and LISTEN_FDNAMES has a name for each.
 */
#ifndef SERVER_ACTIVATION_H
#define SERVER_ACTIVATION_H

#include <stdbool.h>
#include <stddef.h>

struct listener;
struct listeners;

/*
 * How a predecessor names a socket that it has opened begins with this
 * character; the NAME of an fd:NAME does not.
 */
#define ACTIVATION_OURS '~'

/*
 * Replace each fd:NAME by the sockets of that name, a listener for each.
 * Removes the variables from the environment, so call it before there are
 * threads.  Returns false after printing an error.
 */
bool activation_apply(struct listeners *l);

/*
 * The same for the address of an option: *l is of listeners_parse_option().  If
 * a predecessor passes a socket under this name, l->where becomes its address.
 */
bool activation_apply_option(struct listener *l, const char *name);

/*
 * All have asked.  Without a predecessor a socket that is left is an error,
 * unless it is one that the manager keeps for us; the others are closed.
 * Returns false after printing an error.
 */
bool activation_check_rest(bool has_predecessor);

/* Those that the manager keeps for us and nobody wants; see systemd_keep(). */
void activation_forget_rest(void);

/*
 * For each passed socket whether it was asked for, 'T' or '-', to text; at most
 * cap.  Returns how many.
 */
size_t activation_report(char *text, size_t cap);

/* After the last use of these listeners. */
void activation_fini(void);

#endif
