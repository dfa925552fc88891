/* SPDX-License-Identifier: MIT */
#include "framer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "template.h"

const char *const framer_names[FRAMER_KINDS] = {
	[FRAMER_ANY] = "any",	    [FRAMER_LEN] = "len",
	[FRAMER_LINES] = "lines",   [FRAMER_UNTIL] = "until",
	[FRAMER_PREFIX] = "prefix", [FRAMER_HTTP] = "http",
};

/* A decimal number up to max; *end: what follows it. */
static bool framer_parse_size(const char *text, int64_t max, int64_t *ret,
			      const char **end)
{
	*ret = 0;
	*end = text;
	for (; **end >= '0' && **end <= '9'; ++*end) {
		*ret = *ret * 10 + (**end - '0');
		if (*ret > max)
			return false;
	}
	return *end > text;
}

static bool framer_parse_count(struct framer *ret, const char *text)
{
	const char *end;
	int64_t count;

	if (!framer_parse_size(text, FRAMER_SIZE_MAX, &count, &end) || *end ||
	    count == 0)
		return false;
	ret->count = (uint64_t)count;
	return true;
}

/* The table of Knuth, Morris and Pratt. */
static void fill_fallback(struct framer *f)
{
	size_t n = 0;

	f->fallback[0] = 0;
	for (size_t i = 1; i < f->until_len; i++) {
		f->fallback[i] = (unsigned char)n;
		while (n > 0 && f->until[i] != f->until[n])
			n = f->fallback[n];
		n += f->until[i] == f->until[n];
	}
}

static bool parse_until(struct framer *ret, const char *text)
{
	struct bytes b;
	bool is_right = bytes_parse(&b, text) && b.len > 0 &&
			b.len <= sizeof(ret->until);

	if (is_right) {
		memcpy(ret->until, b.data, b.len);
		ret->until_len = b.len;
		fill_fallback(ret);
	}
	free(b.data);
	return is_right;
}

/* 4be, 2le+3, 4be-4 */
static bool parse_prefix(struct framer *ret, const char *text)
{
	const char *end;
	int64_t more = 0;

	if (!*text || !strchr("1248", *text) || strlen(text) < 3)
		return false;
	end = text + 3;
	ret->width = (unsigned)(*text - '0');
	ret->is_little_endian = text[1] == 'l';
	if ((text[1] != 'b' && text[1] != 'l') || text[2] != 'e')
		return false;
	if (*end && strchr("+-", *end) &&
	    !framer_parse_size(end + 1, FRAMER_SIZE_MAX, &more, &end))
		return false;
	ret->more = text[3] == '-' ? -more : more;
	return *end == '\0';
}

bool framer_parse(struct framer *ret, const char *text)
{
	const char *value = strchr(text, ':');
	size_t len = value ? (size_t)(value - text) : strlen(text);

	*ret = (struct framer){ .kind = FRAMER_ANY };
	if (strcmp(text, "line") == 0) {
		*ret = (struct framer){ .kind = FRAMER_LINES, .count = 1 };
		return true;
	}
	while (ret->kind < FRAMER_KINDS &&
	       (strlen(framer_names[ret->kind]) != len ||
		memcmp(framer_names[ret->kind], text, len) != 0))
		ret->kind++;
	switch (ret->kind) {
	case FRAMER_ANY:
	case FRAMER_HTTP:
		return !value;
	case FRAMER_LEN:
	case FRAMER_LINES:
		return value && framer_parse_count(ret, value + 1);
	case FRAMER_UNTIL:
		return value && parse_until(ret, value + 1);
	case FRAMER_PREFIX:
		return value && parse_prefix(ret, value + 1);
	default:
		return false;
	}
}

static size_t take_left(struct framing *s, size_t len)
{
	size_t n = len < s->left ? len : (size_t)s->left;

	s->left -= n;
	return n;
}

static enum framer_result take_len(const struct framer *f, struct framing *s,
				   size_t len, size_t *used)
{
	if (s->used == 0)
		s->left = f->count;
	*used = take_left(s, len);
	return s->left > 0 ? FRAMER_MORE : FRAMER_END;
}

