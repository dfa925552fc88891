/* SPDX-License-Identifier: MIT */
/*
 * The command line of weir-server, an argument a line.  It is taken, and then
 * its figures are in range and can be printed; or there is one line that says
 * why not.
 */
#include "fuzz.h"

#include <getopt.h>

#include "../../cli/cli.h"
#include "../../cli/text.h"
#include "../../server/options.h"

#define ARGUMENTS 64

const char fuzz_corpus[] = "server_options";

static void check_duration(int ms)
{
	char text[CLI_DURATION_TEXT];
	int again = 0;

	REQUIRE(ms > 0 || ms == WEIR_NEVER);
	REQUIRE(cli_parse_duration(cli_duration_text(ms, text), &again));
	REQUIRE(again == ms);
}

static void check(const struct options *o)
{
	const struct weir_config *c = &o->config;
	const struct weir_service *l = &o->limits;

	REQUIRE(c->workers >= 1 && c->queue_length >= 1);
	REQUIRE(c->max_connections >= 1 && c->refusal);
	REQUIRE(l->mode >= 0 && l->mode <= 0777); /* 0: the default */
	REQUIRE(o->listeners.count >= 1);
	check_duration(c->queue_age_ms);
	if (c->lame_duck_ms != 0)
		check_duration(c->lame_duck_ms);
	check_duration(c->drain_ms);
	check_duration(l->first_byte_ms);
	check_duration(l->read_ms);
	check_duration(l->write_ms);
	check_duration(l->idle_ms);
	check_duration(l->lifetime_ms);
	REQUIRE(options_print(o) == CLI_DONE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	char *argv[ARGUMENTS + 2] = { (char[]){ "weir-server" } };
	struct options o;
	int argc = fuzz_arguments(argv, ARGUMENTS, text), status;

	optind = 0;
	fuzz_listen();
	status = options_parse(&o, argc, argv);
	if (status < 0)
		check(&o);
	options_fini(&o);
	fuzz_expect_answer(status);
	free(text);
	return 0;
}
