/* SPDX-License-Identifier: MIT */
/*
 * The command talk: a conversation with a server that does not frame its
 * messages.
 */
#ifndef CLIENT_TALK_H
#define CLIENT_TALK_H

#include "options.h"

client_command talk;

#endif
