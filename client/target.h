/* SPDX-License-Identifier: MIT */
/*
 * Where a transfer goes: to PATH.part, which becomes PATH when all is there,
 * so that PATH is never a part of something; or to standard output.
 *
 * Each call returns CLI_DONE, or the exit status after a complaint.
 */
#ifndef CLIENT_TARGET_H
#define CLIENT_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "screen.h"

struct target {
	const char *path; /* "-": standard output */
	bool may_replace; /* what is at path */
	char *part;	  /* NULL until open, and for standard output */
	int fd;
	int64_t len; /* written */
	struct screen screen;
};

/* Could it be written, as far as can be told without a change? */
int target_check(const struct target *t);

int target_open(struct target *t);

int target_write(struct target *t, const char *data, size_t len);

/* All is there. */
int target_finish(struct target *t);

/* The end; what was not finished stays in the part, unless it is empty. */
void target_close(struct target *t);

#endif
