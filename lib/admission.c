/* SPDX-License-Identifier: MIT */
/*
 * "A place stays while it is used": only the judge changes the address of an
 * entry, and only of one that no connection is counted in.  So a connection can
 * leave without the lock.
 */
#include "admission.h"

#include <errno.h>
#include <string.h>
#include <sys/auxv.h>

#include "bounds.h"
#include "sys.h"

struct wr_source {
	struct wr_key key;     /* l: of its address */
	_Atomic uint32_t open; /* its connections; only the judge adds */
	int family;	       /* l; 0: free */
	int64_t next_at;       /* l: see is_too_fast() */
};

_Static_assert(sizeof(struct wr_source) == 32, "two in a cache line");
_Static_assert(WR_SOURCES - 1 <= UINT16_MAX, "a connection has its number");

int wr_admission_init(struct wr_admission *a, weir_access *rules)
{
	const void *random = (const void *)getauxval(AT_RANDOM);

	*a = (struct wr_admission){ .seed = 1 };
	a->sources = wr_sys_alloc(WR_SOURCES * sizeof(*a->sources));
	if (a->sources == NULL)
		return -ENOMEM;
	if (random)
		memcpy(&a->seed, random, sizeof(a->seed));
	a->random = a->seed | 1;
	a->rules = weir_access_dup(rules);
	return 0;
}

void wr_admission_fini(struct wr_admission *a)
{
	weir_access_unref(a->rules);
	wr_sys_free(a->sources);
}

void wr_admission_set_rules(struct wr_admission *a, weir_access *rules)
{
	weir_access *before;

	wr_word_lock(&a->lock);
	before = a->rules;
	a->rules = weir_access_dup(rules);
	wr_word_unlock(&a->lock);
	weir_access_unref(before);
}

static uint64_t next_random(struct wr_admission *a)
{
	a->random ^= a->random << 13;
	a->random ^= a->random >> 7;
	a->random ^= a->random << 17;
	return a->random;
}

/* Linear from early_percent at early_start to 100 % at early_full. */
static bool is_refused_early(struct wr_admission *a, const struct wr_config *c,
			     const struct wr_client *client)
{
	int64_t start = c->early_start, full = c->early_full;
	int64_t least = c->early_percent;
	int64_t n = (int64_t)atomic_load(&a->unproven) - client->is_unproven;

	if (start == 0 || n < start)
		return false;
	return n >= full ||
	       (int64_t)(next_random(a) % 100) <
		       least + (100 - least) * (n - start) / (full - start);
}

