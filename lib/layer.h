/* SPDX-License-Identifier: MIT */
/*
 * The seam for a layer between a connection and its socket, such as TLS.  The
 * core owns the socket.  The layer turns received bytes into input, and output
 * into bytes to send.
 *
 * "A layer has one thread": only the owner of the connection calls it.  What
 * other threads send stays in the outbox until the owner flushes it.
 *
 * A layer is in a library of its own, and uses the calls that are marked
 * WR_PRIVATE, which may change with each release.
 */
#ifndef WR_LAYER_H
#define WR_LAYER_H

#include <sys/uio.h>

#include "buffer.h"
#include "settings.h"

struct wr_layer;

/* weir_conn.layered */
enum {
	WR_LAYER_NONE,
	WR_LAYER_WANTED, /* in its handshake, or before it */
	WR_LAYER_UP
};

/* wr_layer_ops.look */
enum {
	WR_LOOK_NOTHING,
	WR_LOOK_INPUT,
	WR_LOOK_END /* of the input, or an error: receive tells */
};

struct wr_layer_ops {
	/* 1: it is up; 0: the peer has to send, or to take, more; -errno */
	int (*handshake)(struct wr_layer *l);

	/* Once it is up.  What is there, without taking it. */
	int (*look)(struct wr_layer *l);

	/* > 0; 0: end of input; -EAGAIN; -errno. */
	ssize_t (*receive)(struct wr_layer *l, void *buf, size_t cap);

	/* Something received is left, complete or not. */
	bool (*has_rest)(const struct wr_layer *l);

	/*
	 * Called while out is empty.  How many bytes were taken, > 0; -EAGAIN,
	 * with wants_input; -errno.
	 */
	ssize_t (*send)(struct wr_layer *l, const struct iovec *iov, int count);

	/* Nothing more is sent: tell the peer.  0; -EAGAIN, as send; -errno. */
	int (*bye)(struct wr_layer *l);

	void (*end)(struct wr_layer *l); /* frees it */
};

/* One connection's layer, the first part of what the library makes. */
struct wr_layer {
	const struct wr_layer_ops *ops;
	struct weir_conn *conn;
	struct wr_buffer in;  /* received, and not taken by the layer */
	struct wr_buffer out; /* made by the layer, and not sent */
	uint64_t sent;	      /* bytes given to the kernel */
	int64_t since;	      /* handshake_ms counts from here */
	int64_t began_at;     /* the first byte of the handshake; 0: none yet */
	uint8_t failure;      /* WEIR_HANDSHAKE_... if the layer knows; or 0 */
	bool is_dry;	      /* the socket has nothing more */
	bool has_begun;	      /* its handshake */
	bool has_ended;	      /* its output: bye was called */
	bool is_resumed;      /* its handshake was a short one */
	bool is_truncated;    /* the input ended without the peer's bye */
	bool is_torn;	      /* the same, inside a record */
	bool wants_input;     /* the output has to wait for it */
};

/* From the socket.  > 0; 0: its end; -EAGAIN; -errno. */
WR_PRIVATE ssize_t wr_layer_recv(struct wr_layer *l, void *buf, size_t cap);

/* Send to the socket, and keep what it does not take.  0 or -errno. */
WR_PRIVATE int wr_layer_put(struct wr_layer *l, const void *data, size_t len);

/*
 * With no lock held, so in no operation of the output: a log line about the
 * connection; at most 10 a second are written.
 */
WR_PRIVATE void wr_layer_log(struct wr_layer *l, const char *text);

WR_PRIVATE struct wr_layer *wr_layer_of(const struct weir_conn *c);

/*
 * Handler: put a layer under a connection that has none.  A session, and a
 * connection of weir_dial(), wait until it is up.  0; -EAGAIN: output is
 * unsent; -EALREADY; -errno.
 */
WR_PRIVATE int wr_layer_start(struct weir_conn *c, struct weir_layer *from,
			      const char *name);

/* Any thread: change the layer of a listener's new connections. */
WR_PRIVATE int wr_layer_replace(weir_server *s, int id,
				struct weir_layer *from);

/* Owner: give the connection its layer.  0 or -ENOMEM. */
int wr_layer_make(struct weir_conn *c, struct weir_layer *from,
		  const char *name);
void wr_layer_free(struct weir_conn *c);

/* In WR_LAYER_WANTED: as the operation; with 1 it becomes WR_LAYER_UP. */
int wr_layer_handshake(struct weir_conn *c);

/* WR_LOOK_...; in any state. */
int wr_layer_look(struct weir_conn *c);

bool wr_layer_owes_bye_locked(const struct weir_conn *c);

/* Owner: bytes to send, or a bye. */
bool wr_layer_has_output(const struct weir_conn *c);

/*
 * 1: out was sent, or bye called; 0: the socket is full, or bye waits for
 * input; -errno.
 */
int wr_layer_push(struct wr_layer *l);

#endif
