/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../../cli/stream.h"
#include "../../../cli/text.h"
#include "../judge/diagnosis.h"
#include "../measure/units.h"
#include "layout.h"

/* A list such as "12 reset, 3 open". */
struct terms {
	char text[256];
	size_t used;
};

__attribute__((format(printf, 4, 5))) static void
add_term(struct terms *t, const char *joint, uint64_t count, const char *format,
	 ...)
{
	char number[UNITS_TEXT];
	va_list args;

	if (count == 0 || t->used >= sizeof(t->text))
		return;
	t->used += (size_t)snprintf(
		t->text + t->used, sizeof(t->text) - t->used, "%s%s ",
		t->used > 0 ? joint : "", units_count(count, number));
	if (t->used >= sizeof(t->text))
		return;
	va_start(args, format);
	t->used += (size_t)vsnprintf(t->text + t->used,
				     sizeof(t->text) - t->used, format, args);
	va_end(args);
}

static void sent_late(struct layout *p, const struct result *r)
{
	const struct self *s = &r->self;
	char count[UNITS_TEXT], worst[UNITS_TEXT];

	if (s->late_ours + s->late_server == 0)
		return;
	layout_begin(p, LAYOUT_SHOULD, "sent late");
	if (s->late_server > 0)
		layout_say(p, "%s held up by the server (up to %s)",
			   units_count(s->late_server, count),
			   units_time(s->late_server_max, worst));
	if (s->late_ours > 0)
		layout_say(p, "%s by this client (up to %s)",
			   units_count(s->late_ours, count),
			   units_time(s->late_ours_max, worst));
}

static void report_messages(struct layout *p, const struct result *r)
{
	const struct counts *b = &r->counts;
	struct terms from = { .used = 0 }, to = { .used = 0 };
	char planned[UNITS_TEXT], sent[UNITS_TEXT];

	if (b->planned == 0)
		return;
	layout_begin(p, LAYOUT_MUST, "messages");
	if (r->plan->schedule != PLAN_CLOSED || b->never_sent > 0) {
		add_term(&from, " + ", b->sent, "sent");
		add_term(&from, " + ", b->never_sent,
			 LAYOUT_BAD "never sent" LAYOUT_PLAIN);
		layout_say(p, "%s planned = %s",
			   units_count(b->planned, planned),
			   from.used > 0 ? from.text : "0 sent");
		layout_begin(p, LAYOUT_MUST, "");
	}
	add_term(&to, " + ", b->answered, "answered");
	add_term(&to, " + ", b->timed_out, LAYOUT_BAD "timed out" LAYOUT_PLAIN);
	add_term(&to, " + ", b->reset, LAYOUT_BAD "reset" LAYOUT_PLAIN);
	add_term(&to, " + ", b->closed_early,
		 LAYOUT_BAD "closed early" LAYOUT_PLAIN);
	add_term(&to, " + ", b->open, "open");
	layout_say(p, "%s sent = %s", units_count(b->sent, sent),
		   to.used > 0 ? to.text : "0 answered");
	if (!counts_balance(b))
		layout_say(p,
			   LAYOUT_BAD "THE COUNTS DO NOT ADD UP" LAYOUT_PLAIN);
	sent_late(p, r);
}

static void one_way_rate(struct layout *p, const struct result *r)
{
	bool is_upload = r->plan->mode == PLAN_UPLOAD;
	uint64_t bytes = is_upload ? r->counts.bytes_out : r->counts.bytes_in;
	char count[UNITS_TEXT], time[UNITS_TEXT];

	layout_say(p, "%.1f Gbit/s", result_per_second(r, bytes) * 8 / 1e9);
	layout_say(p, "%s bytes in %s", units_count(bytes, count),
		   units_time(r->elapsed, time));
}

static void report_rate(struct layout *p, const struct result *r)
{
	double rate = result_rate(r);
	char in[UNITS_TEXT], out[UNITS_TEXT];

	if (r->counts.answered + r->counts.bytes_in + r->counts.bytes_out == 0)
		return;
	layout_begin(p, LAYOUT_SHOULD, "rate");
	if (result_is_one_way(r)) {
		one_way_rate(p, r);
		return;
	}
	if (r->plan->rate > 0)
		layout_say(p, "%.1f%% of plan", 100 * rate / r->plan->rate);
	units_bytes_rate(result_per_second(r, result_bytes_in(r)), in);
	units_bytes_rate(result_per_second(r, result_bytes_out(r)), out);
	if (strcmp(in, out) == 0)
		layout_say(p, "%s each way", in);
	else
		layout_say(p, "%s out, %s in", out, in);
}

