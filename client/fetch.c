/* SPDX-License-Identifier: MIT */
/*
 * fetch: send "Client connected", and write what arrives to a file.
 *
 * In this protocol only the end of input marks the end of the file, and the
 * input of a server that is killed ends in the same way.  The user may know the
 * size, or that a closing text must be there.
 *
 * Main thread only.
 */
#include "command.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <weir.h>

#include "../cli/cli.h"
#include "../cli/stream.h"
#include "options.h"
#include "part_file.h"
#include "peer.h"
#include "progress.h"

#define TICK_MS	   200 /* between two updates of the progress line */
#define READ_SIZE  ((size_t)64 * 1024)
#define SIZE_LIMIT (INT64_MAX / 10 - 1)

static const char request[] = "Client connected";
static const char thanks[] = "Thank you for connecting";
#define THANKS_LEN (sizeof(thanks) - 1)

struct fetch {
	struct peer peer;
	struct part_file file;
	int64_t size; /* -1: not known */
	bool strip_thanks;
	size_t held;	       /* bytes in data that may be the closing text */
	char last[THANKS_LEN]; /* the latest bytes written, or zeros */
	char data[THANKS_LEN + READ_SIZE];
};

static ssize_t fetch_receive(struct fetch *f)
{
	int64_t began_at = progress_elapsed();
	int limit = f->peer.timeout_ms;
	ssize_t n;

	for (;;) {
		int64_t left = limit - (progress_elapsed() - began_at);
		bool is_last = limit >= 0 && left <= TICK_MS;

		n = peer_read(&f->peer, f->data + f->held, READ_SIZE,
			      is_last ? (left > 0 ? (int)left : 1) : TICK_MS);
		progress_update(f->file.len);
		if (n != -ETIMEDOUT || is_last)
			return n;
	}
}

static void remember_last(struct fetch *f, const char *data, size_t len)
{
	size_t n = len < THANKS_LEN ? len : THANKS_LEN;

	memmove(f->last, f->last + n, THANKS_LEN - n);
	memcpy(f->last + THANKS_LEN - n, data + len - n, n);
}

static int write_held(struct fetch *f, size_t keep)
{
	size_t len = f->held - keep;
	int status = part_file_write(&f->file, f->data, len);

	remember_last(f, f->data, len);
	memmove(f->data, f->data + len, keep);
	f->held = keep;
	return status;
}

static int fail_incomplete(struct fetch *f, const char *reason)
{
	const struct part_file *t = &f->file;
	int status = write_held(f, 0);

	progress_end();
	if (status != CLI_DONE)
		return status;
	if (t->part && t->len > 0)
		cli_error("%s; received %lld bytes, kept in %s", reason,
			  (long long)t->len, t->part);
	else
		cli_error("%s; received %lld bytes", reason, (long long)t->len);
	return CLI_FAILED;
}

static int fail_size(struct fetch *f)
{
	char reason[PEER_REASON];

	snprintf(reason, sizeof(reason), "%s sent %s than %lld bytes",
		 f->peer.address, f->file.len < f->size ? "less" : "more",
		 (long long)f->size);
	return fail_incomplete(f, reason);
}

static int fetch_check_end(struct fetch *f)
{
	char reason[PEER_REASON];
	int64_t len = f->file.len;

	if (f->strip_thanks) {
		if (f->held != THANKS_LEN ||
		    memcmp(f->data, thanks, THANKS_LEN) != 0) {
			snprintf(reason, sizeof(reason),
				 "%s closed without the closing text",
				 f->peer.address);
			return fail_incomplete(f, reason);
		}
		f->held = 0;
	} else if (len == 0 && f->size != 0) {
		return fail_incomplete(f, peer_reason(&f->peer, 0, "", reason));
	}
	return f->size < 0 || len == f->size ? CLI_DONE : fail_size(f);
}

static int transfer(struct fetch *f)
{
	size_t most = f->strip_thanks ? THANKS_LEN : 0;
	char reason[PEER_REASON];

	for (;;) {
		ssize_t n = fetch_receive(f);
		int status;

		if (n < 0)
			return fail_incomplete(f, peer_reason(&f->peer, (int)n,
							      "data", reason));
		if (n == 0)
			return fetch_check_end(f);
		f->held += (size_t)n;
		status = write_held(f, f->held < most ? f->held : most);
		if (status != CLI_DONE)
			return status;
		if (f->size >= 0 && f->file.len > f->size)
			return fail_size(f);
	}
}

