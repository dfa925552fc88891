/* SPDX-License-Identifier: MIT */
/*
 * /metrics in the text format of Prometheus 0.0.4 or as OpenMetrics 1.0.  In
 * OpenMetrics, the HELP and TYPE lines of a counter name it without "_total",
 * and there is a last line.
 */
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "snapshot.h"

struct metrics {
	FILE *to;
	const struct snapshot *now;
	bool is_openmetrics;
};

typedef unsigned long long count;

static void describe(struct metrics *m, const char *name, const char *type,
		     const char *help)
{
	fprintf(m->to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void gauge(struct metrics *m, const char *name, double value,
		  const char *help)
{
	describe(m, name, "gauge", help);
	fprintf(m->to, "%s %.12g\n", name, value);
}

/* name is without "_total". */
static void describe_counter(struct metrics *m, const char *name,
			     const char *help)
{
	char full[80];

	snprintf(full, sizeof(full), "%s%s", name,
		 m->is_openmetrics ? "" : "_total");
	describe(m, full, "counter", help);
}

static void counter(struct metrics *m, const char *name, uint64_t value,
		    const char *help)
{
	describe_counter(m, name, help);
	fprintf(m->to, "%s_total %llu\n", name, (count)value);
}

/* Bucket i holds what is below 2^i us. */
static void histogram(struct metrics *m, const char *name,
		      const uint64_t bucket[WEIR_BUCKETS], uint64_t sum_us,
		      const char *help)
{
	uint64_t below = 0;

	describe(m, name, "histogram", help);
	for (int i = 0; i < WEIR_BUCKETS - 1; i++) {
		below += bucket[i];
		fprintf(m->to, "%s_bucket{le=\"%.10g\"} %llu\n", name,
			(double)(UINT64_C(1) << i) / 1e6, (count)below);
	}
	below += bucket[WEIR_BUCKETS - 1];
	fprintf(m->to,
		"%s_bucket{le=\"+Inf\"} %llu\n%s_sum %.6f\n%s_count %llu\n",
		name, (count)below, name, (double)sum_us / 1e6, name,
		(count)below);
}

static void sample(struct metrics *m, const struct listener_figures *l,
		   const char *name, const char *key, const char *label)
{
	fprintf(m->to, "%s{service=\"%s\",listener=", name, l->service);
	json_text(m->to, l->address);
	if (key)
		fprintf(m->to, ",%s=\"%s\"", key, label);
	fputs("} ", m->to);
}

#define LISTENERS(m, name, key, label, format, value)                          \
	for (size_t i_ = 0; i_ < (m)->now->listener_count; i_++) {             \
		const struct listener_figures *l = &(m)->now->listeners[i_];   \
		sample(m, l, name, key, label);                                \
		fprintf((m)->to, format "\n", value);                          \
	}

/* For the listeners with TLS; value is a whole number. */
#define TLS_LISTENERS(m, name, key, label, value)                              \
	for (size_t i_ = 0; i_ < (m)->now->listener_count; i_++) {             \
		const struct listener_figures *l = &(m)->now->listeners[i_];   \
		if (!l->has_tls)                                               \
			continue;                                              \
		sample(m, l, name, key, label);                                \
		fprintf((m)->to, "%llu\n", value);                             \
	}

static void listener_outcomes(struct metrics *m)
{
	static const char name[] = "weir_connections_ended_total";

	describe_counter(m, "weir_connections_ended",
			 "Connections that have ended, by outcome.");
#define OUTCOME(column)                                                        \
	LISTENERS(m, name, "outcome", #column, "%llu",                         \
		  (count)l->stats.ledger.column)
	OUTCOME(completed)
	OUTCOME(failed)
	OUTCOME(timed_out)
	OUTCOME(refused)
	OUTCOME(probed)
	OUTCOME(cut)
#undef OUTCOME
}

static void listener_refusals(struct metrics *m)
{
	static const char name[] = "weir_connections_refused_total";

	describe_counter(m, "weir_connections_refused",
			 "Connections refused, by reason.");
#define REASON(column)                                                         \
	LISTENERS(m, name, "reason", #column, "%llu",                          \
		  (count)l->stats.ledger.refused_##column)
	REASON(full)
	REASON(age)
	REASON(limit)
	REASON(drain)
	REASON(access)
	REASON(source)
	REASON(rate)
	REASON(early)
	REASON(proxy)
	REASON(header)
#undef REASON
}

static void listener_timeouts(struct metrics *m)
{
	static const char name[] = "weir_connections_timed_out_total";
	const char *timeout;

	describe_counter(m, "weir_connections_timed_out",
			 "Connections ended by a deadline, by deadline.");
	for (int i = 1; (timeout = snapshot_timeout(i)) != NULL; i++)
		LISTENERS(m, name, "timeout", timeout, "%llu",
			  (count)l->stats.timed_out[i]);
}

static void listener_tls(struct metrics *m)
{
	const char *result;

	describe_counter(m, "weir_tls_handshakes",
			 "TLS handshakes that have ended, by result.");
	for (int i = 0; (result = snapshot_handshake(i)) != NULL; i++)
		TLS_LISTENERS(m, "weir_tls_handshakes_total", "result", result,
			      (count)l->stats.handshakes[i]);
	describe_counter(
		m, "weir_tls_truncated",
		"Connections that clients ended without close_notify.");
	TLS_LISTENERS(m, "weir_tls_truncated_total", NULL, NULL,
		      (count)l->stats.truncated)
	histogram(m, "weir_tls_handshake_seconds", m->now->stats.handshake_time,
		  m->now->stats.handshake_us,
		  "Duration of TLS handshakes that have succeeded.");
}

static void of_listeners(struct metrics *m)
{
	describe_counter(m, "weir_connections_accepted",
			 "Connections accepted.");
	LISTENERS(m, "weir_connections_accepted_total", NULL, NULL, "%llu",
		  (count)l->stats.ledger.accepted)
	listener_outcomes(m);
	listener_refusals(m);
	listener_timeouts(m);
	describe(m, "weir_listener_connections", "gauge",
		 "Open connections of a listener.");
	LISTENERS(m, "weir_listener_connections", NULL, NULL, "%llu",
		  (count)l->stats.ledger.open)
	describe_counter(m, "weir_received_bytes", "Bytes received.");
	LISTENERS(m, "weir_received_bytes_total", NULL, NULL, "%llu",
		  (count)l->stats.bytes_in)
	describe_counter(m, "weir_sent_bytes", "Bytes sent.");
	LISTENERS(m, "weir_sent_bytes_total", NULL, NULL, "%llu",
		  (count)l->stats.bytes_out)
	describe_counter(m, "weir_callbacks", "Callbacks run.");
	LISTENERS(m, "weir_callbacks_total", NULL, NULL, "%llu",
		  (count)l->stats.callbacks)
	describe_counter(m, "weir_callback_seconds",
			 "Time that workers have spent in callbacks.");
	LISTENERS(m, "weir_callback_seconds_total", NULL, NULL, "%.6f",
		  (double)l->stats.callback_us / 1e6)
	describe_counter(m, "weir_queue_seconds",
			 "Time that connections have waited for a worker.");
	LISTENERS(m, "weir_queue_seconds_total", NULL, NULL, "%.6f",
		  (double)l->stats.queue_wait_us / 1e6)
	describe_counter(m, "weir_connection_seconds",
			 "Time that ended connections had been open.");
	LISTENERS(m, "weir_connection_seconds_total", NULL, NULL, "%.6f",
		  (double)l->stats.connection_us / 1e6)
	if (m->now->has_tls)
		listener_tls(m);
}

static void of_server(struct metrics *m)
{
	const struct weir_stats *s = &m->now->stats;
	uint64_t apart = s->queued + s->parked + s->lingering;
	uint64_t active = s->ledger.open > apart ? s->ledger.open - apart : 0;

	describe(m, "weir_build_info", "gauge", "Always 1; has the version.");
	fprintf(m->to, "weir_build_info{version=\"%s\"} 1\n", weir_version());
	gauge(m, "weir_ready", snapshot_unready(m->now) == NULL,
	      "1 if clients should come, as /readyz says.");
	gauge(m, "weir_draining", m->now->is_draining,
	      "1 once a stop was requested.");
	describe(m, "weir_connections", "gauge",
		 "Open connections, by what they do.");
	fprintf(m->to, "weir_connections{state=\"queued\"} %llu\n",
		(count)s->queued);
	fprintf(m->to, "weir_connections{state=\"active\"} %llu\n",
		(count)active);
	fprintf(m->to, "weir_connections{state=\"parked\"} %llu\n",
		(count)s->parked);
	fprintf(m->to, "weir_connections{state=\"lingering\"} %llu\n",
		(count)s->lingering);
	gauge(m, "weir_connections_max", (double)s->max_connections,
	      "Limit of open connections.");
	gauge(m, "weir_queue_max", (double)s->queue_length,
	      "Limit of connections that wait for a worker.");
	gauge(m, "weir_workers", (double)s->workers, "Worker threads.");
	gauge(m, "weir_workers_busy", (double)s->busy,
	      "Workers that run a callback.");
	gauge(m, "weir_longest_callback_seconds",
	      (double)s->longest_callback_ms / 1e3,
	      "Age of the oldest callback that runs.");
	gauge(m, "weir_unsent_bytes", (double)s->unsent,
	      "Output that clients have not taken.");
	gauge(m, "weir_unsent_bytes_max", (double)s->outbox_total,
	      "Limit of output that clients have not taken.");
	counter(m, "weir_sends", s->sends,
		"Messages sent through a reference to a connection.");
	counter(m, "weir_sends_refused", s->sends_refused,
		"Output refused because a client had not taken enough.");
	histogram(m, "weir_queue_wait_seconds", s->queue_wait, s->queue_wait_us,
		  "Wait of new connections for a worker.");
	histogram(m, "weir_callback_duration_seconds", s->callback_time,
		  s->callback_us, "Duration of callbacks.");
	counter(m, "weir_dead_on_arrival", s->dead_on_arrival,
		"Clients that were gone when a worker came.");
	counter(m, "weir_accept_errors", s->accept_errors,
		"Connections that the kernel lost before the accept.");
	counter(m, "weir_shortages", s->shortages,
		"Pauses of accepting for lack of descriptors or memory.");
	counter(m, "weir_starvations", s->starvations,
		"Times that work waited while all workers were in callbacks "
		"for 5 s.");
	counter(m, "weir_sources_full", s->sources_full,
		"Clients accepted uncounted: the table of sources was full.");
	counter(m, "weir_evictions", s->evictions,
		"Idle connections that were asked to end for other clients.");
	counter(m, "weir_late_bytes", s->late_bytes,
		"Bytes that came after the end of a connection's output.");
	if (m->now->tls_ends.certificate_s != INT64_MAX)
		gauge(m, "weir_tls_certificate_expiry_seconds",
		      (double)m->now->tls_ends.certificate_s,
		      "Time until the certificate ends; below 0 after it.");
	if (m->now->tls_ends.crl_s != INT64_MAX)
		gauge(m, "weir_tls_crl_expiry_seconds",
		      (double)m->now->tls_ends.crl_s,
		      "Time until the list of revoked certificates ends; below "
		      "0 after it.");
	describe_counter(m, "weir_log_dropped",
			 "Log lines that were not written, by source.");
	fprintf(m->to, "weir_log_dropped_total{source=\"library\"} %llu\n",
		(count)s->log_dropped);
	fprintf(m->to, "weir_log_dropped_total{source=\"server\"} %llu\n",
		(count)m->now->journal_dropped);
	fprintf(m->to, "weir_log_dropped_total{source=\"access\"} %llu\n",
		(count)m->now->access_dropped);
}

/* NAN: /proc is out of reach, as with --chroot and --sandbox. */
static double open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = -3; /* ".", ".." and the one of d */

	if (!d)
		return NAN;
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/*
 * Field n of a file in /proc.  Counts from 1, after the name in parentheses if
 * there is one.  NAN as in open_descriptors().
 */
static double proc_field(const char *path, int n)
{
	FILE *f = fopen(path, "re");
	char line[1024] = "", *at, *rest = NULL;

	if (!f)
		return NAN;
	if (!fgets(line, sizeof(line), f))
		line[0] = '\0';
	fclose(f);
	at = strrchr(line, ')');
	at = strtok_r(at ? at + 1 : line, " ", &rest);
	while (at && --n > 0)
		at = strtok_r(NULL, " ", &rest);
	return at ? strtod(at, NULL) : 0;
}

/* The time of the boot, plus the time from there to the process's start. */
static double start_seconds(void)
{
	struct timespec up, now;

	clock_gettime(CLOCK_BOOTTIME, &up);
	clock_gettime(CLOCK_REALTIME, &now);
	return (double)now.tv_sec - (double)up.tv_sec +
	       (double)(now.tv_nsec - up.tv_nsec) / 1e9 +
	       proc_field("/proc/self/stat", 20) / (double)sysconf(_SC_CLK_TCK);
}

static void gauge_if_known(struct metrics *m, const char *name, double value,
			   const char *help)
{
	if (!isnan(value))
		gauge(m, name, value, help);
}

static void of_process(struct metrics *m)
{
	struct rusage used;
	struct rlimit files = { .rlim_cur = 0 };

	getrusage(RUSAGE_SELF, &used);
	getrlimit(RLIMIT_NOFILE, &files);
	describe_counter(m, "process_cpu_seconds",
			 "Processor time of user and system.");
	fprintf(m->to, "process_cpu_seconds_total %.6f\n",
		(double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
			(double)(used.ru_utime.tv_usec +
				 used.ru_stime.tv_usec) /
				1e6);
	gauge_if_known(m, "process_open_fds", open_descriptors(),
		       "Open descriptors.");
	gauge(m, "process_max_fds", (double)files.rlim_cur,
	      "Limit of open descriptors.");
	gauge_if_known(m, "process_resident_memory_bytes",
		       proc_field("/proc/self/statm", 2) *
			       (double)sysconf(_SC_PAGESIZE),
		       "Resident memory.");
	gauge_if_known(m, "process_start_time_seconds", start_seconds(),
		       "Start of the process, in seconds since 1970.");
}

void metrics_write(FILE *to, const struct snapshot *s, bool is_openmetrics)
{
	struct metrics m = { to, s, is_openmetrics };

	of_server(&m);
	of_listeners(&m);
	of_process(&m);
	if (is_openmetrics)
		fputs("# EOF\n", to);
}
