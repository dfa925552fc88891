/* SPDX-License-Identifier: MIT */
/*
 * What a plan needs of the machine: descriptors and ports.  Checked before the
 * run, because a run with fewer connections than asked for is worthless.
 */
#ifndef LOAD_LIMITS_H
#define LOAD_LIMITS_H

#include <stddef.h>

#include "../plan.h"

struct limits {
	size_t descriptors, descriptors_allowed;
	size_t connections;
	size_t ports; /* per source address; 0: none needed */
};

void limits_find(struct limits *ret, const struct plan *plan);

/*
 * Raise the descriptor limit if needed.  Returns CLI_DONE, or CLI_USAGE after
 * printing what is possible.
 */
int limits_prepare(const struct plan *plan);

#endif
