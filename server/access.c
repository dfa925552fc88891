/* SPDX-License-Identifier: MIT */
/*
 * The callbacks of this file log and then call those of the service.  `opened`
 * needs a worker for each new connection, so it is installed only if the
 * service has one, or the log has a line for the beginning at the start of the
 * server.  The callbacks at the end need none, and the level of the log may
 * change, so they are there always.
 *
 * A line of --access-log never makes its caller wait: it goes into the queue of
 * out.c or is lost, and counted.
 */
#include "access.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../cli/text.h"
#include "certificate.h"
#include "journal.h"
#include "out.h"

#define NAME_TEXT 440 /* an address: a Unix path of control characters */
#define PEER_TEXT (sizeof(" via ") + (size_t)2 * NAME_TEXT)

struct access_log {
	struct access_log *next;
	struct weir_service inner;
	const char *service;
	char address[512];
};

static struct access_log *logs; /* one for each listener; never freed */
static enum access_lines access_wanted = ACCESS_JOURNAL;

static const char *const reasons[] = {
	[WEIR_END_NONE] = "it has not ended",
	[WEIR_END_CLOSED] = "the service has closed",
	[WEIR_END_PEER] = "the client has closed",
	[WEIR_END_LOST] = "the client has reset it or is gone",
	[WEIR_END_ERROR] = "an error",
	[WEIR_END_DRAIN] = "the server stops",
	[WEIR_END_CUT] = "it was cut",
	[WEIR_END_CONNECT] = "it could not be made",
	[WEIR_END_FIRST_BYTE] = "the client said nothing, idle timeout",
	[WEIR_END_READ] = "a message was not complete in time, read timeout",
	[WEIR_END_WRITE] = "the client took nothing, write timeout",
	[WEIR_END_IDLE] = "the client said no more, idle timeout",
	[WEIR_END_LIFETIME] = "its lifetime is over",
	[WEIR_END_PAUSE] = "it was paused for too long",
	[WEIR_END_HANDSHAKE] = "its handshake was not over in time",
};

static const char *peer_of(weir_conn *c, char peer[PEER_TEXT])
{
	int len = weir_conn_peer(c, peer, NAME_TEXT);
	char via[NAME_TEXT];

	if (len < 0)
		snprintf(peer, PEER_TEXT, "a client that has gone");
	else if (weir_conn_via(c, via, sizeof(via)) > 0)
		snprintf(peer + len, PEER_TEXT - (size_t)len, " via %s", via);
	return peer;
}

static void log_opened(const struct access_log *log, weir_conn *c)
{
	char peer[PEER_TEXT];

	if (!journal_wants(WEIR_LOG_INFO))
		return;
	journal_client(WEIR_LOG_INFO, "connection %llu from %s to %s@%s",
		       (unsigned long long)weir_conn_id(c), peer_of(c, peer),
		       log->service, log->address);
}

static int access_opened(weir_conn *c, void *arg)
{
	struct access_log *log = arg;

	log_opened(log, c);
	return log->inner.opened ? log->inner.opened(c, log->inner.arg)
				 : WEIR_AGAIN;
}

static int access_readable(weir_conn *c, void *arg)
{
	struct access_log *log = arg;

	return log->inner.readable(c, log->inner.arg);
}

static int access_session(weir_conn *c, void *arg)
{
	struct access_log *log = arg;

	if (access_wanted == ACCESS_JOURNAL)
		log_opened(log, c);
	return log->inner.session(c, log->inner.arg);
}

static void log_end(const struct access_log *log, weir_conn *c,
		    const struct weir_summary *s)
{
	char peer[PEER_TEXT];

	if (!journal_wants(WEIR_LOG_INFO))
		return;
	journal_client(
		WEIR_LOG_INFO,
		"connection %llu from %s to %s@%s ended after %lld.%03lld s "
		"(%llu bytes in, %llu out): %s",
		(unsigned long long)weir_conn_id(c), peer_of(c, peer),
		log->service, log->address, (long long)(s->age_ms / 1000),
		(long long)(s->age_ms % 1000), (unsigned long long)s->bytes_in,
		(unsigned long long)s->bytes_out, reasons[s->end]);
}

static void access_closed(weir_conn *c, void *arg)
{
	const struct access_log *log = arg;
	struct weir_summary s;

	if (log->inner.closed)
		log->inner.closed(c, log->inner.arg);
	weir_conn_summary(c, &s, sizeof(s));
	log_end(log, c, &s);
}

