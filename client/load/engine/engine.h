/* SPDX-License-Identifier: MIT */
/*
 * One thread of the load: an epoll loop over its connections.  run.c starts
 * engines, takes their figures each second and ends them.  Calls go one way:
 * engine.c, conn.c, then replies.c or schedule.c.
 *
 * A struct conn keeps its place in the plan when its connection is lost and
 * made again.  Times are CLOCK_MONOTONIC, in ns.
 */
#ifndef LOAD_ENGINE_H
#define LOAD_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <time.h>

#include "../measure/result.h"
#include "../measure/summary.h"
#include "../measure/units.h"
#include "../plan.h"
#include "payload.h"
#include "random.h"
#include "secure.h"
#include "target.h"

#define ENGINE_BUFFER  65536
#define ENGINE_SWEEP   256   /* connections checked between two waits */
#define ENGINE_AT_ONCE 20000 /* ns: a wait that short found events pending */

enum conn_state {
	CONN_IDLE, /* not connected; a retry may be due */
	CONN_CONNECTING,
	CONN_HANDSHAKE, /* TLS */
	CONN_OPENING,	/* connected; the steps before the loop */
	CONN_OPEN,
	CONN_LEAVING, /* the steps of a script's end part */
	CONN_LEFT,    /* closed after them, at the end of the run */
	CONN_OVER,    /* closed for good */
	CONN_STATES
};

/* A closed loop with think time, or with pauses in its script. */
enum conn_pace {
	PACE_FRESH, /* nothing was sent on this connection */
	PACE_SENT,
	PACE_RESTING, /* until rest_until, and then until it sends */
};

struct message {
	int64_t planned, sent;
	uint32_t lag_us; /* how late it was sent through our own fault */
	bool is_settled; /* answered or lost; older ones leave the ring first */
	bool is_late_pending; /* timed out; its reply may still come */
};

/* A message that left the ring unanswered, so that others can be sent. */
struct overtaken {
	uint64_t seq;
	struct message message;
};

#define FRAME_START 48

/* A reply that repeats the message. */
struct frame {
	struct message_id id; /* the message it seems to answer */
	size_t used;
	size_t len; /* 0: unknown */
	bool is_bad;
	/* The first bytes; once is_bad, the latest. */
	char start[FRAME_START];
};

struct conn {
	int fd;
	struct ssl_st *tls; /* NULL: in clear, or not connected */
	uint32_t id;
	enum conn_state state;
	bool is_blocked; /* the last send() returned EAGAIN */
	bool has_input;	 /* some has come on this connection */
	bool is_silent;	 /* --idle: it sends nothing */
	bool is_planned; /* churn: a message waits for the connection */
	bool is_done;	 /* churn: the message was answered; else: the end of a
			    reply could not be found */
	bool is_level_triggered; /* one way: no longer edge-triggered */
	bool is_measured;	 /* upload: its send buffer was looked at */
	bool is_paused; /* OPENING, LEAVING: until rest_until; reads nothing */
	bool is_retiring; /* OPEN: sends no more, and is replaced when all
			     replies are there */
	bool is_replaced; /* closed by us; the next is being made */
	enum conn_pace pace : 8;
	bool was_opened, was_asked;
	bool is_waiting; /* for a reply, or the answer to an opening step; also
			    after a time-out, until something comes */
	bool is_warming_up; /* open loop: due_at is in the warm-up */
	uint32_t open;	    /* messages under way, overtaken ones too */
	/*
	 * Messages that timed out and may still be answered: bit n is message
	 * head - 1 - n; before counts those that are older than all bits.
	 */
	uint32_t late_pending_before;
	uint64_t late_pending;
	uint64_t head, next; /* numbers of the oldest and the next message */
	uint64_t highest;    /* 1 + the latest message that was answered */
	uint64_t out_seq;    /* written next: this message ... */
	size_t out_from;     /* ... from this byte on */
	struct message *ring;
	struct overtaken *overtaken; /* older than head, oldest first */
	uint32_t overtaken_count;
	/* The reply that is being received. */
	union {
		struct frame frame;	/* compared with the message */
		struct framing framing; /* EXPECT_FRAMED */
	};
	size_t step; /* OPENING, LEAVING: which one is being done */
	char *kept;  /* start of a reply in pieces, if it is judged */
	size_t kept_len;
	char *early; /* input that was read before a pause; NULL: none */
	size_t early_len;
	uint64_t replies; /* measured ones */
	int64_t last_at;  /* input last came, a wait for it began, or our last
			     step of a handshake */
	int64_t begun_at; /* when connecting began; later, the current step */
	int64_t room_at;  /* since when there is room for another message */
	int64_t late_ns;  /* churn: our own delay before the send */
	int64_t handshake_lag; /* how long it waited for us, at most */
	int64_t down_at;       /* since when it is lost; 0: it is not */
	int64_t down_ns;       /* measured time lost, before down_at */
	int64_t pause_at;  /* since when the next try waits; 0: it does not */
	int64_t paused_ns; /* the part of the time down that was such a wait */
	int64_t retire_at; /* to be replaced by a new connection then */
	int64_t rest_from, rest_until;
	int64_t rested_ns;   /* measured time of rests and replacements */
	int64_t due_at;	     /* open loop: the next planned instant */
	double due_messages; /* Poisson stages: due_at in messages */
	uint32_t turn;	     /* its place in the order of this part */
	uint64_t due_count;  /* instants of this part that have passed */
	uint64_t random;
	size_t heap_at;	  /* index in the heap, from 1; 0: not in it */
	int64_t wake_at;  /* of the heap: the next instant to act */
	int64_t quiet_at; /* when the reply has ended if no more comes; 0: no */
	int64_t retry_at; /* CONN_IDLE: when to try again; 0: never */
	int64_t retry_from; /* since when the backlog is full; 0: it is not */
	int64_t pause;
};

