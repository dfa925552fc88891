/* SPDX-License-Identifier: MIT */
/* Bytes that many outboxes share.  They never change. */
#ifndef WR_MESSAGE_H
#define WR_MESSAGE_H

#include <stdatomic.h>

#include "base.h"
#include "weir.h"

struct weir_msg {
	atomic_uint refs;
	size_t len;
	char bytes[];
};

ssize_t wr_pieces_len(const struct iovec *iov, int count);

#endif
