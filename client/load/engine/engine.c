/* SPDX-License-Identifier: MIT */
/* The loop of an engine. */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "../../../cli/cli.h"

/* Longest wait for banners before the run starts. */
#define BANNER_WAIT (1 * SECOND)

#define SWEEP_MIN (1 * MS)
#define SWEEP_MAX (50 * MS)

static uint32_t window_of(const struct plan *plan)
{
	uint32_t window = 1;

	while (window < (uint32_t)plan->depth)
		window *= 2;
	return window;
}

static uint64_t engine_share(uint64_t count, const struct engine *e)
{
	size_t threads = (size_t)e->plan->threads;

	return count / threads + ((size_t)e->number < count % threads);
}

static void set_sweep(struct engine *e)
{
	int64_t period = e->plan->timeout_ns;

	if (e->plan->connect_timeout_ns < period)
		period = e->plan->connect_timeout_ns;
	period /= 16;
	period = period < SWEEP_MIN   ? SWEEP_MIN
		 : period > SWEEP_MAX ? SWEEP_MAX
				      : period;
	e->sweep_every = period;
	if (e->conn_count > ENGINE_SWEEP)
		e->sweep_every = period * ENGINE_SWEEP / (int64_t)e->conn_count;
}

static int init_conns(struct engine *e)
{
	size_t all = (size_t)e->plan->connections + (size_t)e->plan->idle;

	e->conn_count = (size_t)engine_share(all, e);
	e->conns = calloc(e->conn_count + 1, sizeof(*e->conns));
	/* In 32 bits the product may overflow, which calloc() checks. */
	e->messages =
		calloc(e->conn_count + 1, e->window * sizeof(*e->messages));
	e->overtaken = calloc(e->conn_count + 1,
			      (size_t)e->plan->depth * sizeof(*e->overtaken));
	e->heap = calloc(e->conn_count + 1, sizeof(struct conn *));
	e->sessions = calloc(e->control->target->to_count,
			     sizeof(struct ssl_session_st *));
	if (!e->conns || !e->messages || !e->overtaken || !e->heap ||
	    !e->sessions)
		return -ENOMEM;
	for (size_t i = 0; i < e->conn_count; i++) {
		struct conn *c = &e->conns[i];

		c->fd = -1;
		c->id = (uint32_t)(i * (size_t)e->plan->threads +
				   (size_t)e->number);
		c->is_silent = c->id >= (uint32_t)e->plan->connections;
		c->random = conn_seed(e, c);
		c->ring = e->messages + i * e->window;
		c->overtaken = e->overtaken + i * (size_t)e->plan->depth;
		c->due_at = NEVER;
		e->alive += !c->is_silent;
	}
	e->in_state[CONN_IDLE] = e->conn_count;
	return 0;
}

static int init_wait(struct engine *e)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };

	e->epoll = epoll_create1(EPOLL_CLOEXEC);
	e->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (e->epoll < 0 || e->wakeup < 0 ||
	    epoll_ctl(e->epoll, EPOLL_CTL_ADD, e->wakeup, &event) < 0)
		return -errno;
	return 0;
}

static int init_rule(struct reply_rule *rule, const struct expectation *x)
{
	rule->expected = x;
	rule->keep = expectation_keep(x);
	/* The expression was compiled before: only memory can be missing. */
	return judge_init(&rule->judge, x) ? -ENOMEM : 0;
}

static int add_steps(struct engine_steps *to, const struct script_step *steps,
		     size_t count, bool is_timed)
{
	struct engine_step *list =
		reallocarray(to->list, to->count + count + 1, sizeof(*list));
	int rc = 0;

	if (!list)
		return -ENOMEM;
	to->list = list;
	for (size_t i = 0; i < count && rc == 0; i++) {
		struct engine_step *s = &list[to->count++];

		s->step = &steps[i];
		s->is_timed = is_timed;
		rc = init_rule(&s->rule, &steps[i].expected);
	}
	return rc;
}

static int engine_add_part(struct engine *e, struct engine_steps *to,
			   enum script_part_kind kind)
{
	const struct script_part *part = &e->plan->script->parts[kind];

