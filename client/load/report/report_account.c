/* SPDX-License-Identifier: MIT */
/*
 * The report: books, rate, connections, content, errors, misfits.
 */
#include "report_lines.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "../measure/units.h"

/* A text that grows by terms: "12 reset, 3 open". */
struct terms {
	char text[256];
	size_t used;
};

__attribute__((format(printf, 4, 5))) static void term(struct terms *t,
						       const char *joint,
						       uint64_t count,
						       const char *format, ...)
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

static void sent_late(struct page *p, const struct result *r)
{
	const struct self *s = &r->self;
	char count[UNITS_TEXT], worst[UNITS_TEXT];

	if (s->late_ours + s->late_server == 0)
		return;
	page_begin(p, PAGE_SHOULD, "sent late");
	if (s->late_server > 0)
		page_say(p, "%s held up by the server (to %s)",
			 units_count(s->late_server, count),
			 units_time(s->late_server_max, worst));
	if (s->late_ours > 0)
		page_say(p, "%s by us (to %s)",
			 units_count(s->late_ours, count),
			 units_time(s->late_ours_max, worst));
}

void report_messages(struct page *p, const struct result *r)
{
	const struct books *b = &r->books;
	struct terms from = { .used = 0 }, to = { .used = 0 };
	char planned[UNITS_TEXT], sent[UNITS_TEXT];

	if (b->planned == 0)
		return;
	page_begin(p, PAGE_MUST, "messages");
	if (r->plan->schedule != PLAN_CLOSED || b->never_sent > 0) {
		term(&from, " + ", b->sent, "sent");
		term(&from, " + ", b->never_sent,
		     PAGE_BAD "never sent" PAGE_PLAIN);
		page_say(p, "%s planned = %s", units_count(b->planned, planned),
			 from.used > 0 ? from.text : "0 sent");
		page_begin(p, PAGE_MUST, "");
	}
	term(&to, " + ", b->answered, "answered");
	term(&to, " + ", b->timed_out, PAGE_BAD "timed out" PAGE_PLAIN);
	term(&to, " + ", b->reset, PAGE_BAD "reset" PAGE_PLAIN);
	term(&to, " + ", b->closed_early, PAGE_BAD "closed early" PAGE_PLAIN);
	term(&to, " + ", b->open, "open");
	page_say(p, "%s sent = %s", units_count(b->sent, sent),
		 to.used > 0 ? to.text : "0 answered");
	if (!books_balance(b))
		page_say(p, PAGE_BAD "THE BOOKS DO NOT BALANCE" PAGE_PLAIN);
	sent_late(p, r);
}

static double per_second(const struct result *r, uint64_t count)
{
	return r->elapsed > 0 ? (double)count * 1e9 / (double)r->elapsed : 0;
}

static void one_way_rate(struct page *p, const struct result *r)
{
	bool is_upload = r->plan->mode == PLAN_UPLOAD;
	uint64_t bytes = is_upload ? r->books.bytes_out : r->books.bytes_in;
	char rate[UNITS_TEXT], count[UNITS_TEXT], time[UNITS_TEXT];

	page_say(p, PAGE_STRONG "%s" PAGE_PLAIN " %s",
		 units_bytes_rate(per_second(r, bytes), rate),
		 is_upload ? "up" : "down");
	page_say(p, "%.1f Gbit/s", per_second(r, bytes) * 8 / 1e9);
	page_say(p, "%s bytes in %s", units_count(bytes, count),
		 units_time(r->elapsed, time));
}

void report_rate(struct page *p, const struct result *r)
{
	double rate = result_rate(r);
	char text[UNITS_TEXT], in[UNITS_TEXT], out[UNITS_TEXT];

	if (r->books.answered + r->books.bytes_in + r->books.bytes_out == 0)
		return;
	page_begin(p, PAGE_MUST, "rate");
	if (result_is_one_way(r)) {
		one_way_rate(p, r);
		return;
	}
	page_say(p, PAGE_STRONG "%s" PAGE_PLAIN " answered/s",
		 units_rate(rate, text));
	if (r->plan->rate > 0)
		page_say(p, "%.1f%% of plan", 100 * rate / r->plan->rate);
	units_bytes_rate(per_second(r, r->books.bytes_in), in);
	units_bytes_rate(per_second(r, r->books.bytes_out), out);
	if (strcmp(in, out) == 0)
		page_say(p, "%s each way", in);
	else
		page_say(p, "%s out, %s in", out, in);
}

static void starved(struct page *p, const struct connections *c)
{
	char text[128];
	int used = snprintf(text, sizeof(text),
			    PAGE_BAD "%d STARVED" PAGE_PLAIN, c->starved);
	int named =
		c->starved < WORST_CONNECTIONS ? c->starved : WORST_CONNECTIONS;

	for (int i = 0; i < named; i++)
		used += snprintf(text + used, sizeof(text) - (size_t)used,
				 " #%d", c->worst[i]);
	page_say(p, "%s%s", text, named < c->starved ? " ..." : "");
}

static void connection_events(struct page *p, const struct connections *c)
{
	struct terms t = { .used = 0 };

	term(&t, ", ", c->ended, "ended by the server");
	term(&t, ", ", c->reopened, "reopened");
	if (t.used > 0)
		page_say(p, "%s", t.text);
	if (c->idle_asked > 0 && c->idle_open == c->idle_asked)
		page_say(p, "%d idle ones held", c->idle_asked);
	else if (c->idle_asked > 0)
		page_say(p,
			 PAGE_BAD
			 "%d idle ones asked, %d opened, %d kept" PAGE_PLAIN,
			 c->idle_asked, c->idle_opened, c->idle_open);
}

