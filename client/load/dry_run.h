/* SPDX-License-Identifier: MIT */
/*
 * --dry-run: what a plan would do, and what it needs.
 */
#ifndef LOAD_DRY_RUN_H
#define LOAD_DRY_RUN_H

#include "plan.h"

/* Returns the exit status: CLI_USAGE if the machine does not allow the plan. */
int dry_run(const struct plan *plan);

#endif
