/* SPDX-License-Identifier: MIT */
/* The options of load: values are checked one by one, then together. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../cli/cli.h"
#include "../../cli/text.h"
#include "../options.h"
#include "measure/units.h"

#define DEPTH_MAX	65536
#define THREADS_MAX	256
#define CONNECTIONS_MAX 1000000
#define MESSAGE_MAX	(1 << 26)
#define FOREVER		INT64_MAX
#define COUNT_SECONDS	1e9 /* that --count may take; ns fit into 64 bits */

enum {
	KEY_POISSON = 256,
	KEY_CHURN,
	KEY_UPLOAD,
	KEY_DOWNLOAD,
	KEY_IDLE,
	KEY_WARMUP,
	KEY_CONNECT_TIMEOUT,
	KEY_CONNECT_RATE,
	KEY_RECONNECT,
	KEY_THINK,
	KEY_LIFETIME,
	KEY_CLOSE,
	KEY_SEED,
	KEY_TEXT,
	KEY_PAYLOAD_FILE,
	KEY_RANDOM,
	KEY_DATA,
	KEY_SCRIPT,
	KEY_EXPECT,
	KEY_OK,
	KEY_BAD,
	KEY_MATCH,
	KEY_BANNER,
	KEY_WITH,
	KEY_SOURCE,
	KEY_SPREAD,
	KEY_PROXY,
	KEY_SOCKET,
	KEY_ALPN,
	KEY_FULL_HANDSHAKES,
	KEY_JSON,
	KEY_HLOG,
	KEY_HTML,
	KEY_JUNIT,
	KEY_MARKDOWN,
	KEY_METRICS,
	KEY_PROGRESS,
	KEY_GATE,
	KEY_STRICT,
	KEY_STOP_EARLY,
	KEY_PERCENTILES,
	KEY_START_AT,
	KEY_DRY_RUN,
	KEY_SHOW,
};

const struct cli_option load_option_table[] = {
	{ "connections", 'c', "N", "connections at once (default 10)" },
	{ "threads", 'T', "N", "threads that make the load (default 1)" },
	{ "depth", 'P', "N",
	  "messages under way on a connection, at most\n(default 1)" },
	{ "rate", 'r', "N",
	  "open loop: messages a second in all, such as\n"
	  "500 or 20k, independent of replies; or stages\nsuch as "
	  "1k:30s,1k-10k:2m,10k:5m" },
	{ "poisson", KEY_POISSON, NULL, "Poisson arrivals at that rate" },
	{ "churn", KEY_CHURN, NULL,
	  "connect, send one message, close; --rate is\n"
	  "connections a second" },
	{ "upload", KEY_UPLOAD, NULL,
	  "send only, as fast as the server reads" },
	{ "download", KEY_DOWNLOAD, NULL,
	  "read only, as fast as the server sends" },
	{ "idle", KEY_IDLE, "N", "additional connections that stay silent" },
	{ "duration", 'd', "DURATION", "how long to measure (default 10s)" },
	{ "count", 'n', "N", "end after that many measured messages" },
	{ "warmup", KEY_WARMUP, "DURATION",
	  "load before measuring (default none)" },
	{ "start-at", KEY_START_AT, "TIME",
	  "connect, then wait until this time: seconds\nsince 1970, or +5s "
	  "from now" },
	{ "timeout", 't', "DURATION",
	  "longest wait for a reply (default 10s)" },
	{ "connect-timeout", KEY_CONNECT_TIMEOUT, "DURATION",
	  "longest wait to connect (default 10s)" },
	{ "connect-rate", KEY_CONNECT_RATE, "N",
	  "connections a second at the start" },
	{ "reconnect", KEY_RECONNECT, NULL, "replace lost connections" },
	{ "think", KEY_THINK, "TIME",
	  "pause after each reply: 1s, 500ms-2s for evenly\n"
	  "distributed times, exp:1s for exponential ones" },
	{ "lifetime", KEY_LIFETIME, "TIME",
	  "replace each connection after that time, such\nas 1s, 500ms-2s or "
	  "exp:1s" },
	{ "close", KEY_CLOSE, "fin|rst",
	  "how to end connections (default fin)" },
	{ "size", 's', "N[-M]", "bytes of a message (default 64)" },
	{ "random", KEY_RANDOM, NULL, "binary messages instead of lines" },
	{ "text", KEY_TEXT, "TEXT",
	  "send this text, with \\r \\n \\t \\\\ \\xHH and\n{connection} "
	  "{seq} {random:N} {line} {time}" },
	{ "data", KEY_DATA, "FILE", "lines for {line}, used in rotation" },
	{ "script", KEY_SCRIPT, "FILE",
	  "what each connection sends and expects" },
	{ "payload-file", KEY_PAYLOAD_FILE, "PATH",
	  "send the content of this file" },
	{ "expect", KEY_EXPECT, "FORM",
	  "the reply: echo (default), reply, or where it\nends: any[:TIME], "
	  "len:N, line, lines:N,\nuntil:TEXT, prefix:4be[+K], http" },
	{ "ok", KEY_OK, "TEXT",
	  "a good reply begins with TEXT; if repeated,\nwith one of the "
	  "texts" },
	{ "bad", KEY_BAD, "TEXT",
	  "a reply that begins with TEXT is bad; may be\nrepeated" },
	{ "match", KEY_MATCH, "REGEX", "a reply that does not match is bad" },
	{ "banner", KEY_BANNER, "none|any|line|text:T",
	  "what the server sends first (default none;\nfor reply "
	  "text:Connect)" },
	{ "with", KEY_WITH, "KIND:N,...",
	  "misbehaving clients in the middle third:\nslow-read, drip, "
	  "half-close, reset, idle,\nflood, vanish" },
	{ "source", KEY_SOURCE, "ADDRESS,...",
	  "source addresses, used in rotation; also\nranges such as "
	  "10.0.0.2-9 and 10.0.1.0/24" },
	{ "spread", KEY_SPREAD, NULL, "connect to all addresses of the name" },
	PROXY_HEADER_ROW(KEY_PROXY),
	{ "socket", KEY_SOCKET, "OPTION,...",
	  "socket options: rcvbuf=N, sndbuf=N, mss=N,\ndscp=N, nagle, "
	  "congestion=NAME, device=NAME" },
	TLS_OPTION_ROWS,
	{ "alpn", KEY_ALPN, "NAME,...",
	  "protocols to offer in TLS, such as h2,http/1.1" },
	{ "full-handshakes", KEY_FULL_HANDSHAKES, NULL,
	  "make full handshakes: resume no session of TLS" },
	{ "seed", KEY_SEED, "N", "seed of messages and arrivals (default 1)" },
	{ "json", KEY_JSON, "FILE",
	  "write the result; - is standard output, also\n"
	  "for other files but --metrics" JSON_NOTE },
	{ "hlog", KEY_HLOG, "FILE",
	  "write a log of histograms, one each second" HLOG_NOTE },
	{ "html", KEY_HTML, "FILE", "write a page with charts" JSON_NOTE },
	{ "junit", KEY_JUNIT, "FILE",
	  "write gates and verdict as JUnit tests" },
	{ "markdown", KEY_MARKDOWN, "FILE", "write a summary in Markdown" },
	{ "metrics", KEY_METRICS, "FILE",
	  "write OpenMetrics text, once a second" },
	{ "progress", KEY_PROGRESS, "DURATION",
	  "print a line on standard error this often" },
	{ "gate", KEY_GATE, "EXPR",
	  "a condition such as 'p99<5ms'; exit status 3\n"
	  "if it fails; may be repeated" },
	{ "strict", KEY_STRICT, NULL,
	  "exit status 3 if the verdict is NOT\n"
	  "TRUSTWORTHY" },
	{ "stop-early", KEY_STOP_EARLY, NULL,
	  "end the run when a gate cannot pass any more" },
	{ "percentiles", KEY_PERCENTILES, "P,...",
	  "percentiles of the report, as in 50,95,99.9" },
	{ "quiet", 'q', NULL, "only the answer, the verdict and gates" },
	{ "dry-run", KEY_DRY_RUN, NULL, "print the plan, do nothing" },
	{ "show", KEY_SHOW, NULL,
	  "print one exchange as text and hex; exit\n"
	  "status 0 if the reply is good" },
	OPTIONS_HELP,
	OPTIONS_VERSION,
	{ .name = NULL },
};

