/* SPDX-License-Identifier: MIT */
/*
 * Ids of users and groups in the user namespace of this process.  If it does
 * not map all, clients with others have WR_ID_OVERFLOW.
 */
#ifndef WR_USER_IDS_H
#define WR_USER_IDS_H

#include <stdint.h>
#include <sys/types.h>

#define WR_ID_LAST     (UINT32_MAX - 1)
#define WR_ID_OVERFLOW 65534

/* 1: this namespace maps both; 0: not; or -errno. */
int wr_ids_are_mapped(uid_t uid, gid_t gid);

#endif
