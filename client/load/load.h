/* SPDX-License-Identifier: MIT */
/*
 * The commands of weir-client load.
 */
#ifndef LOAD_LOAD_H
#define LOAD_LOAD_H

/* Exit status besides those of every program. */
#define LOAD_GATE_FAILED 3

/* argv[0] is the name of the command.  Each returns the exit status. */
int load_find(int argc, char **argv);
int load_compare(int argc, char **argv);
int load_merge(int argc, char **argv);

/*
 * From here on an interruption ends the run early, with a report.  Not before
 * the target has been looked up, for until then it ends the program at once.
 */
void load_catch_signals(void);

#endif
