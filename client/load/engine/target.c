/* SPDX-License-Identifier: MIT */
#include "target.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include <weir.h>

#include "../../../cli/cli.h"
#include "../../../cli/proxy_header.h"
#include "secure.h"

#define PROBE_MS      3000
#define ADDRESSES_MAX 32

static void set_unix(struct endpoint *ret, const char *name)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t len = strlen(name);

	memcpy(un.sun_path, name, len);
	if (name[0] == '@')
		un.sun_path[0] = '\0';
	else
		len++;
	memcpy(&ret->addr, &un, sizeof(un));
	ret->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

/*
 * A socket that connects to a port of its own range may get that very port,
 * and then TCP connects it with itself.  Its close resets it, so that no port
 * is left in TIME_WAIT.
 */
static bool is_self_connected(int fd, const struct sockaddr *to)
{
	const struct linger reset = { .l_onoff = 1 };
	struct sockaddr_storage own = { 0 }, peer = { 0 };
	socklen_t own_len = sizeof(own), peer_len = sizeof(peer);
	struct sockaddr *name = (struct sockaddr *)&own;

	if (to->sa_family == AF_UNIX || getsockname(fd, name, &own_len) < 0 ||
	    memcmp(name->sa_data, to->sa_data, sizeof(in_port_t)) != 0 ||
	    getpeername(fd, (struct sockaddr *)&peer, &peer_len) < 0 ||
	    memcmp(&own, &peer, sizeof(own)) != 0)
		return false;
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	return true;
}

static int socket_error(int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 ? errno
								      : error;
}

static bool probe_address(const struct weir_address *a, int longest_ms)
{
	const struct sockaddr *to = (const struct sockaddr *)&a->addr;
	struct pollfd p = { .events = POLLOUT };
	bool is_there;

	p.fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
		      0);
	if (p.fd < 0)
		return false;
	is_there = connect(p.fd, to, a->len) == 0 ||
		   (errno == EINPROGRESS && poll(&p, 1, longest_ms) == 1 &&
		    socket_error(p.fd) == 0);
	is_there = is_there && !is_self_connected(p.fd, to);
	close(p.fd);
	return is_there;
}

static int resolve_to(struct target *ret, const struct plan *plan)
{
	struct weir_address *list = calloc(ADDRESSES_MAX, sizeof(*list));
	int64_t longest = plan->connect_timeout_ns / 1000000;
	int longest_ms = longest < INT32_MAX ? (int)longest : INT32_MAX;
	int probe_ms = longest_ms < PROBE_MS ? longest_ms : PROBE_MS;
	int count = -ENOMEM, at = 0;

	if (list)
		count = weir_resolve(list, ADDRESSES_MAX, plan->address,
				     longest_ms);

	if (count <= 0) {
		cli_error("cannot look up '%s': %s", plan->address,
			  weir_strerror(count));
		free(list);
		return CLI_FAILED;
	}
	if (count > ADDRESSES_MAX)
		count = ADDRESSES_MAX;
	if (count > 1 && !plan->is_spread) {
		while (at < count && !probe_address(&list[at], probe_ms))
			at++;
		if (at == count)
			at = 0;
		list[0] = list[at];
		count = 1;
	}
	for (int i = 0; i < count; i++) {
		ret->to[i].addr = list[i].addr;
		ret->to[i].len = list[i].len;
	}
	ret->to_count = (size_t)count;
	free(list);
	return CLI_DONE;
}

static int resolve_source(struct endpoint *ret, const char *text, int family)
{
	const struct addrinfo hints = { .ai_family = family,
					.ai_socktype = SOCK_STREAM,
					.ai_flags = AI_NUMERICHOST };
	struct addrinfo *list;

	if (getaddrinfo(text, NULL, &hints, &list) != 0) {
		cli_error("--source: '%s' is not an address of the target's "
			  "family, such as %s",
			  text, family == AF_INET6 ? "::1" : "127.0.0.2");
		return CLI_USAGE;
	}
	memcpy(&ret->addr, list->ai_addr, list->ai_addrlen);
	ret->len = list->ai_addrlen;
	freeaddrinfo(list);
	return CLI_DONE;
}

/* Sources are of one family; drop addresses of the other. */
static void keep_family(struct target *t, int family)
{
	size_t kept = 0;

	for (size_t i = 0; i < t->to_count; i++)
		if (t->to[i].addr.ss_family == family)
			t->to[kept++] = t->to[i];
	t->to_count = kept;
}

static int resolve_sources(struct target *ret, const struct plan *plan)
{
	int status = CLI_DONE;

	if (plan->source_count == 0)
		return CLI_DONE;
	if (ret->to[0].addr.ss_family == AF_UNIX) {
		cli_error("--source: a Unix socket has no source address");
		return CLI_USAGE;
	}
	ret->from = calloc(plan->source_count, sizeof(*ret->from));
	if (!ret->from) {
		cli_error("out of memory");
		return CLI_FAILED;
	}
	keep_family(ret, ret->to[0].addr.ss_family);
	for (size_t i = 0; i < plan->source_count && status == CLI_DONE; i++)
		status = resolve_source(&ret->from[i], plan->sources[i],
					ret->to[0].addr.ss_family);
	ret->from_count = plan->source_count;
	return status;
}

