/* SPDX-License-Identifier: MIT */
/*
 * A dial whose connect(2) fails on the way: the other addresses of the host
 * are tried, and an interruption is none.
 */
#include "test.h"

#include <dlfcn.h>
#include <netdb.h>

#include "faults.h"

/* In place of the system's: the name "twins" has two addresses. */
int getaddrinfo(const char *host, const char *port,
		const struct addrinfo *hints, struct addrinfo **ret)
{
	__typeof__(&getaddrinfo) real;
	int rc;

	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	if (!host || strcmp(host, "twins") != 0)
		return real(host, port, hints, ret);
	rc = real("127.0.0.1", port, hints, ret);
	return rc ? rc : real("127.0.0.2", port, hints, &(*ret)->ai_next);
}

/* The kernel gave it up; the deadline of the dial is far away. */
START_TEST(an_address_that_times_out_is_not_the_last_one_tried)
{
	char where[64], line[8];
	struct server *s;
	weir_conn *c;

	faults_begin();
	s = serve_at("0.0.0.0:0", NULL, WEIR_SERVICE(.readable = echo_lines));
	snprintf(where, sizeof(where), "twins%s", strrchr(s->address, ':'));
	fault_comes(WR_SYS_connect, 1, -ETIMEDOUT);
	ck_assert_int_eq(weir_dial(&c, where, 60000), 0);
	ck_assert_int_eq(faults_made(), 1);
	ck_assert_int_eq(weir_conn_write(c, "hello\n", 6), 0);
	ck_assert_int_eq(weir_conn_read_line(c, line, sizeof(line)), 6);
	weir_conn_unref(c);
	faults_end();
	ck_assert_int_eq(weir_dial(&c, where, 60000), 0);
	weir_conn_unref(c);
	weir_server_stop(s->weir, 10000);
	server_is_over(s);
}
END_TEST

START_TEST(a_dial_that_is_interrupted_goes_on)
{
	struct server *s;
	weir_conn *c;

	faults_begin();
	s = serve_at(own_unix_address(), NULL,
		     WEIR_SERVICE(.readable = echo_lines));
	fault_comes(WR_SYS_connect, 1, -EINTR);
	ck_assert_int_eq(weir_dial(&c, own_unix_address(), 60000), 0);
	ck_assert_int_eq(faults_made(), 1);
	weir_conn_unref(c);
	faults_end();
	server_ends(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS("dial_faults",
			 an_address_that_times_out_is_not_the_last_one_tried,
			 a_dial_that_is_interrupted_goes_on);
}
