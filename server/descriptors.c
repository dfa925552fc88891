/* SPDX-License-Identifier: MIT */
#include "descriptors.h"

#include <sys/resource.h>

#include <weir.h>

#include "agent.h"
#include "journal.h"
#include "options.h"
#include "services.h"
#include "status/status.h"

#define OTHER_DESCRIPTORS 64

#define REFUSED_DESCRIPTORS 4096

/*
 * Each connection and each worker needs a descriptor, and another to send a
 * file or for the other side of a relay.  Descriptors for refused clients are
 * optional: without them, clients are refused one after the other.
 */
void descriptors_allow(const struct options *o, const struct listeners *l)
{
	const struct weir_config *c = &o->config;
	rlim_t each = listeners_use(l, SERVICE_FILE | SERVICE_UPSTREAM) ? 2 : 1;
	rlim_t need = ((rlim_t)c->max_connections + (rlim_t)c->workers) * each +
		      l->count + OTHER_DESCRIPTORS +
		      (o->status ? STATUS_DESCRIPTORS : 0) +
		      (o->agent ? AGENT_DESCRIPTORS : 0);
	rlim_t want = need;
	struct rlimit limit, raised;

	if (c->overload == WEIR_REFUSE)
		want += REFUSED_DESCRIPTORS;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= want)
		return;
	raised = limit;
	raised.rlim_cur = limit.rlim_max < want ? limit.rlim_max : want;
	if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
		limit = raised;
	if (limit.rlim_cur < need)
		journal(o->has_max_connections ? WEIR_LOG_WARNING
					       : WEIR_LOG_INFO,
			"%llu descriptors are allowed, %llu are needed for %d "
			"connections and %d workers; raise the limit or lower "
			"--max-connections",
			(unsigned long long)limit.rlim_cur,
			(unsigned long long)need, c->max_connections,
			c->workers);
}