static void starved(struct layout *p, const struct conn_counts *c)
{
	char text[128];
	int used = snprintf(text, sizeof(text),
			    LAYOUT_BAD "%d STARVED" LAYOUT_PLAIN, c->starved);
	int named = c->worst_count;

	for (int i = 0; i < named; i++)
		used += snprintf(text + used, sizeof(text) - (size_t)used,
				 " #%d", c->worst[i]);
	layout_say(p, "%s%s", text,
		   named > 0 && named < c->starved ? " ..." : "");
}

static void connection_events(struct layout *p, const struct conn_counts *c)
{
	struct terms t = { .used = 0 };

	add_term(&t, ", ", (uint64_t)c->lost, LAYOUT_BAD "lost" LAYOUT_PLAIN);
	add_term(&t, ", ", c->ended, "ended by the server");
	add_term(&t, ", ", c->reopened, "reopened");
	if (t.used > 0)
		layout_say(p, "%s", t.text);
	if (c->idle_asked > 0 && c->idle_open == c->idle_asked)
		layout_say(p, "%d idle held", c->idle_asked);
	else if (c->idle_asked > 0)
		layout_say(p,
			   LAYOUT_BAD
			   "%d idle asked, %d opened, %d kept" LAYOUT_PLAIN,
			   c->idle_asked, c->idle_opened, c->idle_open);
}

static void report_connections(struct layout *p, const struct result *r)
{
	const struct conn_counts *c = &r->connections;
	char text[3][UNITS_TEXT];

	layout_begin(p, LAYOUT_MUST, "connections");
	layout_say(p, "%d asked, %d opened, %d served", c->asked, c->opened,
		   c->served);
	if (c->starved > 0)
		starved(p, c);
	if (c->failed > 0)
		layout_say(p, LAYOUT_BAD "%d never opened" LAYOUT_PLAIN,
			   c->failed);
	connection_events(p, c);
	if (c->asked < 2 || c->replies_max == 0 || result_is_one_way(r))
		return;
	layout_begin(p, LAYOUT_SHOULD, "fairness");
	layout_say(p,
		   "%.2f (1 is even)   replies each: min %s, median %s, max %s",
		   c->fairness, units_count(c->replies_min, text[0]),
		   units_count(c->replies_median, text[1]),
		   units_count(c->replies_max, text[2]));
	if (c->longest_silence >= SECOND)
		layout_say(p, "silent up to %s",
			   units_time(c->longest_silence, text[0]));
}

static void report_handshakes(struct layout *p, const struct result *r)
{
	struct terms t = { .used = 0 };

	add_term(&t, ", ", r->counts.full, "full");
	add_term(&t, ", ", r->counts.resumed, "resumed");
	add_term(&t, ", ",
		 result_error_count(r, ERROR_HANDSHAKE, ERROR_HANDSHAKE, -1),
		 LAYOUT_BAD "failed" LAYOUT_PLAIN);
	if (t.used == 0)
		return;
	layout_begin(p, LAYOUT_SHOULD, "handshakes");
	layout_say(p, "%s", t.text);
	if (result_handshake_lag(r) >= 0.05)
		layout_say(p, "waited for this client up to %.0f%% of the time",
			   100 * result_handshake_lag(r));
}

static void report_content(struct layout *p, const struct result *r)
{
	const struct counts *b = &r->counts;
	struct terms t = { .used = 0 };
	char checked[UNITS_TEXT];

	add_term(&t, ", ", b->wrong, "wrong");
	add_term(&t, ", ", b->bad, "bad");
	add_term(&t, ", ", b->missing, "missing");
	add_term(&t, ", ", b->swapped, "swapped");
	add_term(&t, ", ", b->surplus, "surplus");
	add_term(&t, ", ", b->crossed, "of other connections");
	add_term(&t, ", ", b->late, "after their timeout");
	if (b->checked == 0 && t.used == 0)
		return;
	layout_begin(p, t.used > 0 ? LAYOUT_MUST : LAYOUT_SHOULD, "content");
	layout_say(p, "%s checked: %s%s%s", units_count(b->checked, checked),
		   t.used > 0 ? LAYOUT_BAD : "",
		   t.used > 0 ? t.text : "all as expected",
		   t.used > 0 ? LAYOUT_PLAIN : "");
}

/* Short, so that both excerpts fit on a line. */
static void say_excerpt(struct layout *p, const char *what, const char *data,
			size_t len)
{
	char text[56];
	size_t used = cli_escape(text, sizeof(text) - 3, data, len, 0);

	layout_say(p, "%s %s%s", what, text, used < len ? "..." : "");
}

#define ERROR_TEXT 160

