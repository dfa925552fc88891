/* SPDX-License-Identifier: MIT */
/*
 * JSON of schema "weir-load", version 1, described in docs/LOAD_JSON.md, and
 * the self-contained page with that JSON and the script that draws it.
 */
#ifndef LOAD_JSON_H
#define LOAD_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "../judge/gates.h"
#include "../judge/search.h"
#include "../measure/result.h"

#define JSON_SCHEMA  "weir-load"
#define JSON_VERSION 1

#define JSON_MODES     4
#define JSON_SCHEDULES 3
#define JSON_PAYLOADS  3
#define JSON_BANNERS   4
extern const char *const json_modes[],
	*const json_schedules[], *const json_payloads[], *const json_banners[];

bool json_is_available(void);
#define JSON_UNAVAILABLE "this build has no jansson, which JSON needs"

/* To be freed; NULL without memory. */
char *json_text(const struct result *r, const struct gates *gates);

int json_write(const char *path, const struct result *r,
	       const struct gates *gates);

int html_write(const char *path, const struct result *r,
	       const struct gates *gates);

/* What is around the JSON in the page, made by html/embed.sh. */
extern const unsigned char html_head[], html_tail[];
extern const size_t html_head_len, html_tail_len;

/* Of a search: schema "weir-load-find". */
int json_write_find(const char *path, const struct find *f);

#endif
