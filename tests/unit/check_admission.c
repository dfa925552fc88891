/* SPDX-License-Identifier: MIT */
/*
 * The judge of clients: limits and rates of a source, the fixed table of
 * sources, early refusals.
 */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "admission.h"
#include "bounds.h"
#include "clock.h"
#include "core.h"
#include "test.h"

static struct wr_admission admission;
static struct wr_config config;
static struct wr_stats counts;
static struct wr_service service;

static void judge_begin(const char *text, const struct weir_config *set)
{
	weir_access *a = NULL;

	if (text)
		ck_assert_int_eq(weir_access_new(&a, text, NULL, 0), 0);
	ck_assert_int_eq(wr_config_init(&config, set), 0);
	ck_assert_int_eq(wr_admission_init(&admission, a), 0);
	weir_access_unref(a);
}

static void judge_end(void)
{
	wr_admission_fini(&admission);
	wr_config_fini(&config);
}

static int judge(const char *address, int64_t now, uint16_t *source)
{
	struct sockaddr_storage peer = { .ss_family = AF_INET6 };
	struct sockaddr_in *in = (struct sockaddr_in *)&peer;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&peer;
	const struct wr_client client = {
		.service = &service,
		.fd = -1,
		.peer = (const struct sockaddr *)&peer,
		.peer_len = sizeof(peer),
		.now = now,
	};

	if (inet_pton(AF_INET6, address, &in6->sin6_addr) != 1) {
		peer.ss_family = AF_INET;
		ck_assert_int_eq(inet_pton(AF_INET, address, &in->sin_addr), 1);
	}
	return wr_admission_judge(&admission, &config, &counts, &client,
				  source);
}

static int judge_now(const char *address)
{
	uint16_t source;

	return judge(address, 1, &source);
}

START_TEST(a_source_has_its_limit_and_others_have_theirs)
{
	uint16_t source, last;

	judge_begin("limit 3", NULL);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(judge("192.0.2.1", 1, &last), WR_ADMITTED);
		ck_assert_int_eq(judge("2001:db8::1", 1, &source), WR_ADMITTED);
	}
	ck_assert_int_eq(judge_now("192.0.2.1"), WR_OUTCOME_REFUSED_SOURCE);
	ck_assert_int_eq(judge_now("::ffff:192.0.2.1"),
			 WR_OUTCOME_REFUSED_SOURCE);
	ck_assert_int_eq(judge_now("192.0.2.2"), WR_ADMITTED);
	/* the same /64, and another */
	ck_assert_int_eq(judge_now("2001:db8::ffff:2"),
			 WR_OUTCOME_REFUSED_SOURCE);
	ck_assert_int_eq(judge_now("2001:db8:0:1::1"), WR_ADMITTED);
	wr_admission_leave(&admission, last);
	ck_assert_int_eq(judge_now("192.0.2.1"), WR_ADMITTED);
	ck_assert_int_eq(judge_now("192.0.2.1"), WR_OUTCOME_REFUSED_SOURCE);
	judge_end();
}
END_TEST

START_TEST(other_prefixes_make_other_sources)
{
	judge_begin("limit 1 per 24/48", NULL);
	ck_assert_int_eq(judge_now("192.0.2.1"), WR_ADMITTED);
	ck_assert_int_eq(judge_now("192.0.2.254"), WR_OUTCOME_REFUSED_SOURCE);
	ck_assert_int_eq(judge_now("192.0.3.1"), WR_ADMITTED);
	ck_assert_int_eq(judge_now("2001:db8::1"), WR_ADMITTED);
	ck_assert_int_eq(judge_now("2001:db8:0:1::1"),
			 WR_OUTCOME_REFUSED_SOURCE);
	judge_end();
}
END_TEST

static int count_admitted(const char *address, int most)
{
	int n = 0;

	while (n < most && judge_now(address) == WR_ADMITTED)
		n++;
	return n;
}

START_TEST(a_source_gets_a_quarter_of_all_places_by_default)
{
	judge_begin(NULL, WEIR_CONFIG(.max_connections = 100));
	ck_assert_int_eq(count_admitted("192.0.2.1", 100), 25);
	ck_assert_int_eq(count_admitted("127.0.0.1", 100), 100);
	ck_assert_int_eq(count_admitted("::1", 100), 100);
	judge_end();
	judge_begin(NULL, WEIR_CONFIG(.max_connections = 20));
	ck_assert_int_eq(count_admitted("192.0.2.1", 20), WR_SOURCE_LEAST);
	judge_end();
	judge_begin(NULL, WEIR_CONFIG(.max_per_source = 7));
	ck_assert_int_eq(count_admitted("192.0.2.1", 20), 7);
	judge_end();
	/* rules replace the one about loopback */
	judge_begin("exempt 192.0.2.1", WEIR_CONFIG(.max_per_source = 7));
	ck_assert_int_eq(count_admitted("127.0.0.1", 20), 7);
	ck_assert_int_eq(count_admitted("192.0.2.1", 20), 20);
	judge_end();
}
END_TEST

