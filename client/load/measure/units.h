/* SPDX-License-Identifier: MIT */
/*
 * Units of time, and figures as text: three digits and a unit.  Any thread.
 */
#ifndef LOAD_UNITS_H
#define LOAD_UNITS_H

#include <stdint.h>
#include <time.h>

/* Times of a run are CLOCK_MONOTONIC, in ns. */
#define MS     INT64_C(1000000)
#define SECOND (1000 * MS)
#define NEVER  INT64_MAX

static inline int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

/* The whole part within +-2^62; 0 of what is no number. */
int64_t units_whole(double value);

/* Room for any text; each function returns buf. */
#define UNITS_TEXT 32

/* "850ns", "1.31ms", "2m30s", "1h00m"; "-" for a negative (absent) time. */
const char *units_time(int64_t ns, char buf[UNITS_TEXT]);

const char *units_count(uint64_t count, char buf[UNITS_TEXT]);

/* As given: "20,000" "2.5" "0.001"; up to 6 decimals, no exponent. */
const char *units_number(double number, char buf[UNITS_TEXT]);

/* A measured rate: below 100 three digits, else a whole number. */
const char *units_rate(double rate, char buf[UNITS_TEXT]);

/* "0.12%" "100%": with that many significant digits, no exponent. */
const char *units_percent(double percent, int digits, char buf[UNITS_TEXT]);

/* "850 B/s" "1.28 MB/s", in powers of 1000 */
const char *units_bytes_rate(double rate, char buf[UNITS_TEXT]);

#endif
