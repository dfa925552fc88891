/* SPDX-License-Identifier: MIT */
/* Addresses to listen at, how they are written, and errors for wrong ones. */
#include "test.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>

static void exchange_at(const char *address)
{
	struct client *c = client_open_at(address);

	client_expect_echo(c, "hello\n");
	client_close(c);
}

/* A directory that is removed when the test passes. */
static const char *own_directory(void)
{
	static char path[FOLDER_ROOM];

	ck_assert(make_folder(path));
	return path;
}

START_TEST(every_kind_of_address_can_be_served_and_reads_back)
{
	struct server *s = server_new(NULL);
	const char *dir = own_directory();
	char path[64], address[160];
	const char *where[] = { "127.0.0.1:0", "localhost:0",
				own_unix_address(), path, "[::1]:0" };
	const int count = has_ipv6() ? 5 : 4;

	snprintf(path, sizeof(path), "unix:%s/socket", dir);
	for (int i = 0; i < count; i++)
		ck_assert_int_eq(server_listen(s, where[i],
					       WEIR_SERVICE(.readable = echo)),
				 i);
	server_start(s);
	for (int i = 0; i < count; i++) {
		server_address(s, i, address, sizeof(address));
		if (strncmp(where[i], "unix:", 5) == 0)
			ck_assert_str_eq(address, where[i]);
		else
			ck_assert_str_ne(strrchr(address, ':'), ":0");
		exchange_at(address);
	}
	server_stop_and_check(s);
	ck_assert_msg(rmdir(dir) == 0, "the socket file is still there");
}
END_TEST

START_TEST(all_interfaces_means_both_families)
{
	struct server *s;
	const char *port;
	char address[64];

	if (!has_ipv6())
		return;
	s = serve_at(":0", NULL, WEIR_SERVICE(.readable = echo));
	port = strrchr(s->address, ':');
	snprintf(address, sizeof(address), "127.0.0.1%s", port);
	exchange_at(address);
	snprintf(address, sizeof(address), "[::1]%s", port);
	exchange_at(address);
	server_stop_and_check(s);
}
END_TEST

static int say_its_peer(weir_conn *c, void *arg)
{
	char text[128];
	int n = weir_conn_peer(c, text, sizeof(text));

	(void)arg;
	return weir_conn_printf(c, "%s", n < 0 ? error_name(n) : text);
}

START_TEST(an_ipv4_peer_of_a_dual_stack_listener_reads_as_ipv4)
{
	struct server *s;
	struct client *c;
	char address[64], want[64];

	if (!has_ipv6())
		return;
	s = serve_at(":0", NULL,
		     WEIR_SERVICE(.readable = echo, .opened = say_its_peer));
	snprintf(address, sizeof(address), "127.0.0.1%s",
		 strrchr(s->address, ':'));
	c = client_open_at(address);
	snprintf(want, sizeof(want), "127.0.0.1:%d", client_port(c));
	client_expect_last(c, want);
	server_stop_and_check(s);
}
END_TEST

START_TEST(an_ipv4_address_in_the_form_of_ipv6_is_that_address)
{
	struct server *s;

	if (!has_ipv6())
		return;
	s = serve_at("[::ffff:127.0.0.1]:0", NULL,
		     WEIR_SERVICE(.readable = echo));
	ck_assert_int_eq(strncmp(s->address, "127.0.0.1:", 10), 0);
	exchange_at(s->address);
	server_stop_and_check(s);
}
END_TEST

START_TEST(an_abstract_socket_has_no_mode_to_keep_others_out)
{
	struct server *s = server_new(NULL);

	ck_assert_int_eq(weir_server_listen(
				 s->weir, own_unix_address(),
				 WEIR_SERVICE(.readable = echo, .mode = 0600)),
			 -EINVAL);
	server_listen(s, own_unix_address(),
		      WEIR_SERVICE(.readable = echo, .mode = 0666));
	server_start(s);
	exchange_at(s->address);
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_unix_peer_without_a_name_reads_as_unix)
{
	struct server *s = serve_at(
		own_unix_address(), NULL,
		WEIR_SERVICE(.readable = echo, .opened = say_its_peer));
	struct client *c = client_open(s);

	client_expect_last(c, "unix:");
	server_stop_and_check(s);
}
END_TEST

static int answer_its_name(weir_conn *c, void *arg)
{
	return weir_conn_printf(c, "%s", (const char *)arg);
}

