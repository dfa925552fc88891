/* SPDX-License-Identifier: MIT */
/*
 * Files that are written when the run is over, and that it is known before
 * the run that they can be.
 */
#ifndef LOAD_OUTPUT_H
#define LOAD_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

struct output {
	const char *option; /* "json" */
	const char *path; /* "-": standard output; NULL: it is not asked for */
};

/* path may be NULL */
bool output_is_standard(const char *path);

/*
 * Can these be written, and is no file named twice?  One that is not there is
 * made, and what it holds stays until output_write().  Complains, and names
 * the option.
 */
bool outputs_check(const struct output *outputs, size_t count);

/* Returns CLI_DONE, or CLI_FAILED after a complaint. */
int output_write(const char *path, const char *text, size_t len);

#endif
