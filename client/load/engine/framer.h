/* SPDX-License-Identifier: MIT */
/*
 * Where a reply ends, for replies that are not compared with the message.
 * Input may be cut anywhere: the result is the same.
 *
 * A framer is constant; each connection has a struct framing of its own.
 */
#ifndef LOAD_FRAMER_H
#define LOAD_FRAMER_H

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "template.h"

#define FRAMER_SIZE_MAX	 (INT64_C(1) << 26) /* bytes of a reply */
#define FRAMER_UNTIL_MAX 255

enum framer_kind {
	FRAMER_ANY, /* whatever comes; the caller decides */
	FRAMER_LEN,
	FRAMER_LINES,
	FRAMER_UNTIL,  /* up to the end of a text */
	FRAMER_PREFIX, /* a length, and bytes according to it */
	FRAMER_HTTP,
	FRAMER_KINDS
};

extern const char *const framer_names[FRAMER_KINDS];

struct framer {
	enum framer_kind kind;
	uint64_t count; /* LEN: bytes; LINES: lines */
	/*
	 * UNTIL.  fallback[n]: after n equal bytes and a different one, how
	 * many of the latest may be the beginning of the text.
	 */
	unsigned char until[FRAMER_UNTIL_MAX];
	unsigned char fallback[FRAMER_UNTIL_MAX];
	size_t until_len;
	/* PREFIX: the length field, and what to add to its value. */
	unsigned width;
	bool is_little_endian;
	int64_t more;
	bool is_head; /* HTTP: the requests are HEAD, so there is no body */
};

#define FRAMING_LINE 64

/* A reply that is being received; all zero before its first byte. */
struct framing {
	uint64_t used;	 /* bytes so far */
	uint64_t left;	 /* bytes to the end, or lines, or of a body or chunk */
	uint16_t status; /* HTTP: the status code, once its line has come */
	uint8_t step;	 /* HTTP */
	uint8_t matched; /* UNTIL: bytes of the text that came last */
	bool has_length, is_chunked;
	uint8_t line_len;	 /* HTTP: of the line, as far as it is kept */
	char line[FRAMING_LINE]; /* HTTP: the beginning of the current line */
};

enum framer_result {
	FRAMER_MORE,
	FRAMER_END,
	FRAMER_WRONG, /* no reply of that form: its end cannot be known */
};

/* Parse the value of --expect; returns false if it is none of a framer. */
bool framer_parse(struct framer *ret, const char *text);

/* Take the next bytes of a reply.  *used: how many belong to it. */
enum framer_result framer_take(const struct framer *f, struct framing *s,
			       const char *data, size_t len, size_t *used);

bool framer_ends_with_input(const struct framer *f, const struct framing *s);

/*
 * An expectation is constant during the run; each engine has its own struct
 * judge, because regexec() locks the expression.
 */
#define PREFIXES_MAX 8
#define JUDGE_MAX    65536 /* bytes of a reply that --match sees */
#define EXCERPT_MAX  256   /* bytes of a bad reply that are shown */

struct prefixes {
	struct bytes list[PREFIXES_MAX];
	size_t count;
};

struct expectation {
	struct framer framer;
	struct prefixes ok;  /* it begins with one of these, if there are any */
	struct prefixes bad; /* and with none of these */
	const char *match;   /* and matches this, an extended expression; or
				NULL */
};

/* Add one more prefix.  Returns NULL, or what is wrong with it. */
const char *prefixes_add(struct prefixes *p, const char *text);
void expectation_fini(struct expectation *x);

bool expectation_has_checks(const struct expectation *x);

/* How many bytes of a reply judge_reply() has to see. */
size_t expectation_keep(const struct expectation *x);

struct judge {
	const struct expectation *x;
	regex_t regex;
	bool has_regex;
	char *text; /* the last reply that matched, with a NUL */
	size_t len; /* 0: none */
};

/*
 * Returns NULL, or what is wrong, a text valid until the next call;
 * judge_fini() in any case.
 */
const char *judge_init(struct judge *j, const struct expectation *x);
void judge_fini(struct judge *j);

/* A reply, or its first expectation_keep() bytes: NULL if good, or why not. */
const char *judge_reply(struct judge *j, const struct framing *s,
			const char *data, size_t len);

#endif
