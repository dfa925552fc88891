/* SPDX-License-Identifier: MIT */
/*
 * Messages, made by arithmetic: number, noise, and for lines a newline.  The
 * noise of a message begins at a place of the table that its number decides,
 * and goes round in it.
 */
#include "payload.h"

#include <endian.h>
#include <string.h>

#include "random.h"

#define PLACES 4096

static const char printable[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";

void payload_init(struct payload *p, const struct plan *plan)
{
	uint64_t state = plan->seed;

	p->plan = plan;
	p->is_lines = plan->payload == PAYLOAD_LINES;
	p->is_numbered = plan->payload != PAYLOAD_TEXT &&
			 plan->size_min > PAYLOAD_NUMBER;
	for (size_t i = 0; i < PAYLOAD_NOISE; i++) {
		uint64_t r = random_next(&state) >> 32;

		p->noise[i] = p->is_lines ? printable[r % 64] : (char)r;
		p->noise[i + PAYLOAD_NOISE] = p->noise[i];
	}
}

static uint64_t mix(const struct payload *p, struct payload_name name)
{
	return random_mix(p->plan->seed ^ ((uint64_t)name.link << 40) ^
			  name.seq);
}

size_t payload_size(const struct payload *p, struct payload_name name)
{
	size_t min = p->plan->size_min, max = p->plan->size_max;

	if (min == max)
		return max;
	return min + (size_t)((mix(p, name) >> 32) % (max - min + 1));
}

/* Eight hexadecimal digits, all at once: a nibble to each byte, then text. */
static void write_hex(uint32_t number, char to[8])
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t x = number, is_letter;

	x = (x | x << 16) & UINT64_C(0x0000ffff0000ffff);
	x = (x | x << 8) & UINT64_C(0x00ff00ff00ff00ff);
	x = (x | x << 4) & (ones * 0x0f);
	is_letter = (x + ones * 6) >> 4 & ones;
	x = htobe64(x + ones * '0' + is_letter * ('a' - '0' - 10));
	memcpy(to, &x, sizeof(x));
}

static void write_number(struct payload_name name, char to[PAYLOAD_NUMBER])
{
	uint64_t number = (uint64_t)name.link << 40 |
			  (name.seq & ((UINT64_C(1) << 40) - 1));

	write_hex((uint32_t)(number >> 32), to);
	write_hex((uint32_t)number, to + 8);
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool payload_read_name(struct payload_name *ret, const char *data)
{
	*ret = (struct payload_name){ 0 };
	for (int i = 0; i < PAYLOAD_NUMBER; i++) {
		int d = digit(data[i]);

		if (d < 0)
			return false;
		if (i < 6)
			ret->link = ret->link << 4 | (uint32_t)d;
		else
			ret->seq = ret->seq << 4 | (uint64_t)d;
	}
	return true;
}

/*
 * Where its noise begins in the table: near the start, so that short messages
 * find theirs in the cache.
 */
static size_t place(const struct payload *p, struct payload_name name)
{
	return (size_t)(mix(p, name) % PLACES);
}

/* The longest part from there on that lies in one piece somewhere. */
struct part {
	const char *data;
	size_t len;
};

static struct part part_of(const struct payload *p, struct payload_name name,
			   size_t from, size_t len, char room[PAYLOAD_NUMBER])
{
	size_t start = p->is_numbered ? PAYLOAD_NUMBER : 0;
	size_t at;

	if (p->plan->payload == PAYLOAD_TEXT)
		return (struct part){ p->plan->text + from, len };
	if (from < start) {
		write_number(name, room);
		if (len > start - from)
			len = start - from;
		return (struct part){ room + from, len };
	}
	if (p->is_lines) {
		size_t last = payload_size(p, name) - 1;

		if (from == last)
			return (struct part){ "\n", 1 };
		if (len > last - from)
			len = last - from;
	}
	at = (place(p, name) + from - start) % PAYLOAD_NOISE;
	if (len > PAYLOAD_NOISE)
		len = PAYLOAD_NOISE;
	return (struct part){ p->noise + at, len };
}

void payload_fill(const struct payload *p, struct payload_name name,
		  size_t from, char *to, size_t len)
{
	char room[PAYLOAD_NUMBER];

	while (len > 0) {
		struct part part = part_of(p, name, from, len, room);

		memcpy(to, part.data, part.len);
		from += part.len;
		to += part.len;
		len -= part.len;
	}
}

bool payload_is(const struct payload *p, struct payload_name name, size_t from,
		const char *data, size_t len)
{
	char room[PAYLOAD_NUMBER];

	while (len > 0) {
		struct part part = part_of(p, name, from, len, room);

		if (memcmp(data, part.data, part.len) != 0)
			return false;
		from += part.len;
		data += part.len;
		len -= part.len;
	}
	return true;
}

/* Is it a number, noise in one piece, and a newline or none? */
static bool is_plain(const struct payload *p, size_t size)
{
	return p->is_numbered && size <= PAYLOAD_NOISE;
}

void payload_fill_whole(const struct payload *p, struct payload_name name,
			char *to, size_t size)
{
	size_t last = size - p->is_lines;

	if (!is_plain(p, size)) {
		payload_fill(p, name, 0, to, size);
		return;
	}
	write_number(name, to);
	memcpy(to + PAYLOAD_NUMBER, p->noise + place(p, name),
	       last - PAYLOAD_NUMBER);
	if (p->is_lines)
		to[last] = '\n';
}

bool payload_is_whole(const struct payload *p, struct payload_name name,
		      const char *data, size_t size)
{
	size_t last = size - p->is_lines;
	char number[PAYLOAD_NUMBER];

	if (!is_plain(p, size))
		return payload_is(p, name, 0, data, size);
	write_number(name, number);
	return memcmp(number, data, PAYLOAD_NUMBER) == 0 &&
	       memcmp(p->noise + place(p, name), data + PAYLOAD_NUMBER,
		      last - PAYLOAD_NUMBER) == 0 &&
	       (!p->is_lines || data[last] == '\n');
}
