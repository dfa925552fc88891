/* SPDX-License-Identifier: MIT */
/*
 * weir: concurrent TCP servers on a fixed pool of threads.
 *
 * An acceptor thread takes connections from the kernel and puts them on a
 * bounded queue; a fixed pool of workers takes them from there and runs your
 * callbacks.  A connection that has nothing to say is parked and costs no
 * thread.  A stop lets the running work end, loses no reply, ends by its
 * deadline and reports in numbers that add up.
 *
 * The smallest complete server is examples/echo.c.
 *
 * Five rules hold for every call:
 *
 *   Errors     are values: >= 0 is good, < 0 is -errno.  errno itself means
 *              nothing.  Out-parameters are written on success only.
 *   Threads    a weir_conn is for the callbacks of that connection, or for
 *              the thread that owns it if it was dialled ("handler"); other
 *              threads use a weir_ref.  "any": any thread.  "before start":
 *              one thread at a time, before weir_server_start().  No call
 *              is a cancellation point: a thread that pthread_cancel() meets
 *              in one finishes it first.
 *   Misuse     that can be seen is answered with -EINVAL: no server, connection
 *              or memory (NULL), a length above SSIZE_MAX, such as the error of
 *              a read that nobody looked at.  Calls without an error do nothing
 *              then, and give NULL or 0.  What cannot be seen is undefined: a
 *              pointer to what is gone, a call by a thread that may not make
 *              it.
 *   Ownership  strings and structures you pass are copied.  A weir_conn
 *              belongs to the library and is valid during a callback, a
 *              weir_ref until weir_unref().
 *
 *   Sizes      structures may grow in later versions.  One that the library
 *              fills comes with its sizeof: no more is written, and what an
 *              older library does not know is 0.  One that it reads has its
 *              sizeof in its first field: fields that are missing have their
 *              defaults, and set bytes it does not know are -EINVAL.
 *
 * The library never exits, prints, reads the environment, installs a signal
 * handler or changes a disposition, and calls you back with no lock held.
 * Once loaded it stays loaded: dlclose() does not unmap it.
 */
#ifndef WEIR_H
#define WEIR_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_VERSION_MAJOR 0
#define WEIR_VERSION_MINOR 1
#define WEIR_VERSION_PATCH 0
#define WEIR_VERSION	   "0.1.0"

#if defined(__GNUC__)
#define WEIR_API	  __attribute__((visibility("default")))
#define WEIR_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define WEIR_API
#define WEIR_PRINTF(f, a)
#endif

typedef struct weir_server weir_server;
typedef struct weir_conn weir_conn; /* for its callbacks, or its owner */
typedef struct weir_ref weir_ref;   /* the same connection, for any thread */

/* For any time in milliseconds: no limit.  0 means the default. */
#define WEIR_NEVER (-1)

/*
 * A callback of a service.  It runs on a worker, one call at a time for each
 * connection, and returns a verdict:
 *
 *   WEIR_CLOSE   flush what was written, then close
 *   WEIR_WAIT    call again when new input has come
 *   WEIR_AGAIN   call again soon: buffered input counts as input
 *   WEIR_KEEP    answer to WEIR_DRAIN: not through yet, keep the connection
 *   -errno       close; it is logged unless the peer or a stop ended it
 *
 * A call with WEIR_DRAIN is the last one: WEIR_WAIT and WEIR_AGAIN close then,
 * for no more input is waited for.  WEIR_KEEP keeps the connection until
 * input, weir_ref_wake(), weir_ref_close() or the deadline of the stop.
 *
 * The result of an input call is a verdict: 0, the end of input, closes, and
 * -EAGAIN is WEIR_WAIT.  Not logged are -EPIPE, -ECONNRESET, -ESHUTDOWN, and
 * what an input or output call said of an unreachable peer (-EHOSTUNREACH ...).
 * Bugs that are logged and close the connection: WEIR_WAIT though no input call
 * of this callback said -EAGAIN, WEIR_KEEP without WEIR_DRAIN, another number.
 *
 * It ends by returning: not by longjmp(), a C++ exception or pthread_exit().
 * A child that it forks may exec; one that does not makes no calls of this
 * library, and ends with _exit().
 */
typedef int weir_handler(weir_conn *c, void *arg);

/*
 * Called once when the connection is over, after its last callback, when all
 * its output has been given to the kernel or has been given up.  Nothing more
 * can be written.  weir_conn_summary() says why it ended.  A connection that
 * was refused, or was gone before its first callback, has no such call.
 */
typedef void weir_closed(weir_conn *c, void *arg);

