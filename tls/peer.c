/* SPDX-License-Identifier: MIT */
/* The peer of a connection: whose certificate it must be, and why it failed. */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "tls.h"

int tls_set_peer(SSL *ssl, const char *name, SSL_verify_cb verify)
{
	unsigned char ip[sizeof(struct in6_addr)];
	bool is_ip;

	if (name == NULL)
		return 1;
	is_ip = inet_pton(AF_INET, name, ip) == 1 ||
		inet_pton(AF_INET6, name, ip) == 1;
	if (!is_ip && SSL_set_tlsext_host_name(ssl, name) != 1)
		return 0;
	if (verify == NULL)
		return 1;
	SSL_set_verify(ssl, SSL_VERIFY_PEER, verify);
	if (is_ip)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name);
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
				       X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	return SSL_set1_host(ssl, name);
}

static const char *verify_text(long error)
{
	switch (error) {
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
		return "the certificate is of an unknown authority";
	case X509_V_ERR_UNABLE_TO_GET_CRL:
		return "there is no list of revoked certificates of its "
		       "authority";
	case X509_V_ERR_CRL_HAS_EXPIRED:
		return "the list of revoked certificates has expired";
	default:
		return X509_verify_cert_error_string(error);
	}
}

/* A server answers a hello with one of its own or with an alert. */
static bool is_no_server(const SSL *ssl, unsigned long error)
{
	return !SSL_is_server(ssl) &&
	       SSL_get_state(ssl) == TLS_ST_CW_CLNT_HELLO &&
	       ERR_GET_LIB(error) == ERR_LIB_SSL &&
	       ERR_GET_REASON(error) < SSL_AD_REASON_OFFSET;
}

static long verify_error(const SSL *ssl)
{
	bool is_verified = SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER;

	return is_verified ? SSL_get_verify_result(ssl) : X509_V_OK;
}

/* The peer has sent none, or its alert says that it refuses ours. */
static bool is_about_certificate(unsigned long error)
{
	switch (ERR_GET_REASON(error)) {
	case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_NO_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
	case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
	case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
		return ERR_GET_LIB(error) == ERR_LIB_SSL;
	default:
		return false;
	}
}

uint8_t tls_failure(const SSL *ssl)
{
	unsigned long error = ERR_peek_error();

	if (verify_error(ssl) != X509_V_OK || is_about_certificate(error))
		return WEIR_HANDSHAKE_CERTIFICATE;
	return is_no_server(ssl, error) ? WEIR_HANDSHAKE_NOT_TLS
					: WEIR_HANDSHAKE_PROTOCOL;
}

const char *tls_reason(const SSL *ssl)
{
	unsigned long error = ERR_peek_error();
	long verified = verify_error(ssl);
	const char *text;

	if (verified != X509_V_OK)
		return verify_text(verified);
	if (is_no_server(ssl, error))
		return "the server does not speak TLS";
	text = ERR_reason_error_string(error);
	return text ? text : "an error of TLS";
}
