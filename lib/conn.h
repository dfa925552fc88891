/* SPDX-License-Identifier: MIT */
/*
 * A connection inside the library.
 *
 * It has one owner at every moment: the acceptor that made it, the queue, a
 * worker, nobody in particular while it is parked, the acceptor again when it
 * lingers.  wr_conn_move() is the only function that changes where it is; it
 * knows which moves are legal and keeps the gauges.  wr_conn_close_and_count()
 * is the only one that enters an outcome in the ledger.
 *
 * A connection is a slot of a table, recycled under a new generation and
 * never freed while the server lives; see owner.h for what that is good for.
 * A dialled connection is the same structure without core and table.
 */
#ifndef WR_CONN_H
#define WR_CONN_H

#include <limits.h>
#include <netinet/in.h>

#include "clock.h"
#include "core.h"
#include "owner.h"
#include "sys.h"
#include "timers.h"

enum wr_state {
	WR_CONN_FREE,
	WR_CONN_QUEUED,	   /* made by the acceptor, then in the queue */
	WR_CONN_READY,	   /* owned, on the list of those to be run */
	WR_CONN_RUNNING,   /* a worker has it */
	WR_CONN_PARKED,	   /* nobody has it; the poller tells of input */
	WR_CONN_LINGERING, /* the acceptor drains it before the close */
	WR_CONN_CLOSED,	   /* closed; somebody may still hold a reference */
	WR_CONN_STATES
};

/* What the acceptor is asked to do with it. */
enum {
	WR_INBOX_LINGER = 1,	/* yours now: drain it, then close */
	WR_INBOX_RESCHEDULE = 2 /* it wants to be visited earlier */
};

/*
 * Field key:	c  constant while the slot is in use
 *		o  the owner only
 *		l  under .lock
 *		a  atomic
 *		t  the acceptor only
 */
struct weir_conn {
	wr_owner owner;		  /* a */
	_Atomic int64_t due_at;	  /* a: owner writes, acceptor reads */
	_Atomic int64_t check_at; /* a: acceptor writes, owner reads */
	_Atomic int waiter_fd;	  /* a: of the worker that waits in it; -1 */
	atomic_uint refs;	  /* a: the library's own is one */
	atomic_uint inbox_bits;	  /* a */
	uint32_t index;		  /* c: of the slot */
	struct weir_conn *inbox_next;
	struct wr_core *core;		  /* c: NULL if dialled */
	struct wr_table *table;		  /* c: NULL if dialled */
	const struct wr_service *service; /* c */
	struct wr_context *ctx;		  /* o: of the thread that runs it */
	struct wr_node node;   /* o: in a queue, or of the free slots */
	struct wr_timer timer; /* t */
	uint64_t id;	       /* c */

	struct wr_lock lock;
	struct wr_outbox out;	 /* l */
	int64_t stalled_at;	 /* l: since when the peer takes nothing; 0 */
	uint64_t sent;		 /* l: bytes given to the kernel */
	uint64_t received;	 /* o: bytes taken from it */
	uint64_t taken;		 /* l: of these, when looked at last */
	int out_error;		 /* l: why nothing can be sent any more */
	bool is_stalled;	 /* l: the kernel is full, as far as we know */
	bool is_writing;	 /* l: a call waits with a part unsent */
	bool is_over;		 /* l: no more calls from other threads */
	bool wants_out_shut;	 /* l: SHUT_WR once all is sent */
	bool is_out_shut;	 /* l: done */
	bool is_finished;	 /* l: all is sent, it lingers or ends */
	_Atomic bool is_cut;	 /* a: socket shut down by a cancel or a stop */
	_Atomic bool is_counted; /* a: in the ledger */
	int fd;			 /* l to change, o to read */
	int in_error;		 /* o: what a receive said last */
	int file_error;		 /* o: why a file was not sent: of its read */

	uint8_t state;	       /* o: enum wr_state */
	uint8_t why;	       /* o: WEIR_OPENED ... */
	uint8_t outcome;       /* o: enum wr_outcome, while closing */
	uint8_t end;	       /* o: WEIR_END_..., once it is known */
	bool is_tcp;	       /* c */
	bool is_polled;	       /* o: the poller knows it */
	bool polls_output;     /* o: and tells of output */
	bool is_closing;       /* o: no more callbacks */
	bool was_opened;       /* o: `opened` has been called */
	bool close_cb_pending; /* o: `closed` is owed */
	bool drain_deferred;   /* o: in a drain, by its handler's wish */
	bool has_input;	       /* o: there may be input in the kernel */
	bool would_block;      /* o: there was none when we last looked */
	bool is_urgent;	       /* o: a short read proves nothing now */
	bool got_input;	       /* o: some input has come */
	bool has_ended;	       /* o: the end of input has been read */
	bool in_shut;	       /* o: SHUT_RD: no more input is wanted */
	bool lingers;	       /* t: in the acceptor's linger set */
	bool may_wait;	       /* o: SO_LINGER may be on: a close(2) waits */