/*
 * One line, without its newline.  Called from several threads at once, also
 * from the one that accepts, keeps all deadlines and carries out the stop: it
 * must not wait.  (One that may hands its lines to a thread of its own.)  It
 * may be called until weir_server_join() has said something else than -EBUSY.
 */
typedef void weir_log(void *arg, int level, const char *line);

/* Called on each worker as its first and last act; index counts from 0. */
typedef void weir_worker_hook(void *arg, int index);

/*
 * Verdicts, see weir_handler.  They are large, so that a count of bytes that a
 * handler returns by mistake is none of them.
 */
enum {
	WEIR_CLOSE = 0,
	WEIR_AGAIN = 2000000001,
	WEIR_WAIT = 2000000002,
	WEIR_KEEP = 2000000003
};

/* weir_conn_why(): why the callback runs. */
enum {
	WEIR_OPENED = 1, /* the connection is new; no input has been read */
	WEIR_INPUT = 2,	 /* there is input, or the end of it */
	WEIR_WAKE = 3,	 /* somebody called weir_ref_wake() */
	WEIR_DRAIN = 4	 /* the server stops: last chance to say something */
};

/* Log levels. */
enum {
	WEIR_LOG_ERROR = 1,
	WEIR_LOG_WARNING = 2,
	WEIR_LOG_INFO = 3,
	WEIR_LOG_DEBUG = 4
};

/* weir_config.overload: what to do when the queue or the server is full. */
enum {
	WEIR_HOLD = 0, /* accept nothing: the kernel's backlog holds the rest */
	WEIR_REFUSE = 1 /* accept, send the refusal text, close politely */
};

/* weir_config.affinity */
enum {
	WEIR_AFFINITY_NONE = 0,
	WEIR_AFFINITY_SPREAD = 1 /* worker i on the i-th processor allowed */
};

/* weir_server_run() */
enum {
	WEIR_SIGNALS = 1 /* first INT or TERM drains, the second cuts */
};

/* weir_conn_set_timeout() */
enum {
	WEIR_TIMEOUT_FIRST_BYTE = 1,
	WEIR_TIMEOUT_READ = 2,
	WEIR_TIMEOUT_WRITE = 3,
	WEIR_TIMEOUT_IDLE = 4,
	WEIR_TIMEOUT_LIFETIME = 5
};

/* weir_summary.end: why a connection ended. */
enum {
	WEIR_END_NONE = 0,	 /* it has not */
	WEIR_END_CLOSED = 1,	 /* by its handler, or by weir_ref_close() */
	WEIR_END_PEER = 2,	 /* the peer ended its input */
	WEIR_END_LOST = 3,	 /* the peer reset it, or cannot be reached */
	WEIR_END_ERROR = 4,	 /* an error, which the log tells */
	WEIR_END_DRAIN = 5,	 /* the server stops */
	WEIR_END_CUT = 6,	 /* by a stop's deadline or weir_ref_cancel() */
	WEIR_END_FIRST_BYTE = 7, /* from here on: a deadline of the service */
	WEIR_END_READ = 8,
	WEIR_END_WRITE = 9,
	WEIR_END_IDLE = 10,
	WEIR_END_LIFETIME = 11
};

/*
 * How a server works.  WEIR_CONFIG(.workers = 4, ...) makes one whose other
 * fields have their defaults: a field that is 0 or NULL has its default then.
 * weir_config_init() fills in the defaults and sets exact: a 0 is a 0 then.
 *
 * Each field's comment gives its range and its default.  Times are 1 to INT_MAX
 * ms or WEIR_NEVER.  The default of workers is the number of processors that
 * the affinity of the calling thread allows, or less if the CPU quota of its
 * control group or of a parent of that, rounded up, is less.
 */
struct weir_config {
	size_t size; /* sizeof(struct weir_config) */
	int exact;   /* 1: a field that is 0 is not replaced by its default */

	int workers;	     /* threads that run callbacks; 1 to 1,024 */
	int queue_length;    /* waiting for one; 1 to 1,000,000; 128 */
	int queue_age_ms;    /* longest wait there; 10,000 */
	int max_connections; /* open at once; 1 to 10,000,000; 10,000 */
	int overload;	     /* WEIR_HOLD or _REFUSE; _HOLD */
	int affinity;	     /* WEIR_AFFINITY_NONE or _SPREAD; _NONE */
	int drain_ms;	     /* grace of a stop; a time, or 0; 10,000 */
	int log_level;	     /* most verbose level; WEIR_LOG_INFO */
	const char *refusal; /* for a refused client; "busy, try later\n" */
	size_t stack_size;   /* for a callback; 64 KiB to 1 GiB; 256 KiB */

