/* SPDX-License-Identifier: MIT */
/*
 * Dialling, reads and the handshake wait in the library, with its deadlines;
 * peer_poll() and peer_settle() wait here.
 */
#include "peer.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../cli/cli.h"
#include "../cli/text.h"
#include "options.h"

#define PIECE	     ((size_t)64 * 1024)
#define SETTLE_MS    10	  /* between two checks */
#define LOOK_MS	     50	  /* between two looks at what the peer has taken */
#define SILENCE_MS   5000 /* silence that may be why the peer closed */
#define SILENCE_TEXT 64

enum { SILENCE_MOST_MS = 596 * 3600 * 1000 }; /* as much as fits in an int */

int64_t peer_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/*
 * " after 6s of silence", or "" if it was short: the peer may have an idle
 * timeout, which it does not tell.
 */
static const char *silence_text(const struct peer *p, char buf[SILENCE_TEXT])
{
	char text[CLI_DURATION_TEXT];
	int64_t silent = (peer_now() - p->active_at) / 1000 * 1000;
	bool is_long = silent > SILENCE_MOST_MS;

	cli_duration_text(is_long ? SILENCE_MOST_MS : (int)silent, text);
	snprintf(buf, SILENCE_TEXT, " after %s%s of silence",
		 is_long ? "more than " : "", text);
	return silent < SILENCE_MS ? "" : buf;
}

const char *peer_reason(const struct peer *p, int rc, const char *what,
			char buf[PEER_REASON])
{
	char text[CLI_DURATION_TEXT], silence[SILENCE_TEXT];

	if (rc < 0 && rc != -ETIMEDOUT &&
	    peer_tls_failure(&p->tls, p->address, p->conn, buf, PEER_REASON))
		return buf;
	switch (rc) {
	case 0:
		snprintf(buf, PEER_REASON, "%s closed the connection%s",
			 p->address, silence_text(p, silence));
		break;
	case -ETIMEDOUT:
		snprintf(buf, PEER_REASON, "no %s from %s within %s", what,
			 p->address, cli_duration_text(p->timeout_ms, text));
		break;
	case -EHOSTDOWN:
		snprintf(buf, PEER_REASON, "%s no longer answers", p->address);
		break;
	case -ECONNRESET:
	case -EPIPE:
		snprintf(buf, PEER_REASON, "%s reset the connection",
			 p->address);
		break;
	default:
		snprintf(buf, PEER_REASON, "the connection to %s failed: %s",
			 p->address, weir_strerror(rc));
	}
	return buf;
}

int peer_say_timeout(const struct peer *p, const char *what)
{
	return peer_say(p, -ETIMEDOUT, what);
}

int peer_say(const struct peer *p, int rc, const char *what)
{
	char reason[PEER_REASON];

	cli_error("%s", peer_reason(p, rc, what, reason));
	return CLI_FAILED;
}

void peer_note_begin(const struct peer *p, struct screen *s)
{
	screen_note(s, "Connected to %s, my pid is %ld", p->address,
		    (long)getpid());
}

int peer_note_end(const struct peer *p, struct screen *s)
{
	char reason[PEER_REASON];

	screen_note(s, "%s", peer_reason(p, 0, "", reason));
	return CLI_DONE;
}

bool peer_take_option(struct peer *p, int key)
{
	return key == PEER_OPTION_PROXY ? proxy_header_take("proxy", &p->proxy)
					: tls_options_take(&p->tls, key);
}

bool peer_set_address(struct peer *p, const char *address)
{
	p->address = address;
	return options_check_address(address) &&
	       tls_options_check(&p->tls, address);
}

/* How long connecting took that timed out: the kernel may give up earlier. */
static int waited_ms(const struct peer *p, int64_t began_at)
{
	int64_t took = peer_now() - began_at;

	return p->timeout_ms >= 0 && took >= p->timeout_ms
		       ? p->timeout_ms
		       : (int)(took / 1000 * 1000);
}

