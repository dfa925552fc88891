/* SPDX-License-Identifier: MIT */
/*
 * The file that tells others our process id.  Main thread.
 */
#ifndef SERVER_PIDFILE_H
#define SERVER_PIDFILE_H

int pidfile_write(const char *path);

/* Remove it, unless another process has replaced it. */
void pidfile_remove(const char *path);

#endif
