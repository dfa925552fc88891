/* SPDX-License-Identifier: MIT */
/* Warnings: what is not as expected in files that can be used all the same. */
#include <errno.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "sys.h"
#include "tls.h"

#define EXPECTED_DAYS 14

struct tls_warning {
	struct tls_warning *next;
	char text[512];
};

__attribute__((format(printf, 2, 3))) static int warn(struct weir_tls *tls,
						      const char *format, ...)
{
	struct tls_warning *w = wr_sys_alloc(sizeof(*w)), **at = &tls->warnings;
	va_list ap;

	if (w == NULL)
		return -ENOMEM;
	va_start(ap, format);
	(void)vsnprintf(w->text, sizeof(w->text), format, ap);
	va_end(ap);
	while (*at)
		at = &(*at)->next;
	*at = w;
	return 0;
}

void tls_free_warnings(struct weir_tls *tls)
{
	struct tls_warning *w, *next;

	for (w = tls->warnings; w; w = next) {
		next = w->next;
		wr_sys_free(w);
	}
}

int weir_tls_warning(const weir_tls *tls, int index, char *buf, size_t cap)
{
	const struct tls_warning *w = tls ? tls->warnings : NULL;
	size_t len;

	if (tls == NULL || index < 0 || buf == NULL || cap == 0)
		return -EINVAL;
	while (w && index-- > 0)
		w = w->next;
	if (w == NULL)
		return -ENOENT;
	len = strlen(w->text);
	if (len >= cap)
		return -ENOSPC;
	memcpy(buf, w->text, len + 1);
	return (int)len;
}

/* The leaf, and what follows it in its file. */
struct chain {
	X509 *leaf;
	STACK_OF(X509) * rest;
	int count;
};

static struct chain chain_of(const struct tls_site *site)
{
	struct chain c = { .leaf = site->leaf };

	(void)SSL_CTX_get0_chain_certs(site->ssl, &c.rest);
	c.count = 1 + (c.rest ? sk_X509_num(c.rest) : 0);
	return c;
}

static X509 *certificate_at(const struct chain *c, int i)
{
	return i == 0 ? c->leaf : sk_X509_value(c->rest, i - 1);
}

static int warn_of_end(struct weir_tls *tls, const char *path, const X509 *x,
		       int number)
{
	int days = 0, seconds = 0;

	if (ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(x)) != 1)
		return 0;
	if (days < 0 || seconds < 0)
		return warn(tls, "%s: certificate %d has expired", path,
			    number);
	if (days >= EXPECTED_DAYS)
		return 0;
	return warn(tls,
		    "%s: certificate %d ends within %d day%s; at least %d are "
		    "expected",
		    path, number, days + 1, days ? "s" : "", EXPECTED_DAYS);
}

static bool is_issued_by(X509 *x, X509 *issuer)
{
	return X509_check_issued(issuer, x) == X509_V_OK;
}

static int find_issuer(const struct chain *c, int of)
{
	for (int i = 0; i < c->count; i++)
		if (i != of &&
		    is_issued_by(certificate_at(c, of), certificate_at(c, i)))
			return i;
	return -1;
}

/* It says where its issuer can be downloaded; a root does not. */
static bool names_an_issuer(const X509 *x)
{
	AUTHORITY_INFO_ACCESS *all =
		X509_get_ext_d2i(x, NID_info_access, NULL, NULL);
	bool found = false;

	for (int i = 0; i < sk_ACCESS_DESCRIPTION_num(all); i++)
		found = found ||
			OBJ_obj2nid(
				sk_ACCESS_DESCRIPTION_value(all, i)->method) ==
				NID_ad_ca_issuers;
	AUTHORITY_INFO_ACCESS_free(all);
	return found;
}

