/* SPDX-License-Identifier: MIT */
/*
 * Deadlines follow the monotonic clock.  When the time of day jumps by a day,
 * forward or back, no deadline is early or late.  When the process was stopped
 * for three seconds, input that arrived is served before a deadline is applied,
 * and connections past their deadline end at once.
 *
 * The server is a child process, this program with the argument "serve": it can
 * be stopped, and run under libfaketime, which changes its time of day through
 * a file and leaves its monotonic clock alone.  The clock of the machine is not
 * touched.
 */
#include "test.h"

#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>

#define SHORT_MS     1000
#define LONG_MS	     4500
#define STOPPED_MS   3000
#define TOLERANCE_MS 50
#define DAY_S	     86400

extern char **environ;

/* The deadline that ends a client. */
enum kind { FIRST_BYTE, READ, IDLE, LIFETIME, KINDS };

static const char *const kind_names[] = { "first byte", "read", "idle",
					  "lifetime" };

/* A listener for each kind, short and long, readable and session. */
#define LISTENERS (KINDS * 2 * 2)

static int listener_of(enum kind kind, bool is_long, bool is_session)
{
	return (int)kind * 4 + is_long * 2 + is_session;
}

/* ---- the server, another process */

static int tell_the_time(weir_conn *c, void *arg)
{
	(void)arg;
	return weir_conn_printf(c, "%lld", (long long)time(NULL));
}

static void listen_both(weir_server *s, const struct weir_service *service)
{
	char where[64];
	int id = weir_server_listen(s, "127.0.0.1:0", service);

	if (id < 0 || weir_server_address(s, id, where, sizeof(where)) < 0)
		_exit(1);
	printf("%s\n", where);
}

static int be_the_server(void)
{
	weir_server *s;
	char c;

	if (weir_server_new(&s, WEIR_CONFIG(.workers = 2 * LISTENERS)) < 0)
		return 1;
	for (int i = 0; i < LISTENERS; i++) {
		struct weir_service sv = { .size = sizeof(sv),
					   .first_byte_ms = WEIR_NEVER,
					   .read_ms = WEIR_NEVER,
					   .idle_ms = WEIR_NEVER };
		int ms = i / 2 % 2 ? LONG_MS : SHORT_MS;
		int *const field[] = { &sv.first_byte_ms, &sv.read_ms,
				       &sv.idle_ms, &sv.lifetime_ms };

		*field[i / 4] = ms;
		if (i % 2)
			sv.session = echo_lines;
		else
			sv.readable = echo_lines;
		listen_both(s, &sv);
	}
	listen_both(s, WEIR_SERVICE(.readable = echo, .opened = tell_the_time));
	if (weir_server_start(s) < 0)
		return 1;
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	weir_server_free(s);
	return 0;
}

/* ---- the server as the test sees it */

struct process {
	pid_t pid;
	int to;
	char where[LISTENERS + 1][64];
};

