/* SPDX-License-Identifier: MIT */
/*
 * Figures as people read them: three digits and a unit.  No state; any thread.
 */
#ifndef LOAD_UNITS_H
#define LOAD_UNITS_H

#include <stdint.h>

/* Room for any of these; each returns buf. */
#define UNITS_TEXT 32

/*
 * "850ns" "212us" "1.31ms" "2.41s" "90.0s" "2m30s" "1h00m"; "-" for what is
 * absent, below 0.
 */
const char *units_time(int64_t ns, char buf[UNITS_TEXT]);

/* "600,000" */
const char *units_count(uint64_t count, char buf[UNITS_TEXT]);

/*
 * A number as it was given: "20,000" "2.5" "0.001"; without an exponent, up
 * to 6 decimals.
 */
const char *units_number(double number, char buf[UNITS_TEXT]);

/* A rate that was measured: below 100 in three digits, else as a count. */
const char *units_rate(double rate, char buf[UNITS_TEXT]);

/* "0.12%" "100%": so many digits that matter, and never an exponent. */
const char *units_percent(double percent, int digits, char buf[UNITS_TEXT]);

/* Bytes a second: "850 B/s" "1.28 MB/s", in powers of 1000 */
const char *units_bytes_rate(double rate, char buf[UNITS_TEXT]);

#endif
