/* SPDX-License-Identifier: MIT */
/* Output files: checked before the run, written after it. */
#ifndef LOAD_OUTPUT_H
#define LOAD_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

struct gates;
struct result;

struct output {
	const char *option; /* "json" */
	const char *path;   /* "-": standard output; NULL: not asked for */
	/*
	 * Write it after the run; NULL: it is written during the run.  Returns
	 * CLI_DONE, or CLI_FAILED after printing an error.
	 */
	int (*write)(const char *path, const struct result *r,
		     const struct gates *gates);
};

/* path may be NULL */
bool output_is_standard(const char *path);

/*
 * Can all be written, and are they different files?  Missing files are
 * created, existing ones keep their content for now.  Returns false after
 * printing an error.
 */
bool outputs_check(const struct output *outputs, size_t count);

/* Returns CLI_DONE, or CLI_FAILED after printing an error. */
int output_write(const char *path, const char *text, size_t len);

#endif
