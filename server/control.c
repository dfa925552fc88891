/* SPDX-License-Identifier: MIT */
/*
 * Two workers: one may wait for an upgrade while the other answers.  A reply
 * may be as long as OUTPUT_MOST.
 */
#include "control.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "../cli/cli.h"
#include "../cli/text.h"
#include "activation.h"
#include "journal.h"
#include "listeners.h"
#include "reload.h"
#include "upgrade.h"

#define CLIENTS_MOST 32
#define OUTPUT_MOST  (256 << 20)
#define OUTPUT_TOTAL ((size_t)8 * OUTPUT_MOST) /* one reply has an eighth */
#define END_MS	     1000		       /* for the last replies */

static struct {
	weir_server *own;    /* answers; NULL: there is no socket */
	weir_server *server; /* the one that requests are about */
} control;

static int reply_ok(weir_conn *c)
{
	return weir_conn_printf(c, "ok\n");
}

static int reply_error(weir_conn *c, const char *why)
{
	return weir_conn_printf(c, "error %s\n", why);
}

static void put_json_text(char *to, size_t cap, const char *text)
{
	size_t len = 0;

	for (; *text && len + 7 < cap; text++)
		if (*text == '"' || *text == '\\')
			len += (size_t)snprintf(to + len, cap - len, "\\%c",
						*text);
		else if ((unsigned char)*text < ' ')
			len += (size_t)snprintf(to + len, cap - len, "\\u%04x",
						(unsigned)*text);
		else
			to[len++] = *text;
	to[len] = '\0';
}

static const char *const phases[] = {
	[WEIR_PHASE_NEW] = "new",
	[WEIR_PHASE_SERVING] = "serving",
	[WEIR_PHASE_LAME_DUCK] = "lame-duck",
	[WEIR_PHASE_DRAINING] = "draining",
	[WEIR_PHASE_CUTTING] = "cutting",
	[WEIR_PHASE_DONE] = "done",
};

