/* SPDX-License-Identifier: MIT */
/*
 * Judging a run by what the engine noticed of itself.
 */
#include "verdict.h"

#include <stdio.h>

/* More than so many of a thousand late by our own fault spoil the tail. */
#define LATE_PER_MILLE 10

void verdict_judge(struct result *r)
{
	uint64_t late = r->self.late_ours;

	r->verdict = VERDICT_TRUSTWORTHY;
	r->reason_count = 0;
	if (late * 1000 <= r->books.sent * LATE_PER_MILLE)
		return;
	r->verdict = VERDICT_WITH_CARE;
	snprintf(r->reasons[r->reason_count++], sizeof(r->reasons[0]),
		 "%.1f%% of the messages were late by our own fault",
		 (double)late * 100 / (double)r->books.sent);
}
