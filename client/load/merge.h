/* SPDX-License-Identifier: MIT */
/*
 * weir-client load merge: the logs of several runs, or of several machines
 * that took part in one, added up.
 */
#ifndef LOAD_MERGE_H
#define LOAD_MERGE_H

/* argv[0] is "merge".  Returns the exit status. */
int load_merge(int argc, char **argv);

#endif
