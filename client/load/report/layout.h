/* SPDX-License-Identifier: MIT */
/*
 * A page of plain text, 80 columns wide: labels at the left, and what is said
 * of them in pieces that flow into lines.  When there are more lines than are
 * wanted, those of the least rank are left out, the last first.
 */
#ifndef LOAD_LAYOUT_H
#define LOAD_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define LAYOUT_COLUMNS 80
#define LAYOUT_LABEL   13 /* columns of a label */
#define LAYOUT_LINES   64

/* Marks inside of a text, of no width: colours, where there are any. */
#define LAYOUT_GOOD   "\001"
#define LAYOUT_CARE   "\002"
#define LAYOUT_BAD    "\003"
#define LAYOUT_FAINT  "\004"
#define LAYOUT_STRONG "\005"
#define LAYOUT_PLAIN  "\006"

enum layout_rank {
	LAYOUT_MUST,
	LAYOUT_SHOULD,
	LAYOUT_MAY,
	LAYOUT_SPACE,
	LAYOUT_RANKS
};

struct layout {
	char lines[LAYOUT_LINES][512];
	enum layout_rank ranks[LAYOUT_LINES];
	size_t used;
	size_t column; /* where the last line ends */
	bool is_begun; /* and nothing but its label is on it */
};

/* A new entry; a page that is full takes no more. */
void layout_begin(struct layout *p, enum layout_rank rank, const char *label);

/* One more thing to say of the entry, three columns from the one before. */
void layout_say(struct layout *p, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* An empty line. */
void layout_space(struct layout *p);

void layout_print(struct layout *p, size_t most, bool has_colour, FILE *to);

/* A text with its marks turned into colours, or left out. */
void layout_write(const char *text, bool has_colour, FILE *to);

/* Columns that a text takes. */
size_t layout_width(const char *text);

/* -------------------------------------------------------------- sparklines */

/*
 * A row of small bars, one character each, from 0 to the greatest of the
 * values.  No state; any thread.
 */

/* Most bars, and room for them. */
#define SPARKLINE_BARS 48
#define SPARKLINE_TEXT (3 * SPARKLINE_BARS + 1)

/*
 * Several values share a bar, which shows the greatest, if there are more
 * than bars; a value of 0 or less is a gap.  Returns how many share one.
 */
size_t sparkline(char text[SPARKLINE_TEXT], const int64_t *values, size_t count,
		 size_t bars, bool has_utf8);

/* Does the user's locale say that the terminal shows UTF-8? */
bool layout_has_utf8(void);

#endif
