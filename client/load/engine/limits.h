/* SPDX-License-Identifier: MIT */
/*
 * What a plan needs of the machine: descriptors and ports.  Found out before
 * the run, because a run with fewer connections than asked for is worth
 * nothing.
 */
#ifndef LOAD_LIMITS_H
#define LOAD_LIMITS_H

#include <stddef.h>

#include "../plan.h"

struct limits {
	size_t descriptors, descriptors_allowed;
	size_t connections;
	size_t ports; /* of each source address; 0: no ports are needed */
};

void limits_find(struct limits *ret, const struct plan *plan);

/*
 * Raise what may be raised.  Returns CLI_DONE, or CLI_USAGE after a complaint
 * that says what would be possible.
 */
int limits_prepare(const struct plan *plan);

#endif