static const struct options_operand load_operands[] = {
	{ "ADDRESS", "the address", "127.0.0.1:1234" },
	{ .name = NULL },
};

static bool load_parse_count(const char *text, double *ret)
{
	char *end;

	if (strspn(text, "0123456789.") == 0)
		return false;
	*ret = strtod(text, &end);
	if (end == text || strspn(text, "0123456789.") < (size_t)(end - text))
		return false;
	if (*end == 'k')
		*ret *= 1e3, end++;
	else if (*end == 'M')
		*ret *= 1e6, end++;
	return *end == '\0';
}

static bool parse_whole(const char *text, double min, double max, double *ret)
{
	double value;

	/* 4.35k is not an exact double. */
	if (!load_parse_count(text, &value))
		return false;
	*ret = round(value);
	return *ret >= min && *ret <= max &&
	       fabs(value - *ret) <= 1e-12 * value;
}

static bool value_number(const char *name, int min, int max, int *ret)
{
	double value;

	if (parse_whole(optarg, min, max, &value)) {
		*ret = (int)value;
		return true;
	}
	cli_error("--%s: '%s' is not a whole number from %d to %d", name,
		  optarg, min, max);
	return false;
}

static bool parse_rate(const char *text, double *ret)
{
	return load_parse_count(text, ret) && *ret >= 0.001 && *ret <= 1e8;
}

bool value_rate(const char *name, double *ret)
{
	if (parse_rate(optarg, ret))
		return true;
	cli_error("--%s: '%s' is not a number a second like 500, 20k or 1.5M",
		  name, optarg);
	return false;
}

static bool value_count(uint64_t *ret)
{
	double value;

	if (parse_whole(optarg, 1, 1e15, &value)) {
		*ret = (uint64_t)value;
		return true;
	}
	cli_error("--count: '%s' is not a whole number like 1000, 20k or 1M",
		  optarg);
	return false;
}

/* As everywhere, or a number of seconds. */
static bool parse_duration(const char *text, int64_t *ret)
{
	char in_seconds[16];
	int ms;

	if (strspn(text, "0123456789") == strlen(text) && strlen(text) < 12) {
		snprintf(in_seconds, sizeof(in_seconds), "%ss", text);
		text = in_seconds;
	}
	if (!cli_parse_duration(text, &ms))
		return false;
	*ret = ms < 0 ? FOREVER : ms * MS;
	return true;
}

