/* SPDX-License-Identifier: MIT */
/*
 * A connection inside the library.
 *
 * It has one owner at a time: the acceptor that made it, a queue, a worker, the
 * acceptor again while it lingers; a parked connection has none, and the thread
 * that posts an event to it becomes its owner (owner.h).  wr_conn_move() alone
 * changes where it is, and asserts that the move is legal.
 * wr_conn_close_and_count() alone enters its outcome in the ledger.
 *
 * A connection is a slot of a table, which is recycled under a new generation
 * and not freed before the server.  A dialled connection is the same structure
 * without core and table.
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

/* Where a connection is. */
enum wr_where {
	WR_CONN_FREE,	   /* nowhere: the slot holds no connection */
	WR_CONN_QUEUED,	   /* accepted, no worker has taken it */
	WR_CONN_READY,	   /* owned, on the ready list */
	WR_CONN_RUNNING,   /* a worker runs it */
	WR_CONN_PARKED,	   /* nobody owns it, the poller reports input */
	WR_CONN_LINGERING, /* the acceptor discards input until the peer ends */
	WR_CONN_CLOSED,	   /* closed, references to it may be left */
	WR_CONN_PLACES
};

/* How far its end has come: only goes up. */
enum wr_end {
	WR_END_OPEN,
	WR_END_CLOSING,	 /* no callback but `closed`; the output is sent */
	WR_END_FIN_SENT, /* all is sent, our direction is shut down */
	WR_END_CLOSED	 /* the descriptor is closed */
};

/* The directions; both only go up. */
enum wr_in_end {
	WR_IN_OPEN,
	WR_IN_SHUT, /* SHUT_RD: the handler wants no more */
	WR_IN_EOF   /* the end of input has been read */
};

enum wr_out_end {
	WR_OUT_OPEN,
	WR_OUT_ENDING, /* SHUT_WR once all is sent */
	WR_OUT_SHUT
};

/*
 * What the input calls of one callback came to.  Goes up with each call, but a
 * message that is given after WR_INPUT_EMPTY goes back to WR_INPUT_GIVEN.
 */
enum wr_input {
	WR_INPUT_NOT_ASKED,
	WR_INPUT_GIVEN,	       /* a message, or an error */
	WR_INPUT_EMPTY,	       /* -EAGAIN: nothing complete is there */
	WR_INPUT_BACKPRESSURE, /* -EAGAIN: too much output is unsent */
	WR_INPUT_BUDGET,       /* -EAGAIN: other connections wait */
	WR_INPUT_EOF	       /* the end of input was reported */
};

/* What the acceptor is asked to do with it. */
enum {
	WR_INBOX_LINGER = 1,	/* discard its input, then close it */
	WR_INBOX_RESCHEDULE = 2 /* its deadline has moved to an earlier time */
};

struct wr_in {
	struct wr_buffer buf;
	size_t scanned;	     /* bytes of it that begin no delimiter ... */
	uint64_t scan_mark;  /* ... of this mark */
	uint64_t received;   /* bytes taken from the kernel */
	int64_t last_at;     /* when the last of them came */
	int64_t message_at;  /* when an incomplete message began; 0: none */
	int error;	     /* of the last receive that failed */
	uint8_t end;	     /* enum wr_in_end */
	bool is_ready;	     /* the handler can be given input, or its end */
	bool would_block;    /* the kernel had none at the last look */
	bool has_exceptions; /* urgent data or an end: a short read may not
				have emptied the socket */
};

struct wr_out {
	struct wr_outbox box;
	int64_t stalled_at; /* the peer has taken nothing since; 0: it has */
	uint64_t sent;	    /* bytes given to the kernel */
	uint64_t acked;	    /* of these, by the peer's at the last stall */
	int error;	    /* why nothing can be sent any more */
	int file_error;	    /* o: why the file at the front cannot be read */
	uint8_t end;	    /* enum wr_out_end */
	bool is_stalled;    /* the kernel's buffer is full */
	bool is_writing;    /* a call of the handler waits in mid-message */
};

/* Of the running callback; what is marked `stays' is read after it, too. */
struct wr_call {
	size_t bytes;	     /* input given to the handler ... */
	uint32_t messages;   /* ... in so many pieces */
	uint8_t why;	     /* WEIR_OPENED ..., of the last; 0: none yet */
	uint8_t input;	     /* enum wr_input; stays */
	uint8_t timed_out;   /* WEIR_END_... of a call's -ETIMEDOUT, or 0 */
	bool saw_eagain;     /* an input call said -EAGAIN */
	bool drain_deferred; /* it said WEIR_KEEP; stays */
	bool woken_again;    /* a wake-up came during the callback; stays */
};

/* Of the acceptor, while it lingers. */
struct wr_linger {
	int64_t quiet_at; /* it ends then if nothing comes */
	int64_t end_at;	  /* it ends then at the latest; 0: not begun */
	uint64_t bytes;	  /* thrown away so far */
	struct weir_conn *prev, *next;
};

/*
 * Field key:	c  constant while the slot is in use
 *		o  the owner only
 *		l  under .lock to change; the owner reads without it
 *		a  atomic
 *		t  the acceptor only
 */
