/* SPDX-License-Identifier: MIT */
/*
 * load merge of results of --json: several generators as one run.  Counts,
 * errors and histograms are added up, the seconds by their time.  The measured
 * part is from the first start to the last end, and the verdict is the worst.
 *
 * The files were written by this program, but may have been changed since: a
 * value of another type counts as absent.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "load.h"

#include "../../cli/cli.h"
#include "report/json.h"

#ifdef HAVE_JANSSON

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "judge/verdict.h"
#include "measure/hlog.h"
#include "measure/units.h"

/* If all ran at once for less than this share of the time: WITH CARE. */
#define OVERLAP_CARE 0.98

/* ns, or a count */
#define WHOLE_MOST 0x1p61

/* Seconds; as ns, with WHOLE_MOST added, they do not overflow. */
#define STARTED_MOST 4e9

struct runs {
	struct result *all;
	struct plan *plan;
	json_t **files;
	size_t count;
	int64_t first_start, last_start, first_end, last_end; /* ns, epoch */
	double squares; /* of the replies of each connection */
	double medians; /* of these replies, a sum */
	json_t *seen;	/* by the id of a run: the path it came with */
	const char **ids;
	size_t id_count;
	int64_t rows_most; /* of the seconds of the sum */
};

/* Seconds of the sum that no run has a row for, at most. */
#define GAP_MOST (INT64_C(86400))

static const json_t *at(const json_t *object, const char *a, const char *b)
{
	const json_t *value = json_object_get(object, a);

	return b ? json_object_get(value, b) : value;
}

/* Within limits, so that the sum of a few does not overflow. */
static int64_t whole(const json_t *object, const char *a, const char *b)
{
	const json_t *value = at(object, a, b);
	double about = json_number_value(value);

	if (about < -WHOLE_MOST || about > WHOLE_MOST)
		return 0;
	return json_is_real(value) ? (int64_t)about : json_integer_value(value);
}

static uint64_t number(const json_t *object, const char *a, const char *b)
{
	int64_t value = whole(object, a, b);

	return value > 0 ? (uint64_t)value : 0;
}

static int small(const json_t *object, const char *a, const char *b)
{
	int64_t value = whole(object, a, b);

	return value > 0 && value < INT32_MAX ? (int)value : 0;
}

static void add_small(int *sum, const json_t *object, const char *a,
		      const char *b)
{
	if (__builtin_add_overflow(*sum, small(object, a, b), sum))
		*sum = INT_MAX;
}

/* Within the same limits. */
static double real(const json_t *object, const char *a, const char *b)
{
	double value = json_number_value(at(object, a, b));

	return fmin(fmax(value, -WHOLE_MOST), WHOLE_MOST);
}

static bool is_true(const json_t *object, const char *a, const char *b)
{
	return json_is_true(at(object, a, b));
}

static const char *runs_text(const json_t *object, const char *a, const char *b)
{
	return json_string_value(at(object, a, b));
}

static int64_t to_whole(double value)
{
	return (int64_t)fmin(fmax(value, 0), WHOLE_MOST);
}

