/* SPDX-License-Identifier: MIT */
/*
 * The callbacks of this file log and then call those of the service.  `opened`
 * needs a worker for each new connection, so they are not installed unless the
 * log shows these lines.
 */
#include "access.h"

#include <stdio.h>
#include <stdlib.h>

#include "journal.h"

#define PEER_TEXT 160

struct access_log {
	struct access_log *next;
	struct weir_service inner;
	char name[512];
};

static struct access_log *logs; /* one for each listener; never freed */

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
};

static const char *peer_of(weir_conn *c, char peer[PEER_TEXT])
{
	if (weir_conn_peer(c, peer, PEER_TEXT) < 0)
		snprintf(peer, PEER_TEXT, "a client that has gone");
	return peer;
}

static int access_opened(weir_conn *c, void *arg)
{
	struct access_log *log = arg;
	char peer[PEER_TEXT];

	journal(WEIR_LOG_INFO, "connection %llu from %s to %s",
		(unsigned long long)weir_conn_id(c), peer_of(c, peer),
		log->name);
	return log->inner.opened ? log->inner.opened(c, log->inner.arg)
				 : WEIR_AGAIN;
}

static int access_readable(weir_conn *c, void *arg)
{
	struct access_log *log = arg;

	return log->inner.readable(c, log->inner.arg);
}

static void access_closed(weir_conn *c, void *arg)
{
	struct access_log *log = arg;
	struct weir_summary s;
	char peer[PEER_TEXT];

	if (log->inner.closed)
		log->inner.closed(c, log->inner.arg);
	weir_conn_summary(c, &s, sizeof(s));
	journal(WEIR_LOG_INFO,
		"connection %llu from %s to %s ended after %lld.%03lld s "
		"(%llu bytes in, %llu out): %s",
		(unsigned long long)weir_conn_id(c), peer_of(c, peer),
		log->name, (long long)(s.age_ms / 1000),
		(long long)(s.age_ms % 1000), (unsigned long long)s.bytes_in,
		(unsigned long long)s.bytes_out, reasons[s.end]);
}

struct access_log *access_log_new(struct weir_service *service)
{
	struct access_log *log;

	if (!journal_wants(WEIR_LOG_INFO))
		return NULL;
	log = calloc(1, sizeof(*log));
	if (!log) {
		journal(WEIR_LOG_WARNING, "no memory for a log of connections");
		return NULL;
	}
	log->inner = *service;
	log->next = logs;
	logs = log;
	service->opened = access_opened;
	service->readable = access_readable;
	service->closed = access_closed;
	service->arg = log;
	return log;
}

void access_log_name(struct access_log *log, const char *service,
		     const char *address)
{
	snprintf(log->name, sizeof(log->name), "%s@%s", service, address);
}