	return add_steps(to, part->steps, part->count, kind == SCRIPT_ONCE);
}

static int init_steps(struct engine *e)
{
	const struct plan *p = e->plan;
	int rc;

	if (!p->script) {
		e->exchange.expected = p->expected;
		if (!plan_banner(p, &e->banner))
			return -ENOMEM;
		rc = add_steps(&e->opening, &e->banner, e->banner.has_reply,
			       false);
		return rc < 0 ? rc
			      : add_steps(&e->loop, &e->exchange, 1, false);
	}
	rc = engine_add_part(e, &e->opening, SCRIPT_CONNECT);
	if (rc == 0)
		rc = engine_add_part(e, &e->opening, SCRIPT_ONCE);
	if (rc == 0)
		rc = engine_add_part(e, &e->loop, SCRIPT_LOOP);
	return rc < 0 ? rc : engine_add_part(e, &e->leaving, SCRIPT_END);
}

/* Longer than the steps of a script take if the server answers. */
static int64_t opening_wait(const struct engine *e)
{
	int64_t wait = e->plan->timeout_ns;

	if (!e->plan->script)
		return BANNER_WAIT;
	for (size_t i = 0; i < e->opening.count; i++)
		wait += wait < NEVER / 2 ? e->opening.list[i].step->pause_ns
					 : 0;
	return wait;
}

static void free_steps(struct engine_steps *steps)
{
	for (size_t i = 0; i < steps->count; i++)
		judge_fini(&steps->list[i].rule.judge);
	free(steps->list);
}

int engine_init(struct engine *e, struct control *control, int number)
{
	const struct plan *plan = control->plan;
	int rc;

	*e = (struct engine){ .control = control,
			      .plan = plan,
			      .payload = control->payload,
			      .number = number,
			      .epoll = -1,
			      .wakeup = -1,
			      .start_at = NEVER,
			      .measure_at = NEVER,
			      .end_at = NEVER,
			      .send_until = NEVER,
			      .tick_at = NEVER,
			      .window = window_of(plan) };
	e->share = plan->count ? engine_share(plan->count, e) : UINT64_MAX;
	e->now = interval_new();
	e->full = interval_new();
	e->dropped = calloc(1, sizeof(*e->dropped));
	e->sums.bytes_each = sizeof(struct conn) + sizeof(struct conn *) +
			     e->window * sizeof(struct message) +
			     (size_t)plan->depth * sizeof(struct overtaken);
	e->in = malloc(ENGINE_BUFFER);
	e->out = malloc(ENGINE_BUFFER);
	if (!e->now || !e->full || !e->dropped || !e->in || !e->out)
		return -ENOMEM;
	e->is_paced = plan->think.high > 0 ||
		      (plan->script && plan->script->has_pause);
	e->has_close = plan->script && plan->script->has_close;
	rc = init_steps(e);
	e->opening_wait = opening_wait(e);
	if (rc == 0)
		rc = init_conns(e);
	set_sweep(e);
	return rc < 0 ? rc : init_wait(e);
}

void engine_fini(struct engine *e)
{
	for (size_t i = 0; e->conns && i < e->conn_count; i++) {
		secure_close(e->conns[i].tls, !e->plan->close_by_reset);
		if (e->conns[i].fd >= 0)
			close(e->conns[i].fd);
		free(e->conns[i].kept);
		free(e->conns[i].early);
	}
	for (size_t i = 0; e->sessions && i < e->control->target->to_count; i++)
		secure_forget(e->sessions[i]);
	free(e->sessions);
	free_steps(&e->opening);
	free_steps(&e->loop);
	free_steps(&e->leaving);
	expectation_fini(&e->banner.expected);
	if (e->epoll >= 0)
		close(e->epoll);
	if (e->wakeup >= 0)
		close(e->wakeup);
	interval_free(e->now);
	interval_free(e->full);
	free(e->dropped);
	free(e->conns);
	free(e->messages);
	free(e->overtaken);
	free(e->heap);
	free(e->in);
	free(e->out);
}

