/* SPDX-License-Identifier: MIT */
/*
 * weir: concurrent TCP servers on a fixed pool of threads.
 *
 * An acceptor thread takes connections from the kernel and puts them on a
 * bounded queue.  A fixed pool of workers takes them from the queue and runs
 * your callbacks.  An idle connection is parked and uses no thread.  A stop
 * lets running work finish, loses no reply, ends by its deadline and reports
 * counts that add up.
 *
 * examples/echo.c is the smallest complete server.
 *
 * These rules hold for every call:
 *
 *   Errors     A return value >= 0 is success, < 0 is -errno.  errno itself is
 *              not used.  Out-parameters are written on success only, unless a
 *              call says otherwise.
 *   Threads    "handler": a callback of the connection, or the thread that
 *              owns a connection of weir_dial().  "any": any thread.  Other
 *              threads reach a connection through a weir_ref.  No call is a
 *              cancellation point: after pthread_cancel() a thread finishes the
 *              call it is in.
 *   Misuse     A call returns -EINVAL for misuse that it can see: NULL for a
 *              server, connection or buffer, or a length above SSIZE_MAX (such
 *              as the error of a read, used as a length).  A function that
 *              returns no error does nothing then, and returns NULL or 0.
 *              Other misuse is undefined: a pointer to a freed object, a call
 *              from a thread that may not make it.
 *   Ownership  Strings and structures that you pass are copied.  A weir_conn
 *              belongs to the library and is valid during a callback; a
 *              weir_ref is valid until weir_ref_unref().
 *   Sizes      Structures may grow in later versions.  For a structure that the
 *              library fills, you pass its sizeof: the library writes no more,
 *              and sets to 0 what it does not know.  A structure that it reads
 *              has its sizeof in the first field: missing fields have their
 *              defaults, and set bytes that it does not know are -EINVAL.
 *              weir_poll and weir_address, which stand in arrays, do not grow.
 *
 * The library never exits, prints, reads the environment, installs a signal
 * handler or changes a signal's disposition, with three exceptions.  A failed
 * assertion, which is a bug of the library, writes a line to standard error and
 * aborts.  If SIGSEGV has its default action when a service with sessions is
 * made, it gets a handler that writes a line to standard error when a session
 * has overflowed its stack; the default action is restored when the last server
 * with such a service is freed.  With a C library without makecontext(), such
 * as musl, a real-time signal that has its default action gets a handler for
 * the moment in which a session's stack is made: a program that uses the
 * highest of these signals must set their handlers before the server starts.
 * The library holds no lock while it calls you.  Once loaded it stays loaded:
 * dlclose() does not unmap it.
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
typedef struct weir_timer weir_timer;
typedef struct weir_conn weir_conn;   /* for its callbacks, or its owner */
typedef struct weir_ref weir_ref;     /* the same connection, for any thread */
typedef struct weir_msg weir_msg;     /* bytes that many connections send */
typedef struct weir_layer weir_layer; /* TLS, see weir-tls.h */
typedef struct weir_access weir_access; /* rules for clients */

/* No limit, for any time in milliseconds.  In a field, 0 means the default. */
#define WEIR_NEVER (-1)

/*
 * A callback of a service.  It runs on a worker, one call at a time for each
 * connection.  Its result is a verdict: what the connection does next.
 *
 *   verdict      while input can come             after the end of input
 *   WEIR_CLOSE   send all output, then close      the same
 *   WEIR_WAIT    call on new input                as WEIR_CLOSE
 *   WEIR_AGAIN   call on any input, also on       as WEIR_CLOSE
 *                input that is buffered
 *   WEIR_KEEP    as WEIR_AGAIN                    as WEIR_PAUSE
 *   WEIR_PAUSE   stay open; do not call           the same
 *                for input
 *   -EAGAIN      of an input call: as WEIR_WAIT   as WEIR_CLOSE
 *   -errno       close, log the error             the same
 *   other        a bug                            a bug
 *
 * A handler may return 0 or an error of an input call: 0, the end of input,
 * closes, and -EAGAIN waits for more.  It must not return a count.  It is also
 * a bug to return WEIR_WAIT or -EAGAIN from a call with WEIR_INPUT in which no
 * input call has returned -EAGAIN.  A bug is logged and closes the connection.
 * From a session or from `opened`, the -EAGAIN of another call, such as
 * weir_dial(), is an error like others: no input call of a session returns it.
 * `expired` must not return it: there it means WEIR_WAIT.
 *
 * The right column applies once an input call has returned 0 or -EBADMSG, or
 * the handler was called for the end and made no input call.  There is one
 * exception: if bytes are left in the buffer after -EBADMSG, the handler is
 * called for them once more, and again as long as a call takes some of them or
 * unsent output holds them.  A connection that is kept after the end of input
 * closes once its output has been shut down and sent.
 *
 * Several reasons for a call take turns, so a handler that wakes itself in each
 * call is also called for input and for a stop.
 *
 * A pause lasts until a call for another reason than input returns another
 * verdict.  weir_ref_wake() and weir_conn_set_timer() cause such a call.  Input
 * stays in the buffer and in the kernel, whose flow control stops the peer.
 * Only the deadlines write_ms, lifetime_ms and pause_ms apply.  pause_ms begins
 * again when a call takes input and returns WEIR_PAUSE.  A reset by the peer
 * ends the connection.  The end of input has no effect until it is read.  A
 * session that returns WEIR_PAUSE is not called again, but `expired` may be,
 * and a stop closes the connection.
 *
 * A stop calls `readable` with WEIR_DRAIN.  WEIR_KEEP and WEIR_PAUSE then leave
 * the connection open until the deadline of the stop, and after each later call
 * there is another one with WEIR_DRAIN.  All other verdicts close.
 *
 * Errors that a peer or a stop causes are not logged: -EPIPE, -ECONNRESET,
 * -ESHUTDOWN, and an error for an unreachable peer (-EHOSTUNREACH ...) that an
 * input or output call has returned.
 *
 * A callback ends by returning: not by longjmp(), a C++ exception or
 * pthread_exit().  A child process that it forks either execs, or makes no
 * calls of this library and ends with _exit().
 */
typedef int weir_handler_fn(weir_conn *c, void *arg);

/*
 * Called once at the end of a connection, after its last callback, when all
 * its output has been given to the kernel or has been given up.  Nothing more
 * can be written, and no call waits for input: it returns -EAGAIN.
 * weir_conn_summary() says why the connection ended.  An accepted connection
 * that ends before its first callback, for example because the client says
 * nothing, is told to `unserved` instead of `closed`.  That callback runs on a
 * worker, or on the acceptor, where it must not block.  Neither is called for a
 * connection that was refused.
 */
typedef void weir_closed_fn(weir_conn *c, void *arg);

/*
 * Decides about a client that the access rules let in: 0 admits it, any other
 * result closes it without a reply (refused_access).  fd is its socket, peer
 * its address.  It runs on the acceptor, which keeps all deadlines: it must not
 * block.  With WEIR_PROXY_REQUIRED it runs on a worker, and peer is the address
 * that the PROXY header tells.
 */
typedef int weir_admit_fn(int fd, const struct sockaddr *peer,
			  socklen_t peer_len, void *arg);

/*
 * Told of each client of the service that is refused, for example for a log;
 * the library then logs no line for it, only the error if a session gets no
 * stack.  peer is the client's address as text, via is the address of its proxy
 * or NULL, and reason is a short English text.  `closed` is not called for such
 * a client.  This callback runs on the acceptor, where it must not block, or on
 * a worker.
 */
typedef void weir_refused_fn(const char *peer, const char *via,
			     const char *reason, void *arg);

/*
 * Gets one line, without its newline.  Several threads call it at once, among
 * them the acceptor, which keeps all deadlines and carries out the stop: it
 * must not block.  (A sink that may block hands its lines to a thread of its
 * own.)  It may be called until weir_server_join() has returned anything but
 * -EBUSY.
 */
typedef void weir_log_fn(int level, const char *line, void *arg);

/*
 * Called on a worker when the timer t of the server is due, one call at a time
 * for each timer.  It may move or free t.  The rules for callbacks in
 * weir_handler_fn apply to it.
 */
typedef void weir_timer_fn(weir_server *s, weir_timer *t, void *arg);

/* Called at the start and at the end of each worker; index counts from 0. */
typedef void weir_worker_fn(int index, void *arg);

/*
 * Verdicts, see weir_handler_fn.  They are large, so that a count of bytes that
 * a handler returns by mistake is none of them.
 */
enum {
	WEIR_CLOSE = 0,
	WEIR_AGAIN = 2000000001,
	WEIR_WAIT = 2000000002,
	WEIR_KEEP = 2000000003,
	WEIR_PAUSE = 2000000004
};

/* weir_conn_why(): why the callback runs. */
enum {
	WEIR_OPENED = 1,   /* the connection is new; no input has been read */
	WEIR_INPUT = 2,	   /* there is input, or the end of it */
	WEIR_WAKE = 3,	   /* weir_ref_wake() was called */
	WEIR_DRAIN = 4,	   /* the server stops; see weir_handler_fn */
	WEIR_WRITABLE = 5, /* there is room, see weir_conn_want_room() */
	WEIR_TIMER = 6,	   /* the time of weir_conn_set_timer() has passed */
	WEIR_EXPIRED = 7   /* in `expired`: a deadline has passed */
};

/* weir_config.log_level, and the level of a line of weir_log_fn. */
enum {
	WEIR_LOG_ERROR = 1,
	WEIR_LOG_WARNING = 2,
	WEIR_LOG_INFO = 3,
	WEIR_LOG_DEBUG = 4
};

/* weir_config.overload: when the queue or the server is full. */
enum {
	WEIR_HOLD = 0,	/* accept no more; clients wait in the kernel */
	WEIR_REFUSE = 1 /* accept, send the refusal text, close */
};

/* weir_config.affinity; SPREAD: worker i on the i-th processor allowed. */
enum { WEIR_AFFINITY_NONE = 0, WEIR_AFFINITY_SPREAD = 1 };

/*
 * weir_service.proxy: whether each connection begins with a header of the PROXY
 * protocol, in which a proxy tells the address of its client.
 */
enum { WEIR_PROXY_NEVER = 0, WEIR_PROXY_REQUIRED = 1 };

