/* SPDX-License-Identifier: MIT */
#include "limits.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "../../../cli/cli.h"
#include "bad_clients.h"

/* Standard streams, epolls, eventfds and output files. */
#define DESCRIPTORS_OWN	 16
#define DESCRIPTORS_EACH 2 /* of a thread */

static size_t count_ports(void)
{
	FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
	long low = 32768, high = 60999;

	if (f) {
		if (fscanf(f, "%ld %ld", &low, &high) != 2 || high < low)
			low = 32768, high = 60999;
		fclose(f);
	}
	return (size_t)(high - low + 1);
}

void limits_find(struct limits *ret, const struct plan *plan)
{
	struct rlimit r;

	ret->connections = (size_t)(plan->connections + plan->idle) +
			   (size_t)bad_clients_count(plan);
	ret->descriptors = ret->connections + DESCRIPTORS_OWN +
			   DESCRIPTORS_EACH * (size_t)(plan->threads + 1);
	ret->ports = strncmp(plan->address, "unix:", 5) ? count_ports() : 0;
	ret->descriptors_allowed = ret->descriptors;
	/* If the limit is unknown, assume that it is high enough. */
	if (getrlimit(RLIMIT_NOFILE, &r) == 0)
		ret->descriptors_allowed =
			r.rlim_max > SIZE_MAX ? SIZE_MAX : (size_t)r.rlim_max;
}

static int raise_descriptors(const struct limits *l)
{
	size_t allowed = l->descriptors_allowed;
	char less[48] = "";
	struct rlimit r;

	if (allowed + l->connections > l->descriptors)
		snprintf(less, sizeof(less), " or ask for %zu fewer",
			 l->descriptors - allowed);
	if (getrlimit(RLIMIT_NOFILE, &r) < 0 || r.rlim_cur >= l->descriptors)
		return CLI_DONE;
	r.rlim_cur = l->descriptors;
	if (l->descriptors > l->descriptors_allowed ||
	    setrlimit(RLIMIT_NOFILE, &r) < 0) {
		cli_error("%zu connections need %zu descriptors and %zu are "
			  "allowed; raise the limit (ulimit -Hn)%s",
			  l->connections, l->descriptors,
			  l->descriptors_allowed, less);
		return CLI_USAGE;
	}
	return CLI_DONE;
}

static int check_ports(const struct plan *plan, const struct limits *l)
{
	size_t sources = plan->source_count > 0 ? plan->source_count : 1;
	size_t needed = (l->connections + l->ports - 1) / l->ports;

	if (needed <= sources)
		return CLI_DONE;
	cli_error("%zu connections to one address need %zu source addresses "
		  "of %zu ports each; name them with --source, as in "
		  "127.0.0.2,127.0.0.3",
		  l->connections, needed, l->ports);
	return CLI_USAGE;
}

int limits_prepare(const struct plan *plan)
{
	struct limits l;
	int status;

	limits_find(&l, plan);
	status = raise_descriptors(&l);
	if (status == CLI_DONE && l.ports > 0)
		status = check_ports(plan, &l);
	return status;
}
