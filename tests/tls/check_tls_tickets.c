/* SPDX-License-Identifier: MIT */
/* Resumption: keys that change with time, and keys that servers share. */
#include "tlskit.h"

#define NAME_BYTES 16
#define KEY_BYTES  80

static weir_tls *make(const struct weir_tls_config *config)
{
	char why[256] = "";
	weir_tls *tls;

	ck_assert_msg(weir_tls_new(&tls, config, why, sizeof(why)) == 0, "%s",
		      why);
	return tls;
}

/* It gives up tls. */
static struct server *serve_by(weir_tls *tls)
{
	struct weir_service service;
	struct server *s;

	weir_service_init(&service, sizeof(service));
	service.readable = echo;
	ck_assert_int_eq(weir_tls_use(&service, tls), 0);
	s = serve(NULL, &service);
	weir_tls_unref(tls);
	return s;
}

static struct server *serve_with(const struct weir_tls_config *config)
{
	return serve_by(make(config));
}

/* One connection with *session, which it replaces.  True: it was resumed. */
static bool visit(struct server *s, int version, SSL_SESSION **session)
{
	SSL_CTX *ctx = client_context();
	struct tls_client c;
	bool resumed;

	SSL_CTX_set_max_proto_version(ctx, version);
	c = tls_connect(s, ctx);
	SSL_set_tlsext_host_name(c.ssl, "b.example");
	if (*session)
		SSL_set_session(c.ssl, *session);
	ck_assert_int_eq(tls_shake(&c), 1);
	tls_expect_echo(&c, "hello");
	resumed = SSL_session_reused(c.ssl);
	SSL_SESSION_free(*session);
	*session = SSL_get1_session(c.ssl);
	ck_assert(SSL_SESSION_has_ticket(*session));
	tls_close(&c);
	SSL_CTX_free(ctx);
	return resumed;
}

static void name_of(SSL_SESSION *session, unsigned char name[NAME_BYTES])
{
	const unsigned char *ticket;
	size_t len;

	SSL_SESSION_get0_ticket(session, &ticket, &len);
	ck_assert_uint_gt(len, NAME_BYTES);
	memcpy(name, ticket, NAME_BYTES);
}

static bool has_name(SSL_SESSION *session, const unsigned char *name)
{
	unsigned char own[NAME_BYTES];

	name_of(session, own);
	return memcmp(own, name, NAME_BYTES) == 0;
}

/* False: it has taken so long that the first ticket may have ended. */
static bool see_new_keys(int version, int lifetime_s)
{
	int64_t end = now_ms() + INT64_C(1000) * (lifetime_s - 1);
	struct server *s =
		serve_with(WEIR_TLS(.certificate = tls_file("a.pem"),
				    .key = tls_file("a.key"),
				    .ticket_lifetime_s = lifetime_s));
	SSL_SESSION *old = NULL, *seen = NULL;
	unsigned char name[NAME_BYTES];
	bool is_opened;

	ck_assert(!visit(s, version, &old));
	name_of(old, name);
	/* until another key makes the tickets */
	do {
		SSL_SESSION_free(seen);
		seen = NULL;
		ck_assert(!visit(s, version, &seen));
		poll_sleep();
	} while (has_name(seen, name) && now_ms() < end);
	is_opened = visit(s, version, &old);
	if (now_ms() < end) {
		ck_assert(is_opened);		 /* by the former key */
		ck_assert(!has_name(old, name)); /* and a new ticket is sent */
	}
	SSL_SESSION_free(old);
	SSL_SESSION_free(seen);
	UNTIL(stats(s).ledger.open == 0);
	(void)server_stop_and_check(s);
	return now_ms() < end;
}

static void expect_new_keys(int version)
{
	int lifetime_s = 6 * slowness();

	while (!see_new_keys(version, lifetime_s)) {
		lifetime_s *= 2;
		ck_assert_int_le(lifetime_s, 24 * slowness());
	}
}

START_TEST(keys_of_tickets_change_and_the_former_still_opens)
{
	expect_new_keys(TLS1_2_VERSION);
	expect_new_keys(TLS1_3_VERSION);
}
END_TEST

