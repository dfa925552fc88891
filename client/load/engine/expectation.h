/* SPDX-License-Identifier: MIT */
/*
 * What a good reply is, for replies that are not compared with the message:
 * where it ends, how it begins, what it matches.
 *
 * An expectation is constant during the run; each engine has its own struct
 * judge, because regexec() locks the expression.
 */
#ifndef LOAD_EXPECTATION_H
#define LOAD_EXPECTATION_H

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>

#include "framer.h"
#include "template.h"

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

/* Parse one more prefix; returns false if there are too many, or an escape is
 * unknown, or it is empty. */
bool prefixes_add(struct prefixes *p, const char *text);
void expectation_fini(struct expectation *x);

/* Is any reply bad that has an end? */
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
 * Returns NULL, or what is wrong with the expression (valid until the next
 * call); call judge_fini() in any case.
 */
const char *judge_init(struct judge *j, const struct expectation *x);
void judge_fini(struct judge *j);

/*
 * Judge a whole reply, or its first expectation_keep() bytes.  Returns NULL if
 * it is good, or else why it is not.
 */
const char *judge_reply(struct judge *j, const struct framing *s,
			const char *data, size_t len);

#endif
