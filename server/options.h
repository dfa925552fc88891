/* SPDX-License-Identifier: MIT */
/*
 * The command line of weir-server, checked as far as possible without opening a
 * socket.  Its values, defaults included, go to the library unchanged, but for
 * the time-outs of some services, see listener_limits().  What --check prints
 * is what runs.
 */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include <weir.h>

#include "../cli/proxy_header.h"
#include "access.h"
#include "config_file.h"
#include "listeners.h"

#define OPTIONS_CERTIFICATES 16
#define OPTIONS_RULES	     64

/* As given; NULL and 0: not given. */
struct tls_options {
	const char *certificates[OPTIONS_CERTIFICATES]; /* files */
	const char *keys[OPTIONS_CERTIFICATES];		/* as many, or none */
	size_t certificate_count, key_count;
	const char *client_ca, *client, *client_names, *crl;
	const char *alpn, *min, *groups, *ciphers, *ciphersuites, *ticket_keys;
};

struct options {
	struct weir_config config;
	struct weir_service limits; /* deadlines and mode, for each listener */
	struct listeners listeners;
	const char *greeting;	    /* NULL: that of each service */
	const char *file;	    /* NULL: none, as for to and pid_file */
	const char *to;		    /* an address */
	enum proxy_header to_proxy; /* sent there first */
	const char *pid_file;
	const char *status;  /* an address; NULL: none */
	const char *agent;   /* as status */
	int agent_balancers; /* that share max_connections; 0: not given */
	const char *control;
	const char *rules[OPTIONS_RULES]; /* values of --access */
	size_t rule_count;
	size_t own_rules; /* of them, on the command line; 0: not known yet */
	struct tls_options tls_options;
	struct weir_tls *tls; /* made of them; NULL: no listener has TLS */
	const char *user;
	const char *root; /* of --chroot */
	char file_below[PATH_MAX];
	bool sandbox;
	int upgrade_ms; /* longest time until a successor is ready */
	const char *config_file;
	struct arguments arguments; /* with those of config_file */
	enum access_lines access;   /* of --access-log */
	bool access_is_json, has_access_format;
	bool keeps_listeners;
	bool check;
	/* Given on the command line, not a default. */
	bool has_idle, has_mode, has_overload, has_level, has_refusal;
	bool has_workers;
	bool has_max_connections;
};

/*
 * Returns -1 to go on, or the exit status.  Strings in *ret point into argv, or
 * are freed by options_fini().  One thread at a time.
 */
int options_parse(struct options *ret, int argc, char **argv);

/* The first file that a reload reads again; NULL: there is none. */
const char *options_reloaded_file(const struct options *o);

/* Print all values on standard output.  Returns the exit status. */
int options_print(const struct options *o);

/*
 * The limits of o, but some services have no idle timeout unless it was given,
 * or no read timeout.
 */
void listener_limits(struct weir_service *ret, const struct options *o,
		     const struct listener *l);

/* An option that differs and cannot change while the server runs; or NULL. */
const char *options_fixed_change(const struct options *a,
				 const struct options *b);

void options_fini(struct options *o);

#endif
