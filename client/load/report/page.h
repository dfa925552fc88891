/* SPDX-License-Identifier: MIT */
/*
 * A page of plain text, 80 columns wide: labels at the left, and what is said
 * of them in pieces that flow into lines.  When there are more lines than are
 * wanted, those of the least rank are left out, the last first.
 */
#ifndef LOAD_PAGE_H
#define LOAD_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define PAGE_COLUMNS 80
#define PAGE_LABEL   13 /* columns of a label */
#define PAGE_LINES   64

/* Marks inside of a text, of no width: colours, where there are any. */
#define PAGE_GOOD   "\001"
#define PAGE_CARE   "\002"
#define PAGE_BAD    "\003"
#define PAGE_FAINT  "\004"
#define PAGE_STRONG "\005"
#define PAGE_PLAIN  "\006"

enum page_rank { PAGE_MUST, PAGE_SHOULD, PAGE_MAY, PAGE_SPACE, PAGE_RANKS };

struct page {
	char lines[PAGE_LINES][512];
	enum page_rank ranks[PAGE_LINES];
	size_t used;
	size_t column; /* where the last line ends */
	bool is_begun; /* and nothing but its label is on it */
};

/* A new entry; a page that is full takes no more. */
void page_begin(struct page *p, enum page_rank rank, const char *label);

/* One more thing to say of the entry, three columns from the one before. */
void page_say(struct page *p, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* An empty line. */
void page_space(struct page *p);

void page_print(struct page *p, size_t most, bool has_colour, FILE *to);

/* A text with its marks turned into colours, or left out. */
void page_write(const char *text, bool has_colour, FILE *to);

/* Columns that a text takes. */
size_t page_width(const char *text);

/* -------------------------------------------------------------- sparklines */

/*
 * A row of small bars, one character each, from 0 to the greatest of the
 * values.  No state; any thread.
 */

/* Most bars, and room for them. */
#define SPARK_BARS 48
#define SPARK_TEXT (3 * SPARK_BARS + 1)

/*
 * Several values share a bar, which shows the greatest, if there are more
 * than bars; a value of 0 or less is a gap.  Returns how many share one.
 */
size_t spark(char text[SPARK_TEXT], const int64_t *values, size_t count,
	     size_t bars, bool has_utf8);

/* Does the user's locale say that the terminal shows UTF-8? */
bool spark_has_utf8(void);

#endif
