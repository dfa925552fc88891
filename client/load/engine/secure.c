/* SPDX-License-Identifier: MIT */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "secure.h"

#include "../../../cli/cli.h"
#include "../../../cli/text.h"

#ifdef HAVE_OPENSSL

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tls.h>

struct secure {
	const struct plan_tls *plan;
	SSL_CTX *context;
};

/* Returns 1: the slot owns the session now. */
static int keep_session(SSL *ssl, SSL_SESSION *session)
{
	SSL_SESSION **slot = SSL_get_app_data(ssl);

	SSL_SESSION_free(*slot);
	*slot = session;
	return 1;
}

/* No prompt on the terminal. */
static int no_password(char *buf, int cap, int is_write, void *arg)
{
	(void)buf, (void)cap, (void)is_write, (void)arg;
	return -1;
}

static bool set_up(const struct secure *s)
{
	SSL_CTX *context = s->context;

	SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION |
					     SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
					  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					  SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(context, 1);
	SSL_CTX_set_default_passwd_cb(context, no_password);
	SSL_CTX_set_verify(
		context,
		s->plan->is_insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_session_cache_mode(
		context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	if (!s->plan->is_full)
		SSL_CTX_sess_set_new_cb(context, keep_session);
	return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
	       (s->plan->alpn_len == 0 ||
		SSL_CTX_set_alpn_protos(context, s->plan->alpn,
					(unsigned int)s->plan->alpn_len) == 0);
}

static int load_files(const struct secure *s)
{
	const struct plan_tls *p = s->plan;
	char text[512] = "out of memory";
	const struct tls_why why = { text, sizeof(text) };
	struct tls_site site = { .ssl = s->context };
	const struct weir_tls_config config = { .ca = p->ca };

	if (p->certificate &&
	    tls_load_pair(&site, p->certificate, p->key, &why) < 0) {
		cli_error("--tls-%s: %s",
			  p->key && strncmp(text, p->key, strlen(p->key)) == 0
				  ? "key"
				  : "certificate",
			  text);
		return CLI_USAGE;
	}
	if (tls_load_trust(s->context, &config, true, &why) < 0) {
		cli_error("--ca: %s", text);
		return CLI_USAGE;
	}
	return CLI_DONE;
}

int secure_new(struct secure **ret, const struct plan_tls *plan)
{
	struct secure *s;
	int status;

	*ret = NULL;
	if (!plan->is_wanted)
		return CLI_DONE;
	s = calloc(1, sizeof(*s));
	if (s && OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) == 1)
		s->context = SSL_CTX_new(TLS_client_method());
	if (s)
		s->plan = plan;
	if (!s || !s->context || !set_up(s)) {
		cli_error("--tls: OpenSSL has no memory");
		secure_free(s);
		return CLI_FAILED;
	}
	status = load_files(s);
	if (status == CLI_DONE)
		*ret = s;
	else
		secure_free(s);
	return status;
}

void secure_free(struct secure *s)
{
	if (s)
		SSL_CTX_free(s->context);
	free(s);
}

static int keep_verdict(int is_good, X509_STORE_CTX *store)
{
	(void)store;
	return is_good;
}

/* A copy, because OpenSSL lets each one be resumed by one connection only. */
static bool resume(SSL *ssl, const SSL_SESSION *session)
{
	SSL_SESSION *copy = SSL_SESSION_dup(session);
	bool is_set = copy && SSL_set_session(ssl, copy) == 1;

	SSL_SESSION_free(copy);
	return is_set;
}

struct ssl_st *secure_open(const struct secure *s, int fd,
			   struct ssl_session_st **session, bool resumes)
{
	SSL *ssl = SSL_new(s->context);
	bool is_insecure = s->plan->is_insecure;

	if (ssl == NULL)
		return NULL;
	SSL_set_connect_state(ssl);
	SSL_set_app_data(ssl, session);
	if (SSL_set_fd(ssl, fd) == 1 &&
	    tls_set_peer(ssl, s->plan->name,
			 is_insecure ? NULL : keep_verdict) == 1 &&
	    (!resumes || *session == NULL || resume(ssl, *session)))
		return ssl;
	SSL_free(ssl);
	return NULL;
}

static void begin(void)
{
	ERR_clear_error();
	errno = 0;
}

/* After a call that failed: 0 at the end of input, or -1 with errno. */
static int failure(const SSL *ssl, int n)
{
	switch (SSL_get_error(ssl, n)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		errno = EAGAIN;
		return -1;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		return errno ? -1 : 0;
	default:
		errno = EPROTO;
		return -1;
	}
}

int secure_handshake(struct ssl_st *ssl)
{
	int n;

	begin();
	n = SSL_do_handshake(ssl);
	if (n == 1)
		return 1;
	n = failure(ssl, n);
	if (n < 0 && errno == EAGAIN)
		return 0;
	errno = n == 0 ? 0 : errno;
	return -1;
}

ssize_t secure_receive(struct ssl_st *ssl, void *buf, size_t cap)
{
	int n;

	begin();
	n = SSL_read(ssl, buf, (int)cap);
	return n > 0 ? n : failure(ssl, n);
}

ssize_t secure_send(struct ssl_st *ssl, const void *data, size_t len)
{
	int n;

	begin();
	n = SSL_write(ssl, data, (int)len);
	if (n > 0)
		return n;
	if (failure(ssl, n) == 0)
		errno = EPIPE;
	return -1;
}

bool secure_wants_input(const struct ssl_st *ssl)
{
	return SSL_want_read(ssl);
}

bool secure_has_rest(const struct ssl_st *ssl)
{
	return SSL_has_pending(ssl);
}

bool secure_is_resumed(const struct ssl_st *ssl)
{
	return SSL_session_reused(ssl);
}

const char *secure_why(const struct ssl_st *ssl)
{
	return tls_reason(ssl);
}

const char *secure_describe(const struct ssl_st *ssl, char buf[SECURE_TEXT])
{
	const unsigned char *alpn;
	char chosen[64] = ""; /* by the server */
	unsigned int len;

	SSL_get0_alpn_selected(ssl, &alpn, &len);
	if (len > 0)
		cli_escape(chosen, sizeof(chosen), (const char *)alpn, len, 0);
	snprintf(buf, SECURE_TEXT, "%s, %s%s%s", SSL_get_version(ssl),
		 SSL_get_cipher_name(ssl), len > 0 ? ", " : "", chosen);
	return buf;
}

/*
 * OpenSSL lets a session be resumed only if its connection has sent, or counts
 * as having sent, the end.
 */
void secure_close(struct ssl_st *ssl, bool is_said)
{
	if (ssl == NULL)
		return;
	begin();
	if (!is_said || SSL_in_init(ssl) || SSL_shutdown(ssl) < 0)
		SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN);
	SSL_free(ssl);
}