static bool read_stage(const char *text, struct plan_stage *ret)
{
	char rates[32] = "";
	const char *colon = strchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;
	char *dash;

	if (len == 0 || len >= sizeof(rates))
		return false;
	memcpy(rates, text, len);
	dash = strchr(rates, '-');
	if (dash)
		*dash++ = '\0';
	return parse_rate(rates, &ret->from) &&
	       parse_rate(dash ? dash : rates, &ret->to) &&
	       parse_duration(colon + 1, &ret->length_ns) &&
	       ret->length_ns > 0 && ret->length_ns != FOREVER;
}

static bool read_stages(struct plan *p, char *text)
{
	double messages = 0, seconds = 0;
	char *word;

	p->stage_count = 0;
	while ((word = strsep(&text, ",")) != NULL) {
		struct plan_stage *s = &p->stages[p->stage_count];

		if (p->stage_count == PLAN_STAGES || !read_stage(word, s))
			return false;
		p->stage_count++;
		seconds += (double)s->length_ns / 1e9;
		messages += (s->from + s->to) / 2 * (double)s->length_ns / 1e9;
	}
	p->rate = messages / seconds;
	return true;
}

static bool value_rates(struct plan *p)
{
	char *text;
	bool is_read;

	p->stage_count = 0;
	if (!strchr(optarg, ':'))
		return value_rate("rate", &p->rate);
	text = strdup(optarg);
	is_read = text && read_stages(p, text);
	free(text);
	if (!is_read)
		cli_error("--rate: '%s' is not a list of up to %d stages like "
			  "500:30s,500-2k:1m",
			  optarg, PLAN_STAGES);
	return is_read;
}

static bool value_duration(const char *name, int64_t *ret)
{
	if (parse_duration(optarg, ret))
		return true;
	cli_error("--%s: '%s' is not a duration like 10 (seconds), 500ms, 10s, "
		  "2m, 1h (up to 596h) or never",
		  name, optarg);
	return false;
}

static bool value_start_at(struct plan *p)
{
	const double day = 24 * 3600;
	double now, at = 0;
	struct timespec t;
	int64_t wait;
	char *end = optarg;

	clock_gettime(CLOCK_REALTIME, &t);
	now = (double)t.tv_sec + (double)t.tv_nsec / 1e9;
	if (*optarg == '+' && parse_duration(optarg + 1, &wait) &&
	    wait != FOREVER) {
		at = now + (double)wait / 1e9;
		end = optarg + strlen(optarg);
	} else if (strspn(optarg, "0123456789.") == strlen(optarg)) {
		at = strtod(optarg, &end);
	}
	if (*end != '\0' || at < now || at > now + day) {
		cli_error("--start-at: '%s' is not a time within a day from "
			  "now, in seconds since 1970, or like +5s",
			  optarg);
		return false;
	}
	p->start_at_ns = (int64_t)(at * 1e3) * MS;
	return true;
}

static bool read_span(const char *text, struct plan_span *ret)
{
	char low[24] = "";
	const char *dash = strchr(text, '-'), *high = text;

	*ret = (struct plan_span){
		.is_exponential = strncmp(text, "exp:", 4) == 0,
	};
	if (ret->is_exponential) {
		high = text += 4;
	} else if (dash && (size_t)(dash - text) < sizeof(low)) {
		memcpy(low, text, (size_t)(dash - text));
		text = low;
		high = dash + 1;
	}
	return parse_duration(text, &ret->low) &&
	       parse_duration(high, &ret->high) && ret->low > 0 &&
	       ret->high >= ret->low && ret->high != FOREVER;
}

static bool value_span(const char *name, struct plan_span *ret)
{
	if (read_span(optarg, ret))
		return true;
	cli_error("--%s: '%s' is not a time like 1s, nor 500ms-2s, nor exp:1s",
		  name, optarg);
	return false;
}

static bool value_progress(struct load_options *o)
{
	if (!value_duration("progress", &o->progress_ns))
		return false;
	if (o->progress_ns >= SECOND && o->progress_ns != FOREVER)
		return true;
	cli_error("--progress: '%s' is less than a second, or never", optarg);
	return false;
}

static bool value_seed(uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(optarg, &end, 10);
	/* The largest integer of jansson. */
	if (*optarg >= '0' && *optarg <= '9' && *end == '\0' && errno == 0 &&
	    *ret <= INT64_MAX)
		return true;
	cli_error("--seed: '%s' is not a whole number from 0 to %" PRId64,
		  optarg, INT64_MAX);
	return false;
}

static bool value_size(struct plan *p)
{
	char min[16] = "";
	const char *dash = strchr(optarg, '-');
	const char *max = dash ? dash + 1 : optarg;
	size_t len = dash ? (size_t)(dash - optarg) : strlen(optarg);
	double low, high;

	if (len < sizeof(min))
		snprintf(min, sizeof(min), "%.*s", (int)len, optarg);
	if (!parse_whole(min, 1, MESSAGE_MAX, &low) ||
	    !parse_whole(max, low, MESSAGE_MAX, &high)) {
		cli_error("--size: '%s' is not a size like 64 or 2k, nor a "
			  "range like 64-1024, up to %d bytes",
			  optarg, MESSAGE_MAX);
		return false;
	}
	p->size_min = (size_t)low;
	p->size_max = (size_t)high;
	return true;
}

static bool value_close(struct plan *p)
{
	p->close_by_reset = strcmp(optarg, "rst") == 0;
	if (p->close_by_reset || strcmp(optarg, "fin") == 0)
		return true;
	cli_error("--close: '%s' is neither fin nor rst", optarg);
	return false;
}