struct reply_rule {
	const struct expectation *expected;
	struct judge judge;
	size_t keep; /* bytes of a reply that the judge has to see */
};

struct engine_step {
	const struct script_step *step;
	struct reply_rule rule;
	bool is_timed; /* on the clock of the once part */
};

struct engine_steps {
	struct engine_step *list;
	size_t count;
};

/* What run.c and all engines share. */
struct control {
	const struct plan *plan;
	const struct target *target;
	const struct payload *payload;
	_Atomic int64_t start_at; /* of the schedule; NEVER: still connecting */
	_Atomic int64_t measure_at;
	_Atomic int64_t end_at; /* no message is planned from then on */
	/* Until then, messages planned before end_at are still sent. */
	_Atomic int64_t send_until;
	atomic_bool is_cut; /* stop at once */
	/*
	 * Messages of --count that a closed loop may still take.  All engines
	 * share them, so that none runs out of messages before the others.
	 */
	_Atomic uint64_t budget;
	atomic_int begun; /* engines that have had their first turn */
	/* With --count: when the last message was sent; NEVER: not yet. */
	_Atomic int64_t all_sent_at;

	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	int ready; /* engines that have connected */
	int sent;  /* open loop, --count: engines that have sent all */
	int64_t last_sent_at; /* the latest message of these */
	int finished;	      /* engines that have ended */
	int error;	      /* of the first that failed, or 0 */
	/* When the first engine began to measure, and when the last ended: */
	struct rusage usage_from, usage_to;
	bool has_usage;
};

