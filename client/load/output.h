/* SPDX-License-Identifier: MIT */
/*
 * Files that are written when the run is over, and that it is known before
 * the run that they can be.
 */
#ifndef LOAD_OUTPUT_H
#define LOAD_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Can path be written?  It is made if it is not there, and what it holds stays
 * until output_write().  "-" is standard output.  Complains, and names the
 * option.
 */
bool output_check(const char *option, const char *path);

/* Returns CLI_DONE, or CLI_FAILED after a complaint. */
int output_write(const char *path, const char *text, size_t len);

#endif
