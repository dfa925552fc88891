/* SPDX-License-Identifier: MIT */
/*
 * The option structures: what is refused, and the effect of what is accepted
 * (threads, hooks, stacks, log levels).
 */
#include "test.h"

#include <sched.h>

static void expect_config(int error, const struct weir_config *config)
{
	weir_server *s = NULL;
	int rc = weir_server_new(&s, config);

	ck_assert_msg(rc == error, "it said %s", weir_strerror(rc));
	if (rc < 0)
		ck_assert_ptr_null(s); /* written on success only */
	weir_server_free(s);
}

START_TEST(values_out_of_range_are_refused)
{
	expect_config(-EINVAL, WEIR_CONFIG(.workers = -1));
	expect_config(-EINVAL, WEIR_CONFIG(.queue_length = -1));
	expect_config(-EINVAL, WEIR_CONFIG(.queue_age_ms = -2));
	expect_config(-EINVAL, WEIR_CONFIG(.max_connections = -1));
	expect_config(-EINVAL, WEIR_CONFIG(.overload = 2));
	expect_config(-EINVAL, WEIR_CONFIG(.affinity = 2));
	expect_config(-EINVAL, WEIR_CONFIG(.drain_ms = -2));
	expect_config(-EINVAL, WEIR_CONFIG(.log_level = -1));
	expect_config(-EINVAL, WEIR_CONFIG(.log_level = 5));
	expect_config(-EINVAL, WEIR_CONFIG(.stack_size = 1000));
	expect_config(0, WEIR_CONFIG(.queue_age_ms = WEIR_NEVER));
	expect_config(0, WEIR_CONFIG(.drain_ms = WEIR_NEVER));
	expect_config(0, NULL);
}
END_TEST

/* A program built with a later header has a longer structure. */
START_TEST(a_longer_structure_is_taken_if_what_we_do_not_know_is_unset)
{
	struct {
		struct weir_config known;
		char later[32];
	} wide = { .known = { .size = sizeof(wide), .workers = 1 } };

	expect_config(0, &wide.known);
	wide.later[5] = 1;
	expect_config(-EINVAL, &wide.known);
}
END_TEST

/* One built with an earlier header has a shorter one. */
START_TEST(a_shorter_structure_has_defaults_for_the_rest)
{
	struct weir_config narrow = { .size = offsetof(struct weir_config,
						       queue_length),
				      .workers = 1,
				      .queue_length = -7 };

	expect_config(0, &narrow);
	narrow.size = 0;
	expect_config(-EINVAL, &narrow);
	narrow.size = 1;
	expect_config(-EINVAL, &narrow);
}
END_TEST

static void expect_service(int error, const struct weir_service *service)
{
	struct server *s = server_new(NULL);
	int rc = weir_server_listen(s->weir, "127.0.0.1:0", service);

	ck_assert_msg(error ? rc == error : rc >= 0, "it said %s",
		      weir_strerror(rc));
	weir_server_free(s->weir);
	server_check_freed(s);
}

