/* SPDX-License-Identifier: MIT */
/*
 * A connection inside the library: a slot of a table, recycled under a new
 * generation.  One of weir_dial() has no core and no table.
 *
 * A connection has at most one owner (docs/ARCHITECTURE.md).  A function is for
 * the owner unless its comment, or the field key of what it reads, says
 * otherwise.
 */
#ifndef WR_CONN_H
#define WR_CONN_H

#include <limits.h>
#include <netinet/in.h>
#include <poll.h>

#include "clock.h"
#include "connect.h"
#include "core.h"
#include "coroutine.h"
#include "layer.h"
#include "owner.h"
#include "proxy.h"
#include "sys.h"
#include "timers.h"

enum wr_where {
	WR_CONN_FREE,
	WR_CONN_QUEUED, /* accepted, waits for a worker */
	WR_CONN_READY,	/* has events, waits for a worker */
	WR_CONN_RUNNING,
	WR_CONN_PARKED,	   /* no owner; the poller watches it */
	WR_CONN_LINGERING, /* the acceptor discards input */
	WR_CONN_CLOSED,
	WR_CONN_WHERE_COUNT
};

/* Only goes up. */
enum wr_end {
	WR_END_OPEN,
	WR_END_CLOSING,	 /* only `closed` is called from now on */
	WR_END_FIN_SENT, /* output sent, SHUT_WR done */
	WR_END_CLOSED
};

/* Both only go up. */
enum wr_in_end {
	WR_IN_OPEN,
	WR_IN_SHUT, /* the handler called SHUT_RD */
	WR_IN_EOF
};

enum wr_out_end {
	WR_OUT_OPEN,
	WR_OUT_ENDING, /* SHUT_WR once all is sent */
	WR_OUT_SHUT
};

/*
 * Result of the input calls of one callback.  Only goes up, but two things set
 * WR_INPUT_GIVEN again: a message after WR_INPUT_EMPTY, and a last line without
 * newline after WR_INPUT_EOF.
 */
enum wr_input {
	WR_INPUT_NOT_ASKED,
	WR_INPUT_GIVEN,
	WR_INPUT_EMPTY,	       /* -EAGAIN: no complete message */
	WR_INPUT_BACKPRESSURE, /* -EAGAIN: too much unsent output */
	WR_INPUT_BUDGET,       /* -EAGAIN: let others run */
	WR_INPUT_EOF
};

/* States of few connections, in one byte: the usual path tests it once. */
enum {
	WR_RARE_INPUT_OFF = 1 << 0, /* the handler is not called for input */
	WR_RARE_END_GIVEN = 1 << 1, /* the handler knows that input has ended */
	WR_RARE_TIMER = 1 << 2,	    /* weir_conn_set_timer() */
	WR_RARE_PROXY = 1 << 3	    /* its PROXY header has not come yet */
};

/* What the library adds to the count of the program's references. */
#define WR_REFS_COUNT	((UINT64_C(1) << 32) - 1)
#define WR_REFS_PIN	(UINT64_C(1) << 32) /* each of wr_conn_pin() */
#define WR_REFS_SLOT	(UINT64_C(1) << 62) /* not counted in the ledger yet */
#define WR_REFS_HANDLER (UINT64_C(1) << 63) /* it may take references */

/* What a session on a stack of its own waits for. */
enum wr_wait {
	WR_WAIT_NOTHING,
	WR_WAIT_INPUT,
	WR_WAIT_REST,	/* of a message */
	WR_WAIT_OUTPUT, /* room */
	WR_WAIT_TURN,	/* others run first */
	WR_WAIT_OTHER	/* struct wr_other */
};

/* A wait of a session for something besides its peer. */
struct wr_other {
	int64_t at;
	/*
	 * A drain ends it at this time, but not before WR_MESSAGE_QUIET_NS of
	 * the drain have passed; 0: at once; WR_NEVER_AT: never.
	 */
	int64_t quiet_at;
	uint32_t events; /* that end it, besides OTHER; OUT: all is sent */
	bool is_firm;	 /* only a cut interrupts it */
};

