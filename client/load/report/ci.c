/* SPDX-License-Identifier: MIT */
#include "ci.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../../cli/cli.h"
#include "../../../cli/stream.h"
#include "../../../cli/text.h"
#include "../measure/units.h"
#include "layout.h"
#include "output.h"

static bool document_open(struct stream_memory *d)
{
	bool is_open = stream_memory_open(d);

	if (!is_open)
		cli_error("out of memory");
	return is_open;
}

static int document_write(struct stream_memory *d, const char *path)
{
	int status = CLI_FAILED;
	size_t len;
	char *text = stream_memory_close(d, &len);

	if (text)
		status = output_write(path, text, len);
	else
		cli_error("out of memory");
	free(text);
	return status;
}

/*
 * Text in a document, where some characters have a meaning.  Control characters
 * become \xHH, because XML cannot have them.
 */
static void put_text(FILE *to, const char *text, const char *const *meanings)
{
	char plain[512];

	cli_escape(plain, sizeof(plain), text, strlen(text), CLI_KEEP_UTF8);
	for (const char *at = plain; *at; at++) {
		size_t i = 0;

		while (meanings[i] && *at != meanings[i][0])
			i++;
		if (meanings[i])
			fputs(meanings[i] + 1, to);
		else
			putc(*at, to);
	}
}

static const char *const xml[] = { "&&amp;", "<&lt;", ">&gt;", "\"&quot;",
				   NULL };

static const char *gate_found(const struct gate_row *g, char buf[METRIC_TEXT])
{
	return g->found.why_absent[0] ? g->found.why_absent
				      : metric_text(&g->found, buf);
}

static void junit_gate(FILE *to, const struct gate_row *g)
{
	char value[METRIC_TEXT];

	fputs("  <testcase classname=\"weir-client load\" name=\"", to);
	put_text(to, g->text, xml);
	if (g->outcome == GATE_PASS) {
		fputs("\"/>\n", to);
		return;
	}
	fprintf(to, "\">\n    <%s message=\"",
		g->outcome == GATE_FAIL ? "failure" : "error");
	put_text(to, g->found.name, xml);
	fputs(" is ", to);
	put_text(to, gate_found(g, value), xml);
	fprintf(to, "%s\"/>\n  </testcase>\n",
		g->outcome == GATE_FAIL ? "" : "; not judged");
}

static bool is_verdict_bad(const struct result *r, const struct gates *gates)
{
	return r->is_incomplete ||
	       (gates->needs_trust && r->verdict == VERDICT_NOT);
}

static void junit_verdict(FILE *to, const struct result *r, bool is_bad)
{
	fputs("  <testcase classname=\"weir-client load\" name=\"verdict\">\n",
	      to);
	if (is_bad)
		fprintf(to, "    <failure message=\"%s\"/>\n",
			verdict_names[r->verdict]);
	fprintf(to, "    <system-out>%s", verdict_names[r->verdict]);
	for (size_t i = 0; i < r->reason_count; i++) {
		fputs("\n", to);
		put_text(to, r->reasons[i], xml);
	}
	fputs("</system-out>\n  </testcase>\n", to);
}

static void junit_head(FILE *to, const struct result *r,
		       const struct gates *gates)
{
	size_t failed = is_verdict_bad(r, gates), errors = 0;
	time_t started = (time_t)r->started;
	char date[32] = "";
	struct tm tm;

	for (size_t i = 0; i < gates->count; i++) {
		failed += gates->list[i].outcome == GATE_FAIL;
		errors += gates->list[i].outcome == GATE_NOT_JUDGED;
	}
	if (gmtime_r(&started, &tm))
		strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	      "<testsuite name=\"weir-client load ",
	      to);
	put_text(to, r->plan->address, xml);
	fprintf(to,
		"\" tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" "
		"skipped=\"0\" time=\"%.3f\" timestamp=\"%s\">\n",
		gates->count + 1, failed, errors, (double)r->elapsed / 1e9,
		date);
}

int junit_write(const char *path, const struct result *r,
		const struct gates *gates)
{
	struct stream_memory d;

	if (!document_open(&d))
		return CLI_FAILED;
	junit_head(d.to, r, gates);
	for (size_t i = 0; i < gates->count; i++)
		junit_gate(d.to, &gates->list[i]);
	junit_verdict(d.to, r, is_verdict_bad(r, gates));
	fputs("</testsuite>\n", d.to);
	return document_write(&d, path);
}

