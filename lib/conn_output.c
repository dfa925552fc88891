/* SPDX-License-Identifier: MIT */
/*
 * Output.  Small writes are gathered, large ones are sent without a copy, and
 * the outbox keeps the rest.
 *
 * Other threads append to the outbox (weir_ref_send), so it is under the
 * connection's lock.  The lock is held across sendmsg(2), which waits at most
 * for the caller's memory.  It is not held across sendfile(2), which may wait
 * for the disk; only the owner sends files, so the first chunk stays.
 *
 * With a layer the owner alone sends: other threads append, and post WR_EV_OUT.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "bounds.h"
#include "conn.h"
#include "poller.h"
#include "sys.h"

#define PIECES	   64
#define COPY_PIECE ((size_t)16 << 10) /* of one pread(2) */

/* The rest of a write, from byte skip on. */
struct rest {
	const struct iovec *iov;
	int count;
	size_t skip, left;
	weir_msg *msg; /* that it is a part of; or NULL */
	bool has_waited;
};

static int add_rest(struct iovec *iov, int n, const struct rest *rest)
{
	size_t skip = rest->skip;

	for (int i = 0; i < rest->count && n < PIECES; i++) {
		size_t part = wr_min(skip, rest->iov[i].iov_len);

		skip -= part;
		if (part == rest->iov[i].iov_len)
			continue;
		iov[n].iov_base = (char *)rest->iov[i].iov_base + part;
		iov[n].iov_len = rest->iov[i].iov_len - part;
		n++;
	}
	return n;
}

/* ctx NULL: a thread of the program. */
static inline struct wr_stats *stats_of(const struct weir_conn *c,
					const struct wr_context *ctx)
{
	return ctx ? ctx->stats : wr_core_foreign_stats(c->core);
}

static inline void count_sent(struct weir_conn *c, const struct wr_context *ctx,
			      ssize_t n)
{
	struct wr_stats *stats = stats_of(c, ctx);

	c->out.sent += (uint64_t)n;
	wr_count(stats, &wr_traffic_of(c->service, stats)->bytes_out,
		 (uint64_t)n);
}

static inline ssize_t send_pieces(struct weir_conn *c, const struct iovec *iov,
				  int count)
{
	return c->layer ? c->layer->ops->send(c->layer, iov, count)
			: wr_sys_sendmsg(c->fd, iov, count);
}

static ssize_t copy_piece(struct weir_conn *c, const struct wr_chunk *k)
{
	char data[COPY_PIECE];
	size_t len = k->left < COPY_PIECE ? (size_t)k->left : COPY_PIECE;
	ssize_t n = wr_sys_pread(k->file, data, len, (off_t)k->offset);
	struct iovec piece = { data, (size_t)n };

	if (n > 0)
		return send_pieces(c, &piece, 1);
	c->out.file_error = n < 0 ? (int)n : WR_FILE_TOO_SHORT;
	return -EIO;
}

/* An error of sendfile(2) does not tell what has failed: copy_piece() does. */
static ssize_t send_piece(struct weir_conn *c, struct wr_chunk *k)
{
	off_t offset = (off_t)k->offset;
	size_t len = k->left < WR_SENDFILE_BYTES ? (size_t)k->left
						 : WR_SENDFILE_BYTES;

	if (!k->is_copied && !c->layer) {
		ssize_t n = wr_sys_sendfile(c->fd, k->file, &offset, len);

		if (n > 0 || n == -EAGAIN)
			return n;
		k->is_copied = true;
	}
	return copy_piece(c, k);
}

/* Unlocks and locks again.  > 0: progress; 0: socket full; -errno. */
static int send_file_locked(struct weir_conn *c)
{
	struct wr_chunk *k = c->out.box.head;
	ssize_t n;

	wr_word_unlock(&c->lock);
	n = send_piece(c, k);
	wr_word_lock(&c->lock);
	if (n == -EAGAIN)
		return 0;
	if (n < 0)
		return (int)n;
	k->offset += (uint64_t)n;
	k->left -= (uint64_t)n;
	count_sent(c, c->ctx, n);
	if (k->left == 0)
		wr_outbox_drop_file(&c->out.box);
	return (int)n;
}

