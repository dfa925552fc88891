/* SPDX-License-Identifier: MIT */
/*
 * Contexts.  A context does not change once it is used, so no handshake sees a
 * part of a change: a reload makes another context.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "sys.h"
#include "tls.h"

/* The client chooses: ffdhe8192 costs a server 500 times as much as X25519. */
#define SERVER_GROUPS "X25519:P-256"
/* In TLS 1.2 also the curves that the peer's certificate may have. */
#define CLIENT_GROUPS "X25519:P-256:P-384:P-521"
#define CIPHERS	      "ECDHE+AESGCM:ECDHE+CHACHA20"

static void free_sites(struct weir_tls *tls)
{
	struct tls_site *site = tls->first.next, *next;

	for (; site; site = next) {
		next = site->next;
		SSL_CTX_free(site->ssl);
		wr_sys_free(site);
	}
	SSL_CTX_free(tls->first.ssl);
}

void tls_ref(struct weir_tls *tls)
{
	atomic_store_explicit(&tls->is_used, true, memory_order_relaxed);
	atomic_fetch_add_explicit(&tls->refs, 1, memory_order_relaxed);
}

static const char **string_of(struct weir_tls_config *c, size_t i)
{
	const char **strings[] = {
		&c->certificate, &c->key,     &c->ca,		&c->crl,
		&c->name,	 &c->alpn,    &c->client_names, &c->ticket_keys,
		&c->groups,	 &c->ciphers, &c->ciphersuites,
	};

	return i < sizeof(strings) / sizeof(strings[0]) ? strings[i] : NULL;
}

static void free_strings(struct weir_tls_config *c)
{
	const char **string;

	for (size_t i = 0; (string = string_of(c, i)) != NULL; i++)
		wr_sys_free((char *)(uintptr_t)*string);
}

void tls_unref(struct weir_tls *tls)
{
	if (atomic_fetch_sub(&tls->refs, 1) != 1)
		return;
	free_sites(tls);
	free_strings(&tls->config);
	wr_sys_free(tls->alpn);
	tls_tickets_fini(&tls->tickets);
	tls_free_warnings(tls);
	wr_sys_free(tls);
}

static void ref_layer(struct weir_layer *from)
{
	tls_ref(wr_container_of(from, struct weir_tls, layer));
}

static void unref_layer(struct weir_layer *from)
{
	tls_unref(wr_container_of(from, struct weir_tls, layer));
}

static const struct wr_layer_maker maker = { tls_make, ref_layer, unref_layer };

/* The context is not in use by that. */
weir_tls *weir_tls_dup(weir_tls *tls)
{
	if (tls)
		atomic_fetch_add_explicit(&tls->refs, 1, memory_order_relaxed);
	return tls;
}

void weir_tls_unref(weir_tls *tls)
{
	if (tls)
		tls_unref(tls);
}

/* All of them become ours, or NULL. */
static int copy_strings(struct weir_tls_config *c)
{
	const char **string;
	int rc = 0;

	for (size_t i = 0; (string = string_of(c, i)) != NULL; i++) {
		const char *from = *string;
		size_t size = from ? strlen(from) + 1 : 0;
		char *copy = from && rc == 0 ? wr_sys_alloc(size) : NULL;

		if (copy)
			memcpy(copy, from, size);
		else if (from)
			rc = -ENOMEM;
		*string = copy;
	}
	return rc;
}

void weir_tls_config_init(struct weir_tls_config *c, size_t size)
{
	if (c == NULL || size < sizeof(c->size))
		return;
	memset(c, 0, size);
	c->size = size;
}

static int copy_config(struct weir_tls_config *to,
		       const struct weir_tls_config *from,
		       const struct tls_why *why)
{
	const char *bytes = (const char *)from;

	if (from == NULL || from->size < sizeof(from->size))
		return tls_refuse(why, -EINVAL,
				  "size is not that of the structure");
	for (size_t i = sizeof(*to); i < from->size; i++)
		if (bytes[i] != 0)
			return tls_refuse(why, -EINVAL,
					  "a field is set that version %s does "
					  "not know",
					  WEIR_VERSION);
	memset(to, 0, sizeof(*to));
	memcpy(to, from, wr_min(sizeof(*to), from->size));
	return copy_strings(to);
}

