/* SPDX-License-Identifier: MIT */
/*
 * The limits and times of the library that are no settings: each with its
 * unit, and why it is what it is.  Sizes of buffers stand where they are used.
 */
#ifndef WR_BOUNDS_H
#define WR_BOUNDS_H

#include <stddef.h>
#include <stdint.h>

#include "clock.h"

#define WR_MS(n) ((n)*WR_NS_PER_MS)

/* ------------------------------------------------------------- the workers */

#define WR_WORKERS_MOST 1024
/* A worker stays this long at one source of tasks, one task more or less. */
#define WR_ROUND_TASKS 16
#define WR_ROUND_NS    WR_MS(1)
/* After a callback of the first length, handoff mode for the second. */
#define WR_SLOW_NS    (WR_MS(1) / 5)
#define WR_HANDOFF_NS WR_MS(100)
/*
 * The monitor looks at the workers that often while they get on, and while
 * they do not; and so many times in a row before it stops looking, or wakes a
 * worker.
 */
#define WR_QUIET_TICK_NS WR_MS(2)
#define WR_STUCK_TICK_NS WR_MS(1)
#define WR_QUIET_TICKS	 5
#define WR_STUCK_TICKS	 2

/* --------------------------------------------------------------- accepting */

/* Connections from one listener before the next one is asked. */
#define WR_ACCEPT_BUDGET 64
/*
 * A shortage of descriptors or memory: the first pause, which doubles up to
 * the longest.  A connection that ends here ends the pause; the clock is for
 * what other processes give back.
 */
#define WR_ACCEPT_PAUSE_NS	WR_MS(10)
#define WR_ACCEPT_PAUSE_MOST_NS WR_MS(100)

/* --------------------------------------------------------------- lingering */

/* Connections at a time: what their descriptors and slots may cost. */
#define WR_LINGER_SET 4096
/* A peer that is silent for this time has read what we sent ... */
#define WR_LINGER_QUIET_NS WR_MS(2000)
/* ... in a stop, which waits for it ... */
#define WR_LINGER_QUIET_STOP_NS WR_MS(500)
/* ... and after the deadline of a stop. */
#define WR_LINGER_QUIET_CUT_NS WR_MS(50)
/* In all, for a peer that goes on sending or does not read. */
#define WR_LINGER_MOST_NS WR_MS(30000)
/* In all, in a stop, for a peer that has read everything. */
#define WR_LINGER_MOST_STOP_NS WR_MS(1000)
/* Bytes to throw away for one connection. */
#define WR_LINGER_BYTES (UINT64_C(16) << 20)
/* Throwing bytes away, in one round of the acceptor: clients wait. */
#define WR_LINGER_ROUND_NS WR_MS(1)
/* The same at a time for one connection, and entries of its error queue. */
#define WR_LINGER_READ	 ((size_t)64 * 1024)
#define WR_LINGER_ERRORS 64
/* What a worker throws away before it leaves the rest to the acceptor. */
#define WR_DISCARD_AT_ONCE ((size_t)64 * 1024)

/* ----------------------------------------------------- a connection's turn */

/*
 * Input that a callback may take, and time that it may last with that, before
 * others are run.  A message may cost anything, so the time counts besides the
 * bytes.
 */
#define WR_TURN_BYTES ((size_t)256 * 1024)
#define WR_TURN_NS    WR_MS(1)
/* A larger write is sent at once, a smaller one is gathered with others. */
#define WR_GATHER_BYTES ((size_t)8 << 10)
/* Of one sendfile(2), which may wait for the disk: others have a deadline. */
#define WR_SENDFILE_BYTES ((size_t)1 << 20)
/* Sending files, before others are run, give or take one sendfile(2). */
#define WR_SENDFILE_NS WR_MS(1)
/* A session's wait looks this often for events that cannot wake it. */
#define WR_SESSION_LOOK_MS 10

/* ---------------------------------------------------------------- the stop */

/*
 * A listener behind its fence is closed when no connection has come for the
 * time that a handshake under way may still need: 1.5 round trips, within
 * these bounds.
 */