/* The same for bytes of the outbox, and of rest behind them. */
static int send_bytes_locked(struct weir_conn *c, struct wr_context *ctx,
			     struct rest *rest)
{
	struct iovec iov[PIECES];
	size_t queued = wr_outbox_bytes(&c->out.box);
	int n = wr_outbox_pieces(&c->out.box, iov, PIECES);
	ssize_t sent;

	if (rest && !wr_outbox_has_files(&c->out.box))
		n = add_rest(iov, n, rest);
	sent = send_pieces(c, iov, n);
	if (sent == -EAGAIN)
		return 0;
	if (sent < 0)
		return (int)sent;
	count_sent(c, ctx, sent);
	queued = wr_min(queued, (size_t)sent);
	if (ctx == NULL ||
	    !wr_outbox_try_empty(&c->out.box, queued, &ctx->spare_chunk))
		wr_outbox_advance(&c->out.box, queued,
				  ctx ? &ctx->spare_chunk : NULL);
	if (rest) {
		rest->skip += (size_t)sent - queued;
		rest->left -= (size_t)sent - queued;
	}
	return 1;
}

/* The owner is told: if the input has ended too, the connection is finished. */
static void shut_output_locked(struct weir_conn *c)
{
	c->out.end = WR_OUT_SHUT;
	(void)wr_sys_shutdown(c->fd, SHUT_WR);
	if (c->core)
		wr_conn_post(c, wr_core_foreign_stats(c->core),
			     wr_owner_generation(&c->owner), WR_EV_OUT);
}

/*
 * Bytes that the peer must acknowledge: during a stall more than write_rate, at
 * its beginning one.
 */
static int64_t least_progress(const struct weir_conn *c)
{
	size_t rate = wr_limits(c->service)->write_rate;
	int64_t ms = wr_conn_timeout(c, WR_TMO_WRITE);

	if (ms == WEIR_NEVER || rate == 0 || !c->out.is_stalled)
		return 1;
	return (int64_t)rate * ms / 1000 + 1;
}

/*
 * Restart the write deadline only if the peer has acknowledged enough bytes:
 * the kernel may take more for a peer that never reads.  On a Unix socket the
 * overhead of buffers counts as unsent, so the difference may be negative.
 */
static void note_stall_locked(struct weir_conn *c)
{
	int unsent = wr_sys_unsent(c->fd);
	uint64_t sent = c->layer ? c->layer->sent : c->out.sent;
	uint64_t taken = sent - (unsent > 0 ? (uint64_t)unsent : 0);
	int64_t progress = (int64_t)(taken - c->out.acked);
	bool restarts = progress >= least_progress(c) || c->out.stalled_at == 0;

	if (restarts)
		c->out.stalled_at = wr_now_ns();
	if (restarts || progress < 0)
		c->out.acked = taken;
	c->out.is_stalled = c->out.was_left = true;
}

/* Only bytes of the handshake go out; the outbox waits for its end. */
static int send_handshake(struct weir_conn *c)
{
	int rc = c->out.error;

	while (rc == 0 && c->layer && wr_buffer_len(&c->layer->out) > 0) {
		rc = wr_layer_push(c->layer);
		if (rc == 0)
			return WR_FLUSH_STALLED;
		c->out.error = rc < 0 ? rc : 0;
	}
	return c->out.error ? c->out.error : WR_FLUSH_STALLED;
}

/* Bytes of the layer come first, and the end of its output last. */
static bool is_layer_due(const struct weir_conn *c, bool is_last)
{
	return wr_buffer_len(&c->layer->out) > 0 ||
	       (is_last && wr_layer_owes_bye_locked(c));
}

/* After a stall, a peer that takes all as it comes may let none begin again. */
static int yield_locked(struct weir_conn *c)
{
	if (c->out.is_stalled)
		note_stall_locked(c);
	return WR_FLUSH_YIELDED;
}

/*
 * Sends the outbox, then rest.  WR_FLUSH_... or -errno.  Only the owner, which
 * has a ctx, sends files.
 *
 * A stop only tries the lock, so it may never shut down the socket of a
 * connection that sends without pause; that one finds is_cut here.
 */