/*
 * weir_conn_proxy_tlv(): what a header of version 2 tells besides addresses.
 * The values of WEIR_PROXY_TLS_... are inside that of WEIR_PROXY_TLS.
 */
enum {
	WEIR_PROXY_ALPN = 0x01,
	WEIR_PROXY_AUTHORITY = 0x02, /* the host name that the client named */
	WEIR_PROXY_CRC32C = 0x03,    /* verified */
	WEIR_PROXY_UNIQUE_ID = 0x05,
	WEIR_PROXY_TLS = 0x20, /* a byte of bits, WEIR_PROXY_BY_TLS ..., and */
			       /* 4 bytes, 0 if the certificate is verified */
	WEIR_PROXY_TLS_VERSION = 0x21,
	WEIR_PROXY_TLS_CN = 0x22, /* of the client's certificate */
	WEIR_PROXY_TLS_CIPHER = 0x23,
	WEIR_PROXY_TLS_SIGNATURE = 0x24, /* algorithm of that certificate */
	WEIR_PROXY_TLS_KEY = 0x25,	 /* algorithm of that certificate */
	WEIR_PROXY_NETNS = 0x30
};

/* weir_conn_proxy_tls() */
enum {
	WEIR_PROXY_BY_TLS = 1,	     /* the client has connected with TLS */
	WEIR_PROXY_CERTIFICATE = 2,  /* it gave one in this connection */
	WEIR_PROXY_IN_SESSION = 4,   /* it gave one in this TLS session */
	WEIR_PROXY_VERIFIED = 1 << 8 /* the proxy has verified it */
};

/* weir_server_run() */
enum { WEIR_SIGNALS = 1 };

/* weir_conn_set_timeout() */
enum {
	WEIR_TIMEOUT_FIRST_BYTE = 1,
	WEIR_TIMEOUT_READ = 2,
	WEIR_TIMEOUT_WRITE = 3,
	WEIR_TIMEOUT_IDLE = 4,
	WEIR_TIMEOUT_LIFETIME = 5,
	WEIR_TIMEOUT_PAUSE = 6,
	WEIR_TIMEOUT_HANDSHAKE = 7
};

/* weir_summary.end: why a connection ended. */
enum {
	WEIR_END_NONE = 0,	 /* it has not ended */
	WEIR_END_CLOSED = 1,	 /* by its handler, or by weir_ref_close() */
	WEIR_END_PEER = 2,	 /* the peer ended its input */
	WEIR_END_LOST = 3,	 /* the peer reset it, or cannot be reached */
	WEIR_END_ERROR = 4,	 /* an error, which is in the log */
	WEIR_END_DRAIN = 5,	 /* the server stops */
	WEIR_END_CUT = 6,	 /* a stop's deadline, or weir_ref_cancel() */
	WEIR_END_CONNECT = 7,	 /* weir_server_dial() could not connect */
	WEIR_END_FIRST_BYTE = 8, /* from here on: a deadline of the service */
	WEIR_END_READ = 9,
	WEIR_END_WRITE = 10,
	WEIR_END_IDLE = 11,
	WEIR_END_LIFETIME = 12,
	WEIR_END_PAUSE = 13,
	WEIR_END_HANDSHAKE = 14
};

/*
 * Settings of a server.  In one made with WEIR_CONFIG(.workers = 4, ...) a
 * field that is 0 or NULL has its default.  weir_config_init() fills in the
 * defaults and sets exact to 1: then 0 means 0 and not the default, where the
 * comment of the field gives 0 no other meaning.
 *
 * The comment of a field gives its range and its default.  A time is 1 to
 * INT_MAX ms or WEIR_NEVER.  The default of workers is the number of processors
 * in the affinity of the calling thread, or the CPU quota of its control group
 * or of a parent group, rounded up, if that is less.
 *
 * A client is checked before it gets a place: first against access (see
 * weir_access_new()), then against the early refusals, then against the limit
 * of its source, and last by admit of the service.  With WEIR_PROXY_REQUIRED
 * the checks are made when the header has come, for the client that it names.
 * There is no check if the header names no client, or if the proxy came by TCP
 * and the client came to the proxy through a Unix socket.
 *
 * max_per_source is the number of connections that one source may have open: an
 * IPv4 address, or a /64 network of IPv6.  By default it is a quarter of
 * max_connections, at least 16, so that no source can take all places.  Clients
 * behind one NAT, or a proxy that does not pass their addresses on, are one
 * source.  Clients of Unix sockets belong to no source.  Without access,
 * loopback is exempt from this limit and from the early refusals.  The table of
 * sources has 65,536 places, of which each source can use eight.  If other
 * sources have connections in all eight, a client is let in uncounted
 * (sources_full).
 *
 * When early_start open connections have not sent a first message,
 * early_percent of new clients are refused.  The share grows with the number of
 * such connections; at early_full of them all new clients are refused.
 *
 * While the server is full and a client waits, the connection that has been
 * idle longest is ended as at its deadline for idle time, if it has been idle
 * for evict_ms: expired is called, and a session gets -ETIMEDOUT.  A client is
 * idle from the accept until its PROXY header and its handshake are complete.
 * This does not end a session with session_on_worker.
 *
 * outbox_total limits the unsent output of all connections, in which a message
 * of weir_msg_new() counts once for each connection that keeps it.  The unsent
 * output of one connection may be an eighth of what is left of outbox_total, or
 * 16 KiB if that is more: a larger outbox_mark or outbox_max is lowered to it.
 * A write of up to outbox_mark is always taken while nothing is unsent.
 * So clients that do not read share outbox_total evenly, and the others are
 * served as before.
 */
struct weir_config {
	size_t size; /* sizeof(struct weir_config) */
	int exact;   /* 1: a field that is 0 is not replaced by its default */

	int workers;	     /* threads that run callbacks; 1 to 1,024 */
	int queue_length;    /* waiting connections; 1 to 1,000,000; 128 */
	int queue_age_ms;    /* longest wait, then refused; a time; 10,000 */
	int max_connections; /* accepted; 1 to 10,000,000; 10,000 */
	int max_dialled;     /* the program's own; 1 to 10,000,000; 10,000 */
	int overload;	     /* WEIR_HOLD or _REFUSE; _HOLD */
	size_t outbox_total; /* unsent, of all; 1 B to 1 TiB; 1 GiB */
	int affinity;	     /* WEIR_AFFINITY_NONE or _SPREAD; _NONE */
	int lame_duck_ms;    /* before a drain; a time, or 0; 0 */
	int drain_ms;	     /* grace of a stop; a time, or 0; 10,000 */
	int log_level;	     /* most verbose level; WEIR_LOG_INFO */
	const char *refusal; /* to refused clients; "busy, try later\n" */
	size_t stack_size;   /* for a callback; 64 KiB to 1 GiB; 256 KiB */

	int max_per_source;  /* of one address; 0 to 10,000,000; 0: a quarter */
	int early_start;     /* early refusals; 0 to 10,000,000; 0: none */
	int early_percent;   /* 1 to 100; 30 */
	int early_full;	     /* more than early_start */
	int evict_ms;	     /* idle time; a time; WEIR_NEVER */
	weir_access *access; /* rules for clients; NULL: all may connect */

	weir_log_fn *log; /* where lines go; NULL: nowhere */
	void *log_arg;
	weir_worker_fn *worker_start; /* NULL: none */
	weir_worker_fn *worker_exit;  /* NULL: none */
	void *worker_arg;
};

/*
 * Callbacks and limits for the connections of a listener, or for one that the
 * program dials or adopts.  It is made like struct weir_config, with
 * WEIR_SERVICE(...) or weir_service_init().  Exactly one of session and
 * readable is set.  A session begins, and readable is called for input, when
 * the first byte has come.  The callback opened can send before that; with
 * speaks_first, which excludes opened, a session begins at once.  It is called
 * once, or again for more input if it returns WEIR_AGAIN or WEIR_KEEP.
 *
 * A session, like opened and expired of its service, runs on a stack of its own
 * of stack_size bytes.  While it waits in a call of this library, it is parked
 * with that stack and uses no thread.  Any worker may resume it: hold no mutex
 * over a call that waits, and do not use the same thread-local variable, such
 * as errno, before and after it.  With session_on_worker a session stays on one
 * worker, which does nothing else until it returns.  All sessions do so where
 * stacks cannot be switched (docs/THREADING.md).
 *
 * No input is read while half of outbox_mark is unsent, because each input may
 * add output.  The input of a relay adds output to another connection instead:
 * for it, full_duplex makes input independent of output.  Files of
 * weir_conn_sendfile() hold input in either case.
 * Callbacks of a service with readable can write up to outbox_max, files not
 * counted; its default is 16 MiB, or outbox_mark if that is more.
 *
 * While output is unsent, the peer must take more than write_ms * write_rate /
 * 1000 bytes of it within write_ms, or one byte if write_rate is 0.  The
 * library checks this after each quarter of write_ms, so a peer that stops
 * reading is ended after at most 1.25 times write_ms.  While output is unsent,
 * first_byte_ms and idle_ms do not apply; they begin again when all of it is
 * sent.  While unsent output holds the input, read_ms does not apply either; it
 * begins again after that.
 *
 * When a deadline other than write_ms has passed and a worker is free, expired
 * is called with WEIR_EXPIRED.  It may write a last message;
 * weir_conn_summary() tells which deadline it was.  WEIR_CLOSE then closes the
 * connection; WEIR_AGAIN, _WAIT, _KEEP and _PAUSE restart the deadline, also
 * after the end of input, but after lifetime_ms every verdict closes.  A
 * session that waits gets -ETIMEDOUT instead of this call, and one that has
 * returned WEIR_PAUSE stays paused.  Without expired, after write_ms, and
 * before a handshake or a PROXY header is complete, the connection is closed.
 *
 * With WEIR_PROXY_REQUIRED a connection begins with a PROXY header of version 1
 * or 2, which must be complete within handshake_ms of the accept.  Until then
 * no callback runs.  The header is no input: it restarts no deadline, starts no
 * session and is not counted in bytes_in.  On TCP it is believed only from the
 * networks of proxy_trust, which must be set; a Unix socket trusts all that its
 * mode lets connect.  A connection from elsewhere, or one that begins with
 * anything but a correct header, is closed without a reply and counts as
 * refused.  weir_conn_peer() and weir_conn_local() give the addresses of the
 * header.  Without WEIR_PROXY_REQUIRED a header is input.
 */
