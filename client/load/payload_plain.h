/* SPDX-License-Identifier: MIT */
/*
 * The messages of most runs, a number, then noise in one piece, then a newline
 * or none, made and compared as a whole.  Inline: this is most of what a
 * message costs us beside the system calls.
 */
#ifndef LOAD_PAYLOAD_PLAIN_H
#define LOAD_PAYLOAD_PLAIN_H

#include <endian.h>
#include <string.h>

#include "payload.h"

/* Eight hexadecimal digits, all at once: a nibble to each byte, then text. */
static inline uint64_t payload_hex(uint32_t number)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t x = number, is_letter;

	x = (x | x << 16) & UINT64_C(0x0000ffff0000ffff);
	x = (x | x << 8) & UINT64_C(0x00ff00ff00ff00ff);
	x = (x | x << 4) & (ones * 0x0f);
	is_letter = (x + ones * 6) >> 4 & ones;
	return htobe64(x + ones * '0' + is_letter * ('a' - '0' - 10));
}

/* The number of a message as text. */
struct payload_number {
	uint64_t high, low; /* eight digits each */
};

_Static_assert(sizeof(struct payload_number) == PAYLOAD_NUMBER,
	       "sixteen digits");

static inline struct payload_number payload_number(struct payload_name name)
{
	uint64_t number = (uint64_t)name.link << 40 |
			  (name.seq & ((UINT64_C(1) << 40) - 1));

	return (struct payload_number){ payload_hex((uint32_t)(number >> 32)),
					payload_hex((uint32_t)number) };
}

/* Make it that of the next message, mostly by one more in its last digit. */
static inline void payload_number_next(struct payload_number *number,
				       struct payload_name *name)
{
	unsigned digit = (unsigned)++name->seq & 15;

	if (digit != 0 && digit != 10)
		number->low += htobe64(1);
	else
		*number = payload_number(*name);
}

/*
 * Where its noise begins in the table: near the start, so that short messages
 * find theirs in the cache, and far from where its neighbours have theirs.
 */
static inline size_t payload_place(struct payload_name name)
{
	uint32_t low = (uint32_t)name.seq + name.link * UINT32_C(0x85ebca6b);

	return low * UINT32_C(0x9e3779b1) >> 20;
}

static inline void payload_fill_plain(const struct payload *p,
				      struct payload_name name,
				      struct payload_number number, char *to,
				      size_t size)
{
	size_t last = size - p->is_lines;

	/* A line's newline goes over the byte of noise in its place. */
	memcpy(to, &number, PAYLOAD_NUMBER);
	memcpy(to + PAYLOAD_NUMBER, p->noise + payload_place(name),
	       size - PAYLOAD_NUMBER);
	if (p->is_lines)
		to[last] = '\n';
}

static inline bool payload_is_plain(const struct payload *p,
				    struct payload_name name,
				    struct payload_number number,
				    const char *data, size_t size)
{
	size_t last = size - p->is_lines;

	return memcmp(&number, data, PAYLOAD_NUMBER) == 0 &&
	       (!p->is_lines || data[last] == '\n') &&
	       memcmp(p->noise + payload_place(name), data + PAYLOAD_NUMBER,
		      last - PAYLOAD_NUMBER) == 0;
}

#endif