START_TEST(a_rate_allows_its_number_at_once_and_then_one_each_interval)
{
	const int64_t ms = WR_NS_PER_MS;
	uint16_t source;

	judge_begin("rate 5/10s", NULL);
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(judge("192.0.2.1", ms, &source), WR_ADMITTED);
	ck_assert_int_eq(judge("192.0.2.1", ms, &source),
			 WR_OUTCOME_REFUSED_RATE);
	ck_assert_uint_eq(source, 0);
	ck_assert_int_eq(judge("192.0.2.2", ms, &source), WR_ADMITTED);
	ck_assert_int_eq(judge("192.0.2.1", 2000 * ms, &source),
			 WR_OUTCOME_REFUSED_RATE);
	ck_assert_int_eq(judge("192.0.2.1", 2001 * ms, &source), WR_ADMITTED);
	ck_assert_int_eq(judge("192.0.2.1", 2001 * ms, &source),
			 WR_OUTCOME_REFUSED_RATE);
	ck_assert_int_eq(judge("192.0.2.1", 60000 * ms, &source), WR_ADMITTED);
	judge_end();
}
END_TEST

static void use_rules(const char *text)
{
	weir_access *rules;
	char why[128];

	ck_assert_int_eq(weir_access_new(&rules, text, why, sizeof(why)), 0);
	wr_admission_set_rules(&admission, rules);
	weir_access_unref(rules);
}

START_TEST(a_shorter_rate_forgets_the_debt_of_a_longer_one)
{
	const int64_t ms = WR_NS_PER_MS;
	uint16_t source;

	judge_begin("rate 2/1h", NULL);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(judge("192.0.2.1", ms, &source), WR_ADMITTED);
	use_rules("rate 2/10s");
	ck_assert_int_eq(judge("192.0.2.1", ms, &source),
			 WR_OUTCOME_REFUSED_RATE);
	ck_assert_int_eq(judge("192.0.2.1", 5001 * ms, &source), WR_ADMITTED);
	ck_assert_int_eq(judge("192.0.2.1", 5001 * ms, &source),
			 WR_OUTCOME_REFUSED_RATE);
	judge_end();
}
END_TEST

START_TEST(a_full_table_counts_and_lets_pass)
{
	const int all = 2 * WR_SOURCES;
	uint16_t *sources = calloc((size_t)all, sizeof(*sources));
	char address[32];
	uint64_t full;

	judge_begin("limit 1", NULL);
	for (int i = 0; i < all; i++) {
		snprintf(address, sizeof(address), "10.%d.%d.%d", i / 65536,
			 i / 256 % 256, i % 256);
		ck_assert_int_eq(judge(address, 1, &sources[i]), WR_ADMITTED);
	}
	full = atomic_load(&counts.sources_full);
	ck_assert_uint_ge(full, (uint64_t)(all - WR_SOURCES));
	/* all have ended: each place is free for another source */
	for (int i = 0; i < all; i++)
		wr_admission_leave(&admission, sources[i]);
	for (int i = 0; i < 1000; i++) {
		snprintf(address, sizeof(address), "172.16.%d.%d", i / 256,
			 i % 256);
		ck_assert_int_eq(judge_now(address), WR_ADMITTED);
		ck_assert_int_eq(judge_now(address), WR_OUTCOME_REFUSED_SOURCE);
	}
	ck_assert_uint_eq(atomic_load(&counts.sources_full), full);
	judge_end();
	free(sources);
}
END_TEST

/* Percent of refusals while that many have sent nothing. */
static int early_refusals(size_t unproven)
{
	int n = 0;

	atomic_store(&admission.unproven, unproven);
	for (int i = 0; i < 1000; i++)
		n += judge_now("192.0.2.1") == WR_OUTCOME_REFUSED_EARLY;
	return n / 10;
}

