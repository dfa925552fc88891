/* SPDX-License-Identifier: MIT */
/*
 * Many clients driven by one thread in rounds: no client goes on before all
 * have come that far, so that all are in mid-dialogue at once.  The sockets are
 * nonblocking, with one epoll.
 */
#include "test.h"

#include <sys/epoll.h>
#include <sys/ioctl.h>

#define TEXT_MAX 4096

struct group_member {
	struct client *client;
	char *got; /* received, not yet expected */
	size_t len;
	bool has_ended;
};

struct client_group *group_open(struct server *s, int count)
{
	struct client_group *group = calloc(1, sizeof(*group));

	ck_assert_ptr_nonnull(group);
	group->count = count;
	group->members = calloc((size_t)count, sizeof(*group->members));
	ck_assert_ptr_nonnull(group->members);
	for (int i = 0; i < count; i++)
		group->members[i].client = client_open(s);
	return group;
}

/*
 * In pieces, every member sends its first before any sends its second; every
 * other round in the opposite order.
 */
void group_send(struct client_group *group, group_text *text)
{
	char buf[TEXT_MAX];
	size_t from = 0, longest;

	do {
		longest = 0;
		for (int k = 0; k < group->count; k++) {
			int i = group->round % 2 ? group->count - 1 - k : k;
			size_t len = text(group, i, buf, sizeof(buf));
			size_t end = len;

			if (len > longest)
				longest = len;
			if (group->piece && from + group->piece < len)
				end = from + group->piece;
			if (from < end)
				client_send_bytes(group->members[i].client,
						  buf + from, end - from);
		}
		from += group->piece ? group->piece : longest;
	} while (from < longest);
}

/* Read what has come for this member; false at the end of input. */
static void member_reads(struct group_member *m, int i)
{
	char buf[TEXT_MAX];
	ssize_t n;

	while (!m->has_ended) {
		n = recv(m->client->fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return;
		ck_assert_msg(n >= 0, "client %d: %s", i, strerror(errno));
		m->has_ended = n == 0;
		m->got = realloc(m->got, m->len + (size_t)n + 1);
		ck_assert_ptr_nonnull(m->got);
		memcpy(m->got + m->len, buf, (size_t)n);
		m->len += (size_t)n;
	}
}

static void member_drops(struct group_member *m, size_t len)
{
	m->len -= len;
	if (m->len)
		memmove(m->got, m->got + len, m->len);
}

/* Has this member got what it waits for? */
typedef bool group_wish(struct client_group *group, int i, void *arg);

static void watch_all(struct client_group *group, int ep)
{
	for (int i = 0; i < group->count; i++) {
		struct epoll_event ev = { .events = EPOLLIN | EPOLLET,
					  .data.fd = i };

		ck_assert_int_eq(epoll_ctl(ep, EPOLL_CTL_ADD,
					   group->members[i].client->fd, &ev),
				 0);
	}
}

static void group_wait(struct client_group *group, group_wish *wish, void *arg)
{
	bool *is_done = calloc((size_t)group->count, sizeof(*is_done));
	struct epoll_event ev[256];
	int64_t at = test_deadline();
	int ep = epoll_create1(EPOLL_CLOEXEC), left = group->count;

	ck_assert_ptr_nonnull(is_done);
	ck_assert_int_ge(ep, 0);
	watch_all(group, ep);
	for (int i = 0; i < group->count; i++) {
		is_done[i] = wish(group, i, arg);
		left -= is_done[i];
	}
	while (left > 0) {
		int n = epoll_wait(ep, ev, 256, (int)(at - now_ms()));

		ck_assert_msg(n > 0, "%d of %d clients wait in vain, round %d",
			      left, group->count, group->round);
		for (int k = 0; k < n; k++) {
			int i = ev[k].data.fd;

			member_reads(&group->members[i], i);
			if (!is_done[i] && wish(group, i, arg)) {
				is_done[i] = true;
				left--;
			}
		}
	}
	close(ep);
	free(is_done);
}

static bool has_text(struct client_group *group, int i, void *arg)
{
	struct group_member *m = &group->members[i];
	group_text **text = arg;
	char want[TEXT_MAX];
	size_t len = (*text)(group, i, want, sizeof(want));

	if (m->len < len) {
		ck_assert_msg(!m->has_ended, "client %d: end of input", i);
		return false;
	}
	ck_assert_msg(memcmp(m->got, want, len) == 0,
		      "client %d got \"%s\" in round %d", i,
		      printable(m->got, m->len), group->round);
	member_drops(m, len);
	return true;
}

void group_expect(struct client_group *group, group_text *text)
{
	group_wait(group, has_text, &text);
}

struct joined {
	const char *prefix;
	group_text *text;
};

/* Copy what came to buf without the prefixes; returns the length. */
static size_t join(const struct group_member *m, const char *prefix, char *buf)
{
	size_t prefix_len = strlen(prefix), from = 0, len = 0;

	while (from < m->len) {
		size_t left = m->len - from;

		if (left >= prefix_len &&
		    memcmp(m->got + from, prefix, prefix_len) == 0)
			from += prefix_len;
		else if (left < prefix_len &&
			 memcmp(m->got + from, prefix, left) == 0)
			break;
		else
			buf[len++] = m->got[from++];
	}
	return len;
}

static bool has_joined(struct client_group *group, int i, void *arg)
{
	struct group_member *m = &group->members[i];
	const struct joined *joined = arg;
	char want[TEXT_MAX];
	size_t len = joined->text(group, i, want, sizeof(want));
	char *buf = malloc(m->len + 1);
	bool is_there;
	size_t got;

	ck_assert_ptr_nonnull(buf);
	got = join(m, joined->prefix, buf);
	ck_assert_msg(got <= len, "client %d got %zu bytes too many", i,
		      got - len);
	is_there = got == len;
	ck_assert_msg(!is_there || memcmp(buf, want, len) == 0,
		      "client %d got other bytes back", i);
	if (is_there)
		member_drops(m, m->len);
	free(buf);
	return is_there;
}

void group_expect_joined(struct client_group *group, const char *prefix,
			 group_text *text)
{
	struct joined joined = { prefix, text };

	group_wait(group, has_joined, &joined);
}

void group_half_close(struct client_group *group)
{
	for (int i = 0; i < group->count; i++)
		client_half_close(group->members[i].client);
}

static bool has_ended(struct client_group *group, int i, void *arg)
{
	const struct group_member *m = &group->members[i];

	(void)arg;
	ck_assert_msg(m->len == 0, "client %d got %zu bytes too many", i,
		      m->len);
	return m->has_ended;
}

void group_expect_eof(struct client_group *group)
{
	group_wait(group, has_ended, NULL);
}

void group_close(struct client_group *group)
{
	for (int i = 0; i < group->count; i++) {
		client_close(group->members[i].client);
		free(group->members[i].got);
	}
	free(group->members);
	free(group);
}
