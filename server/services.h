/* SPDX-License-Identifier: MIT */
/*
 * The services by name.  A new one is a file svc_NAME.c with one function
 * and a row in the table of services.c.
 */
#ifndef SERVER_SERVICES_H
#define SERVER_SERVICES_H

#include <stddef.h>

#include <weir.h>

struct options;

/* Which options have a meaning for a service. */
enum {
	SERVICE_GREETING = 1,
	SERVICE_FILE = 2,
	SERVICE_PATIENT = 4,  /* silence ends nothing unless --idle-timeout */
	SERVICE_TERMINAL = 8, /* a person talks at standard input */
};

/* The longest message that is printed, and the longest line of a room. */
#define SERVICE_MESSAGE 1024

/* What they say first, unless --greeting says otherwise. */
#define GREET_GREETING	 "Got your connection"
#define REPLY_GREETING	 "Connect"
#define WELCOME_GREETING "Welcome"

/*
 * Fill in the callbacks and their argument; the limits are there already.
 * o outlives the server.
 */
typedef void service_define(struct weir_service *ret, const struct options *o);

struct service {
	const char *name;
	const char *help;
	unsigned uses; /* SERVICE_... */
	service_define *define;
	const char *greeting; /* by default; NULL: says nothing first */
};

/* NULL if there is none; name need not end in a NUL. */
const struct service *service_find(const char *name, size_t len);

/* The i-th from 0; NULL after the last. */
const struct service *service_at(size_t i);

/* Write the greeting that was asked for, or else preset; 0 or -errno. */
int service_say_greeting(weir_conn *c, const struct options *o,
			 const char *preset);

/*
 * Print a message as one line on standard output, mark first: without the
 * newline at its end, and what is neither printable ASCII nor UTF-8 escaped.
 * Never waits; a line that is lost is logged.
 */
void service_print(const char *mark, const char *message, size_t len);

/* The length of a message without the newline, or CR LF, at its end. */
size_t service_trim(const char *message, size_t len);

service_define svc_chargen;
service_define svc_chat;
service_define svc_collect;
service_define svc_daytime;
service_define svc_discard;
service_define svc_echo;
service_define svc_file;
service_define svc_greet;
service_define svc_reply;
service_define svc_room;
service_define svc_welcome;

#endif
