/* SPDX-License-Identifier: MIT */
/*
 * A busy weir-server is replaced, again and again, by one that inherits its
 * listening socket: the next is ready, then the last is stopped.  One in five
 * of the next is broken, and the last goes on.  No client is refused or reset,
 * every question asked of a server before its stop is answered, and new
 * connections are as fast as ever.  Each server greets with its number, so that
 * a client knows which server it has.
 *
 * And a crash: when one server dies, its open connections are lost, and no
 * client that waits in the socket is.
 *
 * Compiled with -DHANDOVERS=n it is a short one that takes no times.
 */
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/wait.h>

#include "program.h"
#include "rolling_clients.h"

#ifdef HANDOVERS
#define ROUNDS	     (2 * HANDOVERS - 1)
#define BROKEN_EVERY 2
#define CHURNING     2
#define KEPT	     10
#define A_ROUND	     50
#else
#define ROUNDS	     100
#define BROKEN_EVERY 5
#define CHURNING     6
#define KEPT	     50
#define A_ROUND	     1500 /* at least, between two handovers */
#define ENOUGH	     5000 /* a second */
#define P999_US	     50000
#endif

/* ------------------------------------------------------------ the servers */

struct place {
	int fd; /* it listens */
	uint16_t port;
	char where[16];
	struct program server;
	int count;	   /* of started servers, including this one */
	uint64_t accepted; /* by all ended servers */
	struct rolling_clients *guests;
};

static void hold_place(struct place *p)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t len = sizeof(addr);

	*p = (struct place){ .fd = socket(AF_INET, SOCK_STREAM, 0) };
	ck_assert_int_eq(bind(p->fd, (struct sockaddr *)&addr, len), 0);
	ck_assert_int_eq(listen(p->fd, 4096), 0);
	ck_assert_int_eq(getsockname(p->fd, (struct sockaddr *)&addr, &len), 0);
	p->port = ntohs(addr.sin_port);
	snprintf(p->where, sizeof(p->where), "reply@fd:%d", p->fd);
}

/* It is ready; the last one still serves. */
static void next_starts(struct place *p, struct program *ret, char *limit)
{
	char greeting[16];
	char *options[] = { "-w4", "--log-level", "error",  "-m", limit,
			    "-g",  greeting,	  p->where, NULL };

	snprintf(greeting, sizeof(greeting), "%d\n", ++p->count);
	program_start(ret, options);
}

static void last_ends(struct place *p)
{
	struct drained drained;

	kill(p->server.pid, SIGTERM);
	ck_assert_int_eq(program_wait_drained(&p->server, &drained), 0);
	ck_assert_uint_eq(drained.completed, drained.accepted);
	p->accepted += drained.accepted;
}

static void hand_over(struct place *p)
{
	struct program next;

	next_starts(p, &next, "10000");
	rolling_clients_mark_stop(p->guests, p->count - 1);
	last_ends(p);
	p->server = next;
}

static void next_is_wrong(struct place *p)
{
	char *options[] = { p->where, "--no-such-option", NULL };
	struct program next;
	int status;

	program_spawn(&next, options);
	status = program_wait(&next);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 2);
}

static bool has_open(pid_t pid, const char *path)
{
	char folder[64], target[64];
	const struct dirent *entry;
	bool has = false;
	DIR *dir;

	snprintf(folder, sizeof(folder), "/proc/%d/fd", (int)pid);
	dir = opendir(folder);
	while (dir && !has && (entry = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, target,
				       sizeof(target) - 1);

		target[n > 0 ? n : 0] = '\0';
		has = strcmp(target, path) == 0;
	}
	if (dir)
		closedir(dir);
	return has;
}

/*
 * It has the socket, waits for the lock of its second address, and is killed.
 */
static void next_is_killed(struct place *p)
{
	char folder[FOLDER_ROOM], second[64], name[64];
	char *options[] = { p->where, second, NULL };
	struct program next;
	int lock, status;

	ck_assert(make_folder(folder));
	snprintf(second, sizeof(second), "reply@unix:%s/s", folder);
	snprintf(name, sizeof(name), "%s/s.lock", folder);
	lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(flock(lock, LOCK_EX), 0);
	program_spawn(&next, options);
	UNTIL(has_open(next.pid, name));
	kill(next.pid, SIGKILL);
	status = program_wait(&next);
	ck_assert(WIFSIGNALED(status));
	close(lock);
	ck_assert_int_eq(unlink(name), 0);
	ck_assert_int_eq(rmdir(folder), 0);
}

