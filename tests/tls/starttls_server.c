/* SPDX-License-Identifier: MIT */
/*
 * starttls_server CERTIFICATE KEY: TLS that begins in mid-connection, for the
 * clients of others.  One listener speaks SMTP in sessions, the other one the
 * first messages of PostgreSQL in callbacks.  Neither obeys in clear.
 *
 * It prints its addresses, and a line for each mail.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <weir-tls.h>

#define PASSWORD "secret"

static const char *version_of(const weir_conn *c, struct weir_tls_info *info)
{
	return weir_conn_tls(c, info, sizeof(*info)) == 0 ? info->version
							  : NULL;
}

/* -------------------------------------------------------------------- SMTP */

static int receive_mail(weir_conn *c, const char *version)
{
	char line[1024];
	int lines = 0;
	ssize_t n = weir_conn_printf(c, "354 end with a dot\r\n");

	if (n < 0)
		return (int)n;
	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0) {
		if (strcmp(line, ".\r\n") == 0) {
			printf("mail of %d lines by %s\n", lines, version);
			fflush(stdout);
			return weir_conn_printf(c, "250 taken\r\n");
		}
		lines++;
	}
	return n < 0 ? (int)n : -EPIPE;
}

static int begin_tls(weir_conn *c, weir_tls *tls)
{
	int rc = weir_conn_printf(c, "220 go ahead\r\n");

	return rc < 0 ? rc : weir_conn_start_tls(c, tls, NULL);
}

static int obey(weir_conn *c, weir_tls *tls, const char *line)
{
	struct weir_tls_info info;
	const char *version = version_of(c, &info);

	if (strncasecmp(line, "EHLO ", 5) == 0)
		return weir_conn_printf(c, "250%sweir\r\n%s",
					version ? " " : "-",
					version ? "" : "250 STARTTLS\r\n");
	if (strncasecmp(line, "QUIT", 4) == 0)
		return weir_conn_printf(c, "221 bye\r\n");
	if (strncasecmp(line, "STARTTLS", 8) == 0 && !version)
		return begin_tls(c, tls);
	if (!version)
		return weir_conn_printf(c, "530 STARTTLS comes first\r\n");
	if (strncasecmp(line, "MAIL FROM:", 10) == 0 ||
	    strncasecmp(line, "RCPT TO:", 8) == 0)
		return weir_conn_printf(c, "250 go on\r\n");
	if (strncasecmp(line, "DATA", 4) == 0)
		return receive_mail(c, version);
	return weir_conn_printf(c, "500 what?\r\n");
}

static int talk_smtp(weir_conn *c, void *tls)
{
	char line[512];
	ssize_t n = weir_conn_printf(c, "220 weir ESMTP\r\n");

	while (n >= 0 && (n = weir_conn_read_line(c, line, sizeof(line))) > 0) {
		n = obey(c, tls, line);
		if (strncasecmp(line, "QUIT", 4) == 0)
			break;
	}
	return n < 0 ? (int)n : WEIR_CLOSE;
}

/* -------------------------------------------------------------- PostgreSQL */

#define PROTOCOL_3  196608
#define SSL_REQUEST 80877103
#define GSS_REQUEST 80877104

/* What has come; NULL: nothing.  Messages have a type from STARTED on. */
static char asked[] = "asked for TLS", started[] = "started",
	    admitted[] = "admitted";

struct message {
	char bytes[256];
	size_t len, began_at;
};

static uint32_t read_be32(const unsigned char *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 |
	       (uint32_t)at[2] << 8 | at[3];
}

static void put(struct message *m, const void *bytes, size_t len)
{
	memcpy(m->bytes + m->len, bytes, len);
	m->len += len;
}

static void put_text(struct message *m, const char *text)
{
	put(m, text, strlen(text) + 1);
}

static void put_int(struct message *m, uint32_t n, int bytes)
{
	for (int i = bytes - 1; i >= 0; i--)
		put(m, &(char){ (char)(n >> 8 * i) }, 1);
}

static void begin(struct message *m, char type)
{
	put(m, &type, 1);
	m->began_at = m->len;
	put_int(m, 0, 4);
}

static void end(struct message *m)
{
	size_t len = m->len;

	m->len = m->began_at;
	put_int(m, (uint32_t)(len - m->began_at), 4);
	m->len = len;
}

static void put_ready(struct message *m)
{
	begin(m, 'Z');
	put(m, "I", 1);
	end(m);
}

static int send_message(weir_conn *c, const struct message *m)
{
	int rc = weir_conn_write(c, m->bytes, m->len);

	return rc < 0 ? rc : WEIR_AGAIN;
}

static int refuse(weir_conn *c, const char *code, const char *words)
{
	struct message m = { .len = 0 };
	int rc;

	begin(&m, 'E');
	put_text(&m, "SFATAL");
	put(&m, "C", 1);
	put_text(&m, code);
	put(&m, "M", 1);
	put_text(&m, words);
	put_text(&m, "");
	end(&m);
	rc = send_message(c, &m);
	return rc < 0 ? rc : WEIR_CLOSE;
}

static int ask_for_password(weir_conn *c)
{
	struct message m = { .len = 0 };

	begin(&m, 'R');
	put_int(&m, 3, 4);
	end(&m);
	weir_conn_set_data(c, started, NULL);
	return send_message(c, &m);
}

