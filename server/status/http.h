/* SPDX-License-Identifier: MIT */
/*
 * The head of an HTTP/1 request, strictly: GET and HEAD, no body, lines that
 * end in CR LF (RFC 9112).  No state; any thread.
 */
#ifndef SERVER_STATUS_HTTP_H
#define SERVER_STATUS_HTTP_H

#include <stdbool.h>
#include <stddef.h>

/* The longest head, in bytes. */
#define HTTP_HEAD 8192

struct http_request {
	const char *path;  /* with a NUL; begins with '/' */
	const char *query; /* behind the '?'; "" if there is none */
	bool is_head;
	bool keeps_alive;
	bool wants_openmetrics; /* Accept names it */
};

/*
 * Parse a head of len bytes up to and including the empty line; *ret points
 * into it, and it is changed.  Returns 200, or the status of the refusal, after
 * which the connection is closed: 400, 405, 413 (it has a body) or 505.
 * ret->is_head and ret->keeps_alive are valid in any case.
 */
int http_parse(struct http_request *ret, char *head, size_t len);

const char *http_reason(int status);

#endif
