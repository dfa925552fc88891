/* SPDX-License-Identifier: MIT */
/* The byte queue alone: order, limits, growth, and failed allocations. */
#include "test.h"

#include "buffer.h"
#include "sys.h"

static int allocations;
static bool is_memory_gone;

static int watch_memory(enum wr_sys_call call, size_t *len)
{
	(void)len;
	if (call != WR_SYS_alloc)
		return 0;
	allocations++;
	return is_memory_gone ? -ENOMEM : 0;
}

static void expect_content(const struct wr_buffer *b, const char *text)
{
	size_t len = strlen(text);

	ck_assert_uint_eq(wr_buffer_len(b), len);
	if (len > 0)
		ck_assert_mem_eq(wr_buffer_data(b), text, len);
	else
		ck_assert(b->start == 0 && b->end == 0);
	ck_assert(b->start <= b->end && b->end <= b->cap);
}

START_TEST(a_new_buffer_holds_no_memory)
{
	struct wr_buffer b = { 0 };
	char out[4];

	ck_assert_ptr_null(b.mem);
	ck_assert_uint_eq(wr_buffer_len(&b), 0);
	ck_assert_uint_eq(wr_buffer_take(&b, out, sizeof(out)), 0);
	ck_assert_uint_eq(wr_buffer_find(&b, "\n", 1, 0), 0);
	ck_assert_int_eq(wr_buffer_append(&b, NULL, 0, 10), 0);
	ck_assert_ptr_null(b.mem);
	wr_buffer_consume(&b, 0);
	wr_buffer_release(&b);
}
END_TEST

START_TEST(bytes_come_out_in_the_order_they_went_in)
{
	struct wr_buffer b = { 0 };
	size_t in = 0, out = 0, len, i;
	char piece[300];
	unsigned int seed = 1;

	for (i = 0; i < 20000; i++) {
		len = (size_t)rand_r(&seed) % sizeof(piece);
		if (i % 2) {
			len = wr_buffer_take(&b, piece, len);
			ck_assert(bytes_match(piece, len, out));
			out += len;
		} else {
			size_t k;

			for (k = 0; k < len; k++)
				piece[k] = byte_at(in + k);
			if (wr_buffer_append(&b, piece, len, 5000) == 0)
				in += len;
			else
				ck_assert_uint_gt(in - out + len, 5000);
		}
		ck_assert_uint_eq(wr_buffer_len(&b), in - out);
	}
	ck_assert_uint_gt(out, 1000000);
	wr_buffer_release(&b);
}
END_TEST

START_TEST(its_limit_holds_to_the_byte)
{
	struct wr_buffer b = { 0 };

	ck_assert_int_eq(wr_buffer_append(&b, "abcdef", 6, 5), -EMSGSIZE);
	ck_assert_ptr_null(b.mem);
	ck_assert_int_eq(wr_buffer_append(&b, "abc", 3, 5), 0);
	ck_assert_int_eq(wr_buffer_append(&b, "def", 3, 5), -EMSGSIZE);
	expect_content(&b, "abc");
	ck_assert_int_eq(wr_buffer_append(&b, "de", 2, 5), 0);
	expect_content(&b, "abcde");
	ck_assert_uint_le(b.cap, 5);
	ck_assert_int_eq(wr_buffer_reserve(&b, 1, 5), -EMSGSIZE);
	ck_assert_int_eq(wr_buffer_reserve(&b, 1, 4), -EMSGSIZE);
	ck_assert_int_eq(wr_buffer_reserve(&b, SIZE_MAX, SIZE_MAX), -EMSGSIZE);
	ck_assert_int_eq(wr_buffer_reserve(&b, 0, 5), 0);
	wr_buffer_consume(&b, 2);
	ck_assert_int_eq(wr_buffer_append(&b, "fg", 2, 5), 0);
	expect_content(&b, "cdefg");
	wr_buffer_release(&b);
}
END_TEST

START_TEST(room_is_filled_by_writing_and_committing)
{
	struct wr_buffer b = { 0 };

	ck_assert_int_eq(wr_buffer_reserve(&b, 100, 1000), 0);
	ck_assert_uint_ge(wr_buffer_room(&b), 100);
	memcpy(wr_buffer_tail(&b), "hello", 5);
	wr_buffer_commit(&b, 3);
	expect_content(&b, "hel");
	memcpy(wr_buffer_tail(&b), "p", 1);
	wr_buffer_commit(&b, 1);
	expect_content(&b, "help");
	wr_buffer_release(&b);
}
END_TEST

START_TEST(room_that_was_consumed_is_used_again)
{
	struct wr_buffer b = { 0 };
	char piece[100] = "", out[100];
	int i;

	ck_assert_int_eq(wr_buffer_append(&b, "x", 1, 4096), 0);
	wr_sys_fault = watch_memory;
	for (i = 0; i < 10000; i++) {
		ck_assert_int_eq(
			wr_buffer_append(&b, piece, sizeof(piece), 4096), 0);
		ck_assert_uint_eq(wr_buffer_take(&b, out, sizeof(out)),
				  sizeof(out));
	}
	wr_sys_fault = NULL;
	ck_assert_int_le(allocations, 1);
	wr_buffer_release(&b);
}
END_TEST