#define EVENTS	       128
#define CONNECTS_A_WAY 64 /* connects in progress at most */
#define CONNECTS_STEP  32 /* connects started between two waits */
#define LONGEST_WAIT   (SECOND / 200)
#define STACK_SIZE     ((size_t)256 << 10)

static int64_t thread_cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

void engine_wake(struct engine *e)
{
	uint64_t one = 1;

	/* EAGAIN: the counter is full, so a wake-up is pending. */
	(void)!write(e->wakeup, &one, sizeof(one));
}

static void look_at_control(struct engine *e)
{
	struct control *c = e->control;
	uint64_t count;

	(void)!read(e->wakeup, &count, sizeof(count));
	if (e->start_at == NEVER &&
	    (e->start_at = atomic_load(&c->start_at)) != NEVER) {
		e->measure_at = atomic_load(&c->measure_at);
		e->tick_at = e->measure_at;
		for (size_t i = 0; engine_is_open_loop(e) && i < e->conn_count;
		     i++) {
			schedule_begin(e, &e->conns[i]);
			schedule_update(e, &e->conns[i]);
		}
	}
	e->send_until = atomic_load(&c->send_until);
	e->end_at = atomic_load(&c->end_at);
	if (atomic_load(&c->is_cut))
		e->is_ending = true;
}

/* Returns whether the events are still to be handled. */
static bool serve_new(struct engine *e, struct conn *c)
{
	bool is_secure = e->control->target->secure;

	if (c->state == CONN_CONNECTING) {
		int64_t took;
		int error = target_connected(e->control->target, c->id, c->fd,
					     &took);

		conn_connected(e, c, error, now_ns(), took);
		return !is_secure;
	}
	if (c->state != CONN_HANDSHAKE)
		return true;
	/* When it ends, input is read, after which c may be the next one. */
	conn_handshake(e, c);
	return false;
}

static void serve_conn(struct engine *e, struct conn *c, uint32_t events)
{
	const uint32_t ends = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
	bool has_events = serve_new(e, c);

	if (has_events && c->fd >= 0 && c->is_blocked && events & EPOLLOUT)
		conn_writable(e, c, now_ns());
	/* Another connection may have replaced it in c. */
	has_events = has_events && c->state != CONN_CONNECTING &&
		     c->state != CONN_HANDSHAKE;
	if (has_events && c->fd >= 0 && events & (EPOLLIN | ends) &&
	    !c->is_paused)
		conn_receive(e, c, events & ends);
	if (engine_is_open_loop(e))
		schedule_update(e, c);
}

/* Returns when to go on. */
static int64_t connect_some(struct engine *e, int64_t now)
{
	double rate = e->plan->connect_rate / e->plan->threads;

	if (e->connect_next == 0)
		e->connect_from = now;
	for (int n = 0; e->connect_next < e->conn_count; n++) {
		struct conn *c = &e->conns[e->connect_next];
		int64_t at = e->connect_from;

		if (rate > 0)
			at += (int64_t)((double)e->connect_next * 1e9 / rate);
		if (n == CONNECTS_STEP || at > now)
			return at;
		if (rate == 0 && e->in_state[CONN_CONNECTING] +
						 e->in_state[CONN_HANDSHAKE] +
						 e->backlog_waiting >=
					 CONNECTS_A_WAY)
			return NEVER;
		e->connect_next++;
		if (c->is_silent || e->plan->mode != PLAN_CHURN)
			conn_open(e, c, now);
	}
	return NEVER;
}

static bool has_connected(const struct engine *e, int64_t now)
{
	return e->connect_next == e->conn_count &&
	       e->in_state[CONN_CONNECTING] == 0 &&
	       e->in_state[CONN_HANDSHAKE] == 0 && e->backlog_waiting == 0 &&
	       (e->in_state[CONN_OPENING] == 0 ||
		now - e->connected_at > e->opening_wait);
}

/* Let all connections that have room for a message send. */
static void begin_messages(struct engine *e, int64_t now)
{
	for (size_t i = 0; i < e->conn_count; i++) {
		struct conn *c = &e->conns[i];

		if (c->is_silent)
			continue;
		if (e->plan->mode != PLAN_CHURN)
			conn_writable(e, c, now);
		else if (c->state == CONN_IDLE && c->retry_at == 0)
			conn_open(e, c, now);
	}
}

