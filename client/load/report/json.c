/* SPDX-License-Identifier: MIT */
/*
 * The JSON as a whole.
 */
#include "json.h"

#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "../../../cli/cli.h"
#include "output.h"

#ifdef HAVE_JANSSON

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "json_parts.h"

bool json_is_available(void)
{
	return true;
}

/* Append value, or give the list up. */
static json_t *appended(json_t *list, json_t *value)
{
	if (!list || json_array_append_new(list, value) < 0) {
		json_decref(list);
		return NULL;
	}
	return list;
}

static json_t *run_facts(const struct result *r)
{
	return json_pack(
		"{s:o, s:s, s:f, s:I, s:b, s:I, s:I, s:I, s:o}", "target",
		json_foreign(r->target, strnlen(r->target, sizeof(r->target))),
		"mode", plan_mode_text(r->plan), "started", r->started,
		"elapsed_ns", (json_int_t)r->elapsed, "cut", r->is_cut,
		"bytes_in", (json_int_t)r->books.bytes_in, "bytes_out",
		(json_int_t)r->books.bytes_out, "censored",
		(json_int_t)r->censored, "censored_min_ns",
		json_known(r->censored > 0, r->censored_min));
}

static json_t *verdict(const struct result *r)
{
	json_t *reasons = json_array();

	for (size_t i = 0; i < r->reason_count; i++)
		reasons = appended(reasons, json_string(r->reasons[i]));
	return json_pack("{s:s, s:o}", "verdict", verdict_names[r->verdict],
			 "reasons", reasons);
}

static json_t *host(void)
{
	struct utsname u;

	if (uname(&u) < 0)
		return NULL;
	return json_pack("{s:o, s:s, s:s, s:s, s:i}", "name",
			 json_foreign(u.nodename, strlen(u.nodename)), "system",
			 u.sysname, "release", u.release, "machine", u.machine,
			 "cpus", (int)sysconf(_SC_NPROCESSORS_ONLN));
}

/* Counts and times have no fraction worth a place. */
static json_t *metric_value(const struct metric *m)
{
	bool is_whole = m->unit == METRIC_TIME || m->unit == METRIC_COUNT;

	if (m->why_absent[0])
		return json_null();
	return is_whole ? json_integer((json_int_t)m->value)
			: json_real(m->value);
}

static json_t *metrics(const struct result *r)
{
	json_t *all = json_object();

	for (int i = 0; all && i < metric_count(); i++) {
		struct metric m;

		metric_get(i, r, &m);
		if (json_object_set_new(all, m.name, metric_value(&m)) < 0) {
			json_decref(all);
			return NULL;
		}
	}
	return all;
}

static json_t *connections(const struct result *r)
{
	const struct connections *c = &r->connections;
	json_t *worst = json_array();

	for (int i = 0; i < c->starved && i < WORST_CONNECTIONS; i++)
		worst = appended(worst, json_integer(c->worst[i]));
	return json_pack("{s:i, s:i, s:I, s:I, s:I, s:o, s:i, s:i, s:i, s:I}",
			 "asked", c->asked, "open", c->open, "replies_min",
			 (json_int_t)c->replies_min, "replies_median",
			 (json_int_t)c->replies_median, "replies_max",
			 (json_int_t)c->replies_max, "starved_numbers", worst,
			 "idle_asked", c->idle_asked, "idle_opened",
			 c->idle_opened, "idle_open", c->idle_open,
			 "bytes_each", (json_int_t)c->bytes_each);
}

static json_t *errors(const struct result *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->errors.used; i++) {
		const struct error_row *row = &r->errors.rows[i];
		const char *text =
			row->error ? strerror(row->error) : "end of input";

		list = appended(
			list, json_pack("{s:s, s:i, s:o, s:I, s:I, s:I}",
					"phase", error_phase_names[row->phase],
					"errno", row->error, "text",
					json_foreign(text, strlen(text)),
					"count", (json_int_t)row->count,
					"first_ns", (json_int_t)row->first_at,
					"last_ns", (json_int_t)row->last_at));
	}
	return list;
}

