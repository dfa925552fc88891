/* SPDX-License-Identifier: MIT */
/*
 * A library to be loaded before all others into a program (LD_PRELOAD), for a
 * system that gives no thread or no memory, a file that hangs, a first thread
 * that is slow, or a name server that does not answer or has one answer:
 *
 * BROKEN_THREAD is the number, from 1, of the thread that cannot be made.
 * BROKEN_FILE is a path whose open() returns in the first thread alone, or with
 * BROKEN_OPEN in the others after that many ms.
 * BROKEN_ACCEPT is a path: once it exists, accept4() does not return.
 * BROKEN_PID is for how many ms getpid() takes in the first thread.
 * BROKEN_LIMIT is set: setrlimit() is denied.
 * BROKEN_LOOKUP is for how many ms a name is looked up, in vain.
 * BROKEN_NAMES is set: each name has the loopback addresses of both families.
 * BROKEN_MEMORY is a path: a thread but the first that opens it gets nothing
 * from the calloc() after that whose number, from 1, is BROKEN_CALLOC. Standard
 * error is told.
 * BROKEN_SIZE is a number of bytes: malloc() and realloc() give no more at
 * once. BROKEN_PATH is a path: before the second call of open(), rename() or
 * unlink() for it, BROKEN_WITH takes its place.
 * BROKEN_VERSION is the version of libweir.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_int threads, calls_for_path;
static int last, pause_ms, lookup_ms, open_ms, memory_call;
static const char *file = "", *accept_file = "", *memory_file = "";
static size_t most_bytes = SIZE_MAX;
static const char *swap_path = "", *swap_with = "";
static bool has_both, keeps_limits;
static _Thread_local int memory_left; /* calls of calloc(); 0: none fails */

__attribute__((constructor)) static void shim_load(void)
{
	const char *number = getenv("BROKEN_THREAD");
	const char *path = getenv("BROKEN_FILE");
	const char *accepts = getenv("BROKEN_ACCEPT");
	const char *ms = getenv("BROKEN_PID");
	const char *lookup = getenv("BROKEN_LOOKUP");
	const char *slowly = getenv("BROKEN_OPEN");
	const char *memory = getenv("BROKEN_MEMORY");
	const char *call = getenv("BROKEN_CALLOC");
	const char *size = getenv("BROKEN_SIZE");
	const char *swap = getenv("BROKEN_PATH"), *with = getenv("BROKEN_WITH");

	last = number ? atoi(number) : 0;
	file = path ? path : "";
	accept_file = accepts ? accepts : "";
	pause_ms = ms ? atoi(ms) : 0;
	lookup_ms = lookup ? atoi(lookup) : 0;
	open_ms = slowly ? atoi(slowly) : 0;
	has_both = getenv("BROKEN_NAMES") != NULL;
	keeps_limits = getenv("BROKEN_LIMIT") != NULL;
	memory_file = memory ? memory : "";
	memory_call = call ? atoi(call) : 0;
	most_bytes = size ? (size_t)atol(size) : SIZE_MAX;
	swap_path = swap ? swap : "";
	swap_with = with ? with : "";
}

const char *weir_version(void);

const char *weir_version(void)
{
	static __typeof__(weir_version) *next;
	const char *version = getenv("BROKEN_VERSION");

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "weir_version");
	return version ? version : next();
}

int pthread_create(pthread_t *id, const pthread_attr_t *attr,
		   void *(*fn)(void *), void *arg)
{
	static __typeof__(pthread_create) *next;

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "pthread_create");
	if (atomic_fetch_add(&threads, 1) + 1 == last)
		return EAGAIN;
	return next(id, attr, fn, arg);
}

