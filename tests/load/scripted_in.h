/* SPDX-License-Identifier: MIT */
/*
 * What the files of the scripted server share.
 */
#ifndef TESTS_LOAD_SCRIPTED_IN_H
#define TESTS_LOAD_SCRIPTED_IN_H

#include "scripted.h"

/* A connection, as the server has it. */
struct scripted_conn {
	int fd;
	bool was_told; /* something, at least once */
	bool is_starved, was_reset;
	bool is_leaving; /* its output is over */
	uint64_t bytes;
	int64_t heard_at;
	char *in, *out;
	size_t in_used, in_cap, out_used, out_cap;
	char *held; /* a reply that comes after the next */
	size_t held_len;
	char delayed[512]; /* one that comes later */
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
	bool is_dead;
	struct scripted_conn *guests;
	struct scripted_conn *gone; /* to be freed when no event points there */
	unsigned char *faults;	    /* by number of message */
	struct seen seen;
	char buffer[65536];
};

int64_t scripted_now(void);

/* Decide which messages suffer. */
void script_places(struct scripted *s);
/* Put into the output. */
void scripted_conn_send(struct scripted *s, struct scripted_conn *g,
			const char *data, size_t len);
/* Close it; its memory stays for now. */
void scripted_conn_close(struct scripted *s, struct scripted_conn *g,
			 bool is_reset);
/* There is something in its input. */
void scripted_conn_on_input(struct scripted *s, struct scripted_conn *g);

#endif
