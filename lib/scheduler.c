/* SPDX-License-Identifier: MIT */
/*
 * As a rule one worker polls and the others are idle.  While it runs its
 * events, more gather at the poller, so one wait brings many events and wakes
 * no other thread.  The monitor checks for work that nobody takes, and wakes
 * one more worker.
 *
 * That is late where callbacks are slow.  For WR_HANDOFF_NS after a slow
 * callback the workers are in handoff mode: none is idle, and before each
 * callback a worker makes sure that another is awake if there is more to run.
 * A slow callback does not count if the kernel has preempted the worker since
 * the last slow one: otherwise most would count on a busy machine.
 *
 * One word holds the state:
 *
 *	bits 19..0   workers that poll, or are about to
 *	bits 39..20  idle workers
 *	WOKEN        the wake fd is signalled and not taken yet
 *	MONITORED    the monitor checks the workers
 *	CLOSED       the workers end
 *
 * Each change is one atomic operation, so all threads agree on the order.
 * These operations, and those that publish or look for work, are sequentially
 * consistent.
 *
 * "Why no wake-up is lost": a thread that submits work publishes it, then reads
 * the number of polling workers.  A worker that will sleep at the poller adds
 * itself to that number, then looks for work.  One of the two sees the other.
 * A signal between the look and the sleep is an edge that stays in the poller
 * until a worker takes it.  While WOKEN is set no signal is sent, as it would
 * merge with that edge; the worker that takes the edge clears WOKEN, then looks
 * for work.  wr_sched_has_events() takes a signal away and gives it back: one
 * that is sent twice wakes a worker in vain.
 *
 * "The poller is not left alone": a worker becomes idle only in a word in which
 * another polls, and a worker that leaves the poller sets MONITORED in the same
 * operation.  So the monitor runs whenever workers are idle and none polls.
 *
 * "No work lies unseen": a worker publishes work without a signal in two
 * places, its batch and a node it requeues, and then sets MONITORED.  The
 * monitor clears MONITORED, then looks for work once more.  One of the two sees
 * the other.  Work submitted while no worker polls is seen by the next worker
 * that goes to the poller, before it sleeps.
 */
#include "scheduler.h"

#include <errno.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "sys.h"

#define WAKE_KEY UINT64_MAX

#define POLLING	  UINT64_C(1)
#define IDLE	  (UINT64_C(1) << 20)
#define WOKEN	  (UINT64_C(1) << 60)
#define MONITORED (UINT64_C(1) << 61)
#define CLOSED	  (UINT64_C(1) << 62)

/* The sources of tasks, in order. */
enum { FROM_BATCH, FROM_READY, FROM_ACCEPTED, FROM_OTHERS, FROM_POLLER };

static uint64_t polling(uint64_t word)
{
	return word & (IDLE - 1);
}

static uint64_t idle(uint64_t word)
{
	return word / IDLE & (IDLE - 1);
}

static int lowest(uint64_t bits)
{
	return __builtin_ctzll(bits);
}

static void push(struct wr_queue *q, struct wr_node *n, int64_t now)
{
	n->next = NULL;
	n->queued_at = now;
	wr_word_lock(&q->lock);
	if (q->tail)
		q->tail->next = n;
	else
		q->head = n;
	q->tail = n;
	atomic_store(&q->len, atomic_load(&q->len) + 1);
	wr_word_unlock(&q->lock);
}

static struct wr_node *pop(struct wr_queue *q, int64_t queued_by)
{
	struct wr_node *n;

	if (atomic_load(&q->len) == 0)
		return NULL;
	wr_word_lock(&q->lock);
	n = q->head;
	if (n && n->queued_at > queued_by)
		n = NULL;
	if (n) {
		q->head = n->next;
		if (q->head == NULL)
			q->tail = NULL;
		n->next = NULL;
		atomic_store(&q->len, atomic_load(&q->len) - 1);
	}
	wr_word_unlock(&q->lock);
	return n;
}

static bool batch_is_empty(const struct wr_batch *b)
{
	uint64_t word = atomic_load(&b->word);

	return (word >> 16 & 0xffff) == (word & 0xffff);
}

