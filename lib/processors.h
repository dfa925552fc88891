/* SPDX-License-Identifier: MIT */
/*
 * How many processors this process may use, for the default of `workers'.
 */
#ifndef WR_PROCESSORS_H
#define WR_PROCESSORS_H

/* The smaller of what its affinity and what its quota allows; at least 1. */
int wr_processors(void);

/*
 * The quota of the calling process's control groups and of all their parents,
 * in processors, rounded up; INT_MAX: none, or the files that tell it cannot
 * be read.  They are looked for below the folder root: "" is the system's.
 */
int wr_processors_quota(const char *root);

#endif
