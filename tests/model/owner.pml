/* SPDX-License-Identifier: MIT */
/*
 * The hand-over of a connection, as a model for Spin: one slot of the table,
 * used for LIVES connections one after the other, three workers, and three
 * that make work for them: the acceptor (new connections, the stop), the
 * peer (input), a thread of the program (wake-ups, with a reference).  Here
 * a worker sleeps exactly while there is nothing to take; how the library
 * brings that about is in scheduler.pml.
 *
 * One step here is one atomic operation, one critical section or one system
 * call there.  Memory is sequentially consistent here; where the code asks
 * for less, its comments argue for it.
 *
 * Shown: a connection has one owner at a time and is in one place; input and
 * wake-ups are acted upon, whether or not a stop comes; nothing reaches
 * another life of the slot; each accepted connection ends once; the stop
 * ends.  Work that no worker takes is a deadlock, since the stop may wait
 * until all is served before it posts the drain.
 *
 * Each line: what stands for it here, the file, its functions.
 *	raise		lib/owner.h	wr_owner_post
 *	claim		lib/owner.h	wr_owner_claim
 *	take		lib/owner.h	wr_owner_peek wr_owner_fetch
 *	take		lib/dispatch.c	note_events
 *	yield		lib/owner.h	wr_owner_release
 *	report		lib/conn.c	wr_conn_post wr_conn_notify_acceptor
 *	dispatch	lib/dispatch.c	next_step wr_dispatch wr_dispatch_accepted
 *	callback	lib/dispatch.c	run_callback apply_verdict requeue
 *	remind		lib/dispatch.c	drain_is_due
 *	park		lib/dispatch.c	park watch
 *	close		lib/conn.c	wr_conn_run_close_callbacks wr_conn_finish
 *	settle		lib/conn.c	wr_conn_close_and_count
 *	release		lib/conn.c	drop_reference release
 *	release		lib/conn_table.c wr_table_give
 *	worker		lib/pool.c	run_event run_task
 *	worker		lib/scheduler.c	poll_events
 *	acceptor	lib/accept.c	make_conn admit
 *	acceptor	lib/conn_table.c wr_table_take
 *	linger		lib/deadlines.c	linger_begin linger_end
 *	drain		lib/stop.c	remind finish
 *	program		lib/conn.c	weir_conn_ref post_from_program weir_ref_unref
 *
 * Defects to be found with -DBUG=n:
 *	1	released though an event has come
 *	2	looked for events, then released: two steps
 *	3	events taken before the connection is parked, and forgotten
 *	4	an event makes an owner of a connection that has one
 *	5	an event reaches whatever life of the slot there is
 *	6	a wake-up without a reference
 *	7	a close settles it and leaves it to the acceptor
 *	8	the drain callback without a look at the socket
 */
#ifndef BUG
#define BUG 0
#endif
#ifndef WORKERS
#define WORKERS 3
#endif
#ifndef LIVES
#define LIVES 2
#endif
#define INPUTS 2 /* in all */
#define WAKES 1

#define IN    1
#define WAKE  2
#define DRAIN 4

/* The owner word. */
byte generation;
bool busy = true; /* a free slot is */
byte reports;

/* The slot; got and has_input are its owner's. */
bool is_free = true;
byte refs;
bool locked;
bool is_over, is_counted;
byte got;
bool has_input;

/* Where else it can be. */
bool in_fresh, in_ready, in_mail;

/* The kernel's: the socket, and what the poller has to tell. */
bool is_socket;
byte unread;
bool watched, edge;
byte watch_key, edge_key;

/* To be shown. */
byte owners;
byte accepted, ended;
bool unheard; /* a wake-up that nobody has taken */
byte peers_left = 2;
byte workers_left = WORKERS;
bool is_done;

inline own()
{
	assert(owners == 0 && !in_fresh && !in_ready && !in_mail);
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
		:: key == generation || BUG == 5 ->
			assert(key == generation);
			mine = !busy || (BUG == 4 && !(reports & what));
			busy = true;
			reports = reports | what;
			unheard = unheard || what == WAKE
		:: else -> mine = false
		fi
	}
}

inline report(what)
{
	raise(life, what);
	if
	:: mine -> d_step {
			assert(owners == 0 && !in_fresh && !in_ready);
			in_ready = true;
			mine = false
		}
	:: else
	fi
}

/* The event is acted upon by who had it, if that makes it the owner. */
inline claim(key)
{
	d_step {
		mine = key == generation && !busy && reports == 0;
		if
		:: mine -> own(); busy = true; has_input = true
		:: else
		fi
	}
}

inline take()
{
	if
	:: reports > 0 -> d_step {
			got = got | reports;
			if
			:: reports & WAKE -> unheard = false
			:: else
			fi;
			reports = 0;
			has_input = has_input || (got & IN);
			got = got & ~IN
		}
	:: else
	fi
}

inline release()
{
	d_step {
		assert(refs > 0);
		refs--;
		is_last = refs == 0
	};
	if
	:: is_last -> d_step {
			assert(is_counted && !is_free);
			generation++;
			busy = true;
			reports = 0;
			is_free = true;
			is_last = false
		}
	:: else
	fi
}

