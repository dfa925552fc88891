/* SPDX-License-Identifier: MIT */
/*
 * Each function returns a new value, or NULL without memory.  json_pack()
 * passes a NULL on, so it is checked once, at the top.
 */
#include "json.h"

#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <stdio.h>
#include <stdlib.h>

#include "../../../cli/cli.h"
#include "../../../cli/stream.h"
#include "../../../cli/text.h"
#include "../measure/hlog.h"
#include "../measure/units.h"
#include "output.h"

#ifdef HAVE_JANSSON

#include <float.h>
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

bool json_is_available(void)
{
	return true;
}

/* Append value; releases both and returns NULL on failure. */
static json_t *appended(json_t *list, json_t *value)
{
	if (json_array_append_new(list, value) < 0) {
		json_decref(list);
		return NULL;
	}
	return list;
}

/* As many digits as a double has: run.started to the microsecond. */
static char *json_dumped(json_t *all)
{
	char *text =
		all ? json_dumps(all, JSON_INDENT(1) | JSON_REAL_PRECISION(15))
		    : NULL;

	json_decref(all);
	return text;
}

const char *const json_modes[JSON_MODES] = {
	[PLAN_EXCHANGE] = "exchange",
	[PLAN_CHURN] = "churn",
	[PLAN_UPLOAD] = "upload",
	[PLAN_DOWNLOAD] = "download",
};
const char *const json_schedules[JSON_SCHEDULES] = {
	[PLAN_CLOSED] = "closed",
	[PLAN_CONSTANT] = "constant",
	[PLAN_POISSON] = "poisson",
};
const char *const json_payloads[JSON_PAYLOADS] = {
	[PAYLOAD_LINES] = "lines",
	[PAYLOAD_RANDOM] = "random",
	[PAYLOAD_TEXT] = "text",
};
const char *const json_banners[JSON_BANNERS] = {
	[BANNER_NONE] = "none",
	[BANNER_ANY] = "any",
	[BANNER_LINE] = "line",
	[BANNER_TEXT] = "text",
};

static const char *const proxies[] = {
	[PROXY_NONE] = "none",
	[PROXY_V1] = "v1",
	[PROXY_V2] = "v2",
};

static json_t *json_foreign(const char *text, size_t len)
{
	char *escaped = malloc(4 * len + 1);
	json_t *value;

	if (!escaped)
		return NULL;
	cli_escape(escaped, 4 * len + 1, text, len, CLI_KEEP_UTF8);
	value = json_string(escaped);
	free(escaped);
	return value;
}

static json_t *json_known(bool is_known, int64_t number)
{
	return is_known ? json_integer(number) : json_null();
}

static json_t *plan_sources(const struct plan *p)
{
	json_t *list = json_array();

	for (size_t i = 0; i < p->source_count; i++)
		list = appended(list, json_foreign(p->sources[i],
						   strlen(p->sources[i])));
	return list;
}

static json_t *plan_bad_clients(const struct plan *p)
{
	json_t *counts = json_object();

	for (int i = 0; counts && i < BAD_CLIENT_KINDS; i++)
		if (json_object_set_new(counts, bad_client_names[i],
					json_integer(p->bad_clients[i])) < 0) {
			json_decref(counts);
			return NULL;
		}
	return counts;
}

static json_t *json_given(const char *text)
{
	return text ? json_foreign(text, strlen(text)) : json_null();
}

static json_t *plan_prefixes(const struct prefixes *p)
{
	json_t *list = json_array();

	for (size_t i = 0; i < p->count; i++)
		list = appended(list,
				json_foreign(p->list[i].data, p->list[i].len));
	return list;
}

static json_t *plan_content(const struct plan *p)
{
	return json_pack(
		"{s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o}",
		"payload", json_payloads[p->payload], "size_min",
		(json_int_t)p->size_min, "size_max", (json_int_t)p->size_max,
		"text", json_given(p->text_given), "script",
		json_given(p->script_path), "expect",
		json_given(p->expect_given ? p->expect_given : "echo"), "ok",
		plan_prefixes(&p->expected.ok), "bad",
		plan_prefixes(&p->expected.bad), "match",
		json_given(p->expected.match), "banner",
		json_banners[p->banner], "banner_text",
		json_given(p->banner == BANNER_TEXT ? p->banner_text : NULL));
}

