/* SPDX-License-Identifier: MIT */
/*
 * Options of a server that runs: those of --config can be read again, and the
 * log level can be set.  All of a change takes effect, or nothing.  Any thread.
 */
#ifndef SERVER_RELOAD_H
#define SERVER_RELOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "options.h"

/*
 * s runs with the options o, of this command line.  All of them are used until
 * the process ends.
 */
void reload_start(weir_server *s, const struct options *o, int argc,
		  char **argv);

/* The grace of a stop, in effect now. */
int reload_drain_ms(void);

/* Seconds until the certificate in effect ends; INT64_MAX: there is none. */
int64_t reload_certificate_expires(void);

/*
 * False: nothing has changed; text gets one line that says why.  It also gets
 * one if there is nothing to reload, and else is empty.
 */
bool reload_run(char *text, size_t cap);

/* For a level by its name; why is for an error.  The next reload sets it again.
 */
bool reload_log_level(const char *name, char *why, size_t cap);

#endif