/* Some C libraries call it to find it, and can do without. */
void *calloc(size_t count, size_t size)
{
	static __typeof__(calloc) *next;
	static _Thread_local bool is_searching;

	if (!next && !is_searching) {
		is_searching = true;
		*(void **)&next = dlsym(RTLD_NEXT, "calloc");
		is_searching = false;
	}
	if (memory_left > 0 && --memory_left == 0) {
		(void)!write(STDERR_FILENO, "memory is broken\n", 17);
		errno = ENOMEM;
		return NULL;
	}
	return next ? next(count, size) : NULL;
}

void *malloc(size_t size)
{
	static __typeof__(malloc) *next;
	static _Thread_local bool is_searching;

	if (!next && !is_searching) {
		is_searching = true;
		*(void **)&next = dlsym(RTLD_NEXT, "malloc");
		is_searching = false;
	}
	if (next && size <= most_bytes)
		return next(size);
	errno = ENOMEM;
	return NULL;
}

void *realloc(void *memory, size_t size)
{
	static __typeof__(realloc) *next;
	static _Thread_local bool is_searching;

	if (!next && !is_searching) {
		is_searching = true;
		*(void **)&next = dlsym(RTLD_NEXT, "realloc");
		is_searching = false;
	}
	if (next && size <= most_bytes)
		return next(memory, size);
	errno = ENOMEM;
	return NULL;
}

int getaddrinfo(const char *node, const char *service,
		const struct addrinfo *hints, struct addrinfo **ret)
{
	static __typeof__(getaddrinfo) *next;

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "getaddrinfo");
	if (has_both && hints && !(hints->ai_flags & AI_NUMERICHOST))
		node = NULL;
	if (lookup_ms == 0 || (hints && hints->ai_flags & AI_NUMERICHOST))
		return next(node, service, hints, ret);
	(void)poll(NULL, 0, lookup_ms);
	return EAI_AGAIN;
}

int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	static __typeof__(accept4) *next;

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "accept4");
	while (accept_file[0] && access(accept_file, F_OK) == 0)
		pause();
	return next(fd, addr, len, flags);
}

pid_t getpid(void)
{
	pid_t pid = (pid_t)syscall(SYS_getpid);

	if (pause_ms > 0 && gettid() == pid)
		(void)poll(NULL, 0, pause_ms);
	return pid;
}

static int shim_setrlimit(const char *name, int what, const void *limit)
{
	int (*next)(int what, const void *limit);

	if (keeps_limits) {
		errno = EPERM;
		return -1;
	}
	*(void **)&next = dlsym(RTLD_NEXT, name);
	return next(what, limit);
}

/* Their types differ between C libraries, and so does the one that is used. */
int setrlimit(int what, const void *limit);
int setrlimit64(int what, const void *limit);

int setrlimit(int what, const void *limit)
{
	return shim_setrlimit("setrlimit", what, limit);
}

int setrlimit64(int what, const void *limit)
{
	return shim_setrlimit("setrlimit64", what, limit);
}

static void shim_swap(const char *path)
{
	if (strcmp(path, swap_path) == 0 &&
	    atomic_fetch_add(&calls_for_path, 1) == 1)
		(void)renameat(AT_FDCWD, swap_with, AT_FDCWD, path);
}

int rename(const char *from, const char *to)
{
	static __typeof__(rename) *next;

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "rename");
	shim_swap(from);
	return next(from, to);
}

int unlink(const char *path)
{
	static __typeof__(unlink) *next;

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "unlink");
	shim_swap(path);
	return next(path);
}

int open(const char *path, int flags, ...)
{
	static __typeof__(open) *next;
	mode_t mode = 0;
	va_list ap;

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "open");
	va_start(ap, flags);
	if (flags & O_CREAT)
		mode = va_arg(ap, mode_t);
	va_end(ap);
	if (gettid() != getpid() && strcmp(path, file) == 0)
		do
			(void)poll(NULL, 0, open_ms > 0 ? open_ms : -1);
		while (open_ms == 0);
	if (gettid() != getpid() && strcmp(path, memory_file) == 0)
		memory_left = memory_call;
	shim_swap(path);
	return next(path, flags, mode);
}
