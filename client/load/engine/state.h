/* SPDX-License-Identifier: MIT */
/*
 * What the parts of an engine share: the loop (engine.c), the connections
 * (conn.c), what becomes of messages (replies.c) and when they are planned
 * (schedule.c).  Calls go from the first to the last of these.
 *
 * A struct conn keeps its place in the plan when its connection is lost and
 * made again.
 */
#ifndef LOAD_STATE_H
#define LOAD_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "../measure/clock.h"
#include "../measure/result.h"
#include "../measure/summary.h"
#include "../plan.h"
#include "payload.h"
#include "target.h"

#define ENGINE_BUFFER  65536
#define ENGINE_SWEEP   256   /* connections looked at between two waits */
#define ENGINE_AT_ONCE 20000 /* ns: a wait so short did not wait */

enum conn_state {
	CONN_IDLE, /* no connection; one is to be made */
	CONN_CONNECTING,
	CONN_BANNER, /* connected; the server speaks first */
	CONN_OPEN,
	CONN_OVER, /* no connection, for good */
	CONN_STATES
};

/* A message under way. */
struct message {
	int64_t planned, sent;
	uint32_t lag_us;      /* so much later than could be, by our fault */
	bool is_settled;      /* answered, though one before it is not */
	bool is_late_pending; /* timed out, the reply may still come */
};

#define FRAME_START 48

/* The reply that is coming in. */
struct frame {
	struct message_id id; /* whose it seems to be */
	size_t used;
	size_t len; /* 0: not known yet */
	bool is_bad;
	/* Its first bytes; of a bad one the latest. */
	char start[FRAME_START];
};

struct conn {
	int fd;
	uint32_t id;
	enum conn_state state;
	bool is_blocked; /* the socket takes no more for now */
	bool is_silent;	 /* --idle: it never says a thing */
	bool is_planned; /* churn: the message of this connection waits */
	bool is_done;	 /* churn: it has been answered */
	bool is_level_triggered; /* one way: no longer edge-triggered */
	bool was_opened, was_asked;
	bool is_warming_up;	      /* open loop: due_at is of the warm-up */
	uint32_t open;		      /* messages under way */
	uint32_t late_pending_before; /* replies still owed to messages before
					 those */
	uint64_t late_pending;	      /* bit n: that of message head - 1 - n */
	uint64_t head, next; /* numbers of the oldest and the next message */
	uint64_t highest;    /* 1 + the latest that was answered */
	uint64_t out_seq;    /* what is written next: message and byte */
	size_t out_from;
	struct message *ring;
	struct frame frame;
	uint64_t replies;   /* measured ones */
	int64_t last_at;    /* of the last bytes */
	int64_t begun_at;   /* the connect; when there, the connection */
	int64_t room_at;    /* since when there is room for a message */
	int64_t due_at;	    /* open loop: the next planned instant */
	uint32_t turn;	    /* which of all it is in its part, from 0 */
	uint64_t due_count; /* so many of its part were before it */
	uint64_t random;
	size_t heap_at;	    /* place in the heap, from 1; 0: not there */
	int64_t retry_at;   /* CONN_IDLE: try then; 0 */
	int64_t retry_from; /* since when it is tried */
	int64_t pause;
};

/* What all engines and run.c share; times are CLOCK_MONOTONIC, ns. */
struct control {
	const struct plan *plan;
	const struct target *target;
	const struct payload *payload;
	_Atomic int64_t start_at; /* of the schedule; NEVER: connecting */
	_Atomic int64_t measure_at;
	_Atomic int64_t end_at; /* no message is planned from then on */
	atomic_bool is_cut;	/* end now, wait for nothing */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int ready;    /* engines that have connected; lock */
	int finished; /* engines that have ended; lock */
	int error;    /* of the first that could not go on, or 0; lock */
};

struct engine {
	struct control *control; /* and copies of what is read often: */
	const struct plan *plan;
	const struct payload *payload;
	int64_t start_at, measure_at, end_at;
	pthread_t thread;
	int number;
	int epoll, wakeup;
	struct conn *conns;
	size_t conn_count;
	struct message *messages;
	uint32_t window;    /* messages a ring has room for */
	struct conn **heap; /* from 1, by due_at */
	size_t heap_used;
	size_t in_state[CONN_STATES];
	size_t alive; /* connections that are not OVER, silent ones apart */
	uint64_t under_way; /* messages, of all connections; churn: exchanges */
	size_t backlog_waiting; /* connections that wait for room in a backlog
				 */
	size_t connect_next;	/* connections before it have been begun */
	int64_t connect_from, connected_at; /* the first began, the last came */
	uint64_t budget; /* messages that may still be measured */
	size_t sweep_next;
	int64_t sweep_at, sweep_every;
	int64_t tick_at, woke_at;
	int64_t median;	    /* how long a reply takes, the median; 0 */
	int64_t wake_delay; /* we could have been here so much earlier */
	bool is_ready, is_started, is_ending;
	bool has_no_pwait2; /* epoll_pwait2() is not to be had here */
	int error;	    /* why it cannot wait for events; 0 */
	char *in, *out;