/* Whether it is to end, to make room for a client that waits. */
enum wr_eviction {
	WR_EVICTION_NONE,
	WR_EVICTION_ASKED, /* if it is idle; its owner has not looked yet */
	WR_EVICTION_SPARED /* it is idle, but there is room again */
};

/* Requests to the acceptor. */
enum { WR_INBOX_LINGER = 1, WR_INBOX_RESCHEDULE = 2 };

struct wr_in {
	struct wr_buffer buf;
	size_t scanned;		   /* bytes searched in vain ... */
	uint64_t scan_mark;	   /* ... for this delimiter */
	_Atomic uint64_t received; /* bytes; any thread reads */
	int64_t last_at;	   /* time of the last receive */
	int64_t message_at;	   /* start of an incomplete message; 0: none */
	int error;
	uint8_t end;		 /* enum wr_in_end */
	bool is_ready;		 /* input or its end is there */
	bool would_block;	 /* the last receive said -EAGAIN */
	bool has_exceptions : 1; /* urgent data or end seen */
	bool is_held : 1;	 /* by unsent output, which stops read_ms */
	bool is_lost : 1;	 /* a look has seen its reset */
};

struct wr_out {
	struct wr_outbox box;
	int64_t stalled_at; /* write_ms counts from here; 0: no stall yet */
	uint64_t sent;	    /* bytes */
	uint64_t acked;	    /* of these, acknowledged at stalled_at */
	int error;	    /* -errno: output is broken */
	int file_error;	    /* o: -errno: file not readable */
	uint32_t counted;   /* bytes of the box, taken off outbox_left */
	uint8_t end;	    /* enum wr_out_end */
	bool is_stalled;    /* socket buffer is full */
	bool was_left;	    /* the last flush has left some unsent */
	bool is_writing;    /* a handler waits in mid-message */
	/* The worker that flushes it at the end of a callback; NULL: none. */
	const struct wr_context *flusher;
};

/* Of the running callback, or where "stays" is said, of the last one. */
struct wr_call {
	size_t bytes;	   /* given as input, or written by a session */
	uint32_t messages; /* given as input */
	uint8_t why;	   /* WEIR_OPENED ...; 0: no callback yet; stays */
	uint8_t input;	   /* enum wr_input; stays */
	uint8_t timed_out; /* WEIR_END_... behind -ETIMEDOUT; 0 */
	bool saw_eagain;
	bool was_off;	      /* `expired`: with WR_RARE_INPUT_OFF before it */
	bool has_ticked;      /* a timer ended the last wait */
	bool drain_deferred;  /* kept by the call with WEIR_DRAIN; stays */
	bool woken_again;     /* woken during the callback; stays */
	bool was_interrupted; /* inside a message: the next wait is -EINTR */
	bool wait_failed;     /* the last wait failed; not parked since then */
	bool other_came;      /* WR_EV_OTHER, in the last wait */
	bool other_hung_up;   /* WR_EV_OTHER_HUP, in any wait */
};

struct wr_linger {
	int64_t quiet_at; /* ends if nothing comes until then */
	int64_t end_at;	  /* ends at the latest; 0: not begun */
	uint64_t bytes;
	struct weir_conn *prev, *next;
};

struct wr_peer {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} addr;		 /* l */
	uint8_t len;	 /* l: of addr; 0: ask the socket */
	uint16_t source; /* o: see wr_admission_judge() */
};

/*
 * Field key:	c  constant while the slot is in use
 *		o  the owner only
 *		l  under .lock to change; the owner reads without it
 *		a  atomic
 *		t  the acceptor only
 */
