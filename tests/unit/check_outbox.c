/* SPDX-License-Identifier: MIT */
/* The queue of unsent output alone: order, and the reuse of memory. */
#include "test.h"

#include "outbox.h"
#include "sys.h"

#define LARGE ((size_t)4 * WR_CHUNK_ROOM)

static char numbered[LARGE];

static void number_bytes(void)
{
	for (size_t i = 0; i < sizeof(numbered); i++)
		numbered[i] = (char)(i % 251);
}

static void append(struct wr_outbox *o, size_t from, size_t len,
		   struct wr_chunk **spare)
{
	struct iovec piece = { numbered + from, len };

	ck_assert_int_eq(wr_outbox_append(o, &piece, 1, 0, len, spare), 0);
}

/* The queue holds the numbered bytes from here to there. */
static void expect_bytes(const struct wr_outbox *o, size_t from, size_t to)
{
	struct iovec pieces[16];
	int n = wr_outbox_pieces(o, pieces, 16);

	ck_assert_uint_eq(wr_outbox_bytes(o), to - from);
	for (int i = 0; i < n; i++) {
		ck_assert_uint_le(pieces[i].iov_len, to - from);
		ck_assert_mem_eq(pieces[i].iov_base, numbered + from,
				 pieces[i].iov_len);
		from += pieces[i].iov_len;
	}
	ck_assert_uint_eq(from, to);
}

START_TEST(bytes_leave_in_their_order)
{
	struct wr_outbox o = { 0 };
	struct wr_chunk *spare = NULL;
	size_t from = 0, to = 0;

	number_bytes();
	for (size_t step = 1; to + 40 * step < LARGE; step++) {
		append(&o, to, 40 * step, &spare);
		to += 40 * step;
		expect_bytes(&o, from, to);
		wr_outbox_advance(&o, 31 * step, &spare);
		from += 31 * step;
		expect_bytes(&o, from, to);
	}
	wr_outbox_clear(&o);
	wr_sys_free(spare);
}
END_TEST

START_TEST(a_spare_chunk_is_used_for_no_more_than_it_holds)
{
	struct wr_outbox o = { 0 };
	struct wr_chunk *spare = NULL, *first;

	number_bytes();
	append(&o, 0, 10, &spare);
	wr_outbox_advance(&o, 10, &spare);
	ck_assert_ptr_nonnull(spare);
	first = spare;
	append(&o, 0, WR_CHUNK_ROOM + 1, &spare);
	ck_assert_ptr_eq(spare, first);
	expect_bytes(&o, 0, WR_CHUNK_ROOM + 1);
	wr_outbox_advance(&o, WR_CHUNK_ROOM + 1, &spare);
	append(&o, 0, WR_CHUNK_ROOM, &spare);
	ck_assert_ptr_null(spare);
	ck_assert_ptr_eq(o.head, first);
	expect_bytes(&o, 0, WR_CHUNK_ROOM);
	wr_outbox_clear(&o);
}
END_TEST

int main(void)
{
	return RUN_TESTS("outbox", bytes_leave_in_their_order,
			 a_spare_chunk_is_used_for_no_more_than_it_holds);
}
