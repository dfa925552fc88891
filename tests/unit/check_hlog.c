/* SPDX-License-Identifier: MIT */
/*
 * Histograms as text: what is written can be read, and damaged text is
 * rejected.  Input is in memory of exactly its size, so that sanitizers see
 * reads beyond it.
 */
#include "test.h"

#include <endian.h>
#include <sys/mman.h>

#include "../../client/load/measure/hlog.h"

static struct histogram *new_histogram(void)
{
	struct histogram *h = calloc(1, sizeof(*h));

	ck_assert_ptr_nonnull(h);
	return h;
}

static struct histogram *new_sample(void)
{
	struct histogram *h = new_histogram();

	for (int64_t i = 1; i < 300; i++)
		histogram_record_range(h, i * i * 1000, i * i * 1000,
				       (uint64_t)(i % 7 * i));
	histogram_record(h, 3);
	histogram_record(h, HISTOGRAM_HIGHEST);
	return h;
}

static bool is_same(const struct histogram *a, const struct histogram *b)
{
	return a->total == b->total &&
	       memcmp(a->counts, b->counts, sizeof(a->counts)) == 0;
}

/* From memory of exactly that size; returns NULL or what is wrong. */
static const char *decode(struct histogram *h, const char *text, size_t len)
{
	char *copy = malloc(len > 0 ? len : 1);
	const char *wrong;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, text, len);
	histogram_clear(h);
	wrong = hlog_decode(h, copy, len);
	free(copy);
	return wrong;
}

/* ---------------------------------------------------------------- one text */

START_TEST(a_histogram_is_read_as_it_was_written)
{
	struct histogram *h = new_sample(), *back = new_histogram();
	char *text = hlog_encode(h);

	ck_assert_ptr_nonnull(text);
	ck_assert(strncmp(text, "HISTFAAA", 8) == 0);
	ck_assert_ptr_null(decode(back, text, strlen(text)));
	ck_assert(is_same(h, back));
	for (double p = 0.5; p < 100; p += 0.5)
		ck_assert_int_eq(histogram_percentile(h, p),
				 histogram_percentile(back, p));
	ck_assert_double_eq_tol(histogram_mean(h), histogram_mean(back),
				histogram_mean(h) / 1024);
	free(text);
	histogram_clear(h);
	text = hlog_encode(h);
	ck_assert_ptr_null(decode(back, text, strlen(text)));
	ck_assert_uint_eq(back->total, 0);
	free(text);
	free(back);
	free(h);
}
END_TEST

/* The text is either rejected, or contains the same as before. */
static void expect_unharmed(const char *text, size_t len,
			    const struct histogram *h, struct histogram *back)
{
	if (!decode(back, text, len))
		ck_assert(is_same(h, back));
}

START_TEST(a_text_cut_anywhere_is_found_wrong)
{
	struct histogram *h = new_sample(), *back = new_histogram();
	char *text = hlog_encode(h);

	for (size_t len = 0; len < strlen(text); len++)
		ck_assert_ptr_nonnull(decode(back, text, len));
	free(text);
	free(back);
	free(h);
}
END_TEST

START_TEST(no_bit_of_a_text_changes_the_numbers_unseen)
{
	struct histogram *h = new_sample(), *back = new_histogram();
	char *text = hlog_encode(h);
	size_t len = strlen(text);

	for (size_t bit = 0; bit < 8 * len; bit++) {
		text[bit / 8] ^= (char)(1 << bit % 8);
		expect_unharmed(text, len, h, back);
		text[bit / 8] ^= (char)(1 << bit % 8);
	}
	ck_assert_ptr_null(decode(back, text, len));
	free(text);
	free(back);
	free(h);
}
END_TEST

/* ------------------------------------------------- blocks that zlib vouches
 * for */

struct block {
	unsigned char bytes[4096];
	size_t len;
};

static void put(unsigned char *to, uint64_t number, size_t size)
{
	number = htobe64(number);
	memcpy(to, (unsigned char *)&number + 8 - size, size);
}

static void set_header(struct block *b, uint64_t digits, uint64_t lowest,
		       uint64_t highest)
{
	memset(b, 0, sizeof(*b));
	put(b->bytes, 0x1c849313, 4);
	put(b->bytes + 12, digits, 4);
	put(b->bytes + 16, lowest, 8);
	put(b->bytes + 24, highest, 8);
	b->len = 40;
}

static void add_number(struct block *b, int64_t number)
{
	uint64_t left =
		number < 0 ? ~((uint64_t)number * 2) : (uint64_t)number * 2;
	size_t bytes = 1;

	while (bytes < 9 && left >= 0x80) {
		b->bytes[b->len++] = (unsigned char)(left | 0x80);
		left >>= 7;
		bytes++;
	}
	b->bytes[b->len++] = (unsigned char)left;
}

