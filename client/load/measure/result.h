/* SPDX-License-Identifier: MIT */
/*
 * What a run found: filled by the engines, read by reports and gates.  Times
 * are in ns; those called _at count from the start of the measured part.  Only
 * messages planned in the measured part are counted.
 */
#ifndef LOAD_RESULT_H
#define LOAD_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../plan.h"
#include "histogram.h"

enum clock_kind {
	CLOCK_FROM_PLAN, /* what users experience; open loop, and churn */
	CLOCK_FROM_SEND, /* server and network */
	/*
	 * Delay by this client: in an open loop before the send; else an upper
	 * bound of how long a reply, in churn also the connection, waited
	 * until it was taken.
	 */
	CLOCK_LAG,
	CLOCK_CONNECT,
	CLOCK_HANDSHAKE, /* of TLS, after the connect */
	CLOCK_ONCE,	 /* the exchanges of a script's once part */
	CLOCK_KINDS
};

extern const char *const clock_names[CLOCK_KINDS];

/*
 * Unanswered messages, which a clock has with their age, the least they could
 * have taken.  Those that were never sent are on the from-plan clock alone.
 */
struct censored {
	uint64_t count;
	int64_t min; /* the least age; INT64_MAX: none */
};

/* CLOCK_FROM_PLAN and CLOCK_FROM_SEND */
#define CENSORED_CLOCKS 2

/*
 * planned = sent + never_sent
 * sent = answered + timed_out + reset + closed_early + open
 */
struct counts {
	uint64_t planned;
	uint64_t sent;
	uint64_t never_sent;
	uint64_t answered;
	uint64_t timed_out;
	uint64_t reset;	       /* the connection was reset before the reply */
	uint64_t closed_early; /* it was closed before the reply */
	uint64_t open;	       /* under way at the end of the run */

	/* Of answered: */
	uint64_t drained; /* sent after the measured part; not in the rate */
	uint64_t checked; /* content was compared */
	uint64_t wrong;	  /* content differs */
	uint64_t bad;	  /* not what --ok, --bad, --match or --expect allow */
	uint64_t swapped; /* after the reply to a later message */
	/*
	 * Perhaps pieces of one reply, whose end is not known: longer than a
	 * buffer, or of another length than the reply before.
	 */
	uint64_t unsure;
	/* Not answered, though a later message was. */
	uint64_t missing;
	/* Replies, or pieces of them, without a message under way: */
	uint64_t surplus; /* unexpected bytes, or a second reply */
	uint64_t crossed; /* the reply to a message of another connection */
	uint64_t late;	  /* the reply to a message that had timed out */

	/* Handshakes of TLS that this client has finished: */
	uint64_t full;
	uint64_t resumed; /* with a session of an earlier one */

	uint64_t bytes_out;
	uint64_t bytes_in;
	/* Of these, with drained messages; not in the rates: */
	uint64_t drained_out, drained_in;
};

/* The first reply that was bad or wrong, in excerpts. */
struct bad_reply {
	const char *why; /* NULL: there was none */
	int64_t at;
	uint32_t conn;
	uint64_t seq;
	size_t sent_len, got_len;
	char sent[EXCERPT_MAX], got[EXCERPT_MAX];
};

enum error_phase {
	ERROR_SOCKET,
	ERROR_BIND,
	ERROR_CONNECT,
	ERROR_HANDSHAKE, /* TLS; also: the server refused it afterwards */
	ERROR_BANNER,	 /* the server speaks first */
	ERROR_SEND,
	ERROR_REPLY,   /* a reply was under way */
	ERROR_BETWEEN, /* nothing was under way */
	ERROR_END,     /* the end part of a script */
	ERROR_PHASES
};

extern const char *const error_phase_names[ERROR_PHASES];

/*
 * error is an errno: ETIMEDOUT for a timeout, EBADMSG for an unexpected banner
 * or reply, EPROTO for an error of TLS, 0 for the end of input.
 */
struct error_row {
	enum error_phase phase;
	int error;
	uint64_t count;
	int64_t first_at, last_at;
};

