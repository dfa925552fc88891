/* SPDX-License-Identifier: MIT */
/*
 * The test kit: servers, clients, groups of clients, gates that hold a
 * callback, and a network namespace with its counters.
 *
 * Each test is a process, so it may count threads and descriptors.  Nothing
 * here sleeps to let things settle: UNTIL() waits for a condition, and the test
 * fails with its text if the condition never comes true.  A call that cannot do
 * what its name says fails the test.
 */
#ifndef TESTS_SUPPORT_TEST_H
#define TESTS_SUPPORT_TEST_H

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "weir.h"

/* ------------------------------------------------------------------ suite */

/* main() of a test program; each test is named once.  Returns its status. */
#define RUN_TESTS(name, ...)                                                   \
	run_tests(name, (const TTest *const[]){ __VA_ARGS__, NULL })

int run_tests(const char *name, const TTest *const *tests);

/* Descriptors in this process; false: the test is skipped. */
bool may_open(int count);

/* Print why this test, or a part of it, is left out: once in a process. */
void skip_test(const char *why, ...) __attribute__((format(printf, 1, 2)));

/* How many times slower than a plain build this one is: WEIR_TEST_SLOW. */
int slowness(void);

/* A count for a plain build, divided by slowness(); at least 1. */
int fewer(int count);

/* Limit the process to exactly that many more descriptors, or to no limit. */
void leave_descriptors(int count);
void leave_all_descriptors(void);

/* The bytes escaped, for the message of a failure. */
const char *printable(const char *data, size_t len);

int64_t now_ms(void);
int64_t cpu_ms(void); /* used by this process */
/* Taken from all processors by the host; the first call opens a file. */
int64_t stolen_ms(void);
/* Bytes of the heap; 0, and a line that says so, if they cannot be counted. */
size_t heap_in_use(void);
int64_t test_deadline(void); /* of a wait that begins now, ms */
void poll_sleep(void);	     /* between two looks at a condition */

