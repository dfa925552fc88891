/* SPDX-License-Identifier: MIT */
/* tls_echo ADDRESS CERTIFICATE KEY, both files in PEM: echo lines by TLS */
#include <stdio.h>
#include <weir-tls.h>

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

static int listen_by_tls(weir_server *s, const char *where,
			 const char *certificate, const char *key)
{
	struct weir_service service;
	char why[256] = "";
	weir_tls *tls;
	int rc = weir_tls_new(&tls,
			      WEIR_TLS(.certificate = certificate, .key = key),
			      why, sizeof why);

	if (rc < 0) {
		fprintf(stderr, "tls_echo: %s\n", why);
		return rc;
	}
	weir_service_init(&service, sizeof service);
	service.readable = echo;
	weir_tls_use(&service, tls);
	rc = weir_server_listen(s, where, &service);
	weir_tls_unref(tls);
	return rc;
}

int main(int argc, char *argv[])
{
	weir_server *s;
	int rc = argc == 4 ? weir_server_new(&s, NULL) : -1;

	if (rc < 0)
		return 1;
	rc = listen_by_tls(s, argv[1], argv[2], argv[3]);
	if (rc >= 0)
		rc = weir_server_run(s, WEIR_SIGNALS);
	weir_server_free(s);
	return rc < 0;
}