static bool parse_quiet(struct plan *p)
{
	int64_t quiet;

	if (strncmp(optarg, "any:", 4) != 0 ||
	    !parse_duration(optarg + 4, &quiet) || quiet <= 0 ||
	    quiet == FOREVER)
		return false;
	p->expected.framer = (struct framer){ .kind = FRAMER_ANY };
	p->expect_quiet_ns = quiet;
	return true;
}

static bool value_expect(struct plan *p)
{
	p->expect_given = optarg;
	p->expect_quiet_ns = 0;
	p->expect = EXPECT_FRAMED;
	if (strcmp(optarg, "echo") == 0)
		p->expect = EXPECT_ECHO;
	else if (strcmp(optarg, "reply") == 0)
		p->expect = EXPECT_REPLY;
	else if (!parse_quiet(p) &&
		 !framer_parse(&p->expected.framer, optarg)) {
		cli_error("--expect: '%s' is none of echo, reply, any, "
			  "any:TIME, len:N, line, lines:N (N from 1 to %d), "
			  "until:TEXT (up to %d bytes), prefix:4be (1, 2, 4 or "
			  "8, be or le, then +K or -K) and http",
			  optarg, (int)FRAMER_SIZE_MAX, FRAMER_UNTIL_MAX);
		return false;
	}
	return true;
}

static bool value_prefix(const char *name, struct prefixes *p)
{
	const char *wrong = prefixes_add(p, optarg);

	if (wrong)
		cli_error("--%s: '%s': %s", name, optarg, wrong);
	return !wrong;
}

static bool value_match(struct plan *p)
{
	struct judge trial;
	const char *wrong;

	p->expected.match = optarg;
	wrong = judge_init(&trial, &p->expected);
	if (wrong)
		cli_error("--match: '%s' is not a regular expression: %s",
			  optarg, wrong);
	judge_fini(&trial);
	return !wrong;
}

static bool value_banner(struct plan *p)
{
	static const char *const names[] = { "none", "any", "line" };

	for (int i = 0; i <= BANNER_LINE; i++)
		if (strcmp(optarg, names[i]) == 0) {
			p->banner = (enum plan_banner)i;
			return true;
		}
	if (strncmp(optarg, "text:", 5) == 0) {
		struct prefixes trial = { .count = 0 };
		const char *wrong = prefixes_add(&trial, optarg + 5);

		p->banner = BANNER_TEXT;
		p->banner_text = optarg + 5;
		free(trial.list[0].data);
		if (wrong)
			cli_error("--banner: '%s': %s", optarg, wrong);
		return !wrong;
	}
	cli_error("--banner: '%s' is not one of none, any, line and text:T",
		  optarg);
	return false;
}

static bool value_bad_clients(struct plan *p)
{
	const char *at = optarg;

	for (;;) {
		size_t len = strcspn(at, ":,");
		char number[12] = "";
		size_t digits = at[len] == ':' ? strcspn(at + len + 1, ",") : 0;
		double count;
		int kind = 0;

		while (kind < BAD_CLIENT_KINDS &&
		       (strlen(bad_client_names[kind]) != len ||
			memcmp(at, bad_client_names[kind], len) != 0))
			kind++;
		if (digits < sizeof(number))
			memcpy(number, at + len + 1, digits);
		if (kind == BAD_CLIENT_KINDS ||
		    !parse_whole(number, 1,
				 CONNECTIONS_MAX - p->bad_clients[kind],
				 &count)) {
			cli_error("--with: '%s' is not like slow-read:50, with "
				  "at most "
				  "%d of a kind; kinds are slow-read, drip, "
				  "half-close, "
				  "reset, idle, flood, vanish",
				  at, CONNECTIONS_MAX);
			return false;
		}
		p->bad_clients[kind] += (int)count;
		at += len + 1 + digits;
		if (*at++ == '\0')
			return true;
	}
}

#define IN4_TEXT(address)                                                      \
	inet_ntop(AF_INET, &(struct in_addr){ htonl(address) },                \
		  (char[INET_ADDRSTRLEN]){ "" }, INET_ADDRSTRLEN)

static bool add_source(struct load_options *o, const char *text)
{
	size_t n = o->plan.source_count;
	char **more = n < SOURCES_MAX
			      ? realloc(o->sources, (n + 1) * sizeof(*more))
			      : NULL;

	if (!more)
		return false;
	o->sources = more;
	o->plan.sources = (const char *const *)more;
	more[n] = strdup(text);
	o->plan.source_count += more[n] != NULL;
	return more[n];
}

static bool read_in4(const char *text, uint32_t *ret)
{
	struct in_addr in;

	if (inet_pton(AF_INET, text, &in) != 1)
		return false;
	*ret = ntohl(in.s_addr);
	return true;
}

static bool read_network(const char *bits, uint32_t address, uint32_t *first,
			 uint32_t *last)
{
	uint32_t hosts;
	int length;

	if (!cli_parse_number(bits, 16, 32, &length))
		return false;
	hosts = (uint32_t)((UINT64_C(1) << (32 - length)) - 1);
	*first = (address & ~hosts) + (length < 31);
	*last = (address | hosts) - (length < 31);
	return true;
}

static bool read_last(const char *end, uint32_t first, uint32_t *last)
{
	int number;

	if (cli_parse_number(end, 0, 255, &number))
		*last = (first & ~UINT32_C(255)) + (uint32_t)number;
	else if (!read_in4(end, last))
		return false;
	return *last >= first;
}

