/* SPDX-License-Identifier: MIT */
/*
 * What else could delay a stop: a log sink that waits, slow worker hooks and
 * destructors of thread-specific data, a close(2) that waits for its peer, a
 * peer that goes on sending.
 */
#include "test.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>

static const int long_grace = 60000;
static const uint64_t much_less = 20000;

/* Within its grace and the bound of a join, see docs/STOPPING.md. */
static void came_back(int64_t began_at, int grace_ms)
{
	ck_assert_int_le(now_ms() - began_at,
			 grace_ms + 3000 + 2000 * slowness());
}

/* ----------------------------------------------------------- the log sink */

static void wait_at_gate(int level, const char *line, void *arg)
{
	(void)level;
	(void)line;
	gate_wait(arg);
}

START_TEST(a_log_sink_that_waits_does_not_hold_up_a_join)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve(WEIR_CONFIG(.workers = 2, .log = wait_at_gate,
					     .log_arg = &gate),
				 WEIR_SERVICE(.readable = echo_lines));
	struct client *c = client_open(s);
	struct weir_report report;
	int64_t began_at;

	client_expect_echo(c, "hello\n");
	began_at = now_ms();
	weir_server_stop(s->weir, 200);
	ck_assert_int_eq(weir_server_join(s->weir, &report, sizeof(report)),
			 -EBUSY);
	came_back(began_at, 200);
	ck_assert_uint_ge(report.drain_ms, 200);
	ck_assert_uint_eq(report.ledger.accepted, 1);
	expect_balance(&report.ledger);
	gate_open(&gate);
	UNTIL(weir_server_join(s->weir, NULL, 0) != -EBUSY);
	server_join_and_check(s);
}
END_TEST

static void *run_server(void *arg)
{
	struct server *s = arg;

	return (void *)(intptr_t)weir_server_run(s->weir, 0);
}

START_TEST(a_log_sink_that_waits_does_not_hold_up_run)
{
	struct gate gate = GATE_CLOSED;
	struct server *s =
		server_new(WEIR_CONFIG(.workers = 2, .log = wait_at_gate,
				       .log_arg = &gate));
	int64_t began_at;
	pthread_t runner;
	void *said;

	server_listen(s, "127.0.0.1:0", WEIR_SERVICE(.readable = echo_lines));
	ck_assert_int_eq(pthread_create(&runner, NULL, run_server, s), 0);
	client_open_and_echo(s, "hello\n");
	began_at = now_ms();
	weir_server_stop(s->weir, 200);
	pthread_join(runner, &said);
	came_back(began_at, 200);
	ck_assert_int_eq((intptr_t)said, -EBUSY);
	gate_open(&gate);
	UNTIL(weir_server_join(s->weir, NULL, 0) != -EBUSY);
	server_join_and_check(s);
}
END_TEST

START_TEST(a_server_is_freed_though_its_log_sink_waits)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve(WEIR_CONFIG(.workers = 2, .log = wait_at_gate,
					     .log_arg = &gate),
				 WEIR_SERVICE(.readable = echo_lines));
	int64_t began_at = now_ms();

	weir_server_free(s->weir);
	came_back(began_at, 0);
	ck_assert_int_eq(gate_waiting(&gate), 1);
	gate_open(&gate);
	server_check_freed(s); /* its threads and descriptors end */
}
END_TEST

/* ------------------------------------------------- the end of the workers */

static void wait_at_exit(int index, void *arg)
{
	(void)index;
	gate_wait(arg);
}

/* Its workers do not end before the gate opens. */
static struct server *serve_with_lasting_workers(struct gate *gate)
{
	return serve(WEIR_CONFIG(.workers = 2, .worker_exit = wait_at_exit,
				 .worker_arg = gate),
		     WEIR_SERVICE(.readable = echo_lines));
}

static struct weir_stats stats_at_once(struct server *s)
{
	int64_t began_at = now_ms();
	struct weir_stats now = stats(s);

	came_back(began_at, 0);
	return now;
}

