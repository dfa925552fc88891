/* SPDX-License-Identifier: MIT */
/*
 * /status.json.  Names follow weir.h; times are in seconds.
 */
#include <string.h>
#include <unistd.h>

#include "../../cli/text.h"
#include "history.h"
#include "snapshot.h"

typedef unsigned long long count;

/*
 * Also for a label of a metric, which could not hold \u00xx.  Bytes that
 * neither may have are escaped first, as in the log.
 */
void json_text(FILE *to, const char *text)
{
	char shown[4 * sizeof(((struct listener_figures *)0)->address)];

	cli_escape(shown, sizeof(shown), text, strlen(text), CLI_KEEP_UTF8);
	putc('"', to);
	for (text = shown; *text; text++) {
		if (*text == '"' || *text == '\\')
			putc('\\', to);
		putc(*text, to);
	}
	putc('"', to);
}

static void write_ledger(FILE *to, const struct weir_ledger *l)
{
	fprintf(to,
		"{\"accepted\":%llu,\"dialled\":%llu,\"spawned\":%llu,"
		"\"open\":%llu,\"closed\":%llu,\"completed\":%llu,"
		"\"failed\":%llu,\"timed_out\":%llu,\"refused\":%llu,"
		"\"cut\":%llu,\"refused_full\":%llu,\"refused_age\":%llu,"
		"\"refused_limit\":%llu,\"refused_drain\":%llu,"
		"\"refused_access\":%llu,\"refused_source\":%llu,"
		"\"refused_rate\":%llu,\"refused_early\":%llu,"
		"\"refused_proxy\":%llu,\"refused_header\":%llu,"
		"\"probed\":%llu}",
		(count)l->accepted, (count)l->dialled, (count)l->spawned,
		(count)l->open, (count)l->closed, (count)l->completed,
		(count)l->failed, (count)l->timed_out, (count)l->refused,
		(count)l->cut, (count)l->refused_full, (count)l->refused_age,
		(count)l->refused_limit, (count)l->refused_drain,
		(count)l->refused_access, (count)l->refused_source,
		(count)l->refused_rate, (count)l->refused_early,
		(count)l->refused_proxy, (count)l->refused_header,
		(count)l->probed);
}

static void write_timeouts(FILE *to, const uint64_t *timed_out)
{
	const char *timeout;

	fputs(",\"timeouts\":{", to);
	for (int i = 1; (timeout = snapshot_timeout(i)) != NULL; i++)
		fprintf(to, "%s\"%s\":%llu", i > 1 ? "," : "", timeout,
			(count)timed_out[i]);
	putc('}', to);
}

static void write_tls(FILE *to, const struct weir_listener_stats *l)
{
	const char *result;

	fputs(",\"handshakes\":{", to);
	for (int i = 0; (result = snapshot_handshake(i)) != NULL; i++)
		fprintf(to, "%s\"%s\":%llu", i > 0 ? "," : "", result,
			(count)l->handshakes[i]);
	fprintf(to, "},\"truncated\":%llu", (count)l->truncated);
}

static void write_listeners(FILE *to, const struct snapshot *s)
{
	fputs(",\"listeners\":[", to);
	for (size_t i = 0; i < s->listener_count; i++) {
		const struct listener_figures *l = &s->listeners[i];

		fprintf(to,
			"%s{\"service\":\"%s\",\"address\":", i > 0 ? "," : "",
			l->service);
		json_text(to, l->address);
		fputs(",\"ledger\":", to);
		write_ledger(to, &l->stats.ledger);
		write_timeouts(to, l->stats.timed_out);
		fprintf(to,
			",\"bytes_in\":%llu,\"bytes_out\":%llu,"
			"\"callbacks\":%llu,\"queue_wait\":%.6f,"
			"\"callback_time\":%.6f,\"connection_time\":%.6f",
			(count)l->stats.bytes_in, (count)l->stats.bytes_out,
			(count)l->stats.callbacks,
			(double)l->stats.queue_wait_us / 1e6,
			(double)l->stats.callback_us / 1e6,
			(double)l->stats.connection_us / 1e6);
		if (l->has_tls)
			write_tls(to, &l->stats);
		putc('}', to);
	}
	putc(']', to);
}

static void write_now(FILE *to, const struct weir_stats *s)
{
	fprintf(to,
		",\"now\":{\"queued\":%llu,\"parked\":%llu,\"lingering\":%llu,"
		"\"unsent\":%llu,\"busy\":%llu,\"longest_callback\":%.3f,"
		"\"stacks\":%llu,\"stacks_pooled\":%llu,"
		"\"stack_deepest\":%llu}",
		(count)s->queued, (count)s->parked, (count)s->lingering,
		(count)s->unsent, (count)s->busy,
		(double)s->longest_callback_ms / 1e3, (count)s->stacks,
		(count)s->stacks_pooled, (count)s->stack_deepest);
	fprintf(to,
		",\"limits\":{\"workers\":%llu,\"queue_length\":%llu,"
		"\"max_connections\":%llu,\"max_dialled\":%llu,"
		"\"outbox_total\":%llu}",
		(count)s->workers, (count)s->queue_length,
		(count)s->max_connections, (count)s->max_dialled,
		(count)s->outbox_total);
}

static void write_totals(FILE *to, const struct snapshot *now)
{
	static const uint64_t none[WEIR_BUCKETS];
	const struct weir_stats *s = &now->stats;

	fprintf(to,
		",\"bytes_in\":%llu,\"bytes_out\":%llu,\"sends\":%llu,"
		"\"sends_refused\":%llu,\"callbacks\":%llu,"
		"\"timer_calls\":%llu,"
		"\"dead_on_arrival\":%llu,\"accept_errors\":%llu,"
		"\"shortages\":%llu,\"starvations\":%llu,\"late_bytes\":%llu,"
		"\"sources_full\":%llu,\"evictions\":%llu,"
		"\"log_dropped\":%llu",
		(count)s->bytes_in, (count)s->bytes_out, (count)s->sends,
		(count)s->sends_refused, (count)s->callbacks,
		(count)s->timer_calls, (count)s->dead_on_arrival,
		(count)s->accept_errors, (count)s->shortages,
		(count)s->starvations, (count)s->late_bytes,
		(count)s->sources_full, (count)s->evictions,
		(count)s->log_dropped + now->journal_dropped +
			now->access_dropped);
	fprintf(to, ",\"queue_wait\":%.6f,\"callback_time\":%.6f",
		(double)s->queue_wait_us / 1e6, (double)s->callback_us / 1e6);
	fprintf(to, ",\"queue_wait_p99\":%.6g,\"callback_time_p99\":%.6g",
		history_quantile(none, s->queue_wait, 0.99),
		history_quantile(none, s->callback_time, 0.99));
}

void json_write(FILE *to, const struct snapshot *s, uint64_t since)
{
	const char *unready = snapshot_unready(s);

	fprintf(to, "{\"version\":\"%s\",\"pid\":%ld,\"time\":%.3f",
		weir_version(), (long)getpid(), (double)s->at_ms / 1e3);
	fprintf(to, ",\"ready\":%s,\"draining\":%s,\"unready\":",
		unready ? "false" : "true", s->is_draining ? "true" : "false");
	json_text(to, unready ? unready : "");
	fputs(",\"ledger\":", to);
	write_ledger(to, &s->stats.ledger);
	write_timeouts(to, s->stats.timed_out);
	write_now(to, &s->stats);
	write_totals(to, s);
	write_listeners(to, s);
	fputs(",\"history\":{", to);
	history_write(to, since);
	fputs("}}\n", to);
}
