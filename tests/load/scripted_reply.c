/* SPDX-License-Identifier: MIT */
/* The faults of the server. */
#include "scripted_in.h"

#include <sys/socket.h>
#include <time.h>

#define REPLY_MAX 70000

void script_places(struct scripted *s)
{
	const struct script *c = &s->script;
	unsigned seed = (unsigned)s->plan.seed + (unsigned)c->fault;
	size_t places = (size_t)c->to + 1;

	s->faults = calloc(places, 1);
	ck_assert_int_le(c->faults, c->to - c->from);
	for (int left = c->faults; left > 0;) {
		int at = c->from + rand_r(&seed) % (c->to - c->from);

		left -= s->faults[at] == FAULT_NONE;
		s->faults[at] = (unsigned char)c->fault;
	}
}

/* The length of the first message of the input; 0: incomplete. */
static size_t message_len(const struct scripted *s,
			  const struct scripted_conn *g)
{
	struct message_id name = { 0 };
	const char *newline;
	size_t len;

	if (s->payload.is_lines) {
		newline = memchr(g->in, '\n', g->in_used);
		return newline ? (size_t)(newline - g->in) + 1 : 0;
	}
	if (s->payload.is_numbered) {
		if (g->in_used < PAYLOAD_NUMBER)
			return 0;
		ck_assert(payload_read_id(&name, g->in));
	}
	len = payload_size(&s->payload, name);
	return g->in_used >= len ? len : 0;
}

/* A message that the next connection may have sent. */
static size_t foreign(const struct scripted *s, const char *message, char *to)
{
	struct message_id name;
	size_t len;

	ck_assert(payload_read_id(&name, message));
	name.conn = (name.conn + 1) % (uint32_t)s->plan.connections;
	len = payload_size(&s->payload, name);
	payload_fill(&s->payload, name, 0, 0, to, len);
	return len;
}

/* Junk between lines is a line. */
static void says_junk(struct scripted *s, struct scripted_conn *g)
{
	static const char junk[] = "nobody asked for this\n";

	scripted_conn_send(s, g, junk, sizeof(junk) - 1 - !s->payload.is_lines);
}

static void hold(struct scripted_conn *g, const char *reply, size_t len)
{
	ck_assert_ptr_null(g->held);
	g->held = malloc(len);
	memcpy(g->held, reply, len);
	g->held_len = len;
}

/* Returns false if the connection is gone. */
static bool reply_badly(struct scripted *s, struct scripted_conn *g,
			enum fault fault, char *reply, size_t len,
			const char *message)
{
	char other[REPLY_MAX];

	s->seen.faults++;
	switch (fault) {
	case FAULT_DELAY:
		ck_assert_uint_le(len, sizeof(g->delayed));
		ck_assert_uint_eq(g->delayed_len, 0);
		memcpy(g->delayed, reply, g->delayed_len = len);
		g->delayed_at = scripted_now() + s->script.delay_ms * MS;
		break;
	case FAULT_CORRUPT:
		reply[len / 2] ^= 1;
		scripted_conn_send(s, g, reply, len);
		break;
	case FAULT_TRUNCATE:
		scripted_conn_send(s, g, reply, len / 2);
		scripted_conn_send(s, g, reply + len - 1, s->payload.is_lines);
		break;
	case FAULT_SWAP:
		hold(g, reply, len);
		break;
	case FAULT_DUPLICATE:
		scripted_conn_send(s, g, reply, len);
		scripted_conn_send(s, g, reply, len);
		break;
	case FAULT_JUNK:
		says_junk(s, g);
		scripted_conn_send(s, g, reply, len);
		break;
	case FAULT_CROSS:
		scripted_conn_send(s, g, other, foreign(s, message, other));
		scripted_conn_send(s, g, reply, len);
		break;
	case FAULT_RESET:
		scripted_conn_close(s, g, true);
		return false;
	case FAULT_CLOSE:
		shutdown(g->fd, SHUT_WR);
		g->is_leaving = true;
		break;
	default:
		break;
	}
	return true;
}

/* More than a socket takes. */
static void say_at_length(struct scripted *s, struct scripted_conn *g)
{
	static const char bytes[65536];

	for (size_t n = 0, part; n < s->script.reply_size; n += part) {
		part = s->script.reply_size - n;
		part = part < sizeof(bytes) ? part : sizeof(bytes);
		scripted_conn_send(s, g, bytes, part);
	}
}

static void reply_well(struct scripted *s, struct scripted_conn *g,
		       const char *reply, size_t len)
{
	scripted_conn_send(s, g, reply, len);
	say_at_length(s, g);
	if (g->held) {
		scripted_conn_send(s, g, g->held, g->held_len);
		free(g->held);
		g->held = NULL;
	}
}

static void stall(struct scripted *s)
{
	const struct timespec t = { s->script.stall_ms / 1000,
				    s->script.stall_ms % 1000 * MS };
	int64_t from = scripted_now();

	nanosleep(&t, NULL);
	s->seen.stalled = scripted_now() - from;
	s->has_stalled = true;
}

/* Returns false if the connection is gone. */
static bool answer(struct scripted *s, struct scripted_conn *g,
		   const char *message, size_t len)
{
	const struct script *c = &s->script;
	int n = atomic_fetch_add(&s->seen.messages, 1);
	size_t prefix = c->prefix ? strlen(c->prefix) : 0;
	enum fault fault = FAULT_NONE;
	char reply[REPLY_MAX];

	if (n < SEEN_TIMES)
		s->seen.message_at[n] = g->heard_at;
	if (c->stall_at > 0 && n == c->stall_at)
		stall(s);
	if (c->die_at > 0 && n >= c->die_at) {
		s->is_dead = true;
		return false;
	}
	memcpy(reply, c->prefix ? c->prefix : "", prefix);
	memcpy(reply + prefix, message, len);
	len += prefix;
	if (c->reply)
		memcpy(reply, c->reply, len = strlen(c->reply));
	if (n >= c->from && n < c->to)
		fault = (enum fault)s->faults[n];
	if (fault != FAULT_NONE)
		return reply_badly(s, g, fault, reply, len, message);
	reply_well(s, g, reply, len);
	return true;
}

void scripted_conn_on_input(struct scripted *s, struct scripted_conn *g)
{
	size_t len;
	char message[REPLY_MAX];

	while (!g->is_leaving && !s->is_dead && (len = message_len(s, g)) > 0) {
		memcpy(message, g->in, len);
		memmove(g->in, g->in + len, g->in_used - len);
		g->in_used -= len;
		if (!answer(s, g, message, len))
			return;
	}
	if (g->is_leaving || s->is_dead)
		g->in_used = 0;
}
