/* SPDX-License-Identifier: MIT */
/*
 * A server and its clients in one program, which check what they receive.  The
 * examples in docs/SOCKET_CALLS.md are lines of this file.
 *
 *	calls		exit status 0: all calls did what they should
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weir.h>

static int failures;

#define EXPECT(cond) expect(cond, __LINE__, #cond)

static void expect(int cond, int line, const char *text)
{
	if (cond)
		return;
	fprintf(stderr, "calls.c:%d: not true: %s\n", line, text);
	failures++;
}

/* ------------------------------------------------------------ served side */

static FILE *file; /* "0123456789" */

/* A banner, as soon as a connection is accepted. */
static int accepted(weir_conn *c, void *arg)
{
	int fd = weir_conn_fd(c), on = 1, rc;

	(void)arg;
	EXPECT(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) == 0);
	rc = weir_conn_printf(c, "welcome, %llu\n",
			      (unsigned long long)weir_conn_id(c));
	return rc < 0 ? rc : WEIR_AGAIN;
}

static int answer(weir_conn *c, const char *line)
{
	char text[128];
	struct iovec two[2] = { { "you said: ", 10 },
				{ (void *)line, strlen(line) } };

	if (strcmp(line, "file\n") == 0)
		return weir_conn_sendfile(c, fileno(file), 2, 5);
	if (strcmp(line, "who am I\n") == 0) {
		weir_conn_peer(c, text, sizeof text);
		return weir_conn_printf(c, "%s\n", text);
	}
	return weir_conn_writev(c, two, 2);
}

/* A session: its reads wait.  It ends with "bye" or the end of input. */
static int dialogue(weir_conn *c, void *arg)
{
	char line[512], urgent;
	ssize_t n;

	(void)arg;
	if (recv(weir_conn_fd(c), &urgent, 1, MSG_OOB) == 1)
		weir_conn_printf(c, "urgent: %c\n", urgent);
	while ((n = weir_conn_read_line(c, line, sizeof line)) > 0) {
		int rc = 0;

		if (strcmp(line, "bye\n") == 0)
			return 0;
		rc = answer(c, line);
		if (rc < 0)
			return rc;
	}
	return (int)n;
}

/* ------------------------------------------------------------ dialled side */

static weir_conn *dial(const char *where)
{
	weir_conn *c;
	int rc = weir_dial(&c, where, 5000);

	if (rc < 0) {
		fprintf(stderr, "calls: %s: %s\n", where, weir_strerror(rc));
		exit(1);
	}
	return c;
}

static weir_conn *dial_and_be_welcome(const char *where)
{
	weir_conn *c = dial(where);
	char line[64];

	EXPECT(weir_conn_read_line(c, line, sizeof line) > 0);
	EXPECT(strncmp(line, "welcome, ", 9) == 0);
	return c;
}

static void sends_and_receives(const char *where)
{
	weir_conn *c = dial_and_be_welcome(where);
	char buf[512];
	ssize_t n;
	int lines = 0;

	EXPECT(weir_conn_write(c, "hello\n", 6) == 0);
	EXPECT(weir_conn_flush(c) == 0);
	n = weir_conn_read(c, buf, sizeof buf);
	EXPECT(n == 16 && memcmp(buf, "you said: hello\n", 16) == 0);
	EXPECT(weir_conn_printf(c, "%d\n%d\n", 1, 2) == 0);
	EXPECT(weir_conn_shutdown(c, SHUT_WR) == 0);
	while ((n = weir_conn_read_line(c, buf, sizeof buf)) > 0)
		lines++;
	EXPECT(lines == 2 && n == 0);
	EXPECT(weir_conn_write(c, "too late", 8) == -EPIPE);
	weir_conn_free(c);
}

