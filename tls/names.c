/* SPDX-License-Identifier: MIT */
/*
 * Names in certificates.  Their bytes are chosen by others: a NUL would hide
 * what follows it, and a line feed would begin a line of a log.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "sys.h"
#include "tls.h"

/* With a space in front, unless it is the first; 0 or -ENOSPC. */
static int add_name(char *buf, size_t cap, const char *name, size_t len)
{
	size_t used = strlen(buf);

	if (used + (used > 0) + len >= cap)
		return -ENOSPC;
	if (used > 0)
		buf[used++] = ' ';
	for (size_t i = 0; i < len; i++)
		buf[used + i] = name[i] > ' ' && name[i] <= '~' ? name[i] : '?';
	buf[used + len] = '\0';
	return 0;
}

static int add_general_name(char *buf, size_t cap, const GENERAL_NAME *name)
{
	const ASN1_STRING *text;
	char ip[INET6_ADDRSTRLEN];
	int type, len;

	text = GENERAL_NAME_get0_value(name, &type);
	if (type != GEN_DNS && type != GEN_IPADD)
		return 0;
	len = ASN1_STRING_length(text);
	if (type == GEN_DNS)
		return add_name(buf, cap,
				(const char *)ASN1_STRING_get0_data(text),
				(size_t)len);
	if ((len != 4 && len != 16) ||
	    !inet_ntop(len == 4 ? AF_INET : AF_INET6,
		       ASN1_STRING_get0_data(text), ip, sizeof(ip)))
		return 0;
	return add_name(buf, cap, ip, strlen(ip));
}

int tls_add_names(char *buf, size_t cap, const X509 *x)
{
	GENERAL_NAMES *names =
		X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	int rc = 0;

	for (int i = 0; rc == 0 && i < sk_GENERAL_NAME_num(names); i++)
		rc = add_general_name(buf, cap,
				      sk_GENERAL_NAME_value(names, i));
	GENERAL_NAMES_free(names);
	return rc;
}

int weir_tls_names(const weir_tls *tls, char *buf, size_t cap)
{
	int rc = 0;

	if (tls == NULL || buf == NULL || cap == 0)
		return -EINVAL;
	buf[0] = '\0';
	for (const struct tls_site *s = &tls->first; rc == 0 && s; s = s->next)
		if (s->leaf)
			rc = tls_add_names(buf, cap, s->leaf);
	ERR_clear_error();
	return rc < 0 ? rc : (int)strlen(buf);
}

/* --------------------------------------------- one name of a verified peer */

static ssize_t give(char *buf, size_t cap, const void *text, int len)
{
	const unsigned char *bytes = text;

	for (int i = 0; i < len; i++)
		if (bytes[i] < ' ' || bytes[i] == 0x7f)
			return -EBADMSG;
	if (len < 0)
		return -EBADMSG;
	if ((size_t)len >= cap)
		return -ENOSPC;
	if (len > 0)
		memcpy(buf, text, (size_t)len);
	buf[len] = '\0';
	return len;
}

/* OpenSSL escapes control bytes here. */
static ssize_t give_subject(const X509 *x, int index, char *buf, size_t cap)
{
	BIO *text = BIO_new(BIO_s_mem());
	char *data;
	ssize_t n = -ENOMEM;

	if (text && X509_NAME_print_ex(text, X509_get_subject_name(x), 0,
				       XN_FLAG_RFC2253) >= 0) {
		long len = BIO_get_mem_data(text, &data);

		n = index > 0 || len == 0 ? -ENOENT
					  : give(buf, cap, data, (int)len);
	}
	BIO_free(text);
	return n;
}

static ssize_t give_cn(const X509 *x, int index, char *buf, size_t cap)
{
	const X509_NAME *subject = X509_get_subject_name(x);
	unsigned char *text;
	int at = -1, len;
	ssize_t n;

	do {
		at = X509_NAME_get_index_by_NID(subject, NID_commonName, at);
	} while (at >= 0 && index-- > 0);
	if (at < 0)
		return -ENOENT;
	len = ASN1_STRING_to_UTF8(
		&text,
		X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	if (len < 0)
		return -EBADMSG;
	n = give(buf, cap, text, len);
	OPENSSL_free(text);
	return n;
}

static ssize_t give_general(const GENERAL_NAME *name, char *buf, size_t cap)
{
	const ASN1_STRING *text;
	char ip[INET6_ADDRSTRLEN];
	int type, len;

	text = GENERAL_NAME_get0_value(name, &type);
	len = ASN1_STRING_length(text);
	if (type != GEN_IPADD)
		return give(buf, cap, ASN1_STRING_get0_data(text), len);
	if ((len != 4 && len != 16) ||
	    !inet_ntop(len == 4 ? AF_INET : AF_INET6,
		       ASN1_STRING_get0_data(text), ip, sizeof(ip)))
		return -EBADMSG;
	return give(buf, cap, ip, (int)strlen(ip));
}

static ssize_t give_alternative(const X509 *x, int type, int index, char *buf,
				size_t cap)
{
	GENERAL_NAMES *names =
		X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	ssize_t n = -ENOENT;

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type == type && index-- == 0) {
			n = give_general(name, buf, cap);
			break;
		}
	}
	GENERAL_NAMES_free(names);
	return n;
}

static ssize_t give_hex(int index, const unsigned char *bytes, size_t len,
			char *buf, size_t cap)
{
	if (index > 0)
		return -ENOENT;
	if (len * 2 >= cap)
		return -ENOSPC;
	buf[0] = '\0';
	for (size_t i = 0; i < len; i++)
		(void)snprintf(buf + 2 * i, 3, "%02x", bytes[i]);
	return (ssize_t)(2 * len);
}

static ssize_t give_digest(const X509 *x, int index, char *buf, size_t cap)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int len;

	if (X509_digest(x, EVP_sha256(), digest, &len) != 1)
		return -ENOMEM;
	return give_hex(index, digest, len, buf, cap);
}

ssize_t tls_give_name(const X509 *x, int kind, int index, char *buf, size_t cap)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(x);

	switch (kind) {
	case WEIR_TLS_NAME_SUBJECT:
		return give_subject(x, index, buf, cap);
	case WEIR_TLS_NAME_CN:
		return give_cn(x, index, buf, cap);
	case WEIR_TLS_NAME_DNS:
		return give_alternative(x, GEN_DNS, index, buf, cap);
	case WEIR_TLS_NAME_URI:
		return give_alternative(x, GEN_URI, index, buf, cap);
	case WEIR_TLS_NAME_EMAIL:
		return give_alternative(x, GEN_EMAIL, index, buf, cap);
	case WEIR_TLS_NAME_IP:
		return give_alternative(x, GEN_IPADD, index, buf, cap);
	case WEIR_TLS_NAME_SERIAL:
		return give_hex(index, ASN1_STRING_get0_data(serial),
				(size_t)ASN1_STRING_length(serial), buf, cap);
	case WEIR_TLS_NAME_SHA256:
		return give_digest(x, index, buf, cap);
	default:
		return -EINVAL;
	}
}
