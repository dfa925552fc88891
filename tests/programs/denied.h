/* SPDX-License-Identifier: MIT */
#ifndef DENIED_H
#define DENIED_H

#include <stdbool.h>

/*
 * From here on that system call fails with that errno in the calling thread,
 * and in the threads and programs that it starts; false: a filter of system
 * calls cannot be set here.
 */
bool call_is_denied(unsigned number, unsigned error);

#endif
