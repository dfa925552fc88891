/* SPDX-License-Identifier: MIT */
/*
 * Names to addresses and back, each by its deadline, whatever the resolver
 * does.  The resolver is replaced by one that knows a few names and answers
 * when the test lets it.
 */
#include "test.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>

#include "faults.h"

#define PATIENT_MS 20000

static struct gate gate = GATE_CLOSED;
static atomic_int asked; /* look-ups that reached the resolver */

static int list_of(const char *first, const char *second, const char *port,
		   struct addrinfo **ret)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	__typeof__(&getaddrinfo) real;
	int rc;

	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	rc = real(first, port, &hints, ret);
	if (rc == 0 && second)
		rc = real(second, port, &hints, &(*ret)->ai_next);
	return rc;
}

/* Instead of the system's. */
int getaddrinfo(const char *host, const char *port,
		const struct addrinfo *hints, struct addrinfo **ret)
{
	if (!hints || hints->ai_flags & AI_NUMERICHOST) {
		struct in6_addr any;

		return inet_pton(AF_INET, host, &any) == 1 ||
				       inet_pton(AF_INET6, host, &any) == 1
			       ? list_of(host, NULL, port, ret)
			       : EAI_NONAME;
	}
	atomic_fetch_add(&asked, 1);
	if (strcmp(host, "slow.test") == 0)
		gate_wait(&gate);
	if (strcmp(host, "brief.test") == 0)
		usleep((useconds_t)(random() % 1500));
	if (strcmp(host, "later.test") == 0)
		return EAI_AGAIN;
	if (strcmp(host, "broken.test") == 0)
		return EAI_FAIL;
	if (strcmp(host, "nobody.test") == 0)
		return EAI_NONAME;
	return list_of("::1", "127.0.0.1", port, ret);
}

/* Names 127.0.0.1, and 127.0.0.2 when it may, and no other address. */
int getnameinfo(const struct sockaddr *addr, socklen_t len, char *host,
		socklen_t host_cap, char *port, socklen_t port_cap, int flags)
{
	char text[INET_ADDRSTRLEN] = "";

	(void)len;
	(void)port;
	(void)port_cap;
	ck_assert_int_eq(flags, NI_NAMEREQD);
	atomic_fetch_add(&asked, 1);
	if (addr->sa_family == AF_INET)
		inet_ntop(AF_INET,
			  &((const struct sockaddr_in *)(const void *)addr)
				   ->sin_addr,
			  text, sizeof(text));
	if (strcmp(text, "127.0.0.2") == 0)
		gate_wait(&gate);
	else if (strcmp(text, "127.0.0.1") != 0)
		return EAI_NONAME;
	snprintf(host, host_cap, "one.test");
	return 0;
}

static int resolve(const char *where, int timeout_ms)
{
	struct weir_address a[4];

	return weir_resolve(a, 4, where, timeout_ms);
}

START_TEST(a_name_has_all_its_addresses_in_order)
{
	struct process_state before;
	struct weir_address a[4];
	struct sockaddr_in *in = (struct sockaddr_in *)&a[1].addr;

	process_state_take(&before);
	ck_assert_int_eq(weir_resolve(a, 4, "two.test:80", PATIENT_MS), 2);
	ck_assert_str_eq(a[0].text, "[::1]:80");
	ck_assert_str_eq(a[1].text, "127.0.0.1:80");
	ck_assert_uint_eq(a[0].len, sizeof(struct sockaddr_in6));
	ck_assert_uint_eq(a[1].len, sizeof(struct sockaddr_in));
	ck_assert_int_eq(in->sin_family, AF_INET);
	ck_assert_int_eq(ntohs(in->sin_port), 80);
	ck_assert_int_eq(weir_resolve(a, 4, ":7", 0), 2); /* loopback */
	ck_assert_str_eq(a[1].text, "127.0.0.1:7");
	process_state_check(&before);
}
END_TEST

START_TEST(what_does_not_fit_is_counted)
{
	struct weir_address a[2] = { { .len = 0 }, { .len = 99 } };

	ck_assert_int_eq(weir_resolve(a, 1, "two.test:80", WEIR_NEVER), 2);
	ck_assert_str_eq(a[0].text, "[::1]:80");
	ck_assert_uint_eq(a[1].len, 99);
}
END_TEST

