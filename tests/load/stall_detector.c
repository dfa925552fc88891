/* SPDX-License-Identifier: MIT */
#include "stall_detector.h"

#include <sched.h>

#include "test.h"

struct watch {
	pthread_t thread;
	const struct stall_detector *all;
	size_t cpu;
	int64_t longest; /* ms */
};

struct stall_detector {
	atomic_bool is_over;
	int count;
	struct watch watches[CPU_SETSIZE];
};

static void *watches(void *arg)
{
	struct watch *w = arg;
	int64_t last;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(w->cpu, &set);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(set), &set), 0);
	last = now_ms();
	while (!atomic_load(&w->all->is_over)) {
		int64_t now;

		poll_sleep();
		now = now_ms();
		if (now - last > w->longest)
			w->longest = now - last;
		last = now;
	}
	return NULL;
}

static void watch_on(struct stall_detector *w, size_t cpu)
{
	struct watch *mine = &w->watches[w->count++];

	mine->all = w;
	mine->cpu = cpu;
	ck_assert_int_eq(pthread_create(&mine->thread, NULL, watches, mine), 0);
}

struct stall_detector *stall_detector_start(void)
{
	struct stall_detector *w = calloc(1, sizeof(*w));
	cpu_set_t ours;

	ck_assert_ptr_nonnull(w);
	ck_assert_int_eq(sched_getaffinity(0, sizeof(ours), &ours), 0);
	for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &ours))
			watch_on(w, cpu);
	return w;
}

int64_t stall_detector_stop(struct stall_detector *w)
{
	int64_t longest = 0;

	atomic_store(&w->is_over, true);
	for (int i = 0; i < w->count; i++) {
		pthread_join(w->watches[i].thread, NULL);
		if (w->watches[i].longest > longest)
			longest = w->watches[i].longest;
	}
	free(w);
	return longest;
}
