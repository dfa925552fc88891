/* SPDX-License-Identifier: MIT */
/*
 * Every system call that the scenarios reach fails, once, for a while and from
 * then on: see tests/sweep/sweep.h.
 *
 *   failure_sweep [SCENARIO]
 *     all, or those of one scenario
 *   failure_sweep SCENARIO CALL@STACK N MODE ERROR
 *     one, as a failure names it
 *
 * STACK is the hash of a call stack; another build has others.
 */
#include "test.h"

#include "../sweep/sweep.h"

static const struct sweep_scenario *scenario_named(const char *name)
{
	const struct sweep_scenario *s = sweep_scenarios;

	while (s->name && strcmp(s->name, name) != 0)
		s++;
	return s->name ? s : NULL;
}

static int call_named(const char *name, size_t len)
{
	int i = 0;

	while (i < WR_SYS_CALL_COUNT &&
	       (strlen(wr_sys_call_names[i]) != len ||
		memcmp(wr_sys_call_names[i], name, len) != 0))
		i++;
	return i;
}

static int usage(void)
{
	fputs("usage: failure_sweep [SCENARIO [CALL@STACK N MODE ERROR]]\n",
	      stderr);
	return 2;
}

/* CALL@STACK N MODE ERROR */
static bool parse(struct sweep_plan *plan, char **args)
{
	const char *const *modes = sweep_mode_names();
	const char *at = strchr(args[0], '@');
	int mode = 0;

	if (!at)
		return false;
	plan->call =
		(enum wr_sys_call)call_named(args[0], (size_t)(at - args[0]));
	plan->stack = (uint32_t)strtoul(at + 1, NULL, 16);
	plan->nth = atoi(args[1]);
	while (modes[mode] && strcmp(modes[mode], args[2]) != 0)
		mode++;
	plan->mode = (enum sweep_mode)mode;
	plan->error = sweep_error_named(args[3]);
	return plan->call < WR_SYS_CALL_COUNT && plan->nth > 0 && modes[mode] &&
	       plan->error <= 0;
}

static int run(const struct sweep_scenario *only)
{
	struct sweep_counts all = { 0 };

	for (const struct sweep_scenario *s = sweep_scenarios; s->name; s++) {
		struct sweep_counts counts = { 0 };
		int64_t began = now_ms();

		if (only && s != only)
			continue;
		sweep_run(s, 0, 1, &counts);
		printf("%-14s %4d stacks %5d runs, %d failed, %d idle, "
		       "longest %lld ms, %lld s\n",
		       s->name, counts.stacks, counts.runs, counts.failed,
		       counts.idle, (long long)counts.longest_ms,
		       (long long)(now_ms() - began) / 1000);
		if (counts.idle >= counts.runs) {
			printf("FAIL: no call of %s has failed\n", s->name);
			counts.failed++;
		}
		fflush(stdout);
		all.runs += counts.runs;
		all.failed += counts.failed;
		all.idle += counts.idle;
	}
	printf("%d runs, %d failed, %d idle\n", all.runs, all.failed, all.idle);
	return all.failed > 0;
}

int main(int argc, char **argv)
{
	const struct sweep_scenario *scenario =
		argc > 1 ? scenario_named(argv[1]) : NULL;
	struct sweep_plan plan;

	if (argc > 1 && !scenario)
		return usage();
	if (argc <= 2)
		return run(scenario);
	if (argc != 6 || !parse(&plan, argv + 2))
		return usage();
	return !sweep_rerun(scenario, &plan);
}
