/* SPDX-License-Identifier: MIT */
/*
 * Stops under load with sessions parked at every kind of wait.  A session that
 * only waits for input, a time or another connection ends by itself; one whose
 * peer takes its output sends all of it; one that waits for a peer that takes
 * nothing, or for an answer that does not come, is cut at the deadline.  No
 * other client loses anything, and every stack is returned.
 *
 * In check-long there are a hundred stops, here a few.
 */
#include "test.h"

#include <dlfcn.h>
#include <netdb.h>
#include <sys/un.h>

#define STOPS 2
#ifndef ROUNDS
#define ROUNDS 1
#endif
#define GRACE_MS 200
#define TRIES	 10
#define BIG	 ((size_t)8 << 20) /* more than the sockets hold */
#define PIECE	 ((size_t)16 << 10)
#define WINDOW	 (64 << 10) /* of a client that does not read */

static struct gate resolver = GATE_CLOSED;

/* Instead of the system's: "name" waits at the gate. */
int getaddrinfo(const char *host, const char *port,
		const struct addrinfo *hints, struct addrinfo **ret)
{
	__typeof__(&getaddrinfo) real;

	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	if (strcmp(host, "name") == 0 && !(hints->ai_flags & AI_NUMERICHOST))
		gate_wait(&resolver);
	return real(host, port, hints, ret);
}

struct scene {
	struct server *server;
	struct server *upstream;
	char mute[128]; /* an address that accepts nothing */
	char *output;
	int file;
	char where[160]; /* the waits begin */
	atomic_int begun, ended, odd;
};

/* ---------------------------------------------------------------- the waits */

static int for_input(weir_conn *c, struct scene *sc)
{
	char line[16];

	(void)sc;
	return (int)weir_conn_read_line(c, line, sizeof(line));
}

static int for_time(weir_conn *c, struct scene *sc)
{
	(void)c, (void)sc;
	return weir_sleep(WEIR_NEVER);
}

static int for_either(weir_conn *c, weir_conn *up)
{
	struct weir_poll list[] = { { c, WEIR_POLL_INPUT, 0 },
				    { up, WEIR_POLL_INPUT, 0 } };

	return weir_conn_wait(list, 2, WEIR_NEVER);
}

static int relay(weir_conn *c, weir_conn *up)
{
	return weir_relay(c, up, NULL);
}

static int beside(weir_conn *c, const char *where,
		  int (*wait)(weir_conn *c, weir_conn *up))
{
	weir_conn *up;
	int rc = weir_dial(&up, where, WEIR_NEVER);

	if (rc < 0)
		return rc;
	rc = wait(c, up);
	weir_conn_free(up);
	return rc;
}

static int for_another(weir_conn *c, struct scene *sc)
{
	return beside(c, sc->upstream->address, for_either);
}

static int for_a_relay(weir_conn *c, struct scene *sc)
{
	return beside(c, sc->upstream->address, relay);
}

static int for_a_dial(weir_conn *c, struct scene *sc)
{
	return beside(c, sc->mute, for_either);
}

static int for_a_name(weir_conn *c, struct scene *sc)
{
	struct weir_address found;

	(void)c, (void)sc;
	return weir_resolve(&found, 1, "name:1", WEIR_NEVER);
}

/* Above the mark it waits. */
static int for_output(weir_conn *c, struct scene *sc)
{
	return weir_conn_write(c, sc->output, BIG);
}

static int for_room(weir_conn *c, struct scene *sc)
{
	struct weir_poll own = { c, WEIR_POLL_ROOM, 0 };
	int rc = 0;

	for (size_t n = 0; n < BIG && rc == 0; n += PIECE) {
		rc = weir_conn_wait(&own, 1, WEIR_NEVER);
		if (rc == 1)
			rc = weir_conn_write(c, sc->output, PIECE);
	}
	return rc;
}

/* No input is given before the file is sent. */
static int for_a_file(weir_conn *c, struct scene *sc)
{
	int rc = weir_conn_sendfile(c, sc->file, 0, BIG);

	return rc < 0 ? rc : for_input(c, sc);
}

static const struct wait {
	int (*wait)(weir_conn *c, struct scene *sc);
	bool has_output; /* there are two, and the peer of one reads */
} waits[] = {
	{ for_input, false },	{ for_time, false },   { for_another, false },
	{ for_a_relay, false }, { for_a_dial, false }, { for_a_name, false },
	{ for_output, true },	{ for_room, true },    { for_a_file, true },
};
#define WAITS	 (int)(sizeof(waits) / sizeof(waits[0]))
#define OUTPUTS	 3
#define CUT	 (OUTPUTS + 2) /* the dial and the name, too */
#define SESSIONS (WAITS + OUTPUTS)

static int note_end(struct scene *sc, int rc)
{
	bool is_odd = rc != 0 && rc != -ESHUTDOWN && rc != -ECANCELED;

	atomic_fetch_add(is_odd ? &sc->odd : &sc->ended, 1);
	return rc;
}

/* The first line is the number of the wait. */
static int wait_somehow(weir_conn *c, void *arg)
{
	struct scene *sc = arg;
	char line[16];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	if (n <= 0)
		return note_end(sc, (int)n - 1);
	atomic_fetch_add(&sc->begun, 1);
	return note_end(sc, waits[atoi(line)].wait(c, sc));
}

