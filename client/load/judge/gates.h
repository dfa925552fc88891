/* SPDX-License-Identifier: MIT */
/*
 * Gates: conditions such as "p99<5ms" on the figures of a run, for scripts.
 * An absent figure never passes, nor does a lower bound against an upper
 * limit.
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

extern const char *const gate_outcome_names[];

struct gate_row {
	char text[GATE_TEXT]; /* as given, without blanks */
	struct metric_id metric;
	enum gate_operator op;
	double limit; /* in the unit of the metric */
	/* After gates_judge(): */
	enum gate_outcome outcome;
	struct metric found;
};

struct gates {
	struct gate_row list[GATES_MAX];
	size_t count;
	bool needs_trust; /* --strict: the verdict is a gate, too */
};

/* Returns false after printing an error. */
bool gates_add(struct gates *g, const char *text);

/* Does a gate fail whatever the rest of the run brings? */
bool gates_are_lost(const struct gates *g, const struct result *r);

/*
 * Set the outcome of each gate; returns whether all passed.  A result that was
 * cut or ended early is not judged.  If a run was stopped, the lost gates fail
 * and the others are not judged.
 */
bool gates_judge(struct gates *g, const struct result *r);

/* Exit status beside those of all programs. */
#define LOAD_GATE_FAILED 3

/* Judge them.  Returns the exit status of a run. */
int gates_status(struct gates *g, const struct result *r);

#endif