static void begin_closed_loop(struct engine *e, int64_t now)
{
	begin_messages(e, now);
	atomic_fetch_add(&e->control->begun, 1);
}

/*
 * An engine is scheduled late: without a share of its own, the count might be
 * used up before its connections have sent anything.  When all have begun, the
 * connections that waited for that go on.
 */
static void look_for_beginners(struct engine *e, int64_t now)
{
	e->have_all_begun = atomic_load(&e->control->begun) == e->plan->threads;
	if (e->have_all_begun && e->share == 0)
		begin_messages(e, now);
}

static void sweep_conns(struct engine *e, int64_t now)
{
	for (size_t n = 0; n < ENGINE_SWEEP && n < e->conn_count; n++) {
		if (e->sweep_next >= e->conn_count)
			e->sweep_next = 0;
		conn_check_time(e, &e->conns[e->sweep_next], now);
		if (engine_is_open_loop(e))
			schedule_update(e, &e->conns[e->sweep_next]);
		e->sweep_next++;
	}
	e->sweep_at = now + e->sweep_every;
}

/* Without a free interval the current one continues, and false is returned. */
static bool hand_over(struct engine *e, int64_t now)
{
	struct control *c = e->control;
	bool is_free;

	pthread_mutex_lock(&c->lock);
	is_free = !e->has_full;
	if (is_free) {
		struct interval *i = e->full;

		e->now->to = now;
		e->full = e->now;
		e->now = i;
		i->from = now;
		e->has_full = true;
		pthread_cond_broadcast(&c->changed);
	}
	pthread_mutex_unlock(&c->lock);
	return is_free;
}

static void say_ready(struct engine *e)
{
	pthread_mutex_lock(&e->control->lock);
	e->is_ready = true;
	e->control->ready++;
	pthread_cond_broadcast(&e->control->changed);
	pthread_mutex_unlock(&e->control->lock);
}

/* The current interval ends, and so does a second that is due. */
static bool end_interval(struct engine *e, int64_t now)
{
	bool is_handed_over = hand_over(e, now);

	while (e->tick_at <= now)
		e->tick_at += SECOND;
	return is_handed_over;
}

static void engine_begin_measuring(struct engine *e)
{
	struct control *c = e->control;

	e->is_measuring = true;
	for (size_t i = 0; i < e->conn_count; i++)
		conn_begin_upload(e, &e->conns[i]);
	e->sums.cpu_ns = thread_cpu();
	pthread_mutex_lock(&c->lock);
	if (!c->has_usage)
		getrusage(RUSAGE_SELF, &c->usage_from);
	c->has_usage = true;
	pthread_mutex_unlock(&c->lock);
}

/*
 * CPU time and context switches are those of the measured part: a wait for the
 * last replies would lower the share of a core, and have switches of its own.
 * Of a shorter part, sending alone would be most.
 */
#define SHARE_MIN (100 * MS)

static void engine_end_measuring(struct engine *e, int64_t now)
{
	struct control *c = e->control;

	if (!e->is_measuring || e->has_measured)
		return;
	e->has_measured = true;
	e->sums.cpu_ns = thread_cpu() - e->sums.cpu_ns;
	e->sums.measured_ns = now - e->measure_at;
	pthread_mutex_lock(&c->lock);
	getrusage(RUSAGE_SELF, &c->usage_to);
	pthread_mutex_unlock(&c->lock);
}

static void update_all(struct engine *e)
{
	for (size_t i = 0; i < e->conn_count; i++)
		schedule_update(e, &e->conns[i]);
}

/* Plan no more; an open loop still sends what was planned. */
static void begin_ending(struct engine *e)
{
	if (e->is_ending)
		return;
	e->is_ending = true;
	update_all(e);
}

static void end_sending(struct engine *e)
{
	if (e->is_sending_over)
		return;
	e->is_sending_over = true;
	update_all(e);
}

