/* SPDX-License-Identifier: MIT */
/*
 * The result of a load run as a test wants it: 200 connections, an open loop
 * of 20,000 messages a second for 30 s, and nothing wrong.
 */
#ifndef TESTS_LOAD_FIGURES_H
#define TESTS_LOAD_FIGURES_H

#include <stdio.h>

#include "../../client/load/measure/result.h"

struct figures {
	struct plan plan;
	struct result result;
};

/* Undo with result_free(&f->result). */
void figures_init(struct figures *f);

/* The same in a closed loop: every connection always had a message. */
void figures_init_closed(struct figures *f);

/* What is printed to a stream by print(to, arg), to be freed. */
char *printed(void (*print)(FILE *to, void *arg), void *arg);

#endif