struct weir_service {
	size_t size; /* sizeof(struct weir_service) */
	int exact;   /* as in struct weir_config */

	weir_handler_fn *session;  /* a whole dialogue; its calls wait */
	weir_handler_fn *readable; /* called on input; its reads never wait */
	weir_handler_fn *opened;   /* called first, before any input */
	weir_handler_fn *expired;  /* called when a deadline passes; or NULL */
	weir_closed_fn *closed;	   /* called at the end */
	weir_closed_fn *unserved;  /* instead, if nothing was called; or NULL */
	weir_admit_fn *admit;	   /* decides about clients; or NULL */
	weir_refused_fn *refused;  /* told of refused clients; or NULL */
	void *arg;		   /* passed to each of them */
	weir_layer *layer;	   /* set by weir_tls_use(); NULL: none */

	int first_byte_ms;     /* from accept to the first input; 60,000 */
	int read_ms;	       /* for a whole message, once begun; 30,000 */
	int write_ms;	       /* for the peer to take output; 30,000 */
	int idle_ms;	       /* between messages; 300,000 */
	int pause_ms;	       /* longest pause; WEIR_NEVER */
	int lifetime_ms;       /* of the connection; WEIR_NEVER */
	int handshake_ms;      /* for a PROXY header and TLS; 10,000 */
	size_t line_max;       /* longest message; 1 B to 1 GiB; 64 KiB */
	size_t outbox_mark;    /* unsent output; 1 B to 1 GiB; 256 KiB */
	size_t outbox_max;     /* limit for it; outbox_mark to 1 GiB; 16 MiB */
	size_t write_rate;     /* B/s that the peer must take, see above; 0 */
	int speaks_first;      /* 1: a session begins at once; 0 or 1; 0 */
	int session_on_worker; /* 1: a session keeps its worker; 0 or 1; 0 */
	size_t stack_size;     /* of a session; 16 KiB to 1 GiB; 256 KiB */
	int full_duplex;  /* 1: unsent output does not hold input; 0 or 1; 0 */
	int proxy;	  /* WEIR_PROXY_NEVER or _REQUIRED; _NEVER */
	size_t proxy_max; /* header of version 2; 216 B to 32 KiB; 4 KiB */
	const char *proxy_trust; /* "10.0.0.0/8, ::1"; NULL: none */
	int backlog;		 /* of listen(2); 1 to INT_MAX; 4,096 */
	int mode;		 /* of a Unix socket; 0 to 0777; 0: 0600 */
};

/*
 * For C, and for C++20 inside functions; C++17 has weir_config_init() and
 * weir_service_init().  The structure lives to the end of the block in C, and
 * to the end of the full expression in C++.
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

/* A numeric field of struct weir_config or struct weir_service. */
struct weir_option {
	const char *name; /* of the field */
	const char *text; /* a short description */
	int unit;	  /* WEIR_UNIT_... */
	int64_t preset;	  /* the default; 0 for workers: processors */
	int64_t min;
	int64_t max;
};

/*
 * The ledger of connections: accepted + dialled + spawned = completed +
 * failed + timed_out + refused + probed + cut + open, exactly, whenever the
 * server is at rest.  A later version may add reasons for refusals, but no
 * other outcomes.
 */
struct weir_ledger {
	uint64_t accepted;
	uint64_t dialled;   /* weir_server_dial(), weir_server_adopt() */
	uint64_t spawned;   /* weir_server_spawn() */
	uint64_t open;	    /* not ended yet */
	uint64_t closed;    /* ended: the sum of the next six */
	uint64_t completed; /* served to the end */
	uint64_t failed;    /* peer gone, handler error, shortage */
	uint64_t timed_out; /* a deadline of the service */
	uint64_t refused;   /* the sum of the reasons below */
	uint64_t probed;    /* WEIR_PROXY_REQUIRED: the peer ended it, and no */
			    /* byte came but those of a header */
	uint64_t cut;	    /* a stop's deadline, or weir_ref_cancel() */

	uint64_t refused_full;	 /* queue full, WEIR_REFUSE */
	uint64_t refused_age;	 /* waited too long in the queue */
	uint64_t refused_limit;	 /* connections or descriptors, WEIR_REFUSE; */
				 /* no memory for the stack of a session */
	uint64_t refused_drain;	 /* waited at a stop's deadline */
	uint64_t refused_access; /* the rules, or admit; without reply */
	uint64_t refused_source; /* limit of the client's address */
	uint64_t refused_rate;	 /* rate of the client's address */
	uint64_t refused_early;	 /* early_start to early_full */
	uint64_t refused_proxy;	 /* WEIR_PROXY_REQUIRED: not in proxy_trust */
	uint64_t refused_header; /* a wrong PROXY header, or none */
	uint64_t reserved[11];	 /* 0 */
};

/* weir_stats.phase */
enum {
	WEIR_PHASE_NEW = 0, /* not started */
	WEIR_PHASE_SERVING = 1,
	WEIR_PHASE_LAME_DUCK = 2, /* a stop was requested; it still accepts */
	WEIR_PHASE_DRAINING = 3,  /* connections are ended */
	WEIR_PHASE_CUTTING = 4,	  /* the stop's deadline has passed */
	WEIR_PHASE_DONE = 5	  /* it has ended */
};

/* Index of weir_stats.handshakes: how a handshake of TLS has ended. */
enum {
	WEIR_HANDSHAKE_FULL = 0,
	WEIR_HANDSHAKE_RESUMED = 1,	/* by a ticket */
	WEIR_HANDSHAKE_NOT_TLS = 2,	/* the peer does not speak TLS */
	WEIR_HANDSHAKE_PROTOCOL = 3,	/* nothing in common, a wrong message */
	WEIR_HANDSHAKE_CERTIFICATE = 4, /* refused by this side or the peer */
	WEIR_HANDSHAKE_TIMED_OUT = 5,	/* handshake_ms or lifetime_ms */
	WEIR_HANDSHAKE_LOST = 6,	/* the peer is gone */
	WEIR_HANDSHAKE_CUT = 7		/* by this side: a stop, no memory */
};

/*
 * weir_stats: bucket 0 counts durations below 1 us, bucket i those from 2^(i-1)
 * to below 2^i us, and the last one also all longer ones.
 */
#define WEIR_BUCKETS 32

/* Counters and gauges of a server, as weir_server_stats() reads them. */
struct weir_stats {
	struct weir_ledger ledger;

	/* Totals. */
	uint64_t bytes_in;
	uint64_t bytes_out;
	uint64_t sends;		/* weir_ref_send(), _sendv(), _send_msg() */
	uint64_t sends_refused; /* output calls that returned -ENOBUFS */
	uint64_t callbacks;	/* handler calls */
	uint64_t timer_calls;
	uint64_t dead_on_arrival; /* of failed: gone before any callback */
	uint64_t accept_errors;	  /* connections that accept(2) lost */
	uint64_t shortages;	  /* pauses without descriptors or memory */
	uint64_t late_bytes;	  /* came after the server's end of data */
	uint64_t log_dropped;	  /* lines held back by the rate limit */
	uint64_t starvations;	  /* times in which work waited for a worker */
				  /* while all were in callbacks for 5 s */
	uint64_t sources_full;	  /* clients of a source that is not counted */
	uint64_t evictions;	  /* idle ones asked to end for another one */

	/* Now. */
	uint64_t phase; /* WEIR_PHASE_... */
	uint64_t parked;
	uint64_t queued;
	uint64_t lingering;
	uint64_t unsent;	      /* bytes, as outbox_total counts them */
	uint64_t busy;		      /* workers in a callback */
	uint64_t longest_callback_ms; /* of those running now */
	uint64_t stacks;	      /* of sessions, in use */
	uint64_t stacks_pooled;	      /* kept for the next ones */
	uint64_t stack_deepest;	      /* bytes seen in use, in whole pages */

	/* Limits, as configured. */
	uint64_t workers;
	uint64_t queue_length;
	uint64_t max_connections;
	uint64_t max_dialled;
	uint64_t outbox_total;

	uint64_t timed_out[16]; /* of the ledger's, by WEIR_TIMEOUT_... */

	/* Durations: sums and distributions. */
	uint64_t queue_wait_us;
	uint64_t callback_us;
	uint64_t queue_wait[WEIR_BUCKETS];
	uint64_t callback_time[WEIR_BUCKETS];

	/*
	 * TLS.  A handshake begins with its first byte, and that of
	 * weir_conn_start_tls() with the call.  With WEIR_TLS_EOF_IS_END an end
	 * between two records does not count as truncated.
	 */
	uint64_t handshakes[16]; /* that have ended, by WEIR_HANDSHAKE_... */
	uint64_t truncated;	 /* connections that the peer has ended */
				 /* without close_notify */
	uint64_t handshake_us;	 /* of those that have succeeded */
	uint64_t handshake_time[WEIR_BUCKETS];
};

/* Totals of one listener's connections, as in struct weir_stats. */
struct weir_listener_stats {
	struct weir_ledger ledger; /* dialled and spawned are 0 */
	uint64_t timed_out[16];
	uint64_t bytes_in;
	uint64_t bytes_out;
	uint64_t callbacks;
	uint64_t queue_wait_us;
	uint64_t callback_us;
	uint64_t connection_us; /* of ended ones: from the accept to the end */
	uint64_t handshakes[16];
	uint64_t truncated;
};

/* weir_conn_info.state */
enum {
	WEIR_STATE_CONNECTING = 1, /* weir_server_dial(): not connected yet */
	WEIR_STATE_QUEUED = 2,	   /* waits for a worker, for the first time */
	WEIR_STATE_READY = 3,	   /* waits for a worker */
	WEIR_STATE_RUNNING = 4,	   /* is in a callback */
	WEIR_STATE_WAITING = 5,	   /* waits for its peer, in a session */
	WEIR_STATE_PARKED = 6,	   /* waits for its peer or another event */
	WEIR_STATE_LINGERING = 7   /* waits for its peer to close */
};

