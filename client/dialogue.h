/* SPDX-License-Identifier: MIT */
/*
 * A conversation in which both sides may send at any time.
 */
#ifndef CLIENT_DIALOGUE_H
#define CLIENT_DIALOGUE_H

#include <stdbool.h>
#include <stddef.h>

#include "peer.h"

enum dialogue_kind {
	DIALOGUE_PERSON, /* messages are not framed, each is answered */
	DIALOGUE_ROOM,	 /* messages are lines, answers are not expected */
	DIALOGUE_LINES,	 /* the same with a program; no word ends it */
};

/* "windup"?  The line has no newline, but may have the CR in front of it. */
bool dialogue_is_goodbye(const char *line, size_t len);

/* newline is sent after each line; "": none.  Returns the exit status. */
int dialogue_hold(struct peer *peer, enum dialogue_kind kind,
		  const char *newline);

#endif
