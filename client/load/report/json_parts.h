/* SPDX-License-Identifier: MIT */
/*
 * The parts of the JSON.  Each is a new value, or NULL when there is no
 * memory; json_pack() passes a NULL on, so that it is seen once, at the top.
 */
#ifndef LOAD_JSON_PARTS_H
#define LOAD_JSON_PARTS_H

#include <jansson.h>

#include "../judge/gates.h"
#include "../measure/result.h"

/* Foreign bytes as text: what is no UTF-8 is escaped. */
json_t *json_foreign(const char *text, size_t len);

/* A number, or null. */
json_t *json_known(bool is_known, int64_t number);

/* json_plan.c */
json_t *json_plan(const struct plan *p);

/* json.c */
json_t *json_gates(const struct gates *gates);

/* json_clocks.c */
json_t *json_clocks(const struct result *r);
json_t *json_seconds(const struct result *r);

#endif
