/* SPDX-License-Identifier: MIT */
#include "script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../cli/cli.h"
#include "../../../cli/text.h"
#include "../measure/units.h"

#define BLANKS " \t\r"

static const char *const part_names[SCRIPT_PARTS] = {
	[SCRIPT_CONNECT] = "connect",
	[SCRIPT_ONCE] = "once",
	[SCRIPT_LOOP] = "loop",
	[SCRIPT_END] = "end",
};

struct parser {
	struct load_script *script;
	struct script_part *part;
	const char *path;
	int line;
};

static bool script_refuse(const struct parser *p, const char *what,
			  const char *given)
{
	cli_error("--script: %s:%d: %s%s%s%s", p->path, p->line, what,
		  given ? ", not '" : "", given ? given : "", given ? "'" : "");
	return false;
}

/* A word that has no value must be the last. */
static bool is_bare(const struct parser *p, const char *value)
{
	value += strspn(value, BLANKS);
	return *value == '\0' ||
	       script_refuse(p,
			     "expected the end of the line after connect, "
			     "once, loop, end and close",
			     value);
}

static struct script_step *last_step(const struct parser *p)
{
	return p->part && p->part->count > 0
		       ? &p->part->steps[p->part->count - 1]
		       : NULL;
}

static struct script_step *add_step(struct parser *p)
{
	struct script_part *part = p->part;

	if (!part->steps)
		part->steps = calloc(SCRIPT_STEPS_MAX, sizeof(*part->steps));
	if (!part->steps || part->count == SCRIPT_STEPS_MAX) {
		script_refuse(p, "expected at most 64 steps in a part", NULL);
		return NULL;
	}
	return &part->steps[part->count++];
}

static bool is_loop(const struct parser *p)
{
	return p->part == &p->script->parts[SCRIPT_LOOP];
}

static bool script_is_measured(const struct parser *p)
{
	return is_loop(p) || p->part == &p->script->parts[SCRIPT_ONCE];
}

/* A measured step must be complete before the next. */
static bool is_complete(const struct parser *p)
{
	const struct script_step *step = last_step(p);

	if (!script_is_measured(p) || !step || step->has_reply)
		return true;
	return script_refuse(
		p, "expected an expect after each send of once and loop", NULL);
}

static bool parse_send(struct parser *p, char *value)
{
	struct script_step *step;
	const char *wrong;

	if (!is_complete(p) || !(step = add_step(p)))
		return false;
	step->has_text = true;
	wrong = template_parse(&step->text, value);
	if (wrong)
		return script_refuse(p, wrong, NULL);
	p->script->has_line = p->script->has_line || step->text.has_line;
	return step->text.count > 0 ||
	       script_refuse(p, "expected a text to send", NULL);
}

/* It belongs to the send right before it, if there is one. */
static bool parse_expect(struct parser *p, char *value)
{
	struct script_step *step = last_step(p);

	if (!step || step->has_reply || step->pause_ns > 0) {
		if (script_is_measured(p))
			return script_refuse(
				p, "expected a send before this expect", NULL);
		step = add_step(p);
	}
	if (!step)
		return false;
	step->has_reply = true;
	if (!framer_parse(&step->expected.framer, value) ||
	    step->expected.framer.kind == FRAMER_ANY)
		return script_refuse(
			p,
			"expected len:N, line, lines:N, until:TEXT, "
			"prefix:4be or http",
			value);
	return true;
}

static bool parse_check(struct parser *p, const char *word, char *value)
{
	struct script_step *step = last_step(p);
	struct judge trial;
	const char *wrong;

	if (!step || !step->has_reply)
		return script_refuse(p, "expected an expect before this line",
				     NULL);
	if (strcmp(word, "match") != 0) {
		wrong = prefixes_add(*word == 'o' ? &step->expected.ok
						  : &step->expected.bad,
				     value);
		return !wrong || script_refuse(p, wrong, NULL);
	}
	if (step->expected.match)
		return script_refuse(p, "expected one match for each expect",
				     NULL);
	if (!*value)
		return script_refuse(p, "the text is empty", NULL);
	step->expected.match = value;
	wrong = judge_init(&trial, &step->expected);
	if (wrong)
		script_refuse(p, wrong, NULL);
	judge_fini(&trial);
	return !wrong;
}

