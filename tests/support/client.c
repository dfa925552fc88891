/* SPDX-License-Identifier: MIT */
/*
 * Blocking clients; no call waits longer than test_deadline().  Open clients
 * are on a list, so that server_stop_and_check() can close what a test left
 * open.
 */
#include "test.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/un.h>

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct client *all;
static _Atomic int connect_count;

struct place {
	struct sockaddr_storage addr;
	socklen_t len;
};

static void parse_unix(struct place *ret, const char *path)
{
	struct sockaddr_un *un = (struct sockaddr_un *)(void *)&ret->addr;
	size_t len = strlen(path);

	ck_assert_uint_lt(len, sizeof(un->sun_path));
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, len);
	if (path[0] == '@')
		un->sun_path[0] = '\0';
	ret->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len +
			       (path[0] != '@'));
}

static void parse_tcp(struct place *ret, const char *address)
{
	const struct addrinfo hints = { .ai_flags = AI_NUMERICHOST,
					.ai_socktype = SOCK_STREAM };
	const char *colon = strrchr(address, ':');
	struct addrinfo *found;
	char host[128];
	size_t len;

	ck_assert_ptr_nonnull(colon);
	len = (size_t)(colon - address);
	if (address[0] == '[') {
		address++;
		len -= 2;
	}
	ck_assert_uint_lt(len, sizeof(host));
	memcpy(host, address, len);
	host[len] = '\0';
	ck_assert_int_eq(getaddrinfo(host, colon + 1, &hints, &found), 0);
	memcpy(&ret->addr, found->ai_addr, found->ai_addrlen);
	ret->len = found->ai_addrlen;
	freeaddrinfo(found);
}

static struct place parse(const char *address)
{
	struct place ret;

	memset(&ret, 0, sizeof(ret));
	if (strncmp(address, "unix:", 5) == 0)
		parse_unix(&ret, address + 5);
	else
		parse_tcp(&ret, address);
	return ret;
}