/* clang-format off */
#define EACH_NUMBER(X)                                                         \
	X(accepted, ledger.accepted)                                           \
	X(dialled, ledger.dialled)                                             \
	X(spawned, ledger.spawned)                                             \
	X(open, ledger.open)                                                   \
	X(closed, ledger.closed)                                               \
	X(completed, ledger.completed)                                         \
	X(failed, ledger.failed)                                               \
	X(timed_out, ledger.timed_out)                                         \
	X(timed_out_first_byte, timed_out[WEIR_TIMEOUT_FIRST_BYTE])            \
	X(timed_out_read, timed_out[WEIR_TIMEOUT_READ])                        \
	X(timed_out_write, timed_out[WEIR_TIMEOUT_WRITE])                      \
	X(timed_out_idle, timed_out[WEIR_TIMEOUT_IDLE])                        \
	X(timed_out_lifetime, timed_out[WEIR_TIMEOUT_LIFETIME])                \
	X(timed_out_pause, timed_out[WEIR_TIMEOUT_PAUSE])                      \
	X(timed_out_handshake, timed_out[WEIR_TIMEOUT_HANDSHAKE])              \
	X(refused, ledger.refused)                                             \
	X(refused_full, ledger.refused_full)                                   \
	X(refused_age, ledger.refused_age)                                     \
	X(refused_limit, ledger.refused_limit)                                 \
	X(refused_drain, ledger.refused_drain)                                 \
	X(refused_access, ledger.refused_access)                               \
	X(refused_source, ledger.refused_source)                               \
	X(refused_rate, ledger.refused_rate)                                   \
	X(refused_early, ledger.refused_early)                                 \
	X(refused_proxy, ledger.refused_proxy)                                 \
	X(refused_header, ledger.refused_header)                               \
	X(probed, ledger.probed)                                               \
	X(cut, ledger.cut)                                                     \
	X(bytes_in, bytes_in)                                                  \
	X(bytes_out, bytes_out)                                                \
	X(sends, sends)                                                        \
	X(sends_refused, sends_refused)                                        \
	X(callbacks, callbacks)                                                \
	X(timer_calls, timer_calls)                                            \
	X(dead_on_arrival, dead_on_arrival)                                    \
	X(accept_errors, accept_errors)                                        \
	X(shortages, shortages)                                                \
	X(starvations, starvations)                                            \
	X(late_bytes, late_bytes)                                              \
	X(log_dropped, log_dropped)                                            \
	X(sources_full, sources_full)                                          \
	X(evictions, evictions)                                                \
	X(queue_wait_us, queue_wait_us)                                        \
	X(callback_us, callback_us)                                            \
	X(tls_full, handshakes[WEIR_HANDSHAKE_FULL])                           \
	X(tls_resumed, handshakes[WEIR_HANDSHAKE_RESUMED])                     \
	X(tls_not_tls, handshakes[WEIR_HANDSHAKE_NOT_TLS])                     \
	X(tls_protocol, handshakes[WEIR_HANDSHAKE_PROTOCOL])                   \
	X(tls_certificate, handshakes[WEIR_HANDSHAKE_CERTIFICATE])             \
	X(tls_timed_out, handshakes[WEIR_HANDSHAKE_TIMED_OUT])                 \
	X(tls_lost, handshakes[WEIR_HANDSHAKE_LOST])                           \
	X(tls_cut, handshakes[WEIR_HANDSHAKE_CUT])                             \
	X(tls_truncated, truncated)                                            \
	X(tls_handshake_us, handshake_us)                                      \
	X(parked, parked)                                                      \
	X(queued, queued)                                                      \
	X(lingering, lingering)                                                \
	X(unsent, unsent)                                                      \
	X(busy, busy)                                                          \
	X(longest_callback_ms, longest_callback_ms)                            \
	X(stacks, stacks)                                                      \
	X(stacks_pooled, stacks_pooled)                                        \
	X(stack_deepest, stack_deepest)                                        \
	X(workers, workers)                                                    \
	X(queue_length, queue_length)                                          \
	X(max_connections, max_connections)                                    \
	X(max_dialled, max_dialled)                                            \
	X(outbox_total, outbox_total)
/* clang-format on */

static int print_stats(weir_conn *c, const char *arg, bool is_json)
{
	struct weir_stats now;
	int rc = weir_server_stats(control.server, &now, sizeof(now));

	(void)arg;
	if (rc == 0)
		rc = reply_ok(c);
	if (rc >= 0)
		rc = weir_conn_printf(
			c, is_json ? "{\"phase\": \"%s\"" : "phase %s\n",
			phases[now.phase]);
#define PRINT(name, field)                                                     \
	if (rc >= 0)                                                           \
		rc = weir_conn_printf(                                         \
			c, is_json ? ", \"%s\": %llu" : "%s %llu\n", #name,    \
			(unsigned long long)now.field);
	EACH_NUMBER(PRINT)
#undef PRINT
	return rc >= 0 && is_json ? weir_conn_printf(c, "}\n") : rc;
}

static const char *waits_for(const struct weir_conn_info *info)
{
	switch (info->state) {
	case WEIR_STATE_CONNECTING:
		return "a connection";
	case WEIR_STATE_QUEUED:
	case WEIR_STATE_READY:
		return "a worker";
	case WEIR_STATE_RUNNING:
		return "nothing";
	case WEIR_STATE_LINGERING:
		return "the peer's close";
	default:
		return info->unsent > 0 ? "room for output" : "input";
	}
}

struct list {
	weir_conn *to;
	bool is_json;
	const char *comma;
};

/* A client chooses its name; a blank would begin another field. */
static void put_plain_text(char *to, size_t cap, const char *text)
{
	size_t len = 0;

	for (; *text && len + 5 < cap; text++)
		if (*text == ' ')
			len += (size_t)snprintf(to + len, cap - len, "\\x20");
		else
			to[len++] = *text;
	to[len] = '\0';
}