START_TEST(a_ticket_ends_with_its_lifetime)
{
	struct server *s = serve_with(WEIR_TLS(.certificate = tls_file("a.pem"),
					       .key = tls_file("a.key"),
					       .ticket_lifetime_s = 1));
	const struct timespec longer = { .tv_sec = 2, .tv_nsec = 100000000 };
	SSL_SESSION *session = NULL;

	ck_assert(!visit(s, TLS1_3_VERSION, &session));
	/* a client that does not know that its ticket has ended */
	SSL_SESSION_set_timeout(session, 3600);
	nanosleep(&longer, NULL);
	ck_assert(!visit(s, TLS1_3_VERSION, &session));
	SSL_SESSION_free(session);
	UNTIL(stats(s).ledger.open == 0);
	(void)server_stop_and_check(s);
}
END_TEST

/* Does the ticket of a first visit survive a second one without a ticket? */
static bool survives_a_visit(struct server *s)
{
	SSL_SESSION *first = NULL, *second = NULL;
	bool resumed;

	ck_assert(!visit(s, TLS1_3_VERSION, &first));
	ck_assert(!visit(s, TLS1_3_VERSION, &second));
	resumed = visit(s, TLS1_3_VERSION, &first);
	SSL_SESSION_free(first);
	SSL_SESSION_free(second);
	return resumed;
}

START_TEST(visits_do_not_change_the_key_of_short_tickets)
{
	struct server *s = serve_with(WEIR_TLS(.certificate = tls_file("a.pem"),
					       .key = tls_file("a.key"),
					       .ticket_lifetime_s = 1));

	UNTIL(survives_a_visit(s)); /* three visits within half a second */
	UNTIL(stats(s).ledger.open == 0);
	(void)server_stop_and_check(s);
}
END_TEST

/* Each counts the descriptors of those before it. */
static void stop_all(struct server *const *s, int count)
{
	for (int i = 0; i < count; i++)
		UNTIL(stats(s[i]).ledger.open == 0);
	while (count-- > 0)
		(void)server_stop_and_check(s[count]);
}

/* Key n is made of the byte n. */
static void write_keys(const char *name, const char *keys)
{
	FILE *file = fopen(tls_file(name), "w");

	ck_assert_ptr_nonnull(file);
	for (; *keys; keys++)
		for (int i = 0; i < KEY_BYTES; i++)
			fputc(*keys, file);
	ck_assert_int_eq(fclose(file), 0);
}

static const char *file_of(const char *pair, const char *suffix)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "%s%s", pair, suffix);
	return tls_file(name);
}

static struct server *serve_keys(const char *pair, const char *keys)
{
	return serve_with(WEIR_TLS(.certificate = file_of(pair, ".pem"),
				   .key = file_of(pair, ".key"),
				   .ticket_keys = tls_file(keys)));
}

START_TEST(servers_with_the_same_keys_take_tickets_of_each_other)
{
	struct server *s[4];
	SSL_SESSION *session = NULL;

	write_keys("old.keys", "A");
	write_keys("both.keys", "BA");
	write_keys("other.keys", "C");
	tls_make_pair("b", "DNS:a.example", "ca");
	s[0] = serve_keys("a", "old.keys");
	s[1] = serve_keys("a", "both.keys");
	s[2] = serve_keys("a", "other.keys");
	s[3] = serve_keys("b", "both.keys"); /* another certificate */
	ck_assert(!visit(s[0], TLS1_3_VERSION, &session));
	ck_assert(visit(s[0], TLS1_3_VERSION, &session));
	ck_assert(visit(s[1], TLS1_3_VERSION, &session));
	ck_assert(has_name(session, (const unsigned char *)"BBBBBBBBBBBBBBBB"));
	ck_assert(!visit(s[3], TLS1_3_VERSION, &session));
	ck_assert(visit(s[3], TLS1_3_VERSION, &session));
	ck_assert(!visit(s[2], TLS1_3_VERSION, &session));
	SSL_SESSION_free(session);
	stop_all(s, 4);
}
END_TEST