	/* o: of the running call */
	bool has_asked;	       /* an input call was made */
	bool saw_eagain;       /* an input call said -EAGAIN */
	bool last_eagain;      /* the last one did */
	bool backpressured;    /* ... because of too much unsent output */
	bool budget_exhausted; /* ... because others want a turn */
	bool woken_again;      /* somebody, or it itself, wakes it again */
	bool eof_reported;     /* an input call told the end of input */
	uint8_t timed_out; /* the WEIR_END_... of a call's -ETIMEDOUT, or 0 */
	uint8_t unclocked; /* messages to give before a look at the clock */
	uint8_t clock_gap; /* ... and after that one */
	uint32_t events;   /* taken and not yet acted on */
	size_t turn_bytes; /* input given to the handler */

	struct wr_buffer in;  /* o */
	size_t scanned;	      /* o: so many bytes of it begin no delimiter, */
	size_t scanned_len;   /* o: which has this length and content */
	uint64_t scanned_for; /* o */
	int64_t born_at;      /* c */
	int64_t active_at;    /* o: end of the last call; idle counts from it */
	int64_t input_at;     /* o: last input */
	int64_t message_at;   /* o: when a half message began; 0: none */
	int64_t linger_at, linger_end_at; /* t: quiet until, end at all */
	uint64_t linger_bytes;		  /* t */
	struct weir_conn *linger_prev, *linger_next; /* t */
	int timeout_ms[WR_TMO_COUNT];		     /* o */
	socklen_t peer_len;			     /* 0: ask the socket */

	void *data; /* o */
	void (*drop)(void *data);
	void (*release)(
		struct weir_conn *c); /* c: the last reference is gone */
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} peer; /* c */
};

/* From 128 KiB on malloc(3) maps a slab of 256 by itself, in whole pages. */
_Static_assert(sizeof(struct weir_conn) <= 504,
	       "what an idle connection takes is promised");

/* A caller's memory: a length that is a negative number is none. */
static inline bool wr_is_memory(const void *mem, size_t len)
{
	return len <= SSIZE_MAX && (mem != NULL || len == 0);
}

/* ------------------------------------------------------------- conn_table */
/* Slots; see conn_table.c. */

struct wr_table;

/* See sys.h: for a handler's call, whose thread may be one of the program's. */
#define WR_NO_CANCEL_IN(c) WR_NO_CANCEL_IF((c) && (c)->table == NULL)

/* Key of a connection in the poller. */
static inline uint64_t wr_conn_key(const struct weir_conn *c)
{
	return (uint64_t)wr_owner_generation(&c->owner) << 32 | c->index;
}

/* ------------------------------------------------------------------- conn */

/* Ready a blank slot or dialled structure for the descriptor. */
void wr_conn_begin(struct weir_conn *c, const struct wr_service *service,
		   int fd, int64_t now);

void wr_conn_move(struct weir_conn *c, struct wr_stats *stats, int to);

/*
 * Raise reports on it from any thread; if nobody owned it, it goes on the
 * ready list, and if its owner waits inside a session, that wait is rung.
 */
void wr_conn_post(struct weir_conn *c, struct wr_stats *stats,
		  uint32_t generation, uint32_t reports);

/* When something has to happen to it if nothing else does. */
int64_t wr_conn_due_at(struct weir_conn *c);

/* Owner, after that time: which deadline it was, as WEIR_END_... */
uint8_t wr_conn_due_end(struct weir_conn *c);

/* Owner: tell the acceptor, which visits it at the right time. */
void wr_conn_set_due(struct weir_conn *c, int64_t at);

/* Owner: the visit has come (WR_EV_DEADLINE); when the next is, is to be seen.
 */
static inline void wr_conn_forget_check(struct weir_conn *c)
{
	atomic_store_explicit(&c->due_at, WR_NEVER_AT, memory_order_relaxed);
}

/* Owner: give it to the acceptor, or ask for a visit (WR_MAIL_...). */
void wr_conn_notify_acceptor(struct weir_conn *c, unsigned mail);

/*
 * Shut the socket down so that whoever waits for it wakes; not one that is
 * finished and lingers.  Any thread.
 */
void wr_conn_cut(struct weir_conn *c);

