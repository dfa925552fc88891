/* SPDX-License-Identifier: MIT */
#include "certificate.h"

#include <stdio.h>
#include <string.h>

#include "../cli/cli.h"

#ifdef HAVE_OPENSSL

#include <weir-tls.h>

#include "../cli/stream.h"
#include "journal.h"

#define DAY_S 86400

bool certificate_is_built(const char *what)
{
	(void)what;
	return true;
}

static bool is_about(const char *why, const char *path)
{
	size_t len = path ? strlen(path) : 0;

	return path && strncmp(why, path, len) == 0 && why[len] == ':';
}

static bool is_about_any(const char *why, const char *const *paths,
			 size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (is_about(why, paths[i]))
			return true;
	return false;
}

static const char *option_of(const struct tls_options *t, const char *why)
{
	if (is_about_any(why, t->certificates, t->certificate_count))
		return "certificate";
	if (is_about_any(why, t->keys, t->key_count))
		return "key";
	if (is_about(why, "alpn"))
		return "alpn";
	if (is_about(why, "client_names"))
		return "client-names";
	if (is_about(why, "groups"))
		return "groups";
	if (is_about(why, "ciphers"))
		return "ciphers";
	if (is_about(why, "ciphersuites"))
		return "ciphersuites";
	if (is_about(why, t->crl))
		return "crl";
	if (is_about(why, t->ticket_keys))
		return "ticket-keys";
	return is_about(why, t->client_ca) ? "client-ca" : "certificate";
}

static int client_mode(const struct tls_options *t)
{
	if (!t->client_ca)
		return WEIR_TLS_NO_CLIENT;
	return t->client && strcmp(t->client, "ask") == 0
		       ? WEIR_TLS_ASK_CLIENT
		       : WEIR_TLS_REQUIRE_CLIENT;
}

static int make_context(struct weir_tls **ret, const struct tls_options *t,
			char *why, size_t cap)
{
	bool is_new = t->min && strcmp(t->min, "1.3") == 0;
	int rc = weir_tls_new(
		ret,
		WEIR_TLS(.certificate = t->certificates[0], .key = t->keys[0],
			 .ca = t->client_ca, .crl = t->crl,
			 .client = client_mode(t),
			 .client_names = t->client_names, .alpn = t->alpn,
			 .ticket_keys = t->ticket_keys, .groups = t->groups,
			 .ciphers = t->ciphers, .ciphersuites = t->ciphersuites,
			 .min_version = is_new ? WEIR_TLS_1_3 : WEIR_TLS_1_2),
		why, cap);

	for (size_t i = 1; rc == 0 && i < t->certificate_count; i++) {
		rc = weir_tls_add(*ret, t->certificates[i], t->keys[i], why,
				  cap);
		if (rc < 0) {
			weir_tls_unref(*ret);
			*ret = NULL;
		}
	}
	return rc;
}

bool certificate_load(struct options *o)
{
	const struct tls_options *t = &o->tls_options;
	char why[CLI_ERROR_MOST] = "out of memory";
	int rc;

	if (!t->certificate_count)
		return true;
	rc = make_context(&o->tls, t, why, sizeof(why));
	if (rc < 0)
		cli_error("--tls-%s: %s%s", option_of(t, why), why,
			  cli_reader(rc));
	return rc >= 0;
}

void certificate_free(struct options *o)
{
	weir_tls_unref(o->tls);
	o->tls = NULL;
}

static bool get_warning(const struct options *o, int index, char *buf,
			size_t cap)
{
	return o->tls && weir_tls_warning(o->tls, index, buf, cap) >= 0;
}

void certificate_log_warnings(const struct options *o)
{
	char text[512];

	for (int i = 0; get_warning(o, i, text, sizeof(text)); i++)
		journal(WEIR_LOG_WARNING, "--tls-%s: %s",
			option_of(&o->tls_options, text), text);
}

void certificate_print_warnings(const struct options *o)
{
	char text[512];

	for (int i = 0; get_warning(o, i, text, sizeof(text)); i++)
		cli_error("warning: --tls-%s: %s",
			  option_of(&o->tls_options, text), text);
}

