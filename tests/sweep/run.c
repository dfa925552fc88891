/* SPDX-License-Identifier: MIT */
/*
 * Runs of scenarios, each in a child process, a few at a time because a run
 * mostly waits.  A run of more than four seconds hangs and is killed.  Time in
 * which its threads waited for a processor does not count.  This is not all
 * that a machine may take: the kernel does not report how long a host kept a
 * virtual machine from running, nor how long threads waited that have ended
 * since, and a wait for a disk is none for a processor.  Two of the four
 * seconds are for these.
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
#define LONGEST_MS 4000
#define MOST_NTH   3 /* of one call stack */

struct run {
	const struct sweep_scenario *scenario;
	struct sweep_plan plan;
	struct sweep_trace *trace;
	pid_t pid; /* 0: none */
	int out;   /* its standard error */
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
		sweep_fail("cannot read %s", path);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* What a run must leave unchanged. */
struct leftovers {
	int threads, descriptors, blocks;
	sigset_t mask;
};

static struct leftovers leftovers(void)
{
	struct leftovers t = { .threads = count_entries("/proc/self/task"),
			       .descriptors = count_entries("/proc/self/fd"),
			       .blocks = sweep_blocks() };

	pthread_sigmask(SIG_BLOCK, NULL, &t.mask);
	return t;
}

static void *nothing(void *arg)
{
	return arg;
}

/* A sanitizer starts a thread of its own with the first one. */
static void start_a_thread(void)
{
	pthread_t id;

	if (pthread_create(&id, NULL, nothing, NULL))
		sweep_fail("no thread for the test itself");
	pthread_join(id, NULL);
}

static void compare(const struct leftovers *before)
{
	int64_t at = test_deadline();
	struct leftovers now = leftovers();

	/* A thread that was joined may stay listed for a moment. */
	while (now.threads > before->threads && now_ms() < at) {
		poll_sleep();
		now = leftovers();
	}
	if (now.threads > before->threads)
		sweep_fail("%d threads are left",
			   now.threads - before->threads);
	if (now.descriptors > before->descriptors)
		sweep_fail("%d descriptors are left",
			   now.descriptors - before->descriptors);
	if (now.blocks != before->blocks)
		sweep_fail("%d blocks of memory are left",
			   now.blocks - before->blocks);
	if (memcmp(&now.mask, &before->mask, sizeof(now.mask)) != 0)
		sweep_fail("the signal mask has changed");
}

static void run_scenario(const struct run *run)
{
	struct leftovers before;

	start_a_thread();
	before = leftovers();
	sweep_service_start();
	sweep_install(&run->plan, run->trace);
	run->scenario->run();
	sweep_lift();
	sweep_service_stop();
	compare(&before);
	exit(0); /* where a sanitizer looks for leaks */
}

static void run_start(struct run *run)
{
	int run_end[2];

	atomic_store(&run->trace->made, 0);
	run->trace->stack_count = 0;
	run->len = 0;
	run->hangs = false;
	run->delay_ms = 0;
	if (pipe2(run_end, O_CLOEXEC) < 0)
		sweep_fail("pipe: %s", strerror(errno));
	fflush(NULL);
	run->began = now_ms();
	run->pid = fork();
	if (run->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* it ends with the sweep */
		dup2(run_end[1], STDERR_FILENO);
		run_scenario(run);
	}
	if (run->pid < 0)
		sweep_fail("fork: %s", strerror(errno));
	close(run_end[1]);
	run->out = run_end[0];
}

/* How long its threads waited for a processor, in all. */
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

static void end_if_it_hangs(struct run *run)
{
	int64_t limit = LONGEST_MS * (int64_t)slowness();
	int64_t delay;

	if (run->hangs || now_ms() - run->began < limit + run->delay_ms)
		return;
	delay = delay_ms(run->pid);
	if (delay > run->delay_ms) /* less if a thread has ended */
		run->delay_ms = delay;
	if (now_ms() - run->began < limit + run->delay_ms)
		return;
	run->hangs = true;
	kill(run->pid, SIGKILL);
}

/* Read its output; false at the end. */
static bool run_read(struct run *run)
{
	size_t room = sizeof(run->text) - 1 - run->len;
	char waste[4096];
	ssize_t n = room ? read(run->out, run->text + run->len, room)
			 : read(run->out, waste, sizeof(waste));

	if (n > 0 && room)
		run->len += (size_t)n;
	return n > 0;
}

/* ------------------------------------------------------- what is to be said */

/* Files and lines, if addr2line is installed. */
static void show_stack(const struct sweep_stack *w)
{
	char command[600], line[300];
	FILE *f;
	int len;

	len = snprintf(command, sizeof(command),
		       "exec 2>&-; addr2line -s -f -p -e /proc/%d/exe",
		       (int)getpid());
	/* The byte before the return address belongs to the call. */
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

static void tell(const struct run *run, int status)
{
	const struct sweep_plan *p = &run->plan;
	const struct sweep_stack *w = run->trace->stacks;
	const struct sweep_stack *end = w + run->trace->stack_count;

	if (p->call == SWEEP_NOTHING)
		fprintf(stderr, "%s", run->scenario->name);
	else
		fprintf(stderr, "%s %s@%08x %d %s %s", run->scenario->name,
			wr_sys_call_names[p->call], p->stack, p->nth,
			sweep_mode_names()[p->mode],
			sweep_error_name(p->error));
	if (run->hangs)
		fprintf(stderr, ": hangs\n");
	else if (WIFSIGNALED(status))
		fprintf(stderr, ": %s\n", strsignal(WTERMSIG(status)));
	else
		fprintf(stderr, ": failed\n");
	fprintf(stderr, "  %.*s\n", (int)run->len, run->text);
	for (; w < end; w++)
		if (w->call == p->call && w->stack == p->stack)
			show_stack(w);
}

/* Reap it and count it; true if it passed. */
static bool run_end(struct run *run, struct sweep_counts *counts)
{
	int64_t took;
	bool is_well;
	int status;

	waitpid(run->pid, &status, 0);
	close(run->out);
	run->pid = 0;
	took = now_ms() - run->began - run->delay_ms;
	is_well = !run->hangs && status == 0;
	counts->runs++;
	counts->failed += !is_well;
	counts->idle += atomic_load(&run->trace->made) == 0;
	if (took > counts->longest_ms)
		counts->longest_ms = took;
	if (!is_well)
		tell(run, status);
	return is_well;
}

/* ------------------------------------------------------------------ many */

static struct run *runs_new(const struct sweep_scenario *scenario)
{
	struct run *runs = calloc(AT_ONCE, sizeof(*runs));

	for (int i = 0; runs && i < AT_ONCE; i++) {
		runs[i].scenario = scenario;
		runs[i].trace = mmap(NULL, sizeof(*runs[i].trace),
				     PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (runs[i].trace == MAP_FAILED)
			sweep_fail("mmap: %s", strerror(errno));
	}
	if (!runs)
		sweep_fail("no memory for the test itself");
	return runs;
}

static void runs_free(struct run *runs)
{
	for (int i = 0; i < AT_ONCE; i++)
		munmap(runs[i].trace, sizeof(*runs[i].trace));
	free(runs);
}

/* Wait until at most that many are running; returns an idle one. */
static struct run *wait_for_one(struct run *runs, int most,
				struct sweep_counts *counts)
{
	for (;;) {
		struct pollfd outs[AT_ONCE];
		struct run *idle = NULL;
		int going = 0;

		for (int i = 0; i < AT_ONCE; i++) {
			outs[i].fd = runs[i].pid ? runs[i].out : -1;
			outs[i].events = POLLIN;
			going += runs[i].pid != 0;
			if (!runs[i].pid)
				idle = &runs[i];
		}
		if (going <= most)
			return idle;
		poll(outs, AT_ONCE, 100);
		for (int i = 0; i < AT_ONCE; i++) {
			if (!runs[i].pid)
				continue;
			if (outs[i].revents && !run_read(&runs[i]))
				run_end(&runs[i], counts);
			else
				end_if_it_hangs(&runs[i]);
		}
	}
}

/* Counts plans, and runs every step-th. */
struct turns {
	struct run *runs;
	struct sweep_counts *counts;
	int first, step, at;
};

static void run_or_skip(struct turns *t, struct sweep_plan plan)
{
	struct run *run;

	if (t->at++ % t->step != t->first)
		return;
	run = wait_for_one(t->runs, AT_ONCE - 1, t->counts);
	run->plan = plan;
	run_start(run);
}

static void run_stack(struct turns *t, const struct sweep_stack *w)
{
	int most = w->count < MOST_NTH ? w->count : MOST_NTH;

	for (const int *e = sweep_errors(w->call); *e <= 0; e++) {
		for (int mode = 0; mode < SWEEP_MODES; mode++) {
			struct sweep_plan plan = {
				.call = w->call,
				.stack = w->stack,
				.mode = (enum sweep_mode)mode,
				.error = *e
			};

			if (mode != SWEEP_ONCE && !sweep_may_last(w->call, *e))
				break;
			for (plan.nth = 1; plan.nth <= most; plan.nth++)
				run_or_skip(t, plan);
		}
	}
}

void sweep_run(const struct sweep_scenario *scenario, int first, int step,
	       struct sweep_counts *counts)
{
	struct run *runs = runs_new(scenario);
	struct turns turns = { runs, counts, first, step, 0 };
	static struct sweep_trace reached;
	struct sweep_counts rehearsal = { 0 };

	runs[0].plan = (struct sweep_plan){ .call = SWEEP_NOTHING };
	run_start(&runs[0]);
	wait_for_one(runs, 0, &rehearsal);
	memcpy((void *)&reached, runs[0].trace, sizeof(reached));
	counts->failed += rehearsal.failed;
	counts->stacks += reached.stack_count;
	for (int i = 0; i < reached.stack_count; i++)
		run_stack(&turns, &reached.stacks[i]);
	wait_for_one(runs, 0, counts);
	runs_free(runs);
}

bool sweep_rerun(const struct sweep_scenario *scenario,
		 const struct sweep_plan *plan)
{
	struct run *runs = runs_new(scenario);
	struct sweep_counts counts = { 0 };

	runs[0].plan = *plan;
	run_start(&runs[0]);
	wait_for_one(runs, 0, &counts);
	if (counts.idle && plan->call != SWEEP_NOTHING)
		fprintf(stderr, "that call was not reached\n");
	runs_free(runs);
	return counts.failed == 0;
}
