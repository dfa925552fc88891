/* SPDX-License-Identifier: MIT */
/* The number of processors this process may use. */
#ifndef WR_PROCESSORS_H
#define WR_PROCESSORS_H

/* By affinity and quota; at least 1. */
int wr_processors(void);

/*
 * The CPU quota of the process's control groups and their parents, in
 * processors, rounded up; INT_MAX: none or unknown.  The files are below root;
 * "" is the system's.
 */
int wr_processors_quota(const char *root);

#endif
