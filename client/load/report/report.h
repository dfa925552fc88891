/* SPDX-License-Identifier: MIT */
/*
 * The report of a run for people: at most 25 lines of 80 columns, the answer
 * first, what it rests on after.  What has nothing to say is left out.
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
	const struct gates *gates;	 /* judged; or NULL */
	const char *saved[REPORT_SAVED]; /* files, up to the first NULL */
};

/* For that stream: colours if it is a terminal, unless NO_COLOR is set. */
void report_init(struct report *report, FILE *to);

/* r has its verdict. */
void report_print(const struct report *report, const struct result *r);

#endif