START_TEST(each_listener_has_its_own_service)
{
	struct server *s = server_new(NULL);
	char one[64], two[64];
	char first[] = "first", second[] = "second";
	struct client *c;

	server_listen(s, "127.0.0.1:0",
		      WEIR_SERVICE(.readable = echo, .arg = first,
				   .opened = answer_its_name));
	server_listen(s, "127.0.0.1:0",
		      WEIR_SERVICE(.session = echo, .arg = second,
				   .opened = answer_its_name));
	server_address(s, 0, one, sizeof(one));
	server_address(s, 1, two, sizeof(two));
	server_start(s);
	c = client_open_at(two);
	client_expect_last(c, "second");
	c = client_open_at(one);
	client_expect_last(c, "first");
	server_stop_and_check(s);
}
END_TEST

static int listening_socket(char *address, size_t cap)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, len), 0);
	ck_assert_int_eq(listen(fd, 16), 0);
	getsockname(fd, (struct sockaddr *)&addr, &len);
	snprintf(address, cap, "127.0.0.1:%d", ntohs(addr.sin_port));
	return fd;
}

START_TEST(an_inherited_socket_is_served_with_clients_that_wait_there)
{
	char address[64], where[16];
	int fd = listening_socket(address, sizeof(address));
	struct client *early = client_open_at(address);
	struct server *s;

	snprintf(where, sizeof(where), "fd:%d", fd);
	client_send(early, "hello\n");
	s = serve_at(where, NULL, WEIR_SERVICE(.readable = echo));
	ck_assert_str_eq(s->address, address);
	client_expect(early, "hello\n");
	exchange_at(address);
	server_stop_and_check(s);
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1); /* it was taken over */
}
END_TEST

/* Closed twice, the number may by then belong to another file. */
START_TEST(a_descriptor_is_taken_over_once)
{
	struct server *s = server_new(NULL);
	char address[64], where[16];
	int fd = listening_socket(address, sizeof(address));

	snprintf(where, sizeof(where), "fd:%d", fd);
	server_listen(s, where, WEIR_SERVICE(.readable = echo));
	ck_assert_int_eq(weir_server_listen(s->weir, where,
					    WEIR_SERVICE(.readable = echo)),
			 -EADDRINUSE);
	server_start(s);
	exchange_at(address);
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_descriptor_that_does_not_listen_is_refused_and_kept)
{
	struct server *s = server_new(NULL);
	char where[16];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int file = make_file(1);
	const int fds[] = { fd, file };

	for (int i = 0; i < 2; i++) {
		snprintf(where, sizeof(where), "fd:%d", fds[i]);
		ck_assert_int_eq(
			weir_server_listen(s->weir, where,
					   WEIR_SERVICE(.readable = echo)),
			-ENOTSOCK);
		ck_assert_int_ge(fcntl(fds[i], F_GETFD), 0);
		close(fds[i]);
	}
	weir_server_free(s->weir);
	server_check_freed(s);
}
END_TEST

START_TEST(addresses_that_are_none_are_refused)
{
	enum { ANY_ERROR = 1 }; /* there may be no resolver */
	static const struct {
		const char *where;
		int error;
	} bad[] = {
		{ "", -EINVAL },
		{ "127.0.0.1", -EINVAL },
		{ "127.0.0.1:", -EINVAL },
		{ "127.0.0.1:65536", -EINVAL },
		{ "127.0.0.1:-1", -EINVAL },
		{ "127.0.0.1:80x", -EINVAL },
		{ "127.0.0.1: 80", -EINVAL },
		{ "[::1:80", -EINVAL },
		{ "[::1]", -EINVAL },
		{ "unix:", -EINVAL },
		{ "fd:", -EINVAL },
		{ "fd:-1", -EINVAL },
		{ "fd:3x", -EINVAL },
		{ "fd:99999", -EBADF },
		{ "no.such.host.invalid:80", ANY_ERROR },
		{ "192.0.2.1:0", -EADDRNOTAVAIL },
		{ "unix:/no/such/directory/socket", -ENOENT },
	};
	struct server *s = server_new(NULL);

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int rc = weir_server_listen(s->weir, bad[i].where,
					    WEIR_SERVICE(.readable = echo));

		ck_assert_msg(bad[i].error == ANY_ERROR ? rc < 0
							: rc == bad[i].error,
			      "%s: %s", bad[i].where, weir_strerror(rc));
	}
	weir_server_free(s->weir);
	server_check_freed(s);
}
END_TEST

START_TEST(a_name_too_long_for_a_unix_socket_is_refused)
{
	struct server *s = server_new(NULL);
	char where[200] = "unix:/";

	memset(where + 6, 'x', sizeof(where) - 7);
	ck_assert_int_eq(weir_server_listen(s->weir, where,
					    WEIR_SERVICE(.readable = echo)),
			 -ENAMETOOLONG);
	weir_server_free(s->weir);
	server_check_freed(s);
}
END_TEST

