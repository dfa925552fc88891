/* SPDX-License-Identifier: MIT */
/*
 * What the shape of the figures says about their cause, and what to do about
 * it: for people, never for gates.
 */
#ifndef LOAD_HINTS_H
#define LOAD_HINTS_H

#include "../measure/result.h"

#define HINTS_MAX 6
#define HINT_TEXT 200

/* The most telling first.  Returns how many. */
size_t hints_find(const struct result *r, char hints[HINTS_MAX][HINT_TEXT]);

#endif