static inline bool batch_take(struct wr_batch *b, struct wr_event *ret)
{
	uint64_t word = atomic_load(&b->word);

	for (;;) {
		uint64_t taken = word >> 16 & 0xffff;

		if (taken == (word & 0xffff))
			return false;
		ret->key = atomic_load_explicit(&b->key[taken],
						memory_order_relaxed);
		ret->what = atomic_load_explicit(&b->what[taken],
						 memory_order_relaxed);
		WR_POINT();
		if (atomic_compare_exchange_weak(&b->word, &word,
						 word + (1 << 16))) {
			WR_TAKES(b);
			return true;
		}
	}
}

static void batch_fill(struct wr_batch *b, const struct wr_event *ev, int n)
{
	uint64_t number =
		atomic_load_explicit(&b->word, memory_order_relaxed) >> 32;

	for (int i = 0; i < n; i++) {
		atomic_store_explicit(&b->key[i], ev[i].key,
				      memory_order_relaxed);
		atomic_store_explicit(&b->what[i], ev[i].what,
				      memory_order_relaxed);
	}
	WR_GIVES(b);
	atomic_store(&b->word, (number + 1) << 32 | (uint64_t)n);
}

/*
 * A listed batch may be empty.  One that is filled and not listed yet is
 * missed, but the monitor starts after the listing and looks again ("no work
 * lies unseen").
 */
static void list_batch(struct wr_sched *s, int worker)
{
	if (!s->workers[worker].is_listed)
		atomic_fetch_or(&s->filled[worker / 64],
				UINT64_C(1) << worker % 64);
	s->workers[worker].is_listed = true;
}

static void unlist_batch(struct wr_sched *s, int worker)
{
	if (s->workers[worker].is_listed)
		atomic_fetch_and(&s->filled[worker / 64],
				 ~(UINT64_C(1) << worker % 64));
	s->workers[worker].is_listed = false;
}

static bool has_filled_batch(const struct wr_sched *s)
{
	for (int first = 0; first < s->count; first += 64) {
		uint64_t bits = atomic_load(&s->filled[first / 64]);

		for (; bits; bits &= bits - 1)
			if (!batch_is_empty(
				    &s->workers[first + lowest(bits)].batch))
				return true;
	}
	return false;
}

/* The worker then goes on with the batch that it has stolen from. */
static bool steal_event(struct wr_sched *s, struct wr_sched_worker *w,
			struct wr_event *ret)
{
	for (int first = 0; first < s->count; first += 64) {
		uint64_t bits = atomic_load(&s->filled[first / 64]);

		for (; bits; bits &= bits - 1) {
			w->from = &s->workers[first + lowest(bits)].batch;
			if (batch_take(w->from, ret))
				return true;
		}
	}
	return false;
}

static bool has_work(const struct wr_sched *s)
{
	if (wr_sched_queued(s, WR_QUEUE_READY) > 0)
		return true;
	WR_POINT();
	if (wr_sched_queued(s, WR_QUEUE_ACCEPTED) > 0)
		return true;
	return has_filled_batch(s);
}

static void wake_poller(struct wr_sched *s)
{
	uint64_t word;

	WR_POINT();
	word = atomic_load(&s->word);
	do {
		if (polling(word) == 0 || word & WOKEN)
			return;
	} while (!atomic_compare_exchange_weak(&s->word, &word, word | WOKEN));
	wr_sys_eventfd_signal(s->wake_fd);
}

/* The caller has subtracted them from the idle workers. */
static void wake_idle(struct wr_sched *s, uint64_t count)
{
	wr_lock(&s->idle_lock);
	s->wakeups += (int)count;
	if (count == 1)
		wr_cond_signal(&s->idle_wakeup);
	else
		wr_cond_broadcast(&s->idle_wakeup);
	wr_unlock(&s->idle_lock);
}

/* Wake an idle worker if none polls.  False: one polls. */
static bool release_idle(struct wr_sched *s)
{
	uint64_t word = atomic_load(&s->word);

	do {
		if (polling(word) > 0)
			return false;
		if (idle(word) == 0)
			return true;
	} while (!atomic_compare_exchange_weak(&s->word, &word, word - IDLE));
	wake_idle(s, 1);
	return true;
}

static void monitor(struct wr_sched *s)
{
	if (s->count > 1 && !(atomic_load(&s->word) & MONITORED) &&
	    !(atomic_fetch_or(&s->word, MONITORED) & MONITORED))
		wr_sys_eventfd_signal(s->monitor_fd);
}

