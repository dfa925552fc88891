/* SPDX-License-Identifier: MIT */
/*
 * main() of the programs in this folder, each of which is a server and its
 * client:
 *
 *	PROGRAM serve [ADDRESS [ARGUMENT]]	until SIGINT or SIGTERM
 *	PROGRAM call [ADDRESS [ARGUMENT]]	one conversation
 *
 * ARGUMENT, or NULL, is the `arg` of the callbacks and of the client.
 */
#ifndef ROLES_H
#define ROLES_H

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <weir.h>

struct program {
	const char *where; /* default address */
	const struct weir_config *config;
	const struct weir_service *service;
	int (*call)(weir_conn *c, const char *arg); /* 0 or -errno */
};

static void log_line(int level, const char *line, void *arg)
{
	(void)arg;
	(void)level;
	fprintf(stderr, "%s\n", line);
}

static int serve(const struct program *p, const char *where, char *arg)
{
	struct weir_service service = *p->service;
	char text[128];
	weir_server *s;
	int rc = weir_server_new(&s, p->config ? p->config
					       : WEIR_CONFIG(.log = log_line));

	if (rc < 0)
		return rc;
	service.arg = arg;
	rc = weir_server_listen(s, where, &service);
	if (rc >= 0)
		rc = weir_server_address(s, rc, text, sizeof text);
	if (rc >= 0) {
		printf("process %d serves at %s\n", (int)getpid(), text);
		fflush(stdout);
		rc = weir_server_run(s, WEIR_SIGNALS);
	}
	weir_server_free(s);
	return rc;
}

static int call(const struct program *p, const char *where, const char *arg)
{
	weir_conn *c;
	int rc = weir_dial(&c, where, 10000);

	if (rc < 0)
		return rc;
	rc = p->call(c, arg);
	weir_conn_free(c); /* sends the rest, and closes */
	fflush(stdout);
	return rc;
}

static int run_program(int argc, char **argv, const struct program *p)
{
	const char *where = argc > 2 ? argv[2] : p->where;
	char *arg = argc > 3 ? argv[3] : NULL;
	int rc;

	if (argc > 1 && strcmp(argv[1], "serve") == 0) {
		rc = serve(p, where, arg);
	} else if (argc > 1 && strcmp(argv[1], "call") == 0) {
		rc = call(p, where, arg);
	} else {
		fprintf(stderr, "usage: %s serve|call [ADDRESS [ARGUMENT]]\n",
			argv[0]);
		return 2;
	}
	if (rc < 0)
		fprintf(stderr, "%s: %s\n", where, weir_strerror(rc));
	return rc < 0;
}

#endif
