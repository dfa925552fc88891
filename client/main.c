/* SPDX-License-Identifier: MIT */
/*
 * weir-client: command -> exit status.
 *
 * A signal that ends us outside the line editor finds nothing to tidy up: the
 * kernel closes the connection, and nothing that was printed waits in a
 * buffer.  So its handler says what happened and leaves at once, by the same
 * signal: a shell that runs us in a loop is to know that it was one.  A signal
 * that we were told to ignore stays ignored, as nohup(1) and cron(8) want it.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../cli/cli.h"
#include "../cli/editor.h"
#include "../cli/stream.h"
#include "command.h"
#include "options.h"
#include "progress.h"

static const struct command commands[] = {
	{ "load", "put load on a server and measure it", load },
	{ "talk", "hold a conversation: a message, its reply, and so on",
	  talk },
	{ "chat", "talk with a person, or in a room", chat },
	{ "fetch", "fetch a file", fetch },
	{ "send", "send one message, and see that it arrives", send_text },
	{ .name = NULL },
};

static const struct cli_option table[] = {
	OPTIONS_HELP,
	OPTIONS_VERSION,
	{ .name = NULL },
};

/* In a signal handler: what is not taken is not said. */
static void say(const char *text)
{
	ssize_t rc;

	do
		rc = write(STDERR_FILENO, text, strlen(text));
	while (rc < 0 && errno == EINTR);
}

static void leave(int signo)
{
	int saved = errno;

	/* The prompt or the progress is there, or the terminal has put ^C. */
	if (isatty(STDERR_FILENO) &&
	    (signo == SIGINT || editor_is_shown() || progress_is_shown()))
		say("\n");
	say("weir-client: interrupted\n");
	errno = saved;
	raise(signo);
}

static void set_signals(void)
{
	static const int wanted[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction action = {
		.sa_handler = leave,
		.sa_flags = (int)SA_RESETHAND | SA_NODEFER,
	};
	struct sigaction given;

	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		sigaction(wanted[i], NULL, &given);
		if (given.sa_handler != SIG_IGN)
			sigaction(wanted[i], &action, NULL);
	}
}

static int print_help(void)
{
	stream_print("Usage: %s COMMAND ADDRESS [OPTION]...\n"
		     "Talk to TCP servers, and load them.\n\n"
		     "Commands:\n",
		     cli_program());
	for (const struct command *c = commands; c->name; c++)
		stream_print("  %-8s %s\n", c->name, c->help);
	stream_print(
		"\nEach has its own options: %s COMMAND --help\n\nOptions:\n",
		cli_program());
	cli_print_options(table, stream_out());
	return cli_flush();
}

static int complain(const char *name)
{
	char known[128] = "";
	size_t used = 0;

	for (const struct command *c = commands; c->name; c++)
		if (used < sizeof(known))
			used += (size_t)snprintf(known + used,
						 sizeof(known) - used, "%s%s",
						 used > 0 ? ", " : "", c->name);
	if (!name)
		cli_error("the command is missing; say for instance "
			  "weir-client talk 127.0.0.1:1234");
	else if (name[0] == '-')
		cli_error("the command comes first, then '%s'; there are: %s",
			  name, known);
	else
		cli_error("unknown command '%s'; there are: %s", name, known);
	return CLI_USAGE;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;

	set_signals();
	cli_start("weir-client");
	if (!name)
		return complain(NULL);
	for (const struct command *c = commands; c->name; c++)
		if (strcmp(name, c->name) == 0)
			return c->run(argc - 1, argv + 1);
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		return print_help();
	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
		return options_print_version();
	return complain(name);
}
