/* SPDX-License-Identifier: MIT */
/*
 * Calls from several threads at once: each message stays whole, and a
 * connection may end in any way during them.
 */
#include "test.h"

/* Little room in the kernel, so that most sends are partial. */
static int join_members(weir_conn *c, void *arg)
{
	const int small = 4096;

	setsockopt(weir_conn_fd(c), SOL_SOCKET, SO_SNDBUF, &small,
		   sizeof(small));
	atomic_store((_Atomic(weir_ref *) *)arg, weir_conn_ref(c));
	return WEIR_AGAIN;
}

static int answer_wakes(weir_conn *c, void *arg)
{
	if (weir_conn_why(c) == WEIR_WAKE) {
		weir_conn_printf(c, "woken\n");
		return WEIR_AGAIN;
	}
	return echo_lines(c, arg);
}

#define SENDERS	  4
#define SENTENCES 100
#define LONGEST	  100000

struct sender {
	weir_ref *conn;
	int id;
	pthread_t thread;
};

/* The sender, the number of the message, and many letters of the sender. */
static size_t sentence(int id, int i, char *buf)
{
	size_t len = (size_t)sprintf(buf, "%d says sentence %d ", id, i);
	size_t end = LONGEST - 3000 * (size_t)(i % 30) - 1;

	memset(buf + len, 'a' + id, end - len);
	buf[end] = '\n';
	return end + 1;
}

static void *send_sentences(void *arg)
{
	const struct sender *sender = arg;
	char text[LONGEST];

	for (int i = 0; i < SENTENCES; i++) {
		size_t len = sentence(sender->id, i, text);

		while (weir_ref_send(sender->conn, text, len) == -ENOBUFS)
			poll_sleep();
	}
	return NULL;
}

static void expect_next_sentence(struct client *c, int *next)
{
	char want[LONGEST], first;
	size_t len;

	ck_assert_int_eq(client_read(c, &first, 1), 1);
	ck_assert_msg(first >= '0' && first < '0' + SENDERS,
		      "torn: a sentence begins with '%c'", first);
	len = sentence(first - '0', next[first - '0']++, want);
	client_expect_bytes(c, want + 1, len - 1);
}

START_TEST(what_is_sent_in_one_call_stays_together_and_in_order)
{
	_Atomic(weir_ref *) member = NULL;
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo_lines,
						    .opened = join_members,
						    .arg = &member));
	struct client *c = client_open_small(s, 4096);
	struct sender senders[SENDERS];
	int next[SENDERS] = { 0 };

	UNTIL(atomic_load(&member));
	for (int i = 0; i < SENDERS; i++) {
		senders[i] = (struct sender){ .conn = member, .id = i };
		pthread_create(&senders[i].thread, NULL, send_sentences,
			       &senders[i]);
	}
	for (int i = 0; i < SENDERS * SENTENCES; i++)
		expect_next_sentence(c, next);
	for (int i = 0; i < SENDERS; i++)
		pthread_join(senders[i].thread, NULL);
	weir_ref_unref(member);
	server_stop_and_check(s);
}
END_TEST

/* ---- the same beside a long write of a callback, which waits in a session */

#define LONG_WRITE 300000

static int write_much(weir_conn *c, void *arg)
{
	static char much[LONG_WRITE];
	char line[64];
	ssize_t n;
	int rc;

	(void)arg;
	memset(much, 'A', sizeof(much));
	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0) {
		rc = weir_conn_write(c, much, sizeof(much));
		if (rc < 0)
			return rc;
	}
	return (int)n;
}

struct chatterer {
	weir_ref *conn;
	_Atomic bool is_done;
	pthread_t thread;
};

static void *chatters(void *arg)
{
	struct chatterer *chatterer = arg;

	while (!atomic_load(&chatterer->is_done)) {
		int rc = weir_ref_send(chatterer->conn, "bbbb", 4);

		ck_assert(rc == 0 || rc == -ENOBUFS);
		if (rc < 0)
			poll_sleep();
	}
	return NULL;
}

