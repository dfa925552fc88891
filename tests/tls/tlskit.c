/* SPDX-License-Identifier: MIT */
/* See tlskit.h.  Keys are made once for each process. */
#include "tlskit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <sys/stat.h>

static char folder[FOLDER_ROOM];
static EVP_PKEY *ca_key;
static X509 *ca;
static long serial = 1;

const char *tls_file(const char *name)
{
	static char paths[8][FOLDER_ROOM + 64];
	static int next;
	char *path = paths[next++ % 8];

	if (folder[0] == '\0') {
		signal(SIGPIPE, SIG_IGN); /* of the clients */
		ck_assert(make_folder(folder));
		tls_make_pair("ca", "", "");
		tls_make_pair("a", "DNS:a.example,IP:127.0.0.1", "ca");
	}
	(void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static void extend(X509 *x, int nid, const char *value)
{
	X509V3_CTX v3;
	X509_EXTENSION *e;

	X509V3_set_ctx(&v3, x, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &v3, nid, value);
	ck_assert_msg(e != NULL, "not an extension: %s", value);
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
}

static bool is_raw(const char *names)
{
	while (*names && *names != '|' && (unsigned char)*names < 0x80)
		names++;
	return *names;
}

/* A host of which a bar becomes a NUL. */
static void add_raw_host(X509 *x, const char *text)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_IA5STRING *host = ASN1_IA5STRING_new();
	char bytes[64];
	size_t len = strlen(text);

	ck_assert_uint_lt(len, sizeof(bytes));
	for (size_t i = 0; i < len; i++)
		bytes[i] = text[i] == '|' ? '\0' : text[i];
	ASN1_STRING_set(host, bytes, (int)len);
	GENERAL_NAME_set0_value(name, GEN_DNS, host);
	sk_GENERAL_NAME_push(names, name);
	ck_assert_int_eq(
		X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, 0), 1);
	GENERAL_NAMES_free(names);
}

static X509 *make_certificate(const char *name, const char *names,
			      EVP_PKEY *key, bool is_ca)
{
	X509 *x = X509_new();
	X509_NAME *subject = X509_get_subject_name(x);

	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 30 * 86400);
	X509_NAME_add_entry_by_txt(subject, "CN", V_ASN1_UTF8STRING,
				   (const unsigned char *)name, -1, -1, 0);
	X509_set_pubkey(x, key);
	extend(x, NID_basic_constraints,
	       is_ca ? "critical,CA:TRUE" : "CA:FALSE");
	if (is_raw(names))
		add_raw_host(x, names);
	else if (names[0])
		extend(x, NID_subject_alt_name, names);
	return x;
}

static FILE *create(const char *name, const char *suffix)
{
	char path[FOLDER_ROOM + 64];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s%s", folder, name, suffix);
	file = fopen(path, "w");
	ck_assert_msg(file != NULL, "cannot write %s", path);
	return file;
}

void tls_make_pair(const char *name, const char *names, const char *signer)
{
	bool is_ca = strcmp(name, "ca") == 0, is_own = signer[0] == '\0';
	EVP_PKEY *key;
	X509 *x;
	FILE *file;

	(void)tls_file(""); /* make the folder first */
	key = EVP_EC_gen("P-256");
	ck_assert_ptr_nonnull(key);
	x = make_certificate(name, names, key, is_ca);
	X509_set_issuer_name(x, X509_get_subject_name(is_own ? x : ca));
	ck_assert_int_gt(X509_sign(x, is_own ? key : ca_key, EVP_sha256()), 0);
	file = create(name, ".pem");
	PEM_write_X509(file, x);
	fclose(file);
	file = create(name, ".key");
	ck_assert_int_eq(fchmod(fileno(file), 0600), 0);
	PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
	fclose(file);
	if (is_ca) {
		ca = x;
		ca_key = key;
		return;
	}
	X509_free(x);
	EVP_PKEY_free(key);
}

static void add_revoked(X509_CRL *crl, const char *pair)
{
	char name[64];
	X509_REVOKED *entry = X509_REVOKED_new();
	ASN1_TIME *now = X509_gmtime_adj(NULL, 0);
	X509 *x;
	FILE *file;

	(void)snprintf(name, sizeof(name), "%s.pem", pair);
	file = fopen(tls_file(name), "r");
	ck_assert_ptr_nonnull(file);
	x = PEM_read_X509(file, NULL, NULL, NULL);
	ck_assert_ptr_nonnull(x);
	fclose(file);
	ck_assert_int_eq(
		X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(x)),
		1);
	ck_assert_int_eq(X509_REVOKED_set_revocationDate(entry, now), 1);
	ck_assert_int_eq(X509_CRL_add0_revoked(crl, entry), 1);
	ASN1_TIME_free(now);
	X509_free(x);
}