static enum framer_result take_lines(const struct framer *f, struct framing *s,
				     const char *data, size_t len, size_t *used)
{
	const char *at = data, *end = data + len;

	if (s->used == 0)
		s->left = f->count;
	while (s->left > 0 && at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));

		at = newline ? newline + 1 : end;
		s->left -= newline != NULL;
	}
	*used = (size_t)(at - data);
	return s->left > 0 ? FRAMER_MORE : FRAMER_END;
}

static enum framer_result take_until(const struct framer *f, struct framing *s,
				     const char *data, size_t len, size_t *used)
{
	size_t matched = s->matched, i = 0;

	while (i < len && matched < f->until_len) {
		unsigned char byte = (unsigned char)data[i];

		if (matched == 0 && byte != f->until[0]) {
			const char *next =
				memchr(data + i, f->until[0], len - i);

			i = next ? (size_t)(next - data) : len;
			continue;
		}
		while (matched > 0 && byte != f->until[matched])
			matched = f->fallback[matched];
		matched += byte == f->until[matched];
		i++;
	}
	s->matched = (uint8_t)matched;
	*used = i;
	return matched < f->until_len ? FRAMER_MORE : FRAMER_END;
}

static uint64_t prefix_value(const struct framer *f, const char *field)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < f->width; i++) {
		unsigned at = f->is_little_endian ? f->width - 1 - i : i;

		value = value << 8 | (unsigned char)field[at];
	}
	return value;
}

/* Collect the field; then left is what follows it. */
static enum framer_result take_prefix(const struct framer *f, struct framing *s,
				      const char *data, size_t len,
				      size_t *used)
{
	size_t n = 0;

	while (n < len && s->line_len < f->width) {
		s->line[s->line_len++] = data[n++];
		if (s->line_len == f->width) {
			uint64_t value = prefix_value(f, s->line);

			if (value > FRAMER_SIZE_MAX ||
			    (int64_t)value + f->more < 0) {
				*used = n;
				return FRAMER_WRONG;
			}
			s->left = (uint64_t)((int64_t)value + f->more);
		}
	}
	if (s->line_len == f->width)
		n += take_left(s, len - n);
	*used = n;
	return s->line_len < f->width || s->left > 0 ? FRAMER_MORE : FRAMER_END;
}

enum http_step {
	HTTP_STATUS,
	HTTP_FIELDS,
	HTTP_BODY,    /* left bytes of it */
	HTTP_TO_END,  /* a body that the end of input ends */
	HTTP_SIZE,    /* the line before a chunk */
	HTTP_CHUNK,   /* left bytes of it */
	HTTP_NEWLINE, /* after a chunk */
	HTTP_TRAILER,
	HTTP_OVER,
};

/* As far as it has come: a wrong start is found before the line ends. */
static bool begins_status(const struct framing *s)
{
	static const char version[] = "HTTP/1.";
	size_t len = sizeof(version) - 1;

	return memcmp(s->line, version,
		      s->line_len < len ? s->line_len : len) == 0;
}

static bool http_status(struct framing *s)
{
	const char *at = s->line;

	if (s->line_len < 12 || !begins_status(s) || at[8] != ' ')
		return false;
	s->status = 0;
	for (int i = 9; i < 12; i++) {
		if (at[i] < '0' || at[i] > '9')
			return false;
		s->status = (uint16_t)(s->status * 10 + at[i] - '0');
	}
	s->has_length = s->is_chunked = false;
	s->left = 0;
	s->step = HTTP_FIELDS;
	return s->status >= 100;
}

static bool http_length(struct framing *s, const char *value)
{
	const char *end;
	int64_t length;

	if (!framer_parse_size(value, INT64_MAX / 16, &length, &end) ||
	    end[strspn(end, " \t")] != '\0' ||
	    (s->has_length && s->left != (uint64_t)length))
		return false;
	s->has_length = true;
	s->left = (uint64_t)length;
	return true;
}

static const char *http_field(const char *line, const char *name)
{
	size_t len = strlen(name);

	if (strncasecmp(line, name, len) != 0 || line[len] != ':')
		return NULL;
	return line + len + 1 + strspn(line + len + 1, " \t");
}