	weir_log *log; /* where lines go; NULL: nowhere */
	void *log_arg;
	weir_worker_hook *worker_start; /* NULL: none */
	weir_worker_hook *worker_exit;	/* NULL: none */
	void *worker_arg;
};

/*
 * What a listener's connections get.  Made as struct weir_config is, with
 * WEIR_SERVICE(...) or weir_service_init().  Exactly one of session and
 * readable is set.  With opened the server speaks first; the others are called
 * from the first byte on.  While half of outbox_max is unsent, no input is
 * read.
 */
struct weir_service {
	size_t size; /* sizeof(struct weir_service) */
	int exact;   /* as in struct weir_config */

	weir_handler *session;	/* called once; its reads wait */
	weir_handler *readable; /* called when input has come; never waits */
	weir_handler *opened;	/* called on accept, before any input */
	weir_closed *closed;	/* called at the end */
	void *arg;		/* passed to each of them */

	int first_byte_ms; /* from accept to the first input; 60,000 */
	int read_ms;	   /* for a whole message, once begun; 30,000 */
	int write_ms;	   /* without the peer taking a byte; 30,000 */
	int idle_ms;	   /* between messages; 300,000 */
	int lifetime_ms;   /* of the connection; WEIR_NEVER */
	size_t line_max;   /* longest message; 1 B to 1 GiB; 64 KiB */
	size_t outbox_max; /* unsent output; 1 B to 1 GiB; 256 KiB */
	int backlog;	   /* of listen(2); 1 to INT_MAX; 4,096 */
	int mode;	   /* of a Unix socket; 0 to 0777; 0: 0600 */
};

/*
 * In C, and inside functions of C++ from C++20 on; C++17 has weir_config_init()
 * and weir_service_init().  The structure lives to the end of the block in C,
 * of the whole expression in C++.
 */
/* clang-format off */
#if !defined(__cplusplus)
#define WEIR_CONFIG(...)                                                       \
	(&(struct weir_config){ .size = sizeof(struct weir_config),            \
				__VA_ARGS__ })
#define WEIR_SERVICE(...)                                                      \
	(&(struct weir_service){ .size = sizeof(struct weir_service),          \
				 __VA_ARGS__ })
#elif __cplusplus >= 202002L
extern "C++" {
template <typename T> constexpr const T *weir_pointer_to(const T &&made)
{
	return &made;
}
}
/* g++ warns of fields that are left out. */
#define WEIR_MAKE(type, ...)                                                   \
	weir_pointer_to([&]() -> type {                                        \
		_Pragma("GCC diagnostic push")                                 \
		_Pragma("GCC diagnostic ignored \"-Wmissing-field-initializers\"") \
		return type{ .size = sizeof(type), __VA_ARGS__ };              \
		_Pragma("GCC diagnostic pop")                                  \
	}())
#define WEIR_CONFIG(...)  WEIR_MAKE(weir_config, __VA_ARGS__)
#define WEIR_SERVICE(...) WEIR_MAKE(weir_service, __VA_ARGS__)
#endif
/* clang-format on */

/* weir_option.unit */
enum {
	WEIR_UNIT_COUNT = 1,
	WEIR_UNIT_TIME = 2, /* ms; WEIR_NEVER is in range too */
	WEIR_UNIT_BYTES = 3,
	WEIR_UNIT_CHOICE = 4, /* a constant of this header */
	WEIR_UNIT_MODE = 5    /* a mode, as for chmod(2) */
};

/* A field of struct weir_config or struct weir_service that is a number. */
struct weir_option {
	const char *name; /* of the field */
	const char *text; /* what it is, in a few words */
	int unit;	  /* WEIR_UNIT_... */
	int64_t preset;	  /* default; 0 workers: as many as processors */
	int64_t min;
	int64_t max;
};

/*
 * The ledger: accepted = completed + failed + timed_out + refused + cut + open,
 * exactly, whenever the server is at rest.  A later version may tell more
 * reasons, as those of refused are told below, but has no other outcomes.
 */
struct weir_ledger {
	uint64_t accepted;
	uint64_t open;	    /* not over yet */
	uint64_t closed;    /* accepted and over: the sum of the next five */
	uint64_t completed; /* served to the end */
	uint64_t failed;    /* peer gone, handler error, shortage */
	uint64_t timed_out; /* a deadline of the service */
	uint64_t refused;   /* the sum of the reasons below */
	uint64_t cut;	    /* a stop's deadline, or weir_ref_cancel() */

	uint64_t refused_full;	/* queue full, WEIR_REFUSE */
	uint64_t refused_age;	/* waited too long in the queue */
	uint64_t refused_limit; /* connections or descriptors, WEIR_REFUSE */
	uint64_t refused_drain; /* came too late for a stop */
	uint64_t reserved[20];	/* 0 */
};

