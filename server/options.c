/* SPDX-License-Identifier: MIT */
/*
 * Each error gives one line that names the option or operand and says what
 * would be right.
 */
#include "options.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../cli/cli.h"
#include "../cli/complete.h"
#include "../cli/stream.h"
#include "../cli/text.h"
#include "certificate.h"
#include "ctl.h"
#include "journal.h"
#include "rules.h"
#include "services.h"

#define BALANCERS_MOST 1000

/* weir.h allows up to 1 TiB. */
#define MIB_SHIFT	20
#define UNSENT_MIB_MOST (SIZE_MAX >> MIB_SHIFT > 1 << 20 ? 1 << 20 : 4095)

enum {
	OPT_QUEUE_AGE = 256,
	OPT_REFUSAL,
	OPT_READ_TIMEOUT,
	OPT_WRITE_TIMEOUT,
	OPT_LIFETIME,
	OPT_LAME_DUCK,
	OPT_CONFIG,
	OPT_CONTROL,
	OPT_UPGRADE,
	OPT_MODE,
	OPT_STATUS,
	OPT_KEEP,
	OPT_AGENT,
	OPT_AGENT_BALANCERS,
	OPT_ACCESS_LOG,
	OPT_TO,
	OPT_TO_PROXY,
	OPT_ACCESS_LOG_FORMAT,
	OPT_PROXY_TRUST,
	OPT_TLS_CERTIFICATE,
	OPT_TLS_KEY,
	OPT_TLS_CLIENT_CA,
	OPT_TLS_CLIENT,
	OPT_TLS_CLIENT_NAMES,
	OPT_TLS_CRL,
	OPT_TLS_ALPN,
	OPT_TLS_MIN,
	OPT_TLS_GROUPS,
	OPT_TLS_CIPHERS,
	OPT_TLS_CIPHERSUITES,
	OPT_TLS_TICKET_KEYS,
	OPT_RULES,
	OPT_PER_SOURCE,
	OPT_EARLY_DROP,
	OPT_EVICT,
	OPT_UNSENT,
	OPT_USER,
	OPT_CHROOT,
	OPT_SANDBOX,
};

