/* SPDX-License-Identifier: MIT */
/*
 * Scenarios about addresses: a server that listens at a path, which may be
 * taken, or at an inherited socket, and connections that the server dials, by
 * name or by address.
 */
#include "env.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>

#define READABLE WEIR_SERVICE(.readable = sweep_service)

/* One line, its answer, then the end from both sides. */
static void one_exchange(struct env *st)
{
	struct peer p = peer_open(st);

	peer_send(&p, "one\n");
	peer_expect(&p, st->banner);
	peer_expect(&p, "one\n");
	peer_half_close(&p);
	peer_expect_end(&p);
}

/* ------------------------------------------------------ other addresses */

static void at_path(const char *where, bool was_stale)
{
	struct env st = { .banner = "", .was_stale = was_stale };

	if (!env_open(&st, where, WEIR_CONFIG(.workers = 2), READABLE))
		return;
	one_exchange(&st);
	one_exchange(&st);
	env_close(&st, ENV_GRACE_MS);
}

static void leave_stale(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(at.sun_path, path, strlen(path) + 1);
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		sweep_fail("%s: %s", path, strerror(errno));
	close(fd);
}

void sweep_unix_socket(void)
{
	char folder[FOLDER_ROOM], where[64];

	if (!make_folder(folder))
		sweep_fail("no folder");
	snprintf(where, sizeof(where), "unix:%s/s", folder);
	at_path(where, false);
	if (sweep_failures() == 0) {
		leave_stale(where + 5);
		at_path(where, true);
	}
	unlink(where + 5);
	rmdir(folder);
}

void sweep_inherited(void)
{
	struct env st = { .banner = "" };
	struct sockaddr_in any = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char where[16];

	any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0 ||
	    listen(fd, 10) < 0)
		sweep_fail("no listening socket");
	snprintf(where, sizeof(where), "fd:%d", fd);
	if (!env_make(&st, WEIR_CONFIG(.workers = 2)))
		goto out;
	if (!env_listen(&st, where, READABLE))
		goto out;
	fd = -1; /* it has been taken over */
	if (!env_start(&st))
		return;
	one_exchange(&st);
	one_exchange(&st);
	env_close(&st, ENV_GRACE_MS);
out:
	if (fd >= 0)
		close(fd);
}

/* --------------------------------------------------------- paths in use */

static void is_refused(const char *where)
{
	struct env st = { .banner = "" };
	int rc;

	if (!env_make(&st, NULL))
		return;
	rc = weir_server_listen(st.weir, where,
				WEIR_SERVICE(.readable = sweep_service));
	/* Without a socket to try it, the path may be in use. */
	if (rc >= 0 && sweep_failures() == 0)
		sweep_fail("%s was free", where);
	weir_server_free(st.weir);
}

static int take_path(const char *path, int type)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	memcpy(at.sun_path, path, strlen(path) + 1);
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		sweep_fail("%s: %s", path, strerror(errno));
	return fd;
}

void sweep_taken_paths(void)
{
	char folder[FOLDER_ROOM], where[64];
	const char *path = where + 5;
	int fd;

	if (!make_folder(folder))
		sweep_fail("no folder");
	snprintf(where, sizeof(where), "unix:%s/s", folder);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	is_refused(where);
	close(fd);
	unlink(path);
	for (int i = 0; i < 2; i++) {
		fd = take_path(path, i ? SOCK_DGRAM : SOCK_STREAM);
		(void)listen(fd, 1);
		is_refused(where);
		close(fd);
		unlink(path);
	}
	rmdir(folder);
}

/* ------------------------------------------------------------- clients */

/* One failure delays this by a second; many keep it from ending. */
static int dial_limit_ms(void)
{
	const struct sweep_plan *plan = sweep_planned();
	bool ends = plan->mode == SWEEP_ONCE || sweep_is_harmless(plan->error);

	return (ends ? 5000 : 150) * slowness();
}

