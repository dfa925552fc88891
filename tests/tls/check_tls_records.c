/* SPDX-License-Identifier: MIT */
/*
 * Peers whose records come in parts, and answers that the socket does not take.
 * The peer is OpenSSL in memory, so that the test decides which bytes are sent.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#include "faults.h"
#include "sys.h"
#include "tlskit.h"

#define ROOM	     65536
#define TICKET_BYTES 4000 /* of the program's own in each ticket */
#define PART	     1000 /* of a ticket: ends within its second record */

/* A server with one client. */
struct peer {
	char address[32];
	int listener, fd;
	SSL_CTX *ctx;
	SSL *ssl;
	BIO *in, *out;
	pthread_t thread;
};

static int fill_ticket(SSL *ssl, void *arg)
{
	static const char data[TICKET_BYTES];

	(void)arg;
	return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), data,
					       sizeof(data));
}

static SSL_CTX *peer_context(int version)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	ck_assert_ptr_nonnull(ctx);
	ck_assert_int_eq(SSL_CTX_use_certificate_file(ctx, tls_file("a.pem"),
						      SSL_FILETYPE_PEM),
			 1);
	ck_assert_int_eq(SSL_CTX_use_PrivateKey_file(ctx, tls_file("a.key"),
						     SSL_FILETYPE_PEM),
			 1);
	SSL_CTX_set_max_proto_version(ctx, version);
	SSL_CTX_set_max_send_fragment(ctx, 512);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_session_ticket_cb(ctx, fill_ticket, NULL, NULL);
	return ctx;
}

static void peer_listen(struct peer *p, int version)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t len = sizeof(at);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(p->listener, 0);
	ck_assert_int_eq(bind(p->listener, (struct sockaddr *)&at, len), 0);
	ck_assert_int_eq(listen(p->listener, 1), 0);
	getsockname(p->listener, (struct sockaddr *)&at, &len);
	(void)snprintf(p->address, sizeof(p->address), "127.0.0.1:%d",
		       ntohs(at.sin_port));
	p->ctx = peer_context(version);
}

/* Send at most this much of what OpenSSL has made. */
static void peer_say(struct peer *p, size_t most)
{
	char buf[ROOM];
	int n = BIO_read(p->out, buf, (int)(most < ROOM ? most : ROOM));

	if (n > 0)
		ck_assert_int_eq(send(p->fd, buf, (size_t)n, MSG_NOSIGNAL), n);
}

static void peer_hear(struct peer *p)
{
	char buf[ROOM];
	ssize_t n = recv(p->fd, buf, sizeof(buf), 0);

	ck_assert_msg(n > 0, "the connection has ended");
	BIO_write(p->in, buf, (int)n);
}