#define UNTIL(cond)                                                            \
	do {                                                                   \
		int64_t until_at_ = test_deadline();                           \
		while (!(cond)) {                                              \
			ck_assert_msg(now_ms() < until_at_,                    \
				      "never came true: %s", #cond);           \
			poll_sleep();                                          \
		}                                                              \
	} while (0)

/*
 * Of a bound on time: a machine that stands still may spoil a try, but not most
 * of them.  Try until more were good than not; 15 bad ones are a failure.
 */
#define MOSTLY(a_try_is_good)                                                  \
	do {                                                                   \
		int good_ = 0, bad_ = 0;                                       \
		while (good_ <= bad_) {                                        \
			if (a_try_is_good)                                     \
				good_++;                                       \
			else                                                   \
				ck_assert_msg(++bad_ < 15, "mostly not: %s",   \
					      #a_try_is_good);                 \
		}                                                              \
	} while (0)

/* ----------------------------------------------------------------- server */

/* State of the process that a server must leave unchanged. */
struct process_state {
	int threads;
	int descriptors;
	sigset_t mask;
	struct sigaction actions[3]; /* of INT, TERM, PIPE */
};

void process_state_take(struct process_state *b);
void process_state_check(const struct process_state *b);

struct server {
	weir_server *weir;
	char address[160]; /* of the first listener */
	struct process_state before;
	pthread_mutex_t log_lock;
	char *log; /* all lines so far */
	size_t log_len;
	int log_lines;
	int connected_before; /* clients_connected() when it was made */
};

/* Start a server with this service on 127.0.0.1, port 0. */
struct server *serve(const struct weir_config *config,
		     const struct weir_service *service);
/* The same at hold_address(): no other process listens there after the stop. */
struct server *serve_held(const struct weir_config *config,
			  const struct weir_service *service);
/* The same with that many workers. */
struct server *serve_workers(int count, const struct weir_service *service);
struct server *serve_at(const char *where, const struct weir_config *config,
			const struct weir_service *service);

/* The same in steps. */
struct server *server_new(const struct weir_config *config);
int server_listen(struct server *s, const char *where,
		  const struct weir_service *service);
void server_address(struct server *s, int id, char *buf, size_t cap);
void server_start(struct server *s);

/*
 * Stop, close the remaining clients, join, free.  Then the ledger balances,
 * nothing is open, and threads, descriptors, signal mask and dispositions are
 * as before.
 */
struct weir_report server_stop_and_check(struct server *s);

/* The same after a stop; the clients stay until it is over. */
struct weir_report server_join_and_check(struct server *s);

/*
 * weir_server_join(), until threads that have nothing left to do have ended: a
 * busy machine may keep them from running for longer than a join waits.
 */
int join_fully(weir_server *s, struct weir_report *ret);

/* The same checks for a server that the test has freed. */
void server_check_freed(struct server *s);

/*
 * A stop takes at most its grace and 100 ms, and the time that a busy machine
 * kept its threads from running.
 */
bool is_stop_on_time(const struct weir_report *r, int grace_ms);
void expect_stop_on_time(const struct weir_report *r, int grace_ms);

void expect_balance(const struct weir_ledger *l);
uint64_t ledger_refused(const struct weir_ledger *l);

struct weir_stats stats(struct server *s);
struct weir_listener_stats listener_stats(struct server *s, int id);
/* Has its one session begun, and does it wait?  It may do so on its worker. */
bool session_waits(struct server *s);
/* Is every connection that clients made accepted and over? */
bool is_at_rest(struct server *s);

bool log_says(struct server *s, const char *words);
int log_lines(struct server *s);

/* A server with two workers in a child process. */
struct forked_server {
	pid_t pid;
	int go; /* closed: the child may exit */
	char address[160];
};

struct forked_server forked_server_start(const struct weir_service *service);
void forked_server_freeze(const struct forked_server *e);
void forked_server_resume(const struct forked_server *e);
void forked_server_stop_and_check(
	struct forked_server *e); /* as server_stop_and_check() */

/* ----------------------------------------------------------------- client */

struct client {
	int fd;
	struct client *next;
};

struct client *client_open(struct server *s);
struct client *client_open_at(const char *address);
/* Send this; the second expects it back. */
struct client *client_open_and_send(struct server *s, const char *text);
struct client *client_open_and_echo(struct server *s, const char *text);
/* With a receive buffer of about that many bytes. */
struct client *client_open_small(struct server *s, int receive_buffer);
/* A socket not yet connected; client_connect() returns 0 or -errno. */
struct client *client_new(const char *address, int receive_buffer);
int client_connect(struct client *c, const char *address);

void client_send(struct client *c, const char *text);
void client_send_bytes(struct client *c, const void *data, size_t len);
/* In pieces of that size, each a segment; 0: whole. */
void client_send_in_pieces(struct client *c, const char *text, size_t piece);
/* Returns 0 or -errno, for a peer that may be gone. */
int client_try_send(struct client *c, const void *data, size_t len);

void client_expect(struct client *c, const char *text);
void client_expect_bytes(struct client *c, const void *data, size_t len);
/* Send, and expect the reply or the same. */
void client_expect_reply(struct client *c, const char *text, const char *reply);
void client_expect_echo(struct client *c, const char *text);
/* The last reply, then the end of input. */
void client_expect_last(struct client *c, const char *text);
void client_expect_eof(struct client *c);
/* Read to the end, by FIN or RST; returns how many bytes came. */
size_t client_expect_end(struct client *c);
/* Read to the end, which must not be a reset; how many bytes came. */
size_t client_read_to_eof(struct client *c);
/* Returns > 0, 0 at the end, or -errno. */
ssize_t client_read(struct client *c, void *buf, size_t cap);
bool client_has_input(struct client *c); /* now */
int client_port(struct client *c);	 /* the local one */

void client_half_close(struct client *c);
void client_reset(struct client *c);
void client_close(struct client *c);
void clients_close(void);    /* all that remain */
int clients_connected(void); /* so far, in this test */

/* How many segments with data this TCP socket has received. */
unsigned int segments_received(int fd);
/* How many connections of an IPv4 listener have input that nobody has read. */
int connections_with_input(const char *address);

/* ---------------------------------------------------------- client group */

/* Many clients at the same point of a dialogue, driven by one thread. */
struct client_group {
	int count;
	int round;    /* for group_text */
	size_t piece; /* 0: send whole; n: n bytes of each, round robin */
	struct group_member *members;
};

/* Write what client i sends in this round; returns the length, <= cap. */
typedef size_t group_text(const struct client_group *group, int i, char *buf,
			  size_t cap);

struct client_group *group_open(struct server *s, int count);
void group_send(struct client_group *group, group_text *text);
void group_expect(struct client_group *group, group_text *text);
/* As group_expect(), if a reply may come as several. */
void group_expect_joined(struct client_group *group, const char *prefix,
			 group_text *text);
void group_half_close(struct client_group *group);
void group_expect_eof(struct client_group *group);
void group_close(struct client_group *group);

/* ------------------------------------------------------- callbacks to hold */

/* Callbacks wait here until the test opens it. */
struct gate {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool is_open;
	int passes; /* how many may pass a closed gate */
	int waiting;
};

#define GATE_CLOSED                                                            \
	{                                                                      \
		.lock = PTHREAD_MUTEX_INITIALIZER,                             \
		.cond = PTHREAD_COND_INITIALIZER,                              \
	}

void gate_wait(struct gate *g);
int gate_waiting(struct gate *g);
void gate_open(struct gate *g);
void gate_let_in(struct gate *g, int count);

/* --------------------------------------------------------------- handlers */

int discard(weir_conn *c, void *arg);	     /* what comes */
int echo(weir_conn *c, void *arg);	     /* bytes, until none is left */
int echo_lines(weir_conn *c, void *arg);     /* lines, until none is left */
int echo_a_line(weir_conn *c, void *arg);    /* one a call */
int connect_banner(weir_conn *c, void *arg); /* opened: "Connect" */
int reply(weir_conn *c, void *arg); /* "Server replies: " + what came */
/* In a WEIR_SERVICE(): this handler, as session or as readable. */
#define HANDLE_AS(is_session, fn)                                              \
	.session = (is_session) ? (fn) : NULL,                                 \
	.readable = (is_session) ? NULL : (fn)
/* In a WEIR_SERVICE(): a session, on its worker or on a stack of its own. */
#define SESSION_ON(on_worker, fn)                                              \
	.session = (fn), .session_on_worker = (on_worker)
/* arg is a gate: the line "wait" waits there; every line is echoed. */
int echo_lines_at_gate(weir_conn *c, void *arg);
/* Send it "wait"; returns when one more callback waits at the gate. */
void client_wait_at_gate(struct client *c, struct gate *gate);
/* "-EAGAIN" and the like, for a handler to send. */
const char *error_name(ssize_t n);
/* "EAGAIN", or NULL. */
const char *errno_name(int error);

/* ------------------------------------------------------------------ files */

/*
 * Make a folder with a short name in TMPDIR, which make check removes after the
 * test.  Returns false if that is not possible.
 */
#define FOLDER_ROOM 40
bool make_folder(char path[FOLDER_ROOM]);

/* An unnamed file of len bytes byte_at(0), byte_at(1) ...; its fd. */
int make_file(size_t len);
char byte_at(size_t i);
bool bytes_match(const char *data, size_t len, size_t from);

/* ---------------------------------------------------------------- network */

/* An abstract Unix address that no other process uses. */
const char *own_unix_address(void);

/*
 * Write "127.0.0.1:PORT" of a port that no other process gets, until this one
 * ends.  Nobody listens there before a server of the test does.
 */
void hold_address(char *to, size_t cap);

/* False, and the test counts as skipped, without an IPv6 loopback. */
bool has_ipv6(void);

/* Enter a new network namespace with "lo" up; false where not allowed. */
bool enter_own_network(void);
/* The same, and all handshakes are by SYN cookies; if not, it says so. */
bool enter_network_of_cookies(void);

/* Such as "Tcp", "OutRsts", of this namespace; -1 if there is none. */
long network_counter(const char *group, const char *name);

/* ------------------------------------------------------------------- load */

/* Counts of clients that ask until the server is gone. */
struct load_counts {
	uint64_t connected; /* connect() succeeded */
	uint64_t refused;   /* ECONNREFUSED, or no such path */
	uint64_t answered;
	uint64_t lost;	/* asked before the stop, without a whole answer */
	uint64_t late;	/* asked after it, and got the end of input */
	uint64_t slow;	/* the same, but waited for long before it asked */
	uint64_t reset; /* ECONNRESET or EPIPE on an open connection */
	uint64_t odd;	/* anything else */
};

void load_counts_add(struct load_counts *all, const struct load_counts *b);

struct load;

/* Threads that connect for each question, and threads that stay. */
struct load *load_start(const char *address, int churning, int keeping);
/* The former, and one thread with a group that asks, then pauses. */
struct load *load_start_with_group(const char *address, int churning, int count,
				   int pause_ms);
uint64_t load_answered(struct load *l);	 /* so far */
uint64_t load_connected(struct load *l); /* so far */
/* Churning clients so far that were not answered, or not to the end. */
uint64_t load_failed(struct load *l);
/* Call it right before the stop. */
void load_mark_stop(struct load *l);
struct load_counts load_finish(struct load *l);

/* For comparison: a server that closes what it has when it stops. */
struct baseline_server {
	int fd;
	char address[64];
	_Atomic bool is_over;
	pthread_t id;
};

void baseline_server_start(struct baseline_server *p);
void baseline_server_stop(struct baseline_server *p);

#endif