static int send_uncounted_locked(struct weir_conn *c, struct wr_context *ctx,
				 struct rest *rest)
{
	uint64_t end_of_turn = c->out.sent + WR_SENDFILE_BYTES;
	int64_t files_end_at = 0;
	int rc;

	if (c->is_connecting)
		return WR_FLUSH_STALLED;
	if (c->layered == WR_LAYER_WANTED)
		return send_handshake(c);
	for (;;) {
		bool is_last = !c->out.box.head && !(rest && rest->left > 0);
		bool is_layer = c->layer && is_layer_due(c, is_last);

		if (c->out.error)
			return c->out.error;
		if (is_last && !is_layer) {
			c->out.is_stalled = c->out.was_left = false;
			if (c->out.end == WR_OUT_ENDING)
				shut_output_locked(c);
			return WR_FLUSH_DONE;
		}
		if (atomic_load(&c->is_cut)) {
			rc = -ECANCELED;
		} else if (is_layer) {
			rc = wr_layer_push(c->layer);
		} else if (ctx && c->out.box.head &&
			   c->out.box.head->file >= 0) {
			ctx->now = wr_now_ns();
			if (files_end_at == 0)
				files_end_at = ctx->now + WR_TURN_NS;
			else if (ctx->now >= files_end_at ||
				 c->out.sent >= end_of_turn)
				return yield_locked(c);
			rc = send_file_locked(c);
		} else if (ctx && rest && wr_conn_may_wait(c) &&
			   c->out.sent >= end_of_turn) {
			return WR_FLUSH_YIELDED;
		} else {
			rc = send_bytes_locked(c, ctx, rest);
		}
		if (rc < 0) {
			c->out.error = rc;
		} else if (rc == 0) {
			note_stall_locked(c);
			return WR_FLUSH_STALLED;
		}
	}
}

static int send_locked(struct weir_conn *c, struct wr_context *ctx,
		       struct rest *rest)
{
	int rc = send_uncounted_locked(c, ctx, rest);

	wr_conn_count_outbox(c);
	return rc;
}

static int map_send_error(const struct weir_conn *c, int rc)
{
	return rc < 0 && atomic_load(&c->is_cut) ? -ECANCELED : rc;
}

/*
 * "No time counts while we keep the peer waiting": first_byte_ms and idle_ms do
 * not apply while output is unsent, and begin again after that; only
 * first_byte_ms of a connection of weir_dial() counts from the dial.  For
 * read_ms, see is_message_held().
 */
static void note_all_sent(struct weir_conn *c)
{
	int64_t now = wr_now_ns();

	if (now > c->active_at)
		wr_conn_set_active(c, now);
	if (c->table && c->in.received == 0 && !(c->rare & WR_RARE_INPUT_OFF))
		c->wait_at = now;
}

int wr_conn_flush(struct weir_conn *c)
{
	bool was_left;
	int rc;

	wr_word_lock(&c->lock);
	was_left = c->out.was_left;
	if (was_left && wr_conn_is_congested(c))
		c->in.is_held = true;
	rc = send_locked(c, c->ctx, NULL);
	if (rc == WR_FLUSH_YIELDED)
		c->out.was_left = true;
	wr_word_unlock(&c->lock);
	if (was_left && rc == WR_FLUSH_DONE)
		note_all_sent(c);
	return map_send_error(c, rc);
}

bool wr_conn_output_has_failed(struct weir_conn *c)
{
	bool has_failed;

	wr_word_lock(&c->lock); /* other threads send */
	has_failed = c->out.error != 0;
	wr_word_unlock(&c->lock);
	return has_failed;
}

bool wr_conn_output_is_open(struct weir_conn *c)
{
	bool is_open;

	wr_word_lock(&c->lock); /* other threads shut it down */
	is_open = c->out.end == WR_OUT_OPEN;
	wr_word_unlock(&c->lock);
	return is_open;
}

bool wr_conn_output_is_over(struct weir_conn *c)
{
	bool is_over;

	wr_word_lock(&c->lock); /* other threads shut it down */
	is_over = c->out.end == WR_OUT_SHUT;
	wr_word_unlock(&c->lock);
	return is_over;
}

