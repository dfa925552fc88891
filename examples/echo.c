/* SPDX-License-Identifier: MIT */
/* examples/echo.c: complete */
#include <weir.h>

static int echo(weir_conn *c, void *arg)
{
	char line[4096];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read_line(c, line, sizeof line)) > 0)
		if ((n = weir_conn_write(c, line, (size_t)n)) < 0)
			break;
	return (int)n;
}

int main(void)
{
	weir_server *s;
	int rc = weir_server_new(&s, NULL);

	if (rc < 0)
		return 1;
	rc = weir_server_listen(s, "127.0.0.1:1234",
				WEIR_SERVICE(.readable = echo));
	if (rc >= 0)
		rc = weir_server_run(s, WEIR_SIGNALS);
	weir_server_free(s);
	return rc < 0;
}
