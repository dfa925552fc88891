/* SPDX-License-Identifier: MIT */
/*
 * A server with deliberate faults, for the tests of the load tester.  At
 * places in the stream of messages that a seed chooses it drops, corrupts,
 * swaps or adds replies, exactly as often as the script says.  It counts what
 * it sees, so that both sides can be compared.
 *
 * One thread serves all connections, so that messages have one order.
 */
#ifndef TESTS_LOAD_SCRIPTED_H
#define TESTS_LOAD_SCRIPTED_H

#include "../../client/load/engine/payload.h"
#include "../../client/load/run.h"
#include "test.h"

enum fault {
	FAULT_NONE,
	FAULT_DROP,	 /* no reply */
	FAULT_DELAY,	 /* the reply after script.delay_ms */
	FAULT_CORRUPT,	 /* one byte of the reply differs */
	FAULT_TRUNCATE,	 /* the middle of the reply is missing */
	FAULT_SWAP,	 /* the reply comes after the next one */
	FAULT_DUPLICATE, /* the reply twice */
	FAULT_JUNK,	 /* unexpected bytes before the reply */
	FAULT_CROSS,	 /* a message of another connection in addition */
	FAULT_RESET,	 /* the connection is reset instead of the reply */
	FAULT_CLOSE,	 /* the connection is closed instead of the reply */
	FAULT_KINDS
};

enum service {
	SERVE_REPLIES,
	SERVE_NOTHING, /* read, never reply */
	SERVE_BYTES,   /* send without end, never read */
	SERVE_NOBODY,  /* listen, never accept */
};

struct script {
	enum service service;
	enum fault fault;
	int faults;		/* how many messages are affected ... */
	int from, to;		/* ... of these numbers, over all connections */
	int delay_ms;		/* FAULT_DELAY */
	int pace_us;		/* sleep before each wait for events */
	size_t piece;		/* bytes sent at once; 0: all */
	int banners;		/* how many connections get the banner */
	const char *banner;	/* sent when a connection is accepted */
	const char *prefix;	/* before each reply */
	const char *reply;	/* instead of the message */
	size_t reply_size;	/* bytes sent after the reply */
	int serves;		/* only the first connections; 0: all */
	int stall_at, stall_ms; /* sleep before that message; 0: never */
	int die_at; /* before that message end the server; 0: never */
	/* Close, without a reply, after this long without input; 0: never. */
	int close_silent_ms;
	int backlog; /* 0: the maximum */
};

#define SEEN_TIMES 65536
#define SEEN_NETS  8
#define LOOK_MS	   5 /* its loop runs at least that often */

/*
 * What a server has seen.  Read it when the server has ended, or atomic
 * fields.
 */
struct seen {
	atomic_int accepted;
	atomic_int messages;
	atomic_ullong bytes; /* received */
	atomic_ullong bytes_sent;
	int ended, reset; /* connections, by the client */
	int faults;	  /* made */
	int open, open_max;
	int from[SEEN_NETS]; /* accepted from 127.0.0.(index + 1) */
	int64_t stalled;     /* ns, as measured */
	/* ns, of its loop; a pause that the script asks for is none */
	int64_t longest_pause;
	int64_t *message_at;  /* ns, of the first SEEN_TIMES */
	int64_t *accepted_at; /* likewise */
	uint64_t least, most; /* bytes of a closed connection */
};

struct scripted;

/*
 * Serve at "127.0.0.1", port 0, or at a Unix address.  Of the plan only the
 * form of messages is used.
 */
struct scripted *scripted_start(const char *where, const struct script *script,
				const struct plan *plan);
const char *scripted_address(const struct scripted *s);
/* Atomic fields are up to date. */
struct seen *scripted_seen(struct scripted *s);
/* Stop the server; if it serves any, after the last connection has ended. */
void scripted_stop(struct scripted *s);
void scripted_free(struct scripted *s);

/* ------------------------------------------------------------------- runs */

#define MS     INT64_C(1000000)
#define SECOND (1000 * MS)

/* Fields that PLAN() presets may be set again. */
#pragma GCC diagnostic ignored "-Woverride-init"
#ifndef __clang__
#pragma GCC diagnostic ignored "-Woverride-init-side-effects"
#endif

/* 64-byte lines, an echo expected, 4 connections; designated fields follow. */
#define PLAN(...)                                                              \
	{                                                                      \
		.connections = 4, .threads = 1, .depth = 1,                    \
		.duration_ns = INT64_MAX,                                      \
		.timeout_ns = 20 * SECOND * slowness(),                        \
		.connect_timeout_ns = 20 * SECOND * slowness(), .seed = 7,     \
		.size_min = 64, .size_max = 64, __VA_ARGS__                    \
	}

#define FRAMER_OF(which, n)                                                    \
	{                                                                      \
		.kind = FRAMER_##which, .count = (n)                           \
	}
#define FRAMER_LINE FRAMER_OF(LINES, 1)

/* Resolve the address and run the plan. Returns the status of run(). */
int run_watched(struct result *ret, const struct plan *plan, run_watch *watch,
		void *arg);
/* Run the plan against an address; the counts must add up. */
struct result run_at(const char *address, struct plan *plan);
/* Run the plan against a server with that script; *seen: what it saw. */
struct result run_against(const struct script *script, struct plan *plan,
			  struct seen *seen);

/*
 * As run_against(), for a test that needs replies within limit: the run is
 * repeated if a thread of either side stood still for a good part of it.
 */
struct result run_undisturbed(const struct script *script, struct plan *plan,
			      struct seen *seen, int64_t limit);

/*
 * Call act() for each number below count, all at the same time, so that runs
 * that wait do so in parallel.
 */
void at_once(int count, void (*act)(int number));

/*
 * A process started before there are threads.  It receives an address, acts on
 * it and returns len bytes.
 */
struct child {
	pid_t pid;
	int to, from;
};

struct child child_start(void (*act)(const char *address, int say));
void child_go(const struct child *e, const char *address);
void child_finish(const struct child *e, void *ret, size_t len);

/* Check what holds for every result. */
void expect_result_balance(const struct result *r);
/* All messages were answered, without any fault. */
void expect_clean_result(const struct result *r, uint64_t messages);
uint64_t error_count(const struct result *r, enum error_phase phase, int error);
uint64_t errors_in_all(const struct result *r);

/* All counts: fields left out are expected to be 0. */
#define EXPECT_COUNTS(result, ...)                                             \
	expect_counts(&(result)->counts, (const struct counts){ __VA_ARGS__ })

/* Bytes are not compared. */
void expect_counts(const struct counts *b, struct counts expected);

#endif