#define ERROR_ROWS 48

struct error_table {
	struct error_row rows[ERROR_ROWS];
	size_t used;
	uint64_t other; /* errors of further kinds */
};

void error_table_add(struct error_table *t, const struct error_row *from);

enum second_point {
	SECOND_P50,
	SECOND_P90,
	SECOND_P99,
	SECOND_P999,
	SECOND_MAX,
	SECOND_POINTS
};

struct second {
	int64_t at; /* when it started */
	int64_t length;
	uint64_t answered;
	uint64_t errors; /* as result_errors() */
	uint64_t bytes_in, bytes_out;
	int open; /* connections at the end of it */
	bool has_bad_clients;
	bool is_drain; /* after the measured part: not a second of it */
	/* Main clock; 0 without samples, -1: not known. */
	int64_t p50, p90, p99, p999, max;
	bool is_more[SECOND_POINTS]; /* of these, which are lower bounds */
};

#define WORST_CONNECTIONS 4

struct conn_counts {
	int asked;
	int opened;	   /* at least once */
	int served;	   /* received a reply, or bytes */
	int starved;	   /* opened, waited for a reply or to be greeted, and
			      received nothing */
	int failed;	   /* never opened */
	int lost;	   /* ended in the measured part, and not made again */
	int64_t lost_at;   /* when the first of these was lost */
	int64_t down_ns;   /* time between loss and replacement, a sum */
	int64_t paused_ns; /* of it, pauses between this client's attempts */
	/*
	 * Time in which served ones were there, a sum; with a count, until its
	 * last message was sent.
	 */
	int64_t served_ns;
	int64_t rested_ns; /* of it, think time, pauses and replacements */
	int64_t after_ns;  /* waits for replies after that message, a sum */
	int open;	   /* at the end */
	uint64_t reopened;
	uint64_t ended; /* by the server; in churn, before the reply */
	uint64_t replies_min, replies_median, replies_max;
	double fairness;	 /* Jain's index of replies; 1 is fair */
	int64_t longest_silence; /* of an open connection that was waiting */
	int worst[WORST_CONNECTIONS]; /* ids of starved ones */
	int worst_count; /* 0 in a sum, where they are of several clients */
	int idle_asked, idle_opened, idle_open;
	size_t bytes_each; /* memory of this client for each */
};

struct bad_client_counts {
	int asked, opened;
	uint64_t attempts; /* connections made */
	uint64_t let_go;   /* closed or reset by the server */
	uint64_t failed;
	int open; /* when they left */
};

/* What this client itself did to the figures. */
struct self {
	/*
	 * Of the measured part; in a closed loop with --count, until the last
	 * message was sent:
	 */
	double cpu_user, cpu_system; /* seconds, all threads */
	double busiest;		     /* share of a core of the busiest thread */
	uint64_t switches;	     /* involuntary context switches */
	int64_t measured_ns;	     /* the length of this time */

	int64_t longest_stall; /* of a loop: busy, or not scheduled */
	/* Open loop, --count: how long the last replies were waited for. */
	int64_t awaited_ns;
	uint64_t late_ours, late_server; /* messages later than LATE_NS */
	int64_t late_ours_max, late_server_max;
	/* How long all handshakes waited for this client, an upper bound. */
	int64_t handshake_lag;
	size_t histogram_bytes;
};

#define LATE_NS (100 * INT64_C(1000))

enum verdict { VERDICT_TRUSTWORTHY, VERDICT_WITH_CARE, VERDICT_NOT };

extern const char *const verdict_names[];

#define REASONS_MAX 4

#define RUN_ID 33 /* characters of the id of a run, with the NUL */