/* When run_clock() has to run again, whatever is due. */
static int64_t next_mark(const struct engine *e, int64_t now)
{
	const int64_t marks[] = { e->tick_at, e->end_at, e->send_until };
	int64_t next = now + LONGEST_WAIT;

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		if (marks[i] > now && marks[i] < next)
			next = marks[i];
	return next;
}

/*
 * Returns when the next connection is to act.  One that fails at once may be
 * due again at once, so the next mark ends the loop.
 */
static int64_t run_due(struct engine *e, int64_t now)
{
	int64_t until = next_mark(e, now);
	struct conn *c;

	while ((c = schedule_first(e)) && c->wake_at <= now) {
		now = now_ns();
		if (now >= until)
			break;
		if (c->state == CONN_IDLE && c->retry_at > 0)
			conn_retry(e, c, now);
		else if (c->is_paused)
			conn_resume(e, c, now);
		else if (c->quiet_at > 0)
			conn_quiet(e, c);
		else if (e->plan->mode == PLAN_CHURN)
			conn_open(e, c, now);
		else
			conn_send(e, c, now);
		schedule_update(e, c);
	}
	return c ? c->wake_at : NEVER;
}

/* Returns when to run next. */
static int64_t run_clock(struct engine *e)
{
	int64_t now = now_ns(), next = NEVER, at;

	if (e->connect_next < e->conn_count)
		next = connect_some(e, now);
	else if (!e->is_ready && has_connected(e, now))
		say_ready(e);
	if (!e->is_measuring && now >= e->measure_at)
		engine_begin_measuring(e);
	if (!e->is_started && now >= e->start_at) {
		e->is_started = true;
		if (!engine_is_open_loop(e))
			begin_closed_loop(e, now);
	}
	if (e->is_started && !e->have_all_begun && !engine_is_open_loop(e))
		look_for_beginners(e, now);
	if (now >= e->end_at)
		begin_ending(e);
	if (e->is_ending && now - e->measure_at >= SHARE_MIN)
		engine_end_measuring(e, now);
	if (now >= e->end_at && !e->has_ended_part)
		e->has_ended_part = end_interval(e, now);
	else if (now >= e->tick_at)
		end_interval(e, now);
	if (now >= e->sweep_at)
		sweep_conns(e, now);
	if (now >= e->send_until)
		end_sending(e);
	at = run_due(e, now);
	if (!e->has_warmed_up && now >= e->measure_at && at > now) {
		e->has_warmed_up = true;
		schedule_end_warm_up(e);
		at = run_due(e, now);
	}
	next = at < next ? at : next;
	next = e->sweep_at < next ? e->sweep_at : next;
	next = e->tick_at < next ? e->tick_at : next;
	if (!e->is_started && e->start_at < next)
		next = e->start_at;
	return !e->is_ending && e->end_at < next ? e->end_at : next;
}

static bool has_sent_all(const struct engine *e)
{
	if (!e->is_started || e->woke_at < e->measure_at)
		return e->is_started && e->alive == 0;
	for (size_t i = 0; i < e->conn_count; i++)
		if (e->conns[i].due_at != NEVER &&
		    e->conns[i].state != CONN_OVER)
			return false;
	return true;
}

/* An open loop with --count: the last engine to have sent all ends the run. */
static void note_sent_all(struct engine *e)
{
	struct control *c = e->control;

	if (e->has_sent_all || !engine_is_open_loop(e) || e->plan->count == 0 ||
	    !has_sent_all(e))
		return;
	e->has_sent_all = true;
	pthread_mutex_lock(&c->lock);
	if (e->sums.last_sent_at > c->last_sent_at)
		c->last_sent_at = e->sums.last_sent_at;
	if (++c->sent == e->plan->threads)
		atomic_store(&c->all_sent_at, c->last_sent_at);
	pthread_mutex_unlock(&c->lock);
}

/* Is a connection replaced for messages that were planned before the end? */
static bool is_replacing(const struct engine *e)
{
	size_t count = e->in_state[CONN_CONNECTING] +
		       e->in_state[CONN_HANDSHAKE] + e->in_state[CONN_OPENING] +
		       e->in_state[CONN_LEAVING];

	for (size_t i = 0; count > 0 && i < e->conn_count; i++) {
		const struct conn *c = &e->conns[i];

		if ((c->is_replaced || c->state == CONN_LEAVING) &&
		    engine_has_backlog(e, c))
			return true;
	}
	return false;
}

