/* SPDX-License-Identifier: MIT */
/*
 * The table of services, and functions they share.
 */
#include "services.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "../cli/text.h"
#include "journal.h"
#include "options.h"
#include "out.h"

static const struct service services[] = {
	{ "reply",
	  "sends a banner, then \"Server replies: \" before each message",
	  SERVICE_GREETING, svc_reply, REPLY_GREETING },
	{ "echo", "sends back what it receives (RFC 862)", 0, svc_echo, NULL },
	{ "greet", "sends a greeting and closes", SERVICE_GREETING, svc_greet,
	  GREET_GREETING },
	{ "collect", "prints one message and closes", 0, svc_collect, NULL },
	{ "welcome", "sends a greeting, prints one message and closes",
	  SERVICE_GREETING, svc_welcome, WELCOME_GREETING },
	{ "file", "prints one message, sends a file and closes", SERVICE_FILE,
	  svc_file, NULL },
	{ "chat", "the operator, at standard input, talks with a client",
	  SERVICE_PATIENT | SERVICE_TERMINAL, svc_chat, NULL },
	{ "room", "a chat among all clients of the listener", SERVICE_PATIENT,
	  svc_room, NULL },
	{ "relay", "passes bytes on to the address of --to, and back",
	  SERVICE_PATIENT | SERVICE_UPSTREAM, svc_relay, NULL },
	{ "discard", "discards what it receives (RFC 863)", 0, svc_discard,
	  NULL },
	{ "chargen", "sends characters until the client closes (RFC 864)",
	  SERVICE_PATIENT, svc_chargen, NULL },
	{ "daytime", "sends the time of day and closes (RFC 867)", 0,
	  svc_daytime, NULL },
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

int service_greet(weir_conn *c, const struct options *o, const char *preset)
{
	const char *text = o->greeting ? o->greeting : preset;

	return weir_conn_write(c, text, strlen(text));
}

size_t service_trim(const char *message, size_t len)
{
	if (len > 0 && message[len - 1] == '\n')
		len--;
	if (len > 0 && message[len - 1] == '\r')
		len--;
	return len;
}

bool service_print(const char *mark, const char *message, size_t len)
{
	static struct out_losses losses;
	unsigned long long lost;
	bool is_printed;
	char line[PIPE_BUF];
	size_t used = (size_t)snprintf(line, sizeof(line), "%s", mark);

	used += cli_escape(line + used, sizeof(line) - 1 - used, message,
			   service_trim(message, len), CLI_KEEP_UTF8);
	line[used++] = '\n';
	is_printed = out_print(line, used, &losses);
	lost = out_take_losses(&losses);
	if (lost > 0)
		journal_client(WEIR_LOG_WARNING,
			       "standard output takes no more: %llu %s lost",
			       lost, lost == 1 ? "line was" : "lines were");
	return is_printed;
}
