/* SPDX-License-Identifier: MIT */
/* Calls that a callback, a hook and the log sink must not make. */
#include "test.h"

#include <stdatomic.h>

enum place {
	AT_START,
	IN_HANDLER,
	IN_CLOSED,
	IN_DROP,
	IN_LOG_OF_STOP,
	IN_LOG_OF_END,
	AT_EXIT,
	PLACES
};

static struct {
	weir_server *weir;
	atomic_bool was_at[PLACES];
	atomic_int wrong, refused_frees;
} inside;

static void must_not_wait(enum place place)
{
	if (atomic_exchange(&inside.was_at[place], true))
		return;
	if (weir_server_join(inside.weir, NULL, 0) != -EDEADLK ||
	    weir_server_run(inside.weir, 0) != -EDEADLK)
		atomic_fetch_add(&inside.wrong, 1);
	weir_server_free(inside.weir);
}

static void is_started(int index, void *arg)
{
	(void)arg;
	(void)index;
	must_not_wait(AT_START);
}

static int is_handled(weir_conn *c, void *arg)
{
	(void)arg;
	must_not_wait(IN_HANDLER);
	return echo(c, NULL);
}

static void is_closed(weir_conn *c, void *arg)
{
	(void)c;
	(void)arg;
	must_not_wait(IN_CLOSED);
}

static void is_dropped(void *data)
{
	(void)data;
	must_not_wait(IN_DROP);
}

static int is_opened(weir_conn *c, void *arg)
{
	(void)arg;
	weir_conn_set_data(c, &inside, is_dropped);
	return WEIR_AGAIN;
}

static void is_logged(int level, const char *line, void *arg)
{
	(void)arg;
	(void)level;
	if (strstr(line, "weir_server_free"))
		atomic_fetch_add(&inside.refused_frees, 1);
	else if (strstr(line, "stopping"))
		must_not_wait(IN_LOG_OF_STOP);
	else if (strstr(line, "stopped"))
		must_not_wait(IN_LOG_OF_END);
}

static void is_exited(int index, void *arg)
{
	(void)arg;
	(void)index;
	must_not_wait(AT_EXIT);
}

START_TEST(no_thread_of_a_server_waits_for_its_end_or_frees_it)
{
	struct server *s = server_new(WEIR_CONFIG(.log = is_logged,
						  .worker_start = is_started,
						  .worker_exit = is_exited));
	struct client *c;

	inside.weir = s->weir;
	server_listen(s, "127.0.0.1:0",
		      WEIR_SERVICE(.opened = is_opened, .readable = is_handled,
				   .closed = is_closed));
	server_start(s);
	c = client_open_and_echo(s, "hello");
	client_close(c);
	server_stop_and_check(s);
	for (int i = 0; i < PLACES; i++)
		ck_assert_msg(inside.was_at[i], "place %d", i);
	ck_assert_int_eq(inside.wrong, 0);
	ck_assert_int_eq(inside.refused_frees, PLACES);
}
END_TEST

int main(void)
{
	return RUN_TESTS("inside",
			 no_thread_of_a_server_waits_for_its_end_or_frees_it);
}
