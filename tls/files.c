/* SPDX-License-Identifier: MIT */
/* Certificates, keys and lists from files, and a line on what is wrong. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "tls.h"

int tls_refuse(const struct tls_why *why, int rc, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (why->text && why->cap > 0)
		(void)vsnprintf(why->text, why->cap, format, ap);
	va_end(ap);
	ERR_clear_error();
	return rc;
}

static int refuse_file(const struct tls_why *why, const char *path,
		       const char *what)
{
	unsigned long error = ERR_peek_error();
	int number = ERR_GET_REASON(error);

	if (ERR_SYSTEM_ERROR(error))
		return tls_refuse(why, -number, "%s: %s", path,
				  weir_strerror(number));
	return tls_refuse(why, -EINVAL, "%s: no %s: %s", path, what,
			  error ? ERR_reason_error_string(error)
				: "it is not in PEM");
}

static int check_time(const X509 *leaf, const char *path,
		      const struct tls_why *why)
{
	if (X509_cmp_current_time(X509_get0_notAfter(leaf)) < 0)
		return tls_refuse(why, -EINVAL,
				  "%s: the certificate has expired", path);
	return 0;
}

int tls_load_pair(struct tls_site *site, const char *certificate,
		  const char *key, const struct tls_why *why)
{
	if (SSL_CTX_use_certificate_chain_file(site->ssl, certificate) != 1)
		return refuse_file(why, certificate, "certificate");
	site->leaf = SSL_CTX_get0_certificate(site->ssl);
	if (key == NULL)
		key = certificate;
	if (SSL_CTX_use_PrivateKey_file(site->ssl, key, SSL_FILETYPE_PEM) !=
	    1) {
		if (ERR_GET_REASON(ERR_peek_last_error()) ==
		    X509_R_KEY_VALUES_MISMATCH)
			return tls_refuse(why, -EINVAL,
					  "%s: the key is not that of %s", key,
					  certificate);
		return refuse_file(why, key, "key");
	}
	if (SSL_CTX_check_private_key(site->ssl) != 1)
		return tls_refuse(why, -EINVAL, "%s: the key is not that of %s",
				  key, certificate);
	return check_time(site->leaf, certificate, why);
}

static int load_crl(SSL_CTX *ssl, const char *path, const struct tls_why *why)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ssl);
	X509_LOOKUP *files = X509_STORE_add_lookup(store, X509_LOOKUP_file());

	if (files == NULL)
		return -ENOMEM;
	if (X509_load_crl_file(files, path, X509_FILETYPE_PEM) < 1)
		return refuse_file(why, path, "list of revoked certificates");
	X509_STORE_set_flags(store,
			     X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	return 0;
}

int64_t tls_seconds_until(const ASN1_TIME *end)
{
	int days = 0, seconds = 0;

	if (end == NULL || ASN1_TIME_diff(&days, &seconds, NULL, end) != 1)
		return INT64_MAX;
	return (int64_t)days * 86400 + seconds;
}

/* With the lock, as handshakes use the store, too. */
int64_t tls_lists_expire(SSL_CTX *ssl)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ssl);
	STACK_OF(X509_OBJECT) * all;
	int64_t least = INT64_MAX;

	X509_STORE_lock(store);
	all = X509_STORE_get0_objects(store);
	for (int i = 0; i < sk_X509_OBJECT_num(all); i++) {
		const X509_CRL *list =
			X509_OBJECT_get0_X509_CRL(sk_X509_OBJECT_value(all, i));

		if (list)
			least = wr_min_at(
				least, tls_seconds_until(
					       X509_CRL_get0_nextUpdate(list)));
	}
	X509_STORE_unlock(store);
	return least;
}

/* The names in the request for a client's certificate. */
static int load_ca_names(SSL_CTX *ssl, const char *path,
			 const struct tls_why *why)
{
	STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(path);

	if (names == NULL)
		return refuse_file(why, path, "certificate");
	SSL_CTX_set_client_CA_list(ssl, names);
	return 0;
}

int tls_load_trust(SSL_CTX *ssl, const struct weir_tls_config *config,
		   bool is_client, const struct tls_why *why)
{
	int rc = 0;

	if (config->ca && SSL_CTX_load_verify_file(ssl, config->ca) != 1)
		return refuse_file(why, config->ca, "certificate");
	if (config->ca == NULL && is_client)
		(void)SSL_CTX_set_default_verify_paths(ssl);
	if (config->ca && !is_client)
		rc = load_ca_names(ssl, config->ca, why);
	if (rc == 0 && config->crl)
		rc = load_crl(ssl, config->crl, why);
	return rc;
}
