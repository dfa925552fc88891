/* SPDX-License-Identifier: MIT */
/*
 * From an address to a connected socket, by a deadline.
 */
#ifndef WR_CONNECT_H
#define WR_CONNECT_H

#include <stdint.h>

#include "address.h"

/*
 * Connect to where, a host or a Unix socket.
 *
 * Returns a non-blocking descriptor; -ETIMEDOUT; or what the look-up or the
 * last address said.
 */
int wr_connect(const struct wr_address *where, int64_t deadline_at);

#endif
