/* SPDX-License-Identifier: MIT */
/*
 * Texts of the command line: bytes with escapes, and messages in which
 * variables are replaced.  A message is made from parts that are known before
 * the run, and any piece of it can be made again.
 *
 * Constant after it is parsed; any thread.
 */
#ifndef LOAD_TEMPLATE_H
#define LOAD_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
	char *data; /* to be freed */
	size_t len;
};

#define BYTES_WRONG "an escape is none of \\r \\n \\t \\\\ \\{ and \\xHH"

/* Replace escapes.  Returns false, with data NULL, if one is unknown. */
bool bytes_parse(struct bytes *ret, const char *text);

/* The lines of --data, without their newlines. */
struct data_lines {
	char *data; /* to be freed */
	struct bytes *list;
	size_t count;
	size_t longest, shortest;
};

/* Take over the content of a file.  Returns false without memory. */
bool data_lines_split(struct data_lines *ret, char *data, size_t len);
void data_lines_fini(struct data_lines *l);

struct message_id {
	uint32_t conn;
	uint64_t seq;
};

enum template_kind {
	TEMPLATE_TEXT,
	TEMPLATE_CONNECTION,
	TEMPLATE_SEQ,
	TEMPLATE_RANDOM,
	TEMPLATE_LINE,
	TEMPLATE_TIME,
};

struct template_part {
	enum template_kind kind;
	const char *text; /* TEMPLATE_TEXT */
	size_t len;
	uint64_t limit; /* TEMPLATE_RANDOM: numbers below it */
};

struct template
{
	char *text; /* to be freed; the parts refer to it */
	struct template_part *parts;
	size_t count;
	bool has_line, has_time;
	size_t size_min, size_max;
	/* Set by template_bind(). */
	const struct data_lines *lines;
	uint64_t seed;
	uint32_t connections;
	int64_t epoch; /* add it to CLOCK_MONOTONIC for the time of day */
};

/* NULL, or what is wrong with text; template_fini() in any case. */
const char *template_parse(struct template *ret, const char *text);

/* Take over len bytes that have neither escapes nor variables. */
bool template_take(struct template *ret, char *data, size_t len);

void template_fini(struct template *t);

bool template_begins(const struct template *t, const char *text);

/* Before the first message: what its variables stand for, and its sizes. */
void template_bind(struct template *t, const struct data_lines *lines,
		   uint64_t seed, uint32_t connections);

size_t template_size(const struct template *t, struct message_id id);

/* The message must have from..from + len; at is in ns, CLOCK_MONOTONIC. */
void template_fill(const struct template *t, struct message_id id, int64_t at,
		   size_t from, char *to, size_t len);

/* The same bytes, of a message without {time}? */
bool template_matches(const struct template *t, struct message_id id,
		      size_t from, const char *data, size_t len);

#endif