static int check_config(const struct weir_tls_config *c, bool is_client,
			const struct tls_why *why)
{
	const unsigned int known = WEIR_TLS_INSECURE | WEIR_TLS_EOF_IS_END;

	if (c->min_version != WEIR_TLS_1_2 && c->min_version != WEIR_TLS_1_3)
		return tls_refuse(why, -EINVAL, "min_version is %d",
				  c->min_version);
	if (c->client < WEIR_TLS_NO_CLIENT ||
	    c->client > WEIR_TLS_REQUIRE_CLIENT)
		return tls_refuse(why, -EINVAL, "client is %d", c->client);
	if (c->flags & ~known)
		return tls_refuse(why, -EINVAL, "flags are 0x%x", c->flags);
	if (c->key && c->certificate == NULL)
		return tls_refuse(why, -EINVAL, "a key without a certificate");
	if (is_client && c->client)
		return tls_refuse(why, -EINVAL, "client is for a server");
	if (!is_client && (c->name || c->flags & WEIR_TLS_INSECURE))
		return tls_refuse(
			why, -EINVAL,
			"name and WEIR_TLS_INSECURE are for a client");
	if (!is_client && c->certificate == NULL)
		return tls_refuse(why, -EINVAL, "there is no certificate");
	if (!is_client && c->client && c->ca == NULL)
		return tls_refuse(why, -EINVAL,
				  "clients are verified, and there is no ca");
	if (!is_client && !c->client && (c->ca || c->crl || c->client_names))
		return tls_refuse(why, -EINVAL,
				  "ca, crl and client_names are for clients "
				  "that are asked");
	if (is_client && (c->client_names || c->ticket_keys))
		return tls_refuse(why, -EINVAL,
				  "client_names and ticket_keys are for a "
				  "server");
	if (c->ticket_lifetime_s < 0)
		return tls_refuse(why, -EINVAL, "ticket_lifetime_s is %d",
				  c->ticket_lifetime_s);
	return 0;
}

/* "h2,http/1.1" becomes 2 "h2" 8 "http/1.1". */
static int set_alpn(struct weir_tls *tls, const char *list,
		    const struct tls_why *why)
{
	size_t len = list ? strlen(list) : 0, begin = 0;

	if (list == NULL)
		return 0;
	tls->alpn = wr_sys_alloc(len + 1);
	if (tls->alpn == NULL)
		return -ENOMEM;
	tls->alpn_len = len + 1;
	for (size_t i = 0; i <= len; i++) {
		if (i < len && list[i] != ',') {
			tls->alpn[i + 1] = (unsigned char)list[i];
			continue;
		}
		if (i == begin || i - begin > 255)
			return tls_refuse(why, -EINVAL,
					  "alpn: a name has 1 to 255 bytes");
		tls->alpn[begin] = (unsigned char)(i - begin);
		begin = i + 1;
	}
	return 0;
}

/* No prompt on the terminal. */
static int no_password(char *buf, int cap, int is_write, void *arg)
{
	(void)buf;
	(void)cap;
	(void)is_write;
	(void)arg;
	return -1;
}

