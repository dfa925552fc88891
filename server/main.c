/* SPDX-License-Identifier: MIT */
/*
 * weir-server: a command line around libweir, and a model of how to embed it.
 * options -> listeners -> start -> run -> exit status, all on the main thread.
 *
 * SIGINT and SIGTERM are blocked before anything else: one that comes early
 * waits for weir_server_run(), which drains at once.  SIGHUP is
 * turned into a SIGTERM, on the main thread, because the library's threads
 * have all of them blocked.
 *
 * Standard output carries the lines others rely on: pid, listening, ready,
 * and drained at the end.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <weir.h>

#include "../cli/cli.h"
#include "access.h"
#include "console.h"
#include "journal.h"
#include "options.h"
#include "out.h"
#include "pidfile.h"
#include "services.h"

/* Descriptors of the process as such: epoll, standard ones, files, spare. */
#define OTHER_DESCRIPTORS 64

/* Most clients that were refused and have not closed yet. */
#define REFUSED_DESCRIPTORS 4096

/* Somebody who hangs up may say so more than once, and means one stop. */
static void hang_up(int signo)
{
	signal(signo, SIG_IGN);
	kill(getpid(), SIGTERM);
}

static void set_signals(void)
{
	struct sigaction hup;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	sigaction(SIGHUP, NULL, &hup);
	if (hup.sa_handler == SIG_IGN)
		return; /* nohup(1), for one: we are to outlive it */
	hup = (struct sigaction){ .sa_handler = hang_up,
				  .sa_flags = SA_RESTART };
	sigaction(SIGHUP, &hup, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/*
 * Every connection and every worker needs a descriptor, and to send a file
 * another; take what the system allows us.  Clients that are only refused have
 * some if there are any: without, they are told one after the other.
 */
static void raise_descriptor_limit(const struct options *o)
{
	const struct weir_config *c = &o->config;
	rlim_t each = listeners_use(&o->listeners, SERVICE_FILE) ? 2 : 1;
	rlim_t need = ((rlim_t)c->max_connections + (rlim_t)c->workers) * each +
		      o->listeners.count + OTHER_DESCRIPTORS;
	rlim_t want = need;
	struct rlimit limit;

	if (c->overload == WEIR_REFUSE)
		want += REFUSED_DESCRIPTORS;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= want)
		return;
	limit.rlim_cur = limit.rlim_max < want ? limit.rlim_max : want;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < need)
		journal(WEIR_LOG_WARNING,
			"%llu descriptors are allowed, %llu are needed for %d "
			"connections and %d workers; raise the limit or lower "
			"--max-connections",
			(unsigned long long)limit.rlim_cur,
			(unsigned long long)need, c->max_connections,
			c->workers);
}

/* In words, what weir_server_listen() answered. */
static const char *explain(int rc, enum cli_address_kind kind)
{
	switch (rc) {
	case -EADDRINUSE:
		return kind == CLI_TCP ? "the port is in use, or was a minute "
					 "ago; choose another, or 0 for a "
					 "free one"
				       : "somebody listens there already; "
					 "choose another path";
	case -EACCES:
		return kind == CLI_TCP ? "permission denied; ports below 1024 "
					 "need privilege, choose a higher "
					 "one"
				       : "permission denied";
	case -EADDRNOTAVAIL:
		return "this machine does not have that address";
	case -ENOENT:
		return kind == CLI_TCP ? "no such host" : "no such folder";
	case -ETIMEDOUT:
	case -EAGAIN:
		return "the name server does not answer";
	case -ENOTSOCK:
		return kind == CLI_FD ? "not a listening stream socket"
				      : "exists and is not a socket";
	case -EBADF:
		return "no such open descriptor";
	default:
		return weir_strerror(rc);
	}
}

/* The request may be fine and the machine short of something. */
static int status_of(int rc)
{
	switch (rc) {
	case -ENOMEM:
	case -ENOBUFS:
	case -EMFILE:
	case -ENFILE:
		return CLI_FAILED;
	default:
		return CLI_USAGE;
	}
}

/* The listener's id, or -errno. */
static int open_listener(weir_server *s, const struct options *o,
			 const struct listener *l)
{
	struct weir_service service = o->limits;
	struct access_log *log;
	char address[512];
	int rc;

	if ((l->service->uses & SERVICE_PATIENT) && !o->has_idle)
		service.first_byte_ms = service.idle_ms = WEIR_NEVER;
	l->service->define(&service, o);
	log = access_log_new(&service);
	rc = weir_server_listen(s, l->where, &service);
	if (rc >= 0 && log &&
	    weir_server_address(s, rc, address, sizeof(address)) >= 0)
		access_log_name(log, l->service->name, address);
	return rc;
}

/*
 * A name server may be slow: until all listeners are there, SIGINT and SIGTERM
 * end the wait for it, and then the program.  A listener that needs no name
 * server does not wait, and leaves them to weir_server_run().
 */
static weir_server *listening;
static volatile sig_atomic_t given_up; /* the signal */

static void give_up(int signo)
{
	given_up = signo;
	weir_server_stop(listening, 0);
}

