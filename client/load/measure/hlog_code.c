/* SPDX-License-Identifier: MIT */
/*
 * A histogram in the compressed form V2 of HdrHistogram, in base64.  All
 * numbers are big-endian, except the counts.
 *
 *   outer   cookie, length, a zlib stream of the
 *   inner   cookie, length of the counts, offset, digits, lowest, highest,
 *           ratio (a double), counts
 *
 * A count is a zig-zag number (the sign is the lowest bit) of seven bits a
 * byte, lowest first, with the top bit set for "more"; a ninth byte has eight
 * bits.  A negative count -n stands for n empty slots.
 *
 * A histogram of another range or precision has other slots, so its values are
 * added and not its slots.
 */
#include "hlog.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* -------------------------------------------------------------------- zlib */

#ifdef HAVE_ZLIB

#include <zlib.h>

bool hlog_is_available(void)
{
	return true;
}

int hlog_zip(unsigned char **ret, size_t *ret_len, const unsigned char *from,
	     size_t len)
{
	uLongf room = compressBound(len);
	unsigned char *to = malloc(room);

	if (!to)
		return -ENOMEM;
	if (compress2(to, &room, from, len, Z_DEFAULT_COMPRESSION) != Z_OK) {
		free(to);
		return -ENOMEM;
	}
	*ret = to;
	*ret_len = room;
	return 0;
}

/* Grow the output; one byte beyond max shows that the stream is longer. */
static int unzip_more(z_stream *z, unsigned char **to, size_t max)
{
	size_t used = z->total_out;
	size_t room = used > 0 ? 4 * used : 4096;
	unsigned char *more;

	if (used > max)
		return -EFBIG;
	if (room > max + 1)
		room = max + 1;
	more = realloc(*to, room);
	if (!more)
		return -ENOMEM;
	*to = more;
	z->next_out = more + used;
	z->avail_out = (uInt)(room - used);
	return 0;
}

static int unpack(z_stream *z, unsigned char **to, size_t max)
{
	int rc;

	do {
		if (z->avail_out == 0) {
			rc = unzip_more(z, to, max);
			if (rc < 0)
				return rc;
		}
		rc = inflate(z, Z_NO_FLUSH);
	} while (rc == Z_OK);
	if (rc == Z_MEM_ERROR)
		return -ENOMEM;
	if (rc != Z_STREAM_END || z->avail_in > 0)
		return -EBADMSG;
	return z->total_out > max ? -EFBIG : 0;
}

int hlog_unzip(unsigned char **ret, size_t *ret_len, const unsigned char *from,
	       size_t len, size_t max)
{
	z_stream z = { .next_in = (z_const Bytef *)from,
		       .avail_in = (uInt)len };
	unsigned char *to = NULL;
	int rc;

	if (inflateInit(&z) != Z_OK)
		return -ENOMEM;
	rc = unpack(&z, &to, max);
	inflateEnd(&z);
	if (rc < 0) {
		free(to);
		return rc;
	}
	*ret = to;
	*ret_len = z.total_out;
	return 0;
}

#else

bool hlog_is_available(void)
{
	return false;
}

int hlog_zip(unsigned char **ret, size_t *ret_len, const unsigned char *from,
	     size_t len)
{
	(void)ret, (void)ret_len, (void)from, (void)len;
	return -ENOTSUP;
}

int hlog_unzip(unsigned char **ret, size_t *ret_len, const unsigned char *from,
	       size_t len, size_t max)
{
	(void)ret, (void)ret_len, (void)from, (void)len, (void)max;
	return -ENOTSUP;
}

#endif

#define OUTER	   UINT32_C(0x1c849314)
#define INNER	   UINT32_C(0x1c849313)
#define OUTER_SIZE 8
#define INNER_SIZE 40

/* The precision that is accepted, and the sizes that follow from it. */
#define DIGITS_MAX 5
#define SLOTS_MAX  ((size_t)64 << 17)
#define INNER_MAX  (INNER_SIZE + 9 * SLOTS_MAX)

/* The largest count that a double represents exactly. */
#define SAMPLES_MAX (UINT64_C(1) << 53)

static const char damaged[] = "the histogram is cut short or damaged";

/* ----------------------------------------------------------------- numbers */

static void put32(unsigned char *to, uint32_t number)
{
	number = htobe32(number);
	memcpy(to, &number, sizeof(number));
}

static void put64(unsigned char *to, uint64_t number)
{
	number = htobe64(number);
	memcpy(to, &number, sizeof(number));
}

static uint32_t get32(const unsigned char *from)
{
	uint32_t number;

	memcpy(&number, from, sizeof(number));
	return be32toh(number);
}