/* Clients follow the chain from the leaf on, and some take no other order. */
static int warn_of_order(struct weir_tls *tls, const char *path,
			 const struct chain *c)
{
	int i = 0, found;

	while (i + 1 < c->count &&
	       is_issued_by(certificate_at(c, i), certificate_at(c, i + 1)))
		i++;
	if (i + 1 < c->count) {
		found = find_issuer(c, i);
		if (found >= 0)
			return warn(tls,
				    "%s: the chain is out of order: the issuer "
				    "of certificate %d is expected as "
				    "certificate %d, and is certificate %d",
				    path, i + 1, i + 2, found + 1);
	}
	if (i + 1 < c->count || (c->count == 1 && names_an_issuer(c->leaf)))
		return warn(tls,
			    "%s: the issuer of certificate %d is missing; it "
			    "is expected as certificate %d",
			    path, i + 1, i + 2);
	return 0;
}

int tls_warn_of_certificates(struct weir_tls *tls, const struct tls_site *site,
			     const char *path)
{
	const struct chain c = chain_of(site);
	int rc = warn_of_order(tls, path, &c);

	for (int i = 0; rc == 0 && i < c.count; i++)
		rc = warn_of_end(tls, path, certificate_at(&c, i), i + 1);
	return rc;
}

int tls_warn_of_secret(struct weir_tls *tls, const char *path)
{
	struct stat st;

	if (path == NULL || stat(path, &st) < 0 || !(st.st_mode & S_IROTH))
		return 0;
	return warn(tls,
		    "%s: others may read this key: its mode is %04o, 0600 is "
		    "expected",
		    path, (unsigned)(st.st_mode & 07777));
}

static bool has_list_of(STACK_OF(X509_OBJECT) * all, const X509 *authority)
{
	for (int i = 0; i < sk_X509_OBJECT_num(all); i++) {
		const X509_CRL *list =
			X509_OBJECT_get0_X509_CRL(sk_X509_OBJECT_value(all, i));

		if (list &&
		    X509_NAME_cmp(X509_CRL_get_issuer(list),
				  X509_get_subject_name(authority)) == 0)
			return true;
	}
	return false;
}

static int warn_of_missing_list(struct weir_tls *tls, const char *path,
				const X509 *authority)
{
	char name[256] = "";

	if (tls_give_name(authority, WEIR_TLS_NAME_SUBJECT, 0, name,
			  sizeof(name)) < 0)
		(void)tls_give_name(authority, WEIR_TLS_NAME_SHA256, 0, name,
				    sizeof(name));
	return warn(tls,
		    "%s: no list of revoked certificates is issued by %s: its "
		    "%s are refused",
		    path, name,
		    tls->layer.speaks_first ? "servers" : "clients");
}

/* OpenSSL wants a list of each authority in a chain, the root included. */
static int warn_of_missing_lists(struct weir_tls *tls, const char *path)
{
	STACK_OF(X509_OBJECT) *all =
		X509_STORE_get0_objects(SSL_CTX_get_cert_store(tls->first.ssl));
	int rc = 0;

	for (int i = 0; rc == 0 && i < sk_X509_OBJECT_num(all); i++) {
		const X509 *authority =
			X509_OBJECT_get0_X509(sk_X509_OBJECT_value(all, i));

		if (authority && !has_list_of(all, authority))
			rc = warn_of_missing_list(tls, path, authority);
	}
	return rc;
}

static int warn_of_old_list(struct weir_tls *tls, const char *path)
{
	if (tls_lists_expire(tls->first.ssl) >= 0)
		return 0;
	return warn(tls,
		    "%s: the list of revoked certificates has expired: a newer "
		    "one is expected, and peers are refused without it",
		    path);
}

int tls_warn_of_lists(struct weir_tls *tls, const char *path)
{
	int rc = path ? warn_of_old_list(tls, path) : 0;

	/* most of the system's authorities issue no certificate of a peer */
	if (rc == 0 && path && tls->config.ca)
		rc = warn_of_missing_lists(tls, path);
	return rc;
}