/* A connection, as weir_server_each() shows it. */
struct weir_conn_info {
	uint64_t id;	  /* as of weir_conn_id() */
	int64_t listener; /* its id; -1: a connection of the program's own */
	int64_t state;	  /* WEIR_STATE_... */
	int64_t age_ms;	  /* since the accept, or since it connected */
	uint64_t bytes_in;
	uint64_t bytes_out;
	uint64_t unsent; /* as of weir_conn_unsent() */
	char peer[160];	 /* as of weir_conn_peer(); "": not known */
	char via[160];	 /* as of weir_conn_via(); "": there is none */
};

/* Called by weir_server_each(); a result other than 0 ends the walk. */
typedef int weir_each_fn(const struct weir_conn_info *info, void *arg);

/* The result of a stop. */
struct weir_report {
	struct weir_ledger ledger; /* since the start of the server */
	uint64_t stuck;		   /* callbacks still running */
	uint64_t late_bytes;
	uint64_t lame_duck_ms; /* from the first request to the drain */
	uint64_t drain_ms;     /* from the start of the drain to the end */
};

/* --------------------------------------------------------------- settings */

/*
 * Fill *c or *s with the defaults; size is its sizeof.
 *
 * Thread: any.  Since: 0.1.
 */
WEIR_API void weir_config_init(struct weir_config *c, size_t size);
WEIR_API void weir_service_init(struct weir_service *s, size_t size);

/*
 * Make the checks of weir_server_new() or weir_server_listen() alone.  If why
 * is not NULL, it gets at most cap bytes of text with the NUL, such as "workers
 * is 2000, not from 1 to 1024".
 *
 * Returns 0; -EINVAL.
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_config_check(const struct weir_config *c, char *why,
			       size_t cap);
WEIR_API int weir_service_check(const struct weir_service *s, char *why,
				size_t cap);

/*
 * List the numeric fields with their ranges and defaults; i counts from 0.
 *
 * Returns a field, which stays valid; NULL (no more).
 * Thread: any.  Since: 0.1.
 */
WEIR_API const struct weir_option *weir_config_option(size_t i);
WEIR_API const struct weir_option *weir_service_option(size_t i);

/* weir_address_check(): what the address is for. */
enum { WEIR_TO_LISTEN = 1, WEIR_TO_DIAL = 2 };

/* weir_address_check(): the kind of the address. */
enum { WEIR_ADDRESS_TCP = 1, WEIR_ADDRESS_UNIX = 2, WEIR_ADDRESS_FD = 3 };

/*
 * Check the form of an address, without a lookup; use is WEIR_TO_LISTEN or
 * WEIR_TO_DIAL.  If why is not NULL, it gets at most cap bytes of text with the
 * NUL, such as "the port is missing; use host:port, ...".
 *
 * Returns WEIR_ADDRESS_TCP, _UNIX or _FD; -EINVAL; -ENAMETOOLONG.
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_address_check(const char *where, int use, char *why,
				size_t cap);

/* ----------------------------------------------------------- access rules */

/*
 * Make access rules from text, or from a file.  They never change; a server
 * uses others after weir_server_configure() with a new object.  A line is
 *
 *   allow 10.0.0.0/8    clients of this network may connect
 *   deny ::/0           they may not; they are closed without a reply
 *   exempt 192.0.2.7    they may, and limit, rate and the settings
 *                       max_per_source and early_... do not apply to them
 *   limit 20 per 32/64  connections of one source, which is an IPv4 /32 or an
 *                       IPv6 /64 network, as without "per"
 *   rate 50/10s         new connections of one source: 50 at once, then one
 *                       each 200 ms
 *
 * or empty; # begins a comment.  The first matching rule decides.  A client
 * that none matches is denied if there is an allow, and else allowed.  A
 * v4-mapped address is IPv4.  For clients of Unix sockets there are "uid:1000"
 * and "gid:100" instead of a network: the effective user and group of the
 * client when it connected.  Rules for networks apply only to TCP clients, and
 * those for users and groups only to clients of Unix sockets.  In a user
 * namespace that does not map all ids, a rule for one that it does not map, or
 * for 65534, as which all these appear, is -EINVAL; so is any rule for an id if
 * it does not map the user and the group of this process.  limit and rate may
 * be given once; limit replaces max_per_source.  A file is at most 64 MiB long.
 *
 * If why is not NULL, it gets at most cap bytes of text with the NUL, such as
 * "line 3: '10.0.0.1/8': bits are set behind the prefix".  The caller frees the
 * object with weir_access_unref(); each server that uses it has a reference of
 * its own.
 *
 * Returns 0; -EINVAL; -ENOMEM; -EMFILE, -ENFILE ... (no descriptors, which also
 * a rule for an id needs); of weir_access_load() also -ENOENT, -EACCES ... (as
 * open(2)), -EISDIR, -ESPIPE (no regular file), -EFBIG (too long), -EAGAIN (it
 * has grown meanwhile), another error of read(2).
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_access_new(weir_access **ret, const char *text, char *why,
			     size_t cap);
WEIR_API int weir_access_load(weir_access **ret, const char *path, char *why,
			      size_t cap);

/*
 * Count one more reference to a, or give one up; NULL is allowed.
 *
 * Returns a.
 * Thread: any.  Since: 0.1.
 */
WEIR_API weir_access *weir_access_dup(weir_access *a);
WEIR_API void weir_access_unref(weir_access *a);

/* ------------------------------------------------------------- the server */

/*
 * Make a server with no listener and no thread.  config NULL: all defaults.
 *
 * Returns 0; -EINVAL (see weir_config_check()); -ENOMEM; -EMFILE, -ENFILE ...
 * (no descriptors).
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_server_new(weir_server **ret,
			     const struct weir_config *config);

/*
 * Add a listener with its own service; a server that runs accepts from it at
 * once.  where is "host:port", ":port" (all interfaces, IPv6 and IPv4),
 * "[v6]:port", "unix:/path", "unix:@abstract" or "fd:N" (an inherited listening
 * socket, which the server then owns).  Port 0 picks a free port.  The socket
 * of "fd:N" becomes non-blocking, also for other programs that hold it.
 *
 * A host name is looked up for at most 30 s.  A request to stop, from another
 * thread or a signal handler, ends the wait, after its lame duck if it has one.
 * While "unix:/path" is being opened there is a file "/path.lock".  Every
 * program in the network namespace may connect to "unix:@abstract": it has no
 * mode, and service->mode must be 0 or 0666.
 *
 * Listeners share the queue and max_connections and are served in rotation.  Up
 * to a quarter of each is kept for listeners that have no connection in it.
 *
 * Returns the listener's id, from 0; -EINVAL (the address, the service, or a
 * control character in a name); -ENOENT (no such host); -ETIMEDOUT, -EAGAIN,
 * -EIO ... (as weir_resolve()); -ENAMETOOLONG; -EADDRINUSE, -EADDRNOTAVAIL,
 * -EACCES ... (as bind(2); -EADDRINUSE also for a descriptor that this server
 * has already); -EMFILE, -ENFILE, -ENOBUFS ... (as socket(2)); -ENOTSOCK (fd:
 * not a listening stream socket; unix: another kind of file); -ESHUTDOWN
 * (stopped); -ENOMEM.
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_server_listen(weir_server *s, const char *where,
				const struct weir_service *service);

/*
 * Close listener id, as a stop does (docs/STOPPING.md): the acceptor lets no
 * new connection begin, accepts and serves those that the kernel has completed,
 * and closes the listener, usually within 50 ms.  With WEIR_HOLD and a full
 * queue, these clients wait for room first.  Open connections go on.  The path
 * of a Unix socket is removed.  A listener of "fd:N" is only closed.
 *
 * It returns at once.  Until the listener is closed, another call returns
 * -EALREADY.  The id is not used again.  Less than 2 KiB of memory is kept
 * until weir_server_free(), and 256 bytes for each worker.
 *
 * Returns 0; -EALREADY (it is being closed); -EINVAL (no such listener, or it
 * is closed); -ESHUTDOWN (stopped).
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_server_unlisten(weir_server *s, int id);

/*
 * Write the address of listener id, as text for weir_dial() with the real port,
 * to buf: at most cap bytes with the NUL.
 *
 * Returns the length of the text; -EINVAL (no such listener); -ENOSPC.
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_server_address(const weir_server *s, int id, char *buf,
				 size_t cap);

/*
 * Give the descriptor of listener id, for another process or server that
 * listens on a copy of it as "fd:N".  From then on the listener is shared: this
 * server only closes it, and leaves the path of a Unix socket and the clients
 * in the backlog to the owner of the copy.  Make the copy (dup(2), fork(2))
 * before the server stops or weir_server_unlisten() is called: these close the
 * descriptor.
 *
 * Returns the descriptor; -EALREADY (it is being closed); -EINVAL (no such
 * listener, or it is closed); -ESHUTDOWN (stopped).
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_server_listener_fd(weir_server *s, int id);

/*
 * Make listener id the server's alone, when no other process or server has a
 * copy of its descriptor.  Before, it was shared by weir_server_listener_fd()
 * or inherited as "fd:N".  From then on a stop treats it like a listener that
 * the server has opened, and removes the path of a Unix socket.
 *
 * Returns 0; -EALREADY (it is being closed); -EINVAL (no such listener, or it
 * is closed); -ESHUTDOWN (stopped).
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_server_own_listener(weir_server *s, int id);

/*
 * Start all threads and accept connections, or do neither.
 *
 * Returns 0; -EINVAL (no listener); -EBUSY (started); -ESHUTDOWN (stopped);
 * -EAGAIN, -ENOMEM ... (no threads: the listeners are closed, and only
 * weir_server_free() may follow).
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_server_start(weir_server *s);

/*
 * Start the server, if it is not started yet, and wait for its end.
 *
 * With WEIR_SIGNALS in flags the calling thread takes SIGINT and SIGTERM while
 * it waits: the first drains with the configured times, or ends the lame duck
 * of an earlier request; the second cuts.  Both signals are blocked in it for
 * that time, and its mask is restored; block them in your other threads too.
 * Only one server of a process can run with WEIR_SIGNALS at a time; it can stop
 * the others when it ends.
 *
 * Returns the result of weir_server_start() or weir_server_join(); 0 if a stop
 * came before the start; -EBUSY at once, without a start, if another call runs
 * with WEIR_SIGNALS.
 * Thread: any but the server's.  Since: 0.1.
 */
WEIR_API int weir_server_run(weir_server *s, unsigned flags);