void wr_sched_submit(struct wr_sched *s, enum wr_queue_id id, struct wr_node *n,
		     int64_t now)
{
	push(&s->queue[id], n, now);
	wake_poller(s);
}

/* The worker comes to it, unless a callback blocks: hence the monitor. */
void wr_sched_requeue(struct wr_sched *s, struct wr_node *n, int64_t now)
{
	push(&s->queue[WR_QUEUE_READY], n, now);
	monitor(s);
}

struct wr_node *wr_sched_take(struct wr_sched *s, enum wr_queue_id id,
			      int64_t queued_by)
{
	return pop(&s->queue[id], queued_by);
}

int64_t wr_sched_oldest_at(struct wr_sched *s, enum wr_queue_id id)
{
	struct wr_queue *q = &s->queue[id];
	int64_t at;

	if (atomic_load(&q->len) == 0)
		return WR_NEVER_AT;
	wr_word_lock(&q->lock);
	at = q->head ? q->head->queued_at : WR_NEVER_AT;
	wr_word_unlock(&q->lock);
	return at;
}

bool wr_sched_polls(const struct wr_sched *s)
{
	return polling(atomic_load(&s->word)) > 0;
}

size_t wr_sched_queued(const struct wr_sched *s, enum wr_queue_id id)
{
	return atomic_load(&s->queue[id].len);
}

/*
 * Without its signal the wake fd is not ready, also in an epoll that has its
 * edge.  A close signals without WOKEN.
 */
bool wr_sched_has_events(struct wr_sched *s)
{
	bool is_ready;

	wr_sys_eventfd_clear(s->wake_fd);
	is_ready = wr_poller_is_ready(s->poller);
	if (atomic_load(&s->word) & (WOKEN | CLOSED))
		wr_sys_eventfd_signal(s->wake_fd);
	return is_ready;
}

void wr_sched_always_hand_off(struct wr_sched *s)
{
	atomic_store(&s->handoff_until, WR_NEVER_AT);
}

void wr_sched_hand_off(struct wr_sched *s)
{
	uint64_t word = atomic_load(&s->word);

	if (polling(word) == 0 && idle(word) == 0)
		return; /* no worker sleeps */
	if (!release_idle(s) && has_work(s))
		wake_poller(s);
}

static bool was_preempted(struct wr_sched_worker *w)
{
	long before = w->preemptions;

	w->preemptions = wr_sys_preemptions();
	return w->preemptions != before;
}

void wr_sched_note_slow(struct wr_sched *s, int worker, int64_t now)
{
	if (!was_preempted(&s->workers[worker]) &&
	    now + WR_HANDOFF_NS > atomic_load(&s->handoff_until))
		atomic_store(&s->handoff_until, now + WR_HANDOFF_NS);
}

/*
 * In handoff mode a worker takes only the events of one round: the rest stay in
 * the poller in order of age.
 */
static int adjust_max_events(struct wr_sched *s, struct wr_sched_worker *w,
			     int64_t now)
{
	if (!wr_sched_hands_off(s, now))
		w->max_events = WR_POLL_BATCH;
	else if (now - w->polled_at > WR_ROUND_NS)
		w->max_events = w->max_events > 2 ? w->max_events / 2 : 1;
	else if (w->max_events < WR_POLL_BATCH)
		w->max_events *= 2;
	return w->max_events;
}

/* See "the poller is not left alone".  False: poll instead. */
static bool be_idle(struct wr_sched *s)
{
	uint64_t word = atomic_load(&s->word);

	do {
		if (polling(word) == 0 || word & CLOSED)
			return false;
	} while (!atomic_compare_exchange_weak(&s->word, &word, word + IDLE));
	wr_lock(&s->idle_lock);
	while (s->wakeups == 0)
		(void)wr_cond_wait_until(&s->idle_wakeup, &s->idle_lock,
					 WR_NEVER_AT);
	s->wakeups--;
	wr_unlock(&s->idle_lock);
	return true;
}

static void leave_poller(struct wr_sched *s, bool took_wakeup)
{
	uint64_t set = s->count > 1 ? MONITORED : 0;
	uint64_t clear = took_wakeup ? WOKEN : 0;
	uint64_t word = atomic_load(&s->word);

	while (!atomic_compare_exchange_weak(&s->word, &word,
					     ((word - POLLING) | set) & ~clear))
		;
	if (set & ~word)
		wr_sys_eventfd_signal(s->monitor_fd);
}

