/* SPDX-License-Identifier: MIT */
/*
 * A server whose only session is that of the program: it waits until the stop.
 * For test_gdb.py.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <weir.h>

static int keep_time(weir_conn *c, void *arg)
{
	int rc = 0;

	(void)c;
	(void)arg;
	while (rc == 0)
		rc = weir_sleep(60000);
	return rc;
}

/* A server has a listener. */
static int no_client(weir_conn *c, void *arg)
{
	(void)c;
	(void)arg;
	return WEIR_CLOSE;
}

int main(void)
{
	weir_server *s;
	int signo;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (weir_server_new(&s, NULL) < 0)
		return EXIT_FAILURE;
	if (weir_server_listen(s, "127.0.0.1:0",
			       WEIR_SERVICE(.readable = no_client)) < 0 ||
	    weir_server_spawn(s, NULL, keep_time, NULL, NULL) < 0 ||
	    weir_server_start(s) < 0)
		return EXIT_FAILURE;
	printf("started\n");
	fflush(stdout);
	sigwait(&set, &signo);
	weir_server_stop(s, 0);
	(void)weir_server_join(s, NULL, 0);
	weir_server_free(s);
	return EXIT_SUCCESS;
}
