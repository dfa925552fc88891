/* SPDX-License-Identifier: MIT */
/*
 * The scenarios of the failure sweep; rarer ones are in rare.c.  Each is short,
 * because it runs some hundred times, and reaches many calls.
 */
#include "env.h"

#define READABLE WEIR_SERVICE(.readable = sweep_service)
#define SESSION	 WEIR_SERVICE(.session = sweep_service, .outbox_mark = 8192)

/* ---------------------------------------------------------- to and fro */

static void start_stop(void)
{
	struct env st = { .banner = "" };
	const struct weir_config *config =
		WEIR_CONFIG(.workers = 3, .affinity = WEIR_AFFINITY_SPREAD);

	if (!env_make(&st, config))
		return;
	weir_server_free(st.weir);
	st.weir = NULL;
	if (env_make(&st, config) && env_listen(&st, "127.0.0.1:0", READABLE) &&
	    env_listen(&st, "localhost:0", READABLE) &&
	    env_listen(&st, ":0", SESSION) &&
	    env_listen(&st, own_unix_address(), READABLE) && env_start(&st))
		env_close(&st, 0);
}

/* weir_server_run() with a signal already pending. */
static void signals(void)
{
	struct env st = { .banner = "" };
	sigset_t term, before;
	int rc;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &term, &before);
	if (env_make(&st,
		     WEIR_CONFIG(.workers = 2, .drain_ms = ENV_GRACE_MS)) &&
	    env_listen(&st, "127.0.0.1:0", READABLE)) {
		kill(getpid(), SIGTERM);
		rc = weir_server_run(st.weir, WEIR_SIGNALS);
		expect_rc(rc, "run");
		if (rc == 0)
			env_finish(&st);
		else
			weir_server_free(st.weir);
	}
	sigpending(&before);
	if (sigismember(&before, SIGTERM))
		sigwaitinfo(&term, NULL);
	pthread_sigmask(SIG_UNBLOCK, &term, NULL);
}

/* A worker for each session, so that none waits for another. */
static void talk(struct env *st, const struct weir_service *service)
{
	struct peer p[3];

	if (!env_open(st, "127.0.0.1:0", WEIR_CONFIG(.workers = 4), service))
		return;
	for (int i = 0; i < 3; i++)
		p[i] = peer_open(st);
	for (int i = 0; i < 3; i++) {
		peer_send(&p[i], "hello\nwo");
		peer_expect(&p[i], st->banner);
		peer_expect(&p[i], "hello\n");
	}
	SOON(env_parked(st) == 3 || service->session);
	for (int i = 0; i < 3; i++) {
		char text[700];

		peer_send(&p[i], "rld\nnames\n");
		peer_expect(&p[i], "world\nnames\n");
		snprintf(text, sizeof(text), "%600s", "");
		peer_expect(&p[i], text);
	}
	peer_send(&p[0], "last\n");
	for (int i = 0; i < 3; i++) {
		if (i > 0)
			peer_half_close(&p[i]);
		peer_expect(&p[i], i == 0 ? "last\n" : "");
		peer_expect_end(&p[i]);
	}
	env_close(st, ENV_GRACE_MS);
}

static void conversation(void)
{
	struct env st = { .banner = "Connect" };

	talk(&st,
	     WEIR_SERVICE(.readable = sweep_service, .opened = connect_banner));
}

static void sessions(void)
{
	struct env st = { .banner = "" };

	talk(&st, WEIR_SERVICE(.session = sweep_service));
}

/* ------------------------------------------------------------ too many */

static void over_limit(void)
{
	struct env st = { .banner = "", .may_refuse = true };
	struct peer p[4];

	if (!env_open(&st, "127.0.0.1:0",
		      WEIR_CONFIG(.workers = 1, .max_connections = 2,
				  .queue_length = 1, .overload = WEIR_REFUSE),
		      READABLE))
		return;
	for (int i = 0; i < 4; i++) {
		p[i] = peer_open(&st);
		peer_send(&p[i], "first\n");
		peer_expect(&p[i], "first\n");
	}
	for (int i = 0; i < 4; i++) {
		peer_half_close(&p[i]);
		peer_expect_end(&p[i]);
	}
	env_close(&st, ENV_GRACE_MS);
}

