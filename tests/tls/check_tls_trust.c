/* SPDX-License-Identifier: MIT */
/*
 * Certificates: which is shown, who is trusted, what is refused; connections of
 * the program's own; TLS that begins in mid-connection.
 */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include "cancelled.h"
#include "tlskit.h"

static const struct weir_service *echo_service(void)
{
	static struct weir_service service;

	weir_service_init(&service, sizeof(service));
	service.readable = echo;
	return &service;
}

static struct server *serve_with(weir_tls *tls)
{
	struct weir_service mine = *echo_service();

	ck_assert_int_eq(weir_tls_use(&mine, tls), 0);
	return serve(NULL, &mine);
}

static weir_tls *server_with_lists(const char *ca, const char *crl)
{
	char why[256] = "";
	weir_tls *tls;
	int rc = weir_tls_new(&tls,
			      WEIR_TLS(.certificate = tls_file("a.pem"),
				       .key = tls_file("a.key"),
				       .ca = tls_file(ca),
				       .client = WEIR_TLS_REQUIRE_CLIENT,
				       .crl = tls_file(crl)),
			      why, sizeof(why));

	ck_assert_msg(rc == 0, "%s", why);
	return tls;
}

static weir_tls *server_with_crl(const char *crl)
{
	return server_with_lists("ca.pem", crl);
}

/* ------------------------------------------------------------------- files */

static void expect_refused(int rc, const struct weir_tls_config *config,
			   const char *words)
{
	char why[256] = "";
	weir_tls *tls;
	int got = weir_tls_new(&tls, config, why, sizeof(why));

	ck_assert_msg(got == rc, "%d: %s", got, why);
	ck_assert_msg(strstr(why, words) != NULL, "it says: %s", why);
}

START_TEST(what_is_wrong_with_a_file_is_told_in_a_line)
{
	const char *groups[] = { "",	       "X25519:",	  ":P-256",
				 "ffdhe2048",  "P-256:ffdhe8192", "P-25",
				 "P-256 P-384" };
	static const struct {
		const char *list, *words;
	} ciphers[] = {
		{ "", "ciphers: there is none" },
		{ "nonsense", "ciphers: there is none" },
		{ "aNULL+AESGCM", "is without authentication" },
		{ "ECDHE:eNULL", "is without encryption" },
		{ "ECDHE+AESGCM:AES128-GCM-SHA256",
		  "AES128-GCM-SHA256 is without forward secrecy" },
		{ "ECDHE+AESGCM:@SECLEVEL=0", "has an '@'" },
	};

	tls_make_pair("b", "DNS:b.example", "ca");
	expect_refused(-EINVAL, WEIR_TLS(.alpn = "h2"), "no certificate");
	expect_refused(-ENOENT, WEIR_TLS(.certificate = "/nowhere/x.pem"),
		       "/nowhere/x.pem: no such");
	expect_refused(-EINVAL,
		       WEIR_TLS(.certificate = tls_file("a.key"),
				.key = tls_file("a.key")),
		       "a.key: no certificate");
	expect_refused(-EINVAL,
		       WEIR_TLS(.certificate = tls_file("a.pem"),
				.key = tls_file("b.key")),
		       "the key is not that of");
	expect_refused(-EINVAL, WEIR_TLS(.certificate = tls_file("a.pem")),
		       "no key");
	expect_refused(-EINVAL,
		       WEIR_TLS(.certificate = tls_file("a.pem"),
				.key = tls_file("a.key"),
				.client = WEIR_TLS_REQUIRE_CLIENT),
		       "there is no ca");
	expect_refused(-EINVAL,
		       WEIR_TLS(.certificate = tls_file("a.pem"),
				.key = tls_file("a.key"),
				.client_names = "a.example"),
		       "that are asked");
	expect_refused(-EINVAL,
		       WEIR_TLS(.certificate = tls_file("a.pem"),
				.key = tls_file("a.key"),
				.ca = tls_file("ca.pem"),
				.client = WEIR_TLS_ASK_CLIENT,
				.client_names = "a.example,"),
		       "client_names");
	expect_refused(-EINVAL,
		       WEIR_TLS(.certificate = tls_file("a.pem"),
				.key = tls_file("a.key"),
				.ticket_keys = tls_file("a.pem")),
		       "a.pem: no ticket keys");
	expect_refused(-ENOENT,
		       WEIR_TLS(.certificate = tls_file("a.pem"),
				.key = tls_file("a.key"),
				.ticket_keys = "/nowhere/keys"),
		       "/nowhere/keys: no such");
	expect_refused(-EINVAL,
		       WEIR_TLS(.certificate = tls_file("a.pem"),
				.key = tls_file("a.key"),
				.ca = tls_file("ca.pem"),
				.client = WEIR_TLS_ASK_CLIENT,
				.crl = tls_file("ca.pem")),
		       "ca.pem: no list of revoked");
	expect_refused(-EINVAL,
		       WEIR_TLS(.certificate = tls_file("a.pem"),
				.key = tls_file("a.key"),
				.ticket_lifetime_s = -1),
		       "ticket_lifetime_s");
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		expect_refused(-EINVAL,
			       WEIR_TLS(.certificate = tls_file("a.pem"),
					.key = tls_file("a.key"),
					.groups = groups[i]),
			       "groups: ");
	for (size_t i = 0; i < sizeof(ciphers) / sizeof(ciphers[0]); i++)
		expect_refused(-EINVAL,
			       WEIR_TLS(.certificate = tls_file("a.pem"),
					.key = tls_file("a.key"),
					.ciphers = ciphers[i].list),
			       ciphers[i].words);
	expect_refused(-EINVAL,
		       WEIR_TLS(.certificate = tls_file("a.pem"),
				.key = tls_file("a.key"), .ciphersuites = ""),
		       "ciphersuites: ");
	expect_refused(-EINVAL,
		       WEIR_TLS(.certificate = tls_file("a.pem"),
				.key = tls_file("a.key"), .alpn = "a,,b"),
		       "alpn");
	expect_refused(-EINVAL,
		       WEIR_TLS(.certificate = tls_file("a.pem"),
				.key = tls_file("a.key"), .flags = 1 << 20),
		       "flags");
	expect_refused(-EINVAL,
		       WEIR_TLS(.certificate = tls_file("a.pem"),
				.key = tls_file("a.key"),
				.flags = WEIR_TLS_INSECURE),
		       "for a client");
}
END_TEST

static void append(const char *to, const char *from)
{
	FILE *out = fopen(tls_file(to), "a"), *in = fopen(tls_file(from), "r");
	int byte;

	ck_assert(out && in);
	while ((byte = fgetc(in)) != EOF)
		fputc(byte, out);
	fclose(in);
	ck_assert_int_eq(fclose(out), 0);
}

static void expect_warning(const weir_tls *tls, int index, const char *words)
{
	char text[512] = "";
	int len = weir_tls_warning(tls, index, text, sizeof(text));

	if (words == NULL) {
		ck_assert_int_eq(len, -ENOENT);
		return;
	}
	ck_assert_int_eq(len, (int)strlen(text));
	ck_assert_msg(strstr(text, words) != NULL, "it says: %s", text);
	ck_assert_int_eq(weir_tls_warning(tls, index, text, (size_t)len),
			 -ENOSPC);
}

