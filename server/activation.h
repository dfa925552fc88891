/* SPDX-License-Identifier: MIT */
/*
 * Listening sockets that a service manager passes, as sd_listen_fds(3) says:
 * LISTEN_FDS is their number, and LISTEN_FDNAMES has a name for each.
 */
#ifndef SERVER_ACTIVATION_H
#define SERVER_ACTIVATION_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct listener;
struct listeners;

/*
 * The first character of the name under which a predecessor passes a socket
 * that it has opened.  The NAME of an fd:NAME does not begin with it.
 */
#define ACTIVATION_OURS '~'

/*
 * Replace each fd:NAME by the sockets of that name, a listener for each.
 * Removes the variables from the environment, so call it before there are
 * threads.  Returns false after printing an error.
 */
bool activation_apply(struct listeners *l);

/*
 * The same for the address of an option.  If a predecessor passes the socket of
 * this option and address, l->where becomes its number.
 */
bool activation_apply_option(struct listener *l);

/*
 * Call it when all listeners have their sockets.  Closes the passed sockets
 * that no listener has taken.  Without a predecessor such a socket is an error,
 * unless a server before this one had the manager keep it.  Returns false after
 * printing the error.
 */
bool activation_check_rest(bool has_predecessor);

/*
 * Set the mode of the paths whose sockets a server before this one has opened.
 * Returns false after printing an error.
 */
bool activation_set_modes(const struct listeners *l, int mode);

/* Set the mode of a path, if it is a socket.  Returns 0 or -errno. */
int activation_set_mode(const char *path, mode_t mode);

/* The manager forgets the kept sockets that no listener has taken. */
void activation_forget_rest(void);

/*
 * Write a character for each passed socket to text, at most cap: 'T' if a
 * listener has taken it, else '-'.  Returns how many.
 */
size_t activation_report(char *text, size_t cap);

/* After the last use of these listeners. */
void activation_fini(void);

#endif