/* weir_stats.phase */
enum {
	WEIR_PHASE_NEW = 0, /* not started */
	WEIR_PHASE_SERVING = 1,
	WEIR_PHASE_DRAINING = 2, /* a stop was requested */
	WEIR_PHASE_CUTTING = 3,	 /* its deadline has passed */
	WEIR_PHASE_DONE = 4	 /* it has ended */
};

/* Durations: bucket i counts those below 2^i microseconds (the last: all). */
#define WEIR_BUCKETS 32

struct weir_stats {
	struct weir_ledger ledger;

	/* Totals. */
	uint64_t bytes_in;
	uint64_t bytes_out;
	uint64_t callbacks;	  /* handler calls */
	uint64_t dead_on_arrival; /* of failed: gone before any callback */
	uint64_t accept_errors;	  /* accept(2) said this connection failed */
	uint64_t shortages;	  /* pauses without descriptors or memory */
	uint64_t late_bytes;	  /* came after we had ended a connection */
	uint64_t log_dropped;	  /* lines held back by the rate limit */

	/* Now. */
	uint64_t phase; /* WEIR_PHASE_... */
	uint64_t parked;
	uint64_t queued;
	uint64_t lingering;
	uint64_t busy;		      /* workers in a callback */
	uint64_t longest_callback_ms; /* of those running now */

	/* Limits, as configured. */
	uint64_t workers;
	uint64_t queue_length;
	uint64_t max_connections;

	uint64_t timed_out[16]; /* of the ledger's, by WEIR_TIMEOUT_... */

	/* Durations: their sums, and how they are distributed. */
	uint64_t queue_wait_us;
	uint64_t callback_us;
	uint64_t queue_wait[WEIR_BUCKETS];
	uint64_t callback_time[WEIR_BUCKETS];
};

/* What a stop did. */
struct weir_report {
	struct weir_ledger ledger; /* of the server's whole life */
	uint64_t stuck;		   /* callbacks still running; part of cut */
	uint64_t late_bytes;
	uint64_t drain_ms; /* from the first request to the end */
};

/* --------------------------------------------------------------- settings */

/*
 * Fill *c with the defaults; size is sizeof *c.
 *
 * Thread: any.  Since: 0.1.
 */
WEIR_API void weir_config_init(struct weir_config *c, size_t size);
WEIR_API void weir_service_init(struct weir_service *s, size_t size);

/*
 * Check what weir_server_new() or weir_server_listen() would check.  why, if
 * not NULL, gets at most cap bytes of text with the NUL, such as "workers is
 * 2000, not from 1 to 1024".
 *
 * Returns 0; -EINVAL.
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_config_check(const struct weir_config *c, char *why,
			       size_t cap);
WEIR_API int weir_service_check(const struct weir_service *s, char *why,
				size_t cap);

/*
 * The fields that are numbers, with their ranges and defaults: i from 0.
 *
 * Returns one, which stays valid; NULL (no more).
 * Thread: any.  Since: 0.1.
 */
WEIR_API const struct weir_option *weir_config_option(size_t i);
WEIR_API const struct weir_option *weir_service_option(size_t i);

/* weir_address_check() */
enum {
	WEIR_TO_LISTEN = 1, /* use */
	WEIR_TO_DIAL = 2,
	WEIR_ADDRESS_TCP = 1, /* result */
	WEIR_ADDRESS_UNIX = 2,
	WEIR_ADDRESS_FD = 3
};

/*
 * Check the form of an address for weir_server_listen() or weir_dial(), without
 * a look-up.  why, if not NULL, gets at most cap bytes of text with the NUL,
 * such as "the port is missing; use host:port, ...".
 *
 * Returns WEIR_ADDRESS_TCP, _UNIX or _FD; -EINVAL; -ENAMETOOLONG.
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_address_check(const char *where, int use, char *why,
				size_t cap);

/* ------------------------------------------------------------- the server */

