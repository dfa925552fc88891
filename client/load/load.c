/* SPDX-License-Identifier: MIT */
/*
 * The command load: plan, run, report.
 */
#include "load.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "../../cli/cli.h"
#include "../command.h"
#include "limits.h"
#include "merge.h"
#include "run.h"
#include "units.h"

static void interrupt(int signo)
{
	(void)signo;
	run_interrupt();
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = interrupt,
				    .sa_flags =
					    (int)(SA_RESTART | SA_RESETHAND) };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

static void print_result(const struct result *r)
{
	const struct histogram *h = r->clocks[result_main_clock(r->plan)];
	char text[4][UNITS_TEXT];

	printf("%s  %s  %s answered of %s\n", r->target,
	       plan_mode_text(r->plan), units_count(r->books.answered, text[0]),
	       units_count(r->books.planned, text[1]));
	if (h)
		printf("p50 %s  p99 %s\n",
		       units_time(histogram_percentile(h, 50), text[2]),
		       units_time(histogram_percentile(h, 99), text[3]));
}

static int load_run(const struct load_options *o)
{
	struct result result;
	int status = limits_prepare(&o->plan);

	if (status == CLI_DONE)
		status = run(&result, &o->plan, NULL, NULL);
	if (status != CLI_DONE)
		return status;
	print_result(&result);
	result_free(&result);
	return cli_flush();
}

int load(int argc, char **argv)
{
	struct load_options options;
	int status;

	if (argc > 1 && strcmp(argv[1], "merge") == 0)
		return load_merge(argc - 1, argv + 1);
	status = load_options_parse(&options, argc, argv);
	if (status < 0) {
		catch_signals();
		status = load_run(&options);
	}
	load_options_fini(&options);
	return status;
}
