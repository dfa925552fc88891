/* SPDX-License-Identifier: MIT */
/*
 * Servers and peers of the scenarios.  One thread, that of the scenario.
 *
 * What must be true of every run, whatever failed:
 * - a start that fails says so, and its port and path are free;
 * - the bytes that arrive are those that were sent;
 * - one failure costs at most one peer its reply, and none if no client may
 *   notice it;
 * - once failures have ended, a new client is served;
 * - a stop ends, and the ledger balances.
 */
#include "env.h"

#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/un.h>

static const char refusal[] = "busy, try later\n";

void sweep_fail(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	_exit(1);
}

void expect_rc(int rc, const char *what)
{
	if (rc < 0 && sweep_failures() == 0)
		sweep_fail("%s: %s, and nothing had failed", what,
			   weir_strerror(rc));
}

void expect_error_rc(int rc, const char *what)
{
	if (rc >= 0)
		sweep_fail("%s is taken for right", what);
}

int env_patience_ms(void)
{
	bool may_never_come =
		sweep_is_on() && !sweep_is_harmless(sweep_planned()->error);

	return (may_never_come ? 100 : 20000) * slowness();
}

/* --------------------------------------------------------------- addresses */

struct place {
	struct sockaddr_storage addr;
	socklen_t len;
};

static struct place find(const char *address)
{
	struct place ret = { .len = 0 };
	struct sockaddr_un *un = (struct sockaddr_un *)(void *)&ret.addr;
	struct sockaddr_in *in = (struct sockaddr_in *)(void *)&ret.addr;

	if (strncmp(address, "unix:", 5) == 0) {
		size_t len = strlen(address + 5);

		un->sun_family = AF_UNIX;
		memcpy(un->sun_path, address + 5, len + 1);
		if (address[5] == '@')
			un->sun_path[0] = '\0';
		ret.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
				      len + (address[5] != '@'));
	} else {
		in->sin_family = AF_INET;
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		in->sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
		ret.len = sizeof(*in);
	}
	return ret;
}

/* The address can be bound again; a path that is left is stale. */
static void expect_free(const struct env *st, const char *address)
{
	enum wr_sys_call call = sweep_planned()->call;
	struct place at = find(address);
	int fd;

	/* A path stays if its removal fails. */
	if (call == WR_SYS_stat || call == WR_SYS_unlink || st->was_stale)
		return;
	fd = socket(at.addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at.addr, at.len) < 0)
		sweep_fail("%s is not free: %s", address, strerror(errno));
	close(fd);
	if (strncmp(address, "unix:/", 6) == 0)
		unlink(address + 5);
}

/* ------------------------------------------------------------------ servers */

static bool keep_or_free(struct env *st, int rc, const char *what)
{
	expect_rc(rc, what);
	if (rc >= 0)
		return true;
	weir_server_free(st->weir);
	st->weir = NULL;
	return false;
}

bool env_make(struct env *st, const struct weir_config *config)
{
	return keep_or_free(st, weir_server_new(&st->weir, config), "new");
}

bool env_listen(struct env *st, const char *where,
		const struct weir_service *service)
{
	int rc = weir_server_listen(st->weir, where, service);

	if (rc == 0)
		(void)weir_server_address(st->weir, 0, st->address,
					  sizeof(st->address));
	else if (rc < 0 && strncmp(where, "unix:", 5) == 0)
		expect_free(st, where);
	return keep_or_free(st, rc, "listen");
}

bool env_start(struct env *st)
{
	int rc = weir_server_start(st->weir);

	if (rc < 0)
		expect_free(st, st->address);
	return keep_or_free(st, rc, "start");
}

bool env_open(struct env *st, const char *where,
	      const struct weir_config *config,
	      const struct weir_service *service)
{
	return env_make(st, config) && env_listen(st, where, service) &&
	       env_start(st);
}

uint64_t env_parked(struct env *st)
{
	struct weir_stats now;

	weir_server_stats(st->weir, &now, sizeof(now));
	return now.parked;
}

uint64_t env_lingering(struct env *st)
{
	struct weir_stats now;

	weir_server_stats(st->weir, &now, sizeof(now));
	return now.lingering;
}

uint64_t env_queued(struct env *st)
{
	struct weir_stats now;

	weir_server_stats(st->weir, &now, sizeof(now));
	return now.queued;
}

/* If the failure was made, none is left that may cost this client its reply. */
static void serve_another(struct env *st, bool was_made)
{
	int lost = st->lost;
	struct peer p = peer_open(st);

	peer_send(&p, "ping\n");
	peer_half_close(&p);
	peer_expect(&p, st->banner);
	peer_expect(&p, "ping\n");
	peer_expect_end(&p);
	if (was_made && st->lost > lost)
		sweep_fail("a later client got %zu bytes", p.heard);
}

static void judge(const struct env *st)
{
	const struct sweep_plan *plan = sweep_planned();
	int may_lose = plan->mode == SWEEP_ONCE ? 1 : INT32_MAX;

	if (sweep_failures() == 0 || sweep_is_harmless(plan->error))
		may_lose = 0;
	if (st->lost > may_lose)
		sweep_fail("%d of %d clients lost their reply; the last one "
			   "%s",
			   st->lost, st->lost + st->whole, st->why);
}

