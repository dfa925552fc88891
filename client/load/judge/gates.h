/* SPDX-License-Identifier: MIT */
/*
 * Gates: conditions on the figures of a run, "p99<5ms", that a script can
 * rely on.  A figure that is absent, or only known to be above something,
 * never passes.
 */
#ifndef LOAD_GATES_H
#define LOAD_GATES_H

#include "../measure/metrics.h"

#define GATES_MAX 32
#define GATE_TEXT 48

enum gate_operator {
	GATE_LESS,
	GATE_AT_MOST,
	GATE_MORE,
	GATE_AT_LEAST,
	GATE_EQUAL
};

enum gate_outcome { GATE_NOT_JUDGED, GATE_PASS, GATE_FAIL };

/* "not judged", "PASS", "FAIL" */
extern const char *const gate_outcome_names[];

struct gate_row {
	char text[GATE_TEXT]; /* as it was given, without blanks */
	int metric;
	enum gate_operator op;
	double limit; /* in the unit of the metric */
	/* After gates_judge(): */
	enum gate_outcome outcome;
	struct metric found;
};

struct gates {
	struct gate_row list[GATES_MAX];
	size_t count;
};

/* Add the one that text says; false after a complaint. */
bool gates_add(struct gates *g, const char *text);

/*
 * Hold them against a result; one that was cut is not judged.  Did all pass?
 */
bool gates_judge(struct gates *g, const struct result *r);

#endif