static void held_back(void)
{
	struct env st = { .banner = "" };
	struct peer a, b;

	if (!env_open(&st, "127.0.0.1:0",
		      WEIR_CONFIG(.workers = 1, .max_connections = 1),
		      READABLE))
		return;
	a = peer_open(&st);
	peer_send(&a, "first\n");
	peer_expect(&a, "first\n");
	b = peer_open(&st);
	peer_send(&b, "second\n");
	peer_half_close(&a);
	peer_expect_end(&a);
	peer_expect(&b, "second\n");
	peer_half_close(&b);
	peer_expect_end(&b);
	env_close(&st, ENV_GRACE_MS);
}

/* ------------------------------------------------------ parked and ended */

static void park(void)
{
	struct env st = { .banner = "" };
	struct peer p[3];

	if (!env_open(&st, "127.0.0.1:0", WEIR_CONFIG(.workers = 2),
		      WEIR_SERVICE(.readable = sweep_service,
				   .first_byte_ms = 5000)))
		return;
	for (int i = 0; i < 3; i++)
		p[i] = peer_open(&st);
	SOON(env_parked(&st) == 3);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 3; i++)
			peer_send(&p[i], "round\nand h");
		for (int i = 0; i < 3; i++)
			peer_expect(&p[i], "round\n");
		SOON(env_parked(&st) == 3);
		for (int i = 0; i < 3; i++) {
			peer_send(&p[i], "alf\n");
			peer_expect(&p[i], "and half\n");
		}
	}
	/* Two are parked when the drain callback runs. */
	peer_half_close(&p[0]);
	peer_expect_end(&p[0]);
	env_clients_done();
	weir_server_stop(st.weir, ENV_GRACE_MS);
	peer_expect_end(&p[1]);
	peer_expect_end(&p[2]);
	env_finish(&st);
}

/* A silent client is ended by its deadline. */
static void silence(void)
{
	struct env st = { .banner = "" };
	struct peer p[2];

	if (!env_open(&st, "127.0.0.1:0", WEIR_CONFIG(.workers = 2),
		      WEIR_SERVICE(.readable = sweep_service,
				   .first_byte_ms = 60, .idle_ms = 60)))
		return;
	p[0] = peer_open(&st);
	p[1] = peer_open(&st);
	peer_send(&p[1], "first\n");
	peer_expect(&p[1], "first\n");
	peer_expect_end(&p[0]);
	peer_expect_end(&p[1]);
	env_close(&st, ENV_GRACE_MS);
}

/* After a half-close all replies arrive, however slowly. */
static void half_close(void)
{
	struct env st = { .banner = "" };
	struct peer p[3];

	if (!env_open(&st, "127.0.0.1:0", WEIR_CONFIG(.workers = 2), READABLE))
		return;
	for (int i = 0; i < 3; i++) {
		p[i] = peer_open_at(&st, st.address, 2048);
		peer_send(&p[i], "big\n");
		if (i < 2)
			peer_half_close(&p[i]);
	}
	/* One client has sent more than will be read, and is slow. */
	peer_send(&p[2], "last\nunread\nunread\n");
	for (int i = 0; i < 3; i++) {
		peer_expect_bytes(&p[i], sweep_big(), SWEEP_BIG);
		peer_expect(&p[i], i == 2 ? "last\n" : "");
		if (i < 2)
			peer_expect_end(&p[i]);
	}
	peer_send(&p[2], "late\n");
	SOON(env_lingering(&st) > 0);
	peer_half_close(&p[2]);
	peer_expect_end(&p[2]);
	env_close(&st, ENV_GRACE_MS);
}

static void drain(void)
{
	struct env st = { .banner = "", .may_refuse = true };
	struct peer p[4];

	if (!env_make(&st, WEIR_CONFIG(.workers = 3)) ||
	    !env_listen(&st, "127.0.0.1:0", SESSION) || !env_start(&st))
		return;
	for (int i = 0; i < 4; i++) {
		p[i] = peer_open_at(&st, st.address, 2048);
		if (i < 3)
			peer_send(&p[i], "first\n");
	}
	for (int i = 0; i < 3; i++)
		peer_expect(&p[i], "first\n");
	peer_send(&p[0], "big\n");
	/* One does not read, two are silent, one is queued. */
	SOON(peer_has_input(&p[0]));
	weir_server_stop(st.weir, 120);
	peer_expect_end(&p[1]);
	peer_expect_end(&p[2]);
	peer_expect_end(&p[3]);
	peer_close(&p[0]);
	env_finish(&st);
}

