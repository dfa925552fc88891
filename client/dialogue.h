/* SPDX-License-Identifier: MIT */
/*
 * A conversation in which both sides speak when they like.
 */
#ifndef CLIENT_DIALOGUE_H
#define CLIENT_DIALOGUE_H

#include "peer.h"

enum dialogue_kind {
	DIALOGUE_PERSON, /* messages without an end, each answered */
	DIALOGUE_ROOM,	 /* messages are lines, nobody owes an answer */
	DIALOGUE_LINES,	 /* the same with a program; no word ends it */
};

/*
 * Hold it over a connection that is there, between standard input and
 * standard output.  Newline ends each line that is sent: "", "\n" or "\r\n".
 * Returns the exit status.
 */
int dialogue_hold(struct peer *peer, enum dialogue_kind kind,
		  const char *newline);

#endif