static void report_first_bad(struct layout *p, const struct result *r)
{
	const struct bad_reply *b = &r->first_bad;
	char why[ERROR_TEXT];

	if (!b->why)
		return;
	cli_escape(why, sizeof(why), b->why, strlen(b->why), CLI_KEEP_UTF8);
	layout_begin(p, LAYOUT_MUST, "first bad");
	say_excerpt(p, "reply:", b->got, b->got_len);
	layout_begin(p, LAYOUT_SHOULD, "");
	say_excerpt(p, "message:", b->sent, b->sent_len);
	layout_say(p, LAYOUT_FAINT "%s" LAYOUT_PLAIN, why);
}

/* Escaped, because in a sum the text comes from a file. */
static const char *error_text(const struct result *r,
			      const struct error_row *row, char buf[ERROR_TEXT])
{
	const char *text = result_error_text(r, row);

	if (row->error == ETIMEDOUT)
		return "timed out";
	if (row->error == EBADMSG)
		return "not what was expected";
	cli_escape(buf, ERROR_TEXT, text, strlen(text), CLI_KEEP_UTF8);
	return buf;
}

static void say_when(struct layout *p, const struct error_row *row)
{
	char from[UNITS_TEXT], to[UNITS_TEXT];

	units_time(row->first_at, from);
	units_time(row->last_at, to);
	if (row->last_at <= 0)
		layout_say(p, LAYOUT_FAINT "before measuring" LAYOUT_PLAIN);
	else if (row->first_at < 0)
		layout_say(p, LAYOUT_FAINT "to %s" LAYOUT_PLAIN, to);
	else if (strcmp(from, to) == 0)
		layout_say(p, LAYOUT_FAINT "at %s" LAYOUT_PLAIN, to);
	else
		layout_say(p, LAYOUT_FAINT "%s to %s" LAYOUT_PLAIN, from, to);
}

static int by_count(const void *a, const void *b)
{
	const struct error_row *x = a, *y = b;

	return (x->count < y->count) - (x->count > y->count);
}

static void report_errors(struct layout *p, const struct result *r)
{
	static const char *const doing[ERROR_PHASES] = {
		[ERROR_SOCKET] = "creating a socket",
		[ERROR_BIND] = "binding a source address",
		[ERROR_CONNECT] = "connecting",
		[ERROR_HANDSHAKE] = "in the handshake of TLS",
		[ERROR_BANNER] = "waiting for the banner",
		[ERROR_SEND] = "sending",
		[ERROR_REPLY] = "waiting for a reply",
		[ERROR_BETWEEN] = "between messages",
		[ERROR_END] = "in the end part of the script",
	};
	enum { SHOWN = 3 };
	struct error_table t = r->errors;
	uint64_t others = t.other;
	char count[UNITS_TEXT], text[ERROR_TEXT];

	qsort(t.rows, t.used, sizeof(t.rows[0]), by_count);
	for (size_t i = 0; i < t.used; i++) {
		const struct error_row *row = &t.rows[i];

		if (i >= SHOWN) {
			others += row->count;
			continue;
		}
		layout_begin(p, i == 0 ? LAYOUT_MUST : LAYOUT_SHOULD,
			     i == 0 ? "errors" : "");
		layout_say(p, "%s %s: %s", units_count(row->count, count),
			   doing[row->phase], error_text(r, row, text));
		say_when(p, row);
	}
	if (others > 0) {
		layout_begin(p, LAYOUT_SHOULD, "");
		layout_say(p, "%s of other kinds", units_count(others, count));
	}
}

static void sufferings(struct layout *p, const struct result *r)
{
	const struct histogram *with = r->with_bad_clients;
	const struct histogram *without = r->without_bad_clients;
	char text[2][UNITS_TEXT + 1];
	bool is_more[2];
	int64_t before, after;

	if (!with || !without || !histogram_has_percentile(with, 99) ||
	    !histogram_has_percentile(without, 99))
		return;
	before = censored_percentile(without, &r->without_censored, 99,
				     &is_more[0]);
	after = censored_percentile(with, &r->with_censored, 99, &is_more[1]);
	layout_begin(p, LAYOUT_MUST, "");
	layout_say(p, "p99 of the others: %s without them, %s with (x %.1f)",
		   layout_time(before, is_more[0], text[0]),
		   layout_time(after, is_more[1], text[1]),
		   before > 0 ? (double)after / (double)before : 0);
}

static void report_bad_clients(struct layout *p, const struct result *r)
{
	bool is_begun = false;

	for (size_t i = 0; i < BAD_CLIENT_KINDS; i++) {
		const struct bad_client_counts *m = &r->bad_clients[i];
		struct terms t = { .used = 0 };

		if (m->asked == 0)
			continue;
		if (!is_begun)
			layout_begin(p, LAYOUT_SHOULD, "bad clients");
		is_begun = true;
		add_term(&t, ", ", m->let_go, "dropped");
		add_term(&t, ", ", (uint64_t)m->open, "kept");
		add_term(&t, ", ", m->failed, "failed");
		layout_say(p, "%d %s%s%s", m->asked, bad_client_names[i],
			   t.used > 0 ? ": " : "", t.text);
	}
	if (is_begun)
		sufferings(p, r);
}