START_TEST(what_is_not_as_expected_is_told_in_a_line)
{
	weir_tls *tls = tls_server("a");
	char text[8];

	expect_warning(tls, 0, NULL);
	ck_assert_int_eq(weir_tls_warning(NULL, 0, text, 8), -EINVAL);
	ck_assert_int_eq(weir_tls_warning(tls, -1, text, 8), -EINVAL);
	ck_assert_int_eq(weir_tls_warning(tls, 0, NULL, 8), -EINVAL);
	ck_assert_int_eq(weir_tls_warning(tls, 0, text, 0), -EINVAL);
	tls_make_pair("b", "DNS:b.example", "ca");
	tls_make_pair("c", "DNS:c.example", "ca");
	tls_make_crl("old", "", -1);
	append("b.pem", "c.pem");
	append("c.pem", "a.pem");
	append("c.pem", "ca.pem");
	ck_assert_int_eq(chmod(tls_file("c.key"), 0644), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(
			weir_tls_add(tls, tls_file(i ? "c.pem" : "b.pem"),
				     tls_file(i ? "c.key" : "b.key"), NULL, 0),
			0);
	expect_warning(tls, 0, "b.pem: the issuer of certificate 1 is missing");
	expect_warning(tls, 1, "c.pem: the chain is out of order");
	expect_warning(tls, 2, "c.key: others may read this key");
	expect_warning(tls, 3, NULL);
	weir_tls_unref(tls);
	tls = server_with_crl("old.crl");
	expect_warning(tls, 0, "old.crl: the list of revoked certificates has");
	expect_warning(tls, 1, NULL);
	ck_assert(weir_tls_crl_expires(tls) < -86000);
	weir_tls_unref(tls);
}
END_TEST

/* Of a caller with an earlier or a later header, too. */
START_TEST(a_configuration_begins_with_the_defaults)
{
	struct {
		struct weir_tls_config known;
		char later[16];
	} wide;
	struct weir_tls_config few = { .ciphers = "stays" };
	weir_tls *tls;

	memset(&wide, 0xaa, sizeof(wide));
	weir_tls_config_init(&wide.known, sizeof(wide));
	ck_assert_uint_eq(wide.known.size, sizeof(wide));
	for (size_t i = 0; i < sizeof(wide.later); i++)
		ck_assert_int_eq(wide.later[i], 0);
	wide.known.name = "a.example";
	ck_assert_int_eq(weir_tls_new_client(&tls, &wide.known, NULL, 0), 0);
	weir_tls_unref(tls);
	weir_tls_config_init(&few, offsetof(struct weir_tls_config, ciphers));
	ck_assert_str_eq(few.ciphers, "stays");
	ck_assert_int_eq(weir_tls_new_client(&tls, &few, NULL, 0), 0);
	weir_tls_unref(tls);
	weir_tls_config_init(NULL, 100);
}
END_TEST

static char reason[256];

static void expect_line(int got, int rc)
{
	ck_assert_int_eq(got, rc);
	ck_assert_str_ne(reason, "");
	reason[0] = '\0';
}

START_TEST(odd_calls_are_refused)
{
	char long_name[257];
	weir_tls *server = tls_server("a"), *client;
	struct weir_service service = *echo_service();
	struct weir_tls_info info;
	struct server *s;

	expect_line(weir_tls_new(NULL, NULL, reason, sizeof(reason)), -EINVAL);
	expect_line(weir_tls_new(&client, NULL, reason, sizeof(reason)),
		    -EINVAL);
	expect_line(weir_tls_new_client(NULL, NULL, reason, sizeof(reason)),
		    -EINVAL);
	ck_assert_int_eq(weir_tls_new(NULL, NULL, NULL, 0), -EINVAL);
	ck_assert_int_eq(weir_tls_new(&client, NULL, NULL, 0), -EINVAL);
	ck_assert_int_eq(weir_tls_new_client(&client, WEIR_TLS(), NULL, 0), 0);
	ck_assert_int_eq(weir_tls_use(NULL, server), -EINVAL);
	ck_assert_int_eq(weir_tls_use(&service, NULL), -EINVAL);
	/* nobody would be verified */
	ck_assert_int_eq(weir_tls_use(&service, client), -EINVAL);
	expect_line(weir_tls_add(client, "x", "y", reason, sizeof(reason)),
		    -EINVAL);
	expect_line(weir_tls_add(NULL, "x", "y", reason, sizeof(reason)),
		    -EINVAL);
	expect_line(weir_tls_add(server, NULL, "y", reason, sizeof(reason)),
		    -EINVAL);
	ck_assert_int_eq(weir_tls_add(NULL, "x", "y", NULL, 0), -EINVAL);
	ck_assert_int_eq(weir_conn_start_tls(NULL, server, NULL), -EINVAL);
	ck_assert_int_eq(weir_conn_tls(NULL, &info, sizeof(info)), -EINVAL);
	ck_assert(weir_tls_expires(client) == INT64_MAX);
	ck_assert(weir_tls_expires(server) > 29 * 86400);
	ck_assert(weir_tls_crl_expires(server) == INT64_MAX);
	ck_assert(weir_tls_crl_expires(NULL) == INT64_MAX);
	weir_tls_unref(client);
	memset(long_name, 'a', 256); /* a server name has 255 bytes at most */
	long_name[256] = '\0';
	ck_assert_int_eq(weir_tls_new_client(
				 &client, WEIR_TLS(.name = long_name), NULL, 0),
			 0);
	ck_assert_int_eq(weir_tls_use(&service, client), -EINVAL);
	weir_tls_unref(client);
	ck_assert_int_eq(
		weir_tls_new_client(&client, WEIR_TLS(.name = "a"), NULL, 0),
		0);
	ck_assert_int_eq(weir_tls_use(&service, client), 0);
	s = server_new(NULL);
	ck_assert_int_eq(weir_server_listen(s->weir, "127.0.0.1:0", &service),
			 -EINVAL);
	ck_assert_int_eq(server_listen(s, "127.0.0.1:0", echo_service()), 0);
	ck_assert_int_eq(weir_tls_replace(s->weir, 0, server), -EINVAL);
	ck_assert_int_eq(weir_tls_replace(s->weir, 1, server), -EINVAL);
	ck_assert_int_eq(weir_tls_replace(s->weir, 0, NULL), -EINVAL);
	weir_server_free(s->weir);
	server_check_freed(s);
	service = *echo_service();
	ck_assert_int_eq(weir_tls_use(&service, server), 0);
	s = server_new(NULL);
	ck_assert_int_eq(server_listen(s, "127.0.0.1:0", &service), 0);
	expect_line(weir_tls_add(server, "x", "y", reason, sizeof(reason)),
		    -EBUSY);
	weir_server_free(s->weir);
	server_check_freed(s);
	weir_tls_unref(client);
	weir_tls_unref(server);
	weir_tls_unref(NULL);
}
END_TEST

START_TEST(a_context_lives_until_its_last_reference)
{
	weir_tls *tls = tls_server("a"), *other = weir_tls_dup(tls);
	struct weir_service service = *echo_service();
	char names[64];

	tls_make_pair("b", "DNS:b.example", "ca");
	ck_assert(other == tls && weir_tls_dup(NULL) == NULL);
	weir_tls_unref(tls);
	/* a reference is no use of it */
	ck_assert_int_eq(weir_tls_add(other, tls_file("b.pem"),
				      tls_file("b.key"), NULL, 0),
			 0);
	ck_assert_int_gt(weir_tls_names(other, names, sizeof(names)), 0);
	ck_assert_int_eq(weir_tls_use(&service, other), 0);
	weir_tls_unref(other);
}
END_TEST

/* What the program left in OpenSSL's queue of this thread is none of it. */
START_TEST(the_error_of_a_file_is_not_that_of_an_earlier_call)
{
	weir_tls *tls = tls_server("a"), *none;

	ERR_raise(ERR_LIB_X509, X509_R_KEY_VALUES_MISMATCH);
	ck_assert_int_eq(weir_tls_new_client(&none,
					     WEIR_TLS(.ca = "/nowhere/ca.pem"),
					     reason, sizeof(reason)),
			 -ENOENT);
	ERR_raise(ERR_LIB_X509, X509_R_KEY_VALUES_MISMATCH);
	ck_assert_int_eq(weir_tls_add(tls, "/nowhere/b.pem", NULL, reason,
				      sizeof(reason)),
			 -ENOENT);
	weir_tls_unref(tls);
}
END_TEST

static int send_sni(weir_conn *c, void *arg)
{
	struct weir_tls_info info;

	(void)arg;
	ck_assert_int_eq(weir_conn_tls(c, &info, sizeof(info)), 0);
	return weir_conn_write(c, info.sni, sizeof(info.sni)) < 0 ? -EPIPE
								  : WEIR_CLOSE;
}

START_TEST(names_of_a_client_have_no_control_bytes)
{
	struct server *s = tls_serve(
		NULL, WEIR_SERVICE(.opened = send_sni, .readable = echo));
	struct tls_client c = tls_connect(s, NULL);
	char expected[sizeof(((struct weir_tls_info *)0)->sni)] = "a?[2Jb?c";

	SSL_set_tlsext_host_name(c.ssl, "a\33[2Jb\nc");
	ck_assert_int_eq(tls_shake(&c), 1);
	tls_expect(&c, expected, sizeof(expected));
	tls_expect_end(&c);
	tls_close(&c);
	(void)server_stop_and_check(s);
}
END_TEST

/* -------------------------------------------------------- what is shown */

/* The name that the server's certificate has, for a client that asks so. */
static void expect_shown(struct server *s, const char *sni, const char *name)
{
	struct tls_client c = tls_connect(s, NULL);
	X509 *shown;

	if (sni)
		SSL_set_tlsext_host_name(c.ssl, sni);
	ck_assert_int_eq(tls_shake(&c), 1);
	shown = SSL_get0_peer_certificate(c.ssl);
	ck_assert_msg(X509_check_host(shown, name, 0, 0, NULL) == 1,
		      "not shown: %s", name);
	tls_expect_echo(&c, "hello");
	tls_close(&c);
}

START_TEST(a_client_is_shown_the_certificate_that_it_asks_for)
{
	weir_tls *tls = tls_server("a");
	struct server *s;

	tls_make_pair("b", "DNS:b.example,DNS:*.c.example", "ca");
	ck_assert_int_eq(weir_tls_add(tls, tls_file("b.pem"), tls_file("b.key"),
				      NULL, 0),
			 0);
	s = serve_with(tls);
	ck_assert_int_eq(weir_tls_add(tls, tls_file("b.pem"), tls_file("b.key"),
				      NULL, 0),
			 -EBUSY);
	weir_tls_unref(tls);
	expect_shown(s, NULL, "a.example");
	expect_shown(s, "a.example", "a.example");
	expect_shown(s, "b.example", "b.example");
	expect_shown(s, "x.c.example", "b.example");
	expect_shown(s, "x.y.c.example", "a.example");
	expect_shown(s, "other.example", "a.example");
	(void)server_stop_and_check(s);
}
END_TEST

START_TEST(a_listener_takes_another_certificate_while_it_serves)
{
	weir_tls *tls = tls_server("a"), *next;
	struct server *s = serve_with(tls);
	struct tls_client old = tls_open(s, NULL);

	weir_tls_unref(tls);
	tls_make_pair("b", "DNS:b.example", "ca");
	for (int i = 0; i < 20; i++) {
		next = tls_server(i % 2 ? "a" : "b");
		ck_assert_int_eq(weir_tls_replace(s->weir, 0, next), 0);
		weir_tls_unref(next);
		expect_shown(s, NULL, i % 2 ? "a.example" : "b.example");
		tls_expect_echo(&old, "still");
	}
	tls_close(&old);
	(void)server_stop_and_check(s);
}
END_TEST

static void expect_protocol(struct server *s, const unsigned char *list,
			    unsigned int len, const char *chosen)
{
	struct tls_client c = tls_connect(s, NULL);
	const unsigned char *got = NULL;
	unsigned int got_len = 0;
	int rc;

	if (len)
		SSL_set_alpn_protos(c.ssl, list, len);
	rc = tls_shake(&c);
	ck_assert_int_eq(rc == 1, chosen != NULL);
	SSL_get0_alpn_selected(c.ssl, &got, &got_len);
	if (chosen) {
		ck_assert_uint_eq(got_len, strlen(chosen));
		if (got_len > 0)
			ck_assert_mem_eq(got, chosen, got_len);
	}
	tls_abandon(&c);
}

START_TEST(a_protocol_is_agreed_on_or_the_handshake_fails)
{
	weir_tls *tls;
	struct server *s;

	ck_assert_int_eq(weir_tls_new(&tls,
				      WEIR_TLS(.certificate = tls_file("a.pem"),
					       .key = tls_file("a.key"),
					       .alpn = "echo,http/1.1"),
				      NULL, 0),
			 0);
	s = serve_with(tls);
	weir_tls_unref(tls);
	expect_protocol(s, (const unsigned char *)"\x02h2\x08http/1.1", 12,
			"http/1.1");
	expect_protocol(s,
			(const unsigned char *)"\x08http/1.1\x04"
					       "echo",
			14, "echo");
	expect_protocol(s, NULL, 0, "");
	expect_protocol(s, (const unsigned char *)"\x02h2", 3, NULL);
	UNTIL(stats(s).ledger.open == 0);
	(void)server_stop_and_check(s);
}
END_TEST

/* ------------------------------------------------------------ who is trusted
 */

static weir_tls *server_for_clients(int client, const char *names)
{
	weir_tls *tls;

	ck_assert_int_eq(
		weir_tls_new(&tls,
			     WEIR_TLS(.certificate = tls_file("a.pem"),
				      .key = tls_file("a.key"),
				      .ca = tls_file("ca.pem"),
				      .client = client, .client_names = names),
			     NULL, 0),
		0);
	return tls;
}

static struct server *serve_clients_as(int client, const char *names,
				       weir_handler_fn *fn)
{
	struct weir_service service = *echo_service();
	weir_tls *tls = server_for_clients(client, names);
	struct server *s;

	service.readable = fn;
	ck_assert_int_eq(weir_tls_use(&service, tls), 0);
	s = serve(NULL, &service);
	weir_tls_unref(tls);
	return s;
}

static struct server *serve_clients(int client)
{
	return serve_clients_as(client, NULL, echo);
}

/* In TLS 1.3 a client learns from its first read. */
static bool is_served_as(struct server *s, const char *sni, const char *pair)
{
	SSL_CTX *ctx = client_context();
	struct tls_client c;
	char name[64];
	char byte;
	bool served;

	if (pair) {
		(void)snprintf(name, sizeof(name), "%s.pem", pair);
		SSL_CTX_use_certificate_file(ctx, tls_file(name),
					     SSL_FILETYPE_PEM);
		(void)snprintf(name, sizeof(name), "%s.key", pair);
		SSL_CTX_use_PrivateKey_file(ctx, tls_file(name),
					    SSL_FILETYPE_PEM);
	}
	c = tls_connect(s, ctx);
	SSL_set_tlsext_host_name(c.ssl, sni);
	served = tls_shake(&c) == 1 && SSL_write(c.ssl, "x", 1) == 1 &&
		 SSL_read(c.ssl, &byte, 1) == 1;
	tls_abandon(&c);
	SSL_CTX_free(ctx);
	return served;
}

static bool is_served(struct server *s, const char *pair)
{
	return is_served_as(s, "a.example", pair);
}

START_TEST(clients_are_who_they_say_or_are_not_served)
{
	struct server *required, *asked;

	tls_make_pair("good", "DNS:client.example", "ca");
	tls_make_pair("own", "DNS:client.example", "");
	required = serve_clients(WEIR_TLS_REQUIRE_CLIENT);
	ck_assert(is_served(required, "good"));
	ck_assert(!is_served(required, NULL));
	ck_assert(!is_served(required, "own"));
	(void)server_stop_and_check(required);
	asked = serve_clients(WEIR_TLS_ASK_CLIENT);
	ck_assert(is_served(asked, "good"));
	ck_assert(is_served(asked, NULL));
	ck_assert(!is_served(asked, "own"));
	(void)server_stop_and_check(asked);
}
END_TEST

static struct weir_tls_info refused_client;
static atomic_int refused_clients;

static void note_refused(weir_conn *c, void *arg)
{
	(void)arg;
	ck_assert_int_eq(
		weir_conn_tls(c, &refused_client, sizeof(refused_client)), 0);
	atomic_fetch_add(&refused_clients, 1);
}

static void expect_refused_client(struct server *s, const char *sni,
				  const char *pair, const char *names)
{
	int before = atomic_load(&refused_clients);

	ck_assert(!is_served_as(s, sni, pair));
	UNTIL(atomic_load(&refused_clients) > before);
	ck_assert_str_ne(refused_client.why, "");
	ck_assert_str_eq(refused_client.names, names);
}

/* For the log of a program. */
START_TEST(the_names_of_a_refused_client_are_told)
{
	struct weir_service service = *echo_service();
	weir_tls *tls =
		server_for_clients(WEIR_TLS_REQUIRE_CLIENT, "first.example");
	struct server *s;

	tls_make_pair("b", "DNS:b.example", "ca");
	tls_make_pair("own", "DNS:own.example", "");
	tls_make_pair("other", "DNS:other.example,IP:192.0.2.1", "ca");
	ck_assert_int_eq(weir_tls_add(tls, tls_file("b.pem"), tls_file("b.key"),
				      NULL, 0),
			 0);
	service.unserved = note_refused;
	ck_assert_int_eq(weir_tls_use(&service, tls), 0);
	s = serve(NULL, &service);
	weir_tls_unref(tls);
	expect_refused_client(s, "a.example", "own", "own.example");
	expect_refused_client(s, "a.example", "other",
			      "other.example 192.0.2.1");
	expect_refused_client(s, "b.example", "own", "own.example");
	expect_refused_client(s, "a.example", NULL, "");
	UNTIL(stats(s).ledger.open == 0);
	(void)server_stop_and_check(s);
}
END_TEST

static void replace_crl(struct server *s, const char *crl)
{
	weir_tls *tls = server_with_crl(crl);

	ck_assert_int_eq(weir_tls_replace(s->weir, 0, tls), 0);
	weir_tls_unref(tls);
}

START_TEST(a_client_that_was_revoked_is_not_served)
{
	weir_tls *tls;
	struct server *s;

	tls_make_pair("good", "DNS:good.example", "ca");
	tls_make_pair("lost", "DNS:lost.example", "ca");
	tls_make_crl("first", "", 1);
	tls_make_crl("second", "lost", 1);
	tls_make_crl("old", "", -1);
	tls = server_with_crl("first.crl");
	s = serve_with(tls);
	weir_tls_unref(tls);
	ck_assert(is_served(s, "good"));
	ck_assert(is_served(s, "lost"));
	replace_crl(s, "second.crl");
	ck_assert(is_served(s, "good"));
	ck_assert(!is_served(s, "lost"));
	/* nobody knows who was revoked since */
	replace_crl(s, "old.crl");
	ck_assert(!is_served(s, "good"));
	UNTIL(stats(s).ledger.open == 0);
	(void)server_stop_and_check(s);
}
END_TEST

START_TEST(an_authority_without_a_list_is_told_and_its_clients_are_refused)
{
	weir_tls *tls;
	struct server *s;

	tls_make_pair("good", "DNS:good.example", "ca");
	tls_make_pair("own", "DNS:own.example", "");
	tls_make_crl("first", "", 1);
	append("both.pem", "ca.pem");
	append("both.pem", "own.pem");
	tls = server_with_lists("both.pem", "first.crl");
	expect_warning(tls, 0,
		       "first.crl: no list of revoked certificates is issued "
		       "by CN=own: its clients are refused");
	expect_warning(tls, 1, NULL);
	s = serve_with(tls);
	weir_tls_unref(tls);
	ck_assert(is_served(s, "good"));
	ck_assert(!is_served(s, "own"));
	UNTIL(stats(s).ledger.open == 0);
	(void)server_stop_and_check(s);
}
END_TEST

/* The program may have used its strings for something else since. */
START_TEST(another_certificate_verifies_clients_like_the_first)
{
	char ca[200], names[] = "first.example";
	struct server *s;
	weir_tls *tls;

	tls_make_pair("b", "DNS:b.example", "ca");
	tls_make_pair("first", "DNS:first.example", "ca");
	tls_make_pair("other", "DNS:other.example", "ca");
	(void)snprintf(ca, sizeof(ca), "%s", tls_file("ca.pem"));
	ck_assert_int_eq(
		weir_tls_new(&tls,
			     WEIR_TLS(.certificate = tls_file("a.pem"),
				      .key = tls_file("a.key"), .ca = ca,
				      .client = WEIR_TLS_REQUIRE_CLIENT,
				      .client_names = names),
			     NULL, 0),
		0);
	memset(ca, 'x', sizeof(ca) - 1);
	memset(names, 'x', sizeof(names) - 1);
	ck_assert_int_eq(weir_tls_add(tls, tls_file("b.pem"), tls_file("b.key"),
				      NULL, 0),
			 0);
	s = serve_with(tls);
	weir_tls_unref(tls);
	ck_assert(is_served_as(s, "b.example", "first"));
	ck_assert(!is_served_as(s, "b.example", "other"));
	ck_assert(!is_served_as(s, "b.example", NULL));
	UNTIL(stats(s).ledger.open == 0);
	(void)server_stop_and_check(s);
}
END_TEST

START_TEST(clients_have_one_of_the_names_or_are_not_served)
{
	struct server *s;

	tls_make_pair("first", "DNS:first.example", "ca");
	tls_make_pair("third", "DNS:no.example,DNS:third.example", "ca");
	tls_make_pair("other", "DNS:other.example", "ca");
	tls_make_pair("first.example", "DNS:other.example", "ca");
	tls_make_pair("nul", "first.example|.other", "ca");
	tls_make_pair("none", "", "ca");
	s = serve_clients_as(WEIR_TLS_ASK_CLIENT, "first.example,third.example",
			     echo);
	ck_assert(is_served(s, "first"));
	ck_assert(is_served(s, "third"));
	ck_assert(is_served(s, NULL));
	ck_assert(!is_served(s, "other"));
	ck_assert(!is_served(s, "first.example")); /* in its subject alone */
	ck_assert(!is_served(s, "nul"));
	ck_assert(!is_served(s, "none"));
	UNTIL(stats(s).ledger.open == 0);
	(void)server_stop_and_check(s);
}
END_TEST

static void expect_name(weir_conn *c, int kind, int index, const char *text)
{
	char buf[200];
	ssize_t n = weir_conn_tls_name(c, kind, index, buf, sizeof(buf));

	ck_assert_int_eq(n, (ssize_t)strlen(text));
	ck_assert_str_eq(buf, text);
}

static void expect_no_name(weir_conn *c, int kind, int index, int rc)
{
	char buf[200];

	ck_assert_int_eq(weir_conn_tls_name(c, kind, index, buf, sizeof(buf)),
			 rc);
}

static int check_names(weir_conn *c, void *arg)
{
	struct weir_tls_info info;
	char buf[8];

	ck_assert_int_eq(weir_conn_tls(c, &info, sizeof(info)), 0);
	if (!info.verified) {
		for (int kind = 0; kind <= WEIR_TLS_NAME_SHA256; kind++)
			expect_no_name(c, kind, 0, -ENOENT);
		return echo(c, arg);
	}
	expect_name(c, WEIR_TLS_NAME_SUBJECT, 0, "CN=many");
	expect_name(c, WEIR_TLS_NAME_CN, 0, "many");
	expect_no_name(c, WEIR_TLS_NAME_CN, 1, -ENOENT);
	expect_name(c, WEIR_TLS_NAME_DNS, 0, "one.example");
	expect_name(c, WEIR_TLS_NAME_DNS, 1, "two.example");
	expect_no_name(c, WEIR_TLS_NAME_DNS, 2, -ENOENT);
	expect_name(c, WEIR_TLS_NAME_URI, 0, "spiffe://a/b");
	expect_name(c, WEIR_TLS_NAME_EMAIL, 0, "me@one.example");
	expect_name(c, WEIR_TLS_NAME_IP, 0, "10.0.0.1");
	expect_name(c, WEIR_TLS_NAME_IP, 1, "2001:db8::1");
	ck_assert_int_gt(weir_conn_tls_name(c, WEIR_TLS_NAME_SERIAL, 0, buf,
					    sizeof(buf)),
			 0);
	expect_no_name(c, WEIR_TLS_NAME_SERIAL, 1, -ENOENT);
	ck_assert_int_eq(weir_conn_tls_name(c, WEIR_TLS_NAME_SHA256, 0, buf,
					    sizeof(buf)),
			 -ENOSPC);
	ck_assert_int_eq(weir_conn_tls_name(c, WEIR_TLS_NAME_DNS, 0, buf, 8),
			 -ENOSPC);
	expect_no_name(c, WEIR_TLS_NAME_SHA256 + 1, 0, -EINVAL);
	expect_no_name(c, WEIR_TLS_NAME_DNS, -1, -EINVAL);
	ck_assert_int_eq(weir_conn_tls_name(c, 0, 0, NULL, 8), -EINVAL);
	ck_assert_int_eq(weir_conn_tls_name(c, 0, 0, buf, 0), -EINVAL);
	return echo(c, arg);
}

static int expect_nul_refused(weir_conn *c, void *arg)
{
	expect_no_name(c, WEIR_TLS_NAME_DNS, 0, -EBADMSG);
	return echo(c, arg);
}

START_TEST(a_handler_reads_the_names_of_a_verified_client)
{
	struct server *s =
		serve_clients_as(WEIR_TLS_ASK_CLIENT, NULL, check_names);

	tls_make_pair("many",
		      "DNS:one.example,URI:spiffe://a/b,DNS:two.example,"
		      "email:me@one.example,IP:10.0.0.1,IP:2001:db8::1",
		      "ca");
	ck_assert(is_served(s, "many"));
	ck_assert(is_served(s, NULL));
	(void)server_stop_and_check(s);
	s = serve_clients_as(WEIR_TLS_ASK_CLIENT, NULL, expect_nul_refused);
	tls_make_pair("nul", "good.example|.evil", "ca");
	ck_assert(is_served(s, "nul"));
	(void)server_stop_and_check(s);
}
END_TEST

/* What a handler finds in the certificate of the client. */
struct expected {
	const char *subject;
	int cn, dns; /* the results for them */
};

static int expect_names(weir_conn *c, void *arg)
{
	const struct expected *e = arg;
	char buf[200];

	expect_name(c, WEIR_TLS_NAME_SUBJECT, 0, e->subject);
	ck_assert_int_eq(
		weir_conn_tls_name(c, WEIR_TLS_NAME_CN, 0, buf, sizeof(buf)),
		e->cn);
	ck_assert_int_eq(
		weir_conn_tls_name(c, WEIR_TLS_NAME_DNS, 0, buf, sizeof(buf)),
		e->dns);
	return echo(c, arg);
}

START_TEST(names_are_given_in_utf_8_without_control_characters)
{
	static const struct {
		const char *cn, *names;
		struct expected expected;
	} cases[] = {
		{ "zo\xc3\xab", "DNS:a", { "CN=zo\\C3\\AB", 4, 1 } },
		{ "\xf0\x9f\xa6\x8a",
		  "DNS:a",
		  { "CN=\\F0\\9F\\A6\\8A", 4, 1 } },
		/* CSI, which begins a command to a terminal */
		{ "a\xc2\x9b", "DNS:a", { "CN=a\\C2\\9B", -EBADMSG, 1 } },
		{ "a", "zo\xc3\xab.example", { "CN=a", 1, -EBADMSG } },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct weir_service service = *echo_service();
		weir_tls *tls;
		struct server *s;

		tls_make_pair(cases[i].cn, cases[i].names, "ca");
		tls = server_for_clients(WEIR_TLS_REQUIRE_CLIENT, NULL);
		service.readable = expect_names;
		service.arg = (void *)(uintptr_t)&cases[i].expected;
		ck_assert_int_eq(weir_tls_use(&service, tls), 0);
		s = serve(NULL, &service);
		weir_tls_unref(tls);
		ck_assert(is_served(s, cases[i].cn));
		(void)server_stop_and_check(s);
	}
}
END_TEST

/* So many that they fit into what a handshake takes, or more. */
static void make_pair_with_names(const char *pair, int count)
{
	char *names = malloc((size_t)count * 10 + 1);
	size_t len = 0;

	ck_assert_ptr_nonnull(names);
	for (int i = 0; i < count; i++)
		len += (size_t)sprintf(names + len, "%sDNS:%04x", i ? "," : "",
				       (unsigned)i);
	tls_make_pair(pair, names, "ca");
	free(names);
}

static int read_many_names(weir_conn *c, void *arg)
{
	struct weir_tls_info info;
	int i = 0;
	char buf[16], expected[16];

	while (weir_conn_tls_name(c, WEIR_TLS_NAME_DNS, i, buf, sizeof(buf)) >
	       0) {
		(void)snprintf(expected, sizeof(expected), "%04x",
			       (unsigned)i++);
		ck_assert_str_eq(buf, expected);
	}
	ck_assert_int_eq(i, 10000);
	ck_assert_int_eq(weir_conn_tls(c, &info, sizeof(info)), 0);
	ck_assert_uint_eq(strlen(info.names), 254); /* 51 of them */
	return echo(c, arg);
}

START_TEST(a_handler_reads_ten_thousand_names)
{
	struct server *s;

	make_pair_with_names("many", 10000);
	make_pair_with_names("larger", 20000);
	s = serve_clients_as(WEIR_TLS_REQUIRE_CLIENT, NULL, read_many_names);
	ck_assert(is_served(s, "many"));
	ck_assert(!is_served(s, "larger"));
	UNTIL(stats(s).ledger.open == 0);
	(void)server_stop_and_check(s);
}
END_TEST

/* A ticket would be good for longer than the certificate. */
START_TEST(a_client_is_verified_each_time)
{
	struct server *s;

	tls_make_pair("good", "DNS:client.example", "ca");
	s = serve_clients(WEIR_TLS_REQUIRE_CLIENT);
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION;
	     version++) {
		SSL_CTX *ctx = client_context();
		SSL_SESSION *session = NULL;

		SSL_CTX_set_max_proto_version(ctx, version);
		SSL_CTX_use_certificate_file(ctx, tls_file("good.pem"),
					     SSL_FILETYPE_PEM);
		SSL_CTX_use_PrivateKey_file(ctx, tls_file("good.key"),
					    SSL_FILETYPE_PEM);
		for (int i = 0; i < 2; i++) {
			struct tls_client c = tls_connect(s, ctx);

			if (session)
				SSL_set_session(c.ssl, session);
			ck_assert_int_eq(tls_shake(&c), 1);
			tls_expect_echo(&c, "hello");
			ck_assert(!SSL_session_reused(c.ssl));
			SSL_SESSION_free(session);
			session = SSL_get1_session(c.ssl);
			tls_close(&c);
		}
		SSL_SESSION_free(session);
		SSL_CTX_free(ctx);
	}
	(void)server_stop_and_check(s);
}
END_TEST

