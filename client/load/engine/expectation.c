/* SPDX-License-Identifier: MIT */
#include "expectation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool prefixes_add(struct prefixes *p, const char *text)
{
	struct bytes *b = &p->list[p->count];

	if (p->count == PREFIXES_MAX || !*text || !bytes_parse(b, text))
		return false;
	p->count++;
	return true;
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
 * Most servers answer the same again and again: what has matched once need not
 * be matched again.  A NUL byte would end the text; the expression sees a
 * space.
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