/* "-" if absent; ">" before a lower bound. */
static const char *point(const struct result *r, enum clock_kind kind,
			 double percent, char buf[UNITS_TEXT + 1])
{
	bool is_more;
	int64_t value = result_percentile(r, kind, percent, &is_more);

	return layout_time(value, is_more, buf);
}

static void clock_line(struct layout *p, const struct result *r,
		       enum clock_kind kind, const char *name, const char *note)
{
	const struct histogram *h = r->clocks[kind];
	char line[256], text[UNITS_TEXT + 1], count[UNITS_TEXT];
	size_t points;
	const double *percents = plan_percentiles(r->plan, &points);
	int used = 0;

	if (!h || h->total == 0)
		return;
	layout_begin(p, kind <= CLOCK_FROM_SEND ? LAYOUT_MUST : LAYOUT_SHOULD,
		     name);
	for (size_t i = 0; i <= points; i++)
		used += snprintf(
			line + used, sizeof(line) - (size_t)used, "%7s ",
			point(r, kind, i < points ? percents[i] : 100, text));
	layout_say(p, "%.*s", used - 1, line);
	if (note)
		layout_say(p, LAYOUT_FAINT "%s" LAYOUT_PLAIN, note);
	else
		layout_say(p, LAYOUT_FAINT "%s samples" LAYOUT_PLAIN,
			   units_count(h->total, count));
}

static void report_latency(struct layout *p, const struct result *r)
{
	bool is_any = false;
	size_t points;
	const double *percents = plan_percentiles(r->plan, &points);
	char line[256] = "", name[24];
	int used = 0;

	for (size_t i = 0; i < CLOCK_KINDS; i++)
		is_any = is_any || (r->clocks[i] && r->clocks[i]->total > 0);
	if (!is_any)
		return;
	layout_space(p);
	layout_begin(p, LAYOUT_MUST, LAYOUT_STRONG "latency" LAYOUT_PLAIN);
	for (size_t i = 0; i < points; i++) {
		snprintf(name, sizeof(name), "p%.12g", percents[i]);
		used += snprintf(line + used, sizeof(line) - (size_t)used,
				 "%7s ", name);
	}
	layout_say(p, "%s%7s", line, "max");
	clock_line(p, r, CLOCK_FROM_PLAN, "  from plan",
		   r->plan->schedule == PLAN_CLOSED ? "with the connect"
						    : "as users see it");
	clock_line(p, r, CLOCK_FROM_SEND, "  from send", "server + network");
	clock_line(p, r, CLOCK_LAG, "  client lag", "our own delay");
	clock_line(p, r, CLOCK_CONNECT, "  connect", NULL);
	clock_line(p, r, CLOCK_HANDSHAKE, "  handshake", NULL);
	clock_line(p, r, CLOCK_ONCE, "  once", "before the loop");
}

static void report_seconds(struct layout *p, const struct result *r,
			   bool has_utf8)
{
	size_t count = result_measured_seconds(r);
	int64_t *values = calloc(count + 1, sizeof(*values));
	size_t worst = 0, each;
	char bars[SPARKLINE_TEXT], label[32], time[UNITS_TEXT + 1];

	if (!values || count < 2)
		goto out;
	for (size_t i = 0; i < count; i++) {
		values[i] = r->seconds[i].p99;
		if (values[i] > values[worst])
			worst = i;
	}
	if (values[worst] <= 0)
		goto out;
	each = sparkline(bars, values, count, 36, has_utf8);
	if (each == 1)
		snprintf(label, sizeof(label), "p99 / second");
	else
		snprintf(label, sizeof(label), "p99 / %zu s", each);
	layout_begin(p, LAYOUT_SHOULD, label);
	layout_say(p, has_utf8 ? "%s" : "|%s|", bars);
	layout_say(p, "worst %s at %.0f s",
		   layout_time(values[worst],
			       r->seconds[worst].is_more[SECOND_P99], time),
		   (double)r->seconds[worst].at / 1e9);
out:
	free(values);
}

#define GATE_LINES ((size_t)4) /* of failed gates, which are always shown */

