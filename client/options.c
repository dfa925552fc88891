/* SPDX-License-Identifier: MIT */
/*
 * Reading the command line.  Whatever is wrong with it gives one line that
 * names the thing and says what would be right.
 */
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include <weir.h>

#include "../cli/address.h"
#include "../cli/cli.h"
#include "../cli/text.h"

static const struct cli_option table[] = {
	{ "timeout", 't', "DURATION",
	  "longest time to connect, and for each\nreply (default 10s)" },
	{ "once", '1', NULL, "read the welcome, send one message, end" },
	{ "read-only", 'r', NULL, "send nothing, read to the end of input" },
	{ "no-banner", 'B', NULL,
	  "the server does not speak first: send\nwithout waiting for it" },
	{ "help", 'h', NULL, "print this, and exit" },
	{ "version", 'V', NULL, "print the version, and exit" },
	{ .name = NULL },
};

static int print_help(const struct command *commands)
{
	printf("Usage: weir-client COMMAND ADDRESS [OPTION]...\n"
	       "Talk to TCP servers.\n\n"
	       "Commands:\n");
	for (; commands->name; commands++)
		printf("  %-8s %s\n", commands->name, commands->help);
	printf("\nAddresses: host:port  :port  [v6]:port  unix:/path  "
	       "unix:@name  fd:N\n\nOptions:\n");
	cli_print_options(table, stdout);
	printf("\nA DURATION is a number with its unit, as in 500ms, 10s, 2m "
	       "or 1h, or never.\n");
	return cli_flush();
}

static int print_version(void)
{
	printf("weir-client %s\n", weir_version());
	return cli_flush();
}

static bool take(struct options *o, int key)
{
	switch (key) {
	case 't':
		if (cli_parse_duration(optarg, &o->timeout_ms))
			return true;
		cli_error("--timeout: '%s' is not a duration like 500ms, 10s, "
			  "2m, 1h (up to 596h) or never",
			  optarg);
		return false;
	case '1':
		o->once = true;
		return true;
	case 'r':
		o->read_only = true;
		return true;
	case 'B':
		o->no_banner = true;
		return true;
	default:
		return false;
	}
}

static bool find_command(struct options *o, const struct command *commands,
			 const char *name)
{
	char known[128] = "";
	size_t used = 0;

	for (; commands->name; commands++) {
		if (strcmp(commands->name, name) == 0) {
			o->command = commands;
			return true;
		}
		if (used < sizeof(known))
			used += (size_t)snprintf(
				known + used, sizeof(known) - used, "%s%s",
				used > 0 ? ", " : "", commands->name);
	}
	cli_error("unknown command '%s'; there are: %s", name, known);
	return false;
}

static bool take_operands(struct options *o, const struct command *commands,
			  int count, char **operands)
{
	struct cli_address address;
	const char *wrong;

	if (count == 0) {
		cli_error("the command is missing; say for instance "
			  "weir-client talk 127.0.0.1:1234");
		return false;
	}
	if (!find_command(o, commands, operands[0]))
		return false;
	if (count == 1) {
		cli_error("the address is missing; say for instance "
			  "weir-client %s 127.0.0.1:1234",
			  o->command->name);
		return false;
	}
	if (count > 2) {
		cli_error("'%s' is too much; say weir-client %s ADDRESS "
			  "[OPTION]...",
			  operands[2], o->command->name);
		return false;
	}
	o->address = operands[1];
	wrong = cli_address_parse(&address, o->address, 1);
	if (wrong)
		cli_error("bad address '%s': %s", o->address, wrong);
	return !wrong;
}

static bool check_together(const struct options *o)
{
	if (o->read_only && (o->once || o->no_banner)) {
		cli_error("--read-only contradicts --%s; leave one out",
			  o->once ? "once" : "no-banner");
		return false;
	}
	return true;
}

int options_parse(struct options *ret, const struct command *commands, int argc,
		  char **argv)
{
	int key;

	*ret = (struct options){ .timeout_ms = 10 * 1000 };
	while ((key = cli_next(table, argc, argv)) != CLI_END) {
		if (key == 'h')
			return print_help(commands);
		if (key == 'V')
			return print_version();
		if (key == CLI_BAD || !take(ret, key))
			return CLI_USAGE;
	}
	if (!take_operands(ret, commands, argc - optind, argv + optind) ||
	    !check_together(ret))
		return CLI_USAGE;
	return -1;
}