/* A copy of a small message costs less, unless it is kept for long. */
static bool is_shared(const struct weir_conn *c, const struct rest *rest)
{
	return rest->msg && (rest->left > WR_COPY_BYTES || c->out.is_stalled);
}

static int keep_locked(struct weir_conn *c, struct wr_context *ctx,
		       const struct rest *rest)
{
	int rc = is_shared(c, rest)
			 ? wr_outbox_append_message(&c->out.box, rest->msg,
						    rest->skip)
			 : wr_outbox_append(&c->out.box, rest->iov, rest->count,
					    rest->skip, rest->left,
					    ctx ? &ctx->spare_chunk : NULL);

	/* A little output that is flushed soon is not counted. */
	if (c->out.is_stalled || c->is_connecting ||
	    wr_outbox_bytes(&c->out.box) > WR_CHUNK_ROOM)
		wr_conn_count_outbox(c);
	/* A part was sent: the stream is broken. */
	if (rc < 0 && rest->skip > 0)
		c->out.error = rc;
	return rc;
}

static bool fits_below(size_t max, size_t queued, size_t more)
{
	return more <= max && queued <= max - more;
}

/*
 * A first write is taken up to the mark, whatever is left of outbox_total:
 * otherwise a program that waits for room would be told again and again that
 * there is some, and never have enough.
 */
static inline bool has_room(const struct weir_conn *c, size_t queued,
			    size_t more)
{
	size_t most = queued ? wr_conn_outbox_mark(c)
			     : wr_limits(c->service)->outbox_mark;

	return fits_below(most, queued, more);
}

static bool may_stay(const struct weir_conn *c, size_t queued, size_t more)
{
	return has_room(c, queued, more) &&
	       ((more <= WR_GATHER_BYTES && queued + more <= WR_CHUNK_ROOM) ||
		c->out.is_stalled);
}

static int may_write(const struct weir_conn *c)
{
	return c->out.end != WR_OUT_OPEN ? -EPIPE : c->out.error;
}

static bool output_put_small(struct weir_conn *c, const void *buf, size_t len)
{
	bool is_taken;

	if (c->end != WR_END_OPEN || len > WR_GATHER_BYTES)
		return false;
	wr_word_lock(&c->lock);
	is_taken = may_write(c) == 0 && !wr_outbox_has_files(&c->out.box) &&
		   has_room(c, wr_outbox_all_bytes(&c->out.box), len) &&
		   wr_outbox_try_append(&c->out.box, buf, len,
					&c->ctx->spare_chunk);
	wr_word_unlock(&c->lock);
	return is_taken;
}

static int put_waiting_locked(struct weir_conn *c, struct rest *rest)
{
	int rc = 0;

	while (rc >= 0 && rest->left > 0) {
		if (!may_stay(c, wr_outbox_all_bytes(&c->out.box), rest->left))
			rc = send_locked(c, c->ctx, rest);
		if (rc < 0 || rest->left == 0)
			break;
		if (has_room(c, wr_outbox_all_bytes(&c->out.box), rest->left)) {
			rc = keep_locked(c, c->ctx, rest);
			break;
		}
		rest->has_waited = true;
		c->out.is_writing = true; /* keeps others out of its middle */
		wr_word_unlock(&c->lock);
		rc = wr_conn_wait_flush(c, rc);
		wr_word_lock(&c->lock);
	}
	c->out.is_writing = false;
	return rc;
}

static bool has_space(const struct weir_conn *c, const struct rest *rest)
{
	size_t queued = wr_outbox_all_bytes(&c->out.box);
	size_t max = wr_limits(c->service)->outbox_max;

	return fits_below(wr_conn_outbox_limit(c, max), queued, rest->left) ||
	       (queued == 0 && has_room(c, queued, rest->left));
}

static int refuse_output(const struct weir_conn *c,
			 const struct wr_context *ctx)
{
	struct wr_stats *stats = stats_of(c, ctx);

	wr_count(stats, &stats->sends_refused, 1);
	return -ENOBUFS;
}

