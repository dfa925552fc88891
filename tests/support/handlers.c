/* SPDX-License-Identifier: MIT */
/*
 * Handlers that several tests use, each as session or readable, and the gate.
 */
#include "test.h"

void gate_wait(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	g->waiting++;
	while (!g->is_open && g->passes == 0)
		pthread_cond_wait(&g->cond, &g->lock);
	if (!g->is_open)
		g->passes--;
	g->waiting--;
	pthread_mutex_unlock(&g->lock);
}

int gate_waiting(struct gate *g)
{
	int n;

	pthread_mutex_lock(&g->lock);
	n = g->waiting;
	pthread_mutex_unlock(&g->lock);
	return n;
}

void gate_open(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	g->is_open = true;
	pthread_cond_broadcast(&g->cond);
	pthread_mutex_unlock(&g->lock);
}

void gate_let_in(struct gate *g, int count)
{
	pthread_mutex_lock(&g->lock);
	g->passes += count;
	pthread_cond_broadcast(&g->cond);
	pthread_mutex_unlock(&g->lock);
}

int discard(weir_conn *c, void *arg)
{
	char bytes[256];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read(c, bytes, sizeof(bytes))) > 0)
		continue;
	return (int)n;
}

int echo(weir_conn *c, void *arg)
{
	char buf[16384];
	ssize_t n;
	int rc;

	(void)arg;
	while ((n = weir_conn_read(c, buf, sizeof(buf))) > 0) {
		rc = weir_conn_write(c, buf, (size_t)n);
		if (rc < 0)
			return rc;
	}
	return (int)n;
}

int echo_a_line(weir_conn *c, void *arg)
{
	char line[4096];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	int rc;

	(void)arg;
	if (n <= 0)
		return (int)n;
	rc = weir_conn_write(c, line, (size_t)n);
	return rc < 0 ? rc : WEIR_AGAIN;
}

int echo_lines(weir_conn *c, void *arg)
{
	int rc;

	do
		rc = echo_a_line(c, arg);
	while (rc == WEIR_AGAIN);
	return rc;
}

int connect_banner(weir_conn *c, void *arg)
{
	int rc = weir_conn_write(c, "Connect", 7);

	(void)arg;
	return rc < 0 ? rc : WEIR_AGAIN;
}

int reply(weir_conn *c, void *arg)
{
	char message[1024];
	ssize_t n;
	int rc;

	(void)arg;
	while ((n = weir_conn_read(c, message, sizeof(message))) > 0) {
		rc = weir_conn_printf(c, "Server replies: ");
		if (rc == 0)
			rc = weir_conn_write(c, message, (size_t)n);
		if (rc < 0)
			return rc;
	}
	return (int)n;
}

int echo_lines_at_gate(weir_conn *c, void *arg)
{
	char line[4096];
	ssize_t n;
	int rc;

	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0) {
		if (strcmp(line, "wait\n") == 0)
			gate_wait(arg);
		rc = weir_conn_write(c, line, (size_t)n);
		if (rc < 0)
			return rc;
	}
	return (int)n;
}

void client_wait_at_gate(struct client *c, struct gate *gate)
{
	int before = gate_waiting(gate);

	client_send(c, "wait\n");
	UNTIL(gate_waiting(gate) == before + 1);
}