void report_init(struct report *report, FILE *to)
{
	*report = (struct report){
		.to = to,
		.has_utf8 = layout_has_utf8(),
		.has_colour = layout_has_colour(stream_fileno(to)),
		.columns = layout_columns(stream_fileno(to)),
	};
	if (report->columns < LAYOUT_LEAST)
		report->columns = LAYOUT_LEAST;
	if (report->columns > LAYOUT_MOST)
		report->columns = LAYOUT_MOST;
}

/* "30s" as given; other times in three digits. */
static const char *span(int64_t ns, char buf[UNITS_TEXT])
{
	if (ns % MS == 0 && ns / MS < 1000000000)
		return cli_duration_text((int)(ns / MS), buf);
	return units_time(ns, buf);
}

static const char *early_end(const struct result *r)
{
	return r->is_cut		   ? "CUT SHORT"
	       : r->is_stopped		   ? "STOPPED"
	       : result_has_ended_early(r) ? "ENDED"
					   : NULL;
}

static void say_time(struct layout *p, const struct result *r)
{
	const struct plan *plan = r->plan;
	bool is_sum = r->id_count > 0;
	bool has_end = plan->duration_ns != INT64_MAX && plan->count == 0;
	char took[UNITS_TEXT], planned[UNITS_TEXT] = "", warmup[64] = "";

	units_time(r->elapsed, took);
	if (has_end)
		span(plan->duration_ns, planned);
	if (plan->warmup_ns > 0)
		span(plan->warmup_ns, stpcpy(warmup, " after warm-up of "));
	if (early_end(r))
		layout_say(p, LAYOUT_BAD "%s after %s%s%s" LAYOUT_PLAIN "%s",
			   early_end(r), took, has_end && !is_sum ? " of " : "",
			   is_sum ? "" : planned, warmup);
	else
		layout_say(p, "%s%s", has_end ? planned : took, warmup);
}

static void say_payload(struct layout *p, const struct result *r)
{
	const struct plan *plan = r->plan;
	char expected[64], given[41];

	if (result_is_one_way(r))
		return;
	if (plan->expect == EXPECT_FRAMED) {
		cli_escape(given, sizeof(given), plan->expect_given,
			   strlen(plan->expect_given), CLI_KEEP_UTF8);
		snprintf(expected, sizeof(expected), "reply %s", given);
	} else {
		snprintf(expected, sizeof(expected), "%s checked",
			 plan->expect == EXPECT_ECHO ? "echo" : "replies");
	}
	if (plan->size_min == plan->size_max)
		layout_say(p, "%zu B, %s", plan->size_max, expected);
	else
		layout_say(p, "%zu-%zu B, %s", plan->size_min, plan->size_max,
			   expected);
}

static void report_mode(struct layout *p, const struct result *r)
{
	const struct plan *plan = r->plan;
	char target[2 * sizeof(r->target)], rate[UNITS_TEXT];
	size_t len = 0;

	while (len < sizeof(r->target) && r->target[len])
		len++;
	cli_escape(target, sizeof(target), r->target, len, CLI_KEEP_UTF8);
	layout_begin(p, LAYOUT_MUST, LAYOUT_STRONG "load" LAYOUT_PLAIN);
	layout_say(p, LAYOUT_STRONG "%s" LAYOUT_PLAIN, target);
	if (plan->stage_count > 0)
		layout_say(p, "%s, %s/s on average over %zu stages",
			   plan_mode_text(plan), units_rate(plan->rate, rate),
			   plan->stage_count);
	else if (plan->rate > 0)
		layout_say(p, "%s, %s/s", plan_mode_text(plan),
			   units_number(plan->rate, rate));
	else
		layout_say(p, "%s", plan_mode_text(plan));
	say_time(p, r);
	say_payload(p, r);
	layout_say(p, "%d connection%s, depth %d, %d thread%s",
		   plan->connections, plan->connections == 1 ? "" : "s",
		   plan->depth, plan->threads, plan->threads == 1 ? "" : "s");
	layout_say(p, LAYOUT_FAINT "seed %llu" LAYOUT_PLAIN,
		   (unsigned long long)plan->seed);
}

static const char *colour(bool is_bad)
{
	return is_bad ? LAYOUT_BAD : LAYOUT_STRONG;
}