/* -ENOBUFS takes nothing. */
static int put_at_once_locked(struct weir_conn *c, struct rest *rest)
{
	int rc = 0;

	if (!may_stay(c, wr_outbox_all_bytes(&c->out.box), rest->left))
		rc = send_locked(c, c->ctx, has_space(c, rest) ? rest : NULL);
	if (rc < 0 || rest->left == 0)
		return rc;
	/* The limit may have fallen since a part was sent. */
	return rest->skip > 0 || has_space(c, rest)
		       ? keep_locked(c, c->ctx, rest)
		       : refuse_output(c, c->ctx);
}

/* A session whose peer takes everything at once never waits elsewhere. */
static int begin_output(struct weir_conn *c, size_t len)
{
	struct weir_conn *session = c->table ? c : wr_conn_session();
	int rc = 0;

	if (c->end != WR_END_OPEN)
		return -EPIPE;
	if (session == NULL || session->coro == NULL)
		return 0;
	if (session->call.bytes >= WR_TURN_BYTES)
		rc = wr_conn_let_others_run(c);
	session->call.bytes += len;
	return rc;
}

static int output_put(struct weir_conn *c, const struct iovec *iov, int count,
		      size_t len)
{
	WR_NO_CANCEL_IN(c);
	struct rest rest = { iov, count, 0, len, NULL, false };
	int rc = begin_output(c, len);

	if (rc < 0)
		return rc;
	wr_word_lock(&c->lock);
	rc = may_write(c);
	if (rc == 0 && len > 0)
		rc = wr_conn_may_wait(c) ? put_waiting_locked(c, &rest)
					 : put_at_once_locked(c, &rest);
	wr_word_unlock(&c->lock);
	if (rest.has_waited) {
		c->in.is_held = true;
		if (!wr_conn_has_output(c))
			note_all_sent(c);
	}
	return rc < 0 ? map_send_error(c, rc) : 0;
}

static int output_put_one(struct weir_conn *c, const void *buf, size_t len)
{
	struct iovec iov = { (void *)(uintptr_t)buf, len };

	return output_put(c, &iov, 1, len);
}

int wr_conn_put(struct weir_conn *c, const void *buf, size_t len)
{
	struct iovec iov = { (void *)(uintptr_t)buf, len };
	struct rest rest = { &iov, 1, 0, len, NULL, false };
	int rc;

	wr_word_lock(&c->lock);
	rc = may_write(c);
	if (rc == 0)
		rc = send_locked(c, c->ctx, &rest);
	/* Unless the socket is full, no event would send what is kept. */
	while (rc == WR_FLUSH_YIELDED && !wr_outbox_has_files(&c->out.box))
		rc = send_locked(c, c->ctx, &rest);
	if (rc >= 0 && rest.left > 0)
		rc = keep_locked(c, c->ctx, &rest);
	wr_word_unlock(&c->lock);
	return rc < 0 ? map_send_error(c, rc) : 0;
}

int weir_conn_write(weir_conn *c, const void *buf, size_t len)
{
	if (c == NULL || !wr_is_memory(buf, len))
		return -EINVAL;
	return output_put_small(c, buf, len) ? 0 : output_put_one(c, buf, len);
}

int weir_conn_writev(weir_conn *c, const struct iovec *iov, int count)
{
	ssize_t len = wr_pieces_len(iov, count);

	if (c == NULL)
		return -EINVAL;
	return len < 0 ? (int)len : output_put(c, iov, count, (size_t)len);
}

int weir_conn_vprintf(weir_conn *c, const char *format, va_list ap)
{
	WR_NO_CANCEL_IN(c);
	char text[512], *big = text;
	va_list again;
	int len, rc;

	if (c == NULL || format == NULL)
		return -EINVAL;
	va_copy(again, ap);
	len = vsnprintf(text, sizeof(text), format, ap);
	if (len >= (int)sizeof(text)) {
		big = wr_sys_alloc((size_t)len + 1);
		if (big)
			len = vsnprintf(big, (size_t)len + 1, format, again);
	}
	va_end(again);
	if (big == NULL)
		return -ENOMEM;
	rc = len < 0 ? -EINVAL : weir_conn_write(c, big, (size_t)len);
	if (big != text)
		wr_sys_free(big);
	return rc;
}

int weir_conn_printf(weir_conn *c, const char *format, ...)
{
	va_list ap;
	int rc;

	va_start(ap, format);
	rc = weir_conn_vprintf(c, format, ap);
	va_end(ap);
	return rc;
}

