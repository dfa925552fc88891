/* SPDX-License-Identifier: MIT */
/*
 * The command line of one command: COMMAND OPERAND... [OPTION]...  Each
 * command has a table of its own, read here into a structure of its own.
 * Whatever is wrong gives one line that names the thing and says what would
 * be right.
 */
#ifndef CLIENT_OPTIONS_H
#define CLIENT_OPTIONS_H

#include <stdbool.h>

#include "../cli/cli.h"

/* Rows that tables share. */
#define OPTIONS_HELP                                                           \
	{                                                                      \
		"help", 'h', NULL, "print this, and exit"                      \
	}
#define OPTIONS_VERSION                                                        \
	{                                                                      \
		"version", 'V', NULL, "print the version, and exit"            \
	}

struct options_operand {
	const char *name;    /* as the help shows it, "ADDRESS" */
	const char *what;    /* as a complaint names it, "the address" */
	const char *example; /* "127.0.0.1:1234" */
};

struct options_syntax {
	const char *command;
	const char *about; /* what the help says of it, lines with newlines */
	const struct options_operand *operands; /* ends with a NULL name */
	const char *optional; /* one more that may follow: "TEXT"; or NULL */
	const struct cli_option *table;
	/* One option, its value in optarg; false after a complaint. */
	bool (*take)(void *to, int key);
	bool has_list; /* the last operand is one or more */
	bool is_local; /* its help need not explain addresses and durations */
};

/*
 * Read the options into *to, and have the operands at argv + optind.  Returns
 * -1 to go on, or the exit status: of --help and --version, or after a
 * complaint.
 */
int options_parse(const struct options_syntax *syntax, void *to, int argc,
		  char **argv);

/* Is it an address to connect to?  Complains if not. */
bool options_check_address(const char *where);

/* The value of --timeout in optarg; complains. */
bool options_take_timeout(int *ret);

/* "weir-client 1.2.3"; returns the exit status. */
int options_print_version(void);

#endif
