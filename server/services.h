/* SPDX-License-Identifier: MIT */
/*
 * The services by name.  To add one, write svc_NAME.c with a function
 * svc_NAME() and add a row to the table in services.c.
 */
#ifndef SERVER_SERVICES_H
#define SERVER_SERVICES_H

#include <stdbool.h>
#include <stddef.h>

#include <weir.h>

struct options;

enum {
	SERVICE_GREETING = 1,
	SERVICE_FILE = 2,
	SERVICE_PATIENT = 4,   /* no idle timeout, unless --idle-timeout */
	SERVICE_TERMINAL = 8,  /* standard input, where an operator types */
	SERVICE_UPSTREAM = 16, /* --to */
};

/* The longest message that is printed, or line in a room, in bytes. */
#define SERVICE_MESSAGE 1024

#define GREET_GREETING	 "Got your connection"
#define REPLY_GREETING	 "Connect"
#define WELCOME_GREETING "Welcome"

/*
 * Set the callbacks in *ret, which has the limits already; once for each
 * listener.  o outlives the server.
 */
typedef void service_define(struct weir_service *ret, const struct options *o);

struct service {
	const char *name;
	const char *help;
	unsigned uses; /* SERVICE_... */
	service_define *define;
	const char *greeting; /* the default; NULL: sends none */
};

/* NULL if there is none.  name need not end with a NUL. */
const struct service *service_find(const char *name, size_t len);

/* i counts from 0; NULL after the last. */
const struct service *service_at(size_t i);

int service_greet(weir_conn *c, const struct options *o, const char *preset);

/*
 * One line on standard output.  Bytes that are neither printable ASCII nor
 * UTF-8 are escaped.  Returns false if the line is lost, which is logged.
 */
bool service_print(const char *mark, const char *message, size_t len);

/* The length without the newline, or CR LF, at the end. */
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
service_define svc_relay;
service_define svc_room;
service_define svc_welcome;

#endif