static int check_file(int fd)
{
	struct stat st;
	int rc, flags = wr_sys_fcntl(fd, F_GETFL, 0);

	if (flags < 0)
		return flags;
	if (flags & O_PATH || (flags & O_ACCMODE) == O_WRONLY)
		return -EBADF;
	rc = wr_sys_fstat(fd, &st);
	if (rc < 0)
		return rc;
	return S_ISREG(st.st_mode) ? 0 : -EINVAL;
}

int weir_conn_sendfile(weir_conn *c, int fd, uint64_t offset, uint64_t len)
{
	WR_NO_CANCEL_IN(c);
	int own, rc;

	if (c == NULL || offset > INT64_MAX || len > INT64_MAX - offset)
		return -EINVAL;
	rc = check_file(fd);
	if (rc < 0)
		return rc;
	if (c->end != WR_END_OPEN)
		return -EPIPE;
	if (len == 0)
		return 0;
	own = wr_sys_dup(fd);
	if (own < 0)
		return own;
	wr_word_lock(&c->lock);
	rc = may_write(c);
	if (rc == 0)
		rc = wr_outbox_append_file(&c->out.box, own, offset, len);
	wr_word_unlock(&c->lock);
	if (rc < 0)
		wr_sys_close(own);
	return map_send_error(c, rc);
}

int weir_conn_flush(weir_conn *c)
{
	WR_NO_CANCEL_IN(c);
	struct wr_context *ctx = wr_context_in_callback(NULL);
	int rc;

	if (c == NULL)
		return -EINVAL;
	if (ctx) /* that of the callback: c may be one of weir_dial() */
		wr_conn_flush_others(ctx);
	rc = wr_conn_flush(c);
	return rc < 0 ? rc : 0;
}

static int detach_locked(struct weir_conn *c)
{
	int rc = send_locked(c, c->ctx, NULL);

	if (rc != WR_FLUSH_DONE)
		return rc < 0 ? rc : -EAGAIN;
	if (atomic_load(&c->is_cut))
		return -ECANCELED;
	rc = c->fd;
	c->fd = -1;
	c->end = WR_END_CLOSING;
	return rc;
}

int weir_conn_detach(weir_conn *c)
{
	WR_NO_CANCEL_IN(c);
	int fd;

	if (c == NULL)
		return -EINVAL;
	if (c->end != WR_END_OPEN || c->is_spawned)
		return -EPIPE;
	if (c->layered)
		return -EOPNOTSUPP;
	if (wr_buffer_len(&c->in.buf) > 0)
		return -EBUSY;
	wr_word_lock(&c->lock);
	fd = detach_locked(c);
	wr_word_unlock(&c->lock);
	if (fd < 0)
		return map_send_error(c, fd);
	if (c->in.end == WR_IN_OPEN)
		c->in.end = WR_IN_SHUT;
	if (c->interest)
		wr_poller_remove(&c->core->poller, fd);
	c->interest = 0;
	if (c->table == NULL)
		wr_conn_unwatch(c, fd);
	return fd;
}

int weir_conn_shutdown(weir_conn *c, int how)
{
	WR_NO_CANCEL_IN(c);
	int rc = 0;

	if (c == NULL || (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR))
		return -EINVAL;
	if (c->end != WR_END_OPEN || c->is_spawned)
		return -EPIPE;
	if (how != SHUT_WR) {
		if (c->in.end == WR_IN_OPEN)
			c->in.end = WR_IN_SHUT;
		wr_buffer_consume(&c->in.buf, wr_buffer_len(&c->in.buf));
		c->in.message_at = 0;
		c->in.scanned = 0;
	}
	if (how != SHUT_RD) {
		wr_word_lock(&c->lock);
		if (c->out.end == WR_OUT_OPEN)
			c->out.end = WR_OUT_ENDING;
		rc = send_locked(c, c->ctx, NULL);
		wr_word_unlock(&c->lock);
	}
	return rc < 0 ? map_send_error(c, rc) : 0;
}

