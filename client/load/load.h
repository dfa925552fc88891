/* SPDX-License-Identifier: MIT */
/*
 * The commands of weir-client load.
 */
#ifndef LOAD_LOAD_H
#define LOAD_LOAD_H

#include "judge/gates.h"
#include "measure/result.h"
#include "plan.h"

int load_find(int argc, char **argv);
int load_compare(int argc, char **argv);
int load_merge(int argc, char **argv);

/* Returns what report() returns, or CLI_USAGE after printing an error. */
typedef int merge_report(void *arg, const struct result *r);
int load_merge_runs(char **paths, size_t count, merge_report *report,
		    void *arg);

/* Do one exchange and print it.  CLI_DONE: the reply was good. */
int load_show(const struct plan *plan);

#endif