void tls_make_crl(const char *name, const char *revoked, int days)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *from = X509_gmtime_adj(NULL, -2 * 86400);
	ASN1_TIME *next = X509_gmtime_adj(NULL, days * 86400L);
	FILE *file;

	(void)tls_file(""); /* make the CA first */
	X509_CRL_set_version(crl, X509_CRL_VERSION_2);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca));
	X509_CRL_set1_lastUpdate(crl, from);
	X509_CRL_set1_nextUpdate(crl, next);
	if (revoked[0])
		add_revoked(crl, revoked);
	ck_assert_int_gt(X509_CRL_sign(crl, ca_key, EVP_sha256()), 0);
	file = create(name, ".crl");
	PEM_write_X509_CRL(file, crl);
	fclose(file);
	ASN1_TIME_free(from);
	ASN1_TIME_free(next);
	X509_CRL_free(crl);
}

weir_tls *tls_server(const char *pair)
{
	char certificate[64], key[64], why[256] = "";
	weir_tls *tls;
	int rc;

	(void)snprintf(certificate, sizeof(certificate), "%s.pem", pair);
	(void)snprintf(key, sizeof(key), "%s.key", pair);
	rc = weir_tls_new(&tls,
			  WEIR_TLS(.certificate = tls_file(certificate),
				   .key = tls_file(key)),
			  why, sizeof(why));
	ck_assert_msg(rc == 0, "%s: %s", weir_strerror(rc), why);
	return tls;
}

weir_tls *tls_client(const char *name)
{
	char why[256] = "";
	weir_tls *tls;
	int rc = weir_tls_new_client(
		&tls, WEIR_TLS(.ca = tls_file("ca.pem"), .name = name), why,
		sizeof(why));

	ck_assert_msg(rc == 0, "%s: %s", weir_strerror(rc), why);
	return tls;
}

struct server *tls_serve(const struct weir_config *config,
			 const struct weir_service *service)
{
	struct weir_service mine = *service;
	weir_tls *tls = tls_server("a");
	struct server *s;

	ck_assert_int_eq(weir_tls_use(&mine, tls), 0);
	s = serve(config, &mine);
	weir_tls_unref(tls);
	return s;
}

/* ----------------------------------------------------------------- client */

SSL_CTX *client_context(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	ck_assert_ptr_nonnull(ctx);
	return ctx;
}

static int connect_to(struct server *s)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	const char *colon = strrchr(s->address, ':');
	const struct timeval limit = { .tv_sec = 60 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_ptr_nonnull(colon);
	to.sin_port = htons((uint16_t)atoi(colon + 1));
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	return fd;
}

struct tls_client tls_connect(struct server *s, SSL_CTX *ctx)
{
	SSL_CTX *own = ctx ? NULL : client_context();
	struct tls_client c = { .fd = connect_to(s) };

	c.ssl = SSL_new(ctx ? ctx : own);
	ck_assert_ptr_nonnull(c.ssl);
	SSL_set_fd(c.ssl, c.fd);
	SSL_CTX_free(own);
	return c;
}

int tls_shake(struct tls_client *c)
{
	int n;

	ERR_clear_error();
	n = SSL_connect(c->ssl);
	return n == 1 ? 1 : -SSL_get_error(c->ssl, n);
}

struct tls_client tls_open(struct server *s, SSL_CTX *ctx)
{
	struct tls_client c = tls_connect(s, ctx);

	ck_assert_msg(tls_shake(&c) == 1, "handshake: %s",
		      ERR_reason_error_string(ERR_peek_error()));
	return c;
}

void tls_send(struct tls_client *c, const void *data, size_t len)
{
	size_t n = 0;

	ck_assert_int_eq(SSL_write_ex(c->ssl, data, len, &n), 1);
	ck_assert_uint_eq(n, len);
}

void tls_expect(struct tls_client *c, const void *data, size_t len)
{
	char *got = malloc(len);
	size_t at = 0;

	ck_assert_ptr_nonnull(got);
	while (at < len) {
		int n = SSL_read(c->ssl, got + at, (int)(len - at));

		ck_assert_msg(n > 0, "ended after %zu of %zu bytes", at, len);
		at += (size_t)n;
	}
	ck_assert_mem_eq(got, data, len);
	free(got);
}

void tls_expect_echo(struct tls_client *c, const char *text)
{
	tls_send(c, text, strlen(text));
	tls_expect(c, text, strlen(text));
}

void tls_expect_end(struct tls_client *c)
{
	char byte;
	int n;

	ERR_clear_error();
	n = SSL_read(c->ssl, &byte, 1);
	ck_assert_int_le(n, 0);
	ck_assert_int_eq(SSL_get_error(c->ssl, n), SSL_ERROR_ZERO_RETURN);
}

void tls_half_close(struct tls_client *c)
{
	ck_assert_int_ge(SSL_shutdown(c->ssl), 0);
	ck_assert_int_eq(shutdown(c->fd, SHUT_WR), 0);
}

void tls_close(struct tls_client *c)
{
	(void)SSL_shutdown(c->ssl);
	tls_abandon(c);
}

void tls_abandon(struct tls_client *c)
{
	SSL_free(c->ssl);
	close(c->fd);
}
