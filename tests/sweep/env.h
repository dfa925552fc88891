/* SPDX-License-Identifier: MIT */
/*
 * The kit of the scenarios: a server that may fail to start, and peers that may
 * lose their reply.  Losses are counted and judged at the end; wrong bytes
 * always fail.
 *
 * A scenario runs outside any test of Check: use sweep_fail(), not its
 * assertions.
 */
#ifndef TESTS_SWEEP_ENV_H
#define TESTS_SWEEP_ENV_H

#include "sweep.h"
#include "test.h"

struct env {
	weir_server *weir;
	char address[160];  /* of the first listener */
	const char *banner; /* what a client gets first */
	bool may_refuse;    /* a refused peer is not lost */
	bool was_stale;	    /* the path existed before the listener */
	int whole, lost;    /* peers */
	char why[80];	    /* the last peer was lost */
};

/* Returns false if the planned failure prevented it. */
bool env_make(struct env *st, const struct weir_config *config);
bool env_listen(struct env *st, const char *where,
		const struct weir_service *service);
bool env_start(struct env *st);
/* All three. */
bool env_open(struct env *st, const char *where,
	      const struct weir_config *config,
	      const struct weir_service *service);

/* The grace of a stop for clients that end by themselves. */
#define ENV_GRACE_MS (600 * slowness())

/* The clients are done: failures of SWEEP_SPELL end. */
void env_clients_done(void);
/* The same; then serve another client, stop, and check the ledger. */
void env_close(struct env *st, int grace_ms);
/* The last part of it, for a server that is stopping. */
void env_finish(struct env *st);
/* rc is the result of a call that may fail if something has failed. */
void expect_rc(int rc, const char *what);
/* rc is the result of a call that must fail. */
void expect_error_rc(int rc, const char *what);

/* How long to wait; short for what may never come. */
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
bool peer_has_input(struct peer *p);
void peer_half_close(struct peer *p);
void peer_expect_end(struct peer *p);
void peer_close(struct peer *p); /* without reading the end */

/*
 * The service of all scenarios, as session or readable.  It answers "big" with
 * SWEEP_BIG bytes, "file" with the same from a file, "short" with ten bytes of
 * a file that should have twenty, "later" from another thread.  "last" is
 * answered and ends the connection, "fail" ends it without an answer.  Any
 * other line is echoed.
 */
#define SWEEP_BIG    ((size_t)40000)
#define SWEEP_SHARED ((size_t)1000) /* a shared message for "all" */
int sweep_service(weir_conn *c, void *arg);
int sweep_join_all(weir_conn *c, void *arg); /* `opened`, for "all" */
void sweep_service_start(void);
void sweep_service_stop(void);
const char *sweep_big(void); /* those bytes */
int sweep_file(void);	     /* that file */

/* Scenarios of rare.c. */
void sweep_reads(void);
void sweep_misuse(void);
void sweep_changes(void);
void sweep_taken_paths(void);
void sweep_unix_peers(void);
void sweep_slow_reader(void);
void sweep_gone(void);
void sweep_held_in_stop(void);
void sweep_events(void);
void sweep_dial_given(void);
void sweep_dial_full(void);
void sweep_server_dial(void);
void sweep_proxied(void);

/* Scenarios of addresses.c. */
void sweep_unix_socket(void);
void sweep_inherited(void);
void sweep_dial(void);
void sweep_spawn(void);
void sweep_relay(void);

#endif