static const char *const markdown[] = { "|\\|",	 "`\\`",   "*\\*", "_\\_",
					"<&lt;", "\\\\\\", NULL };

static void markdown_figures(FILE *to, const struct result *r)
{
	static const char *const names[] = { "rate",  "p50",	  "p99",
					     "max",   "bytes-in", "bytes-out",
					     "errors" };
	const char *joint = "**";
	char text[METRIC_TEXT];
	struct metric_id id;
	struct metric m;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		bool has_none = i == 0 && result_is_one_way(r);

		if (has_none || !metric_find(&id, names[i]))
			continue;
		metric_get(id, r, &m);
		if (m.why_absent[0])
			continue;
		fprintf(to, "%s%s %s", joint, names[i], metric_text(&m, text));
		joint = ", ";
	}
	fputs("**\n\n", to);
}

static void markdown_gates(FILE *to, const struct gates *gates)
{
	char value[METRIC_TEXT];

	if (gates->count == 0)
		return;
	fputs("| gate | found | outcome |\n|---|---|---|\n", to);
	for (size_t i = 0; i < gates->count; i++) {
		const struct gate_row *g = &gates->list[i];

		fputs("| ", to);
		put_text(to, g->text, markdown);
		fputs(" | ", to);
		put_text(to, gate_found(g, value), markdown);
		fprintf(to, " | %s |\n", gate_outcome_names[g->outcome]);
	}
	fputs("\n", to);
}

static void markdown_clock(FILE *to, const struct result *r,
			   enum clock_kind kind)
{
	size_t points;
	const double *percents = plan_percentiles(r->plan, &points);
	char text[UNITS_TEXT + 1];

	if (!r->clocks[kind] || r->clocks[kind]->total == 0)
		return;
	fprintf(to, "| %s |", clock_names[kind]);
	for (size_t i = 0; i <= points; i++) {
		bool is_more;
		int64_t ns = result_percentile(
			r, kind, i < points ? percents[i] : 100, &is_more);

		fprintf(to, " %s%s |", is_more ? "\\" : "",
			layout_time(ns, is_more, text));
	}
	fputs("\n", to);
}

static void markdown_latency(FILE *to, const struct result *r)
{
	size_t points;
	const double *percents = plan_percentiles(r->plan, &points);

	fputs("| latency |", to);
	for (size_t i = 0; i < points; i++)
		fprintf(to, " p%.12g |", percents[i]);
	fputs(" max |\n|---|", to);
	for (size_t i = 0; i <= points; i++)
		fputs("--:|", to);
	fputs("\n", to);
	for (int k = 0; k < CLOCK_KINDS; k++)
		markdown_clock(to, r, (enum clock_kind)k);
}

int markdown_write(const char *path, const struct result *r,
		   const struct gates *gates)
{
	struct stream_memory d;

	if (!document_open(&d))
		return CLI_FAILED;
	fputs("### weir-client load ", d.to);
	put_text(d.to, r->plan->address, markdown);
	fputs("\n\n", d.to);
	markdown_figures(d.to, r);
	fprintf(d.to, "Figures: %s\n\n", verdict_names[r->verdict]);
	for (size_t i = 0; i < r->reason_count; i++) {
		fputs("- ", d.to);
		put_text(d.to, r->reasons[i], markdown);
		fputs("\n", d.to);
	}
	fputs("\n", d.to);
	markdown_gates(d.to, gates);
	markdown_latency(d.to, r);
	return document_write(&d, path);
}

static const char *const label[] = { "\"\\\"", "\\\\\\", NULL };

static void put_family(FILE *to, const char *name, const char *type,
		       const char *unit, const char *help)
{
	fprintf(to, "# TYPE weir_load_%s %s\n", name, type);
	if (unit)
		fprintf(to, "# UNIT weir_load_%s %s\n", name, unit);
	fprintf(to, "# HELP weir_load_%s %s\n", name, help);
}

static void put_sample(FILE *to, const struct plan *plan, const char *name,
		       const char *more, double value)
{
	fprintf(to, "weir_load_%s{address=\"", name);
	put_text(to, plan->address, label);
	fprintf(to, "\"%s} %.12g\n", more, value);
}

