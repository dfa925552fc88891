/* SPDX-License-Identifier: MIT */
/*
 * Limits and times that are no settings, each with its unit and reason.  The
 * size of a buffer that one function uses stands with that function.
 */
#ifndef WR_BOUNDS_H
#define WR_BOUNDS_H

#include <stddef.h>
#include <stdint.h>

#include "clock.h"

#define WR_MS(n) ((n)*WR_NS_PER_MS)

#define WR_WORKERS_MOST	    1024
#define WR_CONNECTIONS_MOST 10000000
/*
 * A worker takes at most this many tasks from one queue, or for this time,
 * before it looks at the next source of tasks.
 */
#define WR_ROUND_TASKS 16
#define WR_ROUND_NS    WR_MS(1)
/* A callback of WR_SLOW_NS starts handoff mode. */
#define WR_SLOW_NS    (WR_MS(1) / 5)
#define WR_HANDOFF_NS WR_MS(100)
/*
 * Monitor: period while workers progress, and while they do not; ticks in a row
 * until it stops, and until it wakes a worker.
 */
#define WR_QUIET_TICK_NS WR_MS(2)
#define WR_STUCK_TICK_NS WR_MS(1)
#define WR_QUIET_TICKS	 5
#define WR_STUCK_TICKS	 2

/* Connections from one listener in a row. */
#define WR_ACCEPT_BUDGET 64
/*
 * The pause after a shortage of descriptors or memory doubles up to the
 * longest.  What other processes give back is noticed only after it.
 */
#define WR_ACCEPT_PAUSE_NS	WR_MS(10)
#define WR_ACCEPT_PAUSE_MOST_NS WR_MS(100)

/* Bytes of a file of access rules, and of a line in it with its NUL. */
#define WR_ACCESS_FILE ((off_t)64 << 20)
#define WR_ACCESS_LINE 128
/* Entries for sources, and those of them in which one source may be. */
#define WR_SOURCES     65536
#define WR_SOURCE_WAYS 8
/* The default limit of a source is at least this. */
#define WR_SOURCE_LEAST 16
/* Of a look for idle connections: slots, and candidates that are kept. */
#define WR_EVICT_SLOTS 65536
#define WR_EVICT_KEPT  64
/*
 * Waits: for a connection to end; for its owner to look, which may be in a
 * callback; after a vain look.
 */
#define WR_EVICT_WAIT_NS  WR_MS(10)
#define WR_EVICT_OWNER_NS WR_MS(1000)
#define WR_EVICT_LOOK_NS  WR_MS(100)

/* Lingering connections: each has a descriptor and a slot. */
#define WR_LINGER_SET 4096
/* Silence after which a peer has read all; in a stop; after its deadline. */
#define WR_LINGER_QUIET_NS	WR_MS(2000)
#define WR_LINGER_QUIET_STOP_NS WR_MS(500)
#define WR_LINGER_QUIET_CUT_NS	WR_MS(50)
/* For a peer that keeps sending or does not read. */
#define WR_LINGER_MOST_NS WR_MS(30000)
/* In a stop, for a peer that has read everything. */
#define WR_LINGER_MOST_STOP_NS WR_MS(1000)
/* For one connection. */
#define WR_LINGER_BYTES (UINT64_C(16) << 20)
/* For one round of the acceptor: clients wait. */
#define WR_LINGER_ROUND_NS WR_MS(1)
/* For one event: bytes, and entries of the error queue. */
#define WR_LINGER_READ	 ((size_t)64 * 1024)
#define WR_LINGER_ERRORS 64
/* What a worker discards; the acceptor does the rest. */
#define WR_DISCARD_AT_ONCE ((size_t)64 * 1024)

/* Input of one callback, and the time after which it gets no more. */
#define WR_TURN_BYTES ((size_t)256 * 1024)
#define WR_TURN_NS    WR_MS(1)
/* Shared messages up to this length are copied. */
#define WR_COPY_BYTES ((size_t)256)
/* A connection's part of what is left of outbox_total, and the least. */
#define WR_OUTBOX_PART	8
#define WR_OUTBOX_LEAST WR_CHUNK_ROOM
/* Connections that a callback sends to, until they are flushed. */
#define WR_FANOUT_MOST ((size_t)1024)
/* Larger writes are not gathered. */
#define WR_GATHER_BYTES ((size_t)8 << 10)
/*
 * Bytes of one sendfile(2), which may wait for the disk.  A flush yields after
 * it has sent this much; of files, also after WR_TURN_NS.
 */
#define WR_SENDFILE_BYTES ((size_t)1 << 20)
/* What a relay receives at once: more than most peers send at once. */
#define WR_RELAY_ROOM ((size_t)64 << 10)
/* Period of the checks of a descriptor that cannot be polled. */
#define WR_SESSION_LOOK_MS 10

/* Stacks that a pool keeps; or as many as are in use, if these are more. */
#define WR_STACKS_KEPT 64
/* What a pooled stack keeps resident; the rest was a rare need. */
#define WR_STACK_STAYS ((size_t)16 * 1024)
/* For the message of an overflow, besides what a signal takes. */
#define WR_SIGNAL_STACK ((size_t)20 * 1024)
/*
 * Uses of a stack between looks at its depth.  A look is a system call, and
 * what was touched stays resident until the next one.
 */
