/* SPDX-License-Identifier: MIT */
/*
 * Connections we make: see weir_dial() in weir.h.
 */
#ifndef WR_DIAL_H
#define WR_DIAL_H

struct weir_conn;

/* The last reference to a dialled connection is gone. */
void wr_dial_free(struct weir_conn *c);

#endif
