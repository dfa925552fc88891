/* SPDX-License-Identifier: MIT */
/*
 * The server of the floods and the soak: callbacks that take a given time,
 * deadlines of seconds, and a snapshot of its counters a hundred times a
 * second, each of which must be consistent.
 *
 *   flood_server [NAME=VALUE]... SERVICE@ADDRESS...
 *
 * The values are those of struct settings, times in milliseconds.  Services:
 * "work" echoes a line after work_us and returns, "loop" does the same with all
 * lines there are, "echo" echoes what comes, "session" echoes lines and waits
 * for them.
 *
 * It prints the address of each listener, one a line, then "ready".  Commands
 * come on standard input, one a line: "stats" and "trim" (release free heap to
 * the system) are answered with a JSON object on one line, "stop MS" with the
 * report of a stop within that time.  It exits at the end of the input: the
 * driver has died.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <weir.h>

#define LINE	    65536
#define SNAPSHOT_US 10000 /* 100 a second */
#define MOST_TCP    16	  /* listeners */

static struct settings {
	int workers, queue, queue_age, max, refuse, backlog;
	int first_byte, read, write, idle, outbox;
	int work_us;
} set;

static const struct setting {
	const char *name;
	int *value;
} settings[] = {
	{ "workers", &set.workers },	   { "queue", &set.queue },
	{ "queue_age", &set.queue_age },   { "max", &set.max },
	{ "refuse", &set.refuse },	   { "backlog", &set.backlog },
	{ "first_byte", &set.first_byte }, { "read", &set.read },
	{ "write", &set.write },	   { "idle", &set.idle },
	{ "outbox", &set.outbox },	   { "work_us", &set.work_us },
};

static int tcp_listeners[MOST_TCP], tcp_count; /* their ids */

static void give_up(const char *what, int rc)
{
	fprintf(stderr, "flood_server: %s%s%s\n", what, rc ? ": " : "",
		rc ? weir_strerror(rc) : "");
	exit(2);
}

/* --------------------------------------------------------------- services */

static void work(void)
{
	struct timespec left = { set.work_us / 1000000,
				 set.work_us % 1000000 * 1000 };

	if (set.work_us > 0)
		while (nanosleep(&left, &left) < 0 && errno == EINTR)
			;
}

/* One line for each call, so that other connections come between. */
static int work_on_a_line(weir_conn *c, void *arg)
{
	char line[LINE];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	int rc;

	(void)arg;
	if (n <= 0)
		return (int)n;
	work();
	rc = weir_conn_write(c, line, (size_t)n);
	return rc < 0 ? rc : WEIR_AGAIN;
}

static int work_on_all_lines(weir_conn *c, void *arg)
{
	int rc;

	do
		rc = work_on_a_line(c, arg);
	while (rc == WEIR_AGAIN);
	return rc;
}

static int echo(weir_conn *c, void *arg)
{
	char data[16384];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read(c, data, sizeof(data))) > 0)
		if ((n = weir_conn_write(c, data, (size_t)n)) < 0)
			break;
	return (int)n;
}

static int echo_lines(weir_conn *c, void *arg)
{
	char line[LINE];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0)
		if ((n = weir_conn_write(c, line, (size_t)n)) < 0)
			break;
	return (int)n;
}

static const struct weir_service *service(const char *name, size_t len)
{
	static struct weir_service s;

	s = *WEIR_SERVICE(.first_byte_ms = set.first_byte, .read_ms = set.read,
			  .write_ms = set.write, .idle_ms = set.idle,
			  .outbox_mark = (size_t)set.outbox,
			  .backlog = set.backlog);
	if (strncmp(name, "work", len) == 0)
		s.readable = work_on_a_line;
	else if (strncmp(name, "loop", len) == 0)
		s.readable = work_on_all_lines;
	else if (strncmp(name, "echo", len) == 0)
		s.readable = echo;
	else if (strncmp(name, "session", len) == 0)
		s.session = echo_lines;
	else
		give_up("no such service", 0);
	return &s;
}

/* -------------------------------------------------------------- snapshots */

static struct snapshots {
	weir_server *server;
	pthread_t thread;
	_Atomic bool is_over;
	_Atomic uint64_t taken, impossible;
} snapshots;

static uint64_t ended(const struct weir_ledger *l)
{
	return l->completed + l->failed + l->timed_out + l->refused_full +
	       l->refused_age + l->refused_limit + l->refused_drain + l->cut;
}

/* What was true at no moment, however threads are scheduled. */
static const char *what_is_impossible(const struct weir_stats *now,
				      const struct weir_stats *before)
{
	const struct weir_ledger *l = &now->ledger, *old = &before->ledger;

	if (ended(l) > l->accepted)
		return "more have ended than were accepted";
	if (l->accepted < old->accepted || ended(l) < ended(old) ||
	    l->completed < old->completed || now->bytes_in < before->bytes_in)
		return "a counter went down";
	if (l->open > (uint64_t)set.max + 4096 + 64)
		return "more are open than may be";
	if (now->parked > l->accepted || now->queued > l->accepted ||
	    now->lingering > l->accepted)
		return "a gauge is below zero";
	if (now->busy > now->workers)
		return "more workers are busy than there are";
	return NULL;
}

