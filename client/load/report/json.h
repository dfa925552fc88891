/* SPDX-License-Identifier: MIT */
/* JSON of schema "weir-load", version 1, described in docs/LOAD_JSON.md. */
#ifndef LOAD_JSON_H
#define LOAD_JSON_H

#include <stdbool.h>

#include "../judge/gates.h"
#include "../judge/search.h"
#include "../measure/result.h"

#define JSON_SCHEMA  "weir-load"
#define JSON_VERSION 1

/* Does this build have jansson? */
bool json_is_available(void);
#define JSON_UNAVAILABLE "this build has no jansson, which JSON needs"

/* To be freed; NULL without memory. */
char *json_text(const struct result *r, const struct gates *gates);

/* Returns CLI_DONE, or CLI_FAILED after printing an error. */
int json_write(const char *path, const struct result *r,
	       const struct gates *gates);

/* The same for a search: schema "weir-load-find". */
int json_write_find(const char *path, const struct find *f);

#endif