/* Accept, and make the handshake. */
static void peer_meet(struct peer *p)
{
	const struct timeval limit = { .tv_sec = 60 };

	p->fd = accept(p->listener, NULL, NULL);
	ck_assert_int_ge(p->fd, 0);
	setsockopt(p->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	p->ssl = SSL_new(p->ctx);
	p->in = BIO_new(BIO_s_mem());
	p->out = BIO_new(BIO_s_mem());
	BIO_set_mem_eof_return(p->in, -1);
	SSL_set_bio(p->ssl, p->in, p->out);
	SSL_set_accept_state(p->ssl);
	while (SSL_do_handshake(p->ssl) != 1) {
		peer_say(p, ROOM);
		peer_hear(p);
	}
	peer_say(p, ROOM);
}

static void *meet(void *arg)
{
	peer_meet(arg);
	return NULL;
}

/* For a caller that waits for the handshake itself. */
static void peer_meet_aside(struct peer *p)
{
	ck_assert_int_eq(pthread_create(&p->thread, NULL, meet, p), 0);
}

static void peer_make_ticket(struct peer *p)
{
	ck_assert_int_eq(SSL_new_session_ticket(p->ssl), 1);
	ck_assert_int_eq(SSL_do_handshake(p->ssl), 1);
	ck_assert_int_gt(BIO_pending(p->out), TICKET_BYTES);
}

/* In TLS 1.2 a client answers it with an alert at once. */
static void peer_ask_for_a_handshake(struct peer *p)
{
	ck_assert_int_eq(SSL_renegotiate(p->ssl), 1);
	ck_assert_int_eq(SSL_do_handshake(p->ssl), 1);
	ck_assert_int_gt(BIO_pending(p->out), 0);
}

static void peer_write(struct peer *p, const char *text)
{
	ck_assert_int_gt(SSL_write(p->ssl, text, (int)strlen(text)), 0);
}

static void peer_expect(struct peer *p, char byte)
{
	char got;

	while (SSL_read(p->ssl, &got, 1) != 1)
		peer_hear(p);
	ck_assert_int_eq(got, byte);
}

static void peer_abandon(struct peer *p)
{
	SSL_free(p->ssl);
	SSL_CTX_free(p->ctx);
	close(p->fd);
	close(p->listener);
}

static void peer_leave(struct peer *p)
{
	(void)SSL_shutdown(p->ssl);
	peer_say(p, ROOM);
	peer_abandon(p);
}

/* ------------------------------------------ a connection of weir_dial() */

static weir_conn *dial(struct peer *p, int version)
{
	weir_tls *tls = tls_client("a.example");
	weir_conn *c;

	peer_listen(p, version);
	peer_meet_aside(p);
	ck_assert_int_eq(weir_dial(&c, p->address, 0), 0);
	ck_assert_int_eq(weir_conn_start_tls(c, tls, NULL), 0);
	weir_tls_unref(tls);
	pthread_join(p->thread, NULL);
	return c;
}

static int ready(weir_conn *c, int events, int ms)
{
	struct weir_poll p = { .conn = c, .events = events };

	ck_assert_int_ge(weir_conn_wait(&p, 1, ms), 0);
	return p.ready;
}

static bool is_readable(weir_conn *c)
{
	struct pollfd pfd = { .fd = weir_conn_fd(c), .events = POLLIN };

	return poll(&pfd, 1, 0) == 1;
}

/* OpenSSL writes nothing before it has read the whole ticket. */
static weir_conn *dial_and_read_half_a_ticket(struct peer *p)
{
	weir_conn *c = dial(p, TLS1_3_VERSION);

	peer_make_ticket(p);
	peer_say(p, PART);
	UNTIL(is_readable(c));
	ck_assert_int_eq(ready(c, WEIR_POLL_INPUT, 0), 0);
	ck_assert_int_eq(weir_conn_write(c, "x", 1), 0);
	ck_assert_int_eq(ready(c, WEIR_POLL_INPUT, 20), 0);
	return c;
}

/* It has to wait. */
static int write_much(weir_conn *c)
{
	static const char much[256 * 1024] = "";

	return weir_conn_write(c, much, sizeof(much));
}

static void *write_in_thread(void *arg)
{
	return (void *)(intptr_t)write_much(arg);
}

START_TEST(output_follows_a_ticket_that_comes_in_parts)
{
	struct peer p;
	weir_conn *c = dial_and_read_half_a_ticket(&p);
	pthread_t thread;
	void *rc;
	char byte;

	ck_assert_int_eq(pthread_create(&thread, NULL, write_in_thread, c), 0);
	peer_say(&p, PART);
	peer_say(&p, ROOM);
	pthread_join(thread, &rc);
	ck_assert_int_eq((intptr_t)rc, 0);
	peer_expect(&p, 'x');
	peer_write(&p, "y");
	peer_say(&p, ROOM);
	ck_assert_int_eq(weir_conn_read(c, &byte, 1), 1);
	peer_leave(&p);
	weir_conn_free(c);
}
END_TEST

START_TEST(half_a_ticket_holds_a_flush_for_the_write_deadline)
{
	struct peer p;
	weir_conn *c = dial_and_read_half_a_ticket(&p);

	ck_assert_int_eq(weir_conn_set_timeout(c, WEIR_TIMEOUT_WRITE, 50), 0);
	ck_assert_int_eq(write_much(c), -ETIMEDOUT);
	weir_conn_free(c);
	peer_leave(&p);
}
END_TEST

static void *say_more_after_an_answer(void *arg)
{
	struct peer *p = arg;
	char alert[100];

	ck_assert_int_gt(recv(p->fd, alert, sizeof(alert), 0), 0);
	peer_write(p, "y");
	peer_say(p, ROOM);
	return NULL;
}

/* An answer that the socket does not take before the wait sleeps. */
START_TEST(a_wait_sends_what_its_look_has_made)
{
	struct peer p;
	weir_conn *c = dial(&p, TLS1_2_VERSION);

	fail_nth_call(WR_SYS_sendmsg, 1, -EAGAIN);
	peer_ask_for_a_handshake(&p);
	peer_say(&p, ROOM);
	UNTIL(is_readable(c));
	ck_assert_int_eq(
		pthread_create(&p.thread, NULL, say_more_after_an_answer, &p),
		0);
	ck_assert_int_eq(ready(c, WEIR_POLL_INPUT, 60000 * slowness()),
			 WEIR_POLL_INPUT);
	ck_assert_int_eq(faults_made(), 1);
	faults_clear();
	pthread_join(p.thread, NULL);
	weir_conn_free(c);
	peer_leave(&p);
}
END_TEST

/* ------------------------------------------------ connections of a server */

enum { READABLE, SESSION, SESSION_ON_WORKER, KINDS };

static struct server *serve_and_dial_with(const struct weir_config *config,
					  struct peer *p, int version, int kind,
					  weir_handler_fn *fn)
{
	weir_tls *tls = tls_client("a.example");
	struct weir_service service;
	struct server *s;

	weir_service_init(&service, sizeof(service));
	service.readable = echo;
	s = serve(config, &service);
	service.readable = kind == READABLE ? fn : NULL;
	service.session = kind == READABLE ? NULL : fn;
	service.session_on_worker = kind == SESSION_ON_WORKER;
	ck_assert_int_eq(weir_tls_use(&service, tls), 0);
	peer_listen(p, version);
	ck_assert_int_eq(
		weir_server_dial(s->weir, NULL, p->address, 0, &service), 0);
	weir_tls_unref(tls);
	peer_meet(p);
	return s;
}

static struct server *serve_and_dial(struct peer *p, int version, int kind,
				     weir_handler_fn *fn)
{
	return serve_and_dial_with(NULL, p, version, kind, fn);
}

START_TEST(a_reply_follows_a_ticket_that_comes_in_parts)
{
	for (int kind = 0; kind < KINDS; kind++) {
		struct peer p;
		struct server *s =
			serve_and_dial(&p, TLS1_3_VERSION, kind, echo);

		peer_write(&p, "x");
		peer_make_ticket(&p);
		peer_say(&p, PART);
		UNTIL(stats(s).bytes_in == 1);
		peer_say(&p, PART);
		peer_say(&p, ROOM);
		peer_expect(&p, 'x');
		peer_leave(&p);
		UNTIL(stats(s).ledger.open == 0);
		ck_assert_uint_eq(server_stop_and_check(s).ledger.completed, 1);
	}
}
END_TEST

static int close_after_a_byte(weir_conn *c, void *arg)
{
	char byte;
	ssize_t n = weir_conn_read(c, &byte, 1);

	(void)arg;
	return n <= 0 ? (int)n : WEIR_CLOSE;
}

START_TEST(close_notify_follows_a_ticket_that_comes_in_parts)
{
	for (int kind = 0; kind < KINDS; kind++) {
		struct peer p;
		struct server *s = serve_and_dial(&p, TLS1_3_VERSION, kind,
						  close_after_a_byte);
		char byte;

		peer_make_ticket(&p);
		peer_say(&p, PART);
		peer_write(&p, "x");
		peer_say(&p, ROOM);
		while (SSL_read(p.ssl, &byte, 1) <= 0 &&
		       SSL_get_shutdown(p.ssl) == 0)
			peer_hear(&p);
		peer_leave(&p);
		UNTIL(stats(s).ledger.open == 0);
		(void)server_stop_and_check(s);
	}
}
END_TEST

static atomic_int taken;

static int take(weir_conn *c, void *arg)
{
	char buf[16];
	ssize_t n = weir_conn_read(c, buf, sizeof(buf));

	(void)arg;
	if (n > 0)
		atomic_fetch_add(&taken, (int)n);
	return n > 0 ? WEIR_AGAIN : (int)n;
}

/* The answer fails in the call that has read them. */
START_TEST(bytes_that_were_read_are_given_although_an_answer_fails)
{
	static const int errors[] = { -EPIPE, -ENOMEM };

	for (int i = 0; i < 2 * KINDS; i++) {
		struct peer p;
		struct server *s =
			serve_and_dial(&p, TLS1_2_VERSION, i / 2, take);

		atomic_store(&taken, 0);
		UNTIL(stats(s).parked == 1);
		fail_nth_call(WR_SYS_sendmsg, 1, errors[i % 2]);
		peer_ask_for_a_handshake(&p);
		peer_write(&p, "x");
		peer_say(&p, ROOM);
		UNTIL(atomic_load(&taken) == 1);
		ck_assert_int_eq(faults_made(), 1);
		faults_clear();
		peer_leave(&p);
		UNTIL(stats(s).ledger.open == 0);
		(void)server_stop_and_check(s);
	}
}
END_TEST

/* ------------------------------------------------------ what the log tells */

static weir_ref *_Atomic line_reader;
static atomic_int calls, told;

static int read_line(weir_conn *c, void *arg)
{
	char line[16];

	(void)arg;
	if (atomic_load(&line_reader) == NULL)
		atomic_store(&line_reader, weir_conn_ref(c));
	atomic_fetch_add(&calls, 1);
	return (int)weir_conn_read_line(c, line, sizeof(line));
}

static void ask_the_connection(int level, const char *line, void *arg)
{
	(void)level;
	(void)arg;
	if (strstr(line, "TLS: ") == NULL)
		return;
	(void)weir_ref_unsent(line_reader);
	atomic_fetch_add(&told, 1);
}

/*
 * Half a line keeps the input from being looked at, and half a ticket the
 * output from being sent: so the flush is what reads the wrong rest.
 */
START_TEST(a_failure_that_output_finds_is_logged_without_a_lock)
{
	static const char wrong[PART];
	struct peer p;
	struct server *s =
		serve_and_dial_with(WEIR_CONFIG(.log = ask_the_connection,
						.log_level = WEIR_LOG_INFO),
				    &p, TLS1_3_VERSION, READABLE, read_line);
	int before;

	peer_write(&p, "ha");
	peer_say(&p, ROOM);
	UNTIL(stats(s).bytes_in == 2 && stats(s).parked == 1);
	before = atomic_load(&calls);
	peer_make_ticket(&p);
	peer_say(&p, PART);
	UNTIL(atomic_load(&calls) > before && stats(s).parked == 1);
	ck_assert_int_eq(weir_ref_send(line_reader, "x", 1), 0);
	ck_assert_int_eq(weir_ref_unsent(line_reader), 1);
	ck_assert_int_eq(send(p.fd, wrong, PART, MSG_NOSIGNAL), PART);
	UNTIL(atomic_load(&told) == 1);
	UNTIL(stats(s).ledger.failed == 1);
	weir_ref_unref(line_reader);
	peer_abandon(&p);
	(void)server_stop_and_check(s);
}
END_TEST

/* ------------------------------------- a client that only sends, by hand */

#define TAG	  16
#define NONCE	  12
#define GCM_ROOM  (5 + 8 + 64 + TAG) /* a record of up to 64 bytes */
#define HANDSHAKE 22
#define DATA	  23
#define PAIRS	  6000 /* whose answers are 186,000 bytes */

/* What TLS 1.2 with AES-128-GCM encrypts the records of a client with. */
struct sender {
	unsigned char key[16], salt[4];
	uint64_t number;
	char buf[ROOM];
	size_t len;
};

static void put_number(unsigned char *to, uint64_t number)
{
	for (int i = 7; i >= 0; i--, number >>= 8)
		to[i] = (unsigned char)number;
}

static void sender_init(struct sender *s, SSL *ssl)
{
	unsigned char master[48], seed[64], block[40];
	char digest[] = "SHA256", label[] = "key expansion";
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS1-PRF", NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest,
						 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, master,
						  sizeof(master)),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, label,
						  strlen(label)),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, seed,
						  sizeof(seed)),
		OSSL_PARAM_construct_end(),
	};

	SSL_SESSION_get_master_key(SSL_get_session(ssl), master,
				   sizeof(master));
	SSL_get_server_random(ssl, seed, 32);
	SSL_get_client_random(ssl, seed + 32, 32);
	ck_assert_int_eq(EVP_KDF_derive(ctx, block, sizeof(block), params), 1);
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	memcpy(s->key, block, sizeof(s->key));
	memcpy(s->salt, block + 32, sizeof(s->salt));
	s->number = 1; /* after that of the handshake */
	s->len = 0;
}

