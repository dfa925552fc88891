/* SPDX-License-Identifier: MIT */
/*
 * "A successor shares the sockets": until it is ready, they are this server's
 * own, and a stop here accepts every client that has connected.  Then a stop of
 * either leaves them alone, until the other has closed them and
 * weir_server_own_listener() is called.
 *
 * All that the child needs is made before fork(2); it makes only calls that are
 * safe after a fork of a program with threads.
 *
 * The successor is the child of a guard, which tells how it ends.  The guard
 * ends when the successor is ready, which makes that one a child of the service
 * manager.  At a stop, systemd would otherwise kill it at once, as it does with
 * any main process that is not its child.
 */
#include "upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../cli/cli.h"
#include "../cli/text.h"
#include "activation.h"
#include "background.h"
#include "journal.h"
#include "listeners.h"
#include "pidfile.h"
#include "reload.h"
#include "services.h"
#include "systemd.h"

#define FIRST_FD       3
#define OFFERS_MOST    1000
#define LOOK_MS	       50   /* between two looks at the server's state */
#define CLOSE_MS       2000 /* until the predecessor has closed the sockets */
#define FOLLOW_MS      4000 /* the same, and until it has told its manager */
#define REPORT_MS      2000 /* for the rest of a message that has begun */
#define END_MS	       2000 /* for a successor that is to end, without a stop */
#define NUMBER_ROOM    12
#define VARIABLES_MOST 6

struct offer {
	weir_server *server;
	int id;
	char name[300];
	bool is_inherited; /* from a service manager: never ours alone */
	bool is_taken;	   /* the successor listens on it */
	int fd;
	int mode; /* of its path before the upgrade; -1: it has none */
};

static struct {
	int argc;
	char **argv;
	char *program;
	sigset_t mask;
	atomic_int predecessor; /* a socket; -1: none shares our listeners */
	atomic_bool has_successor, is_under_way;
	atomic_bool has_stopped, has_cut; /* this server */
	bool is_ready;			  /* the predecessor was told */

	struct offer offers[OFFERS_MOST];
	int count;
	weir_server *server;
	const struct options *options;
	pthread_mutex_t lock; /* of an upgrade */
} upgrade = { .predecessor = -1, .lock = PTHREAD_MUTEX_INITIALIZER };

struct launch {
	char **env;
	char pid[sizeof("LISTEN_PID=") + NUMBER_ROOM];
	char fds[sizeof("LISTEN_FDS=") + NUMBER_ROOM];
	char *names;
	char socket[sizeof("WEIR_PREDECESSOR=") + NUMBER_ROOM];
	int ours, theirs; /* the ends of the socket */
	int told, tells;  /* the same of the guard's socket */
	bool is_ready;	  /* the child has said so */
	bool is_given;	  /* a socket that a stop here leaves to the child */
	pid_t guard, child;
	int64_t began_at;
	char reason[CLI_ERROR_MOST]; /* why the successor ends, as it says */
};

/* How a process has ended, as waitid(2) says. */
struct end {
	int code, status;
};

struct news {
	pid_t child; /* > 0: it has begun; < 0: -errno; 0: it has ended */
	struct end end;
};

static int64_t clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static char *find_in_path(const char *name)
{
	const char *path = getenv("PATH"), *end;
	char *file;

	for (; path && *path; path = *end ? end + 1 : end) {
		end = strchrnul(path, ':');
		if (asprintf(&file, "%.*s/%s", (int)(end - path), path, name) <
		    0)
			return NULL;
		if (access(file, X_OK) == 0)
			return file;
		free(file);
	}
	return strdup("/proc/self/exe");
}

/*
 * The path as it was started, and not that of the file that runs: the file may
 * be replaced, and a link may lead to another one.
 */
static char *find_program(const char *name)
{
	return strchr(name, '/') ? strdup(name) : find_in_path(name);
}

