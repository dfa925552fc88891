/* SPDX-License-Identifier: MIT */
/*
 * What every reader of a result needs to know about it.
 */
#include "result.h"

#include <stdlib.h>

const char *const clock_names[CLOCK_KINDS] = {
	[CLOCK_FROM_PLAN] = "from-plan",
	[CLOCK_FROM_SEND] = "from-send",
	[CLOCK_LAG] = "client-lag",
	[CLOCK_CONNECT] = "connect",
};

const char *const error_phase_names[ERROR_PHASES] = {
	[ERROR_SOCKET] = "socket",   [ERROR_BIND] = "bind",
	[ERROR_CONNECT] = "connect", [ERROR_BANNER] = "banner",
	[ERROR_SEND] = "send",	     [ERROR_REPLY] = "reply",
	[ERROR_BETWEEN] = "between",
};

const char *const verdict_names[] = {
	[VERDICT_TRUSTWORTHY] = "TRUSTWORTHY",
	[VERDICT_WITH_CARE] = "WITH CARE",
	[VERDICT_NOT] = "NOT TRUSTWORTHY",
};

enum clock_kind result_main_clock(const struct plan *p)
{
	return p->schedule != PLAN_CLOSED || p->mode == PLAN_CHURN
		       ? CLOCK_FROM_PLAN
		       : CLOCK_FROM_SEND;
}

double result_rate(const struct result *r)
{
	return r->elapsed > 0
		       ? (double)r->books.answered * 1e9 / (double)r->elapsed
		       : 0;
}

bool books_balance(const struct books *b)
{
	return b->planned == b->sent + b->never_sent &&
	       b->sent == b->answered + b->timed_out + b->reset +
				  b->closed_early + b->open;
}

void result_free(struct result *r)
{
	for (int i = 0; i < CLOCK_KINDS; i++)
		free(r->clocks[i]);
	free(r->without_misfits);
	free(r->with_misfits);
	free(r->seconds);
}
