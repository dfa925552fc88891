/* SPDX-License-Identifier: MIT */
/*
 * Scenes of the failure sweep for what happens seldom: the other input calls,
 * peers that are gone or take little, a stop that finds a full house, calls
 * that are wrong.  Each is played like those of scenarios.c.
 */
#include "env.h"

#define GRACE_MS (600 * slowness())

/* ------------------------------------------------------- input in all ways */

#define EXACT 200

static ssize_t looks(weir_conn *c, char *buf)
{
	const void *data;
	ssize_t n = weir_conn_peek(c, &data, 3);

	if (n <= 0)
		return n;
	memcpy(buf, data, 3);
	return weir_conn_consume(c, 3) < 0 ? -EINVAL : 3;
}

static ssize_t reads_next(weir_conn *c, char *buf, size_t cap, intptr_t step)
{
	switch (step) {
	case 0:
		return weir_conn_read_line(c, buf, cap);
	case 1:
		return weir_conn_read_exact(c, buf, EXACT);
	case 2:
		return weir_conn_read_until(c, buf, cap, "||", 2);
	case 3:
		return looks(c, buf);
	default:
		return weir_conn_read(c, buf, cap);
	}
}

/* Who has cut its own connection is told so by every call. */
static int cuts_itself(weir_conn *c)
{
	char buf[EXACT];

	(void)weir_conn_cancel(c);
	for (intptr_t step = 0; step < 5; step++)
		stage_expects_error((int)reads_next(c, buf, sizeof(buf), step),
				    "a call after the end");
	return 0;
}

/* One call after the other; what it gives is sent back. */
static int answers_each(weir_conn *c, void *arg)
{
	char buf[EXACT + 100];

	(void)arg;
	for (;;) {
		intptr_t step = (intptr_t)weir_conn_data(c);
		ssize_t n = reads_next(c, buf, sizeof(buf), step);
		int rc;

		if (n == 0 && step > 3)
			return cuts_itself(c);
		if (n <= 0)
			return (int)n;
		weir_conn_set_data(c, (void *)(step + 1), NULL);
		rc = weir_conn_write(c, buf, (size_t)n);
		if (rc < 0)
			return rc;
	}
}

static void reads(const struct weir_service *service)
{
	struct stage st = { .banner = "" };
	struct peer p[2];
	char exact[EXACT + 1];

	memset(exact, 'x', EXACT);
	exact[EXACT] = '\0';
	if (!stage_opens(&st, "127.0.0.1:0", WEIR_CONFIG(.workers = 3),
			 service))
		return;
	for (int i = 0; i < 2; i++)
		p[i] = peer_opens(&st);
	peer_says(&p[0], "line\nxx");
	peer_hears(&p[0], "line\n");
	peer_says(&p[0], exact + 2);
	peer_hears(&p[0], exact);
	peer_says(&p[0], "until|");
	SOON(stage_parked(&st) == 2 || service->session);
	peer_says(&p[0], "|pe");
	peer_hears(&p[0], "until||");
	peer_says(&p[0], "ekaboo");
	peer_hears(&p[0], "peekaboo");
	peer_says(&p[0], "rest");
	peer_hears(&p[0], "rest");
	peer_says(&p[1], "half a line");
	for (int i = 0; i < 2; i++)
		peer_finishes(&p[i]);
	peer_hears(&p[1], "half a line");
	for (int i = 0; i < 2; i++)
		peer_ends(&p[i]);
	stage_closes(&st, GRACE_MS);
}

void sweep_reads(void)
{
	reads(WEIR_SERVICE(.readable = answers_each));
	if (sweep_made() == 0)
		reads(WEIR_SERVICE(.session = answers_each, .line_max = 100));
}

/* ------------------------------------------------------------ wrong calls */

void sweep_misuse(void)
{
	struct stage st = { .banner = "" };
	const struct weir_config sizeless = { .size = 0 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), rc;
	struct weir_address found;
	weir_server *s;
	weir_conn *c;
	char name[64];

	stage_expects_error(weir_server_new(&s, WEIR_CONFIG(.workers = -1)),
			    "a negative number of workers");
	stage_expects_error(weir_server_new(&s, &sizeless), "a size of 0");
	stage_expects_error(weir_dial(&c, "nowhere", 100), "no address");
	stage_expects_error(weir_resolve(&found, 1, "nowhere", 100),
			    "no address");
	stage_expects_error(weir_reverse(name, sizeof(name), "nowhere", 100),
			    "no address");
	stage_expects_error(
		weir_reverse(name, sizeof(name), "localhost:1", 100),
		"a name in place of a number");
	if (!stage_makes(&st, NULL)) {
		close(fd);
		return;
	}
	snprintf(name, sizeof(name), "fd:%d", fd);
	stage_expects_error(
		weir_server_listen(st.weir, name,
				   WEIR_SERVICE(.readable = sweep_answers)),
		"a socket that does not listen");
	close(fd);
	stage_expects_error(
		weir_server_listen(st.weir, "nowhere",
				   WEIR_SERVICE(.readable = sweep_answers)),
		"no address");
	stage_expects_error(weir_server_listen(st.weir, "127.0.0.1:0",
					       WEIR_SERVICE(.line_max = 1)),
			    "a service without a callback");
	if (!stage_listens(&st, "127.0.0.1:0",
			   WEIR_SERVICE(.readable = sweep_answers)))
		return;
	weir_server_stop(st.weir, 0);
	rc = weir_server_run(st.weir, WEIR_SIGNALS);
	stage_expects(rc, "run after a stop");
	weir_server_free(st.weir);
}

