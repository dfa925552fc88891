/* SPDX-License-Identifier: MIT */
/* restart ADDRESS: SIGHUP starts the program again and ends this process */
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <unistd.h>
#include <weir.h>

extern char **environ;

static int echo(weir_conn *c, void *arg)
{
	char line[512];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read_line(c, line, sizeof line)) > 0)
		if ((n = weir_conn_printf(c, "%d: %s", (int)getpid(), line)) <
		    0)
			break;
	return (int)n;
}

/* The copy of the listener has no close-on-exec: the successor inherits it. */
static int start_successor(weir_server *s, int listener, const char *program)
{
	int fd = weir_server_listener_fd(s, listener), copy, rc;
	char where[16];
	char *argv[] = { (char *)program, where, NULL };
	pid_t pid;

	if (fd < 0 || (copy = dup(fd)) < 0)
		return -1;
	snprintf(where, sizeof where, "fd:%d", copy);
	rc = posix_spawnp(&pid, program, NULL, NULL, argv, environ);
	close(copy);
	return rc;
}

int main(int argc, char **argv)
{
	weir_server *s;
	sigset_t set;
	int listener, signo, rc = argc == 2 ? weir_server_new(&s, NULL) : -1;

	if (rc < 0)
		return 1;
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	listener = rc =
		weir_server_listen(s, argv[1], WEIR_SERVICE(.readable = echo));
	if (rc >= 0)
		rc = weir_server_start(s);
	if (rc >= 0) {
		do
			sigwait(&set, &signo);
		while (signo == SIGHUP &&
		       start_successor(s, listener, argv[0]) != 0);
		weir_server_drain(s);
		rc = weir_server_join(s, NULL, 0);
	}
	weir_server_free(s);
	return rc < 0;
}
