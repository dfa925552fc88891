/* SPDX-License-Identifier: MIT */
/* Option structures: checked, completed, with copies of what they point to. */
#ifndef WR_SETTINGS_H
#define WR_SETTINGS_H

#include <stdatomic.h>

#include "base.h"
#include "lock.h"
#include "network.h"
#include "weir.h"

/* Options: field, type, default, minimum, maximum, unit, text. */
/* clang-format off */
#define WR_CONFIG_OPTIONS(X)                                                   \
	X(workers, int, 0, 1, WR_WORKERS_MOST, COUNT,                          \
	  "threads that run callbacks")                                        \
	X(queue_length, int, 128, 1, 1000000, COUNT,                           \
	  "connections that may wait for a worker")                            \
	X(queue_age_ms, int, 10000, 1, INT32_MAX, TIME, "longest wait there")  \
	X(max_connections, int, 10000, 1, WR_CONNECTIONS_MOST, COUNT,          \
	  "connections open at once")                                          \
	X(max_dialled, int, 10000, 1, 10000000, COUNT,                         \
	  "connections of the program's own open at once")                     \
	X(overload, int, WEIR_HOLD, WEIR_HOLD, WEIR_REFUSE, CHOICE,            \
	  "what to do when the queue or the server is full")                   \
	X(affinity, int, WEIR_AFFINITY_NONE, WEIR_AFFINITY_NONE,               \
	  WEIR_AFFINITY_SPREAD, CHOICE, "processors of the workers")           \
	X(max_per_source, int, 0, 0, WR_CONNECTIONS_MOST, COUNT,               \
	  "connections of one client address; 0: a quarter of all")            \
	X(early_start, int, 0, 0, WR_CONNECTIONS_MOST, COUNT,                  \
	  "connections without a message from which some are refused")         \
	X(early_percent, int, 30, 1, 100, COUNT, "of them, at first")          \
	X(early_full, int, 0, 0, WR_CONNECTIONS_MOST, COUNT,                   \
	  "connections without a message from which all are refused")          \
	X(evict_ms, int, WEIR_NEVER, 1, INT32_MAX, TIME,                       \
	  "idle time after which a full server ends a connection")             \
	X(outbox_total, size_t, 1 << 30, 1, INT64_C(1) << 40, BYTES,           \
	  "unsent output of all connections")                                  \
	X(lame_duck_ms, int, 0, 0, INT32_MAX, TIME,                            \
	  "of a drain, in which clients are still accepted")                   \
	X(drain_ms, int, 10000, 0, INT32_MAX, TIME, "longest time for a stop") \
	X(log_level, int, WEIR_LOG_INFO, WEIR_LOG_ERROR, WEIR_LOG_DEBUG,       \
	  CHOICE, "most verbose level that is logged")                         \
	X(stack_size, size_t, 256 << 10, 64 << 10, 1 << 30, BYTES,             \
	  "stack of a worker")

#define WR_SERVICE_OPTIONS(X)                                                  \
	X(first_byte_ms, int, 60000, 1, INT32_MAX, TIME,                       \
	  "from the accept to the first input")                                \
	X(read_ms, int, 30000, 1, INT32_MAX, TIME, "for a whole message")      \
	X(write_ms, int, 30000, 1, INT32_MAX, TIME,                            \
	  "for the peer to take output")                                    \
	X(idle_ms, int, 300000, 1, INT32_MAX, TIME, "between messages")        \
	X(pause_ms, int, WEIR_NEVER, 1, INT32_MAX, TIME, "longest pause")      \
	X(lifetime_ms, int, WEIR_NEVER, 1, INT32_MAX, TIME,                    \
	  "of a connection")                                                   \
	X(handshake_ms, int, 10000, 1, INT32_MAX, TIME,                        \
	  "for a PROXY header and a handshake of TLS")                     \
	X(line_max, size_t, 64 << 10, 1, 1 << 30, BYTES,                       \
	  "longest message that is buffered")                                  \
	X(outbox_mark, size_t, 256 << 10, 1, 1 << 30, BYTES,                   \
	  "unsent output from half of which input is held")                    \
	X(outbox_max, size_t, 16 << 20, 1, 1 << 30, BYTES,                     \
	  "most unsent output of a connection that never waits")               \
	X(write_rate, size_t, 0, 0, 1 << 30, BYTES,                            \
	  "that a slow peer must take each second")                            \
	X(full_duplex, int, 0, 0, 1, COUNT,                                    \
	  "1: unsent output does not hold input")                              \
	X(speaks_first, int, 0, 0, 1, COUNT,                                   \
	  "1: a session begins before its first byte")                         \
	X(session_on_worker, int, 0, 0, 1, COUNT,                              \
	  "1: a session keeps its worker while it waits")                      \
	X(stack_size, size_t, 256 << 10, 16 << 10, 1 << 30, BYTES,             \
	  "stack of a session")                                                \
	X(proxy, int, WEIR_PROXY_NEVER, WEIR_PROXY_NEVER,                      \
	  WEIR_PROXY_REQUIRED, CHOICE, "whether a PROXY header comes first")   \
	X(proxy_max, size_t, 4096, 216, 32768, BYTES,                          \
	  "longest PROXY header of version 2")                                 \
	X(backlog, int, 4096, 1, INT32_MAX, COUNT, "backlog of listen(2)")     \
	X(mode, int, 0, 0, 0777, MODE, "mode of a Unix socket; 0 is 0600")