/* The defaults can be asked for, and then a 0 is a 0. */
START_TEST(defaults_are_what_a_structure_without_fields_means)
{
	struct weir_config config;
	struct weir_service service;
	const struct weir_option *o;
	struct weir_report report;
	struct client *c;
	struct server *s;
	weir_server *made;
	struct weir_stats now;

	memset(&config, 0xaa, sizeof(config));
	weir_config_init(&config, sizeof(config));
	ck_assert_int_gt(config.workers, 0);
	ck_assert_int_eq(config.queue_length, 128);
	ck_assert_str_eq(config.refusal, "busy, try later\n");
	ck_assert_ptr_null(config.log);
	ck_assert_int_eq(weir_server_new(&made, NULL), 0);
	weir_server_stats(made, &now, sizeof(now));
	weir_server_free(made);
	ck_assert_uint_eq(now.workers, (uint64_t)config.workers);
	ck_assert_uint_eq(now.queue_length, (uint64_t)config.queue_length);
	ck_assert_uint_eq(now.max_connections,
			  (uint64_t)config.max_connections);
	for (size_t i = 0; (o = weir_config_option(i)) != NULL; i++)
		if (strcmp(o->name, "workers") != 0)
			ck_assert(o->preset == WEIR_NEVER ||
				  (o->preset >= o->min && o->preset <= o->max));
	config.drain_ms = 0;
	expect_config(0, &config);
	config.queue_length = 0;
	expect_config(-EINVAL, &config);
	config.queue_length = 1;
	memset(&service, 0xaa, sizeof(service));
	weir_service_init(&service, sizeof(service));
	ck_assert_int_eq(service.idle_ms, 300000);
	ck_assert_int_eq(service.lifetime_ms, WEIR_NEVER);
	ck_assert_ptr_null(service.readable);
	service.readable = echo;
	s = serve(&config, &service);
	c = client_open(s);
	client_send(c, "hello");
	client_expect(c, "hello");
	weir_server_drain(s->weir); /* with a grace of 0 */
	report = server_join_and_check(s);
	ck_assert_uint_eq(report.ledger.cut, 1);
}
END_TEST

/* An older program's structures are shorter, a newer one's are longer. */
START_TEST(defaults_fill_a_structure_as_far_as_it_goes)
{
	struct {
		struct weir_config known;
		char later[32];
	} wide;
	struct weir_config narrow;
	struct weir_service few;

	memset(&wide, 0xaa, sizeof(wide));
	weir_config_init(&wide.known, sizeof(wide));
	ck_assert_uint_eq(wide.known.size, sizeof(wide));
	for (size_t i = 0; i < sizeof(wide.later); i++)
		ck_assert_int_eq(wide.later[i], 0);
	expect_config(0, &wide.known);
	memset(&narrow, 0, sizeof(narrow));
	weir_config_init(&narrow, offsetof(struct weir_config, queue_length));
	ck_assert_int_gt(narrow.workers, 0);
	ck_assert_int_eq(narrow.queue_length, 0);
	expect_config(0, &narrow); /* what is missing has its default */
	narrow.workers = 0;
	expect_config(-EINVAL, &narrow);
	weir_service_init(&few, offsetof(struct weir_service, idle_ms));
	few.readable = echo;
	expect_service(0, &few);
	weir_config_init(NULL, 100);
	weir_service_init(NULL, 100);
}
END_TEST

static void expect_wrong(const struct weir_config *config, const char *text)
{
	char why[100];

	ck_assert_int_eq(weir_config_check(config, why, sizeof(why)), -EINVAL);
	ck_assert_str_eq(why, text);
}

START_TEST(a_check_says_what_is_wrong)
{
	struct weir_service none = { .size = sizeof(none) };
	char why[100] = "as before", few[8];

	ck_assert_int_eq(weir_config_check(NULL, why, sizeof(why)), 0);
	ck_assert_int_eq(weir_config_check(WEIR_CONFIG(.workers = 1024), why,
					   sizeof(why)),
			 0);
	ck_assert_str_eq(why, "as before");
	expect_wrong(WEIR_CONFIG(.early_start = 7, .early_full = 7),
		     "early_full is 7, not more than early_start");
	expect_wrong(WEIR_CONFIG(.workers = 2000),
		     "workers is 2000, not from 1 to 1024");
	expect_wrong(WEIR_CONFIG(.drain_ms = -2),
		     "drain_ms is -2, not from 0 to 2147483647 or WEIR_NEVER");
	expect_wrong(WEIR_CONFIG(.stack_size = 1000),
		     "stack_size is 1000, not from 65536 to 1073741824");
	expect_wrong(WEIR_CONFIG(.exact = 2), "exact is 2, not 0 or 1");
	expect_wrong(&(struct weir_config){ .size = 3 },
		     "size is not that of the structure");
	ck_assert_int_eq(weir_service_check(&none, why, sizeof(why)), -EINVAL);
	ck_assert_str_eq(why,
			 "exactly one of session and readable must be set");
	ck_assert_int_eq(weir_service_check(
				 WEIR_SERVICE(.readable = echo, .mode = 01000),
				 why, sizeof(why)),
			 -EINVAL);
	ck_assert_str_eq(why, "mode is 512, not from 0 to 511");
	ck_assert_int_eq(weir_service_check(NULL, NULL, 0), -EINVAL);
	ck_assert_int_eq(weir_service_check(&none, few, sizeof(few)), -EINVAL);
	ck_assert_str_eq(few, "exactly");
}
END_TEST