#define WR_HANDSHAKE_LEAST_NS	WR_MS(30)
#define WR_HANDSHAKE_MOST_NS	WR_MS(500)
#define WR_HANDSHAKE_NS(rtt_ns) ((rtt_ns) + (rtt_ns) / 2)
/* Handshakes that complete one after the other have this time in all. */
#define WR_HANDSHAKES_MOST_NS WR_MS(1000)
/* Connections whose round trip is asked for, and the time for that. */
#define WR_ROUND_TRIPS	  64
#define WR_ROUND_TRIPS_NS WR_MS(10)
/* Nothing is open, and accept(2) fails: the clients are given up. */
#define WR_HOPELESS_NS WR_MS(1000)
/* Half a message, or none yet: silence after which it is not waited for. */
#define WR_MESSAGE_QUIET_NS WR_MS(100)
/* Between two reminders of a parked connection. */
#define WR_REMIND_NS WR_MS(25)
/*
 * After the deadline a callback has this time to notice, and all of them
 * together the longer one.  The join adds WR_JOIN_BUSY_NS, so that a stop is
 * at most 100 ms late, besides the time that each connection to be cut costs.
 */
#define WR_NOTICE_NS	  WR_MS(60)
#define WR_NOTICE_MOST_NS WR_MS(70)
#define WR_CUT_NS	  (WR_MS(1) / 10)

/* ---------------------------------------------------------------- the join */

/*
 * A thread that has said that it exits is gone soon, but only a question tells:
 * asked after the first time, which doubles up to the longest.
 */
#define WR_EXIT_ASK_NS	    (WR_MS(1) / 20)
#define WR_EXIT_ASK_MOST_NS WR_MS(10)

/* A worker that is not in a callback ends within this time ... */
#define WR_JOIN_NS WR_MS(1000)
/* ... and where some are, the others get less. */
#define WR_JOIN_BUSY_NS WR_MS(20)
/* A stop that is late by this is not waited for any longer. */
#define WR_JOIN_LATE_NS WR_MS(1000)
/* A wait without poll(2), when that fails. */
#define WR_JOIN_RETRY_NS WR_MS(10)
/*
 * A signal handler may bring the deadline of a stop nearer, which wakes no
 * waiter: a waiter looks at the deadline again after this time.
 */
#define WR_JOIN_LOOK_MS 100

/* ------------------------------------------------- callbacks that are slow */

/* A callback that has run for this time is logged. */
#define WR_LONG_CALLBACK_NS WR_MS(10000)
/* So is a pool whose workers all have been in callbacks for this time ... */
#define WR_STARVED_NS WR_MS(5000)
/* ... and not again before this time. */
#define WR_STARVED_SILENCE_NS WR_MS(60000)

/* ---------------------------------------------------- names and connecting */

/* A look-up for a caller that gives no time: longer than resolvers try. */
#define WR_LOOKUP_MS 30000
/* A wait for a look-up checks this often whether the server stops. */
#define WR_LOOKUP_STOP_NS WR_MS(50)
/* Look-ups that are left running without a waiter: of names, of addresses. */
#define WR_LOOKUPS_LEFT	 64
#define WR_REVERSES_LEFT 32
/* The next address of a name is tried too if one does not answer (RFC 8305). */
#define WR_CONNECT_NEXT_NS   WR_MS(250)
#define WR_CONNECT_ADDRESSES 64
/* A dialled connection: to connect, and to send what is left at its end. */
#define WR_DIAL_MS	 30000
#define WR_DIAL_WRITE_MS 30000
/* At its end input is discarded for this time: no reset may destroy output. */
#define WR_DIAL_LINGER_NS WR_MS(1000)
/* Another starter may hold the lock of a Unix socket's path: 2 s. */
#define WR_PATH_LOCK_ROUNDS   200
#define WR_PATH_LOCK_ROUND_MS 10

/* ----------------------------------------------------- threads and waiting */

/* A wait at a poller that fails: without it the thread would spin. */
#define WR_POLL_FAILED_MS 5
/* Of a thread's stack: the least, and what the C library and we use of it. */
#define WR_STACK_LEAST	 ((size_t)256 * 1024)
#define WR_STACK_OF_OURS ((size_t)24 * 1024)
/* Bytes of a TCP connection that the kernel keeps unsent. */
#define WR_UNSENT_BYTES (128 * 1024)

#endif
