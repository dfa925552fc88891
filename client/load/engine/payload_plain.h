/* SPDX-License-Identifier: MIT */
/*
 * The messages of most runs, a number, then noise in one piece, then a newline
 * or none, made and compared as a whole, and several at once where they are of
 * one length.  Inline: this is most of what a message costs us beside the
 * system calls.
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

/*
 * Where the message would have its first byte in the table, if it were all
 * noise.  Messages of a group follow each other there, so that they are made
 * and compared as one piece; a group begins near the start, so that the noise
 * of short messages is found in the cache, and far from where its neighbours
 * begin.
 */
static inline size_t payload_place(const struct payload *p,
				   struct payload_name name)
{
	uint32_t group = (uint32_t)(name.seq / PAYLOAD_GROUP) +
			 name.link * UINT32_C(0x85ebca6b);
	size_t before = (size_t)(name.seq % PAYLOAD_GROUP) * p->plan->size_max;

	return ((group * UINT32_C(0x9e3779b1) >> 20) + before) % PAYLOAD_NOISE;
}

/* So many of at most that many messages, from name on, are one piece. */
static inline size_t payload_run(const struct payload *p,
				 struct payload_name name, uint64_t most)
{
	size_t run = p->run - (size_t)name.seq % p->run;

	return run < most ? run : (size_t)most;
}

/* Messages of one run. */
static inline void payload_fill_plain(const struct payload *p,
				      struct payload_name name, size_t count,
				      char *to, size_t size)
{
	struct payload_number number = payload_number(name);
	unsigned last_digit = (unsigned)name.seq % 16;
	const bool is_lines = p->is_lines;

	memcpy(to, p->noise + payload_place(p, name), count * size);
	for (; count > 0; count--, to += size) {
		memcpy(to, &number, PAYLOAD_NUMBER);
		if (is_lines)
			to[size - 1] = '\n';
		/* To the next digit: after 9 comes a. */
		number.low += htobe64(++last_digit == 10 ? 'a' - '9' : 1);
	}
}

static inline bool payload_is_plain(const struct payload *p,
				    struct payload_name name, const char *data,
				    size_t size)
{
	const struct payload_number number = payload_number(name);
	const char *noise = p->noise + payload_place(p, name);
	size_t last = size - p->is_lines;

	return memcmp(&number, data, PAYLOAD_NUMBER) == 0 &&
	       (!p->is_lines || data[last] == '\n') &&
	       memcmp(noise + PAYLOAD_NUMBER, data + PAYLOAD_NUMBER,
		      last - PAYLOAD_NUMBER) == 0;
}

#endif
