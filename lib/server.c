/* SPDX-License-Identifier: MIT */
/*
 * The public calls on a server.
 *
 * A server is freed with its last reference.  The program has one, and each
 * thread of the server has one while it runs: a stuck callback keeps its
 * worker, and a stuck log sink the acceptor, beyond weir_server_free().
 *
 * "A join ends": the acceptor announces the end of a stop, but the log sink or
 * the kernel may block it.  So a join waits at most WR_JOIN_LATE_NS, plus
 * WR_CUT_NS for each slot, beyond the deadline.  Only time in which it could
 * run counts: see wr_stop.late_ns.
 *
 * weir_server_run() reads signals from a signalfd, so no disposition changes.
 * Before it restores the mask it reads late signals, which were meant for the
 * stopped server.  One call per process waits for signals, as a signal is read
 * from one signalfd only.  The signalfd is opened with the server: later,
 * clients may have taken all descriptors.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "acceptor.h"
#include "bounds.h"
#include "clock.h"
#include "conn_table.h"
#include "dialled.h"
#include "fence.h"
#include "overflow.h"
#include "server_timers.h"
#include "sys.h"
#include "walk.h"

struct weir_server {
	struct wr_core core;
	struct wr_pool pool;
	struct wr_acceptor acceptor;
	struct wr_server_timers timers;
	int signals;	  /* signalfd */
	atomic_uint refs; /* of the program and running threads */
	atomic_bool is_ending_early;
	pthread_t ender; /* the thread that does it */
};

static sigset_t stop_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	return set;
}

static int open_signals(void)
{
	sigset_t set = stop_signals();

	return wr_sys_signalfd(&set);
}

