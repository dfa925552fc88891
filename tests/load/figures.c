/* SPDX-License-Identifier: MIT */
/*
 * Results without a run.
 */
#include "test.h"

#include "figures.h"

#define SECOND INT64_C(1000000000)
#define US     INT64_C(1000)

static struct histogram *spread(uint64_t count, int64_t least, int64_t step)
{
	struct histogram *h = calloc(1, sizeof(*h));

	ck_assert_ptr_nonnull(h);
	for (uint64_t i = 0; i < count; i++)
		histogram_record(h, least + (int64_t)(i % 1000) * step);
	return h;
}

static void fill_seconds(struct result *r)
{
	r->second_count = 30;
	r->seconds = calloc(30, sizeof(*r->seconds));
	ck_assert_ptr_nonnull(r->seconds);
	for (int i = 0; i < 30; i++)
		r->seconds[i] = (struct second){
			.at = i * SECOND,
			.length = SECOND,
			.answered = 20000,
			.open = 200,
			.p50 = 200 * US,
			.p90 = 300 * US,
			.p99 = (i == 11 ? 35000 : 1000) * US,
			.p999 = 2000 * US,
			.max = 36000 * US,
		};
}

void figures_init(struct figures *f)
{
	*f = (struct figures){
		.plan = { .address = "127.0.0.1:9000",
			  .schedule = PLAN_CONSTANT,
			  .connections = 200,
			  .threads = 1,
			  .depth = 1,
			  .rate = 20000,
			  .duration_ns = 30 * SECOND,
			  .timeout_ns = 10 * SECOND,
			  .connect_timeout_ns = 10 * SECOND,
			  .seed = 7,
			  .size_min = 64,
			  .size_max = 64 },
		.result = { .target = "127.0.0.1:9000",
			    .started = 1752300000,
			    .elapsed = 30 * SECOND,
			    .counts = { .planned = 600000,
					.sent = 600000,
					.answered = 600000,
					.checked = 600000,
					.bytes_in = 38400000,
					.bytes_out = 38400000 },
			    .connections = { .asked = 200,
					     .opened = 200,
					     .served = 200,
					     .open = 200,
					     .served_ns = 200 * 30 * SECOND,
					     .replies_min = 2999,
					     .replies_median = 3000,
					     .replies_max = 3001,
					     .fairness = 1 },
			    .self = { .busiest = 0.61,
				      .longest_stall = 1200 * US } },
	};
	f->result.plan = &f->plan;
	f->result.clocks[CLOCK_FROM_PLAN] = spread(600000, 100 * US, US);
	f->result.clocks[CLOCK_FROM_SEND] = spread(600000, 90 * US, US);
	f->result.without_lag = spread(600000, 100 * US, US);
	f->result.clocks[CLOCK_LAG] = spread(600000, US, 30);
	f->result.clocks[CLOCK_CONNECT] = spread(200, 50 * US, US);
	fill_seconds(&f->result);
}

void figures_be_late(struct figures *f, uint64_t count, int64_t late)
{
	struct histogram *h = spread(600000 - count, 100 * US, US);

	histogram_record_many(h, 1099 * US + late, count);
	free(f->result.clocks[CLOCK_FROM_PLAN]);
	f->result.clocks[CLOCK_FROM_PLAN] = h;
	f->result.self.late_ours = count;
}

void figures_init_closed(struct figures *f)
{
	figures_init(f);
	f->plan.schedule = PLAN_CLOSED;
	f->plan.rate = 0;
	free(f->result.clocks[CLOCK_FROM_PLAN]);
	free(f->result.clocks[CLOCK_LAG]);
	free(f->result.without_lag);
	f->result.clocks[CLOCK_FROM_PLAN] = NULL;
	f->result.without_lag = NULL;
	f->result.clocks[CLOCK_LAG] = NULL;
	/* 200 under way for 30 s in 600,000 messages */
	f->result.clocks[CLOCK_FROM_SEND]->sum = 200.0 * 30e9;
}

char *printed(void (*print)(FILE *to, void *arg), void *arg)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	ck_assert_ptr_nonnull(to);
	print(to, arg);
	fclose(to);
	return text;
}
