/* SPDX-License-Identifier: MIT */
/*
 * Playing scenes: each life in a process of its own, a few of them at a time
 * because most of one is waiting.  A life that takes more than two seconds is
 * ended: it hangs.  Time in which its threads were ready and had to wait for
 * a processor is the machine's, not its own, and does not count.
 */
#include "sweep.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "env.h"

#define AT_ONCE	   4
#define LONGEST_MS 2000
#define MOST_NTH   3 /* of one way */

struct life {
	const struct sweep_scene *scene;
	struct sweep_plan plan;
	struct sweep_diary *diary;
	pid_t pid; /* 0: none */
	int out;   /* what it says, and its end */
	int64_t began, delay_ms;
	bool hangs;
	char text[20000];
	size_t len;
};

/* -------------------------------------------------------------- one life */

static int count_entries(const char *path)
{
	DIR *dir = opendir(path);
	int count = 0;

	if (!dir)
		sweep_fails("cannot read %s", path);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* What it must leave as it was. */
struct traces {
	int threads, descriptors, blocks;
	sigset_t mask;
};

static struct traces traces(void)
{
	struct traces t = { .threads = count_entries("/proc/self/task"),
			    .descriptors = count_entries("/proc/self/fd"),
			    .blocks = sweep_blocks() };

	pthread_sigmask(SIG_BLOCK, NULL, &t.mask);
	return t;
}

static void *nothing(void *arg)
{
	return arg;
}

/* A sanitizer starts a thread of its own with the first of ours. */
static void start_a_thread(void)
{
	pthread_t id;

	if (pthread_create(&id, NULL, nothing, NULL))
		sweep_fails("no thread for the test itself");
	pthread_join(id, NULL);
}

static void compare(const struct traces *before)
{
	int64_t at = patience_at();
	struct traces now = traces();

	/* A thread that was joined may stay listed for a moment. */
	while (now.threads > before->threads && now_ms() < at) {
		breathe();
		now = traces();
	}
	if (now.threads > before->threads)
		sweep_fails("%d threads are left",
			    now.threads - before->threads);
	if (now.descriptors > before->descriptors)
		sweep_fails("%d descriptors are left",
			    now.descriptors - before->descriptors);
	if (now.blocks != before->blocks)
		sweep_fails("%d blocks of memory are left",
			    now.blocks - before->blocks);
	if (memcmp(&now.mask, &before->mask, sizeof(now.mask)) != 0)
		sweep_fails("the signal mask has changed");
}

static void live(const struct life *life)
{
	struct traces before;

	start_a_thread();
	before = traces();
	sweep_answers_begin();
	sweep_begins(&life->plan, life->diary);
	life->scene->play();
	sweep_lifts();
	sweep_answers_end();
	compare(&before);
	exit(0); /* a sanitizer looks for leaks there */
}

static void begins(struct life *life)
{
	int ends[2];

	atomic_store(&life->diary->made, 0);
	life->diary->way_count = 0;
	life->len = 0;
	life->hangs = false;
	life->delay_ms = 0;
	if (pipe2(ends, O_CLOEXEC) < 0)
		sweep_fails("pipe: %s", strerror(errno));
	fflush(NULL);
	life->began = now_ms();
	life->pid = fork();
	if (life->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* it ends with the sweep */
		dup2(ends[1], STDERR_FILENO);
		live(life);
	}
	if (life->pid < 0)
		sweep_fails("fork: %s", strerror(errno));
	close(ends[1]);
	life->out = ends[0];
}

/* How long its threads have been ready to run and were not, in all. */
static int64_t delay_ms(pid_t pid)
{
	char path[300];
	int64_t sum = 0;
	const struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		unsigned long long ran, waited = 0;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat",
			 (int)pid, entry->d_name);
		f = fopen(path, "r");
		if (f && fscanf(f, "%llu %llu", &ran, &waited) == 2)
			sum += (int64_t)(waited / 1000000);
		if (f)
			fclose(f);
	}
	if (dir)
		closedir(dir);
	return sum;
}

static void end_if_it_hangs(struct life *life)
{
	int64_t limit = LONGEST_MS * (int64_t)slowness();
	int64_t delay;

	if (life->hangs || now_ms() - life->began < limit + life->delay_ms)
		return;
	delay = delay_ms(life->pid);
	if (delay > life->delay_ms) /* a thread that has ended had its part */
		life->delay_ms = delay;
	if (now_ms() - life->began < limit + life->delay_ms)
		return;
	life->hangs = true;
	kill(life->pid, SIGKILL);
}

/* Its words; false once it has ended. */
static bool listens(struct life *life)
{
	size_t room = sizeof(life->text) - 1 - life->len;
	char waste[4096];
	ssize_t n = room ? read(life->out, life->text + life->len, room)
			 : read(life->out, waste, sizeof(waste));

	if (n > 0 && room)
		life->len += (size_t)n;
	return n > 0;
}

/* ------------------------------------------------------- what is to be said */

/* Files and lines, where the tools of the compiler are there to find them. */
static void show_way(const struct sweep_way *w)
{
	char command[600], line[300];
	FILE *f;
	int len;

	len = snprintf(command, sizeof(command),
		       "exec 2>&-; addr2line -s -f -p -e /proc/%d/exe",
		       (int)getpid());
	/* The byte before where the call returns to belongs to the call. */
	for (int i = 0; i < SWEEP_DEPTH; i++)
		if (w->from[i])
			len += snprintf(command + len,
					sizeof(command) - (size_t)len, " 0x%lx",
					(long)w->from[i] - 1);
	f = popen(command, "r");
	while (f && fgets(line, sizeof(line), f))
		fprintf(stderr, "    %s", line);
	if (f)
		pclose(f);
}