/* --------------------------------------------- connections of the program */

static int dial_tls(weir_conn **c, struct server *s, weir_tls *tls,
		    const char *name)
{
	ck_assert_int_eq(weir_dial(c, s->address, 0), 0);
	return weir_conn_start_tls(*c, tls, name);
}

static void expect_not_trusted(struct server *s, weir_tls *tls,
			       const char *name, const char *words)
{
	struct weir_tls_info info;
	weir_conn *c;
	char byte;

	ck_assert_int_eq(dial_tls(&c, s, tls, name), -EPROTO);
	ck_assert_int_eq(weir_conn_tls(c, &info, sizeof(info)), 0);
	ck_assert_msg(strstr(info.why, words) != NULL, "why: %s", info.why);
	ck_assert_str_eq(info.names, "a.example 127.0.0.1");
	ck_assert_int_eq(weir_conn_read(c, &byte, 1), -EPROTO);
	ck_assert_int_eq(weir_conn_write(c, "secret", 6), -EPROTO);
	weir_conn_free(c);
}

START_TEST(a_client_verifies_the_server_and_its_name)
{
	weir_tls *trusting = tls_client(NULL), *strange;
	struct server *s;

	tls_make_pair("own", "DNS:a.example", "");
	ck_assert_int_eq(
		weir_tls_new_client(
			&strange, WEIR_TLS(.ca = tls_file("own.pem")), NULL, 0),
		0);
	s = tls_serve(NULL, echo_service());
	for (int i = 0; i < 2; i++) {
		struct weir_tls_info info;
		char buf[16];
		weir_conn *c;

		ck_assert_int_eq(dial_tls(&c, s, trusting,
					  i ? "127.0.0.1" : "a.example"),
				 0);
		ck_assert_int_eq(weir_conn_write(c, "hello", 5), 0);
		ck_assert_int_eq(weir_conn_read_exact(c, buf, 5), 5);
		ck_assert_mem_eq(buf, "hello", 5);
		ck_assert_int_eq(weir_conn_tls(c, &info, sizeof(info)), 0);
		ck_assert_str_eq(info.version, "TLSv1.3");
		ck_assert_str_eq(info.group, "x25519");
		ck_assert_int_eq(info.verified, 1);
		ck_assert_str_eq(info.names, "a.example 127.0.0.1");
		ck_assert_int_eq(weir_conn_shutdown(c, SHUT_WR), 0);
		ck_assert_int_eq(weir_conn_read(c, buf, sizeof(buf)), 0);
		weir_conn_free(c);
	}
	expect_not_trusted(s, trusting, "b.example", "mismatch");
	expect_not_trusted(s, trusting, "127.0.0.2", "mismatch");
	expect_not_trusted(s, strange, "a.example", "unknown authority");
	UNTIL(stats(s).ledger.open == 0);
	(void)server_stop_and_check(s);
	weir_tls_unref(trusting);
	weir_tls_unref(strange);
}
END_TEST

