/* SPDX-License-Identifier: MIT */
#include "certificate.h"

#include <stdio.h>
#include <string.h>

#include "../cli/cli.h"

#ifdef HAVE_OPENSSL

#include <weir-tls.h>

#include "../cli/stream.h"

#define DAY_S 86400

bool certificate_is_built(const char *what)
{
	(void)what;
	return true;
}

/* why begins with the path of the file. */
static bool is_about(const char *why, const char *path)
{
	size_t len = path ? strlen(path) : 0;

	return path && strncmp(why, path, len) == 0 && why[len] == ':';
}

static const char *option_of(const struct options *o, const char *why)
{
	if (is_about(why, o->tls_certificate))
		return "certificate";
	if (is_about(why, o->tls_key))
		return "key";
	return is_about(why, o->tls_client_ca) ? "client-ca" : "certificate";
}

bool certificate_load(struct options *o)
{
	char why[512] = "out of memory";
	int client =
		o->tls_client_ca ? WEIR_TLS_REQUIRE_CLIENT : WEIR_TLS_NO_CLIENT;
	int rc;

	if (!o->tls_certificate)
		return true;
	rc = weir_tls_new(&o->tls,
			  WEIR_TLS(.certificate = o->tls_certificate,
				   .key = o->tls_key, .ca = o->tls_client_ca,
				   .client = client),
			  why, sizeof(why));
	if (rc < 0)
		cli_error("--tls-%s: %s", option_of(o, why), why);
	return rc >= 0;
}

void certificate_free(struct options *o)
{
	weir_tls_free(o->tls);
	o->tls = NULL;
}

void certificate_print(const struct options *o)
{
	char names[1024];

	(void)weir_tls_names(o->tls, names, sizeof(names));
	options_print_text("tls-certificate", o->tls_certificate);
	stream_print("certificate of \"%s\", %lld days left\n", names,
		     (long long)(weir_tls_expires(o->tls) / DAY_S));
	if (o->tls_key)
		options_print_text("tls-key", o->tls_key);
	if (o->tls_client_ca)
		options_print_text("tls-client-ca", o->tls_client_ca);
}

int64_t certificate_expires(const struct options *o)
{
	return weir_tls_expires(o->tls);
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

int64_t certificate_expires(const struct options *o)
{
	(void)o;
	return INT64_MAX;
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