static const struct cli_option options_table[] = {
	{ "workers", 'w', "N",
	  "threads that run callbacks\n(default: one per processor, as far as\n"
	  "affinity and CPU quota allow)" },
	{ "queue", 'q', "N", "connections that may wait for a worker" },
	{ "queue-age", OPT_QUEUE_AGE, "DURATION", "longest wait in the queue" },
	{ "max-connections", 'm', "N", "connections open at once" },
	{ "max-unsent", OPT_UNSENT, "MIB",
	  "output of all connections that clients\n"
	  "have not taken yet (default 1024)" },
	{ "overload", 'o', "POLICY",
	  "when the queue or the server is full:\n"
	  "hold (new clients wait in the kernel;\n"
	  "default) or refuse" },
	{ "refusal", OPT_REFUSAL, "TEXT",
	  "text sent to refused clients; implies\n"
	  "--overload refuse (default \"busy, try\n"
	  "later\" and a newline)" },
	{ "lame-duck", OPT_LAME_DUCK, "DURATION",
	  "go on accepting for this long after a stop\n"
	  "was requested" },
	{ "drain-timeout", 't', "DURATION", "longest time a stop may take" },
	{ "idle-timeout", 'i', "DURATION",
	  "close after this long without a message\n"
	  "(default 10m; chat, room, relay and\n"
	  "chargen: never)" },
	{ "read-timeout", OPT_READ_TIMEOUT, "DURATION",
	  "longest time for one message" },
	{ "write-timeout", OPT_WRITE_TIMEOUT, "DURATION",
	  "close if the client takes no output for\n"
	  "this long" },
	{ "lifetime", OPT_LIFETIME, "DURATION",
	  "longest life of a connection" },
	{ "greeting", 'g', "TEXT",
	  "text that services send first, instead of\n"
	  "their own greeting; may be empty" },
	{ "file", 'f', "PATH", "the file that the file service sends" },
	{ "to", OPT_TO, "ADDRESS", "where the relay service connects to" },
	{ "to-proxy", OPT_TO_PROXY, "v1|v2",
	  "tell it the client's address by a header\n"
	  "of the PROXY protocol" },
	{ "mode", OPT_MODE, "MODE",
	  "mode of Unix sockets, octal (default 0600)" },
	{ "proxy-trust", OPT_PROXY_TRUST, "NETWORKS",
	  "networks of the proxies of +proxy, such as\n"
	  "10.0.0.0/8,::1" },
	{ "access", OPT_RULES, "RULES",
	  "rules for clients, such as\n"
	  "'allow 10.0.0.0/8; limit 20', or the path\n"
	  "of a file of rules; a reload reads it again;\n"
	  "those of several add up, in order" },
	{ "max-per-source", OPT_PER_SOURCE, "N",
	  "connections that one client address may\n"
	  "have (default a quarter of\n"
	  "--max-connections, at least 16)" },
	{ "early-drop", OPT_EARLY_DROP, "START:PERCENT:FULL",
	  "when START connections have sent nothing\n"
	  "yet, refuse PERCENT of new clients, rising\n"
	  "to all of them at FULL connections" },
	{ "evict-idle", OPT_EVICT, "DURATION",
	  "when the server is full, end the connection\n"
	  "that has been idle longest, if for at least\n"
	  "this long" },
	{ "tls-certificate", OPT_TLS_CERTIFICATE, "FILE",
	  "of listeners with +tls: the certificate and\n"
	  "those up to its authority, in PEM; a reload\n"
	  "reads it again; of several, the client's SNI\n"
	  "chooses one, or it gets the first" },
	{ "tls-key", OPT_TLS_KEY, "FILE",
	  "its key (default: in the same file); as\n"
	  "many as certificates" },
	{ "tls-client-ca", OPT_TLS_CLIENT_CA, "FILE",
	  "serve only clients with a certificate that\n"
	  "one of these authorities has signed" },
	{ "tls-client", OPT_TLS_CLIENT, "MODE",
	  "require that certificate (default), or ask:\n"
	  "clients without one are served, too" },
	{ "tls-client-names", OPT_TLS_CLIENT_NAMES, "HOSTS",
	  "names, one of which that certificate must\n"
	  "have, such as a.example,b.example" },
	{ "tls-crl", OPT_TLS_CRL, "FILE",
	  "list of revoked certificates of clients, in\n"
	  "PEM; a reload reads it again" },
	{ "tls-alpn", OPT_TLS_ALPN, "LIST",
	  "protocols to agree on, best first, such as\n"
	  "h2,http/1.1" },
	{ "tls-min", OPT_TLS_MIN, "VERSION",
	  "oldest version of TLS: 1.2 (default) or 1.3" },
	{ "tls-groups", OPT_TLS_GROUPS, "LIST",
	  "groups of the key exchange, best first\n"
	  "(default X25519:P-256)" },
	{ "tls-ciphers", OPT_TLS_CIPHERS, "LIST",
	  "ciphers of TLS 1.2, best first (default\n"
	  "ECDHE+AESGCM:ECDHE+CHACHA20)" },
	{ "tls-ciphersuites", OPT_TLS_CIPHERSUITES, "LIST",
	  "ciphers of TLS 1.3, best first" },
	{ "tls-ticket-keys", OPT_TLS_TICKET_KEYS, "FILE",
	  "keys of resumption tickets, for several\n"
	  "servers: 1 to 3 of 80 bytes, the first one\n"
	  "makes tickets" },
	{ "log-level", 'l', "LEVEL",
	  "error, warning, info or debug (default\n"
	  "info; warning if a chat uses the terminal)" },
	{ "status", OPT_STATUS, "ADDRESS",
	  "serve metrics, health checks and a status\n"
	  "page by HTTP at ADDRESS" },
	{ "agent", OPT_AGENT, "ADDRESS",
	  "answer agent checks of HAProxy at ADDRESS" },
	{ "agent-balancers", OPT_AGENT_BALANCERS, "N",
	  "each of N balancers may open a share of\n"
	  "--max-connections" },
	{ "access-log", OPT_ACCESS_LOG, "LINES",
	  "for each connection one line on standard\n"
	  "error when it has ended: off, errors or all\n"
	  "(default: two log lines of level info)" },
	{ "access-log-format", OPT_ACCESS_LOG_FORMAT, "FORMAT",
	  "logfmt (default) or json" },
	{ "config", OPT_CONFIG, "PATH",
	  "options from a file: name = value lines;\n"
	  "the command line wins; SIGHUP reloads it" },
	{ "control", OPT_CONTROL, "PATH",
	  "answer requests on this Unix socket" },
	{ "pid-file", 'p', "PATH", "write the process id to PATH" },
	{ "upgrade-timeout", OPT_UPGRADE, "DURATION",
	  "longest time until a successor is ready\n(default 30s)" },
	{ "keep-listeners", OPT_KEEP, NULL,
	  "let systemd keep the sockets for a restart" },
	{ "user", OPT_USER, "USER[:GROUP]",
	  "become this user once all sockets are open" },
	{ "chroot", OPT_CHROOT, "FOLDER",
	  "before that, make FOLDER the root directory" },
	{ "sandbox", OPT_SANDBOX, NULL,
	  "after that, use only the files of the\n"
	  "options, and open no TCP connections\n"
	  "(Landlock)" },
	{ "check", 'n', NULL, "print the resulting settings and exit" },
	{ "help", 'h', NULL, "print this help and exit" },
	{ "version", 'V', NULL, "print the version and exit" },
	{ .name = NULL },
};

/* Options that the library has too: it knows their ranges and defaults. */
static const struct {
	int key;
	const char *field;
} fields[] = {
	{ 'w', "workers" },
	{ 'q', "queue_length" },
	{ OPT_QUEUE_AGE, "queue_age_ms" },
	{ 'm', "max_connections" },
	{ OPT_LAME_DUCK, "lame_duck_ms" },
	{ 't', "drain_ms" },
	{ OPT_READ_TIMEOUT, "read_ms" },
	{ OPT_WRITE_TIMEOUT, "write_ms" },
	{ OPT_LIFETIME, "lifetime_ms" },
	{ OPT_PER_SOURCE, "max_per_source" },
	{ OPT_EARLY_DROP, "early_full" },
	{ OPT_EVICT, "evict_ms" },
};

static const char *const lines[] = {
	[ACCESS_OFF] = "off",
	[ACCESS_ERRORS] = "errors",
	[ACCESS_ALL] = "all",
};

static const struct weir_option *library_option(int key)
{
	const struct weir_option *o;
	const char *field = "";

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (fields[i].key == key)
			field = fields[i].field;
	for (size_t i = 0; (o = weir_config_option(i)) != NULL; i++)
		if (strcmp(o->name, field) == 0)
			return o;
	for (size_t i = 0; (o = weir_service_option(i)) != NULL; i++)
		if (strcmp(o->name, field) == 0)
			return o;
	return NULL;
}

