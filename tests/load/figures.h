/* SPDX-License-Identifier: MIT */
/*
 * The result of a load run for tests: 200 connections, an open loop of 20,000
 * messages a second for 30 s, without faults.
 */
#ifndef TESTS_LOAD_FIGURES_H
#define TESTS_LOAD_FIGURES_H

#include <stdio.h>

#include "../../client/load/measure/result.h"

struct figures {
	struct plan plan;
	struct result result;
};

/* Call result_free(&f->result) afterwards. */
void figures_init(struct figures *f);

/* The same for a closed loop: every connection always had a message. */
void figures_init_closed(struct figures *f);

/* Of its messages, count were sent that late by this client. */
void figures_be_late(struct figures *f, uint64_t count, int64_t late);

/* Returns what print(to, arg) prints, to be freed. */
char *printed(void (*print)(FILE *to, void *arg), void *arg);

#endif
