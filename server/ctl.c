/* SPDX-License-Identifier: MIT */
/*
 * A reply is printed when all of it is there: then a slow reader of standard
 * output keeps no server waiting, and a part is not taken for the whole.  Its
 * first line decides the exit status; an error is printed like one of our own.
 */
#include "ctl.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <weir.h>

#include "../cli/cli.h"
#include "../cli/complete.h"
#include "../cli/stream.h"
#include "control.h"

#define CONNECT_MS 5000

static const struct cli_option ctl_table[] = {
	{ "control", 'c', "PATH",
	  "the server's control socket (default\n" CONTROL_DEFAULT ")" },
	{ "json", 'j', NULL, "the reply as JSON, for stats and connections" },
	{ "help", 'h', NULL, "print this help and exit" },
	{ .name = NULL },
};

static const struct {
	const char *name, *argument, *help;
} requests[] = {
	{ "drain", "", "stop as at SIGTERM" },
	{ "reload", "", "read the files of its options again" },
	{ "upgrade", "", "start the program again and hand over to it" },
	{ "stats", "", "print the counters" },
	{ "connections", "", "print the connections that are open" },
	{ "log-level", " [LEVEL]", "print or change the log level" },
	{ "ready", "", "fail unless new clients are served" },
};

void ctl_print_options(void)
{
	stream_print(
		"\nRequests to a running server, weir-server ctl [OPTION]... "
		"REQUEST:\n");
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		stream_print("  %s%-*s %s\n", requests[i].name,
			     18 - (int)strlen(requests[i].name),
			     requests[i].argument, requests[i].help);
	stream_print("\n");
	cli_print_options(ctl_table, stream_out());
}

struct ctl {
	const char *path;
	bool is_json;
	char request[CONTROL_REQUEST_MOST];
};

static int cannot_connect(const struct ctl *ctl, int rc)
{
	if (rc == -ENOENT || rc == -ECONNREFUSED)
		cli_error("no server listens on the control socket '%s'",
			  ctl->path);
	else
		cli_error("cannot connect to the control socket '%s': %s",
			  ctl->path, weir_strerror(rc));
	return CLI_FAILED;
}

static int lost_server(ssize_t rc)
{
	cli_error("no complete reply from the server: %s",
		  rc < 0 ? weir_strerror((int)rc)
			 : "it has closed the connection");
	return CLI_FAILED;
}

/* Returns what the last read did, or -ENOMEM. */
static ssize_t read_reply(weir_conn *c, char **text, size_t *len)
{
	struct stream_memory reply;
	char piece[16384];
	ssize_t n;

	if (!stream_memory_open(&reply))
		return -ENOMEM;
	while ((n = weir_conn_read(c, piece, sizeof(piece))) > 0)
		if (fwrite(piece, 1, (size_t)n, reply.to) < (size_t)n)
			break;
	*text = stream_memory_close(&reply, len);
	return !*text || n > 0 ? -ENOMEM : n;
}

/* Returns whether it is there, and takes it away. */
static bool take_end(const char *text, size_t *len)
{
	const size_t end = strlen(CONTROL_END);

	if (*len < end || memcmp(text + *len - end, CONTROL_END, end) != 0)
		return false;
	*len -= end;
	return *len == 0 || text[*len - 1] == '\n';
}

static int print_rest(weir_conn *c)
{
	char *text = NULL;
	size_t len = 0;
	ssize_t n = read_reply(c, &text, &len);
	int status = CLI_DONE, rc;

	if (n < 0 || !take_end(text, &len))
		status = lost_server(n);
	else if ((rc = stream_write(STDOUT_FILENO, text, len)) < 0)
		status = cli_output_failed(-rc);
	free(text);
	return status;
}

static int exchange(const struct ctl *ctl, weir_conn *c)
{
	char line[sizeof("error \n") + CLI_ERROR_MOST];
	ssize_t n = weir_conn_printf(c, "%s\n", ctl->request);

	if (n >= 0)
		n = weir_conn_flush(c);
	if (n >= 0)
		n = weir_conn_read_line(c, line, sizeof(line));
	if (n <= 0)
		return lost_server(n);
	if (line[n - 1] != '\n')
		return lost_server(0);
	line[n - 1] = '\0';
	if (strcmp(line, "ok") == 0)
		return print_rest(c);
	cli_error("%s", strncmp(line, "error ", 6) == 0 ? line + 6 : line);
	return CLI_FAILED;
}

static int send_request(const struct ctl *ctl)
{
	char where[256];
	weir_conn *c;
	int rc = -ENAMETOOLONG, status;

	if ((size_t)snprintf(where, sizeof(where), "unix:%s", ctl->path) <
	    sizeof(where))
		rc = weir_dial(&c, where, CONNECT_MS);
	if (rc < 0)
		return cannot_connect(ctl, rc);
	status = exchange(ctl, c);
	weir_conn_free(c);
	return status;
}

static int print_ctl_help(void)
{
	stream_print("Usage: weir-server ctl [OPTION]... REQUEST [ARGUMENT]\n"
		     "Send a request to a running server.\n");
	ctl_print_options();
	stream_print("\nExamples:\n"
		     "  weir-server ctl stats\n"
		     "  weir-server ctl -c /run/weir-server-echo/control "
		     "log-level debug\n");
	return cli_flush();
}

static const char *request_name_at(size_t i)
{
	return i < sizeof(requests) / sizeof(requests[0]) ? requests[i].name
							  : NULL;
}

static bool is_request(const char *name)
{
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		if (strcmp(requests[i].name, name) == 0)
			return true;
	cli_report_unknown("request", name, strlen(name), request_name_at,
			   "see weir-server ctl --help");
	return false;
}

static bool join_words(struct ctl *ctl, int count, char **words)
{
	size_t len = 0;

	if (count == 0) {
		cli_error("ctl: which request? see weir-server ctl --help");
		return false;
	}
	for (int i = 0; i < count && len < sizeof(ctl->request); i++) {
		if (words[i][0] == '\0' || strpbrk(words[i], " \r\n")) {
			cli_error("ctl: '%s' is not one word", words[i]);
			return false;
		}
		len += (size_t)snprintf(ctl->request + len,
					sizeof(ctl->request) - len, "%s%s",
					i > 0 ? " " : "", words[i]);
	}
	if (ctl->is_json && len < sizeof(ctl->request))
		len += (size_t)snprintf(ctl->request + len,
					sizeof(ctl->request) - len, " --json");
	if (len + 1 < sizeof(ctl->request))
		return is_request(words[0]);
	cli_error("ctl: the request is too long");
	return false;
}

static int complete_ctl(int argc, char **argv)
{
	if (!complete_option(ctl_table, argc, argv))
		for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]);
		     i++)
			complete_word(argc, argv, requests[i].name,
				      requests[i].help);
	return cli_flush();
}

int ctl_main(int argc, char **argv)
{
	struct ctl ctl = { .path = CONTROL_DEFAULT };
	int key;

	if (complete_is_asked())
		return complete_ctl(argc, argv);
	while ((key = cli_next(ctl_table, argc, argv)) != CLI_END) {
		if (key == CLI_BAD)
			return CLI_USAGE;
		if (key == 'h')
			return print_ctl_help();
		if (key == 'c')
			ctl.path = optarg;
		else
			ctl.is_json = true;
	}
	if (!join_words(&ctl, argc - optind, argv + optind))
		return CLI_USAGE;
	return send_request(&ctl);
}
