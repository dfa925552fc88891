/* SPDX-License-Identifier: MIT */
/*
 * A load generator that is a bare loop: one thread, one edge-triggered epoll;
 * of replies only the length is checked.  It shows how fast a load tester can
 * be.
 *
 * Closed loop: each connection keeps --depth messages under way.  Open loop
 * (--rate): messages are sent on a schedule, connection by connection, and
 * latency is measured from the scheduled time.  --churn: a connection for each
 * exchange.  Further connections: --idle ones send one message and no more, and
 * the messages of --sleepers make the server sleep.
 *
 * Prints "begin" when the warm-up is over, then one line of JSON, and closes
 * its connections at the end of its input.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "gen.h"
#include "hist.h"

#define CHUNK	  (256 * 1024)
#define OPEN_RING 4096
#define SECOND	  1000000000

enum kind { LOADER, SLEEPER, IDLER };

struct peer {
	int fd;
	enum kind kind;
	uint32_t got;	     /* bytes of the reply under way */
	uint64_t sent, owed; /* bytes written, bytes still to write */
	uint64_t *times;     /* when each message on the way was due */
	uint32_t head, tail; /* of times */
	bool is_connecting;
};

static struct gen_settings set;
static struct peer *peers;
static int peer_count, alive, epoll;
static char *plain, *sleepy, *inbox;
static uint32_t ring;	 /* room in times; a power of two */
static uint64_t plan_at; /* open loop: when the first was due */
static uint64_t planned; /* messages planned so far */
static double plan_step; /* nanoseconds between two */
static bool is_measuring, is_full;

static struct gen_result result;
static struct hist latency, lag;

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * SECOND + (uint64_t)ts.tv_nsec;
}

static void fail(const char *what)
{
	fprintf(stderr, "gen: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ------------------------------------------------------------- connections */

static int dial(bool waits)
{
	static unsigned source;
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int one = 1;
	int fd = socket(
		AF_INET,
		SOCK_STREAM | SOCK_CLOEXEC | (waits ? 0 : SOCK_NONBLOCK), 0);

	if (fd < 0)
		fail("socket");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (set.sources > 1) {
		at.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 +
					   source++ % (unsigned)set.sources);
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one,
			   sizeof(one));
		if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
			fail("bind");
	}
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	at.sin_port = htons((uint16_t)set.port);
	if (connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0 &&
	    errno != EINPROGRESS)
		fail("connect");
	return fd;
}

static void watch(struct peer *p)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP |
					    EPOLLET,
				  .data.ptr = p };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, p->fd, &ev) < 0)
		fail("epoll_ctl");
}

static void dial_again(struct peer *p, uint64_t at)
{
	p->fd = dial(false);
	p->is_connecting = true;
	p->got = 0;
	p->sent = 0;
	p->owed = (uint64_t)set.size;
	p->times[0] = at;
	watch(p);
}

static void hang_up(struct peer *p)
{
	close(p->fd);
	p->fd = -1;
	alive--;
}

static void lose(struct peer *p)
{
	if (is_measuring)
		result.errors++;
	hang_up(p);
}

/* ------------------------------------------------------------------ output */

static void send_owed(struct peer *p)
{
	const char *block = p->kind == SLEEPER ? sleepy : plain;
	uint64_t size = (uint64_t)set.size;
	uint64_t cap = CHUNK / size * size + (size > CHUNK ? size : 0);

	while (p->owed > 0) {
		uint64_t at = p->sent % size, n = cap - at;
		ssize_t sent;

		if (n > p->owed)
			n = p->owed;
		sent = send(p->fd, block + at, n, MSG_NOSIGNAL);
		if (sent < 0) {
			if (errno != EAGAIN)
				lose(p);
			return;
		}
		p->sent += (uint64_t)sent;
		p->owed -= (uint64_t)sent;
		if ((uint64_t)sent < n)
			return;
	}
}

static void add_message(struct peer *p, uint64_t due)
{
	p->times[p->tail++ & (ring - 1)] = due;
	p->owed += (uint64_t)set.size;
}

/* Open loop: send everything that is due. */
static void follow_plan(uint64_t at)
{
	for (;;) {
		uint64_t due =
			plan_at + (uint64_t)((double)planned * plan_step);
		struct peer *p = &peers[planned % (uint64_t)set.connections];

		if (due > at)
			return;
		planned++;
		if (p->fd < 0 || p->tail - p->head == ring) {
			result.unsent += is_measuring;
			continue;
		}
		add_message(p, due);
		send_owed(p);
		at = now();
		if (is_measuring)
			hist_add(&lag, at - due);
	}
}

/* ------------------------------------------------------------------- input */

static void note(uint64_t due, uint64_t at)
{
	if (!is_measuring)
		return;
	hist_add(&latency, at - due);
	result.messages++;
	is_full = set.messages && result.messages >= set.messages;
}

/* Count the replies in n bytes and, in a closed loop, send as many. */
static void take(struct peer *p, size_t n)
{
	uint64_t at = now();
	uint32_t size = (uint32_t)set.size;

	for (; n >= size - p->got; p->got = 0) {
		uint64_t due = p->times[p->head++ & (ring - 1)];

		n -= size - p->got;
		if (p->kind == LOADER)
			note(due, at);
		if (p->kind == SLEEPER || plan_step == 0)
			add_message(p, at);
	}
	p->got += (uint32_t)n;
	if (p->owed > 0)
		send_owed(p);
}

