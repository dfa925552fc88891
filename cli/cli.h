/* SPDX-License-Identifier: MIT */
/*
 * What the programs share: option tables, from which the help text is made,
 * and error messages of one line.
 *
 * cli_start() sets the state of this file before any thread exists.
 */
#ifndef CLI_H
#define CLI_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/*
 * Exit status of every program.  A function that returns one has printed the
 * error, if there was one.
 */
enum {
	CLI_DONE = 0,
	CLI_FAILED = 1, /* a failure of the network, the peer or the machine */
	CLI_USAGE = 2	/* a request that cannot be carried out */
};

/* A row of an option table; the last has name NULL. */
struct cli_option {
	const char *name; /* long form, without dashes */
	int key;	  /* short form; above 255: none */
	const char *arg;  /* name of its value; "[NAME]": it may be left out, */
			  /* and optarg is NULL; NULL: takes none */
	const char *help; /* may have several lines */
};

#define CLI_ERROR_MOST (PATH_MAX + 1024) /* a path may be in it */

/* cli_next() */
enum {
	CLI_END = -1,
	CLI_BAD = -2 /* an error has been printed */
};

/*
 * Call this first in main().  Opens /dev/null for each descriptor below 3 that
 * is closed; otherwise the first socket could become standard output.  A
 * write(2) to a standard output that was closed still fails.  Ignores SIGPIPE
 * and SIGXFSZ, so that write(2) returns an error instead.
 */
void cli_start(const char *program);

const char *cli_program(void);

/* Print "program: ..." on standard error, control characters escaped. */
void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The last that this thread has printed, as shown after "program: ", or "". */
const char *cli_last_error(void);

/*
 * Put the errors of the calling thread into buf, without the name of the
 * program, instead of printing them; the last one remains.  NULL: print them.
 */
void cli_redirect_errors(char *buf, size_t cap);

/*
 * Returns the key of the next option, with its value in optarg; CLI_END, with
 * optind at the first operand; or CLI_BAD.  Operands may precede options.
 */
int cli_next(const struct cli_option *table, int argc, char **argv);

/*
 * Print "unknown WHAT 'WORD'; REST", with a guess between them if one of the
 * names is near.  name_at() returns the i-th name, or NULL after the last.
 */
void cli_report_unknown(const char *what, const char *word, size_t len,
			const char *(*name_at)(size_t i), const char *rest);

void cli_print_options(const struct cli_option *table, FILE *to);

/* Print a value on standard output, quoted and escaped: name "text". */
void cli_print_text(const char *name, const char *text);

/*
 * True if error, an errno, means that the system does not offer the call, or
 * not for this object: an older kernel, a system call filter, a file system.
 * Only for calls that need no privilege.  EINVAL is not among the errors; a
 * caller that passes a newer flag checks for it as well.
 */
bool cli_is_unsupported(int error);

/*
 * More for the error of a file, an -errno: the user if that may be the reason,
 * else "".  It stays until the next call of the thread.
 */
const char *cli_reader(int rc);

/* Flush standard output.  Returns CLI_DONE or what cli_output_failed() does. */
int cli_flush(void);

/*
 * Report that a write to standard output has failed with this errno.  Returns
 * CLI_FAILED.  If the reader has gone, the program ends silently by SIGPIPE.
 */
int cli_output_failed(int error);

#endif
