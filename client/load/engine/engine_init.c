/* SPDX-License-Identifier: MIT */
/*
 * What an engine is made of.
 */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SWEEP_MIN (INT64_C(1) * 1000 * 1000)
#define SWEEP_MAX (INT64_C(50) * 1000 * 1000)

static struct interval *interval_new(void)
{
	struct interval *i = calloc(1, sizeof(*i));

	if (!i)
		return NULL;
	i->censored_min = NEVER;
	for (int k = 0; k < CLOCK_KINDS; k++) {
		i->clocks[k] = calloc(1, sizeof(*i->clocks[k]));
		if (!i->clocks[k])
			break;
	}
	return i;
}

static bool interval_is_whole(const struct interval *i)
{
	return i && i->clocks[CLOCK_KINDS - 1];
}

static void interval_free(struct interval *i)
{
	for (int k = 0; i && k < CLOCK_KINDS; k++)
		free(i->clocks[k]);
	free(i);
}

/* A ring is a power of two; a swapped reply must not block the others. */
static uint32_t window_of(const struct plan *plan)
{
	uint32_t window = 1;

	while (window < (uint32_t)plan->depth)
		window *= 2;
	return plan->depth > 1 ? 2 * window : 1;
}

/* Everything of which there is one for each, of count in all. */
static uint64_t share(uint64_t count, const struct engine *e)
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
	if (e->link_count > ENGINE_SWEEP)
		e->sweep_every = period * ENGINE_SWEEP / (int64_t)e->link_count;
}

static int init_links(struct engine *e)
{
	size_t all = (size_t)e->plan->connections + (size_t)e->plan->idle;

	e->link_count = (size_t)share(all, e);
	e->links = calloc(e->link_count + 1, sizeof(*e->links));
	e->messages =
		calloc(e->link_count * e->window + 1, sizeof(*e->messages));
	e->heap = calloc(e->link_count + 1, sizeof(struct link *));
	if (!e->links || !e->messages || !e->heap)
		return -ENOMEM;
	for (size_t i = 0; i < e->link_count; i++) {
		struct link *l = &e->links[i];

		l->fd = -1;
		l->id = (uint32_t)(i * (size_t)e->plan->threads +
				   (size_t)e->number);
		l->is_silent = l->id >= (uint32_t)e->plan->connections;
		l->ring = e->messages + i * e->window;
		l->due_at = NEVER;
		e->alive += !l->is_silent;
	}
	e->in_state[LINK_IDLE] = e->link_count;
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
			      .tick_at = NEVER,
			      .window = window_of(plan) };
	e->budget = plan->count ? share(plan->count, e) : UINT64_MAX;
	e->now = interval_new();
	e->full = interval_new();
	e->in = malloc(ENGINE_BUFFER);
	e->out = malloc(ENGINE_BUFFER);
	if (!interval_is_whole(e->now) || !interval_is_whole(e->full) ||
	    !e->in || !e->out)
		return -ENOMEM;
	rc = init_links(e);
	set_sweep(e);
	return rc < 0 ? rc : init_wait(e);
}

void engine_fini(struct engine *e)
{
	for (size_t i = 0; e->links && i < e->link_count; i++)
		if (e->links[i].fd >= 0)
			close(e->links[i].fd);
	if (e->epoll >= 0)
		close(e->epoll);
	if (e->wakeup >= 0)
		close(e->wakeup);
	interval_free(e->now);
	interval_free(e->full);
	free(e->links);
	free(e->messages);
	free(e->heap);
	free(e->in);
	free(e->out);
}
