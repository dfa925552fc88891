/* SPDX-License-Identifier: MIT */
/* Step 2: a greeting, an end, limits, a log.	step2_manners [ADDRESS] */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <weir.h>

static int greet(weir_conn *c, void *arg)
{
	int rc = weir_conn_printf(c, "Welcome.  \"bye\" ends it.\n");

	(void)arg;
	return rc < 0 ? rc : WEIR_AGAIN;
}

static int echo(weir_conn *c, void *arg)
{
	char line[512];
	ssize_t n;
	int rc;

	(void)arg;
	while ((n = weir_conn_read_line(c, line, sizeof line)) > 0) {
		if (strcmp(line, "bye\n") == 0)
			return weir_conn_printf(c, "Bye.\n");
		rc = weir_conn_printf(c, "You said: %s", line);
		if (rc < 0)
			return rc;
	}
	if (n == -ESHUTDOWN)
		return weir_conn_printf(c, "The server stops.\n");
	return (int)n;
}

static void log_line(int level, const char *line, void *arg)
{
	(void)arg;
	(void)level;
	fprintf(stderr, "%s\n", line);
}

static int serve(weir_server *s, const char *where)
{
	char text[128];
	int rc = weir_server_listen(
		s, where,
		WEIR_SERVICE(.opened = greet, .readable = echo, .line_max = 512,
			     .idle_ms = 600000));

	if (rc >= 0)
		rc = weir_server_address(s, rc, text, sizeof text);
	if (rc < 0)
		return rc;
	printf("serving at %s\n", text);
	fflush(stdout);
	return weir_server_run(s, WEIR_SIGNALS);
}

int main(int argc, char **argv)
{
	const char *where = argc > 1 ? argv[1] : "127.0.0.1:1237";
	weir_server *s;
	int rc =
		weir_server_new(&s, WEIR_CONFIG(.workers = 4, .log = log_line));

	if (rc < 0)
		return 1;
	rc = serve(s, where);
	weir_server_free(s);
	if (rc < 0)
		fprintf(stderr, "%s: %s\n", where, weir_strerror(rc));
	return rc < 0;
}
