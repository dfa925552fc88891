// SPDX-License-Identifier: MIT
/*
 * weir.hpp, used as a program uses it: callables with state, exceptions,
 * lifetimes, moves.  hpp.sh compiles and runs it.
 */
#include <weir.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ios>
#include <mutex>
#include <sys/socket.h>
#include <thread>
#include <type_traits>
#include <unistd.h>

#define EXPECT(cond)                                                           \
	do {                                                                   \
		if (!(cond)) {                                                 \
			std::fprintf(stderr, "hpp.cc:%d: not so: %s\n",        \
				     __LINE__, #cond);                         \
			std::exit(1);                                          \
		}                                                              \
	} while (0)

#define UNTIL(cond)                                                            \
	do {                                                                   \
		auto until_at_ = std::chrono::steady_clock::now() +            \
				 std::chrono::seconds(60);                     \
		while (!(cond)) {                                              \
			EXPECT(std::chrono::steady_clock::now() < until_at_ && \
			       #cond);                                         \
			std::this_thread::sleep_for(                           \
				std::chrono::milliseconds(2));                 \
		}                                                              \
	} while (0)

static_assert(!std::is_copy_constructible_v<weir::server>);
static_assert(!std::is_copy_constructible_v<weir::ref>);
static_assert(!std::is_copy_constructible_v<weir::client>);
static_assert(!std::is_copy_constructible_v<weir::timer>);
static_assert(!std::is_copy_constructible_v<weir::msg>);
static_assert(std::is_nothrow_move_assignable_v<weir::msg>);
static_assert(std::is_nothrow_move_constructible_v<weir::server>);
static_assert(std::is_nothrow_move_assignable_v<weir::server>);
static_assert(std::is_nothrow_move_constructible_v<weir::ref>);
static_assert(std::is_nothrow_move_assignable_v<weir::timer>);

static int echo(weir::conn &c)
{
	std::string_view line;
	ssize_t n;

	while ((n = c.peek_line(line)) > 0) {
		weir::check(c.write(line));
		c.consume(line.size());
	}
	return static_cast<int>(n);
}

static std::string ask(weir::server &s, std::string_view text)
{
	weir::client c(s.address());
	std::string all;
	char buf[256];
	ssize_t n;

	weir::check(c.write(text));
	weir::check(c.shutdown(SHUT_WR));
	while ((n = c.read(buf, sizeof buf)) > 0)
		all.append(buf, static_cast<std::size_t>(n));
	return all;
}

/* Errors of set-up, as the error code that throw_it throws. */
template <typename Fn> static std::error_code code_of(Fn throw_it)
{
	try {
		throw_it();
	} catch (const std::system_error &e) {
		return e.code();
	}
	return {};
}

static weir_ledger stop(weir::server &s, int expected = 0)
{
	weir_report report = {};

	s.drain();
	EXPECT(s.join(&report) == expected);
	EXPECT(report.ledger.open == 0);
	return report.ledger;
}

static void callables_keep_their_state()
{
	auto count = std::make_shared<std::atomic<int>>(0);
	{
		weir::service what = weir::readable([count](weir::conn &c) {
			++*count;
			return echo(c);
		});
		weir::server s;

		what.opened = [](weir::conn &c) {
			return c.write("hello\n") < 0 ? -EPIPE : WEIR_AGAIN;
		};
		what.closed = [count](weir::conn &c) {
			EXPECT(c.summary().end == WEIR_END_PEER);
			*count += 100;
		};
		s.listen("127.0.0.1:0", std::move(what));
		s.start();
		EXPECT(ask(s, "one\ntwo\n") == "hello\none\ntwo\n");
		EXPECT(stop(s).completed == 1);
		EXPECT(*count >= 101 && count.use_count() > 1);
	}
	EXPECT(count.use_count() == 1);
}

static void a_service_that_cannot_listen_is_freed()
{
	auto owned = std::make_shared<int>(1);
	weir::server s;

	s.listen("unix:@weir-hpp-" + std::to_string(getpid()),
		 weir::readable(echo));
	for (int i = 0; i < 3; i++)
		try {
			s.listen("unix:@weir-hpp-" + std::to_string(getpid()),
				 weir::readable([owned](weir::conn &) {
					 return WEIR_CLOSE;
				 }));
			EXPECT(false);
		} catch (const std::system_error &e) {
			EXPECT(e.code().value() == EADDRINUSE);
		}
	EXPECT(owned.use_count() == 1);
}

/* What it owns may call the server: no lock is held. */
static void the_end_of_a_service_that_cannot_listen_may_listen()
{
	const std::string where = "unix:@weir-hpp-" + std::to_string(getpid());
	weir::server s;
	int other = -1;

	s.listen(where, weir::readable(echo));
	try {
		std::shared_ptr<void> owned(nullptr, [&](void *) {
			other = s.listen("127.0.0.1:0", weir::readable(echo));
		});

		s.listen(where, weir::readable([o = std::move(owned)](
					       weir::conn &) {
				 return WEIR_CLOSE;
			 }));
		EXPECT(false);
	} catch (const std::system_error &e) {
		EXPECT(e.code().value() == EADDRINUSE);
	}
	EXPECT(other > 0);
}

static void refused_and_unserved_clients_are_told()
{
	std::mutex lock;
	std::string told;
	std::atomic<int> unserved(0), asked(0);
	weir::server s;
	weir::service what = weir::readable(echo);

	what.admit = [&](int fd, const sockaddr *peer, socklen_t peer_len) {
		EXPECT(fd >= 0 && peer->sa_family == AF_INET && peer_len > 0);
		if (++asked == 1)
			throw std::runtime_error("not this one");
		return asked == 2 ? -EACCES : 0;
	};
	what.refused = [&](std::string_view peer, std::string_view via,
			   std::string_view reason) {
		std::lock_guard<std::mutex> guard(lock);

		EXPECT(peer.substr(0, 10) == "127.0.0.1:" && via.empty());
		told += reason;
		told += '\n';
		throw std::runtime_error("ends this call only");
	};
	what.unserved = [&](weir::conn &c) {
		EXPECT(c.summary().end == WEIR_END_FIRST_BYTE);
		unserved++;
	};
	what.options.first_byte_ms = 1;
	s.listen("127.0.0.1:0", std::move(what));
	s.start();
	for (int i = 0; i < 3; i++) {
		weir::client c(s.address());
		char buf[8];

		EXPECT(c.read(buf, sizeof buf) == 0);
	}
	EXPECT(stop(s).refused_access == 2);
	EXPECT(asked == 3 && unserved == 1);
	EXPECT(std::count(told.begin(), told.end(), '\n') == 2);
}

static void a_session_reads_lines()
{
	weir::server s;

	s.listen("127.0.0.1:0", weir::session([](weir::conn &c) {
			 std::string line;

			 weir::check(c.read_line(line));
			 weir::check(c.write("<" + line));
			 weir::check(c.read_line(line));
			 weir::check(c.write(">" + line));
			 return WEIR_CLOSE;
		 }));
	s.start();
	EXPECT(ask(s, "one\ntwo") == "<one\n>two");
	EXPECT(stop(s).completed == 1);
}

/* ---- exceptions */

static int throw_by_name(weir::conn &c)
{
	std::string line;

	weir::check(c.read_line(line)); /* -EAGAIN: waits */
	if (line == "runtime\n")
		throw std::runtime_error("it\nbroke");
	if (line == "code\n")
		throw std::system_error(EPROTO, std::generic_category());
	if (line == "peer\n")
		throw std::system_error(EPIPE, std::system_category());
	if (line == "other\n")
		throw std::system_error(1, std::iostream_category());
	if (line == "memory\n")
		throw std::bad_alloc();
	if (line == "int\n")
		throw 17;
	weir::check(c.write(line));
	return WEIR_AGAIN;
}

static void exceptions_end_a_connection_and_are_logged()
{
	std::mutex lock;
	std::string log;
	weir::config with;

	with.log = [&](int, std::string_view line) {
		std::lock_guard<std::mutex> guard(lock);

		log += line;
		log += '\n';
	};
	weir::server s(std::move(with));
	weir::service what = weir::readable(throw_by_name);

	what.closed = [](weir::conn &c) {
		if (c.summary().end == WEIR_END_PEER)
			throw std::runtime_error("closed, too");
	};
	s.listen("127.0.0.1:0", std::move(what));
	s.start();
	for (const char *name : { "runtime\n", "code\n", "peer\n", "other\n",
				  "memory\n", "int\n" })
		EXPECT(ask(s, name).empty());
	EXPECT(ask(s, "fine\n") == "fine\n");
	weir_ledger ledger = stop(s);
	EXPECT(ledger.failed == 6 && ledger.completed == 1);
	EXPECT(log.find("exception: it?broke\n") != log.npos);
	EXPECT(log.find("exception: not a std::exception") != log.npos);
	EXPECT(log.find("exception: closed, too") != log.npos);
	EXPECT(log.find("exception: iostream error") != log.npos);
	EXPECT(log.find("exception: Protocol error") == log.npos);
	EXPECT(log.find(weir_strerror(-EPROTO)) != log.npos);
	EXPECT(log.find(weir_strerror(-EPIPE)) == log.npos);
}

static void a_catch_block_keeps_its_exception_over_a_wait()
{
	weir::config with;

	with.options.workers = 1;
	weir::server s(std::move(with));

	s.listen("127.0.0.1:0", weir::session([](weir::conn &c) {
			 std::string line;

			 weir::check(c.read_line(line));
			 try {
				 throw std::runtime_error(line);
			 } catch (const std::runtime_error &) {
				 weir::check(c.write("caught\n"));
				 weir::check(c.read_line(line));
				 try {
					 throw;
				 } catch (const std::runtime_error &e) {
					 weir::check(c.write(e.what()));
				 }
			 }
			 return WEIR_CLOSE;
		 }));
	s.start();
	weir::client one(s.address()), other(s.address());
	std::string line;

	for (weir::client *c : { &one, &other }) {
		weir::check(c->write(c == &one ? "one\n" : "other\n"));
		weir::check(c->read_line(line));
		EXPECT(line == "caught\n");
	}
	for (weir::client *c : { &one, &other }) {
		weir::check(c->write("go on\n"));
		weir::check(c->read_line(line));
		EXPECT(line == (c == &one ? "one\n" : "other\n"));
	}
	EXPECT(stop(s).completed == 2);
}

static void a_log_that_throws_stops_nothing()
{
	weir::config with;

	with.log = [](int, std::string_view) { throw 1; };
	weir::server s(std::move(with));

	s.listen("127.0.0.1:0", weir::readable([](weir::conn &) -> int {
			 throw std::runtime_error("again");
		 }));
	s.start();
	EXPECT(ask(s, "x").empty());
	EXPECT(stop(s).failed == 1);
}

static void errors_of_set_up_are_thrown()
{
	weir::server s;
	std::string where;

	s.listen("127.0.0.1:0", weir::readable(echo));
	where = s.address();
	EXPECT(code_of([&] { s.listen(where, weir::readable(echo)); }) ==
	       std::errc::address_in_use);
	EXPECT(code_of([&] { s.listen(":0", weir::service()); }) ==
	       std::errc::invalid_argument);
	EXPECT(code_of([&] { (void)s.address(7); }) ==
	       std::errc::invalid_argument);
	EXPECT(code_of([&] { weir::client c("unix:/nowhere/at/all"); }) ==
	       std::errc::no_such_file_or_directory);
	EXPECT(code_of([&] {
		       weir::config bad;

		       bad.options.workers = -1;
		       weir::server never(std::move(bad));
	       }) == std::errc::invalid_argument);
	try {
		weir::check_address("nonsense", WEIR_TO_DIAL);
		EXPECT(false);
	} catch (const std::invalid_argument &e) {
		EXPECT(std::string(e.what()).size() > 5);
	}
	EXPECT(weir::check_address(where, WEIR_TO_DIAL) == WEIR_ADDRESS_TCP);
	EXPECT(weir::resolve(where).at(0).text == where);
	EXPECT(code_of([] { (void)weir::check(-EAGAIN); }) ==
	       std::errc::resource_unavailable_try_again);
}

/* ---- references and data */

struct counted {
	std::string name;
	std::atomic<int> &alive;

	counted(std::string of, std::atomic<int> &a)
		: name(std::move(of)), alive(a)
	{
		++alive;
	}
	~counted() { --alive; }
};

static void data_lives_as_long_as_references()
{
	std::atomic<int> alive(0), refused(0);
	std::mutex lock;
	weir::ref kept;
	{
		weir::server s;
		weir::service what = weir::readable(echo);

		what.opened = [&](weir::conn &c) {
			c.emplace<counted>("first", alive);
			refused += code_of([&] {
					   c.emplace<counted>("x", alive);
				   }) == std::errc::device_or_resource_busy;
			std::lock_guard<std::mutex> guard(lock);
			kept = c.ref();
			return WEIR_AGAIN;
		};
		s.listen("127.0.0.1:0", std::move(what));
		s.start();
		weir::client c(s.address());
		UNTIL((std::lock_guard<std::mutex>(lock), kept));
		EXPECT(kept.send("from outside\n") == 0);
		std::string line;
		EXPECT(weir::check(c.read_line(line)) == 13);
		weir::ref second = kept.dup();
		kept = std::move(second);
		EXPECT(!second && kept.id() == 1);
		EXPECT(kept.close() == 0);
		EXPECT(weir::check(c.read_line(line)) == 0);
		stop(s);
	}
	EXPECT(refused == 1 && alive == 1);
	EXPECT(kept.data<counted>()->name == "first");
	EXPECT(kept.send("x") == -EPIPE);
	kept = weir::ref();
	EXPECT(alive == 0);
}

/* ---- connections of the program */

static void dialled_services_end_with_their_connection()
{
	auto state = std::make_shared<std::atomic<int>>(0);
	weir::server s;
	int pair[2];

	s.listen("127.0.0.1:0", weir::readable(echo));
	s.start();
	for (const std::string &where :
	     { s.address(), std::string("unix:/nowhere/at/all") }) {
		weir::service what = weir::readable([state](weir::conn &c) {
			std::string line;

			weir::check(c.read_line(line));
			*state += static_cast<int>(line.size());
			return WEIR_CLOSE;
		});
		weir::ref r = s.dial(where, std::move(what));

		(void)r.send("ping\n");
		UNTIL(state.use_count() == 1);
	}
	EXPECT(*state == 5);
	EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	weir::ref r = s.adopt(pair[0], weir::readable([state](weir::conn &c) {
				      return echo(c);
			      }));
	weir::client c("fd:" + std::to_string(pair[1]));
	std::string line;
	EXPECT(c.write("adopted\n") == 0 && c.read_line(line) == 8);
	EXPECT(r.close() == 0);
	UNTIL(state.use_count() == 1);
	EXPECT(code_of([&] { s.adopt(-1, weir::readable(echo)); }) ==
	       std::errc::bad_file_descriptor);
	EXPECT(stop(s).dialled == 3);
}

/* ---- sessions without a peer */

static void spawned_sessions_wait_and_end()
{
	std::atomic<int> slept{ 0 }, ready{ -1 };
	auto held = std::make_shared<int>(7);
	weir::server s;

	s.listen("127.0.0.1:0", weir::session(echo));
	s.spawn([&, held](weir::conn &) {
		int rc;

		while ((rc = weir::sleep(1)) == 0)
			slept++;
		return rc;
	});
	s.start();
	s.spawn([&](weir::conn &) -> int {
		weir::client up(s.address());
		weir_poll list[] = { { up.get(), WEIR_POLL_INPUT, 0 } };

		weir::check(up.write("hello\n"));
		ready = weir::wait(list);
		throw std::runtime_error("thrown");
	});
	UNTIL(ready == 1 && slept > 3 && s.stats().ledger.failed == 1);
	EXPECT(s.stop(60000) == 0 && s.join() == 0);
	EXPECT(held.use_count() == 1);
}

static void a_callable_that_never_runs_is_freed()
{
	auto held = std::make_shared<int>(7);
	std::atomic<bool> is_busy{ false }, may_end{ false };
	weir::config one;

	{
		weir::server never_started;

		never_started.spawn([held](weir::conn &) { return 0; });
		EXPECT(held.use_count() > 1);
	}
	EXPECT(held.use_count() == 1);

	one.options.workers = 1;
	weir::server s(std::move(one));

	s.listen("127.0.0.1:0", weir::session(echo));
	s.start();
	s.spawn([&](weir::conn &) {
		is_busy = true;
		UNTIL(may_end);
		return 0;
	});
	UNTIL(is_busy);
	EXPECT(s.spawn([held](weir::conn &) { return 0; }).cancel() == 0);
	may_end = true;
	UNTIL(s.stats().ledger.closed == 2);
	EXPECT(held.use_count() == 1);
	EXPECT(s.stats().ledger.cut == 1);
}

/* ---- messages that connections share */

static void a_message_outlives_its_owner()
{
	weir::server s;
	std::mutex lock;
	std::vector<weir::ref> members;
	weir::service what = weir::readable(echo);
	std::string line;

	what.opened = [&](weir::conn &c) {
		std::lock_guard<std::mutex> guard(lock);

		members.push_back(c.ref());
		return WEIR_AGAIN;
	};
	s.listen("127.0.0.1:0", std::move(what));
	s.start();
	weir::client first(s.address()), second(s.address());
	UNTIL((std::lock_guard<std::mutex>(lock), members.size() == 2));
	{
		weir::msg text(std::string(1000, 'x') + "\n");
		weir::msg pieces = { "one ", "", "two\n" };
		weir::msg moved = std::move(text), again = moved.dup();

		EXPECT(!text && moved && again.get() == moved.get());
		for (auto &member : members) {
			EXPECT(member.send(again) == 0);
			EXPECT(member.send(pieces) == 0);
			EXPECT(member.send("three\n") == 0);
			EXPECT(member.send(text) == -EINVAL);
		}
		again = std::move(pieces);
		moved = weir::msg();
		EXPECT(!moved && again);
	}
	for (weir::client *c : { &first, &second }) {
		EXPECT(c->read_line(line) == 1001 && line[999] == 'x');
		EXPECT(c->read_line(line) == 8 && line == "one two\n");
		EXPECT(c->read_line(line) == 6 && line == "three\n");
	}
	members.clear();
	stop(s);
}

/* ---- timers */

static void timers_run_and_free_themselves()
{
	weir::server s;
	std::atomic<int> often(0), once(0);
	auto held = std::make_shared<int>(1);

	s.listen("127.0.0.1:0", weir::readable(echo));
	s.start();
	{
		weir::timer ticks(s, 1, 1, [&, held] {
			if (++often == 2)
				throw std::runtime_error("goes on");
		});
		weir::timer moved = std::move(ticks);

		UNTIL(often >= 5);
		EXPECT(moved.set(WEIR_NEVER) == 0);
	}
	weir::timer self;
	self = weir::timer(s, WEIR_NEVER, 1, [&, held] {
		self = weir::timer();
		once += *held; /* it is there until the call returns */
	});
	EXPECT(self.set(1) == 0);
	UNTIL(once == 1);
	stop(s);
	s = weir::server();
	EXPECT(held.use_count() == 1 && once == 1);
}

/* ---- while it serves, and its end */

static void limits_change_and_servers_move()
{
	std::vector<weir::server> servers;
	weir::service what = weir::readable(echo);
	weir_service options;

	servers.emplace_back();
	weir::server &s = servers[0];
	s.listen("127.0.0.1:0", what);
	s.start();
	EXPECT(ask(s, "one\n") == "one\n");
	options = what.options;
	options.line_max = 4;
	s.configure_service(0, options);
	EXPECT(ask(s, "longer\n").empty());
	weir_config limits = weir::config().options;
	limits.max_connections = 7;
	s.configure(limits);
	EXPECT(s.stats().max_connections == 7);
	EXPECT(code_of([&] { s.configure_service(3, options); }) ==
	       std::errc::invalid_argument);
	weir::server other = std::move(servers[0]);
	EXPECT(ask(other, "two\n") == "two\n");
	other.unlisten(0);
	EXPECT(!other.is_draining());
	/* Without a stop: its end stops it. */
}

int main()
{
	callables_keep_their_state();
	a_service_that_cannot_listen_is_freed();
	the_end_of_a_service_that_cannot_listen_may_listen();
	refused_and_unserved_clients_are_told();
	a_session_reads_lines();
	exceptions_end_a_connection_and_are_logged();
	a_catch_block_keeps_its_exception_over_a_wait();
	a_log_that_throws_stops_nothing();
	errors_of_set_up_are_thrown();
	data_lives_as_long_as_references();
	dialled_services_end_with_their_connection();
	spawned_sessions_wait_and_end();
	a_callable_that_never_runs_is_freed();
	a_message_outlives_its_owner();
	timers_run_and_free_themselves();
	limits_change_and_servers_move();
}
