/* SPDX-License-Identifier: MIT */
/*
 * The command line of weir-client load, an argument a line: rates, sizes,
 * payloads, gates and misbehaving clients.  It is taken, and then what is to
 * be done can be done; or there is one line that says why not.
 */
#include "fuzz.h"

#include <dlfcn.h>
#include <getopt.h>
#include <math.h>
#include <regex.h>

#include "../../cli/cli.h"
#include "../../client/load/engine/bad_clients.h"
#include "../../client/load/options.h"

#define ARGUMENTS 64

const char fuzz_corpus[] = "load_options";

/* Instead of the system's, which takes any memory for repeated repetitions. */
int regcomp(regex_t *ret, const char *pattern, int flags)
{
	__typeof__(&regcomp) next;

	if (strchr(pattern, '{'))
		return REG_ESPACE;
	*(void **)&next = dlsym(RTLD_NEXT, "regcomp");
	return next(ret, pattern, flags);
}

static void check_bad_clients(const struct plan *p)
{
	for (int i = 0; i < BAD_CLIENT_KINDS; i++)
		REQUIRE(p->bad_clients[i] >= 0);
	REQUIRE(bad_clients_count(p) >= 0);
}

static void check(const struct load_options *o)
{
	const struct plan *p = &o->plan;

	REQUIRE(p->address && plan_mode_text(p));
	REQUIRE(p->connections >= p->threads && p->threads >= 1);
	REQUIRE(p->depth >= 1 && p->idle >= 0);
	REQUIRE(isfinite(p->rate) && p->rate >= 0);
	REQUIRE(isfinite(p->connect_rate) && p->connect_rate >= 0);
	REQUIRE(p->duration_ns > 0 && p->timeout_ns > 0);
	REQUIRE(p->duration_ns < INT64_MAX || p->count > 0);
	REQUIRE(p->size_min >= 1 && p->size_min <= p->size_max);
	REQUIRE((p->payload == PAYLOAD_TEXT) == (p->text || p->script));
	REQUIRE(p->expect == EXPECT_FRAMED ||
		!expectation_has_checks(&p->expected));
	REQUIRE(p->banner != BANNER_TEXT || p->banner_text[0]);
	REQUIRE(p->source_count <= SOURCES_MAX);
	check_bad_clients(p);
	for (size_t i = 0; i < o->gates.count; i++)
		REQUIRE(isfinite(o->gates.list[i].limit) &&
			o->gates.list[i].limit >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	char *argv[ARGUMENTS + 2] = { (char[]){ "load" } };
	struct load_options o;
	int argc = fuzz_arguments(argv, ARGUMENTS, text), status;

	optind = 0;
	fuzz_listen();
	status = load_options_parse(&o, argc, argv);
	if (status < 0)
		check(&o);
	load_options_fini(&o);
	fuzz_expect_answer(status);
	free(text);
	return 0;
}
