/* SPDX-License-Identifier: MIT */
/* The load generator's options and result. */
#ifndef GEN_H
#define GEN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "hist.h"

struct gen_settings {
	int port;
	int connections;
	int depth;	      /* messages on the way on each, closed loop */
	int size;	      /* of a message, bytes */
	int idle;	      /* more connections, that say one thing */
	int sleepers;	      /* more, whose messages make the server sleep */
	const char *sleep_ms; /* that long */
	int sources;	      /* addresses to connect from */
	int churn;	      /* a connection for each message */
	double rate;	      /* messages a second; 0: closed loop */
	double warmup, seconds;
	uint64_t messages; /* end after so many; 0: by time only */
	pid_t server;	   /* whose processor time to count; 0: nobody's */
};

struct gen_result {
	double seconds, own_cpu, server_cpu;
	uint64_t messages, errors, unsent;
};

void gen_options(struct gen_settings *s, int argc, char **argv);

/* Messages of this size that end in a newline; sleep: how they begin. */
void gen_fill(char *block, size_t room, size_t size, const char *sleep_ms);

/* Add the processor times so far, multiplied by sign. */
void gen_clocks(struct gen_result *r, pid_t server, int sign);

int gen_unblock(int fd);

void gen_print(const struct gen_result *r, const struct hist *latency,
	       const struct hist *lag);

#endif
