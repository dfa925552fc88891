/* SPDX-License-Identifier: MIT */
#ifndef SERVER_DESCRIPTORS_H
#define SERVER_DESCRIPTORS_H

struct options;
struct listeners;

/*
 * Raise the limit as far as the system allows; too low a limit is logged.  l
 * has a listener for each socket, even if several sockets share one name.  Any
 * thread.
 */
void descriptors_allow(const struct options *o, const struct listeners *l);

#endif