bool upgrade_open(int argc, char **argv, const sigset_t *mask)
{
	const char *text = getenv("WEIR_PREDECESSOR");
	int fd = -1;

	signal(SIGCHLD, SIG_DFL); /* ignored, it leaves waitpid() no status */
	upgrade.argc = argc;
	upgrade.argv = calloc((size_t)argc + 1, sizeof(*argv));
	upgrade.program = find_program(argv[0]);
	upgrade.mask = *mask;
	if (!upgrade.argv || !upgrade.program) {
		cli_error("out of memory");
		return false;
	}
	memcpy(upgrade.argv, argv, (size_t)argc * sizeof(*argv));
	if (text && (!cli_parse_number(text, FIRST_FD, INT_MAX, &fd) ||
		     fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)) {
		cli_error("WEIR_PREDECESSOR: '%s' is no open descriptor", text);
		return false;
	}
	unsetenv("WEIR_PREDECESSOR");
	upgrade.predecessor = fd;
	return true;
}

bool upgrade_has_successor(void)
{
	return upgrade.has_successor;
}

bool upgrade_has_predecessor(void)
{
	return upgrade.predecessor >= 0;
}

static void own_listeners_locked(void)
{
	for (int i = 0; i < upgrade.count; i++) {
		struct offer *o = &upgrade.offers[i];

		if (!o->is_inherited)
			(void)weir_server_own_listener(o->server, o->id);
	}
}

/* Until the predecessor has said what it does.  False: it keeps the sockets. */
static bool gets_sockets(void)
{
	bool is_kept = false;
	ssize_t n;
	char said;

	do {
		n = read(upgrade.predecessor, &said, 1);
		is_kept |= n > 0;
	} while (n > 0 || (n < 0 && errno == EINTR));
	return !is_kept;
}

static void *take_sockets(void *arg)
{
	bool are_ours = gets_sockets();

	pthread_mutex_lock(&upgrade.lock);
	if (are_ours)
		own_listeners_locked();
	else
		(void)weir_server_stop(upgrade.server, reload_drain_ms());
	/* Last: upgrade_ready() waits for it, and then a stop may begin. */
	close(atomic_exchange(&upgrade.predecessor, -1));
	pthread_mutex_unlock(&upgrade.lock);
	journal(WEIR_LOG_INFO,
		are_ours ? "the predecessor of process %ld has closed its "
			   "sockets"
			 : "the predecessor of process %ld keeps its sockets",
		(long)getpid());
	return arg;
}

void upgrade_ready(void)
{
	int64_t until = clock_ms() + FOLLOW_MS;
	char text[1 + OFFERS_MOST] = "R";
	size_t len = 1 + activation_report(text + 1, OFFERS_MOST);

	if (upgrade.predecessor < 0)
		return;
	(void)send(upgrade.predecessor, text, len, MSG_NOSIGNAL);
	upgrade.is_ready = true;
	if (background_start(take_sockets, NULL) < 0)
		journal(WEIR_LOG_WARNING,
			"no thread waits for the end of the predecessor");
	/* While the predecessor shares the sockets, a stop would leave them. */
	while (upgrade.predecessor >= 0 && clock_ms() < until)
		(void)poll(NULL, 0, 1);
}

void upgrade_failed(const char *why)
{
	struct iovec text[] = { { "F", 1 }, { (void *)why, strlen(why) } };
	struct msghdr m = { .msg_iov = text, .msg_iovlen = 2 };

	if (upgrade.predecessor >= 0 && !upgrade.is_ready)
		(void)sendmsg(upgrade.predecessor, &m, MSG_NOSIGNAL);
}

/* It is not shared before a successor is ready, see give_listeners(). */
static int find_descriptor(struct offer *o, const struct listener *l)
{
	o->fd = weir_server_listener_fd(o->server, o->id);
	if (o->fd >= 0 && l->kind != WEIR_ADDRESS_FD)
		(void)weir_server_own_listener(o->server, o->id);
	return o->fd < 0 ? o->fd : 0;
}

static int offer_locked(weir_server *s, int id, const struct listener *l,
			bool is_inherited)
{
	struct offer *o = &upgrade.offers[upgrade.count];
	int rc;

	if (upgrade.count == OFFERS_MOST)
		return -ENOSPC;
	*o = (struct offer){ .server = s,
			     .id = id,
			     .is_inherited = is_inherited };
	snprintf(o->name, sizeof(o->name), "%s", l->name);
	rc = find_descriptor(o, l);
	upgrade.count += rc == 0;
	return rc;
}