/* Its workers do not end before the gate opens. */
static void stop_of_lasting_workers(struct server *s, struct gate *gate)
{
	int64_t began_at = now_ms();
	struct weir_report report;

	weir_server_stop(s->weir, 200);
	ck_assert_int_eq(weir_server_join(s->weir, &report, sizeof(report)),
			 -EBUSY);
	came_back(began_at, 200);
	expect_stop_on_time(&report, 200);
	ck_assert_uint_eq(stats_at_once(s).ledger.open, 0);
	gate_open(gate);
	UNTIL(weir_server_join(s->weir, NULL, 0) == 0);
	server_join_and_check(s);
}

START_TEST(a_worker_hook_that_waits_does_not_hold_up_a_join)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve_with_lasting_workers(&gate);

	stop_of_lasting_workers(s, &gate);
}
END_TEST

START_TEST(a_worker_hook_that_waits_does_not_hold_up_a_look)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve_with_lasting_workers(&gate);
	struct pollfd end = { .fd = weir_server_fd(s->weir), .events = POLLIN };
	struct weir_report report = { .stuck = 7 };

	weir_server_stop(s->weir, 200);
	UNTIL(poll(&end, 1, 0) == 1);
	ck_assert_int_eq(
		weir_server_join_for(s->weir, &report, sizeof(report), 0),
		-ETIMEDOUT);
	ck_assert_uint_eq(report.stuck, 7);
	UNTIL(weir_server_join_for(s->weir, &report, sizeof(report), 0) ==
	      -EBUSY);
	ck_assert_uint_eq(report.stuck, 0);
	gate_open(&gate);
	UNTIL(weir_server_join_for(s->weir, NULL, 0, 0) == 0);
	server_join_and_check(s);
}
END_TEST

#define JOINERS 12

static pthread_barrier_t all_join;

static void *join_for_a_moment(void *arg)
{
	struct server *s = arg;

	pthread_barrier_wait(&all_join);
	return (void *)(intptr_t)weir_server_join_for(s->weir, NULL, 0, 200);
}

/* Together they wait for longer than one join would. */
START_TEST(joins_of_several_threads_wait_for_the_same_time)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve_with_lasting_workers(&gate);
	struct pollfd end = { .fd = weir_server_fd(s->weir), .events = POLLIN };
	pthread_t id[JOINERS];

	pthread_barrier_init(&all_join, NULL, JOINERS + 1);
	for (int i = 0; i < JOINERS; i++)
		ck_assert_int_eq(
			pthread_create(&id[i], NULL, join_for_a_moment, s), 0);
	weir_server_stop(s->weir, 200);
	UNTIL(poll(&end, 1, 0) == 1);
	pthread_barrier_wait(&all_join);
	for (int i = 0; i < JOINERS; i++) {
		void *rc;

		ck_assert_int_eq(pthread_join(id[i], &rc), 0);
		ck_assert_int_eq((int)(intptr_t)rc, -ETIMEDOUT);
	}
	gate_open(&gate);
	UNTIL(weir_server_join(s->weir, NULL, 0) == 0);
	server_join_and_check(s);
}
END_TEST

static pthread_key_t key;

static void destructor_waits(void *arg)
{
	gate_wait(arg);
}

static int leave_something(weir_conn *c, void *arg)
{
	pthread_setspecific(key, arg);
	return echo_lines(c, NULL);
}

START_TEST(a_destructor_that_waits_does_not_hold_up_a_join)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve_workers(
		2, WEIR_SERVICE(.readable = leave_something, .arg = &gate));
	struct client *c = client_open(s);

	ck_assert_int_eq(pthread_key_create(&key, destructor_waits), 0);
	client_expect_echo(c, "hello\n");
	client_close(c);
	UNTIL(is_at_rest(s));
	stop_of_lasting_workers(s, &gate);
	pthread_key_delete(key);
}
END_TEST

START_TEST(a_server_is_freed_though_a_destructor_waits)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve_workers(
		2, WEIR_SERVICE(.readable = leave_something, .arg = &gate));
	struct client *c = client_open(s);
	int64_t began_at;

	ck_assert_int_eq(pthread_key_create(&key, destructor_waits), 0);
	client_expect_echo(c, "hello\n");
	began_at = now_ms();
	weir_server_free(s->weir);
	came_back(began_at, 0);
	gate_open(&gate);
	server_check_freed(s);
	pthread_key_delete(key);
}
END_TEST

