/* SPDX-License-Identifier: MIT */
/*
 * The file that tells others our process id.  Main thread.
 */
#ifndef SERVER_PIDFILE_H
#define SERVER_PIDFILE_H

/* Appears at path whole or not at all.  Returns 0 or -errno. */
int pidfile_write(const char *path);

/* Removes it, unless it has become somebody else's. */
void pidfile_remove(const char *path);

#endif