static bool add_sources(struct load_options *o, char *word)
{
	char *mark = strpbrk(word, "-/");
	char kind = mark ? *mark : '\0';
	uint32_t first = 0, last = 0;
	bool is_read;

	if (mark)
		*mark = '\0';
	if (!mark || !read_in4(word, &first)) {
		if (mark)
			*mark = kind;
		return *word && add_source(o, word);
	}
	is_read = kind == '/' ? read_network(mark + 1, first, &first, &last)
			      : read_last(mark + 1, first, &last);
	if (!is_read || last - first >= SOURCES_MAX)
		return false;
	for (uint32_t n = 0; n <= last - first; n++)
		if (!add_source(o, IN4_TEXT(first + n)))
			return false;
	return true;
}

static void free_sources(struct load_options *o)
{
	for (size_t i = 0; i < o->plan.source_count; i++)
		free(o->sources[i]);
	o->plan.source_count = 0;
}

static bool value_sources(struct load_options *o)
{
	char *text = strdup(optarg), *rest = text, *word;
	bool is_good = text;

	free_sources(o);
	while (is_good && rest && (word = strsep(&rest, ",")) != NULL)
		is_good = add_sources(o, word);
	free(text);
	if (!is_good)
		cli_error("--source: '%s' is not a list of up to %d addresses "
			  "like 127.0.0.2,127.0.0.5-9,127.1.0.0/24",
			  optarg, SOURCES_MAX);
	return is_good;
}

/* "h2,http/1.1" becomes 2 "h2" 8 "http/1.1". */
static bool value_alpn(struct plan_tls *t)
{
	const char *list = optarg;
	size_t len;

	t->alpn_given = optarg;
	t->alpn_len = 0;
	do {
		len = strcspn(list, ",");
		if (len == 0 || t->alpn_len + 1 + len > ALPN_MAX) {
			cli_error("--alpn: '%s' is not a list of names like "
				  "h2,http/1.1, up to %d bytes",
				  optarg, ALPN_MAX);
			return false;
		}
		t->alpn[t->alpn_len] = (unsigned char)len;
		memcpy(t->alpn + t->alpn_len + 1, list, len);
		t->alpn_len += 1 + len;
		list += len;
	} while (*list++ == ',');
	return true;
}

static bool take_socket_option(struct plan_socket *s, const char *name,
			       const char *value)
{
	const struct {
		const char *name;
		double min, max;
		int *number;
		const char **text;
	} known[] = {
		{ "rcvbuf", 1, 1 << 30, &s->receive_buffer, NULL },
		{ "sndbuf", 1, 1 << 30, &s->send_buffer, NULL },
		{ "dscp", 0, 63, &s->mark_dscp, NULL },
		{ "mss", 88, 32767, &s->segment, NULL },
		{ "congestion", 0, 0, NULL, &s->congestion },
		{ "device", 0, 0, NULL, &s->device },
	};
	double number;

	if (strcmp(name, "nagle") == 0 && !value)
		return s->has_nagle = true;
	for (size_t i = 0; value && i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(known[i].name, name) != 0)
			continue;
		if (known[i].text)
			return *(*known[i].text = value) != '\0';
		if (!parse_whole(value, known[i].min, known[i].max, &number))
			return false;
		*known[i].number = (int)number;
		return true;
	}
	return false;
}

static bool value_socket(struct load_options *o)
{
	char *rest, *word;

	free(o->socket_text);
	o->plan.socket = (struct plan_socket){ 0 };
	o->socket_text = rest = strdup(optarg);
	while (rest && (word = strsep(&rest, ",")) != NULL) {
		char *value = strchr(word, '=');

		if (value)
			*value++ = '\0';
		if (!take_socket_option(&o->plan.socket, word, value)) {
			cli_error("--socket: '%s' is not a list of rcvbuf=N, "
				  "sndbuf=N, mss=N, dscp=N (to 63), nagle, "
				  "congestion=NAME and device=NAME",
				  optarg);
			return false;
		}
	}
	return true;
}

static void set_text(struct load_options *o, const char *given)
{
	o->plan.payload = PAYLOAD_TEXT;
	o->plan.text = &o->text;
	o->plan.text_given = given;
}

static bool value_text(struct load_options *o)
{
	const char *wrong;

	template_fini(&o->text);
	wrong = template_parse(&o->text, optarg);
	if (!wrong && o->text.count == 0)
		wrong = "an empty message cannot be sent";
	if (wrong)
		cli_error("--text: '%s': %s", optarg, wrong);
	set_text(o, optarg);
	return !wrong;
}

static char *read_file(const char *name, size_t *len)
{
	FILE *f = fopen(optarg, "re");
	char *data = f ? malloc(MESSAGE_MAX) : NULL;
	bool is_read;

	*len = data ? fread(data, 1, MESSAGE_MAX, f) : 0;
	is_read = data && !ferror(f) && getc(f) == EOF && *len > 0;
	if (f)
		fclose(f);
	if (is_read)
		return data;
	free(data);
	cli_error("--%s: '%s' is not a readable file of 1 to %d bytes", name,
		  optarg, MESSAGE_MAX);
	return NULL;
}

static bool value_file(struct load_options *o)
{
	size_t len;
	char *data = read_file("payload-file", &len);

	template_fini(&o->text);
	set_text(o, NULL);
	return data && template_take(&o->text, data, len);
}