static uint64_t get64(const unsigned char *from)
{
	uint64_t number;

	memcpy(&number, from, sizeof(number));
	return be64toh(number);
}

static unsigned char *put_count(unsigned char *to, int64_t number)
{
	uint64_t left = (uint64_t)number << 1 ^ (number < 0 ? UINT64_MAX : 0);

	for (int i = 0; i < 8 && left >= 0x80; i++) {
		*to++ = (unsigned char)(left | 0x80);
		left >>= 7;
	}
	*to++ = (unsigned char)left;
	return to;
}

static const unsigned char *get_count(const unsigned char *from,
				      const unsigned char *end, int64_t *ret)
{
	uint64_t number = 0;
	unsigned shift = 0;
	bool more = true;

	while (more) {
		if (from == end)
			return NULL;
		more = shift < 56 && *from >= 0x80;
		number |= (uint64_t)(more ? *from & 0x7f : *from) << shift;
		from++;
		shift += 7;
	}
	*ret = (int64_t)(number >> 1 ^ (0 - (number & 1)));
	return from;
}

/* ------------------------------------------------------------------ base64 */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			       "abcdefghijklmnopqrstuvwxyz0123456789+/";

static char *to_base64(const unsigned char *from, size_t len)
{
	char *text = malloc((len + 2) / 3 * 4 + 1), *to = text;

	for (size_t i = 0; text && i < len; i += 3) {
		size_t have = len - i < 3 ? len - i : 3;
		uint32_t bits = (uint32_t)from[i] << 16;

		bits |= have > 1 ? (uint32_t)from[i + 1] << 8 : 0;
		bits |= have > 2 ? from[i + 2] : 0;
		*to++ = alphabet[bits >> 18];
		*to++ = alphabet[bits >> 12 & 63];
		*to++ = have > 1 ? alphabet[bits >> 6 & 63] : '=';
		*to++ = have > 2 ? alphabet[bits & 63] : '=';
	}
	if (text)
		*to = '\0';
	return text;
}

static int sextet(char c)
{
	const char *at = c != '\0' ? strchr(alphabet, c) : NULL;

	return at ? (int)(at - alphabet) : -1;
}

/* Returns the length, or 0 if text is not base64. */
static size_t from_base64(unsigned char *to, const char *text, size_t len)
{
	size_t used = 0, padding = 0;
	uint32_t bits = 0;

	if (len == 0 || len % 4 != 0)
		return 0;
	while (padding < 2 && text[len - 1 - padding] == '=')
		padding++;
	for (size_t i = 0; i < len; i++) {
		int value = i < len - padding ? sextet(text[i]) : 0;

		if (value < 0)
			return 0;
		bits = bits << 6 | (uint32_t)value;
		if (i % 4 == 3) {
			to[used++] = (unsigned char)(bits >> 16);
			to[used++] = (unsigned char)(bits >> 8);
			to[used++] = (unsigned char)bits;
		}
	}
	return used - padding;
}

/* ----------------------------------------------------------------- writing */

static size_t write_inner(unsigned char *to, const struct histogram *h,
			  size_t end)
{
	unsigned char *at = to + INNER_SIZE;
	double ratio = 1;
	uint64_t bits;

	for (size_t i = 0; i < end;) {
		int64_t empty = 0;

		for (; i < end && h->counts[i] == 0; i++)
			empty++;
		if (empty > 0)
			at = put_count(at, -empty);
		else
			at = put_count(at, (int64_t)h->counts[i++]);
	}
	memcpy(&bits, &ratio, sizeof(bits));
	put32(to, INNER);
	put32(to + 4, (uint32_t)(at - to - INNER_SIZE));
	put32(to + 8, 0);
	put32(to + 12, HISTOGRAM_DIGITS);
	put64(to + 16, 1);
	put64(to + 24, HISTOGRAM_HIGHEST);
	put64(to + 32, bits);
	return (size_t)(at - to);
}

char *hlog_encode(const struct histogram *h)
{
	size_t end = h->total > 0 ? histogram_slot(h->max) + 1 : 1;
	unsigned char *inner = malloc(INNER_SIZE + 9 * end);
	unsigned char *outer = NULL, *packed = NULL;
	size_t len = 0;
	char *text = NULL;

	if (inner &&
	    hlog_zip(&packed, &len, inner, write_inner(inner, h, end)) == 0)
		outer = malloc(OUTER_SIZE + len);
	if (outer) {
		put32(outer, OUTER);
		put32(outer + 4, (uint32_t)len);
		memcpy(outer + OUTER_SIZE, packed, len);
		text = to_base64(outer, OUTER_SIZE + len);
	}
	free(outer);
	free(packed);
	free(inner);
	return text;
}

