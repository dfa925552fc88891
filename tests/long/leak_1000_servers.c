/* SPDX-License-Identifier: MIT */
/*
 * After a thousand servers were made, used, stopped and freed, the process is
 * as before: descriptors, threads, heap, signal mask and dispositions, umask,
 * limits, folder, locale and environment.  What is set, not counted, must not
 * change while a server runs either.
 */
#include "test.h"

#include <dirent.h>
#include <locale.h>
#include <sys/resource.h>

#define LIVES  1000
#define WARM   50 /* before the heap is measured */
#define SLACK  4096
#define LIMITS 16 /* RLIM_NLIMITS of Linux */

extern char **environ;

/* What is set for the process. */
struct settings {
	sigset_t mask;
	struct sigaction actions[NSIG];
	struct rlimit limits[LIMITS];
	char umask[64];
	char folder[512];
	char locale[256];
	uint64_t environment;
};

static void read_umask(char *buf, size_t cap)
{
	FILE *f = fopen("/proc/self/status", "re");

	ck_assert_ptr_nonnull(f);
	do
		ck_assert_ptr_nonnull(fgets(buf, (int)cap, f));
	while (strncmp(buf, "Umask:", 6) != 0);
	fclose(f);
}

static uint64_t hash_environment(void)
{
	uint64_t hash = 5381;

	for (char **at = environ; *at; at++)
		for (const char *p = *at; *p; p++)
			hash = hash * 33 + (unsigned char)*p;
	return hash;
}

static void settings_take(struct settings *ret)
{
	memset(ret, 0, sizeof(*ret));
	pthread_sigmask(SIG_BLOCK, NULL, &ret->mask);
	for (int sig = 1; sig < NSIG; sig++)
		sigaction(sig, NULL, &ret->actions[sig]);
	for (int i = 0; i < LIMITS; i++)
		getrlimit((__rlimit_resource_t)i, &ret->limits[i]);
	read_umask(ret->umask, sizeof(ret->umask));
	ck_assert_ptr_nonnull(getcwd(ret->folder, sizeof(ret->folder)));
	snprintf(ret->locale, sizeof(ret->locale), "%s",
		 setlocale(LC_ALL, NULL));
	ret->environment = hash_environment();
}

/* Unused bits keep what was on the stack. */
static bool set_are_same(const sigset_t *a, const sigset_t *b)
{
	for (int sig = 1; sig < NSIG; sig++)
		if (sigismember(a, sig) != sigismember(b, sig))
			return false;
	return true;
}

/* The C library sets this flag with any action. */
#define RESTORER 0x04000000

static bool actions_are_same(const struct sigaction *a,
			     const struct sigaction *b)
{
	return a->sa_handler == b->sa_handler &&
	       ((a->sa_flags ^ b->sa_flags) & ~RESTORER) == 0 &&
	       set_are_same(&a->sa_mask, &b->sa_mask);
}

/* Signal `but` may have changed. */
static void settings_are(const struct settings *before, int but)
{
	static struct settings now;

	settings_take(&now);
	ck_assert_msg(set_are_same(&now.mask, &before->mask),
		      "the signal mask has changed");
	for (int sig = 1; sig < NSIG; sig++)
		ck_assert_msg(sig == but ||
				      actions_are_same(&now.actions[sig],
						       &before->actions[sig]),
			      "the disposition of signal %d has changed", sig);
	ck_assert_mem_eq(now.limits, before->limits, sizeof(now.limits));
	ck_assert_str_eq(now.umask, before->umask);
	ck_assert_str_eq(now.folder, before->folder);
	ck_assert_str_eq(now.locale, before->locale);
	ck_assert_uint_eq(now.environment, before->environment);
}

/* "3=socket 4=pipe ...": without the numbers of sockets and pipes. */
static void descriptors_take(char *buf, size_t cap)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	size_t len = 0;

	ck_assert_ptr_nonnull(dir);
	buf[0] = '\0';
	while ((entry = readdir(dir))) {
		char what[128];
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, what,
				       sizeof(what) - 1);

		if (n < 0 || atoi(entry->d_name) == dirfd(dir))
			continue;
		what[n] = '\0';
		len += (size_t)snprintf(buf + len, cap - len, "%s=%s ",
					entry->d_name, what);
		ck_assert_uint_lt(len, cap);
	}
	closedir(dir);
}

/* ---- a run */

/* A parked one, one with a reply, one that has sent half a line. */
static void clients_come(struct server *s)
{
	struct client *c[3];

	for (int i = 0; i < 3; i++)
		c[i] = client_open(s);
	client_expect_echo(c[1], "hello\n");
	client_send(c[2], "half a li");
}

static void one_run(int i, const struct settings *settings)
{
	const struct weir_service *services[] = {
		WEIR_SERVICE(.readable = echo_lines),
		WEIR_SERVICE(.session = echo_lines),
		WEIR_SERVICE(.readable = echo_lines, .opened = connect_banner),
	};
	bool greets = i % 3 == 2;
	struct server *s =
		serve_at(i % 4 == 3 ? own_unix_address() : "127.0.0.1:0",
			 WEIR_CONFIG(.workers = 1 + i % 4), services[i % 3]);

	if (!greets)
		clients_come(s);
	else
		client_expect(client_open(s), "Connect");
	if (i % 50 == 0) /* a session's stack may overflow */
		settings_are(settings, services[i % 3]->session ? SIGSEGV : 0);
	server_stop_and_check(s);
}

START_TEST(a_thousand_lives_leave_the_program_as_it_was)
{
	static struct settings settings;
	static char before[4096], after[4096];
	struct process_state baseline;
	const int lives = fewer(LIVES);
	size_t heap = 0, heap_after;
	int64_t began_at = now_ms(), longest = 0;

	settings_take(&settings);
	process_state_take(&baseline);
	descriptors_take(before, sizeof(before));
	for (int i = 0; i < WARM + lives; i++) {
		int64_t life_began_at = now_ms();

		if (i == WARM)
			heap = heap_in_use();
		one_run(i, &settings);
		if (now_ms() - life_began_at > longest)
			longest = now_ms() - life_began_at;
	}
	heap_after = heap_in_use();
	settings_are(&settings, 0);
	process_state_check(&baseline);
	descriptors_take(after, sizeof(after));
	ck_assert_str_eq(after, before);
	printf("%d lives of %.1f ms, the longest %ld ms; the heap has %ld "
	       "bytes more\n",
	       lives, (double)(now_ms() - began_at) / (WARM + lives),
	       (long)longest, (long)heap_after - (long)heap);
	ck_assert_uint_le(heap_after, heap + SLACK);
}
END_TEST

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	return RUN_TESTS("lives", a_thousand_lives_leave_the_program_as_it_was);
}
