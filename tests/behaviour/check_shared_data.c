/* SPDX-License-Identifier: MIT */
/*
 * Data that lives as long as the last reference to its connection, and is
 * dropped once.
 */
#include "test.h"

struct shared {
	_Atomic int drops;
	_Atomic pthread_t dropped_by, closed_by;
	weir_ref *_Atomic ref;
	bool keeps_reference;
	_Atomic int said; /* result of a second call */
};

static void drop(void *data)
{
	struct shared *sh = data;

	sh->dropped_by = pthread_self();
	sh->drops++;
}

static int share(weir_conn *c, void *arg)
{
	struct shared *sh = arg;
	int rc = weir_conn_share_data(c, sh, drop);

	if (sh->keeps_reference)
		sh->ref = weir_conn_ref(c);
	return rc < 0 ? rc : WEIR_AGAIN;
}

static void note_closed(weir_conn *c, void *arg)
{
	struct shared *sh = arg;

	ck_assert_ptr_eq(weir_conn_data(c), sh);
	ck_assert_int_eq(sh->drops, 0);
	sh->closed_by = pthread_self();
}

#define SHARING(sh)                                                            \
	WEIR_SERVICE(.opened = share, .readable = echo_lines,                  \
		     .closed = note_closed, .arg = (sh))

START_TEST(without_references_it_ends_with_the_connection)
{
	struct shared sh = { .drops = 0 };
	struct server *s = serve(NULL, SHARING(&sh));

	client_close(client_open_and_echo(s, "hello\n"));
	UNTIL(sh.drops == 1);
	ck_assert(pthread_equal(sh.dropped_by, sh.closed_by));
	server_stop_and_check(s);
	ck_assert_int_eq(sh.drops, 1);
}
END_TEST

/* The only worker has a reference of its own until it runs the next one. */
static void let_worker_go_on(struct server *s)
{
	int id = server_listen(s, "127.0.0.1:0",
			       WEIR_SERVICE(.readable = echo_lines));
	char address[160];

	server_address(s, id, address, sizeof(address));
	client_expect_echo(client_open_at(address), "next\n");
}

START_TEST(the_last_reference_drops_it)
{
	struct shared sh = { .keeps_reference = true };
	struct server *s = serve_workers(1, SHARING(&sh));
	weir_ref *second;

	client_close(client_open_and_echo(s, "hello\n"));
	UNTIL(stats(s).ledger.completed == 1);
	let_worker_go_on(s);
	ck_assert_ptr_eq(weir_ref_data(sh.ref), &sh);
	second = weir_ref_dup(sh.ref);
	weir_ref_unref(sh.ref);
	ck_assert_ptr_eq(weir_ref_data(second), &sh);
	ck_assert_int_eq(sh.drops, 0);
	weir_ref_unref(second);
	ck_assert_int_eq(sh.drops, 1);
	ck_assert(pthread_equal(sh.dropped_by, pthread_self()));
	server_stop_and_check(s);
}
END_TEST

START_TEST(it_outlives_its_server)
{
	struct shared sh = { .keeps_reference = true };
	struct server *s = serve(NULL, SHARING(&sh));

	client_open_and_echo(s, "hello\n");
	server_stop_and_check(s);
	ck_assert_ptr_eq(weir_ref_data(sh.ref), &sh);
	ck_assert_int_eq(sh.drops, 0);
	weir_ref_unref(sh.ref);
	ck_assert_int_eq(sh.drops, 1);
}
END_TEST

START_TEST(a_reference_that_is_given_up_before_the_end_drops_nothing)
{
	struct shared sh = { .keeps_reference = true };
	struct server *s = serve(NULL, SHARING(&sh));
	struct client *c = client_open_and_echo(s, "hello\n");

	weir_ref_unref(sh.ref);
	client_expect_echo(c, "still here\n");
	ck_assert_int_eq(sh.drops, 0);
	client_close(c);
	UNTIL(sh.drops == 1);
	server_stop_and_check(s);
	ck_assert_int_eq(sh.drops, 1);
}
END_TEST

