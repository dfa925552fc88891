/* SPDX-License-Identifier: MIT */
/*
 * Sessions that are parked with their stacks, as a model for Spin: one slot of
 * the table, used for LIVES connections one after the other, each with a
 * session; WORKERS workers; and those that end its waits: the peer (input), a
 * connection that the session has dialled (answers), a thread of the program
 * (a wake-up and a cut, each with a reference that keeps the slot), the
 * acceptor (deadlines, the drain, the cut at the deadline of the stop).
 * Another worker takes stacks from the same pool and gives them back.
 *
 * One step here is one atomic operation, one critical section, one system call
 * or one run of a session between two waits.  owner.pml shows the hand-over
 * itself; here the owner word is taken from it.
 *
 * Shown: a stack is run by one worker at a time, and is in one place: in the
 * pool, or with one session.  No connection ends before its session has
 * returned, so no stack is lost.  A session is not parked with input, an
 * answer, a wake-up or a cut that it was not told of, and a parked one has a
 * deadline.  An event of one life reaches no other.  The stop ends.
 *
 * Each line: what stands for it here, the file, its functions.
 *	raise		lib/owner.h	wr_owner_post
 *	take		lib/owner.h	wr_owner_peek wr_owner_fetch
 *	take		lib/dispatch.c	note_events add_events
 *	yield		lib/owner.h	wr_owner_release
 *	take_stack	lib/stacks.c	wr_stacks_take
 *	give_stack	lib/stacks.c	wr_stacks_give
 *	resume		lib/session.c	wr_session_begin wr_session_resume
 *	resume		lib/dispatch.c	begin_session resume_session
 *	resume		lib/coroutine.c	wr_coro_resume
 *	pause_stack	lib/conn_wait.c	wr_conn_park
 *	pause_stack	lib/coroutine.c	wr_coro_pause
 *	after_run	lib/dispatch.c	leave_session
 *	go_on		lib/session.c	wr_session_next
 *	go_on_input	lib/session.c	go_on_input check_input is_deadline_due is_drained
 *	go_on_other	lib/session.c	go_on_other
 *	go_on_other	lib/conn_wait.c	wr_conn_check_other
 *	park		lib/dispatch.c	park_session park_until update_interest
 *	dispatch	lib/dispatch.c	go_on_session end_session_wait requeue
 *	close		lib/dispatch.c	end_now
 *	pass_deadline	lib/deadlines.c	check_conn
 *	cut		lib/conn.c	cut_locked weir_ref_cancel
 *	worker		lib/pool.c	run_event run_task
 *
 * Defects to be found with -DBUG=n:
 *	1	the session parks itself: released before its stack is paused
 *	2	events that come while a session runs are forgotten
 *	3	a session is parked without its deadline
 *	4	a cut ends the connection under its session
 *	5	a session gives its stack back before it has left it
 *	6	the other connection is looked at, then its events are forgotten
 *	7	a cut posts no event
 *	8	a session that lets others run is queued before it is paused
 *	9	an event for an earlier life of the slot is taken
 *	10	a wait for input does not look at wake-ups
 */
#ifndef BUG
#define BUG 0
#endif
#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef LIVES
#define LIVES 2
#endif
#ifndef INPUTS
#define INPUTS 1 /* in all, besides one that comes with a connection */
#endif
#ifndef ANSWERS
#define ANSWERS 1
#endif
#ifndef CALLS
#define CALLS 1 /* of the thread of the program */
#endif
#ifndef SHARERS
#define SHARERS 1 /* other users of the pool of stacks */
#endif
#ifndef TURNS
#define TURNS 1 /* in which a session lets others run, of a life */
#endif
#ifndef MOVES
#define MOVES 1 /* of its deadline, of a life */
#endif
#define STACKS 2

#define IN	 1
#define WAKE	 2
#define DRAIN	 4
#define CANCEL	 8
#define DEADLINE 16
#define OTHER	 32
#define KEPT	 (WAKE | DEADLINE | OTHER) /* the others: to look once more */

