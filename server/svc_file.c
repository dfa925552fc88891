/* SPDX-License-Identifier: MIT */
/*
 * The file service: waits for one message, prints it, sends the file of --file
 * and a closing text, and closes.
 *
 * The file is opened for each client, which gets as many bytes as the file has
 * at that moment.  If the file is truncated while it is sent, the library logs
 * that, and the client does not get the closing text.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal.h"
#include "options.h"
#include "services.h"

static const char thanks[] = "Thank you for connecting";

static int open_file(const char *path, uint64_t *len)
{
	/* O_NONBLOCK: if it has become a pipe, open() must not wait. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	int rc;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		rc = -errno;
	else if (S_ISDIR(st.st_mode))
		rc = -EISDIR;
	else if (!S_ISREG(st.st_mode))
		rc = -EINVAL;
	else
		rc = 0;
	if (rc < 0) {
		close(fd);
		return rc;
	}
	*len = (uint64_t)st.st_size;
	return fd;
}

struct sending {
	uint64_t len;
};

static int note_sending(weir_conn *c, uint64_t len)
{
	struct sending *s = malloc(sizeof(*s));

	if (s == NULL)
		return -ENOMEM;
	s->len = len;
	weir_conn_set_data(c, s, free);
	return 0;
}

static int send_file(weir_conn *c, const char *path)
{
	uint64_t len = 0;
	int fd = open_file(path, &len), rc;

	if (fd < 0) {
		journal_client(
			WEIR_LOG_ERROR, "connection %llu: cannot send '%s': %s",
			(unsigned long long)weir_conn_id(c), path,
			fd == -EINVAL ? "not a regular file" : strerror(-fd));
		return -EPIPE; /* closes without another log line */
	}
	rc = note_sending(c, len);
	if (rc == 0)
		rc = weir_conn_sendfile(c, fd, 0, len);
	close(fd);
	if (rc == 0) /* a client that reads at once tells the two apart */
		rc = weir_conn_flush(c);
	return rc < 0 ? rc : weir_conn_write(c, thanks, sizeof(thanks) - 1);
}

static int serve_file(weir_conn *c, void *arg)
{
	const struct options *o = arg;
	char message[SERVICE_MESSAGE];
	ssize_t n = weir_conn_read(c, message, sizeof(message));

	if (n <= 0)
		return (int)n;
	service_print("file: ", message, (size_t)n);
	return send_file(c, o->file);
}

/* Prints how much of the file the system has taken for the client. */
static void report_sent(weir_conn *c, void *arg)
{
	const struct sending *s = weir_conn_data(c);
	struct weir_summary summary;
	char peer[160] = "somebody", text[256];
	int len;

	(void)arg;
	if (s == NULL)
		return;
	weir_conn_peer(c, peer, sizeof(peer));
	weir_conn_summary(c, &summary, sizeof(summary));
	if (summary.bytes_out == s->len + sizeof(thanks) - 1)
		len = snprintf(text, sizeof(text), "%s: all %llu bytes sent",
			       peer, (unsigned long long)s->len);
	else
		len = snprintf(text, sizeof(text),
			       "%s: only %llu of %llu bytes sent", peer,
			       (unsigned long long)(summary.bytes_out < s->len
							    ? summary.bytes_out
							    : s->len),
			       (unsigned long long)s->len);
	service_print("file to ", text, (size_t)len);
}

void svc_file(struct weir_service *ret, const struct options *o)
{
	ret->readable = serve_file;
	ret->closed = report_sent;
	ret->arg = (void *)o;
}
