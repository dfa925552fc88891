/* SPDX-License-Identifier: MIT */
/*
 * The commands of weir-client load.
 */
#ifndef LOAD_LOAD_H
#define LOAD_LOAD_H

/* argv[0] is the name of the command.  Returns the exit status. */
int load_find(int argc, char **argv);
int load_compare(int argc, char **argv);
int load_merge(int argc, char **argv);

#endif
