/* SPDX-License-Identifier: MIT */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "peer_tls.h"

#include <stdio.h>
#include <string.h>

#include "../cli/cli.h"

#ifdef HAVE_OPENSSL

#include <weir-tls.h>

/* An error in a file begins with its path. */
static bool is_about(const char *why, const char *path)
{
	size_t len = path ? strlen(path) : 0;

	return path && strncmp(why, path, len) == 0 && why[len] == ':';
}

static const char *option_of(const struct tls_options *t, const char *why)
{
	if (is_about(why, t->certificate))
		return "--tls-certificate";
	if (is_about(why, t->key))
		return "--tls-key";
	return is_about(why, t->ca) ? "--ca" : "--tls";
}

int peer_tls_load(const struct tls_options *t, struct weir_tls **ret)
{
	char why[CLI_ERROR_MOST] = "out of memory";
	int rc = 0;

	if (t->is_wanted)
		rc = weir_tls_new_client(
			ret,
			WEIR_TLS(.certificate = t->certificate, .key = t->key,
				 .ca = t->ca,
				 .flags = t->is_insecure ? WEIR_TLS_INSECURE
							 : 0),
			why, sizeof(why));
	if (rc < 0)
		cli_error("%s: %s", option_of(t, why), why);
	return rc < 0 ? CLI_USAGE : CLI_DONE;
}

void peer_tls_free(struct weir_tls *tls)
{
	weir_tls_unref(tls);
}

int peer_tls_start(const struct tls_options *t, struct weir_tls *tls,
		   const char *address, weir_conn *c)
{
	char buf[TLS_NAME_ROOM];

	return weir_conn_start_tls(c, tls, tls_options_name(t, address, buf));
}

bool peer_tls_failure(const struct tls_options *t, const char *address,
		      const weir_conn *c, char *buf, size_t cap)
{
	struct weir_tls_info info;
	char as[TLS_NAME_ROOM + 8] = "", names[sizeof(info.names) + 32] = "";

	if (weir_conn_tls(c, &info, sizeof(info)) < 0 || info.why[0] == '\0')
		return false;
	if (t->name)
		snprintf(as, sizeof(as), " as \"%s\"", t->name);
	if (info.version[0] == '\0' && info.names[0] != '\0')
		snprintf(names, sizeof(names),
			 "; its certificate is for \"%s\"", info.names);
	snprintf(buf, cap, "TLS with %s%s failed: %s%s", address, as, info.why,
		 names);
	return true;
}

#else

int peer_tls_load(const struct tls_options *t, struct weir_tls **ret)
{
	(void)t, (void)ret;
	return CLI_DONE;
}

void peer_tls_free(struct weir_tls *tls)
{
	(void)tls;
}

int peer_tls_start(const struct tls_options *t, struct weir_tls *tls,
		   const char *address, weir_conn *c)
{
	(void)t, (void)tls, (void)address, (void)c;
	return 0;
}

bool peer_tls_failure(const struct tls_options *t, const char *address,
		      const weir_conn *c, char *buf, size_t cap)
{
	(void)t, (void)address, (void)c, (void)buf, (void)cap;
	return false;
}

#endif