/* Returns false if a field that matters is wrong, or too long to be kept. */
static bool http_known_field(struct framing *s)
{
	bool is_whole = s->line_len < FRAMING_LINE - 1;
	const char *value = http_field(s->line, "content-length");
	size_t len;

	if (value)
		return is_whole && http_length(s, value);
	value = http_field(s->line, "transfer-encoding");
	if (!value)
		return true;
	if (!is_whole)
		return false;
	len = strlen(value);
	while (len > 0 && strchr(" \t", value[len - 1]))
		len--;
	if (len >= 7 && strncasecmp(value + len - 7, "chunked", 7) == 0)
		s->is_chunked = true;
	return true;
}

static void http_begin_body(const struct framer *f, struct framing *s)
{
	if (s->status < 200 && s->status != 101)
		s->step = HTTP_STATUS; /* the response proper follows */
	else if (f->is_head || s->status == 101 || s->status == 204 ||
		 s->status == 304)
		s->step = HTTP_OVER;
	else if (s->is_chunked)
		s->step = HTTP_SIZE;
	else if (!s->has_length)
		s->step = HTTP_TO_END;
	else
		s->step = s->left > 0 ? HTTP_BODY : HTTP_OVER;
}

static bool http_size(struct framing *s)
{
	char *end;
	size_t digits = strspn(s->line, "0123456789abcdefABCDEF");

	if (digits == 0 || digits > 15)
		return false;
	s->left = strtoull(s->line, &end, 16);
	/* strtoull() also takes "0x10", which is no size. */
	if (end != s->line + digits || (*end && !strchr("; \t", *end)))
		return false;
	s->step = s->left > 0 ? HTTP_CHUNK : HTTP_TRAILER;
	return true;
}

/* A line is complete, and kept without its end. */
static bool http_line(const struct framer *f, struct framing *s)
{
	bool is_empty = s->line_len == 0;

	switch (s->step) {
	case HTTP_STATUS:
		return http_status(s);
	case HTTP_FIELDS:
		if (is_empty)
			http_begin_body(f, s);
		return is_empty || http_known_field(s);
	case HTTP_SIZE:
		return http_size(s);
	case HTTP_NEWLINE:
		s->step = HTTP_SIZE;
		return is_empty;
	default: /* HTTP_TRAILER */
		if (is_empty)
			s->step = HTTP_OVER;
		return true;
	}
}

/*
 * A carriage return in front of the newline is no part of the line.  A NUL byte
 * belongs in none.
 */
static bool http_take_line(const struct framer *f, struct framing *s,
			   const char *data, size_t len, size_t *used)
{
	const char *newline = memchr(data, '\n', len);
	size_t n = newline ? (size_t)(newline - data) : len;
	size_t room = FRAMING_LINE - 1u - s->line_len;
	size_t kept = n < room ? n : room;
	bool is_right;

	memcpy(s->line + s->line_len, data, kept);
	s->line_len = (uint8_t)(s->line_len + kept);
	*used = n + (newline != NULL);
	if (memchr(data, '\0', n))
		return false;
	if (!newline)
		return s->step != HTTP_STATUS || begins_status(s);
	if (s->line_len > 0 && s->line[s->line_len - 1] == '\r')
		s->line_len--;
	s->line[s->line_len] = '\0';
	is_right = http_line(f, s);
	s->line_len = 0;
	return is_right;
}

static enum framer_result take_http(const struct framer *f, struct framing *s,
				    const char *data, size_t len, size_t *used)
{
	size_t n = 0, part;

	while (n < len && s->step != HTTP_OVER) {
		if (s->step == HTTP_TO_END) {
			n = len;
		} else if (s->step == HTTP_BODY || s->step == HTTP_CHUNK) {
			n += take_left(s, len - n);
			if (s->left == 0)
				s->step = s->step == HTTP_BODY ? HTTP_OVER
							       : HTTP_NEWLINE;
		} else {
			bool is_right =
				http_take_line(f, s, data + n, len - n, &part);

			n += part;
			if (!is_right) {
				*used = n;
				return FRAMER_WRONG;
			}
		}
	}
	*used = n;
	return s->step == HTTP_OVER ? FRAMER_END : FRAMER_MORE;
}

static enum framer_result take_some(const struct framer *f, struct framing *s,
				    const char *data, size_t len, size_t *used)
{
	switch (f->kind) {
	case FRAMER_LEN:
		return take_len(f, s, len, used);
	case FRAMER_LINES:
		return take_lines(f, s, data, len, used);
	case FRAMER_UNTIL:
		return take_until(f, s, data, len, used);
	case FRAMER_PREFIX:
		return take_prefix(f, s, data, len, used);
	case FRAMER_HTTP:
		return take_http(f, s, data, len, used);
	default:
		*used = len;
		return FRAMER_MORE;
	}
}

