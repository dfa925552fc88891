/* SPDX-License-Identifier: MIT */
/*
 * What a run found.  The engine fills it, the reports and gates read it;
 * whatever they show is computed here once.
 *
 * Times are ns; those called _at count from the start of the measured part.
 * Only messages that were planned in the measured part are counted.
 */
#ifndef LOAD_RESULT_H
#define LOAD_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../plan.h"
#include "histogram.h"

/* The clocks of a message, and of a connection. */
enum clock_kind {
	CLOCK_FROM_PLAN, /* what users feel; open loop only */
	CLOCK_FROM_SEND, /* server and network */
	CLOCK_LAG,	 /* our own delay; open loop only */
	CLOCK_CONNECT,
	CLOCK_KINDS
};

/* "from-plan", "from-send", "client-lag", "connect" */
extern const char *const clock_names[CLOCK_KINDS];

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
	uint64_t closed_early; /* the connection ended before the reply */
	uint64_t open;	       /* under way when the run ended */

	/* Of the answered: */
	uint64_t checked; /* content was compared */
	uint64_t wrong;	  /* other bytes than expected */
	uint64_t swapped; /* came after a reply that should follow it */
	/* Of those that were not answered: a later reply came all the same. */
	uint64_t missing;
	/* Replies to nothing, in replies or pieces without an owner: */
	uint64_t surplus; /* bytes nobody asked for; a reply that came twice */
	uint64_t crossed; /* the message of another connection */
	uint64_t late;	  /* the reply to a message that had timed out */

	uint64_t bytes_out;
	uint64_t bytes_in;
};

/* Where an error happened. */
enum error_phase {
	ERROR_SOCKET,
	ERROR_BIND,
	ERROR_CONNECT,
	ERROR_BANNER, /* waiting for the server to speak first */
	ERROR_SEND,
	ERROR_REPLY,   /* a reply was under way */
	ERROR_BETWEEN, /* nothing was under way */
	ERROR_PHASES
};

/* "socket", "bind", "connect", "banner", "send", "reply", "between" */
extern const char *const error_phase_names[ERROR_PHASES];

/*
 * error is an errno; 0 is the end of input.  A time-out is ETIMEDOUT, a banner
 * other than expected EBADMSG.
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
	uint64_t other; /* did not fit */
};

/* Add a row, to the one of its phase and error if there is one. */
void error_table_add(struct error_table *t, const struct error_row *row);

/* One second of the run. */
struct second {
	int64_t at; /* its start */
	int64_t length;
	uint64_t answered;
	uint64_t errors; /* timed out, reset, closed early, wrong, failed */
	uint64_t bytes_in, bytes_out;
	int open; /* connections at its end */
	bool has_bad_clients;
	int64_t p50, p90, p99, p999, max; /* main clock; 0 without samples */
};

#define WORST_CONNECTIONS 4

struct connections {
	int asked;
	int opened;  /* at least once */
	int served;  /* got a reply, or bytes, at least once */
	int starved; /* were opened and asked for something, and got nothing */
	int failed;  /* never opened */
	int open;    /* at the end */
	uint64_t reopened;
	uint64_t ended; /* by the server, other than in churn after the reply */
	uint64_t replies_min, replies_median, replies_max;
	double fairness;	      /* Jain's index of replies; 1 is fair */
	int64_t longest_silence;      /* of an open connection that was asked */
	int worst[WORST_CONNECTIONS]; /* numbers of starved ones, from 0 */
	int idle_asked, idle_opened, idle_open;
	size_t bytes_each; /* our memory for one */
};

struct bad_client_counts {
	int asked, opened;
	uint64_t attempts; /* connections made, for those that come again */
	uint64_t let_go;   /* ended or reset by the server */
	uint64_t failed;
	int open; /* at the end of their part of the run */
};

/* How much of what was measured is our own doing. */
struct self {
	double cpu_user, cpu_system; /* seconds, all threads */
	double busiest;		     /* share of a core of the busiest thread */
	uint64_t switches;	     /* involuntary context switches */
	int64_t longest_stall;	     /* of a loop: busy, or not woken */
	uint64_t late_ours, late_server; /* messages later than LATE_NS */
	int64_t late_ours_max, late_server_max;
	size_t histogram_bytes;
};

#define LATE_NS (100 * INT64_C(1000))

enum verdict { VERDICT_TRUSTWORTHY, VERDICT_WITH_CARE, VERDICT_NOT };

/* "TRUSTWORTHY", "WITH CARE", "NOT TRUSTWORTHY" */
extern const char *const verdict_names[];

#define REASONS_MAX 4

struct result {
	const struct plan *plan;
	char target[128]; /* the address that was connected to */
	double started;	  /* seconds since the epoch, measured part */
	int64_t elapsed;  /* of the measured part */
	bool is_cut;	  /* interrupted */
	struct counts counts;
	struct histogram *clocks[CLOCK_KINDS]; /* NULL: not in this mode */
	/* Unanswered messages are in the clocks at their age; the least. */
	uint64_t censored;
	int64_t censored_min;
	struct connections connections;
	struct error_table errors;
	struct bad_client_counts bad_clients[BAD_CLIENT_KINDS];
	/* The main clock while the bad_clients were not there, and while. */
	struct histogram *without_bad_clients,
		*with_bad_clients; /* NULL: none */
	struct self self;
	struct second *seconds;
	size_t second_count;
	enum verdict verdict;
	char reasons[REASONS_MAX][128];
	size_t reason_count;
	size_t grave_count; /* of these, from the first: why NOT TRUSTWORTHY */
};

/* From-plan in an open loop, else from-send. */
enum clock_kind result_main_clock(const struct plan *p);

/* answered per second of the measured part */
double result_rate(const struct result *r);

/*
 * A percentile of a clock; -1: absent, for lack of the clock or of samples.
 * *is_more: it is only known to be more, because of messages that were never
 * answered and count at their age.
 */
int64_t result_percentile(const struct result *r, enum clock_kind kind,
			  double percent, bool *is_more);

/* Upload or download: no messages, bytes. */
bool result_is_one_way(const struct result *r);

/* Errors of these phases; of that errno, or with -1 of any. */
uint64_t result_error_count(const struct result *r, enum error_phase first,
			    enum error_phase last, int error);

/*
 * Messages that timed out, were reset or closed early, replies that were
 * wrong, swapped, surplus or crossed, and connections that could not be made.
 */
uint64_t result_errors(const struct result *r);

/* Do both sums of the counts meet? */
bool counts_balance(const struct counts *b);

void result_free(struct result *r);

#endif
