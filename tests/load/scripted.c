/* SPDX-License-Identifier: MIT */
/*
 * The thread of the faulty server: an epoll loop.  The faults are in
 * scripted_reply.c.
 */
#include "scripted_in.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#define EVENTS	   256
#define STACK_SIZE ((size_t)1 << 20) /* replies are on it; musl has 128 KiB */

int64_t scripted_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

static void nap(int64_t ns)
{
	const struct timespec t = { (time_t)(ns / SECOND),
				    (long)(ns % SECOND) };

	nanosleep(&t, NULL);
}

/* -------------------------------------------------------------- connections */

static void forget(struct scripted *s, struct scripted_conn *g)
{
	struct seen *seen = &s->seen;

	for (struct scripted_conn **at = &s->conns; *at; at = &(*at)->next) {
		if (*at == g) {
			*at = g->next;
			break;
		}
	}
	if (seen->ended + seen->reset == 0 || g->bytes < seen->least)
		seen->least = g->bytes;
	if (g->bytes > seen->most)
		seen->most = g->bytes;
	seen->open--;
	close(g->fd);
	free(g->in);
	free(g->out);
	free(g->held);
	g->fd = -1;
	g->next = s->gone;
	s->gone = g;
}

void scripted_conn_close(struct scripted *s, struct scripted_conn *g,
			 bool is_reset)
{
	struct linger reset = { .l_onoff = 1 };

	if (is_reset)
		setsockopt(g->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	forget(s, g);
}

static void note_source(struct scripted *s, int fd)
{
	struct sockaddr_in in = { 0 };
	socklen_t len = sizeof(in);
	unsigned last;

	if (getpeername(fd, (struct sockaddr *)&in, &len) < 0 ||
	    in.sin_family != AF_INET)
		return;
	last = ntohl(in.sin_addr.s_addr) & 255;
	if (last >= 1 && last <= SEEN_NETS)
		s->seen.from[last - 1]++;
}

static void accept_some(struct scripted *s)
{
	struct epoll_event event = { .events = EPOLLIN };
	int fd, on = 1;

	while ((fd = accept4(s->listener, NULL, NULL,
			     SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct scripted_conn *g = calloc(1, sizeof(*g));
		int n = atomic_load(&s->seen.accepted);

		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		g->fd = fd;
		g->heard_at = scripted_now();
		g->is_starved = s->script.serves > 0 && n >= s->script.serves;
		g->next = s->conns;
		s->conns = g;
		if (n < SEEN_TIMES)
			s->seen.accepted_at[n] = g->heard_at;
		note_source(s, fd);
		if (++s->seen.open > s->seen.open_max)
			s->seen.open_max = s->seen.open;
		event.data.ptr = g;
		if (s->script.service == SERVE_BYTES)
			event.events = EPOLLOUT;
		epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event);
		if (s->script.banner && n < s->script.banners)
			scripted_conn_send(s, g, s->script.banner,
					   strlen(s->script.banner));
		atomic_store(&s->seen.accepted, n + 1);
	}
}

/* ------------------------------------------------------------------- output */

void scripted_conn_send(struct scripted *s, struct scripted_conn *g,
			const char *data, size_t len)
{
	(void)s;
	g->was_told = true;
	if (g->out_used + len > g->out_cap) {
		g->out_cap = 2 * (g->out_used + len);
		g->out = realloc(g->out, g->out_cap);
		ck_assert_ptr_nonnull(g->out);
	}
	memcpy(g->out + g->out_used, data, len);
	g->out_used += len;
}

/* What the socket does not take waits for the next loop. */
static void flush(struct scripted *s, struct scripted_conn *g)
{
	size_t at = 0;

	while (at < g->out_used) {
		size_t len = g->out_used - at;
		ssize_t n;

		if (s->script.piece > 0 && len > s->script.piece)
			len = s->script.piece;
		n = send(g->fd, g->out + at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		/* A reset seen in sending is not counted again. */
		g->was_reset = g->was_reset || (n < 0 && errno != EAGAIN);
		if (n < 0)
			break;
		atomic_fetch_add(&s->seen.bytes_sent, (uint64_t)n);
		at += (size_t)n;
	}
	memmove(g->out, g->out + at, g->out_used - at);
	g->out_used -= at;
}

static void pour(struct scripted *s, struct scripted_conn *g)
{
	static const char bytes[65536];
	ssize_t n = send(g->fd, bytes, sizeof(bytes), MSG_NOSIGNAL);

	if (n >= 0) {
		atomic_fetch_add(&s->seen.bytes_sent, (uint64_t)n);
	} else if (errno != EAGAIN) {
		s->seen.ended++;
		forget(s, g);
	}
}

/* -------------------------------------------------------------------- input */

static void hear(struct scripted *s, struct scripted_conn *g)
{
	char *data = s->buffer;
	ssize_t n = recv(g->fd, data, sizeof(s->buffer), 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		s->seen.ended += n == 0 && !g->was_reset;
		s->seen.reset += n < 0 || g->was_reset;
		forget(s, g);
		return;
	}
	atomic_fetch_add(&s->seen.bytes, (uint64_t)n);
	g->bytes += (uint64_t)n;
	g->heard_at = scripted_now();
	if (g->is_starved || s->script.service == SERVE_NOTHING)
		return;
	if (g->in_used + (size_t)n > g->in_cap) {
		g->in_cap = 2 * (g->in_used + (size_t)n);
		g->in = realloc(g->in, g->in_cap);
		ck_assert_ptr_nonnull(g->in);
	}
	memcpy(g->in + g->in_used, data, (size_t)n);
	g->in_used += (size_t)n;
	scripted_conn_on_input(s, g);
}

/* --------------------------------------------------------------------- loop */

static void all_leave(struct scripted *s)
{
	while (s->conns)
		scripted_conn_close(s, s->conns, false);
	close(s->listener);
	s->listener = -1;
}

static void look_at_all(struct scripted *s)
{
	int64_t now = scripted_now(), silent = s->script.close_silent_ms * MS;
	struct scripted_conn *next;

	for (struct scripted_conn *g = s->conns; g; g = next) {
		next = g->next;
		if (g->delayed_len > 0 && g->delayed_at <= now) {
			scripted_conn_send(s, g, g->delayed, g->delayed_len);
			g->delayed_len = 0;
		}
		if (g->out_used > 0)
			flush(s, g);
		if (silent > 0 && !g->was_told && now - g->heard_at > silent)
			scripted_conn_close(s, g, false);
	}
	while ((next = s->gone)) {
		s->gone = next->next;
		free(next);
	}
}

static void *scripted_main(void *arg)
{
	struct scripted *s = arg;
	struct epoll_event events[EVENTS];
	int64_t looked_at = scripted_now();

	while (!atomic_load(&s->is_ending) || s->conns) {
		int n = epoll_wait(s->epoll, events, EVENTS, LOOK_MS);
		int64_t now = scripted_now(), pause = now - looked_at;

		if (s->has_stalled) {
			s->has_stalled = false;
			pause -= s->seen.stalled;
		}
		if (pause > s->seen.longest_pause)
			s->seen.longest_pause = pause;
		looked_at = now;

		for (int i = 0; i < n; i++) {
			struct scripted_conn *g = events[i].data.ptr;

			if (!g && s->script.service != SERVE_NOBODY)
				accept_some(s);
			else if (!g)
				nap(MS);
			else if (g->fd >= 0 && s->script.service == SERVE_BYTES)
				pour(s, g);
			else if (g->fd >= 0)
				hear(s, g);
		}
		look_at_all(s);
		if (s->is_dead && s->listener >= 0)
			all_leave(s);
		if (s->script.pace_us > 0)
			nap(s->script.pace_us * (int64_t)1000);
	}
	look_at_all(s);
	return NULL;
}

/* ------------------------------------------------------------------- around */

static void listen_unix(struct scripted *s, const char *where)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t len = strlen(where + 5);

	memcpy(un.sun_path, where + 5, len);
	un.sun_path[0] = '\0';
	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(
		bind(s->listener, (struct sockaddr *)&un,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
		0);
	snprintf(s->address, sizeof(s->address), "%s", where);
}

static void listen_tcp(struct scripted *s, const char *where)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t len = sizeof(in);

	ck_assert_int_eq(inet_pton(AF_INET, where, &in.sin_addr), 1);
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(bind(s->listener, (struct sockaddr *)&in, len), 0);
	getsockname(s->listener, (struct sockaddr *)&in, &len);
	snprintf(s->address, sizeof(s->address), "%s:%d", where,
		 ntohs(in.sin_port));
}

struct scripted *scripted_start(const char *where, const struct script *script,
				const struct plan *plan)
{
	struct scripted *s = calloc(1, sizeof(*s));
	struct epoll_event event = { .events = EPOLLIN };
	pthread_attr_t attr;

	ck_assert_ptr_nonnull(s);
	s->script = *script;
	s->plan = *plan;
	payload_init(&s->payload, &s->plan);
	s->seen.message_at = calloc(SEEN_TIMES, sizeof(int64_t));
	s->seen.accepted_at = calloc(SEEN_TIMES, sizeof(int64_t));
	if (strncmp(where, "unix:", 5) == 0)
		listen_unix(s, where);
	else
		listen_tcp(s, where);
	ck_assert_int_eq(
		listen(s->listener, script->backlog ? script->backlog : 65535),
		0);
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->listener, &event);
	script_places(s);
	pthread_attr_init(&attr);
	ck_assert_int_eq(pthread_attr_setstacksize(&attr, STACK_SIZE), 0);
	ck_assert_int_eq(pthread_create(&s->thread, &attr, scripted_main, s),
			 0);
	pthread_attr_destroy(&attr);
	return s;
}

const char *scripted_address(const struct scripted *s)
{
	return s->address;
}

struct seen *scripted_seen(struct scripted *s)
{
	return &s->seen;
}

void scripted_stop(struct scripted *s)
{
	atomic_store(&s->is_ending, true);
	pthread_join(s->thread, NULL);
	if (s->listener >= 0)
		close(s->listener);
	close(s->epoll);
}

void scripted_free(struct scripted *s)
{
	free(s->seen.message_at);
	free(s->seen.accepted_at);
	free(s->faults);
	free(s);
}
