/* SPDX-License-Identifier: MIT */
/*
 * A head is cut into lines, and each line into its parts, in place.  What could
 * be understood in two ways is refused.
 */
#include "http.h"

#include <string.h>
#include <strings.h>

struct head {
	struct http_request *request;
	bool is_1_1;
	int hosts;
};

static bool is_token(const char *s)
{
	static const char token[] = "!#$%&'*+-.^_`|~0123456789"
				    "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

	return *s && s[strspn(s, token)] == '\0';
}

/* No control characters but the tab. */
static bool is_text(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

/* Cut off the line at *rest.  NULL: it is not text that ends in CR LF. */
static char *next_line(char **rest, const char *end)
{
	char *line = *rest;
	char *cr = memchr(line, '\r', (size_t)(end - line));

	if (!cr || end - cr < 2 || cr[1] != '\n' ||
	    !is_text(line, (size_t)(cr - line)))
		return NULL;
	*cr = '\0';
	*rest = cr + 2;
	return line;
}

static bool has_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	while (*list) {
		list += strspn(list, ", \t");
		if (strncasecmp(list, word, len) == 0 &&
		    strchr(",; \t", list[len]))
			return true;
		list += strcspn(list, ",");
	}
	return false;
}

static int take_field(struct head *h, char *line)
{
	char *value = strchr(line, ':');
	size_t len;

	if (!value)
		return 400;
	*value++ = '\0';
	if (!is_token(line)) /* so no space before the colon, and no folding */
		return 400;
	value += strspn(value, " \t");
	for (len = strlen(value); len > 0 && strchr(" \t", value[len - 1]);)
		value[--len] = '\0';
	if (strcasecmp(line, "Host") == 0) {
		h->hosts++;
	} else if (strcasecmp(line, "Transfer-Encoding") == 0) {
		return 413;
	} else if (strcasecmp(line, "Content-Length") == 0) {
		return strcmp(value, "0") == 0 ? 200 : 413;
	} else if (strcasecmp(line, "Connection") == 0) {
		if (has_word(value, "close"))
			h->request->keeps_alive = false;
	} else if (strcasecmp(line, "Accept") == 0) {
		if (has_word(value, "application/openmetrics-text"))
			h->request->wants_openmetrics = true;
	}
	return 200;
}

/* "/path?query", also behind "http://host". */
static bool take_target(struct http_request *r, char *target)
{
	char *query;

	if (strncasecmp(target, "http://", 7) == 0) {
		target += 7;
		if (*target == '/' || *target == '\0')
			return false;
		target += strcspn(target, "/");
	}
	if (*target != '/')
		return false;
	target[strcspn(target, "#")] = '\0';
	query = strchr(target, '?');
	if (query)
		*query++ = '\0';
	r->path = target;
	r->query = query ? query : "";
	return true;
}

static int take_version(struct head *h, const char *version)
{
	if (strncmp(version, "HTTP/", 5) != 0 || strlen(version) != 8 ||
	    version[6] != '.' || !strchr("0123456789", version[5]) ||
	    !strchr("0123456789", version[7]))
		return 400;
	if (version[5] != '1')
		return 505;
	h->is_1_1 = version[7] != '0';
	h->request->keeps_alive = h->is_1_1;
	return 200;
}

static int take_request_line(struct head *h, char *line)
{
	char *target = strchr(line, ' '), *version;
	int status;

	if (!target)
		return 400;
	*target++ = '\0';
	version = strchr(target, ' ');
	if (!version || !is_token(line))
		return 400;
	*version++ = '\0';
	status = take_version(h, version);
	if (status != 200)
		return status;
	h->request->is_head = strcmp(line, "HEAD") == 0;
	if (!h->request->is_head && strcmp(line, "GET") != 0)
		return 405;
	return take_target(h->request, target) ? 200 : 400;
}

/* The lines up to the empty one, which must be the last. */
static int take_fields(struct head *h, char *rest, const char *end)
{
	char *line = next_line(&rest, end);
	int status = 200;

	for (; line && *line && status == 200; line = next_line(&rest, end))
		status = take_field(h, line);
	if (status != 200)
		return status;
	if (!line || rest != end || h->hosts > 1)
		return 400;
	return h->hosts == 1 || !h->is_1_1 ? 200 : 400;
}

int http_parse(struct http_request *ret, char *head, size_t len)
{
	struct head h = { .request = ret };
	char *rest = head, *line;
	int status = 400;

	*ret = (struct http_request){ .path = "", .query = "" };
	line = next_line(&rest, head + len);
	if (line)
		status = take_request_line(&h, line);
	if (status == 200)
		status = take_fields(&h, rest, head + len);
	if (status != 200)
		ret->keeps_alive = false;
	return status;
}

const char *http_reason(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 408:
		return "Request Timeout";
	case 413:
		return "Content Too Large";
	case 431:
		return "Request Header Fields Too Large";
	case 503:
		return "Service Unavailable";
	case 505:
		return "HTTP Version Not Supported";
	default:
		return "Internal Server Error";
	}
}
