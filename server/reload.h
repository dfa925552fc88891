/* SPDX-License-Identifier: MIT */
/*
 * Options of a server that runs: those of --config can be read again, and the
 * log level can be set.  All of a change takes effect, or nothing; only a lack
 * of memory can leave a part of it in effect.  Any thread.
 */
#ifndef SERVER_RELOAD_H
#define SERVER_RELOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certificate.h"
#include "options.h"

/* s runs with o, of this command line; all are used until reload_end(). */
void reload_start(weir_server *s, const struct options *o, int argc,
		  char **argv);

/*
 * From now on reloads are refused.  False: one still waits for a file after a
 * moment, so the process has to end without giving up what it uses.
 */
bool reload_end(void);

/* The --drain-timeout in effect now. */
int reload_drain_ms(void);

struct certificate_ends reload_certificate_ends(void);

/*
 * False: nothing has changed, and text gets one line that says why.  True: text
 * is empty, or says that there is nothing to reload.
 */
bool reload_run(char *text, size_t cap);

/* Until the next reload.  False: why gets one line. */
bool reload_log_level(const char *name, char *why, size_t cap);

#endif
