/* SPDX-License-Identifier: MIT */
/*
 * weir-server: a command line for libweir, and an example of how to embed it.
 * options -> listeners -> start -> run -> exit status, all on the main thread.
 *
 * SIGINT and SIGTERM are blocked first, so that one that arrives early waits
 * for weir_server_run(), which then drains at once.  SIGHUP asks for a reload
 * and is taken by a thread.  But if standard input is a terminal, SIGHUP means
 * that the terminal goes away: its handler sends SIGTERM.  The handler runs on
 * the main thread, because all others block signals.
 *
 * Other programs rely on these lines of standard output: pid, listening, ready
 * and drained.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <weir.h>

#include "../cli/cli.h"
#include "../cli/complete.h"
#include "access.h"
#include "activation.h"
#include "agent.h"
#include "background.h"
#include "certificate.h"
#include "console.h"
#include "control.h"
#include "ctl.h"
#include "descriptors.h"
#include "journal.h"
#include "options.h"
#include "out.h"
#include "pidfile.h"
#include "privileges.h"
#include "reload.h"
#include "services.h"
#include "status/status.h"
#include "systemd.h"
#include "upgrade.h"

/* Exit status besides those of cli.h: the stop has cut connections. */
#define SERVER_CUT 3

/* A terminal that goes away may send several SIGHUP; they mean one stop. */
static void on_hangup(int signo)
{
	signal(signo, SIG_IGN);
	kill(getpid(), SIGTERM);
}

static bool has_reloads;

struct run {
	const struct options *options;
	int argc;
	char **argv;
};

static void *take_requests(void *arg)
{
	char text[CLI_ERROR_MOST]; /* unused: the log has it, too */
	sigset_t set;
	int signo;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	if (has_reloads)
		sigaddset(&set, SIGHUP);
	while (sigwait(&set, &signo) == 0)
		if (signo == SIGHUP)
			(void)reload_run(text, sizeof(text));
		else
			(void)upgrade_run(text, sizeof(text));
	return arg;
}

static void server_set_signals(sigset_t *before)
{
	struct sigaction hup;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, before);
	sigaction(SIGHUP, NULL, &hup);
	if (hup.sa_handler == SIG_IGN)
		return; /* started by nohup(1) */
	has_reloads = !isatty(STDIN_FILENO);
	if (has_reloads)
		return;
	hup = (struct sigaction){ .sa_handler = on_hangup,
				  .sa_flags = SA_RESTART };
	sigaction(SIGHUP, &hup, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static const char *describe_listen_error(int rc, int kind)
{
	switch (rc) {
	case -EADDRINUSE:
		return kind == WEIR_ADDRESS_TCP
			       ? "the port is in use, or was a minute "
				 "ago; choose another, or 0 for a "
				 "free one"
			       : "another process listens there already; "
				 "choose another path";
	case -EACCES:
		return kind == WEIR_ADDRESS_TCP
			       ? "permission denied; ports below 1024 "
				 "need privilege, choose a higher "
				 "one"
			       : "permission denied";
	case -EADDRNOTAVAIL:
		return "this machine does not have that address";
	case -ENOENT:
		return kind == WEIR_ADDRESS_TCP ? "no such host"
						: "no such folder";
	case -ETIMEDOUT:
	case -EAGAIN:
		return "the name server does not answer";
	case -ENOTSOCK:
		return kind == WEIR_ADDRESS_FD ? "not a listening stream socket"
					       : "exists and is not a socket";
	case -EBADF:
		return "no such open descriptor";
	default:
		return weir_strerror(rc);
	}
}

/* A shortage of the machine is no usage error. */
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
	struct weir_service service;
	struct access_log *log;
	char address[512];
	int rc;

	listener_limits(&service, o, l);
	l->service->define(&service, o);
	if (l->has_tls)
		certificate_use(&service, o);
	log = access_log_new(&service);
	rc = weir_server_listen(s, l->where, &service);
	if (rc >= 0)
		upgrade_offer(s, rc, l,
			      o->keeps_listeners && systemd_is_there());
	if (rc >= 0 && log &&
	    weir_server_address(s, rc, address, sizeof(address)) >= 0)
		access_log_name(log, l->service->name, address);
	return rc;
}

/*
 * While a listener's name is looked up, SIGINT and SIGTERM end the lookup, and
 * then the program.  Other listeners leave these signals to weir_server_run().
 */
static weir_server *looking_up;
static volatile sig_atomic_t lookup_ended_by; /* this signal; 0: none */

static void stop_lookup(int signo)
{
	lookup_ended_by = signo;
	weir_server_stop(looking_up, 0);
}