struct engine {
	struct control *control; /* and copies of what is read often: */
	const struct plan *plan;
	const struct payload *payload;
	int64_t start_at, measure_at, end_at, send_until;
	pthread_t thread;
	int number;
	int epoll, wakeup;
	struct conn *conns;
	size_t conn_count;
	struct message *messages;
	struct overtaken *overtaken; /* depth for each connection */
	uint32_t window;	     /* size of a ring, a power of two */
	/* The latest of TLS, by address of the target; NULL: none yet */
	struct ssl_session_st **sessions;
	struct conn **heap; /* from 1, by wake_at */
	size_t heap_used;
	size_t in_state[CONN_STATES];
	size_t alive;		/* not OVER, without silent ones */
	uint64_t under_way;	/* messages; churn: exchanges */
	size_t backlog_waiting; /* for room in a Unix backlog */
	size_t connect_next;
	int64_t connect_from; /* when the first connect started */
	int64_t connected_at; /* when the last was made for the first time */
	int64_t opening_wait; /* longest wait for the steps before the loop */
	uint64_t share;	      /* of the budget, until all engines have begun */
	bool have_all_begun;
	bool has_sent_all; /* open loop, --count: it is in control->sent */
	size_t sweep_next;
	int64_t sweep_at, sweep_every;
	int64_t tick_at, woke_at;
	size_t any_len; /* of the last reply of FRAMER_ANY */
	/*
	 * Before the loop: the banner, or the parts connect and once; the
	 * messages in rotation; before this client closes a connection.
	 */
	struct engine_steps opening, loop, leaving;
	struct script_step banner, exchange; /* steps without a script */
	bool is_paced;	    /* connections may rest between messages */
	bool has_close;	    /* a pass through the loop retires its connection */
	int64_t done_at;    /* when the end parts began; 0: not yet */
	bool has_new_bad;   /* sums.first_bad has no excerpt yet */
	int64_t median;	    /* of reply times, an estimate; 0: none */
	int64_t wake_delay; /* how late this wake-up was */
	/* So many of the next events may have been ready since ready_since. */
	size_t left_over;
	int64_t ready_since;
	bool is_ready, is_started, is_ending;
	bool is_measuring, has_measured;
	bool has_warmed_up; /* what is due of the warm-up was sent or dropped */
	bool is_sending_over; /* send_until has passed */
	bool has_ended_part;  /* the last measured interval is handed over */
	bool has_no_pwait2;
	int error; /* why waiting for events failed, positive; 0 */
	/*
	 * Churn: when exchanges that were never sent had been planned, in ms
	 * from measure_at; their age is known at the end.
	 */
	struct histogram *dropped;
	char *in, *out;

	/* Under control->lock.  The engine sets has_full, run.c clears it. */
	struct interval *now, *full;
	bool has_full, has_finished;
	_Atomic int opened;

	/* To be read when the thread has ended. */
	struct engine_sums sums;
};

/* The engine gets every threads-th connection; engine_fini() in any case. */
int engine_init(struct engine *e, struct control *control, int number);
void engine_fini(struct engine *e);
int engine_start(struct engine *e);

/* With a stack of its own size: the default, RLIMIT_STACK, may be too small. */
int engine_thread(pthread_t *ret, void *(*main)(void *), void *arg);

/* Add the connections to the summary, once the thread has ended. */
void engine_count_conns(const struct engine *e, struct summary *s);

void engine_wake(struct engine *e);

/* Start a connection; of churn, plan its message first. */
void conn_open(struct engine *e, struct conn *c, int64_t now);

/* error is 0 or an errno; took is 0 for the time since connecting began. */
void conn_connected(struct engine *e, struct conn *c, int error, int64_t now,
		    int64_t took);

void conn_handshake(struct engine *e, struct conn *c);

/* Churn: count the message of a connection that was never made. */
void conn_drop_exchange(struct engine *e, struct conn *c);

void conn_send(struct engine *e, struct conn *c, int64_t now);

void conn_writable(struct engine *e, struct conn *c, int64_t now);

void conn_receive(struct engine *e, struct conn *c, bool has_ended);

/* Nothing more came: the reply has ended. */
void conn_quiet(struct engine *e, struct conn *c);

/* Nothing is under way: do the end part and close the connection. */
void conn_leave(struct engine *e, struct conn *c, int64_t now);

/* A pause before or after the loop is over. */
void conn_resume(struct engine *e, struct conn *c, int64_t now);

void conn_retry(struct engine *e, struct conn *c, int64_t now);

void conn_check_time(struct engine *e, struct conn *c, int64_t now);

/*
 * What the send buffer has when measuring begins is acknowledged in the
 * measured part, and what it has at the end is not.
 */
void conn_begin_upload(struct engine *e, struct conn *c);
void conn_end_upload(struct engine *e, struct conn *c);

void replies_take(struct engine *e, struct conn *c, const char *data,
		  size_t len, int64_t now);

/*
 * CONN_OPENING, CONN_LEAVING: take the reply to a step.  *used: how many bytes
 * belong to it.  Returns FRAMER_WRONG if it is not good.
 */
enum framer_result replies_take_step(struct conn *c, struct reply_rule *rule,
				     const char *data, size_t len,
				     size_t *used);

/* What has come is the reply. */
void replies_end(struct engine *e, struct conn *c);

void replies_forget(struct conn *c);

