/* SPDX-License-Identifier: MIT */
/*
 * What a message says.  Each is numbered: the connection in 6 hexadecimal
 * digits, the message on it in 10, then noise that depends on both; so any
 * part of any message can be made again when it is to be sent or compared,
 * and nothing is kept.
 *
 * Constant after payload_init(); any thread.
 */
#ifndef LOAD_PAYLOAD_H
#define LOAD_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../plan.h"

#define PAYLOAD_NUMBER 16 /* bytes that say whose message it is */
#define PAYLOAD_NOISE  65536
#define PAYLOAD_GROUP  16   /* messages whose noise is one piece of the table */
#define PAYLOAD_PIECE  4096 /* bytes that are made at once */

struct payload {
	const struct plan *plan;
	bool is_numbered; /* long enough to say whose it is */
	bool is_lines;
	bool is_plain; /* see payload_plain.h */
	size_t size;   /* of every message; 0: they differ */
	size_t run;    /* a power of 2: as many plain ones are one piece */
	char noise[2 * PAYLOAD_NOISE];
};

/* The number of a message. */
struct payload_name {
	uint32_t link;
	uint64_t seq;
};

void payload_init(struct payload *p, const struct plan *plan);

size_t payload_random_size(const struct payload *p, struct payload_name name);

static inline size_t payload_size(const struct payload *p,
				  struct payload_name name)
{
	return p->size > 0 ? p->size : payload_random_size(p, name);
}

/* Bytes from..from + len of the message; both inside of it. */
void payload_fill(const struct payload *p, struct payload_name name,
		  size_t from, char *to, size_t len);

bool payload_is(const struct payload *p, struct payload_name name, size_t from,
		const char *data, size_t len);

/* Read a number of PAYLOAD_NUMBER bytes; false if it is none. */
bool payload_read_name(struct payload_name *ret, const char *data);

#endif
