/* SPDX-License-Identifier: MIT */
/*
 * The caller's option structures may be older than ours (shorter: the missing
 * fields have their defaults) or newer (longer: accepted if the unknown fields
 * are zero).  Everything out of range is refused here, so that no other module
 * has to check.
 */
#include "settings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bounds.h"
#include "processors.h"
#include "sys.h"

#define DEFAULT_REFUSAL "busy, try later\n"

struct row {
	struct weir_option option;
	size_t offset;
	bool is_size;
};

#define ROW(of, field, type, preset, min, max, unit, text)                     \
	{ { #field, text, WEIR_UNIT_##unit, preset, min, max },                \
	  offsetof(struct of, field),                                          \
	  (type)-1 > 0 },
#define CONFIG_ROW(...)	 ROW(weir_config, __VA_ARGS__)
#define SERVICE_ROW(...) ROW(weir_service, __VA_ARGS__)

static const struct row config_rows[] = { WR_CONFIG_OPTIONS(CONFIG_ROW) };
static const struct row service_rows[] = { WR_SERVICE_OPTIONS(SERVICE_ROW) };

#define COUNT_OF(rows) (sizeof(rows) / sizeof((rows)[0]))

/* Where the reason goes; may be NULL. */
struct why {
	char *text;
	size_t cap;
};

static const struct why nowhere = { NULL, 0 };

__attribute__((format(printf, 2, 3))) static int
settings_refuse(const struct why *why, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (why->text && why->cap > 0)
		(void)vsnprintf(why->text, why->cap, format, ap);
	va_end(ap);
	return -EINVAL;
}

static int64_t get_field(const struct row *row, const void *set)
{
	const char *field = (const char *)set + row->offset;
	uint64_t wide; /* where size_t has 32 bits, no value is too large */
	size_t size;
	int n;

	if (row->is_size) {
		memcpy(&size, field, sizeof(size));
		wide = size;
		return wide > INT64_MAX ? INT64_MAX : (int64_t)wide;
	}
	memcpy(&n, field, sizeof(n));
	return n;
}

static void set_field(const struct row *row, void *set, int64_t value)
{
	char *field = (char *)set + row->offset;
	size_t size = (size_t)value;
	int n = (int)value;

	if (row->is_size)
		memcpy(field, &size, sizeof(size));
	else
		memcpy(field, &n, sizeof(n));
}

static int check_row(const struct row *row, int64_t value,
		     const struct why *why)
{
	const struct weir_option *o = &row->option;

	if (value >= o->min && value <= o->max)
		return 0;
	if (o->unit != WEIR_UNIT_TIME)
		return settings_refuse(why, "%s is %lld, not from %lld to %lld",
				       o->name, (long long)value,
				       (long long)o->min, (long long)o->max);
	if (value == WEIR_NEVER)
		return 0;
	return settings_refuse(
		why, "%s is %lld, not from %lld to %lld or WEIR_NEVER", o->name,
		(long long)value, (long long)o->min, (long long)o->max);
}

/* Fields among the first `exact' bytes stay as they are. */
static void set_defaults(const struct row *rows, size_t count, void *set,
			 size_t exact)
{
	for (size_t i = 0; i < count; i++)
		if (rows[i].offset >= exact && get_field(&rows[i], set) == 0)
			set_field(&rows[i], set, rows[i].option.preset);
}

static int check_rows(const struct row *rows, size_t count, const void *set,
		      int exact, const struct why *why)
{
	int rc = 0;

	if (exact != 0 && exact != 1)
		return settings_refuse(why, "exact is %d, not 0 or 1", exact);
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = check_row(&rows[i], get_field(&rows[i], set), why);
	return rc;
}

/* The defaults of the table, and one that no table can tell. */
static void set_config_defaults(struct weir_config *c, size_t exact)
{
	set_defaults(config_rows, COUNT_OF(config_rows), c, exact);
	if (c->workers == 0 && offsetof(struct weir_config, workers) >= exact)
		c->workers =
			(int)wr_min((size_t)wr_processors(), WR_WORKERS_MOST);
}

static void set_service_defaults(struct weir_service *s, size_t exact)
{
	bool is_default = s->outbox_max == 0 &&
			  offsetof(struct weir_service, outbox_max) >= exact;

	set_defaults(service_rows, COUNT_OF(service_rows), s, exact);
	if (is_default && s->outbox_max < s->outbox_mark)
		s->outbox_max = s->outbox_mark;
}

const struct weir_option *weir_config_option(size_t i)
{
	return i < COUNT_OF(config_rows) ? &config_rows[i].option : NULL;
}

const struct weir_option *weir_service_option(size_t i)
{
	return i < COUNT_OF(service_rows) ? &service_rows[i].option : NULL;
}

bool wr_sets_unknown(const void *src, size_t size, size_t known)
{
	const char *bytes = src;

	for (size_t i = known; i < size; i++)
		if (bytes[i] != 0)
			return true;
	return false;
}

static int copy_in(void *dst, size_t known, const void *src, size_t size,
		   const struct why *why)
{
	memset(dst, 0, known);
	if (size < sizeof(size_t))
		return settings_refuse(why,
				       "size is not that of the structure");
	if (wr_sets_unknown(src, size, known))
		return settings_refuse(why,
				       "a field is set that version %s does "
				       "not know",
				       WEIR_VERSION);
	memcpy(dst, src, wr_min(known, size));
	return 0;
}

void wr_copy_out(void *dst, size_t size, const void *src, size_t known)
{
	size_t common = wr_min(size, known);

	memcpy(dst, src, common);
	memset((char *)dst + common, 0, size - common);
}

static int copy_config(struct weir_config *ret, const struct weir_config *c,
		       const struct why *why)
{
	static const struct weir_config defaults = { .size = sizeof(defaults) };

	if (c == NULL)
		c = &defaults;
	return copy_in(ret, sizeof(*ret), c, c->size, why);
}

static int complete_config(struct weir_config *ret, const struct why *why)
{
	int rc;

	set_config_defaults(ret, ret->exact ? ret->size : 0);
	if (ret->refusal == NULL)
		ret->refusal = DEFAULT_REFUSAL;
	rc = check_rows(config_rows, COUNT_OF(config_rows), ret, ret->exact,
			why);
	if (rc == 0 && ret->early_start > 0 &&
	    ret->early_full <= ret->early_start)
		rc = settings_refuse(
			why, "early_full is %d, not more than early_start",
			ret->early_full);
	return rc;
}

static int make_config(struct weir_config *ret, const struct weir_config *c,
		       const struct why *why)
{
	int rc = copy_config(ret, c, why);

	return rc < 0 ? rc : complete_config(ret, why);
}

static const char separators[] = ", \t\n";

/* Move *list behind its first network.  1; 0: there is none; -EINVAL. */
static int next_network(struct wr_network *ret, const char **list,
			const struct why *why)
{
	const char *at = *list + strspn(*list, separators), *wrong;
	size_t len = strcspn(at, separators);

	*list = at + len;
	if (len == 0)
		return 0;
	if (wr_network_parse(ret, at, len, &wrong) < 0)
		return settings_refuse(why, "proxy_trust: '%.*s': %s",
				       (int)wr_min(len, 64), at, wrong);
	return 1;
}

static ssize_t count_networks(const char *list, const struct why *why)
{
	struct wr_network network;
	ssize_t n = 0;
	int rc;

	while ((rc = next_network(&network, &list, why)) > 0)
		n++;
	return rc < 0 ? rc : n;
}

static int check_proxy(const struct weir_service *s, const struct why *why)
{
	ssize_t n;

	if (s->proxy_trust == NULL)
		return 0;
	if (s->proxy == WEIR_PROXY_NEVER)
		return settings_refuse(
			why, "proxy_trust is for WEIR_PROXY_REQUIRED");
	n = count_networks(s->proxy_trust, why);
	if (n == 0)
		return settings_refuse(why, "proxy_trust names no network");
	return n < 0 ? -EINVAL : 0;
}

static bool is_same_trust(const struct wr_trust *t, const char *list)
{
	struct wr_network network;
	size_t i = 0;

	for (; next_network(&network, &list, &nowhere) > 0; i++)
		if (i == t->count ||
		    memcmp(&t->networks[i], &network, sizeof(network)) != 0)
			return false;
	return i == t->count;
}

/* The list has been checked.  An older one may be in use, so each is kept. */
static struct wr_trust *find_trust(struct wr_service *s, const char *list)
{
	size_t count = (size_t)count_networks(list, &nowhere);
	struct wr_trust *t = s->trusts;

	while (t && !is_same_trust(t, list))
		t = t->older;
	if (t)
		return t;
	t = wr_sys_alloc(sizeof(*t) + count * sizeof(t->networks[0]));
	if (t == NULL)
		return NULL;
	while (t->count < count)
		(void)next_network(&t->networks[t->count++], &list, &nowhere);
	t->older = s->trusts;
	return s->trusts = t;
}

bool wr_service_trusts(const struct wr_service *s, const struct sockaddr *peer)
{
	const struct wr_trust *t = atomic_load(&s->trust);
	struct wr_network address;

	if (t == NULL || !wr_network_of(&address, peer))
		return false;
	for (size_t i = 0; i < t->count; i++)
		if (wr_network_contains(&t->networks[i], &address))
			return true;
	return false;
}

static int copy_service(struct weir_service *ret, const struct weir_service *s,
			const struct why *why)
{
	if (s == NULL)
		return settings_refuse(why, "there is no service");
	return copy_in(ret, sizeof(*ret), s, s->size, why);
}

static int complete_service(struct weir_service *ret, const struct why *why)
{
	int rc;

	if ((ret->session == NULL) == (ret->readable == NULL))
		return settings_refuse(
			why, "exactly one of session and readable must "
			     "be set");
	if (ret->readable && (ret->speaks_first || ret->session_on_worker))
		return settings_refuse(
			why, "speaks_first and session_on_worker are for "
			     "a session");
	if (ret->speaks_first && ret->opened)
		return settings_refuse(why,
				       "speaks_first and opened exclude each "
				       "other");
	set_service_defaults(ret, ret->exact ? ret->size : 0);
	rc = check_rows(service_rows, COUNT_OF(service_rows), ret, ret->exact,
			why);
	if (rc == 0 && ret->outbox_max < ret->outbox_mark)
		rc = settings_refuse(why,
				     "outbox_max is %zu, less than outbox_mark",
				     ret->outbox_max);
	return rc < 0 ? rc : check_proxy(ret, why);
}

static int make_service(struct weir_service *ret, const struct weir_service *s,
			const struct why *why)
{
	int rc = copy_service(ret, s, why);

	return rc < 0 ? rc : complete_service(ret, why);
}

void weir_config_init(struct weir_config *c, size_t size)
{
	WR_NO_CANCEL();
	struct weir_config full = { .exact = 1, .refusal = DEFAULT_REFUSAL };

	if (c == NULL || size < sizeof(c->size))
		return;
	set_config_defaults(&full, 0);
	full.size = size;
	wr_copy_out(c, size, &full, sizeof(full));
}

void weir_service_init(struct weir_service *s, size_t size)
{
	struct weir_service full = { .exact = 1 };

	if (s == NULL || size < sizeof(s->size))
		return;
	set_service_defaults(&full, 0);
	full.size = size;
	wr_copy_out(s, size, &full, sizeof(full));
}

int weir_config_check(const struct weir_config *c, char *why, size_t cap)
{
	WR_NO_CANCEL();
	struct weir_config complete;

	return make_config(&complete, c, &(struct why){ why, cap });
}

int weir_service_check(const struct weir_service *s, char *why, size_t cap)
{
	struct weir_service complete;

	return make_service(&complete, s, &(struct why){ why, cap });
}

/* Makes it if it is new.  NULL: no memory. */
static struct wr_refusal *find_refusal(struct wr_config *c, const char *text)
{
	struct wr_refusal *r = c->refusals;
	size_t len = strlen(text);

	while (r && strcmp(r->text, text) != 0)
		r = r->older;
	if (r)
		return r;
	r = wr_sys_alloc(sizeof(*r) + len + 1);
	if (r == NULL)
		return NULL;
	memcpy(r->text, text, len + 1);
	r->len = len;
	r->older = c->refusals;
	c->refusals = r;
	return r;
}

static int publish(struct wr_config *c, const struct weir_config *values)
{
	struct wr_refusal *refusal = find_refusal(c, values->refusal);
	weir_access *old = c->access;

	if (refusal == NULL)
		return -ENOMEM;
	weir_access_dup(values->access);
	wr_word_lock(&c->accept_lock);
	c->refusal = refusal;
	c->access = values->access;
	c->max_per_source = values->max_per_source;
	c->early_start = values->early_start;
	c->early_percent = values->early_percent;
	c->early_full = values->early_full;
	c->evict_ms = values->evict_ms;
	c->queue_length = values->queue_length;
	c->queue_age_ms = values->queue_age_ms;
	c->max_connections = values->max_connections;
	c->overload = values->overload;
	c->outbox_total = values->outbox_total;
	c->lame_duck_ms = values->lame_duck_ms;
	c->drain_ms = values->drain_ms;
	c->log_level = values->log_level;
	wr_word_unlock(&c->accept_lock);
	weir_access_unref(old);
	return 0;
}

int wr_config_init(struct wr_config *ret, const struct weir_config *config)
{
	int rc = make_config(&ret->set, config, &nowhere);

	if (rc == 0)
		rc = publish(ret, &ret->set);
	if (rc == 0)
		ret->set.refusal = ret->refusal->text;
	return rc;
}

/* Fields that cannot change; in a change, 0 or NULL keeps the value. */
#define EACH_FIXED_OF_SERVICE(X)                                               \
	X(session)                                                             \
	X(readable)                                                            \
	X(opened)                                                              \
	X(expired)                                                             \
	X(closed)                                                              \
	X(unserved)                                                            \
	X(admit)                                                               \
	X(refused)                                                             \
	X(arg)                                                                 \
	X(layer)                                                               \
	X(speaks_first)                                                        \
	X(session_on_worker)                                                   \
	X(stack_size) X(full_duplex) X(proxy) X(proxy_max) X(backlog) X(mode)
#define EACH_FIXED(X)                                                          \
	X(workers)                                                             \
	X(max_dialled)                                                         \
	X(affinity)                                                            \
	X(stack_size)                                                          \
	X(log) X(log_arg) X(worker_start) X(worker_exit) X(worker_arg)
#define KEEP(field)                                                            \
	if (!set->field)                                                       \
		set->field = now->field;
#define IS_KEPT(field) &&set->field == now->field

static void keep_fixed(struct weir_config *set, const struct weir_config *now)
{
	EACH_FIXED(KEEP)
}

static bool is_kept(const struct weir_config *set,
		    const struct weir_config *now)
{
	return true EACH_FIXED(IS_KEPT);
}

int wr_config_change(struct wr_config *c, const struct weir_config *config)
{
	const struct weir_config *now = &c->set;
	struct weir_config values;
	int rc = copy_config(&values, config, &nowhere);

	if (rc < 0)
		return rc;
	keep_fixed(&values, now);
	rc = complete_config(&values, &nowhere);
	if (rc < 0)
		return rc;
	if (!is_kept(&values, now))
		return -EINVAL;
	return publish(c, &values);
}

void wr_config_fini(struct wr_config *c)
{
	struct wr_refusal *r = c->refusals, *older;

	for (; r; r = older) {
		older = r->older;
		wr_sys_free(r);
	}
	c->refusals = NULL;
	weir_access_unref(c->access);
	c->access = NULL;
}

static struct wr_limits limits_of(const struct weir_service *s)
{
	return (struct wr_limits){
		.timeout_ms = {
			[WR_TMO_FIRST_BYTE] = s->first_byte_ms,
			[WR_TMO_READ] = s->read_ms,
			[WR_TMO_WRITE] = s->write_ms,
			[WR_TMO_IDLE] = s->idle_ms,
			[WR_TMO_LIFETIME] = s->lifetime_ms,
			[WR_TMO_PAUSE] = s->pause_ms,
			[WR_TMO_HANDSHAKE] = s->handshake_ms,
		},
		.line_max = s->line_max,
		.outbox_mark = s->outbox_mark,
		.outbox_max = s->outbox_max,
		.write_rate = s->write_rate,
	};
}

int wr_service_init(struct wr_service *ret, const struct weir_service *service)
{
	int rc = make_service(&ret->set, service, &nowhere);

	if (rc < 0)
		return rc;
	ret->first = limits_of(&ret->set);
	ret->all = &ret->first;
	ret->limits = ret->all;
	if (ret->set.proxy_trust) {
		ret->trust = find_trust(ret, ret->set.proxy_trust);
		if (ret->trust == NULL)
			return -ENOMEM;
	}
	ret->set.proxy_trust = NULL; /* the caller's */
	ret->is_layered = ret->set.layer != NULL;
	if (ret->is_layered) {
		ret->layer_speaks_first = ret->set.layer->speaks_first;
		wr_service_set_layer(ret, ret->set.layer);
	}
	return 0;
}

static bool is_same(const struct wr_limits *a, const struct wr_limits *b)
{
	return memcmp(a->timeout_ms, b->timeout_ms, sizeof(a->timeout_ms)) ==
		       0 &&
	       a->line_max == b->line_max && a->outbox_mark == b->outbox_mark &&
	       a->outbox_max == b->outbox_max && a->write_rate == b->write_rate;
}

/* Makes it if it is new.  NULL: no memory. */
static struct wr_limits *find_limits(struct wr_service *s,
				     const struct wr_limits *wanted)
{
	struct wr_limits *l = s->all;

	while (l && !is_same(l, wanted))
		l = l->older;
	if (l)
		return l;
	l = wr_sys_alloc(sizeof(*l));
	if (l == NULL)
		return NULL;
	*l = *wanted;
	l->older = s->all;
	s->all = l;
	return l;
}

static void keep_service(struct weir_service *set,
			 const struct weir_service *now)
{
	EACH_FIXED_OF_SERVICE(KEEP)
}

static bool is_service_kept(const struct weir_service *set,
			    const struct weir_service *now)
{
	return true EACH_FIXED_OF_SERVICE(IS_KEPT);
}

int wr_service_change(struct wr_service *s, const struct weir_service *service)
{
	struct weir_service set = { 0 };
	const struct wr_trust *trust = s->trust;
	struct wr_limits wanted, *limits;
	int rc = copy_service(&set, service, &nowhere);

	if (rc < 0)
		return rc;
	keep_service(&set, &s->set);
	rc = complete_service(&set, &nowhere);
	if (rc < 0)
		return rc;
	if (!is_service_kept(&set, &s->set))
		return -EINVAL;
	wanted = limits_of(&set);
	limits = find_limits(s, &wanted);
	if (set.proxy_trust)
		trust = find_trust(s, set.proxy_trust);
	if (limits == NULL || (set.proxy_trust && trust == NULL))
		return -ENOMEM;
	atomic_store(&s->limits, limits);
	atomic_store(&s->trust, trust);
	return 0;
}

void wr_service_fini(struct wr_service *s)
{
	struct wr_limits *l = s->all, *older;
	struct wr_trust *t = s->trusts, *before;

	for (; l && l != &s->first; l = older) {
		older = l->older;
		wr_sys_free(l);
	}
	for (; t; t = before) {
		before = t->older;
		wr_sys_free(t);
	}
	s->all = NULL;
	s->trusts = NULL;
	wr_service_set_layer(s, NULL);
}

struct weir_layer *wr_service_ref_layer(const struct wr_service *s)
{
	struct wr_service *mine = (struct wr_service *)(uintptr_t)s;
	struct weir_layer *layer;

	wr_word_lock(&mine->layer_lock);
	layer = mine->layer;
	layer->maker->ref(layer);
	wr_word_unlock(&mine->layer_lock);
	return layer;
}

void wr_service_set_layer(struct wr_service *s, struct weir_layer *layer)
{
	struct weir_layer *old;

	if (layer)
		layer->maker->ref(layer);
	wr_word_lock(&s->layer_lock);
	old = s->layer;
	s->layer = layer;
	wr_word_unlock(&s->layer_lock);
	if (old)
		old->maker->unref(old);
}