	/* lock: full is handed over when has_full; run.c clears it */
	struct interval *now, *full;
	bool has_full, has_finished;
	_Atomic int opened; /* connections connected */

	/* Read when the thread has ended. */
	struct engine_sums sums;
};

/* Begin the connection; now is when. */
void conn_open(struct engine *e, struct conn *c, int64_t now);

/* The connect has come to an end, well (0) or not. */
void conn_connected(struct engine *e, struct conn *c, int error, int64_t now);

/* It speaks from now on. */
void conn_ready(struct engine *e, struct conn *c, int64_t now);

/*
 * The connection is over: error is an errno or 0 for the end of input, and
 * phase where it happened.
 */
void conn_fail(struct engine *e, struct conn *c, enum error_phase phase,
	       int error, int64_t now);

/* Churn: the exchange is over, on to the next. */
void conn_done(struct engine *e, struct conn *c, int64_t now);

/* Churn: the connection did not come about, its message is never sent. */
void conn_drop_exchange(struct engine *e, struct conn *c, int64_t now);

/* What went out of time on it; for the sweep. */
void conn_check_time(struct engine *e, struct conn *c, int64_t now);

/* conn_send.c */

/* Send what may be sent now. */
void conn_send(struct engine *e, struct conn *c, int64_t now);

/* The socket takes more. */
void conn_writable(struct engine *e, struct conn *c, int64_t now);

/* conn_receive.c */

void conn_receive(struct engine *e, struct conn *c, bool has_ended);

/* frames.c: replies that are the message, or the message in a form. */
size_t frames_take(struct engine *e, struct conn *c, const char *data,
		   size_t len, int64_t now);

/* replies.c: what came on an open connection, and what it answers. */
void replies_take(struct engine *e, struct conn *c, const char *data,
		  size_t len, int64_t now);

/* That message is answered; kind: a column that counts it, too, or NULL. */
void replies_answer(struct engine *e, struct conn *c, uint64_t seq, int64_t now,
		    uint64_t *kind);

/*
 * So many of the oldest are, and rightly; none of a later number has been
 * answered before.
 */
void replies_answer_run(struct engine *e, struct conn *c, uint64_t count,
			int64_t now);

/*
 * The oldest message under way was not answered in time.  Returns whether the
 * connection can go on: whether a late reply can be told from the next one.
 */
bool replies_give_up(struct engine *e, struct conn *c, int64_t now);

/* The connection is over; what is under way goes into that column of the
 * counts. */
void replies_abandon(struct engine *e, struct conn *c, uint64_t *column,
		     int64_t now);

/* schedule.c: when messages are planned, of an open loop. */

void schedule_begin(struct engine *e, struct conn *c);
/* Go on to the instant after due_at. */
void schedule_next(struct engine *e, struct conn *c);
/* Put the connection where it belongs in the heap, or out of it. */
void schedule_update(struct engine *e, struct conn *c);
/* The connection whose instant comes first, or NULL. */
struct conn *schedule_first(const struct engine *e);
/* The end: what was planned and not sent goes into the counts. */
void schedule_count_missed(struct engine *e);

/* oneway.c: --upload and --download. */

void oneway_send(struct engine *e, struct conn *c, int64_t now);
void oneway_receive(struct engine *e, struct conn *c);
/* Bytes that the kernel took and the peer has not. */
uint64_t oneway_unsent(const struct conn *c);

static inline void engine_note_error(struct engine *e, enum error_phase phase,
				     int error, int64_t now)
{
	int64_t at = now - e->measure_at;

	if (e->measure_at == NEVER || at < 0)
		at = 0;
	e->now->errors++;
	error_table_add(&e->sums.errors,
			&(struct error_row){ phase, error, 1, at, at });
}

static inline bool engine_is_running(const struct engine *e, int64_t now)
{
	return now >= e->start_at && now < e->end_at;
}

static inline bool engine_is_open_loop(const struct engine *e)
{
	return e->plan->schedule != PLAN_CLOSED;
}

static inline bool conn_has_room(const struct engine *e, const struct conn *c)
{
	return !c->is_blocked && c->open < (uint32_t)e->plan->depth &&
	       c->next - c->head < e->window;
}

static inline struct message *conn_message(const struct engine *e,
					   const struct conn *c, uint64_t seq)
{
	return &c->ring[seq & (e->window - 1)];
}

#endif