/* The percentiles, or whether they are lower bounds. */
static void put_latency(FILE *to, const struct plan *plan,
			const struct progress *p, enum clock_kind kind,
			bool is_bound)
{
	static const struct censored none = { 0, INT64_MAX };
	const struct censored *c =
		kind < CENSORED_CLOCKS ? &p->censored[kind] : &none;
	const struct histogram *h = p->clocks[kind];
	size_t points;
	const double *percents = plan_percentiles(plan, &points);
	char more[96];

	for (size_t i = 0; h && h->total > 0 && i < points; i++) {
		bool is_more;
		int64_t ns = censored_percentile(h, c, percents[i], &is_more);

		snprintf(more, sizeof(more),
			 ",clock=\"%s\",percentile=\"%.12g\"",
			 clock_names[kind], percents[i]);
		put_sample(to, plan,
			   is_bound ? "latency_at_least" : "latency_seconds",
			   more, is_bound ? is_more : (double)ns / 1e9);
	}
}

static void put_samples(FILE *to, const struct plan *plan,
			const struct progress *p, enum clock_kind kind)
{
	char more[64];

	snprintf(more, sizeof(more), ",clock=\"%s\"", clock_names[kind]);
	if (p->clocks[kind])
		put_sample(to, plan, "latency_samples", more,
			   (double)p->clocks[kind]->total);
}

static void put_metrics(FILE *to, const struct metrics_file *m,
			const struct progress *p)
{
	const struct plan *plan = m->plan;
	const struct second *s = p->last;

	put_family(to, "replies", "counter", NULL, "Messages answered.");
	put_sample(to, plan, "replies_total", "", (double)p->answered);
	put_family(to, "errors", "counter", NULL,
		   "Messages lost, wrong replies and failed connections.");
	put_sample(to, plan, "errors_total", "", (double)p->errors);
	put_family(to, "received_bytes", "counter", "bytes", "Bytes received.");
	put_sample(to, plan, "received_bytes_total", "", (double)m->bytes_in);
	put_family(to, "sent_bytes", "counter", "bytes", "Bytes sent.");
	put_sample(to, plan, "sent_bytes_total", "", (double)m->bytes_out);
	put_family(to, "connections", "gauge", NULL, "Open connections.");
	put_sample(to, plan, "connections", "", p->opened);
	put_family(to, "rate", "gauge", NULL,
		   "Replies a second in the last second.");
	put_sample(to, plan, "rate", "",
		   (double)s->answered * 1e9 / (double)s->length);
	put_family(to, "latency_seconds", "gauge", "seconds",
		   "Latency in the last second.");
	for (int k = 0; k < CLOCK_KINDS; k++)
		put_latency(to, plan, p, (enum clock_kind)k, false);
	put_family(to, "latency_samples", "gauge", NULL,
		   "Samples of that latency.");
	for (int k = 0; k < CLOCK_KINDS; k++)
		put_samples(to, plan, p, (enum clock_kind)k);
	put_family(to, "latency_at_least", "gauge", NULL,
		   "1 if that latency is a lower bound, because messages were "
		   "not answered.");
	for (int k = 0; k < CLOCK_KINDS; k++)
		put_latency(to, plan, p, (enum clock_kind)k, true);
	fputs("# EOF\n", to);
}

static void metrics_failed(struct metrics_file *m, const char *why)
{
	if (!m->has_failed)
		cli_error("--metrics: cannot write '%s': %s", m->path, why);
	m->has_failed = true;
}

void metrics_file_watch(struct metrics_file *m, const struct progress *p)
{
	char path[4096];
	struct stream_memory d;

	if (!m->path || m->has_failed || !p->last ||
	    p->last->at == m->written_at)
		return;
	m->written_at = p->last->at;
	m->bytes_in += p->last->bytes_in;
	m->bytes_out += p->last->bytes_out;
	if (snprintf(path, sizeof(path), "%s.new", m->path) >=
	    (int)sizeof(path)) {
		metrics_failed(m, strerror(ENAMETOOLONG));
		return;
	}
	if (!document_open(&d)) {
		m->has_failed = true;
		return;
	}
	put_metrics(d.to, m, p);
	if (document_write(&d, path) != CLI_DONE)
		m->has_failed = true;
	else if (rename(path, m->path) < 0)
		metrics_failed(m, strerror(errno));
}