/* -------------------------------------------- a process that is stopped */

/* A thread of the server in a child process, which is stopped meanwhile. */
struct held {
	int told[2]; /* it says that it is here, ... */
	int go[2];   /* ... and goes on after this */
	weir_server *server;
};

/* How often the first thread has gone to sleep: it waits for the end. */
static long sleeps_of_waiter(void)
{
	char path[64], line[128];
	long n = -1;
	FILE *status;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", getpid());
	status = fopen(path, "r");
	ck_assert_ptr_nonnull(status);
	while (fgets(line, sizeof(line), status))
		sscanf(line, "voluntary_ctxt_switches: %ld", &n);
	fclose(status);
	ck_assert_int_ge(n, 0);
	return n;
}

/* It looks at the clock between two sleeps, a tenth of a second at most. */
static void let_waiter_sleep(int times)
{
	long before = sleeps_of_waiter();

	UNTIL(sleeps_of_waiter() >= before + times);
}

/* Its turn comes after that of the thread that waits for the end. */
static void hold_here(const struct held *h)
{
	char byte = 0;

	let_waiter_sleep(3); /* perhaps twice for a lock */
	if (write(h->told[1], &byte, 1) != 1 || read(h->go[0], &byte, 1) != 1)
		_exit(100);
	let_waiter_sleep(1);
}

static void hold_the_acceptor(int level, const char *line, void *arg)
{
	(void)level;
	if (strstr(line, "stopping"))
		hold_here(arg);
}

static void hold_a_worker(int index, void *arg)
{
	const struct held *h = arg;
	struct pollfd end = { .fd = weir_server_fd(h->server),
			      .events = POLLIN };

	if (index != 0)
		return;
	UNTIL(poll(&end, 1, 0) == 1); /* it waits for threads from now on */
	hold_here(h);
}

/* What the end of a server says; the deadline passes during the hold. */
static int stop_in_child(const struct weir_config *config, struct held *h,
			 bool runs)
{
	struct server *s = serve(config, WEIR_SERVICE(.readable = echo_lines));
	int rc;

	h->server = s->weir;
	weir_server_stop(s->weir, 200);
	rc = runs ? weir_server_run(s->weir, 0)
		  : weir_server_join(s->weir, NULL, 0);
	weir_server_free(s->weir);
	return rc;
}

static bool has_frozen(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
	return WIFSTOPPED(status);
}

/* What it says when it ends, after it was frozen for some time. */
static int thaw(pid_t pid, int go)
{
	int64_t frozen_at = now_ms();
	int status;
	char byte = 0;

	/* Longer than a join waits for what does not end. */
	UNTIL(now_ms() - frozen_at > 2000);
	if (go >= 0)
		ck_assert_int_eq(write(go, &byte, 1), 1);
	kill(pid, SIGCONT);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void stop_while_frozen(struct weir_config config, bool runs)
{
	struct held h;
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe(h.told), 0);
	ck_assert_int_eq(pipe(h.go), 0);
	config.log_arg = config.worker_arg = &h;
	pid = fork();
	if (pid == 0)
		_exit(-stop_in_child(&config, &h, runs));
	ck_assert_int_gt(pid, 0);
	close(h.told[1]);
	ck_assert_int_eq(read(h.told[0], &byte, 1), 1);
	kill(pid, SIGSTOP);
	ck_assert(has_frozen(pid));
	ck_assert_int_eq(thaw(pid, h.go[1]), 0);
	close(h.told[0]);
	close(h.go[0]);
	close(h.go[1]);
}

START_TEST(time_in_which_the_process_was_stopped_makes_no_stop_late)
{
	stop_while_frozen(*WEIR_CONFIG(.log = hold_the_acceptor), false);
	stop_while_frozen(*WEIR_CONFIG(.log = hold_the_acceptor), true);
	stop_while_frozen(*WEIR_CONFIG(.worker_exit = hold_a_worker), false);
}
END_TEST

/*
 * It returns some time after that, unless the stop ends before.  The process
 * may not be frozen until the first wait.
 */
