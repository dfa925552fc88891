/* SPDX-License-Identifier: MIT */
/*
 * A thread reads the statistics of the server each TICK_MS, or twice in the
 * time of the watchdog if that is shorter, and sends what has changed.
 *
 * The watchdog ends a server that no longer serves: for the time of the
 * watchdog, all workers were in callbacks, no callback has begun and no byte
 * was received or sent; or a worker was idle, but a timer of the server, which
 * the acceptor starts, was not called.  One stuck worker is no reason to end
 * the server.
 */
#include "systemd.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../cli/cli.h"
#include "../cli/text.h"
#include "background.h"
#include "journal.h"

#define TICK_MS	  250
#define STATUS_MS 1000 /* the status is sent at most this often */
#define SEND_MS	  1000 /* longest wait for the manager to take a message */

/*
 * Until its deadline, a stop keeps asking for this much more time, so the
 * manager's deadline comes this much after that of the stop.
 */
#define EXTEND_MS 2000

static struct {
	int fd;			 /* -1: no manager listens */
	int64_t watchdog_ms;	 /* 0: none */
	_Atomic int64_t stop_ms; /* longest time of a stop, or WEIR_NEVER */
	atomic_ullong beats;	 /* of the acceptor */
	weir_server *server;
	pthread_t thread;
	bool has_thread;
	atomic_bool has_failed;	  /* to send */
	atomic_bool is_followed;  /* since the thread has looked */
	atomic_bool is_over_here; /* a successor speaks to the manager */
	atomic_long successor;	  /* of which it was not told; 0: none */
	char *variables[2];	  /* NAME=value */

	pthread_mutex_t lock; /* of the next three */
	pthread_cond_t changed;
	bool is_ready, is_over;
} systemd = { .fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER };

/* What the thread has seen and sent. */
struct watch {
	struct weir_stats seen;
	char status[128];
	int64_t status_at, stopping_at, extended_at, fed_at;
	unsigned long long beats;
	int64_t tick_ms, still_ms; /* without progress */
	int64_t silent_ms;	   /* of the acceptor, with an idle worker */
	bool is_stuck;
};