static json_t *plan_times(const struct plan *p)
{
	return json_pack(
		"{s:o, s:o, s:I, s:o, s:o}", "count",
		json_known(p->count > 0, (int64_t)p->count), "duration_ns",
		json_known(p->duration_ns != INT64_MAX, p->duration_ns),
		"warmup_ns", (json_int_t)p->warmup_ns, "timeout_ns",
		json_known(p->timeout_ns != INT64_MAX, p->timeout_ns),
		"connect_timeout_ns",
		json_known(p->connect_timeout_ns != INT64_MAX,
			   p->connect_timeout_ns));
}

static json_t *plan_name(const char *name)
{
	return name ? json_foreign(name, strlen(name)) : json_null();
}

static json_t *plan_socket(const struct plan_socket *s)
{
	return json_pack(
		"{s:o, s:o, s:i, s:o, s:b, s:o, s:o}", "rcvbuf",
		json_known(s->receive_buffer > 0, s->receive_buffer), "sndbuf",
		json_known(s->send_buffer > 0, s->send_buffer), "dscp",
		s->mark_dscp, "mss", json_known(s->segment > 0, s->segment),
		"nagle", s->has_nagle, "congestion", plan_name(s->congestion),
		"device", plan_name(s->device));
}

static json_t *plan_tls(const struct plan_tls *t)
{
	if (!t->is_wanted)
		return json_null();
	return json_pack("{s:o, s:b, s:b, s:o, s:b}", "name",
			 json_given(t->name), "insecure", t->is_insecure,
			 "certificate", t->certificate != NULL, "alpn",
			 json_given(t->alpn_given), "full_handshakes",
			 t->is_full);
}

static json_t *plan_stages(const struct plan *p)
{
	json_t *list = json_array();

	for (size_t i = 0; i < p->stage_count; i++)
		list = appended(list,
				json_pack("{s:f, s:f, s:I}", "from",
					  p->stages[i].from, "to",
					  p->stages[i].to, "length_ns",
					  (json_int_t)p->stages[i].length_ns));
	return list;
}

static json_t *plan_span(const struct plan_span *s)
{
	if (s->high == 0)
		return json_null();
	return json_pack("{s:I, s:I, s:b}", "low_ns", (json_int_t)s->low,
			 "high_ns", (json_int_t)s->high, "exponential",
			 s->is_exponential);
}

static json_t *json_plan(const struct plan *p)
{
	return json_pack(
		"{s:o, s:s, s:s, s:i, s:i, s:i, s:o, s:o, s:i, s:o, s:o, s:o, "
		"s:b, s:s, s:I, s:o, s:o, s:o, s:b, s:s, s:o, s:o, s:o}",
		"address", json_foreign(p->address, strlen(p->address)), "mode",
		json_modes[p->mode], "schedule", json_schedules[p->schedule],
		"connections", p->connections, "threads", p->threads, "depth",
		p->depth, "rate",
		p->rate > 0 ? json_real(p->rate) : json_null(), "connect_rate",
		p->connect_rate > 0 ? json_real(p->connect_rate) : json_null(),
		"idle", p->idle, "times", plan_times(p), "think",
		plan_span(&p->think), "lifetime", plan_span(&p->lifetime),
		"reconnect", p->reconnect, "close",
		p->close_by_reset ? "rst" : "fin", "seed", (json_int_t)p->seed,
		"content", plan_content(p), "bad_clients", plan_bad_clients(p),
		"sources", plan_sources(p), "spread", p->is_spread, "proxy",
		proxies[p->proxy], "socket", plan_socket(&p->socket), "tls",
		plan_tls(&p->tls), "stages", plan_stages(p));
}

static const double points[] = { 50, 75, 90, 95, 99, 99.9, 99.99, 99.999 };

#define POINTS (sizeof(points) / sizeof(points[0]))

/* Steps of the spectrum for each halving of the rest. */
#define TICKS 5