enum framer_result framer_take(const struct framer *f, struct framing *s,
			       const char *data, size_t len, size_t *used)
{
	enum framer_result result = take_some(f, s, data, len, used);

	s->used += *used;
	return result;
}

bool framer_ends_with_input(const struct framer *f, const struct framing *s)
{
	return s->used > 0 &&
	       (f->kind == FRAMER_ANY ||
		(f->kind == FRAMER_HTTP && s->step == HTTP_TO_END));
}

_Static_assert(PREFIXES_MAX == 8, "a message of prefixes_add() has it");

const char *prefixes_add(struct prefixes *p, const char *text)
{
	if (p->count == PREFIXES_MAX)
		return "at most 8 texts can be given";
	if (!*text)
		return "the text is empty";
	if (!bytes_parse(&p->list[p->count], text))
		return BYTES_WRONG;
	p->count++;
	return NULL;
}

void expectation_fini(struct expectation *x)
{
	for (size_t i = 0; i < PREFIXES_MAX; i++) {
		free(x->ok.list[i].data);
		free(x->bad.list[i].data);
	}
	x->ok.count = x->bad.count = 0;
}

static bool has_own_checks(const struct expectation *x)
{
	return x->ok.count + x->bad.count > 0 || x->match;
}

bool expectation_has_checks(const struct expectation *x)
{
	return has_own_checks(x) || x->framer.kind == FRAMER_HTTP;
}

static size_t longest_prefix(const struct prefixes *p, size_t longest)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->list[i].len > longest)
			longest = p->list[i].len;
	return longest;
}

size_t expectation_keep(const struct expectation *x)
{
	if (!expectation_has_checks(x))
		return 0;
	if (x->match)
		return JUDGE_MAX;
	return longest_prefix(&x->bad, longest_prefix(&x->ok, EXCERPT_MAX));
}

const char *judge_init(struct judge *j, const struct expectation *x)
{
	static _Thread_local char wrong[128];
	int rc;

	*j = (struct judge){ .x = x };
	if (!x->match)
		return NULL;
	j->text = malloc(JUDGE_MAX + 1);
	if (!j->text)
		return "out of memory";
	rc = regcomp(&j->regex, x->match,
		     REG_EXTENDED | REG_NEWLINE | REG_NOSUB);
	j->has_regex = rc == 0;
	if (rc == 0)
		return NULL;
	regerror(rc, &j->regex, wrong, sizeof(wrong));
	return wrong;
}

void judge_fini(struct judge *j)
{
	if (j->has_regex)
		regfree(&j->regex);
	free(j->text);
	*j = (struct judge){ .has_regex = false };
}

static bool begins_with_one(const struct prefixes *p, const char *data,
			    size_t len)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->list[i].len <= len &&
		    memcmp(p->list[i].data, data, p->list[i].len) == 0)
			return true;
	return false;
}

/*
 * Most servers repeat their answer, which is then not matched again.  A NUL
 * byte would end the text; the expression sees a space.
 */
static bool has_match(struct judge *j, const char *data, size_t len)
{
	char *nul = j->text;
	size_t own = len < JUDGE_MAX ? len : JUDGE_MAX;

	if (j->len == own && memcmp(j->text, data, own) == 0)
		return true;
	memcpy(j->text, data, own);
	j->text[own] = '\0';
	while ((nul = memchr(nul, '\0', own - (size_t)(nul - j->text))))
		*nul = ' ';
	j->len = regexec(&j->regex, j->text, 0, NULL, 0) == 0 ? own : 0;
	return j->len > 0;
}

const char *judge_reply(struct judge *j, const struct framing *s,
			const char *data, size_t len)
{
	const struct expectation *x = j->x;

	if (!has_own_checks(x) && s->status >= 400)
		return "its status is an error";
	if (x->ok.count > 0 && !begins_with_one(&x->ok, data, len))
		return "it does not begin as --ok says";
	if (begins_with_one(&x->bad, data, len))
		return "it begins as --bad says";
	if (x->match && !has_match(j, data, len))
		return "it does not match --match";
	return NULL;
}
