/* SPDX-License-Identifier: MIT */
/*
 * read(2) and write(2), with poll(2) where they return EAGAIN; and streams.
 */
#include "stream.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct stdio {
	const int fd;
	FILE *file;
	int error; /* -errno of the first write that failed */
};

static struct stdio output = { .fd = STDOUT_FILENO };

/* After a failed call on fd: may it be repeated? */
static bool may_retry(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	if (errno == EINTR)
		return true;
	if (errno != EAGAIN)
		return false;
	return poll(&p, 1, -1) >= 0 || errno == EINTR;
}

ssize_t stream_read(int fd, void *buf, size_t cap)
{
	for (;;) {
		ssize_t n = read(fd, buf, cap);

		if (n >= 0)
			return n;
		if (!may_retry(fd, POLLIN))
			return -errno;
	}
}

size_t stream_write_part(int fd, const void *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(fd, (const char *)data + done, len - done);

		if (n < 0 && !may_retry(fd, POLLOUT))
			break;
		if (n > 0)
			done += (size_t)n;
	}
	return done;
}

int stream_write(int fd, const void *data, size_t len)
{
	return stream_write_part(fd, data, len) < len ? -errno : 0;
}

/* Not every C library sets ferror() if 0 is returned: musl does not. */
static ssize_t stream_write_cookie(void *arg, const char *data, size_t len)
{
	struct stdio *to = arg;
	int rc = stream_write(to->fd, data, len);

	if (rc < 0 && to->error == 0)
		to->error = rc;
	return rc < 0 ? 0 : (ssize_t)len;
}

/* If there is no memory, fallback is used. */
static FILE *open_stdio(struct stdio *to, int mode, FILE *fallback)
{
	cookie_io_functions_t functions = { .write = stream_write_cookie };

	if (to->file)
		return to->file;
	to->file = fopencookie(to, "w", functions);
	if (to->file)
		setvbuf(to->file, NULL, mode, BUFSIZ);
	else
		to->file = fallback;
	return to->file;
}

FILE *stream_out(void)
{
	return open_stdio(&output, _IOFBF, stdout);
}

FILE *stream_err(void)
{
	static struct stdio errors = { .fd = STDERR_FILENO };

	return open_stdio(&errors, _IOLBF, stderr);
}

int stream_flush(void)
{
	FILE *out = stream_out();
	int rc = fflush(out) != 0 ? -errno : ferror(out) ? -EIO : 0;

	return output.error != 0 ? output.error : rc;
}

static bool memory_has_room(struct stream_memory *m, size_t len)
{
	size_t cap = m->cap;
	char *more;

	while (cap - m->len <= len) { /* a NUL follows */
		if (cap > SIZE_MAX / 2)
			return false;
		cap *= 2;
	}
	more = cap > m->cap ? realloc(m->text, cap) : m->text;
	if (!more)
		return false;
	m->text = more;
	m->cap = cap;
	return true;
}

static ssize_t memory_write(void *arg, const char *data, size_t len)
{
	struct stream_memory *m = arg;

	m->is_cut = m->is_cut || !memory_has_room(m, len);
	if (m->is_cut)
		return 0;
	memcpy(m->text + m->len, data, len);
	m->len += len;
	return (ssize_t)len;
}

bool stream_memory_open(struct stream_memory *m)
{
	cookie_io_functions_t functions = { .write = memory_write };

	*m = (struct stream_memory){ .cap = BUFSIZ };
	m->text = malloc(m->cap);
	m->to = m->text ? fopencookie(m, "w", functions) : NULL;
	if (m->to)
		return true;
	free(m->text);
	return false;
}

char *stream_memory_close(struct stream_memory *m, size_t *len)
{
	if (fclose(m->to) != 0 || m->is_cut) {
		free(m->text);
		return NULL;
	}
	m->text[m->len] = '\0';
	*len = m->len;
	return m->text;
}

int stream_fileno(FILE *file)
{
	if (file == stream_out())
		return STDOUT_FILENO;
	return file == stream_err() ? STDERR_FILENO : fileno(file);
}

void stream_print(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vfprintf(stream_out(), format, ap);
	va_end(ap);
}
