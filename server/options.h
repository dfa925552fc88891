/* SPDX-License-Identifier: MIT */
/*
 * The command line of weir-server, checked as far as that is possible without
 * opening a socket.  Every value is here, defaults too, and goes to the
 * library as it is: what --check prints is what runs.
 */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include <weir.h>

#include "listeners.h"

struct options {
	struct weir_config config;
	struct weir_service limits; /* deadlines and mode, for each listener */
	struct listeners listeners;
	const char *greeting; /* NULL: what each service says by itself */
	const char *file;     /* NULL: none, as for the next */
	const char *pid_file;
	bool check;
	/* What was said, where a default must not look like a wish. */
	bool has_idle, has_mode, has_overload, has_level;
};

/*
 * Returns -1 to go on, or the exit status: of --help and --version, or after
 * a complaint.  Strings in *ret point into argv.
 */
int options_parse(struct options *ret, int argc, char **argv);

/* What would be done, on standard output; returns the exit status. */
int options_print(const struct options *o);

void options_fini(struct options *o);

#endif
