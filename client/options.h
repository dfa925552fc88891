/* SPDX-License-Identifier: MIT */
/*
 * The command line of weir-client: COMMAND ADDRESS [OPTION]...
 */
#ifndef CLIENT_OPTIONS_H
#define CLIENT_OPTIONS_H

#include <stdbool.h>

struct options;

/* Does the work; returns the exit status after at most one complaint. */
typedef int client_command(const struct options *o);

struct command {
	const char *name;
	const char *help;
	client_command *run;
};

struct options {
	const struct command *command;
	const char *address;
	int timeout_ms; /* to connect, and for each reply; or WEIR_NEVER */
	bool once;
	bool read_only;
	bool no_banner;
};

/*
 * commands ends with a row without a name.  Returns -1 to go on, or the exit
 * status: of --help and --version, or after a complaint.
 */
int options_parse(struct options *ret, const struct command *commands, int argc,
		  char **argv);

#endif
