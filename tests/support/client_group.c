/* SPDX-License-Identifier: MIT */
/*
 * Many clients at once, driven by one thread in rounds: nobody goes on before
 * everybody has got that far, so all of them are in mid-dialogue together.
 * Sockets do not wait here; one epoll tells who has something.
 */
#include "test.h"

#include <sys/epoll.h>
#include <sys/ioctl.h>

#define TEXT_MAX 4096

struct crowd_member {
	struct client *client;
	char *got;  /* what came and was not expected yet */
	size_t len; /* of it */
	bool has_ended;
};

struct crowd *crowd_opens(struct server *s, int count)
{
	struct crowd *crowd = calloc(1, sizeof(*crowd));

	ck_assert_ptr_nonnull(crowd);
	crowd->count = count;
	crowd->members = calloc((size_t)count, sizeof(*crowd->members));
	ck_assert_ptr_nonnull(crowd->members);
	for (int i = 0; i < count; i++)
		crowd->members[i].client = client_opens(s);
	return crowd;
}

/*
 * With pieces, the first piece of everybody goes out before the second of
 * anybody; every other round in the opposite order.
 */
void crowd_sends(struct crowd *crowd, crowd_text *text)
{
	char buf[TEXT_MAX];
	size_t from = 0, longest;

	do {
		longest = 0;
		for (int k = 0; k < crowd->count; k++) {
			int i = crowd->round % 2 ? crowd->count - 1 - k : k;
			size_t len = text(crowd, i, buf, sizeof(buf));
			size_t end = len;

			if (len > longest)
				longest = len;
			if (crowd->piece && from + crowd->piece < len)
				end = from + crowd->piece;
			if (from < end)
				client_sends_bytes(crowd->members[i].client,
						   buf + from, end - from);
		}
		from += crowd->piece ? crowd->piece : longest;
	} while (from < longest);
}

/* All that has come for this member; false at the end of its input. */
static void member_reads(struct crowd_member *m, int i)
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

static void member_drops(struct crowd_member *m, size_t len)
{
	m->len -= len;
	if (m->len)
		memmove(m->got, m->got + len, m->len);
}

/* True when this member has what it waits for. */
typedef bool crowd_wish(struct crowd *crowd, int i, void *arg);

static void watch_all(struct crowd *crowd, int ep)
{
	for (int i = 0; i < crowd->count; i++) {
		struct epoll_event ev = { .events = EPOLLIN | EPOLLET,
					  .data.fd = i };

		ck_assert_int_eq(epoll_ctl(ep, EPOLL_CTL_ADD,
					   crowd->members[i].client->fd, &ev),
				 0);
	}
}

static void crowd_waits(struct crowd *crowd, crowd_wish *wish, void *arg)
{
	bool *is_done = calloc((size_t)crowd->count, sizeof(*is_done));
	struct epoll_event ev[256];
	int64_t at = patience_at();
	int ep = epoll_create1(EPOLL_CLOEXEC), left = crowd->count;

	ck_assert_ptr_nonnull(is_done);
	ck_assert_int_ge(ep, 0);
	watch_all(crowd, ep);
	for (int i = 0; i < crowd->count; i++) {
		is_done[i] = wish(crowd, i, arg);
		left -= is_done[i];
	}
	while (left > 0) {
		int n = epoll_wait(ep, ev, 256, (int)(at - now_ms()));

		ck_assert_msg(n > 0, "%d of %d clients wait in vain, round %d",
			      left, crowd->count, crowd->round);
		for (int k = 0; k < n; k++) {
			int i = ev[k].data.fd;

			member_reads(&crowd->members[i], i);
			if (!is_done[i] && wish(crowd, i, arg)) {
				is_done[i] = true;
				left--;
			}
		}
	}
	close(ep);
	free(is_done);
}

static bool has_text(struct crowd *crowd, int i, void *arg)
{
	struct crowd_member *m = &crowd->members[i];
	crowd_text **text = arg;
	char want[TEXT_MAX];
	size_t len = (*text)(crowd, i, want, sizeof(want));

	if (m->len < len) {
		ck_assert_msg(!m->has_ended, "client %d: end of input", i);
		return false;
	}
	ck_assert_msg(memcmp(m->got, want, len) == 0,
		      "client %d got \"%s\" in round %d", i,
		      printable(m->got, m->len), crowd->round);
	member_drops(m, len);
	return true;
}

void crowd_expects(struct crowd *crowd, crowd_text *text)
{
	crowd_waits(crowd, has_text, &text);
}

struct joined {
	const char *prefix;
	crowd_text *text;
};

/* The length of what came once the prefixes are taken out, in buf. */
static size_t join(const struct crowd_member *m, const char *prefix, char *buf)
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

static bool has_joined(struct crowd *crowd, int i, void *arg)
{
	struct crowd_member *m = &crowd->members[i];
	const struct joined *joined = arg;
	char want[TEXT_MAX];
	size_t len = joined->text(crowd, i, want, sizeof(want));
	char *buf = malloc(m->len + 1);
	bool is_there;

	ck_assert_ptr_nonnull(buf);
	is_there = join(m, joined->prefix, buf) >= len;
	ck_assert_msg(!is_there || memcmp(buf, want, len) == 0,
		      "client %d got other bytes back", i);
	if (is_there)
		member_drops(m, m->len);
	free(buf);
	return is_there;
}

void crowd_expects_joined(struct crowd *crowd, const char *prefix,
			  crowd_text *text)
{
	struct joined joined = { prefix, text };

	crowd_waits(crowd, has_joined, &joined);
}

void crowd_half_closes(struct crowd *crowd)
{
	for (int i = 0; i < crowd->count; i++)
		client_half_closes(crowd->members[i].client);
}

static bool has_ended(struct crowd *crowd, int i, void *arg)
{
	const struct crowd_member *m = &crowd->members[i];

	(void)arg;
	ck_assert_msg(m->len == 0, "client %d got %zu bytes too many", i,
		      m->len);
	return m->has_ended;
}

void crowd_expects_eof(struct crowd *crowd)
{
	crowd_waits(crowd, has_ended, NULL);
}

void crowd_closes(struct crowd *crowd)
{
	for (int i = 0; i < crowd->count; i++) {
		client_closes(crowd->members[i].client);
		free(crowd->members[i].got);
	}
	free(crowd->members);
	free(crowd);
}