/*
 * Ask the server to stop within grace_ms (0: at once; WEIR_NEVER: no deadline).
 * weir_server_drain() takes the times of the configuration: for lame_duck_ms
 * the server goes on as before, but weir_server_is_draining() returns 1, so
 * that a load balancer can be told; then it stops within drain_ms.  In this
 * lame duck, calls on listeners succeed as before; later ones return
 * -ESHUTDOWN.  weir_server_stop() ends a lame duck.
 *
 * They return at once; weir_server_join() waits.  Another call can only bring
 * the deadline forward.  Before weir_server_start() they prevent the start.
 * They may be called from a signal handler and from a callback.
 *
 * Returns 0; -EINVAL (grace_ms < -1).
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_server_stop(weir_server *s, int grace_ms);
WEIR_API int weir_server_drain(weir_server *s);

/*
 * Tell whether a stop was requested.
 *
 * Returns 1, also when the stop has ended; 0; -EINVAL.
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_server_is_draining(const weir_server *s);

/*
 * Give a descriptor that becomes readable when the stop has ended, and stays
 * so, for poll(2) and event loops.  weir_server_join() then no longer waits for
 * connections.  Do not read from it or close it.  It does not become readable
 * for a server that was never started, or whose acceptor is stuck in the log
 * sink.
 *
 * Returns the descriptor; -EINVAL.
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_server_fd(const weir_server *s);

/*
 * Wait for the end of a stop; they do not ask for one.  If ret is not NULL, it
 * gets the report; size is sizeof *ret, or 0.  They may be called again.
 *
 * They return at most 100 ms after the deadline of the stop, and 0.1 ms for
 * each connection that it cuts, or about a second later with -EBUSY
 * (docs/STOPPING.md).  weir_server_join_for() waits for at most ms (0: does not
 * wait; WEIR_NEVER: no limit); but threads that only have to end after the stop
 * have 20 ms in any case.
 *
 * Returns 0 (the stop cut nothing, though weir_ref_cancel() may have; or it
 * came before the start); -ECANCELED (it cut something, or a stuck callback has
 * returned since); -EBUSY (threads of the server still run: stuck callbacks,
 * which the log names; slow worker hooks or thread destructors; or a thread in
 * a blocked log sink, and the report shows how far the stop has come); -EINVAL
 * (never started); -EDEADLK (called by a thread of this server: in a callback,
 * a worker hook or the log sink); -ETIMEDOUT (ms have passed; ret is not
 * written); another -errno (the server ended because it could not wait for
 * events: other code closed its descriptors, or epoll is forbidden).
 * Thread: any but the server's.  Since: 0.1.
 */
WEIR_API int weir_server_join(weir_server *s, struct weir_report *ret,
			      size_t size);
WEIR_API int weir_server_join_for(weir_server *s, struct weir_report *ret,
				  size_t size, int ms);

/*
 * Connect to where (as for weir_dial()) within timeout_ms (0: 30,000), and
 * serve the connection like an accepted one, with the callbacks and limits of
 * service.  The call returns at once.  Once connected, `opened` runs, if there
 * is one, and deadlines begin to count.  `closed` is called at the end in any
 * case.  If connecting has failed, weir_conn_summary() tells WEIR_END_CONNECT
 * and the error there: -ENOENT (no such host or file), -ETIMEDOUT,
 * -ECONNREFUSED ... (of the last address), -EMFILE ....
 *
 * If ret is not NULL, *ret gets a reference, which the caller gives up with
 * weir_ref_unref(), and which may be used at once.  Until it is connected,
 * output is kept, a wake is remembered, and weir_ref_close() and
 * weir_ref_cancel() end the attempt.  In a stop the attempt continues until the
 * stop's deadline.
 *
 * The connection counts against max_dialled, like one of weir_server_adopt().
 * For "fd:N" the call does the same as weir_server_adopt().
 *
 * Returns 0; -EINVAL (where, service, timeout_ms, not started); -ENAMETOOLONG;
 * -EAGAIN, -ESHUTDOWN, -ENOMEM (as weir_server_adopt()); -EBADF, -ENOTSOCK,
 * -ENOTCONN (as weir_server_adopt(), for "fd:N").
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_server_dial(weir_server *s, weir_ref **ret, const char *where,
			      int timeout_ms,
			      const struct weir_service *service);

/*
 * Make a connection of the server from fd, a connected stream socket, which the
 * server then owns and closes.  The connection is served like an accepted one,
 * with the callbacks and limits of service; its time is counted from this call.
 * If ret is not NULL, *ret gets a reference, which the caller gives up with
 * weir_ref_unref().
 *
 * It counts against max_dialled, not against max_connections, and does not wait
 * in the queue of accepted connections.  `closed` is called at its end, also if
 * there was no other callback.  The server adopts until a stop has ended or its
 * deadline has passed.
 *
 * Returns 0; -EINVAL (service, not started); -EBADF, -ENOTSOCK (not a stream
 * socket); -ENOTCONN; -EAGAIN (max_dialled are open, or the program holds too
 * many references); -ESHUTDOWN (stopped); -ENOMEM.  On an error fd is still the
 * caller's, but may be non-blocking and close-on-exec, and have other TCP
 * options.
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_server_adopt(weir_server *s, weir_ref **ret, int fd,
			       const struct weir_service *service);

/*
 * Run fn with arg on the workers, as a session that has no peer: for work that
 * repeats in a loop with weir_sleep(), a connection of weir_dial() that is kept
 * open, or a job after the start.  It has a stack of 256 KiB.  A session that
 * is spawned before the start of the server begins with it.
 *
 * If drop is not NULL, it is called with arg once, at the end of the session,
 * and also if fn has never run: the session was closed or cut before it began,
 * there was no memory for its stack, or the server was never started.  It runs
 * on a worker, as `closed` does; without a start it runs in weir_server_start()
 * or weir_server_free(), with the rules for callbacks.  If the call fails, drop
 * is not called.  Data of weir_conn_share_data() may be dropped later.
 *
 * The connection that fn gets has no socket: input calls and weir_conn_flush()
 * return 0, other output calls -EPIPE.  If ret is not NULL, *ret gets a
 * reference to it, which the caller gives up with weir_ref_unref(): it lets
 * other threads wake, close and cancel the session.  weir_conn_server(),
 * weir_conn_set_timer() and data work, too.
 *
 * In a stop its waits end as those of a session do: weir_sleep() returns
 * -ESHUTDOWN at once.  fn can return that, or finish its work before the
 * deadline of the stop.  The session completes with WEIR_CLOSE or -ESHUTDOWN;
 * another -errno is logged, and the session has failed.  Other verdicts are
 * bugs.  The ledger counts it as `spawned`.  It counts against max_dialled.
 *
 * Returns 0; -EINVAL; -EAGAIN, -ESHUTDOWN, -ENOMEM (as weir_server_adopt()).
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_server_spawn(weir_server *s, weir_ref **ret,
			       weir_handler_fn *fn, void *arg,
			       void (*drop)(void *arg));

/*
 * Make a timer: fn is called with arg after ms (0: at once; WEIR_NEVER: not
 * before weir_timer_set()), and then with the period every_ms (0: only once).
 * The period counts from the time that the first call was due, however late
 * calls are.  A time that comes while a call still runs is skipped.
 *
 * A timer made before the start is first called after it.  Calls end when a
 * stop has no connection left, or at its deadline.  The stop waits until its
 * deadline for a call that runs; one that runs longer counts as stuck.  ret may
 * be NULL unless ms is WEIR_NEVER: the timer is then freed after a call that no
 * other one follows.  weir_server_free() frees the timers that are left.
 *
 * Returns 0; -EINVAL; -ENOMEM; -ESHUTDOWN (the stop has ended the calls).
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_server_timer(weir_server *s, weir_timer **ret, int ms,
			       int every_ms, weir_timer_fn *fn, void *arg);

/*
 * Move the next call to ms from now (0: at once; WEIR_NEVER: none until it is
 * moved again); the period continues from there.  If a call runs, the move
 * takes effect when it has returned.
 *
 * Returns 0; -EINVAL; -ESHUTDOWN (the stop has ended the calls).
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_timer_set(weir_timer *t, int ms);

/*
 * Free a timer, also in a call of its own; NULL is allowed.  It waits for
 * nothing, and no call begins after it.
 *
 * Returns 0; -EBUSY (the timer is freed, but a call in another thread still
 * runs and uses arg).
 * Thread: any, before weir_server_free().  Since: 0.1.
 */
WEIR_API int weir_timer_free(weir_timer *t);

/*
 * Change queue_length, queue_age_ms, max_connections, overload, outbox_total,
 * lame_duck_ms, drain_ms, log_level, refusal, max_per_source, early_start,
 * early_percent, early_full, evict_ms and access: all of them, or nothing on an
 * error.  Pass the structure of weir_server_new() with changes, because a field
 * that is not set gets its default as in that call.  The other fields cannot
 * change: each has the value of that call, or is 0 or NULL.
 *
 * The new limits, overload and access decide on each client that connects after
 * the call has returned.  Connections that are open or queued stay, also above
 * a lower limit.  With WEIR_REFUSE instead of WEIR_HOLD the clients that wait
 * are refused at once.  A stop that has begun keeps its times.  Each different
 * refusal is kept until weir_server_free(); going back to one needs no memory.
 *
 * Returns 0; -EINVAL; -ENOMEM.
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_server_configure(weir_server *s,
				   const struct weir_config *config);

/*
 * Change the limits of listener id: first_byte_ms, read_ms, write_ms, idle_ms,
 * pause_ms, lifetime_ms, handshake_ms, line_max, outbox_mark, outbox_max,
 * write_rate and proxy_trust, all of them, or nothing on an error.  Pass the
 * structure of weir_server_listen() with changes, because a field that is not
 * set gets its default as in that call; proxy_trust stays if it is NULL.  The
 * other fields cannot change: each has the value of that call, or is 0 or NULL.
 *
 * The limits apply to new connections and at once to open ones, also while a
 * call of a session waits, and after weir_server_unlisten().  A deadline counts
 * from the same time as before, so one that became shorter may have passed.  A
 * deadline of weir_conn_set_timeout() stays as it is.  Buffered input of
 * line_max bytes or more is -EMSGSIZE to a call for a whole message.
 * proxy_trust decides on each header that has not been read yet.  Each
 * different set of limits takes about 100 bytes until weir_server_free(), and
 * each different proxy_trust about 20 bytes for a network; going back to one
 * needs no memory.
 *
 * Returns 0; -EINVAL (also: no such listener); -ENOMEM.
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_server_configure_service(weir_server *s, int id,
					   const struct weir_service *service);

/*
 * Read counters and gauges; size is sizeof *ret.  They are summed over the
 * threads while these run, and exact when the server is at rest.
 *
 * Returns 0; -EINVAL.
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_server_stats(const weir_server *s, struct weir_stats *ret,
			       size_t size);

/*
 * Read the counters of listener id, also after it is closed, as
 * weir_server_stats() reads those of the server.  The connections that the
 * program dials, adopts or spawns belong to no listener.
 *
 * Returns 0; -EINVAL (also: no such listener).
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_server_listener_stats(const weir_server *s, int id,
					struct weir_listener_stats *ret,
					size_t size);

/*
 * Call fn for each connection that has not ended, accepted or of the program's
 * own, in no order.  size is sizeof(struct weir_conn_info).  A connection that
 * begins or ends during the walk may be left out.  The walk ends when fn
 * returns anything but 0.
 *
 * Returns 0; what fn has returned; -EINVAL.
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_server_each(weir_server *s, weir_each_fn *fn, void *arg,
			      size_t size);

/*
 * Free the server; if it still runs, stop it at once first.  NULL does nothing.
 * Calls on references to its connections return -EPIPE from then on, except to
 * that of a stuck callback.  Memory that references, stuck callbacks or other
 * running threads use is freed when the last of them ends.  In a thread of the
 * server (see weir_server_join()) it frees nothing, and logs that.
 *
 * Thread: any but the server's, one at a time.  Since: 0.1.
 */