/* OpenSSL takes them for no name, and for all names below it. */
START_TEST(a_name_that_would_match_others_is_refused)
{
	weir_tls *trusting = tls_client(NULL), *dotted = tls_client(".example");
	struct weir_service service = *echo_service();
	struct server *s = tls_serve(NULL, echo_service());
	weir_conn *c;

	ck_assert_int_eq(dial_tls(&c, s, trusting, ""), -EINVAL);
	weir_conn_free(c);
	ck_assert_int_eq(dial_tls(&c, s, trusting, ".example"), -EINVAL);
	weir_conn_free(c);
	ck_assert_int_eq(weir_tls_use(&service, dotted), -EINVAL);
	(void)server_stop_and_check(s);
	weir_tls_unref(trusting);
	weir_tls_unref(dotted);
}
END_TEST

static int greet_in_clear(weir_conn *c, void *arg)
{
	(void)arg;
	return weir_conn_write(c, "220 hello\r\n", 11) < 0 ? WEIR_CLOSE
							   : WEIR_AGAIN;
}

static int hang_up(weir_conn *c, void *arg)
{
	(void)c;
	(void)arg;
	return WEIR_CLOSE;
}

static void expect_no_tls(const struct weir_service *service, int rc,
			  const char *words)
{
	weir_tls *tls = tls_client("a.example");
	struct server *s = serve(NULL, service);
	struct weir_tls_info info;
	weir_conn *c;

	ck_assert_int_eq(dial_tls(&c, s, tls, NULL), rc);
	ck_assert_int_eq(weir_conn_tls(c, &info, sizeof(info)), 0);
	ck_assert_msg(strstr(info.why, words) != NULL, "why: %s", info.why);
	weir_conn_free(c);
	weir_tls_unref(tls);
	(void)server_stop_and_check(s);
}

