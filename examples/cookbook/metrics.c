/* SPDX-License-Identifier: MIT */
/* metrics ADDRESS METRICS-ADDRESS: counters as text for Prometheus */
#include <inttypes.h>
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

static int metrics(weir_conn *c, void *arg)
{
	struct weir_stats st;
	char request[4096];
	ssize_t n =
		weir_conn_read_until(c, request, sizeof request, "\r\n\r\n", 4);

	(void)arg;
	if (n <= 0)
		return (int)n;
	if (weir_server_stats(weir_conn_server(c), &st, sizeof st) < 0)
		return WEIR_CLOSE;
	return weir_conn_printf(
		c,
		"HTTP/1.0 200 OK\r\n"
		"Content-Type: text/plain; version=0.0.4\r\n\r\n"
		"connections_accepted_total %" PRIu64 "\n"
		"connections_open %" PRIu64 "\n"
		"connections_timed_out_total %" PRIu64 "\n"
		"workers_busy %" PRIu64 "\n",
		st.ledger.accepted, st.ledger.open, st.ledger.timed_out,
		st.busy);
}

int main(int argc, char **argv)
{
	weir_server *s;
	int rc = argc == 3 ? weir_server_new(&s, NULL) : -1;

	if (rc < 0)
		return 1;
	rc = weir_server_listen(s, argv[1], WEIR_SERVICE(.readable = echo));
	if (rc >= 0)
		rc = weir_server_listen(s, argv[2],
					WEIR_SERVICE(.readable = metrics));
	if (rc >= 0)
		rc = weir_server_run(s, WEIR_SIGNALS);
	weir_server_free(s);
	return rc < 0;
}