static int admit(weir_conn *c, const unsigned char *password, size_t len)
{
	static const char *const parameters[][2] = {
		{ "server_version", "15.0" },
		{ "client_encoding", "UTF8" },
		{ "standard_conforming_strings", "on" },
	};
	struct message m = { .len = 0 };

	if (len != sizeof(PASSWORD) || memcmp(password, PASSWORD, len) != 0)
		return refuse(c, "28P01", "wrong password");
	begin(&m, 'R');
	put_int(&m, 0, 4);
	end(&m);
	for (size_t i = 0; i < sizeof(parameters) / sizeof(*parameters); i++) {
		begin(&m, 'S');
		put_text(&m, parameters[i][0]);
		put_text(&m, parameters[i][1]);
		end(&m);
	}
	put_ready(&m);
	weir_conn_set_data(c, admitted, NULL);
	return send_message(c, &m);
}

/* One row with one column of text. */
static int answer_query(weir_conn *c)
{
	struct message m = { .len = 0 };
	struct weir_tls_info info;
	const char *text = version_of(c, &info);
	size_t len = strlen(text);

	begin(&m, 'T');
	put_int(&m, 1, 2);
	put_text(&m, "tls");
	put_int(&m, 0, 4);
	put_int(&m, 0, 2);
	put_int(&m, 25, 4);
	put_int(&m, UINT16_MAX, 2);
	put_int(&m, UINT32_MAX, 4);
	put_int(&m, 0, 2);
	end(&m);
	begin(&m, 'D');
	put_int(&m, 1, 2);
	put_int(&m, (uint32_t)len, 4);
	put(&m, text, len);
	end(&m);
	begin(&m, 'C');
	put_text(&m, "SELECT 1");
	end(&m);
	put_ready(&m);
	return send_message(c, &m);
}

static int answer_first(weir_conn *c, uint32_t code)
{
	struct weir_tls_info info;
	int rc;

	switch (code) {
	case SSL_REQUEST:
		rc = weir_conn_write(c, "S", 1);
		weir_conn_set_data(c, asked, NULL);
		return rc < 0 ? rc : WEIR_AGAIN;
	case GSS_REQUEST:
		rc = weir_conn_write(c, "N", 1);
		return rc < 0 ? rc : WEIR_AGAIN;
	case PROTOCOL_3:
		return version_of(c, &info)
			       ? ask_for_password(c)
			       : refuse(c, "28000", "TLS comes first");
	default:
		return refuse(c, "08P01", "another protocol");
	}
}

static int answer(weir_conn *c, const unsigned char *m, size_t len)
{
	const void *state = weir_conn_data(c);

	if (state == NULL)
		return len < 8 ? -EPROTO : answer_first(c, read_be32(m + 4));
	if (state == started && m[0] == 'p')
		return admit(c, m + 5, len - 5);
	if (state == admitted && m[0] == 'Q')
		return answer_query(c);
	return m[0] == 'X' ? WEIR_CLOSE : -EPROTO;
}

static int talk_postgresql(weir_conn *c, void *tls)
{
	size_t type, len;
	const void *data;
	ssize_t n;
	int rc;

	if (weir_conn_data(c) == asked) {
		rc = weir_conn_start_tls(c, tls, NULL);
		if (rc < 0)
			return rc;
		weir_conn_set_data(c, NULL, NULL);
		return WEIR_AGAIN;
	}
	type = weir_conn_data(c) != NULL;
	n = weir_conn_peek(c, &data, type + 4);
	if (n <= 0)
		return (int)n;
	len = read_be32((const unsigned char *)data + type);
	if (len < 4 || len > 1000)
		return -EPROTO;
	len += type;
	n = weir_conn_peek(c, &data, len);
	if (n <= 0)
		return (int)n;
	rc = answer(c, data, len);
	if (rc >= 0)
		weir_conn_consume(c, len);
	return weir_conn_data(c) == asked && rc >= 0 ? talk_postgresql(c, tls)
						     : rc;
}

/* ----------------------------------------------------------------- program */

static int listen_and_say(weir_server *s, const char *name,
			  const struct weir_service *service)
{
	char text[128];
	int rc = weir_server_listen(s, "127.0.0.1:0", service);

	if (rc >= 0)
		rc = weir_server_address(s, rc, text, sizeof(text));
	if (rc >= 0)
		printf("%s %s\n", name, text);
	return rc;
}

int main(int argc, char **argv)
{
	char why[256] = "usage: starttls_server CERTIFICATE KEY";
	weir_server *s;
	weir_tls *tls;
	int rc;

	if (argc != 3 ||
	    weir_tls_new(&tls, WEIR_TLS(.certificate = argv[1], .key = argv[2]),
			 why, sizeof(why)) < 0 ||
	    weir_server_new(&s, NULL) < 0) {
		fprintf(stderr, "%s\n", why);
		return 2;
	}
	rc = listen_and_say(s, "smtp",
			    WEIR_SERVICE(.session = talk_smtp, .arg = tls,
					 .speaks_first = 1));
	if (rc >= 0)
		rc = listen_and_say(
			s, "postgresql",
			WEIR_SERVICE(.readable = talk_postgresql, .arg = tls));
	if (rc >= 0) {
		puts("ready");
		fflush(stdout);
		rc = weir_server_run(s, WEIR_SIGNALS);
	}
	weir_server_free(s);
	weir_tls_unref(tls);
	return rc < 0;
}