static int print_connection(const struct weir_conn_info *info, void *arg)
{
	struct list *list = arg;
	const char *format = "%llu peer=%s%s%s listener=%lld age_ms=%lld "
			     "bytes_in=%llu bytes_out=%llu unsent=%llu "
			     "waits_for=\"%s\"\n";
	char shown[4 * sizeof(info->peer)], peer[2 * sizeof(shown)];
	char shown_via[4 * sizeof(info->via)], via[2 * sizeof(shown_via)];
	const char *via_name = info->via[0] ? " via=" : "";
	int rc = 0;

	cli_escape(shown, sizeof(shown), info->peer, strlen(info->peer),
		   CLI_KEEP_UTF8);
	cli_escape(shown_via, sizeof(shown_via), info->via, strlen(info->via),
		   CLI_KEEP_UTF8);
	put_plain_text(peer, sizeof(peer), shown[0] ? shown : "-");
	put_plain_text(via, sizeof(via), shown_via);
	if (list->is_json) {
		via_name = "\", \"via\": \"";
		put_json_text(via, sizeof(via), shown_via);
		format = "{\"id\": %llu, \"peer\": \"%s%s%s\", "
			 "\"listener\": %lld, "
			 "\"age_ms\": %lld, \"bytes_in\": %llu, "
			 "\"bytes_out\": %llu, \"unsent\": %llu, "
			 "\"waits_for\": \"%s\"}";
		put_json_text(peer, sizeof(peer), shown);
		rc = weir_conn_printf(list->to, "%s", list->comma);
		list->comma = ",\n";
	}
	if (rc >= 0)
		rc = weir_conn_printf(
			list->to, format, (unsigned long long)info->id, peer,
			via_name, via, (long long)info->listener,
			(long long)info->age_ms,
			(unsigned long long)info->bytes_in,
			(unsigned long long)info->bytes_out,
			(unsigned long long)info->unsent, waits_for(info));
	return rc < 0 ? rc : 0;
}

static int print_connections(weir_conn *c, const char *arg, bool is_json)
{
	struct list list = { c, is_json, "" };
	int rc = reply_ok(c);

	(void)arg;
	if (rc >= 0 && is_json)
		rc = weir_conn_printf(c, "[");
	if (rc >= 0)
		rc = weir_server_each(control.server, print_connection, &list,
				      sizeof(struct weir_conn_info));
	return rc >= 0 && is_json ? weir_conn_printf(c, "]\n") : rc;
}

static int drain(weir_conn *c, const char *arg, bool is_json)
{
	(void)arg;
	(void)is_json;
	weir_server_drain(control.server);
	return reply_ok(c);
}

static int reload(weir_conn *c, const char *arg, bool is_json)
{
	char text[CLI_ERROR_MOST];

	(void)arg;
	(void)is_json;
	if (!reload_run(text, sizeof(text)))
		return reply_error(c, text);
	return weir_conn_printf(c, text[0] ? "ok\n%s\n" : "ok\n%s", text);
}

static int replace(weir_conn *c, const char *arg, bool is_json)
{
	char why[CLI_ERROR_MOST];

	(void)arg;
	(void)is_json;
	return upgrade_run(why, sizeof(why)) ? reply_ok(c)
					     : reply_error(c, why);
}

static int level(weir_conn *c, const char *arg, bool is_json)
{
	char why[CLI_ERROR_MOST];

	(void)is_json;
	if (!arg)
		return weir_conn_printf(c, "ok\n%s\n",
					journal_level_name(journal_level()));
	return reload_log_level(arg, why, sizeof(why)) ? reply_ok(c)
						       : reply_error(c, why);
}

static int ready(weir_conn *c, const char *arg, bool is_json)
{
	struct weir_stats now;
	int rc = weir_server_stats(control.server, &now, sizeof(now));

	(void)arg;
	(void)is_json;
	if (rc < 0)
		return rc;
	/* A new connection would reach the successor, which is ready. */
	if (now.phase == WEIR_PHASE_SERVING || upgrade_has_successor())
		return reply_ok(c);
	return reply_error(c, phases[now.phase]);
}