START_TEST(a_number_needs_no_resolver_and_no_thread)
{
	struct weir_address a;

	faults_install();
	fail_calls_from(WR_SYS_thread_create, 1, -EAGAIN);
	ck_assert_int_eq(weir_resolve(&a, 1, "127.0.0.3:80", 1), 1);
	ck_assert_str_eq(a.text, "127.0.0.3:80");
	ck_assert_int_eq(weir_resolve(&a, 1, "[fe80::1]:80", 1), 1);
	ck_assert_str_eq(a.text, "[fe80::1]:80");
	ck_assert_int_eq(atomic_load(&asked), 0);
	ck_assert_int_eq(resolve("two.test:80", PATIENT_MS), -EAGAIN);
	faults_clear();
}
END_TEST

START_TEST(what_cannot_be_resolved_says_so)
{
	struct weir_address a;
	struct process_state before;

	process_state_take(&before);
	ck_assert_int_eq(resolve("nobody.test:80", PATIENT_MS), -ENOENT);
	ck_assert_int_eq(resolve("later.test:80", PATIENT_MS), -EAGAIN);
	ck_assert_int_eq(resolve("broken.test:80", PATIENT_MS), -EIO);
	ck_assert_int_eq(resolve("no port", 0), -EINVAL);
	ck_assert_int_eq(resolve(NULL, 0), -EINVAL);
	ck_assert_int_eq(resolve("unix:/x", 0), -EINVAL);
	ck_assert_int_eq(resolve("fd:3", 0), -EINVAL);
	ck_assert_int_eq(resolve("two.test:80", -2), -EINVAL);
	ck_assert_int_eq(weir_resolve(&a, 0, "two.test:80", 0), -EINVAL);
	ck_assert_int_eq(weir_resolve(NULL, 1, "two.test:80", 0), -EINVAL);
	process_state_check(&before);
}
END_TEST

/* Its thread is still in the resolver; it cleans up later. */
START_TEST(a_look_up_ends_at_its_deadline)
{
	struct process_state before;
	int64_t began_at = now_ms();
	char name[64] = "as before";
	weir_conn *c = NULL;

	process_state_take(&before);
	ck_assert_int_eq(resolve("slow.test:80", 100), -ETIMEDOUT);
	ck_assert_int_eq(weir_dial(&c, "slow.test:80", 100), -ETIMEDOUT);
	ck_assert_int_eq(weir_reverse(name, sizeof(name), "127.0.0.2:0", 100),
			 -ETIMEDOUT);
	ck_assert_int_ge(now_ms() - began_at, 300);
	ck_assert_ptr_null(c);
	ck_assert_str_eq(name, "as before");
	UNTIL(gate_waiting(&gate) == 3); /* nobody could end them */
	gate_open(&gate);
	process_state_check(&before);
}
END_TEST

static void *stops_when_a_look_up_waits(void *arg)
{
	UNTIL(gate_waiting(&gate) == 1);
	weir_server_stop(arg, 0);
	return NULL;
}

START_TEST(a_listen_that_waits_for_a_name_ends_with_the_server)
{
	pthread_t stopper;
	struct process_state before;
	weir_server *s;

	process_state_take(&before);
	ck_assert_int_eq(weir_server_new(&s, NULL), 0);
	ck_assert_int_eq(
		pthread_create(&stopper, NULL, stops_when_a_look_up_waits, s),
		0);
	ck_assert_int_eq(weir_server_listen(s, "slow.test:0",
					    WEIR_SERVICE(.readable = echo)),
			 -ESHUTDOWN);
	ck_assert_int_eq(pthread_join(stopper, NULL), 0);
	weir_server_free(s);
	gate_open(&gate);
	process_state_check(&before);
}
END_TEST

static void *drains_when_a_look_up_waits(void *arg)
{
	int64_t since;

	UNTIL(gate_waiting(&gate) == 1);
	ck_assert_int_eq(weir_server_drain(arg), 0);
	since = now_ms();
	UNTIL(now_ms() > since + 300); /* or it ends with an error */
	gate_open(&gate);
	return NULL;
}

