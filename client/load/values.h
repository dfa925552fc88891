/* SPDX-License-Identifier: MIT */
/*
 * The values of the options of load.  Each reads optarg, and returns false
 * after a complaint that names the option.
 */
#ifndef LOAD_VALUES_H
#define LOAD_VALUES_H

#include <stdbool.h>

#include "load.h"

#define VALUE_LINKS_MAX 1000000

bool value_number(const char *name, int min, int max, int *ret);
bool value_rate(const char *name, double *ret);
bool value_count(uint64_t *ret);
bool value_duration(const char *name, int64_t *ret);
bool value_seed(uint64_t *ret);
bool value_size(struct plan *p);
bool value_close(struct plan *p);
bool value_expect(struct plan *p);
bool value_banner(struct plan *p);
bool value_misfits(struct plan *p);
bool value_sources(struct load_options *o);
bool value_text(struct load_options *o);
bool value_file(struct load_options *o);
bool value_mode(struct load_options *o, enum plan_mode mode);

#endif