void upgrade_offer(weir_server *s, int id, const struct listener *l,
		   bool is_kept)
{
	int rc;

	pthread_mutex_lock(&upgrade.lock);
	rc = offer_locked(s, id, l, l->is_inherited || is_kept);
	pthread_mutex_unlock(&upgrade.lock);
	if (rc < 0)
		journal(WEIR_LOG_WARNING,
			"'%s' cannot be passed on: no upgrade is possible",
			l->spec);
}

void upgrade_start(weir_server *s, const struct options *o)
{
	pthread_mutex_lock(&upgrade.lock);
	upgrade.server = s;
	upgrade.options = o;
	pthread_mutex_unlock(&upgrade.lock);
}

static bool refuse(char *why, size_t cap, const char *text)
{
	snprintf(why, cap, "%s", text);
	return false;
}

/* As the successor will, which is the user that this process is now. */
static bool writes_pid_file(char *why, size_t cap)
{
	const char *path = upgrade.options->pid_file;
	int rc = path ? pidfile_write(path) : 0;

	if (rc < 0)
		snprintf(why, cap, "cannot write the --pid-file: %s",
			 strerror(-rc));
	return rc == 0;
}

static bool may_upgrade(char *why, size_t cap)
{
	struct weir_stats now;

	if (!upgrade.server)
		return refuse(why, cap, "the server does not serve");
	if (getpid() == 1)
		return refuse(why, cap,
			      "process 1 ends its container, and cannot be "
			      "replaced");
	if (listeners_use(&upgrade.options->listeners, SERVICE_TERMINAL))
		return refuse(why, cap, "a chat cannot change its process");
	if (upgrade.options->root || upgrade.options->sandbox)
		return refuse(why, cap,
			      upgrade.options->root
				      ? "--chroot has put the program out of "
					"reach"
				      : "--sandbox lets no program be run");
	if (weir_server_stats(upgrade.server, &now, sizeof(now)) < 0 ||
	    now.phase != WEIR_PHASE_SERVING)
		return refuse(why, cap, "the server does not serve");
	if (!writes_pid_file(why, cap))
		return false;
	/* It would end a successor of which it does not learn. */
	return systemd_begin_upgrade() ||
	       refuse(why, cap, "the service manager takes no messages");
}

static char *join_names(void)
{
	size_t room = sizeof("LISTEN_FDNAMES="), len;
	char *text;

	for (int i = 0; i < upgrade.count; i++)
		room += strlen(upgrade.offers[i].name) + 1;
	text = malloc(room);
	if (!text)
		return NULL;
	len = (size_t)snprintf(text, room, "LISTEN_FDNAMES=");
	for (int i = 0; i < upgrade.count; i++)
		len += (size_t)snprintf(text + len, room - len, "%s%s",
					i > 0 ? ":" : "",
					upgrade.offers[i].name);
	return text;
}

static bool make_environment(struct launch *l)
{
	size_t n = 0;
	char **to;

	while (environ[n])
		n++;
	l->names = join_names();
	l->env = to = calloc(n + VARIABLES_MOST + 1, sizeof(*to));
	if (!l->env || !l->names)
		return false;
	memcpy(to, environ, n * sizeof(*to));
	to += n;
	snprintf(l->pid, sizeof(l->pid), "LISTEN_PID=");
	snprintf(l->fds, sizeof(l->fds), "LISTEN_FDS=%d", upgrade.count);
	snprintf(l->socket, sizeof(l->socket), "WEIR_PREDECESSOR=%d",
		 FIRST_FD + upgrade.count);
	*to++ = l->pid;
	*to++ = l->fds;
	*to++ = l->names;
	*to++ = l->socket;
	systemd_environment(to);
	return true;
}

static bool open_pair(int *one, int *other)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return false;
	*one = ends[0];
	*other = ends[1];
	return true;
}