/* An echo server answers a hello with that of the client. */
START_TEST(a_server_without_tls_is_told_from_one_that_refuses)
{
	struct weir_service service = *echo_service();

	expect_no_tls(&service, -EPROTO, "the server does not speak TLS");
	service.opened = greet_in_clear;
	expect_no_tls(&service, -EPROTO, "the server does not speak TLS");
	service.opened = hang_up;
	expect_no_tls(&service, -ECONNRESET,
		      "the peer closed the connection in the handshake");
}
END_TEST

static atomic_int answered, ended;

static int ask(weir_conn *c, void *arg)
{
	(void)arg;
	return weir_conn_write(c, "hello", 5) < 0 ? WEIR_CLOSE : WEIR_AGAIN;
}

static int take_answer(weir_conn *c, void *arg)
{
	char buf[16];
	ssize_t n = weir_conn_read(c, buf, sizeof(buf));

	(void)arg;
	if (n <= 0)
		return (int)n;
	if (n == 5 && memcmp(buf, "hello", 5) == 0)
		atomic_fetch_add(&answered, 1);
	return WEIR_CLOSE;
}

static void note_end(weir_conn *c, void *arg)
{
	(void)c;
	(void)arg;
	atomic_fetch_add(&ended, 1);
}

/* Both ends are connections of the same server. */
START_TEST(a_server_dials_by_tls)
{
	weir_tls *good = tls_client("a.example"),
		 *bad = tls_client("b.example"), *server = tls_server("a");
	struct server *s = tls_serve(NULL, echo_service());
	struct weir_service service;
	struct weir_report r;

	weir_service_init(&service, sizeof(service));
	service.opened = ask;
	service.readable = take_answer;
	service.closed = note_end;
	ck_assert_int_eq(weir_tls_use(&service, server), 0);
	ck_assert_int_eq(
		weir_server_dial(s->weir, NULL, s->address, 0, &service),
		-EINVAL);
	weir_tls_unref(server);
	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(weir_tls_use(&service, i < 8 ? good : bad), 0);
		ck_assert_int_eq(weir_server_dial(s->weir, NULL, s->address, 0,
						  &service),
				 0);
	}
	weir_tls_unref(good);
	weir_tls_unref(bad);
	UNTIL(atomic_load(&ended) == 10);
	ck_assert_int_eq(atomic_load(&answered), 8);
	UNTIL(stats(s).ledger.open == 0);
	r = server_stop_and_check(s);
	ck_assert_uint_eq(r.ledger.dialled, 10);
	ck_assert_uint_eq(r.ledger.failed, 4); /* both ends of two */
}
END_TEST

