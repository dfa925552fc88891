/* SPDX-License-Identifier: MIT */
/*
 * Input in pieces of any size, read by any calls in any order: what they give
 * out must be what a splitter gives that has everything at once.
 *
 *   byte 0      bit 0: a handler that does not wait; bits 1 and 2: delimiter
 *   bytes 1-8   how much each recv() brings, in turn; 0: nothing yet
 *   bytes 9-16  the calls, in turn: kind in the lowest bits, then a length
 *   the rest    what the peer sends before it shuts down
 */
#include "fuzz.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conn.h"
#include "sys.h"
#include "weir.h"

#define HEAD 17
#define MOST 16384
#define LONG 20

const char fuzz_corpus[] = "input";

static const uint8_t *pieces;
static unsigned piece_at;
static size_t empty; /* recv() that have brought nothing, one after another */

/* Bring less than there is, or nothing. */
static int cut(enum wr_sys_call call, size_t *len)
{
	size_t piece;

	if (call != WR_SYS_recv || !len)
		return 0;
	piece = pieces[piece_at++ % 8];
	if (piece == 0 && empty++ < 8)
		return -EAGAIN;
	empty = 0;
	*len = wr_min(*len, piece > 0 ? piece : 1);
	return 0;
}

struct reader {
	weir_conn *conn;
	bool may_wait;
	const char *data; /* all that is sent */
	size_t size, at;
	const char *delim;
	size_t delim_len;
};

static int never_called(weir_conn *c, void *arg)
{
	(void)c, (void)arg;
	return 0;
}

/* A result that says "not yet" is no result: the next turn begins. */
static bool is_later(struct reader *r, ssize_t n)
{
	if (n != -EAGAIN)
		return false;
	REQUIRE(!r->may_wait);
	r->conn->call = (struct wr_call){ .why = 0 };
	REQUIRE(wr_conn_input_find(r->conn) > 0);
	return true;
}

/* n bytes were given out; are they the next? */
static void took(struct reader *r, const char *buf, ssize_t n)
{
	REQUIRE((size_t)n <= r->size - r->at);
	REQUIRE(memcmp(buf, r->data + r->at, (size_t)n) == 0);
	r->at += (size_t)n;
}

/* What a message up to the delimiter must give, in a buffer for cap bytes. */
static ssize_t expected(const struct reader *r, const char *delim,
			size_t delim_len, size_t cap, bool is_line)
{
	size_t left = r->size - r->at;
	const char *from = r->data + r->at;
	const char *found = left ? memmem(from, left, delim, delim_len) : NULL;
	size_t len = found ? (size_t)(found - from) + delim_len : left;

	if (found ? len > cap : len >= cap)
		return -EMSGSIZE;
	if (!found && !is_line)
		return left ? -EBADMSG : 0;
	return (ssize_t)len;
}

static bool take_line(struct reader *r, size_t cap)
{
	ssize_t want = expected(r, "\n", 1, cap - 1, true), n;
	char *buf = malloc(cap);

	REQUIRE(buf);
	while (is_later(r, n = weir_conn_read_line(r->conn, buf, cap)))
		;
	REQUIRE(n == want);
	if (n > 0) {
		REQUIRE(buf[n] == '\0');
		took(r, buf, n);
	}
	free(buf);
	return n > 0;
}

static bool take_until(struct reader *r, size_t cap)
{
	ssize_t want = expected(r, r->delim, r->delim_len, cap, false), n;
	char *buf = malloc(cap);

	REQUIRE(buf);
	while (is_later(r, n = weir_conn_read_until(r->conn, buf, cap, r->delim,
						    r->delim_len)))
		;
	REQUIRE(n == want);
	if (n > 0)
		took(r, buf, n);
	free(buf);
	return n > 0;
}

/* Of a call that wants len bytes. */
static ssize_t expected_of(const struct reader *r, size_t len)
{
	if (r->size - r->at >= len)
		return (ssize_t)len;
	return r->size == r->at ? 0 : -EBADMSG;
}

static bool take_exactly(struct reader *r, size_t len)
{
	ssize_t want = expected_of(r, len), n;
	char *buf = malloc(len);

	REQUIRE(buf);
	while (is_later(r, n = weir_conn_read_exact(r->conn, buf, len)))
		;
	REQUIRE(n == want);
	if (n > 0)
		took(r, buf, n);
	free(buf);
	return n > 0;
}

