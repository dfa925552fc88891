/* SPDX-License-Identifier: MIT */
/* A server in a child process, which can be stopped as a whole (SIGSTOP). */
#include "test.h"

#include <sys/wait.h>

static void serve_until_told(int say, int go,
			     const struct weir_service *service)
{
	struct server *s = serve(WEIR_CONFIG(.workers = 2), service);
	char end;

	ck_assert_int_eq(write(say, s->address, sizeof(s->address)),
			 sizeof(s->address));
	while (read(go, &end, 1) > 0)
		;
	server_stop_and_check(s);
}

struct forked_server forked_server_start(const struct weir_service *service)
{
	struct forked_server e;
	int say[2], go[2];

	ck_assert_int_eq(pipe(say), 0);
	ck_assert_int_eq(pipe(go), 0);
	e.pid = fork();
	if (e.pid == 0) {
		close(go[1]);
		serve_until_told(say[1], go[0], service);
		_exit(0);
	}
	ck_assert_int_gt(e.pid, 0);
	close(say[1]);
	close(go[0]);
	e.go = go[1];
	ck_assert_int_eq(read(say[0], e.address, sizeof(e.address)),
			 sizeof(e.address));
	close(say[0]);
	return e;
}

void forked_server_freeze(const struct forked_server *e)
{
	int status;

	kill(e->pid, SIGSTOP);
	ck_assert_int_eq(waitpid(e->pid, &status, WUNTRACED), e->pid);
	ck_assert(WIFSTOPPED(status));
}

void forked_server_resume(const struct forked_server *e)
{
	kill(e->pid, SIGCONT);
}

void forked_server_stop_and_check(struct forked_server *e)
{
	int status;

	clients_close();
	close(e->go);
	ck_assert_int_eq(waitpid(e->pid, &status, 0), e->pid);
	ck_assert_int_eq(status, 0);
}
