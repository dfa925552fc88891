/* SPDX-License-Identifier: MIT */
/*
 * A dialogue of several steps as a `session`: its state is on its stack, and
 * its reads wait.  A dialogue that waits uses no thread, so two workers hold
 * thousands of them.
 *
 *	quiz [ADDRESS]		default 127.0.0.1:1235
 *
 * The server sends first.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weir.h>

static const struct {
	const char *question, *answer;
} quiz[] = {
	{ "Which call takes a connection off the backlog?", "accept" },
	{ "Which one says that we have no more to send?", "shutdown" },
	{ "How many bytes is a connection's end of input?", "0" },
};

/* Returns 1: right; 0: wrong; < 0: the peer left or the server stops. */
static int ask(weir_conn *c, const char *question, const char *answer)
{
	char line[128];
	ssize_t n = weir_conn_printf(c, "%s\n", question);

	if (n < 0)
		return (int)n;
	n = weir_conn_read_line(c, line, sizeof line);
	if (n == 0)
		return -EPIPE;
	if (n < 0)
		return (int)n;
	line[strcspn(line, "\r\n")] = '\0';
	return strcmp(line, answer) == 0;
}

static int dialogue(weir_conn *c, void *arg)
{
	int count = (int)(sizeof quiz / sizeof quiz[0]), right = 0;

	(void)arg;
	for (int i = 0; i < count; i++) {
		int rc = ask(c, quiz[i].question, quiz[i].answer);

		if (rc >= 0)
			rc = rc ? (right++, weir_conn_printf(c, "right\n"))
				: weir_conn_printf(c, "no: %s\n",
						   quiz[i].answer);
		if (rc < 0)
			return rc;
	}
	return weir_conn_printf(c, "%d of %d\n", right, count);
}

static void log_line(int level, const char *line, void *arg)
{
	(void)arg;
	(void)level;
	fprintf(stderr, "quiz: %s\n", line);
}

int main(int argc, char **argv)
{
	const char *where = argc > 1 ? argv[1] : "127.0.0.1:1235";
	struct weir_report report;
	char text[128];
	weir_server *s;
	int rc =
		weir_server_new(&s, WEIR_CONFIG(.workers = 2, .log = log_line));

	if (rc < 0)
		goto out;
	rc = weir_server_listen(
		s, where,
		WEIR_SERVICE(.session = dialogue, .speaks_first = 1,
			     .read_ms = 20000, .idle_ms = 60000));
	if (rc >= 0)
		rc = weir_server_address(s, rc, text, sizeof text);
	if (rc >= 0) {
		printf("asking at %s\n", text);
		fflush(stdout);
		rc = weir_server_run(s, WEIR_SIGNALS);
	}
	if (rc == 0 && weir_server_join(s, &report, sizeof report) == 0)
		printf("%" PRIu64 " asked, %" PRIu64 " to the end\n",
		       report.ledger.accepted, report.ledger.completed);
	weir_server_free(s);
out:
	if (rc < 0)
		fprintf(stderr, "quiz: %s: %s\n", where, weir_strerror(rc));
	return rc < 0;
}