static void tell(const struct life *life, int status)
{
	const struct sweep_plan *p = &life->plan;
	const struct sweep_way *w = life->diary->ways;
	const struct sweep_way *end = w + life->diary->way_count;

	if (p->call == SWEEP_NOTHING)
		fprintf(stderr, "%s", life->scene->name);
	else
		fprintf(stderr, "%s %s@%08x %d %s %s", life->scene->name,
			wr_sys_call_names[p->call], p->way, p->nth,
			sweep_mode_names()[p->mode],
			sweep_error_name(p->error));
	if (life->hangs)
		fprintf(stderr, ": hangs\n");
	else if (WIFSIGNALED(status))
		fprintf(stderr, ": %s\n", strsignal(WTERMSIG(status)));
	else
		fprintf(stderr, ": failed\n");
	fprintf(stderr, "  %.*s\n", (int)life->len, life->text);
	for (; w < end; w++)
		if (w->call == p->call && w->way == p->way)
			show_way(w);
}

/* It has ended: true if that was well. */
static bool ends(struct life *life, struct sweep_books *books)
{
	int64_t took;
	bool is_well;
	int status;

	waitpid(life->pid, &status, 0);
	close(life->out);
	life->pid = 0;
	took = now_ms() - life->began - life->delay_ms;
	is_well = !life->hangs && status == 0;
	books->lives++;
	books->failed += !is_well;
	books->idle += atomic_load(&life->diary->made) == 0;
	if (took > books->longest_ms)
		books->longest_ms = took;
	if (!is_well)
		tell(life, status);
	return is_well;
}

/* ------------------------------------------------------------------ many */

static struct life *lives_new(const struct sweep_scene *scene)
{
	struct life *lives = calloc(AT_ONCE, sizeof(*lives));

	for (int i = 0; lives && i < AT_ONCE; i++) {
		lives[i].scene = scene;
		lives[i].diary = mmap(NULL, sizeof(*lives[i].diary),
				      PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (lives[i].diary == MAP_FAILED)
			sweep_fails("mmap: %s", strerror(errno));
	}
	if (!lives)
		sweep_fails("no memory for the test itself");
	return lives;
}

static void lives_free(struct life *lives)
{
	for (int i = 0; i < AT_ONCE; i++)
		munmap(lives[i].diary, sizeof(*lives[i].diary));
	free(lives);
}

/* One that has ended, or is unused, once at most so many go on. */
static struct life *wait_for_one(struct life *lives, int most,
				 struct sweep_books *books)
{
	for (;;) {
		struct pollfd outs[AT_ONCE];
		struct life *idle = NULL;
		int going = 0;

		for (int i = 0; i < AT_ONCE; i++) {
			outs[i].fd = lives[i].pid ? lives[i].out : -1;
			outs[i].events = POLLIN;
			going += lives[i].pid != 0;
			if (!lives[i].pid)
				idle = &lives[i];
		}
		if (going <= most)
			return idle;
		poll(outs, AT_ONCE, 100);
		for (int i = 0; i < AT_ONCE; i++) {
			if (!lives[i].pid)
				continue;
			if (outs[i].revents && !listens(&lives[i]))
				ends(&lives[i], books);
			else
				end_if_it_hangs(&lives[i]);
		}
	}
}

/* Counts plans, and lives those whose turn it is. */
struct turns {
	struct life *lives;
	struct sweep_books *books;
	int first, step, at;
};

static void take_turn(struct turns *t, struct sweep_plan plan)
{
	struct life *life;

	if (t->at++ % t->step != t->first)
		return;
	life = wait_for_one(t->lives, AT_ONCE - 1, t->books);
	life->plan = plan;
	begins(life);
}

static void plan_way(struct turns *t, const struct sweep_way *w)
{
	int most = w->count < MOST_NTH ? w->count : MOST_NTH;

	for (const int *e = sweep_errors(w->call); *e <= 0; e++) {
		for (int mode = 0; mode < SWEEP_MODES; mode++) {
			struct sweep_plan plan = {
				.call = w->call,
				.way = w->way,
				.mode = (enum sweep_mode)mode,
				.error = *e
			};

			if (mode != SWEEP_ONCE && !sweep_may_last(w->call, *e))
				break;
			for (plan.nth = 1; plan.nth <= most; plan.nth++)
				take_turn(t, plan);
		}
	}
}

void sweep_plays(const struct sweep_scene *scene, int first, int step,
		 struct sweep_books *books)
{
	struct life *lives = lives_new(scene);
	struct turns turns = { lives, books, first, step, 0 };
	static struct sweep_diary reached;
	struct sweep_books rehearsal = { 0 };

	lives[0].plan = (struct sweep_plan){ .call = SWEEP_NOTHING };
	begins(&lives[0]);
	wait_for_one(lives, 0, &rehearsal);
	memcpy((void *)&reached, lives[0].diary, sizeof(reached));
	books->failed += rehearsal.failed;
	books->ways += reached.way_count;
	for (int i = 0; i < reached.way_count; i++)
		plan_way(&turns, &reached.ways[i]);
	wait_for_one(lives, 0, books);
	lives_free(lives);
}

bool sweep_replays(const struct sweep_scene *scene,
		   const struct sweep_plan *plan)
{
	struct life *lives = lives_new(scene);
	struct sweep_books books = { 0 };

	lives[0].plan = *plan;
	begins(&lives[0]);
	wait_for_one(lives, 0, &books);
	if (books.idle && plan->call != SWEEP_NOTHING)
		fprintf(stderr, "that call was not reached\n");
	lives_free(lives);
	return books.failed == 0;
}