mtype = { NOTHING, INPUT, TURN, BESIDE };		  /* waits */
mtype = { OK, WOKEN, DRAINED, TIMED_OUT, CANCELLED }; /* their results */

/* The owner word. */
byte generation;
bool busy = true; /* a free slot is */
byte reports;

/* The slot. */
byte refs;
bool is_open, is_cut, is_draining;
byte got, stack;
mtype wait_for = NOTHING;
bool in_ready;
byte turns, moves;

/* Stacks, from 1: which are in the pool, and how many workers run each. */
bool pooled[STACKS + 1], is_lost_stack;
byte running[STACKS + 1];

/* The kernel's: sockets, and what the poller has to tell. */
byte unread, answers;
bool edge, answer_edge;
byte edge_key, answer_key;
bool has_dialled;
byte dialled_key;

bool armed;   /* the deadline of a parked connection */
bool is_late; /* it has passed, and its event is on its way */

/* To be shown. */
byte owners, accepted, ended;
bool unheard;	 /* a wake-up that the session was not told of */
bool was_posted; /* the event of a cut */
byte others_left = 2 + SHARERS, workers_left = WORKERS;
bool is_done;
byte told; /* events that a worker has taken from the poller */

inline own()
{
	assert(owners == 0);
	owners++
}

inline disown()
{
	assert(owners == 1);
	owners--
}

/* Its outcome: the caller owns it now. */
inline raise(key, what)
{
	d_step {
		if
		:: key == generation || BUG == 9 ->
			assert(key == generation);
			mine = !busy;
			busy = true;
			reports = reports | (what & KEPT -> what : IN);
			unheard = unheard || what == WAKE;
			was_posted = was_posted || what == CANCEL
		:: else -> mine = false
		fi
	}
}

inline report(key, what)
{
	atomic {
		raise(key, what);
		if
		:: mine -> assert(!in_ready); in_ready = true; mine = false
		:: else
		fi
	}
}

inline take()
{
	if
	:: reports > 0 -> d_step {
			got = got | (reports & KEPT);
			reports = 0
		}
	:: else
	fi
}

inline yield()
{
	d_step {
		mine = reports > 0;
		if
		:: !mine ->
			assert(!unheard && !was_posted);
			assert(armed || is_late);
			assert(wait_for != INPUT || unread == 0 || edge ||
			       told > 0);
			assert(wait_for != BESIDE || answers == 0 ||
			       answer_edge || told > 0);
			busy = false
		:: else
		fi
	}
}

inline release()
{
	d_step {
		assert(refs > 0);
		refs--;
		if
		:: refs == 0 ->
			assert(!is_open);
			generation++;
			busy = true;
			reports = 0;
			is_cut = false;
			unheard = false;
			was_posted = false
		:: else
		fi
	}
}

/* 0: there is none. */
inline take_stack(which)
{
	d_step {
		if
		:: pooled[1] -> which = 1
		:: !pooled[1] && pooled[2] -> which = 2
		:: else -> which = 0
		fi;
		pooled[which] = false
	}
}

inline give_stack(which)
{
	d_step { assert(which > 0 && !pooled[which]); pooled[which] = true }
}

/* -------------------------------------------------------------- the session */

inline enter(which)
{
	d_step { running[which]++; assert(running[which] == 1) }
}

inline leave(which)
{
	d_step { assert(running[which] == 1); running[which]-- }
}

/* It looks at the other connection, and waits if nothing is there. */
inline look_beside()
{
	d_step {
		if
		:: !has_dialled ->
			has_dialled = true;
			dialled_key = generation;
			answer_edge = answers > 0;
			answer_key = generation
		:: else
		fi
	};
	if
	:: answers > 0 -> answers--
	:: else -> wait_for = BESIDE
	fi
}

/* Its code up to the next wait (wait_for) or the end (NOTHING). */
inline choose()
{
	d_step {
		if
		:: unread > 0 -> unread--
		:: else
		fi
	};
	if
	:: unread == 0 -> wait_for = INPUT
	:: ANSWERS > 0 -> look_beside()
	:: turns > 0 -> turns--; wait_for = TURN
	:: true
	fi
}

