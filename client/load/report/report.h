/* SPDX-License-Identifier: MIT */
/*
 * The report for people: at most 22 lines as wide as the terminal, from 60 to
 * 120 columns.  The answer comes first: the figures, what is wrong, how far
 * they can be trusted.  Lines without information are left out.
 */
#ifndef LOAD_REPORT_H
#define LOAD_REPORT_H

#include <stdio.h>

#include "../judge/gates.h"
#include "../judge/search.h"
#include "../measure/result.h"

#define REPORT_LINES 22
#define REPORT_SAVED 7 /* with a NULL */

struct report {
	FILE *to;
	bool has_colour;
	bool has_utf8;
	size_t columns;			 /* 0: 80 */
	bool is_short;			 /* --quiet */
	const struct gates *gates;	 /* judged; NULL: none */
	const char *saved[REPORT_SAVED]; /* paths, up to the first NULL */
};

/* Colours are used on a terminal unless NO_COLOR is set. */
void report_init(struct report *report, FILE *to);

/* The verdict of r must be set. */
void report_print(const struct report *report, const struct result *r);

void find_print_plan(const struct find *f, FILE *to);
void find_print_step(const struct find_step *step, FILE *to);

void find_print_answer(const struct find *f, FILE *to);

#endif