static void sender_add(struct sender *s, unsigned char type, const void *data,
		       size_t len)
{
	unsigned char *to = (unsigned char *)s->buf + s->len;
	unsigned char nonce[NONCE], aad[13] = { 0 };
	EVP_CIPHER_CTX *gcm = EVP_CIPHER_CTX_new();
	size_t body = 8 + len + TAG;
	int n;

	memcpy(nonce, s->salt, 4);
	put_number(nonce + 4, s->number);
	put_number(aad, s->number++);
	aad[8] = to[0] = type;
	aad[9] = aad[10] = to[1] = to[2] = 3;
	aad[12] = (unsigned char)len;
	to[3] = 0;
	to[4] = (unsigned char)body;
	memcpy(to + 5, nonce + 4, 8);
	EVP_EncryptInit_ex(gcm, EVP_aes_128_gcm(), NULL, s->key, nonce);
	EVP_EncryptUpdate(gcm, NULL, &n, aad, sizeof(aad));
	EVP_EncryptUpdate(gcm, to + 13, &n, data, (int)len);
	EVP_EncryptFinal_ex(gcm, to + 13 + n, &n);
	EVP_CIPHER_CTX_ctrl(gcm, EVP_CTRL_GCM_GET_TAG, TAG, to + 13 + len);
	EVP_CIPHER_CTX_free(gcm);
	s->len += 5 + body;
}

