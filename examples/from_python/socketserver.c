/* SPDX-License-Identifier: MIT */
/*
 * Two handlers of Python's socketserver in one program.
 *
 *	socketserver [ADDRESS [ADDRESS]]
 *
 * The first address is a StreamRequestHandler that sends lines back in upper
 * case.  The second is a BaseRequestHandler with setup(), handle() and finish()
 * that counts the requests of a connection; "shutdown" stops the server.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weir.h>

/* ----------------------------------------------- a StreamRequestHandler */

static int upper(weir_conn *c, void *arg)
{
	char line[1024];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read_line(c, line, sizeof line)) > 0) {
		int rc;

		for (ssize_t i = 0; i < n; i++)
			line[i] = (char)toupper((unsigned char)line[i]);
		rc = weir_conn_write(c, line, (size_t)n);
		if (rc < 0)
			return rc;
	}
	return (int)n;
}

/* ------------------------------------------------- a BaseRequestHandler */

struct request {
	int count;
};

static int setup(weir_conn *c, void *arg)
{
	struct request *r = calloc(1, sizeof *r);

	(void)arg;
	if (r == NULL)
		return -ENOMEM;
	weir_conn_set_data(c, r, free); /* freed after the last callback */
	return WEIR_AGAIN;
}

static int handle(weir_conn *c, void *arg)
{
	weir_server *server = arg;
	struct request *r = weir_conn_data(c);
	char data[1024];
	ssize_t n = weir_conn_read(c, data, sizeof data - 1);

	if (n <= 0)
		return (int)n;
	data[n] = '\0';
	if (strncmp(data, "shutdown", 8) == 0)
		weir_server_stop(server, 5000); /* returns at once */
	n = weir_conn_printf(c, "%d\n", ++r->count);
	return n < 0 ? (int)n : WEIR_AGAIN;
}

static void finish(weir_conn *c, void *arg)
{
	struct request *r = weir_conn_data(c);

	(void)arg;
	if (r != NULL)
		printf("%d requests\n", r->count);
}

/* ------------------------------------------------------------ the server */

static void handle_error(int level, const char *line, void *arg)
{
	(void)arg;
	(void)level;
	fprintf(stderr, "socketserver: %s\n", line);
}

/* serve_forever(); another thread or a callback ends it. */
static int serve_forever(weir_server *s)
{
	int rc = weir_server_start(s);

	if (rc < 0)
		return rc;
	printf("serving\n"); /* this thread is free for other work */
	fflush(stdout);
	return weir_server_join(s, NULL, 0);
}

int main(int argc, char **argv)
{
	weir_server *s;
	int rc = weir_server_new(
		&s, WEIR_CONFIG(.workers = 8, .log = handle_error));

	if (rc < 0)
		return 1;
	rc = weir_server_listen(s, argc > 1 ? argv[1] : "127.0.0.1:9998",
				WEIR_SERVICE(.session = upper, .backlog = 5,
					     .read_ms = 10000,
					     .idle_ms = 10000));
	if (rc >= 0)
		rc = weir_server_listen(
			s, argc > 2 ? argv[2] : "unix:@requests",
			WEIR_SERVICE(.opened = setup, .readable = handle,
				     .closed = finish, .arg = s));
	if (rc >= 0)
		rc = serve_forever(s);
	weir_server_free(s);
	if (rc < 0)
		fprintf(stderr, "socketserver: %s\n", weir_strerror(rc));
	return rc < 0;
}