static weir_server *start_with_lame_duck(int lame_duck_ms)
{
	const struct weir_config config = { .size = sizeof(config),
					    .lame_duck_ms = lame_duck_ms };
	weir_server *s;

	ck_assert_int_eq(weir_server_new(&s, &config), 0);
	ck_assert_int_ge(weir_server_listen(s, "127.0.0.1:0",
					    WEIR_SERVICE(.readable = echo)),
			 0);
	ck_assert_int_eq(weir_server_start(s), 0);
	return s;
}

START_TEST(a_lame_duck_does_not_end_the_wait_of_a_listen)
{
	weir_server *s = start_with_lame_duck(60000);
	pthread_t thread;

	ck_assert_int_eq(
		pthread_create(&thread, NULL, drains_when_a_look_up_waits, s),
		0);
	ck_assert_int_ge(weir_server_listen(s, "slow.test:0",
					    WEIR_SERVICE(.readable = echo)),
			 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(weir_server_stop(s, 0), 0);
	ck_assert_int_eq(weir_server_join(s, NULL, 0), 0);
	weir_server_free(s);
}
END_TEST

START_TEST(the_end_of_a_lame_duck_ends_the_wait_of_a_listen)
{
	weir_server *s = start_with_lame_duck(500 * slowness());

	ck_assert_int_eq(weir_server_drain(s), 0);
	ck_assert_int_eq(weir_server_listen(s, "slow.test:0",
					    WEIR_SERVICE(.readable = echo)),
			 -ESHUTDOWN);
	ck_assert_int_eq(gate_waiting(&gate), 1);
	ck_assert_int_eq(weir_server_join(s, NULL, 0), 0);
	weir_server_free(s);
	gate_open(&gate);
}
END_TEST

static void *open_the_gate(void *arg)
{
	gate_open(arg);
	return NULL;
}

START_TEST(a_patient_asker_has_its_answer)
{
	pthread_t opener;

	ck_assert_int_eq(pthread_create(&opener, NULL, open_the_gate, &gate),
			 0);
	ck_assert_int_eq(resolve("slow.test:80", WEIR_NEVER), 2);
	ck_assert_int_eq(pthread_join(opener, NULL), 0);
}
END_TEST

START_TEST(look_ups_left_behind_do_not_pile_up)
{
	struct process_state before;
	int count = 0, rc;

	process_state_take(&before);
	while ((rc = resolve("slow.test:80", 1)) == -ETIMEDOUT)
		count++;
	ck_assert_int_eq(rc, -EAGAIN);
	ck_assert_int_eq(count, 64);
	ck_assert_int_eq(resolve("127.0.0.1:80", 1), 1);
	ck_assert_int_eq(resolve("two.test:80", PATIENT_MS), -EAGAIN);
	gate_open(&gate);
	process_state_check(&before);
	ck_assert_int_eq(resolve("two.test:80", PATIENT_MS), 2);
}
END_TEST

/* Names of peers are slow or not as their zones choose. */
START_TEST(slow_names_of_addresses_leave_the_addresses_of_names_alone)
{
	struct process_state before;
	char name[64];
	int count = 0, rc;

	process_state_take(&before);
	while ((rc = weir_reverse(name, sizeof(name), "127.0.0.2:0", 1)) ==
	       -ETIMEDOUT)
		count++;
	ck_assert_int_eq(rc, -EAGAIN);
	ck_assert_int_eq(count, 32);
	ck_assert_int_eq(resolve("two.test:80", PATIENT_MS), 2);
	gate_open(&gate);
	process_state_check(&before);
	ck_assert_int_eq(weir_reverse(name, sizeof(name), "127.0.0.1:5", 0), 8);
}
END_TEST

/* ---- dials of a server */

enum { LIMIT = 64, DIALS = LIMIT + 20 };

static atomic_int waits; /* for events */

static int count_waits(enum wr_sys_call call, size_t *len)
{
	(void)len;
	if (call == POLLER_WAITS)
		atomic_fetch_add(&waits, 1);
	return 0;
}

struct dialled {
	weir_ref *ref;
	atomic_bool is_connected, has_ended;
};

static int note_connected(weir_conn *c, void *arg)
{
	(void)c;
	atomic_store(&((struct dialled *)arg)->is_connected, true);
	return WEIR_AGAIN;
}

static void note_ended(weir_conn *c, void *arg)
{
	(void)c;
	atomic_store(&((struct dialled *)arg)->has_ended, true);
}

static void dial(struct server *s, struct dialled *d, const char *name)
{
	char where[64];

	*d = (struct dialled){ .ref = NULL };
	snprintf(where, sizeof(where), "%s%s", name, strrchr(s->address, ':'));
	ck_assert_int_eq(
		weir_server_dial(s->weir, &d->ref, where, WEIR_NEVER,
				 WEIR_SERVICE(.readable = echo,
					      .opened = note_connected,
					      .closed = note_ended, .arg = d)),
		0);
}

static int count_connected(struct dialled *d, int count)
{
	int n = 0;

	for (int i = 0; i < count; i++)
		n += atomic_load(&d[i].is_connected);
	return n;
}

static void end_dials(struct server *s, struct dialled *d, int count)
{
	for (int i = 0; i < count; i++) {
		(void)weir_ref_cancel(d[i].ref);
		weir_ref_unref(d[i].ref);
	}
	for (int i = 0; i < count; i++)
		UNTIL(atomic_load(&d[i].has_ended));
	server_stop_and_check(s);
}

/* Each thread that has an answer takes the next one. */
START_TEST(dials_beyond_the_limit_wait_for_a_thread)
{
	static struct dialled d[DIALS];
	struct server *s = serve_workers(1, WEIR_SERVICE(.readable = echo));

	for (int i = 0; i < DIALS; i++)
		dial(s, &d[i], "slow.test");
	for (int n = 0; n <= DIALS - LIMIT; n++) {
		UNTIL(count_connected(d, DIALS) == n &&
		      gate_waiting(&gate) == LIMIT);
		ck_assert_int_eq(atomic_load(&asked), LIMIT + n);
		gate_let_in(&gate, 1);
	}
	gate_open(&gate);
	UNTIL(count_connected(d, DIALS) == DIALS);
	end_dials(s, d, DIALS);
}
END_TEST

START_TEST(a_dial_that_waits_for_a_thread_polls_for_nothing)
{
	static struct dialled d;
	struct server *s;
	int64_t at;
	int count;

	wr_sys_fault = count_waits;
	while (resolve("slow.test:80", 1) == -ETIMEDOUT)
		;
	s = serve_workers(1, WEIR_SERVICE(.readable = echo));
	dial(s, &d, "two.test");
	UNTIL(stats(s).parked == 1);
	atomic_store(&waits, 0);
	at = now_ms();
	UNTIL(now_ms() > at + 500);
	count = atomic_load(&waits);
	ck_assert_int_le(count, 4 * (now_ms() - at) / 500);
	gate_open(&gate);
	UNTIL(atomic_load(&d.is_connected));
	end_dials(s, &d, 1);
}
END_TEST

START_TEST(a_dial_that_waits_for_a_thread_may_be_given_up)
{
	static struct dialled d[DIALS];
	struct server *s = serve_workers(2, WEIR_SERVICE(.readable = echo));

	for (int i = 0; i < DIALS; i++)
		dial(s, &d[i], "slow.test");
	UNTIL(gate_waiting(&gate) == LIMIT);
	UNTIL(stats(s).parked == DIALS);
	/* of those that wait: the first, the last, one in between */
	for (int i = 0; i < DIALS; i += 7)
		ck_assert_int_eq(weir_ref_cancel(d[i].ref), 0);
	ck_assert_int_eq(weir_ref_cancel(d[DIALS - 1].ref), 0);
	for (int i = 0; i < DIALS; i += 7)
		UNTIL(atomic_load(&d[i].has_ended));
	UNTIL(atomic_load(&d[DIALS - 1].has_ended));
	gate_open(&gate);
	for (int i = 0; i < DIALS - 1; i++)
		UNTIL(atomic_load(&d[i].is_connected) == (i % 7 != 0));
	end_dials(s, d, DIALS);
}
END_TEST

static void *ask_impatiently(void *arg)
{
	(void)arg;
	for (int i = 0; i < fewer(300); i++) {
		int rc = resolve("brief.test:80", 1);

		ck_assert(rc == 2 || rc == -ETIMEDOUT || rc == -EAGAIN);
	}
	return NULL;
}

/* An answer is freed by its asker or by the thread: for the sanitizers. */
START_TEST(an_answer_may_come_at_the_very_deadline)
{
	pthread_t threads[4];
	struct process_state before;

	process_state_take(&before);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL,
						ask_impatiently, NULL),
				 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	process_state_check(&before);
}
END_TEST