struct weir_conn {
	/* The slot: outlives the connection in it. */
	wr_owner owner;	       /* a */
	_Atomic int waiter_fd; /* a: wake fd of a session on a worker; -1 */
	struct wr_word_lock lock;
	_Atomic uint64_t refs;	/* a: the program's, and WR_REFS_... */
	atomic_uint inbox_bits; /* a: WR_INBOX_... */
	uint32_t index;		/* c */
	struct weir_conn *inbox_next;
	struct wr_core *core;	      /* c: NULL: weir_dial() */
	struct wr_table *table;	      /* c: NULL: weir_dial() */
	struct wr_node node;	      /* o: in a queue or free list */
	struct wr_timer timer;	      /* t */
	_Atomic uintptr_t stack_hint; /* a: see session.h; 0 */

	/* One connection: wr_conn_begin() clears all that follows. */
	const struct wr_service *service; /* c */
	struct wr_context *ctx;		  /* o: the owner's */
	uint64_t id;			  /* c */
	_Atomic int64_t due_at;		  /* a: owner writes, acceptor reads */
	_Atomic int64_t check_at;	  /* a: acceptor writes, owner reads */
	int64_t born_at;	   /* l: for dialled ones, when connected */
	_Atomic int64_t active_at; /* a: idle since; the owner writes */
	_Atomic int fd;		   /* a: changed under .lock; -1: closed */
	uint32_t events;	   /* o: fetched, not handled yet */
	_Atomic uint8_t where;	   /* o: enum wr_where; wr_conn_move() */
	uint8_t end;		   /* l: enum wr_end */
	uint8_t cause;		   /* o: WEIR_END_..., once it is known */
	uint8_t outcome;	   /* o: enum wr_outcome, once it is closing */
	uint8_t interest;	   /* o: WR_POLL_...; 0: not watched */
	uint8_t rare;		   /* o: WR_RARE_... */
	uint8_t layered;	   /* l: WR_LAYER_... */
	bool is_tcp : 1;	   /* c */
	bool is_dialled : 1;	   /* c: no client has opened it */
	bool is_spawned : 1;	   /* c: and it has no socket */
	bool is_connecting;	   /* l: fd is -1; see struct wr_dialled */
	bool is_unproven : 1;	   /* o: no message was given yet */
	bool is_evicted : 1;	   /* o: it ends to make room */
	bool has_no_place : 1;	   /* o: it counts against no limit */
	bool may_block_close : 1;  /* o: SO_LINGER may be set */
	bool shares_data;	   /* l: data lives as long as references */
	bool is_relayed;	   /* l: see wr_conn_set_relayed() */
	_Atomic uint8_t eviction;  /* a: enum wr_eviction */
	_Atomic bool is_cut;	   /* a: cancelled, or cut by a stop */
	_Atomic bool is_counted;   /* a: in the ledger */
	_Atomic uint8_t wait_for;  /* a: enum wr_wait; the owner writes */
	struct wr_layer *layer;	   /* o: made when its handshake begins */
	struct wr_in in;	   /* o */
	struct wr_out out;	   /* l */
	struct wr_call call;	   /* o */
	union {
		struct {
			int64_t wait_at;  /* o: of a first byte, or a pause */
			int64_t timer_at; /* o: with WR_RARE_TIMER */
			struct wr_coro *coro; /* o: of its session; NULL */
			int wait_rc; /* o: result of a wait, or verdict */
			const struct wr_other *other; /* o: WR_WAIT_OTHER */
		};
		struct wr_linger linger; /* t: while it lingers */
	};
	int timeout_ms[WR_TMO_COUNT]; /* o: 0: as the service's limits */
	int error;		      /* o: -errno behind the cause; 0 */
	struct wr_peer peer;
	struct wr_proxy *proxy; /* l to change: what its header tells; NULL */
	void *data;		/* o; c with shares_data */
	void (*drop)(void *data);
};

/* With c->is_dialled, c->service is the first part of this. */
struct wr_dialled {
	struct wr_service service;
	struct wr_connect *connect; /* NULL: connected */
	void (*drop)(void *arg);    /* of a spawned session; or NULL */
};