static void heed(int signo, bool begins)
{
	struct sigaction act;
	sigset_t set;

	sigaction(signo, NULL, &act);
	if (act.sa_handler == SIG_IGN)
		return;
	act = (struct sigaction){ .sa_handler = begins ? give_up : SIG_DFL };
	sigemptyset(&set);
	sigaddset(&set, signo);
	if (!begins)
		pthread_sigmask(SIG_BLOCK, &set, NULL);
	sigaction(signo, &act, NULL);
	if (begins)
		pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static bool is_name(const struct cli_address *a)
{
	return a->kind == CLI_TCP && a->name_len > 0 && a->name[0] != '[' &&
	       strspn(a->name, "0123456789.") < a->name_len;
}

static int open_listener_of_name(weir_server *s, const struct options *o,
				 const struct listener *l)
{
	int rc;

	listening = s;
	heed(SIGINT, true);
	heed(SIGTERM, true);
	rc = open_listener(s, o, l);
	heed(SIGINT, false);
	heed(SIGTERM, false);
	return rc;
}

/* The signal that ended the wait for a name server ends the program, too. */
static void end_by_signal(int signo)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signo);
	raise(signo);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* Listener ids count from 0 as ours do. */
static int open_listeners(weir_server *s, const struct options *o)
{
	for (size_t i = 0; i < o->listeners.count; i++) {
		const struct listener *l = &o->listeners.all[i];
		int rc = is_name(&l->address) ? open_listener_of_name(s, o, l)
					      : open_listener(s, o, l);

		if (given_up)
			return CLI_FAILED;
		if (rc < 0) {
			cli_error("cannot listen on '%s': %s", l->spec,
				  explain(rc, l->address.kind));
			return status_of(rc);
		}
	}
	return CLI_DONE;
}

static int write_pid_file(const char *path)
{
	int rc = path ? pidfile_write(path) : 0;

	if (rc < 0)
		cli_error("--pid-file: cannot write '%s': %s", path,
			  strerror(-rc));
	return rc < 0 ? CLI_USAGE : CLI_DONE;
}

static void announce(weir_server *s, const struct options *o)
{
	char where[512];

	out_announce("pid %ld", (long)getpid());
	for (size_t i = 0; i < o->listeners.count; i++)
		if (weir_server_address(s, (int)i, where, sizeof(where)) >= 0)
			out_announce("listening %s@%s",
				     o->listeners.all[i].service->name, where);
	out_announce("ready");
}

static int cannot_start(int rc)
{
	cli_error("cannot start: %s",
		  rc == -EAGAIN ? "the system gives no more threads; raise its "
				  "limit or lower --workers"
				: weir_strerror(rc));
	return CLI_FAILED;
}

/* rc is what the start, or the run, said; returns the exit status. */
static int report(weir_server *s, int rc, bool has_started)
{
	struct weir_report r = { 0 };
	const struct weir_ledger *l = &r.ledger;
	uint64_t refused;

	if (!has_started)
		return cannot_start(rc);
	if (rc < 0 && rc != -ECANCELED && rc != -EBUSY)
		cli_error("cannot go on: %s", weir_strerror(rc));
	weir_server_join(s, &r);
	refused = l->refused_full + l->refused_age + l->refused_limit +
		  l->refused_drain;
	out_announce(
		"drained accepted=%llu completed=%llu refused=%llu cut=%llu "
		"failed=%llu timed_out=%llu",
		(unsigned long long)l->accepted,
		(unsigned long long)l->completed, (unsigned long long)refused,
		(unsigned long long)l->cut, (unsigned long long)l->failed,
		(unsigned long long)l->timed_out);
	/* What a service has cut itself is no failure of the stop. */
	return rc < 0 ? CLI_FAILED : CLI_DONE;
}

static int serve(weir_server *s, const struct options *o)
{
	int status = open_listeners(s, o);
	bool has_started;
	int rc;

	if (status == CLI_DONE)
		status = write_pid_file(o->pid_file);
	if (status != CLI_DONE)
		return status;
	/* Once a service has something to print, the start has succeeded. */
	out_hold_prints();
	rc = weir_server_start(s);
	has_started = rc == 0;
	if (has_started)
		announce(s, o);
	out_release_prints();
	if (has_started)
		rc = weir_server_run(s, WEIR_SIGNALS);
	console_close();
	journal_end();
	status = report(s, rc, has_started);
	if (o->pid_file)
		pidfile_remove(o->pid_file);
	/* A stuck callback may still use what exit(3) would take away. */
	if (rc == -EBUSY) {
		out_flush();
		_exit(status);
	}
	return status;
}

static int make_and_serve(const struct options *o)
{
	weir_server *s;
	int status, rc = out_start();

	if (rc < 0)
		return cannot_start(rc);
	journal_start(o->config.log_level);
	raise_descriptor_limit(o);
	rc = weir_server_new(&s, &o->config);
	if (rc < 0) {
		cli_error("cannot make the server: %s", weir_strerror(rc));
		return status_of(rc);
	}
	status = serve(s, o);
	weir_server_free(s);
	out_flush();
	if (given_up)
		end_by_signal(given_up);
	return status;
}

int main(int argc, char **argv)
{
	struct options options;
	int status;

	set_signals();
	cli_start("weir-server");
	status = options_parse(&options, argc, argv);
	if (status < 0)
		status = options.check ? options_print(&options)
				       : make_and_serve(&options);
	options_fini(&options);
	return status;
}
