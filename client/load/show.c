/* SPDX-License-Identifier: MIT */
/*
 * load --show: one exchange on one connection, both sides printed as text and
 * hex.  Main thread; the socket is non-blocking and waited for with poll().
 */
#include "load.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../cli/cli.h"
#include "../../cli/stream.h"
#include "engine/payload.h"
#include "engine/secure.h"
#include "engine/target.h"
#include "measure/units.h"

#define SHOWN_MAX 1024 /* bytes of each side that are printed */
/* The longest reply that is kept: that of --expect prefix. */
#define SHOW_MAX  (2 * (size_t)FRAMER_SIZE_MAX + 8)
#define READ_SIZE 65536
#define ROW	  16	     /* bytes in a line */
#define QUIET	  (200 * MS) /* ends a reply of any form */

struct show {
	const struct plan *plan;
	int fd;
	struct ssl_st *tls; /* NULL: in clear */
	struct ssl_session_st *session;
	const char *tls_why; /* of an error of TLS; NULL */
	char *in;	     /* what has come, and was not taken yet */
	size_t in_used, in_size;
};

static void show_print_row(const char *data, size_t at, size_t len)
{
	char hex[3 * ROW + 1] = "", text[ROW + 1] = "";

	for (size_t i = 0; i < len; i++) {
		unsigned char byte = (unsigned char)data[at + i];

		snprintf(hex + 3 * i, 4, "%02x ", byte);
		text[i] = byte >= ' ' && byte < 0x7f ? (char)byte : '.';
	}
	stream_print("  %04zx  %-48s |%s|\n", at, hex, text);
}

static void print_bytes(const char *what, const char *data, size_t len,
			int64_t took)
{
	char time[UNITS_TEXT];

	stream_print("%s %zu byte%s", what, len, len == 1 ? "" : "s");
	if (took >= 0)
		stream_print(" after %s", units_time(took, time));
	stream_print("\n");
	for (size_t at = 0; at < len && at < SHOWN_MAX; at += ROW)
		show_print_row(data, at, len - at < ROW ? len - at : ROW);
	if (len > SHOWN_MAX)
		stream_print("  ... and %zu more\n", len - SHOWN_MAX);
}

static int show_failed(const char *what, int error)
{
	stream_print("failed: %s%s%s\n", what, error ? ": " : "",
		     error ? strerror(error) : "");
	return CLI_FAILED;
}

static int show_bad(const char *why)
{
	stream_print("bad: %s\n", why);
	return CLI_FAILED;
}

/* Returns false if nothing happened until then. */
static bool wait_for(const struct show *s, short events, int64_t until)
{
	struct pollfd p = { .fd = s->fd, .events = events };
	int rc;

	do {
		int64_t left = until - now_ns();
		int64_t ms = left > 0 ? (left + MS - 1) / MS : 0;

		rc = poll(&p, 1, ms < INT32_MAX ? (int)ms : INT32_MAX);
	} while (rc < 0 && errno == EINTR);
	return rc > 0;
}

static int64_t later(int64_t now, int64_t span)
{
	return span < NEVER - now ? now + span : NEVER;
}

/* An error of the connection; 0: its end. */
static int show_lost(const struct show *s, const char *what, int error)
{
	if (error == EPROTO && s->tls) {
		stream_print("failed: %s: %s\n", what, secure_why(s->tls));
		return CLI_FAILED;
	}
	return show_failed(error ? what : "the server closed the connection",
			   error);
}

static int show_connect(struct show *s, const struct target *target)
{
	int64_t from = now_ns(), rtt;
	enum error_phase phase;
	char time[UNITS_TEXT];
	int error;

	s->fd = target_connect(target, 0, &phase, &error);
	if (s->fd < 0)
		return show_failed("cannot connect", error);
	if (error == EINPROGRESS) {
		if (!wait_for(s, POLLOUT,
			      later(from, s->plan->connect_timeout_ns)))
			return show_failed("cannot connect", ETIMEDOUT);
		error = target_connected(target, 0, s->fd, &rtt);
	}
	if (error != 0)
		return show_failed("cannot connect", error);
	stream_print("connected to %s in %s\n", target->text,
		     units_time(now_ns() - from, time));
	return CLI_DONE;
}

static int show_handshake(struct show *s, const struct target *target)
{
	int64_t from = now_ns();
	int64_t until = later(from, s->plan->connect_timeout_ns);
	char text[SECURE_TEXT], time[UNITS_TEXT];
	int rc;

	if (!target->secure)
		return CLI_DONE;
	s->tls = secure_open(target->secure, s->fd, &s->session, false);
	if (!s->tls)
		return show_failed("no TLS", ENOMEM);
	while ((rc = secure_handshake(s->tls)) == 0)
		if (!wait_for(s, POLLIN, until))
			return show_failed("no TLS", ETIMEDOUT);
	if (rc < 0)
		return show_lost(s, "no TLS", errno);
	stream_print("TLS in %s: %s\n", units_time(now_ns() - from, time),
		     secure_describe(s->tls, text));
	return CLI_DONE;
}

