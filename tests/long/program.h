/* SPDX-License-Identifier: MIT */
/*
 * weir-server (WEIR_SERVER in the environment) in a child process.  A call that
 * cannot do what its name says fails the test.
 */
#ifndef TESTS_LONG_PROGRAM_H
#define TESTS_LONG_PROGRAM_H

#include <stddef.h>
#include <sys/types.h>

struct program {
	pid_t pid;
	int out;
	size_t len;
	char text[8192]; /* what it has printed */
};

/* The counts of its last line. */
struct drained {
	unsigned long accepted, completed, refused, cut, failed, timed_out;
};

/* Returns when it is ready. The options end with NULL. */
void program_start(struct program *p, char *const options[]);
/* Returns at once. */
void program_spawn(struct program *p, char *const options[]);
/* The address of its first listener. */
void program_address(const struct program *p, char *buf, size_t cap);
/* Wait for its end; returns the status of waitpid(2). */
int program_wait(struct program *p);
/* Wait for its end after a stop; returns the exit status. */
int program_wait_drained(struct program *p, struct drained *ret);

#endif