WEIR_API void weir_server_free(weir_server *s);

/* ------------------------------------------------------------------ input */
/*
 * For a service with `session` and after weir_dial() input calls wait.
 * For a service with `readable` they return -EAGAIN instead; return that, and
 * the handler is called again, from its top.  The cases of -EAGAIN are:
 *
 *   - no input is there: the next call comes with new input;
 *   - half of outbox_mark (without full_duplex) or a file is unsent: when that
 *     has been sent;
 *   - the callback has read 256 KiB, or has read something and has run for a
 *     millisecond: after other connections had their turn.
 *
 * Errors of all of them:
 *
 *   -EAGAIN      no (complete) input yet; `readable` only
 *   -ETIMEDOUT   a deadline of the service has passed
 *   -EMSGSIZE    longer than cap or than the service's line_max
 *   -EBADMSG     the input ended inside a message
 *   -ESHUTDOWN   the server drains, or weir_ref_close(): no more input is
 *                waited for
 *   -ECANCELED   cut by a stop's deadline or weir_ref_cancel()
 *   -EINTR       a wake or a timer interrupted the wait of a session, which can
 *                make the call again
 *   -ECONNRESET, -EPIPE  the peer is gone
 *   -ETIMEDOUT, -EHOSTUNREACH, -ENETUNREACH ...  the peer is unreachable
 *   -EIO         a file of weir_conn_sendfile() could not be read
 *   -ENOSPC, -ENOMEM  in a session: the connection cannot be watched
 *   -EINVAL, -ENOMEM
 */

/*
 * Read the bytes that are there, at least 1 and at most cap.
 *
 * Returns their count; 0 at the end of input; or as above.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API ssize_t weir_conn_read(weir_conn *c, void *buf, size_t cap);

/*
 * Read exactly len bytes, at least 1.  If len is above line_max, a wake or a
 * timer does not interrupt the call once it has taken a byte: the next input
 * call that would wait returns -EINTR instead.
 *
 * Returns len; 0 at the end of input, before the first byte; or as above.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API ssize_t weir_conn_read_exact(weir_conn *c, void *buf, size_t len);

/*
 * Read a line with its newline and add a NUL; cap bytes hold both.  The last
 * line of the input may lack the newline, but needs room for one, because the
 * call does not wait to see whether the input ends there.
 *
 * Returns the length without the NUL; 0 at the end of input; or as above.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API ssize_t weir_conn_read_line(weir_conn *c, char *buf, size_t cap);

/*
 * Read up to and including the delimiter of delim_len bytes; no NUL is added.
 *
 * Returns the length; 0 at the end of input; -EBADMSG if the input ends before
 * the delimiter; or as above.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API ssize_t weir_conn_read_until(weir_conn *c, void *buf, size_t cap,
				      const void *delim, size_t delim_len);

/*
 * Show the buffered input, once it is at_least bytes (1 to line_max): *data
 * points to it until the next input call on the connection.
 *
 * Returns the count; 0 at the end of input with nothing buffered; -EBADMSG at
 * the end of input with less than at_least bytes; or as above.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API ssize_t weir_conn_peek(weir_conn *c, const void **data,
				size_t at_least);

/*
 * Show a whole message without a copy: a line with its newline, or everything
 * up to and including the delimiter of delim_len bytes.  *line or *data points
 * to it until the next input call on the connection other than
 * weir_conn_consume(), and at most until the callback returns; no NUL is added.
 * The message stays buffered until weir_conn_consume().  It is at most line_max
 * bytes long.  The last line of the input may lack the newline, as for
 * weir_conn_read_line().
 *
 * Returns the length; 0 at the end of input; -EBADMSG if the input ends before
 * the delimiter; or as above.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API ssize_t weir_conn_peek_line(weir_conn *c, const char **line);
WEIR_API ssize_t weir_conn_peek_until(weir_conn *c, const void **data,
				      const void *delim, size_t delim_len);

/*
 * Drop the first len bytes of the buffered input, which weir_conn_peek(),
 * _peek_line() or _peek_until() showed.
 *
 * Returns 0; -EINVAL (fewer than len).
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_consume(weir_conn *c, size_t len);

/* ----------------------------------------------------------------- output */
/*
 * Small output of a callback is gathered and sent in one piece when the
 * callback returns or waits for input.  Bytes are copied.
 *
 * In a service with `readable` no call waits.  A write takes all its bytes if
 * at most outbox_max bytes are unsent with them; else it takes none and returns
 * -ENOBUFS.  In a service with `session`, and on a connection of weir_dial(), a
 * write waits while more than outbox_mark bytes are unsent.
 *
 * Errors of all of them:
 *
 *   -ENOBUFS     outbox_max, or what outbox_total leaves of it, would be
 *                exceeded; `readable` only
 *   -EPIPE, -ECONNRESET  the peer is gone, or output was shut down
 *   -EHOSTUNREACH, -ENETUNREACH ...  the peer is unreachable
 *   -ETIMEDOUT   a wait: the peer took too little for write_ms, or lifetime_ms
 *                has passed; or the peer is unreachable
 *   -ECANCELED   cut by a stop's deadline or weir_ref_cancel()
 *   -EIO         a file of weir_conn_sendfile() could not be read
 *   -ENOSPC, -ENOMEM  in a session: the connection cannot be watched
 *   -EINVAL, -ENOMEM
 */

/*
 * Send all of len bytes, all of count pieces (0 to 1,024) in their order, or
 * text in the format of printf(3).
 *
 * Returns 0, or as above.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_write(weir_conn *c, const void *buf, size_t len);
WEIR_API int weir_conn_writev(weir_conn *c, const struct iovec *iov, int count);
WEIR_API int weir_conn_printf(weir_conn *c, const char *format, ...)
	WEIR_PRINTF(2, 3);
WEIR_API int weir_conn_vprintf(weir_conn *c, const char *format, va_list ap)
	WEIR_PRINTF(2, 0);

/*
 * Send len bytes of the regular file fd, from offset on, after earlier output.
 * It never waits for the peer: the library duplicates fd and sends as the peer
 * takes the data.  If the file turns out shorter or cannot be read, the
 * connection fails: the log has the error, and a TCP peer gets a reset, so that
 * it does not mistake a part for the whole.
 *
 * Returns 0; -EBADF (fd is not open for reading); -EINVAL (not a regular file,
 * or an impossible range); -EMFILE; or as above.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_sendfile(weir_conn *c, int fd, uint64_t offset,
				uint64_t len);

/*
 * Send gathered output now, as far as the peers take it without a wait; also
 * what this callback has sent to other connections, see weir_ref_send().
 *
 * Returns 0, also if there is nothing to send; or as above.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_flush(weir_conn *c);

/*
 * Shut down one direction or both: SHUT_WR, once all output has been sent;
 * SHUT_RD, after which input calls return 0; SHUT_RDWR.
 *
 * Returns 0, also if it is shut down already; -EPIPE (ended); -EINVAL; or as
 * above.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_shutdown(weir_conn *c, int how);

/*
 * Tell how many bytes of output, with those of files, have not been given to
 * the kernel.  Output that TLS has encrypted already counts with the bytes that
 * this has added.
 *
 * Returns the number; -EINVAL; of weir_ref_unsent() also -EPIPE (ended).
 * Thread: handler; of weir_ref_unsent(): any.  Since: 0.1.
 */
WEIR_API int64_t weir_conn_unsent(weir_conn *c);
WEIR_API int64_t weir_ref_unsent(weir_ref *ref);

/*
 * Tell whether input is held because of unsent output, so that input calls
 * return -EAGAIN.
 *
 * Returns 1 or 0; -EINVAL.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_is_held(const weir_conn *c);

/*
 * Have the handler called once with WEIR_WRITABLE when less than half of
 * outbox_mark, and no file, is unsent; that may be at once.  Several requests
 * before that call count as one.  weir_ref_send() then has room for half of
 * outbox_mark.  A longer message may get -ENOBUFS again, and one longer than
 * outbox_mark always does.
 *
 * Returns 0; -EPIPE (ended); -EINVAL (not a service with `readable`, or a
 * connection of weir_dial()).
 * Thread: handler; of weir_ref_want_room(): any.  Since: 0.1.
 */
WEIR_API int weir_conn_want_room(weir_conn *c);
WEIR_API int weir_ref_want_room(weir_ref *ref);

