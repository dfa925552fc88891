/* SPDX-License-Identifier: MIT */
/*
 * What scenes are written in: a server that may fail to start, and peers that
 * may lose what they were promised, which is written down and judged at the
 * end of the scene.  Wrong bytes are never pardoned.
 *
 * A scene is played outside any test of Check's, so none of its assertions
 * may be used here: sweep_fail() is.
 */
#ifndef TESTS_SWEEP_ENV_H
#define TESTS_SWEEP_ENV_H

#include "sweep.h"
#include "test.h"

struct env {
	weir_server *weir;
	char address[160];  /* of its first listener, once it has one */
	const char *banner; /* what a client hears before anything else */
	bool may_refuse;    /* a peer that is refused is not lost */
	bool was_stale;	    /* there was a path before its listener's */
	int whole, lost;    /* peers */
	char why[80];	    /* the last one was lost */
};

/* True when it runs; false when it could not, for the failure's sake. */
bool env_make(struct env *st, const struct weir_config *config);
bool env_listen(struct env *st, const char *where,
		const struct weir_service *service);
bool env_start(struct env *st);
/* The three. */
bool env_open(struct env *st, const char *where,
	      const struct weir_config *config,
	      const struct weir_service *service);

/* What a stop gives those who go by themselves. */
#define ENV_GRACE_MS (600 * slowness())

/* The clients have had what they wanted: a spell ends. */
void env_clients_done(void);
/* That, and it serves another client, stops, and its books are in order. */
void env_close(struct env *st, int grace_ms);
/* The last part: somebody has stopped it. */
void env_finish(struct env *st);
/* For what is no server: rc of a call that may fail. */
void expect_rc(int rc, const char *what);
/* The same for one that must fail, whatever else does. */
void expect_error_rc(int rc, const char *what);

/* How long to wait for anything: not long for what may never come. */
int env_patience_ms(void);

#define SOON(cond)                                                             \
	do {                                                                   \
		int64_t soon_began_ = now_ms();                                \
		while (!(cond) &&                                              \
		       now_ms() < soon_began_ +                                \
					  (sweep_failures() > 0 ? 50 : 5000) * \
						  slowness())                  \
			poll_sleep();                                          \
	} while (0)

uint64_t env_parked(struct env *st);
uint64_t env_lingering(struct env *st);
uint64_t env_queued(struct env *st);

struct peer {
	struct env *env;
	int fd;
	size_t heard;
	bool is_refused, is_lost;
	const char *why;
};

struct peer peer_open(struct env *st);
struct peer peer_open_at(struct env *st, const char *address, int buffer);
void peer_send(struct peer *p, const char *text);
void peer_send_bytes(struct peer *p, const void *data, size_t len);
void peer_expect(struct peer *p, const char *text);
void peer_expect_bytes(struct peer *p, const void *data, size_t len);
bool peer_has_input(struct peer *p);  /* there is something to hear */
void peer_half_close(struct peer *p); /* says no more */
void peer_expect_end(struct peer *p); /* hears the end, and is judged */
void peer_close(struct peer *p);      /* goes without that */

/*
 * A service for all scenes: "big" is answered with SWEEP_BIG bytes, "file"
 * with the same as a file, "short" with ten bytes of a file that should have
 * twenty, "later" by another thread, "last" is answered and ends it, so does
 * "fail" without an answer; any other line is sent back.  To be used as
 * session or readable.
 */
#define SWEEP_BIG ((size_t)40000)
int sweep_service(weir_conn *c, void *arg);
void sweep_service_start(void);
void sweep_service_stop(void);
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
