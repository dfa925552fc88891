/* SPDX-License-Identifier: MIT */
/* --sandbox: Landlock keeps the process to the files that it still needs. */
#ifndef SERVER_SANDBOX_H
#define SERVER_SANDBOX_H

#include <stdbool.h>

struct options;

/*
 * For the calling thread and those that it starts, for good; needs
 * PR_SET_NO_NEW_PRIVS.  Returns false after printing an error.
 */
bool sandbox_enter(const struct options *o);

#endif