/* ---------------------------------------------------------------- waiting */
/*
 * In a session these calls wait as its input calls do: the session is parked,
 * or with session_on_worker keeps its worker.  They return
 *
 *   -EINTR       a wake or a timer of the session's connection
 *   -ESHUTDOWN   the server drains, or weir_ref_close()
 *   -ECANCELED   cut by a stop's deadline or weir_ref_cancel()
 *   -ENOSPC, -ENOMEM  a connection cannot be watched: fs.epoll.max_user_watches
 *
 * So do weir_dial(), weir_resolve() and the calls on a connection of
 * weir_dial() in a session.  But a drain does not end weir_dial() and
 * weir_resolve(), and only -ECANCELED ends a write.  During such a wait the
 * deadlines of the session's own connection have no effect, and its output is
 * sent.  In other threads and callbacks all of these calls block the thread;
 * so do weir_dial() and weir_resolve() with session_on_worker.
 */

/* weir_poll.events and .ready */
enum {
	WEIR_POLL_INPUT = 1, /* input, its end, or an error */
	WEIR_POLL_ROOM = 2   /* a write would not wait, or an error */
};

/* The most connections of one wait. */
#define WEIR_POLL_MOST 64

struct weir_poll {
	weir_conn *conn;
	int events; /* WEIR_POLL_...: what to wait for */
	int ready;  /* WEIR_POLL_...: what has come of these */
};

/*
 * Wait until at least one of count connections (1 to WEIR_POLL_MOST) is ready,
 * for timeout_ms at most (0: do not wait; WEIR_NEVER: no limit), and set ready
 * of each.  They are connections of weir_dial() and the session's own, each
 * once.  Their output is sent during the wait.
 *
 * With input ready, weir_conn_read() does not wait, unless unsent output holds
 * the input.  Bytes that an input call has left in the buffer count as input: a
 * call for a whole message may wait for the rest.  With room ready, less than
 * half of outbox_mark is unsent, and no file: a write of up to half of it does
 * not wait.
 *
 * For a connection with WEIR_POLL_INPUT it is a wait for input: its deadlines
 * apply, idle_ms counts from the call, and pointers that weir_conn_peek() has
 * given are not valid after it.  With WEIR_POLL_ROOM alone, write_ms and
 * lifetime_ms apply.
 *
 * -ESHUTDOWN comes when the server drains and 100 ms have passed without input.
 * If output was written to a peer of weir_dial() after its last input, or was
 * shut down, an answer is expected: then the wait goes on until the deadline of
 * the stop, as does a wait for room.
 *
 * Returns how many are ready, also if there is another reason to return; 0
 * (timeout_ms have passed); -ETIMEDOUT (a deadline of one of them has passed);
 * -EINTR (also: a timer of one of them), -ESHUTDOWN, -ECANCELED, -ENOSPC,
 * -ENOMEM; -EINVAL (also: a connection of another callback, or of a service
 * with `readable`).
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_wait(struct weir_poll *list, int count, int timeout_ms);

/*
 * Wait for ms milliseconds, 0 or more.  In a session ms may be WEIR_NEVER: wait
 * until there is another reason to return.  A drain ends the wait at once.
 *
 * Returns 0 (ms have passed); -EINTR, -ESHUTDOWN, -ECANCELED, -ENOSPC, -ENOMEM
 * (in a session); -EINVAL.
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_sleep(int ms);

/* Settings and counts of weir_relay(). */
struct weir_relay_counts {
	size_t size;	 /* sizeof(struct weir_relay_counts) */
	int idle_ms;	 /* longest silence; a time; 0: the idle_ms of a */
	uint64_t from_a; /* bytes relayed: the call adds to them */
	uint64_t from_b;
};

/*
 * Relay bytes between a and b, both ways, until both have ended their input:
 * the end of one is passed on as SHUT_WR, and the other way continues.  Bytes
 * that are buffered go first.  While half of outbox_mark is unsent to one peer,
 * nothing is received for it from the other.  a and b are connections of
 * weir_dial() and the session's own.  In a session the call waits as
 * weir_conn_wait() does; in other threads it blocks the thread.
 *
 * In a drain, -ESHUTDOWN comes when neither peer has sent anything for a
 * second, all output is sent, and no answer is expected.  The call does not
 * know where an answer ends: one with a longer pause in it ends there.
 *
 * It sets first_byte_ms and read_ms of both to WEIR_NEVER, and idle_ms of both
 * to that of counts.  idle_ms counts from the call and from each byte that
 * either peer sends, but not while output is unsent, if write_ms applies to all
 * of it.  write_ms and lifetime_ms of both apply as before, also after the end
 * of an input.
 *
 * After an error or a cut of one connection it cuts the other one, as
 * weir_ref_cancel() does.  After a deadline it cuts both, except after idle_ms
 * if all output is sent; the session's own connection still counts as timed
 * out.  On TCP the peer of a connection that was cut gets a reset, so that it
 * cannot mistake a part for the whole, unless the end was sent to it.  After
 * -EINTR the call can be repeated.
 *
 * counts may be NULL: the default of idle_ms, and no counts.  They are also
 * set on an error other than -EINVAL.
 *
 * Returns 0; -ETIMEDOUT (a deadline of a or b, also idle_ms); -EINTR,
 * -ESHUTDOWN, -ECANCELED, -ENOSPC, -ENOMEM (as weir_conn_wait()); -ECONNRESET,
 * -EPIPE, -EIO ... (an error of a or b, as of input and output calls); -EINVAL.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_relay(weir_conn *a, weir_conn *b,
			struct weir_relay_counts *counts);

/* ------------------------------------------------------------- properties */

/*
 * Tell why the callback runs; in `closed`, why the one before it ran.
 *
 * Returns WEIR_OPENED, _INPUT ...; 0 (before the first callback, and on a
 * connection of weir_dial()); -EINVAL.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_why(const weir_conn *c);

/*
 * Tell the number of the connection.  Numbers count from 1 in each server and
 * are not used again.
 *
 * Returns the number; 0 for a connection of weir_dial().
 * Thread: handler; of weir_ref_id(): any.  Since: 0.1.
 */
WEIR_API uint64_t weir_conn_id(const weir_conn *c);
WEIR_API uint64_t weir_ref_id(const weir_ref *ref);

/*
 * Tell whether the server of the connection drains: then this answer can be the
 * last one, and a protocol can say so.
 *
 * Returns 1 (a stop was requested); 0, also for a connection of weir_dial();
 * -EINVAL.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_is_draining(const weir_conn *c);

/* weir_conn_summary() */
struct weir_summary {
	int64_t end;	    /* WEIR_END_... */
	int64_t age_ms;	    /* since the accept, or since it connected */
	uint64_t bytes_in;  /* received */
	uint64_t bytes_out; /* given to the kernel */
	int64_t error;	    /* -errno behind END_LOST, _ERROR, _CONNECT; or 0 */
};

/*
 * Summarize the connection until now, or in `closed` until its end; size is
 * sizeof *ret.
 *
 * Returns 0; -EINVAL.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_summary(weir_conn *c, struct weir_summary *ret,
			       size_t size);

/*
 * Write the peer's or the local address as text to buf: at most cap bytes with
 * the NUL.  It is "1.2.3.4:5", "[::1]:5", "unix:/path", or "unix:" for a peer
 * without a name.  An IPv4 peer of a dual-stack listener is written as IPv4.
 *
 * Returns the length; -ENOSPC (cap too small); -ENOTCONN; -EAFNOSUPPORT (a
 * socket of another family, taken over as a descriptor); -EINVAL.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_peer(const weir_conn *c, char *buf, size_t cap);
WEIR_API int weir_conn_local(const weir_conn *c, char *buf, size_t cap);

/*
 * Write the address of the proxy from which the connection came, as
 * weir_conn_peer() writes that of the client.
 *
 * Returns the length; -ENODATA (no PROXY header has told the address of the
 * client: weir_conn_peer() is the peer of the socket); -ENOSPC; -ENOTCONN;
 * -EINVAL.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_via(const weir_conn *c, char *buf, size_t cap);

/*
 * Give the value of the index-th TLV (from 0) of a type (WEIR_PROXY_ALPN ..., 0
 * to 255) of the PROXY header, as it came.  It stays until `closed` returns.
 *
 * Returns 0; -ENODATA (there is none); -EINVAL.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_proxy_tlv(const weir_conn *c, int type, int index,
				 const void **ret, size_t *len);

/*
 * Tell how the client has connected to the proxy.
 *
 * Returns WEIR_PROXY_BY_TLS and so on, combined; -ENODATA (the header does not
 * tell); -EINVAL.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_proxy_tls(const weir_conn *c);

/*
 * Write to buf a PROXY header of version 1 or 2 with the peer and the local
 * address of c.  Send it first on another connection, to which the input of c
 * is passed on.  107 bytes are enough.  For a connection of a Unix socket the
 * header has no addresses: it says UNKNOWN, or LOCAL.
 *
 * Returns the length; -ENOSPC (cap too small); -ENOTCONN; -EINVAL.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_proxy_header(const weir_conn *c, int version, void *buf,
				    size_t cap);

/*
 * Give the descriptor, for setsockopt(2), getpeername(2) and other calls that
 * have no counterpart here (docs/SOCKET_CALLS.md).  It is non-blocking; do not
 * close it.  A server switches an SO_LINGER time off before it closes a
 * connection, because it lingers by itself.
 *
 * Returns the descriptor; -ENOTCONN (there is none, for example because
 * connecting has failed); -EINVAL.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_fd(const weir_conn *c);

/*
 * Take the descriptor away from the connection, for another library or process:
 * it is the caller's from then on, non-blocking and close-on-exec.  All
 * buffered input has to be read first, for instance with weir_conn_peek() and
 * weir_conn_consume(), and all output has to be sent.  Then the connection is
 * over: input calls and weir_conn_flush() return 0, other output calls and
 * those of other threads -EPIPE, and when the callback returns, whatever its
 * verdict, `closed` is called and the connection counts as completed.
 *
 * Returns the descriptor; -EBUSY (input is buffered); -EAGAIN (output is
 * unsent); -EPIPE (ended); -EOPNOTSUPP (it uses TLS); -ECANCELED; another error
 * of output; -EINVAL.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_detach(weir_conn *c);

/*
 * Give the server of the connection.
 *
 * Returns the server; NULL (a connection of weir_dial(), or c is NULL).
 * Thread: handler.  Since: 0.1.
 */
WEIR_API weir_server *weir_conn_server(const weir_conn *c);

