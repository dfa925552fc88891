/* SPDX-License-Identifier: MIT */
/*
 * What the process gives up before it serves: a user, a root directory, a part
 * of the file system, and the way back to each of them.
 */
#ifndef SERVER_PRIVILEGES_H
#define SERVER_PRIVILEGES_H

#include <stdbool.h>

struct options;

/*
 * Before the sockets are opened.  Changes the path of --file to the one below
 * --chroot.  Returns false after printing an error.
 */
bool privileges_check(struct options *o);

/*
 * After all sockets and files are open, and before there are threads: a thread
 * that is there already keeps what the others give up.  Returns false after
 * printing an error.
 */
bool privileges_drop(const struct options *o);

#endif
