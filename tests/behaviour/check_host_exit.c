/* SPDX-License-Identifier: MIT */
/*
 * A program that returns from main() while its server runs: the process exits
 * with its status, and each connection ends.  The program is this one with the
 * argument "readable" or "session", the kind of its handler.
 */
#include "test.h"

#include <sched.h>
#include <spawn.h>
#include <sys/wait.h>

#define PARKED 5

extern char **environ;

/* ---------------------------------------------------------------- the host */

static weir_server *server;

/* It never leaves the library. */
static int spin(weir_conn *c)
{
	struct weir_stats now;

	weir_conn_printf(c, "I spin\n");
	weir_conn_flush(c);
	while (weir_server_stats(server, &now, sizeof(now)) == 0)
		sched_yield();
	return -EPROTO;
}

/* The peer does not read: a session waits for it in a write. */
static int pour(weir_conn *c)
{
	static const char much[65536];
	int rc = 0;

	while (rc == 0)
		rc = weir_conn_write(c, much, sizeof(much));
	return rc;
}

static int serve_kind(weir_conn *c, void *arg)
{
	char line[32];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0) {
		if (strcmp(line, "spin\n") == 0)
			return spin(c);
		if (strcmp(line, "pour\n") == 0)
			return pour(c);
		weir_conn_printf(c, "%s", line);
	}
	return n == -EAGAIN ? WEIR_AGAIN : (int)n;
}

/* Until the end of its standard input. */
static int host(bool is_session)
{
	char address[64] = "", byte;

	if (weir_server_new(&server, WEIR_CONFIG(.workers = 4)) < 0 ||
	    weir_server_listen(
		    server, "127.0.0.1:0",
		    WEIR_SERVICE(HANDLE_AS(is_session, serve_kind))) < 0 ||
	    weir_server_start(server) < 0 ||
	    weir_server_address(server, 0, address, sizeof(address)) < 0)
		return 1;
	printf("%s\n", address);
	fflush(stdout);
	return read(STDIN_FILENO, &byte, 1) == 0 ? 0 : 1;
}

/* ---------------------------------------------------------------- the test */

struct host {
	pid_t pid;
	int in; /* its standard input */
	char address[64];
};

static void host_start(struct host *h, char *kind)
{
	char *argv[] = { "check_host_exit", kind, NULL };
	posix_spawn_file_actions_t actions;
	int in[2], out[2];
	FILE *f;

	ck_assert_int_eq(pipe(in), 0);
	ck_assert_int_eq(pipe(out), 0);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
	posix_spawn_file_actions_addclose(&actions, in[1]);
	ck_assert_int_eq(posix_spawn(&h->pid, "/proc/self/exe", &actions, NULL,
				     argv, environ),
			 0);
	posix_spawn_file_actions_destroy(&actions);
	close(in[0]);
	close(out[1]);
	h->in = in[1];
	f = fdopen(out[0], "r");
	ck_assert_ptr_nonnull(fgets(h->address, sizeof(h->address), f));
	h->address[strcspn(h->address, "\n")] = '\0';
	fclose(f);
}

static bool has_ended(const struct host *h, int *status)
{
	return waitpid(h->pid, status, WNOHANG) == h->pid;
}

static struct client *client_ask(const struct host *h, const char *line)
{
	struct client *c = client_open_at(h->address);

	client_send(c, line);
	return c;
}

static void return_from_main(char *kind)
{
	struct client *parked[PARKED], *spinning, *pouring[2];
	struct host h;
	char buf[16];
	int status;

	host_start(&h, kind);
	for (int i = 0; i < PARKED; i++) {
		parked[i] = client_ask(&h, "hello\n");
		client_expect(parked[i], "hello\n");
	}
	spinning = client_ask(&h, "spin\n");
	client_expect(spinning, "I spin\n");
	for (int i = 0; i < 2; i++) {
		pouring[i] = client_ask(&h, "pour\n");
		ck_assert_int_gt(client_read(pouring[i], buf, sizeof(buf)), 0);
	}
	close(h.in);
	UNTIL(has_ended(&h, &status));
	ck_assert_msg(WIFEXITED(status), "signal %d ended it",
		      WTERMSIG(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
	for (int i = 0; i < PARKED; i++)
		client_expect_eof(parked[i]);
	client_expect_end(spinning);
	for (int i = 0; i < 2; i++)
		client_expect_end(pouring[i]);
}

START_TEST(a_program_may_return_from_main_while_it_serves)
{
	return_from_main("readable");
	return_from_main("session");
}
END_TEST

int main(int argc, char *argv[])
{
	if (argc > 1)
		return host(strcmp(argv[1], "session") == 0);
	return RUN_TESTS("host_exit",
			 a_program_may_return_from_main_while_it_serves);
}
