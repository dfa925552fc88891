/* SPDX-License-Identifier: MIT */
/*
 * "The first matching rule decides" by one search: prefixes are nested or
 * disjoint, so their bounds cut the addresses into ranges, and each range has
 * one first rule.  Ranges are sorted; neighbours with the same rule are one.
 */
#include "access.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bounds.h"
#include "sys.h"
#include "user_ids.h"

#define V6_BITS 128
#define NO_RULE UINT32_MAX

/* A rule is its number in the text, then its verdict in two bits. */
#define RULE(number, verdict) ((uint32_t)(number) << 2 | (uint32_t)(verdict))
#define VERDICT(rule)	      ((enum wr_access)((rule)&3))
#define RULES_MOST	      (UINT32_MAX >> 2)

struct prefix {
	struct wr_key first, last;
	uint32_t rule;
};

struct id {
	uint32_t id, rule;
};

/* rules[i] applies from starts[i] up to starts[i + 1]. */
struct ranges {
	struct wr_key *starts;
	uint32_t *rules;
	size_t count;
};

struct list {
	void *all;
	size_t count, room;
};

struct weir_access {
	atomic_uint refs;
	struct ranges v4, v6;
	struct id *users, *groups; /* sorted */
	size_t user_count, group_count;
	enum wr_access of_ip, of_unix; /* where no rule matches */
	struct wr_source_limits limits;
};

struct reader {
	struct weir_access *ret;
	struct list v4, v6, users, groups;
	uint32_t number;   /* of the rule */
	bool maps_all_ids; /* false: not known */
	bool is_explained;
	int line;
	char *why;
	size_t cap;
};

static uint64_t read_be64(const unsigned char *bytes)
{
	uint64_t n = 0;

	for (int i = 0; i < 8; i++)
		n = n << 8 | bytes[i];
	return n;
}

/* A mask for 64 bits of an address: all but the first bits. */
static uint64_t rest_of_half(int bits)
{
	return bits <= 0 ? UINT64_MAX : bits >= 64 ? 0 : UINT64_MAX >> bits;
}

struct wr_key wr_key_of(const struct wr_network *addr, int bits)
{
	return (struct wr_key){
		.hi = read_be64(addr->at) & ~rest_of_half(bits),
		.lo = read_be64(addr->at + 8) & ~rest_of_half(bits - 64),
	};
}

static bool is_loopback(const struct wr_network *addr)
{
	static const unsigned char v6[16] = { [15] = 1 };

	return addr->family == AF_INET ? addr->at[0] == 127
				       : memcmp(addr->at, v6, sizeof(v6)) == 0;
}

static bool is_before(const struct wr_key *a, const struct wr_key *b)
{
	return a->hi != b->hi ? a->hi < b->hi : a->lo < b->lo;
}

static uint32_t rule_of_key(const struct ranges *r, const struct wr_key *key)
{
	size_t low = 0, high = r->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (is_before(key, &r->starts[middle]))
			high = middle;
		else
			low = middle + 1;
	}
	return low > 0 ? r->rules[low - 1] : NO_RULE;
}

/* The first entry of an id has its first rule. */
static uint32_t rule_of_id(const struct id *ids, size_t count, uint32_t id)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ids[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count && ids[low].id == id ? ids[low].rule : NO_RULE;
}

enum wr_access wr_access_of_ip(const weir_access *a,
			       const struct wr_network *addr)
{
	struct wr_key key;
	uint32_t rule;

	if (a == NULL)
		return is_loopback(addr) ? WR_ACCESS_EXEMPT : WR_ACCESS_ALLOW;
	key = wr_key_of(addr, V6_BITS);
	rule = rule_of_key(addr->family == AF_INET ? &a->v4 : &a->v6, &key);
	return rule == NO_RULE ? a->of_ip : VERDICT(rule);
}

