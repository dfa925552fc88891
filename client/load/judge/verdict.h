/* SPDX-License-Identifier: MIT */
/*
 * Are these figures about the server, or about ourselves?
 *
 * Each limit below is where a reason begins: _CARE makes the verdict WITH
 * CARE, _NOT makes it NOT TRUSTWORTHY.  Shares are of 1.
 */
#ifndef LOAD_VERDICT_H
#define LOAD_VERDICT_H

#include "../measure/result.h"

/*
 * Messages that were sent late by our own fault: 0.1 % of them are the p99.9,
 * 1 % are the p99.
 */
#define VERDICT_LATE_CARE 0.001
#define VERDICT_LATE_NOT  0.01

/* Share of a core that the busiest thread used: replies waited for it. */
#define VERDICT_BUSY_CARE 0.80
#define VERDICT_BUSY_NOT  0.97

/*
 * A loop that was not waiting for so long, in ns and as a share of the run.
 * In an open loop lateness says how much came of it; in a closed loop it
 * delays one message on each connection, and so the greatest figures alone.
 */
#define VERDICT_STALL_CARE_NS (10 * INT64_C(1000000))
#define VERDICT_STALL_NOT     0.10

/*
 * Involuntary context switches a second for each of our threads.  They are no
 * harm by themselves, a server that is woken on our core makes them, but they
 * explain lateness and stalls.
 */
#define VERDICT_SWITCHES_CARE 200.0

/* Of an open loop's asked rate, what was answered; and what we planned. */
#define VERDICT_RATE_CARE 0.98
#define VERDICT_PLAN_NOT  0.98

/* Connections that were asked for and did not take part. */
#define VERDICT_ABSENT_NOT 0.10

/*
 * Little's law: in a closed loop as many messages are under way as the
 * connections have room for.  Less means that we left them idle.
 */
#define VERDICT_BUSY_CONNECTIONS_CARE 0.80
#define VERDICT_BUSY_CONNECTIONS_NOT  0.50

/* With fewer replies there is no percentile above p99. */
#define VERDICT_REPLIES_CARE 1000

/* Fill in r->verdict, r->reasons and r->reason_count, the gravest first. */
void verdict_judge(struct result *r);

/*
 * Was this client, rather than the server, what held the rate down?  It was
 * late itself, or busy without a pause, or planned less than it should.
 */
bool verdict_is_our_limit(const struct result *r);

#endif
