/* SPDX-License-Identifier: MIT */
/*
 * The file of --config: "name = value" lines, whose names are those of the long
 * options.  Empty lines and lines that begin with # are ignored.
 */
#ifndef SERVER_CONFIG_FILE_H
#define SERVER_CONFIG_FILE_H

#include <stdbool.h>

#include "../cli/cli.h"

struct arguments {
	int count;
	int made; /* all[1] to all[made - 1] are ours to free */
	char **all;
};

/*
 * The options of the file come before those of argv, so that the command line
 * wins.  Names are those of table that take a value, but not "config".
 * Returns false after printing an error.
 */
bool config_file_read(struct arguments *ret, const char *path,
		      const struct cli_option *table, int argc, char **argv);

void config_file_free(struct arguments *a);

#endif
