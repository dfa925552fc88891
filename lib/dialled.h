/* SPDX-License-Identifier: MIT */
/*
 * Connections of a server that no client has opened: the program hands a
 * connected socket over.  They count against max_dialled, and each has a copy
 * of its service.
 */
#ifndef WR_DIALLED_H
#define WR_DIALLED_H

#include "conn.h"

/* weir_server_adopt() */
int wr_dialled_adopt(struct wr_core *core, weir_ref **ret, int fd,
		     const struct weir_service *service);

#endif