/* One of weir_dial(). */
struct wr_own_conn {
	struct weir_conn conn;
	struct wr_context ctx;
	struct wr_stats stats;
	/* The session to which its events are reported; table NULL: none. */
	struct wr_table *watcher_table;
	uint64_t watcher; /* key of that session */
	/* Bytes of output, also unsent ones, when input has last come. */
	uint64_t answered;
};

/* A slab of 256 stays below 128 KiB, where malloc(3) maps whole pages. */
_Static_assert(sizeof(struct weir_conn) <= 496,
	       "what an idle connection takes is promised");

/* Any thread; may be outdated at once. */
static inline int wr_conn_where(const struct weir_conn *c)
{
	return atomic_load_explicit(&c->where, memory_order_acquire);
}

static inline bool wr_conn_is_in_use(const struct weir_conn *c)
{
	int where = wr_conn_where(c);

	return where != WR_CONN_FREE && where != WR_CONN_CLOSED;
}

struct wr_table;

/*
 * Only a connection of weir_dial() is used by threads that can be cancelled.
 * In a session nothing is done: it may continue in another thread.
 */
#define WR_NO_CANCEL_IN(c)                                                     \
	WR_NO_CANCEL_IF((c) && (c)->table == NULL && wr_coro_current() == NULL)

/* Its key in the poller: that of the events of its descriptor. */
static inline uint64_t wr_conn_key(const struct weir_conn *c)
{
	return (uint64_t)wr_owner_generation(&c->owner) << 32 | c->index;
}

/* Added to the key of a descriptor that it waits for besides its own. */
#define WR_KEY_OTHER (UINT64_C(1) << 63)

/* Of a connection with c->is_dialled. */
static inline struct wr_dialled *wr_conn_dialled(const struct weir_conn *c)
{
	return wr_container_of((void *)(uintptr_t)c->service, struct wr_dialled,
			       service);
}

/* ------------------------------------------------------------------- conn */

void wr_conn_begin(struct weir_conn *c, const struct wr_service *service,
		   int fd, int64_t now);

static inline void wr_conn_set_active(struct weir_conn *c, int64_t at)
{
	atomic_store_explicit(&c->active_at, at, memory_order_relaxed);
}

/* Answer a request to end.  True: it ends, as it is idle and room is short. */
bool wr_conn_evict(struct weir_conn *c);

static inline bool wr_conn_was_asked(const struct weir_conn *c)
{
	return atomic_load_explicit(&c->eviction, memory_order_acquire) ==
	       WR_EVICTION_ASKED;
}

/* Before it is parked: a request to end that left it open is over. */
static inline void wr_conn_keep(struct weir_conn *c)
{
	if (wr_conn_was_asked(c))
		atomic_store(&c->eviction, WR_EVICTION_NONE);
	if (c->is_evicted && c->end == WR_END_OPEN)
		c->is_evicted = false;
}

static inline void wr_conn_prove(struct weir_conn *c)
{
	if (c->is_unproven)
		atomic_fetch_sub(&c->core->admission.unproven, 1);
	c->is_unproven = false;
}

void wr_conn_move(struct weir_conn *c, struct wr_stats *stats, int to);

/* Worker: wr_conn_move() for the two moves of each message. */
static WR_INLINE void wr_conn_enter_parked(struct weir_conn *c,
					   struct wr_stats *stats)
{
	wr_assert(wr_conn_where(c) == WR_CONN_RUNNING);
	wr_count_own(&stats->parked, 1);
	atomic_store_explicit(&c->where, WR_CONN_PARKED, memory_order_release);
}

static WR_INLINE void wr_conn_leave_parked(struct weir_conn *c,
					   struct wr_stats *stats)
{
	wr_assert(wr_conn_where(c) == WR_CONN_PARKED);
	wr_count_own(&stats->parked, (uint64_t)-1);
	atomic_store_explicit(&c->where, WR_CONN_RUNNING, memory_order_release);
}

/* Any thread.  Queues it if it has no owner; wakes a session on a worker. */
void wr_conn_post(struct weir_conn *c, struct wr_stats *stats,
		  uint32_t generation, uint32_t events);