/* ---------------------------------------------------------------- STARTTLS */

static weir_tls *late_tls;

static int start_then_echo(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n;
	int rc = 0;

	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0 &&
	       rc >= 0) {
		if (strcmp(line, "STARTTLS\n") != 0) {
			rc = weir_conn_write(c, line, (size_t)n);
			continue;
		}
		rc = weir_conn_write(c, "go on\n", 6);
		if (rc == 0)
			rc = weir_conn_start_tls(c, late_tls, NULL);
		if (rc < 0 || arg)
			return rc < 0 ? rc : WEIR_AGAIN;
		rc = weir_conn_write(c, "welcome\n", 8);
	}
	return rc < 0 ? rc : (int)n;
}

static void expect_clear(int fd, const char *text)
{
	char buf[64];
	size_t len = strlen(text), at = 0;

	while (at < len) {
		ssize_t n = read(fd, buf + at, len - at);

		ck_assert_int_gt(n, 0);
		at += (size_t)n;
	}
	ck_assert_mem_eq(buf, text, len);
}

START_TEST(tls_begins_in_mid_connection)
{
	late_tls = tls_server("a");
	for (int kind = 0; kind < 3; kind++) {
		struct weir_service service;
		struct tls_client c;
		struct weir_report r;
		struct server *s;

		weir_service_init(&service, sizeof(service));
		service.readable = kind == 0 ? start_then_echo : NULL;
		service.session = kind == 0 ? NULL : start_then_echo;
		service.session_on_worker = kind == 2;
		service.arg = kind == 0 ? late_tls : NULL;
		s = serve(NULL, &service);
		c = tls_connect(s, NULL);
		ck_assert_int_eq(write(c.fd, "plain\nSTARTTLS\n", 15), 15);
		expect_clear(c.fd, "plain\ngo on\n");
		ck_assert_int_eq(tls_shake(&c), 1);
		if (kind > 0)
			tls_expect(&c, "welcome\n", 8);
		for (int i = 0; i < 5; i++)
			tls_expect_echo(&c, "secret\n");
		/* it has begun already */
		tls_send(&c, "STARTTLS\n", 9);
		tls_expect(&c, "go on\n", 6);
		tls_abandon(&c);
		r = server_stop_and_check(s);
		ck_assert_uint_eq(r.ledger.accepted, 1);
	}
	weir_tls_unref(late_tls);
}
END_TEST

