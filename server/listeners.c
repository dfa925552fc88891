/* SPDX-License-Identifier: MIT */
/*
 * The same address twice is an error here; two names of one address are found
 * when it is bound.
 */
#include "listeners.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <weir.h>

#include "../cli/cli.h"
#include "activation.h"
#include "services.h"

static const char *service_name_at(size_t i)
{
	const struct service *s = service_at(i);

	return s ? s->name : NULL;
}

static void report_unknown_service(const char *name, int len)
{
	const struct service *s;
	char known[256] = "known are: ";
	size_t used = strlen(known);

	for (size_t i = 0; (s = service_at(i)) && used < sizeof(known); i++)
		used += (size_t)snprintf(known + used, sizeof(known) - used,
					 "%s%s", i > 0 ? ", " : "", s->name);
	cli_report_unknown("service", name, (size_t)len, service_name_at,
			   known);
}

/* The number of fd:N is for the library to check. */
static bool is_fd_name(const char *where)
{
	return strncmp(where, "fd:", 3) == 0 &&
	       where[3 + strspn(where + 3, "0123456789")] != '\0';
}

static void report_address(const struct listener *l, const char *wrong)
{
	if (l->service)
		cli_error("bad address '%s' in '%s': %s", l->where, l->spec,
			  wrong);
	else
		cli_error("%s: bad address '%s': %s", l->spec, l->where, wrong);
}

/* A name that service managers permit, and that is none of ours. */
static bool check_fd_name(const struct listener *l)
{
	const char *name = l->where + strlen("fd:");
	char wrong[128];
	size_t len = 0;

	while (len < FD_NAME_ROOM && name[len] >= ' ' && name[len] <= '~' &&
	       name[len] != ':')
		len++;
	if (len < FD_NAME_ROOM && name[len] == '\0' &&
	    name[0] != ACTIVATION_OURS)
		return true;
	snprintf(wrong, sizeof(wrong),
		 "the name of a socket has at most %d printable ASCII "
		 "characters, no colon and no '%c' in front",
		 FD_NAME_ROOM - 1, ACTIVATION_OURS);
	report_address(l, wrong);
	return false;
}

static bool parse_where(struct listener *ret)
{
	char wrong[128];

	if (is_fd_name(ret->where)) {
		ret->is_named = true;
		ret->kind = WEIR_ADDRESS_FD;
		return check_fd_name(ret);
	}
	ret->kind = weir_address_check(ret->where, WEIR_TO_LISTEN, wrong,
				       sizeof(wrong));
	if (ret->kind < 0)
		report_address(ret, wrong);
	return ret->kind >= 0;
}

static bool parse_additions(struct listener *ret, const char *from)
{
	while (*from == '+') {
		size_t len = strcspn(++from, "+@");
		bool is_proxy = len == 5 && memcmp(from, "proxy", len) == 0;
		bool is_tls = len == 3 && memcmp(from, "tls", len) == 0;
		const char *wrong = NULL;

		if (!is_proxy && !is_tls)
			wrong = "unknown '+%.*s' in '%s'; known are +proxy and "
				"+tls";
		else if (is_proxy ? ret->has_proxy : ret->has_tls)
			wrong = "'+%.*s' is given twice in '%s'";
		else if (is_proxy && ret->has_tls)
			wrong = "'+%.*s' comes before +tls, unlike in '%s': "
				"the header is not encrypted";
		if (wrong) {
			cli_error(wrong, (int)len, from, ret->spec);
			return false;
		}
		ret->has_proxy |= is_proxy;
		ret->has_tls |= is_tls;
		from += len;
	}
	return true;
}

static bool parse_listener(struct listener *ret, const char *spec)
{
	const char *at = strchr(spec, '@');
	size_t name_len = strcspn(spec, "+@");

	if (!at) {
		cli_error("'%s' is not SERVICE@ADDRESS, as in %s", spec,
			  LISTENERS_DEFAULT);
		return false;
	}
	*ret = (struct listener){
		.spec = spec,
		.where = at + 1,
		.service = service_find(spec, name_len),
	};
	if (!ret->service) {
		report_unknown_service(spec, (int)name_len);
		return false;
	}
	return parse_additions(ret, spec + name_len) && parse_where(ret);
}

bool listeners_parse_option(struct listener *ret, const char *option,
			    const char *where)
{
	*ret = (struct listener){ .spec = option, .where = where };
	return parse_where(ret);
}

/* With port 0, each has another port. */
static bool is_same(const struct listener *a, const struct listener *b)
{
	const char *port = strrchr(a->where, ':') + 1;
	const char *other_port = strrchr(b->where, ':') + 1;

	if (a->kind != b->kind)
		return false;
	if (a->is_named != b->is_named)
		return false;
	if (a->kind == WEIR_ADDRESS_UNIX || a->is_named)
		return strcmp(a->where, b->where) == 0;
	if (atoi(port) != atoi(other_port))
		return false;
	if (a->kind == WEIR_ADDRESS_FD)
		return true;
	return atoi(port) != 0 && port - a->where == other_port - b->where &&
	       strncasecmp(a->where, b->where, (size_t)(port - a->where)) == 0;
}

static bool check_last_is_new(const struct listeners *l)
{
	const struct listener *last = &l->all[l->count - 1];

	for (size_t i = 0; i < l->count - 1; i++) {
		if (!is_same(&l->all[i], last))
			continue;
		cli_error("the address of '%s' is given twice, first in '%s'; "
			  "each listener needs its own",
			  last->spec, l->all[i].spec);
		return false;
	}
	return true;
}

bool listeners_append(struct listeners *l, const struct listener *new)
{
	struct listener *all =
		reallocarray(l->all, l->count + 1, sizeof(*l->all));

	if (!all) {
		cli_error("out of memory");
		return false;
	}
	l->all = all;
	all[l->count++] = *new;
	return check_last_is_new(l);
}

bool listeners_parse(struct listeners *ret, int count, char **specs)
{
	static char preset[] = LISTENERS_DEFAULT;
	char *presets[] = { preset };

	if (count == 0) {
		count = 1;
		specs = presets;
	}
	*ret = (struct listeners){ 0 };
	for (int i = 0; i < count; i++) {
		struct listener l;

		if (!parse_listener(&l, specs[i]) || !listeners_append(ret, &l))
			return false;
	}
	return true;
}

bool listeners_use(const struct listeners *l, unsigned what)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->all[i].service->uses & what)
			return true;
	return false;
}

bool listeners_have(const struct listeners *l, const struct service *service)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->all[i].service == service)
			return true;
	return false;
}

bool listener_is_abstract(const struct listener *l)
{
	return l->kind == WEIR_ADDRESS_UNIX && l->where[strlen("unix:")] == '@';
}

const char *address_path(const char *where)
{
	const size_t len = strlen("unix:");

	return where && strncmp(where, "unix:", len) == 0 && where[len] != '@'
		       ? where + len
		       : NULL;
}

bool listeners_have_file(const struct listeners *l)
{
	for (size_t i = 0; i < l->count; i++)
		if (address_path(l->all[i].where))
			return true;
	return false;
}

bool listeners_have_unix(const struct listeners *l)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->all[i].kind == WEIR_ADDRESS_UNIX)
			return true;
	return false;
}

bool listeners_have_proxy(const struct listeners *l)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->all[i].has_proxy)
			return true;
	return false;
}

const struct listener *listeners_tls(const struct listeners *l)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->all[i].has_tls)
			return &l->all[i];
	return NULL;
}

void listeners_fini(struct listeners *l)
{
	free(l->all);
	*l = (struct listeners){ 0 };
}