void secure_forget(struct ssl_session_st *session)
{
	SSL_SESSION_free(session);
}

#else

int secure_new(struct secure **ret, const struct plan_tls *plan)
{
	(void)plan;
	*ret = NULL;
	return CLI_DONE;
}

void secure_free(struct secure *s)
{
	(void)s;
}

struct ssl_st *secure_open(const struct secure *s, int fd,
			   struct ssl_session_st **session, bool resumes)
{
	(void)s, (void)fd, (void)session, (void)resumes;
	return NULL;
}

int secure_handshake(struct ssl_st *ssl)
{
	(void)ssl;
	return -1;
}

ssize_t secure_receive(struct ssl_st *ssl, void *buf, size_t cap)
{
	(void)ssl, (void)buf, (void)cap;
	return -1;
}

ssize_t secure_send(struct ssl_st *ssl, const void *data, size_t len)
{
	(void)ssl, (void)data, (void)len;
	return -1;
}

bool secure_wants_input(const struct ssl_st *ssl)
{
	(void)ssl;
	return false;
}

bool secure_has_rest(const struct ssl_st *ssl)
{
	(void)ssl;
	return false;
}

bool secure_is_resumed(const struct ssl_st *ssl)
{
	(void)ssl;
	return false;
}

const char *secure_why(const struct ssl_st *ssl)
{
	(void)ssl;
	return "";
}

const char *secure_describe(const struct ssl_st *ssl, char buf[SECURE_TEXT])
{
	(void)ssl;
	buf[0] = '\0';
	return buf;
}

void secure_close(struct ssl_st *ssl, bool is_said)
{
	(void)ssl, (void)is_said;
}

void secure_forget(struct ssl_session_st *session)
{
	(void)session;
}

#endif
