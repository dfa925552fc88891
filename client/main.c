/* SPDX-License-Identifier: MIT */
/*
 * weir-client: options -> command -> exit status.
 *
 * A signal that ends us outside the line editor finds nothing to tidy up: the
 * kernel closes the connection, and nothing that was printed waits in a
 * buffer.  So its handler says what happened and leaves at once.
 */
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "../cli/cli.h"
#include "editor.h"
#include "options.h"
#include "talk.h"

static const struct command commands[] = {
	{ "talk", "hold a conversation: a message, its reply, and so on",
	  talk },
	{ .name = NULL },
};

static void leave(int signo)
{
	static const char text[] = "weir-client: interrupted\n";
	ssize_t rc = 0;

	/* The prompt is on this line, or the terminal has put ^C there. */
	if (isatty(STDERR_FILENO) && (signo == SIGINT || editor_is_shown()))
		rc = write(STDERR_FILENO, "\n", 1);
	if (rc >= 0)
		rc = write(STDERR_FILENO, text, sizeof(text) - 1);
	_exit(CLI_FAILED);
}

static void set_signals(void)
{
	struct sigaction action = { .sa_handler = leave };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
}

int main(int argc, char **argv)
{
	struct options options;
	int status;

	set_signals();
	cli_start("weir-client");
	status = options_parse(&options, commands, argc, argv);
	return status < 0 ? options.command->run(&options) : status;
}
