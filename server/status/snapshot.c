/* SPDX-License-Identifier: MIT */
#include "snapshot.h"

#include <stdlib.h>
#include <time.h>

#include "../access.h"
#include "../journal.h"
#include "../reload.h"
#include "../services.h"
#include "../upgrade.h"

static int64_t snapshot_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void take_listener(struct listener_figures *ret, weir_server *s, int id,
			  const struct options *o)
{
	ret->has_tls = o->listeners.all[id].has_tls;
	ret->service = o->listeners.all[id].service->name;
	(void)weir_server_address(s, id, ret->address, sizeof(ret->address));
	(void)weir_server_listener_stats(s, id, &ret->stats,
					 sizeof(ret->stats));
}

bool snapshot_take(struct snapshot *ret, weir_server *s,
		   const struct options *o)
{
	*ret = (struct snapshot){
		.at_ms = snapshot_now_ms(),
		.is_draining = weir_server_is_draining(s) == 1,
		.listener_count = o->listeners.count,
		.journal_dropped = journal_dropped(),
		.access_dropped = access_dropped(),
		.tls_ends = reload_certificate_ends(),
	};
	ret->listeners = calloc(ret->listener_count, sizeof(*ret->listeners));
	if (!ret->listeners)
		return false;
	(void)weir_server_stats(s, &ret->stats, sizeof(ret->stats));
	for (size_t i = 0; i < ret->listener_count; i++)
		take_listener(&ret->listeners[i], s, (int)i, o);
	ret->has_tls = listeners_tls(&o->listeners) != NULL;
	return true;
}

void snapshot_fini(struct snapshot *s)
{
	free(s->listeners);
}

const char *snapshot_handshake(int result)
{
	static const char *const names[] = {
		[WEIR_HANDSHAKE_FULL] = "full",
		[WEIR_HANDSHAKE_RESUMED] = "resumed",
		[WEIR_HANDSHAKE_NOT_TLS] = "not_tls",
		[WEIR_HANDSHAKE_PROTOCOL] = "protocol",
		[WEIR_HANDSHAKE_CERTIFICATE] = "certificate",
		[WEIR_HANDSHAKE_TIMED_OUT] = "timed_out",
		[WEIR_HANDSHAKE_LOST] = "lost",
		[WEIR_HANDSHAKE_CUT] = "cut",
	};

	return (size_t)result < sizeof(names) / sizeof(names[0]) ? names[result]
								 : NULL;
}

const char *snapshot_timeout(int timeout)
{
	static const char *const names[] = {
		[WEIR_TIMEOUT_FIRST_BYTE] = "first_byte",
		[WEIR_TIMEOUT_READ] = "read",
		[WEIR_TIMEOUT_WRITE] = "write",
		[WEIR_TIMEOUT_IDLE] = "idle",
		[WEIR_TIMEOUT_LIFETIME] = "lifetime",
		[WEIR_TIMEOUT_PAUSE] = "pause",
		[WEIR_TIMEOUT_HANDSHAKE] = "handshake",
	};

	return (size_t)timeout < sizeof(names) / sizeof(names[0])
		       ? names[timeout]
		       : NULL;
}

const char *snapshot_unready(const struct snapshot *s)
{
	if (s->stats.phase == WEIR_PHASE_NEW)
		return "the server has not started yet";
	/* A new connection would reach the successor, which is ready. */
	if (s->is_draining && !upgrade_has_successor())
		return "the server stops";
	return NULL;
}
