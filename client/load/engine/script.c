/* SPDX-License-Identifier: MIT */
#include "script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../cli/cli.h"

#define BLANKS " \t\r"

struct parser {
	struct load_script *script;
	struct script_part *part;
	const char *path;
	int line;
};

static bool refuse(const struct parser *p, const char *what, const char *given)
{
	cli_error("--script: %s:%d: %s%s%s%s", p->path, p->line, what,
		  given ? ", not '" : "", given ? given : "", given ? "'" : "");
	return false;
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
		refuse(p, "expected at most 64 steps in a part", NULL);
		return NULL;
	}
	return &part->steps[part->count++];
}

static bool is_loop(const struct parser *p)
{
	return p->part == &p->script->loop;
}

/* A step of the loop must be complete before the next. */
static bool is_complete(const struct parser *p)
{
	const struct script_step *step = last_step(p);

	if (!is_loop(p) || !step || step->has_reply)
		return true;
	return refuse(p, "expected an expect after each send of the loop",
		      NULL);
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
		return refuse(p, wrong, NULL);
	p->script->has_line = p->script->has_line || step->text.has_line;
	return step->text.count > 0 ||
	       refuse(p, "expected a text to send", NULL);
}

/* It belongs to the send before it, if that has none yet. */
static bool parse_expect(struct parser *p, char *value)
{
	struct script_step *step = last_step(p);

	if (!step || step->has_reply) {
		if (is_loop(p))
			return refuse(p, "expected a send before this expect",
				      NULL);
		step = add_step(p);
	}
	if (!step)
		return false;
	step->has_reply = true;
	if (!framer_parse(&step->expected.framer, value) ||
	    step->expected.framer.kind == FRAMER_ANY)
		return refuse(p,
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
		return refuse(p, "expected an expect before this line", NULL);
	if (strcmp(word, "match") != 0)
		return prefixes_add(*word == 'o' ? &step->expected.ok
						 : &step->expected.bad,
				    value) ||
		       refuse(p, "expected a text; " BYTES_WRONG, NULL);
	step->expected.match = value;
	wrong = judge_init(&trial, &step->expected);
	if (wrong)
		refuse(p, wrong, NULL);
	judge_fini(&trial);
	return !wrong;
}

static bool begin_part(struct parser *p, struct script_part *part)
{
	if (!is_complete(p))
		return false;
	if (p->part == part || part->count > 0)
		return refuse(p, "expected each part once", NULL);
	p->part = part;
	return true;
}

static bool parse_step(struct parser *p, const char *word, char *value)
{
	if (!p->part)
		return refuse(p, "expected connect or loop", word);
	if (strcmp(word, "send") == 0)
		return parse_send(p, value);
	if (strcmp(word, "expect") == 0)
		return parse_expect(p, value);
	if (strcmp(word, "ok") == 0 || strcmp(word, "bad") == 0 ||
	    strcmp(word, "match") == 0)
		return parse_check(p, word, value);
	return refuse(p,
		      "expected connect, loop, send, expect, ok, bad or match",
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
	if (strcmp(word, "connect") == 0)
		return begin_part(p, &p->script->connect);
	if (strcmp(word, "loop") == 0)
		return begin_part(p, &p->script->loop);
	return parse_step(p, word, value);
}

bool script_parse(struct load_script *ret, const char *path, char *source)
{
	struct parser p = { .script = ret, .path = path };
	char *rest = source, *line;

	*ret = (struct load_script){ .source = source };
	while ((line = strsep(&rest, "\n"))) {
		p.line++;
		if (!parse_line(&p, line))
			return false;
	}
	if (!is_complete(&p))
		return false;
	return ret->loop.count > 0 ||
	       refuse(&p, "expected a loop with a send and an expect", NULL);
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
	part_fini(&s->connect);
	part_fini(&s->loop);
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
	part_bind(&s->connect, lines, seed, connections);
	part_bind(&s->loop, lines, seed, connections);
}
