/* SPDX-License-Identifier: MIT */
/*
 * What the command lines of the programs have in common: an option table that
 * is the help text as well, and complaints of exactly one line.
 *
 * State: the program's name, set once by cli_start() before any thread.
 */
#ifndef CLI_H
#define CLI_H

#include <stdbool.h>
#include <stdio.h>

/* Exit status of every program. */
enum {
	CLI_DONE = 0,
	CLI_FAILED = 1, /* the network, the peer, the machine */
	CLI_USAGE = 2	/* what was asked for cannot be done */
};

/* A row of an option table; the last has name NULL. */
struct cli_option {
	const char *name; /* long form, without dashes */
	int key;	  /* short form, or above 255 if there is none */
	const char *arg;  /* what its value is called; NULL: takes none */
	const char *help; /* newlines continue it */
};

/* cli_next() */
enum {
	CLI_END = -1,
	CLI_BAD = -2 /* has been complained about */
};

/*
 * First thing in main().  A descriptor below 3 that is closed is opened on
 * /dev/null, or the first socket would become standard output.  SIGPIPE and
 * SIGXFSZ are ignored, so that they are errors of write(2).
 */
void cli_start(const char *program);

/* The name given to cli_start(). */
const char *cli_program(void);

/* One line on standard error: "program: ...", control characters escaped. */
void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * The key of the next option, its value in optarg; CLI_END with optind at the
 * first operand; CLI_BAD.  Operands may come before options.
 */
int cli_next(const struct cli_option *table, int argc, char **argv);

/* The lines of --help for a table. */
void cli_print_options(const struct cli_option *table, FILE *to);

/*
 * True if error (an errno) means that the system does not offer this call, or
 * not for this object: an older kernel, a filter of system calls, a file
 * system.  For calls that need no privilege and have another way to do it.
 * EINVAL is not among them; a caller that passes a flag older kernels do not
 * know asks for it too.
 */
bool cli_is_unsupported(int error);

/* Flush standard output: CLI_DONE, or what cli_say_unwritten() returns. */
int cli_flush(void);

/*
 * Standard output could not be written, for this errno.  Complains, and
 * returns CLI_FAILED; but when its reader has gone the program ends without a
 * word by SIGPIPE, as others do.
 */
int cli_say_unwritten(int error);

#endif
