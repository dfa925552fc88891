/* SPDX-License-Identifier: MIT */
/* program ADDRESS COMMAND: send the output of a command to each client */
#include <errno.h>
#include <stdio.h>
#include <weir.h>

/* It may block: other connections have the other workers. */
static int run(weir_conn *c, void *command)
{
	char text[4096];
	size_t n;
	int rc = 0;
	FILE *output = popen(command, "re");

	if (output == NULL)
		return -errno;
	while (rc >= 0 && (n = fread(text, 1, sizeof text, output)) > 0)
		rc = weir_conn_write(c, text, n);
	pclose(output);
	return rc < 0 ? rc : WEIR_CLOSE;
}

int main(int argc, char **argv)
{
	weir_server *s;
	int rc = argc == 3 ? weir_server_new(&s, NULL) : -1;

	if (rc < 0)
		return 1;
	rc = weir_server_listen(s, argv[1],
				WEIR_SERVICE(.session = run, .speaks_first = 1,
					     .arg = argv[2]));
	if (rc >= 0)
		rc = weir_server_run(s, WEIR_SIGNALS);
	weir_server_free(s);
	return rc < 0;
}
