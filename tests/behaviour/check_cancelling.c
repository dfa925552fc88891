/* SPDX-License-Identifier: MIT */
/*
 * pthread_cancel(3) of a thread of the program: no call of the library is a
 * cancellation point, so none is left half done with a lock held or a
 * descriptor lost.
 */
#include "cancelled.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

static _Atomic(weir_ref *) served;

static int keep_a_reference(weir_conn *c, void *arg)
{
	(void)arg;
	atomic_store(&served, weir_conn_ref(c));
	return WEIR_AGAIN;
}

/* A thread without cancellation points of its own. */
static weir_ref *served_soon(void)
{
	weir_ref *ref;

	while (!(ref = atomic_exchange(&served, NULL)))
		sched_yield();
	return ref;
}

/* The calls that any thread may make, and both ends of a dialogue. */
static void whole_life(void)
{
	weir_server *s;
	weir_ref *peer;
	weir_conn *c;
	struct weir_stats stats;
	struct iovec iov = { (char[]){ 'x', '\n' }, 2 };
	char where[64], buf[64];
	const void *data;
	const char *line;

	DOES(weir_server_new(&s, NULL));
	DOES(weir_server_listen(s, "127.0.0.1:0",
				WEIR_SERVICE(.readable = echo_lines,
					     .opened = keep_a_reference)));
	DOES(weir_server_listen(s, own_unix_address(),
				WEIR_SERVICE(.readable = echo_lines)));
	DOES(weir_server_address(s, 0, where, sizeof(where)));
	DOES(weir_server_start(s));
	DOES(weir_dial(&c, own_unix_address(), 0));
	DOES((weir_conn_free(c), 0));
	DOES(weir_dial(&c, where, 0));
	peer = served_soon();
	DOES(weir_ref_send(peer, "one\n", 4));
	DOES(weir_conn_read_line(c, buf, sizeof(buf)));
	DOES(weir_conn_write(c, "hello\n", 6));
	DOES(weir_conn_flush(c));
	DOES(weir_conn_read_exact(c, buf, 6));
	DOES(weir_conn_printf(c, "%d\n", 17));
	DOES(weir_conn_read_until(c, buf, sizeof(buf), "7\n", 2));
	DOES(weir_conn_writev(c, &iov, 1));
	DOES(weir_conn_peek(c, &data, 2));
	DOES(weir_conn_consume(c, 2));
	DOES(weir_conn_write(c, "2\n3\n", 4));
	DOES(weir_conn_peek_line(c, &line));
	DOES(weir_conn_consume(c, 2));
	DOES(weir_conn_peek_until(c, &data, "\n", 1));
	DOES(weir_conn_consume(c, 2));
	DOES(weir_conn_set_timeout(c, WEIR_TIMEOUT_IDLE, 20));
	GIVES(-ETIMEDOUT, weir_conn_read(c, buf, 1));
	DOES(weir_conn_peer(c, buf, sizeof(buf)));
	DOES(weir_server_stats(s, &stats, sizeof(stats)));
	DOES(weir_ref_wake(peer));
	DOES(weir_ref_close(peer));
	DOES((weir_ref_unref(peer), 0));
	DOES(weir_conn_shutdown(c, SHUT_WR));
	DOES((weir_conn_free(c), 0));
	DOES(weir_dial(&c, where, 0));
	peer = served_soon();
	DOES(weir_ref_cancel(peer));
	DOES((weir_ref_unref(peer), 0));
	DOES((weir_conn_free(c), 0));
	DOES(weir_server_stop(s, 10000));
	atomic_store(&step, "weir_server_join()");
	as_expected(weir_server_join(s, NULL, 0) != -EBUSY);
	DOES((weir_server_free(s), 0));
}

START_TEST(no_call_of_a_server_or_a_connection_acts_on_a_cancellation)
{
	run_cancelled(whole_life);
}
END_TEST

static char rules[FOLDER_ROOM + 16]; /* path of a file */
static int file;

static void on_timer(weir_server *s, weir_timer *t, void *arg)
{
	(void)s;
	(void)t;
	(void)arg;
}

static int count_one(const struct weir_conn_info *info, void *arg)
{
	(void)info;
	(void)arg;
	return 0;
}

static int vprint(weir_conn *c, const char *format, ...)
{
	va_list ap;
	int rc;

	va_start(ap, format);
	rc = weir_conn_vprintf(c, format, ap);
	va_end(ap);
	return rc;
}

