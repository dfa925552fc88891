/* SPDX-License-Identifier: MIT */
/* Runs of the load tester, and checks that hold for each of them. */
#include "scripted.h"

#include <inttypes.h>
#include <sys/wait.h>

int run_watched(struct result *ret, const struct plan *plan, run_watch *watch,
		void *arg)
{
	struct target target;
	int status = target_resolve(&target, plan);

	if (status == 0) {
		status = run(ret, plan, &target, watch, arg);
		target_fini(&target);
	}
	return status;
}

struct result run_at(const char *address, struct plan *plan)
{
	struct result r;

	plan->address = address;
	ck_assert_int_eq(run_watched(&r, plan, NULL, NULL), 0);
	expect_result_balance(&r);
	return r;
}

static struct result run_once(const struct script *script, struct plan *plan,
			      struct seen *seen)
{
	struct scripted *s = scripted_start("127.0.0.1", script, plan);
	struct result r = run_at(scripted_address(s), plan);

	scripted_stop(s);
	memcpy((void *)seen, scripted_seen(s), sizeof(*seen));
	seen->message_at = seen->accepted_at = NULL;
	scripted_free(s);
	return r;
}

struct result run_against(const struct script *script, struct plan *plan,
			  struct seen *seen)
{
	struct seen own;
	struct result r = run_once(script, plan, seen ? seen : &own);

	ck_assert_int_eq((seen ? seen : &own)->faults, script->faults);
	return r;
}

#define UNDISTURBED_TRIES 5

struct result run_undisturbed(const struct script *script, struct plan *plan,
			      struct seen *seen, int64_t limit)
{
	struct seen own;
	struct result r;

	seen = seen ? seen : &own;
	for (int tries = 1;; tries++) {
		r = run_once(script, plan, seen);
		if (r.self.longest_stall + seen->longest_pause < limit / 3 ||
		    tries == UNDISTURBED_TRIES)
			break;
		result_free(&r);
	}
	ck_assert_int_eq(seen->faults, script->faults);
	return r;
}

struct one {
	pthread_t thread;
	void (*act)(int number);
	int number;
};

static void *acts(void *arg)
{
	const struct one *one = arg;

	one->act(one->number);
	return NULL;
}

void at_once(int count, void (*act)(int number))
{
	struct one *all = calloc((size_t)count, sizeof(*all));

	ck_assert_ptr_nonnull(all);
	for (int i = 0; i < count; i++) {
		all[i] = (struct one){ .act = act, .number = i };
		ck_assert_int_eq(
			pthread_create(&all[i].thread, NULL, acts, &all[i]), 0);
	}
	for (int i = 0; i < count; i++)
		pthread_join(all[i].thread, NULL);
	free(all);
}

struct child child_start(void (*act)(const char *address, int say))
{
	struct child e;
	char address[160];
	int to[2], from[2];

	ck_assert_int_eq(pipe(to), 0);
	ck_assert_int_eq(pipe(from), 0);
	e.pid = fork();
	ck_assert_int_ge(e.pid, 0);
	if (e.pid == 0) {
		close(to[1]);
		if (read(to[0], address, sizeof(address)) > 0)
			act(address, from[1]);
		_exit(0);
	}
	close(to[0]);
	close(from[1]);
	e.to = to[1];
	e.from = from[0];
	return e;
}

void child_go(const struct child *e, const char *address)
{
	ssize_t len = (ssize_t)strlen(address) + 1;

	ck_assert_int_eq(write(e->to, address, (size_t)len), len);
}

void child_finish(const struct child *e, void *ret, size_t len)
{
	int status;

	ck_assert_int_eq(read(e->from, ret, len), (ssize_t)len);
	ck_assert_int_eq(waitpid(e->pid, &status, 0), e->pid);
	ck_assert_int_eq(status, 0);
	close(e->to);
	close(e->from);
}

static void connections_balance(const struct result *r)
{
	const struct conn_counts *c = &r->connections;
	uint64_t n = (uint64_t)c->asked;

	ck_assert_int_eq(c->asked, r->plan->connections);
	ck_assert_int_eq(c->asked, c->opened + c->failed);
	ck_assert_int_le(c->served + c->starved, c->opened);
	ck_assert_int_le(c->open, c->opened);
	ck_assert_int_eq(c->idle_asked, r->plan->idle);
	ck_assert_int_le(c->idle_open, c->idle_opened);
	if (r->plan->mode == PLAN_EXCHANGE || r->plan->mode == PLAN_CHURN) {
		ck_assert_uint_le(c->replies_min * n, r->counts.answered);
		ck_assert_uint_ge(c->replies_max * n, r->counts.answered);
	}
	ck_assert_uint_le(c->replies_min, c->replies_median);
	ck_assert_uint_le(c->replies_median, c->replies_max);
	ck_assert(c->fairness >= 0 && c->fairness <= 1 + 1e-9);
}