/* At the end all connections do the end part.  Returns whether they have. */
static bool have_left(struct engine *e)
{
	if (e->leaving.count == 0)
		return true;
	if (e->done_at == 0) {
		e->done_at = now_ns();
		e->tick_at = NEVER;
		for (size_t i = 0; i < e->conn_count; i++)
			if (e->conns[i].state == CONN_OPEN &&
			    !e->conns[i].is_silent)
				conn_leave(e, &e->conns[i], e->done_at);
	}
	return e->in_state[CONN_LEAVING] == 0;
}

static bool is_finished(struct engine *e)
{
	if (e->error != 0 ||
	    atomic_load_explicit(&e->control->is_cut, memory_order_relaxed))
		return true;
	note_sent_all(e);
	if (e->is_started &&
	    (e->alive == 0 || atomic_load(&e->control->all_sent_at) != NEVER))
		begin_ending(e);
	return e->is_ending && e->under_way == 0 && e->heap_used == 0 &&
	       !is_replacing(e) && have_left(e);
}

/*
 * In the measured part, or after it while replies are awaited: what is taken
 * then is in the figures.  The end parts are not.
 */
static void note_stall(struct engine *e, int64_t from, int64_t to)
{
	if (from < e->measure_at)
		from = e->measure_at;
	if (e->done_at == 0 && to - from > e->sums.longest_stall)
		e->sums.longest_stall = to - from;
}

static int pwait2(int epoll, struct epoll_event *events, int max,
		  const struct timespec *longest)
{
#ifdef HAVE_EPOLL_PWAIT2
	return epoll_pwait2(epoll, events, max, longest, NULL);
#else
	(void)epoll;
	(void)events;
	(void)max;
	(void)longest;
	errno = ENOSYS;
	return -1;
#endif
}

/*
 * epoll_pwait2() is new in Linux 5.11, and container filters may refuse it.
 * Without it waits are rounded up to ms, which the client lag shows.
 */
static int wait_events(struct engine *e, struct epoll_event *events,
		       const struct timespec *longest)
{
	if (!e->has_no_pwait2) {
		int n = pwait2(e->epoll, events, EVENTS, longest);

		if (n >= 0 || !cli_is_unsupported(errno))
			return n;
		e->has_no_pwait2 = true;
	}
	return epoll_wait(e->epoll, events, EVENTS,
			  (int)((longest->tv_nsec + 999999) / 1000000));
}

/*
 * The kernel lists what is ready, oldest first and each descriptor once.  What
 * a full batch left in that list has waited for as long as the events of that
 * batch, until as many events were seen as there are descriptors.  Later ones
 * came after the batch, so that this does not go on for ever in a saturated
 * loop.
 */
static void carry_delay(struct engine *e, int n)
{
	int64_t since = e->woke_at - e->wake_delay;

	if (n <= 0 || e->left_over == 0) {
		e->ready_since = since;
		e->left_over = e->conn_count + 1;
	} else if (e->ready_since < since) {
		e->wake_delay = e->woke_at - e->ready_since;
	}
	if (n == EVENTS && e->left_over > EVENTS)
		e->left_over -= EVENTS;
	else
		e->left_over = 0;
}

/*
 * Events pending at the start of a wait came while the loop was busy, and a
 * late return means that the thread was not scheduled: both delay what we see.
 * Waits are short, to notice this even when nothing is planned.
 */