static int fetch_report(const struct fetch *f)
{
	bool is_output = strcmp(f->file.path, "-") == 0;
	bool has_thanks =
		!f->strip_thanks && memcmp(f->last, thanks, THANKS_LEN) == 0;
	char took[PROGRESS_TEXT], rate[PROGRESS_TEXT];
	int64_t ms = progress_elapsed();
	double bytes = (double)f->file.len;

	fprintf(is_output ? stream_err() : stream_out(),
		"received %lld bytes in %s, %s/s%s%s%s\n",
		(long long)f->file.len, progress_time(ms, took),
		progress_size(bytes * 1000 / (double)(ms > 0 ? ms : 1), rate),
		is_output ? "" : ": ", is_output ? "" : f->file.path,
		has_thanks ? "; the last 24 are 'Thank you for connecting', "
			     "see --strip-thanks"
			   : "");
	return cli_flush();
}

static int fetch_all(struct fetch *f)
{
	char reason[PEER_REASON];
	int status, rc;

	progress_begin(f->size, f->file.part || !f->file.screen.is_terminal);
	rc = weir_conn_write(f->peer.conn, request, sizeof(request) - 1);
	rc = peer_result(&f->peer, rc);
	if (rc < 0)
		return fail_incomplete(
			f, peer_reason(&f->peer, rc, "progress", reason));
	status = transfer(f);
	progress_end();
	if (status == CLI_DONE)
		status = part_file_finish(&f->file);
	return status == CLI_DONE ? fetch_report(f) : status;
}

static const struct options_operand fetch_operands[] = {
	{ "ADDRESS", "the address", "127.0.0.1:3000" },
	{ .name = NULL },
};

static const struct cli_option fetch_table[] = {
	{ "output", 'o', "PATH",
	  "the file to write (default 'received');\n"
	  "- is standard output" },
	{ "force", 'f', NULL, "replace an existing file" },
	{ "size", 's', "BYTES", "the expected size; another one is a failure" },
	{ "strip-thanks", 'T', NULL,
	  "drop 'Thank you for connecting' at the end;\n"
	  "it is a failure if that is missing" },
	{ "timeout", 't', "DURATION",
	  "longest time to connect, and without input\n"
	  "(default 10s)" },
	PEER_OPTION_ROWS,
	OPTIONS_HELP,
	OPTIONS_VERSION,
	{ .name = NULL },
};

static bool fetch_parse_size(struct fetch *f)
{
	const char *p = optarg;

	f->size = 0;
	do {
		if (*p < '0' || *p > '9' || f->size > SIZE_LIMIT) {
			cli_error("--size: '%s' is not a number of bytes",
				  optarg);
			return false;
		}
		f->size = f->size * 10 + (*p++ - '0');
	} while (*p != '\0');
	return true;
}

static bool fetch_take_option(void *to, int key)
{
	struct fetch *f = to;

	switch (key) {
	case 'o':
		f->file.path = optarg;
		return true;
	case 'f':
		f->file.may_replace = true;
		return true;
	case 's':
		return fetch_parse_size(f);
	case 'T':
		f->strip_thanks = true;
		return true;
	case 't':
		return options_take_timeout(&f->peer.timeout_ms);
	default:
		return peer_take_option(&f->peer, key);
	}
}

static const struct options_syntax fetch_syntax = {
	.command = "fetch",
	.about = "Fetch a file: everything that the server sends, closing text "
		 "included.\n",
	.operands = fetch_operands,
	.table = fetch_table,
	.examples = "  weir-client fetch 127.0.0.1:3000 -o copy\n"
		    "  weir-client fetch 127.0.0.1:3000 --force\n",
	.take = fetch_take_option,
};

int fetch(int argc, char **argv)
{
	static struct fetch f = { .peer.timeout_ms = 10 * 1000,
				  .file.path = "received",
				  .size = -1 };
	int status = options_parse(&fetch_syntax, &f, argc, argv);

	if (status >= 0)
		return status;
	if (!peer_set_address(&f.peer, argv[optind]))
		return CLI_USAGE;
	status = part_file_check(&f.file);
	if (status != CLI_DONE)
		return status;
	status = peer_dial(&f.peer);
	if (status == CLI_DONE)
		status = part_file_open(&f.file);
	if (status == CLI_DONE)
		status = fetch_all(&f);
	part_file_close(&f.file);
	peer_close(&f.peer);
	return status;
}
