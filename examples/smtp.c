/* SPDX-License-Identifier: MIT */
/*
 * Takes mail by SMTP (RFC 5321) and counts it: a dialogue of five steps,
 * written as if each client had a thread.
 *
 *	smtp [ADDRESS]		default 127.0.0.1:2525
 *
 * The step of a client is the place in receive_mail() where its session waits.
 * It waits on a stack of its own and uses no thread, so two workers hold ten
 * thousand clients in the middle of the dialogue.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <weir.h>

enum { LINE = 256 };

/* Returns 0 once the client has sent this command, and answers it. */
static int expect(weir_conn *c, const char *command, char argument[LINE],
		  const char *answer)
{
	size_t len = strlen(command);
	ssize_t n;

	while ((n = weir_conn_read_line(c, argument, LINE)) > 0) {
		argument[strcspn(argument, "\r\n")] = '\0';
		if (strncasecmp(argument, command, len) == 0) {
			memmove(argument, argument + len,
				strlen(argument + len) + 1);
			return weir_conn_printf(c, "%s\r\n", answer);
		}
		n = weir_conn_printf(c, "503 expected %s\r\n", command);
		if (n < 0)
			break;
	}
	return n < 0 ? (int)n : -EPIPE; /* it has left */
}

/* Returns the bytes of the mail, which a line with a dot ends. */
static int receive_text(weir_conn *c)
{
	char line[LINE];
	int bytes = 0;
	ssize_t n;

	while ((n = weir_conn_read_line(c, line, sizeof line)) > 0) {
		if (strcmp(line, ".\r\n") == 0 || strcmp(line, ".\n") == 0)
			return bytes;
		bytes += (int)n;
	}
	return n < 0 ? (int)n : -EPIPE;
}

static int receive_mail(weir_conn *c, void *arg)
{
	char from[LINE], to[LINE], other[LINE];
	int rc, bytes;

	(void)arg;
	if ((rc = weir_conn_printf(c, "220 weir\r\n")) < 0 ||
	    (rc = expect(c, "HELO ", other, "250 hello")) < 0 ||
	    (rc = expect(c, "MAIL FROM:", from, "250 go on")) < 0 ||
	    (rc = expect(c, "RCPT TO:", to, "250 go on")) < 0 ||
	    (rc = expect(c, "DATA", other, "354 end with a dot")) < 0)
		return rc;
	bytes = receive_text(c);
	if (bytes < 0)
		return bytes;
	rc = weir_conn_printf(c, "250 took %d bytes from %s to %s\r\n", bytes,
			      from, to);
	return rc < 0 ? rc : expect(c, "QUIT", other, "221 bye");
}

int main(int argc, char **argv)
{
	const char *where = argc > 1 ? argv[1] : "127.0.0.1:2525";
	struct weir_report report;
	char text[128];
	weir_server *s;
	int rc = weir_server_new(&s, WEIR_CONFIG(.workers = 2,
						 .max_connections = 20000,
						 .max_per_source = 20000));

	if (rc == 0) {
		rc = weir_server_listen(s, where,
					WEIR_SERVICE(.session = receive_mail,
						     .speaks_first = 1));
		if (rc >= 0)
			rc = weir_server_address(s, rc, text, sizeof text);
		if (rc >= 0) {
			printf("taking mail at %s\n", text);
			fflush(stdout);
			rc = weir_server_run(s, WEIR_SIGNALS);
		}
		if (rc == 0 && weir_server_join(s, &report, sizeof report) == 0)
			printf("%d clients, %d to the end\n",
			       (int)report.ledger.accepted,
			       (int)report.ledger.completed);
		weir_server_free(s);
	}
	if (rc < 0)
		fprintf(stderr, "smtp: %s: %s\n", where, weir_strerror(rc));
	return rc < 0;
}