/*
 * With its 95 % interval for independent samples: the ranks n p -+ 1.96 sqrt(n
 * p (1 - p)).
 */
static json_t *percentile(const struct result *r, enum clock_kind kind,
			  double percent)
{
	const struct histogram *h = r->clocks[kind];
	double p = percent / 100;
	double off = 1.96 * sqrt(p * (1 - p) / (double)h->total) * 100;
	bool is_more;
	int64_t ns = result_percentile(r, kind, percent, &is_more);
	int64_t low = histogram_percentile(h, fmax(percent - off, 0));
	int64_t high = histogram_percentile(h, fmin(percent + off, 100));

	return json_pack("{s:f, s:o, s:o, s:o, s:b}", "percent", percent, "ns",
			 json_known(ns >= 0, ns), "low_ns",
			 json_known(ns >= 0, low), "high_ns",
			 json_known(ns >= 0, high), "at_least", is_more);
}

static bool is_usual_point(double percent)
{
	for (size_t i = 0; i < POINTS; i++)
		if (points[i] == percent)
			return true;
	return false;
}

static json_t *percentiles(const struct result *r, enum clock_kind kind)
{
	json_t *list = json_array();

	for (size_t i = 0; i < POINTS; i++)
		list = appended(list, percentile(r, kind, points[i]));
	for (size_t i = 0; i < r->plan->percentile_count; i++)
		if (!is_usual_point(r->plan->percentiles[i]))
			list = appended(
				list,
				percentile(r, kind, r->plan->percentiles[i]));
	return list;
}

/* As HdrHistogram prints it: ever smaller steps up to the last sample. */
static json_t *spectrum(const struct histogram *h)
{
	json_t *list = json_array();
	double percent = 0, last = 100 - 100 / (double)h->total;
	bool is_last = false;

	while (list && !is_last) {
		json_int_t value;

		/* The next steps could be lost in rounding. */
		is_last = percent > last ||
			  100 - percent < 100 * TICKS * DBL_EPSILON;
		if (is_last)
			percent = 100;
		value = histogram_percentile(h, percent);
		list = appended(list, json_pack("[I, f]", value, percent));
		percent += 100 / (TICKS *
				  exp2(floor(log2(100 / (100 - percent))) + 1));
	}
	return list;
}

/* Null without zlib; NULL without memory. */
static json_t *slots(const struct histogram *h)
{
	json_t *value;
	char *text;

	if (!hlog_is_available())
		return json_null();
	text = hlog_encode(h);
	value = text ? json_string(text) : NULL;
	free(text);
	return value;
}

static json_t *clock_value(const struct result *r, enum clock_kind kind)
{
	static const struct censored none = { 0, INT64_MAX };
	const struct censored *c =
		kind < CENSORED_CLOCKS ? &r->censored[kind] : &none;
	const struct histogram *h = r->clocks[kind];
	bool is_max_more;

	if (result_percentile(r, kind, 100, &is_max_more) < 0)
		return json_null();
	return json_pack(
		"{s:I, s:I, s:I, s:b, s:f, s:b, s:f, s:I, s:I, s:o, s:o, s:o, "
		"s:o}",
		"samples", (json_int_t)h->total, "min_ns", (json_int_t)h->min,
		"max_ns", (json_int_t)h->max, "max_at_least", is_max_more,
		"mean_ns", histogram_mean(h), "mean_at_least", c->count > 0,
		"deviation_ns", histogram_deviation(h), "clamped",
		(json_int_t)h->clamped, "unanswered", (json_int_t)c->count,
		"unanswered_min_ns", json_known(c->count > 0, c->min),
		"percentiles", percentiles(r, kind), "spectrum", spectrum(h),
		"histogram", slots(h));
}

static json_t *json_clocks(const struct result *r)
{
	json_t *all = json_object();

	for (int k = 0; all && k < CLOCK_KINDS; k++)
		if (json_object_set_new(all, clock_names[k],
					clock_value(r, (enum clock_kind)k)) <
		    0) {
			json_decref(all);
			return NULL;
		}
	return all;
}