/* One run.  A session that was cut ends; after another error it may go on. */
inline enter_and_run()
{
	enter(stack);
	wait_for = NOTHING;
	if
	:: BUG == 2 -> got = 0
	:: else -> got = got & ~DEADLINE
	fi;
	if
	:: result != CANCELLED -> choose()
	:: else
	fi;
	result = NOTHING
}

/* Its defects do before what the worker does after. */
inline pause_stack()
{
	if
	:: wait_for == INPUT && BUG == 1 ->
		armed = true;
		disown();
		yield();
		leave(stack);
		if
		:: mine -> own(); mine = false
		:: else -> gone = true
		fi
	:: wait_for == BESIDE && BUG == 6 ->
		reports = reports & ~OTHER;
		leave(stack)
	:: wait_for == TURN && BUG == 8 -> requeue(); leave(stack)
	:: wait_for == NOTHING && BUG == 5 ->
		give_stack(stack);
		leave(stack)
	:: else -> leave(stack)
	fi
}

/* --------------------------------------------------------------- its worker */

/* Nothing is told of a connection that has ended. */
inline close()
{
	d_step {
		is_lost_stack = is_lost_stack || stack > 0;
		stack = 0;
		is_open = false;
		edge = false;
		unread = 0;
		answers = 0;
		has_dialled = false;
		armed = false;
		got = 0;
		disown();
		ended++
	};
	release();
	gone = true
}

inline take_wake()
{
	got = got & ~WAKE;
	unheard = false;
	result = WOKEN
}

/* The deadline may have moved. */
inline take_deadline()
{
	got = got & ~DEADLINE;
	if
	:: result = TIMED_OUT
	:: moves > 0 -> moves--
	fi
}

inline go_on_input()
{
	if
	:: got & WAKE && BUG != 10 -> take_wake()
	:: !(got & WAKE && BUG != 10) && unread > 0 -> result = OK
	:: !(got & WAKE && BUG != 10) && unread == 0 ->
		if
		:: got & DEADLINE -> take_deadline()
		:: else -> result = (is_draining -> DRAINED : NOTHING)
		fi
	fi
}

inline go_on_other()
{
	if
	:: got & WAKE -> take_wake()
	:: else ->
		if
		:: got & OTHER -> got = got & ~OTHER; result = OK
		:: !(got & OTHER) && got & DEADLINE -> take_deadline()
		:: else -> result = (is_draining -> DRAINED : NOTHING)
		fi
	fi
}

/* Its result, or NOTHING. */
inline go_on()
{
	result = NOTHING;
	if
	:: wait_for == INPUT -> go_on_input()
	:: wait_for == BESIDE -> go_on_other()
	:: else -> result = OK
	fi;
	if
	:: is_cut -> result = CANCELLED
	:: else
	fi
}

/* To its first run, the next one, or none: running[stack] tells. */
inline resume()
{
	if
	:: stack == 0 -> take_stack(stack); result = OK
	:: else -> go_on()
	fi;
	if
	:: stack > 0 && result != NOTHING &&
	   !(result == CANCELLED && BUG == 4) -> enter_and_run()
	:: else
	fi
}

inline after_run()
{
	if
	:: !gone && wait_for == NOTHING ->
		if
		:: BUG != 5 -> give_stack(stack)
		:: else
		fi;
		stack = 0;
		close()
	:: !gone && wait_for == TURN -> requeue()
	:: else
	fi
}

inline park()
{
	if
	:: BUG != 3 -> armed = true
	:: else
	fi;
	disown();
	yield();
	if
	:: mine -> d_step { own(); mine = false }
	:: else -> gone = true
	fi
}

inline requeue()
{
	d_step { disown(); in_ready = true; gone = true }
}