/* A program whose structures are longer or shorter gets what both know. */
START_TEST(a_structure_is_filled_as_far_as_it_goes)
{
	struct server *s = serve(WEIR_CONFIG(.workers = 3, .queue_length = 7,
					     .max_connections = 20),
				 WEIR_SERVICE(.readable = echo));
	struct {
		struct weir_stats known;
		unsigned char later[32];
	} wide;
	struct {
		struct weir_report known;
		unsigned char later[32];
	} report;
	struct {
		struct weir_listener_stats known;
		unsigned char later[32];
	} listener;
	struct weir_stats narrow;

	memset(&listener, 0xaa, sizeof(listener));
	ck_assert_int_eq(weir_server_listener_stats(s->weir, 0, &listener.known,
						    sizeof(listener)),
			 0);
	ck_assert_uint_eq(listener.known.ledger.accepted, 0);
	memset(&wide, 0xaa, sizeof(wide));
	ck_assert_int_eq(weir_server_stats(s->weir, &wide.known, sizeof(wide)),
			 0);
	ck_assert_uint_eq(wide.known.phase, WEIR_PHASE_SERVING);
	ck_assert_uint_eq(wide.known.workers, 3);
	ck_assert_uint_eq(wide.known.queue_length, 7);
	ck_assert_uint_eq(wide.known.max_connections, 20);
	memset(&narrow, 0xaa, sizeof(narrow));
	ck_assert_int_eq(
		weir_server_stats(s->weir, &narrow,
				  offsetof(struct weir_stats, bytes_in)),
		0);
	ck_assert_uint_eq(narrow.ledger.accepted, 0);
	ck_assert_uint_eq(narrow.bytes_in, 0xaaaaaaaaaaaaaaaa);
	ck_assert_int_eq(weir_server_stats(s->weir, NULL, 8), -EINVAL);
	memset(&report, 0xaa, sizeof(report));
	weir_server_drain(s->weir);
	ck_assert_int_eq(join_fully(s->weir, NULL), 0);
	ck_assert_int_eq(
		weir_server_join(s->weir, &report.known, sizeof(report)), 0);
	ck_assert_uint_eq(report.known.stuck, 0);
	for (size_t i = 0; i < 32; i++)
		ck_assert_int_eq(
			wide.later[i] | report.later[i] | listener.later[i], 0);
	ck_assert_int_eq(weir_server_stats(s->weir, &wide.known, sizeof(wide)),
			 0);
	ck_assert_uint_eq(wide.known.phase, WEIR_PHASE_DONE);
	server_join_and_check(s);
}
END_TEST

START_TEST(a_service_is_a_session_or_readable)
{
	expect_service(-EINVAL, NULL);
	expect_service(-EINVAL, WEIR_SERVICE(.session = NULL));
	expect_service(-EINVAL, WEIR_SERVICE(.opened = echo));
	expect_service(-EINVAL,
		       WEIR_SERVICE(.session = echo, .readable = echo));
	expect_service(0, WEIR_SERVICE(.session = echo));
	expect_service(0, WEIR_SERVICE(.readable = echo));
}
END_TEST