static void receives_with_flags(const char *where)
{
	weir_conn *c = dial(where);
	const void *data;
	char line[64], word[4];
	ssize_t n;

	/* Before any other output, so that the outbox is empty. */
	EXPECT(send(weir_conn_fd(c), "!", 1, MSG_OOB) == 1);
	EXPECT(weir_conn_write(c, "go on\n", 6) == 0);
	EXPECT(weir_conn_read_line(c, line, sizeof line) > 0);
	EXPECT(weir_conn_read_line(c, line, sizeof line) == 10);
	EXPECT(strcmp(line, "urgent: !\n") == 0);
	n = weir_conn_peek(c, &data, 16);
	EXPECT(n == 16 && memcmp(data, "you said: go on\n", 16) == 0);
	EXPECT(weir_conn_consume(c, 4) == 0);
	n = weir_conn_read_exact(c, word, sizeof word);
	EXPECT(n == 4 && memcmp(word, "said", 4) == 0);
	n = weir_conn_read_until(c, line, sizeof line, ": ", 2);
	EXPECT(n == 2);
	weir_conn_free(c);
}

static void receives_a_file(const char *where)
{
	weir_conn *c = dial_and_be_welcome(where);
	char buf[5];

	EXPECT(weir_conn_write(c, "file\n", 5) == 0);
	EXPECT(weir_conn_read_exact(c, buf, 5) == 5);
	EXPECT(memcmp(buf, "23456", 5) == 0);
	weir_conn_free(c);
}

static void has_properties(const char *where)
{
	weir_conn *c = dial_and_be_welcome(where);
	struct sockaddr_storage ours, theirs;
	socklen_t ours_len = sizeof ours, theirs_len = sizeof theirs;
	socklen_t len = sizeof(int);
	char text[128], line[128];
	int value = 0, ms = 0;

	EXPECT(weir_conn_peer(c, text, sizeof text) > 0);
	EXPECT(strcmp(text, where) == 0);
	EXPECT(weir_conn_write(c, "who am I\n", 9) == 0);
	EXPECT(weir_conn_read_line(c, line, sizeof line) > 0);
	EXPECT(weir_conn_local(c, text, sizeof text) > 0);
	EXPECT(strncmp(text, line, strlen(text)) == 0);
	getpeername(weir_conn_fd(c), (struct sockaddr *)&theirs, &theirs_len);
	getsockname(weir_conn_fd(c), (struct sockaddr *)&ours, &ours_len);
	EXPECT(ours.ss_family == AF_INET && theirs.ss_family == AF_INET);
	EXPECT(weir_conn_fd(c) >= 0);
	getsockopt(weir_conn_fd(c), IPPROTO_TCP, TCP_NODELAY, &value, &len);
	EXPECT(value == 1);
	EXPECT(weir_conn_set_timeout(c, WEIR_TIMEOUT_IDLE, 50) == 0);
	EXPECT(weir_conn_get_timeout(c, WEIR_TIMEOUT_IDLE, &ms) == 0);
	EXPECT(ms == 50);
	EXPECT(weir_conn_read(c, line, sizeof line) == -ETIMEDOUT);
	weir_conn_free(c);
}

/* --------------------------------------------------------------- the others */

static void families(weir_server *s, const struct weir_service *service)
{
	char path[64], text[128];
	int id;

	snprintf(path, sizeof path, "unix:@weir-calls-%d", (int)getpid());
	id = weir_server_listen(s, path, service);
	EXPECT(id >= 0);
	EXPECT(weir_server_address(s, id, text, sizeof text) > 0);
	EXPECT(strcmp(text, path) == 0);
	id = weir_server_listen(s, "[::1]:0", service);
	EXPECT(id >= 0 || id == -EADDRNOTAVAIL); /* no IPv6 here */
}

/* A socket made by hand, for options that it must have before it listens. */
static void own_listener(weir_server *s, const struct weir_service *service)
{
	struct sockaddr_in any = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;
	char where[16];

	any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
	EXPECT(bind(fd, (struct sockaddr *)&any, sizeof any) == 0);
	EXPECT(listen(fd, 16) == 0);
	snprintf(where, sizeof where, "fd:%d", fd);
	EXPECT(weir_server_listen(s, where, service) >= 0);
}