static json_t *second_at_least(const struct second *s)
{
	static const char *const names[SECOND_POINTS] = { "p50_ns", "p90_ns",
							  "p99_ns", "p99.9_ns",
							  "max_ns" };
	json_t *list = json_array();

	for (int i = 0; i < SECOND_POINTS; i++)
		if (s->is_more[i])
			list = appended(list, json_string(names[i]));
	return list;
}

static json_t *json_second(const struct second *s)
{
	bool has = s->max > 0;

	return json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:b, s:b, s:o, s:o, s:o, "
		"s:o, s:o, s:o}",
		"at_ns", (json_int_t)s->at, "length_ns", (json_int_t)s->length,
		"answered", (json_int_t)s->answered, "errors",
		(json_int_t)s->errors, "bytes_in", (json_int_t)s->bytes_in,
		"bytes_out", (json_int_t)s->bytes_out, "open", s->open, "drain",
		s->is_drain, "bad_clients", s->has_bad_clients, "p50_ns",
		json_known(has && s->p50 >= 0, s->p50), "p90_ns",
		json_known(has && s->p90 >= 0, s->p90), "p99_ns",
		json_known(has && s->p99 >= 0, s->p99), "p99.9_ns",
		json_known(has && s->p999 >= 0, s->p999), "max_ns",
		json_known(has, s->max), "at_least", second_at_least(s));
}

static json_t *json_seconds(const struct result *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->second_count; i++)
		list = appended(list, json_second(&r->seconds[i]));
	return list;
}

static json_t *run_ids(const struct result *r)
{
	json_t *list = json_array();

	if (r->id_count == 0)
		return appended(list, json_string(r->id));
	for (size_t i = 0; i < r->id_count; i++)
		list = appended(list, json_string(r->ids[i]));
	return list;
}