static int connect_to(struct peer *p)
{
	const char *where = p->address;
	char text[CLI_DURATION_TEXT];
	int64_t began_at = peer_now();
	int rc = weir_dial(&p->conn, where, p->timeout_ms);

	switch (rc) {
	case 0:
		break;
	case -EINVAL:
		cli_error("bad address '%s'; use host:port, :port, [v6]:port, "
			  "unix:/path or fd:N",
			  where);
		return CLI_USAGE;
	case -ETIMEDOUT:
		cli_error("no connection to %s within %s", where,
			  cli_duration_text(waited_ms(p, began_at), text));
		return CLI_FAILED;
	case -ECONNREFUSED:
		cli_error("cannot connect to %s: nobody listens there", where);
		return CLI_FAILED;
	case -ENOENT:
		cli_error("cannot connect to %s: no such %s", where,
			  strncmp(where, "unix:", 5) ? "host" : "socket");
		return CLI_FAILED;
	default:
		cli_error("cannot connect to %s: %s", where, weir_strerror(rc));
		return CLI_FAILED;
	}
	p->dialled_at = p->active_at = peer_now();
	weir_conn_set_timeout(p->conn, WEIR_TIMEOUT_WRITE, p->timeout_ms);
	weir_conn_set_timeout(p->conn, WEIR_TIMEOUT_HANDSHAKE, p->timeout_ms);
	return CLI_DONE;
}

static int send_header(const struct peer *p)
{
	int error = proxy_header_send(p->proxy, weir_conn_fd(p->conn));

	if (error == 0)
		return CLI_DONE;
	cli_error("cannot send a PROXY header to %s: %s", p->address,
		  weir_strerror(-error));
	return CLI_FAILED;
}

int peer_dial(struct peer *p)
{
	struct weir_tls *tls = NULL;
	int status = peer_tls_load(&p->tls, &tls), rc = 0;

	if (status == CLI_DONE)
		status = connect_to(p);
	if (status == CLI_DONE)
		status = send_header(p);
	if (status == CLI_DONE && tls)
		rc = peer_tls_start(&p->tls, tls, p->address, p->conn);
	if (rc < 0)
		status = peer_say(p, rc, "TLS handshake");
	peer_tls_free(tls);
	if (status != CLI_DONE)
		peer_close(p);
	return status;
}

void peer_close(struct peer *p)
{
	weir_conn_free(p->conn);
	p->conn = NULL;
}

static int look(const struct peer *p)
{
	struct weir_poll conn = { .conn = p->conn, .events = WEIR_POLL_INPUT };

	return weir_conn_wait(&conn, 1, 0);
}

/*
 * Read all records of TLS that have arrived, as one read does without TLS: the
 * first of two is not the whole reply.  An end or an error is left to the next
 * call.
 */