static void settings(struct weir_config *config, struct weir_service *service)
{
	weir_access *access;
	char why[100];

	DOES((weir_config_init(config, sizeof(*config)), 0));
	DOES(weir_access_new(&access, "allow 127.0.0.0/8", why, sizeof(why)));
	DOES((weir_access_unref(weir_access_dup(access)), 0));
	DOES((weir_access_unref(access), 0));
	DOES(weir_access_load(&access, rules, why, sizeof(why)));
	config->access = access;
	/* It looks for the number of processors. */
	DOES(weir_config_check(WEIR_CONFIG(.access = access), why,
			       sizeof(why)));
	DOES(weir_config_option(0) ? 0 : -1);
	DOES((weir_service_init(service, sizeof(*service)), 0));
	service->readable = discard;
	service->opened = keep_a_reference;
	DOES(weir_service_check(service, why, sizeof(why)));
	DOES(weir_service_option(0) ? 0 : -1);
	DOES(weir_address_check("[::1%lo]:7", WEIR_TO_DIAL, why, sizeof(why)));
	DOES(weir_strerror(-ENOENT) ? 0 : -1);
	DOES(weir_version() ? 0 : -1);
}

static void calls_of_a_server(weir_server *s, const struct weir_config *config,
			      const struct weir_service *service)
{
	struct weir_listener_stats counts;
	weir_timer *t;

	DOES(weir_server_listener_fd(s, 1));
	DOES(weir_server_own_listener(s, 1));
	DOES(weir_server_unlisten(s, 1));
	DOES(weir_server_configure(s, config));
	DOES(weir_server_configure_service(s, 0, service));
	DOES(weir_server_listener_stats(s, 0, &counts, sizeof(counts)));
	DOES(weir_server_each(s, count_one, NULL,
			      sizeof(struct weir_conn_info)));
	DOES(weir_server_fd(s));
	DOES(weir_server_is_draining(s));
	DOES(weir_server_spawn(s, NULL, discard, NULL, NULL));
	DOES(weir_server_timer(s, &t, WEIR_NEVER, 0, on_timer, NULL));
	DOES(weir_timer_set(t, WEIR_NEVER));
	DOES(weir_timer_free(t));
}

static void calls_with_a_reference(weir_ref *ref)
{
	struct iovec iov = { (char[]){ 'x', '\n' }, 2 };
	weir_msg *msg;

	DOES((weir_ref_unref(weir_ref_dup(ref)), 0));
	DOES(weir_ref_id(ref) ? 0 : -1);
	DOES((weir_ref_data(ref), 0));
	DOES(weir_ref_sendv(ref, &iov, 1));
	DOES(weir_msg_new(&msg, "x\n", 2));
	DOES((weir_msg_unref(msg), 0));
	DOES(weir_msg_newv(&msg, &iov, 1));
	DOES(weir_ref_send_msg(ref, weir_msg_dup(msg)));
	DOES((weir_msg_unref(msg), 0));
	DOES((weir_msg_unref(msg), 0));
	DOES(weir_ref_unsent(ref));
	DOES(weir_ref_want_room(ref));
	DOES(weir_ref_shutdown(ref, SHUT_WR));
	DOES((weir_ref_close(ref), 0)); /* it may have ended by itself */
	DOES((weir_ref_unref(ref), 0));
}

static void calls_of_a_connection(weir_conn *c)
{
	struct weir_poll input = { .conn = c, .events = WEIR_POLL_INPUT };
	struct weir_summary summary;
	const void *value;
	char buf[200];
	size_t len;
	int ms;

	DOES(weir_conn_why(c));
	DOES((weir_conn_id(c), 0));
	DOES(weir_conn_is_draining(c));
	DOES(weir_conn_summary(c, &summary, sizeof(summary)));
	DOES(weir_conn_local(c, buf, sizeof(buf)));
	GIVES(-ENODATA, weir_conn_via(c, buf, sizeof(buf)));
	GIVES(-ENODATA,
	      weir_conn_proxy_tlv(c, WEIR_PROXY_TLS, 0, &value, &len));
	GIVES(-ENODATA, weir_conn_proxy_tls(c));
	DOES(weir_conn_proxy_header(c, 1, buf, sizeof(buf)));
	DOES(weir_conn_fd(c));
	DOES((weir_conn_server(c), 0));
	DOES(weir_conn_get_timeout(c, WEIR_TIMEOUT_IDLE, &ms));
	DOES(weir_conn_set_timer(c, WEIR_NEVER));
	DOES(weir_conn_set_data(c, NULL, NULL));
	DOES(weir_conn_share_data(c, buf, NULL));
	DOES(weir_conn_data(c) ? 0 : -1);
	DOES(weir_conn_self(c) ? 0 : -1);
	DOES((weir_ref_unref(weir_conn_ref(c)), 0));
	DOES(vprint(c, "%d\n", 17)); /* weir_conn_vprintf() */
	DOES(weir_conn_sendfile(c, file, 0, 10));
	DOES(weir_conn_flush(c));
	DOES(weir_conn_unsent(c));
	DOES(weir_conn_is_held(c));
	GIVES(-EINVAL, weir_conn_want_room(c));
	DOES(weir_conn_wait(&input, 1, 1));
	DOES(weir_sleep(1));
}