void env_finish(struct env *st)
{
	struct weir_report r;
	struct weir_stats stats;
	const struct weir_ledger *l = &r.ledger;
	int rc;

	/* On a busy machine a callback that was cut may take a while. */
	while ((rc = weir_server_join(st->weir, &r, sizeof(r))) == -EBUSY)
		poll_sleep();
	if (rc != 0 && rc != -ECANCELED)
		sweep_fail("join: %s", weir_strerror(rc));
	if (l->open != 0 || l->accepted + l->dialled + l->spawned !=
				    l->completed + l->failed + l->timed_out +
					    ledger_refused(l) + l->probed +
					    l->cut)
		sweep_fail(
			"the ledger does not balance: %lu accepted, %lu open",
			l->accepted, l->open);
	if (l->accepted < (uint64_t)st->whole)
		sweep_fail("%lu accepted, but %d served", l->accepted,
			   st->whole);
	if (weir_server_stats(st->weir, &stats, sizeof(stats)) < 0 ||
	    stats.stacks != 0)
		sweep_fail("%lu stacks are lost", stats.stacks);
	weir_server_free(st->weir);
	st->weir = NULL;
	judge(st);
}

void env_clients_done(void)
{
	if (sweep_planned()->mode == SWEEP_SPELL && sweep_failures() > 0)
		sweep_lift();
}

void env_close(struct env *st, int grace_ms)
{
	bool was_made;

	env_clients_done();
	was_made = sweep_failures() > 0;
	if (!sweep_is_on())
		serve_another(st, was_made);
	if (weir_server_stop(st->weir, grace_ms) < 0)
		sweep_fail("a stop is refused");
	env_finish(st);
}

/* -------------------------------------------------------------------- peers */

struct peer peer_open_at(struct env *st, const char *address, int buffer)
{
	struct place at = find(address);
	struct peer p = { .env = st };
	const struct timeval limit = { .tv_sec = 1 };

	p.fd = socket(at.addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(p.fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (buffer)
		setsockopt(p.fd, SOL_SOCKET, SO_RCVBUF, &buffer,
			   sizeof(buffer));
	if (connect(p.fd, (struct sockaddr *)&at.addr, at.len) < 0)
		sweep_fail("connect %s: %s", address, strerror(errno));
	return p;
}

struct peer peer_open(struct env *st)
{
	return peer_open_at(st, st->address, 0);
}

static void peer_lose(struct peer *p, const char *why)
{
	p->is_lost = true;
	p->why = why;
}

void peer_send_bytes(struct peer *p, const void *data, size_t len)
{
	if (send(p->fd, data, len, MSG_NOSIGNAL) != (ssize_t)len &&
	    !p->is_refused)
		peer_lose(p, "cannot send");
}

void peer_send(struct peer *p, const char *text)
{
	peer_send_bytes(p, text, strlen(text));
}

static ssize_t peer_read(struct peer *p, char *buf, size_t cap)
{
	struct pollfd ready = { .fd = p->fd, .events = POLLIN };
	int64_t began = now_ms();

	while (poll(&ready, 1, 10) <= 0)
		if (now_ms() - began > env_patience_ms())
			return -ETIMEDOUT;
	return recv(p->fd, buf, cap, 0);
}

/* A refusal may come instead of the reply. */
static bool is_refusal(struct peer *p, const char *got, size_t n)
{
	if (!p->is_refused && p->heard > 0)
		return false;
	if (p->heard + n > strlen(refusal) ||
	    memcmp(got, refusal + p->heard, n) != 0)
		return false;
	p->is_refused = true;
	p->heard += n;
	return true;
}

void peer_expect_bytes(struct peer *p, const void *data, size_t len)
{
	static char got[65536];
	size_t have = 0;

	while (have < len && !p->is_lost && !p->is_refused) {
		ssize_t n = peer_read(p, got + have,
				      wr_min(len - have, sizeof(got) - have));

		if (n <= 0) {
			peer_lose(p, n ? "got an error" : "got the end");
			return;
		}
		if (memcmp(got + have, (const char *)data + have, (size_t)n)) {
			if (!is_refusal(p, got + have, (size_t)n))
				sweep_fail("a client got \"%s\"",
					   printable(got, have + (size_t)n));
			return;
		}
		have += (size_t)n;
		p->heard += (size_t)n;
	}
}

void peer_expect(struct peer *p, const char *text)
{
	peer_expect_bytes(p, text, strlen(text));
}

bool peer_has_input(struct peer *p)
{
	struct pollfd ready = { .fd = p->fd, .events = POLLIN };

	return poll(&ready, 1, 0) > 0;
}

void peer_half_close(struct peer *p)
{
	shutdown(p->fd, SHUT_WR);
}

void peer_close(struct peer *p)
{
	close(p->fd);
	if (p->is_refused && p->heard != strlen(refusal))
		peer_lose(p, "got half a refusal");
	if (p->is_refused && !p->env->may_refuse)
		peer_lose(p, "was refused");
	p->env->lost += p->is_lost;
	p->env->whole += !p->is_lost;
	if (p->is_lost)
		snprintf(p->env->why, sizeof(p->env->why), "%s after %zu bytes",
			 p->why, p->heard);
}

void peer_expect_end(struct peer *p)
{
	char more[64];
	ssize_t n = 1;

	while (n > 0 && !p->is_lost) {
		n = peer_read(p, more, sizeof(more));
		if (n > 0 && !is_refusal(p, more, (size_t)n))
			sweep_fail("a client got \"%s\" instead of the end",
				   printable(more, (size_t)n));
		if (n < 0)
			peer_lose(p, "got no end");
	}
	peer_close(p);
}