START_TEST(an_address_has_a_name)
{
	char name[64], exact[9];

	ck_assert_int_eq(weir_reverse(name, sizeof(name), "127.0.0.1:5", 0), 8);
	ck_assert_str_eq(name, "one.test");
	ck_assert_int_eq(weir_reverse(exact, 9, "127.0.0.1:5", 0), 8);
	ck_assert_int_eq(weir_reverse(name, 8, "127.0.0.1:5", 0), -ENOSPC);
	ck_assert_int_eq(weir_reverse(name, 64, "127.0.0.9:5", 0), -ENOENT);
	ck_assert_int_eq(weir_reverse(name, 64, "[::1]:5", 0), -ENOENT);
	ck_assert_int_eq(weir_reverse(name, 64, "one.test:5", 0), -EINVAL);
	ck_assert_int_eq(weir_reverse(name, 64, ":5", 0), -EINVAL);
	ck_assert_int_eq(weir_reverse(name, 64, "127.0.0.1", 0), -EINVAL);
	ck_assert_int_eq(weir_reverse(name, 64, "unix:/x", 0), -EINVAL);
	ck_assert_int_eq(weir_reverse(NULL, 64, "127.0.0.1:5", 0), -EINVAL);
	ck_assert_int_eq(weir_reverse(name, 64, "127.0.0.1:5", -2), -EINVAL);
	ck_assert_str_eq(name, "one.test");
}
END_TEST