/*
 * Make a server that does nothing yet.  config NULL: all defaults.
 *
 * Returns 0; -EINVAL (a field out of range, both or neither of what excludes
 * each other, or a size or set bytes this library does not know); -ENOMEM;
 * -EMFILE and kin.
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_server_new(weir_server **ret,
			     const struct weir_config *config);

/*
 * Add a listener with its own service.  where is "host:port", ":port" (all
 * interfaces, IPv6 and IPv4), "[v6]:port", "unix:/path", "unix:@abstract" or
 * "fd:N" (an inherited listening socket, taken over).  Port 0 picks one.  A
 * host that is a name is looked up for 30 s at most; weir_server_stop(), by
 * another thread or a signal handler, ends the wait.
 * All programs in the same network namespace may connect to "unix:@abstract":
 * it has no mode, and service->mode is 0 or 0666 then.  A server that starts on
 * "/path" makes "/path.lock" for that time.
 * Listeners share the queue and max_connections.  They are asked in rotation,
 * and a listener that has no connection in one of these finds a place there
 * (one in four places is kept for this at most).
 *
 * Returns the listener's id, from 0; -EINVAL (address or service malformed, or
 * a control character in a name);
 * -ENOENT (no such host); -EADDRINUSE, -EADDRNOTAVAIL, -EACCES ... (bind;
 * -EADDRINUSE too for a descriptor that this server has already); -ENOTSOCK
 * (fd: not a listening stream socket; unix: the path is something else);
 * -ENAMETOOLONG; -ETIMEDOUT, -EAGAIN (as weir_resolve()); -EBUSY (started);
 * -ESHUTDOWN (stopped); -ENOMEM.
 * Thread: before start.  Since: 0.1.
 */
WEIR_API int weir_server_listen(weir_server *s, const char *where,
				const struct weir_service *service);

/*
 * The address of listener id as text that weir_dial() understands, with the
 * real port.  At most cap bytes with the NUL are written.
 *
 * Returns the length of the text; -EINVAL (no such listener); -ENOSPC.
 * Thread: any, but not during weir_server_listen().  Since: 0.1.
 */
WEIR_API int weir_server_address(weir_server *s, int id, char *buf, size_t cap);

/*
 * Start the threads and accept.  All or nothing.
 *
 * Returns 0; -EINVAL (no listener); -EBUSY (started); -ESHUTDOWN (stopped);
 * -EAGAIN, -ENOMEM ... (no threads: the server is good for nothing then but
 * weir_server_free(), its listeners are closed).
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_server_start(weir_server *s);

/*
 * Start, unless that is done, and wait for the end.  (A program that wants to
 * say that it serves starts, says so, and runs.)  With WEIR_SIGNALS the calling
 * thread takes SIGINT and SIGTERM while it waits (they are blocked in it; block
 * them in your other threads too): the first drains with the configured grace,
 * the second cuts.  The mask is put back.  Only one server of a process can run
 * with WEIR_SIGNALS at a time; it can stop the others when it ends.
 *
 * Returns what weir_server_start() or weir_server_join() said; 0 if a stop
 * came before the start; -EBUSY at once, without a start, if another call runs
 * with WEIR_SIGNALS.
 * Thread: any but the server's.  Since: 0.1.
 */
WEIR_API int weir_server_run(weir_server *s, unsigned flags);

/*
 * Ask the server to stop within grace_ms; 0: at once; WEIR_NEVER: as long as
 * it takes.  Returns at once, weir_server_join() waits.  A second call can
 * only bring the deadline nearer.  Before the start: there will be none.
 * May be called from a signal handler and from a callback.
 *
 * Returns 0; -EINVAL (grace_ms < -1).
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_server_stop(weir_server *s, int grace_ms);

/*
 * The same with the grace of the configuration.
 *
 * Returns 0.
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_server_drain(weir_server *s);

/*
 * Wait until a stop that somebody asked for has ended.  ret, if not NULL,
 * gets the report; size is sizeof *ret, or 0.  May be called again.
 *
 * It returns by the deadline of the stop and 100 ms, or with -EBUSY about a
 * second later (docs/STOPPING.md).
 *
 * Returns 0 (the stop cut nothing; weir_ref_cancel() may have); -ECANCELED
 * (it did, or a stuck callback has returned meanwhile); -EBUSY (threads of the
 * server are still running: stuck callbacks, which the log names; hooks and
 * destructors of workers that take long; or one that the log sink holds up,
 * and the report says how far the stop has come); -EINVAL (never started);
 * -EDEADLK (by a thread of this server: in a callback, a worker hook, the log
 * sink); another -errno: the server has ended, because it could not wait for
 * events any more (its descriptors were closed by others, epoll is forbidden).
 * Thread: any but these.  Since: 0.1.
 */
WEIR_API int weir_server_join(weir_server *s, struct weir_report *ret,
			      size_t size);

/*
 * Counters and gauges.  A sum over the workers, not a transaction: exact when
 * the server is at rest.  size is sizeof *ret.
 *
 * Returns 0; -EINVAL.
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_server_stats(weir_server *s, struct weir_stats *ret,
			       size_t size);

/*
 * Free the server; stops it at once first if it still runs.  NULL is fine.
 * Connections that are still referenced answer -EPIPE from then on; their
 * memory goes with the last reference.  So does what stuck callbacks and other
 * threads that have not ended stand on.
 * By a thread of the server (see weir_server_join()) nothing is freed, and
 * the log says so.
 *
 * Thread: any but the server's, one at a time.  Since: 0.1.
 */