/* The headings of --help, each with the last option below it. */
static const struct {
	int last;
	const char *text;
} headings[] = {
	{ OPT_LIFETIME, "Limits" },
	{ OPT_MODE, "Services and listeners" },
	{ OPT_EVICT, "Access" },
	{ OPT_TLS_TICKET_KEYS, "TLS" },
	{ OPT_ACCESS_LOG_FORMAT, "Log and monitoring" },
	{ OPT_KEEP, "Operation" },
	{ OPT_SANDBOX, "Privileges" },
	{ 'V', "Information" },
};

static void print_option(const struct cli_option *option)
{
	const struct weir_option *o = library_option(option->key);
	struct cli_option shown[2] = { *option, { .name = NULL } };
	char help[128], value[CLI_DURATION_TEXT];

	if (o && o->preset) { /* else the text says which */
		if (o->unit == WEIR_UNIT_TIME)
			cli_duration_text((int)o->preset, value);
		else
			snprintf(value, sizeof(value), "%d", (int)o->preset);
		snprintf(help, sizeof(help), "%s\n(default %s)", option->help,
			 value);
		shown[0].help = help;
	}
	cli_print_options(shown, stream_out());
}

static void print_options(void)
{
	const struct cli_option *option = options_table;

	for (size_t i = 0; i < sizeof(headings) / sizeof(headings[0]); i++) {
		stream_print("\n%s:\n", headings[i].text);
		do
			print_option(option);
		while (option++->key != headings[i].last);
	}
	assert(!option->name);
}

static int print_server_help(void)
{
	const struct service *s;

	stream_print("Usage: weir-server [OPTION]... [SERVICE@ADDRESS]...\n"
		     "Serve TCP clients on a fixed pool of threads.\n\n"
		     "Services:\n");
	for (size_t i = 0; (s = service_at(i)) != NULL; i++)
		stream_print("  %-8s %s\n", s->name, s->help);
	stream_print("\nAddresses: host:port  :port  [v6]:port  unix:/path  "
		     "unix:@name  fd:N  fd:NAME\n"
		     "Port 0 picks a free port.  Default: %s\n"
		     "With SERVICE+proxy@ADDRESS a proxy announces its "
		     "clients' addresses (PROXY\nprotocol, version 1 or 2).  "
		     "With SERVICE+tls@ADDRESS clients speak TLS.\n",
		     LISTENERS_DEFAULT);
	print_options();
	ctl_print_options();
	stream_print(
		"\nA DURATION is a number with a unit, such as 500ms, 10s, 2m "
		"or 1h, or never.\n"
		"SIGTERM or SIGINT stops gracefully; a second one stops at "
		"once.\n"
		"Exit status: 0 stopped, 3 stopped but connections were cut, "
		"1 failed,\n2 wrong usage.\n"
		"\nExamples:\n"
		"  weir-server\n"
		"  weir-server echo@:7007 room@:4000\n"
		"  weir-server relay@:8080 --to 127.0.0.1:1234\n"
		"  weir-server echo@:7007 --max-connections 1000 "
		"--overload refuse\n");
	return cli_flush();
}

static int print_version(void)
{
	stream_print("weir-server %s\n", weir_version());
	return cli_flush();
}

static bool parse_opt_number(const char *option, int key, int *ret)
{
	const struct weir_option *o = library_option(key);

	assert(o);
	if (cli_parse_number(optarg, (int)o->min, (int)o->max, ret))
		return true;
	cli_error("--%s: '%s' is not a whole number from %d to %d", option,
		  optarg, (int)o->min, (int)o->max);
	return false;
}

static bool parse_opt_duration(const char *option, int *ret)
{
	if (cli_parse_duration(optarg, ret))
		return true;
	cli_error("--%s: '%s' is not a duration like 500ms, 10s, 2m, 1h "
		  "(up to 596h) or never",
		  option, optarg);
	return false;
}

static bool parse_opt_mode(struct options *o)
{
	size_t len = strlen(optarg);
	long mode = strtol(optarg, NULL, 8);

	if (len < 1 || len > 4 || strspn(optarg, "01234567") != len ||
	    mode < 1 || mode > 0777) {
		cli_error("--mode: '%s' is not an octal mode from 0001 to 0777",
			  optarg);
		return false;
	}
	o->limits.mode = (int)mode;
	o->has_mode = true;
	return true;
}

static bool parse_opt_access_log(struct options *o)
{
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		if (!lines[i] || strcmp(optarg, lines[i]) != 0)
			continue;
		o->access = (enum access_lines)i;
		return true;
	}
	cli_error("--access-log: '%s' is not off, errors or all", optarg);
	return false;
}

static bool parse_opt_access_log_format(struct options *o)
{
	o->has_access_format = true;
	o->access_is_json = strcmp(optarg, "json") == 0;
	if (o->access_is_json || strcmp(optarg, "logfmt") == 0)
		return true;
	cli_error("--access-log-format: '%s' is neither logfmt nor json",
		  optarg);
	return false;
}

