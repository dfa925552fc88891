/* SPDX-License-Identifier: MIT */
/*
 * The command line of one command: COMMAND OPERAND... [OPTION]...  Each command
 * has its own table and its own structure for the values.  An error gives one
 * line that names the option or operand and says what would be right.
 */
#ifndef CLIENT_OPTIONS_H
#define CLIENT_OPTIONS_H

#include <stdbool.h>

#include "../cli/cli.h"

#define OPTIONS_HELP                                                           \
	{                                                                      \
		"help", 'h', NULL, "print this help and exit"                  \
	}
#define OPTIONS_VERSION                                                        \
	{                                                                      \
		"version", 'V', NULL, "print the version and exit"             \
	}

struct options_operand {
	const char *name;    /* in the help: "ADDRESS" */
	const char *what;    /* in an error: "the address" */
	const char *example; /* "127.0.0.1:1234" */
};

struct options_syntax {
	const char *command;
	const char *about;			/* lines for the help */
	const struct options_operand *operands; /* ends with a NULL name */
	const char *optional; /* one more operand, "TEXT"; or NULL */
	const struct cli_option *table;
	const char *examples; /* command lines, for the help */
	const char *const
		*commands; /* below this one, ends with NULL; or NULL */
	/* Handle one option, its value in optarg; false after an error. */
	bool (*take)(void *to, int key);
	bool has_list;	/* the last operand may be repeated */
	bool has_no_fd; /* it makes connections and is not given one */
	bool is_local;	/* its help does not explain addresses and durations */
};

/* Operands are at argv + optind.  Returns -1 to go on, or the exit status. */
int options_parse(const struct options_syntax *syntax, void *to, int argc,
		  char **argv);

/* Prints an error and returns false if where is not an address. */
bool options_check_address(const char *where);

/* Its value is in optarg; false after an error. */
bool options_take_timeout(int *ret);

int options_print_version(void);

#endif