inline dispatch()
{
	do
	:: gone -> gone = false; break
	:: else ->
		atomic { take(); resume() };
		if
		:: stack > 0 && running[stack] > 0 ->
			pause_stack();
			atomic { after_run() }
		:: stack == 0 || (result == CANCELLED && BUG == 4) ->
			atomic { result = NOTHING; close() }
		:: else -> atomic { park() }
		fi
	od
}

active [WORKERS] proctype worker()
{
	byte key;
	bool mine, gone;
	mtype result = NOTHING;

	do
	:: d_step { in_ready -> in_ready = false; own() };
		dispatch()
	:: d_step { edge -> edge = false; key = edge_key; told++ };
		atomic {
			raise(key, IN);
			key = 0;
			told--;
			if
			:: mine -> own()
			:: else
			fi
		};
		if
		:: mine -> mine = false; dispatch()
		:: else
		fi
	:: d_step { answer_edge ->
			answer_edge = false;
			key = answer_key;
			told++
		};
		atomic {
			raise(key, OTHER);
			key = 0;
			told--;
			if
			:: mine -> own()
			:: else
			fi
		};
		if
		:: mine -> mine = false; dispatch()
		:: else
		fi
	:: is_done && !in_ready && !edge && !answer_edge -> break
	od;
	workers_left--
}

/* Its session has a stack of the same pool, while there is one. */
active [SHARERS] proctype another_worker()
{
	byte which;

	do
	:: take_stack(which);
		if
		:: which > 0 -> enter(which); leave(which); give_stack(which)
		:: else
		fi;
		which = 0;
		break
	:: true -> break
	od;
	others_left--
}

/* ---------------------------------------------------------- who ends a wait */

inline cut(key)
{
	if
	:: key == generation -> is_cut = true
	:: else
	fi;
	if
	:: BUG != 7 -> report(key, CANCEL)
	:: else -> was_posted = true
	fi
}

inline pass_deadline()
{
	d_step { armed = false; is_late = true };
	report(life, DEADLINE);
	is_late = false
}

inline drain()
{
	is_draining = true;
	life = generation;
	if
	:: is_open -> report(life, DRAIN)
	:: else
	fi;
	do
	:: accepted == ended -> break
	:: armed -> pass_deadline()
	:: accepted > ended && !is_cut -> cut(life)
	od;
	is_done = true
}

active proctype acceptor()
{
	byte life;
	bool mine, is_patient;

	d_step { pooled[1] = true; pooled[2] = true };
	if
	:: is_patient = true
	:: true
	fi;
	do
	:: refs == 0 && accepted < LIVES -> d_step {
			refs = 1;
			is_open = true;
			wait_for = NOTHING;
			unread = 1;
			turns = TURNS;
			moves = MOVES;
			accepted++;
			in_ready = true
		}
	:: armed -> life = generation; pass_deadline()
	:: !is_patient || (accepted == LIVES && accepted == ended) ->
		is_patient = false;
		break
	od;
	drain();
	(workers_left == 0 && others_left == 0);
	assert(ended == accepted && refs == 0 && owners == 0 && !in_ready);
	assert(pooled[1] && pooled[2] && !is_lost_stack)
}

active proctype peers()
{
	byte inputs, replies;

	do
	:: inputs < INPUTS -> d_step {
			inputs++;
			if
			:: is_open ->
				unread++;
				edge = true;
				edge_key = generation
			:: else
			fi
		}
	:: replies < ANSWERS -> d_step {
			replies++;
			if
			:: has_dialled ->
				answers++;
				answer_edge = true;
				answer_key = dialled_key
			:: else
			fi
		}
	:: true -> inputs = 0; replies = 0; break
	od;
	others_left--
}

active proctype program()
{
	byte life;
	bool mine, is_referenced;

	if
	:: d_step { CALLS > 0 && owners == 1 && is_open ->
			refs++;
			is_referenced = true;
			life = generation
		};
		if
		:: report(life, WAKE)
		:: cut(life)
		:: report(life, WAKE); cut(life)
		fi;
		release()
	:: true
	fi;
	others_left--
}
