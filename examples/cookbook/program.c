/* SPDX-License-Identifier: MIT */
/* program ADDRESS COMMAND: send the output of a command to each client */
#define _GNU_SOURCE 1 /* pipe2() */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weir.h>

extern char **environ;

/* A worker blocks all signals, and its child would inherit that. */
static int start(char *command, int output, pid_t *child)
{
	char *argv[] = { "sh", "-c", command, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none;
	int rc;

	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	rc = posix_spawnp(child, "sh", &actions, &attr, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return -rc;
}

/* It may block: other connections have the other workers. */
static int run(weir_conn *c, void *command)
{
	char text[4096];
	pid_t child;
	ssize_t n;
	int fds[2], rc;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	rc = start(command, fds[1], &child);
	close(fds[1]);
	if (rc == 0) {
		while (rc >= 0 && (n = read(fds[0], text, sizeof text)) > 0)
			if ((rc = weir_conn_write(c, text, (size_t)n)) >= 0)
				rc = weir_conn_flush(c);
		if (rc < 0)
			kill(child, SIGTERM); /* the client has left */
		waitpid(child, NULL, 0);
	}
	close(fds[0]);
	return rc < 0 ? rc : WEIR_CLOSE;
}

int main(int argc, char **argv)
{
	weir_server *s;
	int rc = argc == 3 ? weir_server_new(&s, NULL) : -1;

	if (rc < 0)
		return 1;
	rc = weir_server_listen(s, argv[1],
				WEIR_SERVICE(.session = run, .speaks_first = 1,
					     .arg = argv[2]));
	if (rc >= 0)
		rc = weir_server_run(s, WEIR_SIGNALS);
	weir_server_free(s);
	return rc < 0;
}