/* -------------------------------------------------------------- peers */

static void wants_and_ends(struct stage *st, const char *line,
			   const char *answer)
{
	struct peer p = peer_opens(st);

	peer_says(&p, line);
	peer_hears(&p, answer);
	peer_ends(&p);
}

/* Their names must be asked for, also when a failure of theirs is told. */
void sweep_unix_peers(void)
{
	struct stage st = { .banner = "" };
	char ten[11] = "";
	char names[620];

	memcpy(ten, sweep_big() + SWEEP_BIG - 10, 10);
	snprintf(names, sizeof(names), "names\n%600slast\n", "");
	if (!stage_opens(&st, own_unix_address(), WEIR_CONFIG(.workers = 2),
			 WEIR_SERVICE(.readable = sweep_answers)))
		return;
	wants_and_ends(&st, "names\nlast\n", names);
	wants_and_ends(&st, "fail\n", "");
	wants_and_ends(&st, "short\n", ten);
	stage_closes(&st, GRACE_MS);
}

/* A session says more than is taken, and wants to read on. */
static void reads_slowly(size_t outbox_max, const char *more,
			 const char *answer)
{
	struct stage st = { .banner = "" };
	struct peer p;

	if (!stage_opens(&st, "127.0.0.1:0", WEIR_CONFIG(.workers = 2),
			 WEIR_SERVICE(.session = sweep_answers,
				      .outbox_max = outbox_max)))
		return;
	p = peer_opens_at(&st, st.address, 2048);
	peer_says(&p, "big\n");
	peer_says(&p, more);
	SOON(peer_is_told(&p));
	peer_hears_bytes(&p, sweep_big(), SWEEP_BIG);
	peer_hears(&p, answer);
	peer_finishes(&p);
	peer_ends(&p);
	stage_closes(&st, GRACE_MS);
}

/* With too much unsent to be given input; with less, and other threads' too. */
void sweep_slow_reader(void)
{
	reads_slowly(SWEEP_BIG * 3 / 2, "more\n", "more\n");
	if (sweep_made() == 0)
		reads_slowly(SWEEP_BIG * 4, "later\n", "later\nawake\n");
}

/* While the only worker listens to another, one comes, speaks and resets. */
void sweep_gone(void)
{
	struct stage st = { .banner = "" };
	const struct linger reset = { .l_onoff = 1 };
	struct peer busy, gone;

	if (!stage_opens(&st, "127.0.0.1:0", WEIR_CONFIG(.workers = 1),
			 WEIR_SERVICE(.session = sweep_answers)))
		return;
	busy = peer_opens(&st);
	peer_says(&busy, "first\n");
	peer_hears(&busy, "first\n");
	gone = peer_opens(&st);
	peer_says(&gone, "in vain\n");
	SOON(stage_queued(&st) > 0);
	setsockopt(gone.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(gone.fd);
	peer_finishes(&busy);
	peer_ends(&busy);
	stage_closes(&st, GRACE_MS);
}

/* One has the only place, one waits in the backlog, a stop begins. */
static void held(bool is_let_in)
{
	struct stage st = { .banner = "", .may_refuse = true };
	struct peer a, b;

	if (!stage_opens(&st, "127.0.0.1:0",
			 WEIR_CONFIG(.workers = 1, .max_connections = 1),
			 WEIR_SERVICE(.session = sweep_answers)))
		return;
	a = peer_opens(&st);
	peer_says(&a, "first\nhalf a");
	peer_hears(&a, "first\n");
	b = peer_opens(&st);
	peer_says(&b, "second\n");
	weir_server_stop(st.weir, is_let_in ? GRACE_MS : 50);
	if (is_let_in) {
		peer_says(&a, " line\n");
		peer_hears(&a, "half a line\n");
		peer_finishes(&a);
		peer_ends(&a);
		peer_hears(&b, "second\n");
		peer_ends(&b);
	} else {
		if (a.is_lost) /* it left its place to the other */
			peer_hears(&b, "second\n");
		peer_ends(&b);
		peer_leaves(&a);
	}
	stage_is_over(&st);
}

void sweep_held_in_stop(void)
{
	held(false);
	if (sweep_made() == 0)
		held(true);
}
