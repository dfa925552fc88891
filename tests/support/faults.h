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
void faults_begin(void);

/* The nth call of this kind from now on (1: the next) fails with -errno. */
void fault_comes(enum wr_sys_call call, int nth, int error);

/* That one and all that follow it. */
void faults_come(enum wr_sys_call call, int nth, int error);

/* Each call of this kind that the acceptor's thread makes. */
void faults_come_to_acceptor(enum wr_sys_call call, int error);

void faults_end(void);
int faults_made(void); /* of the plan that was made last */

#endif