static int find_place(const char *name, const char *const *names, int count)
{
	for (int i = 0; name && i < count; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return -1;
}

static int place(const char *name, const char *const *names, int count)
{
	int i = find_place(name, names, count);

	return i < 0 ? 0 : i;
}

static void keep_most(int64_t *most, int64_t value)
{
	if (value > *most)
		*most = value;
}

static bool add_list(struct prefixes *p, const json_t *list)
{
	const json_t *value;
	size_t i;

	json_array_foreach(list, i, value)
	{
		if (json_is_string(value) && p->count < PREFIXES_MAX)
			p->list[p->count++] = (struct bytes){
				.data = strdup(json_string_value(value)),
				.len = json_string_length(value),
			};
	}
	for (i = 0; i < p->count; i++)
		if (!p->list[i].data)
			return false;
	return true;
}

static bool read_plan(struct plan *p, const json_t *plan)
{
	const json_t *content = at(plan, "content", NULL);
	const char *expect = runs_text(content, "expect", NULL);
	int64_t duration = whole(plan, "times", "duration_ns");
	int64_t timeout = whole(plan, "times", "timeout_ns");

	*p = (struct plan){
		.address = runs_text(plan, "address", NULL),
		.mode = (enum plan_mode)place(runs_text(plan, "mode", NULL),
					      json_modes, JSON_MODES),
		.schedule = (enum plan_schedule)place(
			runs_text(plan, "schedule", NULL), json_schedules,
			JSON_SCHEDULES),
		.depth = small(plan, "depth", NULL),
		.seed = (uint64_t)json_integer_value(at(plan, "seed", NULL)),
		.duration_ns = duration > 0 ? duration : INT64_MAX,
		.warmup_ns = whole(plan, "times", "warmup_ns"),
		.timeout_ns = timeout > 0 ? timeout : INT64_MAX,
		.connect_timeout_ns = INT64_MAX,
		.reconnect = is_true(plan, "reconnect", NULL),
		.payload = (enum plan_payload)place(
			runs_text(content, "payload", NULL), json_payloads,
			JSON_PAYLOADS),
		.size_min = (size_t)number(content, "size_min", NULL),
		.size_max = (size_t)number(content, "size_max", NULL),
		.text_given = runs_text(content, "text", NULL),
		.script_path = runs_text(content, "script", NULL),
		.expect_given = expect ? expect : "echo",
		.banner = (enum plan_banner)place(
			runs_text(content, "banner", NULL), json_banners,
			JSON_BANNERS),
		.banner_text = runs_text(content, "banner_text", NULL),
	};
	p->expect = strcmp(p->expect_given, "echo") == 0    ? EXPECT_ECHO
		    : strcmp(p->expect_given, "reply") == 0 ? EXPECT_REPLY
							    : EXPECT_FRAMED;
	p->expected.match = runs_text(content, "match", NULL);
	p->tls = (struct plan_tls){
		.is_wanted = json_is_object(at(plan, "tls", NULL)),
		.is_insecure = is_true(plan, "tls", "insecure"),
		.is_full = is_true(plan, "tls", "full_handshakes"),
		.name = runs_text(plan, "tls", "name"),
		.alpn_given = runs_text(plan, "tls", "alpn"),
	};
	if (is_true(plan, "tls", "certificate"))
		p->tls.certificate = "";
	if (!p->address)
		p->address = "";
	return add_list(&p->expected.ok, at(content, "ok", NULL)) &&
	       add_list(&p->expected.bad, at(content, "bad", NULL));
}

/* Runs that send or expect something else have no figures in common. */
static bool runs_are_of_one_plan(const struct runs *m, size_t i,
				 const char *path)
{
	static const char *const names[] = { "mode",	"schedule", "depth",
					     "content", "proxy",    "tls" };
	const json_t *first = at(m->files[0], "plan", NULL);
	const json_t *plan = at(m->files[i], "plan", NULL);

	for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
		if (!json_equal(json_object_get(first, names[n]),
				json_object_get(plan, names[n]))) {
			cli_error("%s: plan.%s differs from that of the first "
				  "run",
				  path, names[n]);
			return false;
		}
	return true;
}

static void add_plan(struct plan *p, const json_t *plan)
{
	add_small(&p->connections, plan, "connections", NULL);
	add_small(&p->threads, plan, "threads", NULL);
	add_small(&p->idle, plan, "idle", NULL);
	p->rate = fmin(p->rate + real(plan, "rate", NULL), WHOLE_MOST);
	p->count += number(plan, "times", "count");
	for (int i = 0; i < BAD_CLIENT_KINDS; i++)
		add_small(&p->bad_clients[i], plan, "bad_clients",
			  bad_client_names[i]);
}

static void runs_add_counts(struct counts *b, const json_t *file)
{
	const struct {
		const char *name;
		uint64_t *count;
	} fields[] = {
		{ "planned", &b->planned },
		{ "sent", &b->sent },
		{ "never-sent", &b->never_sent },
		{ "answered", &b->answered },
		{ "timed-out", &b->timed_out },
		{ "reset", &b->reset },
		{ "closed-early", &b->closed_early },
		{ "open", &b->open },
		{ "drained", &b->drained },
		{ "checked", &b->checked },
		{ "wrong", &b->wrong },
		{ "bad", &b->bad },
		{ "swapped", &b->swapped },
		{ "unsure", &b->unsure },
		{ "missing", &b->missing },
		{ "surplus", &b->surplus },
		{ "crossed", &b->crossed },
		{ "late", &b->late },
		{ "full-handshakes", &b->full },
		{ "resumed-handshakes", &b->resumed },
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		*fields[i].count += number(file, "metrics", fields[i].name);
	b->bytes_in += number(file, "run", "bytes_in");
	b->bytes_out += number(file, "run", "bytes_out");
	b->drained_in += number(file, "run", "drained_in");
	b->drained_out += number(file, "run", "drained_out");
}

static const char *add_errors(struct result *r, const json_t *file, int64_t off)
{
	const json_t *row;
	size_t i;

	json_array_foreach(at(file, "errors", NULL), i, row)
	{
		int phase = find_place(runs_text(row, "phase", NULL),
				       error_phase_names, ERROR_PHASES);
		struct error_row e = {
			.phase = (enum error_phase)phase,
			.error = small(row, "errno", NULL),
			.count = number(row, "count", NULL),
			.first_at = off + whole(row, "first_ns", NULL),
			.last_at = off + whole(row, "last_ns", NULL),
		};

		if (phase < 0)
			return "an error is in a phase that is not known";
		error_table_add(&r->errors, &e);
	}
	r->errors.other += number(file, "errors_other", NULL);
	if (!r->tls_why)
		r->tls_why = runs_text(file, "tls_why", NULL);
	return NULL;
}

/* n j squares = (sum)^2, where j is the fairness. */
static void add_fairness(struct runs *m, const json_t *file, double asked)
{
	double j = real(file, "metrics", "fairness") / 100;
	double sum = real(file, "metrics", "answered");

	if (asked > 0 && j > 0)
		m->squares += sum * sum / (asked * j);
	m->medians += asked * real(file, "connections", "replies_median");
}

/* The numbers of starved connections say nothing without their client. */
static void add_numbers(struct conn_counts *c, size_t runs, const json_t *list)
{
	const json_t *value;
	size_t i;

	json_array_foreach(list, i, value)
	{
		if (runs == 1 && c->worst_count < WORST_CONNECTIONS)
			c->worst[c->worst_count++] =
				(int)json_integer_value(value);
	}
}

static void add_connections(struct runs *m, const json_t *file, int64_t off)
{
	struct conn_counts *c = &m->all->connections;
	int asked = small(file, "connections", "asked");
	uint64_t least = number(file, "connections", "replies_min");
	uint64_t most = number(file, "connections", "replies_max");
	int lost = small(file, "metrics", "lost");
	int64_t lost_at = off + whole(file, "connections", "lost_at_ns");
	double down = real(file, "metrics", "downtime%") / 100 * asked *
		      real(file, "run", "elapsed_ns");

	add_fairness(m, file, asked);
	if (lost > 0 && (c->lost == 0 || lost_at < c->lost_at))
		c->lost_at = lost_at;
	if (c->asked == 0 || least < c->replies_min)
		c->replies_min = least;
	if (most > c->replies_max)
		c->replies_max = most;
	add_small(&c->asked, file, "connections", "asked");
	add_small(&c->open, file, "connections", "open");
	add_small(&c->opened, file, "metrics", "opened");
	add_small(&c->served, file, "metrics", "served");
	add_small(&c->failed, file, "metrics", "failed");
	add_small(&c->lost, file, "metrics", "lost");
	c->reopened += number(file, "metrics", "reopened");
	c->ended += number(file, "metrics", "ended");
	c->down_ns = to_whole((double)c->down_ns + down);
	c->paused_ns = to_whole((double)c->paused_ns +
				down * real(file, "metrics", "paused%") / 100);
	keep_most(&c->longest_silence, whole(file, "metrics", "silence"));
	add_small(&c->idle_asked, file, "connections", "idle_asked");
	add_small(&c->idle_opened, file, "connections", "idle_opened");
	add_small(&c->idle_open, file, "connections", "idle_open");
	if (number(file, "connections", "bytes_each") > c->bytes_each)
		c->bytes_each =
			(size_t)number(file, "connections", "bytes_each");
	add_small(&c->starved, file, "metrics", "starved");
	add_numbers(c, m->count, at(file, "connections", "starved_numbers"));
}

static const char *add_bad_clients(struct result *r, const json_t *file)
{
	const json_t *row;
	size_t i;

	json_array_foreach(at(file, "bad_clients", NULL), i, row)
	{
		int kind = find_place(runs_text(row, "kind", NULL),
				      bad_client_names, BAD_CLIENT_KINDS);
		struct bad_client_counts *m;

		if (kind < 0)
			return "a misbehaving client is of a kind that is not "
			       "known";
		m = &r->bad_clients[kind];
		add_small(&m->asked, row, "asked", NULL);
		add_small(&m->opened, row, "opened", NULL);
		m->attempts += number(row, "attempts", NULL);
		m->let_go += number(row, "let_go", NULL);
		m->failed += number(row, "failed", NULL);
		add_small(&m->open, row, "open", NULL);
	}
	return NULL;
}

static void add_self(struct self *s, const json_t *file)
{
	double busy = real(file, "metrics", "cpu") / 100;

	if (busy > s->busiest)
		s->busiest = busy;
	s->cpu_user += real(file, "self", "cpu_user_s");
	s->cpu_system += real(file, "self", "cpu_system_s");
	s->switches += number(file, "metrics", "switches");
	s->late_ours += number(file, "metrics", "late-ours");
	s->late_server += number(file, "metrics", "late-server");
	if (__builtin_add_overflow(s->handshake_lag,
				   whole(file, "self", "handshake_lag_ns"),
				   &s->handshake_lag))
		s->handshake_lag = INT64_MAX;
	s->histogram_bytes += (size_t)number(file, "self", "histogram_bytes");
	keep_most(&s->longest_stall, whole(file, "metrics", "stall"));
	keep_most(&s->late_ours_max, whole(file, "self", "late_ours_max_ns"));
	keep_most(&s->late_server_max,
		  whole(file, "self", "late_server_max_ns"));
}

static void add_first_bad(struct runs *m, const json_t *file, int64_t off)
{
	const json_t *bad = at(file, "first_bad", NULL);
	const char *sent = runs_text(bad, "sent", NULL);
	const char *got = runs_text(bad, "received", NULL);
	struct bad_reply *b = &m->all->first_bad;
	int64_t when = off + whole(bad, "at_ns", NULL);

	if (!sent || !got || !runs_text(bad, "why", NULL) ||
	    (b->why && b->at <= when))
		return;
	*b = (struct bad_reply){ .why = runs_text(bad, "why", NULL),
				 .at = when,
				 .conn = (uint32_t)number(bad, "connection",
							  NULL),
				 .seq = number(bad, "message", NULL) };
	b->sent_len = strnlen(sent, EXCERPT_MAX);
	b->got_len = strnlen(got, EXCERPT_MAX);
	memcpy(b->sent, sent, b->sent_len);
	memcpy(b->got, got, b->got_len);
}

/* The slots of the text, and the exact figures that it lacks. */
static const char *runs_read_clock(struct histogram *h, const json_t *clock)
{
	const char *slots = runs_text(clock, "histogram", NULL);
	const char *wrong;

	if (!slots)
		return "a clock has no histogram: it was written without zlib, "
		       "or by an older version";
	wrong = hlog_decode(h, slots, strlen(slots));
	if (wrong || h->total == 0)
		return wrong ? wrong : "a histogram is empty";
	if (h->total != number(clock, "samples", NULL) ||
	    histogram_slot(whole(clock, "min_ns", NULL)) !=
		    histogram_slot(h->min) ||
	    histogram_slot(whole(clock, "max_ns", NULL)) !=
		    histogram_slot(h->max))
		return "a histogram contradicts its figures";
	h->min = whole(clock, "min_ns", NULL);
	h->max = whole(clock, "max_ns", NULL);
	h->clamped = number(clock, "clamped", NULL);
	h->sum = real(clock, "mean_ns", NULL) * (double)h->total;
	return NULL;
}

static const char *add_clock(struct result *r, enum clock_kind kind,
			     const json_t *clock)
{
	struct histogram *h;
	const char *wrong;

	if (!json_is_object(clock))
		return NULL;
	h = calloc(1, sizeof(*h));
	if (!r->clocks[kind])
		r->clocks[kind] = calloc(1, sizeof(*h));
	if (!h || !r->clocks[kind]) {
		free(h);
		return "out of memory";
	}
	wrong = runs_read_clock(h, clock);
	if (!wrong)
		histogram_add(r->clocks[kind], h);
	free(h);
	if (!wrong && kind < CENSORED_CLOCKS &&
	    number(clock, "unanswered", NULL) > 0)
		censored_add(&r->censored[kind],
			     &(struct censored){
				     number(clock, "unanswered", NULL),
				     whole(clock, "unanswered_min_ns", NULL) });
	return wrong;
}

static const char *add_clocks(struct result *r, const json_t *file)
{
	const char *wrong = NULL;

	for (int k = 0; k < CLOCK_KINDS && !wrong; k++)
		wrong = add_clock(r, (enum clock_kind)k,
				  at(file, "clocks", clock_names[k]));
	return wrong;
}

static struct second *second_at(struct result *r, int64_t number)
{
	struct second *more;

	if ((size_t)number >= r->second_count) {
		more = reallocarray(r->seconds, (size_t)number + 1,
				    sizeof(*more));
		if (!more)
			return NULL;
		r->seconds = more;
		for (; r->second_count <= (size_t)number; r->second_count++)
			more[r->second_count] = (struct second){
				.at = (int64_t)r->second_count * SECOND,
				.length = SECOND,
				.is_drain = true,
			};
	}
	return &r->seconds[number];
}

static bool max_is_at_least(const json_t *row)
{
	const json_t *value;
	size_t i;

	json_array_foreach(at(row, "at_least", NULL), i, value)
	{
		if (json_is_string(value) &&
		    strcmp(json_string_value(value), "max_ns") == 0)
			return true;
	}
	return false;
}

static void add_max(struct second *s, const json_t *row)
{
	int64_t max = whole(row, "max_ns", NULL);
	bool *is_more = &s->is_more[SECOND_MAX];

	if (max >= s->max)
		*is_more = max_is_at_least(row) || (max == s->max && *is_more);
	keep_most(&s->max, max);
}

/*
 * Each second is added to that of the sum in which most of it lies.  The
 * percentiles of several runs do not follow from those of each; the maximum
 * does.
 */
static const char *add_seconds(struct runs *m, const json_t *file, int64_t off)
{
	const json_t *row;
	size_t i;

	json_array_foreach(at(file, "seconds", NULL), i, row)
	{
		int64_t middle = off + whole(row, "at_ns", NULL) +
				 whole(row, "length_ns", NULL) / 2;
		struct second *s;

		if (middle < 0 || middle / SECOND >= m->rows_most)
			return "a second of it is far from those of the runs";
		s = second_at(m->all, middle / SECOND);
		if (!s)
			return "out of memory";
		s->answered += number(row, "answered", NULL);
		s->errors += number(row, "errors", NULL);
		s->bytes_in += number(row, "bytes_in", NULL);
		s->bytes_out += number(row, "bytes_out", NULL);
		add_small(&s->open, row, "open", NULL);
		s->has_bad_clients =
			s->has_bad_clients || is_true(row, "bad_clients", NULL);
		s->is_drain = s->is_drain && is_true(row, "drain", NULL);
		add_max(s, row);
		s->p50 = s->p90 = s->p99 = s->p999 = -1;
	}
	return NULL;
}

static enum verdict verdict_of(const json_t *file)
{
	const char *name = runs_text(file, "verdict", "verdict");
	int grade = place(name, verdict_names, 3);

	return name && strcmp(name, verdict_names[grade]) == 0
		       ? (enum verdict)grade
		       : VERDICT_NOT;
}

static void add_verdict_of(struct result *r, const json_t *file,
			   const char *path)
{
	const char *name = strrchr(path, '/');
	enum verdict grade = verdict_of(file);
	const json_t *reason;
	size_t i;

	json_array_foreach(at(file, "verdict", "reasons"), i, reason)
	{
		verdict_add(r, grade, "%s: %s", name ? name + 1 : path,
			    json_string_value(reason)
				    ? json_string_value(reason)
				    : "");
	}
	if (grade > r->verdict)
		verdict_add(r, grade, "%s: it gives no reason for its verdict",
			    name ? name + 1 : path);
	r->is_cut = r->is_cut || is_true(file, "run", "cut");
	r->is_stopped = r->is_stopped || is_true(file, "run", "stopped");
	r->has_early_end =
		r->has_early_end || is_true(file, "run", "ended_early");
	r->is_incomplete =
		r->is_incomplete || is_true(file, "run", "incomplete");
}

static void judge_overlap(struct runs *m)
{
	double span = (double)(m->last_end - m->first_start);
	double common = (double)(m->first_end - m->last_start);
	char from[UNITS_TEXT], of[UNITS_TEXT];

	if (common < 0)
		common = 0;
	if (m->count > 1 && common < OVERLAP_CARE * span)
		verdict_add(m->all, VERDICT_WITH_CARE,
			    "all runs were under way for %s of %s only: see "
			    "--start-at",
			    units_time((int64_t)common, from),
			    units_time((int64_t)span, of));
}

/* One that ended in the warm-up, or had no connection, measured nothing. */
static bool is_run(const json_t *file)
{
	const char *schema = runs_text(file, "schema", NULL);

	return schema && strcmp(schema, JSON_SCHEMA) == 0 &&
	       whole(file, "version", NULL) == JSON_VERSION &&
	       json_is_number(at(file, "run", "started")) &&
	       real(file, "run", "started") >= 0 &&
	       real(file, "run", "started") < STARTED_MOST &&
	       json_is_number(at(file, "run", "elapsed_ns")) &&
	       whole(file, "run", "elapsed_ns") >= 0;
}

static json_t *open_run(const char *path)
{
	json_error_t error;
	json_t *file = json_load_file(path, 0, &error);

	if (!file && error.line < 0) {
		cli_error("%s", error.text); /* contains the path */
		return NULL;
	}
	if (is_run(file) && real(file, "run", "started") > 0)
		return file;
	cli_error(is_run(file) ? "%s: the run was interrupted before its load "
				 "began, so it cannot be added"
			       : "%s: not a run that weir-client load --json "
				 "wrote",
		  path);
	json_decref(file);
	return NULL;
}

static int64_t start_of(const json_t *file)
{
	return (int64_t)(real(file, "run", "started") * 1e6) * 1000;
}

static void find_span(struct runs *m)
{
	for (size_t i = 0; i < m->count; i++) {
		int64_t start = start_of(m->files[i]);
		int64_t end = start + whole(m->files[i], "run", "elapsed_ns");

		if (i == 0 || start < m->first_start)
			m->first_start = start;
		if (i == 0 || start > m->last_start)
			m->last_start = start;
		if (i == 0 || end < m->first_end)
			m->first_end = end;
		if (i == 0 || end > m->last_end)
			m->last_end = end;
	}
}

/* Memory for the sum is bounded by what the files have. */
static void find_rows(struct runs *m)
{
	m->rows_most = GAP_MOST;
	for (size_t i = 0; i < m->count; i++)
		m->rows_most += 2 * (int64_t)json_array_size(
					    at(m->files[i], "seconds", NULL));
}

/* A run, or a part of a sum, counts once. */
static bool add_ids(struct runs *m, const json_t *file, const char *path)
{
	const json_t *ids = at(file, "run", "ids"), *value;
	size_t count = json_array_size(ids), i;
	const char **more;

	if (count == 0) {
		cli_error("%s: it has no run.ids, by which a run that is given "
			  "twice is noticed",
			  path);
		return false;
	}
	more = reallocarray(m->ids, m->id_count + count, sizeof(*more));
	if (!more) {
		cli_error("out of memory");
		return false;
	}
	m->ids = more;
	json_array_foreach(ids, i, value)
	{
		const char *id = json_string_value(value);
		const char *other =
			json_string_value(json_object_get(m->seen, id));

		if (!id || other) {
			cli_error(id ? "%s: a run in it is in %s, too; give "
				       "each run once"
				     : "%s: a value of run.ids is not a string",
				  path, other);
			return false;
		}
		/* A path need not be UTF-8. */
		if (json_object_set_new(m->seen, id,
					json_string_nocheck(path)) < 0) {
			cli_error("out of memory");
			return false;
		}
		m->ids[m->id_count++] = id;
	}
	return true;
}

static bool add_run(struct runs *m, size_t i, const char *path)
{
	const json_t *file = m->files[i];
	int64_t off = start_of(file) - m->first_start;
	const char *wrong = add_clocks(m->all, file);

	if (!wrong)
		wrong = add_errors(m->all, file, off);
	if (!wrong)
		wrong = add_bad_clients(m->all, file);
	if (!wrong)
		wrong = add_seconds(m, file, off);
	if (wrong) {
		cli_error("%s: %s", path, wrong);
		return false;
	}
	add_plan(m->plan, at(file, "plan", NULL));
	runs_add_counts(&m->all->counts, file);
	add_connections(m, file, off);
	add_self(&m->all->self, file);
	add_first_bad(m, file, off);
	add_verdict_of(m->all, file, path);
	return true;
}

static void finish(struct runs *m)
{
	struct result *r = m->all;
	struct conn_counts *c = &r->connections;
	double sum = (double)r->counts.answered;
	const char *target = runs_text(m->files[0], "run", "target");

	r->started = (double)m->first_start / 1e9;
	r->elapsed = m->last_end - m->first_start;
	if (c->asked > 0 && m->squares > 0) {
		c->fairness = sum * sum / (c->asked * m->squares);
		c->replies_median = (uint64_t)to_whole(m->medians / c->asked);
	}
	snprintf(r->target, sizeof(r->target), "%s", target ? target : "");
	r->ids = m->ids;
	r->id_count = m->id_count;
}

static bool add_runs(struct runs *m, char **paths)
{
	bool is_read = true;

	for (size_t i = 0; i < m->count && is_read; i++) {
		m->files[i] = open_run(paths[i]);
		is_read = m->files[i] && runs_are_of_one_plan(m, i, paths[i]) &&
			  add_ids(m, m->files[i], paths[i]);
	}
	if (!is_read)
		return false;
	find_span(m);
	find_rows(m);
	judge_overlap(m);
	if (!read_plan(m->plan, at(m->files[0], "plan", NULL))) {
		cli_error("out of memory");
		return false;
	}
	for (size_t i = 0; i < m->count && is_read; i++)
		is_read = add_run(m, i, paths[i]);
	if (is_read)
		finish(m);
	return is_read;
}

int load_merge_runs(char **paths, size_t count, merge_report *report, void *arg)
{
	static struct plan plan; /* too large for a small stack */
	struct result all = { .plan = &plan,
			      .censored = { { 0, NEVER }, { 0, NEVER } },
			      .without_censored = { .min = NEVER },
			      .with_censored = { .min = NEVER } };
	struct runs m = { .all = &all,
			  .plan = &plan,
			  .files = calloc(count, sizeof(json_t *)),
			  .seen = json_object(),
			  .count = count };
	int status = CLI_USAGE;

	if (m.files && m.seen && add_runs(&m, paths))
		status = report(arg, &all);
	for (size_t i = 0; m.files && i < count; i++)
		json_decref(m.files[i]);
	free(m.files);
	free(m.ids);
	json_decref(m.seen);
	expectation_fini(&plan.expected);
	result_free(&all);
	return status;
}

#else

int load_merge_runs(char **paths, size_t count, merge_report *report, void *arg)
{
	(void)paths;
	(void)count;
	(void)report;
	(void)arg;
	cli_error("merge: %s", JSON_UNAVAILABLE);
	return CLI_USAGE;
}

#endif