static int sleep_alone(weir_conn *c, void *arg)
{
	int rc;

	(void)c;
	while ((rc = weir_sleep(5)) == 0)
		continue;
	return note_end(arg, rc);
}

/* ---------------------------------------------------------------- the scene */

/* A Unix socket with a full backlog; its descriptors. */
static void mute_begin(char *where, size_t cap, int fds[2])
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int n = snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1,
			 "weir-mute-%d", (int)getpid());
	socklen_t len =
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1) +
		(socklen_t)n;

	snprintf(where, cap, "unix:@%s", un.sun_path + 1);
	for (int i = 0; i < 2; i++)
		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(fds[0], (struct sockaddr *)&un, len), 0);
	ck_assert_int_eq(listen(fds[0], 0), 0);
	ck_assert_int_eq(connect(fds[1], (struct sockaddr *)&un, len), 0);
}

static void serve_waits(struct scene *sc)
{
	int id;

	sc->server = server_new(WEIR_CONFIG(.workers = 3));
	server_listen(sc->server, "127.0.0.1:0",
		      WEIR_SERVICE(.session = echo_lines));
	id = server_listen(sc->server, "127.0.0.1:0",
			   WEIR_SERVICE(.session = wait_somehow, .arg = sc,
					.write_ms = 600000,
					.outbox_mark = 4 * PIECE));
	server_address(sc->server, id, sc->where, sizeof(sc->where));
	ck_assert_int_eq(weir_server_spawn(sc->server->weir, NULL, sleep_alone,
					   sc, NULL),
			 0);
	server_start(sc->server);
}

static struct client *begin_wait(struct scene *sc, int i)
{
	struct client *c = client_new(sc->where, WINDOW);
	char line[16];

	ck_assert_int_eq(client_connect(c, sc->where), 0);
	snprintf(line, sizeof(line), "%d\n", i);
	client_send(c, line);
	return c;
}

static void expect_all_end(struct scene *sc, struct weir_report *r)
{
	UNTIL(stats(sc->server).stacks == 0);
	gate_let_in(&resolver, 1);
	*r = server_join_and_check(sc->server);
	ck_assert_int_eq(atomic_load(&sc->ended), SESSIONS + 1); /* spawned */
	ck_assert_int_eq(atomic_load(&sc->odd), 0);
	ck_assert_uint_eq(r->ledger.cut, CUT);
	ck_assert_uint_eq(r->ledger.spawned, 1);
	ck_assert_uint_eq(r->ledger.failed, 0);
	ck_assert_uint_eq(r->ledger.timed_out, 0);
}

/* False: a thread had no processor when it had to act. */
static bool stop_once(struct scene *sc)
{
	struct client *readers[OUTPUTS];
	struct weir_report r;
	struct load_counts counts;
	struct load *load;
	int64_t began_at;
	int n = 0, grace_ms;

	atomic_store(&sc->begun, 0);
	atomic_store(&sc->ended, 0);
	serve_waits(sc);
	load = load_start(sc->server->address, 2, 2);
	for (int i = 0; i < WAITS; i++) {
		begin_wait(sc, i);
		if (waits[i].has_output)
			readers[n++] = begin_wait(sc, i);
	}
	UNTIL(atomic_load(&sc->begun) == SESSIONS &&
	      load_answered(load) > 100 && gate_waiting(&resolver) == 1);
	load_mark_stop(load);
	began_at = now_ms();
	weir_server_stop(sc->server->weir, 60000 * slowness());
	for (int i = 0; i < n; i++)
		ck_assert_uint_eq(client_read_to_eof(readers[i]), BIG);
	counts = load_finish(load);
	ck_assert_uint_eq(counts.lost + counts.reset + counts.odd, 0);
	/* The rest does not end before the deadline. */
	UNTIL(stats(sc->server).ledger.open == CUT);
	weir_server_stop(sc->server->weir, GRACE_MS);
	grace_ms = (int)(now_ms() - began_at) + GRACE_MS;
	expect_all_end(sc, &r);
	ck_assert_uint_eq(r.ledger.accepted,
			  counts.connected + (uint64_t)SESSIONS);
	return r.stuck == 0 && is_stop_on_time(&r, grace_ms);
}

/*
 * A cut session has 60 ms to return; a machine may stand still for as long, but
 * not most of the times.
 */
START_TEST(a_stop_ends_every_wait_of_a_session_and_returns_its_stack)
{
	struct scene sc = { .odd = 0 };
	int fds[2], on_time = 0, late = 0;

	sc.output = calloc(1, BIG);
	sc.file = make_file(BIG);
	ck_assert_ptr_nonnull(sc.output);
	mute_begin(sc.mute, sizeof(sc.mute), fds);
	sc.upstream = serve_workers(1, WEIR_SERVICE(.readable = echo_lines));
	while (on_time < fewer(STOPS) || on_time < late) {
		if (stop_once(&sc))
			on_time++;
		else
			ck_assert_int_le(++late, TRIES / 2);
		UNTIL(stats(sc.upstream).ledger.open == 0);
	}
	server_stop_and_check(sc.upstream);
	close(fds[0]);
	close(fds[1]);
	close(sc.file);
	free(sc.output);
}
END_TEST

int main(void)
{
	int rc = 0;

	/* Each round has the time of a test. */
	for (int i = 0; i < ROUNDS && rc == 0; i++)
		rc = RUN_TESTS(
			"session_stops",
			a_stop_ends_every_wait_of_a_session_and_returns_its_stack);
	return rc;
}
