/* SPDX-License-Identifier: MIT */
/*
 * The JSON: what was asked for.  Two runs can be compared if this is equal.
 */
#include "json_parts.h"

#include <stdlib.h>
#include <string.h>

#include "../../../cli/text.h"

static const char *const modes[] = {
	[PLAN_EXCHANGE] = "exchange",
	[PLAN_CHURN] = "churn",
	[PLAN_UPLOAD] = "upload",
	[PLAN_DOWNLOAD] = "download",
};
static const char *const schedules[] = {
	[PLAN_CLOSED] = "closed",
	[PLAN_CONSTANT] = "constant",
	[PLAN_POISSON] = "poisson",
};
static const char *const payloads[] = {
	[PAYLOAD_LINES] = "lines",
	[PAYLOAD_RANDOM] = "random",
	[PAYLOAD_TEXT] = "text",
};
static const char *const expects[] = {
	[EXPECT_ECHO] = "echo", [EXPECT_REPLY] = "reply", [EXPECT_ANY] = "any",
	[EXPECT_LEN] = "len",	[EXPECT_LINE] = "line",
};
static const char *const banners[] = {
	[BANNER_NONE] = "none",
	[BANNER_ANY] = "any",
	[BANNER_LINE] = "line",
	[BANNER_TEXT] = "text",
};

json_t *json_foreign(const char *text, size_t len)
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

json_t *json_known(bool is_known, int64_t number)
{
	return is_known ? json_integer(number) : json_null();
}

static json_t *sources(const struct plan *p)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < p->source_count; i++)
		if (json_array_append_new(
			    list, json_foreign(p->sources[i],
					       strlen(p->sources[i]))) < 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}

static json_t *misfits(const struct plan *p)
{
	json_t *counts = json_object();

	for (int i = 0; counts && i < MISFIT_KINDS; i++)
		if (json_object_set_new(counts, misfit_names[i],
					json_integer(p->misfits[i])) < 0) {
			json_decref(counts);
			return NULL;
		}
	return counts;
}

static json_t *content(const struct plan *p)
{
	bool has_text = p->payload == PAYLOAD_TEXT && p->text;
	bool has_banner = p->banner == BANNER_TEXT && p->banner_text;

	return json_pack(
		"{s:s, s:I, s:I, s:o, s:s, s:o, s:s, s:o}", "payload",
		payloads[p->payload], "size_min", (json_int_t)p->size_min,
		"size_max", (json_int_t)p->size_max, "text",
		has_text ? json_foreign(p->text, p->size_max) : json_null(),
		"expect", expects[p->expect], "expect_len",
		json_known(p->expect == EXPECT_LEN, (int64_t)p->expect_len),
		"banner", banners[p->banner], "banner_text",
		has_banner
			? json_foreign(p->banner_text, strlen(p->banner_text))
			: json_null());
}

static json_t *times(const struct plan *p)
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

json_t *json_plan(const struct plan *p)
{
	return json_pack(
		"{s:o, s:s, s:s, s:i, s:i, s:i, s:o, s:o, s:i, s:o, s:b, s:s, "
		"s:I, s:o, s:o, s:o}",
		"address", json_foreign(p->address, strlen(p->address)), "mode",
		modes[p->mode], "schedule", schedules[p->schedule],
		"connections", p->connections, "threads", p->threads, "depth",
		p->depth, "rate",
		p->rate > 0 ? json_real(p->rate) : json_null(), "connect_rate",
		p->connect_rate > 0 ? json_real(p->connect_rate) : json_null(),
		"idle", p->idle, "times", times(p), "reconnect", p->reconnect,
		"close", p->close_by_reset ? "rst" : "fin", "seed",
		(json_int_t)p->seed, "content", content(p), "misfits",
		misfits(p), "sources", sources(p));
}