static void connects_or_says_why(void)
{
	weir_conn *c = NULL;
	int rc = weir_dial(&c, "unix:/no/such/socket", 5000);

	EXPECT(rc == -ENOENT);
	EXPECT(strcmp(weir_strerror(rc), "no such host or file") == 0);
}

static void knows_names(void)
{
	struct weir_address found[8];
	char name[1025];
	int n;

	EXPECT(gethostname(name, sizeof name) == 0);
	n = weir_resolve(found, 8, "127.0.0.1:80", 2000);
	EXPECT(n == 1 && strcmp(found[0].text, "127.0.0.1:80") == 0);
	n = weir_reverse(name, sizeof name, found[0].text, 2000);
	EXPECT(n > 0 || n == -ENOENT || n == -ETIMEDOUT || n == -EAGAIN);
}

/* A descriptor passed with a byte, before any other input or output. */
static void passes_a_descriptor(void)
{
	char where[2][16], byte = 'x';
	struct iovec one = { &byte, 1 };
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} with = { .room = "" };
	struct msghdr message = { .msg_iov = &one,
				  .msg_iovlen = 1,
				  .msg_control = &with,
				  .msg_controllen = sizeof with };
	weir_conn *from, *to;
	int pair[2], fd = -1;

	EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	for (int i = 0; i < 2; i++)
		snprintf(where[i], sizeof where[i], "fd:%d", pair[i]);
	from = dial(where[0]);
	to = dial(where[1]);
	with.header.cmsg_level = SOL_SOCKET;
	with.header.cmsg_type = SCM_RIGHTS;
	with.header.cmsg_len = CMSG_LEN(sizeof(int));
	fd = fileno(file);
	memcpy(CMSG_DATA(&with.header), &fd, sizeof fd);
	EXPECT(sendmsg(weir_conn_fd(from), &message, MSG_NOSIGNAL) == 1);
	EXPECT(recvmsg(weir_conn_fd(to), &message, MSG_CMSG_CLOEXEC) == 1);
	memcpy(&fd, CMSG_DATA(&with.header), sizeof fd);
	EXPECT(fd != fileno(file) && pread(fd, &byte, 1, 7) == 1);
	EXPECT(byte == '7');
	close(fd);
	weir_conn_free(from);
	weir_conn_free(to);
}

static void clients(const char *where)
{
	weir_conn *c = dial_and_be_welcome(where);

	EXPECT(weir_conn_write(c, "bye\n", 4) == 0);
	EXPECT(weir_conn_read(c, &(char){ 0 }, 1) == 0);
	weir_conn_free(c);
	sends_and_receives(where);
	receives_with_flags(where);
	receives_a_file(where);
	has_properties(where);
}

int main(void)
{
	const struct weir_service *service =
		WEIR_SERVICE(.session = dialogue, .opened = accepted,
			     .backlog = 64);
	char where[128];
	weir_server *s;

	file = tmpfile();
	if (file == NULL || fputs("0123456789", file) < 0 ||
	    fflush(file) != 0 || weir_server_new(&s, NULL) < 0)
		return 1;
	EXPECT(weir_server_listen(s, "127.0.0.1:0", service) == 0);
	families(s, service);
	own_listener(s, service);
	EXPECT(weir_server_address(s, 0, where, sizeof where) > 0);
	EXPECT(weir_server_start(s) == 0);
	clients(where);
	connects_or_says_why();
	knows_names();
	passes_a_descriptor();
	EXPECT(weir_server_stop(s, 5000) == 0);
	EXPECT(weir_server_join(s, NULL, 0) == 0);
	weir_server_free(s);
	fclose(file);
	return failures > 0;
}
