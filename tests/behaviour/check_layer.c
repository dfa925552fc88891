/* SPDX-License-Identifier: MIT */
/* Handshakes of a layer that the test makes itself, so that one can be held. */
#include <stdlib.h>

#include "layer.h"
#include "test.h"

static atomic_int begun;
static atomic_bool may_end;

/* The first one holds its worker. */
static int shake(struct wr_layer *l)
{
	(void)l;
	if (atomic_fetch_add(&begun, 1) == 0)
		UNTIL(atomic_load(&may_end));
	return 1;
}

static int look(struct wr_layer *l)
{
	(void)l;
	return WR_LOOK_NOTHING;
}

static int bye(struct wr_layer *l)
{
	(void)l;
	return 0;
}

static void end(struct wr_layer *l)
{
	free(l);
}

static const struct wr_layer_ops ops = {
	.handshake = shake,
	.look = look,
	.bye = bye,
	.end = end,
};

static struct wr_layer *make(struct weir_layer *from, const char *name)
{
	struct wr_layer *l = calloc(1, sizeof(*l));

	(void)from;
	(void)name;
	ck_assert_ptr_nonnull(l);
	l->ops = &ops;
	return l;
}

static void count(struct weir_layer *from)
{
	(void)from;
}

static bool all_are_handled(struct server *s)
{
	struct weir_stats now = stats(s);

	return now.ledger.accepted == 4 && now.queued == 0 && now.parked == 0;
}

START_TEST(handshakes_that_wait_for_others_end_in_time)
{
	static const struct wr_layer_maker maker = { make, count, count };
	struct weir_layer layer = { .maker = &maker };
	const struct timespec longer_than_that = { .tv_nsec = 300000000 };
	struct weir_service service;
	struct server *s;

	weir_service_init(&service, sizeof(service));
	service.readable = echo;
	service.layer = &layer;
	service.handshake_ms = 200;
	s = serve_workers(2, &service);
	client_send(client_open(s), "x");
	UNTIL(atomic_load(&begun) == 1);
	for (int i = 0; i < 3; i++)
		client_send(client_open(s), "x");
	UNTIL(all_are_handled(s));
	nanosleep(&longer_than_that, NULL);
	ck_assert_int_eq(atomic_load(&begun), 1);
	atomic_store(&may_end, true);
	UNTIL(stats(s).timed_out[WEIR_TIMEOUT_HANDSHAKE] == 3);
	(void)server_stop_and_check(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS("layer", handshakes_that_wait_for_others_end_in_time);
}
