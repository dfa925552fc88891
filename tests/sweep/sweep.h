/* SPDX-License-Identifier: MIT */
/*
 * The failure sweep: small lives of a server ("scenes"), in each of which any
 * one call of the library to the system may fail.
 *
 * A scene is played first with nothing failing, and every call that it
 * reaches is written down; then again for each of them, with that call
 * failing.  Calls are told apart by their kind, the way the program came to
 * them (the functions on the stack) and how often it had come that way: an
 * ordinal alone means something else each time threads run.
 *
 * Each life is a process of its own, so that a crash is one failure and what
 * a life leaves behind can be counted.
 */
#ifndef TESTS_SWEEP_SWEEP_H
#define TESTS_SWEEP_SWEEP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sys.h"
#include "weir.h"

/* ----------------------------------------------------------- what may fail */

enum sweep_mode {
	SWEEP_ONCE,
	SWEEP_SPELL, /* from then on, until the clients are through */
	SWEEP_ON,    /* from then on, to the end */
	SWEEP_MODES
};

#define SWEEP_NOTHING WR_SYS_CALL_COUNT /* as the call: nothing fails */
#define SWEEP_SHORT   0			/* as the error: one byte at a time */

struct sweep_plan {
	enum wr_sys_call call;
	uint32_t way;
	int nth; /* from 1 */
	enum sweep_mode mode;
	int error; /* -errno or SWEEP_SHORT */
};

#define SWEEP_DEPTH 5

/* A way to a call, and how often it was gone. */
struct sweep_way {
	enum wr_sys_call call;
	uint32_t way;
	int count;
	uintptr_t from[SWEEP_DEPTH]; /* where on it, the innermost first */
};

/* What a life tells its parent: in memory that both see. */
struct sweep_diary {
	atomic_int made; /* failures so far */
	int way_count;
	struct sweep_way ways[1024];
};

/* The library asks us from here on, in this process. */
void sweep_begins(const struct sweep_plan *plan, struct sweep_diary *diary);
const struct sweep_plan *sweep_planned(void);
int sweep_made(void);
bool sweep_is_on(void); /* something fails again and again just now */
void sweep_lifts(void); /* it does not any more */
int sweep_blocks(void); /* of memory that the library has just now */

/* True if no client may notice a failure with this error. */
bool sweep_is_harmless(int error);
const char *sweep_error_name(int error);
int sweep_error_named(const char *name); /* > 0: there is none */
const char *const *sweep_mode_names(void);

/* The errors that the system may give for this call, ended by > 0. */
const int *sweep_errors(enum wr_sys_call call);
/* False for those that would be no error, but another kind of hang. */
bool sweep_may_last(enum wr_sys_call call, int error);

/* --------------------------------------------------------------- the scenes */

struct sweep_scene {
	const char *name;
	void (*play)(void);
};

extern const struct sweep_scene sweep_scenes[]; /* ended by name NULL */

/* The life has failed: says why on standard error and ends the process. */
void sweep_fails(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));

/* ------------------------------------------------------------------ to play */

struct sweep_books {
	int lives;
	int idle;   /* of them those in which the call was not reached */
	int failed; /* and those that went wrong: each was told on stderr */
	int ways;
	int64_t longest_ms;
};

/*
 * All lives of a scene, or every step-th of them beginning with that of
 * number first; adds to the books.
 */
void sweep_plays(const struct sweep_scene *scene, int first, int step,
		 struct sweep_books *books);

/* That one; true if it went well. */
bool sweep_replays(const struct sweep_scene *scene,
		   const struct sweep_plan *plan);

#endif
