/* SPDX-License-Identifier: MIT */
/*
 * Figures as people read them.
 */
#include "units.h"

#include <inttypes.h>
#include <stdio.h>

/* How many decimals make three digits of a number below 999.5. */
static int decimals(double number)
{
	if (number >= 99.95)
		return 0;
	return number >= 9.995 ? 1 : 2;
}

const char *units_time(int64_t ns, char buf[UNITS_TEXT])
{
	static const char *const names[] = { "us", "ms", "s" };
	double number = (double)ns / 1e3;
	int64_t seconds = (ns + 500000000) / 1000000000;
	size_t i = 0;

	if (ns < 0) {
		snprintf(buf, UNITS_TEXT, "-");
	} else if (ns < 1000) {
		snprintf(buf, UNITS_TEXT, "%" PRId64 "ns", ns);
	} else if (seconds < 100) {
		for (; number >= 999.5 && i < 2; i++)
			number /= 1e3;
		snprintf(buf, UNITS_TEXT, "%.*f%s", decimals(number), number,
			 names[i]);
	} else if (seconds < 3600) {
		snprintf(buf, UNITS_TEXT, "%" PRId64 "m%02" PRId64 "s",
			 seconds / 60, seconds % 60);
	} else {
		snprintf(buf, UNITS_TEXT, "%" PRId64 "h%02" PRId64 "m",
			 seconds / 3600, seconds % 3600 / 60);
	}
	return buf;
}

const char *units_count(uint64_t count, char buf[UNITS_TEXT])
{
	char digits[UNITS_TEXT];
	int len = snprintf(digits, sizeof(digits), "%" PRIu64, count);
	char *to = buf;

	for (int i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			*to++ = ',';
		*to++ = digits[i];
	}
	*to = '\0';
	return buf;
}

const char *units_bytes_rate(double rate, char buf[UNITS_TEXT])
{
	static const char *const names[] = { "B/s", "kB/s", "MB/s", "GB/s",
					     "TB/s" };
	size_t i = 0;

	for (; rate >= 999.5 && i < 4; i++)
		rate /= 1e3;
	snprintf(buf, UNITS_TEXT, "%.*f %s", i > 0 ? decimals(rate) : 0, rate,
		 names[i]);
	return buf;
}
