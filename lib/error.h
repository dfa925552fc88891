/* SPDX-License-Identifier: MIT */
/* Errors that mean "not supported". */
#ifndef WR_ERROR_H
#define WR_ERROR_H

#include "base.h"

/*
 * True if rc means that the system does not offer this call or option:
 *
 *	-ENOSYS      an older kernel, or a system call filter
 *	-EPERM       a filter that does not know the call
 *	-EOPNOTSUPP  not for this file system or protocol
 *	-ENOPROTOOPT an unknown socket option
 *	-ENOTTY      an unknown ioctl(2)
 *
 * Only for calls that need no privilege.  -EINVAL may be a mistake of ours and
 * is not included.
 */
bool wr_is_unsupported(ssize_t rc);

#endif