/* Those of the command line come last, and replace those of the file. */
static bool parse_opt_rules(struct options *o)
{
	if (o->own_rules > 0 && o->rule_count == o->own_rules) {
		o->rule_count--;
		memmove(o->rules, o->rules + 1,
			o->rule_count * sizeof(*o->rules));
	}
	if (o->rule_count == OPTIONS_RULES) {
		cli_error("--access: '%s' is one too many, at most %d; put the "
			  "rules into a file",
			  optarg, OPTIONS_RULES);
		return false;
	}
	o->rules[o->rule_count++] = optarg;
	return true;
}

static bool parse_opt_tls(const char *name, const char **ret)
{
	char option[32];

	snprintf(option, sizeof(option), "--tls-%s", name);
	*ret = optarg;
	return certificate_is_built(option);
}

static bool parse_opt_tls_file(const char *name, const char **files,
			       size_t *count)
{
	if (*count == OPTIONS_CERTIFICATES) {
		cli_error("--tls-%s: '%s' is one too many, at most %d", name,
			  optarg, OPTIONS_CERTIFICATES);
		return false;
	}
	return parse_opt_tls(name, &files[(*count)++]);
}

static bool parse_opt_early_drop(struct options *o)
{
	const struct weir_option *drop = library_option(OPT_EARLY_DROP);
	int start, percent, full, len = 0;

	assert(drop);
	if (sscanf(optarg, "%8d:%3d:%8d%n", &start, &percent, &full, &len) ==
		    3 &&
	    optarg[len] == '\0' && start >= 1 && percent >= 1 &&
	    percent <= 100 && full > start && full <= drop->max) {
		o->config.early_start = start;
		o->config.early_percent = percent;
		o->config.early_full = full;
		return true;
	}
	cli_error("--early-drop: '%s' is not like 100:30:1000, up to %lld",
		  optarg, (long long)drop->max);
	return false;
}

static bool parse_opt_max_unsent(struct options *o)
{
	int mib;

	if (cli_parse_number(optarg, 1, UNSENT_MIB_MOST, &mib)) {
		o->config.outbox_total = (size_t)mib << MIB_SHIFT;
		return true;
	}
	cli_error("--max-unsent: '%s' is not a whole number from 1 to %d",
		  optarg, UNSENT_MIB_MOST);
	return false;
}

static bool parse_opt_to(struct options *o)
{
	char wrong[128];
	int kind =
		weir_address_check(optarg, WEIR_TO_DIAL, wrong, sizeof(wrong));

	o->to = optarg;
	if (kind == WEIR_ADDRESS_FD)
		cli_error("--to: '%s' is one connection; give an address",
			  optarg);
	else if (kind < 0)
		cli_error("--to: bad address '%s': %s", optarg, wrong);
	return kind >= 0 && kind != WEIR_ADDRESS_FD;
}

static bool parse_opt_status(struct options *o)
{
#ifdef HAVE_STATUS
	struct listener l;

	o->status = optarg;
	return listeners_parse_option(&l, "--status", optarg);
#else
	(void)o;
	cli_error("--status: this weir-server was built without it");
	return false;
#endif
}

static bool parse_opt_agent(struct options *o)
{
	struct listener l;

	o->agent = optarg;
	return listeners_parse_option(&l, "--agent", optarg);
}

static bool parse_opt_balancers(struct options *o)
{
	if (cli_parse_number(optarg, 1, BALANCERS_MOST, &o->agent_balancers))
		return true;
	cli_error("--agent-balancers: '%s' is not a whole number from 1 to %d",
		  optarg, BALANCERS_MOST);
	return false;
}

static bool parse_opt_overload(struct options *o)
{
	if (strcmp(optarg, "hold") == 0) {
		o->config.overload = WEIR_HOLD;
	} else if (strcmp(optarg, "refuse") == 0) {
		o->config.overload = WEIR_REFUSE;
	} else {
		cli_error("--overload: '%s' is neither hold nor refuse",
			  optarg);
		return false;
	}
	o->has_overload = true;
	return true;
}

static bool parse_opt_control(const struct options *o)
{
	char where[256], wrong[128];

	if (o->control[0] == '@') {
		cli_error("--control: '%s' has no file and so no mode; use a "
			  "path",
			  o->control);
		return false;
	}
	if ((size_t)snprintf(where, sizeof(where), "unix:%s", o->control) <
		    sizeof(where) &&
	    weir_address_check(where, WEIR_TO_LISTEN, wrong, sizeof(wrong)) >=
		    0)
		return true;
	cli_error("--control: '%s' cannot be the path of a Unix socket",
		  o->control);
	return false;
}

static int no_handler(weir_conn *c, void *arg)
{
	(void)c, (void)arg;
	return WEIR_CLOSE;
}

static bool parse_opt_proxy_trust(struct options *o)
{
	char why[256];

	o->limits.proxy_trust = optarg;
	if (weir_service_check(WEIR_SERVICE(.readable = no_handler,
					    .proxy = WEIR_PROXY_REQUIRED,
					    .proxy_trust = optarg),
			       why, sizeof(why)) == 0)
		return true;
	cli_error("--proxy-trust: %s", why);
	return false;
}

static bool parse_opt_level(struct options *o)
{
	int level = journal_level_of(optarg);

	if (level >= 0) {
		o->config.log_level = level;
		o->has_level = true;
		return true;
	}
	cli_error("--log-level: '%s' is not error, warning, info or debug",
		  optarg);
	return false;
}

