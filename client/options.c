/* SPDX-License-Identifier: MIT */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include <weir.h>

#include "../cli/complete.h"
#include "../cli/guess.h"
#include "../cli/stream.h"
#include "../cli/text.h"

#ifdef HAVE_LIBEDIT
#define HAS_EDITING "yes"
#else
#define HAS_EDITING "no (libedit)"
#endif
#ifdef HAVE_OPENSSL
#define HAS_TLS "yes"
#else
#define HAS_TLS "no (openssl)"
#endif
#ifdef HAVE_JANSSON
#define HAS_JSON "yes"
#else
#define HAS_JSON "no (jansson)"
#endif
#ifdef HAVE_ZLIB
#define HAS_LOGS "yes"
#else
#define HAS_LOGS "no (zlib)"
#endif

static int print_command_help(const struct options_syntax *s)
{
	const struct options_operand *operand;

	stream_print("Usage: %s %s", cli_program(), s->command);
	for (operand = s->operands; operand->name; operand++)
		stream_print(" %s", operand->name);
	if (s->optional)
		stream_print(" [%s]", s->optional);
	stream_print("%s [OPTION]...\n%s\n", s->has_list ? "..." : "",
		     s->about);
	if (!s->is_local)
		stream_print(
			"Addresses: host:port  :port  [v6]:port  unix:/path  "
			"unix:@name%s\n",
			s->has_no_fd ? "" : "  fd:N");
	stream_print("\nOptions:\n");
	cli_print_options(s->table, stream_out());
	if (!s->is_local)
		stream_print(
			"\nA DURATION is a number with a unit, such as 500ms, "
			"10s, 2m or 1h, or never.\n");
	stream_print("\nExamples:\n%s", s->examples);
	return cli_flush();
}

int options_print_version(void)
{
	stream_print("%s %s\n"
		     "line editing %s, JSON %s, histogram logs %s, TLS %s\n",
		     cli_program(), weir_version(), HAS_EDITING, HAS_JSON,
		     HAS_LOGS, HAS_TLS);
	return cli_flush();
}

static void report_missing(const struct options_syntax *s,
			   const struct options_operand *missing)
{
	char line[256];
	size_t used = 0;

	for (const struct options_operand *o = s->operands;
	     o->name && used < sizeof(line); o++)
		used += (size_t)snprintf(line + used, sizeof(line) - used,
					 " %s", o->example);
	cli_error("%s is missing, as in %s %s%s", missing->what, cli_program(),
		  s->command, line);
}

/* No address lacks a colon. */
static bool is_misspelt_command(const struct options_syntax *s,
				const char *word)
{
	struct guess guess = { .word = word, .len = strlen(word) };

	for (size_t i = 0; s->commands && s->commands[i]; i++)
		guess_consider(&guess, s->commands[i]);
	if (!guess.best || strchr(word, ':'))
		return false;
	cli_error("unknown subcommand '%s'; did you mean '%s'? see %s %s "
		  "--help",
		  word, guess.best, cli_program(), s->command);
	return true;
}

static bool check_operands(const struct options_syntax *s, int count,
			   char **operands)
{
	const struct options_operand *operand = s->operands;

	if (count > 0 && is_misspelt_command(s, operands[0]))
		return false;
	for (; operand->name; operand++, operands++)
		if (count-- == 0) {
			report_missing(s, operand);
			return false;
		}
	if (s->optional && count > 0) {
		operands++;
		count--;
	}
	if (s->has_list)
		return true;
	if (count > 0)
		cli_error("unexpected argument '%s'; see %s %s --help",
			  operands[0], cli_program(), s->command);
	return count == 0;
}

static int complete_operand(const struct options_syntax *s, int argc,
			    char **argv)
{
	for (size_t i = 0; argc == 2 && s->commands && s->commands[i]; i++)
		complete_word(argc, argv, s->commands[i], "");
	if (s->is_local)
		stream_print(":files\n");
	return cli_flush();
}

int options_parse(const struct options_syntax *s, void *to, int argc,
		  char **argv)
{
	int key;

	if (complete_is_asked())
		return complete_option(s->table, argc, argv)
			       ? cli_flush()
			       : complete_operand(s, argc, argv);
	while ((key = cli_next(s->table, argc, argv)) != CLI_END) {
		if (key == 'h')
			return print_command_help(s);
		if (key == 'V')
			return options_print_version();
		if (key == CLI_BAD || !s->take(to, key))
			return CLI_USAGE;
	}
	return check_operands(s, argc - optind, argv + optind) ? -1 : CLI_USAGE;
}

bool options_check_address(const char *where)
{
	char wrong[128];
	int kind =
		weir_address_check(where, WEIR_TO_DIAL, wrong, sizeof(wrong));

	if (kind < 0)
		cli_error("bad address '%s': %s", where, wrong);
	return kind >= 0;
}

bool options_take_timeout(int *ret)
{
	if (cli_parse_duration(optarg, ret))
		return true;
	cli_error("--timeout: '%s' is not a duration like 500ms, 10s, 2m, 1h "
		  "(up to 596h) or never",
		  optarg);
	return false;
}