static json_t *run_facts(const struct result *r)
{
	const struct censored *c = &r->censored[result_main_clock(r->plan)];

	return json_pack(
		"{s:o, s:o, s:s, s:f, s:I, s:b, s:b, s:b, s:b, s:I, s:I, s:I, "
		"s:I, s:I, s:o}",
		"ids", run_ids(r), "target",
		json_foreign(r->target, strnlen(r->target, sizeof(r->target))),
		"mode", plan_mode_text(r->plan), "started", r->started,
		"elapsed_ns", (json_int_t)r->elapsed, "cut", r->is_cut,
		"stopped", r->is_stopped, "ended_early",
		result_has_ended_early(r), "incomplete", r->is_incomplete,
		"bytes_in", (json_int_t)r->counts.bytes_in, "bytes_out",
		(json_int_t)r->counts.bytes_out, "drained_in",
		(json_int_t)r->counts.drained_in, "drained_out",
		(json_int_t)r->counts.drained_out, "censored",
		(json_int_t)c->count, "censored_min_ns",
		json_known(c->count > 0, c->min));
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

static json_t *metric_value(const struct metric *m)
{
	bool is_whole = m->unit == METRIC_TIME || m->unit == METRIC_COUNT;

	if (m->why_absent[0])
		return json_null();
	return is_whole ? json_integer(units_whole(m->value))
			: json_real(m->value);
}

static json_t *metrics(const struct result *r)
{
	json_t *all = json_object();
	struct metric_id id;

	for (size_t i = 0; all && metric_at(i, r->plan, &id); i++) {
		struct metric m;

		metric_get(id, r, &m);
		if (json_object_set_new(all, m.name, metric_value(&m)) < 0) {
			json_decref(all);
			return NULL;
		}
	}
	return all;
}

static json_t *metrics_at_least(const struct result *r)
{
	json_t *list = json_array();
	struct metric_id id;

	for (size_t i = 0; metric_at(i, r->plan, &id); i++) {
		struct metric m;

		metric_get(id, r, &m);
		if (m.is_at_least && !m.why_absent[0])
			list = appended(list, json_string(m.name));
	}
	return list;
}

static json_t *connections(const struct result *r)
{
	const struct conn_counts *c = &r->connections;
	json_t *worst = json_array();

	for (int i = 0; i < c->worst_count; i++)
		worst = appended(worst, json_integer(c->worst[i]));
	return json_pack("{s:i, s:i, s:o, s:I, s:I, s:I, s:o, s:i, s:i, s:i, "
			 "s:I}",
			 "asked", c->asked, "open", c->open, "lost_at_ns",
			 json_known(c->lost > 0, c->lost_at), "replies_min",
			 (json_int_t)c->replies_min, "replies_median",
			 (json_int_t)c->replies_median, "replies_max",
			 (json_int_t)c->replies_max, "starved_numbers", worst,
			 "idle_asked", c->idle_asked, "idle_opened",
			 c->idle_opened, "idle_open", c->idle_open,
			 "bytes_each", (json_int_t)c->bytes_each);
}

static json_t *json_first_bad(const struct result *r)
{
	const struct bad_reply *b = &r->first_bad;

	if (!b->why)
		return json_null();
	return json_pack("{s:s, s:I, s:I, s:I, s:o, s:o}", "why", b->why,
			 "at_ns", (json_int_t)b->at, "connection",
			 (json_int_t)b->conn, "message", (json_int_t)b->seq,
			 "sent", json_foreign(b->sent, b->sent_len), "received",
			 json_foreign(b->got, b->got_len));
}

static json_t *json_errors(const struct result *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->errors.used; i++) {
		const struct error_row *row = &r->errors.rows[i];
		const char *text = result_error_text(r, row);

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

static json_t *bad_clients(const struct result *r)
{
	json_t *list = json_array();

	for (int i = 0; i < BAD_CLIENT_KINDS; i++) {
		const struct bad_client_counts *m = &r->bad_clients[i];

		if (m->asked == 0)
			continue;
		list = appended(list,
				json_pack("{s:s, s:i, s:i, s:I, s:I, s:I, s:i}",
					  "kind", bad_client_names[i], "asked",
					  m->asked, "opened", m->opened,
					  "attempts", (json_int_t)m->attempts,
					  "let_go", (json_int_t)m->let_go,
					  "failed", (json_int_t)m->failed,
					  "open", m->open));
	}
	return list;
}

static bool is_p99_more(const struct histogram *h, const struct censored *c)
{
	bool is_more = false;

	if (h && histogram_has_percentile(h, 99))
		censored_percentile(h, c, 99, &is_more);
	return is_more;
}

static json_t *p99(const struct histogram *h)
{
	return json_known(h && histogram_has_percentile(h, 99),
			  h ? histogram_percentile(h, 99) : 0);
}

static json_t *self(const struct result *r)
{
	const struct self *s = &r->self;

	return json_pack("{s:f, s:f, s:I, s:I, s:I, s:I}", "cpu_user_s",
			 s->cpu_user, "cpu_system_s", s->cpu_system,
			 "late_ours_max_ns", (json_int_t)s->late_ours_max,
			 "late_server_max_ns", (json_int_t)s->late_server_max,
			 "handshake_lag_ns", (json_int_t)s->handshake_lag,
			 "histogram_bytes", (json_int_t)s->histogram_bytes);
}

static json_t *json_gates(const struct gates *gates)
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
		"{s:s, s:i, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
		"s:o, s:I, s:o, s:o, s:o, s:b, s:o, s:b, s:o, s:o, s:o}",
		"schema", JSON_SCHEMA, "version", JSON_VERSION, "weir",
		PACKAGE_VERSION, "run", run_facts(r), "verdict", verdict(r),
		"plan", json_plan(r->plan), "host", host(), "metrics",
		metrics(r), "metrics_at_least", metrics_at_least(r), "clocks",
		json_clocks(r), "connections", connections(r), "tls_why",
		json_given(r->tls_why), "errors", json_errors(r),
		"errors_other", (json_int_t)r->errors.other, "first_bad",
		json_first_bad(r), "bad_clients", bad_clients(r),
		"p99_without_bad_clients_ns", p99(r->without_bad_clients),
		"p99_without_bad_clients_at_least",
		is_p99_more(r->without_bad_clients, &r->without_censored),
		"p99_with_bad_clients_ns", p99(r->with_bad_clients),
		"p99_with_bad_clients_at_least",
		is_p99_more(r->with_bad_clients, &r->with_censored), "self",
		self(r), "seconds", json_seconds(r), "gates",
		json_gates(gates));

	return json_dumped(all);
}

