/* SPDX-License-Identifier: MIT */
/*
 * A result as one page that needs nothing else: the JSON of the run, and what
 * draws it.  Available when JSON is.
 */
#ifndef LOAD_HTML_H
#define LOAD_HTML_H

#include "../judge/gates.h"
#include "../measure/result.h"

/* Returns CLI_DONE, or CLI_FAILED after a complaint. */
int html_write(const char *path, const struct result *r,
	       const struct gates *gates);

#endif
