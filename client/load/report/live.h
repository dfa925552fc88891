/* SPDX-License-Identifier: MIT */
/*
 * The state of a run on one line of a terminal, rewritten on standard error
 * and erased before the report; with --progress a plain line that often.
 * Without a terminal and --progress nothing is shown.
 */
#ifndef LOAD_LIVE_H
#define LOAD_LIVE_H

#include "../measure/summary.h"
#include "layout.h"

#define LIVE_TEXT 512

struct live {
	const struct plan *plan;
	int64_t every;	 /* ns between plain lines; 0: a terminal is needed */
	int64_t next_at; /* when the next is due, CLOCK_MONOTONIC */
	bool is_shown;	 /* standard error is a terminal */
	bool has_colour, has_utf8;
	int64_t history[16]; /* p99 of the last seconds */
	size_t seconds;
	int64_t last_at; /* when the last of them started */
};

void live_init(struct live *live, const struct plan *plan);

/* A run_watch; arg is the struct live. */
void live_watch(void *arg, const struct progress *p);

void live_end(struct live *live);

const char *live_line(struct live *live, const struct progress *p,
		      size_t columns, char text[LIVE_TEXT]);

#endif