/* clang-format on */

/* Index of wr_service.timeout_ms, in the order of WEIR_TIMEOUT_... */
enum wr_timeout {
	WR_TMO_FIRST_BYTE,
	WR_TMO_READ,
	WR_TMO_WRITE,
	WR_TMO_IDLE,
	WR_TMO_LIFETIME,
	WR_TMO_PAUSE,
	WR_TMO_HANDSHAKE,
	WR_TMO_COUNT
};

/* The caller's header is newer, and a field that is unknown here is set. */
bool wr_sets_unknown(const void *src, size_t size, size_t known);

/* At most size bytes, with zeros behind the known ones. */
void wr_copy_out(void *dst, size_t size, const void *src, size_t known);

struct wr_refusal {
	struct wr_refusal *older;
	size_t len;
	char text[];
};

/* A refusal may be in use, so each different one is kept until the end. */
struct wr_config {
	struct weir_config set; /* complete and checked, as it was made */
	_Atomic int queue_length, queue_age_ms, max_connections, overload,
		lame_duck_ms, drain_ms, log_level, max_per_source, early_start,
		early_percent, early_full, evict_ms;
	weir_access *access; /* one thread at a time; NULL: no rules */
	_Atomic size_t outbox_total;
	struct wr_refusal *_Atomic refusal;
	struct wr_refusal *refusals; /* all, the newest first */
	/* Keeps the values from the acceptor's look to accept(2). */
	struct wr_word_lock accept_lock;
};

struct wr_stacks;

enum { WR_PLACE_QUEUE, WR_PLACE_SERVER, WR_PLACES };

struct wr_share {
	_Atomic size_t has[WR_PLACES];
	bool is_closed;	 /* acceptor: the listener is */
	int64_t look_at; /* acceptor: none for an idle one before */
};

struct wr_listener_counts;
struct wr_layer_counts;
struct wr_layer;

/* Makes layers: for TLS, a certificate.  Counted; not changed while in use. */
struct weir_layer {
	const struct wr_layer_maker *maker;
	bool speaks_first; /* its handshake does: that of a client */
};

struct wr_layer_maker {
	/* A zeroed struct wr_layer with its ops; NULL: no memory. */
	struct wr_layer *(*make)(struct weir_layer *from, const char *name);
	void (*ref)(struct weir_layer *from);
	void (*unref)(struct weir_layer *from);
};

/*
 * What weir_server_configure_service() changes.  A change makes a new set, so
 * that a reader gets values that belong together.
 */
struct wr_limits {
	struct wr_limits *older;
	int timeout_ms[WR_TMO_COUNT]; /* -1: never */
	size_t line_max, outbox_mark, outbox_max, write_rate;
};

/* The networks of a proxy_trust. */
struct wr_trust {
	struct wr_trust *older;
	size_t count;
	struct wr_network networks[];
};

struct wr_service {
	struct weir_service set; /* complete and checked, as it was made */
	const struct wr_limits *_Atomic limits;
	struct wr_limits first; /* as in set */
	struct wr_limits *all;	/* the newest first; kept until the end */
	const struct wr_trust *_Atomic trust; /* NULL: none */
	struct wr_trust *trusts;	      /* all, the newest first */
	struct wr_share *share;		      /* of the listener */
	struct wr_listener_counts *counts; /* one for each thread; NULL: none */
	const char *where;		   /* of the listener, or NULL */
	struct wr_stacks *stacks;	   /* NULL: handlers run on workers */
	struct weir_layer *layer;	   /* l: for new connections; NULL */
	struct wr_word_lock layer_lock;
	struct wr_layer_counts *layer_counts; /* of the listener, or NULL */
	bool is_layered;		      /* c */
	bool layer_speaks_first;	      /* c */
};

/* Any thread. */
static inline const struct wr_limits *wr_limits(const struct wr_service *s)
{
	return atomic_load_explicit(&s->limits, memory_order_acquire);
}

/* Any thread; before the acceptor is notified of room. */
static inline void wr_share_add(const struct wr_service *s, int place, int n)
{
	atomic_fetch_add(&s->share->has[place], (size_t)n);
}

/* config may be NULL. */
int wr_config_init(struct wr_config *ret, const struct weir_config *config);

/* One thread at a time: all of it or nothing. */
int wr_config_change(struct wr_config *c, const struct weir_config *config);
void wr_config_fini(struct wr_config *c);

/* Any thread: may the peer at this address send a PROXY header? */
bool wr_service_trusts(const struct wr_service *s, const struct sockaddr *peer);

int wr_service_init(struct wr_service *ret, const struct weir_service *service);

/* One thread at a time: all limits and the trust, or nothing. */
int wr_service_change(struct wr_service *s, const struct weir_service *service);
void wr_service_fini(struct wr_service *s);

/* Any thread: a reference to the layer of new connections; or replace it. */
struct weir_layer *wr_service_ref_layer(const struct wr_service *s);
void wr_service_set_layer(struct wr_service *s, struct weir_layer *layer);

#endif
