/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gen.h"

static const struct option options[] = {
	{ "port", required_argument, NULL, 'p' },
	{ "connections", required_argument, NULL, 'c' },
	{ "depth", required_argument, NULL, 'd' },
	{ "size", required_argument, NULL, 's' },
	{ "idle", required_argument, NULL, 'i' },
	{ "sleepers", required_argument, NULL, 'l' },
	{ "sleep-ms", required_argument, NULL, 'L' },
	{ "sources", required_argument, NULL, 'S' },
	{ "churn", no_argument, NULL, 'C' },
	{ "rate", required_argument, NULL, 'r' },
	{ "warmup", required_argument, NULL, 'w' },
	{ "seconds", required_argument, NULL, 't' },
	{ "messages", required_argument, NULL, 'm' },
	{ "server", required_argument, NULL, 'P' },
	{ NULL, 0, NULL, 0 },
};

static void set_option(struct gen_settings *s, int option, char *value)
{
	switch (option) {
	case 'p':
		s->port = atoi(value);
		break;
	case 'c':
		s->connections = atoi(value);
		break;
	case 'd':
		s->depth = atoi(value);
		break;
	case 's':
		s->size = atoi(value);
		break;
	case 'i':
		s->idle = atoi(value);
		break;
	case 'l':
		s->sleepers = atoi(value);
		break;
	case 'L':
		s->sleep_ms = value;
		break;
	case 'S':
		s->sources = atoi(value);
		break;
	case 'C':
		s->churn = 1;
		break;
	case 'r':
		s->rate = atof(value);
		break;
	case 'w':
		s->warmup = atof(value);
		break;
	case 't':
		s->seconds = atof(value);
		break;
	case 'm':
		s->messages = strtoull(value, NULL, 10);
		break;
	case 'P':
		s->server = atoi(value);
		break;
	default:
		exit(2);
	}
}

void gen_options(struct gen_settings *s, int argc, char **argv)
{
	int option;

	*s = (struct gen_settings){ .connections = 1,
				    .depth = 1,
				    .size = 64,
				    .sleep_ms = "10",
				    .seconds = 3 };
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		set_option(s, option, optarg);
	if (s->port <= 0 || s->connections < 1 || s->depth < 1 || s->size < 1 ||
	    s->idle < 0 || s->sleepers < 0 || s->rate < 0) {
		fprintf(stderr,
			"gen: --port is wanted; --connections, --depth and "
			"--size are at least 1\n");
		exit(2);
	}
}

void gen_fill(char *block, size_t room, size_t size, const char *sleep_ms)
{
	char head[32] = "";

	if (*sleep_ms)
		snprintf(head, sizeof(head), "SLEEP %s\n", sleep_ms);
	for (size_t i = 0; i < room; i++)
		block[i] = (char)('a' + i % size % 26);
	for (size_t at = 0; at + size <= room; at += size) {
		size_t len = strlen(head);

		memcpy(block + at, head, len < size ? len : size);
		block[at + size - 1] = '\n';
	}
}

static double clock_of(clockid_t clock)
{
	struct timespec ts = { 0 };

	(void)clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

void gen_clocks(struct gen_result *r, pid_t server, int sign)
{
	clockid_t clock;

	r->own_cpu += sign * clock_of(CLOCK_PROCESS_CPUTIME_ID);
	if (server <= 0)
		return;
	if (clock_getcpuclockid(server, &clock) != 0) {
		fprintf(stderr, "gen: the server has ended\n");
		exit(1);
	}
	r->server_cpu += sign * clock_of(clock);
}

int gen_unblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 ? flags : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static void print_hist(const char *name, const struct hist *h)
{
	static const struct {
		const char *name;
		double part;
	} parts[] = {
		{ "p50", .5 }, { "p90", .9 }, { "p99", .99 }, { "p999", .999 }
	};

	printf(", \"%s\": {\"count\": %llu", name,
	       (unsigned long long)h->count);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		printf(", \"%s\": %.3f", parts[i].name,
		       (double)hist_at(h, parts[i].part) / 1000);
	printf(", \"max\": %.3f, \"mean\": %.3f}", (double)h->max / 1000,
	       h->count ? (double)h->sum / (double)h->count / 1000 : 0.0);
}

void gen_print(const struct gen_result *r, const struct hist *latency,
	       const struct hist *lag)
{
	printf("{\"messages\": %llu, \"errors\": %llu, \"unsent\": %llu, "
	       "\"seconds\": %.6f, \"own_cpu_s\": %.6f, "
	       "\"server_cpu_s\": %.6f",
	       (unsigned long long)r->messages, (unsigned long long)r->errors,
	       (unsigned long long)r->unsent, r->seconds, r->own_cpu,
	       r->server_cpu);
	print_hist("latency_us", latency);
	print_hist("lag_us", lag);
	printf("}\n");
	fflush(stdout);
}
