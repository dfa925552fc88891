/* SPDX-License-Identifier: MIT */
/*
 * The figures of the watched server at one moment, and how they are written.
 * One thread: the worker that serves the status.
 */
#ifndef SERVER_STATUS_SNAPSHOT_H
#define SERVER_STATUS_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <weir.h>

#include "../certificate.h"
#include "../options.h"

struct listener_figures {
	const char *service;
	char address[512];
	bool has_tls;
	struct weir_listener_stats stats;
};

struct snapshot {
	int64_t at_ms; /* since 1970 */
	bool is_draining;
	bool has_tls;
	struct weir_stats stats;
	struct listener_figures *listeners;
	size_t listener_count;
	uint64_t journal_dropped;
	uint64_t access_dropped;
	struct certificate_ends tls_ends;
};

/* To be freed by snapshot_fini().  False: there is no memory. */
bool snapshot_take(struct snapshot *ret, weir_server *s,
		   const struct options *o);
void snapshot_fini(struct snapshot *s);

/* The name of a WEIR_HANDSHAKE_...; NULL: there is none. */
const char *snapshot_handshake(int result);

/* WEIR_TIMEOUT_..., from 1 on, as a label; NULL: there is none. */
const char *snapshot_timeout(int timeout);

/* Why clients should not come; NULL: they may. */
const char *snapshot_unready(const struct snapshot *s);

void metrics_write(FILE *to, const struct snapshot *s, bool is_openmetrics);

/* All as JSON, with the samples of the history after number since. */
void json_write(FILE *to, const struct snapshot *s, uint64_t since);

/* A string in JSON, or in a label of a metric. */
void json_text(FILE *to, const char *text);

#endif
