/* SPDX-License-Identifier: MIT */
#include "rival.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

void rival_fail(const char *what)
{
	perror(what);
	exit(1);
}

void rival_begin(struct rival *r, int argc, char **argv)
{
	static const struct option options[] = {
		{ "port", required_argument, NULL, 'p' },
		{ "threads", required_argument, NULL, 't' },
		{ "style", required_argument, NULL, 's' },
		{ "certificate", required_argument, NULL, 'c' },
		{ NULL, 0, NULL, 0 }
	};
	struct rlimit files;
	int option;

	*r = (struct rival){ .port = 0, .threads = 2, .style = "" };
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'p')
			r->port = atoi(optarg);
		else if (option == 't')
			r->threads = atoi(optarg);
		else if (option == 's')
			r->style = optarg;
		else if (option == 'c')
			r->certificate = optarg;
		else
			exit(2);
	}
	if (r->threads < 1)
		exit(2);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	signal(SIGPIPE, SIG_IGN);
}

int rival_listen(struct rival *r)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)r->port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	int fd, one = 1;

	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ||
	    listen(fd, 4096) < 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &len) < 0)
		rival_fail("listen");
	r->port = ntohs(at.sin_port);
	return fd;
}

void rival_ready(const struct rival *r)
{
	printf("listening %d\n", r->port);
	fflush(stdout);
}

void rival_threads(const struct rival *r, void *(*fn)(void *arg), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 * 1024);
	for (int i = 1; i < r->threads; i++)
		if (pthread_create(&thread, &attr, fn, arg) != 0)
			rival_fail("pthread_create");
	fn(arg);
	exit(1);
}

void rival_sleep_as_told(const char *message, size_t len)
{
	char number[8] = "";
	long ms;

	if (memcmp(message, "SLEEP ", 6) != 0)
		return;
	len -= 6;
	memcpy(number, message + 6, len < 7 ? len : 7);
	ms = strtol(number, NULL, 10);
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000,
				      .tv_nsec = ms % 1000 * 1000000 },
		  NULL);
}
