/* SPDX-License-Identifier: MIT */
/*
 * A server under test: its start, and what must be true after its end.  Its log
 * lines are kept for log_says().
 */
#include "test.h"

#include <dirent.h>

#define GRACE_MS 10000

static int64_t stolen_before; /* before the test */

static const int watched_signals[] = { SIGINT, SIGTERM, SIGPIPE };

static int entries(const char *path)
{
	DIR *dir = opendir(path);
	int count = 0;
	const struct dirent *entry;

	ck_assert_msg(dir != NULL, "cannot read %s", path);
	while ((entry = readdir(dir)))
		count += entry->d_name[0] != '.';
	closedir(dir);
	return count;
}

static void *tell_its_entry(void *arg)
{
	sprintf(arg, "/proc/self/task/%d", (int)gettid());
	return NULL;
}

/* A sanitizer starts a thread of its own with the first one. */
static void make_first_thread(void)
{
	char entry[64];
	pthread_t id;

	ck_assert_int_eq(pthread_create(&id, NULL, tell_its_entry, entry), 0);
	pthread_join(id, NULL);
	UNTIL(access(entry, F_OK) < 0);
}

void process_state_take(struct process_state *b)
{
	make_first_thread();
	stolen_before = stolen_ms();
	b->threads = entries("/proc/self/task");
	b->descriptors = entries("/proc/self/fd");
	pthread_sigmask(SIG_BLOCK, NULL, &b->mask);
	for (int i = 0; i < 3; i++)
		sigaction(watched_signals[i], NULL, &b->actions[i]);
}

static void expect_signals(const struct process_state *b)
{
	struct sigaction action;
	sigset_t mask;

	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	for (int sig = 1; sig < NSIG; sig++)
		ck_assert_msg(sigismember(&mask, sig) ==
				      sigismember(&b->mask, sig),
			      "the mask of signal %d has changed", sig);
	for (int i = 0; i < 3; i++) {
		sigaction(watched_signals[i], NULL, &action);
		ck_assert_msg(action.sa_handler == b->actions[i].sa_handler,
			      "the disposition of signal %d has changed",
			      watched_signals[i]);
	}
}

void process_state_check(const struct process_state *b)
{
	/* A joined thread may stay listed for a moment. */
	UNTIL(entries("/proc/self/task") <= b->threads);
	ck_assert_int_le(entries("/proc/self/fd"), b->descriptors);
	expect_signals(b);
}

static void keep_line(int level, const char *line, void *arg)
{
	struct server *s = arg;
	size_t len = strlen(line);
	char *grown;

	(void)level;
	pthread_mutex_lock(&s->log_lock);
	grown = realloc(s->log, s->log_len + len + 2);
	if (grown) {
		memcpy(grown + s->log_len, line, len);
		s->log_len += len;
		grown[s->log_len++] = '\n';
		grown[s->log_len] = '\0';
		s->log = grown;
	}
	s->log_lines++;
	pthread_mutex_unlock(&s->log_lock);
}

bool log_says(struct server *s, const char *words)
{
	bool found;

	pthread_mutex_lock(&s->log_lock);
	found = s->log && strstr(s->log, words);
	pthread_mutex_unlock(&s->log_lock);
	return found;
}

int log_lines(struct server *s)
{
	int lines;

	pthread_mutex_lock(&s->log_lock);
	lines = s->log_lines;
	pthread_mutex_unlock(&s->log_lock);
	return lines;
}

struct server *server_new(const struct weir_config *config)
{
	struct weir_config mine = { .size = sizeof(mine) };
	struct server *s = calloc(1, sizeof(*s));

	ck_assert_ptr_nonnull(s);
	pthread_mutex_init(&s->log_lock, NULL);
	process_state_take(&s->before);
	s->connected_before = clients_connected();
	if (config)
		mine = *config;
	if (!mine.log) {
		mine.log = keep_line;
		mine.log_arg = s;
	}
	ck_assert_int_eq(weir_server_new(&s->weir, &mine), 0);
	return s;
}

int server_listen(struct server *s, const char *where,
		  const struct weir_service *service)
{
	int id = weir_server_listen(s->weir, where, service);

	ck_assert_msg(id >= 0, "listen %s: %s", where, weir_strerror(id));
	if (id == 0)
		server_address(s, id, s->address, sizeof(s->address));
	return id;
}

void server_address(struct server *s, int id, char *buf, size_t cap)
{
	ck_assert_int_gt(weir_server_address(s->weir, id, buf, cap), 0);
}

void server_start(struct server *s)
{
	ck_assert_int_eq(weir_server_start(s->weir), 0);
}

struct server *serve_at(const char *where, const struct weir_config *config,
			const struct weir_service *service)
{
	struct server *s = server_new(config);

	server_listen(s, where, service);
	server_start(s);
	return s;
}

struct server *serve(const struct weir_config *config,
		     const struct weir_service *service)
{
	return serve_at("127.0.0.1:0", config, service);
}

struct server *serve_held(const struct weir_config *config,
			  const struct weir_service *service)
{
	char where[64];

	hold_address(where, sizeof(where));
	return serve_at(where, config, service);
}

struct server *serve_workers(int count, const struct weir_service *service)
{
	return serve(WEIR_CONFIG(.workers = count), service);
}

uint64_t ledger_refused(const struct weir_ledger *l)
{
	return l->refused_full + l->refused_age + l->refused_limit +
	       l->refused_drain + l->refused_access + l->refused_source +
	       l->refused_rate + l->refused_early + l->refused_proxy +
	       l->refused_header;
}