/* Then this client's own delay is one before the send. */
static bool has_planned_sends(const struct plan *p)
{
	return p->mode == PLAN_EXCHANGE && p->schedule != PLAN_CLOSED;
}

/* The clocks have every message once. */
static void clocks_balance(const struct result *r)
{
	const struct counts *b = &r->counts;

	if (r->clocks[CLOCK_FROM_SEND])
		ck_assert_uint_eq(r->clocks[CLOCK_FROM_SEND]->total, b->sent);
	if (r->clocks[CLOCK_FROM_PLAN])
		ck_assert_uint_eq(r->clocks[CLOCK_FROM_PLAN]->total,
				  b->planned);
	if (r->clocks[CLOCK_LAG])
		ck_assert_uint_eq(r->clocks[CLOCK_LAG]->total,
				  has_planned_sends(r->plan) ? b->sent
							     : b->answered);
	ck_assert_uint_eq(r->censored[CLOCK_FROM_PLAN].count,
			  b->planned - b->answered);
	ck_assert_uint_eq(r->censored[CLOCK_FROM_SEND].count,
			  b->sent - b->answered);
	ck_assert_int_ge(r->censored[CLOCK_FROM_PLAN].min, 0);
	ck_assert_int_ge(r->censored[CLOCK_FROM_SEND].min, 0);
}

static void seconds_add_up(const struct result *r)
{
	uint64_t answered = 0, in = 0;

	for (size_t i = 0; i < r->second_count; i++) {
		const struct second *s = &r->seconds[i];

		ck_assert_int_ge(s->at, 0);
		ck_assert_int_gt(s->length, 0);
		if (i > 0)
			ck_assert_int_ge(s->at, s[-1].at + s[-1].length);
		answered += s->answered;
		in += s->bytes_in;
	}
	ck_assert_uint_eq(answered, r->counts.answered);
	ck_assert_uint_eq(in, r->counts.bytes_in);
}

void expect_result_balance(const struct result *r)
{
	const struct counts *b = &r->counts;

	ck_assert_msg(counts_balance(b),
		      "%" PRIu64 " planned, %" PRIu64 " sent, %" PRIu64
		      " never; %" PRIu64 " answered, %" PRIu64
		      " timed out, %" PRIu64 " reset, %" PRIu64
		      " closed early, %" PRIu64 " open",
		      b->planned, b->sent, b->never_sent, b->answered,
		      b->timed_out, b->reset, b->closed_early, b->open);
	ck_assert_uint_le(b->wrong + b->bad + b->swapped, b->answered);
	ck_assert_uint_le(b->missing, b->sent - b->answered);
	ck_assert_uint_le(b->late, b->timed_out);
	ck_assert_uint_le(b->checked, b->answered);
	connections_balance(r);
	clocks_balance(r);
	seconds_add_up(r);
}

uint64_t error_count(const struct result *r, enum error_phase phase, int error)
{
	for (size_t i = 0; i < r->errors.used; i++)
		if (r->errors.rows[i].phase == phase &&
		    r->errors.rows[i].error == error)
			return r->errors.rows[i].count;
	return 0;
}

uint64_t errors_in_all(const struct result *r)
{
	uint64_t count = r->errors.other;

	for (size_t i = 0; i < r->errors.used; i++)
		count += r->errors.rows[i].count;
	return count;
}

#define SAME(field)                                                            \
	ck_assert_msg(b->field == expected.field,                              \
		      "%s is %" PRIu64 ", expected %" PRIu64, #field,          \
		      b->field, expected.field)

void expect_counts(const struct counts *b, struct counts expected)
{
	SAME(planned);
	SAME(sent);
	SAME(never_sent);
	SAME(answered);
	SAME(timed_out);
	SAME(reset);
	SAME(closed_early);
	SAME(open);
	SAME(checked);
	SAME(wrong);
	SAME(bad);
	SAME(swapped);
	SAME(missing);
	SAME(surplus);
	SAME(crossed);
	SAME(late);
}

void expect_clean_result(const struct result *r, uint64_t messages)
{
	bool is_checked = r->plan->expect != EXPECT_FRAMED;

	EXPECT_COUNTS(r, .planned = messages, .sent = messages,
		      .answered = messages,
		      .checked = is_checked ? messages : 0);
	ck_assert_uint_eq(errors_in_all(r), 0);
	ck_assert_int_eq(r->connections.starved, 0);
	ck_assert_int_eq(r->connections.failed, 0);
}