static int show_send(struct show *s, const char *data, size_t len)
{
	int64_t until = later(now_ns(), s->plan->timeout_ns);
	size_t sent = 0;
	short events;

	print_bytes("sent", data, len, -1);
	while (sent < len) {
		ssize_t n =
			s->tls ? secure_send(s->tls, data + sent, len - sent)
			       : send(s->fd, data + sent, len - sent,
				      MSG_NOSIGNAL);

		if (n >= 0) {
			sent += (size_t)n;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return show_lost(s, "cannot send", errno);
		events =
			s->tls && secure_wants_input(s->tls) ? POLLIN : POLLOUT;
		if (!wait_for(s, events, until))
			return show_failed("cannot send", ETIMEDOUT);
	}
	return CLI_DONE;
}

enum read_end { READ_SOME, READ_QUIET, READ_END, READ_FAILED };

static bool has_room(struct show *s)
{
	size_t size = 2 * s->in_size + READ_SIZE;
	char *more;

	if (s->in_size - s->in_used >= READ_SIZE)
		return true;
	more = realloc(s->in, size);
	if (!more)
		return false;
	s->in = more;
	s->in_size = size;
	return true;
}

static ssize_t show_read_some(const struct show *s)
{
	char *to = s->in + s->in_used;

	return s->tls ? secure_receive(s->tls, to, READ_SIZE)
		      : recv(s->fd, to, READ_SIZE, MSG_DONTWAIT);
}

static enum read_end read_more(struct show *s, int64_t until)
{
	ssize_t n;

	if (!has_room(s))
		return READ_FAILED;
	while ((n = show_read_some(s)) < 0 &&
	       (errno == EINTR || errno == EAGAIN))
		if (!wait_for(s, POLLIN, until))
			return READ_QUIET;
	if (n < 0 && errno == EPROTO)
		s->tls_why = secure_why(s->tls);
	if (n > 0)
		s->in_used += (size_t)n;
	return n > 0 ? READ_SOME : n == 0 ? READ_END : READ_FAILED;
}

/* NULL: *len and *framing are set; else what is wrong with the reply. */
static const char *read_reply(struct show *s, const struct framer *f,
			      int64_t until, struct framing *framing,
			      size_t *len)
{
	bool is_any = f->kind == FRAMER_ANY;
	int64_t quiet =
		s->plan->expect_quiet_ns ? s->plan->expect_quiet_ns : QUIET;
	int64_t quiet_at;
	size_t used;

	*framing = (struct framing){ .used = 0 };
	*len = 0;
	for (;;) {
		enum framer_result r = FRAMER_MORE;
		enum read_end end;

		if (s->in_used > *len) {
			r = framer_take(f, framing, s->in + *len,
					s->in_used - *len, &used);
			*len += used;
		}
		if (r == FRAMER_WRONG)
			return "it does not have the form that --expect says";
		if (r == FRAMER_END)
			return NULL;
		if (*len > SHOW_MAX)
			return "it is longer than 128 MiB";
		quiet_at = is_any && *len > 0 ? later(now_ns(), quiet) : until;
		end = read_more(s, quiet_at < until ? quiet_at : until);
		if (end == READ_SOME)
			continue;
		if (end == READ_QUIET && is_any && *len > 0)
			return NULL;
		if (end == READ_END && framer_ends_with_input(f, framing))
			return NULL;
		return end == READ_QUIET ? "no complete reply in time"
		       : end == READ_END ? "the server closed the connection "
					   "before the end of a reply"
		       : s->tls_why	 ? s->tls_why
					 : "the connection was lost";
	}
}

static void drop_input(struct show *s, size_t len)
{
	s->in_used -= len;
	memmove(s->in, s->in + len, s->in_used);
}

/* *len is that of the reply, at the start of s->in. */
static const char *show_reply(struct show *s, const char *what,
			      const struct framer *f, struct framing *framing,
			      size_t *len)
{
	int64_t from = now_ns();
	const char *wrong = read_reply(s, f, later(from, s->plan->timeout_ns),
				       framing, len);

	if (s->in_used > 0)
		print_bytes(what, s->in, *len, now_ns() - from);
	return wrong;
}

static struct framer repeated_form(const struct plan *p, size_t size)
{
	size_t form = p->expect == EXPECT_REPLY ? PAYLOAD_REPLY_LEN : 0;

	if (p->payload == PAYLOAD_LINES)
		return (struct framer){ .kind = FRAMER_LINES, .count = 1 };
	return (struct framer){ .kind = FRAMER_LEN, .count = form + size };
}

static const char *judge_repeated(const struct show *s, const char *message,
				  size_t size, size_t len)
{
	size_t form = s->plan->expect == EXPECT_REPLY ? PAYLOAD_REPLY_LEN : 0;

	if (len != form + size || memcmp(s->in, PAYLOAD_REPLY, form) != 0 ||
	    memcmp(s->in + form, message, size) != 0)
		return "it differs from what was expected: see --expect";
	return NULL;
}

static const char *judge_framed(const struct show *s,
				const struct expectation *x,
				const struct framing *framing, size_t len)
{
	struct judge judge;
	const char *wrong = judge_init(&judge, x);

	if (!wrong)
		wrong = judge_reply(&judge, framing, s->in, len);
	judge_fini(&judge);
	return wrong;
}

static int show_framed(struct show *s, const struct expectation *x)
{
	struct framing framing;
	size_t len;
	const char *wrong =
		show_reply(s, "received", &x->framer, &framing, &len);

	if (!wrong)
		wrong = judge_framed(s, x, &framing, len);
	drop_input(s, len);
	return wrong ? show_bad(wrong) : CLI_DONE;
}

static int show_repeated(struct show *s, const char *message, size_t size)
{
	struct framer f = repeated_form(s->plan, size);
	struct framing framing;
	size_t len;
	const char *wrong = show_reply(s, "received", &f, &framing, &len);

	if (!wrong)
		wrong = judge_repeated(s, message, size, len);
	drop_input(s, len);
	return wrong ? show_bad(wrong) : CLI_DONE;
}

static void show_pause(const struct script_step *step)
{
	struct timespec t = { (time_t)(step->pause_ns / SECOND),
			      (long)(step->pause_ns % SECOND) };
	char time[UNITS_TEXT];

	if (step->pause_ns == 0)
		return;
	stream_print("pause of %s\n", units_time(step->pause_ns, time));
	(void)nanosleep(&t, NULL);
}

static int show_exchange(struct show *s, const struct payload *payload,
			 uint64_t seq)
{
	const struct message_id id = { 0, seq };
	const struct load_script *script = s->plan->script;
	const struct expectation *x =
		script ? &script->parts[SCRIPT_LOOP].steps[seq].expected
		       : &s->plan->expected;
	size_t size = payload_size(payload, id);
	char *message = malloc(size);
	int status = CLI_FAILED;

	if (message) {
		payload_fill(payload, id, now_ns(), 0, message, size);
		status = show_send(s, message, size);
	} else {
		cli_error("out of memory");
	}
	if (status == CLI_DONE)
		status = s->plan->expect == EXPECT_FRAMED
				 ? show_framed(s, x)
				 : show_repeated(s, message, size);
	free(message);
	if (status == CLI_DONE && script)
		show_pause(&script->parts[SCRIPT_LOOP].steps[seq]);
	return status;
}

/* Of steps that are not in the loop. */
static int show_step(struct show *s, const struct script_step *step)
{
	const struct message_id id = { 0, 0 };
	size_t size = template_size(&step->text, id);
	char *text = malloc(size + 1);
	int status = CLI_DONE;

	if (!text)
		return show_failed("cannot send", ENOMEM);
	template_fill(&step->text, id, now_ns(), 0, text, size);
	if (step->has_text)
		status = show_send(s, text, size);
	if (step->has_reply && status == CLI_DONE)
		status = show_framed(s, &step->expected);
	free(text);
	if (status == CLI_DONE)
		show_pause(step);
	return status;
}

static int show_part(struct show *s, enum script_part_kind kind)
{
	const struct script_part *part = &s->plan->script->parts[kind];
	int status = CLI_DONE;

	for (size_t i = 0; i < part->count && status == CLI_DONE; i++)
		status = show_step(s, &part->steps[i]);
	return status;
}

static int show_opening(struct show *s)
{
	struct script_step banner;
	int status;

	if (s->plan->script) {
		status = show_part(s, SCRIPT_CONNECT);
		return status == CLI_DONE ? show_part(s, SCRIPT_ONCE) : status;
	}
	if (!plan_banner(s->plan, &banner))
		return show_failed("cannot read the banner", ENOMEM);
	status = show_step(s, &banner);
	expectation_fini(&banner.expected);
	return status;
}

static int show_messages(struct show *s)
{
	const struct load_script *script = s->plan->script;
	uint64_t count = script ? script->parts[SCRIPT_LOOP].count : 1;
	struct payload *payload = malloc(sizeof(*payload));
	int status = payload ? CLI_DONE : show_failed("cannot send", ENOMEM);

	if (payload)
		payload_init(payload, s->plan);
	for (uint64_t i = 0; i < count && status == CLI_DONE; i++)
		status = show_exchange(s, payload, i);
	free(payload);
	if (status != CLI_DONE)
		return status;
	if (s->in_used > 0) {
		print_bytes("after the end of the reply:", s->in, s->in_used,
			    -1);
		return show_bad("bytes came after the reply");
	}
	if (script)
		status = show_part(s, SCRIPT_END);
	if (status == CLI_DONE)
		stream_print("good\n");
	return status;
}

int load_show(const struct plan *plan)
{
	struct show s = { .plan = plan, .fd = -1 };
	struct target target;
	int status = target_resolve(&target, plan);

	if (status != CLI_DONE)
		return status;
	status = show_connect(&s, &target);
	if (status == CLI_DONE)
		status = show_handshake(&s, &target);
	if (status == CLI_DONE)
		status = show_opening(&s);
	if (status == CLI_DONE)
		status = show_messages(&s);
	secure_close(s.tls, true);
	secure_forget(s.session);
	if (s.fd >= 0)
		close(s.fd);
	free(s.in);
	target_fini(&target);
	return status == CLI_DONE ? cli_flush() : (cli_flush(), status);
}
