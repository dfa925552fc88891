/* SPDX-License-Identifier: MIT */
/*
 * The scenes of the failure sweep, but for the rarer ones of rare.c.
 * Each is short, because it is played some hundred times, and comes by as many
 * calls as it can.
 */
#include "env.h"

#define READABLE WEIR_SERVICE(.readable = sweep_answers)
#define SESSION	 WEIR_SERVICE(.session = sweep_answers, .outbox_max = 8192)

/* ---------------------------------------------------------- to and fro */

static void start_stop(void)
{
	struct stage st = { .banner = "" };
	const struct weir_config *config =
		WEIR_CONFIG(.workers = 3, .affinity = WEIR_AFFINITY_SPREAD);

	if (!stage_makes(&st, config))
		return;
	weir_server_free(st.weir);
	if (stage_makes(&st, config) &&
	    stage_listens(&st, "127.0.0.1:0", READABLE) &&
	    stage_listens(&st, "localhost:0", READABLE) &&
	    stage_listens(&st, ":0", SESSION) &&
	    stage_listens(&st, own_unix_address(), READABLE) &&
	    stage_starts(&st))
		stage_closes(&st, 0);
}

/* weir_server_run() with a signal that has come already. */
static void signals(void)
{
	struct stage st = { .banner = "" };
	sigset_t term, before;
	int rc;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &term, &before);
	if (stage_makes(&st, WEIR_CONFIG(.workers = 2,
					 .drain_ms = STAGE_GRACE_MS)) &&
	    stage_listens(&st, "127.0.0.1:0", READABLE)) {
		kill(getpid(), SIGTERM);
		rc = weir_server_run(st.weir, WEIR_SIGNALS);
		stage_expects(rc, "run");
		if (rc == 0)
			stage_is_over(&st);
		else
			weir_server_free(st.weir);
	}
	sigpending(&before);
	if (sigismember(&before, SIGTERM))
		sigwaitinfo(&term, NULL);
	pthread_sigmask(SIG_UNBLOCK, &term, NULL);
}

/* With a worker for each session, so that none waits for another. */
static void talk(struct stage *st, const struct weir_service *service)
{
	struct peer p[3];

	if (!stage_opens(st, "127.0.0.1:0", WEIR_CONFIG(.workers = 4), service))
		return;
	for (int i = 0; i < 3; i++)
		p[i] = peer_opens(st);
	for (int i = 0; i < 3; i++) {
		peer_says(&p[i], "hello\nwo");
		peer_hears(&p[i], st->banner);
		peer_hears(&p[i], "hello\n");
	}
	SOON(stage_parked(st) == 3 || service->session);
	for (int i = 0; i < 3; i++) {
		char text[700];

		peer_says(&p[i], "rld\nnames\n");
		peer_hears(&p[i], "world\nnames\n");
		snprintf(text, sizeof(text), "%600s", "");
		peer_hears(&p[i], text);
	}
	peer_says(&p[0], "last\n");
	for (int i = 0; i < 3; i++) {
		if (i > 0)
			peer_finishes(&p[i]);
		peer_hears(&p[i], i == 0 ? "last\n" : "");
		peer_ends(&p[i]);
	}
	stage_closes(st, STAGE_GRACE_MS);
}

static void conversation(void)
{
	struct stage st = { .banner = "Connect" };

	talk(&st,
	     WEIR_SERVICE(.readable = sweep_answers, .opened = connect_banner));
}

static void sessions(void)
{
	struct stage st = { .banner = "" };

	talk(&st, WEIR_SERVICE(.session = sweep_answers));
}

/* ------------------------------------------------------------ too many */

static void over_limit(void)
{
	struct stage st = { .banner = "", .may_refuse = true };
	struct peer p[4];

	if (!stage_opens(&st, "127.0.0.1:0",
			 WEIR_CONFIG(.workers = 1, .max_connections = 2,
				     .queue_length = 1,
				     .overload = WEIR_REFUSE),
			 READABLE))
		return;
	for (int i = 0; i < 4; i++) {
		p[i] = peer_opens(&st);
		peer_says(&p[i], "first\n");
		peer_hears(&p[i], "first\n");
	}
	for (int i = 0; i < 4; i++) {
		peer_finishes(&p[i]);
		peer_ends(&p[i]);
	}
	stage_closes(&st, STAGE_GRACE_MS);
}

static void held_back(void)
{
	struct stage st = { .banner = "" };
	struct peer a, b;

	if (!stage_opens(&st, "127.0.0.1:0",
			 WEIR_CONFIG(.workers = 1, .max_connections = 1),
			 READABLE))
		return;
	a = peer_opens(&st);
	peer_says(&a, "first\n");
	peer_hears(&a, "first\n");
	b = peer_opens(&st);
	peer_says(&b, "second\n");
	peer_finishes(&a);
	peer_ends(&a);
	peer_hears(&b, "second\n");
	peer_finishes(&b);
	peer_ends(&b);
	stage_closes(&st, STAGE_GRACE_MS);
}

/* ------------------------------------------------------ parked and ended */