/*
 * The same for a thread that must not wait.  False: another thread has the
 * lock, and may have it for long: a send(2) waits where the program's memory
 * has to be fetched first.
 */
bool wr_conn_try_cut(struct weir_conn *c);

/*
 * Owner: a handler that ends with this error passes on what the socket said,
 * which is that the peer is lost.
 */
bool wr_conn_is_lost(struct weir_conn *c, int error);

/* Owner: others get -EPIPE from now. */
void wr_conn_seal(struct weir_conn *c);

/* Owner: the last callbacks (`closed`, drop), unless they were made before. */
void wr_conn_run_close_callbacks(struct weir_conn *c);

/* Owner: close the descriptor, enter the outcome, drop our reference. */
void wr_conn_close_and_count(struct weir_conn *c, struct wr_stats *stats,
			     int outcome);

/*
 * Owner: end our direction at once.  A peer that has got a part of a file must
 * not take it for the whole: it gets a reset.
 */
void wr_conn_hang_up(struct weir_conn *c);

/*
 * Owner, all output sent: end it with its outcome and without a reset.  The
 * descriptor is closed now if the peer has finished too, else the acceptor
 * does it later.
 */
void wr_conn_finish(struct weir_conn *c);

/* Owner, before any callback: tell the peer why not, then finish. */
void wr_conn_refuse(struct weir_conn *c, int outcome);

/*
 * Throw away input, at most so many bytes.  True: the peer has finished, or
 * is gone; false: it may send more.  *bytes counts.
 */
bool wr_conn_discard(struct weir_conn *c, size_t most, uint64_t *bytes);

/*
 * The peer's address for a log line; buf has WR_PEER_TEXT bytes.  For the
 * owner, or for a thread that must not wait.
 */
#define WR_PEER_TEXT 160
const char *wr_conn_peer_text(struct weir_conn *c, char *buf);
const char *wr_conn_try_peer_text(struct weir_conn *c, char *buf);

/* ------------------------------------------------------------- conn_input */

/* Before a callback: forget what was of the last one. */
void wr_conn_input_begin(struct weir_conn *c);

/* Owner, not in a callback: give unused memory back to the context. */
void wr_conn_input_tidy(struct weir_conn *c);

/* Owner: look at the socket, take nothing: 1 (input, or its end), 0, -errno */
int wr_conn_input_probe(struct weir_conn *c);

/* The same for input that nobody has reported, and note that it is there. */
int wr_conn_input_find(struct weir_conn *c);

/* ------------------------------------------------------------ conn_output */

/* For file_error, beside the errors of pread(2). */
#define WR_FILE_TOO_SHORT (-ENODATA)

/* What a flush leaves behind; errors are -errno, of a file -EIO. */
enum {
	WR_FLUSH_DONE = 0,    /* nothing */
	WR_FLUSH_STALLED = 1, /* the kernel takes no more: it will tell */
	WR_FLUSH_YIELDED = 2  /* it would take more: others want a turn */
};

/* Owner: send what is queued. */
int wr_conn_flush(struct weir_conn *c);

/* Owner, without the lock: only the owner queues and sends files. */
static inline bool wr_conn_has_output(const struct weir_conn *c)
{
	return wr_outbox_bytes(&c->out) > 0 || wr_outbox_has_files(&c->out);
}

/*
 * Enough is unsent: no more input is given to the handler.  From half the
 * mark on, so that a reply of up to the other half never makes it wait; and
 * while a file is queued, so that no peer takes a descriptor per request.
 */
static inline bool wr_conn_is_congested(const struct weir_conn *c)
{
	return wr_outbox_has_files(&c->out) ||
	       2 * wr_outbox_bytes(&c->out) >= c->service->set.outbox_max;
}

/* Owner: the handler may be given input. */
static inline bool wr_conn_is_readable(const struct weir_conn *c)
{
	return c->has_input && !wr_conn_is_congested(c);
}

/*
 * The running thread waits for input; is_mid: inside a message.  0: look
 * again; -ETIMEDOUT, -ESHUTDOWN, -ECANCELED, -EINTR, or an output error.
 */
int wr_conn_wait_input(struct weir_conn *c, bool is_mid);

/*
 * After a flush that stalled: until the kernel takes output, or its time is
 * up.  0: flush again; -ETIMEDOUT (it was up already), -ECANCELED.
 */
int wr_conn_wait_output(struct weir_conn *c);

/* A reference is the connection itself, under a type of its own. */
static inline struct weir_conn *wr_conn_of(weir_ref *ref)
{
	return (struct weir_conn *)(void *)ref;
}

#endif
