/* SPDX-License-Identifier: MIT */
/*
 * Which names a member of a room may choose: such as nobody takes for another
 * member's, a guest's or a notice.  No state; any thread.
 */
#ifndef SERVER_ROOM_NAME_H
#define SERVER_ROOM_NAME_H

#include <stddef.h>

#define ROOM_NAME_LEN 32

/* NULL: the name may be had; else why not, as a notice. */
const char *room_name_fault(const char *name, size_t len);

#endif