static void dial(struct env *st, const char *where)
{
	weir_conn *c = NULL;
	char line[16];
	int limit_ms = dial_limit_ms();
	ssize_t n = weir_dial(&c, where, limit_ms);
	struct weir_poll one = { .events = WEIR_POLL_INPUT };

	if (n == 0) {
		one.conn = c;
		weir_conn_set_timeout(c, WEIR_TIMEOUT_FIRST_BYTE, limit_ms);
		n = weir_conn_write(c, "hello\n", 6);
		if (n == 0)
			n = weir_conn_wait(&one, 1, limit_ms);
		if (n > 0)
			n = weir_conn_read_line(c, line, sizeof(line));
		if (n > 0 && strcmp(line, "hello\n") != 0)
			sweep_fail("the dialled one got \"%s\"", line);
	}
	if (n <= 0)
		st->lost++;
	else
		st->whole++;
	weir_conn_free(c);
}

void sweep_dial(void)
{
	struct env st = { .banner = "" };
	struct weir_address found[2];
	char where[32], name[256];

	if (!env_make(&st, WEIR_CONFIG(.workers = 2)) ||
	    !env_listen(&st, "127.0.0.1:0", READABLE) ||
	    !env_listen(&st, own_unix_address(), READABLE) || !env_start(&st))
		return;
	dial(&st, st.address);
	snprintf(where, sizeof(where), "localhost%s", strrchr(st.address, ':'));
	dial(&st, where);
	dial(&st, own_unix_address());
	expect_rc(weir_resolve(found, 2, where, 2000), "resolve");
	expect_rc(weir_reverse(name, sizeof(name), "127.0.0.1:1", 2000),
		  "reverse");
	env_close(&st, ENV_GRACE_MS);
}

/* The same in a session, which may get no stack. */
struct spawned {
	struct env *env;
	atomic_bool has_begun, has_ended;
};

static int spawned_dials(weir_conn *c, void *arg)
{
	struct spawned *spawned = arg;
	struct env *st = spawned->env;
	struct weir_address found[2];
	char where[32], name[256];

	(void)c;
	atomic_store(&spawned->has_begun, true);
	expect_rc(weir_sleep(1), "sleep");
	dial(st, st->address);
	snprintf(where, sizeof(where), "localhost%s",
		 strrchr(st->address, ':'));
	dial(st, where);
	expect_rc(weir_resolve(found, 2, where, 2000), "resolve");
	expect_rc(weir_reverse(name, sizeof(name), "127.0.0.1:1", 2000),
		  "reverse");
	atomic_store(&spawned->has_ended, true);
	return 0;
}

static bool has_failed(struct env *st)
{
	struct weir_stats now;

	return weir_server_stats(st->weir, &now, sizeof(now)) == 0 &&
	       now.ledger.failed > 0;
}

void sweep_spawn(void)
{
	struct env st = { .banner = "" };
	struct spawned spawned = { .env = &st };
	int rc;

	if (!env_open(&st, "127.0.0.1:0", WEIR_CONFIG(.workers = 2), READABLE))
		return;
	rc = weir_server_spawn(st.weir, NULL, spawned_dials, &spawned, NULL);
	expect_rc(rc, "spawn");
	while (rc == 0 && !atomic_load(&spawned.has_ended) &&
	       (atomic_load(&spawned.has_begun) || !has_failed(&st)))
		poll_sleep();
	if (rc == 0 && !atomic_load(&spawned.has_ended))
		st.lost++;
	env_close(&st, ENV_GRACE_MS);
}

/* An end that is not passed on, as shutdown(2) fails, ends both in this time.
 */
#define RELAY_IDLE_MS 1000

/* To the first listener. */
static int relay_on(weir_conn *c, void *arg)
{
	struct env *st = arg;
	struct weir_relay_counts relay = { .size = sizeof(relay),
					   .idle_ms =
						   RELAY_IDLE_MS * slowness() };
	weir_conn *upstream = NULL;
	int rc = weir_dial(&upstream, st->address, dial_limit_ms());

	if (rc == 0)
		rc = weir_relay(c, upstream, &relay);
	weir_conn_free(upstream);
	return rc;
}

