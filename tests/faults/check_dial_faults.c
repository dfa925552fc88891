/* SPDX-License-Identifier: MIT */
/*
 * Dials that fail or are delayed: addresses that do not answer or refuse, a
 * connect(2) that fails, a shortage, an interruption.  The resolver and
 * connect(2) are replaced.
 */
#include "test.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <linux/tcp.h>
#include <netdb.h>
#include <netinet/in.h>

#include "bounds.h"
#include "faults.h"

static struct gate resolver = GATE_CLOSED;

/*
 * Instead of the system's: "a+b+c" has these addresses; "six" is ::1, and
 * "wait" waits at the gate; "broken" fails like a name service that does not
 * answer at once.
 */
int getaddrinfo(const char *host, const char *port,
		const struct addrinfo *hints, struct addrinfo **ret)
{
	__typeof__(&getaddrinfo) real;
	char list[256], *rest, *one;
	int rc = 0;

	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	if (!host || !strchr(host, '+') || hints->ai_flags & AI_NUMERICHOST)
		return real(host, port, hints, ret);
	snprintf(list, sizeof(list), "%s", host);
	for (one = strtok_r(list, "+", &rest); one && rc == 0;
	     one = strtok_r(NULL, "+", &rest)) {
		if (strcmp(one, "wait") == 0) {
			gate_wait(&resolver);
			continue;
		}
		if (strcmp(one, "broken") == 0) {
			errno = EINPROGRESS;
			return EAI_SYSTEM;
		}
		rc = real(strcmp(one, "six") == 0 ? "::1" : one, port, hints,
			  ret);
		if (rc == 0)
			ret = &(*ret)->ai_next;
	}
	return rc;
}

/* Instead of the system's: waits at the gate, and says "name.example". */
int getnameinfo(const struct sockaddr *addr, socklen_t len, char *host,
		socklen_t host_len, char *serv, socklen_t serv_len, int flags)
{
	__typeof__(&getnameinfo) real;

	*(void **)&real = dlsym(RTLD_NEXT, "getnameinfo");
	if (flags != NI_NAMEREQD)
		return real(addr, len, host, host_len, serv, serv_len, flags);
	gate_wait(&resolver);
	snprintf(host, host_len, "name.example");
	return 0;
}

/* The families in the order in which the library tried to connect. */
static char tried[32];

int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	__typeof__(&connect) real;
	size_t n = strlen(tried);

	*(void **)&real = dlsym(RTLD_NEXT, "connect");
	if (n < sizeof(tried) - 1)
		tried[n] = addr->sa_family == AF_INET6 ? '6' : '4';
	return real(fd, addr, len);
}

static bool bind_to(const char *host, int *port, int *fd)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_port = htons((uint16_t)*port) };
	socklen_t len = sizeof(addr);

	ck_assert_int_eq(inet_pton(AF_INET, host, &addr.sin_addr), 1);
	*fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(*fd, (struct sockaddr *)&addr, len) < 0) {
		ck_assert_int_eq(errno, EADDRINUSE);
		close(*fd);
		return false;
	}
	getsockname(*fd, (struct sockaddr *)&addr, &len);
	*port = ntohs(addr.sin_port);
	return true;
}

/* A port of 127.0.0.1, which answers nothing, and of 127.0.0.2. */
struct port {
	int number;
	int mute;   /* listens, and its backlog is full */
	int beside; /* refuses until it listens */
};

/* Not an ephemeral port: clients of other programs may have all of those. */
static void take_port(struct port *p)
{
	enum { FIRST = 10000, COUNT = 20000 };

	for (int i = 0; i < COUNT; i++) {
		p->number = FIRST + (getpid() + i) % COUNT;
		if (!bind_to("127.0.0.1", &p->number, &p->mute))
			continue;
		if (bind_to("127.0.0.2", &p->number, &p->beside))
			return;
		close(p->mute); /* another program has it */
	}
	ck_abort_msg("no port is free on both addresses");
}

