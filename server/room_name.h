/* SPDX-License-Identifier: MIT */
/*
 * Which names a member of a room may choose: none that readers would take for
 * another member, a guest or a notice.  No state; any thread.
 */
#ifndef SERVER_ROOM_NAME_H
#define SERVER_ROOM_NAME_H

#include <stddef.h>

#define ROOM_NAME_LEN 32

/* NULL if the name may be used; else a notice that says why not. */
const char *room_name_fault(const char *name, size_t len);

/*
 * Two names with the same skeleton look alike: "ann", "Ann", and "ann" with a
 * Cyrillic a.  Name is one that room_name_fault() has accepted.
 */
void room_name_skeleton(char to[ROOM_NAME_LEN + 1], const char *name,
			size_t len);

#endif
