/* SPDX-License-Identifier: MIT */
/*
 * What the shape of the figures says about their cause, and what to do about
 * it: for people, never for gates.
 */
#ifndef LOAD_DIAGNOSIS_H
#define LOAD_DIAGNOSIS_H

#include "../measure/result.h"

#define DIAGNOSES_MAX  6
#define DIAGNOSIS_TEXT 200

/* The most telling first.  Returns how many. */
size_t diagnose(const struct result *r,
		char hints[DIAGNOSES_MAX][DIAGNOSIS_TEXT]);

#endif