/* The handler's own data is not seen by others; then it is replaced, once. */
static int replace(weir_conn *c, void *arg)
{
	struct shared *sh = arg;
	weir_ref *self = weir_conn_self(c);
	int wrong = 0;

	wrong += weir_conn_set_data(c, sh, drop) != 0;
	wrong += weir_ref_data(self) != NULL;
	wrong += weir_conn_share_data(c, &wrong, NULL) != 0;
	wrong += sh->drops != 1;
	wrong += weir_ref_data(self) != &wrong;
	wrong += weir_conn_data(c) != &wrong;
	wrong += weir_conn_set_data(c, sh, drop) != -EBUSY;
	wrong += weir_conn_share_data(c, sh, drop) != -EBUSY;
	wrong += weir_conn_set_data(c, NULL, NULL) != -EBUSY;
	wrong += weir_conn_data(c) != &wrong;
	sh->said = wrong;
	return WEIR_AGAIN;
}

START_TEST(it_replaces_other_data_and_is_not_replaced)
{
	struct shared sh = { .said = -1 };
	struct server *s =
		serve(NULL, WEIR_SERVICE(.opened = replace,
					 .readable = echo_lines, .arg = &sh));

	client_open_and_echo(s, "hello\n");
	ck_assert_int_eq(sh.said, 0);
	server_stop_and_check(s);
	ck_assert_int_eq(sh.drops, 1);
}
END_TEST

START_TEST(a_dialled_connection_shares_data_too)
{
	struct shared sh = { .drops = 0 }, lone = { .drops = 0 };
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo_lines));
	weir_conn *c;
	weir_ref *ref;

	ck_assert_int_eq(weir_dial(&c, s->address, 0), 0);
	ck_assert_int_eq(weir_conn_share_data(c, &sh, drop), 0);
	ref = weir_conn_ref(c);
	weir_conn_free(c);
	ck_assert_ptr_eq(weir_ref_data(ref), &sh);
	ck_assert_int_eq(sh.drops, 0);
	weir_ref_unref(ref);
	ck_assert_int_eq(sh.drops, 1);
	ck_assert_int_eq(weir_dial(&c, s->address, 0), 0);
	ck_assert_int_eq(weir_conn_share_data(c, &lone, drop), 0);
	weir_conn_free(c);
	ck_assert_int_eq(lone.drops, 1);
	server_stop_and_check(s);
}
END_TEST

/* ---- the handler and threads end at the same moment */

enum { USERS = 3 };

struct counted {
	_Atomic int uses;
};

static _Atomic int alive;

static void drop_counted(void *data)
{
	free(data);
	alive--;
}

static void *use(void *arg)
{
	weir_ref *ref = arg;
	struct counted *k = weir_ref_data(ref);

	k->uses++;
	weir_ref_unref(ref);
	return NULL;
}

static int share_with_threads(weir_conn *c, void *arg)
{
	struct counted *k = calloc(1, sizeof(*k));
	pthread_attr_t attr;
	pthread_t id;

	(void)arg;
	alive++;
	weir_conn_share_data(c, k, drop_counted);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	for (int i = 0; i < USERS; i++)
		ck_assert_int_eq(
			pthread_create(&id, &attr, use, weir_conn_ref(c)), 0);
	pthread_attr_destroy(&attr);
	return WEIR_CLOSE;
}

START_TEST(threads_and_the_handler_end_at_once)
{
	struct server *s =
		serve(NULL, WEIR_SERVICE(.opened = share_with_threads,
					 .readable = echo_lines));

	for (int i = 0; i < fewer(300); i++) {
		struct client *c = client_open(s);

		client_expect_eof(c);
		client_close(c);
	}
	UNTIL(alive == 0);
	server_stop_and_check(s);
	ck_assert_int_eq(alive, 0);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"shared data", without_references_it_ends_with_the_connection,
		the_last_reference_drops_it, it_outlives_its_server,
		a_reference_that_is_given_up_before_the_end_drops_nothing,
		it_replaces_other_data_and_is_not_replaced,
		a_dialled_connection_shares_data_too,
		threads_and_the_handler_end_at_once);
}
