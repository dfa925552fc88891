/* SPDX-License-Identifier: MIT */
/*
 * The kernel is asked, and not /proc/self/uid_map: that file is out of reach in
 * a chroot or behind a sandbox.
 */
#include "user_ids.h"

#include <errno.h>

#include "sys.h"

/*
 * An id that is not mapped is refused before one that belongs to somebody else,
 * and that before the missing peer.
 */
int wr_ids_are_mapped(uid_t uid, gid_t gid)
{
	int fd = wr_sys_socket(AF_UNIX, SOCK_DGRAM, 0), rc;

	if (fd < 0)
		return fd;
	rc = wr_sys_send_ids(fd, uid, gid);
	wr_sys_close(fd);
	if (rc == -EPERM || rc == -ENOTCONN)
		return 1;
	return rc == -EINVAL ? 0 : rc;
}
