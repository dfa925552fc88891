/* SPDX-License-Identifier: MIT */
/*
 * The parts of the report; report.c puts them in order.
 */
#ifndef LOAD_REPORT_LINES_H
#define LOAD_REPORT_LINES_H

#include "page.h"
#include "report.h"

/* report_account.c: what happened to the messages and connections */
void report_messages(struct page *p, const struct result *r);
void report_rate(struct page *p, const struct result *r);
void report_connections(struct page *p, const struct result *r);
void report_content(struct page *p, const struct result *r);
void report_errors(struct page *p, const struct result *r);
void report_misfits(struct page *p, const struct result *r);

/* report_latency.c: how long they took */
void report_latency(struct page *p, const struct result *r);
void report_latency_short(struct page *p, const struct result *r);
void report_seconds(struct page *p, const struct result *r, bool has_utf8);

#endif
