/* SPDX-License-Identifier: MIT */
/*
 * A result as a self-contained page: the JSON of the run and the script that
 * draws it.  Available if JSON is.
 */
#ifndef LOAD_HTML_H
#define LOAD_HTML_H

#include <stddef.h>

#include "../judge/gates.h"
#include "../measure/result.h"

/* Returns CLI_DONE, or CLI_FAILED after printing an error. */
int html_write(const char *path, const struct result *r,
	       const struct gates *gates);

/* The page around the JSON, made by html/embed.sh. */
extern const unsigned char html_head[], html_tail[];
extern const size_t html_head_len, html_tail_len;

#endif