static const struct request {
	const char *name;
	int (*answer)(weir_conn *c, const char *arg, bool is_json);
	bool may_have_arg, has_json;
	bool is_for_successor; /* once there is one */
} requests[] = {
	{ "drain", drain, .is_for_successor = true },
	{ "reload", reload, .is_for_successor = true },
	{ "upgrade", replace, .is_for_successor = true },
	{ "stats", print_stats, .has_json = true },
	{ "connections", print_connections, .has_json = true },
	{ "log-level", level, .may_have_arg = true, .is_for_successor = true },
	{ "ready", ready, .is_for_successor = false },
};

static const struct request *find_request(const char *name)
{
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		if (strcmp(requests[i].name, name) == 0)
			return &requests[i];
	return NULL;
}

static int answer(weir_conn *c, char *line)
{
	const char *name, *word, *arg = NULL;
	const struct request *r;
	bool is_json = false;

	name = strsep(&line, " ");
	r = find_request(name);
	if (!r)
		return reply_error(c, "unknown request; see weir-server ctl "
				      "--help");
	while ((word = strsep(&line, " ")))
		if (strcmp(word, "--json") == 0 && r->has_json)
			is_json = true;
		else if (!arg && r->may_have_arg)
			arg = word;
		else
			return reply_error(c, "the request takes no such "
					      "argument");
	/* The connection is older than the upgrade. */
	if (upgrade_has_successor() && r->is_for_successor)
		return reply_error(c, "another process serves now; ask again");
	return r->answer(c, arg, is_json);
}

static int take_request(weir_conn *c, void *arg)
{
	char line[CONTROL_REQUEST_MOST];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	int rc;

	(void)arg;
	if (n <= 0)
		return (int)n;
	line[strcspn(line, "\r\n")] = '\0';
	rc = answer(c, line);
	if (rc >= 0)
		rc = weir_conn_printf(c, CONTROL_END);
	return rc < 0 ? rc : WEIR_CLOSE;
}

static int open_own(const char *path)
{
	char where[256];
	struct listener l = { .spec = "--control",
			      .where = where,
			      .kind = WEIR_ADDRESS_UNIX };
	int rc;

	if ((size_t)snprintf(where, sizeof(where), "unix:%s", path) >=
	    sizeof(where))
		return -ENAMETOOLONG;
	(void)activation_apply_option(&l);
	rc = weir_server_new(&control.own,
			     WEIR_CONFIG(.workers = 2,
					 .max_connections = CLIENTS_MOST,
					 .outbox_total = OUTPUT_TOTAL,
					 .overload = WEIR_REFUSE,
					 .refusal = "error too many requests\n",
					 .log_level = WEIR_LOG_WARNING,
					 .log = journal_sink));
	if (rc == 0)
		rc = weir_server_listen(
			control.own, l.where,
			WEIR_SERVICE(.readable = take_request,
				     .first_byte_ms = 5000, .read_ms = 5000,
				     .write_ms = 5000,
				     .line_max = CONTROL_REQUEST_MOST,
				     .outbox_max = OUTPUT_MOST));
	if (rc >= 0)
		upgrade_offer(control.own, rc, &l, false);
	return rc;
}

int control_open(const char *path, weir_server *s)
{
	int rc;

	if (!path)
		return CLI_DONE;
	control.server = s;
	rc = open_own(path);
	if (rc >= 0)
		return CLI_DONE;
	cli_error("--control: cannot listen on '%s': %s", path,
		  rc == -EADDRINUSE ? "another process listens there already"
				    : weir_strerror(rc));
	weir_server_free(control.own);
	control.own = NULL;
	return CLI_USAGE;
}

int control_start(void)
{
	return control.own ? weir_server_start(control.own) : 0;
}

void control_end(void)
{
	if (control.own) {
		weir_server_stop(control.own, END_MS);
		(void)weir_server_join(control.own, NULL, 0);
	}
	weir_server_free(control.own);
	control.own = NULL;
}