/* One client takes the answer slowly. */
void sweep_relay(void)
{
	struct env st = { .banner = "" };
	struct peer p[2];
	char address[160];
	int id;

	if (!env_make(&st, WEIR_CONFIG(.workers = 2)) ||
	    !env_listen(&st, "127.0.0.1:0", READABLE))
		return;
	id = weir_server_listen(st.weir, "127.0.0.1:0",
				WEIR_SERVICE(.session = relay_on,
					     .speaks_first = 1, .arg = &st));
	expect_rc(id, "listen for the relay");
	if (id < 0) {
		weir_server_free(st.weir);
		return;
	}
	(void)weir_server_address(st.weir, id, address, sizeof(address));
	if (!env_start(&st))
		return;
	for (int i = 0; i < 2; i++) {
		p[i] = peer_open_at(&st, address, i ? 2048 : 0);
		peer_send(&p[i], "hello\nwo");
		peer_expect(&p[i], "hello\n");
	}
	SOON(env_parked(&st) == 4);
	for (int i = 0; i < 2; i++) {
		peer_send(&p[i], "rld\nbig\n");
		peer_half_close(&p[i]);
		peer_expect(&p[i], "world\n");
		peer_expect_bytes(&p[i], sweep_big(), SWEEP_BIG);
		peer_expect_end(&p[i]);
	}
	env_close(&st, ENV_GRACE_MS);
}

static weir_conn *dial_given(int fd)
{
	weir_conn *c = NULL;
	char where[16];
	int rc;

	snprintf(where, sizeof(where), "fd:%d", fd);
	rc = weir_dial(&c, where, 100);
	expect_rc(rc, "dial");
	if (rc < 0)
		close(fd); /* it is still ours */
	return rc < 0 ? NULL : c;
}

static void take_all(int fd)
{
	char waste[4096];

	while (recv(fd, waste, sizeof(waste), MSG_DONTWAIT) > 0)
		;
}

/* A socket pair whose other end the scenario holds: read, full, closed. */
void sweep_dial_given(void)
{
	int pair[2], pipes[2];
	char line[16], where[16];
	weir_conn *c;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		sweep_fail("no pipe for the test itself");
	snprintf(where, sizeof(where), "fd:%d", pipes[0]);
	expect_error_rc(weir_dial(&c, where, 100), "a pipe");
	close(pipes[0]);
	close(pipes[1]);
	for (int round = 0; round < 3; round++) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) <
		    0)
			sweep_fail("no sockets for the test itself");
		c = dial_given(pair[0]);
		if (c && round == 0) {
			(void)send(pair[1], "hello\n", 6, MSG_NOSIGNAL);
			(void)weir_conn_read_line(c, line, sizeof(line));
			for (int i = 0; i < 10; i++)
				(void)weir_conn_write(c, sweep_big(),
						      SWEEP_BIG / 2);
			(void)weir_conn_shutdown(c, SHUT_WR);
			expect_error_rc(
				weir_conn_sendfile(c, sweep_file(), 0, 1),
				"output after its end");
			take_all(pair[1]);
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
		weir_conn_free(c);
		if (!c || round < 2)
			close(pair[1]);
	}
}

/* Fill the backlog. */
static void fill(int *fds, int count, const struct sockaddr *at, socklen_t len)
{
	for (int i = 0; i < count; i++) {
		fds[i] = socket(at->sa_family,
				SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)connect(fds[i], at, len);
	}
}

static void dial_in_vain(const char *where)
{
	weir_conn *c;

	expect_error_rc(weir_dial(&c, where, 50), "a full house");
}

