/* SPDX-License-Identifier: MIT */
/*
 * One worker runs all of this: the requests and the timer of the history need
 * no lock.  Its server has limits of its own, so that a client that sends
 * slowly, or many of them, take nothing from the watched server.
 */
#include "status.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../cli/stream.h"
#include "../journal.h"
#include "../listeners.h"
#include "../options.h"
#include "../out.h"
#include "../upgrade.h"
#include "history.h"
#include "http.h"
#include "page.h"
#include "snapshot.h"

#define STATUS_GRACE_MS 500

#define CLIENTS_MOST 32
/* With more, a connection is closed after its response, not kept idle. */
#define KEPT_MOST 16

static weir_server *watched, *status_server;
static const struct options *options;

struct response {
	int status;
	const char *type;
	const char *headers; /* more of them, each with CR LF */
	const void *body;
	size_t len;
	char *memory; /* of the body, to be freed; or NULL */
};

static const char plain[] = "text/plain; charset=utf-8";

static struct response text(int status, const char *body)
{
	return (struct response){ status, plain, "", body, strlen(body), NULL };
}

/* A client that connects again after an upgrade reaches the successor. */
static bool may_keep(weir_conn *c)
{
	struct weir_stats now;

	return weir_conn_is_draining(c) == 0 && !upgrade_has_successor() &&
	       weir_server_stats(status_server, &now, sizeof(now)) == 0 &&
	       now.ledger.open <= KEPT_MOST;
}

static int respond(weir_conn *c, const struct http_request *r,
		   const struct response *response)
{
	bool keeps = r->keeps_alive && may_keep(c);
	char date[64] = "";
	struct tm utc;
	time_t now = time(NULL);
	int rc;

	gmtime_r(&now, &utc);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &utc);
	rc = weir_conn_printf(c,
			      "HTTP/1.1 %d %s\r\nDate: %s\r\n"
			      "Content-Type: %s\r\nContent-Length: %zu\r\n"
			      "Cache-Control: no-store\r\n"
			      "X-Content-Type-Options: nosniff\r\n%s%s\r\n",
			      response->status, http_reason(response->status),
			      date, response->type, response->len,
			      response->headers,
			      keeps ? "" : "Connection: close\r\n");
	if (rc >= 0 && !r->is_head)
		rc = weir_conn_write(c, response->body, response->len);
	if (rc < 0)
		return rc;
	return keeps ? WEIR_AGAIN : WEIR_CLOSE;
}

static struct response written(const char *type, const struct http_request *r,
			       void (*write)(FILE *to, const struct snapshot *s,
					     const struct http_request *r))
{
	struct response ret = { 200, type, "", NULL, 0, NULL };
	struct stream_memory body;
	struct snapshot now;

	if (snapshot_take(&now, watched, options) &&
	    stream_memory_open(&body)) {
		write(body.to, &now, r);
		ret.memory = stream_memory_close(&body, &ret.len);
	}
	snapshot_fini(&now);
	if (!ret.memory)
		return text(500, "out of memory\n");
	ret.body = ret.memory;
	return ret;
}

static struct response healthz(const struct http_request *r)
{
	(void)r;
	return text(200, "ok\n");
}

static void write_ready(FILE *to, const struct snapshot *s,
			const struct http_request *r)
{
	const char *unready = snapshot_unready(s);

	(void)r;
	if (unready)
		fprintf(to, "not ready: %s; open connections: %llu\n", unready,
			(unsigned long long)s->stats.ledger.open);
}

static struct response readyz(const struct http_request *r)
{
	struct response ret = written(plain, r, write_ready);

	if (ret.status != 200)
		return ret;
	if (ret.len > 0) {
		ret.status = 503;
		return ret;
	}
	free(ret.memory);
	return text(200, "ready\n");
}

static void write_metrics(FILE *to, const struct snapshot *s,
			  const struct http_request *r)
{
	metrics_write(to, s, r->wants_openmetrics);
}

static struct response metrics(const struct http_request *r)
{
	return written(r->wants_openmetrics
			       ? "application/openmetrics-text; "
				 "version=1.0.0; charset=utf-8"
			       : "text/plain; version=0.0.4; charset=utf-8",
		       r, write_metrics);
}

static void write_json(FILE *to, const struct snapshot *s,
		       const struct http_request *r)
{
	const char *since =
		strncmp(r->query, "since=", 6) == 0 ? r->query + 6 : "";

	json_write(to, s, strtoull(since, NULL, 10));
}

static struct response json(const struct http_request *r)
{
	return written("application/json", r, write_json);
}