static bool value_script(struct load_options *o)
{
	size_t len;
	char *data = read_file("script", &len);
	char *source = data ? realloc(data, len + 1) : NULL;

	script_fini(&o->script);
	if (!source) {
		free(data);
		return false;
	}
	o->plan.script = &o->script;
	o->plan.payload = PAYLOAD_TEXT;
	o->plan.expect = EXPECT_FRAMED;
	o->plan.expect_given = "script";
	o->plan.script_path = optarg;
	return script_parse(&o->script, optarg, source, len);
}

static bool value_data(struct load_options *o)
{
	size_t len;
	char *data = read_file("data", &len);

	data_lines_fini(&o->lines);
	return data && data_lines_split(&o->lines, data, len);
}

static bool value_percentiles(struct load_options *o)
{
	size_t count = 0;
	double last = 0;

	for (const char *at = optarg;; at++) {
		size_t len = strcspn(at, ",");
		char text[16] = "";

		if (*at == 'p')
			at++, len--;
		if (len < sizeof(text))
			memcpy(text, at, len);
		if (count == PLAN_MORE_PERCENTILES ||
		    !metric_read_percent(text, &o->percentiles[count]) ||
		    o->percentiles[count] <= last) {
			cli_error("--percentiles: '%s' is not a list of up to "
				  "%d percentiles like 50,95,99.9, ascending",
				  optarg, PLAN_MORE_PERCENTILES);
			return false;
		}
		last = o->percentiles[count++];
		at += len;
		if (*at == '\0')
			break;
	}
	o->plan.percentiles = o->percentiles;
	o->plan.percentile_count = count;
	return true;
}

static bool value_mode(struct load_options *o, enum plan_mode mode)
{
	if (o->plan.mode == PLAN_EXCHANGE || o->plan.mode == mode) {
		o->plan.mode = mode;
		return true;
	}
	cli_error("give only one of --churn, --upload and --download");
	return false;
}

static bool take_switch(struct load_options *o, int key)
{
	struct plan *p = &o->plan;

	switch (key) {
	case KEY_POISSON:
		p->schedule = PLAN_POISSON;
		return true;
	case KEY_CHURN:
		return value_mode(o, PLAN_CHURN);
	case KEY_UPLOAD:
		return value_mode(o, PLAN_UPLOAD);
	case KEY_DOWNLOAD:
		return value_mode(o, PLAN_DOWNLOAD);
	case KEY_SPREAD:
		p->is_spread = true;
		return true;
	case KEY_RECONNECT:
		p->reconnect = true;
		return true;
	case KEY_RANDOM:
		o->has_form = true;
		p->payload = PAYLOAD_RANDOM;
		return true;
	case KEY_FULL_HANDSHAKES:
		p->tls.is_full = true;
		return true;
	case KEY_STRICT:
		o->gates.needs_trust = true;
		return true;
	case KEY_STOP_EARLY:
		o->stops_early = true;
		return true;
	case 'q':
		o->is_quiet = true;
		return true;
	case KEY_DRY_RUN:
		o->is_dry_run = true;
		return true;
	case KEY_SHOW:
		o->is_show = true;
		return true;
	default:
		return false;
	}
}

static bool take_figure(struct load_options *o, int key)
{
	struct plan *p = &o->plan;

	switch (key) {
	case 'c':
		return value_number("connections", 1, CONNECTIONS_MAX,
				    &p->connections);
	case 'T':
		return value_number("threads", 1, THREADS_MAX, &p->threads);
	case 'P':
		return value_number("depth", 1, DEPTH_MAX, &p->depth);
	case 'r':
		return value_rates(p);
	case KEY_IDLE:
		return value_number("idle", 0, CONNECTIONS_MAX, &p->idle);
	case 'd':
		o->has_duration = true;
		return value_duration("duration", &p->duration_ns);
	case 'n':
		return value_count(&p->count);
	case KEY_WARMUP:
		return value_duration("warmup", &p->warmup_ns);
	case 't':
		return value_duration("timeout", &p->timeout_ns);
	case KEY_CONNECT_TIMEOUT:
		return value_duration("connect-timeout",
				      &p->connect_timeout_ns);
	case KEY_CONNECT_RATE:
		return value_rate("connect-rate", &p->connect_rate);
	case KEY_THINK:
		return value_span("think", &p->think);
	case KEY_LIFETIME:
		return value_span("lifetime", &p->lifetime);
	case KEY_SEED:
		return value_seed(&p->seed);
	case 's':
		o->has_form = true;
		return value_size(p);
	default:
		return take_switch(o, key);
	}
}

/* Does --script say what this option says? */
static bool is_content(int key)
{
	return key == 's' || key == KEY_RANDOM || key == KEY_TEXT ||
	       key == KEY_PAYLOAD_FILE || key == KEY_EXPECT || key == KEY_OK ||
	       key == KEY_BAD || key == KEY_MATCH || key == KEY_BANNER;
}