#define WR_STACK_LOOK_EVERY 8
/* Pages that one system call of a look covers. */
#define WR_STACK_LOOK 64

/*
 * A listener behind its fence is closed when it has been quiet for as long as a
 * handshake may still need: 1.5 round trips, within these bounds.
 */
#define WR_HANDSHAKE_LEAST_NS	WR_MS(30)
#define WR_HANDSHAKE_MOST_NS	WR_MS(500)
#define WR_HANDSHAKE_NS(rtt_ns) ((rtt_ns) + (rtt_ns) / 2)
/* From the first quiet time to the close, whatever still comes. */
#define WR_HANDSHAKES_MOST_NS WR_MS(1000)
/* Connections asked for their round trip, and the time for that. */
#define WR_ROUND_TRIPS	  64
#define WR_ROUND_TRIPS_NS WR_MS(10)
/* Clients are given up if accept(2) fails and nothing is open. */
#define WR_HOPELESS_NS WR_MS(1000)
/* Silence that ends the wait for a message in a drain. */
#define WR_MESSAGE_QUIET_NS WR_MS(100)
/*
 * Silence of both peers that ends a relay in a drain.  It does not know where
 * an answer ends, and servers pause in the middle of one.
 */
#define WR_RELAY_QUIET_NS WR_MS(1000)
/* Period of reminders of parked connections. */
#define WR_REMIND_NS WR_MS(25)
/*
 * After the deadline a callback has this time to notice, and all of them
 * together the longer one.  The join adds WR_JOIN_BUSY_NS, so that a stop is at
 * most 100 ms late, besides WR_CUT_NS for each connection to be cut.
 */
#define WR_NOTICE_NS	  WR_MS(60)
#define WR_NOTICE_MOST_NS WR_MS(70)
/* If the acceptor is later than this, the process did not run. */
#define WR_NOTICE_LATE_NS WR_MS(20)
/* For each connection to be cut. */
#define WR_CUT_NS (WR_MS(1) / 10)

/* The end of a thread is polled for: the first pause, which doubles. */
#define WR_EXIT_ASK_NS	    (WR_MS(1) / 20)
#define WR_EXIT_ASK_MOST_NS WR_MS(10)

/* A worker in no callback ends within this; the second: if others are stuck. */
#define WR_JOIN_NS	WR_MS(1000)
#define WR_JOIN_BUSY_NS WR_MS(20)
/* How late a stop may be before a join gives up. */
#define WR_JOIN_LATE_NS WR_MS(1000)
/*
 * The most of one wait that counts towards the times above: while the process
 * gets no processor, what it waits for does not run either.
 */
#define WR_JOIN_STEP_NS WR_MS(20)
/* Wait without poll(2), if that fails. */
#define WR_JOIN_RETRY_NS WR_MS(10)
/* Waiters look again: a signal handler that moves the deadline wakes none. */
#define WR_JOIN_LOOK_MS 100

/* A callback of this length is logged. */
#define WR_LONG_CALLBACK_NS WR_MS(10000)
/* So is a pool without a free worker for this time; once in the second time. */
#define WR_STARVED_NS	      WR_MS(5000)
#define WR_STARVED_SILENCE_NS WR_MS(60000)

/* Default of a lookup: longer than resolvers try. */
#define WR_LOOKUP_MS 30000
/* Period of the check for a stop during a lookup. */
#define WR_LOOKUP_STOP_NS WR_MS(50)
/* Lookups that no caller waits for: of hosts, and of names for addresses. */
#define WR_LOOKUPS_LEFT	 64
#define WR_REVERSES_LEFT 32
/* Delay of the next attempt (RFC 8305). */
#define WR_CONNECT_NEXT_NS   WR_MS(250)
#define WR_CONNECT_ADDRESSES 64
/* Pause before a Unix socket with a full backlog is tried again; doubles. */
#define WR_CONNECT_PAUSE_NS	 WR_MS(1)
#define WR_CONNECT_PAUSE_MOST_NS WR_MS(50)
/* Defaults of weir_dial(). */
#define WR_DIAL_MS	 30000
#define WR_DIAL_WRITE_MS 30000
/* At its end input is discarded for this time: no reset may destroy output. */
#define WR_DIAL_LINGER_NS WR_MS(1000)
/* Period of the check whether the peer has it all. */
#define WR_DIAL_LOOK_NS WR_MS(10)
/* Wait for the lock of a Unix socket's path: 2 s. */
#define WR_PATH_LOCK_ROUNDS   200
#define WR_PATH_LOCK_ROUND_MS 10

/* A failing poller must not make its thread spin. */
#define WR_POLL_FAILED_MS 5
/* Stack: the least default, and what the C library and we use besides. */
#define WR_STACK_LEAST	 ((size_t)256 * 1024)
#define WR_STACK_OF_OURS ((size_t)24 * 1024)
/* Unsent output in the kernel, for each TCP connection. */
#define WR_UNSENT_BYTES (128 * 1024)

#endif
