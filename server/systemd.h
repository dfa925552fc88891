/* SPDX-License-Identifier: MIT */
/*
 * Tells a service manager the state of the server, as sd_notify(3) and
 * sd_watchdog_enabled(3) say.  Without NOTIFY_SOCKET these calls do nothing.
 */
#ifndef SERVER_SYSTEMD_H
#define SERVER_SYSTEMD_H

#include <stdbool.h>
#include <sys/types.h>

#include <weir.h>

/*
 * Read the variables and remove them from the environment, before there are
 * threads.  Returns false after printing an error.
 */
bool systemd_open(void);

/* Before s starts. */
int systemd_start(weir_server *s, const struct weir_config *config);

/* Clients are served.  A predecessor, if there is one, tells the manager. */
void systemd_ready(bool has_predecessor);

/*
 * The manager follows this process now: before, it may have ignored it.  For a
 * successor, after systemd_ready().
 */
void systemd_followed(void);

bool systemd_is_there(void);

/*
 * Let the manager keep listener id of s under this name, and pass it to the
 * next server; or forget it.  For --keep-listeners.  With NotifyAccess=main the
 * manager ignores a successor until systemd_hand_over() of its predecessor.
 */
void systemd_keep(weir_server *s, int id, const char *name);
void systemd_forget(const char *name);

/* Store the variables for a successor at to, which has room for two. */
void systemd_environment(char **to);

/* False: the manager takes no message within a second, or is gone. */
bool systemd_begin_upgrade(void);

/*
 * A successor serves; what this process says has no meaning from now on.  The
 * successor is no child of this process.
 */
void systemd_hand_over(pid_t successor);

/* Around a reload.  Any thread. */
void systemd_reloading(void);
void systemd_reloaded(void);

/* The times of a stop have changed.  Any thread. */
void systemd_configure(const struct weir_config *config);

/* The server has stopped, or did not start.  Ends the thread. */
void systemd_end(void);

#endif
