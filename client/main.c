/* SPDX-License-Identifier: MIT */
/*
 * weir-client: command -> exit status.
 *
 * A signal that ends the program outside the line editor leaves nothing to
 * clean up: the kernel closes the connection, and no output is buffered.  So
 * its handler prints a line and raises the signal again, so that a shell sees
 * that a signal has ended us.  A signal that is ignored when we start stays
 * ignored, for nohup(1) and cron(8).
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../cli/cli.h"
#include "../cli/complete.h"
#include "../cli/editor.h"
#include "../cli/stream.h"
#include "command.h"
#include "options.h"
#include "progress.h"

static const struct command commands[] = {
	{ "load", "put load on a server and measure it", load },
	{ "talk", "send messages one by one and show each reply", talk },
	{ "chat", "talk with a person or in a room", chat },
	{ "fetch", "download a file", fetch },
	{ "send", "send one message and wait until it has arrived", send_text },
	{ .name = NULL },
};

static const struct cli_option main_table[] = {
	OPTIONS_HELP,
	OPTIONS_VERSION,
	{ .name = NULL },
};

/* Async-signal-safe; gives up on errors. */
static void write_in_handler(const char *text)
{
	ssize_t rc;

	do
		rc = write(STDERR_FILENO, text, strlen(text));
	while (rc < 0 && errno == EINTR);
}

static void on_fatal_signal(int signo)
{
	int saved = errno;

	/* The cursor is after a prompt, the progress line or ^C. */
	if (isatty(STDERR_FILENO) &&
	    (signo == SIGINT || editor_is_shown() || progress_is_shown()))
		write_in_handler("\n");
	write_in_handler("weir-client: interrupted\n");
	errno = saved;
	raise(signo);
	/* The kernel ends no process 1 by a signal of default action. */
	if (getpid() == 1)
		_exit(128 + signo);
}

static void client_set_signals(void)
{
	static const int wanted[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction action = {
		.sa_handler = on_fatal_signal,
		.sa_flags = (int)SA_RESETHAND | SA_NODEFER,
	};
	struct sigaction given;

	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		sigaction(wanted[i], NULL, &given);
		if (given.sa_handler != SIG_IGN)
			sigaction(wanted[i], &action, NULL);
	}
}

static int print_client_help(void)
{
	stream_print("Usage: %s COMMAND ADDRESS [OPTION]...\n"
		     "Talk to TCP servers and load-test them.\n\n"
		     "Commands:\n",
		     cli_program());
	for (const struct command *c = commands; c->name; c++)
		stream_print("  %-8s %s\n", c->name, c->help);
	stream_print("\nEach command has its own options: %s COMMAND "
		     "--help\n\nOptions:\n",
		     cli_program());
	cli_print_options(main_table, stream_out());
	stream_print("\nExamples:\n"
		     "  weir-client talk 127.0.0.1:1234\n"
		     "  weir-client load 127.0.0.1:7007 -c 100 -d 10s\n");
	return cli_flush();
}

static const char *command_name_at(size_t i)
{
	return commands[i].name;
}

static int report_bad_command(const char *name)
{
	char known[128] = "known are: ";
	const size_t start = strlen(known);
	size_t used = start;

	for (const struct command *c = commands; c->name; c++)
		if (used < sizeof(known))
			used += (size_t)snprintf(
				known + used, sizeof(known) - used, "%s%s",
				used > start ? ", " : "", c->name);
	if (!name)
		cli_error("the command is missing, as in weir-client talk "
			  "127.0.0.1:1234");
	else if (name[0] == '-')
		cli_error("the command must come before '%s'; %s", name, known);
	else
		cli_report_unknown("command", name, strlen(name),
				   command_name_at, known);
	return CLI_USAGE;
}

static int complete_command(int argc, char **argv)
{
	if (!complete_option(main_table, argc, argv))
		for (const struct command *c = commands; c->name; c++)
			complete_word(argc, argv, c->name, c->help);
	return cli_flush();
}

int main(int argc, char **argv)
{
	const char *name;

	client_set_signals();
	cli_start("weir-client");
	if (complete_begin(&argc, argv) && argc == 2)
		return complete_command(argc, argv);
	name = argc > 1 ? argv[1] : NULL;
	if (!name)
		return report_bad_command(NULL);
	for (const struct command *c = commands; c->name; c++)
		if (strcmp(name, c->name) == 0)
			return c->run(argc - 1, argv + 1);
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		return print_client_help();
	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
		return options_print_version();
	return report_bad_command(name);
}