/* The time of the next check.  If not after ctx->now, a deadline has passed. */
int64_t wr_conn_due_at(struct weir_conn *c);

/* The same for the output alone. */
int64_t wr_conn_stall_at(struct weir_conn *c);

/* After wr_conn_due_at(): the deadline as WEIR_END_... */
uint8_t wr_conn_due_end(struct weir_conn *c);

bool wr_conn_has_outlived(const struct weir_conn *c);

/*
 * In a drain: until when to wait for a first message, or for the rest of one
 * (is_mid).  0: do not wait.
 */
int64_t wr_conn_drain_until(const struct weir_conn *c, bool is_mid);
/* Of a message, or of a handshake. */
bool wr_conn_is_mid(const struct weir_conn *c);

/* True: its timer has passed, and is off now. */
bool wr_conn_take_timer(struct weir_conn *c);

/*
 * Ask the acceptor for a deadline check at this time.  "No deadline is missed":
 * the owner writes due_at, then reads check_at; the acceptor writes check_at,
 * then reads due_at.  One of them sees the other.
 */
void wr_conn_set_due_earlier(struct weir_conn *c, int64_t at);

static inline void wr_conn_set_due(struct weir_conn *c, int64_t at)
{
	if (at < atomic_load_explicit(&c->due_at, memory_order_relaxed))
		wr_conn_set_due_earlier(c, at);
	else
		atomic_store_explicit(&c->due_at, at, memory_order_relaxed);
}

/* On WR_EV_DEADLINE: no check is outstanding; a new deadline asks for one. */
static inline void wr_conn_forget_check(struct weir_conn *c)
{
	atomic_store_explicit(&c->due_at, WR_NEVER_AT, memory_order_relaxed);
}

void wr_conn_notify_acceptor(struct weir_conn *c, unsigned what);

/* Any thread: shut the socket down unless all is sent.  Waits are cancelled. */
void wr_conn_cut(struct weir_conn *c);

/* The same without waiting for the lock: if it is held, only is_cut is set. */
void wr_conn_try_cut(struct weir_conn *c);

/*
 * Its bytes are those of another peer.  A cut resets it unless the end of the
 * output was sent: the peer must not mistake a part for the whole.  idle_ms
 * replaces first_byte_ms.
 */
void wr_conn_set_relayed(struct weir_conn *c);

/* The reset alone, unless the end was sent. */
void wr_conn_reset(struct weir_conn *c);

/* An error that the socket has returned, of a lost peer. */
bool wr_conn_is_lost(struct weir_conn *c, int error);

/* Of a connection whose peer is gone: -ECONNRESET, or -ECANCELED for a cut. */
int wr_conn_gone_error(const struct weir_conn *c);

/* As wr_conn_input_probe(), without poll(2), which may be refused. */
int wr_conn_peek(struct weir_conn *c);

void wr_conn_begin_close(struct weir_conn *c);

bool wr_conn_has_close_callbacks(const struct weir_conn *c);

void wr_conn_run_close_callbacks(struct weir_conn *c);

/* After the last callback.  Shared data is left to the last reference. */
void wr_conn_drop_data(struct weir_conn *c);

/* Any thread: keep the slot, but not the data.  False: it has ended. */
bool wr_conn_pin(struct weir_conn *c);
void wr_conn_unpin(struct weir_conn *c);

/* Drop the library's reference. */
void wr_conn_drop_slot(struct weir_conn *c);

/* End it and free what it holds; the caller closes the descriptor. */
int wr_conn_detach(struct weir_conn *c);

/* Also drops the library's reference. */
void wr_conn_close_and_count(struct weir_conn *c, struct wr_stats *stats,
			     int outcome);

/* End the output, with a reset if a file or a relay was cut off. */
void wr_conn_hang_up(struct weir_conn *c);

/* All output is sent: end it; close, or linger until the peer has finished. */
void wr_conn_finish(struct weir_conn *c);