/* A health check connects and goes away; -EPROTO is a failed handshake. */
static bool just_went(const struct weir_summary *s)
{
	return s->end == WEIR_END_LOST && s->error != -EPROTO &&
	       s->bytes_in == 0 && s->bytes_out == 0;
}

static void access_unserved(weir_conn *c, void *arg)
{
	struct weir_summary s;

	weir_conn_summary(c, &s, sizeof(s));
	if (s.end != WEIR_END_PEER && !just_went(&s))
		log_end(arg, c, &s);
}

static bool is_json;
static struct out_losses access_losses;
static struct limit lines_limit = { .most = ACCESS_PER_SECOND };

static const char *const ends[] = {
	[WEIR_END_NONE] = "none",
	[WEIR_END_CLOSED] = "closed",
	[WEIR_END_PEER] = "peer",
	[WEIR_END_LOST] = "lost",
	[WEIR_END_ERROR] = "error",
	[WEIR_END_DRAIN] = "drain",
	[WEIR_END_CUT] = "cut",
	[WEIR_END_CONNECT] = "connect",
	[WEIR_END_FIRST_BYTE] = "first_byte_timeout",
	[WEIR_END_READ] = "read_timeout",
	[WEIR_END_WRITE] = "write_timeout",
	[WEIR_END_IDLE] = "idle_timeout",
	[WEIR_END_LIFETIME] = "lifetime",
	[WEIR_END_PAUSE] = "pause_timeout",
	[WEIR_END_HANDSHAKE] = "handshake_timeout",
};

void access_start(enum access_lines lines, bool as_json)
{
	access_wanted = lines;
	is_json = as_json;
}

unsigned long long access_dropped(void)
{
	return atomic_load(&access_losses.in_all);
}

struct line {
	char text[PIPE_BUF];
	size_t len;
};

/* Leaves room for the end of the line. */
static void add_raw(struct line *l, const char *name, const char *value)
{
	size_t room = sizeof(l->text) - l->len - 2;
	int n = snprintf(
		l->text + l->len, room, is_json ? "%s\"%s\":%s" : "%s%s=%s",
		l->len == 0 ? (is_json ? "{" : "") : (is_json ? "," : " "),
		name, value);

	if (n > 0)
		l->len += (size_t)n < room ? (size_t)n : room - 1;
}

/* A client chooses the bytes of the name of its Unix socket. */
static void add_text(struct line *l, const char *name, const char *value)
{
	char shown[590], safe[1200] = "\"", *to = safe + 1;
	bool is_plain;

	cli_escape(shown, sizeof(shown), value, strlen(value), CLI_KEEP_UTF8);
	value = shown;
	is_plain = !is_json && *value && !strpbrk(value, " =\"\\");
	if (is_plain) {
		add_raw(l, name, value);
		return;
	}
	for (; *value && to < safe + sizeof(safe) - 3; value++) {
		if (*value == '"' || *value == '\\')
			*to++ = '\\';
		*to++ = *value;
	}
	*to++ = '"';
	*to = '\0';
	add_raw(l, name, safe);
}

static void add_number(struct line *l, const char *name, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	add_raw(l, name, text);
}

static int64_t day_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void add_time(struct line *l, const char *name, int64_t ms)
{
	char text[40];
	time_t second = (time_t)(ms / 1000);
	struct tm utc;
	size_t len;

	gmtime_r(&second, &utc);
	len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(text + len, sizeof(text) - len, ".%03dZ", (int)(ms % 1000));
	add_text(l, name, text);
}

/* reported: the lost lines that the line reports. */
static void write_line(struct line *l, unsigned long long reported)
{
	if (is_json)
		l->text[l->len++] = '}';
	l->text[l->len++] = '\n';
	(void)out_line(STDERR_FILENO, l->text, l->len, OUT_NO_WAIT,
		       &access_losses, reported);
}

static void report_access_dropped(void)
{
	unsigned long long lost = out_take_losses(&access_losses);
	struct line l = { .len = 0 };

	if (lost == 0)
		return;
	add_time(&l, "time", day_ms());
	add_number(&l, "dropped", lost);
	write_line(&l, lost);
}