static void park(void)
{
	struct stage st = { .banner = "" };
	struct peer p[3];

	if (!stage_opens(&st, "127.0.0.1:0", WEIR_CONFIG(.workers = 2),
			 WEIR_SERVICE(.readable = sweep_answers,
				      .first_byte_ms = 5000)))
		return;
	for (int i = 0; i < 3; i++)
		p[i] = peer_opens(&st);
	SOON(stage_parked(&st) == 3);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 3; i++)
			peer_says(&p[i], "round\nand h");
		for (int i = 0; i < 3; i++)
			peer_hears(&p[i], "round\n");
		SOON(stage_parked(&st) == 3);
		for (int i = 0; i < 3; i++) {
			peer_says(&p[i], "alf\n");
			peer_hears(&p[i], "and half\n");
		}
	}
	/* The last word of a stop finds two of them parked. */
	peer_finishes(&p[0]);
	peer_ends(&p[0]);
	stage_is_through();
	weir_server_stop(st.weir, STAGE_GRACE_MS);
	peer_ends(&p[1]);
	peer_ends(&p[2]);
	stage_is_over(&st);
}

/* Who says nothing goes by its deadline. */
static void silence(void)
{
	struct stage st = { .banner = "" };
	struct peer p[2];

	if (!stage_opens(&st, "127.0.0.1:0", WEIR_CONFIG(.workers = 2),
			 WEIR_SERVICE(.readable = sweep_answers,
				      .first_byte_ms = 60, .idle_ms = 60)))
		return;
	p[0] = peer_opens(&st);
	p[1] = peer_opens(&st);
	peer_says(&p[1], "first\n");
	peer_hears(&p[1], "first\n");
	peer_ends(&p[0]);
	peer_ends(&p[1]);
	stage_closes(&st, STAGE_GRACE_MS);
}

/* All that was asked for comes after the client's end, however slowly. */
static void half_close(void)
{
	struct stage st = { .banner = "" };
	struct peer p[3];

	if (!stage_opens(&st, "127.0.0.1:0", WEIR_CONFIG(.workers = 2),
			 READABLE))
		return;
	for (int i = 0; i < 3; i++) {
		p[i] = peer_opens_at(&st, st.address, 2048);
		peer_says(&p[i], "big\n");
		if (i < 2)
			peer_finishes(&p[i]);
	}
	/* One has said more than will be read, and takes its time. */
	peer_says(&p[2], "last\nunread\nunread\n");
	for (int i = 0; i < 3; i++) {
		peer_hears_bytes(&p[i], sweep_big(), SWEEP_BIG);
		peer_hears(&p[i], i == 2 ? "last\n" : "");
		if (i < 2)
			peer_ends(&p[i]);
	}
	peer_says(&p[2], "late\n");
	SOON(stage_lingering(&st) > 0);
	peer_finishes(&p[2]);
	peer_ends(&p[2]);
	stage_closes(&st, STAGE_GRACE_MS);
}

static void drain(void)
{
	struct stage st = { .banner = "", .may_refuse = true };
	struct peer p[4];

	if (!stage_makes(&st, WEIR_CONFIG(.workers = 3)) ||
	    !stage_listens(&st, "127.0.0.1:0", SESSION) || !stage_starts(&st))
		return;
	for (int i = 0; i < 4; i++) {
		p[i] = peer_opens_at(&st, st.address, 2048);
		if (i < 3)
			peer_says(&p[i], "first\n");
	}
	for (int i = 0; i < 3; i++)
		peer_hears(&p[i], "first\n");
	peer_says(&p[0], "big\n");
	/* One does not read, two are silent, one waits in the queue. */
	SOON(peer_is_told(&p[0]));
	weir_server_stop(st.weir, 120);
	peer_ends(&p[1]);
	peer_ends(&p[2]);
	peer_ends(&p[3]);
	peer_leaves(&p[0]);
	stage_is_over(&st);
}

/* --------------------------------------------------- threads and files */

static void cross_send(const struct weir_service *service)
{
	struct stage st = { .banner = "" };
	struct peer p[3];

	if (!stage_opens(&st, "127.0.0.1:0", WEIR_CONFIG(.workers = 3),
			 service))
		return;
	for (int i = 0; i < 3; i++) {
		p[i] = peer_opens(&st);
		peer_says(&p[i], "later\n");
	}
	for (int i = 0; i < 3; i++) {
		peer_hears(&p[i], "later\nawake\n");
		peer_finishes(&p[i]);
		peer_ends(&p[i]);
	}
	stage_closes(&st, STAGE_GRACE_MS);
}

static void threads(void)
{
	cross_send(READABLE);
	if (sweep_made() == 0)
		cross_send(WEIR_SERVICE(.session = sweep_answers));
}

static void file_transfer(void)
{
	struct stage st = { .banner = "" };
	struct peer p[2];

	if (!stage_opens(&st, "127.0.0.1:0", WEIR_CONFIG(.workers = 2),
			 READABLE))
		return;
	for (int i = 0; i < 2; i++) {
		p[i] = peer_opens_at(&st, st.address, 2048);
		peer_says(&p[i], "before\nfile\nafter\n");
		peer_finishes(&p[i]);
	}
	for (int i = 0; i < 2; i++) {
		peer_hears(&p[i], "before\n");
		peer_hears_bytes(&p[i], sweep_big(), SWEEP_BIG);
		peer_hears(&p[i], "after\n");
		peer_ends(&p[i]);
	}
	stage_closes(&st, STAGE_GRACE_MS);
}

const struct sweep_scene sweep_scenes[] = {
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
	{ "file_transfer", file_transfer },
	{ "dial", sweep_dial },
	{ "reads", sweep_reads },
	{ "misuse", sweep_misuse },
	{ "taken_paths", sweep_taken_paths },
	{ "unix_peers", sweep_unix_peers },
	{ "slow_reader", sweep_slow_reader },
	{ "gone", sweep_gone },
	{ "held_in_stop", sweep_held_in_stop },
	{ "dial_given", sweep_dial_given },
	{ "dial_full", sweep_dial_full },
	{ NULL, NULL },
};