static void never_wait_for_ever(int fd)
{
	const int64_t left_ms = test_deadline() - now_ms();
	/* 0 would be no limit. */
	const struct timeval limit = {
		.tv_sec = left_ms > 1000 ? (time_t)(left_ms / 1000) : 1
	};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

struct client *client_new(const char *address, int receive_buffer)
{
	struct place where = parse(address);
	struct client *c = calloc(1, sizeof(*c));
	const int on = 1;

	ck_assert_ptr_nonnull(c);
	c->fd = socket(where.addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_msg(c->fd >= 0, "socket: %s", strerror(errno));
	never_wait_for_ever(c->fd);
	if (receive_buffer)
		setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer,
			   sizeof(receive_buffer));
	if (where.addr.ss_family != AF_UNIX)
		setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	pthread_mutex_lock(&list_lock);
	c->next = all;
	all = c;
	pthread_mutex_unlock(&list_lock);
	return c;
}

int client_connect(struct client *c, const char *address)
{
	struct place where = parse(address);

	if (connect(c->fd, (struct sockaddr *)&where.addr, where.len) < 0)
		return -errno;
	atomic_fetch_add(&connect_count, 1);
	return 0;
}

static struct client *client_open_with(const char *address, int buffer)
{
	struct client *c = client_new(address, buffer);
	int rc = client_connect(c, address);

	ck_assert_msg(rc == 0, "connect %s: %s", address, strerror(-rc));
	return c;
}

struct client *client_open_at(const char *address)
{
	return client_open_with(address, 0);
}

struct client *client_open_small(struct server *s, int receive_buffer)
{
	return client_open_with(s->address, receive_buffer);
}

struct client *client_open(struct server *s)
{
	return client_open_with(s->address, 0);
}

int client_try_send(struct client *c, const void *data, size_t len)
{
	const char *at = data;

	while (len > 0) {
		ssize_t n = send(c->fd, at, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

void client_send_bytes(struct client *c, const void *data, size_t len)
{
	int rc = client_try_send(c, data, len);

	ck_assert_msg(rc == 0, "send: %s", strerror(-rc));
}

void client_send(struct client *c, const char *text)
{
	client_send_bytes(c, text, strlen(text));
}

void client_send_in_pieces(struct client *c, const char *text, size_t piece)
{
	size_t left = strlen(text);

	while (left > 0) {
		size_t len = piece && piece < left ? piece : left;

		client_send_bytes(c, text, len);
		text += len;
		left -= len;
	}
}

/* What the kernel has queued at both ends of a connection, and its timers. */
static void show_both_ends(int fd)
{
	struct sockaddr_in at;
	socklen_t len = sizeof(at);
	char line[256], port[8];
	FILE *table;

	if (getsockname(fd, (struct sockaddr *)&at, &len) < 0 ||
	    at.sin_family != AF_INET)
		return;
	snprintf(port, sizeof(port), ":%04X ", ntohs(at.sin_port));
	table = fopen("/proc/net/tcp", "re");
	while (table && fgets(line, sizeof(line), table))
		if (strstr(line, port) || strstr(line, "local_address"))
			fputs(line, stderr);
	if (table)
		fclose(table);
}

ssize_t client_read(struct client *c, void *buf, size_t cap)
{
	ssize_t n;

	do
		n = recv(c->fd, buf, cap, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN) {
		show_both_ends(c->fd);
		ck_abort_msg("nothing came: no input, no end of it");
	}
	return n < 0 ? -errno : n;
}

void client_expect_bytes(struct client *c, const void *data, size_t len)
{
	char *got = malloc(len + 1);
	size_t have = 0;

	ck_assert_ptr_nonnull(got);
	while (have < len) {
		ssize_t n = client_read(c, got + have, len - have);

		ck_assert_msg(n > 0, "%s after %zu of %zu bytes: \"%s\"",
			      n ? strerror((int)-n) : "end of input", have, len,
			      printable(got, have));
		have += (size_t)n;
	}
	if (memcmp(got, data, len) != 0)
		ck_abort_msg("the client got \"%s\"", printable(got, len));
	free(got);
}

void client_expect(struct client *c, const char *text)
{
	client_expect_bytes(c, text, strlen(text));
}

void client_expect_reply(struct client *c, const char *text, const char *reply)
{
	client_send(c, text);
	client_expect(c, reply);
}

void client_expect_echo(struct client *c, const char *text)
{
	client_expect_reply(c, text, text);
}

struct client *client_open_and_send(struct server *s, const char *text)
{
	struct client *c = client_open(s);

	client_send(c, text);
	return c;
}

struct client *client_open_and_echo(struct server *s, const char *text)
{
	struct client *c = client_open(s);

	client_expect_echo(c, text);
	return c;
}

void client_expect_last(struct client *c, const char *text)
{
	client_expect(c, text);
	client_expect_eof(c);
}

void client_expect_eof(struct client *c)
{
	char buf[64];
	ssize_t n = client_read(c, buf, sizeof(buf));

	ck_assert_msg(n <= 0, "\"%s\" instead of the end of input",
		      printable(buf, (size_t)n));
	ck_assert_msg(n == 0, "%s instead of the end of input",
		      strerror((int)-n));
}

static ssize_t read_to_end(struct client *c, size_t *count)
{
	char buf[16384];
	ssize_t n;

	*count = 0;
	while ((n = client_read(c, buf, sizeof(buf))) > 0)
		*count += (size_t)n;
	return n;
}

size_t client_expect_end(struct client *c)
{
	size_t count;
	ssize_t n = read_to_end(c, &count);

	ck_assert_msg(n == 0 || n == -ECONNRESET || n == -EPIPE,
		      "%s instead of the end", strerror((int)-n));
	return count;
}

size_t client_read_to_eof(struct client *c)
{
	size_t count;
	ssize_t n = read_to_end(c, &count);

	ck_assert_msg(n == 0, "%s after %zu bytes", strerror((int)-n), count);
	return count;
}

bool client_has_input(struct client *c)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

int client_port(struct client *c)
{
	struct sockaddr_in addr;
	socklen_t len = sizeof(addr);

	ck_assert_int_eq(getsockname(c->fd, (struct sockaddr *)&addr, &len), 0);
	return ntohs(addr.sin_port);
}

void client_half_close(struct client *c)
{
	ck_assert_int_eq(shutdown(c->fd, SHUT_WR), 0);
}

void client_close(struct client *c)
{
	struct client **at = &all;

	pthread_mutex_lock(&list_lock);
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	pthread_mutex_unlock(&list_lock);
	close(c->fd);
	free(c);
}

void client_reset(struct client *c)
{
	const struct linger now = { .l_onoff = 1 };

	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	client_close(c);
}

void clients_close(void)
{
	while (all)
		client_close(all);
}

int clients_connected(void)
{
	return atomic_load(&connect_count);
}
