/* SPDX-License-Identifier: MIT */
/*
 * What the error of a system call says about the call itself.  No state.
 */
#ifndef WR_ERROR_H
#define WR_ERROR_H

#include "base.h"

/*
 * True if rc (-errno) means that the system does not offer this call, or not
 * for this object, so that another way has to do:
 *
 *	-ENOSYS      an older kernel, or a filter of system calls
 *	-EPERM       a filter that does not know the call
 *	-EOPNOTSUPP  the file system or the protocol has no such operation
 *	-ENOPROTOOPT a socket option that this network stack does not have
 *	-ENOTTY      an ioctl(2) that it does not have
 *
 * For calls that need no privilege, which is where -EPERM can only come from a
 * filter.  -EINVAL is not among them, because it may as well mean a mistake of
 * ours: a caller that passes a flag older kernels do not know asks for it too.
 */
bool wr_is_unsupported(ssize_t rc);

#endif
