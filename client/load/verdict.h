/* SPDX-License-Identifier: MIT */
/*
 * Can the figures be trusted?  How much of what was measured is our own doing.
 */
#ifndef LOAD_VERDICT_H
#define LOAD_VERDICT_H

#include "result.h"

/* Fill in the verdict and its reasons from the rest of the result. */
void verdict_judge(struct result *r);

#endif