static bool apply_limit(struct options *o, int key)
{
	switch (key) {
	case 'w':
		o->has_workers = true;
		return parse_opt_number("workers", key, &o->config.workers);
	case 'q':
		return parse_opt_number("queue", key, &o->config.queue_length);
	case 'm':
		o->has_max_connections = true;
		return parse_opt_number("max-connections", key,
					&o->config.max_connections);
	case 't':
		return parse_opt_duration("drain-timeout", &o->config.drain_ms);
	case 'i':
		if (!parse_opt_duration("idle-timeout", &o->limits.idle_ms))
			return false;
		o->limits.first_byte_ms = o->limits.idle_ms;
		o->has_idle = true;
		return true;
	case OPT_LAME_DUCK:
		return parse_opt_duration("lame-duck", &o->config.lame_duck_ms);
	case OPT_UPGRADE:
		return parse_opt_duration("upgrade-timeout", &o->upgrade_ms);
	case OPT_QUEUE_AGE:
		return parse_opt_duration("queue-age", &o->config.queue_age_ms);
	case OPT_READ_TIMEOUT:
		return parse_opt_duration("read-timeout", &o->limits.read_ms);
	case OPT_WRITE_TIMEOUT:
		return parse_opt_duration("write-timeout", &o->limits.write_ms);
	case OPT_LIFETIME:
		return parse_opt_duration("lifetime", &o->limits.lifetime_ms);
	case OPT_PER_SOURCE:
		return parse_opt_number("max-per-source", key,
					&o->config.max_per_source);
	case OPT_UNSENT:
		return parse_opt_max_unsent(o);
	case OPT_EARLY_DROP:
		return parse_opt_early_drop(o);
	case OPT_EVICT:
		return parse_opt_duration("evict-idle", &o->config.evict_ms);
	default:
		return false;
	}
}

static bool apply_option(struct options *o, int key)
{
	switch (key) {
	case 'o':
		return parse_opt_overload(o);
	case OPT_REFUSAL:
		o->config.refusal = optarg;
		o->has_refusal = true;
		return true;
	case 'g':
		o->greeting = optarg;
		return true;
	case 'f':
		o->file = optarg;
		return true;
	case OPT_TO:
		return parse_opt_to(o);
	case OPT_TO_PROXY:
		return proxy_header_take("to-proxy", &o->to_proxy);
	case 'p':
		o->pid_file = optarg;
		return true;
	case OPT_CONFIG:
		o->config_file = optarg;
		return true;
	case OPT_CONTROL:
		o->control = optarg;
		return parse_opt_control(o);
	case OPT_MODE:
		return parse_opt_mode(o);
	case OPT_STATUS:
		return parse_opt_status(o);
	case OPT_AGENT:
		return parse_opt_agent(o);
	case OPT_AGENT_BALANCERS:
		return parse_opt_balancers(o);
	case OPT_ACCESS_LOG:
		return parse_opt_access_log(o);
	case OPT_ACCESS_LOG_FORMAT:
		return parse_opt_access_log_format(o);
	case OPT_PROXY_TRUST:
		return parse_opt_proxy_trust(o);
	case OPT_TLS_CERTIFICATE:
		return parse_opt_tls_file("certificate",
					  o->tls_options.certificates,
					  &o->tls_options.certificate_count);
	case OPT_TLS_KEY:
		return parse_opt_tls_file("key", o->tls_options.keys,
					  &o->tls_options.key_count);
	case OPT_TLS_CLIENT_CA:
		return parse_opt_tls("client-ca", &o->tls_options.client_ca);
	case OPT_TLS_CLIENT:
		return parse_opt_tls("client", &o->tls_options.client);
	case OPT_TLS_CLIENT_NAMES:
		return parse_opt_tls("client-names",
				     &o->tls_options.client_names);
	case OPT_TLS_CRL:
		return parse_opt_tls("crl", &o->tls_options.crl);
	case OPT_TLS_ALPN:
		return parse_opt_tls("alpn", &o->tls_options.alpn);
	case OPT_TLS_MIN:
		return parse_opt_tls("min", &o->tls_options.min);
	case OPT_TLS_GROUPS:
		return parse_opt_tls("groups", &o->tls_options.groups);
	case OPT_TLS_CIPHERS:
		return parse_opt_tls("ciphers", &o->tls_options.ciphers);
	case OPT_TLS_CIPHERSUITES:
		return parse_opt_tls("ciphersuites",
				     &o->tls_options.ciphersuites);
	case OPT_TLS_TICKET_KEYS:
		return parse_opt_tls("ticket-keys",
				     &o->tls_options.ticket_keys);
	case OPT_RULES:
		return parse_opt_rules(o);
	case OPT_USER:
		o->user = optarg;
		return true;
	case OPT_CHROOT:
		o->root = optarg;
		return true;
	case OPT_SANDBOX:
		o->sandbox = true;
		return true;
	case 'l':
		return parse_opt_level(o);
	case OPT_KEEP:
		o->keeps_listeners = true;
		return true;
	case 'n':
		o->check = true;
		return true;
	default:
		return apply_limit(o, key);
	}
}