enum wr_access wr_access_of_unix(const weir_access *a, int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	uint32_t user, group, rule;

	if (a == NULL || a->user_count + a->group_count == 0)
		return WR_ACCESS_ALLOW;
	if (wr_sys_getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return WR_ACCESS_DENY;
	user = rule_of_id(a->users, a->user_count, peer.uid);
	group = rule_of_id(a->groups, a->group_count, peer.gid);
	rule = user < group ? user : group;
	return rule == NO_RULE ? a->of_unix : VERDICT(rule);
}

struct wr_source_limits wr_access_limits(const weir_access *a)
{
	return a ? a->limits
		 : (struct wr_source_limits){ .v4_bits = 32, .v6_bits = 64 };
}

WEIR_PRINTF(2, 3)
static int access_refuse(struct reader *r, const char *format, ...)
{
	va_list ap;
	int n;

	r->is_explained = true;
	if (r->why == NULL || r->cap == 0)
		return -EINVAL;
	n = snprintf(r->why, r->cap, "line %d: ", r->line);
	va_start(ap, format);
	if (n > 0 && (size_t)n < r->cap)
		(void)vsnprintf(r->why + n, r->cap - (size_t)n, format, ap);
	va_end(ap);
	return -EINVAL;
}

static int list_add(struct list *l, const void *item, size_t size)
{
	size_t room = l->room ? 2 * l->room : 16;
	void *all;

	if (l->count == l->room) {
		all = wr_sys_realloc(l->all, room * size);
		if (all == NULL)
			return -ENOMEM;
		l->all = all;
		l->room = room;
	}
	memcpy((char *)l->all + l->count++ * size, item, size);
	return 0;
}

/* *text moves behind the digits.  False: no number up to max. */
static bool read_number(const char **text, uint64_t max, uint64_t *ret)
{
	const char *at = *text;
	uint64_t n = 0;

	for (; *at >= '0' && *at <= '9'; at++) {
		n = n * 10 + (uint64_t)(*at - '0');
		if (n > max)
			return false;
	}
	if (at == *text)
		return false;
	*text = at;
	*ret = n;
	return true;
}

static int add_prefix(struct reader *r, const char *text, enum wr_access what)
{
	struct prefix p = { .rule = RULE(r->number, what) };
	struct wr_network n;
	const char *wrong;

	if (wr_network_parse(&n, text, strlen(text), &wrong) < 0)
		return access_refuse(r, "'%s': %s", text, wrong);
	p.first = wr_key_of(&n, V6_BITS);
	p.last = (struct wr_key){ p.first.hi | rest_of_half(n.bits),
				  p.first.lo | rest_of_half(n.bits - 64) };
	if (what == WR_ACCESS_ALLOW)
		r->ret->of_ip = WR_ACCESS_DENY;
	return list_add(n.family == AF_INET ? &r->v4 : &r->v6, &p, sizeof(p));
}

/* 1: this namespace maps each id; 0: it does not; or -errno. */
static int maps_all_ids(struct reader *r)
{
	int rc =
		r->maps_all_ids ? 1 : wr_ids_are_mapped(WR_ID_LAST, WR_ID_LAST);

	r->maps_all_ids = rc > 0;
	return rc;
}

static int refuse_unmapped(struct reader *r, const char *text)
{
	int rc = wr_ids_are_mapped(geteuid(), getegid());

	if (rc < 0)
		return rc;
	if (rc == 0)
		return access_refuse(r,
				     "'%s': such a rule needs a user namespace "
				     "that maps the user and the group of this "
				     "process",
				     text);
	return access_refuse(r,
			     "'%s': this user namespace does not map that id, "
			     "so clients with it have %d",
			     text, WR_ID_OVERFLOW);
}

/* Where clients cannot be told by an id, its rule would fail silently. */
static int check_id(struct reader *r, const char *text, bool is_user,
		    uint32_t id)
{
	int rc = maps_all_ids(r);

	if (rc == 0 && id == WR_ID_OVERFLOW)
		return access_refuse(
			r,
			"'%s': all clients with an id that this "
			"user namespace does not map have that one",
			text);
	if (rc == 0)
		rc = is_user ? wr_ids_are_mapped(id, getegid())
			     : wr_ids_are_mapped(geteuid(), id);
	if (rc == 0)
		return refuse_unmapped(r, text);
	if (rc < 0)
		(void)access_refuse(r,
				    "'%s': cannot ask whether this user "
				    "namespace maps that id: %s",
				    text, weir_strerror(rc));
	return rc < 0 ? rc : 0;
}

static int add_id(struct reader *r, struct list *ids, const char *text,
		  enum wr_access what)
{
	struct id id = { .rule = RULE(r->number, what) };
	const char *number = strchr(text, ':') + 1;
	uint64_t n;
	int rc;

	if (!read_number(&number, WR_ID_LAST, &n) || *number != '\0')
		return access_refuse(r, "'%s' has no number behind the colon",
				     text);
	id.id = (uint32_t)n;
	rc = check_id(r, text, ids == &r->users, id.id);
	if (rc < 0)
		return rc;
	if (what == WR_ACCESS_ALLOW)
		r->ret->of_unix = WR_ACCESS_DENY;
	return list_add(ids, &id, sizeof(id));
}

static int add_rule(struct reader *r, const char *text, enum wr_access what)
{
	if (r->number == RULES_MOST)
		return access_refuse(r, "too many rules");
	r->number++;
	if (strncmp(text, "uid:", 4) == 0)
		return add_id(r, &r->users, text, what);
	if (strncmp(text, "gid:", 4) == 0)
		return add_id(r, &r->groups, text, what);
	return add_prefix(r, text, what);
}

static int add_allow(struct reader *r, char *text)
{
	return add_rule(r, text, WR_ACCESS_ALLOW);
}

static int add_deny(struct reader *r, char *text)
{
	return add_rule(r, text, WR_ACCESS_DENY);
}

static int add_exempt(struct reader *r, char *text)
{
	return add_rule(r, text, WR_ACCESS_EXEMPT);
}

static int add_limit(struct reader *r, char *text)
{
	struct wr_source_limits *l = &r->ret->limits;
	const char *at = text;
	uint64_t n, v4, v6;

	if (l->open_max)
		return access_refuse(r, "a second 'limit'");
	if (!read_number(&at, WR_CONNECTIONS_MOST, &n) || n == 0)
		return access_refuse(r,
				     "'limit %s' needs a number from 1 to %d",
				     text, WR_CONNECTIONS_MOST);
	l->open_max = (int)n;
	if (*at == '\0')
		return 0;
	if (strncmp(at, " per ", 5) != 0)
		return access_refuse(r, "'limit %s' is not like 20 per 32/64",
				     text);
	at += 5;
	if (!read_number(&at, 32, &v4) || *at++ != '/' ||
	    !read_number(&at, V6_BITS, &v6) || *at != '\0')
		return access_refuse(r, "'limit %s' is not like 20 per 32/64",
				     text);
	l->v4_bits = (int)v4;
	l->v6_bits = (int)v6;
	return 0;
}

static int64_t unit_ns(const char *unit)
{
	static const struct {
		const char *name;
		int64_t ns;
	} units[] = {
		{ "ms", WR_NS_PER_MS },
		{ "s", WR_MS(1000) },
		{ "m", WR_MS(60LL * 1000) },
		{ "h", WR_MS(60LL * 60 * 1000) },
	};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(unit, units[i].name) == 0)
			return units[i].ns;
	return 0;
}

