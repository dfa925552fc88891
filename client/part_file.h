/* SPDX-License-Identifier: MIT */
/*
 * Where a transfer goes: to PATH.part, which becomes PATH when all is there,
 * so that PATH is never a part of something; or to standard output.
 *
 * Each call returns CLI_DONE, or the exit status after a complaint.
 */
#ifndef CLIENT_PART_FILE_H
#define CLIENT_PART_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "screen.h"

struct part_file {
	const char *path; /* "-": standard output */
	bool may_replace; /* what is at path */
	char *part;	  /* NULL until open, and for standard output */
	int fd;
	int64_t len; /* written */
	struct screen screen;
};

/* Could it be written, as far as can be told without a change? */
int part_file_check(const struct part_file *t);

int part_file_open(struct part_file *t);

int part_file_write(struct part_file *t, const char *data, size_t len);

/* All is there. */
int part_file_finish(struct part_file *t);

/* The end; what was not finished stays in the part, unless it is empty. */
void part_file_close(struct part_file *t);

#endif