static void catch_in_lookup(int signo, bool begins)
{
	struct sigaction act;
	sigset_t set;

	sigaction(signo, NULL, &act);
	if (act.sa_handler == SIG_IGN)
		return;
	act = (struct sigaction){ .sa_handler =
					  begins ? stop_lookup : SIG_DFL };
	sigemptyset(&set);
	sigaddset(&set, signo);
	if (!begins)
		pthread_sigmask(SIG_BLOCK, &set, NULL);
	sigaction(signo, &act, NULL);
	if (begins)
		pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static bool needs_lookup(const struct listener *l)
{
	return l->kind == WEIR_ADDRESS_TCP && !strchr(":[", l->where[0]) &&
	       l->where[strspn(l->where, "0123456789.")] != ':';
}

static int open_listener_of_name(weir_server *s, const struct options *o,
				 const struct listener *l)
{
	int rc;

	looking_up = s;
	catch_in_lookup(SIGINT, true);
	catch_in_lookup(SIGTERM, true);
	rc = open_listener(s, o, l);
	catch_in_lookup(SIGINT, false);
	catch_in_lookup(SIGTERM, false);
	return rc;
}

static void end_by_signal(int signo)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signo);
	raise(signo);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* The library numbers listeners from 0 in this order, too. */
static int open_listeners(weir_server *s, const struct options *o)
{
	for (size_t i = 0; i < o->listeners.count; i++) {
		const struct listener *l = &o->listeners.all[i];
		int rc = needs_lookup(l) ? open_listener_of_name(s, o, l)
					 : open_listener(s, o, l);

		if (lookup_ended_by)
			return CLI_FAILED;
		if (rc < 0) {
			cli_error("cannot listen on '%s': %s", l->spec,
				  describe_listen_error(rc, l->kind));
			return status_of(rc);
		}
	}
	return CLI_DONE;
}

static int open_option(weir_server *s, const struct options *o,
		       const char *option, const char *where,
		       int (*open)(weir_server *s, const struct options *o,
				   const struct listener *l))
{
	struct listener l;
	int rc;

	if (!where)
		return CLI_DONE;
	if (!listeners_parse_option(&l, option, where) ||
	    !activation_apply_option(&l))
		return CLI_USAGE;
	rc = open(s, o, &l);
	if (rc >= 0)
		return CLI_DONE;
	cli_error("%s: cannot listen on '%s': %s", option, where,
		  describe_listen_error(rc, l.kind));
	return status_of(rc);
}

static int write_pid_file(const char *path)
{
	int rc = path ? pidfile_write(path) : 0;

	if (rc < 0)
		cli_error("--pid-file: cannot write '%s': %s", path,
			  strerror(-rc));
	return rc < 0 ? CLI_USAGE : CLI_DONE;
}

static void keep_listeners(weir_server *s, const struct options *o)
{
	if (!o->keeps_listeners)
		return;
	for (size_t i = 0; i < o->listeners.count; i++)
		if (!o->listeners.all[i].is_inherited)
			systemd_keep(s, (int)i, o->listeners.all[i].name);
	if (!systemd_is_there())
		journal(WEIR_LOG_WARNING,
			"--keep-listeners has no effect: no service manager "
			"listens at NOTIFY_SOCKET");
}

static void announce(weir_server *s, const struct options *o)
{
	bool has_predecessor = upgrade_has_predecessor();
	char where[512];

	out_announce("pid %ld", (long)getpid());
	for (size_t i = 0; i < o->listeners.count; i++)
		if (weir_server_address(s, (int)i, where, sizeof(where)) >= 0)
			out_announce(
				"listening %.*s@%s",
				(int)strcspn(o->listeners.all[i].spec, "@"),
				o->listeners.all[i].spec, where);
	if (o->status)
		status_announce();
	agent_announce();
	if (!has_predecessor)
		keep_listeners(s, o);
	out_announce("ready");
	systemd_ready(has_predecessor);
	upgrade_ready();
	if (has_predecessor) {
		systemd_followed();
		activation_forget_rest();
		keep_listeners(s, o);
	}
}

static int cannot_start(int rc)
{
	cli_error("cannot start: %s",
		  rc == -EAGAIN ? "the system gives no more threads; raise its "
				  "limit or lower --workers"
				: weir_strerror(rc));
	return CLI_FAILED;
}

static int report_end(weir_server *s, int rc, bool has_started)
{
	struct weir_report r = { 0 };
	const struct weir_ledger *l = &r.ledger;
	char probed[32] = "";

	if (!has_started)
		return cannot_start(rc);
	if (rc < 0 && rc != -ECANCELED && rc != -EBUSY)
		cli_error("cannot go on: %s", weir_strerror(rc));
	weir_server_join(s, &r, sizeof(r));
	if (l->probed > 0)
		snprintf(probed, sizeof(probed), " probed=%llu",
			 (unsigned long long)l->probed);
	out_announce(
		"drained accepted=%llu completed=%llu refused=%llu cut=%llu "
		"failed=%llu timed_out=%llu%s",
		(unsigned long long)l->accepted,
		(unsigned long long)l->completed,
		(unsigned long long)l->refused, (unsigned long long)l->cut,
		(unsigned long long)l->failed, (unsigned long long)l->timed_out,
		probed);
	if (rc == -ECANCELED) /* by the stop; what a service cuts is no fault */
		return SERVER_CUT;
	return rc < 0 ? CLI_FAILED : CLI_DONE;
}