bool load_options_take(void *to, int key)
{
	struct load_options *o = to;

	if (key >= TLS_OPTION_TLS && key <= TLS_OPTION_KEY)
		return tls_options_take(&o->tls, key);
	o->has_content = o->has_content || is_content(key);
	switch (key) {
	case KEY_CLOSE:
		return value_close(&o->plan);
	case KEY_TEXT:
		return value_text(o);
	case KEY_PAYLOAD_FILE:
		return value_file(o);
	case KEY_DATA:
		return value_data(o);
	case KEY_SCRIPT:
		return value_script(o);
	case KEY_EXPECT:
		return value_expect(&o->plan);
	case KEY_OK:
		return value_prefix("ok", &o->plan.expected.ok);
	case KEY_BAD:
		return value_prefix("bad", &o->plan.expected.bad);
	case KEY_MATCH:
		return value_match(&o->plan);
	case KEY_BANNER:
		o->has_banner = true;
		return value_banner(&o->plan);
	case KEY_WITH:
		return value_bad_clients(&o->plan);
	case KEY_SOURCE:
		return value_sources(o);
	case KEY_PROXY:
		return proxy_header_take("proxy", &o->plan.proxy);
	case KEY_SOCKET:
		return value_socket(o);
	case KEY_ALPN:
		return value_alpn(&o->plan.tls);
	case KEY_JSON:
		o->json = optarg;
		return true;
	case KEY_HLOG:
		o->hlog = optarg;
		return true;
	case KEY_HTML:
		o->html = optarg;
		return true;
	case KEY_JUNIT:
		o->junit = optarg;
		return true;
	case KEY_MARKDOWN:
		o->markdown = optarg;
		return true;
	case KEY_METRICS:
		o->metrics = optarg;
		return true;
	case KEY_PROGRESS:
		return value_progress(o);
	case KEY_START_AT:
		return value_start_at(&o->plan);
	case KEY_PERCENTILES:
		return value_percentiles(o);
	case KEY_GATE:
		return gates_add(&o->gates, optarg);
	default:
		return take_figure(o, key);
	}
}

static bool script_has_empty_text(const struct load_script *s)
{
	for (int k = 0; k < SCRIPT_PARTS; k++)
		for (size_t i = 0; i < s->parts[k].count; i++)
			if (s->parts[k].steps[i].has_text &&
			    s->parts[k].steps[i].text.size_min == 0)
				return true;
	return false;
}

static const char *content_contradiction(const struct load_options *o)
{
	const struct plan *p = &o->plan;
	const struct expectation *x = &p->expected;
	bool is_compared = p->expect != EXPECT_FRAMED;
	bool has_line = p->script ? o->script.has_line : o->text.has_line;

	if (is_compared && (x->ok.count + x->bad.count > 0 || x->match))
		return "--ok, --bad and --match are for replies that are not "
		       "compared with the message; add an --expect, such as "
		       "line";
	if (p->text && o->has_form)
		return "--text and --payload-file are the whole message; omit "
		       "--size and --random";
	if (p->script && o->has_content)
		return "--script says what is sent and expected; omit --size, "
		       "--random, --text, --payload-file, --expect, --ok, "
		       "--bad, --match and --banner";
	if (p->script && p->mode != PLAN_EXCHANGE)
		return "--script has connections that stay; omit --churn, "
		       "--upload and --download";
	if (has_line && o->lines.count == 0)
		return "{line} needs a file of lines; add --data";
	if (!has_line && o->lines.count > 0)
		return "--data has the lines for {line}, which no message "
		       "contains";
	if ((p->payload == PAYLOAD_TEXT && p->size_min == 0) ||
	    script_has_empty_text(&o->script))
		return "--data has an empty line, and an empty message cannot "
		       "be sent";
	if (o->text.has_time && is_compared)
		return "a message with {time} is not compared; add an "
		       "--expect, such as line";
	return NULL;
}

static const char *pace_contradiction(const struct load_options *o)
{
	const struct plan *p = &o->plan;
	bool is_exchange = p->mode == PLAN_EXCHANGE;

	if (p->think.high > 0 && p->script)
		return "a script has pauses of its own; omit --think";
	if (p->think.high > 0 && (!is_exchange || p->rate > 0))
		return "--think is for closed loops; omit --rate, --churn, "
		       "--upload and --download";
	if (p->lifetime.high > 0 && !is_exchange)
		return "--lifetime is for connections that stay; omit --churn, "
		       "--upload and --download";
	if (o->script.has_pause && p->rate > 0)
		return "with --rate messages have planned instants; omit the "
		       "pauses of the loop";
	if (p->depth > 1 &&
	    (p->think.high > 0 || o->script.has_pause || o->script.has_close))
		return "--think, and pause and close in a loop, are for one "
		       "message at a time; omit --depth";
	if (p->rate > 0 && (double)p->count > COUNT_SECONDS * p->rate)
		return "at this --rate, --count takes more than 31 years; "
		       "raise --rate, or give a --duration alone";
	if (o->stops_early && o->gates.count == 0)
		return "--stop-early needs a --gate";
	return NULL;
}

static const char *tls_contradiction(const struct plan *p)
{
	if (!p->tls.is_wanted && p->tls.alpn_given)
		return "--alpn needs --tls";
	if (!p->tls.is_wanted && p->tls.is_full)
		return "--full-handshakes needs --tls";
	for (int i = 0; i < BAD_CLIENT_KINDS && p->tls.is_wanted; i++)
		if (p->bad_clients[i] > 0)
			return "misbehaving clients do not speak TLS; omit "
			       "--with";
	return NULL;
}