static bool check_file_option(const char *path)
{
	/* O_NONBLOCK: a pipe must not make us wait before we can say no. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	bool is_file;

	if (fd < 0) {
		cli_error("--file: cannot read '%s': %s", path,
			  strerror(errno));
		return false;
	}
	is_file = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	close(fd);
	if (!is_file)
		cli_error("--file: '%s' is not a regular file", path);
	return is_file;
}

static bool check_uses(const struct options *o)
{
	if (o->file && !check_file_option(o->file))
		return false;
	if (o->file && !listeners_use(&o->listeners, SERVICE_FILE)) {
		cli_error("--file: no service here uses it");
		return false;
	}
	if (!o->file && listeners_use(&o->listeners, SERVICE_FILE)) {
		cli_error("the service 'file' needs --file PATH, the file to "
			  "send");
		return false;
	}
	if (o->to && !listeners_use(&o->listeners, SERVICE_UPSTREAM)) {
		cli_error("--to: no service here uses it");
		return false;
	}
	if (o->to_proxy && !o->to) {
		cli_error("--to-proxy needs --to, where the header is sent to");
		return false;
	}
	if (!o->to && listeners_use(&o->listeners, SERVICE_UPSTREAM)) {
		cli_error("the service 'relay' needs --to ADDRESS, where it "
			  "connects to");
		return false;
	}
	if (o->greeting && !listeners_use(&o->listeners, SERVICE_GREETING)) {
		cli_error("--greeting: no service here uses it");
		return false;
	}
	return true;
}

static bool check_mode(const struct listeners *l)
{
	if (!listeners_have_unix(l)) {
		cli_error("--mode: no listener here is a Unix socket");
		return false;
	}
	for (size_t i = 0; i < l->count; i++) {
		if (!listener_is_abstract(&l->all[i]))
			continue;
		cli_error("--mode: '%s' has no file and so no mode: all "
			  "programs in the same network namespace may "
			  "connect; use unix:/path, or leave --mode out",
			  l->all[i].spec);
		return false;
	}
	return true;
}

/* On a Unix socket its mode decides who may connect. */
static bool check_proxy(const struct options *o)
{
	const struct listeners *l = &o->listeners;

	if (o->limits.proxy_trust && !listeners_have_proxy(l)) {
		cli_error("--proxy-trust: no listener here has +proxy");
		return false;
	}
	for (size_t i = 0; !o->limits.proxy_trust && i < l->count; i++) {
		if (!l->all[i].has_proxy || l->all[i].kind == WEIR_ADDRESS_UNIX)
			continue;
		cli_error("'%s' needs --proxy-trust NETWORKS, where its "
			  "proxies connect from",
			  l->all[i].spec);
		return false;
	}
	return true;
}

static bool check_tls(const struct options *o)
{
	const struct listener *first = listeners_tls(&o->listeners);
	const struct tls_options *t = &o->tls_options;
	const char *given = t->certificate_count ? "certificate"
			    : t->key_count	 ? "key"
			    : t->client_ca	 ? "client-ca"
			    : t->client		 ? "client"
			    : t->client_names	 ? "client-names"
			    : t->crl		 ? "crl"
			    : t->alpn		 ? "alpn"
			    : t->min		 ? "min"
			    : t->groups		 ? "groups"
			    : t->ciphers	 ? "ciphers"
			    : t->ciphersuites	 ? "ciphersuites"
			    : t->ticket_keys	 ? "ticket-keys"
						 : NULL;

	if (given && !first)
		cli_error("--tls-%s: no listener here has +tls", given);
	else if (first && !certificate_is_built(first->spec))
		return false;
	else if (first && !t->certificate_count)
		cli_error("'%s' needs --tls-certificate FILE", first->spec);
	else if (t->key_count && t->key_count != t->certificate_count)
		cli_error("--tls-key: %zu keys for %zu certificates; give one "
			  "for each, or none",
			  t->key_count, t->certificate_count);
	else if ((t->client || t->client_names || t->crl) && !t->client_ca)
		cli_error("--tls-%s needs --tls-client-ca",
			  t->client	    ? "client"
			  : t->client_names ? "client-names"
					    : "crl");
	else if (t->client && strcmp(t->client, "ask") != 0 &&
		 strcmp(t->client, "require") != 0)
		cli_error("--tls-client: '%s' is neither ask nor require",
			  t->client);
	else if (t->min && strcmp(t->min, "1.2") != 0 &&
		 strcmp(t->min, "1.3") != 0)
		cli_error("--tls-min: '%s' is neither 1.2 nor 1.3", t->min);
	else
		return true;
	return false;
}

const char *options_reloaded_file(const struct options *o)
{
	const char *rules = NULL;

	for (size_t i = 0; !rules && i < o->rule_count; i++)
		rules = rules_path(o->rules[i]);
	return o->config_file ? o->config_file
	       : rules	      ? rules
			      : o->tls_options.certificates[0];
}

/* Two listeners on one descriptor would share its clients. */
static bool check_addresses(const struct options *o)
{
	const char *const options[][2] = { { "--status", o->status },
					   { "--agent", o->agent } };
	struct listeners all = { 0 };
	struct listener l;
	bool is_good = true;

	for (size_t i = 0; is_good && i < o->listeners.count; i++)
		is_good = listeners_append(&all, &o->listeners.all[i]);
	for (size_t i = 0; is_good && i < 2; i++)
		if (options[i][1])
			is_good = listeners_parse_option(&l, options[i][0],
							 options[i][1]) &&
				  listeners_append(&all, &l);
	listeners_fini(&all);
	return is_good;
}

static bool check_combination(struct options *o)
{
	if (!check_uses(o) || !check_addresses(o))
		return false;
	if (o->has_mode && !check_mode(&o->listeners))
		return false;
	if (o->sandbox && listeners_use(&o->listeners, SERVICE_UPSTREAM)) {
		cli_error("--sandbox: it forbids the connections that the "
			  "service 'relay' makes");
		return false;
	}
	if (o->agent_balancers > 0 && !o->agent) {
		cli_error("--agent-balancers: there is no --agent to tell "
			  "them");
		return false;
	}
	if (o->agent_balancers > o->config.max_connections) {
		cli_error("--agent-balancers: there are more balancers than "
			  "--max-connections");
		return false;
	}
	if (o->has_access_format && o->access == ACCESS_JOURNAL) {
		cli_error("--access-log-format: there is no --access-log to "
			  "write in it");
		return false;
	}
	if (!check_proxy(o) || !check_tls(o))
		return false;
	if (o->has_refusal && o->has_overload &&
	    o->config.overload == WEIR_HOLD) {
		cli_error("--refusal contradicts --overload hold; use "
			  "--overload refuse, or leave one out");
		return false;
	}
	if (o->has_refusal)
		o->config.overload = WEIR_REFUSE;
	return true;
}

/* On the terminal of a chat, log lines would disturb the conversation. */
static void choose_log_level(struct options *o)
{
	if (!o->has_level && listeners_use(&o->listeners, SERVICE_TERMINAL) &&
	    isatty(STDIN_FILENO) && isatty(STDERR_FILENO))
		o->config.log_level = WEIR_LOG_WARNING;
}

/* The library's, but a longer idle timeout: people type. */
static void options_set_defaults(struct options *o)
{
	*o = (struct options){ 0 };
	weir_config_init(&o->config, sizeof(o->config));
	weir_service_init(&o->limits, sizeof(o->limits));
	o->config.log = journal_sink;
	o->upgrade_ms = 30 * 1000;
	o->limits.first_byte_ms = o->limits.idle_ms = 600 * 1000;
}

/* Returns -1, or as options_parse(). */
static int parse_options(struct options *ret, size_t own_rules, int argc,
			 char **argv)
{
	int key;

	options_set_defaults(ret);
	ret->own_rules = own_rules;
	optind = 0; /* getopt_long() begins again */
	while ((key = cli_next(options_table, argc, argv)) != CLI_END) {
		if (key == 'h')
			return print_server_help();
		if (key == 'V')
			return print_version();
		if (key == CLI_BAD || !apply_option(ret, key))
			return CLI_USAGE;
	}
	return -1;
}

static int complete_service(int argc, char **argv)
{
	const struct service *s;
	char word[64];

	if (complete_option(options_table, argc, argv))
		return cli_flush();
	if (argc == 2)
		complete_word(argc, argv, "ctl", "ask a running server");
	for (size_t i = 0; (s = service_at(i)) != NULL; i++) {
		snprintf(word, sizeof(word), "%s@", s->name);
		complete_word(argc, argv, word, s->help);
	}
	return cli_flush();
}

int options_parse(struct options *ret, int argc, char **argv)
{
	struct arguments arguments = { 0 };
	int status;

	if (complete_is_asked()) {
		options_set_defaults(ret);
		return complete_service(argc, argv);
	}
	status = parse_options(ret, 0, argc, argv);

	if (status < 0 && ret->config_file) {
		if (!config_file_read(&arguments, ret->config_file,
				      options_table, argc, argv))
			return CLI_USAGE;
		argc = arguments.count;
		argv = arguments.all;
		status = parse_options(ret, ret->rule_count, argc, argv);
		ret->arguments = arguments;
	}
	if (status >= 0)
		return status;
	if (!listeners_parse(&ret->listeners, argc - optind, argv + optind) ||
	    !check_combination(ret) ||
	    !rules_load(&ret->config.access, ret->rules, ret->rule_count) ||
	    !certificate_load(ret))
		return CLI_USAGE;
	choose_log_level(ret);
	return -1;
}

static void print_duration(const char *name, int ms)
{
	char text[CLI_DURATION_TEXT];

	stream_print("%s %s\n", name, cli_duration_text(ms, text));
}

/* member: an offset in struct weir_service. */
static int timeout_of(const struct options *o, size_t i, size_t member)
{
	struct weir_service limits;
	int ms;

	listener_limits(&limits, o, &o->listeners.all[i]);
	memcpy(&ms, (const char *)&limits + member, sizeof(ms));
	return ms;
}

static bool is_first_of_service(const struct listeners *l, size_t i)
{
	for (size_t other = 0; other < i; other++)
		if (l->all[other].service == l->all[i].service)
			return false;
	return true;
}

/* The value of the options, if a service has it, and those that differ. */
static void print_timeout(const struct options *o, const char *name,
			  size_t member)
{
	const struct listeners *l = &o->listeners;
	char special[64];
	int usual;
	size_t i = 0;

	memcpy(&usual, (const char *)&o->limits + member, sizeof(usual));
	while (i < l->count && timeout_of(o, i, member) != usual)
		i++;
	if (i < l->count)
		print_duration(name, usual);
	for (i = 0; i < l->count; i++) {
		int ms = timeout_of(o, i, member);

		if (ms == usual || !is_first_of_service(l, i))
			continue;
		snprintf(special, sizeof(special), "%s %s", name,
			 l->all[i].service->name);
		print_duration(special, ms);
	}
}

static void print_greetings(const struct options *o)
{
	const struct service *s;
	char name[32];

	for (size_t i = 0; (s = service_at(i)) != NULL; i++) {
		if (!s->greeting || !listeners_have(&o->listeners, s))
			continue;
		snprintf(name, sizeof(name), "greeting %s", s->name);
		cli_print_text(name, o->greeting ? o->greeting : s->greeting);
	}
}

/* The default as weir.h has it. */
static int per_source(const struct weir_config *c)
{
	if (c->max_per_source)
		return c->max_per_source;
	return c->max_connections / 4 > 16 ? c->max_connections / 4 : 16;
}

int options_print(const struct options *o)
{
	const struct weir_config *c = &o->config;
	const struct weir_service *l = &o->limits;

	stream_print("workers %d\nqueue %d\n", c->workers, c->queue_length);
	print_duration("queue-age", c->queue_age_ms);
	stream_print("max-connections %d\nmax-unsent %zu\noverload %s\n",
		     c->max_connections, c->outbox_total >> MIB_SHIFT,
		     c->overload == WEIR_HOLD ? "hold" : "refuse");
	cli_print_text("refusal", c->refusal);
	if (c->lame_duck_ms != 0)
		print_duration("lame-duck", c->lame_duck_ms);
	print_duration("drain-timeout", c->drain_ms);
	print_timeout(o, "first-byte-timeout",
		      offsetof(struct weir_service, first_byte_ms));
	print_timeout(o, "idle-timeout",
		      offsetof(struct weir_service, idle_ms));
	print_timeout(o, "read-timeout",
		      offsetof(struct weir_service, read_ms));
	print_duration("write-timeout", l->write_ms);
	print_duration("lifetime", l->lifetime_ms);
	print_greetings(o);
	if (o->file)
		cli_print_text("file", o->file);
	if (o->to)
		cli_print_text("to", o->to);
	if (o->to_proxy)
		stream_print("to-proxy v%d\n", (int)o->to_proxy);
	if (o->pid_file)
		cli_print_text("pid-file", o->pid_file);
	if (o->status)
		cli_print_text("status", o->status);
	if (o->agent)
		cli_print_text("agent", o->agent);
	if (o->agent_balancers > 0)
		stream_print("agent-balancers %d\n", o->agent_balancers);
	if (o->config_file)
		cli_print_text("config", o->config_file);
	if (o->control)
		cli_print_text("control", o->control);
	print_duration("upgrade-timeout", o->upgrade_ms);
	if (o->keeps_listeners)
		stream_print("keep-listeners\n");
	if (o->access != ACCESS_JOURNAL)
		stream_print("access-log %s\naccess-log-format %s\n",
			     lines[o->access],
			     o->access_is_json ? "json" : "logfmt");
	for (size_t i = 0; i < o->rule_count; i++)
		cli_print_text("access", o->rules[i]);
	stream_print("max-per-source %d\n", per_source(c));
	if (c->early_start)
		stream_print("early-drop %d:%d:%d\n", c->early_start,
			     c->early_percent, c->early_full);
	print_duration("evict-idle", c->evict_ms);
	if (o->user)
		cli_print_text("user", o->user);
	if (o->root)
		cli_print_text("chroot", o->root);
	if (o->sandbox)
		stream_print("sandbox\n");
	if (listeners_have_file(&o->listeners))
		stream_print("mode %04o\n", l->mode ? (unsigned)l->mode : 0600);
	if (l->proxy_trust)
		cli_print_text("proxy-trust", l->proxy_trust);
	if (o->tls)
		certificate_print(o);
	stream_print("log-level %s\n", journal_level_name(c->log_level));
	for (size_t i = 0; i < o->listeners.count; i++)
		cli_print_text("listen", o->listeners.all[i].spec);
	certificate_print_warnings(o);
	return cli_flush();
}

void listener_limits(struct weir_service *ret, const struct options *o,
		     const struct listener *l)
{
	*ret = o->limits;
	if ((l->service->uses & SERVICE_PATIENT) && !o->has_idle)
		ret->first_byte_ms = ret->idle_ms = WEIR_NEVER;
	if (l->service->uses & SERVICE_TERMINAL)
		ret->read_ms = WEIR_NEVER; /* input may wait for its turn */
	if (l->has_proxy)
		ret->proxy = WEIR_PROXY_REQUIRED;
	else
		ret->proxy_trust = NULL;
}

static bool is_same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

const char *options_fixed_change(const struct options *a,
				 const struct options *b)
{
	const struct {
		const char *name;
		bool is_same;
	} checks[] = {
		{ "workers", a->config.workers == b->config.workers },
		{ "greeting", is_same_text(a->greeting, b->greeting) },
		{ "file", is_same_text(a->file, b->file) },
		{ "to", is_same_text(a->to, b->to) },
		{ "to-proxy", a->to_proxy == b->to_proxy },
		{ "pid-file", is_same_text(a->pid_file, b->pid_file) },
		{ "control", is_same_text(a->control, b->control) },
		{ "status", is_same_text(a->status, b->status) },
		{ "agent", is_same_text(a->agent, b->agent) },
		{ "agent-balancers", a->agent_balancers == b->agent_balancers },
		{ "access-log", a->access == b->access },
		{ "access-log-format", a->access_is_json == b->access_is_json },
		{ "upgrade-timeout", a->upgrade_ms == b->upgrade_ms },
		{ "mode", a->limits.mode == b->limits.mode },
		{ "user", is_same_text(a->user, b->user) },
		{ "chroot", is_same_text(a->root, b->root) },
		{ "sandbox", a->sandbox == b->sandbox },
	};

	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		if (!checks[i].is_same)
			return checks[i].name;
	return NULL;
}

void options_fini(struct options *o)
{
	listeners_fini(&o->listeners);
	weir_access_unref(o->config.access);
	certificate_free(o);
	config_file_free(&o->arguments);
}