static int freeze_when_cut(weir_conn *c, void *arg)
{
	struct pollfd end = { .fd = weir_server_fd(weir_conn_server(c)),
			      .events = POLLIN };
	char line[64];

	(void)arg;
	while (weir_conn_read_line(c, line, sizeof(line)) > 0)
		weir_conn_write(c, line, strlen(line));
	kill(getpid(), SIGSTOP);
	(void)poll(NULL, 0, 10);
	return poll(&end, 1, 10) < 0;
}

static int stuck_in_child(void)
{
	struct server *s =
		serve(NULL, WEIR_SERVICE(.session = freeze_when_cut));
	struct weir_report report;

	client_open_and_echo(s, "hello\n");
	weir_server_stop(s->weir, 0);
	ck_assert_int_eq(weir_server_join(s->weir, &report, sizeof(report)),
			 -ECANCELED);
	weir_server_free(s->weir);
	return (int)report.stuck;
}

/* A callback that gets no processor in time does not come to its stop. */
static bool none_is_stuck_after_a_freeze(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(stuck_in_child());
	ck_assert_int_gt(pid, 0);
	return has_frozen(pid) && thaw(pid, -1) == 0;
}

START_TEST(time_in_which_the_process_was_stopped_makes_no_callback_stuck)
{
	MOSTLY(none_is_stuck_after_a_freeze());
}
END_TEST

/* -------------------------------------------------------------- SO_LINGER */

#define SLOW_PEERS 3

static const struct linger for_long = { .l_onoff = 1, .l_linger = 20 };

static int set_option(weir_conn *c, void *arg)
{
	(void)arg;
	ck_assert_int_eq(setsockopt(weir_conn_fd(c), SOL_SOCKET, SO_LINGER,
				    &for_long, sizeof(for_long)),
			 0);
	return WEIR_AGAIN;
}

/* More than the peer reads, less than the kernel takes. */
static int write_and_end(weir_conn *c, void *arg)
{
	static char text[100000];
	char line[16];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	(void)arg;
	return n > 0 ? weir_conn_write(c, text, sizeof(text)) : (int)n;
}

/* There is unsent output at the deadline. */
static void stop_while_they_linger(struct server *s)
{
	struct weir_report report;
	int64_t began_at;

	UNTIL(stats(s).lingering == SLOW_PEERS);
	began_at = now_ms();
	weir_server_stop(s->weir, 500);
	ck_assert_int_eq(weir_server_join(s->weir, &report, sizeof(report)),
			 -ECANCELED);
	came_back(began_at, 500);
	expect_stop_on_time(&report, 500);
	ck_assert_uint_eq(report.ledger.cut, SLOW_PEERS);
	server_join_and_check(s);
}

/* They ask and do not read. */
static void stop_with_slow_peers(struct server *s)
{
	for (int i = 0; i < SLOW_PEERS; i++)
		client_send(client_open_small(s, 4096), "go\n");
	stop_while_they_linger(s);
}

START_TEST(a_close_does_not_wait_because_the_program_set_so_linger)
{
	stop_with_slow_peers(
		serve(NULL, WEIR_SERVICE(.opened = set_option,
					 .readable = write_and_end)));
}
END_TEST

/* Its connections inherit SO_LINGER. */
static int listen_with_so_linger(void)
{
	struct sockaddr_in any = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &for_long,
				    sizeof(for_long)),
			 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	ck_assert_int_eq(listen(fd, 16), 0);
	return fd;
}

START_TEST(a_close_does_not_wait_because_a_listener_had_so_linger)
{
	char where[32];

	snprintf(where, sizeof(where), "fd:%d", listen_with_so_linger());
	stop_with_slow_peers(
		serve_at(where, NULL, WEIR_SERVICE(.readable = write_and_end)));
}
END_TEST

static void stop_after_so_linger(bool is_owned_again)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = write_and_end));

	ck_assert_int_eq(setsockopt(weir_server_listener_fd(s->weir, 0),
				    SOL_SOCKET, SO_LINGER, &for_long,
				    sizeof(for_long)),
			 0);
	if (is_owned_again)
		ck_assert_int_eq(weir_server_own_listener(s->weir, 0), 0);
	stop_with_slow_peers(s);
}

START_TEST(a_close_does_not_wait_because_a_listener_gets_so_linger)
{
	stop_after_so_linger(false);
	stop_after_so_linger(true);
}
END_TEST