WEIR_API void weir_server_free(weir_server *s);

/* ------------------------------------------------------------------ input */
/*
 * Under `readable` and with no input there, each of these answers -EAGAIN:
 * return it, and the handler is called again, from its top, when more has
 * come.  They answer the same while half of outbox_max or a file is unsent;
 * then the handler is called again when that has gone.  And they answer the
 * same, though there is more, to a callback that has taken something and has
 * run for a millisecond, or has taken 256 KiB; then the handler is called again
 * after others had their turn.  Under `session` and on a dialled connection
 * they wait.  All of them may say:
 *
 *   -EAGAIN      no (complete) input yet; `readable` only
 *   -ETIMEDOUT   a deadline of the service has passed
 *   -EMSGSIZE    longer than cap or than the service's line_max
 *   -EBADMSG     the input ended inside a message
 *   -ESHUTDOWN   the server drains: no more input will be waited for
 *   -ECANCELED   cut by a stop's deadline or weir_ref_cancel()
 *   -EINTR       weir_ref_wake() interrupted the wait of a session
 *   -ECONNRESET, -EPIPE  the peer is gone; of a network that does not reach
 *                it any more -ETIMEDOUT, -EHOSTUNREACH, -ENETUNREACH and kin
 *   -EINVAL, -ENOMEM
 */

/*
 * What is there, at most cap bytes.
 *
 * Returns the count; 0 at the end of input; or as above.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API ssize_t weir_conn_read(weir_conn *c, void *buf, size_t cap);

/*
 * Exactly len bytes.
 *
 * Returns len; 0 at the end of input, before the first byte; or as above.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API ssize_t weir_conn_read_exact(weir_conn *c, void *buf, size_t len);

/*
 * A line with its newline, and a NUL after it; cap counts both.  The last line
 * of the input may come without a newline, but needs room for one: whether it
 * is the last is not waited for when there is none.
 *
 * Returns the length without the NUL; 0 at the end of input; or as above.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API ssize_t weir_conn_read_line(weir_conn *c, char *buf, size_t cap);

/*
 * Up to and including the delimiter of delim_len bytes, as read_line does
 * (without a NUL).
 *
 * Returns the length; 0 at the end of input; -EBADMSG if that comes before
 * the delimiter; or as above.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API ssize_t weir_conn_read_until(weir_conn *c, void *buf, size_t cap,
				      const void *delim, size_t delim_len);

/*
 * What is buffered, once it is at_least bytes (1 to line_max): *data points
 * to it until the next input call on the connection.
 *
 * Returns the count; 0 at the end of input with nothing buffered; -EBADMSG
 * at the end with less than asked; or as above.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API ssize_t weir_conn_peek(weir_conn *c, const void **data,
				size_t at_least);

/*
 * Drop the first len bytes of what weir_conn_peek() showed.
 *
 * Returns 0; -EINVAL (more than there is).
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_consume(weir_conn *c, size_t len);

/* ----------------------------------------------------------------- output */
/*
 * Small output of one callback is gathered and leaves in one piece when the
 * callback returns or waits for input.  Bytes are taken over: buf is yours on
 * return.  A call waits only while more than outbox_max bytes stay unsent,
 * and then at most write_ms without progress.  All of them may say:
 *
 *   -EPIPE, -ECONNRESET  the peer is gone, or output was shut down; or as
 *                for input, of the network
 *   -ETIMEDOUT   the peer took nothing for write_ms
 *   -ECANCELED   cut by a stop's deadline or weir_ref_cancel()
 *   -EIO         a file of weir_conn_sendfile() could not be read
 *   -EINVAL, -ENOMEM
 */