START_TEST(early_refusals_grow_from_the_first_percent_to_all)
{
	judge_begin("exempt 192.0.2.9",
		    WEIR_CONFIG(.early_start = 100, .early_percent = 20,
				.early_full = 200, .max_per_source = 1000000));
	ck_assert_int_eq(early_refusals(99), 0);
	ck_assert_int_ge(early_refusals(100), 10);
	ck_assert_int_le(early_refusals(100), 30);
	ck_assert_int_ge(early_refusals(150), 50);
	ck_assert_int_le(early_refusals(150), 70);
	ck_assert_int_eq(early_refusals(200), 100);
	ck_assert_int_eq(early_refusals(2000), 100);
	ck_assert_int_eq(judge_now("192.0.2.9"), WR_ADMITTED);
	judge_end();
}
END_TEST

static int refuse_all(int fd, const struct sockaddr *peer, socklen_t len,
		      void *arg)
{
	(void)fd;
	(void)peer;
	(void)len;
	(void)arg;
	return 1;
}

START_TEST(a_client_that_admit_refuses_is_not_counted)
{
	judge_begin("limit 1", NULL);
	service.set.admit = refuse_all;
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(judge_now("192.0.2.1"),
				 WR_OUTCOME_REFUSED_ACCESS);
	service.set.admit = NULL;
	ck_assert_int_eq(judge_now("192.0.2.1"), WR_ADMITTED);
	judge_end();
}
END_TEST

/* Those of the numbers below count: half of them are denied. */
static char *many_rules(int family, int count)
{
	char *text = malloc((size_t)count * 40), *at = text;

	for (int i = 0; i < count; i++) {
		const char *verb = i % 2 ? "deny" : "allow";

		if (family == AF_INET)
			at += sprintf(at, "%s %d.%d.%d.0/24\n", verb,
				      1 + i / 65536, i / 256 % 256, i % 256);
		else
			at += sprintf(at, "%s 2001:db8:%x:%x::/64\n", verb,
				      (unsigned)i / 65536, (unsigned)i % 65536);
	}
	return text;
}

/* An address that rule i decides about. */
static void address_of_rule(struct sockaddr_storage *ret, int family,
			    uint32_t i)
{
	const uint32_t v6[4] = { htonl(0x20010db8), htonl(i), 0, htonl(1) };

	*ret = (struct sockaddr_storage){ .ss_family = (sa_family_t)family };
	if (family == AF_INET)
		((struct sockaddr_in *)ret)->sin_addr.s_addr =
			htonl(0x01000000 + (i << 8 | 1));
	else
		memcpy(&((struct sockaddr_in6 *)ret)->sin6_addr, v6,
		       sizeof(v6));
}

/*
 * With WEIR_BENCH set it prints the processor time of one judgement and of the
 * end of the connection.  It has no bound here, where other tests run.
 */
static void judge_many(int family, int count)
{
	const int looks = fewer(1000000);
	char *text = many_rules(family, count);
	struct sockaddr_storage peer;
	const struct wr_client client = {
		.service = &service,
		.fd = -1,
		.peer = (const struct sockaddr *)&peer,
		.peer_len = sizeof(peer),
		.now = 1,
	};
	int wrong = 0;
	int64_t began;

	judge_begin(text, NULL);
	free(text);
	began = cpu_ms();
	for (uint32_t i = 0; i < (uint32_t)looks; i++) {
		uint32_t rule = i * UINT32_C(2654435761) % (uint32_t)count;
		uint16_t source;
		int found;

		address_of_rule(&peer, family, rule);
		found = wr_admission_judge(&admission, &config, &counts,
					   &client, &source);
		wrong += found !=
			 (rule % 2 ? WR_OUTCOME_REFUSED_ACCESS : WR_ADMITTED);
		if (found == WR_ADMITTED)
			wr_admission_leave(&admission, source);
	}
	if (getenv("WEIR_BENCH"))
		printf("%d IPv%d rules: %lld ns\n", count,
		       family == AF_INET ? 4 : 6,
		       (long long)(cpu_ms() - began) * 1000000 / looks);
	ck_assert_int_eq(wrong, 0);
	judge_end();
}

START_TEST(each_of_a_hundred_thousand_rules_decides)
{
	judge_many(AF_INET, 1);
	judge_many(AF_INET, 100000);
	judge_many(AF_INET6, 1);
	judge_many(AF_INET6, 100000);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"admission", a_source_has_its_limit_and_others_have_theirs,
		other_prefixes_make_other_sources,
		a_source_gets_a_quarter_of_all_places_by_default,
		a_rate_allows_its_number_at_once_and_then_one_each_interval,
		a_shorter_rate_forgets_the_debt_of_a_longer_one,
		a_full_table_counts_and_lets_pass,
		early_refusals_grow_from_the_first_percent_to_all,
		a_client_that_admit_refuses_is_not_counted,
		each_of_a_hundred_thousand_rules_decides);
}
