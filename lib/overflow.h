/* SPDX-License-Identifier: MIT */
/* The message of a session that has used more than its stack. */
#ifndef WR_OVERFLOW_H
#define WR_OVERFLOW_H

struct wr_core;

/* Handle SIGSEGV, if the program does not, until the last core has left. */
void wr_overflow_handle(struct wr_core *core);
void wr_overflow_leave(struct wr_core *core);

/* Give the calling thread a stack for signals, if it has none; take it back. */
void *wr_overflow_enter_thread(void);
void wr_overflow_leave_thread(void *stack);

#endif