static bool open_launch(struct launch *l)
{
	*l = (struct launch){
		.ours = -1, .theirs = -1, .told = -1, .tells = -1, .guard = -1
	};
	return open_pair(&l->ours, &l->theirs) &&
	       open_pair(&l->told, &l->tells) && make_environment(l);
}

static void close_end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void close_launch(struct launch *l)
{
	close_end(&l->theirs);
	close_end(&l->told);
	close_end(&l->tells);
	free(l->names);
	free(l->env);
}

/* In the child, where snprintf(3) is not safe. */
static void put_number(char *to, long n)
{
	char digits[NUMBER_ROOM];
	int len = 0;

	do
		digits[len++] = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	while (len > 0)
		*to++ = digits[--len];
	*to = '\0';
}

/* Each is first copied above their new places, so that none is overwritten. */
static void place_descriptors(struct launch *l)
{
	int end = FIRST_FD + upgrade.count + 1;

	for (int i = 0; i < upgrade.count; i++)
		upgrade.offers[i].fd =
			fcntl(upgrade.offers[i].fd, F_DUPFD_CLOEXEC, end);
	l->theirs = fcntl(l->theirs, F_DUPFD_CLOEXEC, end);
	for (int i = 0; i < upgrade.count; i++)
		if (dup2(upgrade.offers[i].fd, FIRST_FD + i) < 0)
			_exit(CLI_FAILED);
	if (dup2(l->theirs, end - 1) < 0)
		_exit(CLI_FAILED);
}

static bool tell(const struct launch *l, struct news news)
{
	return send(l->tells, &news, sizeof(news), MSG_NOSIGNAL) ==
	       sizeof(news);
}

/*
 * The child itself tells its process id.  So none runs that this server does
 * not know, even if the guard is killed.
 */
static _Noreturn void run_child(struct launch *l)
{
	int error;

	if (!tell(l, (struct news){ .child = getpid() }))
		_exit(CLI_FAILED);
	place_descriptors(l);
	put_number(l->pid + strlen(l->pid), (long)getpid());
	pthread_sigmask(SIG_SETMASK, &upgrade.mask, NULL);
	execve(upgrade.program, upgrade.argv, l->env);
	error = errno;
	(void)send(l->theirs, "E", 1, MSG_NOSIGNAL);
	(void)send(l->theirs, &error, sizeof(error), MSG_NOSIGNAL);
	_exit(CLI_FAILED);
}

/* FDSize is above all of them; the limit may be a thousand million. */
static long count_descriptors(void)
{
	char text[1024];
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	const char *size;

	if (fd >= 0)
		close(fd);
	text[len > 0 ? len : 0] = '\0';
	size = strstr(text, "\nFDSize:");
	return size ? strtol(size + strlen("\nFDSize:"), NULL, 10)
		    : sysconf(_SC_OPEN_MAX);
}

static bool close_above(int kept)
{
#ifdef SYS_close_range
	return syscall(SYS_close_range, kept + 1, ~0U, 0) == 0;
#else
	(void)kept;
	return false;
#endif
}

/* A socket of a client that stays open here would not end for the client. */
static void close_all_but(int kept)
{
	long most = close_above(kept) ? kept : count_descriptors();

	for (int fd = 0; fd < most; fd++)
		if (fd != kept)
			close(fd);
}

/* The guard does not reap the successor, so its process id is not reused. */
static _Noreturn void run_guard(struct launch *l, pid_t parent)
{
	siginfo_t info = { 0 };
	struct news news = { 0 };
	pid_t child;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent) /* it ended before the prctl(2) */
		_exit(CLI_FAILED);
	child = fork();
	if (child == 0)
		run_child(l);
	if (child < 0)
		(void)tell(l, (struct news){ .child = -errno });
	close_all_but(l->tells);
	while (child > 0 &&
	       waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) < 0 &&
	       errno == EINTR)
		;
	news.end = (struct end){ info.si_code, info.si_status };
	(void)tell(l, news);
	for (;;)
		pause();
}

