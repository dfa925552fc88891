/* SPDX-License-Identifier: MIT */
#include "complete.h"

#include <stdio.h>
#include <string.h>

#include "stream.h"

static bool is_asked;

bool complete_begin(int *argc, char **argv)
{
	if (*argc < 3 || strcmp(argv[1], "__complete") != 0)
		return false;
	is_asked = true;
	for (int i = 1; i < *argc; i++)
		argv[i] = argv[i + 1];
	--*argc;
	return true;
}

bool complete_is_asked(void)
{
	return is_asked;
}

void complete_word(int argc, char **argv, const char *word, const char *help)
{
	const char *cursor = argv[argc - 1];

	if (strncmp(word, cursor, strlen(cursor)) == 0)
		stream_print("%s\t%.*s\n", word, (int)strcspn(help, "\n"),
			     help);
}

static bool is_option(const struct cli_option *o, const char *word)
{
	if (word[0] == '-' && word[1] == '-')
		return strcmp(word + 2, o->name) == 0;
	return word[0] == '-' && word[1] == o->key && word[2] == '\0';
}

static bool takes_file(const struct cli_option *o)
{
	return strcmp(o->arg, "FILE") == 0 || strcmp(o->arg, "PATH") == 0 ||
	       strcmp(o->arg, "FOLDER") == 0;
}

bool complete_option(const struct cli_option *table, int argc, char **argv)
{
	const char *before = argc > 2 ? argv[argc - 2] : "";
	char word[64];

	for (const struct cli_option *o = table; o->name; o++) {
		if (!o->arg || o->arg[0] == '[' || !is_option(o, before))
			continue;
		if (takes_file(o))
			stream_print(":files\n");
		return true;
	}
	if (argv[argc - 1][0] != '-')
		return false;
	for (const struct cli_option *o = table; o->name; o++) {
		snprintf(word, sizeof(word), "--%s", o->name);
		complete_word(argc, argv, word, o->help);
	}
	return true;
}
