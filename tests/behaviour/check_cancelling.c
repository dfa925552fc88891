/* SPDX-License-Identifier: MIT */
/*
 * pthread_cancel(3) of a thread of the program: no call of the library is a
 * cancellation point, so none is left half done with a lock held or a
 * descriptor lost.
 */
#include "test.h"

#include <netdb.h>
#include <netinet/in.h>

/* The call in progress; NULL: none. */
static _Atomic(const char *) step;

/* An assertion without the cancellation points of Check. */
static void answered(bool is_right)
{
	int state;

	if (is_right)
		return;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	ck_abort_msg("wrong answer of %s", atomic_load(&step));
}

#define GIVES(what, call)                                                      \
	do {                                                                   \
		atomic_store(&step, #call);                                    \
		answered((call) == (what));                                    \
	} while (0)
#define DOES(call)                                                             \
	do {                                                                   \
		atomic_store(&step, #call);                                    \
		answered((call) >= 0);                                         \
	} while (0)

/*
 * Run fn in a thread that is cancelled first: any cancellation point in fn
 * would end it.
 */
static void *cancel_itself(void *arg)
{
	void (*fn)(void) = *(void (**)(void))arg;

	pthread_cancel(pthread_self());
	fn();
	atomic_store(&step, NULL);
	pthread_testcancel();
	return NULL;
}

static void run_cancelled(void (*fn)(void))
{
	struct process_state before;
	pthread_t thread;
	void *result;

	process_state_take(&before);
	ck_assert_int_eq(pthread_create(&thread, NULL, cancel_itself, &fn), 0);
	ck_assert_int_eq(pthread_join(thread, &result), 0);
	ck_assert_msg(!atomic_load(&step), "was cancelled in %s",
		      atomic_load(&step));
	/* The cancellation is still pending afterwards. */
	ck_assert_ptr_eq(result, PTHREAD_CANCELED);
	process_state_check(&before);
}

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
	DOES((weir_unref(peer), 0));
	DOES(weir_conn_shutdown(c, SHUT_WR));
	DOES((weir_conn_free(c), 0));
	DOES(weir_dial(&c, where, 0));
	peer = served_soon();
	DOES(weir_ref_cancel(peer));
	DOES((weir_unref(peer), 0));
	DOES((weir_conn_free(c), 0));
	DOES(weir_server_stop(s, 10000));
	atomic_store(&step, "weir_server_join()");
	answered(weir_server_join(s, NULL, 0) != -EBUSY);
	DOES((weir_server_free(s), 0));
}

START_TEST(no_call_of_a_server_or_a_connection_acts_on_a_cancellation)
{
	run_cancelled(whole_life);
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
		answered(sigismember(&after, sig) == sigismember(&before, sig));
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
		a_run_acts_on_no_cancellation_and_puts_the_mask_back,
		no_look_up_acts_on_a_cancellation,
		a_stop_ends_though_a_thread_was_cancelled_that_waits_for_it);
}