/*
 * Before any callback: send the refusal text and finish.  why is for the log
 * and the program; NULL: that of the outcome.
 */
void wr_conn_refuse(struct weir_conn *c, int outcome, const char *why);

/* Adds to *bytes.  True: the peer has finished or is gone. */
bool wr_conn_discard(struct weir_conn *c, size_t most, uint64_t *bytes);

/* wr_conn_refuse() without a reply or a linger. */
void wr_conn_turn_away(struct weir_conn *c, int outcome, const char *why);

/* A deadline (enum wr_timeout) in ms; -1: never. */
static inline int wr_conn_timeout(const struct weir_conn *c, int which)
{
	int own = c->timeout_ms[which];

	return own ? own : wr_limits(c->service)->timeout_ms[which];
}

/* Owner, or with the lock: the peer of the socket.  Length, or -errno. */
int wr_conn_direct_peer(const struct weir_conn *c,
			struct sockaddr_storage *ret);

/* The same for the client that the header names, or else the peer. */
int wr_conn_client(const struct weir_conn *c, struct sockaddr_storage *ret);

/* The same for the address that the client has connected to. */
int wr_conn_target(const struct weir_conn *c, struct sockaddr_storage *ret);

/* For logs; names the proxy, too.  The second: any thread, never waits. */
#define WR_PEER_TEXT 256
const char *wr_conn_peer_text(struct weir_conn *c, char *buf);
const char *wr_conn_try_peer_text(struct weir_conn *c, char *buf);

/* The word before it: "from" or "to". */
const char *wr_conn_direction(const struct weir_conn *c);

/* ------------------------------------------------------------- conn_input */

/* Without a wait, past what is buffered.  0: end of input. */
ssize_t wr_conn_receive(struct weir_conn *c, void *buf, size_t cap);

/* Outside of callbacks: free unused memory. */
void wr_conn_input_tidy(struct weir_conn *c);

/* 1: input or its end is there; 0: none; -ECONNRESET; -ECANCELED: a cut. */
int wr_conn_input_probe(struct weir_conn *c);

/* The same, through the layer: 1: a read by the handler would not wait. */
int wr_conn_input_find(struct weir_conn *c);

static inline void wr_conn_input_came(struct weir_conn *c)
{
	c->in.would_block = false;
	if (c->layer == NULL)
		return;
	c->layer->is_dry = false;
	if (c->layer->wants_input)
		c->events |= WR_EV_OUT;
	c->layer->wants_input = false;
}

static inline short wr_conn_output_event(const struct weir_conn *c)
{
	return c->layer && c->layer->wants_input ? POLLIN : POLLOUT;
}

/* In a session, or of weir_dial().  In a handshake, waits for the peer. */
int wr_conn_wait_input(struct weir_conn *c);

bool wr_conn_input_is_over(struct weir_conn *c);

/* ------------------------------------------------------------- conn_proxy */

/*
 * 1: the header is taken, and input behind it left; 0: more of it has to come;
 * -ENODATA: the input has ended; -EACCES: the peer is no trusted proxy;
 * -EPROTO: *why says how; another -errno: of the socket, or -ENOMEM.
 */
int wr_conn_take_header(struct weir_conn *c, const char **why);

/* -------------------------------------------------------------- conn_wait */

/* On the stack of its session, which another worker may resume. */
int wr_conn_park(struct weir_conn *c, enum wr_wait what);

/* A wait for input begins at ctx->now. */
void wr_conn_note_wait(struct weir_conn *c, bool is_mid);

/* -EINTR: its timer ends a wait for input; -ETIMEDOUT: another deadline. */
int wr_conn_end_wait(struct weir_conn *c);

/* When a wait for room ends, or checks the progress. */
int64_t wr_conn_room_at(struct weir_conn *c);

/* -ETIMEDOUT: that time has come and the peer has taken too little; else 0. */
int wr_conn_check_room(struct weir_conn *c);

