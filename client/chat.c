/* SPDX-License-Identifier: MIT */
/*
 * chat: talk with a person or in a room.
 */
#include "command.h"

#include <getopt.h>
#include <stdbool.h>

#include "../cli/cli.h"
#include "dialogue.h"
#include "options.h"
#include "peer.h"

struct chat {
	bool lines;
	struct peer peer;
};

static const struct options_operand chat_operands[] = {
	{ "ADDRESS", "the address", "127.0.0.1:1001" },
	{ .name = NULL },
};

static const struct cli_option chat_table[] = {
	{ "lines", 'l', NULL,
	  "for a room: send newlines too, and do not\n"
	  "wait for answers" },
	{ "timeout", 't', "DURATION",
	  "longest time to connect, for an answer to a\n"
	  "script, and for the end (default 10s)" },
	PEER_OPTION_ROWS,
	OPTIONS_HELP,
	OPTIONS_VERSION,
	{ .name = NULL },
};

static bool chat_take_option(void *to, int key)
{
	struct chat *c = to;

	if (key == 'l')
		c->lines = true;
	if (key == 't')
		return options_take_timeout(&c->peer.timeout_ms);
	return key == 'l' || peer_take_option(&c->peer, key);
}

static const struct options_syntax chat_syntax = {
	.command = "chat",
	.about = "Talk with a person or in a room.  'windup' from either side "
		 "ends it.\n",
	.operands = chat_operands,
	.table = chat_table,
	.examples = "  weir-client chat 127.0.0.1:4000\n",
	.take = chat_take_option,
};

int chat(int argc, char **argv)
{
	struct chat c = { .peer.timeout_ms = 10 * 1000 };
	int status = options_parse(&chat_syntax, &c, argc, argv);

	if (status >= 0)
		return status;
	if (!peer_set_address(&c.peer, argv[optind]))
		return CLI_USAGE;
	status = peer_dial(&c.peer);
	if (status != CLI_DONE)
		return status;
	status = c.lines ? dialogue_hold(&c.peer, DIALOGUE_ROOM, "\n")
			 : dialogue_hold(&c.peer, DIALOGUE_PERSON, "");
	peer_close(&c.peer);
	return status;
}
