/* SPDX-License-Identifier: MIT */
/*
 * When, in a stop, a connection is called with WEIR_DRAIN.
 */
#ifndef WR_LAST_WORD_H
#define WR_LAST_WORD_H

#include "conn.h"

/* Owner, in a stop: 1: now; 0: not yet; -errno: the peer is gone. */
int wr_last_word_is_due(struct weir_conn *c);

#endif
