/* SPDX-License-Identifier: MIT */
/*
 * A result as one page that needs nothing else: the JSON of the run, and what
 * draws it.  Available when JSON is.
 */
#ifndef LOAD_HTML_H
#define LOAD_HTML_H

#include <stddef.h>

#include "../judge/gates.h"
#include "../measure/result.h"

/* Returns CLI_DONE, or CLI_FAILED after a complaint. */
int html_write(const char *path, const struct result *r,
	       const struct gates *gates);

/* The page around the JSON, which html/embed.sh turns into C. */
extern const unsigned char html_head[], html_tail[];
extern const size_t html_head_len, html_tail_len;

#endif
