/* SPDX-License-Identifier: MIT */
/*
 * A command of weir-client: what main() knows of it.
 */
#ifndef CLIENT_COMMAND_H
#define CLIENT_COMMAND_H

/*
 * Does the work; argv[0] is the command's own name.  Returns the exit status,
 * after at most one complaint.
 */
typedef int client_command(int argc, char **argv);

struct command {
	const char *name;
	const char *help; /* one line */
	client_command *run;
};

client_command chat;
client_command fetch;
client_command load;
client_command send_text;
client_command talk;

#endif
