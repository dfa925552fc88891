/* SPDX-License-Identifier: MIT */
/*
 * Receiving: the banner, then replies, then the end.
 */
#include "engine.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Is the banner whole?  *used of the bytes belong to it. */
static bool take_banner(const struct engine *e, struct link *l,
			const char *data, size_t len, size_t *used)
{
	const char *text = e->plan->banner_text;
	const char *newline;
	size_t left;

	*used = len;
	switch (e->plan->banner) {
	case BANNER_LINE:
		newline = memchr(data, '\n', len);
		if (newline)
			*used = (size_t)(newline - data) + 1;
		return newline;
	case BANNER_TEXT:
		left = strlen(text) - l->frame.used;
		if (len > left)
			*used = len = left;
		if (memcmp(data, text + l->frame.used, len) != 0)
			l->frame.is_bad = true;
		l->frame.used += len;
		return l->frame.is_bad || len == left;
	default:
		return true;
	}
}

/* Returns how many bytes are left for the replies. */
static size_t greet(struct engine *e, struct link *l, const char *data,
		    size_t len, int64_t now)
{
	size_t used;

	if (!take_banner(e, l, data, len, &used))
		return 0;
	if (l->frame.is_bad) {
		link_fail(e, l, ERROR_BANNER, EBADMSG, now);
		return 0;
	}
	link_ready(e, l, now);
	return len - used;
}

/* Returns whether the connection is still the same. */
static bool take(struct engine *e, struct link *l, size_t len, int64_t now)
{
	const char *data = e->in;
	size_t left = len;

	l->last_at = now;
	if (now >= e->measure_at)
		e->now->books.bytes_in += len;
	if (l->is_silent)
		return true;
	if (l->state == LINK_BANNER) {
		left = greet(e, l, data, len, now);
		data += len - left;
	}
	if (left > 0 && l->state == LINK_OPEN)
		replies_take(e, l, data, left, now);
	if (l->is_done) {
		link_done(e, l, now);
		return false;
	}
	if (l->state == LINK_OPEN)
		link_send(e, l, now);
	return l->fd >= 0;
}

static void end(struct engine *e, struct link *l, int error, int64_t now)
{
	enum error_phase phase = l->state == LINK_BANNER ? ERROR_BANNER
				 : l->open > 0		 ? ERROR_REPLY
							 : ERROR_BETWEEN;

	link_fail(e, l, phase, error, now);
}

void link_receive(struct engine *e, struct link *l, bool has_ended)
{
	ssize_t n;

	if (!l->is_silent &&
	    (e->plan->mode == PLAN_UPLOAD || e->plan->mode == PLAN_DOWNLOAD)) {
		oneway_receive(e, l);
		return;
	}
	do {
		n = recv(l->fd, e->in, ENGINE_BUFFER, MSG_DONTWAIT);
		if (n > 0 && !take(e, l, (size_t)n, now_ns()))
			return;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n == 0 || (n < 0 && errno != EINTR)) {
			end(e, l, n == 0 ? 0 : errno, now_ns());
			return;
		}
	} while (n < 0 || n == ENGINE_BUFFER || has_ended);
}
