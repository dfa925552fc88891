/* SPDX-License-Identifier: MIT */
/*
 * Who is woken for what, as a model for Spin: workers that sleep at the
 * poller, and three that make work for them: the acceptor fills the bounded
 * queue and at the end stops the pool, a thread of the program fills the
 * ready list, the kernel has events.  What becomes of a single connection is
 * in owner.pml; here work is only counted, for all of one kind is alike.
 *
 * One step here is one atomic operation, one critical section or one system
 * call there.  One call of a handler, any one, may be stuck: it returns when
 * all other work is done, and not before.  One asks to be called again.
 *
 * Shown: all work is done, none of it has to wait for the stuck one, nobody
 * sleeps for ever, all threads end.  What fails is a deadlock, or a count
 * that is wrong at the end.
 *
 * Each line: what stands for it here, the file, its functions.
 *	ring		lib/core.c	wr_core_wake_worker
 *	made_room	lib/core.c	wr_core_notify_capacity
 *	oversee		lib/core.c	wr_core_start_monitor
 *	look		lib/lead.c	wr_lead_has_work
 *	share		lib/lead.c	wr_lead_share is_handing_off
 *	call_one	lib/standby.c	wr_standby_call
 *	stand_by	lib/lead.c	stand_by
 *	stand_by	lib/standby.c	wr_standby_wait
 *	at_poller	lib/lead.c	wr_lead_harvest
 *	at_poller	lib/batch.h	wr_batch_fill
 *	at_poller	lib/poller.c	wr_poller_wait
 *	harvest		lib/lead.c	wr_lead_harvest
 *	serve		lib/dispatch.c	wr_dispatch requeue
 *	worker		lib/batch.h	wr_batch_take wr_batch_is_empty
 *	worker		lib/pool.c	run_batch run_others run_ready run_accepted work
 *	worker		lib/queue.c	wr_queue_pop
 *	look_away	lib/overseer.c	look_away
 *	acceptor	lib/overseer.c	wr_overseer_run tick wake_one is_needed
 *	acceptor	lib/accept.c	wr_accept_adjust admit
 *	acceptor	lib/queue.c	wr_queue_push
 *	acceptor	lib/stop.c	finish
 *	acceptor	lib/pool.c	wr_pool_dismiss
 *	acceptor	lib/standby.c	wr_standby_end
 *	program		lib/conn.c	wr_conn_post
 *
 * Defects to be found with -DBUG=n:
 *	1	who stands by does not look whether another is at the poller
 *	2	the look comes before the worker counts as standing by
 *	3	the overseer looks once more, then looks away
 *	4	who stands by is not told of the end
 *	5	who leaves the poller is not overseen
 *	6	who leaves one to be run again is not overseen
 *	7	the overseer looks away without another look
 *	8	nobody else sees what is in a worker's batch
 *	9	overseen first, then away from the poller
 *	10	the look for work comes before the worker counts as a sleeper
 */
#ifndef BUG
#define BUG 0
#endif
#ifndef WORKERS
#define WORKERS 3
#endif
#ifndef CAP
#define CAP 1 /* of the queue */
#endif
#ifndef NEW
#define NEW 2 /* connections the acceptor accepts */
#endif
#ifndef WAKES
#define WAKES 1 /* that the program puts on the ready list */
#endif
#ifndef EVENTS
#define EVENTS 2
#endif
/* 0: callbacks are fast, 1: they are slow, 2: now this, now that. */
#ifndef EAGER
#define EAGER 0
#endif
#ifndef AGAIN
#define AGAIN 1 /* one asks to be called again */
#endif
#define BATCH 2
#define ALL (NEW + WAKES + EVENTS)

byte fresh, ready;
byte batch[WORKERS];

/* The poller: what it has to tell. */
byte events;
bool bell;

#define is_any_batched \
	(batch[0] + batch[WORKERS / 2] + batch[WORKERS - 1] > 0)

byte sleepers;
bool is_waking;
bool accept_blocked;
bool call; /* of the acceptor */
bool is_done;

/* Standing by; the acceptor looks after all. */
byte waiting, calls;
bool is_over, is_overseen;

byte done; /* of all work */
bool was_stuck, was_again = 1 - AGAIN;
byte workers_left = WORKERS;

inline ring()
{
	if
	:: sleepers > 0 ->
		d_step { any = !is_waking; is_waking = true };
		if
		:: any -> d_step { bell = true; any = false }
		:: else
		fi
	:: else
	fi
}

inline made_room()
{
	if
	:: accept_blocked ->
		d_step { any = accept_blocked; accept_blocked = false };
		if
		:: any -> d_step { call = true; any = false }
		:: else
		fi
	:: else
	fi
}

#define has_work \
	(ready > 0 || fresh > 0 || is_done || (is_any_batched && BUG != 8))

/* any: there is work.  With LOOK_APART each place is looked at by itself. */
inline look()
{
#ifdef LOOK_APART
	any = ready > 0;
	if
	:: !any -> any = fresh > 0 || is_done
	:: else
	fi;
	do
	:: !any && i < WORKERS && BUG != 8 -> any = batch[i] > 0; i++
	:: else -> i = 0; break
	od
#else
	any = has_work
#endif
}

inline call_one()
{
	if
	:: waiting > 0 -> d_step {
			if
			:: calls < waiting -> calls++
			:: else
			fi
		}
	:: else
	fi
}

