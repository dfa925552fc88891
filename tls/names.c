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

/*
 * subjectAltName, read where it is: a peer may have thousands of names, and
 * OpenSSL would make three objects of each.
 */
struct names {
	const unsigned char *at, *end;
};

struct name {
	int type; /* GEN_DNS ... */
	const unsigned char *data;
	int len;
};

/* A certificate with two such extensions has none. */
static struct names names_of(const X509 *x)
{
	int at = X509_get_ext_by_NID(x, NID_subject_alt_name, -1), tag, class;
	struct names none = { NULL, NULL };
	const ASN1_OCTET_STRING *all;
	const unsigned char *data;
	long len;

	if (at < 0 || X509_get_ext_by_NID(x, NID_subject_alt_name, at) >= 0)
		return none;
	all = X509_EXTENSION_get_data(X509_get_ext(x, at));
	data = ASN1_STRING_get0_data(all);
	if (ASN1_get_object(&data, &len, &tag, &class,
			    ASN1_STRING_length(all)) != V_ASN1_CONSTRUCTED ||
	    tag != V_ASN1_SEQUENCE || class != V_ASN1_UNIVERSAL)
		return none;
	return (struct names){ data, data + len };
}

static bool next_name(struct names *names, struct name *ret)
{
	int rc, class;
	long len;

	if (names->at == names->end)
		return false;
	rc = ASN1_get_object(&names->at, &len, &ret->type, &class,
			     names->end - names->at);
	if ((rc & ~V_ASN1_CONSTRUCTED) || class != V_ASN1_CONTEXT_SPECIFIC) {
		names->at = names->end;
		return false;
	}
	ret->data = names->at;
	ret->len = (int)len;
	names->at += len;
	return true;
}

static const char *ip_text(const struct name *name, char buf[INET6_ADDRSTRLEN])
{
	if (name->len != 4 && name->len != 16)
		return NULL;
	return inet_ntop(name->len == 4 ? AF_INET : AF_INET6, name->data, buf,
			 INET6_ADDRSTRLEN);
}

int tls_add_names(char *buf, size_t cap, const X509 *x)
{
	struct names names = names_of(x);
	char ip[INET6_ADDRSTRLEN];
	struct name name;
	int rc = 0;

	while (rc == 0 && next_name(&names, &name)) {
		if (name.type == GEN_DNS)
			rc = add_name(buf, cap, (const char *)name.data,
				      (size_t)name.len);
		else if (name.type == GEN_IPADD && ip_text(&name, ip))
			rc = add_name(buf, cap, ip, strlen(ip));
	}
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

/* Also the control characters U+0080 to U+009F, in UTF-8. */
static bool is_control(const unsigned char *at, int left)
{
	return *at < ' ' || *at == 0x7f ||
	       (*at == 0xc2 && left > 1 && at[1] < 0xa0);
}

static ssize_t give(char *buf, size_t cap, const void *text, int len)
{
	const unsigned char *bytes = text;

	for (int i = 0; i < len; i++)
		if (is_control(bytes + i, len - i))
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

/* All of these kinds but an address are ASCII. */
static ssize_t give_general(const struct name *name, char *buf, size_t cap)
{
	char ip[INET6_ADDRSTRLEN];

	if (name->type == GEN_IPADD)
		return ip_text(name, ip) ? give(buf, cap, ip, (int)strlen(ip))
					 : -EBADMSG;
	for (int i = 0; i < name->len; i++)
		if (name->data[i] > 0x7f)
			return -EBADMSG;
	return give(buf, cap, name->data, name->len);
}

static ssize_t give_alternative(const X509 *x, int type, int index, char *buf,
				size_t cap)
{
	struct names names = names_of(x);
	struct name name;

	while (next_name(&names, &name))
		if (name.type == type && index-- == 0)
			return give_general(&name, buf, cap);
	return -ENOENT;
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