START_TEST(a_long_message_asks_for_memory_a_few_times)
{
	const size_t max = 1 << 20;
	struct wr_buffer b = { 0 };
	size_t i;

	wr_sys_fault = watch_memory;
	for (i = 0; i < max; i++)
		ck_assert_int_eq(wr_buffer_append(&b, "x", 1, max), 0);
	wr_sys_fault = NULL;
	ck_assert_int_le(allocations, 20);
	ck_assert_uint_eq(b.cap, max);
	wr_buffer_release(&b);
}
END_TEST

START_TEST(without_memory_the_content_stays)
{
	struct wr_buffer b = { 0 };

	wr_sys_fault = watch_memory;
	is_memory_gone = true;
	ck_assert_int_eq(wr_buffer_append(&b, "abc", 3, 100), -ENOMEM);
	expect_content(&b, "");
	is_memory_gone = false;
	ck_assert_int_eq(wr_buffer_append(&b, "abcdef", 6, 100000), 0);
	wr_buffer_consume(&b, 2);
	is_memory_gone = true;
	ck_assert_int_eq(wr_buffer_reserve(&b, 90000, 100000), -ENOMEM);
	expect_content(&b, "cdef");
	is_memory_gone = false;
	ck_assert_int_eq(wr_buffer_reserve(&b, 90000, 100000), 0);
	ck_assert_uint_ge(wr_buffer_room(&b), 90000);
	expect_content(&b, "cdef");
	wr_sys_fault = NULL;
	wr_buffer_release(&b);
}
END_TEST

START_TEST(an_emptied_buffer_starts_over)
{
	struct wr_buffer b = { 0 };
	char out[8];

	ck_assert_int_eq(wr_buffer_append(&b, "abcdef", 6, 100), 0);
	wr_buffer_consume(&b, 3);
	expect_content(&b, "def");
	wr_buffer_consume(&b, 3);
	expect_content(&b, "");
	ck_assert_ptr_nonnull(b.mem);
	ck_assert_int_eq(wr_buffer_append(&b, "ghi", 3, 100), 0);
	ck_assert_uint_eq(wr_buffer_take(&b, out, sizeof(out)), 3);
	expect_content(&b, "");
	wr_buffer_release(&b);
	ck_assert_ptr_null(b.mem);
	ck_assert_uint_eq(b.cap, 0);
	ck_assert_int_eq(wr_buffer_append(&b, "jkl", 3, 100), 0);
	expect_content(&b, "jkl");
	wr_buffer_release(&b);
}
END_TEST

START_TEST(a_delimiter_is_found_where_it_ends)
{
	struct wr_buffer b = { 0 };

	ck_assert_int_eq(wr_buffer_append(&b, "\nab\r\ncd\n", 8, 100), 0);
	ck_assert_uint_eq(wr_buffer_find(&b, "\n", 1, 0), 1);
	ck_assert_uint_eq(wr_buffer_find(&b, "\n", 1, 1), 5);
	ck_assert_uint_eq(wr_buffer_find(&b, "\r\n", 2, 0), 5);
	ck_assert_uint_eq(wr_buffer_find(&b, "\r\n", 2, 3), 5);
	ck_assert_uint_eq(wr_buffer_find(&b, "\r\n", 2, 4), 0);
	ck_assert_uint_eq(wr_buffer_find(&b, "\n", 1, 7), 8);
	ck_assert_uint_eq(wr_buffer_find(&b, "\n", 1, 8), 0);
	ck_assert_uint_eq(wr_buffer_find(&b, "\n", 1, 9), 0);
	ck_assert_uint_eq(wr_buffer_find(&b, "\n", 1, SIZE_MAX), 0);
	ck_assert_uint_eq(wr_buffer_find(&b, "", 0, 0), 0);
	ck_assert_uint_eq(wr_buffer_find(&b, "", 0, 3), 0);
	ck_assert_uint_eq(wr_buffer_find(&b, "\nab\r\ncd\n\n", 9, 0), 0);
	ck_assert_uint_eq(wr_buffer_find(&b, "\nab\r\ncd\n", 8, 0), 8);
	/*
	 * Counted from the first byte left, not from the start of the memory.
	 */
	wr_buffer_consume(&b, 3);
	ck_assert_uint_eq(wr_buffer_find(&b, "\r\n", 2, 0), 2);
	/* Bytes behind the end are not read. */
	wr_buffer_consume(&b, 4);
	expect_content(&b, "\n");
	ck_assert_int_eq(wr_buffer_append(&b, "xy", 2, 100), 0);
	b.end -= 1;
	ck_assert_uint_eq(wr_buffer_find(&b, "y", 1, 0), 0);
	wr_buffer_release(&b);
}
END_TEST

int main(void)
{
	return RUN_TESTS("buffer", a_new_buffer_holds_no_memory,
			 bytes_come_out_in_the_order_they_went_in,
			 its_limit_holds_to_the_byte,
			 room_is_filled_by_writing_and_committing,
			 room_that_was_consumed_is_used_again,
			 a_long_message_asks_for_memory_a_few_times,
			 without_memory_the_content_stays,
			 an_emptied_buffer_starts_over,
			 a_delimiter_is_found_where_it_ends);
}
