/* SPDX-License-Identifier: MIT */
/* What every file uses.  No system calls, no threads. */
#ifndef WR_BASE_H
#define WR_BASE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define WR_CACHE_LINE 64

/* For functions on and off the path of each message. */
#define WR_INLINE      inline __attribute__((always_inline))
#define WR_OUT_OF_LINE __attribute__((noinline))

/* What libraries with layers use besides weir.h: see layer.h. */
#define WR_PRIVATE __attribute__((visibility("default")))

#define wr_container_of(ptr, type, member)                                     \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define wr_array_len(a) (sizeof(a) / sizeof((a)[0]))

/* An invariant of the library, checked in every build. */
#define wr_assert(expr)                                                        \
	((expr) ? (void)0 : wr_assert_failed(#expr, __FILE__, __LINE__))

WR_PRIVATE _Noreturn void wr_assert_failed(const char *expr, const char *file,
					   int line);

static inline size_t wr_min(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* A length above SSIZE_MAX is a negative result, used as a length. */
static inline bool wr_is_memory(const void *mem, size_t len)
{
	return len <= SSIZE_MAX && (mem != NULL || len == 0);
}

static inline int64_t wr_min_at(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* A test can delay a racing thread here.  Set the hook while no server runs. */
#ifdef WR_FAULTS
extern void (*wr_point_hook)(const char *function);
#define WR_POINT() (wr_point_hook ? wr_point_hook(__func__) : (void)0)
#else
#define WR_POINT() ((void)0)
#endif

/*
 * Happens-before edges made by atomics, for checkers that know only locks: all
 * that a thread did before WR_GIVES(p) is visible after WR_TAKES(p).
 */
#ifdef WR_ANNOTATED
void wr_gives(const void *p);
void wr_takes(const void *p);
#define WR_GIVES(p) wr_gives((const void *)(p))
#define WR_TAKES(p) wr_takes((const void *)(p))
#else
#define WR_GIVES(p) ((void)0)
#define WR_TAKES(p) ((void)0)
#endif

#endif
