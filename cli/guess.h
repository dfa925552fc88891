/* SPDX-License-Identifier: MIT */
/* The known word that is nearest to a misspelt one. */
#ifndef GUESS_H
#define GUESS_H

#include <stddef.h>

struct guess {
	const char *word; /* what the user has typed */
	size_t len;
	const char *best; /* NULL: none is near */
	size_t distance;
};

void guess_consider(struct guess *g, const char *known);

#endif