static char *to_text(const unsigned char *from, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklm"
				     "nopqrstuvwxyz0123456789+/";
	char *text = calloc(1, len / 3 * 4 + 5);
	size_t at = 0;

	for (size_t bit = 0; bit < 8 * len; bit += 6) {
		unsigned window = (unsigned)from[bit / 8] << 8;

		if (bit / 8 + 1 < len)
			window |= from[bit / 8 + 1];
		text[at++] = digits[window >> (10 - bit % 8) & 63];
	}
	while (at % 4 != 0)
		text[at++] = '=';
	return text;
}

/* Decode the block in a text of that length. */
static const char *decode_as(struct histogram *h, struct block *b,
			     size_t inner_len, size_t outer_more)
{
	unsigned char *packed, *outer;
	const char *wrong;
	size_t len;
	char *text;

	put(b->bytes + 4, inner_len, 4);
	ck_assert_int_eq(hlog_zip(&packed, &len, b->bytes, b->len), 0);
	outer = calloc(1, 8 + len + outer_more);
	ck_assert_ptr_nonnull(outer);
	put(outer, 0x1c849314, 4);
	put(outer + 4, len, 4);
	memcpy(outer + 8, packed, len);
	text = to_text(outer, 8 + len + outer_more);
	wrong = decode(h, text, strlen(text));
	free(text);
	free(outer);
	free(packed);
	return wrong;
}

static const char *decode_block(struct histogram *h, struct block *b)
{
	return decode_as(h, b, b->len - 40, 0);
}

START_TEST(lengths_that_are_not_true_are_found_wrong)
{
	struct histogram *h = new_histogram();
	struct block b;

	set_header(&b, 3, 1, HISTOGRAM_HIGHEST);
	add_number(&b, 1);
	add_number(&b, 1);
	ck_assert_ptr_null(decode_as(h, &b, 2, 0));
	ck_assert_ptr_nonnull(decode_as(h, &b, 1, 0));
	ck_assert_ptr_nonnull(decode_as(h, &b, 3, 0));
	ck_assert_ptr_nonnull(decode_as(h, &b, 2, 1));
	ck_assert_ptr_nonnull(decode_as(h, &b, 2, 4));
	for (b.len = 0; b.len < 40; b.len++)
		ck_assert_ptr_nonnull(decode_as(h, &b, 0, 0));
	free(h);
}
END_TEST

START_TEST(numbers_of_every_length_are_read)
{
	struct histogram *h = new_histogram();
	struct block b;

	for (unsigned bits = 0; bits < 53; bits++) {
		set_header(&b, 3, 1, HISTOGRAM_HIGHEST);
		add_number(&b, -5);
		add_number(&b, INT64_C(1) << bits);
		ck_assert_ptr_null(decode_block(h, &b));
		ck_assert_uint_eq(h->counts[5], UINT64_C(1) << bits);
		ck_assert_uint_eq(h->total, UINT64_C(1) << bits);
	}
	add_number(&b, INT64_C(1) << 52);
	ck_assert_ptr_null(decode_block(h, &b));
	add_number(&b, 1);
	ck_assert_ptr_nonnull(decode_block(h, &b));
	free(h);
}
END_TEST

START_TEST(numbers_that_cannot_be_are_found_wrong)
{
	static const int64_t numbers[] = { INT64_MAX, INT64_MIN, INT64_MIN + 1,
					   INT64_C(1) << 62, -HISTOGRAM_SLOTS };
	struct histogram *h = new_histogram();
	struct block b;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		set_header(&b, 3, 1, HISTOGRAM_HIGHEST);
		add_number(&b, 1);
		add_number(&b, numbers[i]);
		ck_assert_str_eq(decode_block(h, &b),
				 numbers[i] > 0 ? "too many samples"
						: "the histogram is cut short "
						  "or damaged");
	}
	/* The last slot, and one more. */
	set_header(&b, 3, 1, HISTOGRAM_HIGHEST);
	add_number(&b, -(HISTOGRAM_SLOTS - 1));
	add_number(&b, 3);
	ck_assert_ptr_null(decode_block(h, &b));
	ck_assert_uint_eq(h->clamped, 3);
	add_number(&b, 0);
	ck_assert_ptr_nonnull(decode_block(h, &b));
	/* Counts beyond the last slot. */
	set_header(&b, 3, 1, HISTOGRAM_HIGHEST);
	for (int i = 0; i < 8; i++) {
		b.bytes[b.len++] = 0xff;
		ck_assert_ptr_nonnull(decode_block(h, &b));
	}
	free(h);
}
END_TEST

