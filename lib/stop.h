/* SPDX-License-Identifier: MIT */
/*
 * The stop of a server, as an object with numbered steps.  What it guarantees
 * is in docs/STOPPING.md.  wr_core_stop() asks for it, in any thread; the
 * acceptor's thread carries it out; joins wait for its end.
 */
#ifndef WR_STOP_H
#define WR_STOP_H

#include "accept.h"
#include "watch.h"

enum wr_stop_step {
	WR_STOP_NONE,	 /* none has been asked for */
	WR_STOP_FENCE,	 /* 1: no new connection can begin */
	WR_STOP_ACCEPT,	 /* 2: accept complete connections, until it is quiet */
	WR_STOP_DRAIN,	 /* 3, 4: connections are served, closed politely */
	WR_STOP_CUT,	 /* 5: the deadline: shut down what is left ... */
	WR_STOP_NOTICE,	 /* ... callbacks have a moment to notice ... */
	WR_STOP_GIVE_UP, /* ... those that do not are named */
	WR_STOP_DONE
};

/*
 * Field key:	c  constant
 *		t  the acceptor's thread only
 *		l  under core->lock
 *		e  t before is_done, constant afterwards
 */
struct wr_stop {
	struct wr_core *core;		/* c */
	struct wr_context *ctx;		/* c: of the acceptor's thread */
	struct wr_pool *pool;		/* c */
	struct wr_accept *accept;	/* c */
	struct wr_deadlines *deadlines; /* c */
	struct wr_watch *watch;		/* c */
	int done_fd;			/* c: eventfd: it has ended */

	enum wr_stop_step step; /* t */
	int64_t handshake_ns;	/* t: what one under way may need */
	int64_t hopeless_at;	/* t: nobody can be accepted; 0: not so */
	int64_t remind_at;	/* t: the next reminder of connections */
	int64_t notice_until;	/* t: callbacks have had their time */
	int64_t notice_most;	/* t: that is not put off any further */
	size_t open_before;	/* t: when it was put off last */
	uint64_t cut_before;	/* t: connections cut before the deadline */
	int stuck;		/* t: callbacks that have not returned */

	bool is_done;	   /* l: it has ended */
	bool was_given_up; /* l: a join did not wait for its end */
	bool was_cut;	   /* e: connections were cut by its deadline */
	bool is_busy;	   /* e: workers were not through when it ended */
	struct weir_report report; /* e */
};

/* 0 or more, or -errno; wr_stop_fini() is right in both cases. */
int wr_stop_init(struct wr_stop *s, struct wr_accept *accept,
		 struct wr_watch *watch);
void wr_stop_fini(struct wr_stop *s);

/* Go on with the stop, if there is one.  True: it has ended. */
bool wr_stop_run(struct wr_stop *s);
int64_t wr_stop_next_at(const struct wr_stop *s);

/* Tell the joins that it has ended: by the acceptor, or where there is none. */
void wr_stop_end(struct wr_stop *s);

#endif
