/* SPDX-License-Identifier: MIT */
/* Step 3: a connection that remembers.	step3_names [ADDRESS] */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weir.h>

struct member {
	char name[32]; /* empty: not known yet */
};

static int ask_name(weir_conn *c, void *arg)
{
	struct member *m = calloc(1, sizeof *m);
	int rc;

	(void)arg;
	if (m == NULL)
		return -ENOMEM;
	weir_conn_set_data(c, m, free);
	rc = weir_conn_printf(c, "Your name?\n");
	return rc < 0 ? rc : WEIR_AGAIN;
}

static int take_name(weir_conn *c, struct member *m, const char *name)
{
	if (!name[0] || strlen(name) >= sizeof m->name)
		return weir_conn_printf(c, "A name has 1 to %zu bytes.\n",
					sizeof m->name - 1);
	strcpy(m->name, name);
	return weir_conn_printf(c, "Hello, %s.\n", name);
}

static int hear(weir_conn *c, void *arg)
{
	struct member *m = weir_conn_data(c);
	char line[512];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read_line(c, line, sizeof line)) > 0) {
		int rc;

		line[strcspn(line, "\r\n")] = '\0';
		if (m->name[0])
			rc = weir_conn_printf(c, "<%s> %s\n", m->name, line);
		else
			rc = take_name(c, m, line);
		if (rc < 0)
			return rc;
	}
	return (int)n;
}

static void log_line(void *arg, int level, const char *line)
{
	(void)arg;
	(void)level;
	fprintf(stderr, "%s\n", line);
}

static int serve(weir_server *s, const char *where)
{
	char text[128];
	int rc = weir_server_listen(
		s, where, WEIR_SERVICE(.opened = ask_name, .readable = hear));

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
