/* SPDX-License-Identifier: MIT */
/*
 * A network namespace, in which the kernel's counters count this test alone,
 * and what the kernel says of sockets.
 */
#include "test.h"

#include <linux/tcp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

const char *own_unix_address(void)
{
	static char text[64];

	snprintf(text, sizeof(text), "unix:@weir-check-%d", (int)getpid());
	return text;
}

/* A socket that sets SO_REUSEADDR, too, may be bound to it and listen. */
void hold_address(char *to, size_t cap)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, len), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	snprintf(to, cap, "127.0.0.1:%d", ntohs(addr.sin_port));
}

bool has_ipv6(void)
{
	struct sockaddr_in6 addr = { .sin6_family = AF_INET6,
				     .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ret = fd >= 0 &&
		   bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0;

	if (fd >= 0)
		close(fd);
	if (!ret)
		skip_test("no IPv6 here");
	return ret;
}

static bool loopback_up(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq lo = { .ifr_name = "lo" };
	bool is_up;

	if (fd < 0)
		return false;
	is_up = ioctl(fd, SIOCGIFFLAGS, &lo) == 0;
	lo.ifr_flags = (short)(lo.ifr_flags | IFF_UP);
	is_up = is_up && ioctl(fd, SIOCSIFFLAGS, &lo) == 0;
	close(fd);
	return is_up;
}

bool enter_own_network(void)
{
	/* Root needs no user namespace, which threads would forbid. */
	if (unshare(CLONE_NEWNET) < 0 &&
	    unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return false;
	return loopback_up();
}

bool enter_network_of_cookies(void)
{
	FILE *f;
	bool is_set;

	if (enter_own_network() &&
	    (f = fopen("/proc/sys/net/ipv4/tcp_syncookies", "we"))) {
		is_set = fputs("2\n", f) >= 0;
		if (fclose(f) == 0 && is_set)
			return true;
	}
	skip_test("no network namespace with SYN cookies here");
	return false;
}

/* Pairs of lines: names, then values, each with its group. */
static long counter_in(const char *path, const char *group, const char *name)
{
	static char names[16384], values[16384];
	FILE *f = fopen(path, "re");
	long ret = -1;

	if (!f)
		return -1;
	while (ret < 0 && fgets(names, sizeof(names), f) &&
	       fgets(values, sizeof(values), f)) {
		char *n_rest, *v_rest;
		char *n = strtok_r(names, " \n", &n_rest);
		char *v = strtok_r(values, " \n", &v_rest);

		if (!n || strncmp(n, group, strlen(group)) != 0 ||
		    n[strlen(group)] != ':')
			continue;
		while (n && v && strcmp(n, name) != 0) {
			n = strtok_r(NULL, " \n", &n_rest);
			v = strtok_r(NULL, " \n", &v_rest);
		}
		if (n && v)
			ret = strtol(v, NULL, 10);
	}
	fclose(f);
	return ret;
}

long network_counter(const char *group, const char *name)
{
	long n = counter_in("/proc/self/net/snmp", group, name);

	return n >= 0 ? n : counter_in("/proc/self/net/netstat", group, name);
}

unsigned int segments_received(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	memset(&info, 0, sizeof(info));
	ck_assert_int_eq(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	return info.tcpi_data_segs_in;
}

int connections_with_input(const char *address)
{
	const unsigned int port = (unsigned int)atoi(strrchr(address, ':') + 1);
	FILE *f = fopen("/proc/self/net/tcp", "re");
	unsigned int at, state, unread;
	char line[512];
	int count = 0;

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%*s %*8x:%x %*s %x %*x:%x", &at, &state,
			   &unread) == 3 &&
		    at == port && state == 1 /* established */ && unread > 0)
			count++;
	fclose(f);
	return count;
}
