/* SPDX-License-Identifier: MIT */
/* starttls ADDRESS CERTIFICATE KEY: lines in clear until "STARTTLS" */
#include <stdio.h>
#include <string.h>
#include <weir-tls.h>

static int talk(weir_conn *c, void *tls)
{
	char line[512];
	ssize_t n;
	int rc;

	while ((n = weir_conn_read_line(c, line, sizeof line)) > 0) {
		if (strncmp(line, "STARTTLS", 8) == 0) {
			rc = weir_conn_printf(c, "go ahead\n");
			if (rc >= 0)
				rc = weir_conn_start_tls(c, tls, NULL);
		} else {
			rc = weir_conn_write(c, line, (size_t)n);
		}
		if (rc < 0)
			return rc;
	}
	return (int)n;
}

int main(int argc, char **argv)
{
	char why[256] = "usage: starttls ADDRESS CERTIFICATE KEY";
	weir_server *s;
	weir_tls *tls;
	int rc;

	if (argc != 4 ||
	    weir_tls_new(&tls, WEIR_TLS(.certificate = argv[2], .key = argv[3]),
			 why, sizeof why) < 0 ||
	    weir_server_new(&s, NULL) < 0) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	rc = weir_server_listen(s, argv[1],
				WEIR_SERVICE(.session = talk, .arg = tls));
	if (rc >= 0)
		rc = weir_server_run(s, WEIR_SIGNALS);
	weir_server_free(s);
	weir_tls_unref(tls);
	return rc < 0;
}