void expect_balance(const struct weir_ledger *l)
{
	ck_assert_uint_eq(l->refused, ledger_refused(l));
	ck_assert_uint_eq(l->closed, l->completed + l->failed + l->timed_out +
					     l->refused + l->probed + l->cut);
	ck_assert_uint_eq(l->accepted + l->dialled + l->spawned,
			  l->closed + l->open);
}

static uint64_t longest_stop_ms(int grace_ms)
{
	return (uint64_t)(grace_ms + 100) + 400 * (uint64_t)slowness() +
	       (uint64_t)(stolen_ms() - stolen_before);
}

bool is_stop_on_time(const struct weir_report *r, int grace_ms)
{
	return r->drain_ms <= longest_stop_ms(grace_ms);
}

void expect_stop_on_time(const struct weir_report *r, int grace_ms)
{
	ck_assert_uint_le(r->drain_ms, longest_stop_ms(grace_ms));
}

struct weir_stats stats(struct server *s)
{
	struct weir_stats ret;

	ck_assert_int_eq(weir_server_stats(s->weir, &ret, sizeof(ret)), 0);
	return ret;
}

bool session_waits(struct server *s)
{
	struct weir_stats now = stats(s);

	return now.busy + now.parked == 1 && now.busy + now.stacks == 1;
}

bool is_at_rest(struct server *s)
{
	struct weir_stats now = stats(s);
	int connected = clients_connected() - s->connected_before;

	return now.ledger.accepted == (uint64_t)connected &&
	       now.ledger.open == 0;
}

void server_check_freed(struct server *s)
{
	clients_close();
	process_state_check(&s->before);
	pthread_mutex_destroy(&s->log_lock);
	free(s->log);
	free(s);
}

static void add_listener(struct weir_listener_stats *sum,
			 const struct weir_listener_stats *l)
{
	sum->ledger.accepted += l->ledger.accepted;
	sum->ledger.open += l->ledger.open;
	sum->ledger.completed += l->ledger.completed;
	sum->ledger.failed += l->ledger.failed;
	sum->ledger.timed_out += l->ledger.timed_out;
	sum->ledger.refused += l->ledger.refused;
	sum->ledger.probed += l->ledger.probed;
	sum->ledger.cut += l->ledger.cut;
	sum->bytes_in += l->bytes_in;
	sum->bytes_out += l->bytes_out;
	sum->callbacks += l->callbacks;
	sum->truncated += l->truncated;
	for (int i = 0; i < 16; i++)
		sum->handshakes[i] += l->handshakes[i];
}

struct weir_listener_stats listener_stats(struct server *s, int id)
{
	struct weir_listener_stats ret;

	ck_assert_int_eq(
		weir_server_listener_stats(s->weir, id, &ret, sizeof(ret)), 0);
	return ret;
}

/* The listeners make up the server, but for connections of the program. */
static void expect_listeners_add_up(struct server *s)
{
	struct weir_listener_stats l, sum = { .callbacks = 0 };
	struct weir_stats all = stats(s);

	for (int id = 0;
	     weir_server_listener_stats(s->weir, id, &l, sizeof(l)) == 0;
	     id++) {
		expect_balance(&l.ledger);
		add_listener(&sum, &l);
	}
	ck_assert_uint_eq(sum.ledger.accepted, all.ledger.accepted);
	ck_assert_uint_eq(sum.ledger.refused, all.ledger.refused);
	if (all.ledger.dialled + all.ledger.spawned > 0)
		return;
	ck_assert_uint_eq(sum.ledger.open, all.ledger.open);
	ck_assert_uint_eq(sum.ledger.completed, all.ledger.completed);
	ck_assert_uint_eq(sum.ledger.failed, all.ledger.failed);
	ck_assert_uint_eq(sum.ledger.timed_out, all.ledger.timed_out);
	ck_assert_uint_eq(sum.ledger.probed, all.ledger.probed);
	ck_assert_uint_eq(sum.ledger.cut, all.ledger.cut);
	ck_assert_uint_eq(sum.truncated, all.truncated);
	ck_assert_mem_eq(sum.handshakes, all.handshakes,
			 sizeof(all.handshakes));
	if (all.busy > 0) /* a stuck callback may end now */
		return;
	ck_assert_uint_eq(sum.bytes_in, all.bytes_in);
	ck_assert_uint_eq(sum.bytes_out, all.bytes_out);
	ck_assert_uint_eq(sum.callbacks, all.callbacks);
}

int join_fully(weir_server *s, struct weir_report *ret)
{
	struct weir_report report;
	int64_t until_at = test_deadline();
	int rc;

	do
		rc = weir_server_join(s, &report, sizeof(report));
	while (rc == -EBUSY && now_ms() < until_at &&
	       (report.ledger.open > 0 ||
		report.stuck + report.ledger.cut == 0));
	if (ret)
		*ret = report;
	return rc;
}

struct weir_report server_join_and_check(struct server *s)
{
	struct weir_report report;
	int rc = join_fully(s->weir, &report);

	ck_assert_msg(rc == 0 || rc == -ECANCELED || rc == -EBUSY,
		      "join said %s", weir_strerror(rc));
	expect_balance(&report.ledger);
	ck_assert_uint_eq(report.ledger.open, 0);
	/* Connections that the program cancelled may be cut. */
	if (rc < 0)
		ck_assert_msg(report.ledger.cut > 0,
			      "join said %s, and nothing was cut",
			      weir_strerror(rc));
	expect_listeners_add_up(s);
	if (rc != -EBUSY)
		ck_assert_uint_eq(stats(s).unsent, 0);
	weir_server_free(s->weir);
	server_check_freed(s);
	return report;
}

struct weir_report server_stop_and_check(struct server *s)
{
	ck_assert_int_eq(weir_server_stop(s->weir, GRACE_MS * slowness()), 0);
	clients_close();
	return server_join_and_check(s);
}