/* --------------------------------------------------- threads and files */

static void cross_send(const struct weir_service *service)
{
	struct env st = { .banner = "" };
	struct peer p[3];

	if (!env_open(&st, "127.0.0.1:0", WEIR_CONFIG(.workers = 3), service))
		return;
	for (int i = 0; i < 3; i++) {
		p[i] = peer_open(&st);
		peer_send(&p[i], "later\n");
	}
	for (int i = 0; i < 3; i++) {
		peer_expect(&p[i], "later\nawake\n");
		peer_half_close(&p[i]);
		peer_expect_end(&p[i]);
	}
	env_close(&st, ENV_GRACE_MS);
}

static void threads(void)
{
	cross_send(READABLE);
	if (sweep_failures() == 0)
		cross_send(WEIR_SERVICE(.session = sweep_service));
}

static void fan_out(void)
{
	struct env st = { .banner = "" };
	struct peer p[2];

	if (!env_open(&st, "127.0.0.1:0", WEIR_CONFIG(.workers = 1),
		      WEIR_SERVICE(.readable = sweep_service,
				   .opened = sweep_join_all)))
		return;
	for (int i = 0; i < 2; i++) {
		p[i] = peer_open(&st);
		peer_send(&p[i], "here\n");
		peer_expect(&p[i], "here\n");
	}
	peer_send(&p[0], "all\n");
	for (int i = 0; i < 2; i++) {
		if (i == 1 && p[0].is_lost)
			peer_send(&p[1], "all\n");
		peer_expect(&p[i], "all\n");
		peer_expect_bytes(&p[i], sweep_big(), SWEEP_SHARED);
	}
	for (int i = 0; i < 2; i++)
		peer_close(&p[i]);
	env_close(&st, ENV_GRACE_MS);
}

static void file_transfer(void)
{
	struct env st = { .banner = "" };
	struct peer p[2];

	if (!env_open(&st, "127.0.0.1:0", WEIR_CONFIG(.workers = 2), READABLE))
		return;
	for (int i = 0; i < 2; i++) {
		p[i] = peer_open_at(&st, st.address, 2048);
		peer_send(&p[i], "before\nfile\nafter\n");
		peer_half_close(&p[i]);
	}
	for (int i = 0; i < 2; i++) {
		peer_expect(&p[i], "before\n");
		peer_expect_bytes(&p[i], sweep_big(), SWEEP_BIG);
		peer_expect(&p[i], "after\n");
		peer_expect_end(&p[i]);
	}
	env_close(&st, ENV_GRACE_MS);
}

const struct sweep_scenario sweep_scenarios[] = {
	{ "start_stop", start_stop },
	{ "signals", signals },
	{ "conversation", conversation },
	{ "sessions", sessions },
	{ "over_limit", over_limit },
	{ "held_back", held_back },
	{ "park", park },
	{ "silence", silence },
	{ "half_close", half_close },
	{ "drain", drain },
	{ "unix_socket", sweep_unix_socket },
	{ "inherited", sweep_inherited },
	{ "threads", threads },
	{ "fan_out", fan_out },
	{ "file_transfer", file_transfer },
	{ "dial", sweep_dial },
	{ "spawn", sweep_spawn },
	{ "relay", sweep_relay },
	{ "reads", sweep_reads },
	{ "misuse", sweep_misuse },
	{ "changes", sweep_changes },
	{ "taken_paths", sweep_taken_paths },
	{ "unix_peers", sweep_unix_peers },
	{ "slow_reader", sweep_slow_reader },
	{ "gone", sweep_gone },
	{ "held_in_stop", sweep_held_in_stop },
	{ "events", sweep_events },
	{ "dial_given", sweep_dial_given },
	{ "dial_full", sweep_dial_full },
	{ "server_dial", sweep_server_dial },
	{ "proxied", sweep_proxied },
	{ NULL, NULL },
};
