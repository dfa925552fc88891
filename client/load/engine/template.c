/* SPDX-License-Identifier: MIT */
#include "template.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "random.h"

#define NUMBER_MAX  20 /* digits of a 64-bit number */
#define TIME_DIGITS 16

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The escape after a backslash.  Returns its length; 0: unknown. */
static size_t read_escape(const char *text, char *ret)
{
	static const char names[] = "rnt\\{", values[] = "\r\n\t\\{";
	const char *name = *text ? strchr(names, *text) : NULL;
	int high, low;

	if (name) {
		*ret = values[name - names];
		return 1;
	}
	high = *text == 'x' ? hex_digit(text[1]) : -1;
	low = high >= 0 ? hex_digit(text[2]) : -1;
	if (low < 0)
		return 0;
	*ret = (char)(high << 4 | low);
	return 3;
}

bool bytes_parse(struct bytes *ret, const char *text)
{
	*ret = (struct bytes){ .data = malloc(strlen(text) + 1) };
	while (ret->data && *text) {
		size_t n = 1;

		if (*text == '\\')
			n = 1 + read_escape(text + 1, &ret->data[ret->len]);
		else
			ret->data[ret->len] = *text;
		if (*text == '\\' && n == 1) {
			free(ret->data);
			ret->data = NULL;
			break;
		}
		ret->len++;
		text += n;
	}
	return ret->data;
}

bool data_lines_split(struct data_lines *ret, char *data, size_t len)
{
	size_t count = 0, n = 0;

	for (size_t i = 0; i < len; i++)
		count += data[i] == '\n' || i == len - 1;
	*ret = (struct data_lines){ .data = data,
				    .list = calloc(count + 1,
						   sizeof(*ret->list)),
				    .count = count,
				    .shortest = len };
	for (size_t at = 0; ret->list && at < len; n++) {
		const char *newline = memchr(data + at, '\n', len - at);
		size_t end = newline ? (size_t)(newline - data) : len;
		struct bytes *line = &ret->list[n];

		*line = (struct bytes){ data + at, end - at };
		if (line->len > ret->longest)
			ret->longest = line->len;
		if (line->len < ret->shortest)
			ret->shortest = line->len;
		at = end + 1;
	}
	return ret->list;
}

void data_lines_fini(struct data_lines *l)
{
	free(l->data);
	free(l->list);
	*l = (struct data_lines){ .count = 0 };
}

static const struct {
	const char *name;
	enum template_kind kind;
} variables[] = {
	{ "connection", TEMPLATE_CONNECTION },
	{ "seq", TEMPLATE_SEQ },
	{ "random", TEMPLATE_RANDOM },
	{ "line", TEMPLATE_LINE },
	{ "time", TEMPLATE_TIME },
};

#define VARIABLES (sizeof(variables) / sizeof(variables[0]))

#define NAME_LETTERS "abcdefghijklmnopqrstuvwxyz"

#define VARIABLE_WRONG                                                         \
	"a variable is none of {connection} {seq} {random:N} {line} {time}; "  \
	"\\{ is a brace"

/* "random:1000}": returns its length with the brace; 0: not a variable. */
static size_t read_variable(const char *text, struct template_part *ret)
{
	size_t len = strspn(text, NAME_LETTERS), i = 0;
	char *end = (char *)text + len;

	while (i < VARIABLES && (strlen(variables[i].name) != len ||
				 memcmp(variables[i].name, text, len) != 0))
		i++;
	if (i == VARIABLES)
		return 0;
	*ret = (struct template_part){ .kind = variables[i].kind };
	if (ret->kind == TEMPLATE_RANDOM) {
		if (end[0] != ':' || end[1] < '1' || end[1] > '9')
			return 0;
		ret->limit = strtoull(end + 1, &end, 10);
		if (ret->limit == UINT64_MAX)
			return 0;
	}
	return *end == '}' ? (size_t)(end - text) + 1 : 0;
}

