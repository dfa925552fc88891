/* SPDX-License-Identifier: MIT */
/*
 * Which worker polls, which are idle, which is woken, as a model for Spin.
 * Three threads make work for the workers: the acceptor fills the bounded
 * queue and at the end closes the scheduler, a thread of the program makes
 * connections ready, the kernel has events.  The acceptor is also the monitor.
 * What becomes of a single connection is in owner.pml; here work is counted
 * only.
 *
 * One step of the model is one atomic operation, one critical section or one
 * system call.  One callback, any one, may be stuck: it returns when all other
 * work is done, and not before.  One asks to be called again.
 *
 * Shown: all work is done, none of it waits for the stuck callback, no thread
 * sleeps for good, all threads end, and the word never says that workers are
 * idle while none polls and the monitor does not look.  A failure is a
 * deadlock, or an assertion.
 *
 * Each line: a step, the file it stands for, its functions.
 *	wake_poller	lib/scheduler.c	wake_poller
 *	release_idle	lib/scheduler.c	release_idle wake_idle
 *	monitor		lib/scheduler.c	monitor
 *	look		lib/scheduler.c	has_work has_filled_batch
 *	enter		lib/scheduler.h	wr_sched_enter wr_sched_hands_off
 *	enter		lib/scheduler.c	wr_sched_hand_off
 *	be_idle		lib/scheduler.c	be_idle
 *	poll		lib/scheduler.c	poll_events batch_fill list_batch
 *	poll		lib/poller_epoll.c	wr_poller_wait
 *	leave_poller	lib/scheduler.c	leave_poller
 *	wait_for_task	lib/scheduler.c	wait_for_task unlist_batch
 *	callback	lib/scheduler.c	wr_sched_requeue
 *	worker		lib/scheduler.c	wr_sched_next take_task pop
 *	worker		lib/scheduler.c	batch_take steal_event next_after_close
 *	stop_looking	lib/scheduler.c	stop_looking
 *	watch		lib/scheduler.c	wr_sched_has_events
 *	watch		lib/watch.c	is_any_waiting
 *	acceptor	lib/scheduler.c	wr_sched_tick check_progress needs_worker
 *	acceptor	lib/scheduler.c	wr_sched_submit push wr_sched_close
 *	acceptor	lib/accept.c	wr_accept_adjust admit
 *	made_room	lib/core.c	wr_core_notify_capacity
 *	program		lib/conn.c	wr_conn_post
 *
 * Defects to be found with -DBUG=n:
 *	1	a worker becomes idle though none polls
 *	2	the same, if the other left since it looked
 *	3	the monitor looks once more, then stops looking
 *	4	idle workers are not woken by the close
 *	5	a worker that leaves the poller does not set MONITORED
 *	6	a worker that requeues does not set MONITORED
 *	7	the monitor stops looking without another look
 *	8	no other worker sees what is in a worker's batch
 *	9	MONITORED is set, then the poller is left
 *	10	a worker looks for work, then counts itself as polling
 *	11	a worker that takes the edge leaves WOKEN set
 *	12	the watch takes a signal away and does not give it back
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
#define WAKES 1 /* connections the program makes ready */
#endif
#ifndef EVENTS
#define EVENTS 2
#endif
/* 0: callbacks are fast, 1: they are slow, 2: now this, now that. */
#ifndef HANDOFF
#define HANDOFF 0
#endif
#ifndef AGAIN
#define AGAIN 1 /* one asks to be called again */
#endif
#ifndef WATCHES
#define WATCHES 0 /* looks of the watch at the poller */
#endif
#define BATCH 2 /* events taken at a time */
#define ALL   (NEW + WAKES + EVENTS)

byte accepted, ready;
byte batch[WORKERS];
bool listed[WORKERS];
#define is_filled(i)   (listed[i] && batch[i] > 0)
#define is_any_batched \
	(is_filled(0) || is_filled(WORKERS / 2) || is_filled(WORKERS - 1))

