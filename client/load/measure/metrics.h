/* SPDX-License-Identifier: MIT */
/* The figures of a result by name, for gates and for "metrics" in the JSON. */
#ifndef LOAD_METRICS_H
#define LOAD_METRICS_H

#include <stdbool.h>

#include "result.h"

enum metric_unit {
	METRIC_TIME,	/* ns */
	METRIC_COUNT,	/* number */
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

/*
 * The index of a metric, or -1.  "lag." is short for "client-lag."; a
 * percentile without a clock is that of the main clock.
 */
int metric_find(const char *name);

int metric_count(void);

/* Its name and unit. */
void metric_describe(int number, struct metric *ret);

/* 99 for p99 of any clock; 0: not a percentile. */
double metric_percent(int number);

/* Its name, unit and value. */
void metric_get(int number, const struct result *r, struct metric *ret);

/* All names in one line; returns buf. */
#define METRIC_NAMES 640
const char *metric_names(char buf[METRIC_NAMES]);

/* The value as text; returns buf. */
#define METRIC_TEXT 40
const char *metric_text(const struct metric *m, char buf[METRIC_TEXT]);

#endif
