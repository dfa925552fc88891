/* SPDX-License-Identifier: MIT */
/* weir-server in a child process, with its exit status. Its output is kept. */
#include "program.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>

#include "test.h"

extern char **environ;

static const char *program_path(void)
{
	const char *path = getenv("WEIR_SERVER");

	ck_assert_msg(path != NULL, "set WEIR_SERVER to the program");
	return path;
}

static void spawn(struct program *p, char *const argv[], int out)
{
	posix_spawn_file_actions_t actions;
	int rc;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	rc = posix_spawn(&p->pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	ck_assert_msg(rc == 0, "%s: %s", argv[0], strerror(rc));
}

/* Read what it has printed; false at the end. */
static bool take_output(struct program *p)
{
	struct pollfd pollfd = { .fd = p->out, .events = POLLIN };
	ssize_t n;

	if (poll(&pollfd, 1, 0) <= 0)
		return true;
	n = read(p->out, p->text + p->len, sizeof(p->text) - 1 - p->len);
	if (n > 0)
		p->len += (size_t)n;
	return n > 0;
}

static bool has_said(struct program *p, const char *words)
{
	ck_assert_msg(take_output(p), "it ended after \"%s\"", p->text);
	return strstr(p->text, words);
}

void program_spawn(struct program *p, char *const options[])
{
	char *argv[16] = { (char *)program_path() };
	int pipe_fds[2];
	size_t argc = 1;

	for (; options[argc - 1]; argc++) {
		ck_assert_uint_lt(argc, 15);
		argv[argc] = options[argc - 1];
	}
	memset(p, 0, sizeof(*p));
	ck_assert_int_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
	p->out = pipe_fds[0];
	spawn(p, argv, pipe_fds[1]);
	close(pipe_fds[1]);
}

void program_start(struct program *p, char *const options[])
{
	program_spawn(p, options);
	UNTIL(has_said(p, "\nready\n"));
}

void program_address(const struct program *p, char *buf, size_t cap)
{
	const char *at = strstr(p->text, "\nlistening ");
	const char *where = strchr(at, '@') + 1;

	ck_assert_int_lt(
		snprintf(buf, cap, "%.*s", (int)strcspn(where, "\n"), where),
		(int)cap);
}

static bool has_ended(struct program *p, int *status)
{
	pid_t pid = waitpid(p->pid, status, WNOHANG);

	ck_assert_int_ge(pid, 0);
	return pid > 0;
}

int program_wait(struct program *p)
{
	int status;

	UNTIL(has_ended(p, &status));
	while (take_output(p))
		;
	close(p->out);
	return status;
}

int program_wait_drained(struct program *p, struct drained *ret)
{
	int status = program_wait(p);
	const char *line = strstr(p->text, "\ndrained ");

	ck_assert_msg(line != NULL, "no drained line in \"%s\"", p->text);
	ck_assert_int_eq(sscanf(line,
				"\ndrained accepted=%lu completed=%lu "
				"refused=%lu cut=%lu failed=%lu timed_out=%lu",
				&ret->accepted, &ret->completed, &ret->refused,
				&ret->cut, &ret->failed, &ret->timed_out),
			 6);
	ck_assert_uint_eq(ret->accepted, ret->completed + ret->refused +
						 ret->cut + ret->failed +
						 ret->timed_out);
	ck_assert_msg(WIFEXITED(status), "signal %d ended it",
		      WTERMSIG(status));
	return WEXITSTATUS(status);
}