struct weir_conn {
	/* The slot: survives the connection in it. */
	wr_owner owner;		/* a */
	_Atomic int waiter_fd;	/* a: wakes the worker that waits in it; -1 */
	atomic_uint refs;	/* a: the library's own is one */
	atomic_uint inbox_bits; /* a: WR_INBOX_... */
	uint32_t index;		/* c */
	struct weir_conn *inbox_next;
	struct wr_core *core;	/* c: NULL if dialled */
	struct wr_table *table; /* c: NULL if dialled */
	struct wr_node node;	/* o: in a queue, or of the free slots */
	struct wr_timer timer;	/* t */
	struct wr_lock lock;

	/* One life: wr_conn_begin() clears all that follows. */
	const struct wr_service *service; /* c */
	struct wr_context *ctx;		  /* o: of the thread that runs it */
	void (*release)(struct weir_conn *c); /* c: after the last reference */
	uint64_t id;			      /* c */
	_Atomic int64_t due_at;	  /* a: owner writes, acceptor reads */
	_Atomic int64_t check_at; /* a: acceptor writes, owner reads */
	int64_t born_at;	  /* c */
	int64_t active_at; /* o: end of the last call; idle counts from it */
	_Atomic int fd;	   /* a: changed under the lock; -1: closed */
	uint32_t events;   /* o: taken and not yet acted on */
	_Atomic uint8_t where;	 /* o: enum wr_where; wr_conn_move() */
	uint8_t end;		 /* l: enum wr_end */
	uint8_t cause;		 /* o: WEIR_END_..., once it is known */
	uint8_t outcome;	 /* o: enum wr_outcome, once it is closing */
	uint8_t interest;	 /* o: what the poller reports; 0: not in it */
	bool is_tcp;		 /* c */
	bool may_linger;	 /* o: SO_LINGER may be on: a close(2) waits */
	_Atomic bool is_cut;	 /* a: shut down by a cancel or a stop */
	_Atomic bool is_counted; /* a: in the ledger */
	struct wr_in in;	 /* o */
	struct wr_out out;	 /* l */
	struct wr_call call;	 /* o */
	struct wr_linger linger; /* t */
	int timeout_ms[WR_TMO_COUNT]; /* o */
	socklen_t peer_len;	      /* c: 0: ask the socket */
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} peer;	    /* c */
	void *data; /* o */
	void (*drop)(void *data);
};

/* From 128 KiB on malloc(3) maps a slab of 256 by itself, in whole pages. */
_Static_assert(sizeof(struct weir_conn) <= 504,
	       "what an idle connection takes is promised");

/* For threads that do not own it: where it was a moment ago. */
static inline int wr_conn_where(const struct weir_conn *c)
{
	return atomic_load_explicit(&c->where, memory_order_acquire);
}

static inline bool wr_conn_is_in_use(const struct weir_conn *c)
{
	int where = wr_conn_where(c);

	return where != WR_CONN_FREE && where != WR_CONN_CLOSED;
}

/* A caller's memory: a length that is a negative number is none. */
static inline bool wr_is_memory(const void *mem, size_t len)
{
	return len <= SSIZE_MAX && (mem != NULL || len == 0);
}

/* ------------------------------------------------------------- conn_table */
/* Slots; see conn_table.c. */

struct wr_table;

/* For calls of a handler: only those on a dialled connection need it. */
#define WR_NO_CANCEL_IN(c) WR_NO_CANCEL_IF((c) && (c)->table == NULL)

/* Key of a connection in the poller. */
static inline uint64_t wr_conn_key(const struct weir_conn *c)
{
	return (uint64_t)wr_owner_generation(&c->owner) << 32 | c->index;
}

/* ------------------------------------------------------------------- conn */

/* A new life in a free slot, or in a dialled structure. */
void wr_conn_begin(struct weir_conn *c, const struct wr_service *service,
		   int fd, int64_t now);

/* Owner: where it is from now on, WR_CONN_... */
void wr_conn_move(struct weir_conn *c, struct wr_stats *stats, int to);

/*
 * Any thread: post events to it.  One that nobody owned goes to the workers; an
 * owner that waits in a session is woken.
 */
void wr_conn_post(struct weir_conn *c, struct wr_stats *stats,
		  uint32_t generation, uint32_t events);

/* Owner: the time of its next deadline. */
int64_t wr_conn_due_at(struct weir_conn *c);

/* Owner, after that time: which deadline it was, as WEIR_END_... */
uint8_t wr_conn_due_end(struct weir_conn *c);

/*
 * In a drain: until when a first message, or the rest of one that has begun,
 * is waited for.  0: neither is.
 */
int64_t wr_conn_drain_until(const struct weir_conn *c, bool is_mid);

/* Owner: have the acceptor check it at that time. */
void wr_conn_set_due(struct weir_conn *c, int64_t at);

/* Owner: the check has come (WR_EV_DEADLINE), no other is promised. */
static inline void wr_conn_forget_check(struct weir_conn *c)
{
	atomic_store_explicit(&c->due_at, WR_NEVER_AT, memory_order_relaxed);
}