static json_t *misfits(const struct result *r)
{
	json_t *list = json_array();

	for (int i = 0; i < MISFIT_KINDS; i++) {
		const struct misfits *m = &r->misfits[i];

		if (m->asked == 0)
			continue;
		list = appended(list,
				json_pack("{s:s, s:i, s:i, s:I, s:I, s:I, s:i}",
					  "kind", misfit_names[i], "asked",
					  m->asked, "opened", m->opened,
					  "attempts", (json_int_t)m->attempts,
					  "let_go", (json_int_t)m->let_go,
					  "failed", (json_int_t)m->failed,
					  "open", m->open));
	}
	return list;
}

static json_t *p99(const struct histogram *h)
{
	return json_known(h && histogram_has_percentile(h, 99),
			  h ? histogram_percentile(h, 99) : 0);
}

static json_t *self(const struct result *r)
{
	const struct self *s = &r->self;

	return json_pack("{s:f, s:f, s:I, s:I, s:I}", "cpu_user_s", s->cpu_user,
			 "cpu_system_s", s->cpu_system, "late_ours_max_ns",
			 (json_int_t)s->late_ours_max, "late_server_max_ns",
			 (json_int_t)s->late_server_max, "histogram_bytes",
			 (json_int_t)s->histogram_bytes);
}

json_t *json_gates(const struct gates *gates)
{
	json_t *list = json_array();

	for (size_t i = 0; gates && i < gates->count; i++) {
		const struct gate_row *g = &gates->list[i];
		bool is_there = !g->found.why_absent[0];

		list = appended(
			list,
			json_pack("{s:s, s:s, s:s, s:o, s:b, s:o}", "gate",
				  g->text, "metric", g->found.name, "outcome",
				  gate_outcome_names[g->outcome], "value",
				  metric_value(&g->found), "at_least",
				  g->found.is_at_least, "absent",
				  is_there ? json_null()
					   : json_string(g->found.why_absent)));
	}
	return list;
}

char *json_text(const struct result *r, const struct gates *gates)
{
	json_t *all = json_pack(
		"{s:s, s:i, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, "
		"s:o, s:o, s:o, s:o, s:o, s:o}",
		"schema", JSON_SCHEMA, "version", JSON_VERSION, "weir",
		PACKAGE_VERSION, "run", run_facts(r), "verdict", verdict(r),
		"plan", json_plan(r->plan), "host", host(), "metrics",
		metrics(r), "clocks", json_clocks(r), "connections",
		connections(r), "errors", errors(r), "errors_other",
		(json_int_t)r->errors.other, "misfits", misfits(r),
		"p99_without_misfits_ns", p99(r->without_misfits),
		"p99_with_misfits_ns", p99(r->with_misfits), "self", self(r),
		"seconds", json_seconds(r), "gates", json_gates(gates));
	char *text =
		all ? json_dumps(all, JSON_INDENT(1) | JSON_REAL_PRECISION(12))
		    : NULL;

	json_decref(all);
	return text;
}

int json_write(const char *path, const struct result *r,
	       const struct gates *gates)
{
	char *text = json_text(r, gates);
	size_t len;
	int status;

	if (!text) {
		cli_error("no memory for the JSON");
		return CLI_FAILED;
	}
	len = strlen(text);
	text[len] = '\n'; /* in place of its end */
	status = output_write(path, text, len + 1);
	free(text);
	return status;
}

#else

bool json_is_available(void)
{
	return false;
}

char *json_text(const struct result *r, const struct gates *gates)
{
	(void)r;
	(void)gates;
	return NULL;
}

int json_write(const char *path, const struct result *r,
	       const struct gates *gates)
{
	(void)path;
	(void)r;
	(void)gates;
	cli_error("%s", JSON_UNAVAILABLE);
	return CLI_USAGE;
}

#endif
