/* SPDX-License-Identifier: MIT */
/*
 * A server for the load tester's tests, which does wrong on purpose: at
 * places in the stream of messages that a seed decides it drops, spoils,
 * swaps or sends too much, exactly as often as the script says; and it counts
 * what it sees, so that both sides can be compared.
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
	FAULT_CORRUPT,	 /* one byte of the reply is another */
	FAULT_TRUNCATE,	 /* a part in the middle is left out */
	FAULT_SWAP,	 /* the reply after the next one */
	FAULT_DUPLICATE, /* the reply twice */
	FAULT_JUNK,	 /* bytes of nobody's before the reply */
	FAULT_CROSS,	 /* another connection's message, besides */
	FAULT_RESET,	 /* the connection is reset instead of the reply */
	FAULT_CLOSE,	 /* it is closed instead of the reply */
	FAULT_KINDS
};

enum service {
	SERVE_REPLIES,
	SERVE_NOTHING, /* read, and never answer */
	SERVE_BYTES,   /* send without end, read nothing */
	SERVE_NOBODY,  /* listen, and never accept */
};

struct script {
	enum service service;
	enum fault fault;
	int faults;		/* so many messages suffer it ... */
	int from, to;		/* ... of these numbers, of all connections */
	int delay_ms;		/* FAULT_DELAY */
	int pace_us;		/* asleep between two looks at the sockets */
	size_t piece;		/* bytes sent at once; 0: all there are */
	int banners;		/* so many connections get the banner */
	const char *banner;	/* said when a connection is accepted */
	const char *prefix;	/* before each reply */
	const char *reply;	/* instead of the message, always */
	int serves;		/* only the first so many; 0: all */
	int stall_at, stall_ms; /* before that message: asleep; 0: never */
	int die_at;		/* before that message: end it all; 0: never */
	int close_silent_ms;	/* end who had no reply yet and was silent so
				   long; 0: never */
	int backlog;		/* 0: as many as the kernel lets */
};

#define SEEN_TIMES 65536
#define SEEN_NETS  8

/* What a server has seen.  To be read when it has ended, or where atomic. */
struct seen {
	atomic_int accepted;
	atomic_int messages;
	atomic_ullong bytes; /* received */
	atomic_ullong bytes_sent;
	int ended, reset; /* connections, by the client */
	int faults;	  /* done */
	int open, open_max;
	int from[SEEN_NETS];  /* accepted from 127.0.0.(index + 1) */
	int64_t stalled;      /* ns, as it turned out */
	int64_t *message_at;  /* ns, of the first SEEN_TIMES */
	int64_t *accepted_at; /* the same */
	uint64_t least, most; /* bytes of one connection that has ended */
};

struct scripted;

/*
 * Serve at "127.0.0.1", port 0, or at a Unix address; of the plan only the
 * form of its messages counts.
 */
struct scripted *scripted_start(const char *where, const struct script *script,
				const struct plan *plan);
const char *scripted_address(const struct scripted *s);
/* Up to date where it is atomic. */
struct seen *scripted_seen(struct scripted *s);
/* End it, wait for the last connection to be over if it serves any. */
void scripted_stop(struct scripted *s);
void scripted_free(struct scripted *s);

/* ------------------------------------------------------------------- runs */

#define MS     INT64_C(1000000)
#define SECOND (1000 * MS)

/* What PLAN() presets may be said again. */
#pragma GCC diagnostic ignored "-Woverride-init"
#ifndef __clang__
#pragma GCC diagnostic ignored "-Woverride-init-side-effects"
#endif

/* 64-byte lines, an echo expected, 4 connections; a designated list follows. */
#define PLAN(...)                                                              \
	{                                                                      \
		.connections = 4, .threads = 1, .depth = 1,                    \
		.duration_ns = INT64_MAX,                                      \
		.timeout_ns = 20 * SECOND * slowness(),                        \
		.connect_timeout_ns = 20 * SECOND * slowness(), .seed = 7,     \
		.size_min = 64, .size_max = 64, __VA_ARGS__                    \
	}

/* A run of the plan, its address looked up; run()'s exit status. */
int run_watched(struct result *ret, const struct plan *plan, run_watch *watch,
		void *arg);
/* A run of the plan against an address; its counts add up. */
struct result run_at(const char *address, struct plan *plan);
/* Against a server of that script, which is ended then; what it saw. */
struct result run_against(const struct script *script, struct plan *plan,
			  struct seen *seen);

/*
 * Have it done with each number below count, all at the same time: runs that
 * wait for what takes its time wait together.
 */
void at_once(int count, void (*act)(int number));

/*
 * A process of its own, begun before there are threads: it awaits an address,
 * does something there, and says len bytes in the end.
 */
struct child {
	pid_t pid;
	int to, from;
};

struct child child_start(void (*act)(const char *address, int say));
void child_go(const struct child *e, const char *address);
void child_finish(const struct child *e, void *ret, size_t len);

/* Everything that has to hold whatever happened. */
void expect_result_balance(const struct result *r);
/* Every message was answered, and everything about it was right. */
void expect_clean_result(const struct result *r, uint64_t messages);
uint64_t error_count(const struct result *r, enum error_phase phase, int error);
uint64_t errors_in_all(const struct result *r);

/* All the counts: fields left out are expected to be 0. */
#define EXPECT_COUNTS(result, ...)                                             \
	expect_counts(&(result)->counts, (const struct counts){ __VA_ARGS__ })

/* Bytes are not compared. */
void expect_counts(const struct counts *b, struct counts expected);

#endif
