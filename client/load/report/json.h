/* SPDX-License-Identifier: MIT */
/*
 * A result for programs: JSON of schema "weir-load", version 1, which
 * docs/LOAD_JSON.md describes field by field.
 */
#ifndef LOAD_JSON_H
#define LOAD_JSON_H

#include <stdbool.h>

#include "../judge/gates.h"
#include "../judge/search.h"
#include "../measure/result.h"

#define JSON_SCHEMA  "weir-load"
#define JSON_VERSION 1

/* Has this build jansson?  To be asked while options are read. */
bool json_is_available(void);
#define JSON_UNAVAILABLE "this build has no jansson, which JSON needs"

/* To be freed.  NULL when there is no memory. */
char *json_text(const struct result *r, const struct gates *gates);

/* Returns CLI_DONE, or CLI_FAILED after a complaint. */
int json_write(const char *path, const struct result *r,
	       const struct gates *gates);

/* The same of a search: schema "weir-load-find". */
int json_write_find(const char *path, const struct find *f);

#endif
