/* SPDX-License-Identifier: MIT */
/*
 * The stop of a server, in steps; docs/STOPPING.md has the guarantees.
 * wr_core_stop() requests it, and the acceptor's thread carries it out.
 */
#ifndef WR_STOP_H
#define WR_STOP_H

#include "accept.h"
#include "watch.h"

enum wr_stop_step {
	WR_STOP_NONE,
	WR_STOP_LAME_DUCK, /* requested, and serves as before */
	WR_STOP_FENCE,	   /* 1: keep new connections out */
	WR_STOP_ACCEPT,	   /* 2: accept the rest, until quiet */
	WR_STOP_DRAIN,	   /* 3, 4: serve and close connections */
	WR_STOP_CUT,	   /* 5: deadline: shut sockets down ... */
	WR_STOP_NOTICE,	   /* ... let callbacks notice ... */
	WR_STOP_GIVE_UP,   /* ... name those that did not */
	WR_STOP_DONE
};

/*
 * Field key: c constant; t the acceptor's thread only; l under core->lock; e as
 * t before is_done, constant afterwards.
 */
struct wr_stop {
	struct wr_core *core;		/* c */
	struct wr_context *ctx;		/* c */
	struct wr_pool *pool;		/* c */
	struct wr_accept *accept;	/* c */
	struct wr_deadlines *deadlines; /* c */
	struct wr_watch *watch;		/* c */
	int done_fd;			/* c */

	enum wr_stop_step step; /* t */
	int64_t hopeless_at;	/* t: give the clients up; 0: not yet */
	int64_t remind_at;	/* t */
	int64_t notice_until;	/* t: end of WR_STOP_NOTICE ... */
	int64_t notice_most;	/* t: ... at the latest */
	size_t open_before;	/* t: when notice_until was set */
	uint64_t cut_before;	/* t: cut before the deadline */
	int stuck;		/* t: callbacks */

	bool is_done;		   /* l */
	bool was_given_up;	   /* l: a join gave up */
	int64_t late_ns;	   /* l: see is_too_late_locked() */
	int64_t late_looked_at;	   /* l: counted until then */
	_Atomic int64_t joined_ns; /* waits for threads, in vain; those of */
				   /* several joins at a time are one */
	bool was_cut;		   /* e: the deadline cut connections */
	bool is_busy;		   /* e: callbacks ran at the end */
	struct weir_report report; /* e */
};

/* >= 0 or -errno; needs wr_stop_fini() in either case. */
int wr_stop_init(struct wr_stop *s, struct wr_accept *accept,
		 struct wr_watch *watch);
void wr_stop_fini(struct wr_stop *s);

/* Run the steps that are due.  True: the stop has ended. */
bool wr_stop_run(struct wr_stop *s);
int64_t wr_stop_next_at(const struct wr_stop *s);

/* Wake the joins. */
void wr_stop_end(struct wr_stop *s);

#endif