inline share()
{
	if
	:: EAGER != 1
	:: EAGER > 0 && sleepers == 0 -> call_one()
	:: EAGER > 0 && sleepers > 0 ->
		if
		:: has_work -> ring()
		:: else
		fi
	fi
}

inline oversee()
{
	if
	:: !is_overseen && BUG != 5 ->
		d_step {
			if
			:: !is_overseen -> is_overseen = true; call = true
			:: else
			fi
		}
	:: else
	fi
}

inline serve()
{
	if
	:: atomic { !was_stuck -> was_stuck = true };
		(done == ALL - 1);
		done++
	:: atomic { !was_again -> was_again = true; ready++ };
		if
		:: BUG == 6 -> skip
		:: else -> oversee()
		fi
	:: done++
	fi
}

inline stand_by()
{
	if
	:: BUG == 2 -> got = sleepers; waiting++
	:: else -> waiting++; got = (BUG == 1 -> 1 : sleepers)
	fi;
	if
	:: got > 0 -> atomic { calls > 0 || is_over };
		got = (calls > 0)
	:: else
	fi;
	d_step {
		calls = calls - (got && calls > 0);
		got = 0;
		waiting--;
		if
		:: calls > waiting -> calls--
		:: else
		fi
	}
}

inline at_poller()
{
	if
	:: BUG == 10 -> look(); sleepers++
	:: else -> sleepers++; look()
	fi;
	/* One that sleeps is woken by whatever comes. */
	atomic { any || events > 0 || bell ->
		any = false;
		rang = bell;
		bell = false;
		got = (events > BATCH -> BATCH : events);
		events = events - got
	};
	if
	:: BUG == 9 -> oversee()
	:: else
	fi;
	sleepers--;
	if
	:: rang -> is_waking = false; rang = false
	:: else
	fi;
	if
	:: got > 0 -> atomic { batch[me] = got; got = 0 }
	:: else
	fi;
	if
	:: BUG != 9 -> oversee()
	:: else
	fi
}

inline harvest()
{
	if
	:: EAGER != 1 && sleepers > 0 -> any = !has_work
	:: EAGER != 1 && sleepers == 0
	:: EAGER > 0
	fi;
	if
	:: any -> any = false; stand_by()
	:: else -> at_poller()
	fi
}

/*
 * In no particular order, and it may look at the poller first: it found each
 * of the others empty a moment ago.
 */
proctype worker(byte me)
{
	byte i, got;
	bool any, rang, is_new;

	do
	:: atomic {
		if
		:: batch[me] > 0 -> batch[me]--
		:: batch[(me + 1) % WORKERS] > 0 && BUG != 8 ->
			batch[(me + 1) % WORKERS]--
		:: batch[(me + 2) % WORKERS] > 0 && BUG != 8 ->
			batch[(me + 2) % WORKERS]--
		:: ready > 0 -> ready--
		:: fresh > 0 -> fresh--; is_new = true
		fi
	   };
		share();
		if
		:: is_new -> is_new = false; made_room()
		:: else
		fi;
		serve()
	:: batch[me] == 0 && !is_done -> harvest()
	:: is_done -> break
	od;
	bell = true;
	workers_left--
}

#define is_needed \
	((sleepers == 0 || has_work) && (sleepers > 0 || waiting > 0))
#define is_useful \
	((sleepers > 0 && !is_waking) || (sleepers == 0 && calls < waiting))

inline look_away()
{
	if
	:: BUG == 3 -> skip
	:: else -> is_overseen = false
	fi;
	any = sleepers == 0;
	if
	:: !any -> any = has_work
	:: else
	fi;
	if
	:: any -> any = sleepers > 0 || waiting > 0
	:: else
	fi;
	if
	:: any && BUG != 7 -> is_overseen = true; any = false
	:: else -> any = false;
		if
		:: BUG == 3 -> is_overseen = false
		:: else
		fi
	fi;
	ticks = is_overseen
}

proctype acceptor()
{
	byte n;
	bool any, ticks, may_look = true;

	do
	:: may_look && n < NEW && fresh < CAP -> fresh++; ring(); n++
	:: may_look && n < NEW && fresh == CAP -> accept_blocked = true;
		may_look = fresh < CAP
	:: may_look && n == NEW -> may_look = false
	:: !may_look && call -> call = false;
		ticks = ticks || is_overseen;
		may_look = n < NEW
	/* A tick that would change nothing is none. */
	:: !may_look && ticks && is_needed && is_useful ->
		if
		:: sleepers > 0 -> ring()
		:: else -> call_one()
		fi;
		may_look = n < NEW
	:: !may_look && ticks && !is_needed -> look_away()
	:: done == ALL -> may_look = false; ticks = false; break
	od;
	n = 0;
	is_done = true;
	is_over = BUG != 4;
	bell = true;
	workers_left == 0;
	assert(done == ALL && fresh == 0 && ready == 0 && events == 0)
}

proctype program()
{
	byte n;
	bool any;

	do
	:: n < WAKES -> ready++; ring(); n++
	:: else -> break
	od
}

proctype kernel()
{
	byte n;

	do
	:: n < EVENTS -> d_step { events++; n++ }
	:: else -> break
	od
}

init {
	byte n;

	atomic {
		run acceptor();
		run program();
		run kernel();
		do
		:: n < WORKERS -> run worker(n); n++
		:: else -> n = 0; break
		od
	}
}
