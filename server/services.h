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
};

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
};

/* NULL if there is none; name need not end in a NUL. */
const struct service *service_find(const char *name, size_t len);

/* The i-th from 0; NULL after the last. */
const struct service *service_at(size_t i);

/* Count a client that is being served, and say so in the journal. */
void service_note_client(weir_conn *c);

service_define svc_echo;
service_define svc_reply;

#endif