START_TEST(a_place_in_use_is_refused)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo));
	struct server *other = server_new(NULL);

	ck_assert_int_eq(weir_server_listen(other->weir, s->address,
					    WEIR_SERVICE(.readable = echo)),
			 -EADDRINUSE);
	weir_server_free(other->weir);
	server_check_freed(other);
	exchange_at(s->address);
	server_stop_and_check(s);
}
END_TEST

/* ---- the file of a Unix socket */

START_TEST(a_stale_socket_file_is_replaced_and_a_live_one_is_not)
{
	const char *dir = own_directory();
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct server *s, *other;
	char where[64];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s/socket", dir);
	snprintf(where, sizeof(where), "unix:%s/socket", dir);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	close(fd); /* the file stays, nothing listens */
	s = serve_at(where, NULL, WEIR_SERVICE(.readable = echo));
	exchange_at(where);
	other = server_new(NULL);
	ck_assert_int_eq(weir_server_listen(other->weir, where,
					    WEIR_SERVICE(.readable = echo)),
			 -EADDRINUSE);
	weir_server_free(other->weir);
	/* The other server has tried to connect. */
	UNTIL(stats(s).ledger.accepted == 2 && stats(s).ledger.open == 0);
	server_check_freed(other);
	exchange_at(where);
	server_stop_and_check(s);
	ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

START_TEST(a_file_that_is_no_socket_is_left_alone)
{
	const char *dir = own_directory();
	struct server *s = server_new(NULL);
	char where[64], *path = where + 5;
	FILE *f;

	snprintf(where, sizeof(where), "unix:%s/precious", dir);
	f = fopen(path, "we");
	ck_assert_ptr_nonnull(f);
	fclose(f);
	ck_assert_int_eq(weir_server_listen(s->weir, where,
					    WEIR_SERVICE(.readable = echo)),
			 -ENOTSOCK);
	weir_server_free(s->weir);
	server_check_freed(s);
	ck_assert_int_eq(unlink(path), 0);
	rmdir(dir);
}
END_TEST

START_TEST(a_socket_file_has_its_mode_and_goes_with_the_server)
{
	static const int modes[] = { 0, 0666, 0640 };
	const char *dir = own_directory();
	char where[64], *path = where + 5;
	struct stat st;

	snprintf(where, sizeof(where), "unix:%s/socket", dir);
	for (int i = 0; i < 3; i++) {
		struct server *s = serve_at(
			where, NULL,
			WEIR_SERVICE(.readable = echo, .mode = modes[i]));

		ck_assert_int_eq(stat(path, &st), 0);
		ck_assert_int_eq(st.st_mode & 0777, modes[i] ? modes[i] : 0600);
		server_stop_and_check(s);
		ck_assert_int_eq(stat(path, &st), -1);
	}
	rmdir(dir);
}
END_TEST

START_TEST(a_file_that_took_the_place_of_ours_is_left_alone)
{
	const char *dir = own_directory();
	char where[64], *path = where + 5;
	struct server *s;
	FILE *f;

	snprintf(where, sizeof(where), "unix:%s/socket", dir);
	s = serve_at(where, NULL, WEIR_SERVICE(.readable = echo));
	ck_assert_int_eq(unlink(path), 0);
	f = fopen(path, "we");
	ck_assert_ptr_nonnull(f);
	fclose(f);
	server_stop_and_check(s);
	ck_assert_int_eq(unlink(path), 0);
	rmdir(dir);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"listeners", every_kind_of_address_can_be_served_and_reads_back,
		all_interfaces_means_both_families,
		an_ipv4_peer_of_a_dual_stack_listener_reads_as_ipv4,
		an_ipv4_address_in_the_form_of_ipv6_is_that_address,
		an_abstract_socket_has_no_mode_to_keep_others_out,
		a_unix_peer_without_a_name_reads_as_unix,
		each_listener_has_its_own_service,
		an_inherited_socket_is_served_with_clients_that_wait_there,
		a_descriptor_is_taken_over_once,
		a_descriptor_that_does_not_listen_is_refused_and_kept,
		addresses_that_are_none_are_refused,
		a_name_too_long_for_a_unix_socket_is_refused,
		a_place_in_use_is_refused,
		a_stale_socket_file_is_replaced_and_a_live_one_is_not,
		a_file_that_is_no_socket_is_left_alone,
		a_socket_file_has_its_mode_and_goes_with_the_server,
		a_file_that_took_the_place_of_ours_is_left_alone);
}
