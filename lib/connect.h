/* SPDX-License-Identifier: MIT */
/* Connecting to an address by a deadline. */
#ifndef WR_CONNECT_H
#define WR_CONNECT_H

#include <stdint.h>

#include "address.h"

/*
 * To a host or a Unix socket.  A non-blocking descriptor; -ETIMEDOUT; or the
 * error of the look-up or of the last address.
 */
int wr_connect(const struct wr_address *where, int64_t deadline_at);

/*
 * Make a connected stream socket non-blocking and close-on-exec.  0; -EBADF;
 * -ENOTSOCK (also another kind of socket); -ENOTCONN.
 */
int wr_connect_take_over(int fd);

#endif
