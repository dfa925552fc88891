/* SPDX-License-Identifier: MIT */
/*
 * Publish and subscribe: an MQTT 3.1.1 broker for quality of service 0, without
 * sessions, retained messages and wills.
 *
 *	broker [ADDRESS]			default 127.0.0.1:1883
 *
 * A message is made once and sent to each subscriber, without a copy for each.
 * What a client publishes in one callback leaves when the callback returns,
 * with one system call for each subscriber.  A subscriber that does not read
 * misses messages once its outbox is full, and delays no other.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weir.h>

enum {
	CONNECT = 1,
	PUBLISH = 3,
	SUBSCRIBE = 8,
	UNSUBSCRIBE = 10,
	PING = 12,
	DISCONNECT = 14
};

#define MOST_FILTERS 100 /* of a client */

struct filter {
	struct filter *next;
	size_t len;
	char text[];
};

struct client {
	struct client *prev, *next;
	weir_ref *ref;
	struct filter
		*filters; /* changed by its own callbacks, with the lock */
	int filter_count;
	bool is_connected;
};

static struct client *clients;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all of them */

/* A part of a packet, from which fields are taken. */
struct bytes {
	const uint8_t *at, *end;
};

/* A string with its length before it.  False: it is malformed. */
static bool take_string(struct bytes *b, const char **text, size_t *len)
{
	if (b->end - b->at < 2)
		return false;
	*len = (size_t)b->at[0] << 8 | b->at[1];
	*text = (const char *)b->at + 2;
	if ((size_t)(b->end - b->at) - 2 < *len)
		return false;
	b->at += 2 + *len;
	return true;
}

/* "+" matches a level; "#" those from here on, and the one above. */
static bool matches(const struct filter *filter, const char *topic, size_t len)
{
	const char *f = filter->text, *f_end = f + filter->len;
	const char *end = topic + len;

	while (f < f_end && *f != '#') {
		if (*f == '+') {
			while (topic < end && *topic != '/')
				topic++;
		} else if (topic == end) {
			return f_end - f == 2 && memcmp(f, "/#", 2) == 0;
		} else if (*f != *topic++) {
			return false;
		}
		f++;
	}
	return f < f_end || topic == end;
}

static bool is_wanted(const struct client *to, const char *topic, size_t len)
{
	for (const struct filter *f = to->filters; f; f = f->next)
		if (matches(f, topic, len))
			return true;
	return false;
}

static int publish(const uint8_t *packet, size_t len, struct bytes body)
{
	uint8_t type = PUBLISH << 4; /* without the flag to retain it */
	const struct iovec pieces[] = {
		{ &type, 1 }, { (void *)(uintptr_t)(packet + 1), len - 1 }
	};
	weir_msg *msg = NULL;
	const char *topic;
	size_t topic_len;
	int rc;

	if (packet[0] & 6) /* another quality of service */
		return -EPROTO;
	if (!take_string(&body, &topic, &topic_len))
		return -EBADMSG;
	rc = weir_msg_newv(&msg, pieces, 2);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&lock);
	for (struct client *to = clients; to; to = to->next)
		if (is_wanted(to, topic, topic_len))
			(void)weir_ref_send_msg(to->ref, msg);
	pthread_mutex_unlock(&lock);
	weir_msg_unref(msg);
	return 0;
}

/* Where the pointer to it is, or would be. */
static struct filter **find_filter(struct client *me, const char *text,
				   size_t len)
{
	struct filter **at = &me->filters;

	while (*at &&
	       ((*at)->len != len || memcmp((*at)->text, text, len) != 0))
		at = &(*at)->next;
	return at;
}

/* The answer: the quality of service, or 0x80: refused.  -ENOMEM. */
static int add_filter(struct client *me, const char *text, size_t len)
{
	struct filter **at = find_filter(me, text, len), *f;

	if (*at)
		return 0;
	if (me->filter_count == MOST_FILTERS)
		return 0x80;
	f = malloc(sizeof(*f) + len);
	if (f == NULL)
		return -ENOMEM;
	f->next = NULL;
	f->len = len;
	memcpy(f->text, text, len);
	pthread_mutex_lock(&lock);
	*at = f;
	pthread_mutex_unlock(&lock);
	me->filter_count++;
	return 0;
}

static void remove_filter(struct client *me, const char *text, size_t len)
{
	struct filter **at = find_filter(me, text, len), *f = *at;

	if (f == NULL)
		return;
	pthread_mutex_lock(&lock);
	*at = f->next;
	pthread_mutex_unlock(&lock);
	me->filter_count--;
	free(f);
}

/* The number of a packet.  False: it is malformed. */
static bool take_number(struct bytes *b, uint8_t *number)
{
	if (b->end - b->at < 2)
		return false;
	memcpy(number, b->at, 2);
	b->at += 2;
	return true;
}

static int subscribe(weir_conn *c, struct client *me, struct bytes body)
{
	uint8_t reply[4 + MOST_FILTERS] = { 0x90 };
	const char *text;
	size_t len, count = 4;
	int rc;

	if (!take_number(&body, reply + 2))
		return -EBADMSG;
	while (body.at < body.end) {
		if (!take_string(&body, &text, &len) || body.at == body.end)
			return -EBADMSG;
		body.at++; /* the quality of service */
		if (count == sizeof(reply))
			return -EPROTO;
		rc = add_filter(me, text, len);
		if (rc < 0)
			return rc;
		reply[count++] = (uint8_t)rc;
	}
	reply[1] = (uint8_t)(count - 2);
	return weir_conn_write(c, reply, count);
}

