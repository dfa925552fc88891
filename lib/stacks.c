/* SPDX-License-Identifier: MIT */
/*
 * A stack is one mapping: the guard page, the stack, and at its top, in a page
 * that is touched anyway, the coroutine.
 */
#include "stacks.h"

#include <unistd.h>

#include "bounds.h"
#include "sys.h"

struct wr_stack {
	_Alignas(WR_CACHE_LINE) struct wr_coro coro;
	struct wr_stack *next; /* l: in the pool */
	unsigned uses;
};

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t whole_pages(size_t bytes)
{
	size_t page = page_size();

	return (bytes + page - 1) / page * page;
}

static size_t map_size(const struct wr_stacks *s)
{
	return page_size() +
	       whole_pages(s->size + WR_STACK_OF_OURS +
			   sizeof(struct wr_stack) + wr_coro_overhead());
}

static char *map_of(const struct wr_stack *k)
{
	return k->coro.stack - page_size();
}

static struct wr_stack *new_stack(const struct wr_stacks *s)
{
	size_t page = page_size(), size = map_size(s);
	char *map = wr_sys_map_stack(size, page);
	struct wr_stack *k;

	if (map == NULL)
		return NULL;
	k = (void *)(map + size - sizeof(*k));
	if (wr_coro_init(&k->coro, map + page, size - page - sizeof(*k)))
		return k;
	wr_sys_unmap(map, size);
	return NULL;
}

static void free_stack(const struct wr_stacks *s, struct wr_stack *k)
{
	wr_coro_fini(&k->coro);
	wr_sys_unmap(map_of(k), map_size(s));
}

/* Touched pages of a part, counted from its deepest one; -errno. */
static int touched_pages(char *low, size_t pages)
{
	unsigned char is_there[WR_STACK_LOOK];
	int rc = wr_sys_resident(low, pages * page_size(), is_there);
	size_t i = 0;

	while (rc == 0 && i < pages && !(is_there[i] & 1))
		i++;
	return rc < 0 ? rc : (int)(pages - i);
}

/*
 * Bytes from the top to the deepest page that was touched.  It goes down part
 * by part, so an array of a whole part that is not used hides what is below it.
 */
static size_t depth_of(const struct wr_stacks *s, const struct wr_stack *k)
{
	size_t page = page_size(), pages = map_size(s) / page - 1, depth = 0;

	while (depth < pages) {
		size_t part = wr_min(pages - depth, WR_STACK_LOOK);
		int n = touched_pages(
			k->coro.stack + (pages - depth - part) * page, part);

		depth += n > 0 ? (size_t)n : 0;
		if (n < (int)part)
			break;
	}
	return depth * page;
}

/* Give memory back that few sessions need; the kernel takes whole pages. */
static void check_depth(struct wr_stacks *s, struct wr_stack *k)
{
	size_t depth = depth_of(s, k), deepest = atomic_load(&s->deepest);
	size_t size = map_size(s) - page_size();
	size_t stays = whole_pages(WR_STACK_STAYS);

	while (depth > deepest &&
	       !atomic_compare_exchange_weak(&s->deepest, &deepest, depth))
		;
	if (depth > stays && size > stays)
		wr_sys_discard(k->coro.stack, size - stays);
}

static struct wr_stack *take_pooled_locked(struct wr_stacks *s)
{
	struct wr_stack *k = s->pool;

	if (k) {
		s->pool = k->next;
		s->pooled--;
	}
	return k;
}

struct wr_coro *wr_stacks_take(struct wr_stacks *s)
{
	struct wr_stack *k;

	wr_lock(&s->lock);
	s->in_use++;
	k = take_pooled_locked(s);
	wr_unlock(&s->lock);
	if (k == NULL)
		k = new_stack(s);
	if (k)
		return &k->coro;
	wr_lock(&s->lock);
	s->in_use--;
	wr_unlock(&s->lock);
	return NULL;
}

static bool has_too_many_locked(const struct wr_stacks *s)
{
	return s->pooled > WR_STACKS_KEPT && s->pooled > s->in_use;
}

/* Two go for each that comes, so that the pool shrinks after a peak. */
void wr_stacks_give(struct wr_stacks *s, struct wr_coro *co)
{
	struct wr_stack *k = wr_container_of(co, struct wr_stack, coro);
	struct wr_stack *spare = NULL;

	if (k->uses++ % WR_STACK_LOOK_EVERY == 0)
		check_depth(s, k);
	wr_lock(&s->lock);
	s->in_use--;
	k->next = s->pool;
	s->pool = k;
	s->pooled++;
	for (int i = 0; i < 2 && has_too_many_locked(s); i++) {
		k = take_pooled_locked(s);
		k->next = spare;
		spare = k;
	}
	wr_unlock(&s->lock);
	for (; spare; spare = k) {
		k = spare->next;
		free_stack(s, spare);
	}
}

struct wr_stacks *wr_stacks_of(struct wr_stacks **list, size_t size)
{
	struct wr_stacks *s = *list;

	while (s && s->size != size)
		s = s->next;
	if (s)
		return s;
	s = wr_sys_alloc(sizeof(*s));
	if (s == NULL || wr_lock_init(&s->lock) < 0) {
		wr_sys_free(s);
		return NULL;
	}
	s->size = size;
	s->next = *list;
	*list = s;
	return s;
}

void wr_stacks_fini(struct wr_stacks **list)
{
	struct wr_stacks *s;
	struct wr_stack *k;

	while ((s = *list)) {
		*list = s->next;
		wr_assert(s->in_use == 0);
		while ((k = take_pooled_locked(s)))
			free_stack(s, k);
		wr_lock_fini(&s->lock);
		wr_sys_free(s);
	}
}

struct wr_stacks_sum wr_stacks_count(struct wr_stacks *list)
{
	struct wr_stacks_sum sum = { 0, 0, 0 };

	for (struct wr_stacks *s = list; s; s = s->next) {
		size_t deepest = atomic_load(&s->deepest);

		wr_lock(&s->lock);
		sum.in_use += s->in_use;
		sum.pooled += s->pooled;
		wr_unlock(&s->lock);
		if (deepest > sum.deepest)
			sum.deepest = deepest;
	}
	return sum;
}

bool wr_stacks_is_guard(const struct wr_coro *co, const void *address)
{
	const char *at = address;

	return at >= co->stack - page_size() && at < co->stack;
}