static int64_t systemd_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* Returns its length, or 0 if it cannot be an address. */
static socklen_t make_address(struct sockaddr_un *ret, const char *where)
{
	size_t len = strlen(where);

	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if ((where[0] != '/' && where[0] != '@') || len < 2 ||
	    len >= sizeof(ret->sun_path))
		return 0;
	memcpy(ret->sun_path, where, len);
	if (where[0] == '@')
		ret->sun_path[0] = '\0';
	else
		len++;
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

static bool connect_to(const char *where)
{
	const struct timeval wait = { .tv_sec = SEND_MS / 1000 };
	struct sockaddr_un to;
	socklen_t len = make_address(&to, where);

	if (len == 0) {
		cli_error("NOTIFY_SOCKET: '%s' is neither an absolute path nor "
			  "@name of up to %zu bytes",
			  where, sizeof(to.sun_path) - 1);
		return false;
	}
	systemd.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (systemd.fd >= 0 &&
	    setsockopt(systemd.fd, SOL_SOCKET, SO_SNDTIMEO, &wait,
		       sizeof(wait)) == 0 &&
	    connect(systemd.fd, (struct sockaddr *)&to, len) == 0)
		return true;
	cli_error("NOTIFY_SOCKET: cannot connect to '%s': %s", where,
		  strerror(errno));
	return false;
}

static bool send_message(const char *message)
{
	bool is_taken =
		send(systemd.fd, message, strlen(message), MSG_NOSIGNAL) >= 0;

	if (!is_taken && !systemd.has_failed)
		journal(WEIR_LOG_WARNING,
			"the service manager takes no messages: %s",
			strerror(errno));
	systemd.has_failed = !is_taken;
	return is_taken;
}

static void notify(const char *message)
{
	if (!systemd.is_over_here)
		(void)send_message(message);
}

static void notify_fd(const char *message, int fd)
{
	union {
		char room[CMSG_SPACE(sizeof(fd))];
		struct cmsghdr align;
	} control = { .room = { 0 } };
	struct iovec text = { (void *)message, strlen(message) };
	struct msghdr m = { .msg_iov = &text,
			    .msg_iovlen = 1,
			    .msg_control = control.room,
			    .msg_controllen = sizeof(control.room) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	if (sendmsg(systemd.fd, &m, MSG_NOSIGNAL) < 0)
		journal(WEIR_LOG_WARNING,
			"the service manager does not keep a listener: %s",
			strerror(errno));
}

bool systemd_is_there(void)
{
	return systemd.fd >= 0;
}

void systemd_keep(weir_server *s, int id, const char *name)
{
	char text[512];
	int fd = systemd.fd < 0 ? -1 : weir_server_listener_fd(s, id);

	snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s", name);
	if (fd >= 0)
		notify_fd(text, fd);
}

void systemd_forget(const char *name)
{
	char text[512];

	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	if (systemd.fd >= 0)
		notify(text);
}

/* Rounded up to ms. */
static bool parse_watchdog(const char *usec, const char *pid)
{
	unsigned long long value;
	int meant;

	if (!usec)
		return true;
	if (pid && cli_parse_number(pid, 1, INT_MAX, &meant) &&
	    meant != getpid())
		return true;
	errno = 0;
	value = strtoull(usec, NULL, 10);
	if (usec[strspn(usec, "0123456789")] != '\0' || value == 0 ||
	    errno != 0) {
		cli_error("WATCHDOG_USEC: '%s' is not a number of microseconds",
			  usec);
		return false;
	}
	systemd.watchdog_ms = (int64_t)((value - 1) / 1000 + 1);
	return true;
}

static bool keep_variable(char **to, const char *name)
{
	const char *value = getenv(name);

	if (value && asprintf(to, "%s=%s", name, value) < 0) {
		cli_error("out of memory");
		*to = NULL;
		return false;
	}
	return true;
}

void systemd_environment(char **to)
{
	for (int i = 0; i < 2; i++)
		if (systemd.variables[i])
			*to++ = systemd.variables[i];
}

/* The watchdog of another process is not the successor's either. */
static bool keep_variables(void)
{
	return keep_variable(&systemd.variables[0], "NOTIFY_SOCKET") &&
	       (systemd.watchdog_ms == 0 ||
		keep_variable(&systemd.variables[1], "WATCHDOG_USEC"));
}

bool systemd_open(void)
{
	const char *where = getenv("NOTIFY_SOCKET");
	bool is_good = !where || (connect_to(where) &&
				  parse_watchdog(getenv("WATCHDOG_USEC"),
						 getenv("WATCHDOG_PID")) &&
				  keep_variables());

	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	return is_good;
}

static void describe_status(char *text, size_t cap,
			    const struct weir_stats *now)
{
	snprintf(text, cap,
		 "STATUS=%s, %llu open, %llu of %llu workers busy, %llu queued",
		 now->phase == WEIR_PHASE_SERVING     ? "serving"
		 : now->phase == WEIR_PHASE_LAME_DUCK ? "lame duck"
						      : "stopping",
		 (unsigned long long)now->ledger.open,
		 (unsigned long long)now->busy,
		 (unsigned long long)now->workers,
		 (unsigned long long)now->queued);
}

static void tell_status(struct watch *w, const struct weir_stats *now,
			int64_t at)
{
	char status[sizeof(w->status)];

	describe_status(status, sizeof(status), now);
	if (strcmp(status, w->status) == 0 || at < w->status_at + STATUS_MS)
		return;
	memcpy(w->status, status, sizeof(status));
	w->status_at = at;
	notify(status);
}

static void tell_stop(struct watch *w, int64_t at)
{
	int64_t stop_ms = systemd.stop_ms;
	char text[64];

	if (w->stopping_at == 0) {
		w->stopping_at = at;
		notify("STOPPING=1");
	}
	if (at < w->extended_at + EXTEND_MS / 2 ||
	    (stop_ms != WEIR_NEVER && at > w->stopping_at + stop_ms))
		return;
	w->extended_at = at;
	snprintf(text, sizeof(text), "EXTEND_TIMEOUT_USEC=%d",
		 EXTEND_MS * 1000);
	notify(text);
}

static bool has_progressed(const struct weir_stats *before,
			   const struct weir_stats *now)
{
	return now->busy < now->workers ||
	       now->callbacks != before->callbacks ||
	       now->bytes_in != before->bytes_in ||
	       now->bytes_out != before->bytes_out;
}

static void count_beats(struct watch *w, const struct weir_stats *now)
{
	unsigned long long beats = systemd.beats;

	if (beats != w->beats || now->phase != WEIR_PHASE_SERVING)
		w->silent_ms = 0;
	else if (now->busy < now->workers)
		w->silent_ms += w->tick_ms;
	w->beats = beats;
}

static void feed_watchdog(struct watch *w, const struct weir_stats *now,
			  int64_t at)
{
	/* Ticks and not the clock: the whole process may have been stopped. */
	w->still_ms =
		has_progressed(&w->seen, now) ? 0 : w->still_ms + w->tick_ms;
	count_beats(w, now);
	if (w->still_ms < systemd.watchdog_ms &&
	    w->silent_ms < systemd.watchdog_ms) {
		if (at >= w->fed_at + systemd.watchdog_ms / 2 - TICK_MS / 2) {
			w->fed_at = at;
			notify("WATCHDOG=1");
		}
	} else if (!w->is_stuck) {
		w->is_stuck = true;
		journal(WEIR_LOG_ERROR,
			"%s; the service manager is asked to end the server",
			w->still_ms < systemd.watchdog_ms
				? "the acceptor is stuck"
				: "every worker is stuck in a callback");
		notify("WATCHDOG=trigger");
	}
}

static void watch_server(struct watch *w)
{
	struct weir_stats now;
	int64_t at = systemd_now_ms();

	weir_server_stats(systemd.server, &now, sizeof(now));
	if (atomic_exchange(&systemd.is_followed, false))
		w->status[0] = '\0';
	if (now.phase != WEIR_PHASE_SERVING)
		tell_stop(w, at);
	tell_status(w, &now, at);
	if (systemd.watchdog_ms > 0)
		feed_watchdog(w, &now, at);
	w->seen = now;
}

/* Returns false when the thread has to end. */
static bool wait_for_tick(int64_t ms)
{
	struct timespec until;
	bool goes_on;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (until.tv_nsec / 1000000 + ms) / 1000;
	until.tv_nsec = (until.tv_nsec / 1000000 + ms) % 1000 * 1000000;
	pthread_mutex_lock(&systemd.lock);
	while (!systemd.is_over &&
	       pthread_cond_timedwait(&systemd.changed, &systemd.lock,
				      &until) == 0)
		;
	goes_on = !systemd.is_over;
	pthread_mutex_unlock(&systemd.lock);
	return goes_on;
}

static bool wait_until_ready(void)
{
	bool is_ready;

	pthread_mutex_lock(&systemd.lock);
	while (!systemd.is_ready && !systemd.is_over)
		pthread_cond_wait(&systemd.changed, &systemd.lock);
	is_ready = systemd.is_ready;
	pthread_mutex_unlock(&systemd.lock);
	return is_ready;
}

/* The one message that must not be lost: it is repeated until it is taken. */
static void tell_of_successor(void)
{
	long pid = systemd.successor;
	char text[64];

	/* The manager may have ignored what the successor has sent. */
	snprintf(text, sizeof(text), "MAINPID=%ld\nREADY=1%s", pid,
		 systemd.watchdog_ms > 0 ? "\nWATCHDOG=1" : "");
	if (pid > 0 && send_message(text))
		systemd.successor = 0;
}

static void *systemd_main(void *arg)
{
	struct watch w = { .tick_ms = TICK_MS };

	(void)arg;
	if (!wait_until_ready())
		return NULL;
	if (systemd.watchdog_ms > 0 && systemd.watchdog_ms < 2 * w.tick_ms)
		w.tick_ms = (systemd.watchdog_ms + 1) / 2;
	do {
		tell_of_successor();
		watch_server(&w);
	} while (wait_for_tick(w.tick_ms));
	tell_of_successor();
	if (systemd.successor > 0)
		journal(WEIR_LOG_ERROR,
			"the service manager does not know of process %ld",
			(long)systemd.successor);
	if (w.stopping_at == 0)
		notify("STOPPING=1");
	return NULL;
}

static int64_t longest_stop(const struct weir_config *c)
{
	if (c->lame_duck_ms == WEIR_NEVER || c->drain_ms == WEIR_NEVER)
		return WEIR_NEVER;
	return (int64_t)c->lame_duck_ms + c->drain_ms;
}

void systemd_configure(const struct weir_config *config)
{
	systemd.stop_ms = longest_stop(config);
}

static void beat(weir_server *s, weir_timer *t, void *arg)
{
	(void)s;
	(void)t;
	(void)arg;
	atomic_fetch_add(&systemd.beats, 1);
}

/* Several in the time of the watchdog. */
static int start_beats(weir_server *s)
{
	int64_t ms = systemd.watchdog_ms / 4;

	if (systemd.watchdog_ms == 0)
		return 0;
	ms = ms < 1 ? 1 : ms < TICK_MS ? ms : TICK_MS;
	return weir_server_timer(s, NULL, 0, (int)ms, beat, NULL);
}

int systemd_start(weir_server *s, const struct weir_config *config)
{
	sigset_t all, before;
	int rc;

	if (systemd.fd < 0)
		return 0;
	rc = start_beats(s);
	if (rc < 0)
		return rc;
	systemd.server = s;
	systemd_configure(config);
	background_cond_init(&systemd.changed);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&systemd.thread, NULL, systemd_main, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	systemd.has_thread = rc == 0;
	return -rc;
}

static void wake_thread(bool *why)
{
	pthread_mutex_lock(&systemd.lock);
	*why = true;
	pthread_cond_signal(&systemd.changed);
	pthread_mutex_unlock(&systemd.lock);
}

void systemd_ready(bool has_predecessor)
{
	if (!systemd.has_thread)
		return;
	if (!has_predecessor)
		notify("READY=1");
	wake_thread(&systemd.is_ready);
}

void systemd_followed(void)
{
	systemd.is_followed = true;
}

bool systemd_begin_upgrade(void)
{
	bool is_taken = !systemd.has_thread || send_message("STATUS=upgrading");

	systemd.is_followed = true; /* the status again, if nothing comes */
	return is_taken;
}

void systemd_hand_over(pid_t successor)
{
	if (!systemd.has_thread)
		return;
	systemd.is_over_here = true;
	systemd.successor = successor;
	tell_of_successor();
}

/* Before systemd_ready(), READY=1 would say that clients are served. */
static bool may_tell_reloads(void)
{
	bool is_ready;

	pthread_mutex_lock(&systemd.lock);
	is_ready = systemd.is_ready;
	pthread_mutex_unlock(&systemd.lock);
	return systemd.has_thread && is_ready;
}

void systemd_reloading(void)
{
	struct timespec now;
	char text[64];

	if (!may_tell_reloads())
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld",
		 now.tv_sec * 1000000LL + now.tv_nsec / 1000);
	notify(text);
}

void systemd_reloaded(void)
{
	if (may_tell_reloads())
		notify("READY=1");
}

void systemd_end(void)
{
	if (!systemd.has_thread)
		return;
	wake_thread(&systemd.is_over);
	pthread_join(systemd.thread, NULL);
}
