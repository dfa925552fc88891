/* SPDX-License-Identifier: MIT */
/* A search as text: the plan, a line for each step, the answer. */
#ifndef LOAD_FIND_REPORT_H
#define LOAD_FIND_REPORT_H

#include <stdio.h>

#include "../judge/search.h"

void find_print_plan(const struct find *f, FILE *to);
void find_print_step(const struct find_step *step, FILE *to);

/* The highest rate that passed, and why it is not higher. */
void find_print_answer(const struct find *f, FILE *to);

#endif