int64_t weir_conn_unsent(weir_conn *c)
{
	WR_NO_CANCEL_IN(c);
	int64_t n;

	if (c == NULL)
		return -EINVAL;
	wr_word_lock(&c->lock);
	n = (int64_t)wr_outbox_unsent(&c->out.box);
	wr_word_unlock(&c->lock);
	return n;
}

int weir_conn_is_held(const weir_conn *c)
{
	return c ? wr_conn_is_congested(c) : -EINVAL;
}

int64_t weir_ref_unsent(weir_ref *ref)
{
	WR_NO_CANCEL();
	struct weir_conn *c = wr_conn_of(ref);
	int64_t n = -EPIPE;

	if (c == NULL)
		return -EINVAL;
	wr_word_lock(&c->lock);
	if (c->end == WR_END_OPEN)
		n = (int64_t)wr_outbox_unsent(&c->out.box);
	wr_word_unlock(&c->lock);
	return n;
}

/*
 * "One flush for a callback": what a callback sends to other connections stays
 * in their outboxes until it returns.  Then the worker flushes each with one
 * sendmsg(2), unless another thread has before.
 *
 * A callback that may wait sends at once: an answer may be what it waits for.
 */
static struct wr_context *gathering_context(const struct weir_conn *c)
{
	struct wr_context *ctx = wr_context_in_callback(c->core);
	struct weir_conn *running =
		ctx ? atomic_load_explicit(&ctx->running, memory_order_relaxed)
		    : NULL;

	return running && wr_conn_may_wait(running) ? NULL : ctx;
}

static bool list_for_flush(struct wr_context *ctx, struct weir_conn *c)
{
	struct wr_fanout *f = &ctx->fanout;

	if (f->conns == NULL)
		f->conns = wr_sys_alloc(WR_FANOUT_MOST * sizeof(*f->conns));
	if (f->conns == NULL || !wr_conn_pin(c))
		return false;
	wr_assert(f->count < WR_FANOUT_MOST);
	f->conns[f->count++] = c;
	return true;
}

static bool runs(struct wr_context *ctx, const struct weir_conn *c)
{
	return ctx &&
	       atomic_load_explicit(&ctx->running, memory_order_relaxed) == c;
}

/* The flush at the end of the running callback will send it. */
static bool gather_locked(struct weir_conn *c, struct wr_context *ctx,
			  size_t len)
{
	if (ctx == NULL || c->is_connecting || c->out.is_stalled ||
	    !may_stay(c, wr_outbox_all_bytes(&c->out.box), len))
		return false;
	if (runs(ctx, c))
		return true;
	if (c->out.flusher != ctx && !list_for_flush(ctx, c))
		return false;
	c->out.flusher = ctx;
	return true;
}

/*
 * Only an owner flushes files and what goes through a layer.  A full socket
 * needs no flush: the poller reports when it has room.
 */
static bool may_flush_locked(const struct weir_conn *c)
{
	return !c->out.is_stalled && !c->out.is_writing && !c->layered &&
	       !wr_outbox_has_files(&c->out.box);
}

static void post_output_locked(struct weir_conn *c)
{
	if (c->end == WR_END_OPEN && (c->out.box.head || c->out.error))
		wr_conn_post(c, wr_core_foreign_stats(c->core),
			     wr_owner_generation(&c->owner), WR_EV_OUT);
}

void wr_conn_flush_others(struct wr_context *ctx)
{
	struct wr_fanout *f = &ctx->fanout;

	for (size_t i = 0; i < f->count; i++) {
		struct weir_conn *c = f->conns[i];

		wr_word_lock(&c->lock);
		if (c->out.flusher == ctx)
			c->out.flusher = NULL;
		if (c->end == WR_END_OPEN && may_flush_locked(c))
			(void)send_locked(c, ctx, NULL);
		post_output_locked(c);
		wr_word_unlock(&c->lock);
		wr_conn_unpin(c);
	}
	f->count = 0;
}

/* Gathered output goes with rest, or before it if both do not fit. */
static int send_from_program_locked(struct weir_conn *c, struct wr_context *ctx,
				    struct rest *rest)
{
	bool may_send =
		!c->layered &&
		(wr_outbox_is_empty(&c->out.box) ||
		 ((c->out.flusher || runs(ctx, c)) && may_flush_locked(c)));
	int rc = 0;