/* No protocol in common: alert 120. */
static int choose_alpn(SSL *ssl, const unsigned char **out,
		       unsigned char *out_len, const unsigned char *in,
		       unsigned int in_len, void *arg)
{
	const struct weir_tls *tls = arg;
	unsigned char *chosen;

	(void)ssl;
	if (SSL_select_next_proto(&chosen, out_len, tls->alpn,
				  (unsigned int)tls->alpn_len, in,
				  in_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static bool has_name(const struct tls_site *site, const char *name)
{
	return X509_check_host(site->leaf, name, strlen(name),
			       X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1;
}

/* Show the certificate that has the name; the first one, if none has. */
static int choose_site(SSL *ssl, int *alert, void *arg)
{
	const struct weir_tls *tls = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	const struct tls_site *site = &tls->first;

	(void)alert;
	while (name && site && !has_name(site, name))
		site = site->next;
	if (name && site && site != &tls->first)
		SSL_set_SSL_CTX(ssl, site->ssl);
	return SSL_TLSEXT_ERR_OK;
}

static int set_protocol(SSL_CTX *ssl, const struct weir_tls *tls)
{
	int version = tls->config.min_version == WEIR_TLS_1_3 ? TLS1_3_VERSION
							      : TLS1_2_VERSION;
	uint64_t options = SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
			   SSL_OP_CIPHER_SERVER_PREFERENCE;

	if (tls->config.flags & WEIR_TLS_EOF_IS_END)
		options |= SSL_OP_IGNORE_UNEXPECTED_EOF;
	if (tls->config.client) /* a ticket outlives the certificate */
		options |= SSL_OP_NO_TICKET;
	SSL_CTX_set_options(ssl, options);
	/* No partial writes: a client may ask for short records. */
	SSL_CTX_set_mode(ssl, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS |
				      SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_default_passwd_cb(ssl, no_password);
	return SSL_CTX_set_min_proto_version(ssl, version) == 1 &&
	       SSL_CTX_set_num_tickets(ssl, !tls->config.client) == 1;
}

/* With a group of another kind a handshake may cost 100 times as much. */
static bool is_group_list(const char *list)
{
	static const char *const known[] = { "X25519", "P-256", "P-384",
					     "P-521", "X448" };
	size_t count = sizeof(known) / sizeof(known[0]), i, len;

	for (;; list += len + 1) {
		len = strcspn(list, ":");
		for (i = 0; i < count; i++)
			if (strlen(known[i]) == len &&
			    memcmp(known[i], list, len) == 0)
				break;
		if (i == count)
			return false;
		if (list[len] == '\0')
			return true;
	}
}

static const char *flaw_of(const SSL_CIPHER *one)
{
	if (SSL_CIPHER_get_auth_nid(one) == NID_auth_null)
		return "authentication";
	if (SSL_CIPHER_get_cipher_nid(one) == NID_undef)
		return "encryption";
	return SSL_CIPHER_get_kx_nid(one) == NID_kx_rsa ? "forward secrecy"
							: NULL;
}

/* Those of TLS 1.2 and of TLS 1.3. */
static int check_ciphers(SSL_CTX *ssl, const struct tls_why *why)
{
	STACK_OF(SSL_CIPHER) *all = SSL_CTX_get_ciphers(ssl);

	for (int i = 0; i < sk_SSL_CIPHER_num(all); i++) {
		const SSL_CIPHER *one = sk_SSL_CIPHER_value(all, i);
		const char *flaw = flaw_of(one);

		if (flaw)
			return tls_refuse(why, -EINVAL,
					  "ciphers: %s is without %s",
					  SSL_CIPHER_get_name(one), flaw);
	}
	return 0;
}

static int set_ciphers(SSL_CTX *ssl, const struct weir_tls_config *c,
		       const struct tls_why *why)
{
	const char *list = c->ciphers ? c->ciphers : CIPHERS;

	if (strchr(list, '@')) /* the level is that of certificates, too */
		return tls_refuse(why, -EINVAL,
				  "ciphers: '%s' has an '@': a level or an "
				  "order cannot be set",
				  list);
	if (SSL_CTX_set_cipher_list(ssl, list) != 1)
		return tls_refuse(why, -EINVAL,
				  "ciphers: there is none in '%s'", list);
	if (c->ciphersuites &&
	    (c->ciphersuites[0] == '\0' ||
	     SSL_CTX_set_ciphersuites(ssl, c->ciphersuites) != 1))
		return tls_refuse(why, -EINVAL,
				  "ciphersuites: there is none in '%s'",
				  c->ciphersuites);
	return check_ciphers(ssl, why);
}

static int set_groups(SSL_CTX *ssl, const struct weir_tls *tls,
		      const struct tls_why *why)
{
	const char *list = tls->config.groups;

	if (list == NULL)
		list = tls->layer.speaks_first ? CLIENT_GROUPS : SERVER_GROUPS;

	if (is_group_list(list) && SSL_CTX_set1_groups_list(ssl, list) == 1)
		return 0;
	return tls_refuse(why, -EINVAL,
			  "groups: '%s' is not a list of X25519, P-256, P-384, "
			  "P-521 and X448 with colons",
			  list);
}

static int verify_mode(const struct weir_tls *tls)
{
	const struct weir_tls_config *c = &tls->config;

	if (tls->layer.speaks_first)
		return c->flags & WEIR_TLS_INSECURE ? SSL_VERIFY_NONE
						    : SSL_VERIFY_PEER;
	if (c->client == WEIR_TLS_REQUIRE_CLIENT)
		return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	return c->client ? SSL_VERIFY_PEER : SSL_VERIFY_NONE;
}

static int set_alpn_of(SSL_CTX *ssl, struct weir_tls *tls)
{
	if (tls->alpn == NULL)
		return 1;
	if (!tls->layer.speaks_first) {
		SSL_CTX_set_alpn_select_cb(ssl, choose_alpn, tls);
		return 1;
	}
	return SSL_CTX_set_alpn_protos(ssl, tls->alpn,
				       (unsigned int)tls->alpn_len) == 0;
}

static int add_file(EVP_MD_CTX *md, const char *path)
{
	BIO *file = path ? BIO_new_file(path, "rb") : NULL;
	char piece[4096];
	int n = 0;

	if (EVP_DigestUpdate(md, file ? "+" : "-", 1) != 1)
		n = -1;
	while (n >= 0 && file && (n = BIO_read(file, piece, sizeof(piece))) > 0)
		if (EVP_DigestUpdate(md, piece, (size_t)n) != 1)
			n = -1;
	BIO_free(file);
	return n < 0 ? 0 : 1;
}

static int add_string(EVP_MD_CTX *md, const char *text)
{
	if (EVP_DigestUpdate(md, text ? "+" : "-", 1) != 1)
		return 0;
	return text ? EVP_DigestUpdate(md, text, strlen(text) + 1) : 1;
}

static int add_protocol(EVP_MD_CTX *md, const struct weir_tls_config *c)
{
	return EVP_DigestUpdate(md, &c->min_version, sizeof(c->min_version)) ==
		       1 &&
	       add_string(md, c->groups) && add_string(md, c->ciphers) &&
	       add_string(md, c->ciphersuites);
}

/*
 * A ticket is refused if the certificates, the demands on clients, or the
 * versions, groups and ciphers were others when it was made.  All sites have
 * one digest: OpenSSL looks at it before it chooses the site.
 */
static int add_to_session_context(struct weir_tls *tls, const char *certificate)
{
	const struct weir_tls_config *c = &tls->config;
	unsigned char *digest = tls->session_context;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	int ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
		 EVP_DigestUpdate(md, digest, SESSION_CONTEXT) == 1 &&
		 add_file(md, certificate) && add_file(md, c->ca) &&
		 add_file(md, c->crl) &&
		 EVP_DigestUpdate(md, &c->client, sizeof(c->client)) == 1 &&
		 add_protocol(md, c) &&
		 EVP_DigestFinal_ex(md, digest, NULL) == 1;

	EVP_MD_CTX_free(md);
	return ok ? 0 : -ENOMEM;
}

static void set_session_context(struct weir_tls *tls)
{
	for (struct tls_site *s = &tls->first; s; s = s->next)
		(void)SSL_CTX_set_session_id_context(
			s->ssl, tls->session_context, SESSION_CONTEXT);
}

static int set_client_names(SSL_CTX *ssl, const char *list,
			    const struct tls_why *why)
{
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ssl);

	X509_VERIFY_PARAM_set_hostflags(
		param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
			       X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	for (;; list++) {
		size_t len = strcspn(list, ",");

		if (len == 0 || list[0] == '.')
			return tls_refuse(why, -EINVAL,
					  "client_names: '%s' is no host",
					  list);
		if (X509_VERIFY_PARAM_add1_host(param, list, len) != 1)
			return -ENOMEM;
		list += len;
		if (*list == '\0')
			return 0;
	}
}

static int warn_of_pair(struct weir_tls *tls, const struct tls_site *site,
			const char *certificate, const char *key)
{
	int rc = tls_warn_of_certificates(tls, site, certificate);

	if (rc == 0)
		rc = tls_warn_of_secret(tls, key ? key : certificate);
	return rc;
}

/* Of the files that all certificates share. */
static int warn_of_others(struct weir_tls *tls)
{
	int rc = tls_warn_of_secret(tls, tls->config.ticket_keys);

	if (rc == 0)
		rc = tls_warn_of_lists(tls, tls->config.crl);
	return rc;
}

/* One certificate; NULL: a client without one. */
static int make_site(struct weir_tls *tls, struct tls_site *site,
		     const char *certificate, const char *key,
		     const struct tls_why *why)
{
	bool is_client = tls->layer.speaks_first;
	int rc = 0;

	ERR_clear_error(); /* of the program */
	site->ssl = SSL_CTX_new(is_client ? TLS_client_method()
					  : TLS_server_method());
	if (site->ssl == NULL || !set_protocol(site->ssl, tls) ||
	    !set_alpn_of(site->ssl, tls) ||
	    (!is_client && !tls_tickets_use(site->ssl, &tls->tickets)))
		return tls_refuse(why, -ENOMEM, "OpenSSL has no memory");
	rc = set_groups(site->ssl, tls, why);
	if (rc == 0)
		rc = set_ciphers(site->ssl, &tls->config, why);
	if (rc == 0 && certificate)
		rc = tls_load_pair(site, certificate, key, why);
	if (rc == 0)
		rc = tls_load_trust(site->ssl, &tls->config, is_client, why);
	if (rc == 0 && tls->config.client_names)
		rc = set_client_names(site->ssl, tls->config.client_names, why);
	if (rc == 0 && certificate)
		rc = warn_of_pair(tls, site, certificate, key);
	if (rc == 0)
		rc = add_to_session_context(tls, certificate);
	SSL_CTX_set_verify(site->ssl, verify_mode(tls), NULL);
	if (!is_client) {
		SSL_CTX_set_tlsext_servername_callback(site->ssl, choose_site);
		SSL_CTX_set_tlsext_servername_arg(site->ssl, tls);
	}
	ERR_clear_error();
	return rc;
}

/* Threads of a server may outlast exit(). */
static int begin_openssl(void)
{
	if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG |
				     OPENSSL_INIT_NO_ATEXIT,
			     NULL) != 1)
		return -ENOMEM;
	return tls_lent_init();
}

/* "Each failure has a line": the text of the error, if there is no other. */
static void begin_why(const struct tls_why *why)
{
	if (why->text && why->cap > 0)
		why->text[0] = '\0';
}

static int end_why(const struct tls_why *why, int rc)
{
	if (rc < 0 && why->text && why->cap > 0 && why->text[0] == '\0')
		return tls_refuse(why, rc, "%s", weir_strerror(rc));
	return rc;
}

/* Each lies inside structures of the other. */
static int check_release(const struct tls_why *why)
{
	if (strcmp(weir_version(), WEIR_VERSION) == 0)
		return 0;
	return tls_refuse(why, -ENOSYS,
			  "libweir is of version %s, libweir-tls of %s",
			  weir_version(), WEIR_VERSION);
}

static int new_tls(weir_tls **ret, const struct weir_tls_config *config,
		   bool is_client, const struct tls_why *why)
{
	struct weir_tls *tls = wr_sys_alloc(sizeof(*tls));
	int rc = tls ? begin_openssl() : -ENOMEM;

	if (tls == NULL)
		return rc;
	atomic_store(&tls->refs, 1);
	(void)pthread_mutex_init(&tls->tickets.lock, NULL);
	tls->layer.maker = &maker;
	tls->layer.speaks_first = is_client;
	if (rc == 0)
		rc = check_release(why);
	if (rc == 0)
		rc = copy_config(&tls->config, config, why);
	if (rc == 0)
		rc = check_config(&tls->config, is_client, why);
	if (rc == 0)
		rc = set_alpn(tls, tls->config.alpn, why);
	if (rc == 0)
		rc = tls_tickets_init(&tls->tickets, tls->config.ticket_keys,
				      tls->config.ticket_lifetime_s, why);
	if (rc == 0)
		rc = make_site(tls, &tls->first, tls->config.certificate,
			       tls->config.key, why);
	if (rc == 0)
		rc = warn_of_others(tls);
	if (rc < 0) {
		tls_unref(tls);
		return rc;
	}
	set_session_context(tls);
	*ret = tls;
	return 0;
}

int weir_tls_new(weir_tls **ret, const struct weir_tls_config *config,
		 char *why, size_t cap)
{
	WR_NO_CANCEL();
	const struct tls_why reason = { why, cap };

	begin_why(&reason);
	return end_why(&reason,
		       ret ? new_tls(ret, config, false, &reason) : -EINVAL);
}

int weir_tls_new_client(weir_tls **ret, const struct weir_tls_config *config,
			char *why, size_t cap)
{
	WR_NO_CANCEL();
	const struct tls_why reason = { why, cap };

	begin_why(&reason);
	return end_why(&reason,
		       ret ? new_tls(ret, config, true, &reason) : -EINVAL);
}

static void append_site(struct weir_tls *tls, struct tls_site *site)
{
	struct tls_site *last = &tls->first;

	while (last->next)
		last = last->next;
	last->next = site;
}

static int add_site(weir_tls *tls, const char *certificate, const char *key,
		    const struct tls_why *why)
{
	struct tls_site *site;
	int rc;

	if (tls == NULL || certificate == NULL)
		return -EINVAL;
	if (tls->layer.speaks_first)
		return tls_refuse(why, -EINVAL, "the context is for a client");
	if (atomic_load(&tls->is_used))
		return tls_refuse(why, -EBUSY, "the context is used already");
	site = wr_sys_alloc(sizeof(*site));
	if (site == NULL)
		return -ENOMEM;
	rc = make_site(tls, site, certificate, key, why);
	if (rc == 0) {
		append_site(tls, site);
		set_session_context(tls);
		return 0;
	}
	SSL_CTX_free(site->ssl);
	wr_sys_free(site);
	return rc;
}

int weir_tls_add(weir_tls *tls, const char *certificate, const char *key,
		 char *why, size_t cap)
{
	WR_NO_CANCEL();
	const struct tls_why reason = { why, cap };

	begin_why(&reason);
	return end_why(&reason, add_site(tls, certificate, key, &reason));
}

int64_t weir_tls_expires(const weir_tls *tls)
{
	int64_t least = INT64_MAX;

	for (const struct tls_site *s = tls ? &tls->first : NULL; s;
	     s = s->next)
		if (s->leaf)
			least = wr_min_at(
				least,
				tls_seconds_until(X509_get0_notAfter(s->leaf)));
	return least;
}

/* All sites have the same lists. */
int64_t weir_tls_crl_expires(const weir_tls *tls)
{
	return tls && tls->config.crl ? tls_lists_expire(tls->first.ssl)
				      : INT64_MAX;
}

/*
 * OpenSSL takes an empty name for none, and one that begins with a dot for all
 * names that end so.
 */
static bool lacks_name(const weir_tls *tls, const char *name)
{
	if (name == NULL)
		name = tls->config.name;
	if (!tls->layer.speaks_first)
		return false;
	return name ? name[0] == '\0' || name[0] == '.' ||
			       strlen(name) > TLSEXT_MAXLEN_host_name
		    : !(tls->config.flags & WEIR_TLS_INSECURE);
}

int weir_tls_use(struct weir_service *service, weir_tls *tls)
{
	if (service == NULL || tls == NULL || lacks_name(tls, NULL))
		return -EINVAL;
	service->layer = &tls->layer;
	return 0;
}

int weir_tls_replace(weir_server *s, int listener, weir_tls *tls)
{
	return tls ? wr_layer_replace(s, listener, &tls->layer) : -EINVAL;
}

int weir_conn_start_tls(weir_conn *c, weir_tls *tls, const char *name)
{
	if (c == NULL || tls == NULL || lacks_name(tls, name))
		return -EINVAL;
	return wr_layer_start(c, &tls->layer, name);
}
