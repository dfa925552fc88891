/* SPDX-License-Identifier: MIT */
/*
 * A program loads the library with dlopen() and unloads it while one of its
 * threads still runs: that thread needs the code until it ends.  This program
 * is not linked with the library.
 */
#include "test.h"

#include <dirent.h>
#include <dlfcn.h>
#include <netdb.h>

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

START_TEST(a_look_up_that_was_left_behind_outlives_an_unloading)
{
	void *library = dlopen(WEIR_LIBRARY, RTLD_NOW);
	__typeof__(&weir_resolve) resolve;
	struct weir_address a;

	if (!library && access(WEIR_LIBRARY, F_OK) < 0) {
		skip_test("there is no shared library");
		return;
	}
	ck_assert_msg(library != NULL, "%s", dlerror());
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

int main(void)
{
	return RUN_TESTS("unloading",
			 a_look_up_that_was_left_behind_outlives_an_unloading);
}
