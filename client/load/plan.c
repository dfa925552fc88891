/* SPDX-License-Identifier: MIT */
/*
 * Names of what a plan can be.
 */
#include "plan.h"

const char *const misfit_names[MISFIT_KINDS] = {
	[MISFIT_SLOW_READ] = "slow-read",
	[MISFIT_DRIP] = "drip",
	[MISFIT_HALF_CLOSE] = "half-close",
	[MISFIT_RESET] = "reset",
	[MISFIT_IDLE] = "idle",
	[MISFIT_FLOOD] = "flood",
	[MISFIT_VANISH] = "vanish",
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
