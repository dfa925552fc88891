/* SPDX-License-Identifier: MIT */
/*
 * Scenes of the failure sweep for what happens seldom: the other input calls,
 * paths that are taken, peers that are gone or take little, a stop that finds
 * a full house, descriptors that are given to weir_dial(), calls that are
 * wrong.  Each is played like those of sweep_scenes.c.
 */
#include "sweep_stage.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/un.h>

#define GRACE_MS (600 * slowness())

/* ------------------------------------------------------- input in all ways */

#define EXACT 200

static ssize_t looks(weir_conn *c, char *buf)
{
	const void *data;
	ssize_t n = weir_conn_peek(c, &data, 3);

	if (n <= 0)
		return n;
	memcpy(buf, data, 3);
	return weir_conn_consume(c, 3) < 0 ? -EINVAL : 3;
}

static ssize_t reads_next(weir_conn *c, char *buf, size_t cap, intptr_t step)
{
	switch (step) {
	case 0:
		return weir_conn_read_line(c, buf, cap);
	case 1:
		return weir_conn_read_exact(c, buf, EXACT);
	case 2:
		return weir_conn_read_until(c, buf, cap, "||", 2);
	case 3:
		return looks(c, buf);
	default:
		return weir_conn_read(c, buf, cap);
	}
}

static void expects_error(int rc, const char *what)
{
	if (rc >= 0)
		sweep_fails("%s is taken for right", what);
}

/* Who has cut its own connection is told so by every call. */
static int cuts_itself(weir_conn *c)
{
	char buf[EXACT];

	(void)weir_conn_cancel(c);
	for (intptr_t step = 0; step < 5; step++)
		expects_error((int)reads_next(c, buf, sizeof(buf), step),
			      "a call after the end");
	return 0;
}

/* One call after the other; what it gives is sent back. */
static int answers_each(weir_conn *c, void *arg)
{
	char buf[EXACT + 100];

	(void)arg;
	for (;;) {
		intptr_t step = (intptr_t)weir_conn_data(c);
		ssize_t n = reads_next(c, buf, sizeof(buf), step);
		int rc;

		if (n == 0 && step > 3)
			return cuts_itself(c);
		if (n <= 0)
			return (int)n;
		weir_conn_set_data(c, (void *)(step + 1), NULL);
		rc = weir_conn_write(c, buf, (size_t)n);
		if (rc < 0)
			return rc;
	}
}

static void reads(const struct weir_service *service)
{
	struct stage st = { .banner = "" };
	struct peer p[2];
	char exact[EXACT + 1];

	memset(exact, 'x', EXACT);
	exact[EXACT] = '\0';
	if (!stage_opens(&st, "127.0.0.1:0", WEIR_CONFIG(.workers = 3),
			 service))
		return;
	for (int i = 0; i < 2; i++)
		p[i] = peer_opens(&st);
	peer_says(&p[0], "line\nxx");
	peer_hears(&p[0], "line\n");
	peer_says(&p[0], exact + 2);
	peer_hears(&p[0], exact);
	peer_says(&p[0], "until|");
	SOON(stage_parked(&st) == 2 || service->session);
	peer_says(&p[0], "|pe");
	peer_hears(&p[0], "until||");
	peer_says(&p[0], "ekaboo");
	peer_hears(&p[0], "peekaboo");
	peer_says(&p[0], "rest");
	peer_hears(&p[0], "rest");
	peer_says(&p[1], "half a line");
	for (int i = 0; i < 2; i++)
		peer_finishes(&p[i]);
	peer_hears(&p[1], "half a line");
	for (int i = 0; i < 2; i++)
		peer_ends(&p[i]);
	stage_closes(&st, GRACE_MS);
}

void sweep_reads(void)
{
	reads(WEIR_SERVICE(.readable = answers_each));
	if (sweep_made() == 0)
		reads(WEIR_SERVICE(.session = answers_each, .line_max = 100));
}

/* ------------------------------------------------------------ wrong calls */

void sweep_misuse(void)
{
	struct stage st = { .banner = "" };
	const struct weir_config sizeless = { .size = 0 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), rc;
	struct weir_address found;
	weir_server *s;
	weir_conn *c;
	char name[64];

	expects_error(weir_server_new(&s, WEIR_CONFIG(.workers = -1)),
		      "a negative number of workers");
	expects_error(weir_server_new(&s, &sizeless), "a size of 0");
	expects_error(weir_dial(&c, "nowhere", 100), "no address");
	expects_error(weir_resolve(&found, 1, "nowhere", 100), "no address");
	expects_error(weir_reverse(name, sizeof(name), "nowhere", 100),
		      "no address");
	expects_error(weir_reverse(name, sizeof(name), "localhost:1", 100),
		      "a name in place of a number");
	if (!stage_makes(&st, NULL)) {
		close(fd);
		return;
	}
	snprintf(name, sizeof(name), "fd:%d", fd);
	expects_error(
		weir_server_listen(st.weir, name,
				   WEIR_SERVICE(.readable = sweep_answers)),
		"a socket that does not listen");
	close(fd);
	expects_error(
		weir_server_listen(st.weir, "nowhere",
				   WEIR_SERVICE(.readable = sweep_answers)),
		"no address");
	expects_error(weir_server_listen(st.weir, "127.0.0.1:0",
					 WEIR_SERVICE(.line_max = 1)),
		      "a service without a callback");
	if (!stage_listens(&st, "127.0.0.1:0",
			   WEIR_SERVICE(.readable = sweep_answers)))
		return;
	weir_server_stop(st.weir, 0);
	rc = weir_server_run(st.weir, WEIR_SIGNALS);
	stage_expects(rc, "run after a stop");
	weir_server_free(st.weir);
}