static int admit_with_so_linger(int fd, const struct sockaddr *peer,
				socklen_t peer_len, void *arg)
{
	(void)peer, (void)peer_len, (void)arg;
	return setsockopt(fd, SOL_SOCKET, SO_LINGER, &for_long,
			  sizeof(for_long));
}

START_TEST(a_close_does_not_wait_because_a_client_was_admitted_with_so_linger)
{
	stop_with_slow_peers(
		serve(NULL, WEIR_SERVICE(.admit = admit_with_so_linger,
					 .readable = write_and_end)));
}
END_TEST

START_TEST(a_close_does_not_wait_because_an_adopted_socket_had_so_linger)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo));
	const struct weir_service *sv = WEIR_SERVICE(.readable = write_and_end);
	struct sockaddr_in addr;
	socklen_t len = sizeof(addr);
	int fd = listen_with_so_linger();
	char address[32];

	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	snprintf(address, sizeof(address), "127.0.0.1:%d",
		 ntohs(addr.sin_port));
	for (int i = 0; i < SLOW_PEERS; i++) {
		struct client *c = client_new(address, 4096);

		ck_assert_int_eq(client_connect(c, address), 0);
		client_send(c, "go\n");
		ck_assert_int_eq(weir_server_adopt(s->weir, NULL,
						   accept(fd, NULL, NULL), sv),
				 0);
	}
	close(fd);
	stop_while_they_linger(s);
}
END_TEST

/* ------------------------------------------- a peer that goes on sending */

struct dripper {
	pthread_t id;
	struct client *client;
	_Atomic bool is_over;
};

static void *drips(void *arg)
{
	struct dripper *d = arg;

	while (!atomic_load(&d->is_over)) {
		(void)client_try_send(d->client, "x", 1);
		for (int i = 0; i < 20; i++)
			poll_sleep();
	}
	return NULL;
}

static int answer_and_end(weir_conn *c, void *arg)
{
	char line[16];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	(void)arg;
	return n > 0 ? weir_conn_printf(c, "answer\n") : (int)n;
}

static void stop_with_dripper(bool is_first)
{
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = answer_and_end));
	struct dripper d = { .client = client_open(s) };
	struct weir_report report;

	client_send(d.client, is_first ? "" : "ask\n");
	if (!is_first)
		UNTIL(stats(s).lingering == 1);
	ck_assert_int_eq(pthread_create(&d.id, NULL, drips, &d), 0);
	weir_server_stop(s->weir, long_grace);
	if (is_first)
		client_try_send(d.client, "ask\n", 4);
	ck_assert_int_eq(join_fully(s->weir, &report), 0);
	atomic_store(&d.is_over, true);
	pthread_join(d.id, NULL);
	ck_assert_uint_lt(report.drain_ms, much_less * (uint64_t)slowness());
	ck_assert_uint_eq(report.ledger.completed, 1);
	server_join_and_check(s);
}

START_TEST(a_peer_that_goes_on_sending_does_not_set_the_length_of_a_stop)
{
	stop_with_dripper(false); /* it was answered before the stop */
	stop_with_dripper(true);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"stop_held_up", a_log_sink_that_waits_does_not_hold_up_a_join,
		a_log_sink_that_waits_does_not_hold_up_run,
		a_server_is_freed_though_its_log_sink_waits,
		a_worker_hook_that_waits_does_not_hold_up_a_join,
		a_worker_hook_that_waits_does_not_hold_up_a_look,
		joins_of_several_threads_wait_for_the_same_time,
		a_destructor_that_waits_does_not_hold_up_a_join,
		a_server_is_freed_though_a_destructor_waits,
		time_in_which_the_process_was_stopped_makes_no_stop_late,
		time_in_which_the_process_was_stopped_makes_no_callback_stuck,
		a_close_does_not_wait_because_the_program_set_so_linger,
		a_close_does_not_wait_because_a_listener_had_so_linger,
		a_close_does_not_wait_because_a_listener_gets_so_linger,
		a_close_does_not_wait_because_a_client_was_admitted_with_so_linger,
		a_close_does_not_wait_because_an_adopted_socket_had_so_linger,
		a_peer_that_goes_on_sending_does_not_set_the_length_of_a_stop);
}