static bool take_wakeup(struct wr_event *ev, int *n)
{
	int at = 0;

	while (at < *n && ev[at].key != WAKE_KEY)
		at++;
	if (at >= *n)
		return false;
	(*n)--;
	memmove(ev + at, ev + at + 1, (size_t)(*n - at) * sizeof(*ev));
	return true;
}

static int poll_events(struct wr_sched *s, int worker, int64_t *now,
		       struct wr_event *ev)
{
	struct wr_sched_worker *w = &s->workers[worker];
	bool may_sleep, was_woken;
	int n;

	may_sleep =
		!(atomic_fetch_add(&s->word, POLLING) & CLOSED) && !has_work(s);
	n = wr_poller_wait(s->poller, ev, adjust_max_events(s, w, *now),
			   may_sleep ? -1 : 0);
	w->polled_at = *now = wr_now_ns();
	was_woken = take_wakeup(ev, &n);
	if (n > 1) {
		batch_fill(&w->batch, ev + 1, n - 1);
		list_batch(s, worker);
	}
	leave_poller(s, was_woken);
	return n;
}

static bool wait_for_task(struct wr_sched *s, int worker, int64_t *now,
			  struct wr_task *ret)
{
	struct wr_event ev[WR_POLL_BATCH];
	int n;

	WR_POINT();
	unlist_batch(s, worker);
	if (!wr_sched_hands_off(s, *now) &&
	    polling(atomic_load(&s->word)) > 0 && !has_work(s) && be_idle(s)) {
		*now = wr_now_ns();
		return false;
	}
	n = poll_events(s, worker, now, ev);
	if (n > 0) {
		ret->kind = WR_TASK_EVENT;
		ret->event = ev[0];
	} else if (n < 0) {
		ret->kind = WR_TASK_FAILED;
		ret->error = n;
	}
	return n != 0;
}

static void begin_source(struct wr_sched_worker *w, int source, int64_t now)
{
	w->source = source;
	w->round_left = WR_ROUND_TASKS;
	w->round_end = now + WR_ROUND_NS;
}

static bool take_node(struct wr_sched *s, struct wr_sched_worker *w,
		      enum wr_queue_id id, int64_t now, struct wr_task *ret)
{
	if (w->round_left == 0 || now >= w->round_end)
		return false;
	w->round_left--;
	ret->kind = id == WR_QUEUE_READY ? WR_TASK_READY : WR_TASK_ACCEPTED;
	ret->node = pop(&s->queue[id], WR_NEVER_AT);
	return ret->node != NULL;
}

static bool take_task(struct wr_sched *s, int worker, int64_t now,
		      struct wr_task *ret)
{
	struct wr_sched_worker *w = &s->workers[worker];

	ret->kind = WR_TASK_EVENT;
	switch (w->source) {
	case FROM_BATCH:
		return false; /* done by wr_sched_next() */
	case FROM_READY:
		return take_node(s, w, WR_QUEUE_READY, now, ret);
	case FROM_ACCEPTED:
		return take_node(s, w, WR_QUEUE_ACCEPTED, now, ret);
	default:
		return steal_event(s, w, &ret->event);
	}
}

static bool is_closed(const struct wr_sched *s)
{
	return atomic_load(&s->word) & CLOSED;
}

/* Run the nodes that became ready late; then wake the next worker to end. */
static bool next_after_close(struct wr_sched *s, struct wr_task *ret)
{
	ret->kind = WR_TASK_READY;
	ret->node = pop(&s->queue[WR_QUEUE_READY], WR_NEVER_AT);
	if (ret->node == NULL)
		wr_sys_eventfd_signal(s->wake_fd);
	return ret->node != NULL;
}

/* Not inlined: its registers would be saved for each event. */
static WR_OUT_OF_LINE bool next_elsewhere(struct wr_sched *s, int worker,
					  int64_t *now, struct wr_task *ret)
{
	struct wr_sched_worker *w = &s->workers[worker];

	while (!is_closed(s)) {
		if (w->source != FROM_POLLER) {
			if (take_task(s, worker, *now, ret))
				return true;
			begin_source(w, w->source + 1, *now);
		} else {
			bool has_task = wait_for_task(s, worker, now, ret);

			begin_source(w, FROM_BATCH, *now);
			w->from = &w->batch;
			if (has_task && !is_closed(s))
				return true;
		}
	}
	return next_after_close(s, ret);
}