static int add_rate(struct reader *r, char *text)
{
	struct wr_source_limits *l = &r->ret->limits;
	const char *at = text;
	uint64_t n, span;

	if (l->rate_ns)
		return access_refuse(r, "a second 'rate'");
	if (!read_number(&at, 1000000, &n) || n == 0 || *at++ != '/' ||
	    !read_number(&at, 1000000, &span) || span == 0 || !unit_ns(at))
		return access_refuse(
			r,
			"'rate %s' is not like 50/10s, with ms, s, m "
			"or h",
			text);
	l->span_ns = (int64_t)span * unit_ns(at);
	l->rate_ns = l->span_ns / (int64_t)n;
	return 0;
}

static int read_line(struct reader *r, char *line)
{
	static const struct {
		const char *verb;
		int (*add)(struct reader *r, char *operand);
	} verbs[] = {
		{ "allow", add_allow },	  { "deny", add_deny },
		{ "exempt", add_exempt }, { "limit", add_limit },
		{ "rate", add_rate },
	};
	size_t len = strcspn(line, " ");

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strlen(verbs[i].verb) != len ||
		    strncmp(line, verbs[i].verb, len) != 0)
			continue;
		if (line[len] == '\0')
			return access_refuse(r, "'%s' needs an operand", line);
		return verbs[i].add(r, line + len + 1);
	}
	return access_refuse(r,
			     "'%.*s' is not allow, deny, exempt, limit or rate",
			     (int)wr_min(len, 32), line);
}

