/* SPDX-License-Identifier: MIT */
/*
 * The greeting service: says one thing to whoever connects, and closes.  What
 * the client sends is not looked at; the library takes care that it does not
 * destroy the greeting on its way.
 */
#include "services.h"

static int greet(weir_conn *c, void *arg)
{
	return service_say_greeting(c, arg, GREET_GREETING);
}

void svc_greet(struct weir_service *ret, const struct options *o)
{
	ret->opened = greet;
	ret->readable = greet; /* there must be one; `opened` has closed */
	ret->arg = (void *)o;
}