static void end_guard(const struct launch *l)
{
	if (l->guard < 0)
		return;
	kill(l->guard, SIGKILL);
	while (waitpid(l->guard, NULL, 0) < 0 && errno == EINTR)
		;
}

static bool wait_for(const struct launch *l, int fd, char *why, size_t cap)
{
	int limit_ms = upgrade.options->upgrade_ms;
	struct pollfd p = { .fd = fd, .events = POLLIN };

	while (poll(&p, 1, LOOK_MS) <= 0) {
		if (weir_server_is_draining(upgrade.server) == 1)
			return refuse(why, cap, "the server is to stop");
		if (limit_ms != WEIR_NEVER &&
		    clock_ms() - l->began_at > limit_ms) {
			snprintf(why, cap, "'%s' was not ready after %d ms",
				 upgrade.program, limit_ms);
			return false;
		}
	}
	return true;
}

/* A message is there as a whole, or not at all. */
static bool read_news(const struct launch *l, struct news *ret)
{
	return recv(l->told, ret, sizeof(*ret), MSG_DONTWAIT) == sizeof(*ret);
}

/*
 * A child that has not told its process id in time cannot tell it after the
 * shutdown(2), and exits.
 */
static bool start_guard(struct launch *l, char *why, size_t cap)
{
	pid_t parent = getpid();
	struct news news = { .child = -ECHILD };

	l->began_at = clock_ms();
	l->guard = fork();
	if (l->guard == 0)
		run_guard(l, parent);
	if (l->guard < 0)
		return refuse(why, cap, strerror(errno));
	close_end(&l->theirs);
	close_end(&l->tells);
	if (!wait_for(l, l->told, why, cap)) {
		(void)shutdown(l->told, SHUT_RD);
		if (!read_news(l, &news))
			return false;
	} else {
		(void)read_news(l, &news);
	}
	l->child = news.child == 0 ? -ECHILD : news.child;
	return l->child > 0 || refuse(why, cap, strerror(-l->child));
}

static bool has_news(const struct launch *l, int ms)
{
	struct pollfd p = { .fd = l->told, .events = POLLIN };

	return poll(&p, 1, ms) > 0;
}

static bool read_end(const struct launch *l, struct end *ret)
{
	struct news news;

	if (!read_news(l, &news))
		return false;
	*ret = news.end;
	return true;
}

/* A signal that comes after the stop of this server has ended stays pending. */
static bool is_stop_cut(void)
{
	sigset_t set;

	if (upgrade.has_stopped && sigpending(&set) == 0 &&
	    (sigismember(&set, SIGINT) == 1 || sigismember(&set, SIGTERM) == 1))
		return true;
	return upgrade.has_cut;
}

static int64_t drain_until(void)
{
	int drain_ms = reload_drain_ms();

	return drain_ms == WEIR_NEVER ? INT64_MAX : clock_ms() + drain_ms;
}

/*
 * It may serve clients already.  In a stop it has as much time for them as this
 * server has for its own, so that the stop does not last longer.
 */
static void wait_for_end(const struct launch *l)
{
	int64_t until = clock_ms() + END_MS;
	bool is_stop = false;

	while (!has_news(l, LOOK_MS) && clock_ms() < until && !is_stop_cut())
		if (!is_stop && weir_server_is_draining(upgrade.server) == 1) {
			is_stop = true;
			until = drain_until();
		}
}

/* Also if it has said so after the stop had begun. */
static bool has_said_ready(const struct launch *l)
{
	char said = 0;

	return l->is_ready ||
	       (recv(l->ours, &said, 1, MSG_PEEK | MSG_DONTWAIT) == 1 &&
		said == 'R');
}

/*
 * One that is ready, and is told "K", begins a stop and closes its socket.  If
 * the whole group is stopped it has had a signal, too: another one would cut
 * its clients.
 */
static bool stops_by_itself(const struct launch *l)
{
	struct pollfd p = { .fd = l->ours };
	int64_t until = clock_ms() + END_MS;

	if (l->is_given || !has_said_ready(l))
		return false;
	while (poll(&p, 1, LOOK_MS) <= 0)
		if (clock_ms() >= until || is_stop_cut())
			return false;
	return true;
}

