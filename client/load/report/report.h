/* SPDX-License-Identifier: MIT */
/*
 * The report for people: at most 25 lines of 80 columns, the answer first.
 * Lines without information are left out.
 */
#ifndef LOAD_REPORT_H
#define LOAD_REPORT_H

#include <stdio.h>

#include "../judge/gates.h"
#include "../measure/result.h"

#define REPORT_LINES 25
#define REPORT_SAVED 4

struct report {
	FILE *to;
	bool has_colour;
	bool has_utf8;
	bool is_short;			 /* --quiet */
	const struct gates *gates;	 /* judged; NULL: none */
	const char *saved[REPORT_SAVED]; /* paths, up to the first NULL */
};

/* Colours are used on a terminal unless NO_COLOR is set. */
void report_init(struct report *report, FILE *to);

/* The verdict of r must be set. */
void report_print(const struct report *report, const struct result *r);

#endif
