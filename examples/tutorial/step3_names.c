/* SPDX-License-Identifier: MIT */
/* Step 3: a conversation that remembers.	step3_names [ADDRESS] */
#include <stdio.h>
#include <string.h>
#include <weir.h>

enum { NAME = 32, LINE = 512 };

/* Returns 1 if there is a name, 0 at the end of input, or -errno. */
static int ask_name(weir_conn *c, char name[NAME])
{
	char line[LINE];
	ssize_t n = weir_conn_printf(c, "Your name?\n");

	while (n >= 0 && (n = weir_conn_read_line(c, line, sizeof line)) > 0) {
		line[strcspn(line, "\r\n")] = '\0';
		if (line[0] && strlen(line) < NAME) {
			strcpy(name, line);
			n = weir_conn_printf(c, "Hello, %s.\n", name);
			return n < 0 ? (int)n : 1;
		}
		n = weir_conn_printf(c, "A name has 1 to %d bytes.\n",
				     NAME - 1);
	}
	return (int)n;
}

static int converse(weir_conn *c, void *arg)
{
	char name[NAME], line[LINE];
	int rc = ask_name(c, name);
	ssize_t n;

	(void)arg;
	if (rc <= 0)
		return rc;
	while ((n = weir_conn_read_line(c, line, sizeof line)) > 0) {
		line[strcspn(line, "\r\n")] = '\0';
		rc = weir_conn_printf(c, "<%s> %s\n", name, line);
		if (rc < 0)
			return rc;
	}
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
		s, where, WEIR_SERVICE(.session = converse, .speaks_first = 1));

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
