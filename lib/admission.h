/* SPDX-License-Identifier: MIT */
/*
 * Which clients may have a connection, and how many of one source.  A source
 * has a few possible places in a table and replaces one that has no
 * connections; if all have some, the client is not counted.
 *
 * Any thread; the judge takes one lock.
 */
#ifndef WR_ADMISSION_H
#define WR_ADMISSION_H

#include <stdatomic.h>

#include "access.h"
#include "lock.h"
#include "settings.h"
#include "stats.h"

struct wr_source;

/* l: under the lock */
struct wr_admission {
	struct wr_word_lock lock;
	weir_access *rules;	   /* l; NULL: none */
	struct wr_source *sources; /* l, but for wr_admission_leave() */
	uint64_t seed;		   /* of the places; c */
	uint64_t random;	   /* l: state of the generator */
	_Atomic size_t unproven;   /* connections without a first message */
};

struct wr_client {
	const struct wr_service *service; /* of its listener */
	int fd;
	const struct sockaddr *peer; /* of the client, not of a proxy */
	socklen_t peer_len;
	bool is_unproven; /* its connection counts as such already */
	int64_t now;
};

int wr_admission_init(struct wr_admission *a, weir_access *rules);
void wr_admission_fini(struct wr_admission *a);

/* Takes a reference. */
void wr_admission_set_rules(struct wr_admission *a, weir_access *rules);

/*
 * WR_ADMITTED, counted in *source until wr_admission_leave(); or
 * WR_OUTCOME_REFUSED_...
 */
#define WR_ADMITTED (-1)
int wr_admission_judge(struct wr_admission *a, const struct wr_config *config,
		       struct wr_stats *stats, const struct wr_client *client,
		       uint16_t *source);

/* Its connection has ended.  0: it was not counted. */
void wr_admission_leave(struct wr_admission *a, uint16_t source);

#endif