/* Owner: put it in the acceptor's inbox for WR_INBOX_... */
void wr_conn_notify_acceptor(struct weir_conn *c, unsigned what);

/*
 * Any thread: shut the socket down, unless all is sent already.  Calls that
 * wait for the peer end with -ECANCELED.
 */
void wr_conn_cut(struct weir_conn *c);

/*
 * The same without waiting for the lock, which a send(2) may hold for long
 * while pages of the program are read in.  The owner is told in any case; the
 * socket is left as it is while the lock is held.
 */
void wr_conn_try_cut(struct weir_conn *c);

/* Owner: the socket has said this error, and it means that the peer is lost. */
bool wr_conn_is_lost(struct weir_conn *c, int error);

/* Owner: WR_END_CLOSING; other threads get -EPIPE from now. */
void wr_conn_begin_close(struct weir_conn *c);

/* Owner, closing, once: the last callbacks, `closed` and drop. */
void wr_conn_run_close_callbacks(struct weir_conn *c);

/*
 * Owner: end it for other threads and let go of what it holds.  Returns its
 * descriptor, which is the caller's to close.
 */
int wr_conn_detach(struct weir_conn *c);

/* Owner: close the descriptor, enter the outcome, drop our reference. */
void wr_conn_close_and_count(struct weir_conn *c, struct wr_stats *stats,
			     int outcome);

/*
 * Owner: end our direction at once, with a reset if a file could not be sent to
 * its end: the peer must not take a part for the whole.
 */
void wr_conn_hang_up(struct weir_conn *c);

/*
 * Owner, all output sent: end it with its outcome and without a reset.  If the
 * peer has finished too, the descriptor is closed now, else it lingers.
 */
void wr_conn_finish(struct weir_conn *c);

/* Owner, before any callback: send the refusal text, then finish. */
void wr_conn_refuse(struct weir_conn *c, int outcome);

/*
 * Owner: throw away at most that many bytes of input, added to *bytes.  True:
 * the peer has finished, or is gone.
 */
bool wr_conn_discard(struct weir_conn *c, size_t most, uint64_t *bytes);

/*
 * The peer's address for a log line; buf has WR_PEER_TEXT bytes.  The first is
 * the owner's, the second for any thread and never waits.
 */
#define WR_PEER_TEXT 160
const char *wr_conn_peer_text(struct weir_conn *c, char *buf);
const char *wr_conn_try_peer_text(struct weir_conn *c, char *buf);

/* ------------------------------------------------------------- conn_input */

/* Owner, outside of callbacks: give unused memory back to the context. */
void wr_conn_input_tidy(struct weir_conn *c);

/* Owner: 1: the socket has input, or its end; 0: none; -errno: it is gone. */
int wr_conn_input_probe(struct weir_conn *c);

/* The same, and input that is there is given to the handler. */
int wr_conn_input_find(struct weir_conn *c);

/* ------------------------------------------------------------ conn_output */

/* For file_error, beside the errors of pread(2). */
#define WR_FILE_TOO_SHORT (-ENODATA)

/* What a flush leaves behind; errors are -errno, of a file -EIO. */
enum {
	WR_FLUSH_DONE = 0,    /* nothing */
	WR_FLUSH_STALLED = 1, /* output: the kernel is full */
	WR_FLUSH_YIELDED = 2  /* files: other connections want the worker */
};

/* Owner: send what is queued. */
int wr_conn_flush(struct weir_conn *c);

/* Owner, without the lock: only the owner queues and sends files. */
static inline bool wr_conn_has_output(const struct weir_conn *c)
{
	return wr_outbox_bytes(&c->out.box) > 0 ||
	       wr_outbox_has_files(&c->out.box);
}

/*
 * So much is unsent that the handler gets no more input: from half of the limit
 * on, so that a reply of up to the other half never waits; and while a file is
 * queued, so that a peer cannot take a descriptor with each request.
 */
static inline bool wr_conn_is_congested(const struct weir_conn *c)
{
	return wr_outbox_has_files(&c->out.box) ||
	       2 * wr_outbox_bytes(&c->out.box) >= c->service->set.outbox_max;
}

/* Owner: the handler may be given input. */
static inline bool wr_conn_is_readable(const struct weir_conn *c)
{
	return c->in.is_ready && !wr_conn_is_congested(c);
}

/*
 * Owner, in a callback: wait for input; is_mid: a message has begun.  0: look
 * again; -ETIMEDOUT, -ESHUTDOWN, -ECANCELED, -EINTR, or an output error.
 */
int wr_conn_wait_input(struct weir_conn *c, bool is_mid);

/*
 * Owner, after a flush that stalled: wait until the kernel takes output, or the
 * deadline.  0: flush again; -ETIMEDOUT: it had passed before; -ECANCELED.
 */
int wr_conn_wait_output(struct weir_conn *c);

/* A reference is the connection itself, under a type of its own. */
static inline struct weir_conn *wr_conn_of(weir_ref *ref)
{
	return (struct weir_conn *)(void *)ref;
}

#endif
