/* SPDX-License-Identifier: MIT */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "peer_tls.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "../cli/cli.h"

#ifdef HAVE_OPENSSL

#include <weir-tls.h>

#define NAME_ROOM 256

bool peer_tls_take(struct peer_tls *t, int key)
{
	switch (key) {
	case PEER_TLS:
		t->is_wanted = true;
		t->name = optarg;
		return true;
	case PEER_TLS_CA:
		t->ca = optarg;
		return true;
	case PEER_TLS_INSECURE:
		t->is_insecure = true;
		return true;
	case PEER_TLS_CERTIFICATE:
		t->certificate = optarg;
		return true;
	case PEER_TLS_KEY:
		t->key = optarg;
		return true;
	default:
		return false;
	}
}

/* The host of "host:port", "[v6%zone]:port" or ":port"; false: it has none. */
static bool host_of(const char *address, char buf[NAME_ROOM])
{
	const char *end = strrchr(address, ':');
	bool has_brackets = address[0] == '[';
	size_t len;

	if (weir_address_check(address, WEIR_TO_DIAL, NULL, 0) !=
	    WEIR_ADDRESS_TCP)
		return false;
	address += has_brackets;
	len = has_brackets ? strcspn(address, "%]") : (size_t)(end - address);
	if (len == 0)
		address = "localhost";
	else if (address[len - 1] == '.') /* the root is in no certificate */
		len--;
	snprintf(buf, NAME_ROOM, "%.*s", len ? (int)len : (int)strlen(address),
		 address);
	return true;
}

/* The name to verify; NULL: there is none. */
static const char *name_of(const struct peer_tls *t, const char *address,
			   char buf[NAME_ROOM])
{
	if (t->name)
		return t->name;
	return host_of(address, buf) ? buf : NULL;
}

/* An option that is given without one that it needs. */
static const char *lonely_option(const struct peer_tls *t, const char **needs)
{
	*needs = t->is_wanted ? "--tls-certificate" : "--tls";
	if (t->key && !(t->is_wanted && t->certificate))
		return "--tls-key";
	if (t->is_wanted)
		return NULL;
	return t->ca		? "--ca"
	       : t->is_insecure ? "--insecure"
	       : t->certificate ? "--tls-certificate"
				: NULL;
}

bool peer_tls_check(const struct peer_tls *t, const char *address)
{
	char buf[NAME_ROOM];
	const char *needs, *lonely = lonely_option(t, &needs);

	if (lonely)
		cli_error("%s needs %s", lonely, needs);
	else if (t->ca && t->is_insecure)
		cli_error("--ca contradicts --insecure; leave one out");
	else if (t->name && (t->name[0] == '\0' || t->name[0] == '.'))
		cli_error("--tls: '%s' is not a name of a host", t->name);
	else if (t->is_wanted && !t->is_insecure && !name_of(t, address, buf))
		cli_error("--tls: '%s' has no host; give the name that the "
			  "certificate has, as in --tls=example.org",
			  address);
	else
		return true;
	return false;
}

/* why begins with the path of the file. */
static bool is_about(const char *why, const char *path)
{
	size_t len = path ? strlen(path) : 0;

	return path && strncmp(why, path, len) == 0 && why[len] == ':';
}

static const char *option_of(const struct peer_tls *t, const char *why)
{
	if (is_about(why, t->certificate))
		return "--tls-certificate";
	if (is_about(why, t->key))
		return "--tls-key";
	return is_about(why, t->ca) ? "--ca" : "--tls";
}

int peer_tls_load(const struct peer_tls *t, struct weir_tls **ret)
{
	char why[512] = "out of memory";
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
	weir_tls_free(tls);
}

int peer_tls_start(const struct peer_tls *t, struct weir_tls *tls,
		   const char *address, weir_conn *c)
{
	char buf[NAME_ROOM];

	return weir_conn_start_tls(c, tls, name_of(t, address, buf));
}

bool peer_tls_failure(const struct peer_tls *t, const char *address,
		      const weir_conn *c, char *buf, size_t cap)
{
	struct weir_tls_info info;
	char as[NAME_ROOM + 8] = "", names[sizeof(info.names) + 32] = "";

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

bool peer_tls_take(struct peer_tls *t, int key)
{
	(void)t;
	if (key >= PEER_TLS && key <= PEER_TLS_KEY)
		cli_error("this %s was built without TLS", cli_program());
	return false;
}

bool peer_tls_check(const struct peer_tls *t, const char *address)
{
	(void)t, (void)address;
	return true;
}

int peer_tls_load(const struct peer_tls *t, struct weir_tls **ret)
{
	(void)t, (void)ret;
	return CLI_DONE;
}

void peer_tls_free(struct weir_tls *tls)
{
	(void)tls;
}

int peer_tls_start(const struct peer_tls *t, struct weir_tls *tls,
		   const char *address, weir_conn *c)
{
	(void)t, (void)tls, (void)address, (void)c;
	return 0;
}

bool peer_tls_failure(const struct peer_tls *t, const char *address,
		      const weir_conn *c, char *buf, size_t cap)
{
	(void)t, (void)address, (void)c, (void)buf, (void)cap;
	return false;
}

#endif