static void expect_whole_writes(bool is_session)
{
	_Atomic(weir_ref *) member = NULL;
	struct server *s =
		serve(NULL, WEIR_SERVICE(HANDLE_AS(is_session, write_much),
					 .opened = join_members, .arg = &member,
					 .outbox_mark = 16384));
	struct client *c = client_open_small(s, 4096);
	struct chatterer chatterer = { .is_done = false };
	char first = 'b', *rest = malloc(LONG_WRITE);

	UNTIL(atomic_load(&member));
	chatterer.conn = member;
	pthread_create(&chatterer.thread, NULL, chatters, &chatterer);
	for (int i = 0; i < 5; i++) {
		client_send(c, "go\n");
		while (first == 'b')
			ck_assert_int_eq(client_read(c, &first, 1), 1);
		for (size_t at = 1; at < LONG_WRITE;) {
			ssize_t n = client_read(c, rest, LONG_WRITE - at);

			ck_assert_int_gt(n, 0);
			ck_assert_ptr_null(memchr(rest, 'b', (size_t)n));
			at += (size_t)n;
		}
		first = 'b';
	}
	atomic_store(&chatterer.is_done, true);
	pthread_join(chatterer.thread, NULL);
	weir_ref_unref(member);
	free(rest);
	server_stop_and_check(s);
}

START_TEST(what_a_callback_writes_in_one_call_stays_together)
{
	expect_whole_writes(false);
	expect_whole_writes(true);
}
END_TEST

/* ---- calls against churn */

struct board {
	pthread_mutex_t lock;
	weir_ref *conn[16];
	unsigned next;
	_Atomic bool is_over;
	_Atomic int calls;
};

/* Each new connection pushes the oldest reference out. */
static int sign_on(weir_conn *c, void *arg)
{
	struct board *b = arg;
	weir_ref *old;

	pthread_mutex_lock(&b->lock);
	old = b->conn[b->next % 16];
	b->conn[b->next++ % 16] = weir_conn_ref(c);
	pthread_mutex_unlock(&b->lock);
	weir_ref_unref(old);
	return WEIR_AGAIN;
}

static void *call_somebody(void *arg)
{
	struct board *b = arg;
	unsigned n = 0;

	while (!atomic_load(&b->is_over)) {
		weir_ref *c;

		pthread_mutex_lock(&b->lock);
		c = b->conn[n % 16];
		if (c)
			weir_ref_dup(c);
		pthread_mutex_unlock(&b->lock);
		n++;
		if (!c)
			continue;
		if (n % 50 == 0)
			weir_ref_cancel(c);
		else if (n % 20 == 0)
			weir_ref_close(c);
		else if (n % 3 == 0)
			weir_ref_wake(c);
		else
			weir_ref_send(c, "called\n", 7);
		weir_ref_unref(c);
		atomic_fetch_add(&b->calls, 1);
	}
	return NULL;
}

START_TEST(calls_from_other_threads_survive_any_churn)
{
	struct board b = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct server *s =
		serve_workers(3, WEIR_SERVICE(.readable = answer_wakes,
					      .opened = sign_on, .arg = &b));
	pthread_t id[2];

	for (int i = 0; i < 2; i++)
		pthread_create(&id[i], NULL, call_somebody, &b);
	for (int i = 0; i < fewer(4000); i++) {
		struct client *c = client_open(s);

		client_try_send(c, "hello\n", 6);
		if (i % 3 == 0) {
			client_reset(c);
		} else {
			if (i % 3 == 1)
				shutdown(c->fd, SHUT_WR);
			client_close(c);
		}
	}
	UNTIL(is_at_rest(s));
	atomic_store(&b.is_over, true);
	for (int i = 0; i < 2; i++)
		pthread_join(id[i], NULL);
	ck_assert_int_gt(atomic_load(&b.calls), 0);
	server_stop_and_check(s);
	for (int i = 0; i < 16; i++)
		weir_ref_unref(b.conn[i]);
}
END_TEST

int main(void)
{
	return RUN_TESTS("thread_churn",
			 what_is_sent_in_one_call_stays_together_and_in_order,
			 what_a_callback_writes_in_one_call_stays_together,
			 calls_from_other_threads_survive_any_churn);
}