static int ask_for_tls(weir_conn *c, void *arg)
{
	char line[16];
	int rc = weir_conn_write(c, "STARTTLS\n", 9);

	if (rc == 0 && weir_conn_read_line(c, line, sizeof(line)) > 0)
		rc = weir_conn_start_tls(c, arg, "a.example");
	if (rc == 0)
		rc = weir_conn_write(c, "hello\n", 6);
	if (rc == 0 && weir_conn_read_line(c, line, sizeof(line)) == 6)
		atomic_fetch_add(&answered, 1);
	return rc < 0 ? rc : WEIR_CLOSE;
}

/* The server has nothing to say until the client has asked. */
START_TEST(a_session_that_dials_speaks_first_by_tls)
{
	weir_tls *trusting = tls_client(NULL);

	late_tls = tls_server("a");
	for (int on_worker = 0; on_worker < 2; on_worker++) {
		struct weir_service service;
		struct weir_report r;
		struct server *s =
			serve(NULL, WEIR_SERVICE(.readable = start_then_echo,
						 .arg = late_tls));

		atomic_store(&answered, 0);
		weir_service_init(&service, sizeof(service));
		service.session = ask_for_tls;
		service.session_on_worker = on_worker;
		service.speaks_first = 1;
		service.arg = trusting;
		ck_assert_int_eq(weir_server_dial(s->weir, NULL, s->address, 0,
						  &service),
				 0);
		UNTIL(atomic_load(&answered) == 1 && stats(s).ledger.open == 0);
		r = server_stop_and_check(s);
		ck_assert_uint_eq(r.ledger.completed, 2);
	}
	weir_tls_unref(late_tls);
	weir_tls_unref(trusting);
}
END_TEST

/* One that is idle after its handshake, and one in the middle of it. */
static void stop_with_starttls(bool on_worker, bool is_half)
{
	const char half[] = "STARTTLS\n\x16\x03\x01\x02";
	struct server *s =
		serve(NULL, WEIR_SERVICE(.session = start_then_echo,
					 .session_on_worker = on_worker));
	struct tls_client c = tls_connect(s, NULL);
	struct weir_report r;

	ck_assert_int_eq(write(c.fd, half, is_half ? 13 : 9), is_half ? 13 : 9);
	expect_clear(c.fd, "go on\n");
	if (!is_half) {
		ck_assert_int_eq(tls_shake(&c), 1);
		tls_expect(&c, "welcome\n", 8);
	}
	weir_server_stop(s->weir, 10000);
	if (!is_half)
		tls_expect_end(&c);
	UNTIL(stats(s).ledger.open == 0);
	tls_abandon(&c);
	r = server_join_and_check(s);
	expect_stop_on_time(&r, 1000);
	ck_assert_uint_eq(r.ledger.completed, 1);
}