/* --------------------------------------------------------- paths in use */

static void is_refused(const char *where)
{
	struct stage st = { .banner = "" };
	int rc;

	if (!stage_makes(&st, NULL))
		return;
	rc = weir_server_listen(st.weir, where,
				WEIR_SERVICE(.readable = sweep_answers));
	/* Nobody knows whether it is in use if nobody can be asked. */
	if (rc >= 0 && sweep_made() == 0)
		sweep_fails("%s was free", where);
	weir_server_free(st.weir);
}

static int takes_path(const char *path, int type)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	memcpy(at.sun_path, path, strlen(path) + 1);
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		sweep_fails("%s: %s", path, strerror(errno));
	return fd;
}

void sweep_taken_paths(void)
{
	char folder[] = "/tmp/sweep-XXXXXX", where[64];
	const char *path = where + 5;
	int fd;

	if (!mkdtemp(folder))
		sweep_fails("no folder");
	snprintf(where, sizeof(where), "unix:%s/s", folder);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	is_refused(where);
	close(fd);
	unlink(path);
	for (int i = 0; i < 2; i++) {
		fd = takes_path(path, i ? SOCK_DGRAM : SOCK_STREAM);
		(void)listen(fd, 1);
		is_refused(where);
		close(fd);
		unlink(path);
	}
	rmdir(folder);
}

/* -------------------------------------------------------------- peers */

static void wants_and_ends(struct stage *st, const char *line,
			   const char *answer)
{
	struct peer p = peer_opens(st);

	peer_says(&p, line);
	peer_hears(&p, answer);
	peer_ends(&p);
}

/* Their names must be asked for, also when a failure of theirs is told. */
void sweep_unix_peers(void)
{
	struct stage st = { .banner = "" };
	char ten[11] = "";
	char names[620];

	memcpy(ten, sweep_big() + SWEEP_BIG - 10, 10);
	snprintf(names, sizeof(names), "names\n%600slast\n", "");
	if (!stage_opens(&st, own_unix_address(), WEIR_CONFIG(.workers = 2),
			 WEIR_SERVICE(.readable = sweep_answers)))
		return;
	wants_and_ends(&st, "names\nlast\n", names);
	wants_and_ends(&st, "fail\n", "");
	wants_and_ends(&st, "short\n", ten);
	stage_closes(&st, GRACE_MS);
}

/* A session says more than is taken, and wants to read on. */
static void reads_slowly(size_t outbox_max, const char *more,
			 const char *answer)
{
	struct stage st = { .banner = "" };
	struct peer p;

	if (!stage_opens(&st, "127.0.0.1:0", WEIR_CONFIG(.workers = 2),
			 WEIR_SERVICE(.session = sweep_answers,
				      .outbox_max = outbox_max)))
		return;
	p = peer_opens_at(&st, st.address, 2048);
	peer_says(&p, "big\n");
	peer_says(&p, more);
	SOON(peer_is_told(&p));
	peer_hears_bytes(&p, sweep_big(), SWEEP_BIG);
	peer_hears(&p, answer);
	peer_finishes(&p);
	peer_ends(&p);
	stage_closes(&st, GRACE_MS);
}

/* With too much unsent to be given input; with less, and other threads' too. */
void sweep_slow_reader(void)
{
	reads_slowly(SWEEP_BIG * 3 / 2, "more\n", "more\n");
	if (sweep_made() == 0)
		reads_slowly(SWEEP_BIG * 4, "later\n", "later\nawake\n");
}