/* Fail each call once; 0 when there is no such call left. */
static int sweep(enum wr_sys_call call, int error,
		 int (*look_up)(const char *where, int timeout_ms),
		 const char *where)
{
	struct process_state before;
	int nth = 0;

	process_state_take(&before);
	do {
		int rc;

		fail_nth_call(call, ++nth, error);
		rc = look_up(where, PATIENT_MS);
		ck_assert_int_eq(rc<0, faults_made()> 0);
		ck_assert(rc >= 0 || rc == error || rc == -ENOMEM);
	} while (faults_made() > 0);
	faults_clear();
	process_state_check(&before);
	return nth - 1;
}

static int reverse(const char *where, int timeout_ms)
{
	char name[64];

	return weir_reverse(name, sizeof(name), where, timeout_ms);
}

START_TEST(any_step_of_a_look_up_may_fail)
{
	static const struct {
		enum wr_sys_call call;
		int error;
	} steps[] = {
		{ WR_SYS_alloc, -ENOMEM },
		{ WR_SYS_mutex_init, -ENOMEM },
		{ WR_SYS_cond_init, -ENOMEM },
		{ WR_SYS_thread_create, -EAGAIN },
	};

	faults_install();
	for (size_t i = 0; i < wr_array_len(steps); i++) {
		ck_assert_int_eq(sweep(steps[i].call, steps[i].error, resolve,
				       "two.test:80"),
				 1);
		ck_assert_int_eq(sweep(steps[i].call, steps[i].error, reverse,
				       "127.0.0.1:80"),
				 1);
	}
	ck_assert_int_eq(
		sweep(WR_SYS_getaddrinfo, -EIO, resolve, "two.test:80"),
		2); /* as a number, then as a name */
	ck_assert_int_eq(
		sweep(WR_SYS_getnameinfo, -EIO, reverse, "127.0.0.1:80"), 1);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"lookup", a_name_has_all_its_addresses_in_order,
		what_does_not_fit_is_counted,
		a_number_needs_no_resolver_and_no_thread,
		what_cannot_be_resolved_says_so, a_look_up_ends_at_its_deadline,
		a_listen_that_waits_for_a_name_ends_with_the_server,
		a_lame_duck_does_not_end_the_wait_of_a_listen,
		the_end_of_a_lame_duck_ends_the_wait_of_a_listen,
		a_patient_asker_has_its_answer,
		look_ups_left_behind_do_not_pile_up,
		slow_names_of_addresses_leave_the_addresses_of_names_alone,
		dials_beyond_the_limit_wait_for_a_thread,
		a_dial_that_waits_for_a_thread_polls_for_nothing,
		a_dial_that_waits_for_a_thread_may_be_given_up,
		an_answer_may_come_at_the_very_deadline, an_address_has_a_name,
		any_step_of_a_look_up_may_fail);
}