/* The word. */
byte polling, idle;
bool woken, monitored, closed;

byte events;	     /* in the poller */
bool edge;	     /* the wake fd */
byte wakeups;	     /* of idle workers */
bool monitor_fd;
bool accept_blocked;

byte done; /* of all work */
bool was_stuck, was_again = 1 - AGAIN;
byte workers_left = WORKERS;

inline wake_poller()
{
	d_step { any = (polling > 0 && !woken); woken = woken || any };
	if
	:: any -> d_step { edge = true; any = false }
	:: else
	fi
}

/* any: none polls, so this was all that could be done. */
inline release_idle()
{
	d_step {
		any = (polling == 0);
		is_new = (any && idle > 0);
		idle = idle - is_new
	};
	if
	:: is_new -> d_step { wakeups++; is_new = false }
	:: else
	fi
}

inline monitor()
{
	if
	:: !monitored -> d_step {
			monitor_fd = monitor_fd || !monitored;
			monitored = true
		}
	:: else
	fi
}

inline made_room()
{
	if
	:: accept_blocked -> d_step {
			monitor_fd = monitor_fd || accept_blocked;
			accept_blocked = false
		}
	:: else
	fi
}

#define has_work (ready > 0 || accepted > 0 || (is_any_batched && BUG != 8))

/* any: there is work.  With LOOK_APART each place is looked at by itself. */
inline look()
{
#ifdef LOOK_APART
	any = ready > 0;
	if
	:: !any -> any = accepted > 0
	:: else
	fi;
	do
	:: !any && i < WORKERS && BUG != 8 -> any = is_filled(i); i++
	:: else -> i = 0; break
	od
#else
	any = has_work
#endif
}

inline enter()
{
	if
	:: HANDOFF != 1
	:: HANDOFF > 0 -> release_idle();
		if
		:: any -> any = false
		:: else ->
			if
			:: has_work -> wake_poller()
			:: else
			fi
		fi
	fi
}

inline callback()
{
	if
	:: atomic { !was_stuck -> was_stuck = true };
		(done == ALL - 1);
		done++
	:: atomic { !was_again -> was_again = true; ready++ };
		if
		:: BUG == 6 -> skip
		:: else -> monitor()
		fi
	:: done++
	fi
}

/* any: it was idle. */
inline be_idle()
{
	if
	:: BUG == 2 -> any = (polling > 0 && !closed); idle = idle + any
	:: BUG != 2 -> d_step {
			any = ((polling > 0 || BUG == 1) && !closed);
			idle = idle + any
		}
	fi;
	if
	:: any -> atomic { wakeups > 0 -> wakeups-- }
	:: else
	fi
}

inline leave_poller()
{
	if
	:: BUG == 9 -> monitor()
	:: else
	fi;
	d_step {
		polling--;
		woken = woken && (!took_edge || BUG == 11);
		took_edge = false;
		if
		:: BUG == 5 || BUG == 9
		:: else ->
			monitor_fd = monitor_fd || !monitored;
			monitored = true
		fi
	}
}

/* The signal of monitor_fd is part of the step that sets MONITORED. */
inline poll()
{
	if
	:: BUG == 10 -> look(); polling++
	:: else -> d_step { polling++; any = closed };
		if
		:: !any -> look()
		:: else
		fi
	fi;
	/* One that sleeps is woken by whatever comes. */
	atomic { any || events > 0 || edge ->
		any = false;
		took_edge = edge;
		edge = false;
		got = (events > BATCH -> BATCH : events);
		events = events - got
	};
	if
	:: got > 1 -> batch[me] = got - 1; listed[me] = true
	:: else
	fi;
	leave_poller()
}

/* got: there is a task right away. */
inline wait_for_task()
{
	if
	:: listed[me] -> listed[me] = false
	:: else
	fi;
	if
	:: HANDOFF != 1 && (polling > 0 || BUG == 1) -> any = !has_work
	:: HANDOFF != 1 && polling == 0
	:: HANDOFF > 0
	fi;
	if
	:: any -> be_idle()
	:: else
	fi;
	if
	:: any -> any = false
	:: else -> poll()
	fi
}

