/* SPDX-License-Identifier: MIT */
/*
 * The greeting service: sends a greeting and closes.  What the client sends is
 * ignored; the library makes sure that the greeting is delivered all the same.
 */
#include "services.h"

static int greet(weir_conn *c, void *arg)
{
	return service_greet(c, arg, GREET_GREETING);
}

void svc_greet(struct weir_service *ret, const struct options *o)
{
	ret->opened = greet;
	ret->readable = greet; /* required; never called */
	ret->arg = (void *)o;
}
