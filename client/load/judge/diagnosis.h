/* SPDX-License-Identifier: MIT */
/*
 * Likely causes of the figures and what to do about them: for people, never
 * for gates.
 */
#ifndef LOAD_DIAGNOSIS_H
#define LOAD_DIAGNOSIS_H

#include "../measure/result.h"

#define DIAGNOSES_MAX  6
#define DIAGNOSIS_TEXT 200

/* The most likely first.  Returns how many. */
size_t diagnose(const struct result *r,
		char hints[DIAGNOSES_MAX][DIAGNOSIS_TEXT]);

#endif