static void receive(struct peer *p, bool has_ended)
{
	ssize_t n;

	do {
		n = recv(p->fd, inbox, CHUNK, 0);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			lose(p);
			return;
		}
		if (p->kind != IDLER)
			take(p, (size_t)n);
	} while (p->fd >= 0 && (n == CHUNK || has_ended));
}

static void exchange(struct peer *p, uint32_t events)
{
	ssize_t n;

	if (p->is_connecting && events & EPOLLOUT) {
		p->is_connecting = false;
		send_owed(p);
	}
	if (p->fd < 0 || !(events & (EPOLLIN | EPOLLRDHUP | EPOLLERR)))
		return;
	n = recv(p->fd, inbox, CHUNK, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n > 0) {
		p->got += (uint32_t)n;
		if (p->got < (uint32_t)set.size)
			return;
		note(p->times[0], now());
	} else if (is_measuring) {
		result.errors++;
	}
	close(p->fd);
	dial_again(p, now());
}

static void serve(struct peer *p, uint32_t events)
{
	if (p->fd < 0)
		return;
	if (set.churn && p->kind == LOADER) {
		exchange(p, events);
		return;
	}
	if (events & EPOLLOUT && p->owed > 0)
		send_owed(p);
	if (p->fd >= 0 && events & (EPOLLIN | EPOLLRDHUP | EPOLLERR))
		receive(p, events & (EPOLLRDHUP | EPOLLERR));
}

/* -------------------------------------------------------------------- run */

static void introduce(struct peer *p)
{
	size_t got = 0;

	p->fd = dial(true);
	if (p->kind == IDLER) {
		if (send(p->fd, plain, (size_t)set.size, MSG_NOSIGNAL) < 0)
			fail("send");
		while (got < (size_t)set.size) {
			ssize_t n = recv(p->fd, inbox, CHUNK, 0);

			if (n <= 0)
				fail("the server did not answer");
			got += (size_t)n;
		}
	}
	if (gen_unblock(p->fd) < 0)
		fail("fcntl");
	watch(p);
}

static void open_all(void)
{
	int first_idler = set.connections + set.sleepers;

	for (int i = peer_count - 1; i >= 0; i--) {
		struct peer *p = &peers[i];

		p->kind = i >= first_idler	 ? IDLER
			  : i >= set.connections ? SLEEPER
						 : LOADER;
		if (p->kind != IDLER)
			p->times = calloc(ring, sizeof(uint64_t));
		if (p->kind != IDLER && p->times == NULL)
			fail("calloc");
		alive++;
		if (set.churn && p->kind == LOADER)
			dial_again(p, now());
		else
			introduce(p);
	}
}

static void start_all(void)
{
	plan_step = set.rate > 0 ? SECOND / set.rate : 0;
	plan_at = now();
	for (int i = 0; i < set.connections + set.sleepers; i++) {
		struct peer *p = &peers[i];
		int depth = p->kind == SLEEPER ? 1 : set.depth;

		if (p->kind == LOADER && (set.churn || plan_step > 0))
			continue;
		for (int j = 0; j < depth; j++)
			add_message(p, now());
		send_owed(p);
	}
}

/* Nanoseconds until the loop has to act without an event. */
static uint64_t patience(uint64_t at, uint64_t end)
{
	uint64_t next = end;

	if (plan_step > 0) {
		uint64_t due =
			plan_at + (uint64_t)((double)planned * plan_step);

		if (due < next)
			next = due;
	}
	return next > at ? next - at : 0;
}

/* Run until the time is over, enough has come or no connection is left. */
static void loop(uint64_t end)
{
	struct epoll_event ev[256];

	for (;;) {
		uint64_t at = now(), ns;
		int n;

		if (plan_step > 0)
			follow_plan(at);
		if (at >= end || is_full || alive == 0)
			return;
		ns = patience(now(), end);
		n = epoll_pwait2(
			epoll, ev, 256,
			&(struct timespec){ .tv_sec = (time_t)(ns / SECOND),
					    .tv_nsec = (long)(ns % SECOND) },
			NULL);
		if (n < 0 && errno != EINTR)
			fail("epoll_pwait2");
		for (int i = 0; i < n; i++)
			serve(ev[i].data.ptr, ev[i].events);
	}
}

static void prepare(void)
{
	struct rlimit files;
	size_t size = (size_t)set.size, room = CHUNK + size;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	peer_count = set.connections + set.sleepers + set.idle;
	peers = calloc((size_t)peer_count, sizeof(*peers));
	plain = malloc(room);
	sleepy = malloc(room);
	inbox = malloc(CHUNK);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!peers || !plain || !sleepy || !inbox || epoll < 0)
		fail("no memory");
	for (ring = 1;
	     ring < (uint32_t)set.depth || (set.rate > 0 && ring < OPEN_RING);)
		ring *= 2;
	gen_fill(plain, room, size, "");
	gen_fill(sleepy, room, size, set.sleep_ms);
}

int main(int argc, char **argv)
{
	uint64_t began;

	gen_options(&set, argc, argv);
	prepare();
	open_all();
	printf("open\n");
	fflush(stdout);
	start_all();
	loop(now() + (uint64_t)(set.warmup * SECOND));
	printf("begin\n");
	fflush(stdout);
	is_measuring = true;
	gen_clocks(&result, set.server, -1);
	began = now();
	loop(began + (uint64_t)(set.seconds * SECOND));
	result.seconds = (double)(now() - began) / SECOND;
	gen_clocks(&result, set.server, 1);
	gen_print(&result, &latency, &lag);
	while (getchar() != EOF)
		;
	return 0;
}
