/* SPDX-License-Identifier: MIT */
/*
 * The output of a transfer: PATH.part, which is renamed to PATH when it is
 * complete, so that PATH is never incomplete; or standard output.
 *
 * Each call returns CLI_DONE, or the exit status after printing an error.
 */
#ifndef CLIENT_PART_FILE_H
#define CLIENT_PART_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "screen.h"

struct part_file {
	const char *path; /* "-": standard output */
	bool may_replace; /* an existing file */
	char *part;	  /* its name; NULL if not open or standard output */
	int fd;
	int64_t len; /* written */
	struct screen screen;
};

/* Check what can be checked without creating a file. */
int part_file_check(const struct part_file *t);

int part_file_open(struct part_file *t);

int part_file_write(struct part_file *t, const char *data, size_t len);

int part_file_finish(struct part_file *t);

/* An unfinished part stays, unless it is empty. */
void part_file_close(struct part_file *t);

#endif
