/* SPDX-License-Identifier: MIT */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "tls_options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include <weir.h>

#include "../cli/cli.h"

#ifdef HAVE_OPENSSL

bool tls_options_take(struct tls_options *t, int key)
{
	switch (key) {
	case TLS_OPTION_TLS:
		t->is_wanted = true;
		t->name = optarg;
		return true;
	case TLS_OPTION_CA:
		t->ca = optarg;
		return true;
	case TLS_OPTION_INSECURE:
		t->is_insecure = true;
		return true;
	case TLS_OPTION_CERTIFICATE:
		t->certificate = optarg;
		return true;
	case TLS_OPTION_KEY:
		t->key = optarg;
		return true;
	default:
		return false;
	}
}

#else

bool tls_options_take(struct tls_options *t, int key)
{
	(void)t;
	if (key >= TLS_OPTION_TLS && key <= TLS_OPTION_KEY)
		cli_error("this %s was built without TLS", cli_program());
	return false;
}

#endif

/* The host of "host:port", "[v6%zone]:port" or ":port"; false: it has none. */
static bool host_of(const char *address, char buf[TLS_NAME_ROOM])
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
	snprintf(buf, TLS_NAME_ROOM, "%.*s",
		 len ? (int)len : (int)strlen(address), address);
	return true;
}

const char *tls_options_name(const struct tls_options *t, const char *address,
			     char buf[TLS_NAME_ROOM])
{
	if (t->name)
		return t->name;
	return host_of(address, buf) ? buf : NULL;
}

/* An option that is given without one that it needs. */
static const char *lonely_option(const struct tls_options *t,
				 const char **needs)
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

bool tls_options_check(const struct tls_options *t, const char *address)
{
	char buf[TLS_NAME_ROOM];
	const char *needs, *lonely = lonely_option(t, &needs);

	if (lonely)
		cli_error("%s needs %s", lonely, needs);
	else if (t->ca && t->is_insecure)
		cli_error("--ca contradicts --insecure; leave one out");
	else if (t->name && (t->name[0] == '\0' || t->name[0] == '.'))
		cli_error("--tls: '%s' is not the name of a host", t->name);
	else if (t->is_wanted && !t->is_insecure &&
		 !tls_options_name(t, address, buf))
		cli_error("--tls: '%s' has no host; give the name that the "
			  "certificate has, as in --tls=example.org",
			  address);
	else
		return true;
	return false;
}