static struct response page(const struct http_request *r)
{
	(void)r;
	return (struct response){
		.status = 200,
		.type = "text/html; charset=utf-8",
		.headers = "Content-Security-Policy: default-src 'none'; "
			   "style-src 'unsafe-inline'; "
			   "script-src 'unsafe-inline'; connect-src 'self'; "
			   "img-src data:; "
			   "frame-ancestors 'none'\r\n",
		.body = status_page,
		.len = status_page_len,
	};
}

static const struct {
	const char *path;
	struct response (*make)(const struct http_request *r);
} pages[] = {
	{ "/healthz", healthz },  { "/readyz", readyz },
	{ "/metrics", metrics },  { "/status", page },
	{ "/status.json", json },
};

static struct response find_page(const struct http_request *r)
{
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		if (strcmp(pages[i].path, r->path) == 0)
			return pages[i].make(r);
	return text(404, "There are /status, /status.json, /metrics, /healthz "
			 "and /readyz.\n");
}

static int refuse_request(weir_conn *c, const struct http_request *r,
			  int status)
{
	char body[80];
	struct response response;

	snprintf(body, sizeof(body), "%s\n", http_reason(status));
	response = text(status, body);
	if (status == 405)
		response.headers = "Allow: GET, HEAD\r\n";
	return respond(c, r, &response);
}

static int status_request(weir_conn *c, void *arg)
{
	struct http_request r = { .path = "" };
	struct response response;
	char head[HTTP_HEAD];
	ssize_t n = weir_conn_read_until(c, head, sizeof(head), "\r\n\r\n", 4);
	int rc;

	(void)arg;
	if (n == -EMSGSIZE)
		return refuse_request(c, &r, 431);
	if (n == -EBADMSG) /* the input ends within a head */
		return refuse_request(c, &r, 400);
	if (n <= 0)
		return (int)n;
	rc = http_parse(&r, head, (size_t)n);
	if (rc != 200)
		return refuse_request(c, &r, rc);
	response = find_page(&r);
	rc = respond(c, &r, &response);
	free(response.memory);
	return rc;
}

/* Only a head that is not complete in time gets an answer. */
static int status_expired(weir_conn *c, void *arg)
{
	static const struct http_request none = { .path = "" };
	struct weir_summary s;

	(void)arg;
	weir_conn_summary(c, &s, sizeof(s));
	return s.end == WEIR_END_READ ? refuse_request(c, &none, 408)
				      : WEIR_CLOSE;
}

static void take_sample(weir_server *s, weir_timer *t, void *arg)
{
	struct weir_stats now;
	struct timespec at;

	(void)s;
	(void)t;
	(void)arg;
	clock_gettime(CLOCK_REALTIME, &at);
	if (weir_server_stats(watched, &now, sizeof(now)) == 0)
		history_add(&now,
			    (int64_t)at.tv_sec * 1000 + at.tv_nsec / 1000000);
}

static int status_listen(const struct listener *l)
{
	int id = weir_server_listen(
		status_server, l->where,
		WEIR_SERVICE(.readable = status_request,
			     .expired = status_expired, .first_byte_ms = 5000,
			     .read_ms = 2000, .write_ms = 5000,
			     .idle_ms = 20000, .line_max = HTTP_HEAD));
	int rc;

	if (id < 0)
		return id;
	upgrade_offer(status_server, id, l, false);
	rc = weir_server_timer(status_server, NULL, 0, HISTORY_MS, take_sample,
			       NULL);
	return rc < 0 ? rc : id;
}

int status_open(weir_server *s, const struct options *o,
		const struct listener *l)
{
	int rc;

	watched = s;
	options = o;
	rc = weir_server_new(
		&status_server,
		WEIR_CONFIG(.workers = 1, .queue_length = 32,
			    .max_connections = CLIENTS_MOST,
			    .max_per_source = CLIENTS_MOST,
			    .overload = WEIR_REFUSE,
			    .refusal = "HTTP/1.1 503 Service Unavailable\r\n"
				       "Content-Length: 0\r\n"
				       "Connection: close\r\n\r\n",
			    .log = journal_sink,
			    .log_level = WEIR_LOG_WARNING));
	if (rc < 0)
		return rc;
	rc = status_listen(l);
	if (rc < 0)
		status_end();
	return rc;
}

int status_start(void)
{
	return status_server ? weir_server_start(status_server) : 0;
}

void status_announce(void)
{
	char where[512];

	if (weir_server_address(status_server, 0, where, sizeof(where)) > 0)
		out_announce("status %s", where);
}

void status_end(void)
{
	(void)weir_server_stop(status_server, STATUS_GRACE_MS);
	(void)weir_server_join(status_server, NULL, 0);
	weir_server_free(status_server);
	status_server = NULL;
}
