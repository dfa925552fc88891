/* SPDX-License-Identifier: MIT */
#include "units.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define DECIMALS_MAX 6

int64_t units_whole(double value)
{
	if (isnan(value))
		return 0;
	return (int64_t)fmin(fmax(value, -0x1p62), 0x1p62);
}

/* Decimals for three digits of a number below 999.5. */
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

static void cut_zeros(char *text)
{
	size_t len = strlen(text);

	if (!strchr(text, '.'))
		return;
	while (text[len - 1] == '0')
		len--;
	if (text[len - 1] == '.')
		len--;
	text[len] = '\0';
}

static int decimals_of(double number, int digits)
{
	int count = digits - 1;

	while (count < DECIMALS_MAX && number < 1 && number > 0) {
		number *= 10;
		count++;
	}
	while (count > 0 && number >= 10) {
		number /= 10;
		count--;
	}
	return count;
}

const char *units_number(double number, char buf[UNITS_TEXT])
{
	char fraction[UNITS_TEXT];
	double whole = floor(number);

	snprintf(fraction, sizeof(fraction), "%.*f", DECIMALS_MAX,
		 number - whole);
	if (fraction[0] == '1') /* rounded up */
		whole++;
	cut_zeros(fraction);
	units_count((uint64_t)units_whole(whole), buf);
	strcat(buf, fraction + 1);
	return buf;
}

const char *units_rate(double rate, char buf[UNITS_TEXT])
{
	if (rate >= 99.95)
		return units_count((uint64_t)units_whole(rate + 0.5), buf);
	snprintf(buf, UNITS_TEXT, "%.*f", decimals_of(rate, 3), rate);
	cut_zeros(buf);
	return buf;
}

const char *units_percent(double percent, int digits, char buf[UNITS_TEXT])
{
	snprintf(buf, UNITS_TEXT - 1, "%.*f", decimals_of(percent, digits),
		 percent);
	cut_zeros(buf);
	strcat(buf, "%");
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