/* No blanks at the ends, one between words, no comment. */
static int tidy(struct reader *r, char *line, const char *text, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len && text[i] != '#'; i++) {
		unsigned char c = (unsigned char)text[i];
		bool is_blank = c == ' ' || c == '\t' || c == '\r';

		if (!is_blank && (c < '!' || c > '~'))
			return access_refuse(r, "an odd character, code %d", c);
		if (is_blank && (n == 0 || line[n - 1] == ' '))
			continue;
		if (n == WR_ACCESS_LINE - 1)
			return access_refuse(r, "longer than %d characters",
					     WR_ACCESS_LINE - 1);
		line[n++] = is_blank ? ' ' : (char)c;
	}
	if (n > 0 && line[n - 1] == ' ')
		n--;
	line[n] = '\0';
	return 0;
}

static int read_lines(struct reader *r, const char *text, size_t len)
{
	char line[WR_ACCESS_LINE] = "";
	int rc = 0;

	while (rc == 0 && len > 0) {
		const char *end = memchr(text, '\n', len);
		size_t n = end ? (size_t)(end - text) : len;

		r->line++;
		rc = tidy(r, line, text, n);
		if (rc == 0 && line[0] != '\0')
			rc = read_line(r, line);
		n += end != NULL;
		text += n;
		len -= n;
	}
	return rc;
}

static int compare_prefixes(const void *a, const void *b)
{
	const struct prefix *one = a, *other = b;

	if (is_before(&one->first, &other->first))
		return -1;
	if (is_before(&other->first, &one->first))
		return 1;
	/* the wider one first */
	if (is_before(&other->last, &one->last))
		return -1;
	return is_before(&one->last, &other->last);
}

static int compare_ids(const void *a, const void *b)
{
	const struct id *one = a, *other = b;

	if (one->id != other->id)
		return one->id < other->id ? -1 : 1;
	return one->rule < other->rule ? -1 : one->rule > other->rule;
}

static void add_range(struct ranges *r, struct wr_key start, uint32_t rule)
{
	if (r->count > 0 && !is_before(&r->starts[r->count - 1], &start))
		r->count--; /* empty */
	if (r->count > 0 && r->rules[r->count - 1] == rule)
		return;
	r->starts[r->count] = start;
	r->rules[r->count++] = rule;
}

/*
 * The prefixes around an address, the widest first.  Each has the first of the
 * rules of itself and of the wider ones.
 */
struct nest {
	struct prefix in[V6_BITS + 1];
	size_t depth;
};

static uint32_t rule_of_nest(const struct nest *n)
{
	return n->depth > 0 ? n->in[n->depth - 1].rule : NO_RULE;
}

static void leave_prefix(struct nest *n, struct ranges *r)
{
	struct wr_key next = n->in[--n->depth].last;

	if (++next.lo == 0 && ++next.hi == 0)
		return; /* it goes up to the last address */
	add_range(r, next, rule_of_nest(n));
}

static void enter_prefix(struct nest *n, struct ranges *r,
			 const struct prefix *p)
{
	struct prefix *in = &n->in[n->depth];
	uint32_t outer = rule_of_nest(n);

	if (n->depth > 0 && !is_before(&p->last, &in[-1].last))
		in--; /* both end here, so the outer one is not needed again */
	else
		n->depth++;
	*in = *p;
	if (outer < in->rule)
		in->rule = outer;
	add_range(r, in->first, in->rule);
}

static int compile_ranges(struct ranges *ret, const struct list *prefixes)
{
	const struct prefix *all = prefixes->all;
	size_t most = 2 * prefixes->count;
	struct nest nest = { .depth = 0 };

	if (most == 0)
		return 0;
	ret->starts = wr_sys_alloc(most * sizeof(*ret->starts));
	ret->rules = wr_sys_alloc(most * sizeof(*ret->rules));
	if (ret->starts == NULL || ret->rules == NULL)
		return -ENOMEM;
	qsort(prefixes->all, prefixes->count, sizeof(*all), compare_prefixes);
	for (size_t i = 0; i < prefixes->count; i++) {
		while (nest.depth > 0 &&
		       is_before(&nest.in[nest.depth - 1].last, &all[i].first))
			leave_prefix(&nest, ret);
		enter_prefix(&nest, ret, &all[i]);
	}
	while (nest.depth > 0)
		leave_prefix(&nest, ret);
	return 0;
}

static struct id *sorted_ids(struct list *ids, size_t *count)
{
	struct id *all = ids->all;