inline run_task()
{
	enter();
	if
	:: took_accepted -> took_accepted = false; made_room()
	:: else
	fi;
	callback()
}

/*
 * In no particular order, and it may wait for a task first: it found each of
 * the other places empty a moment ago.
 */
proctype worker(byte me)
{
	byte i, got;
	bool any, is_new, took_edge, took_accepted;

	do
	:: atomic {
		if
		:: got > 0 -> got = 0
		:: got == 0 && batch[me] > 0 -> batch[me]--
		:: got == 0 && is_filled((me + 1) % WORKERS) && BUG != 8 ->
			batch[(me + 1) % WORKERS]--
		:: got == 0 && is_filled((me + 2) % WORKERS) && BUG != 8 ->
			batch[(me + 2) % WORKERS]--
		:: got == 0 && ready > 0 -> ready--
		:: got == 0 && accepted > 0 ->
			accepted--;
			took_accepted = true
		fi
	   };
		run_task()
	:: got == 0 && batch[me] == 0 && !closed -> wait_for_task()
	:: closed -> break
	od;
	edge = true;
	workers_left--
}

#define needs_worker (polling == 0 -> idle > 0 : has_work)
#define can_wake     (polling == 0 -> idle > 0 : !woken)

inline stop_looking()
{
	if
	:: BUG == 3 -> any = needs_worker;
		if
		:: !any -> monitored = false
		:: else
		fi
	:: BUG != 3 -> d_step {
			any = (polling == 0 && idle > 0);
			monitored = monitored && any
		};
		if
		:: !any && BUG != 7 -> any = needs_worker
		:: else
		fi;
		if
		:: any -> monitored = true
		:: else
		fi
	fi;
	ticks = any;
	any = false
}

inline watch()
{
	watches--;
	edge = false;
	if
	:: woken && BUG != 12 -> edge = true
	:: else
	fi
}

proctype acceptor()
{
	byte n, watches = WATCHES;
	bool any, is_new, ticks, may_look = true;

	do
	:: may_look && n < NEW && accepted < CAP ->
		accepted++;
		wake_poller();
		n++
	:: may_look && n < NEW && accepted == CAP -> accept_blocked = true;
		may_look = accepted < CAP
	:: may_look && n == NEW -> may_look = false
	:: !may_look && monitor_fd -> monitor_fd = false;
		ticks = ticks || monitored;
		may_look = n < NEW
	/* A tick that would change nothing is none. */
	:: !may_look && ticks && needs_worker && can_wake ->
		release_idle();
		if
		:: any -> any = false
		:: else -> wake_poller()
		fi;
		may_look = n < NEW
	:: !may_look && ticks && !needs_worker -> stop_looking()
	:: watches > 0 -> watch()
	:: done == ALL -> may_look = false; ticks = false; break
	od;
	n = 0;
	d_step {
		closed = true;
		n = idle;
		idle = 0
	};
	if
	:: BUG == 4 -> n = 0
	:: else -> d_step { wakeups = wakeups + n; n = 0 }
	fi;
	edge = true;
	workers_left == 0;
	assert(done == ALL && accepted == 0 && ready == 0 && events == 0)
}

proctype program()
{
	byte n;
	bool any;

	do
	:: n < WAKES -> ready++; wake_poller(); n++
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

#if BUG == 0
proctype always()
{
end:	atomic {
		idle > 0 && polling == 0 && !monitored && !closed ->
		assert(false)
	}
}
#endif

init {
	byte n;

	atomic {
		run acceptor();
		run program();
		run kernel();
#if BUG == 0
		run always();
#endif
		do
		:: n < WORKERS -> run worker(n); n++
		:: else -> n = 0; break
		od
	}
}