/* False: the server has closed. */
static bool sender_push(struct sender *s, int fd)
{
	ssize_t n = send(fd, s->buf, s->len, MSG_NOSIGNAL);
	bool is_sent = n == (ssize_t)s->len;

	s->len = 0;
	return is_sent;
}

static atomic_int input_error;

static int take_and_note(weir_conn *c, void *arg)
{
	int rc = take(c, arg);

	if (rc < 0)
		atomic_store(&input_error, rc);
	return rc;
}

/*
 * Each hello is answered with an alert; a byte of data makes the records of the
 * client good ones.  The answers do not hold the input.
 */
START_TEST(answers_that_a_client_does_not_take_have_a_bound)
{
	static const unsigned char hello[] = { 1, 0, 0, 4, 3, 3, 0, 0 };
	struct weir_service service;
	struct tls_client c;
	SSL_CTX *ctx = client_context();
	struct sender sender;
	struct server *s;
	bool goes_on = true;

	weir_service_init(&service, sizeof(service));
	service.readable = take_and_note;
	service.full_duplex = 1;
	s = tls_serve(NULL, &service);
	SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_cipher_list(ctx, "ECDHE-ECDSA-AES128-GCM-SHA256");
	c = tls_open(s, ctx);
	SSL_CTX_free(ctx);
	sender_init(&sender, c.ssl);
	UNTIL(stats(s).parked == 1);
	fail_calls_from(WR_SYS_sendmsg, 1, -EAGAIN);
	for (int i = 0; i < PAIRS && goes_on; i++) {
		sender_add(&sender, HANDSHAKE, hello, sizeof(hello));
		sender_add(&sender, DATA, "x", 1);
		if (sender.len + 2 * GCM_ROOM > sizeof(sender.buf))
			goes_on = sender_push(&sender, c.fd);
	}
	UNTIL(atomic_load(&input_error) == -EPROTO);
	faults_clear();
	tls_abandon(&c);
	UNTIL(stats(s).ledger.open == 0);
	ck_assert_uint_eq(stats(s).ledger.failed, 1);
	UNTIL(log_says(s, "TLS: the peer does not take the answers"));
	(void)server_stop_and_check(s);
}
END_TEST

