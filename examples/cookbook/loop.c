/* SPDX-License-Identifier: MIT */
/* loop ADDRESS: a server beside a loop of the program's own around poll(2) */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <weir.h>

static int echo(weir_conn *c, void *arg)
{
	char line[512];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read_line(c, line, sizeof line)) > 0)
		if ((n = weir_conn_write(c, line, (size_t)n)) < 0)
			break;
	return (int)n;
}

/* Returns 0 at the end of the commands. */
static ssize_t on_command(weir_server *s)
{
	struct weir_stats st;
	char line[80];
	ssize_t n = read(STDIN_FILENO, line, sizeof line - 1);

	if (n <= 0) {
		weir_server_drain(s);
		return 0;
	}
	line[n] = '\0';
	if (strncmp(line, "stop", 4) == 0)
		weir_server_drain(s);
	else if (weir_server_stats(s, &st, sizeof st) == 0)
		printf("%d open\n", (int)st.ledger.open);
	fflush(stdout);
	return n;
}

/* The loop: commands and signals, until the server has stopped. */
static void serve(weir_server *s, int signals)
{
	struct pollfd fds[] = { { .fd = weir_server_fd(s), .events = POLLIN },
				{ .fd = STDIN_FILENO, .events = POLLIN },
				{ .fd = signals, .events = POLLIN } };

	for (;;) {
		if (poll(fds, 3, -1) < 0)
			continue;
		if (fds[0].revents)
			break;
		if (fds[1].revents && on_command(s) == 0)
			fds[1].fd = -1; /* the end of its input */
		if (fds[2].revents) {
			weir_server_drain(s);
			fds[2].fd = -1;
		}
	}
}

/* Blocked in all threads, because none has been made. */
static int watch_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

int main(int argc, char **argv)
{
	weir_server *s;
	int rc = argc == 2 ? weir_server_new(&s, NULL) : -1;
	int signals = watch_signals();

	if (rc < 0 || signals < 0)
		return 1;
	rc = weir_server_listen(s, argv[1], WEIR_SERVICE(.readable = echo));
	if (rc >= 0)
		rc = weir_server_start(s);
	if (rc >= 0) {
		serve(s, signals);
		rc = weir_server_join(s, NULL, 0);
	}
	weir_server_free(s);
	return rc < 0;
}