static const char *find_outcome(const struct find *f)
{
	if (f->is_cut)
		return "cut";
	if (f->search.state == SEARCH_FOUND)
		return "found";
	return f->search.state == SEARCH_NONE ? "none" : "unsettled";
}

static json_t *find_limit(const struct find *f)
{
	const struct find_step *failed = find_failed(f);

	if (failed)
		return json_string(failed->is_client_limited ? "client"
							     : "server");
	return f->search.state == SEARCH_FOUND ? json_string("highest")
					       : json_null();
}

static json_t *known_rate(double value)
{
	return value > 0 && value < 1e18 ? json_real(value) : json_null();
}

static json_t *find_steps(const struct find *f)
{
	json_t *list = json_array();

	for (int i = 0; i < f->step_count; i++) {
		const struct find_step *s = &f->steps[i];

		list = appended(
			list,
			json_pack("{s:f, s:b, s:b, s:b, s:b, s:b, s:f, s:I, "
				  "s:s, s:o}",
				  "rate", s->rate, "held", s->has_held, "empty",
				  s->is_empty, "again", s->is_again,
				  "confirming", s->is_last, "client_limited",
				  s->is_client_limited, "answered%",
				  s->answered, "elapsed_ns",
				  (json_int_t)s->elapsed, "reason", s->reason,
				  "gates", json_gates(&s->gates)));
	}
	return list;
}

static char *find_text(const struct find *f)
{
	const struct search *s = &f->search;
	struct plan plan = *f->plan;

	plan.rate = 0; /* each step has its own */
	return json_dumped(json_pack(
		"{s:s, s:i, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:i, "
		"s:o, s:o}",
		"schema", "weir-load-find", "version", JSON_VERSION, "weir",
		PACKAGE_VERSION, "outcome", find_outcome(f), "held",
		known_rate(search_held(s)), "failed", known_rate(s->failed),
		"limit", find_limit(f), "lowest", known_rate(s->lowest),
		"highest", known_rate(s->highest), "closed_loop",
		known_rate(f->closed), "resolution%",
		100 * f->search.resolution, "steps_most", s->tries_most, "plan",
		json_plan(&plan), "steps", find_steps(f)));
}

static int write_text(const char *path, char *text)
{
	size_t len;
	int status;

	if (!text) {
		cli_error("out of memory for the JSON");
		return CLI_FAILED;
	}
	len = strlen(text);
	text[len] = '\n'; /* instead of the final NUL */
	status = output_write(path, text, len + 1);
	free(text);
	return status;
}

int json_write(const char *path, const struct result *r,
	       const struct gates *gates)
{
	return write_text(path, json_text(r, gates));
}

int json_write_find(const char *path, const struct find *f)
{
	return write_text(path, find_text(f));
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

int json_write_find(const char *path, const struct find *f)
{
	(void)path;
	(void)f;
	cli_error("%s", JSON_UNAVAILABLE);
	return CLI_USAGE;
}

#endif

/*
 * "<" could end the script element that contains the JSON.  In JSON it occurs
 * only in strings, which can escape it.
 */
static void put_json(FILE *to, const char *json)
{
	for (; *json; json++)
		if (*json == '<')
			fputs("\\u003c", to);
		else
			putc(*json, to);
}

static char *page(const char *json, size_t *len)
{
	struct stream_memory m;

	if (!stream_memory_open(&m))
		return NULL;
	fwrite(html_head, 1, html_head_len, m.to);
	put_json(m.to, json);
	fwrite(html_tail, 1, html_tail_len, m.to);
	return stream_memory_close(&m, len);
}

int html_write(const char *path, const struct result *r,
	       const struct gates *gates)
{
	char *json = json_text(r, gates);
	size_t len;
	char *text = json ? page(json, &len) : NULL;
	int status = CLI_FAILED;

	if (text)
		status = output_write(path, text, len);
	else
		cli_error("out of memory for the page");
	free(text);
	free(json);
	return status;
}
