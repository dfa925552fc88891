/* SPDX-License-Identifier: MIT */
/*
 * The scenes of the failure sweep in which it matters where a server listens:
 * at a path, at a socket that somebody else made, and at names that are looked
 * up by who dials.
 */
#include "sweep_stage.h"

#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>

#define READABLE WEIR_SERVICE(.readable = sweep_answers)

/* One line and its answer, then the end from both sides. */
static void one_exchange(struct stage *st)
{
	struct peer p = peer_opens(st);

	peer_says(&p, "one\n");
	peer_hears(&p, st->banner);
	peer_hears(&p, "one\n");
	peer_finishes(&p);
	peer_ends(&p);
}

/* ------------------------------------------------------ other addresses */

static void at_path(const char *where, bool was_stale)
{
	struct stage st = { .banner = "", .was_stale = was_stale };

	if (!stage_opens(&st, where, WEIR_CONFIG(.workers = 2), READABLE))
		return;
	one_exchange(&st);
	one_exchange(&st);
	stage_closes(&st, STAGE_GRACE_MS);
}

static void leaves_stale(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(at.sun_path, path, strlen(path) + 1);
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		sweep_fails("%s: %s", path, strerror(errno));
	close(fd);
}

void sweep_unix_socket(void)
{
	char folder[] = "/tmp/sweep-XXXXXX", where[64];

	if (!mkdtemp(folder))
		sweep_fails("no folder");
	snprintf(where, sizeof(where), "unix:%s/s", folder);
	at_path(where, false);
	if (sweep_made() == 0) {
		leaves_stale(where + 5);
		at_path(where, true);
	}
	unlink(where + 5);
	rmdir(folder);
}

void sweep_inherited(void)
{
	struct stage st = { .banner = "" };
	struct sockaddr_in any = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char where[16];

	any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0 ||
	    listen(fd, 10) < 0)
		sweep_fails("no listening socket");
	snprintf(where, sizeof(where), "fd:%d", fd);
	if (!stage_makes(&st, WEIR_CONFIG(.workers = 2)))
		goto out;
	if (!stage_listens(&st, where, READABLE))
		goto out;
	fd = -1; /* it has been taken over */
	if (!stage_starts(&st))
		return;
	one_exchange(&st);
	one_exchange(&st);
	stage_closes(&st, STAGE_GRACE_MS);
out:
	if (fd >= 0)
		close(fd);
}

/* ------------------------------------------------------------- clients */

static void dials(struct stage *st, const char *where)
{
	weir_conn *c = NULL;
	char line[16];
	/* One failure takes a second to get over, many have no end. */
	int limit_ms =
		(sweep_planned()->mode == SWEEP_ONCE ? 5000 : 150) * slowness();
	ssize_t n = weir_dial(&c, where, limit_ms);

	if (n == 0) {
		weir_conn_set_timeout(c, WEIR_TIMEOUT_FIRST_BYTE, limit_ms);
		n = weir_conn_write(c, "hello\n", 6);
		if (n == 0)
			n = weir_conn_read_line(c, line, sizeof(line));
		if (n > 0 && strcmp(line, "hello\n") != 0)
			sweep_fails("the dialled one got \"%s\"", line);
	}
	if (n <= 0)
		st->lost++;
	else
		st->whole++;
	weir_conn_unref(c);
}

void sweep_dial(void)
{
	struct stage st = { .banner = "" };
	struct weir_address found[2];
	char where[32], name[256];

	if (!stage_makes(&st, WEIR_CONFIG(.workers = 2)) ||
	    !stage_listens(&st, "127.0.0.1:0", READABLE) ||
	    !stage_listens(&st, own_unix_address(), READABLE) ||
	    !stage_starts(&st))
		return;
	dials(&st, st.address);
	snprintf(where, sizeof(where), "localhost%s", strrchr(st.address, ':'));
	dials(&st, where);
	dials(&st, own_unix_address());
	stage_expects(weir_resolve(found, 2, where, 2000), "resolve");
	stage_expects(weir_reverse(name, sizeof(name), "127.0.0.1:1", 2000),
		      "reverse");
	stage_expects(weir_host_name(name, sizeof(name)), "host name");
	stage_closes(&st, STAGE_GRACE_MS);
}
