/* SPDX-License-Identifier: MIT */
/*
 * Who is woken for what, as a model for Spin: workers that sleep at the
 * poller, and three that make work for them: the acceptor fills the bounded
 * queue and at the end stops the pool, a thread of the program fills the
 * ready list, the kernel has events.  What becomes of a single connection is
 * in turn.pml; here work is only counted, for all of one kind is alike.
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
 *	ring		lib/hub.c	wr_hub_ring
 *	made_room	lib/hub.c	wr_hub_made_room
 *	look		lib/pool.c	has_work
 *	share		lib/pool.c	share
 *	serve		lib/dispatch.c	wr_dispatch requeue
 *	worker		lib/batch.h	wr_batch_take wr_batch_is_empty
 *	worker		lib/pool.c	run_batch run_others
 *	worker		lib/queue.c	wr_queue_pop
 *	worker		lib/pool.c	run_ready
 *	worker		lib/pool.c	run_fresh
 *	harvest		lib/pool.c	harvest
 *	harvest		lib/batch.h	wr_batch_fill
 *	harvest		lib/poller.c	wr_poller_wait
 *	worker		lib/pool.c	work
 *	acceptor	lib/accept.c	wr_accept_adjust admit
 *	acceptor	lib/queue.c	wr_queue_push
 *	acceptor	lib/drain.c	finish
 *	acceptor	lib/pool.c	wr_pool_dismiss
 *	program		lib/conn.c	wr_conn_report
 *
 * Defects to be found with -DBUG=n:
 *	1	no look for work before the sleep
 *	2	the look comes before the worker counts as a sleeper
 *	3	the sleepers are counted before the work is there
 *	4	a worker runs what it has without waking another for the rest
 *	5	who takes the bell does not say so
 *	6	who ends does not wake the next
 *	7	the acceptor waits for room without another look
 *	8	nobody else may take what is in a worker's batch
 *	9	who takes the bell says so after looking for work
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
bool wants_room;
bool call; /* of the acceptor */
bool is_done;

byte done; /* of all work */
bool was_stuck, was_again;
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
	:: wants_room ->
		d_step { any = wants_room; wants_room = false };
		if
		:: any -> d_step { call = true; any = false }
		:: else
		fi
	:: else
	fi
}

/* any: there is work. */
inline look()
{
	any = ready > 0;
	if
	:: !any -> any = fresh > 0 || is_done
	:: else
	fi;
	do
	:: !any && i < WORKERS && BUG != 8 -> any = batch[i] > 0; i++
	:: else -> i = 0; break
	od
}

/* All at once: what comes during the look rings for itself. */
inline share()
{
	if
	:: sleepers > 0 && BUG != 4 ->
		if
		:: ready > 0 || fresh > 0 || is_done ||
		   (is_any_batched && BUG != 8) -> ring()
		:: else
		fi
	:: else
	fi
}

inline serve()
{
	if
	:: atomic { !was_stuck -> was_stuck = true };
		(done == ALL - 1);
		done++
	:: atomic { !was_again -> was_again = true; ready++ }
	:: done++
	fi
}

inline harvest()
{
	if
	:: BUG == 1 -> sleepers++
	:: BUG == 2 -> look(); sleepers++
	:: BUG != 1 && BUG != 2 -> sleepers++; look()
	fi;
	/* One that sleeps is woken by whatever comes. */
	atomic { any || events > 0 || bell ->
		any = false;
		rang = bell;
		bell = false;
		got = (events > BATCH -> BATCH : events);
		events = events - got
	};
	sleepers--;
	if
	:: rang && BUG != 5 && BUG != 9 -> is_waking = false; rang = false
	:: else -> rang = rang && BUG == 9
	fi;
	if
	:: got > 0 -> d_step { batch[me] = got; got = 0 }
	:: else
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
	if
	:: BUG != 6 -> bell = true
	:: else
	fi;
	workers_left--
}

proctype acceptor()
{
	byte n;
	bool any;

	do
	:: n < NEW && fresh < CAP ->
		if
		:: BUG == 3 -> ring(); fresh++
		:: else -> fresh++; ring()
		fi;
		n++
	:: n < NEW && fresh == CAP ->
		wants_room = true;
		if
		:: fresh == CAP || BUG == 7 -> d_step { call -> call = false }
		:: else
		fi
	:: n == NEW -> break
	od;
	n = 0;
	done == ALL;
	is_done = true;
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
