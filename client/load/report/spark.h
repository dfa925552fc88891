/* SPDX-License-Identifier: MIT */
/*
 * A row of small bars, one character each, from 0 to the greatest of the
 * values.  No state; any thread.
 */
#ifndef LOAD_SPARK_H
#define LOAD_SPARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