static bool look_and_take(struct reader *r, size_t len)
{
	ssize_t want = expected_of(r, len), n;
	const void *data;

	while (is_later(r, n = weir_conn_peek(r->conn, &data, len)))
		;
	if (n <= 0) {
		REQUIRE(n == want);
		return false;
	}
	REQUIRE(want == (ssize_t)len && n >= want);
	REQUIRE((size_t)n <= r->size - r->at);
	REQUIRE(memcmp(data, r->data + r->at, (size_t)n) == 0);
	REQUIRE(weir_conn_consume(r->conn, (size_t)n + 1) == -EINVAL);
	REQUIRE(weir_conn_consume(r->conn, len) == 0);
	r->at += len;
	return true;
}

/* The whole message is shown, stays, and is taken in two parts. */
static bool looked_at(struct reader *r, const char *shown, ssize_t n,
		      ssize_t want)
{
	REQUIRE(n == want);
	if (n <= 0)
		return false;
	REQUIRE(weir_conn_consume(r->conn, 1) == 0);
	REQUIRE(weir_conn_consume(r->conn, (size_t)n - 1) == 0);
	took(r, shown, n);
	return true;
}

static bool look_at_line(struct reader *r)
{
	ssize_t want = expected(r, "\n", 1, SSIZE_MAX, true), n;
	const char *line = NULL;

	while (is_later(r, n = weir_conn_peek_line(r->conn, &line)))
		;
	return looked_at(r, line, n, want);
}

static bool look_until(struct reader *r)
{
	ssize_t want = expected(r, r->delim, r->delim_len, SSIZE_MAX, false), n;
	const void *data = NULL;

	while (is_later(r, n = weir_conn_peek_until(r->conn, &data, r->delim,
						    r->delim_len)))
		;
	return looked_at(r, data, n, want);
}

static bool take_any(struct reader *r, size_t cap)
{
	char *buf = malloc(cap);
	ssize_t n;

	REQUIRE(buf);
	while (is_later(r, n = weir_conn_read(r->conn, buf, cap)))
		;
	if (r->at == r->size)
		REQUIRE(n == 0);
	else
		REQUIRE(n > 0 && (size_t)n <= cap);
	if (n > 0)
		took(r, buf, n);
	free(buf);
	return n > 0;
}

/* Every call in its turn; what is refused in one way is taken in another. */
static void read_all(struct reader *r, const uint8_t *calls)
{
	for (unsigned i = 0; r->at < r->size; i++) {
		uint8_t call = calls[i % 8];
		size_t len = (size_t)(call >> 3) * (call & 128 ? LONG : 1) + 1;
		bool went = false;

		switch (call & 7) {
		case 0:
		case 1:
			went = take_line(r, len + 1);
			break;
		case 2:
		case 3:
			went = take_until(r, len + r->delim_len);
			break;
		case 4:
			went = take_exactly(r, len);
			break;
		case 5:
			went = look_and_take(r, len);
			break;
		case 6:
			went = len % 2 ? look_at_line(r) : look_until(r);
			break;
		default:
			break;
		}
		if (!went)
			take_any(r, len);
	}
	REQUIRE(!take_line(r, 10) && !take_any(r, 10));
	REQUIRE(!take_until(r, 10) && !take_exactly(r, 10));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const delims[] = { "\r\n", "aab", "\n", "abcabd" };
	static const struct wr_limits limits = {
		.line_max = (size_t)1 << 20,
		.outbox_mark = (size_t)1 << 18,
	};
	static const struct wr_service unwaiting = {
		.set = { .readable = never_called },
		.limits = &limits,
	};
	struct reader r = { .may_wait = true };
	char where[32];
	int pair[2];

	if (size < HEAD || size > HEAD + MOST)
		return 0;
	pieces = data + 1;
	piece_at = 0;
	empty = 0;
	r.delim = delims[data[0] >> 1 & 3];
	r.delim_len = strlen(r.delim);
	r.data = (const char *)data + HEAD;
	r.size = size - HEAD;
	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	REQUIRE(r.size == 0 ||
		write(pair[1], r.data, r.size) == (ssize_t)r.size);
	shutdown(pair[1], SHUT_WR);
	snprintf(where, sizeof(where), "fd:%d", pair[0]);
	wr_sys_fault = cut;
	REQUIRE(weir_dial(&r.conn, where, 1000) == 0);
	if (data[0] & 1) {
		r.conn->service = &unwaiting;
		/* No turn ends by the clock: each run is to be the same. */
		r.conn->ctx->busy_since = INT64_MAX;
		r.may_wait = false;
	}
	read_all(&r, data + 9);
	weir_conn_free(r.conn);
	wr_sys_fault = NULL;
	close(pair[1]);
	return 0;
}
