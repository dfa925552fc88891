/* SPDX-License-Identifier: MIT */
/*
 * The two option structures as the library keeps them: checked, completed
 * with the defaults, and owning copies of what they point to.
 */
#ifndef WR_SETTINGS_H
#define WR_SETTINGS_H

#include <stdatomic.h>

#include "base.h"
#include "weir.h"

/* Index of a deadline in wr_service.timeout_ms; follows WEIR_TIMEOUT_... */
enum wr_timeout {
	WR_TMO_FIRST_BYTE,
	WR_TMO_READ,
	WR_TMO_WRITE,
	WR_TMO_IDLE,
	WR_TMO_LIFETIME,
	WR_TMO_COUNT
};

/*
 * Fill dst, of a caller whose header may be older or newer, with the known
 * bytes of src: no more than size, and zeros where src ends.
 */
void wr_copy_out(void *dst, size_t size, const void *src, size_t known);

struct wr_config {
	struct weir_config set; /* no field is 0 but the optional ones */
	char *refusal;
	size_t refusal_len;
};

/* What the connections of one listener take up of what all have in common. */
enum { WR_PLACE_QUEUE, WR_PLACE_SERVER, WR_PLACES };

struct wr_share {
	_Atomic size_t has[WR_PLACES];
};

struct wr_service {
	struct weir_service set;
	int timeout_ms[WR_TMO_COUNT]; /* -1: never */
	struct wr_share *share;	      /* of its listener; NULL: dialled */
};

/* Any thread; before anybody is told that there is room. */
static inline void wr_share_add(const struct wr_service *s, int place, int n)
{
	atomic_fetch_add(&s->share->has[place], (size_t)n);
}

/* 0, -EINVAL or -ENOMEM.  config may be NULL. */
int wr_config_init(struct wr_config *ret, const struct weir_config *config);
void wr_config_fini(struct wr_config *c);

/* 0 or -EINVAL. */
int wr_service_init(struct wr_service *ret, const struct weir_service *service);

#endif