/* "166 wrong replies" if all errors are of one kind, else "202 errors". */
static void say_errors(struct layout *p, const struct result *r)
{
	const struct counts *b = &r->counts;
	uint64_t all = result_errors(r);
	const struct {
		uint64_t count;
		const char *one, *more;
	} kinds[] = {
		{ b->timed_out, "timed out", "timed out" },
		{ b->reset, "reset", "reset" },
		{ b->closed_early, "closed early", "closed early" },
		{ b->wrong, "wrong reply", "wrong replies" },
		{ b->bad, "bad reply", "bad replies" },
		{ b->swapped, "swapped reply", "swapped replies" },
		{ b->surplus, "surplus reply", "surplus replies" },
		{ b->crossed, "reply of another connection",
		  "replies of other connections" },
		{ result_error_count(r, ERROR_HANDSHAKE, ERROR_HANDSHAKE, -1),
		  "failed handshake", "failed handshakes" },
		{ result_error_count(r, ERROR_SOCKET, ERROR_CONNECT, -1),
		  "failed connect", "failed connects" },
		{ all, "error", "errors" },
	};
	const char *what = "errors";
	char count[UNITS_TEXT];
	size_t i = 0;

	while (kinds[i].count != all)
		i++;
	if (all > 0)
		what = all == 1 ? kinds[i].one : kinds[i].more;
	layout_say(p, "%s%s %s" LAYOUT_PLAIN, all > 0 ? LAYOUT_BAD : "",
		   units_count(all, count), what);
}

static void say_gates(struct layout *p, const struct gates *gates)
{
	size_t passed = 0, judged = 0;

	if (!gates || gates->count == 0)
		return;
	for (size_t i = 0; i < gates->count; i++) {
		passed += gates->list[i].outcome == GATE_PASS;
		judged += gates->list[i].outcome != GATE_NOT_JUDGED;
	}
	if (judged == 0)
		layout_say(p, LAYOUT_BAD "gates not judged" LAYOUT_PLAIN);
	else if (passed < judged)
		layout_say(p, LAYOUT_BAD "%zu of %zu gates failed" LAYOUT_PLAIN,
			   judged - passed, gates->count);
	else
		layout_say(p,
			   LAYOUT_GOOD "%zu of %zu gates passed" LAYOUT_PLAIN,
			   passed, gates->count);
}

static bool is_wrong(const struct result *r, const struct gates *gates)
{
	bool is_bad = r->verdict == VERDICT_NOT || r->is_incomplete ||
		      r->is_cut || result_errors(r) > 0;

	for (size_t i = 0; gates && i < gates->count; i++)
		is_bad = is_bad || gates->list[i].outcome != GATE_PASS;
	return is_bad;
}

static void report_answer(struct layout *p, const struct result *r,
			  const struct gates *gates)
{
	bool is_upload = r->plan->mode == PLAN_UPLOAD;
	uint64_t bytes = is_upload ? r->counts.bytes_out : r->counts.bytes_in;
	enum clock_kind kind = result_main_clock(r->plan);
	const struct histogram *h = r->clocks[kind];
	char text[UNITS_TEXT + 1], label[64];

	if (result_is_one_way(r))
		snprintf(label, sizeof(label), "%s %s",
			 units_bytes_rate(result_per_second(r, bytes), text),
			 is_upload ? "up" : "down");
	else
		snprintf(label, sizeof(label), "%s replies/s",
			 units_rate(result_rate(r), text));
	layout_begin(p, LAYOUT_MUST, "");
	p->lines[p->used - 1][0] = '\0';
	p->column = 0;
	layout_say(p, "%s%s" LAYOUT_PLAIN, colour(is_wrong(r, gates)), label);
	if (!result_is_one_way(r) && h && h->total > 0) {
		layout_say(p, "p50 %s", point(r, kind, 50, text));
		layout_say(p, "p99 %s", point(r, kind, 99, text));
	}
	say_errors(p, r);
	say_gates(p, gates);
}

static void report_verdict(struct layout *p, const struct result *r)
{
	static const char *const colours[] = {
		[VERDICT_TRUSTWORTHY] = LAYOUT_GOOD,
		[VERDICT_WITH_CARE] = LAYOUT_CARE,
		[VERDICT_NOT] = LAYOUT_BAD,
	};
	char label[64];

	snprintf(label, sizeof(label), "%s%s" LAYOUT_PLAIN "  ",
		 colours[r->verdict], verdict_names[r->verdict]);
	layout_begin(p, LAYOUT_MUST, label);
	for (size_t i = 0; i < r->reason_count; i++) {
		if (i > 0)
			layout_begin(p, LAYOUT_SHOULD, "");
		layout_say(p, "%s", r->reasons[i]);
	}
	layout_space(p);
}

static void say_gate(struct layout *p, const struct gate_row *g)
{
	bool is_pass = g->outcome == GATE_PASS;
	char value[METRIC_TEXT];

	layout_say(p, "%s %s%s" LAYOUT_PLAIN " (%s)", g->text,
		   is_pass ? LAYOUT_GOOD : LAYOUT_BAD,
		   gate_outcome_names[g->outcome],
		   g->found.why_absent[0] ? g->found.why_absent
					  : metric_text(&g->found, value));
}