static struct end end_child(const struct launch *l)
{
	struct end end = { CLD_KILLED, SIGKILL };

	if (has_news(l, LOOK_MS) && read_end(l, &end)) /* about to end */
		return end;
	if (!stops_by_itself(l))
		kill(l->child, SIGTERM);
	wait_for_end(l);
	if (read_end(l, &end))
		return end;
	kill(l->child, SIGKILL);
	(void)has_news(l, END_MS);
	(void)read_end(l, &end);
	return end;
}

static void explain_end(const struct launch *l, struct end end, char *why,
			size_t cap)
{
	snprintf(why, cap, "'%s' %s %d%s%s", upgrade.program,
		 end.code == CLD_EXITED ? "has ended with status"
					: "was ended by signal",
		 end.status, l->reason[0] ? ": " : "", l->reason);
}

/*
 * Less than len at the end of input.  A successor of another version may send
 * less, and keep the socket open.
 */
static ssize_t read_up_to(const struct launch *l, void *ret, size_t len)
{
	const struct timeval limit = { .tv_sec = REPORT_MS / 1000 };

	if (setsockopt(l->ours, SOL_SOCKET, SO_RCVTIMEO, &limit,
		       sizeof(limit)) < 0)
		return -1;
	return recv(l->ours, ret, len, MSG_WAITALL);
}

static bool read_rest(const struct launch *l, void *ret, size_t len)
{
	return read_up_to(l, ret, len) == (ssize_t)len;
}

static void read_reason(struct launch *l)
{
	char text[sizeof(l->reason)];
	ssize_t len = read_up_to(l, text, sizeof(text));

	cli_escape(l->reason, sizeof(l->reason), text,
		   len > 0 ? (size_t)len : 0, CLI_KEEP_UTF8);
}

static bool read_taken(const struct launch *l)
{
	char taken[OFFERS_MOST];
	bool is_whole = read_rest(l, taken, (size_t)upgrade.count);

	for (int i = 0; i < upgrade.count && is_whole; i++)
		upgrade.offers[i].is_taken = taken[i] == 'T';
	return is_whole;
}

static bool wait_for_successor(struct launch *l, char *why, size_t cap)
{
	int error = 0;
	char said = 0;

	if (!wait_for(l, l->ours, why, cap))
		return false;
	if (recv(l->ours, &said, 1, 0) == 1 && said == 'R')
		l->is_ready = read_taken(l);
	if (l->is_ready)
		return true;
	if (said == 'F')
		read_reason(l);
	if (said == 'E' && read_rest(l, &error, sizeof(error)))
		snprintf(why, cap, "cannot execute '%s': %s", upgrade.program,
			 strerror(error));
	else
		why[0] = '\0'; /* it has closed the socket, or ended */
	return false;
}

/*
 * A stop that begins now leaves these sockets to the successor.  False: one has
 * begun before, and treats the others as this server's own.  In a lame duck
 * that is so although weir_server_listener_fd() goes on succeeding.
 */
static bool give_listeners(struct launch *l, char *why, size_t cap)
{
	if (weir_server_is_draining(upgrade.server) == 1)
		return refuse(why, cap, "the server is to stop");
	for (int i = 0; i < upgrade.count; i++) {
		struct offer *o = &upgrade.offers[i];

		if (!o->is_taken)
			continue;
		if (weir_server_listener_fd(o->server, o->id) < 0)
			return refuse(why, cap, "the server is to stop");
		l->is_given |= !o->is_inherited;
	}
	return true;
}

static const char *offer_path(const struct offer *o, char *buf, size_t cap)
{
	return weir_server_address(o->server, o->id, buf, cap) < 0
		       ? NULL
		       : address_path(buf);
}

static void note_modes_locked(void)
{
	for (int i = 0; i < upgrade.count; i++) {
		struct offer *o = &upgrade.offers[i];
		char where[512];
		const char *path = offer_path(o, where, sizeof(where));
		struct stat st;

		o->mode = path && lstat(path, &st) == 0
				  ? (int)(st.st_mode & ~(mode_t)S_IFMT)
				  : -1;
	}
}