	if (may_send &&
	    !has_room(c, wr_outbox_all_bytes(&c->out.box), rest->left))
		rc = send_locked(c, NULL, NULL);
	if (rc >= 0 &&
	    !has_room(c, wr_outbox_all_bytes(&c->out.box), rest->left))
		return refuse_output(c, ctx);
	if (rc == WR_FLUSH_DONE && may_send)
		rc = send_locked(c, NULL, rest);
	return rc >= 0 && rest->left > 0 ? keep_locked(c, NULL, rest) : rc;
}

static int put_from_program(struct weir_conn *c, struct rest *rest)
{
	struct wr_context *ctx = gathering_context(c);
	bool is_watched = false; /* the poller or a flush will send the rest */
	int rc;

	if (ctx && ctx->fanout.count == WR_FANOUT_MOST)
		wr_conn_flush_others(ctx);
	wr_word_lock(&c->lock);
	if (c->end != WR_END_OPEN || may_write(c) < 0)
		rc = -EPIPE;
	else if (c->out.is_writing)
		rc = refuse_output(c, ctx);
	else if ((is_watched = gather_locked(c, ctx, rest->left)))
		rc = rest->left > 0 ? keep_locked(c, NULL, rest) : 0;
	else {
		is_watched = c->out.is_stalled && c->out.box.head;
		rc = send_from_program_locked(c, ctx, rest);
	}
	if (rc >= 0)
		wr_count(stats_of(c, ctx), &stats_of(c, ctx)->sends, 1);
	if (!is_watched)
		post_output_locked(c);
	wr_word_unlock(&c->lock);
	return rc == -ENOBUFS || rc == -ENOMEM ? rc : rc < 0 ? -EPIPE : 0;
}

int weir_ref_send(weir_ref *ref, const void *buf, size_t len)
{
	WR_NO_CANCEL();
	struct weir_conn *c = wr_conn_of(ref);
	struct iovec iov = { (void *)(uintptr_t)buf, len };
	struct rest rest = { &iov, 1, 0, len, NULL, false };

	if (c == NULL || c->table == NULL || !wr_is_memory(buf, len))
		return -EINVAL;
	return put_from_program(c, &rest);
}

int weir_ref_send_msg(weir_ref *ref, weir_msg *msg)
{
	WR_NO_CANCEL();
	struct weir_conn *c = wr_conn_of(ref);
	struct iovec iov;
	struct rest rest = { &iov, 1, 0, 0, msg, false };

	if (c == NULL || c->table == NULL || msg == NULL)
		return -EINVAL;
	iov.iov_base = msg->bytes;
	iov.iov_len = rest.left = msg->len;
	return put_from_program(c, &rest);
}

int weir_ref_sendv(weir_ref *ref, const struct iovec *iov, int count)
{
	WR_NO_CANCEL();
	struct weir_conn *c = wr_conn_of(ref);
	ssize_t len = wr_pieces_len(iov, count);
	struct rest rest = { iov, count, 0, (size_t)len, NULL, false };

	if (c == NULL || c->table == NULL)
		return -EINVAL;
	return len < 0 ? (int)len : put_from_program(c, &rest);
}

/* A write that waits in mid-message ends the output itself. */
int weir_ref_shutdown(weir_ref *ref, int how)
{
	WR_NO_CANCEL();
	struct weir_conn *c = wr_conn_of(ref);
	int rc = 0;

	if (c == NULL || c->table == NULL || how != SHUT_WR)
		return -EINVAL;
	wr_word_lock(&c->lock);
	if (c->end != WR_END_OPEN || c->out.error || c->is_spawned) {
		rc = -EPIPE;
	} else if (c->out.end == WR_OUT_OPEN) {
		c->out.end = WR_OUT_ENDING;
		if (c->layered)
			wr_conn_post(c, wr_core_foreign_stats(c->core),
				     wr_owner_generation(&c->owner), WR_EV_OUT);
		else if (wr_outbox_is_empty(&c->out.box) &&
			 !c->out.is_writing && !c->is_connecting)
			shut_output_locked(c);
	}
	wr_word_unlock(&c->lock);
	return rc;
}