/* Failed ones come first, and stay when the report is too long. */
static void report_gates(struct layout *p, const struct gates *gates)
{
	const char *label = "gates";

	if (!gates || gates->count == 0)
		return;
	for (int pass = 0; pass < 2; pass++) {
		size_t said = 0;

		for (size_t i = 0; i < gates->count; i++) {
			const struct gate_row *g = &gates->list[i];

			if ((g->outcome == GATE_PASS) != (pass == 1))
				continue;
			if (said++ == 0)
				layout_begin(p,
					     pass == 0 ? LAYOUT_MUST
						       : LAYOUT_SHOULD,
					     label);
			if (pass == 0 && said > 2 * GATE_LINES)
				p->ranks[p->used - 1] = LAYOUT_SHOULD;
			say_gate(p, g);
			label = "";
		}
	}
}

static void report_diagnosis(struct layout *p, const struct result *r)
{
	char hints[DIAGNOSES_MAX][DIAGNOSIS_TEXT];
	size_t count = diagnose(r, hints);

	for (size_t i = 0; i < count; i++) {
		layout_begin(p, i == 0 ? LAYOUT_SHOULD : LAYOUT_MAY,
			     i == 0 ? "hint" : "");
		layout_say(p, "%s", hints[i]);
	}
}

static void report_saved(struct layout *p, const struct report *report)
{
	if (!report->saved[0])
		return;
	layout_begin(p, LAYOUT_MUST, "saved");
	for (size_t i = 0; i < REPORT_SAVED && report->saved[i]; i++)
		layout_say(p, "%s", report->saved[i]);
}

static void report_fill(struct layout *p, const struct report *report,
			const struct result *r)
{
	report_answer(p, r, report->gates);
	report_verdict(p, r);
	report_gates(p, report->gates);
	report_mode(p, r);
	report_messages(p, r);
	report_rate(p, r);
	report_connections(p, r);
	report_handshakes(p, r);
	report_latency(p, r);
	layout_space(p);
	report_seconds(p, r, report->has_utf8);
	report_content(p, r);
	report_first_bad(p, r);
	report_errors(p, r);
	report_bad_clients(p, r);
	report_diagnosis(p, r);
	report_saved(p, report);
}

void report_print(const struct report *report, const struct result *r)
{
	struct layout *p = calloc(1, sizeof(*p));

	if (!p) {
		fprintf(report->to, "out of memory for the report\n");
		return;
	}
	p->columns = report->columns;
	if (report->is_short) {
		report_answer(p, r, report->gates);
		if (early_end(r)) {
			layout_begin(p, LAYOUT_MUST, "load");
			say_time(p, r);
		}
		report_verdict(p, r);
		report_gates(p, report->gates);
	} else {
		report_fill(p, report, r);
	}
	layout_print(p, report->is_short ? 8 : REPORT_LINES, report->has_colour,
		     report->to);
	free(p);
}

__attribute__((format(printf, 2, 3))) static void
find_say(FILE *to, const char *format, ...)
{
	struct report report;
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	report_init(&report, to);
	layout_write(text, report.has_colour, report.to);
	fflush(report.to);
}

static const char *unit(const struct find *f)
{
	return f->plan->mode == PLAN_CHURN ? "conn/s" : "msg/s";
}

void find_print_plan(const struct find *f, FILE *to)
{
	const struct plan *p = f->plan;
	const struct search *s = &f->search;
	char text[3][UNITS_TEXT];
	int64_t each = p->warmup_ns + p->duration_ns;
	int64_t most = s->tries_most * each + SEARCH_LASTS_MAX * p->duration_ns;

	find_say(to, "%s  %s, %d connections, depth %d\n", p->address,
		 plan_mode_text(p), p->connections, p->depth);
	if (f->closed > 0)
		find_say(to, "a closed loop reaches %s %s\n",
			 units_rate(f->closed, text[0]), unit(f));
	find_say(to, "between %s and %s %s\n", units_rate(s->lowest, text[0]),
		 units_rate(s->highest, text[1]), unit(f));
	find_say(to,
		 "at most %d runs of %s: %s, plus waits for late "
		 "replies\n"
		 "\n",
		 s->tries_most, units_time(each, text[1]),
		 units_time(most, text[0]));
}

/* The gated figures of a step; of a failed one those that failed. */
static void put_figures(const struct find_step *step, char *text, size_t room)
{
	size_t used = 0;

	*text = '\0';
	if (step->answered < FIND_ANSWERED)
		used = (size_t)snprintf(text, room, "%.1f%% answered",
					step->answered);
	else if (step->is_incomplete)
		used = (size_t)snprintf(text, room, "%s", step->reason);
	for (size_t i = 0; i < step->gates.count && used < room; i++) {
		const struct gate_row *g = &step->gates.list[i];
		char value[METRIC_TEXT];

		if (!step->has_held && g->outcome == GATE_PASS)
			continue;
		used += (size_t)snprintf(
			text + used, room - used, "%s%s %s",
			used > 0 ? "   " : "", g->found.name,
			g->found.why_absent[0] ? g->found.why_absent
					       : metric_text(&g->found, value));
	}
}