START_TEST(ranges_that_cannot_be_are_found_wrong)
{
	static const uint64_t rows[][3] = {
		{ 6, 1, 1000 },	    { 3, 0, 1000 },
		{ 3, 600, 1000 },   { 3, 1, UINT64_MAX },
		{ 3, 1, 1 },	    { 3, UINT64_C(1) << 62, INT64_MAX },
		{ 1u << 31, 1, 5 }, { 5, UINT64_C(1) << 45, INT64_MAX },
	};
	struct histogram *h = new_histogram();
	struct block b;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		set_header(&b, rows[i][0], rows[i][1], rows[i][2]);
		add_number(&b, 1);
		ck_assert_ptr_nonnull(decode_block(h, &b));
	}
	set_header(&b, 3, 1, HISTOGRAM_HIGHEST);
	put(b.bytes + 8, 1, 4);
	ck_assert_str_eq(decode_block(h, &b),
			 "the histogram is shifted, which is not supported");
	free(h);
}
END_TEST

START_TEST(values_keep_their_size_in_whatever_range_they_were_written)
{
	struct histogram *h = new_histogram();
	struct block b;

	for (uint64_t digits = 0; digits <= 5; digits++) {
		/* The last slot of the widest range. */
		static const int64_t slots[] = { 64,	960,	7296,
						 55296, 819200, 6160384 };

		set_header(&b, digits, 1, INT64_MAX);
		add_number(&b, -1);
		add_number(&b, 1);
		add_number(&b, -(slots[digits] - 3));
		add_number(&b, 1);
		ck_assert_ptr_null(decode_block(h, &b));
		ck_assert_uint_eq(h->total, 2);
		ck_assert_uint_eq(h->clamped, 1);
		ck_assert_int_eq(h->min, 1);
		ck_assert_int_eq(h->max, HISTOGRAM_HIGHEST);
		add_number(&b, 1);
		ck_assert_ptr_nonnull(decode_block(h, &b));
	}
	free(h);
}
END_TEST

START_TEST(no_block_of_any_bytes_does_harm)
{
	struct histogram *h = new_histogram();
	unsigned seed = 1;
	struct block b;

	for (int i = fewer(20000); i > 0; i--) {
		uint64_t sum = 0, highest = (uint64_t)rand_r(&seed) << 32;

		set_header(&b, (uint64_t)rand_r(&seed) % 6,
			   (uint64_t)1 << rand_r(&seed) % 40,
			   highest >> rand_r(&seed) % 40);
		while (b.len < 40 + (size_t)rand_r(&seed) % 200)
			b.bytes[b.len++] =
				(unsigned char)(rand_r(&seed) &
						(i % 2 ? 0x7f : 0xff));
		decode_block(h, &b);
		for (size_t k = 0; k < HISTOGRAM_SLOTS; k++)
			sum += h->counts[k];
		ck_assert_uint_eq(h->total, sum);
	}
	free(h);
}
END_TEST

START_TEST(a_stream_that_unpacks_without_end_is_not_followed)
{
	size_t len, out_len, big = (size_t)100 << 20;
	unsigned char *zeros = calloc(1, big), *packed, *out;

	ck_assert_ptr_nonnull(zeros);
	ck_assert_int_eq(hlog_zip(&packed, &len, zeros, big), 0);
	ck_assert_int_eq(hlog_unzip(&out, &out_len, packed, len, big - 1),
			 -EFBIG);
	free(packed);
	for (size_t size = 4095; size <= 4097; size++) {
		ck_assert_int_eq(hlog_zip(&packed, &len, zeros, size), 0);
		ck_assert_int_eq(
			hlog_unzip(&out, &out_len, packed, len, size - 1),
			-EFBIG);
		ck_assert_int_eq(
			hlog_unzip(&out, &out_len, packed, len, size - 2),
			-EFBIG);
		ck_assert_int_eq(hlog_unzip(&out, &out_len, packed, len, size),
				 0);
		ck_assert_uint_eq(out_len, size);
		free(out);
		free(packed);
	}
	free(zeros);
}
END_TEST

int main(void)
{
	if (!hlog_is_available()) {
		puts(HLOG_UNAVAILABLE);
		return 77;
	}
	return RUN_TESTS(
		"hlog", a_histogram_is_read_as_it_was_written,
		a_text_cut_anywhere_is_found_wrong,
		no_bit_of_a_text_changes_the_numbers_unseen,
		lengths_that_are_not_true_are_found_wrong,
		numbers_of_every_length_are_read,
		numbers_that_cannot_be_are_found_wrong,
		ranges_that_cannot_be_are_found_wrong,
		values_keep_their_size_in_whatever_range_they_were_written,
		no_block_of_any_bytes_does_harm,
		a_stream_that_unpacks_without_end_is_not_followed);
}