/*
 * Send len bytes, all of them.
 *
 * Returns 0, or as above.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_write(weir_conn *c, const void *buf, size_t len);

/*
 * The same for count pieces (0 to 1,024), one behind the other.
 *
 * Returns 0, or as above.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_writev(weir_conn *c, const struct iovec *iov, int count);

/*
 * The same for formatted text, as printf(3) makes it.
 *
 * Returns 0, or as above.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_printf(weir_conn *c, const char *format, ...)
	WEIR_PRINTF(2, 3);
WEIR_API int weir_conn_vprintf(weir_conn *c, const char *format, va_list ap)
	WEIR_PRINTF(2, 0);

/*
 * Send len bytes of the file fd from offset on, after what was written.
 * Never waits for the peer: the library keeps its own descriptor of the file
 * and sends as the peer takes it.  A file that turns out shorter, or cannot be
 * read, fails the connection: the log says why, and a TCP peer gets a reset, so
 * that it does not take a part for the whole.
 *
 * Returns 0; -EBADF (fd is not open for reading); -EINVAL (not a regular file,
 * or a range that no file has); -EFBIG (beyond what this system can address);
 * -EMFILE; or as above.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_sendfile(weir_conn *c, int fd, uint64_t offset,
				uint64_t len);

/*
 * Send now what was gathered, as far as the peer takes it without a wait.
 *
 * Returns 0, or as above.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_flush(weir_conn *c);

/*
 * Shut down one direction: SHUT_WR after all output has been sent, SHUT_RD
 * makes further input calls return 0, SHUT_RDWR both.
 *
 * Returns 0; -EINVAL; or as above.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_shutdown(weir_conn *c, int how);

/* ------------------------------------------------------------- properties */

/*
 * Why the callback runs.
 *
 * Returns WEIR_OPENED, _INPUT, _WAKE or _DRAIN.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_why(const weir_conn *c);

/*
 * The number of the connection: counts from 1 in each server and is never
 * used again; 0 for a dialled one.
 *
 * Returns it.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API uint64_t weir_conn_id(const weir_conn *c);

/* What a connection has been so far. */
struct weir_summary {
	int64_t end;	    /* WEIR_END_... */
	int64_t age_ms;	    /* since it was accepted, or dialled */
	uint64_t bytes_in;  /* received */
	uint64_t bytes_out; /* given to the kernel */
};

/*
 * What the connection has been so far; in `closed`: to its end.  size is
 * sizeof *ret.
 *
 * Returns 0; -EINVAL.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_summary(weir_conn *c, struct weir_summary *ret,
			       size_t size);

/*
 * Text of the peer's or our address: "1.2.3.4:5", "[::1]:5", "unix:/path",
 * or "unix:" for a peer without a name.  An IPv4 peer of a dual-stack
 * listener is written as IPv4.
 *
 * Returns the length; -ENOSPC (cap too small); -ENOTCONN.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_peer(weir_conn *c, char *buf, size_t cap);
WEIR_API int weir_conn_local(weir_conn *c, char *buf, size_t cap);

/*
 * The descriptor, for setsockopt(2), getpeername(2) and other calls that have
 * no counterpart here (docs/SOCKET_CALLS.md).  It is non-blocking; do not close
 * it.  A server switches SO_LINGER with a time off before it closes a
 * connection: its own lingering takes the place of that.
 *
 * Returns it.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_fd(const weir_conn *c);

/*
 * Change one deadline (WEIR_TIMEOUT_...) of this connection; ms > 0, or
 * WEIR_NEVER.
 *
 * Returns 0; -EINVAL.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_set_timeout(weir_conn *c, int which, int ms);

/*
 * What that deadline is now, in ms, or WEIR_NEVER.
 *
 * Returns 0; -EINVAL.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_get_timeout(const weir_conn *c, int which, int *ms);

/*
 * Tie data to the connection.  drop, if not NULL, is called with it once,
 * after `closed`, or when other data takes its place.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API void weir_conn_set_data(weir_conn *c, void *data,
				 void (*drop)(void *data));
WEIR_API void *weir_conn_data(const weir_conn *c);

/* -------------------------------------------------------- from any thread */
/*
 * A reference, taken inside a callback, lets any thread make these calls, also
 * after the connection or the server has ended: they return -EPIPE then.  No
 * call waits.
 */

/*
 * Take a reference to c, for use beyond this callback.
 *
 * Returns it; NULL (c is NULL).  weir_unref() gives it back.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API weir_ref *weir_conn_ref(weir_conn *c);

/*
 * c as a reference that is not counted: for the calls below during this
 * callback.  It is never given back.
 *
 * Returns it; NULL (c is NULL).
 * Thread: handler.  Since: 0.1.
 */
WEIR_API weir_ref *weir_conn_self(weir_conn *c);

/*
 * Count one more reference.
 *
 * Returns ref.
 * Thread: any.  Since: 0.1.
 */
WEIR_API weir_ref *weir_ref_dup(weir_ref *ref);

/*
 * Give a reference back; NULL does nothing.  A reference that nobody has taken
 * is not given back: the log says so.
 *
 * Thread: any.  Since: 0.1.
 */
WEIR_API void weir_unref(weir_ref *ref);

/*
 * The number of the connection, as weir_conn_id().
 *
 * Returns it.
 * Thread: any.  Since: 0.1.
 */
WEIR_API uint64_t weir_ref_id(const weir_ref *ref);

