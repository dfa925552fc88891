/* SPDX-License-Identifier: MIT */
/*
 * What may follow on a command line, for the completions of shells, which run
 *
 *	PROGRAM __complete WORD... WORD-AT-THE-CURSOR
 *
 * A line of the answer is a word, or a word, a tab and what it is for; or
 * ":files", for the names of files.
 */
#ifndef COMPLETE_H
#define COMPLETE_H

#include <stdbool.h>

#include "cli.h"

/*
 * True if this is such a command line; takes __complete out of it.  The last
 * word is unfinished then.
 */
bool complete_begin(int *argc, char **argv);

bool complete_is_asked(void);

/* Print word with its help, if the word at the cursor is its beginning. */
void complete_word(int argc, char **argv, const char *word, const char *help);

/*
 * If the cursor is at an option or its value, print what that may be.  Returns
 * false if it is at an operand.
 */
bool complete_option(const struct cli_option *table, int argc, char **argv);

#endif
