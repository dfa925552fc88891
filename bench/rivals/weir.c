/* SPDX-License-Identifier: MIT */
/*
 * weir itself, with its defaults, except for limits that many connections need:
 *
 *	--style read     readable, any amount of input
 *	--style line     readable, line by line
 *	--style session  a session on a stack of its own
 *	--style worker   a session that keeps a worker
 *
 * and, after a comma, the settings of docs/TUNING.md: queue=N, limit=N, and
 * backlog=N, refuse, spread, nagle, quickack, defer.
 *
 * Compiled with RIVAL_TLS it speaks TLS if it is given a certificate.
 *
 * SIGTERM stops it gracefully; then it prints how long that took.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <weir.h>
#ifdef RIVAL_TLS
#include <weir-tls.h>
#endif

#include "rival.h"

static int echo_through(weir_conn *c, char *chunk, size_t size)
{
	ssize_t n;

	while ((n = weir_conn_read(c, chunk, size)) > 0) {
		rival_nap(chunk, (size_t)n);
		if ((n = weir_conn_write(c, chunk, (size_t)n)) < 0)
			break;
	}
	return (int)n;
}

static int echo(weir_conn *c, void *arg)
{
	char chunk[RIVAL_CHUNK];

	(void)arg;
	return echo_through(c, chunk, sizeof(chunk));
}

/* On a stack of its own, which is not for large arrays. */
static int echo_in_session(weir_conn *c, void *arg)
{
	char chunk[4096];

	(void)arg;
	return echo_through(c, chunk, sizeof(chunk));
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

static void log_line(int level, const char *line, void *arg)
{
	(void)arg;
	if (level <= WEIR_LOG_WARNING)
		fprintf(stderr, "%s\n", line);
}

static int set_tcp(weir_conn *c, int option, int value)
{
	return setsockopt(weir_conn_fd(c), IPPROTO_TCP, option, &value,
			  sizeof(value));
}

static int echo_nagle(weir_conn *c, void *arg)
{
	(void)set_tcp(c, TCP_NODELAY, 0);
	return echo(c, arg);
}

static int echo_quickack(weir_conn *c, void *arg)
{
	(void)set_tcp(c, TCP_QUICKACK, 1);
	return echo(c, arg);
}

/* The number of a word, or other if it has none or is missing. */
static int told(const struct rival *r, const char *word, int other)
{
	const char *at = strstr(r->style, word);

	if (at && at[strlen(word)] == '=')
		return atoi(at + strlen(word) + 1);
	return at && other == 0 ? 1 : other;
}

static void choose_handler(struct weir_service *service, const struct rival *r)
{
	service->readable = echo;
	if (told(r, "line", 0))
		service->readable = echo_lines;
	if (told(r, "nagle", 0))
		service->readable = echo_nagle;
	if (told(r, "quickack", 0))
		service->readable = echo_quickack;
	service->session_on_worker = told(r, "worker", 0);
	if (service->session_on_worker || told(r, "session", 0)) {
		service->readable = NULL;
		service->session =
			service->session_on_worker ? echo : echo_in_session;
	}
	service->backlog = told(r, "backlog", service->backlog);
}

/* The address; with defer, that of a listener of our own with the option. */
static void choose_address(char *where, size_t cap, struct rival *r)
{
	int fd, seconds = 1;

	if (!told(r, "defer", 0)) {
		snprintf(where, cap, "127.0.0.1:%d", r->port);
		return;
	}
	fd = rival_listen(r);
	if (setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds,
		       sizeof(seconds)) < 0)
		rival_fail("TCP_DEFER_ACCEPT");
	snprintf(where, cap, "fd:%d", fd);
}

#ifdef RIVAL_TLS
static void choose_tls(struct weir_service *service, const struct rival *r)
{
	char why[256] = "";
	weir_tls *tls;

	if (r->certificate == NULL)
		return;
	if (weir_tls_new(&tls, WEIR_TLS(.certificate = r->certificate), why,
			 sizeof(why)) < 0 ||
	    weir_tls_use(service, tls) < 0) {
		fprintf(stderr, "weir: %s\n", why);
		exit(1);
	}
}
#else
static void choose_tls(struct weir_service *service, const struct rival *r)
{
	(void)service, (void)r;
}
#endif

static int run(weir_server *s, struct rival *r)
{
	struct weir_service service = { .size = sizeof(service) };
	struct weir_report report;
	char where[64];
	int rc;

	choose_handler(&service, r);
	choose_tls(&service, r);
	choose_address(where, sizeof(where), r);
	rc = weir_server_listen(s, where, &service);
	if (rc < 0)
		return rc;
	rc = weir_server_address(s, rc, where, sizeof(where));
	if (rc < 0)
		return rc;
	r->port = atoi(strrchr(where, ':') + 1);
	rival_ready(r);
	rc = weir_server_run(s, WEIR_SIGNALS);
	if (weir_server_join(s, &report, sizeof(report)) == 0)
		printf("stopped %llu ms, %llu accepted, %llu completed\n",
		       (unsigned long long)report.drain_ms,
		       (unsigned long long)report.ledger.accepted,
		       (unsigned long long)report.ledger.completed);
	return rc;
}

int main(int argc, char **argv)
{
	struct weir_config config = { .size = sizeof(config), .log = log_line };
	weir_server *s;
	struct rival r;
	int rc;

	rival_begin(&r, argc, argv);
	config.workers = r.threads;
	config.queue_length = told(&r, "queue", 4096);
	config.max_connections = told(&r, "limit", 50000);
	if (told(&r, "refuse", 0))
		config.overload = WEIR_REFUSE;
	if (told(&r, "spread", 0))
		config.affinity = WEIR_AFFINITY_SPREAD;
	rc = weir_server_new(&s, &config);
	if (rc == 0) {
		rc = run(s, &r);
		weir_server_free(s);
	}
	if (rc < 0)
		fprintf(stderr, "weir: %s\n", weir_strerror(rc));
	return rc < 0;
}