/* Nobody accepts, and the backlog has room for one. */
void sweep_dial_full(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t len = sizeof(in);
	int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char folder[FOLDER_ROOM], where[64];
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fds[4];

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listening, (struct sockaddr *)&in, sizeof(in)) < 0 ||
	    listen(listening, 0) < 0 ||
	    getsockname(listening, (struct sockaddr *)&in, &len) < 0)
		sweep_fail("no listening socket");
	fill(fds, 4, (struct sockaddr *)&in, sizeof(in));
	snprintf(where, sizeof(where), "127.0.0.1:%d", ntohs(in.sin_port));
	dial_in_vain(where);
	close(listening);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	if (!make_folder(folder))
		sweep_fail("no folder");
	snprintf(where, sizeof(where), "unix:%s/s", folder);
	listening = take_path(where + 5, SOCK_STREAM);
	if (listen(listening, 0) < 0)
		sweep_fail("no listening socket");
	memcpy(un.sun_path, where + 5, strlen(where + 5) + 1);
	fill(fds, 4, (struct sockaddr *)&un, sizeof(un));
	dial_in_vain(where);
	is_refused(where);
	close(listening);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	unlink(where + 5);
	rmdir(folder);
}

/* ------------------------------------------- connections of the server's own
 */

struct own {
	atomic_bool is_heard, has_ended;
};

static int own_hello(weir_conn *c, void *arg)
{
	int rc = weir_conn_write(c, "hello\n", 6);

	(void)arg;
	return rc < 0 ? rc : WEIR_AGAIN;
}

static int own_hear(weir_conn *c, void *arg)
{
	struct own *own = arg;
	char line[16];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	if (n > 0 && strcmp(line, "hello\n") != 0)
		sweep_fail("the server's own got \"%s\"", line);
	atomic_store(&own->is_heard, n > 0);
	return n > 0 ? WEIR_CLOSE : (int)n;
}

static void own_end(weir_conn *c, void *arg)
{
	struct own *own = arg;

	(void)c;
	atomic_store(&own->has_ended, true);
}

/* It ends in any case, and its end is told. */
static void own_wait(struct env *st, struct own *own, bool is_accepted)
{
	int64_t at = now_ms() + 60000 * slowness();

	while (!atomic_load(&own->has_ended) && now_ms() < at)
		poll_sleep();
	if (!atomic_load(&own->has_ended))
		sweep_fail("the end of the server's own is not told");
	else if (!atomic_load(&own->is_heard))
		st->lost++;
	else if (is_accepted)
		st->whole++;
}

static void own_dial(struct env *st, const char *where, int fd)
{
	int limit_ms = dial_limit_ms();
	struct own own = { .has_ended = false };
	const struct weir_service *service =
		WEIR_SERVICE(.readable = own_hear, .opened = own_hello,
			     .closed = own_end, .arg = &own,
			     .first_byte_ms = limit_ms);
	int rc = where ? weir_server_dial(st->weir, NULL, where, limit_ms,
					  service)
		       : weir_server_adopt(st->weir, NULL, fd, service);

	expect_rc(rc, "a connection of the server's own");
	if (rc == 0)
		own_wait(st, &own, where != NULL);
	else if (fd >= 0)
		close(fd);
}

void sweep_server_dial(void)
{
	struct env st = { .banner = "" };
	char where[32];
	int pair[2];

	if (!env_make(&st, WEIR_CONFIG(.workers = 2)) ||
	    !env_listen(&st, "127.0.0.1:0", READABLE) ||
	    !env_listen(&st, own_unix_address(), READABLE) || !env_start(&st))
		return;
	own_dial(&st, st.address, -1);
	snprintf(where, sizeof(where), "localhost%s", strrchr(st.address, ':'));
	own_dial(&st, where, -1);
	own_dial(&st, own_unix_address(), -1);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ||
	    write(pair[0], "hello\n", 6) != 6)
		sweep_fail("no pair for the test itself");
	own_dial(&st, NULL, pair[1]);
	close(pair[0]);
	env_close(&st, ENV_GRACE_MS);
}
