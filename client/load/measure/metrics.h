/* SPDX-License-Identifier: MIT */
/* The figures of a result by name, for gates and for "metrics" in the JSON. */
#ifndef LOAD_METRICS_H
#define LOAD_METRICS_H

#include <stdbool.h>

#include "result.h"

enum metric_unit {
	METRIC_TIME, /* ns */
	METRIC_COUNT,
	METRIC_RATE,	/* a second */
	METRIC_PERCENT, /* of 100 */
	METRIC_BYTES,	/* bytes a second */
	METRIC_UNITS
};

struct metric {
	char name[32];
	enum metric_unit unit;
	double value;
	bool is_at_least;    /* the true value may be greater */
	char why_absent[64]; /* "": it is present */
};

/* Which one: a row of the table, or a figure of a clock. */
struct metric_id {
	int row;	/* of the table; -1: of a clock */
	int clock;	/* an enum clock_kind; -1: the main clock */
	double percent; /* 0 < percent < 100, METRIC_MAX or METRIC_MEAN */
};

#define METRIC_MAX  100
#define METRIC_MEAN 101

/*
 * Find a metric by its name; any percentile has one, such as p95 or p99.95.
 * "lag." is short for "client-lag."; a percentile without a clock is that of
 * the main clock.  Returns false if there is none.
 */
bool metric_find(struct metric_id *ret, const char *name);

/* Read a percentile such as "99.9", between 0 and 100. */
bool metric_read_percent(const char *text, double *ret);

/* With the usual percentiles and those of the plan; false after the last. */
bool metric_at(size_t number, const struct plan *p, struct metric_id *ret);

void metric_describe(struct metric_id id, struct metric *ret);

/* 99 for p99 of any clock; 0: not a percentile. */
double metric_percent(struct metric_id id);

void metric_get(struct metric_id id, const struct result *r,
		struct metric *ret);

#define METRIC_NAMES 800
const char *metric_names(char buf[METRIC_NAMES]);

#define METRIC_TEXT 40
const char *metric_text(const struct metric *m, char buf[METRIC_TEXT]);

#endif