static bool is_backlog_full(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	ck_assert_int_eq(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	/* of a listener: how many wait, and for how many there is room */
	return info.tcpi_unacked > info.tcpi_sacked;
}

static struct port mute_port(void)
{
	struct port p;
	weir_conn *c;
	char where[64];

	take_port(&p);
	ck_assert_int_eq(listen(p.mute, 0), 0);
	snprintf(where, sizeof(where), "127.0.0.1:%d", p.number);
	while (!is_backlog_full(p.mute)) {
		ck_assert_int_eq(weir_dial(&c, where, 60000), 0);
		weir_conn_free(c); /* it stays in the backlog */
	}
	return p;
}

static void dial_and_is_answered(const char *hosts, int port, int timeout_ms)
{
	char where[128], line[8];
	weir_conn *c;

	snprintf(where, sizeof(where), "%s:%d", hosts, port);
	ck_assert_int_eq(weir_dial(&c, where, timeout_ms), 0);
	ck_assert_int_eq(weir_conn_write(c, "hello\n", 6), 0);
	ck_assert_int_eq(weir_conn_read_line(c, line, sizeof(line)), 6);
	weir_conn_free(c);
}

static struct server *serve_beside(const struct port *p)
{
	char where[64];

	ck_assert_int_eq(listen(p->beside, 100), 0);
	snprintf(where, sizeof(where), "fd:%d", p->beside);
	return serve_at(where, NULL, WEIR_SERVICE(.readable = echo_lines));
}

START_TEST(an_address_that_is_silent_does_not_take_the_time_of_the_others)
{
	struct port p = mute_port();
	struct server *s = serve_beside(&p);
	int timeout_ms = 8000 * slowness();
	int64_t began_at = now_ms();

	dial_and_is_answered("127.0.0.1+127.0.0.2", p.number, timeout_ms);
	dial_and_is_answered("127.0.0.1+127.0.0.1+127.0.0.1+127.0.0.2",
			     p.number, timeout_ms);
	ck_assert_int_lt(now_ms() - began_at, timeout_ms);
	server_stop_and_check(s);
	close(p.mute);
}
END_TEST

START_TEST(silence_of_all_addresses_ends_at_the_deadline)
{
	struct port p = mute_port();
	struct process_state before;
	weir_conn *c = NULL;
	char where[64];
	int64_t began_at;

	snprintf(where, sizeof(where), "127.0.0.1+127.0.0.1:%d", p.number);
	process_state_take(&before);
	began_at = now_ms();
	ck_assert_int_eq(weir_dial(&c, where, 600), -ETIMEDOUT);
	ck_assert_int_ge(now_ms() - began_at, 590);
	ck_assert_ptr_null(c);
	process_state_check(&before);
	close(p.mute);
	close(p.beside);
}
END_TEST

/* The second refuses while the first is pending, which may still accept. */
START_TEST(a_refusal_does_not_end_the_attempts_that_are_under_way)
{
	struct port p = mute_port();
	char where[64];
	weir_conn *c;

	snprintf(where, sizeof(where), "127.0.0.1+127.0.0.2:%d", p.number);
	ck_assert_int_eq(weir_dial(&c, where, 600), -ETIMEDOUT);
	close(p.mute);
	close(p.beside);
}
END_TEST

static void no_socket_but_one(int error)
{
	struct port p = mute_port();
	struct server *s;

	faults_install();
	s = serve_beside(&p);
	fail_nth_call(WR_SYS_socket, 2, error);
	dial_and_is_answered("127.0.0.1+127.0.0.2", p.number, 60000);
	ck_assert_int_eq(faults_made(), 1);
	faults_clear();
	server_stop_and_check(s);
	close(p.mute);
}

START_TEST(a_shortage_beside_an_attempt_that_is_under_way_is_waited_out)
{
	no_socket_but_one(-EMFILE);
	no_socket_but_one(-ENOBUFS);
}
END_TEST

START_TEST(the_families_take_turns)
{
	weir_conn *c;

	if (!has_ipv6())
		return;
	memset(tried, 0, sizeof(tried));
	/* Nothing listens at port 1; each refuses at once. */
	ck_assert_int_eq(
		weir_dial(&c, "six+six+six+127.0.0.1+127.0.0.2:1", 60000),
		-ECONNREFUSED);
	ck_assert_str_eq(tried, "64646");
	memset(tried, 0, sizeof(tried));
	ck_assert_int_eq(weir_dial(&c, "127.0.0.1+127.0.0.2+six:1", 60000),
			 -ECONNREFUSED);
	ck_assert_str_eq(tried, "464");
}
END_TEST

/* The kernel gave up; the deadline of the dial is far away. */
START_TEST(an_address_that_times_out_is_not_the_last_one_tried)
{
	struct server *s;
	int port;

	faults_install();
	s = serve_at("0.0.0.0:0", NULL, WEIR_SERVICE(.readable = echo_lines));
	port = atoi(strrchr(s->address, ':') + 1);
	fail_nth_call(WR_SYS_connect, 1, -ETIMEDOUT);
	dial_and_is_answered("127.0.0.1+127.0.0.2", port, 60000);
	ck_assert_int_eq(faults_made(), 1);
	faults_clear();
	dial_and_is_answered("127.0.0.1+127.0.0.2", port, 60000);
	weir_server_stop(s->weir, 10000);
	server_join_and_check(s);
}
END_TEST

START_TEST(a_dial_that_is_interrupted_goes_on)
{
	struct server *s;
	weir_conn *c;

	faults_install();
	s = serve_at(own_unix_address(), NULL,
		     WEIR_SERVICE(.readable = echo_lines));
	fail_nth_call(WR_SYS_connect, 1, -EINTR);
	ck_assert_int_eq(weir_dial(&c, own_unix_address(), 60000), 0);
	ck_assert_int_eq(faults_made(), 1);
	weir_conn_free(c);
	faults_clear();
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_dial_whose_poll_fails_looks_now_and_then)
{
	struct port p;
	struct server *s;
	weir_conn *c = NULL;
	char where[64];

	if (skip_with_poll(__func__, "the server cannot poll, either"))
		return;
	p = mute_port();
	snprintf(where, sizeof(where), "127.0.0.1:%d", p.number);
	faults_install();
	s = serve_beside(&p);
	fail_calls_from(WR_SYS_poll, 1, -EINVAL);
	ck_assert_int_eq(weir_dial(&c, where, 600), -ETIMEDOUT);
	ck_assert_int_gt(faults_made(), 0);
	ck_assert_int_le(faults_made(), 600 / WR_SESSION_LOOK_MS + 10);
	ck_assert_int_eq(weir_dial(&c, s->address, 60000), 0);
	faults_clear();
	weir_conn_free(c);
	server_stop_and_check(s);
	close(p.mute);
}
END_TEST

/* ---- in a session */

static weir_ref *_Atomic looker;

static int look_up(const char *line)
{
	struct weir_address found[2];
	char name[120], text[64];
	weir_conn *up;
	int rc;

	if (sscanf(line, "resolve %119s", name) == 1)
		return weir_resolve(found, 2, name, 0);
	if (sscanf(line, "reverse %119s", name) == 1)
		return weir_reverse(text, sizeof(text), name, 0);
	ck_assert_int_eq(sscanf(line, "dial %119s", name), 1);
	rc = weir_dial(&up, name, 0);
	if (rc == 0)
		weir_conn_free(up);
	return rc;
}

/* "resolve NAME", "reverse ADDRESS", "dial NAME"; a greeting is echoed. */
static int look_names_up(weir_conn *c, void *arg)
{
	char line[128];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0) {
		if (strcmp(line, "hello\n") == 0) {
			weir_conn_write(c, line, (size_t)n);
			continue;
		}
		if (atomic_load(&looker) == NULL)
			atomic_store(&looker, weir_conn_ref(c));
		weir_conn_printf(c, "%s\n", error_name(look_up(line)));
	}
	return (int)n;
}