/*
 * In a callback: wait until the time at for events of poll(2) or a wake-up.
 * The events; 0: none; -errno.  In a session that waits for a connection of
 * weir_dial(), also as wr_conn_check_other(), which heeds is_firm.
 */
int wr_conn_poll(struct weir_conn *c, short events, int64_t at, bool is_firm);

/*
 * poll(2), also under an RLIMIT_NOFILE below count: then for fewer, or none,
 * and briefly.  -EINVAL: it took not even the first.
 */
int wr_conn_poll_within_limit(struct pollfd *fds, int count, int timeout_ms);

/* Sets revents of c; room may stay unseen.  1: an event is there; 0; -errno. */
int wr_conn_look(struct weir_conn *c, struct pollfd *of);

/* The session that runs in the calling thread; NULL. */
struct weir_conn *wr_conn_session(void);

/* Before it waits: with session_on_worker nothing else sends its output. */
void wr_conn_flush_waiting(struct weir_conn *session);

/*
 * In its session: wait until WR_EV_OTHER comes (with session_on_worker: the
 * events of fds) or *o ends the wait.  fds has room for count + 2.  0: look
 * again; else as wr_conn_check_other(), or why it cannot wait.
 */
int wr_conn_wait_other(struct weir_conn *c, const struct wr_other *o,
		       struct pollfd *fds, int count);

/*
 * More for struct weir_poll.  WR_POLL_RELAY: a cut ends the wait, and idle_ms
 * applies with or without WEIR_POLL_INPUT.
 */
#define WR_POLL_SENT  4 /* its output is sent, or cannot be */
#define WR_POLL_LOST  8 /* its peer is lost */
#define WR_POLL_RELAY 16

/* weir_conn_wait() without the check of its arguments. */
int wr_conn_wait_ready(struct weir_poll *list, int count, int timeout_ms);

/*
 * The same for a session on a stack of its own that has received until -EAGAIN
 * and sent until the socket was full: the poller reports each edge after that.
 * The caller calls wr_conn_note_wait().  > 0: connections of weir_dial(), also
 * those that are not in the list, may have input; 0: only the session's own may
 * have an event; -errno.
 */
int wr_conn_wait_edge(struct weir_poll *list, int count);

/* Any thread: what a session, or its connecting, waits for has come. */
void wr_conn_post_answer(void *session);

/* What interrupts wr_conn_wait_other().  0: nothing; -errno. */
int wr_conn_check_other(struct weir_conn *c, const struct wr_other *o);

/* rc is that of a drain: what has come before it is looked at first. */
bool wr_conn_was_drained(const struct weir_conn *c, int rc);

/* The time of the next check. */
int64_t wr_conn_other_at(const struct weir_conn *c, const struct wr_other *o);

/* Of weir_dial(): its events are reported to the session, or no longer. */
int wr_conn_watch(struct weir_conn *c, struct weir_conn *session);
void wr_conn_unwatch(struct weir_conn *c, int fd);

/* Of weir_dial(): its peer has sent something. */
void wr_conn_note_answer(struct weir_conn *c);

/* When a wait for its input ends in a drain, as wr_other.quiet_at. */
int64_t wr_conn_quiet_at(struct weir_conn *c, int64_t quiet_ns);

/*
 * After WR_FLUSH_STALLED.  0: flush again; -ETIMEDOUT: the deadline had passed
 * before; -ECANCELED.
 */
int wr_conn_wait_output(struct weir_conn *c);

/* A session on a stack of its own goes behind the others.  0 or -errno. */
int wr_conn_let_others_run(struct weir_conn *c);

/* After a flush that has left output. */
int wr_conn_wait_flush(struct weir_conn *c, int flushed);

/* ------------------------------------------------------------ conn_output */

/* A value of file_error, besides errors of pread(2). */
#define WR_FILE_TOO_SHORT (-ENODATA)

/* Results of a flush, or -errno; -EIO for a file. */
enum {
	WR_FLUSH_DONE = 0,
	WR_FLUSH_STALLED = 1, /* socket buffer full */
	WR_FLUSH_YIELDED = 2  /* the turn is over; let others run */
};

