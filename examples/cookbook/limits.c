/* SPDX-License-Identifier: MIT */
/* limits ADDRESS RULES: an echo server for clients that the rules let in */
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
	char why[256] = "usage: limits ADDRESS RULES";
	weir_access *access;
	weir_server *s;
	int rc;

	if (argc != 3 ||
	    weir_access_new(&access, argv[2], why, sizeof why) < 0) {
		fprintf(stderr, "limits: %s\n", why);
		return 1;
	}
	rc = weir_server_new(&s, WEIR_CONFIG(.access = access,
					     .max_connections = 1000,
					     .overload = WEIR_REFUSE,
					     .refusal = "try later\n"));
	weir_access_unref(access);
	if (rc < 0)
		return 1;
	rc = weir_server_listen(s, argv[1], WEIR_SERVICE(.readable = echo));
	if (rc >= 0)
		rc = weir_server_run(s, WEIR_SIGNALS);
	weir_server_free(s);
	return rc < 0;
}