/*
 * Send len bytes, or keep them until the peer takes them.  The bytes of one
 * call stay together; each thread's calls keep their order.
 *
 * Returns 0; -ENOBUFS (outbox_max would be exceeded, or a callback waits in a
 * write that has exceeded it: nothing was taken); -EPIPE (over); -ENOMEM;
 * -EINVAL (a dialled connection).
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_ref_send(weir_ref *ref, const void *buf, size_t len);

/*
 * Have the handler called with WEIR_WAKE, after the call that is running if
 * there is one, and after the others that wait for a worker.  Several wakes
 * before that call are one.  Interrupts the wait of a session; one whose
 * handler has not begun, because its first byte has not come, ignores it.
 *
 * Returns 0; -EPIPE (over, or a dialled connection).
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_ref_wake(weir_ref *ref);

/*
 * Close as WEIR_CLOSE does, after the call that is running if there is one.
 *
 * Returns 0; -EPIPE (over, or a dialled connection).
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_ref_close(weir_ref *ref);

/*
 * End it now: unsent output is lost, waits return -ECANCELED.
 *
 * Returns 0; -EPIPE (over).
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_ref_cancel(weir_ref *ref);

/* ------------------------------------------------------------ client side */

/*
 * Connect to where (as for weir_server_listen(), but for "fd:N", which must
 * be a connected stream socket) within timeout_ms (0: 30,000).  Of a name all
 * addresses (the first 64) are tried, IPv6 and IPv4 by turns: an address that
 * has not answered after 250 ms is joined by the next one, and the first that
 * connects is taken.
 *
 * The connection has the input, output and property calls; its reads wait; it
 * has no deadlines until weir_conn_set_timeout() (that of the first byte counts
 * from the dial, the idle one from the call).  It is used by one thread at a
 * time and ends with weir_conn_free().
 *
 * Returns 0; -EINVAL (malformed); -ENOENT (no such host); -EAGAIN (as
 * weir_resolve()); -ETIMEDOUT; -ECONNREFUSED and kin: what the last address
 * said.
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_dial(weir_conn **ret, const char *where, int timeout_ms);

/*
 * Flush, close and free a dialled connection; NULL does nothing.  The
 * descriptor is closed when it returns, also if references are left; calls on
 * these return -EPIPE then.  It waits while output is unsent, until the peer
 * has taken nothing for the write deadline (30,000 ms if there is none), the
 * lifetime has passed, or another thread calls weir_ref_cancel().  On a
 * connection of a server it does nothing but log that.
 *
 * Thread: handler.  Since: 0.1.
 */
WEIR_API void weir_conn_free(weir_conn *c);

/* An address, as the kernel has it and as weir_dial() understands it. */
struct weir_address {
	struct sockaddr_storage addr;
	socklen_t len;
	char text[80];
};

/*
 * The addresses of where ("host:port", ":port" for loopback, or a number) in
 * the order in which they should be tried: the first max of them into ret.
 * Waits for the system's resolver until timeout_ms is over (0: 30,000); a
 * resolver that takes longer goes on in a thread of its own, which frees what
 * it held when it ends.
 *
 * Returns how many there are, max or not; -EINVAL (malformed, or no host);
 * -ENAMETOOLONG; -ENOENT (no such host); -ETIMEDOUT; -EAGAIN (the resolver
 * cannot say now, or too many look-ups outlast their deadlines, or there is
 * no thread); -ENOMEM; -EIO and kin (the resolver failed).
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_resolve(struct weir_address *ret, int max, const char *where,
			  int timeout_ms);

/*
 * The name of the host at the address where ("1.2.3.4:5", "[::1]:5", as
 * weir_conn_peer() writes it; the port means nothing).  Whoever runs the
 * address chooses that name: it proves nothing until weir_resolve() of it
 * gives the address again.  A resolver that is slow to name addresses does not
 * keep weir_resolve() and weir_dial() from asking it.
 *
 * Returns the length; -ENOSPC (cap too small); -ENOENT (no name); -EINVAL (no
 * number); or as weir_resolve().
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_reverse(char *buf, size_t cap, const char *where,
			  int timeout_ms);

/* ------------------------------------------------------------------ texts */

/*
 * What an error of this library means, in English: error is -errno, or errno.
 *
 * Returns the text, which is nobody's to free.
 * Thread: any.  Since: 0.1.
 */
WEIR_API const char *weir_strerror(int error);

/*
 * The library's version, to hold against WEIR_VERSION.
 *
 * Returns "MAJOR.MINOR.PATCH".
 * Thread: any.  Since: 0.1.
 */
WEIR_API const char *weir_version(void);

#ifdef __cplusplus
}
#endif

#endif
