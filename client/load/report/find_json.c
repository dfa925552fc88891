/* SPDX-License-Identifier: MIT */
/*
 * A search for programs: JSON of schema "weir-load-find".
 */
#include "../find.h"

#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "../../../cli/cli.h"
#include "json.h"

#ifdef HAVE_JANSSON

#include <stdlib.h>
#include <string.h>

#include "json_parts.h"
#include "output.h"

static const char *outcome(const struct find *f)
{
	if (f->is_cut)
		return "cut";
	if (f->search.state == SEARCH_FOUND)
		return "found";
	return f->search.state == SEARCH_NONE ? "none" : "unsettled";
}

/* Why it is not more: null while nothing is known. */
static json_t *limit(const struct find *f)
{
	const struct find_step *failed = find_failed(f);

	if (failed)
		return json_string(failed->is_ours ? "client" : "server");
	return f->search.state == SEARCH_FOUND ? json_string("highest")
					       : json_null();
}

static json_t *rate(double value)
{
	return value > 0 && value < 1e18 ? json_real(value) : json_null();
}

static json_t *steps(const struct find *f)
{
	json_t *list = json_array();

	for (int i = 0; list && i < f->step_count; i++) {
		const struct find_step *s = &f->steps[i];
		json_t *step = json_pack(
			"{s:f, s:b, s:b, s:b, s:b, s:f, s:I, s:s, s:o}", "rate",
			s->rate, "held", s->has_held, "again", s->is_again,
			"confirming", s->is_last, "client_limited", s->is_ours,
			"answered%", s->answered, "elapsed_ns",
			(json_int_t)s->elapsed, "reason", s->reason, "gates",
			json_gates(&s->gates));

		if (json_array_append_new(list, step) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static char *text_of(const struct find *f)
{
	const struct search *s = &f->search;
	struct plan plan = f->options->load.plan;
	json_t *all;
	char *text;

	plan.rate = 0; /* there is not one */
	all = json_pack(
		"{s:s, s:i, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:i, "
		"s:o, s:o}",
		"schema", "weir-load-find", "version", JSON_VERSION, "weir",
		PACKAGE_VERSION, "outcome", outcome(f), "held",
		rate(search_held(s)), "failed", rate(s->failed), "limit",
		limit(f), "lowest", rate(s->lowest), "highest",
		rate(s->highest), "closed_loop", rate(f->closed), "resolution%",
		100 * f->options->resolution, "steps_most", s->tries_most,
		"plan", json_plan(&plan), "steps", steps(f));
	text = all ? json_dumps(all, JSON_INDENT(1) | JSON_REAL_PRECISION(12))
		   : NULL;
	json_decref(all);
	return text;
}

int find_write_json(const struct find *f)
{
	char *text = text_of(f);
	int status;
	size_t len;

	if (!text) {
		cli_error("no memory for the JSON");
		return CLI_FAILED;
	}
	len = strlen(text);
	text[len] = '\n'; /* in place of its end */
	status = output_write(f->options->load.json, text, len + 1);
	free(text);
	return status;
}

#else

int find_write_json(const struct find *f)
{
	(void)f;
	cli_error("%s", JSON_UNAVAILABLE);
	return CLI_USAGE;
}

#endif
