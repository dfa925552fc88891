/* SPDX-License-Identifier: MIT */
/*
 * The content of messages.  Each begins with a number: 6 hexadecimal digits of
 * the connection and 10 of the message on it.  Noise that depends on both
 * follows.  Any part of any message can be made again to be sent or compared,
 * so nothing is kept.
 *
 * Constant after payload_init(); any thread.
 */
#ifndef LOAD_PAYLOAD_H
#define LOAD_PAYLOAD_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../plan.h"
#include "template.h"

/* What --expect reply has before the message. */
#define PAYLOAD_REPLY	  "Server replies: "
#define PAYLOAD_REPLY_LEN (sizeof(PAYLOAD_REPLY) - 1)

#define PAYLOAD_NUMBER 16 /* bytes of the number */
#define PAYLOAD_NOISE  65536
#define PAYLOAD_GROUP  16   /* messages with contiguous noise */
#define PAYLOAD_PIECE  4096 /* bytes made in one go */

struct payload {
	const struct plan *plan;
	bool is_numbered; /* long enough for a number */
	bool is_lines;
	bool is_plain; /* see "Plain messages" below */
	size_t size;   /* of every message; 0: sizes differ */
	size_t run;    /* plain messages made in one go, a power of 2 */
	char noise[2 * PAYLOAD_NOISE];
};

void payload_init(struct payload *p, const struct plan *plan);

size_t payload_varying_size(const struct payload *p, struct message_id id);

static inline size_t payload_size(const struct payload *p, struct message_id id)
{
	return p->size > 0 ? p->size : payload_varying_size(p, id);
}

/* The message must have from..from + len.  at: when it is sent, for {time}. */
void payload_fill(const struct payload *p, struct message_id id, int64_t at,
		  size_t from, char *to, size_t len);

bool payload_matches(const struct payload *p, struct message_id id, size_t from,
		     const char *data, size_t len);

/* data has PAYLOAD_NUMBER bytes; false: they are no number. */
bool payload_read_id(struct message_id *ret, const char *data);

/*
 * Plain messages are the common case: a number, contiguous noise, and a
 * newline or none.  They are made and compared as a whole, several at once if
 * they have one length.  Inline, because this is most of the cost of a message
 * besides system calls.
 */

struct payload_number {
	uint64_t high, low; /* eight digits each */
};

_Static_assert(sizeof(struct payload_number) == PAYLOAD_NUMBER,
	       "sixteen digits");

typedef uint64_t payload_halves __attribute__((vector_size(16)));
typedef signed char payload_digits __attribute__((vector_size(16)));

/*
 * Sixteen hexadecimal digits at once: the bytes of both halves of the number,
 * the first one lowest, are spread to 16 bits each, then their nibbles to
 * bytes, and these become text.
 */
static inline struct payload_number payload_number(struct message_id id)
{
	uint64_t number =
		(uint64_t)id.conn << 40 | (id.seq & ((UINT64_C(1) << 40) - 1));
	uint64_t bytes = __builtin_bswap64(number);
	payload_halves x = { bytes & UINT32_MAX, bytes >> 32 };
	payload_digits text;

	x = (x | x << 16) & UINT64_C(0x0000ffff0000ffff);
	x = (x | x << 8) & UINT64_C(0x00ff00ff00ff00ff);
	x = (x >> 4 | x << 8) & UINT64_C(0x0f0f0f0f0f0f0f0f);
	text = (payload_digits)x;
	text += '0' + ((text > 9) & ('a' - '0' - 10));
	x = (payload_halves)text;
	return (struct payload_number){ htole64(x[0]), htole64(x[1]) };
}

/*
 * Where the noise of a message begins in the table.  Messages of a group are
 * contiguous, so that they are made and compared in one go.  Groups begin near
 * the start of the table, to stay in the cache, and far from their neighbours.
 */
static inline size_t payload_place(const struct payload *p,
				   struct message_id id)
{
	uint32_t group = (uint32_t)(id.seq / PAYLOAD_GROUP) +
			 id.conn * UINT32_C(0x85ebca6b);
	size_t before = (size_t)(id.seq % PAYLOAD_GROUP) * p->plan->size_max;

	return ((group * UINT32_C(0x9e3779b1) >> 20) + before) % PAYLOAD_NOISE;
}

/* How many of the next most messages can be made in one go. */
static inline size_t payload_run(const struct payload *p, struct message_id id,
				 uint64_t most)
{
	size_t left = p->run - (size_t)id.seq % p->run;

	return left < most ? left : (size_t)most;
}

/* count messages of one run, each of size bytes. */
static inline void payload_fill_plain(const struct payload *p,
				      struct message_id id, size_t count,
				      char *to, size_t size)
{
	struct payload_number number = payload_number(id);
	unsigned last_digit = (unsigned)id.seq % 16;
	const bool is_lines = p->is_lines;

	memcpy(to, p->noise + payload_place(p, id), count * size);
	for (; count > 0; count--, to += size) {
		memcpy(to, &number, PAYLOAD_NUMBER);
		if (is_lines)
			to[size - 1] = '\n';
		/* The next digit: after 9 comes a. */
		number.low += htobe64(++last_digit == 10 ? 'a' - '9' : 1);
	}
}

static inline bool payload_plain_matches(const struct payload *p,
					 struct message_id id, const char *data,
					 size_t size)
{
	const struct payload_number number = payload_number(id);
	const char *noise = p->noise + payload_place(p, id);
	size_t last = size - p->is_lines;

	return memcmp(&number, data, PAYLOAD_NUMBER) == 0 &&
	       (!p->is_lines || data[last] == '\n') &&
	       memcmp(noise + PAYLOAD_NUMBER, data + PAYLOAD_NUMBER,
		      last - PAYLOAD_NUMBER) == 0;
}

#endif