static uint64_t mixed(uint64_t n)
{
	n = (n ^ n >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	n = (n ^ n >> 27) * UINT64_C(0x94d049bb133111eb);
	return n ^ n >> 31;
}

/* The entries that may have this address. */
static struct wr_source *places_of(const struct wr_admission *a,
				   const struct wr_key *key)
{
	uint64_t hash = mixed(mixed(key->hi ^ a->seed) ^ key->lo);

	return a->sources +
	       hash % (WR_SOURCES / WR_SOURCE_WAYS) * WR_SOURCE_WAYS;
}

static bool is_of(const struct wr_source *s, int family,
		  const struct wr_key *key)
{
	return s->family == family && s->key.hi == key->hi &&
	       s->key.lo == key->lo;
}

/* NULL: all places have connections. */
static struct wr_source *find_source(const struct wr_admission *a, int family,
				     const struct wr_key *key)
{
	struct wr_source *places = places_of(a, key), *oldest = NULL;

	for (int i = 0; i < WR_SOURCE_WAYS; i++) {
		struct wr_source *s = &places[i];

		if (s == a->sources)
			continue; /* 0 is no source */
		if (is_of(s, family, key))
			return s;
		if (atomic_load(&s->open) == 0 &&
		    (oldest == NULL || s->next_at < oldest->next_at))
			oldest = s;
	}
	if (oldest) {
		oldest->key = *key;
		oldest->family = family;
		oldest->next_at = 0;
	}
	return oldest;
}

/*
 * Each connection moves next_at forward by rate_ns, from the present if it lies
 * in the past, and to at most span_ns ahead.  So span_ns / rate_ns connections
 * may come at once.  If rules with a longer span have moved it further, it is
 * moved back.
 */
static bool is_too_fast(struct wr_source *s, const struct wr_source_limits *l,
			int64_t now)
{
	int64_t most = now + l->span_ns;

	s->next_at = s->next_at < now	 ? now
		     : s->next_at > most ? most
					 : s->next_at;
	if (l->rate_ns && s->next_at + l->rate_ns > most)
		return true;
	s->next_at += l->rate_ns;
	return false;
}

static int default_limit(const struct wr_config *c)
{
	int n = c->max_connections / 4;

	return n > WR_SOURCE_LEAST ? n : WR_SOURCE_LEAST;
}

static int limit_of(const struct wr_source_limits *l, const struct wr_config *c)
{
	int n = l->open_max ? l->open_max : c->max_per_source;

	return n ? n : default_limit(c);
}

static int count_source_locked(struct wr_admission *a,
			       const struct wr_config *c,
			       struct wr_stats *stats,
			       const struct wr_network *addr, int64_t now,
			       uint16_t *source)
{
	struct wr_source_limits l = wr_access_limits(a->rules);
	struct wr_key key = wr_key_of(
		addr, addr->family == AF_INET ? l.v4_bits : l.v6_bits);
	struct wr_source *s = find_source(a, addr->family, &key);

	if (s == NULL) {
		wr_count(stats, &stats->sources_full, 1);
		return WR_ADMITTED;
	}
	if (atomic_load(&s->open) >= (uint32_t)limit_of(&l, c))
		return WR_OUTCOME_REFUSED_SOURCE;
	if (is_too_fast(s, &l, now))
		return WR_OUTCOME_REFUSED_RATE;
	atomic_fetch_add(&s->open, 1);
	*source = (uint16_t)(s - a->sources);
	return WR_ADMITTED;
}

void wr_admission_leave(struct wr_admission *a, uint16_t source)
{
	if (source > 0)
		atomic_fetch_sub(&a->sources[source].open, 1);
}

static int judge_locked(struct wr_admission *a, const struct wr_config *c,
			struct wr_stats *stats, const struct wr_client *client,
			uint16_t *source)
{
	struct wr_network addr;
	bool has_ip = client->peer && client->peer_len > 0 &&
		      wr_network_of(&addr, client->peer);
	enum wr_access verdict =
		has_ip ? wr_access_of_ip(a->rules, &addr)
		       : wr_access_of_unix(a->rules, client->fd);

	if (verdict == WR_ACCESS_DENY)
		return WR_OUTCOME_REFUSED_ACCESS;
	if (verdict == WR_ACCESS_EXEMPT)
		return WR_ADMITTED;
	if (is_refused_early(a, c, client))
		return WR_OUTCOME_REFUSED_EARLY;
	return has_ip ? count_source_locked(a, c, stats, &addr, client->now,
					    source)
		      : WR_ADMITTED;
}

int wr_admission_judge(struct wr_admission *a, const struct wr_config *config,
		       struct wr_stats *stats, const struct wr_client *client,
		       uint16_t *source)
{
	const struct weir_service *set = &client->service->set;
	int outcome;

	*source = 0;
	wr_word_lock(&a->lock);
	outcome = judge_locked(a, config, stats, client, source);
	wr_word_unlock(&a->lock);
	if (outcome != WR_ADMITTED || set->admit == NULL ||
	    set->admit(client->fd, client->peer, client->peer_len, set->arg) ==
		    0)
		return outcome;
	wr_admission_leave(a, *source);
	*source = 0;
	return WR_OUTCOME_REFUSED_ACCESS;
}
