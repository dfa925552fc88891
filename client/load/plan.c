/* SPDX-License-Identifier: MIT */
#include "plan.h"

#include <math.h>

#include "engine/random.h"

const char *const bad_client_names[BAD_CLIENT_KINDS] = {
	[BAD_CLIENT_SLOW_READ] = "slow-read",
	[BAD_CLIENT_DRIP] = "drip",
	[BAD_CLIENT_HALF_CLOSE] = "half-close",
	[BAD_CLIENT_RESET] = "reset",
	[BAD_CLIENT_IDLE] = "idle",
	[BAD_CLIENT_FLOOD] = "flood",
	[BAD_CLIENT_VANISH] = "vanish",
};

const char *plan_mode_text(const struct plan *p)
{
	bool is_churn = p->mode == PLAN_CHURN;

	if (p->mode == PLAN_UPLOAD)
		return "upload";
	if (p->mode == PLAN_DOWNLOAD)
		return "download";
	switch (p->schedule) {
	case PLAN_CONSTANT:
		return is_churn ? "churn, open loop" : "open loop, constant";
	case PLAN_POISSON:
		return is_churn ? "churn, open loop, Poisson"
				: "open loop, Poisson";
	default:
		return is_churn ? "churn, closed loop" : "closed loop";
	}
}

bool plan_banner(const struct plan *p, struct script_step *ret)
{
	struct expectation *x = &ret->expected;

	*ret = (struct script_step){ .has_reply = p->banner != BANNER_NONE };
	if (p->banner == BANNER_LINE)
		x->framer = (struct framer){ .kind = FRAMER_LINES, .count = 1 };
	if (p->banner != BANNER_TEXT)
		return true;
	if (prefixes_add(&x->ok, p->banner_text))
		return false;
	x->framer = (struct framer){ .kind = FRAMER_LEN,
				     .count = x->ok.list[0].len };
	return true;
}

int64_t span_draw(const struct plan_span *s, uint64_t *state)
{
	double unit = random_unit(state);

	if (s->is_exponential)
		return (int64_t)(-log(unit) * (double)s->low);
	return s->low + (int64_t)(unit * (double)(s->high - s->low));
}

const double plan_usual_percentiles[] = { 50, 90, 99, 99.9, 99.99 };

const double *plan_percentiles(const struct plan *p, size_t *count)
{
	*count = p->percentiles ? p->percentile_count : PLAN_PERCENTILES;
	return p->percentiles ? p->percentiles : plan_usual_percentiles;
}

double plan_first_rate(const struct plan *p)
{
	return p->stage_count > 0 ? p->stages[0].from : p->rate;
}

static double stage_messages(const struct plan_stage *s)
{
	return (s->from + s->to) / 2 * (double)s->length_ns / 1e9;
}

/* With a = from and b = the change of the rate: a t + b t^2 / 2 = messages. */
static double stage_seconds(const struct plan_stage *s, double messages)
{
	double b = (s->to - s->from) * 1e9 / (double)s->length_ns;
	double root = sqrt(fmax(0, s->from * s->from + 2 * b * messages));

	return 2 * messages / (s->from + root);
}

int64_t plan_ns(double ns)
{
	return (int64_t)fmin(ns, PLAN_FAR);
}

int64_t plan_instant(const struct plan *p, double messages)
{
	double at = 0;

	for (size_t i = 0; i < p->stage_count; i++) {
		double all = stage_messages(&p->stages[i]);

		if (messages < all)
			return plan_ns(
				ceil(at + 1e9 * stage_seconds(&p->stages[i],
							      messages)));
		messages -= all;
		at += (double)p->stages[i].length_ns;
	}
	return plan_ns(
		ceil(at + 1e9 * messages / p->stages[p->stage_count - 1].to));
}
