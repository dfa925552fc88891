/* SPDX-License-Identifier: MIT */
/* weir_server_each(): a walk over the connections, from any thread. */
#ifndef WR_WALK_H
#define WR_WALK_H

#include "accept.h"

int wr_walk(struct wr_core *core, weir_each_fn *fn, void *arg, size_t size);

#endif