struct result {
	const struct plan *plan;
	char id[RUN_ID];
	/* The sum of several runs: theirs, instead of its own. */
	const char *const *ids;
	size_t id_count;
	char target[128];   /* the address connected to */
	double started;	    /* seconds since the epoch; measured part */
	int64_t elapsed;    /* of the measured part */
	int64_t late_start; /* how long after --start-at it began */
	bool is_cut;	    /* interrupted */
	bool is_stopped;    /* by --stop-early: a gate could not pass */
	bool has_early_end; /* of a sum: one of its runs had ended early */
	/*
	 * The figures rest on much less than was asked for: on less time,
	 * fewer connections or fewer replies.  Set by verdict_judge().
	 */
	bool is_incomplete;
	struct counts counts;
	struct histogram *clocks[CLOCK_KINDS]; /* NULL: not used in this mode */
	/* CLOCK_FROM_PLAN less our own lateness; NULL if it is not known. */
	struct histogram *without_lag;
	struct censored censored[CENSORED_CLOCKS];
	struct conn_counts connections;
	struct error_table errors;
	const char *tls_why; /* of the first error of TLS; NULL: none */
	struct bad_reply first_bad;
	struct bad_client_counts bad_clients[BAD_CLIENT_KINDS];
	/* The main clock without and with bad clients. */
	struct histogram *without_bad_clients,
		*with_bad_clients; /* NULL: none */
	struct censored without_censored, with_censored;
	struct self self;
	struct second *seconds;
	size_t second_count;
	enum verdict verdict;
	char reasons[REASONS_MAX][128];
	size_t reason_count;
	size_t grave_count; /* of these, the reasons for NOT TRUSTWORTHY */
};

/* From-plan for an open loop and churn, else from-send. */
enum clock_kind result_main_clock(const struct plan *p);

/* Replies to messages sent in the measured part. */
uint64_t result_answered_in_time(const struct result *r);

/* These, a second. */
double result_rate(const struct result *r);

/* Bytes of messages sent in the measured part, and of their replies. */
uint64_t result_bytes_out(const struct result *r);
uint64_t result_bytes_in(const struct result *r);

/* That many, a second of the measured part. */
double result_per_second(const struct result *r, uint64_t count);

/*
 * A percentile of a clock, or -1 without the clock or enough samples.
 * *is_more: the value is a lower bound, because of unanswered messages.
 */
int64_t result_percentile(const struct result *r, enum clock_kind kind,
			  double percent, bool *is_more);

/* The same of a histogram and its unanswered messages, for any sample count. */
int64_t censored_percentile(const struct histogram *h, const struct censored *c,
			    double percent, bool *is_more);

/*
 * What the lateness of this client did to a percentile from plan: *without is
 * the value it would have.  Returns by what share of that the value is greater;
 * 0 without lateness, or without enough samples.
 */
double result_lateness(const struct result *r, double percent,
		       int64_t *without);

void censored_add(struct censored *to, const struct censored *from);

/* The seconds of the measured part, the first of r->seconds. */
size_t result_measured_seconds(const struct result *r);

/* Upload or download, which count bytes and not messages. */
bool result_is_one_way(const struct result *r);

/* Was anything answered or, one way, transferred in its direction? */
bool result_has_any(const struct result *r);

/*
 * Did it end before the time or the count that was asked for, without an
 * interrupt?  Then no connection was left.
 */
bool result_has_ended_early(const struct result *r);

/* Of the time of all connections, the share in which they were lost. */
double result_downtime(const struct result *r);

/* Of that, the share in which this client paused between attempts. */
double result_paused(const struct result *r);

/* Share of the time of all handshakes in which they waited for us, at most. */
double result_handshake_lag(const struct result *r);

/* Errors of a range of phases, with that errno or, if -1, any. */
uint64_t result_error_count(const struct result *r, enum error_phase first,
			    enum error_phase last, int error);

/* Lost messages, wrong, bad, swapped, surplus and crossed replies. */
uint64_t counts_errors(const struct counts *b);

/* These, and failed connections. */
uint64_t result_errors(const struct result *r);

/* Does an error of that phase mean that a connection could not be made? */
static inline bool error_phase_is_failure(enum error_phase phase)
{
	return phase <= ERROR_BANNER;
}

const char *result_error_text(const struct result *r,
			      const struct error_row *row);

bool counts_balance(const struct counts *b);

void result_free(struct result *r);

#endif