START_TEST(values_of_a_service_out_of_range_are_refused)
{
	expect_service(-EINVAL,
		       WEIR_SERVICE(.readable = echo, .first_byte_ms = -2));
	expect_service(-EINVAL, WEIR_SERVICE(.readable = echo, .read_ms = -2));
	expect_service(-EINVAL, WEIR_SERVICE(.readable = echo, .write_ms = -2));
	expect_service(-EINVAL, WEIR_SERVICE(.readable = echo, .idle_ms = -2));
	expect_service(-EINVAL,
		       WEIR_SERVICE(.readable = echo, .lifetime_ms = -2));
	expect_service(-EINVAL, WEIR_SERVICE(.readable = echo, .backlog = -1));
	expect_service(-EINVAL, WEIR_SERVICE(.readable = echo, .mode = 010000));
	expect_service(-EINVAL,
		       WEIR_SERVICE(.readable = echo, .outbox_mark = 2000,
				    .outbox_max = 1999));
	expect_service(0, WEIR_SERVICE(.readable = echo,
				       .outbox_mark = (size_t)1 << 30));
	expect_service(0,
		       WEIR_SERVICE(.readable = echo, .idle_ms = WEIR_NEVER));
}
END_TEST

START_TEST(what_is_passed_is_copied)
{
	char refusal[] = "sorry\n";
	struct weir_config config = { .size = sizeof(config),
				      .workers = 1,
				      .max_connections = 1,
				      .overload = WEIR_REFUSE,
				      .refusal = refusal };
	struct weir_service service = { .size = sizeof(service),
					.readable = echo_lines };
	struct server *s = server_new(&config);
	struct client *c;

	memset(refusal, 'x', sizeof(refusal) - 1);
	config.max_connections = 1000;
	server_listen(s, "127.0.0.1:0", &service);
	memset(&service, 0xff, sizeof(service));
	server_start(s);
	client_open(s);
	c = client_open(s);
	client_expect_last(c, "sorry\n");
	server_stop_and_check(s);
}
END_TEST

START_TEST(an_address_needs_room)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo));
	char buf[64];
	const int len = (int)strlen(s->address);

	ck_assert_int_eq(weir_server_address(s->weir, 0, buf, 64), len);
	ck_assert_int_eq(weir_server_address(s->weir, 0, buf, (size_t)len + 1),
			 len);
	ck_assert_int_eq(weir_server_address(s->weir, 0, buf, (size_t)len),
			 -ENOSPC);
	ck_assert_int_eq(weir_server_address(s->weir, 1, buf, 64), -EINVAL);
	ck_assert_int_eq(weir_server_address(s->weir, -1, buf, 64), -EINVAL);
	server_stop_and_check(s);
}
END_TEST

/* ---- workers */

#define WORKERS 5

struct roll {
	pthread_mutex_t lock;
	int started[WORKERS], ended[WORKERS];
	pthread_t thread[WORKERS];
	int wrong;
};

static void worker_signs_in(int index, void *arg)
{
	struct roll *r = arg;

	pthread_mutex_lock(&r->lock);
	if (index < 0 || index >= WORKERS) {
		r->wrong++;
	} else {
		r->started[index]++;
		r->thread[index] = pthread_self();
	}
	pthread_mutex_unlock(&r->lock);
}

static void worker_signs_out(int index, void *arg)
{
	struct roll *r = arg;

	pthread_mutex_lock(&r->lock);
	if (index < 0 || index >= WORKERS ||
	    !pthread_equal(r->thread[index], pthread_self()))
		r->wrong++;
	else
		r->ended[index]++;
	pthread_mutex_unlock(&r->lock);
}

START_TEST(each_worker_calls_its_hooks_once)
{
	struct roll r = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct server *s = serve(
		WEIR_CONFIG(.workers = WORKERS, .worker_start = worker_signs_in,
			    .worker_exit = worker_signs_out, .worker_arg = &r),
		WEIR_SERVICE(.readable = echo));

	ck_assert_uint_eq(stats(s).workers, WORKERS);
	server_stop_and_check(s);
	for (int i = 0; i < WORKERS; i++) {
		ck_assert_int_eq(r.started[i], 1);
		ck_assert_int_eq(r.ended[i], 1);
	}
	ck_assert_int_eq(r.wrong, 0);
}
END_TEST

