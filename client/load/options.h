/* SPDX-License-Identifier: MIT */
/*
 * The command line of weir-client load, and what load find shares of it.
 */
#ifndef LOAD_OPTIONS_H
#define LOAD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "../../cli/cli.h"
#include "judge/gates.h"
#include "plan.h"

/* What the help says of options that this build cannot follow. */
#ifdef HAVE_JANSSON
#define JSON_NOTE ""
#else
#define JSON_NOTE "\n(not in this build: it has no jansson)"
#endif
#ifdef HAVE_ZLIB
#define HLOG_NOTE ""
#else
#define HLOG_NOTE "\n(not in this build: it has no zlib)"
#endif

/* Exit status besides those of every program. */
#define LOAD_GATE_FAILED 3

#define SOURCES_MAX 64

struct load_options {
	struct plan plan;
	const char *json, *hlog, *html; /* paths; NULL */
	struct gates gates;
	bool is_strict;
	bool is_quiet;
	bool is_dry_run;
	bool has_form, has_banner; /* --size or --random, --banner given */
	char *text;		   /* what plan.text points to, or NULL */
	char *sources_text;
	const char *sources[SOURCES_MAX];
};

/*
 * Read and check the command line.  Returns -1 to go on, or the exit status.
 * Undo with load_options_fini() in any case.
 */
int load_options_parse(struct load_options *ret, int argc, char **argv);
void load_options_fini(struct load_options *o);

/* ----------------------------------------------- for what has more options */

/* The rows of load, up to a NULL name, and who reads their values. */
extern const struct cli_option load_option_table[];
bool load_options_take(void *to, int key);

void load_options_init(struct load_options *o);

/* All together, after they have been read.  Returns as load_options_parse(). */
int load_options_check(struct load_options *o, const char *address);

/* A rate from optarg; false after a complaint that names the option. */
bool value_rate(const char *name, double *ret);

#endif
