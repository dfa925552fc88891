/* SPDX-License-Identifier: MIT */
/*
 * The service of all scenarios.  Its callbacks run on workers; "later" starts a
 * thread.
 */
#include "env.h"

#include <sys/mman.h>
#include <sys/socket.h>

#define MOST_LATER 16

static char big[SWEEP_BIG];
static int file = -1;
static pthread_t later[MOST_LATER];
static atomic_int later_count;
static weir_ref *all[2]; /* the first that have opened */
static atomic_int all_count;

const char *sweep_big(void)
{
	return big;
}

void sweep_service_start(void)
{
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = byte_at(i);
	file = memfd_create("big", MFD_CLOEXEC);
	if (write(file, big, sizeof(big)) != (ssize_t)sizeof(big))
		sweep_fail("no file for the test itself");
}

void sweep_service_stop(void)
{
	int count = atomic_load(&later_count);

	for (int i = 0; i < count && i < MOST_LATER; i++)
		pthread_join(later[i], NULL);
	close(file);
	for (int i = 0; i < atomic_load(&all_count); i++)
		weir_ref_unref(all[i]);
	atomic_store(&all_count, 0);
}

static void *speak_later(void *arg)
{
	weir_ref *c = arg;
	int rc = weir_ref_send(c, "la", 2);

	if (rc == 0)
		rc = weir_ref_send(c, "ter\n", 4);
	if (rc == 0)
		rc = weir_ref_wake(c);
	if (rc < 0)
		(void)weir_ref_cancel(c);
	weir_ref_unref(c);
	return NULL;
}

static int say_later(weir_conn *c)
{
	int i = atomic_fetch_add(&later_count, 1);

	if (i >= MOST_LATER)
		return -ENOBUFS;
	if (pthread_create(&later[i], NULL, speak_later, weir_conn_ref(c)))
		sweep_fail("no thread for the test itself");
	return 0;
}

int sweep_join_all(weir_conn *c, void *arg)
{
	int i = atomic_load(&all_count);

	(void)arg;
	if (i == 2)
		return WEIR_AGAIN;
	all[i] = weir_conn_ref(c);
	atomic_store(&all_count, i + 1);
	return WEIR_AGAIN;
}

static int say_all(void)
{
	weir_msg *msg;
	int rc = weir_msg_new(&msg, big, SWEEP_SHARED);

	if (rc < 0) /* one failure costs one client, not all */
		rc = weir_msg_new(&msg, big, SWEEP_SHARED);
	for (int i = 0; i < atomic_load(&all_count); i++) {
		int sent = rc < 0 ? rc : weir_ref_send(all[i], "all\n", 4);

		if (sent == 0)
			sent = weir_ref_send_msg(all[i], msg);
		if (sent < 0)
			(void)weir_ref_cancel(all[i]);
	}
	if (rc == 0)
		weir_msg_unref(msg);
	return 0;
}

static int say_much(weir_conn *c, bool as_file)
{
	const int room = 4096;

	(void)setsockopt(weir_conn_fd(c), SOL_SOCKET, SO_SNDBUF, &room,
			 sizeof(room));
	if (!as_file)
		return weir_conn_write(c, big, sizeof(big));
	return weir_conn_sendfile(c, file, 0, sizeof(big));
}

int sweep_file(void)
{
	return file;
}

static int says_names(weir_conn *c)
{
	char name[200];
	int rc = weir_conn_peer(c, name, sizeof(name));

	if (rc >= 0)
		rc = weir_conn_local(c, name, sizeof(name));
	return rc < 0 ? rc : weir_conn_printf(c, "%s\n%600s", "names", "");
}

static int send_line(weir_conn *c, const char *line)
{
	if (strcmp(line, "big\n") == 0 || strcmp(line, "file\n") == 0)
		return say_much(c, line[0] == 'f');
	if (strcmp(line, "names\n") == 0)
		return says_names(c);
	if (strcmp(line, "all\n") == 0)
		return say_all();
	if (strcmp(line, "later\n") == 0)
		return say_later(c);
	if (strcmp(line, "short\n") == 0)
		return weir_conn_sendfile(c, file, sizeof(big) - 10, 20);
	if (strcmp(line, "fail\n") == 0)
		return -EIO;
	return weir_conn_write(c, line, strlen(line));
}

int sweep_service(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n;
	int rc = 0;

	(void)arg;
	if (weir_conn_why(c) == WEIR_WAKE)
		rc = weir_conn_write(c, "awake\n", 6);
	while (rc == 0) {
		n = weir_conn_read_line(c, line, sizeof(line));
		if (n == -EINTR)
			rc = weir_conn_write(c, "awake\n", 6);
		else if (n <= 0)
			return (int)n;
		else
			rc = send_line(c, line);
		if (rc == 0 && n > 0 && strcmp(line, "last\n") == 0)
			return 0;
	}
	return rc;
}
