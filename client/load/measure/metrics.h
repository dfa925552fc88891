/* SPDX-License-Identifier: MIT */
/*
 * The figures of a result by name: what a gate can ask for and what the JSON
 * has under "metrics".
 */
#ifndef LOAD_METRICS_H
#define LOAD_METRICS_H

#include <stdbool.h>

#include "result.h"

enum metric_unit {
	METRIC_TIME,	/* ns */
	METRIC_COUNT,	/* number */
	METRIC_RATE,	/* a second */
	METRIC_PERCENT, /* of 100 */
	METRIC_BYTES,	/* a second */
	METRIC_UNITS
};

struct metric {
	char name[32];
	enum metric_unit unit;
	double value;
	bool is_at_least;    /* the value is not known to be less than this */
	char why_absent[64]; /* "": it is there */
};

/*
 * The number at which metric is found, from 0, or -1.  "lag." may stand for
 * "client-lag.", and a percentile without a clock is the main clock's.
 */
int metric_find(const char *name);

/* How many there are. */
int metric_count(void);

/* Its name and unit alone. */
void metric_describe(int number, struct metric *ret);

/* 99 of p99, of whichever clock; 0: it is no percentile. */
double metric_percent(int number);

/* With its value in that result. */
void metric_get(int number, const struct result *r, struct metric *ret);

/* All names in one line, those of a clock once; returns buf. */
#define METRIC_NAMES 640
const char *metric_names(char buf[METRIC_NAMES]);

/* The value as people read it; returns buf. */
#define METRIC_TEXT 40
const char *metric_text(const struct metric *m, char buf[METRIC_TEXT]);

#endif