static struct server *serve_only(const char *groups, const char *ciphers,
				 const char *suites, int min_version)
{
	return serve_with(WEIR_TLS(.certificate = tls_file("a.pem"),
				   .key = tls_file("a.key"),
				   .ticket_keys = tls_file("both.keys"),
				   .groups = groups, .ciphers = ciphers,
				   .ciphersuites = suites,
				   .min_version = min_version));
}

/* As a reload does that takes one of them away. */
START_TEST(a_ticket_is_of_one_list_of_ciphers_and_groups)
{
	struct server *s[6];
	SSL_SESSION *session = NULL;
	int count = 0;

	write_keys("both.keys", "BA");
	s[count++] = serve_only(NULL, NULL, NULL, 0);
	s[count++] = serve_only(NULL, NULL, NULL, 0);
	s[count++] = serve_only("X25519", NULL, NULL, 0);
	s[count++] = serve_only(NULL, "ECDHE+CHACHA20", NULL, 0);
	s[count++] = serve_only(NULL, NULL, "TLS_AES_256_GCM_SHA384", 0);
	s[count++] = serve_only(NULL, NULL, NULL, WEIR_TLS_1_3);
	ck_assert(!visit(s[0], TLS1_3_VERSION, &session));
	ck_assert(visit(s[1], TLS1_3_VERSION, &session));
	for (int i = 2; i < count; i++) {
		ck_assert(!visit(s[i], TLS1_3_VERSION, &session));
		ck_assert(!visit(s[0], TLS1_3_VERSION, &session));
	}
	SSL_SESSION_free(session);
	stop_all(s, count);
}
END_TEST

/* These certificates, added in this order, with the keys "both.keys". */
static struct server *serve_two(const char *first, const char *second)
{
	weir_tls *tls = make(WEIR_TLS(.certificate = file_of(first, ".pem"),
				      .key = file_of(first, ".key"),
				      .ticket_keys = tls_file("both.keys")));

	ck_assert_int_eq(weir_tls_add(tls, file_of(second, ".pem"),
				      file_of(second, ".key"), NULL, 0),
			 0);
	return serve_by(tls);
}

/* A certificate that could not be added is none of them. */
static struct server *serve_two_of_three(void)
{
	weir_tls *tls = make(WEIR_TLS(.certificate = tls_file("a.pem"),
				      .key = tls_file("a.key"),
				      .ticket_keys = tls_file("both.keys")));

	ck_assert_int_eq(weir_tls_add(tls, tls_file("c.pem"), tls_file("b.key"),
				      NULL, 0),
			 -EINVAL);
	ck_assert_int_eq(weir_tls_add(tls, tls_file("b.pem"), tls_file("b.key"),
				      NULL, 0),
			 0);
	return serve_by(tls);
}

static void expect_tickets_of_all_certificates(int version)
{
	struct server *s[] = { serve_two("a", "b"), serve_two_of_three(),
			       serve_two("a", "c"), serve_two("b", "a") };
	SSL_SESSION *session = NULL;

	ck_assert(!visit(s[0], version, &session));
	ck_assert(visit(s[0], version, &session));
	ck_assert(visit(s[1], version, &session));
	ck_assert(!visit(s[2], version, &session));
	ck_assert(!visit(s[0], version, &session));
	ck_assert(!visit(s[3], version, &session)); /* another order */
	SSL_SESSION_free(session);
	stop_all(s, 4);
}

START_TEST(a_ticket_is_of_all_certificates_in_their_order)
{
	write_keys("both.keys", "BA");
	tls_make_pair("b", "DNS:b.example", "ca");
	tls_make_pair("c", "DNS:b.example", "ca");
	expect_tickets_of_all_certificates(TLS1_2_VERSION);
	expect_tickets_of_all_certificates(TLS1_3_VERSION);
}
END_TEST

int main(void)
{
	return RUN_TESTS("tls_tickets",
			 keys_of_tickets_change_and_the_former_still_opens,
			 a_ticket_ends_with_its_lifetime,
			 visits_do_not_change_the_key_of_short_tickets,
			 servers_with_the_same_keys_take_tickets_of_each_other,
			 a_ticket_is_of_one_list_of_ciphers_and_groups,
			 a_ticket_is_of_all_certificates_in_their_order);
}
