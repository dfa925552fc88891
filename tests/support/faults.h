/* SPDX-License-Identifier: MIT */
/*
 * Make system calls of the library fail; for tests that are linked with
 * libweir-faults.
 */
#ifndef TESTS_SUPPORT_FAULTS_H
#define TESTS_SUPPORT_FAULTS_H

#include <stdbool.h>

#include "sys.h"

/* The call that the poller waits with. */
#ifdef WITH_POLL
#define POLLER_WAITS WR_SYS_poll
#else
#define POLLER_WAITS WR_SYS_epoll_wait
#endif

/* Is the poller poll(2)?  Then it is said that the test is skipped. */
bool skip_with_poll(const char *test, const char *why);

/* Call once, while no server runs. */
void faults_install(void);

/* The nth call of this kind from now on (1: the next) fails; error is < 0. */
void fail_nth_call(enum wr_sys_call call, int nth, int error);

/* That one and all later ones. */
void fail_calls_from(enum wr_sys_call call, int nth, int error);

/* Every call of this kind by the acceptor. */
void fail_acceptor_calls(enum wr_sys_call call, int error);

void faults_clear(void);
int faults_made(void); /* of the last plan */

#endif