static void print_pair(const char *certificate, const char *key)
{
	char names[1024];
	struct weir_tls *one;

	cli_print_text("tls-certificate", certificate);
	if (weir_tls_new(&one, WEIR_TLS(.certificate = certificate, .key = key),
			 NULL, 0) < 0)
		return; /* it has just been replaced */
	(void)weir_tls_names(one, names, sizeof(names));
	stream_print("certificate of \"%s\", %lld days left\n", names,
		     (long long)(weir_tls_expires(one) / DAY_S));
	weir_tls_unref(one);
	if (key)
		cli_print_text("tls-key", key);
}

static void print_given(const char *name, const char *value)
{
	if (value)
		cli_print_text(name, value);
}

void certificate_print(const struct options *o)
{
	const struct tls_options *t = &o->tls_options;

	for (size_t i = 0; i < t->certificate_count; i++)
		print_pair(t->certificates[i], t->keys[i]);
	print_given("tls-client-ca", t->client_ca);
	print_given("tls-client", t->client);
	print_given("tls-client-names", t->client_names);
	print_given("tls-crl", t->crl);
	print_given("tls-alpn", t->alpn);
	print_given("tls-min", t->min);
	print_given("tls-groups", t->groups);
	print_given("tls-ciphers", t->ciphers);
	print_given("tls-ciphersuites", t->ciphersuites);
	print_given("tls-ticket-keys", t->ticket_keys);
}

bool certificate_describe(weir_conn *c, struct certificate_peer *ret)
{
	struct weir_tls_info info;

	if (weir_conn_tls(c, &info, sizeof(info)) < 0 || !info.version[0])
		return false;
	snprintf(ret->version, sizeof(ret->version), "%.15s",
		 strncmp(info.version, "TLSv", 4) == 0 ? info.version + 4
						       : info.version);
	/* A subject may be empty, or long. */
	if (weir_conn_tls_name(c, WEIR_TLS_NAME_SUBJECT, 0, ret->client,
			       sizeof(ret->client)) < 0 &&
	    weir_conn_tls_name(c, WEIR_TLS_NAME_SHA256, 0, ret->client,
			       sizeof(ret->client)) < 0)
		ret->client[0] = '\0';
	return true;
}

struct certificate_ends certificate_ends(const struct options *o)
{
	return (struct certificate_ends){
		.certificate_s = weir_tls_expires(o->tls),
		.crl_s = weir_tls_crl_expires(o->tls),
	};
}

void certificate_use(struct weir_service *service, const struct options *o)
{
	(void)weir_tls_use(service, o->tls);
}

bool certificate_replace(weir_server *s, const struct listeners *l,
			 const struct options *o, char *why, size_t cap)
{
	for (size_t i = 0; i < l->count; i++) {
		int rc = l->all[i].has_tls ? weir_tls_replace(s, (int)i, o->tls)
					   : 0;

		if (rc < 0) {
			snprintf(why, cap, "'%s': %s", l->all[i].spec,
				 weir_strerror(rc));
			return false;
		}
	}
	return true;
}

#else

bool certificate_describe(weir_conn *c, struct certificate_peer *ret)
{
	(void)c, (void)ret;
	return false;
}

bool certificate_is_built(const char *what)
{
	cli_error("%s: this weir-server was built without TLS", what);
	return false;
}

bool certificate_load(struct options *o)
{
	(void)o;
	return true;
}

void certificate_free(struct options *o)
{
	(void)o;
}

void certificate_print(const struct options *o)
{
	(void)o;
}

void certificate_log_warnings(const struct options *o)
{
	(void)o;
}

void certificate_print_warnings(const struct options *o)
{
	(void)o;
}

struct certificate_ends certificate_ends(const struct options *o)
{
	(void)o;
	return (struct certificate_ends){ INT64_MAX, INT64_MAX };
}

void certificate_use(struct weir_service *service, const struct options *o)
{
	(void)service, (void)o;
}

bool certificate_replace(weir_server *s, const struct listeners *l,
			 const struct options *o, char *why, size_t cap)
{
	(void)s, (void)l, (void)o, (void)why, (void)cap;
	return true;
}

#endif