static void *take_snapshots(void *arg)
{
	struct weir_stats now, before = { .bytes_in = 0 };

	(void)arg;
	while (!atomic_load(&snapshots.is_over)) {
		const char *what;

		if (weir_server_stats(snapshots.server, &now, sizeof(now)) < 0)
			what = "there are no counters";
		else
			what = what_is_impossible(&now, &before);
		atomic_fetch_add(&snapshots.taken, 1);
		if (what && atomic_fetch_add(&snapshots.impossible, 1) == 0)
			fprintf(stderr,
				"%s: accepted %llu, ended %llu, open %llu, "
				"parked %lld, queued %lld, lingering %lld\n",
				what, (unsigned long long)now.ledger.accepted,
				(unsigned long long)ended(&now.ledger),
				(unsigned long long)now.ledger.open,
				(long long)now.parked, (long long)now.queued,
				(long long)now.lingering);
		before = now;
		usleep(SNAPSHOT_US);
	}
	return NULL;
}

/* ---------------------------------------------------------------- answers */

static void say(const char *name, uint64_t value)
{
	printf("\"%s\": %llu, ", name, (unsigned long long)value);
}

static void say_ledger(const struct weir_ledger *l)
{
	say("accepted", l->accepted);
	say("completed", l->completed);
	say("failed", l->failed);
	say("timed_out", l->timed_out);
	say("refused_full", l->refused_full);
	say("refused_age", l->refused_age);
	say("refused_limit", l->refused_limit);
	say("refused_drain", l->refused_drain);
	say("cut", l->cut);
	say("open", l->open);
}

/* Accepted over TCP. */
static uint64_t accepted_tcp(weir_server *s)
{
	uint64_t sum = 0;

	for (int i = 0; i < tcp_count; i++) {
		struct weir_listener_stats now;

		weir_server_listener_stats(s, tcp_listeners[i], &now,
					   sizeof(now));
		sum += now.ledger.accepted;
	}
	return sum;
}

static uint64_t cpu_us(void)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return (uint64_t)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

static void say_stats(weir_server *s)
{
	struct mallinfo2 heap = mallinfo2();
	struct weir_stats now;

	weir_server_stats(s, &now, sizeof(now));
	printf("{");
	say_ledger(&now.ledger);
	say("accepted_tcp", accepted_tcp(s));
	say("parked", now.parked);
	say("queued", now.queued);
	say("lingering", now.lingering);
	say("busy", now.busy);
	say("callbacks", now.callbacks);
	say("shortages", now.shortages);
	say("heap", heap.uordblks + heap.hblkhd);
	say("cpu_us", cpu_us());
	say("impossible", atomic_load(&snapshots.impossible));
	printf("\"snapshots\": %llu}\n",
	       (unsigned long long)atomic_load(&snapshots.taken));
}

static void say_report(weir_server *s)
{
	struct weir_report report;
	int rc = weir_server_join(s, &report, sizeof(report));

	printf("{");
	say_ledger(&report.ledger);
	say("stuck", report.stuck);
	say("late_bytes", report.late_bytes);
	say("drain_ms", report.drain_ms);
	printf("\"rc\": %d}\n", rc);
}

/* --------------------------------------------------------------- the server */

static void on_log(int level, const char *line, void *arg)
{
	(void)arg;
	(void)level;
	fprintf(stderr, "%s\n", line);
}

static weir_server *make_server(void)
{
	weir_server *s;
	int rc = weir_server_new(
		&s,
		WEIR_CONFIG(.workers = set.workers, .queue_length = set.queue,
			    .queue_age_ms = set.queue_age,
			    .max_connections = set.max,
			    .overload = set.refuse ? WEIR_REFUSE : WEIR_HOLD,
			    .log = on_log));

	if (rc < 0)
		give_up("the settings", rc);
	return s;
}

static bool read_setting(char *arg)
{
	char *value = strchr(arg, '=');

	if (value == NULL)
		return false;
	*value++ = '\0';
	for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++)
		if (strcmp(settings[i].name, arg) == 0) {
			*settings[i].value = atoi(value);
			return true;
		}
	give_up("no such setting", 0);
	return false;
}

static void listen_at(weir_server *s, const char *arg)
{
	const char *where = strchr(arg, '@');
	char address[160];
	int id;

	if (where == NULL)
		give_up("neither a setting nor a service", 0);
	id = weir_server_listen(s, where + 1,
				service(arg, (size_t)(where - arg)));
	if (id < 0)
		give_up(arg, id);
	weir_server_address(s, id, address, sizeof(address));
	puts(address);
	if (strncmp(address, "unix:", 5) != 0) {
		if (tcp_count == MOST_TCP)
			give_up("too many listeners", 0);
		tcp_listeners[tcp_count++] = id;
	}
}

static void allow_descriptors(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void obey(weir_server *s)
{
	char order[64];

	while (fgets(order, sizeof(order), stdin)) {
		if (strcmp(order, "stats\n") == 0) {
			say_stats(s);
		} else if (strcmp(order, "trim\n") == 0) {
			malloc_trim(0);
			say_stats(s);
		} else if (strncmp(order, "stop ", 5) == 0) {
			weir_server_stop(s, atoi(order + 5));
			say_report(s);
			return;
		} else {
			give_up("no such order", 0);
		}
	}
}

int main(int argc, char **argv)
{
	weir_server *s;
	int i = 1, rc;

	setvbuf(stdout, NULL, _IOLBF, 0);
	allow_descriptors();
	set.max = 15000;
	while (i < argc && read_setting(argv[i]))
		i++;
	s = make_server();
	for (; i < argc; i++)
		listen_at(s, argv[i]);
	rc = weir_server_start(s);
	if (rc < 0)
		give_up("start", rc);
	snapshots.server = s;
	if (pthread_create(&snapshots.thread, NULL, take_snapshots, NULL))
		give_up("no thread", 0);
	puts("ready");
	obey(s);
	atomic_store(&snapshots.is_over, true);
	pthread_join(snapshots.thread, NULL);
	weir_server_free(s);
	return 0;
}
