/* SPDX-License-Identifier: MIT */
/*
 * The commands of weir-client load.
 */
#ifndef LOAD_LOAD_H
#define LOAD_LOAD_H

#include "plan.h"

/* argv[0] is the name of the command.  Returns the exit status. */
int load_find(int argc, char **argv);
int load_compare(int argc, char **argv);
int load_merge(int argc, char **argv);

/* Do one exchange and print it.  CLI_DONE: the reply was good. */
int load_show(const struct plan *plan);

#endif