/* Does a word in braces begin here?  Other braces are text. */
static bool is_variable(const char *text)
{
	size_t len = *text == '{' ? strspn(text + 1, NAME_LETTERS) : 0;

	return len > 0 && (text[1 + len] == '}' || text[1 + len] == ':') &&
	       strchr(text, '}');
}

static void template_add_part(struct template *t, struct template_part part)
{
	struct template_part *last =
		t->count > 0 ? &t->parts[t->count - 1] : NULL;

	t->has_line = t->has_line || part.kind == TEMPLATE_LINE;
	t->has_time = t->has_time || part.kind == TEMPLATE_TIME;
	if (last && part.kind == TEMPLATE_TEXT && last->kind == TEMPLATE_TEXT)
		last->len += part.len;
	else
		t->parts[t->count++] = part;
}

const char *template_parse(struct template *ret, const char *text)
{
	size_t len = strlen(text), used = 0;

	*ret = (struct template){ .text = malloc(len + 1),
				  .parts = calloc(len + 1,
						  sizeof(*ret->parts)) };
	if (!ret->text || !ret->parts)
		return "out of memory";
	while (*text) {
		struct template_part part = { .kind = TEMPLATE_TEXT,
					      .text = ret->text + used,
					      .len = 1 };
		size_t n = 1;

		if (is_variable(text)) {
			n = 1 + read_variable(text + 1, &part);
			if (n == 1)
				return VARIABLE_WRONG;
		} else if (*text == '\\') {
			n = 1 + read_escape(text + 1, &ret->text[used++]);
			if (n == 1)
				return BYTES_WRONG;
		} else {
			ret->text[used++] = *text;
		}
		template_add_part(ret, part);
		text += n;
	}
	return NULL;
}

bool template_take(struct template *ret, char *data, size_t len)
{
	*ret = (struct template){ .parts = calloc(1, sizeof(*ret->parts)),
				  .count = 1 };
	ret->text = data;
	if (ret->parts)
		ret->parts[0] =
			(struct template_part){ .text = data, .len = len };
	return ret->parts;
}

void template_fini(struct template *t)
{
	free(t->text);
	free(t->parts);
	*t = (struct template){ .count = 0 };
}

bool template_begins(const struct template *t, const char *text)
{
	size_t len = strlen(text);

	return t->count > 0 && t->parts[0].kind == TEMPLATE_TEXT &&
	       t->parts[0].len >= len &&
	       memcmp(t->parts[0].text, text, len) == 0;
}

static size_t digits_of(uint64_t number)
{
	size_t digits = 1;

	for (; number >= 10; number /= 10)
		digits++;
	return digits;
}

static void add_sizes(struct template *t, size_t min, size_t max)
{
	t->size_min += min;
	t->size_max += max;
}

void template_bind(struct template *t, const struct data_lines *lines,
		   uint64_t seed, uint32_t connections)
{
	struct timespec now, wall;

	t->lines = lines;
	t->seed = seed;
	t->connections = connections;
	clock_gettime(CLOCK_MONOTONIC, &now);
	clock_gettime(CLOCK_REALTIME, &wall);
	t->epoch = (wall.tv_sec - now.tv_sec) * INT64_C(1000000000) +
		   wall.tv_nsec - now.tv_nsec;
	t->size_min = t->size_max = 0;
	for (size_t i = 0; i < t->count; i++) {
		const struct template_part *part = &t->parts[i];

		if (part->kind == TEMPLATE_TEXT)
			add_sizes(t, part->len, part->len);
		else if (part->kind == TEMPLATE_CONNECTION)
			add_sizes(t, 1, digits_of(connections));
		else if (part->kind == TEMPLATE_SEQ)
			add_sizes(t, 1, NUMBER_MAX);
		else if (part->kind == TEMPLATE_RANDOM)
			add_sizes(t, 1, digits_of(part->limit - 1));
		else if (part->kind == TEMPLATE_LINE && lines)
			add_sizes(t, lines->shortest, lines->longest);
		else if (part->kind == TEMPLATE_TIME)
			add_sizes(t, TIME_DIGITS, TIME_DIGITS);
	}
}