void find_print_step(const struct find_step *step, FILE *to)
{
	char rate[UNITS_TEXT], figures[512];
	const char *note = "";

	units_rate(step->rate, rate);
	if (step->is_empty) {
		find_say(to,
			 "%11s/s  ----  no message fell into this run   "
			 "repeated\n",
			 rate);
		return;
	}
	if (step->has_held && step->is_last)
		note = "   confirmed in a run twice as long";
	else if (!step->has_held && !step->is_again)
		note = "   trying again";
	put_figures(step, figures, sizeof(figures));
	find_say(to, "%11s/s  %s  %s%s%s\n", rate,
		 step->has_held ? LAYOUT_GOOD "PASS" LAYOUT_PLAIN
				: LAYOUT_BAD "FAIL" LAYOUT_PLAIN,
		 figures, step->is_client_limited ? "   (this client)" : "",
		 note);
}

static const char *gates_text(const struct find *f, char *to, size_t room)
{
	const struct gates *gates = f->gates;
	size_t used = 0;

	for (size_t i = 0; i < gates->count && used < room; i++)
		used += (size_t)snprintf(to + used, room - used, "%s%s",
					 i > 0 ? " " : "", gates->list[i].text);
	return to;
}

static void print_limit(const struct find *f, FILE *to)
{
	const struct find_step *failed = find_failed(f);
	char rate[UNITS_TEXT], figures[512];

	if (!failed) {
		find_say(to, "\n    (%s)\n",
			 f->closed > 0 ? "a closed loop reaches no more"
				       : "--max: no higher rate was tried");
		return;
	}
	units_rate(failed->rate, rate);
	put_figures(failed, figures, sizeof(figures));
	if (failed->is_client_limited)
		find_say(to,
			 "\n    (at %s this client is the limit:\n     %s)\n",
			 rate, failed->reason);
	else
		find_say(to, "\n    (next tried %s fails: %s)\n", rate,
			 figures);
}

static bool is_bound(const struct find *f)
{
	const struct find_step *failed = find_failed(f);

	return !failed || failed->is_client_limited;
}

static void print_none(const struct find *f, const char *gates, FILE *to)
{
	const struct find_step *failed = find_failed(f);
	char rate[UNITS_TEXT], figures[512] = "";

	if (failed)
		put_figures(failed, figures, sizeof(figures));
	find_say(to, "not even %s %s holds %s\n    (%s)\n",
		 units_rate(f->search.lowest, rate), unit(f), gates, figures);
	if (failed && failed->is_client_limited)
		find_say(to, "    (this client is the limit:\n     %s)\n",
			 failed->reason);
}

static void print_unsettled(const struct find *f, const char *gates, FILE *to)
{
	double held = search_held(&f->search);
	char rate[UNITS_TEXT];
	int empty = 0;

	for (int i = 0; i < f->step_count; i++)
		empty += f->steps[i].is_empty;
	if (empty > 0 && f->search.lasts < SEARCH_LASTS_MAX)
		find_say(to,
			 "too few messages to say: %d of %d runs had none; use "
			 "a longer\n    --duration or a higher --min\n",
			 empty, f->step_count);
	else
		find_say(to,
			 "too noisy to say: %s %s held %s once, but not "
			 "again\n",
			 units_rate(held > 0 ? held : f->search.failed, rate),
			 unit(f), gates);
}

void find_print_answer(const struct find *f, FILE *to)
{
	double held = search_held(&f->search);
	char gates[GATES_MAX * GATE_TEXT], rate[UNITS_TEXT];

	gates_text(f, gates, sizeof(gates));
	units_rate(held, rate);
	if (f->is_cut && held > 0) {
		find_say(to, "interrupted: %s %s held %s, not confirmed\n",
			 rate, unit(f), gates);
	} else if (f->is_cut) {
		find_say(to, "interrupted: nothing is known yet\n");
	} else if (f->search.state == SEARCH_NONE) {
		print_none(f, gates, to);
	} else if (f->search.state == SEARCH_UNSETTLED) {
		print_unsettled(f, gates, to);
	} else {
		find_say(to,
			 LAYOUT_STRONG
			 "highest rate that holds %s: %s%s %s" LAYOUT_PLAIN,
			 gates, is_bound(f) ? "at least " : "", rate, unit(f));
		print_limit(f, to);
	}
}
