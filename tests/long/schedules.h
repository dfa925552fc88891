/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the program "schedules" share; see schedules.c.
 */
#ifndef TESTS_LONG_SCHEDULES_H
#define TESTS_LONG_SCHEDULES_H

#include <stdbool.h>

#include "weir.h"

/* Say what is wrong and with which seed, and exit. */
_Noreturn __attribute__((format(printf, 1, 2))) void
schedule_fail(const char *format, ...);

#define EXPECT(cond)                                                           \
	((cond) ? (void)0                                                      \
		: schedule_fail("%s:%d: %s", __FILE__, __LINE__, #cond))

/* A connected socket; or -1, if nothing listens at the Unix address. */
int schedule_connect(const char *address);

/* A handler that answers each byte with an 'e'. */
int schedule_answer(weir_conn *c, void *arg);

/*
 * What the program does beside the clients (schedules_beside.c): it dials and
 * adopts, has timers, and opens and closes listeners, each in a thread of its
 * own.
 */
struct beside {
	weir_server *server;
	const char *upstream; /* where to dial; NULL: do not dial */
	bool has_timers;
	bool has_listeners;
	bool is_patient; /* beside_settle() is called before the stop */
};

/* For a server that has not started; start it; finish before its stop. */
void beside_prepare(const struct beside *plan);
void beside_start(void);
void beside_settle(void);

/* From now on there may be a stop.  Any thread. */
void beside_expect_stop(void);

/* Have a timer stop the server. */
void beside_stop(void);

/* Connections of the finished server that were made here, by their outcome. */
struct beside_counts {
	unsigned accepted, dialled;
	unsigned refused_at_most, failed, cut;
};

/* After the join: check everything that was seen. */
struct beside_counts beside_end(void);

#endif