static int say_its_surroundings(weir_conn *c, void *arg)
{
	pthread_attr_t attr;
	size_t stack_size = 0;
	cpu_set_t cpus;
	sigset_t mask;
	char line[32];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	(void)arg;
	if (n <= 0)
		return (int)n;
	CPU_ZERO(&cpus);
	sched_getaffinity(0, sizeof(cpus), &cpus);
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	pthread_getattr_np(pthread_self(), &attr);
	pthread_attr_getstacksize(&attr, &stack_size);
	pthread_attr_destroy(&attr);
	weir_conn_printf(c, "cpus %d, ", CPU_COUNT(&cpus));
	weir_conn_printf(c, "stack %s, ",
			 stack_size >= 1 << 20 && stack_size < 2 << 20
				 ? "as asked"
				 : "other");
	return weir_conn_printf(c, "signals %s",
				sigismember(&mask, SIGTERM) &&
						sigismember(&mask, SIGUSR1) &&
						sigismember(&mask, SIGPIPE)
					? "blocked"
					: "open");
}

START_TEST(a_worker_has_its_processor_stack_and_mask)
{
	struct server *s = serve(
		WEIR_CONFIG(.workers = 2, .affinity = WEIR_AFFINITY_SPREAD,
			    .stack_size = 1 << 20),
		WEIR_SERVICE(.readable = say_its_surroundings));
	struct client *c = client_open(s);

	client_expect_reply(c, "go\n",
			    "cpus 1, stack as asked, signals blocked");
	server_stop_and_check(s);
}
END_TEST

static int return_an_error(weir_conn *c, void *arg)
{
	(void)c;
	(void)arg;
	return -EPROTO;
}

START_TEST(only_lines_of_the_level_wanted_are_logged)
{
	static const int levels[] = { WEIR_LOG_ERROR, WEIR_LOG_DEBUG };
	int lines[2];

	for (int i = 0; i < 2; i++) {
		struct server *s =
			serve(WEIR_CONFIG(.workers = 1, .log_level = levels[i]),
			      WEIR_SERVICE(.readable = return_an_error));
		struct client *c = client_open_and_send(s, "x");

		client_expect_end(c);
		client_close(c);
		UNTIL(is_at_rest(s));
		lines[i] = log_lines(s);
		server_stop_and_check(s);
	}
	ck_assert_int_lt(lines[0], lines[1]);
}
END_TEST

START_TEST(errors_have_words)
{
	ck_assert_str_eq(weir_version(), WEIR_VERSION);
	ck_assert_str_ne(weir_strerror(-ESHUTDOWN), weir_strerror(-EMSGSIZE));
	ck_assert_uint_gt(strlen(weir_strerror(-EINVAL)), 0);
	ck_assert_uint_gt(strlen(weir_strerror(-99999)), 0);
	ck_assert_uint_gt(strlen(weir_strerror(0)), 0);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"settings", values_out_of_range_are_refused,
		a_longer_structure_is_taken_if_what_we_do_not_know_is_unset,
		a_shorter_structure_has_defaults_for_the_rest,
		a_structure_is_filled_as_far_as_it_goes,
		defaults_are_what_a_structure_without_fields_means,
		defaults_fill_a_structure_as_far_as_it_goes,
		a_check_says_what_is_wrong, a_service_is_a_session_or_readable,
		values_of_a_service_out_of_range_are_refused,
		what_is_passed_is_copied, an_address_needs_room,
		each_worker_calls_its_hooks_once,
		a_worker_has_its_processor_stack_and_mask,
		only_lines_of_the_level_wanted_are_logged, errors_have_words);
}
