/* SPDX-License-Identifier: MIT */
#include "plan.h"

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

const double plan_usual_percentiles[] = { 50, 90, 99, 99.9, 99.99 };

const double *plan_percentiles(const struct plan *p, size_t *count)
{
	*count = p->percentiles ? p->percentile_count : PLAN_PERCENTILES;
	return p->percentiles ? p->percentiles : plan_usual_percentiles;
}
