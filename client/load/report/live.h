/* SPDX-License-Identifier: MIT */
/*
 * What a run is doing, on one line of a terminal that is written again and
 * again on standard error and gone before the report.  Elsewhere: nothing.
 */
#ifndef LOAD_LIVE_H
#define LOAD_LIVE_H

#include "../measure/summary.h"
#include "layout.h"

#define LIVE_TEXT 512

struct live {
	const struct plan *plan;
	bool is_shown; /* there is a terminal to show it on */
	bool has_colour, has_utf8;
	int64_t history[16]; /* p99 of the last seconds */
	size_t seconds;
	int64_t last_at; /* of the last of them */
};

void live_init(struct live *live, const struct plan *plan);

/* A run_watch; arg is the struct live. */
void live_watch(void *arg, const struct progress *p);

/* Take the line away. */
void live_end(struct live *live);

/* The line for a window of so many columns; returns text. */
const char *live_line(struct live *live, const struct progress *p,
		      size_t columns, char text[LIVE_TEXT]);

#endif