static ssize_t read_on(struct peer *p, char *buf, size_t len, size_t cap)
{
	while (p->tls.is_wanted && len < cap && look(p) > 0) {
		ssize_t n = weir_conn_read(p->conn, buf + len, cap - len);

		if (n <= 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

static bool is_closed(const struct peer *p)
{
	struct tcp_info info = { .tcpi_state = 0 };
	socklen_t len = sizeof(info);

	return getsockopt(weir_conn_fd(p->conn), IPPROTO_TCP, TCP_INFO, &info,
			  &len) == 0 &&
	       info.tcpi_state == TCP_CLOSE;
}

/*
 * Was it the kernel, whose segments or probes the peer did not answer?  It has
 * closed the connection, unlike a deadline of the library.  A read after it
 * finds the end of input.
 *
 * The error is set before the state.  TCP_INFO reads the state, then waits for
 * the lock that is held meanwhile, so only the second look is sure.
 */
static bool has_kernel_given_up(const struct peer *p)
{
	if (is_closed(p))
		return true;
	return is_closed(p);
}

int peer_result(const struct peer *p, int rc)
{
	return rc == -ETIMEDOUT && has_kernel_given_up(p) ? -EHOSTDOWN : rc;
}

/*
 * The library counts the deadline for the first input from the beginning of the
 * connection, and that for later input from the call.
 */
ssize_t peer_read(struct peer *p, char *buf, size_t cap, int ms)
{
	int64_t first = peer_now() - p->dialled_at + ms;
	ssize_t n;

	if (ms < 0 || first > INT32_MAX)
		first = WEIR_NEVER;
	weir_conn_set_timeout(p->conn, WEIR_TIMEOUT_FIRST_BYTE, (int)first);
	weir_conn_set_timeout(p->conn, WEIR_TIMEOUT_IDLE, ms);
	n = weir_conn_read(p->conn, buf, cap);
	if (n <= 0)
		return peer_result(p, (int)n);
	p->active_at = peer_now();
	return read_on(p, buf, (size_t)n, cap);
}

static short poll_now(const struct peer *p, short events)
{
	struct pollfd pfd = { .fd = weir_conn_fd(p->conn), .events = events };

	return poll(&pfd, 1, 0) > 0 ? pfd.revents : 0;
}

static bool has_input(const struct peer *p)
{
	return look(p) != 0;
}

/*
 * The look before poll() finds the rest of a TLS record; the one after it tells
 * input from a session ticket.
 */
static int find(const struct peer *p, struct pollfd *fds, int count, int ms)
{
	struct pollfd *conn = &fds[count];
	bool wants_input = conn->events & POLLIN;
	int found = 0;

	if (wants_input && has_input(p))
		ms = 0;
	if (poll(fds, (nfds_t)count + 1, ms) < 0)
		return -errno;
	conn->revents &= ~POLLIN;
	if (wants_input && has_input(p))
		conn->revents |= POLLIN;
	for (int i = 0; i <= count; i++)
		found += fds[i].revents != 0;
	return found;
}

int peer_poll(const struct peer *p, struct pollfd *fds, int count, short events,
	      int ms)
{
	int64_t end_at = peer_now() + ms;
	int rc, left = ms;

	fds[count].fd = weir_conn_fd(p->conn);
	fds[count].events = events;
	while ((rc = find(p, fds, count, left)) == 0) {
		left = ms < 0 ? ms : (int)(end_at - peer_now());
		if (ms >= 0 && left <= 0)
			break;
	}
	return rc;
}

/*
 * Bytes that the peer has not taken yet; 0: not known.  Those to a Unix socket
 * are taken in buffers of about 36 KiB.
 */
static int count_untaken(const struct peer *p)
{
	int count = 0;

	return ioctl(weir_conn_fd(p->conn), SIOCOUTQ, &count) < 0 ? 0 : count;
}

int peer_patience(struct peer *p, int64_t since)
{
	int64_t now = peer_now(), left;
	int untaken = count_untaken(p);

	if (p->timeout_ms < 0)
		return -1;
	if (untaken < p->untaken)
		p->taken_at = now;
	p->untaken = untaken;
	if (p->taken_at > since)
		since = p->taken_at;
	left = since + p->timeout_ms - now;
	if (left <= 0)
		return 0;
	return left < LOOK_MS ? (int)left : LOOK_MS;
}

/*
 * Nothing is added to the library's outbox while the kernel takes no more.  So
 * no write waits, and the caller can keep reading, which a peer that answers
 * while it reads depends on.
 */
int peer_feed(struct peer *p, const char **data, size_t *len)
{
	for (;;) {
		size_t part = *len < PIECE ? *len : PIECE;
		int rc = weir_conn_flush(p->conn);

		if (rc < 0)
			return peer_result(p, rc);
		if (!(poll_now(p, POLLOUT) & POLLOUT))
			return 0;
		if (part == 0)
			return 1;
		rc = weir_conn_write(p->conn, *data, part);
		if (rc < 0)
			return peer_result(p, rc);
		p->active_at = peer_now();
		*data += part;
		*len -= part;
	}
}

/*
 * POLLHUP comes when both sides have shut down.  A peer that closes before it
 * has received everything answers the rest with a reset.
 */
int peer_settle(struct peer *p)
{
	int64_t began_at = peer_now();
	int error;
	socklen_t len = sizeof(error);

	for (;;) {
		int rc = weir_conn_flush(p->conn);
		short found = poll_now(p, 0);

		error = 0;
		if (rc == 0 && getsockopt(weir_conn_fd(p->conn), SOL_SOCKET,
					  SO_ERROR, &error, &len) < 0)
			rc = -errno;
		if (rc < 0 || error != 0)
			return peer_result(p, rc < 0 ? rc : -error);
		if (found & POLLHUP && count_untaken(p) == 0)
			return 0;
		if (p->timeout_ms >= 0 && peer_now() - began_at > p->timeout_ms)
			return -ETIMEDOUT;
		(void)poll(NULL, 0, SETTLE_MS);
	}
}