	if (all)
		qsort(all, ids->count, sizeof(*all), compare_ids);
	*count = ids->count;
	ids->all = NULL;
	return all;
}

static int compile(struct reader *r)
{
	struct weir_access *a = r->ret;
	int rc = compile_ranges(&a->v4, &r->v4);

	if (rc == 0)
		rc = compile_ranges(&a->v6, &r->v6);
	a->users = sorted_ids(&r->users, &a->user_count);
	a->groups = sorted_ids(&r->groups, &a->group_count);
	return rc;
}

static void access_free(weir_access *a)
{
	wr_sys_free(a->v4.starts);
	wr_sys_free(a->v4.rules);
	wr_sys_free(a->v6.starts);
	wr_sys_free(a->v6.rules);
	wr_sys_free(a->users);
	wr_sys_free(a->groups);
	wr_sys_free(a);
}

static int explain(int rc, char *why, size_t cap)
{
	if (why && cap > 0)
		(void)snprintf(why, cap, "%s",
			       rc == -ESPIPE ? "no regular file"
					     : weir_strerror(rc));
	return rc;
}

static int access_read(struct reader *r, const char *text, size_t len)
{
	int rc;

	r->ret = wr_sys_alloc(sizeof(*r->ret));
	if (r->ret == NULL)
		return -ENOMEM;
	atomic_store(&r->ret->refs, 1);
	r->ret->limits.v4_bits = 32;
	r->ret->limits.v6_bits = 64;
	rc = read_lines(r, text, len);
	if (rc == 0)
		rc = compile(r);
	wr_sys_free(r->v4.all);
	wr_sys_free(r->v6.all);
	wr_sys_free(r->users.all);
	wr_sys_free(r->groups.all);
	if (rc < 0)
		access_free(r->ret);
	return rc;
}

static int access_make(weir_access **ret, const char *text, size_t len,
		       char *why, size_t cap)
{
	struct reader r = { .why = why, .cap = cap };
	int rc = access_read(&r, text, len);

	if (rc == 0)
		*ret = r.ret;
	return rc == 0 || r.is_explained ? rc : explain(rc, why, cap);
}

int weir_access_new(weir_access **ret, const char *text, char *why, size_t cap)
{
	WR_NO_CANCEL();

	if (ret == NULL || text == NULL)
		return explain(-EINVAL, why, cap);
	return access_make(ret, text, strlen(text), why, cap);
}

/* All of a regular file, which may grow or shrink. */
static int read_open_file(int fd, char **ret, size_t *len)
{
	struct stat st;
	size_t room;
	ssize_t n = wr_sys_fstat(fd, &st);

	if (n < 0)
		return (int)n;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -ESPIPE;
	if (st.st_size > WR_ACCESS_FILE)
		return -EFBIG;
	room = (size_t)st.st_size + 1;
	*ret = wr_sys_alloc(room);
	if (*ret == NULL)
		return -ENOMEM;
	do {
		n = wr_sys_read(fd, *ret + *len, room - *len);
		*len += n > 0 ? (size_t)n : 0;
	} while (n > 0 && *len < room);
	return n < 0 ? (int)n : *len < room ? 0 : -EAGAIN;
}

static int read_file(const char *path, char **ret, size_t *len)
{
	/* a pipe without a writer must not block */
	int fd = wr_sys_open(path, O_RDONLY | O_NONBLOCK);
	int rc = fd;

	if (fd >= 0) {
		rc = read_open_file(fd, ret, len);
		wr_sys_close(fd);
	}
	return rc;
}

int weir_access_load(weir_access **ret, const char *path, char *why, size_t cap)
{
	WR_NO_CANCEL();
	char *text = NULL;
	size_t len = 0;
	int rc;

	if (ret == NULL || path == NULL)
		return explain(-EINVAL, why, cap);
	rc = read_file(path, &text, &len);
	rc = rc < 0 ? explain(rc, why, cap)
		    : access_make(ret, text, len, why, cap);
	wr_sys_free(text);
	return rc;
}

weir_access *weir_access_dup(weir_access *a)
{
	if (a)
		atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
	return a;
}

void weir_access_unref(weir_access *a)
{
	WR_NO_CANCEL();

	if (a && atomic_fetch_sub(&a->refs, 1) == 1)
		access_free(a);
}
