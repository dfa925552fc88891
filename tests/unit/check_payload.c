/* SPDX-License-Identifier: MIT */
/*
 * Messages made and compared several at once equal those made one by one, byte
 * by byte; and each differs from its neighbours.
 */
#include "test.h"

#include "../../client/load/engine/payload.h"

#define COUNT 100 /* consecutive messages */
#define CONN  5

static const size_t sizes[] = { 17, 18, 64, 255, 256, 300, 4096, 65536 };
static const uint64_t firsts[] = { 0, 7, 250, 0xfffffffff8 };

static struct payload payload;
static char whole[COUNT * 65536], part[65536];

#define EACH(i, list) for (size_t i = 0; i < sizeof(list) / sizeof(*list); i++)

static void begins(enum plan_payload kind, size_t min, size_t max)
{
	static struct plan plan;

	plan = (struct plan){
		.payload = kind, .size_min = min, .size_max = max, .seed = 3
	};
	payload_init(&payload, &plan);
	ck_assert(payload.is_plain);
}

/* Fill whole with as many messages at once as possible; returns how many. */
static size_t fill_runs(struct message_id name, size_t size)
{
	size_t at_once = 1;

	for (size_t done = 0, run; done < COUNT; done += run, name.seq += run) {
		run = payload_run(&payload, name, COUNT - done);
		ck_assert_uint_ge(run, 1);
		ck_assert_uint_le(run, COUNT - done);
		payload_fill_plain(&payload, name, run, whole + done * size,
				   size);
		at_once = run > at_once ? run : at_once;
	}
	return at_once;
}

static void runs_are_messages(enum plan_payload kind, size_t size)
{
	begins(kind, size, size);
	EACH(i, firsts)
	{
		struct message_id name = { CONN, firsts[i] };
		size_t at_once = fill_runs(name, size);

		ck_assert_uint_eq(at_once, size > 2048	? 1
					   : size > 256 ? 8
							: 16);
		for (char *at = whole; name.seq < firsts[i] + COUNT;
		     at += size, name.seq++) {
			payload_fill(&payload, name, 0, 0, part, size);
			ck_assert_mem_eq(at, part, size);
			ck_assert(payload_plain_matches(&payload, name, at,
							size));
			ck_assert(payload_matches(&payload, name, 0, at, size));
		}
	}
}

START_TEST(several_messages_at_once_are_those_messages)
{
	EACH(i, sizes)
	{
		runs_are_messages(PAYLOAD_LINES, sizes[i]);
		runs_are_messages(PAYLOAD_RANDOM, sizes[i]);
	}
}
END_TEST

START_TEST(one_wrong_byte_anywhere_is_seen)
{
	const struct message_id name = { CONN, 9 };

	for (int kind = PAYLOAD_LINES; kind <= PAYLOAD_RANDOM; kind++) {
		begins((enum plan_payload)kind, 64, 64);
		payload_fill_plain(&payload, name, 1, part, 64);
		for (size_t i = 0; i < 64; i++) {
			part[i] ^= 1;
			ck_assert(!payload_plain_matches(&payload, name, part,
							 64));
			ck_assert(
				!payload_matches(&payload, name, 0, part, 64));
			part[i] ^= 1;
		}
		ck_assert(payload_plain_matches(&payload, name, part, 64));
	}
}
END_TEST

/* Although the noise of a group is contiguous. */
START_TEST(neighbours_differ_in_more_than_their_number)
{
	const size_t size = 32;

	begins(PAYLOAD_LINES, size, size);
	fill_runs((struct message_id){ CONN, 0 }, size);
	for (size_t i = 0; i < COUNT; i++)
		for (size_t j = 0; j < i; j++)
			ck_assert_mem_ne(whole + i * size + PAYLOAD_NUMBER,
					 whole + j * size + PAYLOAD_NUMBER,
					 size - PAYLOAD_NUMBER);
}
END_TEST

START_TEST(messages_of_many_lengths_are_made_one_by_one)
{
	const struct message_id name = { CONN, 0 };

	begins(PAYLOAD_LINES, 20, 90);
	ck_assert_uint_eq(payload_run(&payload, name, COUNT), 1);
}
END_TEST

int main(void)
{
	return RUN_TESTS("payload", several_messages_at_once_are_those_messages,
			 one_wrong_byte_anywhere_is_seen,
			 neighbours_differ_in_more_than_their_number,
			 messages_of_many_lengths_are_made_one_by_one);
}
