/* SPDX-License-Identifier: MIT */
/*
 * helgrind_queue [broken]: hand plain variables from thread to thread through
 * the queue, the owner word, a stealable batch, a lock with its condition, and
 * a heap of timers behind a lock, for valgrind to watch (helgrind_queue.sh).
 * Each owner changes the variables.
 *
 * The checkers know locks but no atomic operations: what is handed over by
 * atomics alone is annotated (WR_GIVES, WR_TAKES).  "broken" touches a
 * connection after it was given up, which must be found.
 */
#include "clock.h"
#include "lock.h"
#include "owner.h"
#include "scheduler.c" /* its queues and batches are static, and annotated */
#include "timers.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <valgrind/drd.h>
#include <valgrind/helgrind.h>

#define THREADS 3
#define TIMES	200

void wr_gives(const void *p)
{
	ANNOTATE_HAPPENS_BEFORE(p);
	VALGRIND_DO_CLIENT_REQUEST_STMT(VG_USERREQ__DRD_ANNOTATE_HAPPENS_BEFORE,
					p, 0, 0, 0, 0);
}

void wr_takes(const void *p)
{
	ANNOTATE_HAPPENS_AFTER(p);
	VALGRIND_DO_CLIENT_REQUEST_STMT(VG_USERREQ__DRD_ANNOTATE_HAPPENS_AFTER,
					p, 0, 0, 0, 0);
}

static bool is_broken;

/* Atomic variables: what happens to them at a time is in order by itself. */
static void is_atomic(const volatile void *p, size_t size)
{
	VALGRIND_HG_DISABLE_CHECKING(p, size);
	VALGRIND_DO_CLIENT_REQUEST_STMT(VG_USERREQ__DRD_START_SUPPRESSION, p,
					size, 0, 0, 0);
}

static void run(void *(*fn)(void *))
{
	pthread_t id[THREADS];

	for (int i = 0; i < THREADS; i++)
		wr_assert(pthread_create(&id[i], NULL, fn, NULL) == 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(id[i], NULL);
}

/* ---- the queue: each pops, changes and pushes back */

struct parcel {
	struct wr_node node;
	int times;
};

static struct wr_queue queue;

static void *pass_on(void *arg)
{
	(void)arg;
	for (int i = 0; i < TIMES;) {
		struct wr_node *n = pop(&queue, WR_NEVER_AT);

		if (n) {
			wr_container_of(n, struct parcel, node)->times++;
			push(&queue, n, i);
			i++;
		} else {
			sched_yield();
		}
	}
	return NULL;
}

static void by_queue(void)
{
	struct parcel parcels[2] = { 0 };

	for (int i = 0; i < 2; i++)
		push(&queue, &parcels[i].node, 0);
	run(pass_on);
	wr_assert(parcels[0].times + parcels[1].times == THREADS * TIMES);
}

/* ---- the turn word: whoever becomes the owner runs the connection */

static struct {
	wr_owner owner;
	unsigned long runs;
	uint32_t reports;
} conn;

static void run_until_parked(void)
{
	do {
		conn.reports |= wr_owner_fetch(&conn.owner);
		conn.runs++;
	} while (!wr_owner_release(&conn.owner));
	if (is_broken)
		conn.runs++;
}

static void *report(void *arg)
{
	(void)arg;
	for (int i = 0; i < TIMES; i++) {
		if (wr_owner_claim(&conn.owner, 7) ||
		    wr_owner_post(&conn.owner, 7, 1u << i % 8))
			run_until_parked();
		if (i % 16 == 0)
			sched_yield();
	}
	return NULL;
}

static void by_turn(void)
{
	is_atomic(&conn.owner, sizeof(conn.owner));
	wr_owner_begin(&conn.owner, 7);
	run_until_parked();
	run(report);
	wr_assert(wr_owner_post(&conn.owner, 7, WR_EV_IN));
}

/* ---- a batch: its owner fills it, all take from it */

static struct wr_batch batch;
static int taken[WR_POLL_BATCH * TIMES];
static _Atomic int left = WR_POLL_BATCH * TIMES / 16;

static void *take_events(void *arg)
{
	struct wr_event ev;

	(void)arg;
	while (left > 0) {
		if (batch_take(&batch, &ev)) {
			taken[ev.key]++; /* nobody else has this one */
			left--;
		} else {
			sched_yield();
		}
	}
	return NULL;
}

static void *fill_batches(void *arg)
{
	struct wr_event ev[WR_POLL_BATCH] = { 0 };
	uint64_t key = 0;

	for (int i = 0; i < TIMES / 16; i++) {
		while (!batch_is_empty(&batch))
			sched_yield();
		for (int k = 0; k < WR_POLL_BATCH; k++)
			ev[k].key = key++;
		batch_fill(&batch, ev, WR_POLL_BATCH);
	}
	return arg;
}

static void by_batch(void)
{
	pthread_t filler;
	int sum = 0;

	is_atomic(&batch, sizeof(batch));
	is_atomic(&left, sizeof(left));
	left = TIMES / 16 * WR_POLL_BATCH;
	wr_assert(pthread_create(&filler, NULL, fill_batches, NULL) == 0);
	run(take_events);
	pthread_join(filler, NULL);
	for (int i = 0; i < TIMES / 16 * WR_POLL_BATCH; i++) {
		wr_assert(taken[i] == 1);
		sum += taken[i];
	}
	wr_assert(sum == TIMES / 16 * WR_POLL_BATCH);
}

/* ---- a lock, its condition, and timers that it guards */

static struct wr_lock lock;
static struct wr_cond cond;
static struct wr_timers timers;
static struct wr_timer timer[THREADS];
static int turn_of, next_index;

static void *take_turns(void *arg)
{
	int me;

	(void)arg;
	wr_lock(&lock);
	me = next_index++;
	for (int i = 0; i < TIMES / 4; i++) {
		while (turn_of != me)
			(void)wr_cond_wait_until(&cond, &lock,
						 wr_now_ns() + WR_NS_PER_MS);
		wr_timers_arm(&timers, &timer[me], i);
		if (i % 3 == 0)
			wr_timers_disarm(&timers, &timer[(me + 1) % THREADS]);
		turn_of = (me + 1) % THREADS;
		wr_cond_broadcast(&cond);
	}
	wr_unlock(&lock);
	return NULL;
}

static void by_lock(void)
{
	wr_assert(wr_lock_init(&lock) == 0);
	wr_assert(wr_cond_init(&cond) == 0);
	wr_assert(wr_timers_reserve(&timers, THREADS) == 0);
	run(take_turns);
	wr_timers_fini(&timers);
	wr_cond_fini(&cond);
	wr_lock_fini(&lock);
}

int main(int argc, char **argv)
{
	is_broken = argc > 1 && strcmp(argv[1], "broken") == 0;
	by_queue();
	by_turn();
	by_batch();
	by_lock();
	puts("handed over");
	return 0;
}