static void one_round(struct place *p, int i)
{
	uint64_t before = rolling_clients_connected(p->guests);

	if (i % BROKEN_EVERY != 1)
		hand_over(p);
	else if (i / BROKEN_EVERY % 2)
		next_is_killed(p);
	else
		next_is_wrong(p);
	UNTIL(rolling_clients_connected(p->guests) >=
	      before + (uint64_t)fewer(A_ROUND));
}

/* -------------------------------------------------------------- the tests */

static void tell(const struct rolling_counts *g, int followed, int broken)
{
	const struct load_counts *b = &g->counts;

	printf("%d servers followed each other, %d did not come up: "
	       "%lu connected, %lu answered, %lu asked too late, %lu refused, "
	       "%lu lost, %lu reset; %ld new connections/s, p99.9 %ld us (a "
	       "thread that sleeps: %ld us late)\n",
	       followed, broken, (unsigned long)b->connected,
	       (unsigned long)b->answered, (unsigned long)b->late,
	       (unsigned long)b->refused, (unsigned long)b->lost,
	       (unsigned long)b->reset, (long)g->rate, (long)g->p999_us,
	       (long)g->late_us);
}

START_TEST(servers_that_follow_each_other_lose_nobody)
{
	const int rounds = fewer(ROUNDS) > 4 ? fewer(ROUNDS) : 4;
	struct rolling_counts g;
	struct place p;

	hold_place(&p);
	next_starts(&p, &p.server, "10000");
	p.guests = rolling_clients_start(p.port, CHURNING, KEPT);
	for (int i = 0; i < rounds; i++)
		one_round(&p, i);
	g = rolling_clients_stop(p.guests);
	last_ends(&p);
	close(p.fd);
	tell(&g, p.count, rounds + 1 - p.count);
	ck_assert_uint_eq(g.counts.refused, 0);
	ck_assert_uint_eq(g.counts.lost, 0);
	ck_assert_uint_eq(g.counts.reset, 0);
	ck_assert_uint_eq(g.counts.odd, 0);
	ck_assert_uint_eq(g.counts.connected, p.accepted);
#ifndef HANDOVERS
	if (g.rate < ENOUGH)
		printf("SKIPPED: this machine gave %ld of %d new "
		       "connections/s\n",
		       (long)g.rate, ENOUGH);
	/* Acceptor, worker and client are woken, one after another. */
	ck_assert_int_le(g.p999_us, P999_US * slowness() + 3 * g.late_us);
#endif
}
END_TEST

enum { SERVED = 4, WAITING = 6 };

/* Waiting clients are in the socket, which outlives the server. */
START_TEST(a_crash_ends_connections_but_no_client_that_waits)
{
	struct client *served[SERVED], *waiting[WAITING];
	struct drained drained;
	struct place p;
	char address[32];

	hold_place(&p);
	snprintf(address, sizeof(address), "127.0.0.1:%d", p.port);
	next_starts(&p, &p.server, "4"); /* no more than SERVED */
	for (int i = 0; i < SERVED; i++) {
		served[i] = client_open_at(address);
		client_expect(served[i], "1\n");
	}
	for (int i = 0; i < WAITING - 1; i++) {
		waiting[i] = client_open_at(address);
		client_send(waiting[i], "q\n");
	}
	kill(p.server.pid, SIGKILL);
	ck_assert(WIFSIGNALED(program_wait(&p.server)));
	for (int i = 0; i < SERVED; i++)
		client_expect_end(served[i]);
	waiting[WAITING - 1] = client_open_at(address);
	client_send(waiting[WAITING - 1], "q\n");
	next_starts(&p, &p.server, "10000");
	for (int i = 0; i < WAITING; i++) {
		client_expect(waiting[i], "2\nServer replies: q\n");
		client_half_close(waiting[i]);
		client_expect_eof(waiting[i]);
	}
	kill(p.server.pid, SIGTERM);
	ck_assert_int_eq(program_wait_drained(&p.server, &drained), 0);
	ck_assert_uint_eq(drained.accepted, WAITING);
	ck_assert_uint_eq(drained.completed, WAITING);
	close(p.fd);
}
END_TEST

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	return RUN_TESTS("upgrade", servers_that_follow_each_other_lose_nobody,
			 a_crash_ends_connections_but_no_client_that_waits);
}
