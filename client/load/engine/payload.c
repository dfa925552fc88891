/* SPDX-License-Identifier: MIT */
/*
 * Messages are computed: number, noise, and a newline for lines.  The noise
 * begins at a place in the table that depends on the number, and wraps around.
 * Messages of --text are those of its template.
 */
#include "payload.h"

#include <string.h>

#include "random.h"

void payload_init(struct payload *p, const struct plan *plan)
{
	uint64_t state = plan->seed;

	p->plan = plan;
	p->is_lines = plan->payload == PAYLOAD_LINES;
	p->is_numbered = plan->payload != PAYLOAD_TEXT &&
			 plan->size_min > PAYLOAD_NUMBER;
	p->is_plain = p->is_numbered && plan->size_max <= PAYLOAD_NOISE;
	p->size = plan->size_min == plan->size_max ? plan->size_max : 0;
	p->run = 1;
	while (p->size > 0 && p->run < PAYLOAD_GROUP &&
	       2 * p->run * p->size <= PAYLOAD_PIECE)
		p->run *= 2;
	for (size_t i = 0; i < PAYLOAD_NOISE; i += sizeof(uint64_t)) {
		uint64_t r = random_next(&state);

		if (p->is_lines) /* letters from A to P */
			r = (r & UINT64_C(0x0f0f0f0f0f0f0f0f)) +
			    UINT64_C(0x4141414141414141);
		memcpy(p->noise + i, &r, sizeof(r));
	}
	memcpy(p->noise + PAYLOAD_NOISE, p->noise, PAYLOAD_NOISE);
}

/* In a script {seq} is the number of the pass through its loop. */
static const struct template *text_of(const struct payload *p,
				      struct message_id *id)
{
	const struct load_script *s = p->plan->script;
	const size_t count = s ? s->parts[SCRIPT_LOOP].count : 0;
	const struct script_step *step;

	if (!s)
		return p->plan->text;
	step = &s->parts[SCRIPT_LOOP].steps[id->seq % count];
	id->seq /= count;
	return &step->text;
}

size_t payload_varying_size(const struct payload *p, struct message_id id)
{
	size_t min = p->plan->size_min, max = p->plan->size_max;
	uint64_t r;

	if (p->plan->payload == PAYLOAD_TEXT)
		return template_size(text_of(p, &id), id);
	r = random_mix(random_mix(p->plan->seed) ^ ((uint64_t)id.conn << 40) ^
		       id.seq);
	return min + (size_t)((r >> 32) % (max - min + 1));
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool payload_read_id(struct message_id *ret, const char *data)
{
	*ret = (struct message_id){ 0 };
	for (int i = 0; i < PAYLOAD_NUMBER; i++) {
		int d = digit(data[i]);

		if (d < 0)
			return false;
		if (i < 6)
			ret->conn = ret->conn << 4 | (uint32_t)d;
		else
			ret->seq = ret->seq << 4 | (uint64_t)d;
	}
	return true;
}

struct part {
	const char *data;
	size_t len;
};

static struct part part_of(const struct payload *p, struct message_id id,
			   size_t from, size_t len, char room[PAYLOAD_NUMBER])
{
	size_t start = p->is_numbered ? PAYLOAD_NUMBER : 0;
	size_t at;

	if (from < start) {
		const struct payload_number number = payload_number(id);

		memcpy(room, &number, PAYLOAD_NUMBER);
		if (len > start - from)
			len = start - from;
		return (struct part){ room + from, len };
	}
	if (p->is_lines) {
		size_t last = payload_size(p, id) - 1;

		if (from == last)
			return (struct part){ "\n", 1 };
		if (len > last - from)
			len = last - from;
	}
	at = (payload_place(p, id) + from) % PAYLOAD_NOISE;
	if (len > PAYLOAD_NOISE)
		len = PAYLOAD_NOISE;
	return (struct part){ p->noise + at, len };
}

void payload_fill(const struct payload *p, struct message_id id, int64_t at,
		  size_t from, char *to, size_t len)
{
	char room[PAYLOAD_NUMBER];

	if (p->plan->payload == PAYLOAD_TEXT) {
		template_fill(text_of(p, &id), id, at, from, to, len);
		return;
	}
	while (len > 0) {
		struct part part = part_of(p, id, from, len, room);

		memcpy(to, part.data, part.len);
		from += part.len;
		to += part.len;
		len -= part.len;
	}
}

bool payload_matches(const struct payload *p, struct message_id id, size_t from,
		     const char *data, size_t len)
{
	char room[PAYLOAD_NUMBER];

	if (p->plan->payload == PAYLOAD_TEXT)
		return template_matches(text_of(p, &id), id, from, data, len);
	while (len > 0) {
		struct part part = part_of(p, id, from, len, room);

		if (memcmp(data, part.data, part.len) != 0)
			return false;
		from += part.len;
		data += part.len;
		len -= part.len;
	}
	return true;
}
