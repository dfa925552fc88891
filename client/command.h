/* SPDX-License-Identifier: MIT */
/*
 * The commands of weir-client, as main() sees them.
 */
#ifndef CLIENT_COMMAND_H
#define CLIENT_COMMAND_H

/* argv[0] is the name of the command.  Returns the exit status. */
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
