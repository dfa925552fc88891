/* SPDX-License-Identifier: MIT */
/*
 * weir-server as a process of its own.  The environment's WEIR_SERVER says
 * where it is; a call fails the test when it cannot do what its name says.
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

/* Returns when it is ready; options end with NULL. */
void program_start(struct program *p, char *const options[]);
/* Returns at once, in whatever it will end. */
void program_spawn(struct program *p, char *const options[]);
/* Of its first listener. */
void program_address(const struct program *p, char *buf, size_t cap);
/* Waits for its end, whatever made it end; what waitpid(2) says of it. */
int program_wait(struct program *p);
/* Waits for its end, for which somebody has asked; its exit status. */
int program_wait_drained(struct program *p, struct drained *ret);

#endif