static int unsubscribe(weir_conn *c, struct client *me, struct bytes body)
{
	uint8_t reply[] = { 0xb0, 2, 0, 0 };
	const char *text;
	size_t len;

	if (!take_number(&body, reply + 2))
		return -EBADMSG;
	while (body.at < body.end) {
		if (!take_string(&body, &text, &len))
			return -EBADMSG;
		remove_filter(me, text, len);
	}
	return weir_conn_write(c, reply, sizeof(reply));
}

static int accept_client(weir_conn *c, struct client *me, struct bytes body)
{
	uint8_t reply[] = { 0x20, 2, 0, 0 };
	const char *name;
	size_t len;
	int seconds, rc;

	if (!take_string(&body, &name, &len) || body.end - body.at < 4)
		return -EBADMSG;
	if (len != 4 || memcmp(name, "MQTT", 4) != 0 || body.at[0] != 4)
		reply[3] = 1; /* a version that is not supported */
	seconds = body.at[2] << 8 | body.at[3];
	weir_conn_set_timeout(c, WEIR_TIMEOUT_IDLE,
			      seconds ? seconds * 1500 : WEIR_NEVER);
	me->is_connected = true;
	rc = weir_conn_write(c, reply, sizeof(reply));
	return rc == 0 && reply[3] ? -EPIPE : rc;
}

static int handle(weir_conn *c, struct client *me, const uint8_t *packet,
		  size_t head, size_t len)
{
	struct bytes body = { packet + head, packet + len };
	int type = packet[0] >> 4;

	if (me->is_connected == (type == CONNECT))
		return -EPROTO;
	switch (type) {
	case CONNECT:
		return accept_client(c, me, body);
	case PUBLISH:
		return publish(packet, len, body);
	case SUBSCRIBE:
		return subscribe(c, me, body);
	case UNSUBSCRIBE:
		return unsubscribe(c, me, body);
	case PING:
		return weir_conn_write(c, "\xd0\0", 2);
	case DISCONNECT:
		return -EPIPE;
	default:
		return -EPROTO;
	}
}

/* The whole packet, of which *head bytes are its header. */
static ssize_t peek_packet(weir_conn *c, const uint8_t **ret, size_t *head)
{
	size_t len = 0;
	ssize_t n;

	for (*head = 1; *head == 1 || (*ret)[*head - 1] & 0x80; (*head)++) {
		if (*head == 5)
			return -EPROTO;
		n = weir_conn_peek(c, (const void **)ret, *head + 1);
		if (n <= 0)
			return n;
		len |= (size_t)((*ret)[*head] & 0x7f) << 7 * (*head - 1);
	}
	n = weir_conn_peek(c, (const void **)ret, *head + len);
	return n <= 0 ? n : (ssize_t)(*head + len);
}

static int serve_packets(weir_conn *c, void *arg)
{
	struct client *me = weir_conn_data(c);
	const uint8_t *packet;
	ssize_t len;
	size_t head;
	int rc;

	(void)arg;
	while ((len = peek_packet(c, &packet, &head)) > 0) {
		rc = handle(c, me, packet, head, (size_t)len);
		if (rc < 0)
			return rc;
		weir_conn_consume(c, (size_t)len);
	}
	return (int)len;
}

static int enter(weir_conn *c, void *arg)
{
	struct client *me = calloc(1, sizeof(*me));

	(void)arg;
	if (me == NULL)
		return -ENOMEM;
	me->ref = weir_conn_ref(c);
	weir_conn_set_data(c, me, free);
	pthread_mutex_lock(&lock);
	me->next = clients;
	if (clients)
		clients->prev = me;
	clients = me;
	pthread_mutex_unlock(&lock);
	return WEIR_AGAIN;
}

static void leave(weir_conn *c, void *arg)
{
	struct client *me = weir_conn_data(c);
	struct filter *f;

	(void)arg;
	if (me == NULL)
		return;
	pthread_mutex_lock(&lock);
	if (me->next)
		me->next->prev = me->prev;
	if (me->prev)
		me->prev->next = me->next;
	else
		clients = me->next;
	pthread_mutex_unlock(&lock);
	weir_ref_unref(me->ref);
	while ((f = me->filters)) {
		me->filters = f->next;
		free(f);
	}
}

static void say(int level, const char *line, void *arg)
{
	(void)arg;
	(void)level;
	fprintf(stderr, "broker: %s\n", line);
}

static int serve(const char *where)
{
	char text[128];
	weir_server *s;
	int rc = weir_server_new(&s, WEIR_CONFIG(.log = say));

	if (rc < 0)
		return rc;
	rc = weir_server_listen(
		s, where,
		WEIR_SERVICE(.opened = enter, .readable = serve_packets,
			     .closed = leave, .line_max = 1 << 20));
	if (rc >= 0)
		rc = weir_server_address(s, rc, text, sizeof(text));
	if (rc >= 0) {
		printf("broker at %s\n", text);
		fflush(stdout);
		rc = weir_server_run(s, WEIR_SIGNALS);
	}
	weir_server_free(s);
	return rc;
}

int main(int argc, char **argv)
{
	const char *where = argc > 1 ? argv[1] : "127.0.0.1:1883";
	int rc = serve(where);

	if (rc < 0)
		fprintf(stderr, "broker: %s: %s\n", where, weir_strerror(rc));
	return rc < 0;
}