static void process_start(struct process *p)
{
	char *argv[] = { (char *)"/proc/self/exe", (char *)"serve", NULL };
	posix_spawn_file_actions_t actions;
	int to[2], from[2];
	FILE *lines;

	ck_assert_int_eq(pipe2(to, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(from, O_CLOEXEC), 0);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
	ck_assert_int_eq(
		posix_spawn(&p->pid, argv[0], &actions, NULL, argv, environ),
		0);
	posix_spawn_file_actions_destroy(&actions);
	close(to[0]);
	close(from[1]);
	p->to = to[1];
	lines = fdopen(from[0], "re");
	for (int i = 0; i < LISTENERS + 1; i++) {
		ck_assert_ptr_nonnull(
			fgets(p->where[i], sizeof(p->where[i]), lines));
		p->where[i][strcspn(p->where[i], "\n")] = '\0';
	}
	fclose(lines);
}

static void process_stop(struct process *p)
{
	int status;

	close(p->to);
	ck_assert_int_eq(waitpid(p->pid, &status, 0), p->pid);
	ck_assert_int_eq(status, 0);
}

static long long time_of_day_at(const struct process *p)
{
	struct client *c = client_open_at(p->where[LISTENERS]);
	char text[32];
	size_t have = 0;
	ssize_t n;

	while ((n = client_read(c, text + have, sizeof(text) - 1 - have)) > 0)
		have += (size_t)n;
	text[have] = '\0';
	client_close(c);
	return atoll(text);
}

/* ---- how late this machine wakes a thread that only sleeps */

static _Atomic int64_t noise_ms;
static atomic_bool noise_is_over;

static void *sleep_late(void *unused)
{
	while (!atomic_load(&noise_is_over)) {
		int64_t began_at = now_ms();

		poll_sleep();
		if (now_ms() - began_at - 1 > atomic_load(&noise_ms))
			atomic_store(&noise_ms, now_ms() - began_at - 1);
	}
	return unused;
}

static pthread_t noise_start(void)
{
	pthread_t id;

	atomic_store(&noise_is_over, false);
	ck_assert_int_eq(pthread_create(&id, NULL, sleep_late, NULL), 0);
	return id;
}

static void noise_stop(pthread_t id)
{
	atomic_store(&noise_is_over, true);
	pthread_join(id, NULL);
}

/* Acceptor, worker and client are woken, one after another. */
static int64_t tolerance_ms(void)
{
	return (int64_t)TOLERANCE_MS * slowness() + 3 * atomic_load(&noise_ms);
}

/* ---- clients that will be ended */

struct watched {
	struct client *client;
	enum kind kind;
	bool is_long, is_session;
	int64_t from, to; /* its time began between these, ms */
	int64_t ended_at; /* 0: not yet */
};

static void watched_start(struct watched *w, const struct process *p,
			  int listener)
{
	memset(w, 0, sizeof(*w));
	w->kind = (enum kind)(listener / 4);
	w->is_long = listener / 2 % 2;
	w->is_session = listener % 2;
	w->from = now_ms();
	w->client = client_open_at(p->where[listener]);
	if (w->kind == IDLE || w->kind == LIFETIME) {
		client_expect_echo(w->client, "hello\n");
	} else if (w->kind == READ) {
		client_send(w->client, "half a ");
	}
	w->to = now_ms();
}

/* Until all have ended, or until that time. */
static void watch(struct watched *w, int64_t until)
{
	for (;;) {
		struct pollfd fds[KINDS * 2];
		int left = 0;

		for (int i = 0; i < KINDS * 2; i++) {
			fds[i] = (struct pollfd){
				.fd = w[i].ended_at ? -1 : w[i].client->fd,
				.events = POLLIN
			};
			left += w[i].ended_at == 0;
		}
		if (left == 0 || now_ms() >= until)
			return;
		poll(fds, KINDS * 2, (int)(until - now_ms()));
		for (int i = 0; i < KINDS * 2; i++)
			if (fds[i].fd >= 0 && fds[i].revents) {
				w[i].ended_at = now_ms();
				client_expect_eof(w[i].client);
				client_close(w[i].client);
			}
	}
}

static void expect_ended(const struct watched *w, int64_t from, int64_t to)
{
	const char *kind = kind_names[w->kind];

	ck_assert_msg(w->ended_at >= from, "%s of a %s came %ld ms early", kind,
		      w->is_session ? "session" : "readable service",
		      (long)(from - w->ended_at));
	ck_assert_msg(w->ended_at <= to + tolerance_ms(),
		      "%s of a %s came %ld ms late, the machine is %ld ms late",
		      kind, w->is_session ? "session" : "readable service",
		      (long)(w->ended_at - to), (long)atomic_load(&noise_ms));
}

static int64_t lateness(const struct watched *w, int ms)
{
	int64_t most = 0;

	for (int i = 0; i < KINDS * 2; i++)
		if (w[i].ended_at - w[i].to - ms > most)
			most = w[i].ended_at - w[i].to - ms;
	return most;
}

static int64_t latest_end(const struct watched *w, int64_t at)
{
	int64_t most = 0;

	for (int i = 0; i < KINDS * 2; i++)
		if (w[i].ended_at - at > most)
			most = w[i].ended_at - at;
	return most;
}

/* ---- the time of day */

static char jump_file[64];

static void jump_to(int days)
{
	char next[80];
	FILE *f;

	snprintf(next, sizeof(next), "%s.next", jump_file);
	f = fopen(next, "we");
	ck_assert_ptr_nonnull(f);
	fprintf(f, "%+d\n", days * DAY_S);
	fclose(f);
	ck_assert_int_eq(rename(next, jump_file), 0);
}

static bool has_another_time_of_day(void)
{
	glob_t found;
	bool is_there = glob("/usr/lib/*/faketime/libfaketimeMT.so.1", 0, NULL,
			     &found) == 0;

	if (!is_there) {
		printf("SKIPPED: no libfaketime here\n");
		return false;
	}
	snprintf(jump_file, sizeof(jump_file), "/tmp/weir-clock-%d",
		 (int)getpid());
	jump_to(0);
	setenv("LD_PRELOAD", found.gl_pathv[0], 1);
	setenv("FAKETIME_TIMESTAMP_FILE", jump_file, 1);
	setenv("FAKETIME_NO_CACHE", "1", 1);
	setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1", 1);
	globfree(&found);
	return true;
}

static void jump_in_mid_wait(const struct process *p, int days)
{
	struct watched w[KINDS * 2];
	long long before = time_of_day_at(p), after;

	for (int i = 0; i < KINDS * 2; i++)
		watched_start(&w[i], p,
			      listener_of((enum kind)(i / 2), false, i % 2));
	watch(w, now_ms() + SHORT_MS / 2);
	jump_to(days);
	after = time_of_day_at(p);
	ck_assert_int_ge(llabs(after - before), DAY_S - 60);
	watch(w, test_deadline());
	printf("the time of day went from %lld to %lld s: deadlines at most "
	       "%ld ms late (a thread that sleeps: %ld ms)\n",
	       before, after, (long)lateness(w, SHORT_MS),
	       (long)atomic_load(&noise_ms));
	for (int i = 0; i < KINDS * 2; i++)
		expect_ended(&w[i], w[i].from + SHORT_MS, w[i].to + SHORT_MS);
}

START_TEST(a_time_of_day_that_jumps_moves_no_deadline)
{
	static const int days[] = { 1, 0, -1, 0, 1, -1 };
	struct process p;
	pthread_t noise;

	if (!has_another_time_of_day())
		return;
	process_start(&p);
	noise = noise_start();
	for (int i = 0; i < 6; i++)
		jump_in_mid_wait(&p, days[i]);
	noise_stop(noise);
	process_stop(&p);
	unlink(jump_file);
}
END_TEST

/* ---- the process is stopped */

static void pause_the_server(const struct process *p, bool goes_on)
{
	ck_assert_int_eq(kill(p->pid, goes_on ? SIGCONT : SIGSTOP), 0);
}

/* The rest of a line, or a line. */
static void watched_speak(struct watched *w)
{
	client_send(w->client, w->kind == READ ? "line\n" : "more\n");
}

static void is_answered(struct watched *w)
{
	client_expect(w->client, w->kind == READ ? "half a line\n" : "more\n");
}

/*
 * All clients but one begin before the server is stopped: silent ones, ones
 * whose deadline is after the stop, and ones that send during it.
 */
static void stop_in_mid_wait(const struct process *p)
{
	struct watched silent[KINDS * 2], later[KINDS * 2];
	struct watched speaking[LIFETIME * 2]; /* of the kinds before it */
	struct client *fresh;
	int64_t stopped_at, on_at;

	for (int i = 0; i < KINDS * 2; i++) {
		watched_start(&silent[i], p,
			      listener_of((enum kind)(i / 2), false, i % 2));
		watched_start(&later[i], p,
			      listener_of((enum kind)(i / 2), true, i % 2));
	}
	for (int i = 0; i < LIFETIME * 2; i++)
		watched_start(&speaking[i], p,
			      listener_of((enum kind)(i / 2), false, i % 2));
	stopped_at = now_ms();
	pause_the_server(p, false);
	watch(silent, stopped_at + STOPPED_MS / 2);
	for (int i = 0; i < LIFETIME * 2; i++)
		watched_speak(&speaking[i]);
	fresh = client_open_at(p->where[listener_of(FIRST_BYTE, false, false)]);
	client_send(fresh, "hello\n");
	watch(silent, stopped_at + STOPPED_MS);
	on_at = now_ms();
	pause_the_server(p, true);
	watch(silent, test_deadline());
	client_expect(fresh, "hello\n");
	for (int i = 0; i < LIFETIME * 2; i++)
		is_answered(&speaking[i]);
	watch(later, test_deadline());
	clients_close();
	printf("stopped for %ld ms: deadlines that had passed at most %ld ms "
	       "late, those to come %ld ms (a thread that sleeps: %ld ms)\n",
	       (long)(on_at - stopped_at), (long)latest_end(silent, on_at),
	       (long)lateness(later, LONG_MS), (long)atomic_load(&noise_ms));
	for (int i = 0; i < KINDS * 2; i++) {
		expect_ended(&silent[i], on_at, on_at);
		expect_ended(&later[i], later[i].from + LONG_MS,
			     later[i].to + LONG_MS);
	}
}

START_TEST(a_process_that_was_stopped_applies_deadlines_to_silence_alone)
{
	struct process p;
	pthread_t noise;

	process_start(&p);
	noise = noise_start();
	stop_in_mid_wait(&p);
	noise_stop(noise);
	process_stop(&p);
}
END_TEST

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "serve") == 0)
		return be_the_server();
	setvbuf(stdout, NULL, _IOLBF, 0);
	return RUN_TESTS(
		"clocks", a_time_of_day_that_jumps_moves_no_deadline,
		a_process_that_was_stopped_applies_deadlines_to_silence_alone);
}
