/* SPDX-License-Identifier: MIT */
/*
 * Where nothing listens, a socket may get the port that it connects to: TCP
 * makes a connection of the socket with itself.  In a network namespace the
 * kernel has four ports to give, and tries the dialled one first.
 */
#include "test.h"

#define PORT	  40000
#define LAST_PORT 40003
#define DIALS	  200

static bool few_ports(void)
{
	FILE *f;
	bool was_written;

	if (!enter_own_network()) {
		skip_test("no network namespace allowed here");
		return false;
	}
	f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "we");
	was_written = f && fprintf(f, "%d %d\n", PORT, LAST_PORT) > 0;
	if (f && fclose(f) != 0)
		was_written = false;
	if (!was_written)
		skip_test("the ports of this network namespace cannot "
			  "be set");
	return was_written;
}

static void nobody_is_met_at(const char *host)
{
	struct process_state before;
	struct server *s;
	char where[64];
	weir_conn *conn;

	snprintf(where, sizeof(where), "%s:%d", host, PORT);
	process_state_take(&before);
	for (int i = 0; i < DIALS; i++)
		ck_assert_int_eq(weir_dial(&conn, where, 10000 * slowness()),
				 -ECONNREFUSED);
	process_state_check(&before);
	/* The port is free for a listener. */
	s = serve_at(where, NULL, WEIR_SERVICE(.readable = echo));
	client_open_and_echo(s, "hello");
	server_stop_and_check(s);
}

START_TEST(a_client_where_nobody_listens_does_not_meet_itself)
{
	if (few_ports())
		nobody_is_met_at("127.0.0.1");
}
END_TEST

START_TEST(a_client_of_ipv6_does_not_meet_itself)
{
	if (has_ipv6() && few_ports())
		nobody_is_met_at("[::1]");
}
END_TEST

/* No socket gets the wildcard address. */
START_TEST(a_client_of_the_wildcard_address_does_not_meet_itself)
{
	if (few_ports())
		nobody_is_met_at("0.0.0.0");
}
END_TEST

int main(void)
{
	return RUN_TESTS("meeting_oneself",
			 a_client_where_nobody_listens_does_not_meet_itself,
			 a_client_of_ipv6_does_not_meet_itself,
			 a_client_of_the_wildcard_address_does_not_meet_itself);
}