/* While the only worker listens to another, one comes, speaks and resets. */
void sweep_gone(void)
{
	struct stage st = { .banner = "" };
	const struct linger reset = { .l_onoff = 1 };
	struct peer busy, gone;

	if (!stage_opens(&st, "127.0.0.1:0", WEIR_CONFIG(.workers = 1),
			 WEIR_SERVICE(.session = sweep_answers)))
		return;
	busy = peer_opens(&st);
	peer_says(&busy, "first\n");
	peer_hears(&busy, "first\n");
	gone = peer_opens(&st);
	peer_says(&gone, "in vain\n");
	SOON(stage_queued(&st) > 0);
	setsockopt(gone.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(gone.fd);
	peer_finishes(&busy);
	peer_ends(&busy);
	stage_closes(&st, GRACE_MS);
}

/* One has the only place, one waits in the backlog, a stop begins. */
static void held(bool is_let_in)
{
	struct stage st = { .banner = "", .may_refuse = true };
	struct peer a, b;

	if (!stage_opens(&st, "127.0.0.1:0",
			 WEIR_CONFIG(.workers = 1, .max_connections = 1),
			 WEIR_SERVICE(.session = sweep_answers)))
		return;
	a = peer_opens(&st);
	peer_says(&a, "first\nhalf a");
	peer_hears(&a, "first\n");
	b = peer_opens(&st);
	peer_says(&b, "second\n");
	weir_server_stop(st.weir, is_let_in ? GRACE_MS : 50);
	if (is_let_in) {
		peer_says(&a, " line\n");
		peer_hears(&a, "half a line\n");
		peer_finishes(&a);
		peer_ends(&a);
		peer_hears(&b, "second\n");
		peer_ends(&b);
	} else {
		if (a.is_lost) /* it left its place to the other */
			peer_hears(&b, "second\n");
		peer_ends(&b);
		peer_leaves(&a);
	}
	stage_is_over(&st);
}

void sweep_held_in_stop(void)
{
	held(false);
	if (sweep_made() == 0)
		held(true);
}

/* ------------------------------------------------------------- to dial */

static weir_conn *dials_given(int fd)
{
	weir_conn *c = NULL;
	char where[16];
	int rc;

	snprintf(where, sizeof(where), "fd:%d", fd);
	rc = weir_dial(&c, where, 100);
	stage_expects(rc, "dial");
	if (rc < 0)
		close(fd); /* it is still ours */
	return rc < 0 ? NULL : c;
}

static void takes_all(int fd)
{
	char waste[4096];

	while (recv(fd, waste, sizeof(waste), MSG_DONTWAIT) > 0)
		;
}

/* A pair of sockets, the other end in our hands: taken, full and broken. */
void sweep_dial_given(void)
{
	int pair[2], pipes[2];
	char line[16], where[16];
	weir_conn *c;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		sweep_fails("no pipe for the test itself");
	snprintf(where, sizeof(where), "fd:%d", pipes[0]);
	expects_error(weir_dial(&c, where, 100), "a pipe");
	close(pipes[0]);
	close(pipes[1]);
	for (int round = 0; round < 3; round++) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) <
		    0)
			sweep_fails("no sockets for the test itself");
		c = dials_given(pair[0]);
		if (c && round == 0) {
			(void)send(pair[1], "hello\n", 6, MSG_NOSIGNAL);
			(void)weir_conn_read_line(c, line, sizeof(line));
			for (int i = 0; i < 10; i++)
				(void)weir_conn_write(c, sweep_big(),
						      SWEEP_BIG / 2);
			(void)weir_conn_shutdown(c, SHUT_WR);
			expects_error(weir_conn_sendfile(c, sweep_file(), 0, 1),
				      "output after its end");
			takes_all(pair[1]);
		} else if (c && round == 1) {
			weir_conn_set_timeout(c, WEIR_TIMEOUT_WRITE, 20);
			for (int i = 0; i < 20; i++)
				(void)weir_conn_write(c, sweep_big(),
						      SWEEP_BIG / 4);
		} else if (c) {
			close(pair[1]);
			(void)weir_conn_sendfile(c, sweep_file(), 0, 100);
			(void)weir_conn_flush(c);
		}
		weir_conn_unref(c);
		if (!c || round < 2)
			close(pair[1]);
	}
}

/* So many that nobody more is let in. */
static void fills(int *fds, int count, const struct sockaddr *at, socklen_t len)
{
	for (int i = 0; i < count; i++) {
		fds[i] = socket(at->sa_family,
				SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)connect(fds[i], at, len);
	}
}

static void dials_in_vain(const char *where)
{
	weir_conn *c;

	expects_error(weir_dial(&c, where, 50), "a full house");
}

/* Nobody accepts, and the backlog has room for one. */
void sweep_dial_full(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t len = sizeof(in);
	int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char folder[] = "/tmp/sweep-XXXXXX", where[64];
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fds[4];

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listening, (struct sockaddr *)&in, sizeof(in)) < 0 ||
	    listen(listening, 0) < 0 ||
	    getsockname(listening, (struct sockaddr *)&in, &len) < 0)
		sweep_fails("no listening socket");
	fills(fds, 4, (struct sockaddr *)&in, sizeof(in));
	snprintf(where, sizeof(where), "127.0.0.1:%d", ntohs(in.sin_port));
	dials_in_vain(where);
	close(listening);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	if (!mkdtemp(folder))
		sweep_fails("no folder");
	snprintf(where, sizeof(where), "unix:%s/s", folder);
	listening = takes_path(where + 5, SOCK_STREAM);
	if (listen(listening, 0) < 0)
		sweep_fails("no listening socket");
	memcpy(un.sun_path, where + 5, strlen(where + 5) + 1);
	fills(fds, 4, (struct sockaddr *)&un, sizeof(un));
	dials_in_vain(where);
	is_refused(where);
	close(listening);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	unlink(where + 5);
	rmdir(folder);
}
