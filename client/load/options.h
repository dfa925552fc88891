/* SPDX-License-Identifier: MIT */
/* The command line of weir-client load; load find shares most of it. */
#ifndef LOAD_OPTIONS_H
#define LOAD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "../../cli/cli.h"
#include "../tls_options.h"
#include "judge/gates.h"
#include "plan.h"

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

#define SOURCES_MAX 65536

struct load_options {
	struct plan plan;
	/* Paths or NULL. */
	const char *json, *hlog, *html, *junit, *markdown, *metrics;
	int64_t progress_ns; /* --progress; 0: none */
	struct gates gates;
	bool is_quiet;
	bool stops_early; /* when a gate cannot pass any more */
	bool has_duration;
	bool is_dry_run, is_show;
	bool has_form, has_banner; /* given: --size or --random; --banner */
	char **sources;		   /* owns those of the plan */
	char *socket_text;
	struct tls_options tls;
	char tls_name[TLS_NAME_ROOM]; /* of the address */
	double percentiles[PLAN_MORE_PERCENTILES];
	struct template text;	   /* plan.text, or empty */
	struct data_lines lines;   /* of --data */
	struct load_script script; /* plan.script, or empty */
	bool has_content;	   /* given: an option that --script replaces */
};

/* Returns -1 to go on, or the exit status; load_options_fini() in any case. */
int load_options_parse(struct load_options *ret, int argc, char **argv);
void load_options_fini(struct load_options *o);

/* For load find, which has more options.  The table ends with a NULL name. */
extern const struct cli_option load_option_table[];
bool load_options_take(void *to, int key);

void load_options_init(struct load_options *o);

/* Check all options together.  Returns as load_options_parse(). */
int load_options_check(struct load_options *o, const char *address);

/* The value is in optarg; false after an error. */
bool value_rate(const char *name, double *ret);

#endif
