/* SPDX-License-Identifier: MIT */
/*
 * The table of services and what they share.
 */
#include "services.h"

#include <stdatomic.h>
#include <string.h>

#include "journal.h"

static const struct service services[] = {
	{ "reply",
	  "sends a banner, then \"Server replies: \" before each message",
	  SERVICE_GREETING, svc_reply },
	{ "echo", "sends back what it gets (RFC 862)", 0, svc_echo },
};

const struct service *service_at(size_t i)
{
	return i < sizeof(services) / sizeof(services[0]) ? &services[i] : NULL;
}

const struct service *service_find(const char *name, size_t len)
{
	const struct service *s;

	for (size_t i = 0; (s = service_at(i)) != NULL; i++)
		if (strlen(s->name) == len && memcmp(s->name, name, len) == 0)
			return s;
	return NULL;
}

void service_note_client(weir_conn *c)
{
	static atomic_ullong clients;
	unsigned long long number = atomic_fetch_add(&clients, 1) + 1;
	char peer[512];

	if (!journal_wants(WEIR_LOG_INFO))
		return;
	if (weir_conn_peer(c, peer, sizeof(peer)) < 0)
		strcpy(peer, "somebody who has gone");
	journal(WEIR_LOG_INFO, "connection %llu from %s", number, peer);
}