/* If a stop has begun, the path may be another server's. */
static void restore_modes_locked(void)
{
	for (int i = 0; i < upgrade.count; i++) {
		const struct offer *o = &upgrade.offers[i];
		char where[512];
		const char *path = offer_path(o, where, sizeof(where));

		if (path && o->mode >= 0 &&
		    weir_server_is_draining(upgrade.server) != 1)
			(void)activation_set_mode(path, (mode_t)o->mode);
	}
}

static void roll_back(void)
{
	restore_modes_locked();
	if (upgrade.options->pid_file)
		(void)pidfile_write(upgrade.options->pid_file);
}

/* If it is closed, its number is free or that of a socket that is connected. */
static bool is_open(const struct offer *o)
{
	int is_listening = 0;
	socklen_t len = sizeof(is_listening);

	return getsockopt(o->fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening,
			  &len) == 0 &&
	       is_listening;
}

/*
 * Returns false as long as one is open.  A stop that has begun closes them,
 * too, and then weir_server_unlisten() does not say when.
 */
static bool close_listeners(void)
{
	bool are_closed = true;

	for (int i = 0; i < upgrade.count; i++) {
		struct offer *o = &upgrade.offers[i];

		(void)weir_server_unlisten(o->server, o->id);
		are_closed &= !is_open(o);
	}
	return are_closed;
}

/*
 * The sockets are closed first: their new owner can then stop as if it had
 * opened them, however long this server drains.  Those not taken end here.
 */
static void hand_over(struct launch *l)
{
	int64_t until = clock_ms() + CLOSE_MS;

	journal(WEIR_LOG_INFO, "process %ld serves now; this one stops",
		(long)l->child);
	upgrade.has_successor = true;
	systemd_hand_over(l->child);
	while (!close_listeners() && clock_ms() < until)
		(void)poll(NULL, 0, 1);
	if (close_listeners())
		close(l->ours); /* else at the end of the process */
	weir_server_stop(upgrade.server, reload_drain_ms());
}

/* It may serve clients already, and drains as the owner of what it was given.
 */
static void withdraw(struct launch *l)
{
	if (!l->is_given)
		(void)send(l->ours, "K", 1, MSG_NOSIGNAL);
	(void)shutdown(l->ours, SHUT_WR);
}

static void end_and_report(struct launch *l, char *why, size_t cap)
{
	struct end end;

	withdraw(l);
	end = end_child(l);
	if (why[0] == '\0')
		explain_end(l, end, why, cap);
}

static bool launch_locked(char *why, size_t cap)
{
	struct launch l;
	bool is_ready = false;

	note_modes_locked();
	if (!open_launch(&l)) {
		refuse(why, cap, strerror(errno));
	} else if (start_guard(&l, why, cap)) {
		is_ready = wait_for_successor(&l, why, cap) &&
			   give_listeners(&l, why, cap);
		if (!is_ready)
			end_and_report(&l, why, cap);
	}
	end_guard(&l);
	if (is_ready)
		hand_over(&l);
	else
		close_end(&l.ours);
	close_launch(&l);
	return is_ready;
}

void upgrade_end(bool has_cut)
{
	upgrade.has_cut = has_cut;
	upgrade.has_stopped = true;
	pthread_mutex_lock(&upgrade.lock);
	upgrade.server = NULL;
	upgrade.count = 0;
	pthread_mutex_unlock(&upgrade.lock);
}

bool upgrade_run(char *why, size_t cap)
{
	bool is_done = false;

	if (atomic_exchange(&upgrade.is_under_way, true))
		return refuse(why, cap, "an upgrade is under way");
	pthread_mutex_lock(&upgrade.lock);
	if (may_upgrade(why, cap)) {
		is_done = launch_locked(why, cap);
		if (!is_done)
			roll_back();
	}
	pthread_mutex_unlock(&upgrade.lock);
	upgrade.is_under_way = false;
	if (!is_done)
		journal(WEIR_LOG_ERROR, "no upgrade: %s", why);
	return is_done;
}
