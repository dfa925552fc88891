/* SPDX-License-Identifier: MIT */
/*
 * The limits and times of the library that are no settings: each with its
 * unit, and why it is what it is.  Sizes of buffers stand where they are used.
 */
#ifndef WR_BOUNDS_H
#define WR_BOUNDS_H

#include "clock.h"

#define WR_MS(n) ((n)*WR_NS_PER_MS)

/* ---------------------------------------------------------------- accepting */

/* Connections from one listener before the next one is asked. */
#define WR_ACCEPT_BUDGET 64
/*
 * A shortage of descriptors or memory: the first pause, which doubles up to
 * the longest.  A connection that ends here ends the pause; the clock is for
 * what other processes give back.
 */
#define WR_ACCEPT_PAUSE_NS	WR_MS(10)
#define WR_ACCEPT_PAUSE_MOST_NS WR_MS(100)

/* ---------------------------------------------------------------- lingering */

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

/* ----------------------------------------------------------------- the stop */

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
/* Connections whose round trip is asked for. */
#define WR_ROUND_TRIPS 64
/* Nothing is open, and accept(2) fails: the clients are given up. */
#define WR_HOPELESS_NS WR_MS(1000)
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

/* ----------------------------------------------------------------- the join */

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

/* ----------------------------------------------------- callbacks that are slow
 */

/* A callback that has run for this time is logged. */
#define WR_LONG_CALLBACK_NS WR_MS(10000)
/* So is a pool whose workers all have been in callbacks for this time ... */
#define WR_STARVED_NS WR_MS(5000)
/* ... and not again before this time. */
#define WR_STARVED_SILENCE_NS WR_MS(60000)

#endif
