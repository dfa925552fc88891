/* SPDX-License-Identifier: MIT */
/*
 * The page without a run, which html/embed.sh makes into C.
 */
#ifndef LOAD_HTML_PARTS_H
#define LOAD_HTML_PARTS_H

#include <stddef.h>

extern const unsigned char html_head[], html_tail[];
extern const size_t html_head_len, html_tail_len;

#endif