/* ----------------------------------------------------------------- reading */

/* The slots of another histogram. */
struct slot_grid {
	unsigned unit;	    /* the finest slots are 2^unit wide */
	unsigned half_bits; /* each doubling has 2^half_bits of them */
	size_t slots;
};

static const char *get_grid(struct slot_grid *ret, const unsigned char *inner)
{
	uint32_t digits = get32(inner + 12);
	uint64_t lowest = get64(inner + 16), highest = get64(inner + 24);
	uint64_t reach, least = 2;
	size_t buckets = 1;

	if (digits > DIGITS_MAX || lowest < 1 || highest > INT64_MAX ||
	    lowest > highest / 2)
		return "the range or precision of the histogram is invalid";
	while (digits-- > 0)
		least *= 10;
	ret->unit = 63 - (unsigned)__builtin_clzll(lowest);
	ret->half_bits = 63 - (unsigned)__builtin_clzll(least - 1);
	if (ret->unit + ret->half_bits > 61)
		return "the range or precision of the histogram is invalid";
	for (reach = UINT64_C(2) << (ret->half_bits + ret->unit);
	     reach <= highest; reach *= 2)
		buckets++;
	ret->slots = (buckets + 1) << ret->half_bits;
	return NULL;
}

static void add_slot(struct histogram *h, const struct slot_grid *l,
		     size_t slot, int64_t count)
{
	size_t half = (size_t)1 << l->half_bits;
	size_t bucket = slot < 2 * half ? 0 : (slot >> l->half_bits) - 1;
	uint64_t step = slot - bucket * half;
	uint64_t low = step << (bucket + l->unit);
	uint64_t width = UINT64_C(1) << (bucket + l->unit);

	histogram_record_range(h, (int64_t)low, (int64_t)(low + width - 1),
			       (uint64_t)count);
}

static const char *add_counts(struct histogram *h, const struct slot_grid *l,
			      const unsigned char *from,
			      const unsigned char *end)
{
	uint64_t total = h->total;
	size_t slot = 0;
	int64_t count;

	while (from < end) {
		from = get_count(from, end, &count);
		if (!from || slot >= l->slots)
			return damaged;
		if (count < 0) {
			if ((uint64_t) - (count + 1) >= l->slots - slot)
				return damaged;
			slot += (size_t)-count;
			continue;
		}
		total += (uint64_t)count;
		if (total > SAMPLES_MAX)
			return "too many samples";
		add_slot(h, l, slot++, count);
	}
	return NULL;
}

static const char *read_inner(struct histogram *h, const unsigned char *inner,
			      size_t len)
{
	struct slot_grid grid;
	const char *wrong;

	/* The second digit of a cookie is the width of counts. */
	if (len < INNER_SIZE || (get32(inner) | 0xf0) != (INNER | 0xf0) ||
	    get32(inner + 4) != len - INNER_SIZE)
		return damaged;
	if (get32(inner + 8) != 0)
		return "the histogram is shifted, which is not supported";
	wrong = get_grid(&grid, inner);
	return wrong ? wrong
		     : add_counts(h, &grid, inner + INNER_SIZE, inner + len);
}

static const char *read_outer(struct histogram *h, const unsigned char *outer,
			      size_t len)
{
	unsigned char *inner = NULL;
	size_t inner_len = 0;
	const char *wrong;
	int rc;

	if (len < OUTER_SIZE)
		return damaged;
	if ((get32(outer) | 0xf0) != (OUTER | 0xf0))
		return "the histogram is not in the compressed form V2";
	if (get32(outer + 4) != len - OUTER_SIZE)
		return damaged;
	rc = hlog_unzip(&inner, &inner_len, outer + OUTER_SIZE,
			len - OUTER_SIZE, INNER_MAX);
	if (rc == -ENOTSUP)
		return HLOG_UNAVAILABLE;
	if (rc < 0)
		return rc == -ENOMEM ? "out of memory" : damaged;
	wrong = read_inner(h, inner, inner_len);
	free(inner);
	return wrong;
}

const char *hlog_decode(struct histogram *h, const char *text, size_t len)
{
	unsigned char *outer = malloc(len / 4 * 3 + 1);
	const char *wrong = "the histogram is not base64";

	if (!outer)
		return "out of memory";
	len = from_base64(outer, text, len);
	if (len > 0)
		wrong = read_outer(h, outer, len);
	free(outer);
	return wrong;
}