START_TEST(a_stop_ends_connections_with_starttls_well)
{
	late_tls = tls_server("a");
	for (int i = 0; i < 4; i++)
		stop_with_starttls(i & 1, i & 2);
	weir_tls_unref(late_tls);
}
END_TEST

static bool ends_handshake_in_stop(bool on_worker)
{
	struct server *s =
		serve(NULL, WEIR_SERVICE(.session = start_then_echo,
					 .session_on_worker = on_worker));
	struct tls_client c = tls_connect(s, NULL);
	char text[8];
	bool has_ended;

	ck_assert_int_eq(write(c.fd, "STARTTLS\n", 9), 9);
	expect_clear(c.fd, "go on\n");
	weir_server_stop(s->weir, 10000);
	UNTIL(stats(s).phase == WEIR_PHASE_DRAINING);
	has_ended = tls_shake(&c) == 1 &&
		    SSL_read(c.ssl, text, sizeof(text)) == sizeof(text);
	UNTIL(stats(s).ledger.open == 0);
	tls_abandon(&c);
	ck_assert_uint_eq(server_join_and_check(s).ledger.completed, 1);
	return has_ended;
}

/* Where the client goes on: 100 ms may pass on a busy machine. */
START_TEST(a_stop_lets_a_handshake_of_starttls_end)
{
	late_tls = tls_server("a");
	for (int on_worker = 0; on_worker < 2; on_worker++) {
		int tries = 0;

		while (!ends_handshake_in_stop(on_worker))
			ck_assert_int_lt(++tries, 50);
	}
	weir_tls_unref(late_tls);
}
END_TEST

/* CVE-2011-0411: commands sent in clear behind STARTTLS. */
START_TEST(what_is_sent_in_clear_behind_starttls_is_not_obeyed)
{
	late_tls = tls_server("a");
	for (int kind = 0; kind < 3; kind++) {
		struct weir_service service;
		struct client *c;
		struct server *s;

		weir_service_init(&service, sizeof(service));
		service.readable = kind == 0 ? start_then_echo : NULL;
		service.session = kind == 0 ? NULL : start_then_echo;
		service.session_on_worker = kind == 2;
		service.arg = kind == 0 ? late_tls : NULL;
		s = serve(NULL, &service);
		c = client_open(s);
		client_send(c, "STARTTLS\nevil\n");
		client_expect(c, "go on\n");
		ck_assert_uint_eq(client_expect_end(c), 0);
		UNTIL(stats(s).ledger.failed == 1);
		(void)server_stop_and_check(s);
	}
	weir_tls_unref(late_tls);
}
END_TEST

/* ------------------------------------------------------------- cancellation */

static struct server *uncancelled;

static weir_tls *make_contexts(void)
{
	struct weir_tls_config config;
	weir_tls *tls, *other;
	char why[256], buf[256];

	DOES((weir_tls_config_init(&config, sizeof(config)), 0));
	GIVES(-EINVAL, weir_tls_new(&other, &config, why, sizeof(why)));
	DOES(weir_tls_new(&tls,
			  WEIR_TLS(.certificate = tls_file("a.pem"),
				   .key = tls_file("a.key"),
				   .ca = tls_file("ca.pem"),
				   .crl = tls_file("ca.crl"),
				   .client = WEIR_TLS_ASK_CLIENT),
			  why, sizeof(why)));
	DOES(weir_tls_add(tls, tls_file("b.pem"), tls_file("b.key"), why,
			  sizeof(why)));
	DOES(weir_tls_expires(tls));
	DOES(weir_tls_crl_expires(tls));
	DOES(weir_tls_names(tls, buf, sizeof(buf)));
	GIVES(-ENOENT, weir_tls_warning(tls, 10, buf, sizeof(buf)));
	DOES(weir_tls_use(&(struct weir_service){ 0 }, tls));
	DOES(weir_tls_replace(uncancelled->weir, 0, tls));
	GIVES(tls, weir_tls_dup(tls));
	DOES((weir_tls_unref(tls), 0));
	DOES((weir_tls_unref(tls), 0));
	GIVES(-EINVAL,
	      weir_tls_new(&other, WEIR_TLS(.key = "none"), why, sizeof(why)));
	/* The system's authorities. */
	DOES(weir_tls_new_client(&other, WEIR_TLS(.min_version = WEIR_TLS_1_3),
				 why, sizeof(why)));
	DOES((weir_tls_unref(other), 0));
	DOES(weir_tls_new_client(&other, WEIR_TLS(.ca = tls_file("ca.pem")),
				 why, sizeof(why)));
	return other;
}

static void all_calls(void)
{
	struct weir_tls_info info;
	weir_tls *tls = make_contexts();
	weir_conn *c;
	char buf[64];

	DOES(weir_dial(&c, uncancelled->address, 0));
	DOES(weir_conn_start_tls(c, tls, "a.example"));
	DOES(weir_conn_write(c, "hello", 5));
	DOES(weir_conn_read_exact(c, buf, 5));
	DOES(weir_conn_tls(c, &info, sizeof(info)));
	DOES(weir_conn_tls_name(c, WEIR_TLS_NAME_DNS, 0, buf, sizeof(buf)));
	DOES((weir_conn_free(c), 0));
	DOES((weir_tls_unref(tls), 0));
}

/* The server closes its side a moment after the client. */
static void all_calls_until_closed(void)
{
	int state;

	all_calls();
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	UNTIL(stats(uncancelled).ledger.closed == 1);
	pthread_setcancelstate(state, &state);
}

START_TEST(no_call_of_tls_acts_on_a_cancellation)
{
	tls_make_pair("b", "DNS:b.example", "ca");
	tls_make_crl("ca", "", 1);
	uncancelled = tls_serve(NULL, echo_service());
	run_cancelled(all_calls_until_closed);
	(void)server_stop_and_check(uncancelled);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"tls_trust", what_is_wrong_with_a_file_is_told_in_a_line,
		what_is_not_as_expected_is_told_in_a_line,
		the_error_of_a_file_is_not_that_of_an_earlier_call,
		a_configuration_begins_with_the_defaults, odd_calls_are_refused,
		a_context_lives_until_its_last_reference,
		names_of_a_client_have_no_control_bytes,
		a_client_is_shown_the_certificate_that_it_asks_for,
		a_listener_takes_another_certificate_while_it_serves,
		a_protocol_is_agreed_on_or_the_handshake_fails,
		clients_are_who_they_say_or_are_not_served,
		a_client_that_was_revoked_is_not_served,
		an_authority_without_a_list_is_told_and_its_clients_are_refused,
		another_certificate_verifies_clients_like_the_first,
		the_names_of_a_refused_client_are_told,
		clients_have_one_of_the_names_or_are_not_served,
		a_handler_reads_the_names_of_a_verified_client,
		names_are_given_in_utf_8_without_control_characters,
		a_handler_reads_ten_thousand_names,
		a_client_is_verified_each_time,
		a_client_verifies_the_server_and_its_name,
		a_server_without_tls_is_told_from_one_that_refuses,
		a_name_that_would_match_others_is_refused,
		a_server_dials_by_tls, tls_begins_in_mid_connection,
		a_session_that_dials_speaks_first_by_tls,
		a_stop_ends_connections_with_starttls_well,
		a_stop_lets_a_handshake_of_starttls_end,
		what_is_sent_in_clear_behind_starttls_is_not_obeyed,
		no_call_of_tls_acts_on_a_cancellation);
}
