/* SPDX-License-Identifier: MIT */
/*
 * weir itself, with its defaults but for the limits that a crowd needs:
 *
 *	--style read     readable, whatever has come
 *	--style line     readable, line by line
 *	--style session  a worker for each connection
 *
 * SIGTERM stops it gracefully; then it says how long that took.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weir.h>

#include "rival.h"

static int echo(weir_conn *c, void *arg)
{
	char chunk[RIVAL_CHUNK];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read(c, chunk, sizeof(chunk))) > 0) {
		rival_nap(chunk, (size_t)n);
		if ((n = weir_conn_write(c, chunk, (size_t)n)) < 0)
			break;
	}
	return (int)n;
}

static int echo_lines(weir_conn *c, void *arg)
{
	char line[4096];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0) {
		rival_nap(line, (size_t)n);
		if ((n = weir_conn_write(c, line, (size_t)n)) < 0)
			break;
	}
	return (int)n;
}

static void log_line(void *arg, int level, const char *line)
{
	(void)arg;
	if (level <= WEIR_LOG_WARNING)
		fprintf(stderr, "%s\n", line);
}

static int run(weir_server *s, struct rival *r)
{
	struct weir_service service = { .size = sizeof(service),
					.readable = echo };
	struct weir_report report;
	char where[64];
	int rc;

	if (strcmp(r->style, "line") == 0) {
		service.readable = echo_lines;
	} else if (strcmp(r->style, "session") == 0) {
		service.readable = NULL;
		service.session = echo;
	}
	snprintf(where, sizeof(where), "127.0.0.1:%d", r->port);
	rc = weir_server_listen(s, where, &service);
	if (rc < 0)
		return rc;
	rc = weir_server_address(s, rc, where, sizeof(where));
	if (rc < 0)
		return rc;
	r->port = atoi(strrchr(where, ':') + 1);
	rival_ready(r);
	rc = weir_server_run(s, WEIR_SIGNALS);
	if (weir_server_join(s, &report) == 0)
		printf("stopped %llu ms, %llu accepted, %llu completed\n",
		       (unsigned long long)report.drain_ms,
		       (unsigned long long)report.ledger.accepted,
		       (unsigned long long)report.ledger.completed);
	return rc;
}

int main(int argc, char **argv)
{
	weir_server *s;
	struct rival r;
	int rc;

	rival_begin(&r, argc, argv);
	rc = weir_server_new(
		&s, WEIR_CONFIG(.workers = r.threads, .queue_length = 4096,
				.max_connections = 50000, .log = log_line));
	if (rc == 0) {
		rc = run(s, &r);
		weir_server_free(s);
	}
	if (rc < 0)
		fprintf(stderr, "weir: %s\n", weir_strerror(rc));
	return rc < 0;
}
