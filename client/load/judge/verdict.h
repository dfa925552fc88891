/* SPDX-License-Identifier: MIT */
/*
 * Do the figures describe the server, or this client?
 *
 * Each limit below is where a reason begins: _CARE for WITH CARE, _NOT for NOT
 * TRUSTWORTHY.  Shares are of 1.
 */
#ifndef LOAD_VERDICT_H
#define LOAD_VERDICT_H

#include "../measure/result.h"

/*
 * By how much lateness of this client raised a percentile: p99.9 is a reason
 * for WITH CARE, p50 and p99 for NOT TRUSTWORTHY.
 */
#define VERDICT_LATENESS 0.05

/* CPU time of the busiest thread: above this, replies wait for it. */
#define VERDICT_BUSY_CARE 0.80
#define VERDICT_BUSY_NOT  0.97

/*
 * The longest time in which a loop did not wait, in ns and as a share of the
 * run.  Its effect on an open loop is judged as lateness.  In a closed loop a
 * stall delays one message on each connection, so it raises only the greatest
 * values.
 */
#define VERDICT_STALL_CARE_NS (10 * INT64_C(1000000))
#define VERDICT_STALL_NOT     0.10

/*
 * Involuntary context switches a second and thread.  They are harmless by
 * themselves (a server woken on the same core causes them), but explain
 * lateness and stalls.
 */
#define VERDICT_SWITCHES_CARE 200.0

/* Answered, of what was planned; open loop: planned, of what was asked. */
#define VERDICT_RATE_CARE 0.98
#define VERDICT_RATE_NOT  0.50
#define VERDICT_PLAN_NOT  0.98

/* Connections that failed, were never served or were lost. */
#define VERDICT_ABSENT_NOT 0.10

/* Of the time of all connections, with --reconnect: how long they were lost. */
#define VERDICT_DOWN_CARE 0.10
#define VERDICT_DOWN_NOT  0.50

/* Connections that this client had no port, descriptor or memory for. */
#define VERDICT_SHORTAGE_NOT 0.01

/*
 * Messages under way in a closed loop, of what the connections have room for.
 * If fewer, this client left connections idle.
 */
#define VERDICT_BUSY_CONNECTIONS_CARE 0.80
#define VERDICT_BUSY_CONNECTIONS_NOT  0.50

/* Of the time of the handshakes of churn: they waited for this client. */
#define VERDICT_HANDSHAKE_LAG_CARE 0.50

/* Bytes without a message of their connection, of the replies. */
#define VERDICT_SURPLUS_NOT 0.01

/* Of the replies, those that were bad or wrong. */
#define VERDICT_BAD_NOT 0.10

/* Fewer replies give no p99, nor any higher percentile. */
#define VERDICT_REPLIES_CARE 1000

/* Set r->verdict, r->reasons, the gravest first, and r->is_incomplete. */
void verdict_judge(struct result *r);

/*
 * Add a reason, and raise the verdict to that grade.  Reasons for NOT
 * TRUSTWORTHY come first and displace others.
 */
__attribute__((format(printf, 3, 4))) void
verdict_add(struct result *r, enum verdict grade, const char *format, ...);

/* Did this client limit the rate: was it late, busy, short of plan or ports? */
bool verdict_is_our_limit(const struct result *r);

#endif
