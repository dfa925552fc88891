/* SPDX-License-Identifier: MIT */
/*
 * The two option structures as the library keeps them: checked, completed
 * with the defaults, and owning copies of what they point to.
 */
#ifndef WR_SETTINGS_H
#define WR_SETTINGS_H

#include "base.h"
#include "weir.h"

/* Index of a deadline in wr_service.timeout_ms; follows WEIR_TIMEOUT_... */
enum wr_timeout {
	WR_FIRST_BYTE,
	WR_READ,
	WR_WRITE,
	WR_IDLE,
	WR_LIFETIME,
	WR_TIMEOUTS
};

struct wr_config {
	struct weir_config set; /* no field is 0 but the optional ones */
	char *refusal;
	size_t refusal_len;
};

struct wr_service {
	struct weir_service set;
	int timeout_ms[WR_TIMEOUTS]; /* -1: never */
};

/* 0, -EINVAL or -ENOMEM.  config may be NULL. */
int wr_config_init(struct wr_config *ret, const struct weir_config *config);
void wr_config_fini(struct wr_config *c);

/* 0 or -EINVAL. */
int wr_service_init(struct wr_service *ret, const struct weir_service *service);

#endif