/* In a part that is not measured it may be the first step. */
static bool parse_pause(struct parser *p, const char *value)
{
	struct script_step *step = last_step(p);
	int ms;

	if (!is_complete(p))
		return false;
	if (!step && script_is_measured(p))
		return script_refuse(p, "expected a send before this pause",
				     NULL);
	if (!step && !(step = add_step(p)))
		return false;
	if (!cli_parse_duration(value, &ms) || ms <= 0)
		return script_refuse(p, "expected a duration like 500ms or 2s",
				     value);
	if (__builtin_add_overflow(step->pause_ns, ms * MS, &step->pause_ns))
		return script_refuse(p, "the pauses of this step are too long",
				     value);
	p->script->has_pause = p->script->has_pause || is_loop(p);
	return true;
}

static bool parse_close(struct parser *p, const char *value)
{
	if (!is_bare(p, value) || !is_complete(p))
		return false;
	if (!is_loop(p) || p->part->count == 0)
		return script_refuse(p, "expected close at the end of the loop",
				     NULL);
	p->script->has_close = true;
	return true;
}

static bool begin_part(struct parser *p, struct script_part *part,
		       const char *value)
{
	if (!is_bare(p, value) || !is_complete(p))
		return false;
	if (p->part == part || part->count > 0)
		return script_refuse(p, "expected each part once", NULL);
	p->part = part;
	return true;
}

static bool parse_step(struct parser *p, const char *word, char *value)
{
	if (!p->part)
		return script_refuse(p, "expected connect, once, loop or end",
				     word);
	if (p->script->has_close && is_loop(p))
		return script_refuse(
			p, "expected no step of the loop after close", NULL);
	if (strcmp(word, "send") == 0)
		return parse_send(p, value);
	if (strcmp(word, "expect") == 0)
		return parse_expect(p, value);
	if (strcmp(word, "ok") == 0 || strcmp(word, "bad") == 0 ||
	    strcmp(word, "match") == 0)
		return parse_check(p, word, value);
	if (strcmp(word, "pause") == 0)
		return parse_pause(p, value);
	if (strcmp(word, "close") == 0)
		return parse_close(p, value);
	return script_refuse(
		p,
		"expected connect, once, loop, end, send, expect, ok, "
		"bad, match, pause or close",
		word);
}

/* "word value": blanks around the word are skipped, those of the value kept. */
static bool parse_line(struct parser *p, char *line)
{
	char *word = line + strspn(line, BLANKS);
	size_t len = strcspn(word, BLANKS);
	char *value = word + len;

	if (*word == '\0' || *word == '#')
		return true;
	if (*value)
		*value++ = '\0';
	len = strlen(value);
	if (len > 0 && value[len - 1] == '\r')
		value[len - 1] = '\0';
	for (int i = 0; i < SCRIPT_PARTS; i++)
		if (strcmp(word, part_names[i]) == 0)
			return begin_part(p, &p->script->parts[i], value);
	return parse_step(p, word, value);
}

bool script_parse(struct load_script *ret, const char *path, char *source,
		  size_t len)
{
	struct parser p = { .script = ret, .path = path };
	char *rest = source, *line;

	*ret = (struct load_script){ .source = source };
	source[len] = '\0';
	while ((line = strsep(&rest, "\n"))) {
		const char *end = rest ? rest - 1 : source + len;

		p.line++;
		if (line + strlen(line) != end)
			return script_refuse(
				&p, "expected a text without NUL bytes", NULL);
		if (!parse_line(&p, line))
			return false;
	}
	if (!is_complete(&p))
		return false;
	return ret->parts[SCRIPT_LOOP].count > 0 ||
	       script_refuse(&p, "expected a loop with a send and an expect",
			     NULL);
}

static void part_fini(struct script_part *part)
{
	for (size_t i = 0; i < part->count; i++) {
		template_fini(&part->steps[i].text);
		expectation_fini(&part->steps[i].expected);
	}
	free(part->steps);
}

void script_fini(struct load_script *s)
{
	for (int i = 0; i < SCRIPT_PARTS; i++)
		part_fini(&s->parts[i]);
	free(s->source);
	*s = (struct load_script){ .source = NULL };
}

static void part_bind(struct script_part *part, const struct data_lines *lines,
		      uint64_t seed, uint32_t connections)
{
	for (size_t i = 0; i < part->count; i++) {
		struct script_step *step = &part->steps[i];

		template_bind(&step->text, lines, seed + i, connections);
		step->expected.framer.is_head =
			template_begins(&step->text, "HEAD ");
	}
}

void script_bind(struct load_script *s, const struct data_lines *lines,
		 uint64_t seed, uint32_t connections)
{
	for (int i = 0; i < SCRIPT_PARTS; i++)
		part_bind(&s->parts[i], lines, seed, connections);
}
