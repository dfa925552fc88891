/* SPDX-License-Identifier: MIT */
/*
 * A text of some columns: labels at the left, and pieces beside them that flow
 * into lines.  If there are too many lines, those of the least rank are left
 * out, the last first.
 */
#ifndef LOAD_LAYOUT_H
#define LOAD_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "../measure/units.h"

#define LAYOUT_COLUMNS 80 /* without a terminal */
#define LAYOUT_LEAST   60
#define LAYOUT_MOST    120
#define LAYOUT_LABEL   13 /* width of a label */
#define LAYOUT_LINES   64

/* Marks in a text, of no width: colours, if there are any. */
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
	size_t columns; /* of a line; 0: LAYOUT_COLUMNS */
	size_t used;
	size_t column; /* width of the last line */
	bool is_begun; /* the last line has only its label */
};

/* Start an entry; ignored if the layout is full. */
void layout_begin(struct layout *p, enum layout_rank rank, const char *label);

/* Add a piece to the entry, three columns from the last. */
void layout_say(struct layout *p, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

void layout_space(struct layout *p);

void layout_print(struct layout *p, size_t most, bool has_colour, FILE *to);

void layout_write(const char *text, bool has_colour, FILE *to);

/* The columns of the terminal; LAYOUT_COLUMNS if it is none. */
size_t layout_columns(int fd);

bool layout_has_colour(int fd);

/* A time of three digits, after ">" if it is a lower bound. */
const char *layout_time(int64_t ns, bool is_more, char buf[UNITS_TEXT + 1]);

size_t layout_width(const char *text);

/* A row of bars, a character each, from 0 to the greatest value. */

#define SPARKLINE_BARS 48
#define SPARKLINE_TEXT (3 * SPARKLINE_BARS + 1)

/*
 * If there are more values than bars, several share a bar, which shows the
 * greatest; a value of 0 or less is a gap.  Returns how many share one.
 */
size_t sparkline(char text[SPARKLINE_TEXT], const int64_t *values, size_t count,
		 size_t bars, bool has_utf8);

bool layout_has_utf8(void);

#endif