static int wait_until(struct engine *e, struct epoll_event *events,
		      int64_t next)
{
	int64_t now = now_ns(), busy = now - e->woke_at;
	struct timespec t = { .tv_nsec = 0 };
	int n;

	note_stall(e, e->woke_at, now);
	if (next > now + LONGEST_WAIT)
		next = now + LONGEST_WAIT;
	if (next > now && e->left_over == 0)
		t.tv_nsec = (long)(next - now);
	n = wait_events(e, events, &t);
	/* SIGSTOP ends a wait: what has come until SIGCONT was not seen. */
	if (n < 0 && errno == EINTR)
		n = wait_events(e, events, &(struct timespec){ .tv_nsec = 0 });
	if (n < 0 && errno != EINTR)
		e->error = errno;
	e->woke_at = now_ns();
	e->wake_delay = e->woke_at > next ? e->woke_at - next : 0;
	if (e->woke_at - now < ENGINE_AT_ONCE && busy > e->wake_delay)
		e->wake_delay = busy;
	carry_delay(e, n);
	note_stall(e, next, e->woke_at);
	return n;
}

static int64_t resting_ns(const struct engine *e, const struct conn *c,
			  int64_t now)
{
	bool rests = c->is_replaced ||
		     (c->pace == PACE_RESTING && c->state == CONN_OPEN);

	return rests ? engine_measured_since(e, c->rest_from, now) : 0;
}

/* The end parts are not a part of the run. */
static void engine_finish(struct engine *e)
{
	int64_t now = e->done_at > e->now->from ? e->done_at : now_ns();

	e->is_ending = true;
	e->end_at = atomic_load(&e->control->end_at);
	for (size_t i = 0; i < e->conn_count; i++) {
		struct conn *c = &e->conns[i];

		conn_drop_exchange(e, c);
		replies_abandon(e, c, &e->now->counts.open, now);
		c->rested_ns += resting_ns(e, c, now);
		conn_end_upload(e, c);
	}
	schedule_count_missed(e);
	engine_end_measuring(e, now);
	pthread_mutex_lock(&e->control->lock);
	e->now->to = now;
	e->has_finished = true;
	e->control->finished++;
	if (e->control->error == 0)
		e->control->error = e->error;
	e->control->ready += !e->is_ready;
	pthread_cond_broadcast(&e->control->changed);
	pthread_mutex_unlock(&e->control->lock);
}

static void *engine_main(void *arg)
{
	struct engine *e = arg;
	struct epoll_event events[EVENTS];

	/* With the default slack a wait ends up to 50 us late. */
	prctl(PR_SET_TIMERSLACK, 1);
	e->woke_at = e->now->from = now_ns();
	while (!is_finished(e)) {
		int n = wait_until(e, events, run_clock(e));

		for (int i = 0; i < n; i++) {
			struct conn *c = events[i].data.ptr;

			if (c)
				serve_conn(e, c, events[i].events);
			else
				look_at_control(e);
		}
	}
	engine_finish(e);
	return NULL;
}

int engine_thread(pthread_t *ret, void *(*main)(void *), void *arg)
{
	pthread_attr_t attr;
	int rc = pthread_attr_init(&attr);

	if (rc != 0)
		return -rc;
	rc = pthread_attr_setstacksize(&attr, STACK_SIZE);
	if (rc == 0)
		rc = pthread_create(ret, &attr, main, arg);
	pthread_attr_destroy(&attr);
	return -rc;
}

int engine_start(struct engine *e)
{
	return engine_thread(&e->thread, engine_main, e);
}

void engine_count_conns(const struct engine *e, struct summary *s)
{
	int64_t sent_at = control_sent_at(e->control);

	for (size_t i = 0; i < e->conn_count; i++) {
		const struct conn *c = &e->conns[i];

		summary_add_conn(s,
				 &(struct conn_sums){
					 .id = c->id,
					 .is_silent = c->is_silent,
					 .is_open = c->state == CONN_OPENING ||
						    c->state == CONN_OPEN ||
						    c->state == CONN_LEAVING ||
						    c->state == CONN_LEFT,
					 .was_opened = c->was_opened,
					 .is_over = c->state == CONN_OVER,
					 .was_asked = c->was_asked,
					 .is_waiting = c->is_waiting,
					 .down_at = c->down_at,
					 .down_ns = c->down_ns,
					 .pause_at = c->pause_at,
					 .paused_ns = c->paused_ns,
					 .rested_ns = c->rested_ns,
					 .sent_at = sent_at,
					 .replies = c->replies,
					 .last_at = c->last_at,
				 });
	}
}