/* ------------------------------------------------------ a line for each error
 */

/* NULL: the context is for a server. */
static int make_context(const char *name, char *why, size_t cap)
{
	weir_tls *tls = NULL;
	int rc;

	if (name)
		rc = weir_tls_new_client(
			&tls, WEIR_TLS(.ca = tls_file("ca.pem"), .name = name),
			why, cap);
	else
		rc = weir_tls_new(&tls,
				  WEIR_TLS(.certificate = tls_file("a.pem"),
					   .key = tls_file("a.key"),
					   .alpn = "h2"),
				  why, cap);
	if (rc == 0 && name == NULL)
		rc = weir_tls_add(tls, tls_file("a.pem"), tls_file("a.key"),
				  why, cap);
	weir_tls_unref(tls);
	return rc;
}

START_TEST(each_failure_to_make_a_context_has_a_line)
{
	(void)tls_file("a.pem");
	for (int i = 0; i < 2; i++) {
		const char *name = i ? "a.example" : NULL;
		char why[256];
		int rc = -ENOMEM;

		for (int nth = 1; rc < 0; nth++) {
			strcpy(why, "what it was");
			fail_nth_call(WR_SYS_alloc, nth, -ENOMEM);
			rc = make_context(name, why, sizeof(why));
			ck_assert(rc == 0 || rc == -ENOMEM);
			if (rc < 0) {
				ck_assert_str_ne(why, "what it was");
				ck_assert_str_ne(why, "");
			}
		}
		faults_clear();
	}
}
END_TEST

int main(void)
{
	faults_install();
	return RUN_TESTS(
		"tls_records", output_follows_a_ticket_that_comes_in_parts,
		half_a_ticket_holds_a_flush_for_the_write_deadline,
		a_wait_sends_what_its_look_has_made,
		a_reply_follows_a_ticket_that_comes_in_parts,
		close_notify_follows_a_ticket_that_comes_in_parts,
		bytes_that_were_read_are_given_although_an_answer_fails,
		a_failure_that_output_finds_is_logged_without_a_lock,
		answers_that_a_client_does_not_take_have_a_bound,
		each_failure_to_make_a_context_has_a_line);
}