inline settle()
{
	d_step {
		assert(is_socket);
		is_socket = false;
		watched = false;
		edge = false;
		unread = 0
	};
	d_step {
		disown();
		assert(!is_counted);
		is_counted = true;
		ended++
	};
	release()
}

inline close()
{
	atomic { !locked -> is_over = true };
	if
	:: settle();
		if
		:: BUG == 7 -> in_mail = true
		:: else
		fi
	:: d_step { watched = false; edge = false };
		d_step { disown(); in_mail = true }
	fi;
	gone = true
}

/* It reads one message; then its verdict. */
inline callback()
{
	d_step {
		if
		:: unread > 0 -> unread--
		:: else
		fi;
		has_input = unread > 0
	};
	if
	:: has_input -> d_step { disown(); in_ready = true; gone = true }
	:: !has_input
	:: true -> close()
	fi
}

/* The server stops: what has come by now is served, else it is the end. */
inline remind()
{
	d_step {
		got = got & ~DRAIN;
		has_input = unread > 0 && BUG != 8;
		assert(has_input || unread == 0)
	};
	if
	:: has_input
	:: else -> close()
	fi
}

inline watch()
{
	d_step {
		assert(owners == 1);
		if
		:: !watched && is_socket ->
			watched = true;
			watch_key = generation;
			edge = unread > 0;
			edge_key = generation
		:: else
		fi
	}
}

inline yield()
{
	if
	:: BUG == 1 -> d_step { busy = false; mine = false }
	:: BUG == 2 -> mine = reports > 0;
		if
		:: !mine -> d_step { busy = false; reports = 0 }
		:: else
		fi
	:: BUG != 1 && BUG != 2 ->
		d_step {
			mine = reports > 0;
			if
			:: !mine -> busy = false
			:: else
			fi
		}
	fi
}

inline park()
{
	if
	:: BUG == 3 -> reports = 0
	:: else
	fi;
	watch();
	disown();
	yield();
	if
	:: mine -> d_step { own(); mine = false }
	:: else -> gone = true
	fi
}

inline dispatch()
{
	do
	:: gone -> gone = false; break
	:: else ->
		take();
		if
		:: (got & DRAIN) && !(got & WAKE) && !has_input -> remind()
		:: got & WAKE -> got = got & ~WAKE
		:: has_input && !(got & WAKE) -> callback()
		:: got == 0 && !has_input -> park()
		fi
	od
}

active [WORKERS] proctype worker()
{
	byte key;
	bool mine, gone, is_last;

	do
	:: d_step { in_fresh -> in_fresh = false; own();
		has_input = unread > 0 };
		dispatch()
	:: d_step { in_ready -> in_ready = false; own() };
		dispatch()
	:: d_step { edge -> edge = false; key = edge_key };
		claim(key);
		if
		:: !mine -> atomic {
				raise(key, IN);
				if
				:: mine -> own()
				:: else
				fi
			}
		:: else
		fi;
		key = 0;
		if
		:: mine -> mine = false; dispatch()
		:: else
		fi
	:: is_done && !in_ready -> break
	od;
	workers_left--
}

inline linger()
{
	d_step { in_mail -> in_mail = false; own() };
	settle()
}

inline drain()
{
	do
	:: accepted > ended && !(reports & DRAIN) ->
		life = generation;
		report(DRAIN);
		life = 0
	:: in_mail -> linger()
	:: accepted == ended -> break
	od;
	is_done = true
}

#define is_quiet (peers_left == 0 && \
	(accepted == ended || (!busy && unread == 0 && !unheard)))

active proctype acceptor()
{
	byte life;
	bool mine, is_last, is_patient;

	if
	:: is_patient = true
	:: true
	fi;
	do
	:: is_free && accepted < LIVES ->
		d_step {
			is_free = false;
			refs = 1;
			is_over = false;
			is_counted = false;
			is_socket = true;
			got = 0;
			has_input = false;
			unheard = false;
			accepted++
		};
		d_step { assert(!in_fresh && owners == 0); in_fresh = true }
	:: in_mail -> linger()
	:: !is_patient || is_quiet -> is_patient = false; break
	od;
	drain();
	(workers_left == 0 && peers_left == 0);
	assert(ended == accepted && refs == 0 && is_free && owners == 0);
	assert(!in_fresh && !in_ready && !in_mail && !edge)
}

active proctype peer()
{
	byte n;

	do
	:: n < INPUTS -> d_step {
			if
			:: is_socket ->
				unread++;
				if
				:: watched -> edge = true; edge_key = watch_key
				:: else
				fi
			:: else
			fi;
			n++
		}
	:: n == INPUTS -> n = 0; break
	od;
	peers_left--
}

active proctype program()
{
	byte n, life;
	bool mine, is_last;

	do
	:: d_step { n < WAKES && owners == 1 && !is_over && !is_free ->
			/* Referenced in a callback. */
			if
			:: BUG != 6 -> refs++
			:: else
			fi;
			life = generation
		};
		d_step { !locked -> locked = true };
		if
		:: is_over && BUG != 6
		:: else -> 
			if
			:: BUG == 6 && generation != life ->
				assert(false) /* of a stranger */
			:: else
			fi;
			report(WAKE)
		fi;
		locked = false;
		life = 0;
		if
		:: BUG != 6 -> release()
		:: else
		fi;
		n++
	:: true -> n = 0; break
	od;
	peers_left--
}
