/* SPDX-License-Identifier: MIT */
/*
 * What scenes are written in: a server that may fail to start, and peers that
 * may lose what they were promised, which is written down and judged at the
 * end of the scene.  Wrong bytes are never pardoned.
 *
 * A scene is played outside any test of Check's, so none of its assertions
 * may be used here: sweep_fails() is.
 */
#ifndef TESTS_SWEEP_ENV_H
#define TESTS_SWEEP_ENV_H

#include "sweep.h"
#include "test.h"

struct stage {
	weir_server *weir;
	char address[160];  /* of its first listener, once it has one */
	const char *banner; /* what a client hears before anything else */
	bool may_refuse;    /* a peer that is refused is not lost */
	bool was_stale;	    /* there was a path before its listener's */
	int whole, lost;    /* peers */
	char why[80];	    /* the last one was lost */
};

/* True when it runs; false when it could not, for the failure's sake. */
bool stage_makes(struct stage *st, const struct weir_config *config);
bool stage_listens(struct stage *st, const char *where,
		   const struct weir_service *service);
bool stage_starts(struct stage *st);
/* The three. */
bool stage_opens(struct stage *st, const char *where,
		 const struct weir_config *config,
		 const struct weir_service *service);

/* What a stop gives those who go by themselves. */
#define STAGE_GRACE_MS (600 * slowness())

/* The clients have had what they wanted: a spell ends. */
void stage_is_through(void);
/* That, and it serves another client, stops, and its books are in order. */
void stage_closes(struct stage *st, int grace_ms);
/* The last part: somebody has stopped it. */
void stage_is_over(struct stage *st);
/* For what is no server: rc of a call that may fail. */
void stage_expects(int rc, const char *what);
/* The same for one that must fail, whatever else does. */
void stage_expects_error(int rc, const char *what);

/* How long to wait for anything: not long for what may never come. */
int stage_patience_ms(void);

#define SOON(cond)                                                             \
	do {                                                                   \
		int64_t soon_began_ = now_ms();                                \
		while (!(cond) &&                                              \
		       now_ms() <                                              \
			       soon_began_ + (sweep_made() > 0 ? 50 : 5000) *  \
						     slowness())               \
			breathe();                                             \
	} while (0)

uint64_t stage_parked(struct stage *st);
uint64_t stage_lingering(struct stage *st);
uint64_t stage_queued(struct stage *st);

struct peer {
	struct stage *stage;
	int fd;
	size_t heard;
	bool is_refused, is_lost;
	const char *why;
};

struct peer peer_opens(struct stage *st);
struct peer peer_opens_at(struct stage *st, const char *address, int buffer);
void peer_says(struct peer *p, const char *text);
void peer_says_bytes(struct peer *p, const void *data, size_t len);
void peer_hears(struct peer *p, const char *text);
void peer_hears_bytes(struct peer *p, const void *data, size_t len);
bool peer_is_told(struct peer *p);  /* there is something to hear */
void peer_finishes(struct peer *p); /* says no more */
void peer_ends(struct peer *p);	    /* hears the end, and is judged */
void peer_leaves(struct peer *p);   /* goes without that */

/*
 * A service for all scenes: "big" is answered with SWEEP_BIG bytes, "file"
 * with the same as a file, "short" with ten bytes of a file that should have
 * twenty, "later" by another thread, "last" is answered and ends it, so does
 * "fail" without an answer; any other line is sent back.  To be used as
 * session or readable.
 */
#define SWEEP_BIG ((size_t)40000)
int sweep_answers(weir_conn *c, void *arg);
void sweep_answers_begin(void);
void sweep_answers_end(void);
const char *sweep_big(void); /* those bytes */
int sweep_file(void);	     /* that file */

/* Scenes of rare calls; see rare.c. */
void sweep_reads(void);
void sweep_misuse(void);
void sweep_taken_paths(void);
void sweep_unix_peers(void);
void sweep_slow_reader(void);
void sweep_gone(void);
void sweep_held_in_stop(void);
void sweep_dial_given(void);
void sweep_dial_full(void);

/* Scenes with a file of their own. */
void sweep_unix_socket(void);
void sweep_inherited(void);
void sweep_dial(void);

#endif