/*
 * Control socket, status and agent answer only now.  Before, a successor would
 * say that it is not ready, while its predecessor serves.
 */
static int start_others(weir_server *s, const struct options *o)
{
	int rc = control_start();

	if (rc == 0)
		rc = status_start();
	if (rc == 0)
		rc = agent_start();
	if (rc < 0) {
		(void)weir_server_stop(s, o->config.drain_ms);
		(void)weir_server_join(s, NULL, 0);
	}
	return rc;
}

static int start(weir_server *s, const struct run *r)
{
	const struct options *o = r->options;
	int rc = out_start();

	if (rc == 0)
		rc = background_release();
	if (rc == 0)
		rc = systemd_start(s, &o->config);
	reload_start(s, o, r->argc, r->argv);
	upgrade_start(s, o);
	if (rc == 0)
		rc = background_start(take_requests, NULL);
	if (rc == 0)
		rc = weir_server_start(s);
	if (rc == 0)
		rc = start_others(s, o);
	if (rc == 0)
		announce(s, o);
	return rc;
}

/* Sockets and the pid file, none of which remains after an error. */
static int open_all(weir_server *s, const struct options *o)
{
	int status = open_listeners(s, o);

	if (status == CLI_DONE)
		status = control_open(o->control, s);
	if (status == CLI_DONE)
		status = open_option(s, o, "--status", o->status, status_open);
	if (status == CLI_DONE)
		status = open_option(s, o, "--agent", o->agent, agent_open);
	if (status == CLI_DONE &&
	    !activation_check_rest(upgrade_has_predecessor()))
		status = CLI_USAGE;
	if (status == CLI_DONE &&
	    !activation_set_modes(&o->listeners, o->limits.mode))
		status = CLI_FAILED;
	if (status == CLI_DONE)
		status = write_pid_file(o->pid_file);
	if (status == CLI_DONE && !privileges_drop(o)) {
		status = CLI_FAILED;
		if (o->pid_file)
			pidfile_remove(o->pid_file);
	}
	if (status != CLI_DONE) {
		agent_end();
		status_end();
		control_end();
	}
	return status;
}

static int serve(weir_server *s, const struct run *r)
{
	const struct options *o = r->options;
	int status = open_all(s, o);
	bool has_started, is_reloading;
	int rc;

	if (status != CLI_DONE)
		return status;
	/* Services may print only after the announcement. */
	out_hold_prints();
	rc = start(s, r);
	has_started = rc == 0;
	out_release_prints();
	if (has_started)
		rc = weir_server_run(s, WEIR_SIGNALS);
	upgrade_end(rc < 0);
	is_reloading = !reload_end();
	agent_end();
	status_end();
	systemd_end();
	control_end();
	console_close();
	access_end();
	journal_end();
	status = report_end(s, rc, has_started);
	if (o->pid_file)
		pidfile_remove(o->pid_file);
	/* A stuck callback or a reload may use what exit(3) would take away. */
	if (rc == -EBUSY || is_reloading) {
		out_flush();
		_exit(status);
	}
	return status;
}

static int run_server(const struct run *r)
{
	const struct options *o = r->options;
	weir_server *s;
	int status, rc;

	journal_start(o->config.log_level);
	access_start(o->access, o->access_is_json);
	certificate_log_warnings(o);
	descriptors_allow(o, &o->listeners);
	rc = weir_server_new(&s, &o->config);
	if (rc < 0) {
		cli_error("cannot make the server: %s", weir_strerror(rc));
		return status_of(rc);
	}
	status = serve(s, r);
	weir_server_free(s);
	out_flush();
	if (lookup_ended_by)
		end_by_signal(lookup_ended_by);
	return status;
}

int main(int argc, char **argv)
{
	struct options options;
	struct run run = { &options, argc, argv };
	sigset_t mask;
	int status;

	complete_begin(&argc, argv);
	if (argc > 1 + complete_is_asked() && strcmp(argv[1], "ctl") == 0) {
		cli_start("weir-server");
		return ctl_main(argc - 1, argv + 1);
	}
	server_set_signals(&mask);
	cli_start("weir-server");
	if (!upgrade_open(argc, argv, &mask))
		return CLI_USAGE;
	status = options_parse(&options, argc, argv);
	if (status < 0 && !privileges_check(&options))
		status = CLI_USAGE;
	if (status < 0 && options.check)
		status = options_print(&options);
	else if (status < 0)
		status = activation_apply(&options.listeners) && systemd_open()
				 ? run_server(&run)
				 : CLI_USAGE;
	if (status != CLI_DONE)
		upgrade_failed(cli_last_error());
	options_fini(&options);
	activation_fini();
	return status;
}
