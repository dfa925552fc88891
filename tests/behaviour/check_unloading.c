/* SPDX-License-Identifier: MIT */
/*
 * A program loads the library with dlopen(), and may unload it while one of its
 * threads still runs: that thread needs the code until it ends.  This program
 * is not linked with the library.
 */
#include "test.h"

#include <dirent.h>
#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <sys/wait.h>

/* The resolver answers when the test closes the other end. */
static int resolver[2];
static atomic_bool was_asked;

/* Instead of the system's. */
int getaddrinfo(const char *host, const char *port,
		const struct addrinfo *hints, struct addrinfo **ret)
{
	char byte;
	ssize_t n;

	(void)host;
	(void)port;
	(void)ret;
	if (hints && hints->ai_flags & AI_NUMERICHOST)
		return EAI_NONAME;
	atomic_store(&was_asked, true);
	n = read(resolver[0], &byte, 1);
	return n == 0 ? EAI_NONAME : EAI_FAIL;
}

static bool is_of_the_library(const char *id)
{
	char path[64], name[16] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%.20s/comm", id);
	file = fopen(path, "r");
	if (file == NULL)
		return false; /* it has just ended */
	if (!fgets(name, sizeof(name), file))
		name[0] = '\0';
	fclose(file);
	return strncmp(name, "weir-", 5) == 0;
}

/* Is it of the library? A sanitizer has threads of its own. */
static int threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	int n = 0;

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir)))
		n += is_of_the_library(entry->d_name);
	closedir(dir);
	return n;
}

/* NULL: there is none. */
static void *load_library(void)
{
	void *library = dlopen(WEIR_LIBRARY, RTLD_NOW);

	if (!library && access(WEIR_LIBRARY, F_OK) < 0) {
		skip_test("there is no shared library");
		return NULL;
	}
	ck_assert_msg(library != NULL, "%s", dlerror());
	return library;
}

START_TEST(a_look_up_that_was_left_behind_outlives_an_unloading)
{
	void *library = load_library();
	__typeof__(&weir_resolve) resolve;
	struct weir_address a;

	if (library == NULL)
		return;
	ck_assert_int_eq(pipe(resolver), 0);
	*(void **)&resolve = dlsym(library, "weir_resolve");
	ck_assert_int_eq(resolve(&a, 1, "slow.test:80", 50), -ETIMEDOUT);
	UNTIL(atomic_load(&was_asked));
	ck_assert_int_eq(threads(), 1);
	ck_assert_int_eq(dlclose(library), 0);
	close(resolver[1]);
	UNTIL(threads() == 0);
}
END_TEST

#if defined(__has_feature)
#define HAS_SANITIZER                                                          \
	(__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER 1
#else
#define HAS_SANITIZER 0
#endif

#if defined(__GLIBC__) && !HAS_SANITIZER

enum { ALLOCATES_IN_SIGNAL = 9 };

void *__libc_malloc(size_t size);
static _Thread_local bool is_faulting;

/* Instead of the system's: its lock may be held by the thread that fails. */
void *malloc(size_t size)
{
	if (is_faulting)
		_exit(ALLOCATES_IN_SIGNAL);
	return __libc_malloc(size);
}

static void *fail_in_malloc(void *arg)
{
	is_faulting = true;
	*(volatile int *)arg = 1;
	return NULL;
}

static int serve_session(weir_conn *c, void *arg)
{
	(void)c, (void)arg;
	return WEIR_CLOSE;
}

/* Its sessions have stacks, so the library handles SIGSEGV. */
static void serve_and_fail(void *library)
{
	__typeof__(&weir_server_new) new;
	__typeof__(&weir_server_listen) listen_at;
	char where[32];
	weir_server *s;
	pthread_t id;

	snprintf(where, sizeof(where), "unix:@weir-test-%d", (int)getpid());
	*(void **)&new = dlsym(library, "weir_server_new");
	*(void **)&listen_at = dlsym(library, "weir_server_listen");
	if (new (&s, NULL) < 0 ||
	    listen_at(s, where, WEIR_SERVICE(.session = serve_session)) < 0 ||
	    pthread_create(&id, NULL, fail_in_malloc, NULL) != 0)
		_exit(1);
	pthread_join(id, NULL);
	_exit(2);
}

START_TEST(a_fault_of_a_thread_of_the_program_ends_it)
{
	void *library = load_library();
	int status;
	pid_t pid;

	if (library == NULL)
		return;
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		serve_and_fail(library);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV,
		      "status %x", (unsigned)status);
}
END_TEST

#else

START_TEST(a_fault_of_a_thread_of_the_program_ends_it)
{
	skip_test("a sanitizer, or this C library, replaces malloc()");
}
END_TEST

#endif

int main(void)
{
	return RUN_TESTS("unloading",
			 a_look_up_that_was_left_behind_outlives_an_unloading,
			 a_fault_of_a_thread_of_the_program_ends_it);
}