/*
 * Change or read one deadline (WEIR_TIMEOUT_...) of this connection: 1 to
 * INT_MAX ms, or WEIR_NEVER.
 *
 * Returns 0; -EINVAL.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_set_timeout(weir_conn *c, int which, int ms);
WEIR_API int weir_conn_get_timeout(const weir_conn *c, int which, int *ms);

/*
 * Have the handler called once with WEIR_TIMER in ms milliseconds (1 to
 * INT_MAX); WEIR_NEVER: do not.  Each call replaces the time set before, which
 * costs no system call if the new time is later.  The timer also runs during a
 * pause, while output is unsent and after the end of input.  It interrupts with
 * -EINTR the wait of a session or of a connection of weir_dial().  It has no
 * effect on a session that has not begun because no byte has come.  It does not
 * restart idle_ms.
 *
 * Returns 0; -EPIPE (closing); -EINVAL.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_set_timer(weir_conn *c, int ms);

/*
 * Attach data to the connection.  If drop is not NULL, it is called with data
 * once.  Data of weir_conn_set_data() is for the handler: it is dropped after
 * `closed`, in the same thread, or when other data replaces it.
 *
 * Data of weir_conn_share_data() can be used through references too, and stays
 * until the last of them is given up.  It is dropped after `closed`, in the
 * same thread, if there is no reference then.  Otherwise the last
 * weir_ref_unref() drops it, in its thread, possibly after weir_server_free().
 * No other data can replace it.  It must not own a reference to the connection,
 * because neither would end; weir_conn_set_data() may be used for that.
 *
 * Returns 0; -EBUSY (data is shared already); -EINVAL.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_set_data(weir_conn *c, void *data,
				void (*drop)(void *data));
WEIR_API int weir_conn_share_data(weir_conn *c, void *data,
				  void (*drop)(void *data));

/*
 * Give the data of the connection; with a reference, the data of
 * weir_conn_share_data(), which is valid until weir_ref_unref().
 *
 * Returns the data; NULL (none; with a reference: none is shared).
 * Thread: handler; of weir_ref_data(): any.  Since: 0.1.
 */
WEIR_API void *weir_conn_data(const weir_conn *c);
WEIR_API void *weir_ref_data(weir_ref *ref);

/* -------------------------------------------------------- from any thread */
/*
 * With a reference, which is taken inside a callback, any thread may make these
 * calls.  They return -EPIPE once the connection has begun to close, also while
 * output is still being sent, and after the end of the server.  They never
 * wait.
 */

/*
 * Take a reference to c, for use after this callback and until
 * weir_ref_unref(); or give c as an uncounted reference, for use during this
 * callback.
 *
 * Returns the reference; NULL (c is NULL).
 * Thread: handler.  Since: 0.1.
 */
WEIR_API weir_ref *weir_conn_ref(weir_conn *c);
WEIR_API weir_ref *weir_conn_self(weir_conn *c);

/*
 * Count one more reference, or give one up; NULL is allowed.  One
 * weir_ref_unref() too many, on a connection of a server, is logged and has no
 * other effect.  The last reference drops the data of weir_conn_share_data().
 *
 * Returns ref.
 * Thread: any.  Since: 0.1.
 */
WEIR_API weir_ref *weir_ref_dup(weir_ref *ref);
WEIR_API void weir_ref_unref(weir_ref *ref);

/*
 * Send len bytes, or count pieces (0 to 1,024) in their order, and keep what
 * the kernel does not take now.  The bytes of one call stay together, and the
 * calls of one thread keep their order.
 *
 * A thread of the program sends at once.  So does a callback that may wait: a
 * session, and each callback of its service.  In other callbacks, and in those
 * of timers, small sends to connections of the same server are gathered.  They
 * leave when the callback returns or calls weir_conn_flush(), for each
 * connection in one piece.
 *
 * Returns 0; -ENOBUFS (outbox_mark, or what outbox_total leaves of it, would be
 * exceeded, or a session waits in a write: nothing was taken); -EPIPE (ended);
 * -ENOMEM; -EINVAL (a connection of weir_dial()).
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_ref_send(weir_ref *ref, const void *buf, size_t len);
WEIR_API int weir_ref_sendv(weir_ref *ref, const struct iovec *iov, int count);

/*
 * Make a message of len bytes, or of count pieces (0 to 1,024) in their order,
 * which are copied.  Many connections can send it, and keep it while their
 * peers do not take it, without another copy.  The caller gives it up with
 * weir_msg_unref().  It is freed when all connections have sent it as well.
 *
 * Returns 0; -ENOMEM; -EINVAL.
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_msg_new(weir_msg **ret, const void *buf, size_t len);
WEIR_API int weir_msg_newv(weir_msg **ret, const struct iovec *iov, int count);

/*
 * Count one more reference to msg, or give one up; NULL is allowed.
 *
 * Returns msg.
 * Thread: any.  Since: 0.1.
 */
WEIR_API weir_msg *weir_msg_dup(weir_msg *msg);
WEIR_API void weir_msg_unref(weir_msg *msg);

/*
 * Send msg as weir_ref_send() sends bytes.
 *
 * Returns as weir_ref_send().
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_ref_send_msg(weir_ref *ref, weir_msg *msg);

/*
 * Shut the output down once all of it has been sent; how is SHUT_WR.  The input
 * goes on: this passes on the end of another connection's input.
 *
 * Returns 0; -EPIPE (ended); -EINVAL (another how, or a connection of
 * weir_dial()).
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_ref_shutdown(weir_ref *ref, int how);

/*
 * Have the handler called with WEIR_WAKE, after a call that is running and
 * after other connections that wait for a worker.  Several wakes before that
 * call count as one.  It interrupts the wait of a session, but has no effect on
 * a session that has not begun because no byte has come.
 *
 * Returns 0; -EPIPE (ended); -EINVAL (NULL, or a connection of weir_dial()).
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_ref_wake(weir_ref *ref);

/*
 * Close as WEIR_CLOSE does, after a call that is running.
 *
 * Returns 0; -EPIPE (ended); -EINVAL (NULL, or a connection of weir_dial()).
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_ref_close(weir_ref *ref);

/*
 * End the connection now: calls that wait return -ECANCELED, and output that
 * the peer has not read may be lost, also if a call has taken it.  The peer may
 * get a reset.  The connection counts as cut.  weir_ref_close() loses nothing.
 *
 * Returns 0; -EPIPE (ended); -EINVAL.
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_ref_cancel(weir_ref *ref);

/* ------------------------------------------------------------ client side */

/*
 * Connect to where within timeout_ms (0: 30,000).  where is an address as for
 * weir_server_listen(), with "fd:N" for a connected stream socket.  That
 * becomes non-blocking, also for other programs that hold it.  A name may have
 * several addresses; the first 64 are tried, IPv6 and IPv4 alternating.  If one
 * has not answered after 250 ms, the next is tried beside it; the first that
 * connects is used.
 *
 * Use the input, output and property calls on the connection; its reads wait.
 * Its line_max is 1 MiB, its outbox_mark 256 KiB.  It has no deadlines until
 * weir_conn_set_timeout(): the first-byte deadline then counts from the dial,
 * the idle deadline from the beginning of each wait for input.  One thread at a
 * time may use it, and weir_conn_free() ends it.
 *
 * Returns 0; -EINVAL (malformed); -ENAMETOOLONG; -ENOENT (no such host or
 * file); -EAGAIN, -EIO ... (as weir_resolve()); -ETIMEDOUT; -ECONNREFUSED,
 * -EACCES ... (the error of the last address); -EBADF, -ENOTSOCK, -ENOTCONN
 * ("fd:N" is no connected stream socket); -EMFILE, -ENFILE ... (no
 * descriptors); -EINTR, -ESHUTDOWN, -ECANCELED, -ENOSPC (in a session, as
 * weir_conn_wait()); -ENOMEM.
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_dial(weir_conn **ret, const char *where, int timeout_ms);

/*
 * Flush, close and free a connection of weir_dial(); NULL does nothing.  The
 * descriptor is closed when it returns, also if references are left; calls on
 * these return -EPIPE then.  It waits while output is unsent, until the peer
 * has taken nothing for the write deadline (30,000 ms if there is none), the
 * lifetime has passed, or another thread calls weir_ref_cancel().  On a
 * connection of a server it does nothing but log that.
 *
 * Thread: handler.  Since: 0.1.
 */
WEIR_API void weir_conn_free(weir_conn *c);

/* An address for the kernel, and as text for weir_dial(). */
struct weir_address {
	struct sockaddr_storage addr;
	socklen_t len;
	char text[80];
};

/*
 * Look up the addresses of where ("host:port", ":port" for loopback, or a
 * numeric address) and write the first max of them to ret, in the order to try
 * them.  It waits for the system's resolver for timeout_ms (0: 30,000).  A
 * slower resolver continues in a thread of its own, which frees its memory when
 * it ends.
 *
 * Returns how many addresses there are, also if more than max; -EINVAL
 * (malformed, or no host); -ENAMETOOLONG; -ENOENT (no such host); -ETIMEDOUT;
 * -EAGAIN (a temporary failure, too many unfinished lookups, or no thread);
 * -EIO ... (the resolver failed); -EINTR, -ESHUTDOWN, -ECANCELED, -ENOSPC (in a
 * session, as weir_conn_wait()); -ENOMEM.
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_resolve(struct weir_address *ret, int max, const char *where,
			  int timeout_ms);

/*
 * Look up the name of the host at the numeric address where ("1.2.3.4:5",
 * "[::1]:5", as weir_conn_peer() writes it; the port is ignored) and write it
 * to buf: at most cap bytes with the NUL.  timeout_ms is as for weir_resolve().
 * The owner of the address chooses its name, so the name proves nothing until
 * weir_resolve() of it gives the address.  Slow lookups of names do not delay
 * weir_resolve() and weir_dial().
 *
 * Returns the length; -ENOSPC (cap too small); -ENOENT (no name); -EINVAL (not
 * numeric); or as weir_resolve().
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_reverse(char *buf, size_t cap, const char *where,
			  int timeout_ms);

/* ------------------------------------------------------------------ texts */

/*
 * Describe an error, -errno or errno, in English; or tell the version of the
 * library at run time, as WEIR_VERSION does for the header.
 *
 * Returns a text that is not freed.
 * Thread: any.  Since: 0.1.
 */
WEIR_API const char *weir_strerror(int error);
WEIR_API const char *weir_version(void);

#ifdef __cplusplus
}
#endif

#endif