void report_connections(struct page *p, const struct result *r)
{
	const struct connections *c = &r->connections;
	char text[3][UNITS_TEXT];

	page_begin(p, PAGE_MUST, "connections");
	page_say(p, "%d asked, %d opened, %d served", c->asked, c->opened,
		 c->served);
	if (c->starved > 0)
		starved(p, c);
	if (c->failed > 0)
		page_say(p, PAGE_BAD "%d never opened" PAGE_PLAIN, c->failed);
	connection_events(p, c);
	if (c->asked < 2 || c->replies_max == 0 || result_is_one_way(r))
		return;
	page_begin(p, PAGE_SHOULD, "fairness");
	page_say(p,
		 "%.2f (1 is even)   replies each: min %s, median %s, max %s",
		 c->fairness, units_count(c->replies_min, text[0]),
		 units_count(c->replies_median, text[1]),
		 units_count(c->replies_max, text[2]));
	if (c->longest_silence >= 1000000000)
		page_say(p, "silent up to %s",
			 units_time(c->longest_silence, text[0]));
}

void report_content(struct page *p, const struct result *r)
{
	const struct books *b = &r->books;
	struct terms t = { .used = 0 };
	char checked[UNITS_TEXT];

	term(&t, ", ", b->wrong, "wrong");
	term(&t, ", ", b->missing, "missing");
	term(&t, ", ", b->swapped, "swapped");
	term(&t, ", ", b->surplus, "surplus");
	term(&t, ", ", b->crossed, "of other connections");
	term(&t, ", ", b->late, "after their time-out");
	if (b->checked == 0 && t.used == 0)
		return;
	page_begin(p, t.used > 0 ? PAGE_MUST : PAGE_SHOULD, "content");
	page_say(p, "%s checked: %s%s%s", units_count(b->checked, checked),
		 t.used > 0 ? PAGE_BAD : "",
		 t.used > 0 ? t.text : "all as expected",
		 t.used > 0 ? PAGE_PLAIN : "");
}

static const char *error_text(const struct error_row *row)
{
	if (row->error == 0)
		return "the end of input came";
	if (row->error == ETIMEDOUT)
		return "timed out";
	if (row->error == EBADMSG && row->phase == ERROR_BANNER)
		return "not what was expected";
	return strerror(row->error);
}

static void say_when(struct page *p, const struct error_row *row)
{
	char from[UNITS_TEXT], to[UNITS_TEXT];

	units_time(row->first_at, from);
	units_time(row->last_at, to);
	if (row->last_at <= 0)
		page_say(p, PAGE_FAINT "before measuring" PAGE_PLAIN);
	else if (row->first_at < 0)
		page_say(p, PAGE_FAINT "to %s" PAGE_PLAIN, to);
	else if (strcmp(from, to) == 0)
		page_say(p, PAGE_FAINT "at %s" PAGE_PLAIN, to);
	else
		page_say(p, PAGE_FAINT "%s to %s" PAGE_PLAIN, from, to);
}

static int by_count(const void *a, const void *b)
{
	const struct error_row *x = a, *y = b;

	return (x->count < y->count) - (x->count > y->count);
}

void report_errors(struct page *p, const struct result *r)
{
	static const char *const doing[ERROR_PHASES] = {
		[ERROR_SOCKET] = "making a socket",
		[ERROR_BIND] = "taking an address",
		[ERROR_CONNECT] = "connecting",
		[ERROR_BANNER] = "waiting for the banner",
		[ERROR_SEND] = "sending",
		[ERROR_REPLY] = "waiting for a reply",
		[ERROR_BETWEEN] = "between messages",
	};
	enum { SHOWN = 3 };
	struct error_table t = r->errors;
	uint64_t others = t.other;
	char count[UNITS_TEXT];

	qsort(t.rows, t.used, sizeof(t.rows[0]), by_count);
	for (size_t i = 0; i < t.used; i++) {
		const struct error_row *row = &t.rows[i];

		if (i >= SHOWN) {
			others += row->count;
			continue;
		}
		page_begin(p, i == 0 ? PAGE_MUST : PAGE_SHOULD,
			   i == 0 ? "errors" : "");
		page_say(p, "%s %s: %s", units_count(row->count, count),
			 doing[row->phase], error_text(row));
		say_when(p, row);
	}
	if (others > 0) {
		page_begin(p, PAGE_SHOULD, "");
		page_say(p, "%s of other kinds", units_count(others, count));
	}
}

static void sufferings(struct page *p, const struct result *r)
{
	const struct histogram *with = r->with_misfits;
	const struct histogram *without = r->without_misfits;
	char text[2][UNITS_TEXT];
	int64_t before, after;

	if (!with || !without || !histogram_has_percentile(with, 99) ||
	    !histogram_has_percentile(without, 99))
		return;
	before = histogram_percentile(without, 99);
	after = histogram_percentile(with, 99);
	page_begin(p, PAGE_MUST, "");
	page_say(p, "p99 of the others: %s without them, %s with (x %.1f)",
		 units_time(before, text[0]), units_time(after, text[1]),
		 before > 0 ? (double)after / (double)before : 0);
}

void report_misfits(struct page *p, const struct result *r)
{
	bool is_begun = false;

	for (size_t i = 0; i < MISFIT_KINDS; i++) {
		const struct misfits *m = &r->misfits[i];
		struct terms t = { .used = 0 };

		if (m->asked == 0)
			continue;
		if (!is_begun)
			page_begin(p, PAGE_SHOULD, "misfits");
		is_begun = true;
		term(&t, ", ", m->let_go, "let go");
		term(&t, ", ", (uint64_t)m->open, "kept");
		term(&t, ", ", m->failed, "failed");
		page_say(p, "%d %s%s%s", m->asked, misfit_names[i],
			 t.used > 0 ? ": " : "", t.text);
	}
	if (is_begun)
		sufferings(p, r);
}