/* Message seq is answered; kind: another column that counts it, or NULL. */
void replies_answer(struct engine *e, struct conn *c, uint64_t seq, int64_t now,
		    uint64_t *kind);

void replies_make_room(struct engine *e, struct conn *c, uint64_t count);

/* When the oldest message under way was sent; there must be one. */
int64_t replies_oldest(const struct engine *e, const struct conn *c);

/*
 * The oldest message under way timed out.  Returns whether the connection can
 * go on: whether a late reply can be told from the next one.
 */
bool replies_give_up(struct engine *e, struct conn *c, int64_t now);

/* The connection is closed: count what is under way in *column. */
void replies_abandon(struct engine *e, struct conn *c, uint64_t *column,
		     int64_t now);

void schedule_begin(struct engine *e, struct conn *c);

void schedule_next(struct engine *e, struct conn *c);

/*
 * Drop the messages of the warm-up that connections had no room for.  The
 * measured part would begin with the replies to these, which are not counted.
 */
void schedule_end_warm_up(struct engine *e);

/* After a change of the connection's state, its room or its instants. */
void schedule_update(struct engine *e, struct conn *c);

struct conn *schedule_first(const struct engine *e);

/*
 * A closed loop, the measured part: take up to that many messages from the
 * budget.  Returns how many it got.
 */
uint64_t schedule_take(struct engine *e, uint64_t count);

/* With --count: when all was sent and, in an open loop, planned; or NEVER. */
int64_t control_sent_at(const struct control *c);

/* At the end: also the age of dropped exchanges. */
void schedule_count_missed(struct engine *e);

static inline void engine_note_error(struct engine *e, enum error_phase phase,
				     int error, int64_t now)
{
	int64_t at = now - e->measure_at;

	if (e->measure_at == NEVER || at < 0)
		at = 0;
	e->now->failed += error_phase_is_failure(phase);
	error_table_add(&e->now->errors,
			&(struct error_row){ phase, error, 1, at, at });
}

/* A closed loop: may it begin another message? */
static inline bool engine_has_budget(const struct engine *e)
{
	return (e->have_all_begun || e->share > 0) &&
	       atomic_load(&e->control->budget) > 0;
}

static inline int64_t engine_measured_since(const struct engine *e,
					    int64_t then, int64_t now)
{
	int64_t from = then > e->measure_at ? then : e->measure_at;
	int64_t to = now < e->end_at ? now : e->end_at;
	int64_t sent_at = control_sent_at(e->control);

	if (to > sent_at)
		to = sent_at;
	return to > from ? to - from : 0;
}

/* Nothing is planned any more; messages that are late are still sent. */
static inline bool engine_is_draining(const struct engine *e, int64_t now)
{
	return now >= e->end_at || now >= control_sent_at(e->control);
}

static inline bool engine_is_running(const struct engine *e, int64_t now)
{
	return now >= e->start_at && now < e->end_at;
}

/* Open loop: was the next message planned before the end, and is it in time? */
static inline bool engine_may_send(const struct engine *e, const struct conn *c,
				   int64_t now)
{
	return c->due_at < e->end_at && now < e->send_until;
}

static inline bool engine_is_open_loop(const struct engine *e)
{
	return e->plan->schedule != PLAN_CLOSED;
}

/* Open loop, not churn: messages were or will be planned, and may be sent. */
static inline bool engine_has_backlog(const struct engine *e,
				      const struct conn *c)
{
	return engine_is_open_loop(e) && c->due_at < e->end_at &&
	       !e->is_sending_over;
}

static inline bool conn_has_room(const struct engine *e, const struct conn *c)
{
	return !c->is_blocked && c->open < (uint32_t)e->plan->depth;
}

/* Mixed twice: neighbouring seeds must not share any arrivals. */
static inline uint64_t conn_seed(const struct engine *e, const struct conn *c)
{
	return random_mix(random_mix(e->plan->seed) ^ c->id);
}

/* Only with EXPECT_FRAMED. */
static inline struct reply_rule *reply_rule(const struct engine *e,
					    uint64_t seq)
{
	const struct engine_steps *loop = &e->loop;

	return &loop->list[loop->count > 1 ? seq % loop->count : 0].rule;
}

static inline struct message *conn_message(const struct engine *e,
					   const struct conn *c, uint64_t seq)
{
	return &c->ring[seq & (e->window - 1)];
}

#endif
