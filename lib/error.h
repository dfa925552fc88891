/* SPDX-License-Identifier: MIT */
/* Errors that mean "not supported". */
#ifndef WR_ERROR_H
#define WR_ERROR_H

#include "base.h"

/*
 * True if rc says that the system does not offer the call or option.  -EPERM
 * comes from a filter of system calls that does not know it, so this is only
 * for calls that need no privilege.  -EINVAL may be a mistake of ours and is
 * not included.
 */
bool wr_is_unsupported(ssize_t rc);

#endif