static void unref(void *arg)
{
	WR_NO_CANCEL();
	weir_server *s = arg;

	if (atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	wr_sys_close(s->signals);
	wr_acceptor_fini(&s->acceptor);
	wr_pool_fini(&s->pool);
	wr_table_unref(s->core.table);
	wr_server_timers_fini(&s->timers);
	wr_overflow_leave(&s->core);
	wr_core_fini(&s->core);
	wr_sys_free(s);
}

int weir_server_new(weir_server **ret, const struct weir_config *config)
{
	WR_NO_CANCEL();
	weir_server *s;
	int rc;

	if (ret == NULL)
		return -EINVAL;
	s = wr_sys_alloc_lines(sizeof(*s));
	if (s == NULL)
		return -ENOMEM;
	atomic_store(&s->refs, 1);
	rc = wr_core_init(&s->core, config);
	if (rc < 0)
		goto fail_memory;
	rc = wr_server_timers_init(&s->timers, &s->core, s);
	if (rc < 0)
		goto fail_core;
	rc = wr_table_new(&s->core.table, &s->core);
	if (rc < 0)
		goto fail_timers;
	rc = wr_pool_init(&s->pool, &s->core);
	if (rc < 0)
		goto fail_table;
	s->pool.on_exit = unref;
	s->pool.exit_arg = s;
	rc = wr_acceptor_init(&s->acceptor, &s->core, &s->pool);
	if (rc < 0)
		goto fail_pool;
	rc = s->signals = open_signals();
	if (rc < 0)
		goto fail_acceptor;
	*ret = s;
	return 0;

fail_acceptor:
	wr_acceptor_fini(&s->acceptor);
fail_pool:
	wr_pool_fini(&s->pool);
fail_table:
	wr_table_unref(s->core.table);
fail_timers:
	wr_server_timers_fini(&s->timers);
fail_core:
	wr_core_fini(&s->core);
fail_memory:
	wr_sys_free(s);
	return rc;
}

/* The calling thread is a thread of the server for that time. */
static void end_early_sessions(weir_server *s)
{
	s->ender = pthread_self();
	atomic_store(&s->is_ending_early, true);
	wr_dialled_end_early(&s->core);
	atomic_store(&s->is_ending_early, false);
}

static bool is_inside(const weir_server *s)
{
	return wr_pool_is_inside(&s->pool) ||
	       (atomic_load(&s->is_ending_early) &&
		pthread_equal(s->ender, pthread_self()));
}

void weir_server_free(weir_server *s)
{
	WR_NO_CANCEL();

	if (s == NULL)
		return;
	if (is_inside(s)) {
		wr_logf(&s->core.logger, WEIR_LOG_ERROR,
			"weir_server_free() by a thread of the server: "
			"not freed");
		return;
	}
	if (wr_core_phase(&s->core) == WR_PHASE_NEW) {
		atomic_store(&s->core.phase, WR_PHASE_DONE);
		end_early_sessions(s);
	} else {
		(void)weir_server_stop(s, 0);
		if (weir_server_join(s, NULL, 0) == -EBUSY)
			wr_pool_abandon(&s->pool);
	}
	unref(s);
}

/* In a lame duck the server goes on as before. */
static bool is_stopping(const weir_server *s)
{
	const struct wr_core *core = &s->core;

	return atomic_load(&core->is_closing) ||
	       (atomic_load(&core->stop_wanted) &&
		wr_now_ns() >= atomic_load(&core->lame_till));
}

/* Without it every client could choose its address by a header. */
static bool lacks_trust(const struct wr_endpoint *e)
{
	return e->listener.is_tcp &&
	       e->service.set.proxy == WEIR_PROXY_REQUIRED &&
	       e->service.trust == NULL;
}

int weir_server_listen(weir_server *s, const char *where,
		       const struct weir_service *service)
{
	WR_NO_CANCEL();
	struct wr_address addr;
	struct wr_endpoint *endpoint;
	int rc;

	if (s == NULL || where == NULL)
		return -EINVAL;
	if (is_stopping(s))
		return -ESHUTDOWN;
	rc = wr_address_parse(&addr, where);
	if (rc < 0)
		return rc;
	endpoint = wr_endpoint_new(s->core.stats_count);
	if (endpoint == NULL)
		return -ENOMEM;
	rc = wr_service_init(&endpoint->service, service);
	if (rc == 0 && endpoint->service.layer_speaks_first)
		rc = -EINVAL;
	if (rc == 0)
		rc = wr_core_set_stacks(&s->core, &endpoint->service);
	if (rc == 0 && endpoint->service.stacks)
		wr_overflow_handle(&s->core);
	if (rc == 0)
		rc = wr_listener_open(&endpoint->listener, &addr,
				      endpoint->service.set.backlog,
				      (mode_t)endpoint->service.set.mode,
				      &s->core.is_closing);
	if (rc < 0) {
		wr_endpoint_free(endpoint);
		return rc;
	}
	rc = wr_listener_address(&endpoint->listener, endpoint->where,
				 sizeof(endpoint->where));
	endpoint->service.where = endpoint->where;
	if (rc >= 0 && lacks_trust(endpoint))
		rc = -EINVAL;
	/* these sessions wait for peers */
	if (rc >= 0 && service->session && !endpoint->service.stacks)
		wr_sched_always_hand_off(&s->core.sched);
	if (rc >= 0)
		rc = wr_accept_add_listener(&s->acceptor.accept, endpoint);
	if (rc < 0) {
		if (!endpoint->listener.is_shared)
			wr_listener_close(&endpoint->listener);
		wr_endpoint_free(endpoint);
		return rc;
	}
	wr_sys_eventfd_signal(s->core.acceptor_wake_fd);
	return rc;
}

static struct wr_endpoint *find_listener(const weir_server *s, int id)
{
	return s ? wr_accept_find(&s->acceptor.accept, id) : NULL;
}

/* The acceptor does not start while the lock is held. */
static bool close_before_start(weir_server *s, struct wr_endpoint *e)
{
	bool is_new;

	wr_lock(&s->core.lock);
	is_new = wr_core_phase(&s->core) == WR_PHASE_NEW;
	if (is_new)
		wr_accept_close_listener(&s->acceptor.accept, e);
	wr_unlock(&s->core.lock);
	return is_new;
}

int wr_layer_replace(weir_server *s, int id, struct weir_layer *from)
{
	WR_NO_CANCEL();
	struct wr_endpoint *e = find_listener(s, id);

	if (e == NULL || !e->service.is_layered || from->speaks_first)
		return -EINVAL;
	wr_service_set_layer(&e->service, from);
	return 0;
}

static int find_wanted(weir_server *s, int id, struct wr_endpoint **ret)
{
	struct wr_endpoint *e = find_listener(s, id);

	if (e == NULL)
		return -EINVAL;
	if (is_stopping(s))
		return -ESHUTDOWN;
	*ret = e;
	return 0;
}

int weir_server_unlisten(weir_server *s, int id)
{
	WR_NO_CANCEL();
	struct wr_endpoint *e;
	int rc = find_wanted(s, id, &e);

	if (rc == 0)
		rc = wr_fence_request(&s->acceptor.accept, e);
	if (rc == 0 && !close_before_start(s, e))
		wr_sys_eventfd_signal(s->core.acceptor_wake_fd);
	return rc;
}

int weir_server_listener_fd(weir_server *s, int id)
{
	WR_NO_CANCEL();
	struct wr_endpoint *e;
	int rc = find_wanted(s, id, &e);

	return rc < 0 ? rc : wr_fence_share(&s->acceptor.accept, e);
}

int weir_server_own_listener(weir_server *s, int id)
{
	WR_NO_CANCEL();
	struct wr_endpoint *e;
	int rc = find_wanted(s, id, &e);

	return rc < 0 ? rc : wr_fence_own(&s->acceptor.accept, e);
}

int weir_server_address(const weir_server *s, int id, char *buf, size_t cap)
{
	const struct wr_endpoint *e;
	size_t len;

	if (buf == NULL)
		return -EINVAL;
	e = find_listener(s, id);
	if (e == NULL)
		return -EINVAL;
	len = strlen(e->where);
	if (len >= cap)
		return -ENOSPC;
	memcpy(buf, e->where, len + 1);
	return (int)len;
}

static struct weir_report report_so_far(const weir_server *s)
{
	struct weir_report report;
	struct weir_stats stats;

	(void)weir_server_stats(s, &stats, sizeof(stats));
	report = (struct weir_report){
		.ledger = stats.ledger,
		.stuck = stats.busy,
		.late_bytes = stats.late_bytes,
	};
	wr_core_time_stop(&s->core, &report);
	return report;
}

/* No connection is open yet: all threads end at once. */
static void undo_start(weir_server *s)
{
	struct wr_core *core = &s->core;
	int64_t now = wr_now_ns();

	wr_core_stop(core, now, now, WR_NEVER_AT);
	atomic_store(&core->phase, WR_PHASE_DONE);
	wr_table_shut_gate(core->table);
	(void)wr_server_timers_close(core->timers);
	wr_sched_close(&core->sched);
	(void)wr_pool_join(&s->pool, WR_NEVER_AT);
	end_early_sessions(s);
	wr_fence_request_all(&s->acceptor.accept);
	wr_accept_close_listeners(&s->acceptor.accept);
	s->acceptor.stop.report = report_so_far(s);
	wr_stop_end(&s->acceptor.stop);
}

int weir_server_start(weir_server *s)
{
	WR_NO_CANCEL();
	struct wr_core *core;
	int rc = 0, not_new = WR_PHASE_NEW, i, missing = 0;

	if (s == NULL)
		return -EINVAL;
	core = &s->core;
	if (wr_core_phase(core) == WR_PHASE_NEW &&
	    !atomic_load(&core->stop_wanted) &&
	    !wr_accept_has_listener(&s->acceptor.accept))
		return -EINVAL;
	if (!atomic_compare_exchange_strong(&core->phase, &not_new,
					    WR_PHASE_SERVING))
		return not_new == WR_PHASE_DONE ? -ESHUTDOWN : -EBUSY;
	if (atomic_load(&core->stop_wanted)) {
		undo_start(s);
		return -ESHUTDOWN;
	}
	atomic_fetch_add(&s->refs, (unsigned)s->pool.count + 1);
	rc = wr_pool_start(&s->pool);
	if (rc == 0) {
		/* a join reads was_started */
		wr_lock(&core->lock);
		rc = wr_acceptor_start(&s->acceptor);
		wr_unlock(&core->lock);
	}
	if (rc == 0) {
		wr_dialled_start(core);
		return 0;
	}
	undo_start(s);
	missing = !s->acceptor.thread.was_started;
	for (i = 0; i < s->pool.count; i++)
		missing += !s->pool.workers[i].thread.was_started;
	while (missing-- > 0)
		unref(s);
	return rc;
}

int weir_server_stop(weir_server *s, int grace_ms)
{
	WR_NO_CANCEL();
	int64_t now;

	if (s == NULL || grace_ms < WEIR_NEVER)
		return -EINVAL;
	now = wr_now_ns();
	wr_core_stop(&s->core, now, now, wr_deadline_at(now, grace_ms));
	return 0;
}

int weir_server_drain(weir_server *s)
{
	WR_NO_CANCEL();
	int64_t now, lame_till, at;

	if (s == NULL)
		return -EINVAL;
	now = wr_now_ns();
	lame_till = at = wr_deadline_at(now, s->core.config.lame_duck_ms);
	if (at != WR_NEVER_AT)
		at = wr_deadline_at(at, s->core.config.drain_ms);
	wr_core_stop(&s->core, now, lame_till, at);
	return 0;
}

/*
 * True: the acceptor should have ended the stop.  Every waiting thread calls
 * this at each look.  The time since the last look counts, but at most
 * WR_JOIN_STEP_NS of it: in the rest the process cannot have run.
 */
static bool is_too_late_locked(weir_server *s, int64_t now)
{
	const struct wr_core *core = &s->core;
	struct wr_stop *stop = &s->acceptor.stop;
	int64_t since = atomic_load(&core->stop_at); /* or never */

	if (since < stop->late_looked_at)
		since = stop->late_looked_at;
	if (now > since) {
		stop->late_ns += wr_min_at(now - since, WR_JOIN_STEP_NS);
		stop->late_looked_at = now;
	}
	return stop->late_ns >=
	       WR_JOIN_LATE_NS +
		       (int64_t)wr_table_slots(core->table) * WR_CUT_NS;
}

static bool is_too_late(weir_server *s)
{
	bool is_late;

	wr_lock(&s->core.lock);
	is_late = is_too_late_locked(s, wr_now_ns());
	wr_unlock(&s->core.lock);
	return is_late;
}

static int64_t next_look_at(const weir_server *s, int64_t now)
{
	int64_t stop_at = atomic_load(&s->core.stop_at);

	if (now >= stop_at)
		return now + WR_JOIN_STEP_NS;
	return wr_min_at(stop_at, now + WR_JOIN_LOOK_MS * WR_NS_PER_MS);
}

/* Wait without a system call that can fail.  True: the stop has ended. */
static bool ends_soon(weir_server *s)
{
	bool is_done;

	wr_lock(&s->core.lock);
	if (!s->acceptor.stop.is_done)
		(void)wr_cond_wait_until(&s->core.changed, &s->core.lock,
					 wr_now_ns() + WR_JOIN_RETRY_NS);
	is_done = s->acceptor.stop.is_done;
	wr_unlock(&s->core.lock);
	return is_done;
}

static void wait_for_stop(weir_server *s, int64_t until)
{
	struct pollfd fds[2] = {
		{ .fd = s->core.stop_fd, .events = POLLIN },
		{ .fd = s->acceptor.stop.done_fd, .events = POLLIN },
	};
	int64_t now;

	while (!atomic_load(&s->core.stop_wanted) &&
	       (now = wr_now_ns()) < until) {
		int rc = wr_sys_poll(fds, 2, wr_ms_until(until, now));

		if (rc > 0 && fds[1].revents)
			return;
		if (rc < 0 && rc != -EINTR && ends_soon(s))
			return;
	}
}

/* 0; -EBUSY: the acceptor is stuck; -ETIMEDOUT. */
static int wait_for_end(weir_server *s, int64_t until)
{
	struct wr_core *core = &s->core;
	int rc = 0;

	wr_lock(&core->lock);
	while (!s->acceptor.stop.is_done) {
		int64_t now = wr_now_ns();

		if (is_too_late_locked(s, now))
			rc = -EBUSY;
		else if (now >= until)
			rc = -ETIMEDOUT;
		if (rc < 0)
			break;
		(void)wr_cond_wait_until(
			&core->changed, &core->lock,
			wr_min_at(until, next_look_at(s, now)));
	}
	wr_unlock(&core->lock);
	return rc;
}

/* Not logged if the sink may be what blocks the acceptor. */
static void log_stuck_acceptor(weir_server *s)
{
	struct wr_core *core = &s->core;
	struct wr_stop *stop = &s->acceptor.stop;
	bool was_named;

	wr_lock(&core->lock);
	was_named = stop->was_given_up;
	stop->was_given_up = true;
	wr_unlock(&core->lock);
	if (!was_named && atomic_load(&core->logger.writing) == 0)
		wr_logf(&core->logger, WEIR_LOG_ERROR,
			"the acceptor is stuck: the stop should have ended");
}

/* A join whose time has passed gives threads that are about to end a moment. */
static int join_threads(weir_server *s, int64_t until)
{
	struct wr_stop *stop = &s->acceptor.stop;
	int failure = atomic_load(&s->core.failure);
	int64_t most_ns = stop->is_busy ? WR_JOIN_BUSY_NS : WR_JOIN_NS;
	int64_t own_ns = wr_min_at(until - wr_now_ns(), most_ns), joined_ns;

	if (own_ns < WR_JOIN_BUSY_NS)
		own_ns = WR_JOIN_BUSY_NS;
	joined_ns = atomic_load(&stop->joined_ns) + own_ns;
	if (wr_pool_join(&s->pool, own_ns) > 0) {
		atomic_store(&stop->joined_ns, joined_ns);
		return joined_ns < most_ns ? -ETIMEDOUT : -EBUSY;
	}
	if (failure < 0)
		return failure;
	return stop->was_cut || stop->is_busy ? -ECANCELED : 0;
}

int weir_server_join_for(weir_server *s, struct weir_report *ret, size_t size,
			 int ms)
{
	WR_NO_CANCEL();
	struct weir_report report;
	int64_t until;
	int rc;

	if (s == NULL || ms < WEIR_NEVER ||
	    wr_core_phase(&s->core) == WR_PHASE_NEW)
		return -EINVAL;
	if (is_inside(s))
		return -EDEADLK;
	until = wr_deadline_at(wr_now_ns(), ms);
	wait_for_stop(s, until);
	rc = wait_for_end(s, until);
	if (rc == -EBUSY) {
		log_stuck_acceptor(s);
		report = report_so_far(s);
	} else if (rc == 0) {
		rc = join_threads(s, until);
		report = s->acceptor.stop.report;
	}
	if (ret && rc != -ETIMEDOUT)
		wr_copy_out(ret, size, &report, sizeof(report));
	return rc;
}

int weir_server_join(weir_server *s, struct weir_report *ret, size_t size)
{
	return weir_server_join_for(s, ret, size, WEIR_NEVER);
}

int weir_server_fd(const weir_server *s)
{
	return s ? s->acceptor.stop.done_fd : -EINVAL;
}

int weir_server_is_draining(const weir_server *s)
{
	return s ? atomic_load(&s->core.stop_wanted) : -EINVAL;
}

/* Id of the process that waits for signals (a child has another); 0: none. */
static atomic_int taker;

struct signals {
	int fd; /* signalfd; -1: none */
	sigset_t before;
};

static int signals_begin(struct signals *w, int fd, unsigned flags)
{
	sigset_t set = stop_signals();
	int self = getpid(), holder = atomic_load(&taker);

	w->fd = -1;
	if (!(flags & WEIR_SIGNALS))
		return 0;
	if (holder == self ||
	    !atomic_compare_exchange_strong(&taker, &holder, self))
		return -EBUSY;
	w->fd = fd;
	wr_sys_sigmask(SIG_BLOCK, &set, &w->before);
	return 0;
}

static int signals_take(struct signals *w)
{
	struct signalfd_siginfo info;
	int n = 0;

	while (wr_sys_read(w->fd, &info, sizeof(info)) > 0)
		n++;
	return n;
}

static void signals_end(struct signals *w)
{
	if (w->fd < 0)
		return;
	(void)signals_take(w);
	wr_sys_sigmask(SIG_SETMASK, &w->before, NULL);
	atomic_store(&taker, 0);
}

static void run_until_end(weir_server *s, struct signals *w)
{
	struct pollfd fds[3] = {
		{ .fd = s->acceptor.stop.done_fd, .events = POLLIN },
		{ .fd = w->fd, .events = POLLIN },
		{ .fd = s->core.stop_fd, .events = POLLIN },
	};
	int signals = 0, rc;

	for (;;) {
		bool is_asked = atomic_load(&s->core.stop_wanted);
		int64_t now = wr_now_ns();

		if (is_asked && is_too_late(s))
			return;
		if (is_asked)
			fds[2].fd = -1;
		fds[0].revents = fds[1].revents = 0;
		rc = wr_sys_poll(
			fds, 3,
			is_asked ? wr_ms_until(next_look_at(s, now), now) : -1);
		if (fds[0].revents)
			return;
		if (rc < 0 && rc != -EINTR) {
			if (ends_soon(s))
				return;
		} else if (!fds[1].revents) {
			continue;
		}
		/* Equal signals that were not read in between count once. */
		signals += signals_take(w);
		if (signals == 1 && is_asked) /* no lame duck any longer */
			(void)weir_server_stop(s, s->core.config.drain_ms);
		else if (signals == 1)
			(void)weir_server_drain(s);
		else if (signals > 1)
			(void)weir_server_stop(s, 0);
	}
}

int weir_server_run(weir_server *s, unsigned flags)
{
	WR_NO_CANCEL();
	struct signals w;
	int rc;

	if (s == NULL || (flags & ~(unsigned)WEIR_SIGNALS))
		return -EINVAL;
	if (is_inside(s))
		return -EDEADLK;
	rc = signals_begin(&w, s->signals, flags);
	if (rc < 0)
		return rc;
	rc = weir_server_start(s);
	/* another thread may have started or stopped it */
	if (rc == 0 || rc == -EBUSY || rc == -ESHUTDOWN) {
		run_until_end(s, &w);
		rc = weir_server_join(s, NULL, 0);
	}
	signals_end(&w);
	return rc;
}

weir_server *weir_conn_server(const weir_conn *c)
{
	return c && c->core ? wr_container_of(c->core, struct weir_server, core)
			    : NULL;
}

int weir_server_dial(weir_server *s, weir_ref **ret, const char *where,
		     int timeout_ms, const struct weir_service *service)
{
	WR_NO_CANCEL();

	return s ? wr_dialled_dial(&s->core, ret, where, timeout_ms, service)
		 : -EINVAL;
}

int weir_server_adopt(weir_server *s, weir_ref **ret, int fd,
		      const struct weir_service *service)
{
	WR_NO_CANCEL();

	return s ? wr_dialled_adopt(&s->core, ret, fd, service) : -EINVAL;
}

int weir_server_spawn(weir_server *s, weir_ref **ret, weir_handler_fn *fn,
		      void *arg, void (*drop)(void *arg))
{
	WR_NO_CANCEL();

	return s && fn ? wr_dialled_spawn(&s->core, ret, fn, arg, drop)
		       : -EINVAL;
}

int weir_server_configure(weir_server *s, const struct weir_config *config)
{
	WR_NO_CANCEL();

	return s && config ? wr_core_configure(&s->core, config) : -EINVAL;
}

/* Events for other services, or for new connections in a slot, do no harm. */
static void recheck_deadlines(struct wr_core *core)
{
	size_t slots = wr_table_slots(core->table);

	for (size_t i = 0; i < slots; i++) {
		struct weir_conn *c = wr_table_find(core->table, i);

		if (wr_conn_is_in_use(c))
			wr_conn_post(c, wr_core_foreign_stats(core),
				     wr_owner_generation(&c->owner),
				     WR_EV_DEADLINE);
	}
}

int weir_server_configure_service(weir_server *s, int id,
				  const struct weir_service *service)
{
	WR_NO_CANCEL();
	struct wr_endpoint *e = find_listener(s, id);
	int rc;

	if (e == NULL)
		return -EINVAL;
	wr_lock(&s->core.lock);
	rc = wr_service_change(&e->service, service);
	wr_unlock(&s->core.lock);
	if (rc == 0)
		recheck_deadlines(&s->core);
	return rc;
}

int weir_server_stats(const weir_server *s, struct weir_stats *ret, size_t size)
{
	const struct weir_config *config;
	const struct wr_endpoint *e = NULL;
	struct wr_stacks_sum stacks;
	struct weir_stats now;
	const struct wr_core *core;
	int64_t longest_ns, left;

	if (s == NULL || ret == NULL)
		return -EINVAL;
	core = &s->core;
	config = &core->config.set;
	wr_core_sum(core, &now);
	while ((e = wr_accept_next(&s->acceptor.accept, e)))
		wr_stats_add_traffic(&now, e->counts, core->stats_count);
	now.ledger.open = atomic_load(&core->table->open);
	now.log_dropped = atomic_load(&core->logger.dropped);
	now.phase = (uint64_t)wr_core_phase(core);
	now.busy = (uint64_t)wr_pool_busy(&s->pool, wr_now_ns(), &longest_ns);
	now.longest_callback_ms = (uint64_t)(longest_ns / WR_NS_PER_MS);
	stacks = wr_core_count_stacks(core);
	now.stacks = stacks.in_use;
	now.stacks_pooled = stacks.pooled;
	now.stack_deepest = stacks.deepest;
	now.workers = (uint64_t)config->workers;
	now.queue_length = (uint64_t)core->config.queue_length;
	now.max_connections = (uint64_t)core->config.max_connections;
	now.max_dialled = (uint64_t)config->max_dialled;
	now.outbox_total = core->config.outbox_total;
	left = atomic_load(&core->outbox_left);
	if (left < (int64_t)now.outbox_total)
		now.unsent = now.outbox_total - (uint64_t)left;
	wr_copy_out(ret, size, &now, sizeof(now));
	return 0;
}

int weir_server_listener_stats(const weir_server *s, int id,
			       struct weir_listener_stats *ret, size_t size)
{
	const struct wr_endpoint *e;
	struct weir_listener_stats now;

	if (ret == NULL)
		return -EINVAL;
	e = find_listener(s, id);
	if (e == NULL)
		return -EINVAL;
	wr_listener_stats_sum(&now, e->counts, s->core.stats_count,
			      &e->layer_counts);
	wr_copy_out(ret, size, &now, sizeof(now));
	return 0;
}

int weir_server_each(weir_server *s, weir_each_fn *fn, void *arg, size_t size)
{
	WR_NO_CANCEL();

	return s ? wr_walk(&s->core, fn, arg, size) : -EINVAL;
}

int weir_server_timer(weir_server *s, weir_timer **ret, int ms, int every_ms,
		      weir_timer_fn *fn, void *arg)
{
	WR_NO_CANCEL();

	if (s == NULL || fn == NULL || ms < WEIR_NEVER || every_ms < 0 ||
	    (ret == NULL && ms == WEIR_NEVER))
		return -EINVAL;
	return wr_server_timers_add(&s->timers, ret, ms, every_ms, fn, arg);
}