int wr_conn_flush(struct weir_conn *c);

/* Send now, and keep what the kernel does not take. */
int wr_conn_put(struct weir_conn *c, const void *buf, size_t len);

/* Worker, after a callback: flush the connections that it has sent to. */
void wr_conn_flush_others(struct wr_context *ctx);

bool wr_conn_output_has_failed(struct weir_conn *c);

bool wr_conn_output_is_open(struct weir_conn *c);

/* The output has been sent and shut down. */
bool wr_conn_output_is_over(struct weir_conn *c);

/* Callbacks of a service with `readable` never wait, nor does `closed`. */
static inline bool wr_conn_may_wait(const struct weir_conn *c)
{
	return c->service->set.readable == NULL && c->end == WR_END_OPEN;
}

/* Needs no lock: other threads change only the count of bytes. */
static inline bool wr_conn_has_output(const struct weir_conn *c)
{
	return wr_outbox_bytes(&c->out.box) > 0 ||
	       wr_outbox_has_files(&c->out.box) ||
	       (c->layer && wr_layer_has_output(c));
}

/*
 * What is left of outbox_total is shared: a connection may fill its outbox up
 * to an eighth of it, so a new slow peer gets as much as the earlier ones.
 */
static inline size_t wr_conn_outbox_limit(const struct weir_conn *c, size_t set)
{
	int64_t left = c->core ? atomic_load_explicit(&c->core->outbox_left,
						      memory_order_relaxed)
			       : INT64_MAX;
	size_t part = WR_OUTBOX_LEAST;

	if (left > (int64_t)(WR_OUTBOX_LEAST * WR_OUTBOX_PART))
		part = (size_t)((uint64_t)left / WR_OUTBOX_PART);
	return wr_min(part, set);
}

/* Under the lock: bring core->outbox_left up to date. */
static inline void wr_conn_count_outbox(struct weir_conn *c)
{
	size_t bytes = wr_outbox_bytes(&c->out.box);

	if (bytes == c->out.counted || c->core == NULL)
		return;
	atomic_fetch_add_explicit(&c->core->outbox_left,
				  (int64_t)c->out.counted - (int64_t)bytes,
				  memory_order_relaxed);
	c->out.counted = (uint32_t)bytes;
}

static inline size_t wr_conn_outbox_mark(const struct weir_conn *c)
{
	return wr_conn_outbox_limit(c, wr_limits(c->service)->outbox_mark);
}

/*
 * Unsent output stops input: from half of the mark on, so that the reply that
 * is being written has the other half; and while a file is queued, so that
 * pipelined requests do not take a descriptor each.
 */
static inline bool wr_conn_is_congested(const struct weir_conn *c)
{
	size_t bytes = wr_outbox_all_bytes(&c->out.box), mark;

	if (wr_outbox_has_files(&c->out.box))
		return true;
	if (bytes == 0 || c->service->set.full_duplex)
		return false;
	mark = wr_limits(c->service)->outbox_mark;
	/* Its part of outbox_total is at least WR_OUTBOX_LEAST. */
	return 2 * bytes >= wr_min(mark, WR_OUTBOX_LEAST) &&
	       2 * bytes >= wr_conn_outbox_limit(c, mark);
}

/* For WEIR_WRITABLE. */
static inline bool wr_conn_has_room(const struct weir_conn *c)
{
	size_t bytes = wr_outbox_all_bytes(&c->out.box);

	return !wr_outbox_has_files(&c->out.box) &&
	       (bytes == 0 || 2 * bytes < wr_conn_outbox_mark(c));
}

static inline bool wr_conn_is_readable(const struct weir_conn *c)
{
	return c->in.is_ready && !wr_conn_is_congested(c);
}

/* A reference is the connection, under another type. */
static inline struct weir_conn *wr_conn_of(weir_ref *ref)
{
	return (struct weir_conn *)(void *)ref;
}

#endif