START_TEST(a_session_whose_name_is_looked_up_holds_no_worker)
{
	struct server *s =
		serve_workers(1, WEIR_SERVICE(.session = look_names_up));
	struct client *c = client_open(s), *newcomer = client_open(s);
	char dial[64];
	const char *const asked[] = { "resolve wait+127.0.0.1:7\n", dial,
				      "reverse 127.0.0.1:7\n" };
	const char *const answers[] = { "1\n", "0\n", "12\n" };

	snprintf(dial, sizeof(dial), "dial wait+127.0.0.1%s\n",
		 strrchr(s->address, ':'));
	for (int i = 0; i < 3; i++) {
		client_send(c, asked[i]);
		UNTIL(gate_waiting(&resolver) == 1);
		client_expect_echo(newcomer, "hello\n");
		gate_let_in(&resolver, 1);
		client_expect(c, answers[i]);
		client_send(c, asked[i]);
		UNTIL(gate_waiting(&resolver) == 1 && stats(s).parked == 2);
		ck_assert_int_eq(weir_ref_wake(looker), 0);
		client_expect(c, "-EINTR\n");
		gate_let_in(&resolver, 1);
		UNTIL(gate_waiting(&resolver) == 0);
	}
	client_expect_reply(c, "resolve 127.0.0.1:7\n", "1\n");
	weir_ref_unref(looker);
	server_stop_and_check(s);
}
END_TEST

static _Atomic int end_error;

static void note_end(weir_conn *c, void *arg)
{
	struct weir_summary end;

	(void)arg;
	weir_conn_summary(c, &end, sizeof(end));
	atomic_store(&end_error, (int)end.error);
}

/* Its error must not be taken for a lookup that goes on. */
START_TEST(a_resolver_that_does_not_answer_at_once_has_failed)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.session = look_names_up));
	struct client *c = client_open(s);
	weir_conn *up;

	ck_assert_int_eq(weir_server_dial(s->weir, NULL, "broken+127.0.0.1:7",
					  0,
					  WEIR_SERVICE(.readable = echo,
						       .closed = note_end)),
			 0);
	UNTIL(atomic_load(&end_error) == -EIO);
	client_expect_reply(c, "dial broken+127.0.0.1:7\n", "-EIO\n");
	ck_assert_int_eq(weir_dial(&up, "broken+127.0.0.1:7", 0), -EIO);
	weir_ref_unref(looker);
	server_stop_and_check(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"dial_faults",
		an_address_that_is_silent_does_not_take_the_time_of_the_others,
		silence_of_all_addresses_ends_at_the_deadline,
		a_refusal_does_not_end_the_attempts_that_are_under_way,
		a_shortage_beside_an_attempt_that_is_under_way_is_waited_out,
		the_families_take_turns,
		an_address_that_times_out_is_not_the_last_one_tried,
		a_dial_that_is_interrupted_goes_on,
		a_dial_whose_poll_fails_looks_now_and_then,
		a_session_whose_name_is_looked_up_holds_no_worker,
		a_resolver_that_does_not_answer_at_once_has_failed);
}
