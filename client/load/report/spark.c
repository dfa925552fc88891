/* SPDX-License-Identifier: MIT */
/*
 * Small bars.
 */
#include "spark.h"

#include <stdlib.h>
#include <string.h>

static const char *const blocks[] = { " ", "▁", "▂", "▃", "▄",
				      "▅", "▆", "▇", "█" };
static const char *const signs[] = {
	" ", "_", ".", ":", "-", "=", "+", "*", "#"
};

static int64_t greatest(const int64_t *values, size_t count)
{
	int64_t most = 0;

	for (size_t i = 0; i < count; i++)
		if (values[i] > most)
			most = values[i];
	return most;
}

size_t spark(char text[SPARK_TEXT], const int64_t *values, size_t count,
	     size_t bars, bool has_utf8)
{
	size_t each = (count + bars - 1) / bars;
	double most = (double)greatest(values, count);
	char *to = text;

	*to = '\0';
	for (size_t at = 0; at < count; at += each) {
		size_t part = count - at < each ? count - at : each;
		int64_t value = greatest(values + at, part);
		size_t step =
			value > 0 ? 1 + (size_t)(7 * (double)value / most) : 0;

		to = stpcpy(to, (has_utf8 ? blocks : signs)[step]);
	}
	return each;
}

bool spark_has_utf8(void)
{
	static const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };
	const char *value = NULL;

	for (size_t i = 0; i < 3 && !(value && *value); i++)
		value = getenv(names[i]);
	return value &&
	       (strcasestr(value, "utf-8") || strcasestr(value, "utf8"));
}