static void detach_and_free(weir_conn *c)
{
	char where[32];
	int fd;

	DOES(fd = weir_conn_detach(c));
	DOES((weir_conn_free(c), 0));
	snprintf(where, sizeof(where), "fd:%d", fd);
	DOES(weir_dial(&c, where, 0));
	DOES((weir_conn_free(c), 0));
}

static void relay_in_silence(const char *where)
{
	struct weir_relay_counts relay = { .size = sizeof(relay),
					   .idle_ms = 1 };
	weir_conn *a, *b;

	DOES(weir_dial(&a, where, 0));
	DOES((weir_ref_unref(served_soon()), 0));
	DOES(weir_dial(&b, where, 0));
	DOES((weir_ref_unref(served_soon()), 0));
	GIVES(-ETIMEDOUT, weir_relay(a, b, &relay));
	DOES((weir_conn_free(a), 0));
	DOES((weir_conn_free(b), 0));
}

static void adopt_one(weir_server *s)
{
	char where[32];
	weir_conn *c;
	int fds[2];

	as_expected(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) ==
		    0);
	DOES(weir_server_adopt(s, NULL, fds[0],
			       WEIR_SERVICE(.readable = discard)));
	snprintf(where, sizeof(where), "fd:%d", fds[1]);
	DOES(weir_dial(&c, where, 0));
	DOES((weir_conn_free(c), 0));
}

/* Those that whole_life() does not make. */
static void other_calls(void)
{
	struct weir_service service;
	struct weir_config config;
	weir_ref *client;
	weir_server *s;
	weir_conn *c;
	char where[64];

	settings(&config, &service);
	DOES(weir_server_new(&s, &config));
	DOES(weir_server_listen(s, "127.0.0.1:0", &service));
	DOES(weir_server_listen(s, own_unix_address(), &service));
	DOES(weir_server_start(s));
	DOES(weir_server_address(s, 0, where, sizeof(where)));
	calls_of_a_server(s, &config, &service);
	DOES((weir_access_unref((weir_access *)(uintptr_t)config.access), 0));
	DOES(weir_server_dial(s, &client, where, 0,
			      WEIR_SERVICE(.readable = discard)));
	calls_with_a_reference(served_soon());
	DOES((weir_ref_unref(client), 0));
	DOES(weir_dial(&c, where, 0));
	DOES((weir_ref_unref(served_soon()), 0));
	calls_of_a_connection(c);
	detach_and_free(c);
	relay_in_silence(where);
	adopt_one(s);
	DOES(weir_server_drain(s));
	DOES(weir_server_join_for(s, NULL, 0, WEIR_NEVER));
	DOES((weir_server_free(s), 0));
}

START_TEST(no_other_call_acts_on_a_cancellation)
{
	char folder[FOLDER_ROOM];
	FILE *f;

	ck_assert(make_folder(folder));
	snprintf(rules, sizeof(rules), "%s/rules", folder);
	f = fopen(rules, "w");
	ck_assert_ptr_nonnull(f);
	fputs("allow 127.0.0.0/8\n", f);
	fclose(f);
	file = make_file(10);
	run_cancelled(other_calls);
	close(file);
}
END_TEST

static weir_server *running;

static void run_server(void)
{
	sigset_t before, after;

	pthread_sigmask(SIG_BLOCK, NULL, &before);
	DOES(weir_server_run(running, WEIR_SIGNALS));
	pthread_sigmask(SIG_BLOCK, NULL, &after);
	for (int sig = 1; sig < NSIG; sig++)
		as_expected(sigismember(&after, sig) ==
			    sigismember(&before, sig));
}

