/* SPDX-License-Identifier: MIT */
/*
 * Which system call of the library fails next; for tests that are linked with
 * the build of it in which they can.
 */
#ifndef TESTS_SUPPORT_FAULTS_H
#define TESTS_SUPPORT_FAULTS_H

#include <stdbool.h>

#include "sys.h"

/* Once, while no server runs: from now on the library asks us. */
void faults_install(void);

/* The nth call of this kind from now on (1: the next) fails with -errno. */
void fail_nth_call(enum wr_sys_call call, int nth, int error);

/* That one and all that follow it. */
void fail_calls_from(enum wr_sys_call call, int nth, int error);

/* Each call of this kind that the acceptor's thread makes. */
void fail_acceptor_calls(enum wr_sys_call call, int error);

void faults_clear(void);
int faults_made(void); /* of the plan that was made last */

#endif
