/* SPDX-License-Identifier: MIT */
/*
 * The kernel is asked, and not /proc/self/uid_map: that file is out of reach in
 * a chroot or behind a sandbox.
 */
#include "user_ids.h"

#include <errno.h>

#include "sys.h"

/*
 * An id that is not mapped is refused before one that belongs to somebody else.
 * systemd's RestrictAddressFamilies= may forbid socket(2) of AF_UNIX, but never
 * socketpair(2).
 */
int wr_ids_are_mapped(uid_t uid, gid_t gid)
{
	int ends[2], rc = wr_sys_socketpair(AF_UNIX, SOCK_DGRAM, ends);

	if (rc < 0)
		return rc;
	rc = wr_sys_send_ids(ends[0], uid, gid);
	wr_sys_close(ends[0]);
	wr_sys_close(ends[1]);
	if (rc >= 0 || rc == -EPERM)
		return 1;
	return rc == -EINVAL ? 0 : rc;
}
