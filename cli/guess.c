/* SPDX-License-Identifier: MIT */
/*
 * The distance of two words is the number of letters that are missing, added,
 * different, or swapped with the next one.
 */
#include "guess.h"

#include <string.h>

#define LONGEST 31

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Both are at most LONGEST letters long. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t d[LONGEST + 1][LONGEST + 1];

	for (size_t i = 0; i <= a_len; i++)
		d[i][0] = i;
	for (size_t j = 0; j <= b_len; j++)
		d[0][j] = j;
	for (size_t i = 1; i <= a_len; i++)
		for (size_t j = 1; j <= b_len; j++) {
			d[i][j] =
				least(least(d[i - 1][j], d[i][j - 1]) + 1,
				      d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
		}
	return d[a_len][b_len];
}

void guess_consider(struct guess *g, const char *known)
{
	size_t len = strlen(known), away;

	if (len > LONGEST || g->len > LONGEST)
		return;
	away = distance(g->word, g->len, known, len);
	/* One mistake for every three letters. */
	if (away > (least(len, g->len) + 2) / 3 || away >= g->len)
		return;
	if (g->best && away >= g->distance)
		return;
	g->best = known;
	g->distance = away;
}