bool wr_sched_next(struct wr_sched *s, int worker, int64_t *now,
		   struct wr_task *ret)
{
	struct wr_sched_worker *w = &s->workers[worker];

	if (batch_take(w->from, &ret->event)) {
		ret->kind = WR_TASK_EVENT;
		return true;
	}
	return next_elsewhere(s, worker, now, ret);
}

static bool needs_worker(const struct wr_sched *s)
{
	uint64_t word = atomic_load(&s->word);

	return polling(word) == 0 ? idle(word) > 0 : has_work(s);
}

/* See "no work lies unseen".  True: the monitor may stop. */
static bool stop_looking(struct wr_sched *s)
{
	uint64_t word = atomic_load(&s->word);

	do {
		if (polling(word) == 0 && idle(word) > 0)
			return false;
	} while (!atomic_compare_exchange_weak(&s->word, &word,
					       word & ~MONITORED));
	if (!needs_worker(s))
		return true;
	atomic_fetch_or(&s->word, MONITORED);
	return false;
}

static void check_progress(struct wr_sched *s)
{
	if (!needs_worker(s)) {
		s->stuck_ticks = 0;
		s->quiet_ticks++;
		return;
	}
	s->quiet_ticks = 0;
	if (++s->stuck_ticks < WR_STUCK_TICKS)
		return;
	s->stuck_ticks = 1;
	if (!release_idle(s))
		wake_poller(s);
}

int64_t wr_sched_tick(struct wr_sched *s, int64_t now)
{
	if (!(atomic_load(&s->word) & MONITORED)) {
		s->tick_at = 0;
		return WR_NEVER_AT;
	}
	if (s->tick_at == 0)
		s->stuck_ticks = s->quiet_ticks = 0;
	else if (now < s->tick_at)
		return s->tick_at;
	else
		check_progress(s);
	if (s->quiet_ticks >= WR_QUIET_TICKS && stop_looking(s)) {
		s->tick_at = 0;
		return WR_NEVER_AT;
	}
	s->tick_at = now +
		     (s->stuck_ticks > 0 ? WR_STUCK_TICK_NS : WR_QUIET_TICK_NS);
	return s->tick_at;
}

static int init_idle(struct wr_sched *s)
{
	int rc = wr_lock_init(&s->idle_lock);

	if (rc < 0)
		return rc;
	rc = wr_cond_init(&s->idle_wakeup);
	if (rc < 0)
		wr_lock_fini(&s->idle_lock);
	return rc;
}

static int open_wake_fd(struct wr_sched *s)
{
	int rc = s->wake_fd = wr_sys_eventfd();

	return rc < 0 ? rc
		      : wr_poller_add_wakeup(s->poller, s->wake_fd, WAKE_KEY);
}

int wr_sched_init(struct wr_sched *s, int workers, struct wr_poller *poller,
		  int monitor_fd)
{
	int rc;

	*s = (struct wr_sched){ .count = workers,
				.poller = poller,
				.wake_fd = -1,
				.monitor_fd = monitor_fd };
	rc = init_idle(s);
	if (rc < 0)
		return rc;
	s->workers = wr_sys_alloc_lines((size_t)workers * sizeof(*s->workers));
	rc = s->workers ? open_wake_fd(s) : -ENOMEM;
	if (rc < 0) {
		wr_sched_fini(s);
		return rc;
	}
	for (int i = 0; i < workers; i++) {
		s->workers[i].from = &s->workers[i].batch;
		s->workers[i].max_events = WR_POLL_BATCH;
	}
	return 0;
}

void wr_sched_fini(struct wr_sched *s)
{
	if (s->wake_fd >= 0)
		wr_sys_close(s->wake_fd);
	wr_sys_free(s->workers);
	wr_cond_fini(&s->idle_wakeup);
	wr_lock_fini(&s->idle_lock);
}

void wr_sched_close(struct wr_sched *s)
{
	uint64_t word = atomic_load(&s->word);

	while (!atomic_compare_exchange_weak(
		&s->word, &word, (word | CLOSED) - idle(word) * IDLE))
		;
	wake_idle(s, idle(word));
	wr_sys_eventfd_signal(s->wake_fd);
}
