/* SPDX-License-Identifier: MIT */
/*
 * The values of --access.  Each is rules with semicolons between them, or the
 * path of a file of rules.
 */
#ifndef SERVER_RULES_H
#define SERVER_RULES_H

#include <stdbool.h>
#include <stddef.h>

#include <weir.h>

/* The path in value; NULL: it has rules. */
const char *rules_path(const char *value);

/*
 * Make one object of the rules of all values, in their order; NULL of none.
 * Returns false after printing an error.
 */
bool rules_load(weir_access **ret, const char *const *values, size_t count);

#endif