static void say_where(struct target *t, const struct plan *plan)
{
	const struct endpoint *to = &t->to[0];
	char host[INET6_ADDRSTRLEN], port[8], more[32] = "";

	if (t->to_count > 1)
		snprintf(more, sizeof(more), " and %zu more", t->to_count - 1);
	if (to->addr.ss_family == AF_UNIX ||
	    getnameinfo((const struct sockaddr *)&to->addr, to->len, host,
			sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		snprintf(t->text, sizeof(t->text), "%s", plan->address);
	else
		snprintf(t->text, sizeof(t->text),
			 to->addr.ss_family == AF_INET6 ? "[%s]:%s%s"
							: "%s:%s%s",
			 host, port, more);
}

static int set_number(int fd, int level, int name, int value)
{
	if (value == 0)
		return 0;
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? errno
								      : 0;
}

static int set_name(int fd, int level, int name, const char *value)
{
	if (!value)
		return 0;
	return setsockopt(fd, level, name, value, (socklen_t)strlen(value)) < 0
		       ? errno
		       : 0;
}

/* *name: of the option that failed.  Returns 0 or an errno. */
static int set_options(const struct plan *p, int fd, int family,
		       const char **name)
{
	const struct plan_socket *s = &p->socket;
	bool is_v6 = family == AF_INET6;
	const struct {
		const char *name;
		int error;
	} done[] = {
		{ "rcvbuf",
		  set_number(fd, SOL_SOCKET, SO_RCVBUF, s->receive_buffer) },
		{ "sndbuf",
		  set_number(fd, SOL_SOCKET, SO_SNDBUF, s->send_buffer) },
		{ "dscp",
		  set_number(fd, is_v6 ? IPPROTO_IPV6 : IPPROTO_IP,
			     is_v6 ? IPV6_TCLASS : IP_TOS, s->mark_dscp << 2) },
		{ "mss", set_number(fd, IPPROTO_TCP, TCP_MAXSEG, s->segment) },
		{ "congestion",
		  set_name(fd, IPPROTO_TCP, TCP_CONGESTION, s->congestion) },
		{ "device",
		  set_name(fd, SOL_SOCKET, SO_BINDTODEVICE, s->device) },
	};

	if (family != AF_UNIX && !s->has_nagle)
		(void)set_number(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	for (size_t i = 0; i < sizeof(done) / sizeof(done[0]); i++) {
		*name = done[i].name;
		if (done[i].error != 0)
			return done[i].error;
	}
	return 0;
}

/* An option that cannot be set is one error, not one for each connection. */
static int check_options(const struct target *t, const struct plan *plan)
{
	int family = t->to[0].addr.ss_family, error = 0;
	const char *name;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return CLI_DONE;
	error = set_options(plan, fd, family, &name);
	close(fd);
	if (error != 0)
		cli_error("--socket: cannot set %s: %s", name, strerror(error));
	return error != 0 ? CLI_USAGE : CLI_DONE;
}

int target_resolve(struct target *ret, const struct plan *plan)
{
	int status = CLI_DONE;

	*ret = (struct target){ .plan = plan, .to_count = 1 };
	ret->to = calloc(ADDRESSES_MAX, sizeof(*ret->to));
	if (!ret->to) {
		cli_error("out of memory");
		return CLI_FAILED;
	}
	if (strncmp(plan->address, "unix:", 5) == 0)
		set_unix(&ret->to[0], plan->address + 5);
	else
		status = resolve_to(ret, plan);
	if (status == CLI_DONE)
		status = resolve_sources(ret, plan);
	if (status == CLI_DONE)
		status = check_options(ret, plan);
	if (status == CLI_DONE)
		status = secure_new(&ret->secure, &plan->tls);
	if (status == CLI_DONE)
		say_where(ret, plan);
	else
		target_fini(ret);
	return status;
}

void target_fini(struct target *t)
{
	secure_free(t->secure);
	free(t->from);
	free(t->to);
	t->secure = NULL;
	t->from = t->to = NULL;
}

static int bind_to(const struct target *t, int fd, unsigned number)
{
	const struct endpoint *from = &t->from[number % t->from_count];
	int on = 1;

	/* Choose the port at connect(), where the peer is known. */
	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on,
			 sizeof(on));
	return bind(fd, (const struct sockaddr *)&from->addr, from->len);
}

int target_connect(const struct target *t, unsigned number,
		   enum error_phase *phase, int *error)
{
	const struct endpoint *to = &t->to[target_place(t, number)];
	int family = to->addr.ss_family;
	const char *name;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	*phase = ERROR_SOCKET;
	if (fd < 0)
		goto failed;
	errno = set_options(t->plan, fd, family, &name);
	if (errno != 0)
		goto failed;
	*phase = ERROR_BIND;
	if (t->from_count > 0 && bind_to(t, fd, number) < 0)
		goto failed;
	*phase = ERROR_CONNECT;
	*error = 0;
	if (connect(fd, (const struct sockaddr *)&to->addr, to->len) == 0)
		errno = proxy_header_send(t->plan->proxy, fd);
	*error = errno;
	if (*error == 0 || *error == EINPROGRESS)
		return fd;
failed:
	*error = errno;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Is it established?  Then the error of the socket need not be asked for. */
static bool read_handshake(int fd, int64_t *rtt_ns)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 ||
	    len < sizeof(info))
		return false;
	if (info.tcpi_total_retrans == 0)
		*rtt_ns = info.tcpi_rtt * INT64_C(1000);
	return info.tcpi_state == TCP_ESTABLISHED;
}

int target_connected(const struct target *t, unsigned number, int fd,
		     int64_t *rtt_ns)
{
	const struct endpoint *to = &t->to[target_place(t, number)];
	int error = 0;

	*rtt_ns = 0;
	if (!read_handshake(fd, rtt_ns))
		error = socket_error(fd);
	if (error == 0 &&
	    is_self_connected(fd, (const struct sockaddr *)&to->addr))
		error = ECONNREFUSED;
	return error != 0 ? error : proxy_header_send(t->plan->proxy, fd);
}