static uint64_t random_value(const struct template *t,
			     const struct template_part *part,
			     struct message_id id)
{
	uint64_t place = (uint64_t)(part - t->parts);

	return random_mix(random_mix(random_mix(t->seed + place) ^ id.conn) ^
			  id.seq) %
	       part->limit;
}

static uint64_t number_value(const struct template *t,
			     const struct template_part *part,
			     struct message_id id, int64_t at)
{
	switch (part->kind) {
	case TEMPLATE_CONNECTION:
		return id.conn;
	case TEMPLATE_SEQ:
		return id.seq;
	case TEMPLATE_RANDOM:
		return random_value(t, part, id);
	default: /* TEMPLATE_TIME, in microseconds */
		return (uint64_t)(at + t->epoch) / 1000;
	}
}

/* Lines are used in their order by all connections together. */
static struct bytes line_value(const struct template *t, struct message_id id)
{
	uint64_t n = id.seq * t->connections + id.conn;

	if (!t->lines || t->lines->count == 0)
		return (struct bytes){ .len = 0 };
	return t->lines->list[n % t->lines->count];
}

static struct bytes part_value(const struct template *t,
			       const struct template_part *part,
			       struct message_id id, int64_t at,
			       char room[NUMBER_MAX])
{
	char *first = room + NUMBER_MAX;
	uint64_t number;

	if (part->kind == TEMPLATE_TEXT)
		return (struct bytes){ (char *)part->text, part->len };
	if (part->kind == TEMPLATE_LINE)
		return line_value(t, id);
	number = number_value(t, part, id, at);
	do
		*--first = (char)('0' + number % 10);
	while ((number /= 10) > 0);
	while (part->kind == TEMPLATE_TIME &&
	       first > room + NUMBER_MAX - TIME_DIGITS)
		*--first = '0';
	return (struct bytes){ first, (size_t)(room + NUMBER_MAX - first) };
}

static size_t part_size(const struct template *t,
			const struct template_part *part, struct message_id id)
{
	if (part->kind == TEMPLATE_TEXT)
		return part->len;
	if (part->kind == TEMPLATE_LINE)
		return line_value(t, id).len;
	if (part->kind == TEMPLATE_TIME)
		return TIME_DIGITS;
	return digits_of(number_value(t, part, id, 0));
}

size_t template_size(const struct template *t, struct message_id id)
{
	size_t size = 0;

	if (t->size_min == t->size_max)
		return t->size_min;
	for (size_t i = 0; i < t->count; i++)
		size += part_size(t, &t->parts[i], id);
	return size;
}

/* Copy a piece to `to`, or compare it with data if `to` is NULL. */
static bool template_walk(const struct template *t, struct message_id id,
			  int64_t at, size_t from, size_t len, char *to,
			  const char *data)
{
	char room[NUMBER_MAX];

	for (size_t i = 0, n; len > 0 && i < t->count; i++) {
		struct bytes b = part_value(t, &t->parts[i], id, at, room);

		if (from >= b.len) {
			from -= b.len;
			continue;
		}
		n = b.len - from < len ? b.len - from : len;
		if (to)
			to = (char *)memcpy(to, b.data + from, n) + n;
		else if (data && memcmp(data, b.data + from, n) == 0)
			data += n;
		else
			return false;
		len -= n;
		from = 0;
	}
	return len == 0;
}

void template_fill(const struct template *t, struct message_id id, int64_t at,
		   size_t from, char *to, size_t len)
{
	(void)template_walk(t, id, at, from, len, to, NULL);
}

bool template_matches(const struct template *t, struct message_id id,
		      size_t from, const char *data, size_t len)
{
	return template_walk(t, id, 0, from, len, NULL, data);
}
