/* SPDX-License-Identifier: MIT */
/* Step 1: sends every line back.	step1_echo [ADDRESS] */
#include <stdio.h>
#include <weir.h>

static int echo(weir_conn *c, void *arg)
{
	char line[512];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read_line(c, line, sizeof line)) > 0)
		if ((n = weir_conn_write(c, line, (size_t)n)) < 0)
			break;
	return (int)n;
}

int main(int argc, char **argv)
{
	const char *where = argc > 1 ? argv[1] : "127.0.0.1:1237";
	weir_server *s;
	int rc = weir_server_new(&s, NULL);

	if (rc < 0)
		return 1;
	rc = weir_server_listen(s, where, WEIR_SERVICE(.readable = echo));
	if (rc >= 0)
		rc = weir_server_run(s, WEIR_SIGNALS);
	weir_server_free(s);
	if (rc < 0)
		fprintf(stderr, "%s: %s\n", where, weir_strerror(rc));
	return rc < 0;
}