static const char *options_contradiction(const struct load_options *o)
{
	const struct plan *p = &o->plan;
	bool is_oneway = p->mode == PLAN_UPLOAD || p->mode == PLAN_DOWNLOAD;
	bool is_compared = p->expect != EXPECT_FRAMED;
	bool is_unframed = p->expect == EXPECT_REPLY ||
			   (!is_compared && !p->script &&
			    p->expected.framer.kind == FRAMER_ANY);

	if (p->stage_count > 0 && (p->count > 0 || o->has_duration))
		return "the stages of --rate have durations of their own; omit "
		       "--duration and --count";
	if (p->schedule == PLAN_POISSON && p->rate == 0)
		return "--poisson needs a --rate";
	if (is_oneway && p->rate > 0)
		return "--rate counts messages; --upload and --download have "
		       "none";
	if (is_oneway && p->count > 0)
		return "--count counts messages; --upload and --download have "
		       "none";
	if (is_oneway && o->is_show)
		return "--show is one exchange; omit --upload and --download";
	if (p->mode == PLAN_CHURN && p->depth > 1)
		return "--churn sends one message on each connection; omit "
		       "--depth";
	if (is_unframed && p->depth > 1)
		return "with --expect reply or any the end of a reply is "
		       "unknown; omit --depth";
	if (p->connections < p->threads)
		return "each of --threads needs a connection; raise "
		       "--connections";
	if (p->count == 0 && p->duration_ns == INT64_MAX)
		return "the run would never end; give a --duration or a "
		       "--count";
	if (p->warmup_ns == INT64_MAX)
		return "with --warmup never nothing would be measured";
	if (tls_contradiction(p))
		return tls_contradiction(p);
	if (pace_contradiction(o))
		return pace_contradiction(o);
	return content_contradiction(o);
}

static void complete_script(struct load_options *o)
{
	const struct script_part *loop = &o->script.parts[SCRIPT_LOOP];
	struct plan *p = &o->plan;

	script_bind(&o->script, &o->lines, p->seed, (uint32_t)p->connections);
	p->size_min = SIZE_MAX;
	p->size_max = 0;
	for (size_t i = 0; i < loop->count; i++) {
		const struct template *text = &loop->steps[i].text;

		if (text->size_min < p->size_min)
			p->size_min = text->size_min;
		if (text->size_max > p->size_max)
			p->size_max = text->size_max;
	}
}

static void complete_text(struct load_options *o)
{
	struct plan *p = &o->plan;

	template_bind(&o->text, &o->lines, p->seed, (uint32_t)p->connections);
	p->size_min = o->text.size_min;
	p->size_max = o->text.size_max;
	p->expected.framer.is_head = template_begins(&o->text, "HEAD ");
}

static void complete_tls(struct load_options *o)
{
	struct plan_tls *t = &o->plan.tls;

	t->is_wanted = o->tls.is_wanted;
	t->is_insecure = o->tls.is_insecure;
	t->ca = o->tls.ca;
	t->certificate = o->tls.certificate;
	t->key = o->tls.key;
	t->name = tls_options_name(&o->tls, o->plan.address, o->tls_name);
}

static void options_complete(struct load_options *o)
{
	struct plan *p = &o->plan;

	complete_tls(o);
	for (size_t i = 0; i < p->stage_count && !o->has_duration; i++)
		p->duration_ns += p->stages[i].length_ns;
	if (p->script)
		complete_script(o);
	else if (p->text)
		complete_text(o);

	if (p->rate > 0 && p->schedule == PLAN_CLOSED)
		p->schedule = PLAN_CONSTANT;
	if (p->duration_ns == 0)
		p->duration_ns = p->count > 0 ? INT64_MAX : 10 * SECOND;
	if (p->expect == EXPECT_REPLY && !o->has_banner) {
		p->banner = BANNER_TEXT;
		p->banner_text = "Connect";
	}
}

static const struct options_syntax load_syntax = {
	.command = "load",
	.about = "Load a server and measure it.\n"
		 "\n"
		 "Subcommands, each with its own --help:\n"
		 "  load find     search for the highest rate that "
		 "passes gates\n"
		 "  load compare  compare two results of --json\n"
		 "  load merge    add up results of --json or logs of "
		 "--hlog\n",
	.operands = load_operands,
	.table = load_option_table,
	.examples =
		"  weir-client load 127.0.0.1:7007 -c 100 -d 10s\n"
		"  weir-client load 127.0.0.1:7007 -c 100 -r 20k "
		"--gate 'p99<5ms'\n"
		"  weir-client load 127.0.0.1:7007 --churn --json run.json\n",
	.commands = (const char *const[]){ "find", "compare", "merge", NULL },
	.take = load_options_take,
	.has_no_fd = true,
};

void load_options_init(struct load_options *o)
{
	*o = (struct load_options){
		.plan = { .connections = 10,
			  .threads = 1,
			  .depth = 1,
			  .timeout_ns = 10 * SECOND,
			  .connect_timeout_ns = 10 * SECOND,
			  .seed = 1,
			  .size_min = 64,
			  .size_max = 64 },
	};
}

int load_options_check(struct load_options *o, const char *address)
{
	const char *wrong;

	o->plan.address = address;
	if (!options_check_address(address) ||
	    !tls_options_check(&o->tls, address))
		return CLI_USAGE;
	options_complete(o);
	wrong = options_contradiction(o);
	if (!wrong && strncmp(address, "fd:", 3) == 0)
		wrong = "a descriptor is one connection; give an address to "
			"connect to";
	if (wrong)
		cli_error("%s", wrong);
	return wrong ? CLI_USAGE : -1;
}

int load_options_parse(struct load_options *ret, int argc, char **argv)
{
	int status;

	load_options_init(ret);
	status = options_parse(&load_syntax, ret, argc, argv);
	return status >= 0 ? status : load_options_check(ret, argv[optind]);
}

void load_options_fini(struct load_options *o)
{
	template_fini(&o->text);
	data_lines_fini(&o->lines);
	script_fini(&o->script);
	expectation_fini(&o->plan.expected);
	free_sources(o);
	free(o->sources);
	free(o->socket_text);
}
