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

enum {
	ARGUMENT = 257,	 /* a path has at most 256 bytes (RFC 5321, 4.5.3.1) */
	LINE = 1002,	 /* a line of text 1000, and a dot in front of them */
	MAIL = 10 << 20, /* bytes of a mail */
};

/* Returns the length; -EMSGSIZE for a line that is too long, and is skipped. */
static ssize_t read_line(weir_conn *c, char line[LINE])
{
	ssize_t n = weir_conn_read_line(c, line, LINE);
	const char *end = NULL;
	const void *data;

	if (n != -EMSGSIZE)
		return n != 0 ? n : -EPIPE; /* it has left */
	while (!end) {
		n = weir_conn_peek(c, &data, 1);
		if (n <= 0)
			return n < 0 ? n : -EPIPE;
		end = memchr(data, '\n', (size_t)n);
		if (end)
			n = end + 1 - (const char *)data;
		weir_conn_consume(c, (size_t)n);
	}
	return -EMSGSIZE;
}

/* Returns 0 once the client has sent this command, and answers it. */
static int expect(weir_conn *c, const char *command, char argument[ARGUMENT],
		  const char *answer)
{
	size_t len = strlen(command);
	char line[LINE];

	for (;;) {
		ssize_t n = read_line(c, line);
		int rc;

		if (n < 0 && n != -EMSGSIZE)
			return (int)n;
		if (n > 0)
			line[strcspn(line, "\r\n")] = '\0';
		if (n < 0) {
			rc = weir_conn_printf(c, "500 line too long\r\n");
		} else if (strncasecmp(line, command, len) != 0) {
			rc = weir_conn_printf(c, "503 expected %s\r\n",
					      command);
		} else if (strlen(line + len) >= ARGUMENT) {
			rc = weir_conn_printf(c, "501 argument too long\r\n");
		} else {
			strcpy(argument, line + len);
			return weir_conn_printf(c, "%s\r\n", answer);
		}
		if (rc < 0)
			return rc;
	}
}

/*
 * Returns the bytes of the mail, which a line with a dot ends; -EMSGSIZE if one
 * of its lines was too long; -EFBIG if it has more than MAIL bytes.
 */
static int receive_text(weir_conn *c)
{
	char line[LINE];
	int bytes = 0;

	for (;;) {
		ssize_t n = read_line(c, line);

		if (n < 0 && n != -EMSGSIZE)
			return (int)n;
		if (n > 0 &&
		    (strcmp(line, ".\r\n") == 0 || strcmp(line, ".\n") == 0))
			return bytes;
		if (n < 0)
			bytes = -EMSGSIZE;
		else if (bytes >= 0)
			bytes = n > MAIL - bytes ? -EFBIG : bytes + (int)n;
	}
}

static int receive_mail(weir_conn *c, void *arg)
{
	char from[ARGUMENT], to[ARGUMENT], other[ARGUMENT];
	int rc, bytes;

	(void)arg;
	if ((rc = weir_conn_printf(c, "220 weir\r\n")) < 0 ||
	    (rc = expect(c, "HELO ", other, "250 hello")) < 0 ||
	    (rc = expect(c, "MAIL FROM:", from, "250 go on")) < 0 ||
	    (rc = expect(c, "RCPT TO:", to, "250 go on")) < 0 ||
	    (rc = expect(c, "DATA", other, "354 end with a dot")) < 0)
		return rc;
	bytes = receive_text(c);
	if (bytes == -EMSGSIZE)
		rc = weir_conn_printf(c, "500 line too long\r\n");
	else if (bytes == -EFBIG)
		rc = weir_conn_printf(c, "552 too much mail data\r\n");
	else if (bytes >= 0)
		rc = weir_conn_printf(c, "250 took %d bytes from %s to %s\r\n",
				      bytes, from, to);
	else
		return bytes;
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