static void write_connection(const struct access_log *log, weir_conn *c,
			     const struct weir_summary *s)
{
	int64_t now = day_ms();
	struct line l = { .len = 0 };
	char peer[NAME_TEXT], duration[32];
	struct certificate_peer tls;

	add_time(&l, "time", now);
	add_text(&l, "service", log->service);
	add_text(&l, "listener", log->address);
	add_text(&l, "peer",
		 weir_conn_peer(c, peer, sizeof(peer)) < 0 ? "unknown" : peer);
	if (weir_conn_via(c, peer, sizeof(peer)) > 0)
		add_text(&l, "via", peer);
	if (certificate_describe(c, &tls)) {
		add_text(&l, "tls", tls.version);
		if (tls.client[0])
			add_text(&l, "client", tls.client);
	}
	add_number(&l, "id", weir_conn_id(c));
	add_time(&l, "start", now - s->age_ms);
	snprintf(duration, sizeof(duration), "%lld.%03lld",
		 (long long)(s->age_ms / 1000), (long long)(s->age_ms % 1000));
	add_raw(&l, "duration", duration);
	add_number(&l, "received", s->bytes_in);
	add_number(&l, "sent", s->bytes_out);
	add_text(&l, "end", ends[s->end]);
	report_access_dropped();
	write_line(&l, 0);
}

static bool is_wanted(const struct weir_summary *s)
{
	return access_wanted == ACCESS_ALL ||
	       (s->end != WEIR_END_CLOSED && s->end != WEIR_END_PEER &&
		s->end != WEIR_END_DRAIN && !just_went(s));
}

static void write_refused(const struct access_log *log, const char *peer,
			  const char *via, const char *reason)
{
	struct line l = { .len = 0 };

	add_time(&l, "time", day_ms());
	add_text(&l, "service", log->service);
	add_text(&l, "listener", log->address);
	add_text(&l, "peer", peer);
	if (via)
		add_text(&l, "via", via);
	add_text(&l, "end", "refused");
	add_text(&l, "reason", reason);
	report_access_dropped();
	write_line(&l, 0);
}

static void line_refused(const char *peer, const char *via, const char *reason,
			 void *arg)
{
	if (limit_allows(&lines_limit))
		write_refused(arg, peer, via, reason);
	else
		out_lose(&access_losses, 0);
}

static int line_opened(weir_conn *c, void *arg)
{
	struct access_log *log = arg;

	return log->inner.opened(c, log->inner.arg);
}

static void line_unserved(weir_conn *c, void *arg)
{
	struct weir_summary s;

	weir_conn_summary(c, &s, sizeof(s));
	if (!is_wanted(&s))
		return;
	if (limit_allows(&lines_limit))
		write_connection(arg, c, &s);
	else
		out_lose(&access_losses, 0);
}

static void line_closed(weir_conn *c, void *arg)
{
	const struct access_log *log = arg;

	if (log->inner.closed)
		log->inner.closed(c, log->inner.arg);
	line_unserved(c, arg);
}

/* Without a callback the library would log them. */
static void no_refused(const char *peer, const char *via, const char *reason,
		       void *arg)
{
	(void)peer, (void)via, (void)reason, (void)arg;
}

void access_end(void)
{
	if (atomic_load(&access_losses.unreported) > 0)
		out_flush(); /* the queue may be full yet */
	report_access_dropped();
}

struct access_log *access_log_new(struct weir_service *service)
{
	struct access_log *log;

	if (access_wanted == ACCESS_OFF) {
		service->refused = no_refused;
		return NULL;
	}
	log = calloc(1, sizeof(*log));
	if (!log) {
		journal(WEIR_LOG_WARNING, "no memory for a log of connections");
		return NULL;
	}
	log->inner = *service;
	log->next = logs;
	logs = log;
	if (service->session)
		service->session = access_session;
	else
		service->readable = access_readable;
	service->arg = log;
	if (access_wanted == ACCESS_JOURNAL) {
		if (service->opened ||
		    (!service->session && journal_wants(WEIR_LOG_INFO)))
			service->opened = access_opened;
		service->closed = access_closed;
		service->unserved = access_unserved;
	} else {
		if (service->opened)
			service->opened = line_opened;
		service->closed = line_closed;
		service->unserved = line_unserved;
		service->refused = line_refused;
	}
	return log;
}

void access_log_name(struct access_log *log, const char *service,
		     const char *address)
{
	log->service = service;
	snprintf(log->address, sizeof(log->address), "%s", address);
}
