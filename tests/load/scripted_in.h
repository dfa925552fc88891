/* SPDX-License-Identifier: MIT */
/* Shared by the files of the faulty server. */
#ifndef TESTS_LOAD_SCRIPTED_IN_H
#define TESTS_LOAD_SCRIPTED_IN_H

#include "scripted.h"

/* A connection of the server. */
struct scripted_conn {
	int fd;
	bool was_told; /* it sent something */
	bool is_starved, was_reset;
	bool is_leaving; /* nothing more is to be sent */
	uint64_t bytes;
	int64_t heard_at;
	char *in, *out;
	size_t in_used, in_cap, out_used, out_cap;
	char *held; /* a reply that comes after the next */
	size_t held_len;
	char delayed[512]; /* a delayed one */
	size_t delayed_len;
	int64_t delayed_at;
	struct scripted_conn *next;
};

struct scripted {
	struct script script;
	struct plan plan;
	struct payload payload;
	char address[160];
	int listener, epoll;
	pthread_t thread;
	atomic_bool is_ending;
	bool is_dead, has_stalled;
	struct scripted_conn *conns;
	struct scripted_conn *gone; /* to be freed when no event refers to it */
	unsigned char *faults;	    /* by number of message */
	struct seen seen;
	char buffer[65536];
};

int64_t scripted_now(void);

/* Choose the affected messages. */
void script_places(struct scripted *s);
/* Append to the output. */
void scripted_conn_send(struct scripted *s, struct scripted_conn *g,
			const char *data, size_t len);
/* Close it; its memory is freed later. */
void scripted_conn_close(struct scripted *s, struct scripted_conn *g,
			 bool is_reset);
/* Handle input. */
void scripted_conn_on_input(struct scripted *s, struct scripted_conn *g);

#endif
