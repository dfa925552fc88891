/* SPDX-License-Identifier: MIT */
/*
 * The file transfer: the client sends a word; the server prints it and sends a
 * file (its argument) and a closing text; the client writes all of it to a file
 * (its argument) and counts the bytes.
 */
#include "roles.h"

#include <fcntl.h>
#include <sys/stat.h>

static int send_file(weir_conn *c, void *arg)
{
	char word[1024];
	ssize_t n = weir_conn_read(c, word, sizeof word);
	struct stat st;
	int fd, rc;

	if (n <= 0)
		return (int)n;
	printf("%.*s\n", (int)n, word);
	fflush(stdout);
	fd = open(arg ? arg : "/etc/hostname", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno; /* logged; the client sees the end */
	rc = fstat(fd, &st) < 0 ? -errno : 0;
	if (rc == 0) /* does not wait for the client */
		rc = weir_conn_sendfile(c, fd, 0, (uint64_t)st.st_size);
	close(fd); /* the library has duplicated it */
	return rc < 0 ? rc : weir_conn_write(c, "Thank you for connecting", 24);
}

static int receive_file(weir_conn *c, const char *arg)
{
	FILE *file = fopen(arg ? arg : "received", "wb");
	char buf[65536];
	size_t total = 0;
	ssize_t n;

	if (file == NULL)
		return -errno;
	weir_conn_write(c, "Client connected", 16);
	while ((n = weir_conn_read(c, buf, sizeof buf)) > 0) {
		fwrite(buf, 1, (size_t)n, file);
		total += (size_t)n;
		fprintf(stderr, "\r%zu bytes", total);
	}
	fputc('\n', stderr);
	if (fclose(file) != 0 && n == 0)
		n = -errno;
	return (int)n;
}

int main(int argc, char **argv)
{
	const struct program program = {
		.where = "127.0.0.1:3000",
		.service = WEIR_SERVICE(.readable = send_file),
		.call = receive_file,
	};

	return run_program(argc, argv, &program);
}