static int stop_the_server(weir_conn *c, void *arg)
{
	(void)c;
	(void)arg;
	return weir_server_stop(running, 10000);
}

START_TEST(a_run_acts_on_no_cancellation_and_puts_the_mask_back)
{
	struct client *c;
	char where[64];

	/* The first connection stops the server. */
	ck_assert_int_eq(weir_server_new(&running, NULL), 0);
	ck_assert_int_eq(
		weir_server_listen(running, "127.0.0.1:0",
				   WEIR_SERVICE(.readable = echo,
						.opened = stop_the_server)),
		0);
	weir_server_address(running, 0, where, sizeof(where));
	c = client_open_at(where);
	run_cancelled(run_server);
	weir_server_free(running);
	client_close(c);
}
END_TEST

static _Atomic bool was_given_up; /* the look-up of late.test */

/* This resolver answers after a while. */
int getaddrinfo(const char *host, const char *port,
		const struct addrinfo *hints, struct addrinfo **ret)
{
	struct answer {
		struct addrinfo info;
		struct sockaddr_in addr;
	} * answer;

	if (hints->ai_flags & AI_NUMERICHOST && strcmp(host, "127.0.0.1") != 0)
		return EAI_NONAME;
	if (!(hints->ai_flags & AI_NUMERICHOST))
		usleep(20000);
	while (strcmp(host, "late.test") == 0 && !atomic_load(&was_given_up))
		usleep(1000);
	answer = calloc(1, sizeof(*answer));
	answer->addr.sin_family = AF_INET;
	answer->addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	answer->addr.sin_port = htons((uint16_t)atoi(port));
	answer->info.ai_family = AF_INET;
	answer->info.ai_socktype = SOCK_STREAM;
	answer->info.ai_addrlen = sizeof(answer->addr);
	answer->info.ai_addr = (struct sockaddr *)&answer->addr;
	*ret = &answer->info;
	return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
	free(list);
}

int getnameinfo(const struct sockaddr *addr, socklen_t len, char *host,
		socklen_t host_cap, char *port, socklen_t port_cap, int flags)
{
	(void)addr;
	(void)len;
	(void)port;
	(void)port_cap;
	(void)flags;
	usleep(20000);
	snprintf(host, host_cap, "one.test");
	return 0;
}

static void look_up(void)
{
	struct weir_address a;
	char name[64];
	weir_conn *c;

	DOES(weir_resolve(&a, 1, "slow.test:80", 0));
	DOES(weir_reverse(name, sizeof(name), "127.0.0.1:80", 0));
	GIVES(-ETIMEDOUT, weir_resolve(&a, 1, "late.test:80", 1));
	atomic_store(&was_given_up, true);
	GIVES(-ECONNREFUSED, weir_dial(&c, "slow.test:1", 0));
}

START_TEST(no_look_up_acts_on_a_cancellation)
{
	run_cancelled(look_up);
}
END_TEST

static void *join_server(void *arg)
{
	struct server *s = arg;

	DOES(weir_server_join(s->weir, NULL, 0));
	atomic_store(&step, NULL);
	pthread_testcancel();
	return NULL;
}

START_TEST(a_stop_ends_though_a_thread_was_cancelled_that_waits_for_it)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo));
	pthread_t joiner;
	void *result;

	ck_assert_int_eq(pthread_create(&joiner, NULL, join_server, s), 0);
	UNTIL(atomic_load(&step));
	pthread_cancel(joiner);
	ck_assert_int_eq(weir_server_stop(s->weir, 10000), 0);
	ck_assert_int_eq(join_fully(s->weir, NULL), 0);
	ck_assert_int_eq(pthread_join(joiner, &result), 0);
	ck_assert(!atomic_load(&step));
	ck_assert_ptr_eq(result, PTHREAD_CANCELED);
	server_stop_and_check(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"cancelling",
		no_call_of_a_server_or_a_connection_acts_on_a_cancellation,
		no_other_call_acts_on_a_cancellation,
		a_run_acts_on_no_cancellation_and_puts_the_mask_back,
		no_look_up_acts_on_a_cancellation,
		a_stop_ends_though_a_thread_was_cancelled_that_waits_for_it);
}
