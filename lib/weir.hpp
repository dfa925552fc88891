// SPDX-License-Identifier: MIT
/*
 * weir for C++17 and later: classes over weir.h, in this header alone.
 *
 *   weir::server, ref, client,         own what their C calls make: they can be
 *   timer, msg                         moved, and free it at their end
 *   weir::conn                         a connection, for its callbacks
 *   weir::service, config              settings, with callables
 *
 * Errors.  A call that sets something up (a constructor, listen(), start(),
 * dial(), address() ...) throws std::system_error with the errno value in
 * std::generic_category().  So do summary(), peer(), local() and emplace() of a
 * connection.  Other calls on a connection or a reference return what their C
 * functions return: a handler passes most of it on as its verdict.  check()
 * turns such a result into an exception.
 *
 * Exceptions.  None passes through the library.  A std::system_error with an
 * errno value that leaves a handler becomes the verdict -errno, so
 * check(c.read(...)) waits, closes or fails like a returned result.  Any other
 * exception is written to the log as an error, with its text, and fails the
 * connection with -ECANCELED, or -ENOMEM for std::bad_alloc.
 *
 * Threads.  weir.h and docs/THREADING.md apply to each call.  Several workers
 * call the same callable at once, for different connections.  It lives as long
 * as the server, and that of a connection that the program dials, adopts or
 * spawns until the connection ends.
 */
#ifndef WEIR_HPP
#define WEIR_HPP

#include <weir.h>

#include <cerrno>
#include <exception>
#include <functional>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace weir {

/* The result of a call, if it is no error; else throws it. */
template <typename Result> Result check(Result rc, const char *what = "weir")
{
	if (rc < 0)
		throw std::system_error(static_cast<int>(-rc),
					std::generic_category(), what);
	return rc;
}

namespace detail {

/* Text of a call that fills a buffer; it throws. */
template <typename Call> std::string text_of(Call call, const char *what)
{
	std::string text(256, '\0');
	int n;

	while ((n = call(&text[0], text.size())) == -ENOSPC)
		text.resize(2 * text.size());
	text.resize(static_cast<std::size_t>(check(n, what)));
	return text;
}

/* Where errors of callables go. */
class logger {
	std::function<void(int, std::string_view)> sink;

	static void call(int level, const char *line, void *arg) noexcept
	{
		try {
			static_cast<logger *>(arg)->sink(level, line);
		} catch (...) {
			/* there is nowhere to report it */
		}
	}

public:
	weir_log_fn *log = nullptr;
	void *arg = nullptr;

	void set(std::function<void(int, std::string_view)> to)
	{
		sink = std::move(to);
		log = call;
		arg = this;
	}

	void report(std::uint64_t id, const char *what) const noexcept
	{
		if (log == nullptr)
			return;
		try {
			std::string line = "connection " + std::to_string(id) +
					   ": exception: " + what;

			if (id == 0)
				line = std::string("exception: ") + what;
			for (char &c : line)
				if ((c >= 0 && c < ' ') || c == 127)
					c = '?';
			log(WEIR_LOG_ERROR, line.c_str(), arg);
		} catch (...) {
			log(WEIR_LOG_ERROR, "exception: no memory", arg);
		}
	}
};

/* Run fn.  Its result, or the verdict for its exception. */
template <typename Fn>
int guard(const logger &to, std::uint64_t id, Fn fn) noexcept
{
	try {
		return fn();
	} catch (const std::system_error &e) {
		const auto &of = e.code().category();

		if (e.code().value() > 0 && (of == std::generic_category() ||
					     of == std::system_category()))
			return -e.code().value();
		to.report(id, e.what());
	} catch (const std::bad_alloc &e) {
		to.report(id, e.what());
		return -ENOMEM;
	} catch (const std::exception &e) {
		to.report(id, e.what());
	} catch (...) {
		to.report(id, "not a std::exception");
	}
	return -ECANCELED;
}

} // namespace detail

/* Bytes that many connections send and keep without a copy; may be empty. */
class msg {
	weir_msg *m = nullptr;

public:
	msg() = default;
	explicit msg(std::string_view text)
	{
		check(weir_msg_new(&m, text.data(), text.size()), "msg");
	}
	/* Of pieces, in their order. */
	msg(std::initializer_list<std::string_view> pieces)
	{
		std::vector<iovec> iov;

		for (std::string_view piece : pieces)
			iov.push_back({ const_cast<char *>(piece.data()),
					piece.size() });
		check(weir_msg_newv(&m, iov.data(),
				    static_cast<int>(iov.size())),
		      "msg");
	}
	explicit msg(weir_msg *counted) noexcept : m(counted) {}
	msg(msg &&other) noexcept : m(other.release()) {}
	msg &operator=(msg &&other) noexcept
	{
		if (this != &other)
			weir_msg_unref(std::exchange(m, other.release()));
		return *this;
	}
	~msg() { weir_msg_unref(m); }

	weir_msg *get() const noexcept { return m; }
	weir_msg *release() noexcept { return std::exchange(m, nullptr); }
	explicit operator bool() const noexcept { return m != nullptr; }
	msg dup() const noexcept { return msg(weir_msg_dup(m)); }
};

/* A reference to a connection, for any thread; may be empty. */
class ref {
	weir_ref *r = nullptr;

public:
	ref() = default;
	explicit ref(weir_ref *counted) noexcept : r(counted) {}
	ref(ref &&other) noexcept : r(other.release()) {}
	ref &operator=(ref &&other) noexcept
	{
		if (this != &other)
			weir_ref_unref(std::exchange(r, other.release()));
		return *this;
	}
	~ref() { weir_ref_unref(r); }

	weir_ref *get() const noexcept { return r; }
	weir_ref *release() noexcept { return std::exchange(r, nullptr); }
	explicit operator bool() const noexcept { return r != nullptr; }
	ref dup() const noexcept { return ref(weir_ref_dup(r)); }

	std::uint64_t id() const noexcept { return weir_ref_id(r); }
	int send(std::string_view text) const noexcept
	{
		return weir_ref_send(r, text.data(), text.size());
	}
	int send(const msg &message) const noexcept
	{
		return weir_ref_send_msg(r, message.get());
	}
	int shutdown(int how) const noexcept
	{
		return weir_ref_shutdown(r, how);
	}
	std::int64_t unsent() const noexcept { return weir_ref_unsent(r); }
	int want_room() const noexcept { return weir_ref_want_room(r); }
	int wake() const noexcept { return weir_ref_wake(r); }
	int close() const noexcept { return weir_ref_close(r); }
	int cancel() const noexcept { return weir_ref_cancel(r); }

	/* What conn::emplace<T>() made; NULL: nothing. */
	template <typename T> T *data() const noexcept
	{
		return static_cast<T *>(weir_ref_data(r));
	}
};

/* A connection, valid during a callback. */
class conn {
protected:
	weir_conn *c;

public:
	explicit conn(weir_conn *of) noexcept : c(of) {}

	weir_conn *get() const noexcept { return c; }
	weir::ref ref() const noexcept { return weir::ref(weir_conn_ref(c)); }

	ssize_t read(void *buf, std::size_t cap) noexcept
	{
		return weir_conn_read(c, buf, cap);
	}
	ssize_t read_exact(void *buf, std::size_t len) noexcept
	{
		return weir_conn_read_exact(c, buf, len);
	}
	/* The line with its newline. */
	ssize_t read_line(std::string &line)
	{
		std::string_view shown;
		ssize_t n = peek_line(shown);

		if (n <= 0)
			return n;
		line = shown;
		weir_conn_consume(c, shown.size());
		return n;
	}
	/* What they show is valid as for weir_conn_peek_line(). */
	ssize_t peek(std::string_view &shown, std::size_t at_least = 1) noexcept
	{
		const void *data = nullptr;
		ssize_t n = weir_conn_peek(c, &data, at_least);

		return show(shown, static_cast<const char *>(data), n);
	}
	ssize_t peek_line(std::string_view &shown) noexcept
	{
		const char *line = nullptr;
		ssize_t n = weir_conn_peek_line(c, &line);

		return show(shown, line, n);
	}
	ssize_t peek_until(std::string_view &shown,
			   std::string_view delim) noexcept
	{
		const void *data = nullptr;
		ssize_t n = weir_conn_peek_until(c, &data, delim.data(),
						 delim.size());

		return show(shown, static_cast<const char *>(data), n);
	}
	int consume(std::size_t len) noexcept
	{
		return weir_conn_consume(c, len);
	}

	int write(std::string_view text) noexcept
	{
		return weir_conn_write(c, text.data(), text.size());
	}
	int sendfile(int fd, std::uint64_t from, std::uint64_t len) noexcept
	{
		return weir_conn_sendfile(c, fd, from, len);
	}
	int flush() noexcept { return weir_conn_flush(c); }
	int shutdown(int how) noexcept { return weir_conn_shutdown(c, how); }
	std::int64_t unsent() const noexcept { return weir_conn_unsent(c); }
	bool is_held() const noexcept { return weir_conn_is_held(c) > 0; }
	int want_room() noexcept { return weir_conn_want_room(c); }

	int why() const noexcept { return weir_conn_why(c); }
	std::uint64_t id() const noexcept { return weir_conn_id(c); }
	int fd() const noexcept { return weir_conn_fd(c); }
	int detach() noexcept { return weir_conn_detach(c); }
	bool is_draining() const noexcept
	{
		return weir_conn_is_draining(c) > 0;
	}
	int set_timeout(int which, int ms) noexcept
	{
		return weir_conn_set_timeout(c, which, ms);
	}
	int set_timer(int ms) noexcept { return weir_conn_set_timer(c, ms); }
	weir_summary summary() const
	{
		weir_summary now = {};

		check(weir_conn_summary(c, &now, sizeof now), "summary");
		return now;
	}
	std::string peer() const
	{
		return detail::text_of(
			[this](char *buf, std::size_t cap) {
				return weir_conn_peer(c, buf, cap);
			},
			"peer");
	}
	std::string local() const
	{
		return detail::text_of(
			[this](char *buf, std::size_t cap) {
				return weir_conn_local(c, buf, cap);
			},
			"local");
	}

	/*
	 * Make the data of this connection, once; it throws if there is some.
	 * It is deleted with the last reference (weir_conn_share_data()).
	 */
	template <typename T, typename... Args> T &emplace(Args &&...args)
	{
		auto made = std::make_unique<T>(std::forward<Args>(args)...);

		check(weir_conn_share_data(
			      c, made.get(),
			      [](void *data) { delete static_cast<T *>(data); }),
		      "emplace");
		return *made.release();
	}
	template <typename T> T *data() const noexcept
	{
		return static_cast<T *>(weir_conn_data(c));
	}

private:
	static ssize_t show(std::string_view &shown, const char *data,
			    ssize_t n) noexcept
	{
		if (n > 0)
			shown = { data, static_cast<std::size_t>(n) };
		return n;
	}
};

/* A connection of weir_dial(), for one thread. */
class client : public conn {
public:
	explicit client(const std::string &where, int timeout_ms = 0)
		: conn(nullptr)
	{
		check(weir_dial(&c, where.c_str(), timeout_ms), where.c_str());
	}
	client(client &&other) noexcept : conn(std::exchange(other.c, nullptr))
	{
	}
	client &operator=(client &&other) noexcept
	{
		if (this != &other)
			weir_conn_free(std::exchange(
				c, std::exchange(other.c, nullptr)));
		return *this;
	}
	~client() { weir_conn_free(c); }
};

using handler = std::function<int(conn &)>;

/* Options are those of weir.h, without the callbacks and arg. */
struct service {
	weir_service options;
	handler session, readable, opened, expired;
	std::function<void(conn &)> closed, unserved;
	/* An exception refuses, as a result other than 0 does. */
	std::function<int(int fd, const sockaddr *peer, socklen_t peer_len)>
		admit;
	/* via is empty if the client came without a proxy. */
	std::function<void(std::string_view peer, std::string_view via,
			   std::string_view reason)>
		refused;

	service() { weir_service_init(&options, sizeof options); }
};

inline service readable(handler fn)
{
	service s;

	s.readable = std::move(fn);
	return s;
}

inline service session(handler fn)
{
	service s;

	s.session = std::move(fn);
	return s;
}

struct config {
	weir_config options;
	/* Instead of options.log; weir_log_fn in weir.h says what it must not. */
	std::function<void(int level, std::string_view line)> log;

	config() { weir_config_init(&options, sizeof options); }
};

namespace detail {

/* A service while the library may call it. */
class served {
	service s;
	const logger &to;
	bool is_own; /* of one connection, which ends it */

	template <handler service::*Which>
	static int call(weir_conn *c, void *arg) noexcept
	{
		auto *self = static_cast<served *>(arg);

		return guard(self->to, weir_conn_id(c), [=] {
			conn view(c);

			return (self->s.*Which)(view);
		});
	}
	static void call_closed(weir_conn *c, void *arg) noexcept
	{
		auto *self = static_cast<served *>(arg);

		(void)guard(self->to, weir_conn_id(c), [=] {
			conn view(c);

			if (self->s.closed)
				self->s.closed(view);
			return 0;
		});
		if (self->is_own)
			delete self;
	}
	static void call_unserved(weir_conn *c, void *arg) noexcept
	{
		auto *self = static_cast<served *>(arg);

		(void)guard(self->to, weir_conn_id(c), [=] {
			conn view(c);

			self->s.unserved(view);
			return 0;
		});
	}
	static int call_admit(int fd, const sockaddr *peer, socklen_t peer_len,
			      void *arg) noexcept
	{
		auto *self = static_cast<served *>(arg);

		return guard(self->to, 0, [=] {
			return self->s.admit(fd, peer, peer_len);
		});
	}
	static void call_refused(const char *peer, const char *via,
				 const char *reason, void *arg) noexcept
	{
		auto *self = static_cast<served *>(arg);

		(void)guard(self->to, 0, [=] {
			self->s.refused(peer, via ? via : "", reason);
			return 0;
		});
	}

public:
	served(service &&from, const logger &log, bool own)
		: s(std::move(from)), to(log), is_own(own)
	{
		weir_service &o = s.options;

		o.session = s.session ? call<&service::session> : nullptr;
		o.readable = s.readable ? call<&service::readable> : nullptr;
		o.opened = s.opened ? call<&service::opened> : nullptr;
		o.expired = s.expired ? call<&service::expired> : nullptr;
		o.closed = s.closed || own ? call_closed : nullptr;
		o.unserved = s.unserved ? call_unserved : nullptr;
		o.admit = s.admit ? call_admit : nullptr;
		o.refused = s.refused ? call_refused : nullptr;
		o.arg = this;
	}
	const weir_service *options() const { return &s.options; }
};

struct spawned {
	handler fn;
	const logger &to;

	static int call(weir_conn *c, void *arg) noexcept
	{
		auto *self = static_cast<spawned *>(arg);

		return guard(self->to, weir_conn_id(c), [=] {
			conn view(c);

			return self->fn(view);
		});
	}
	static void drop(void *arg) noexcept
	{
		delete static_cast<spawned *>(arg);
	}
};

struct timed {
	std::shared_ptr<std::function<void()>> fn;
	const logger &to;

	/* The call may free its timer, and with it *arg. */
	static void call(weir_server *, weir_timer *, void *arg) noexcept
	{
		auto *self = static_cast<timed *>(arg);
		const logger &to = self->to;
		auto fn = self->fn;

		(void)guard(to, 0, [&] {
			(*fn)();
			return 0;
		});
	}
};

/* What callbacks use: it stays where it is, and outlives them. */
struct state {
	logger log;
	std::mutex lock;
	std::vector<std::unique_ptr<served>> services;
	std::vector<std::unique_ptr<timed>> late_timers;

	template <typename T>
	T *keep(std::vector<std::unique_ptr<T>> &in, std::unique_ptr<T> what)
	{
		std::lock_guard<std::mutex> guard(lock);

		in.push_back(std::move(what));
		return in.back().get();
	}
	void forget(const served *what)
	{
		std::unique_ptr<served> gone; /* it may own what calls us */
		std::lock_guard<std::mutex> guard(lock);

		for (auto i = services.begin(); i != services.end(); ++i)
			if (i->get() == what) {
				gone = std::move(*i);
				services.erase(i);
				return;
			}
	}
};

} // namespace detail

class server {
	friend class timer;

	std::unique_ptr<detail::state> state;
	weir_server *s = nullptr;

	/* If threads still run callbacks, what these use is never freed. */
	void free() noexcept
	{
		int rc;

		if (s == nullptr)
			return;
		(void)weir_server_stop(s, 0);
		rc = weir_server_join(s, nullptr, 0);
		weir_server_free(s);
		s = nullptr;
		if (rc == -EBUSY || rc == -EDEADLK)
			(void)state.release();
	}

	template <typename Call> weir::ref own(service what, Call call)
	{
		auto made = std::make_unique<detail::served>(
			std::move(what), state->log, true);
		weir_ref *r = nullptr;

		check(call(&r, made->options()), "dial");
		(void)made.release(); /* `closed` deletes it */
		return weir::ref(r);
	}

public:
	explicit server(config with = config())
		: state(std::make_unique<detail::state>())
	{
		state->log.log = with.options.log;
		state->log.arg = with.options.log_arg;
		if (with.log)
			state->log.set(std::move(with.log));
		with.options.log = state->log.log;
		with.options.log_arg = state->log.arg;
		check(weir_server_new(&s, &with.options), "server");
	}
	server(server &&other) noexcept
		: state(std::move(other.state)),
		  s(std::exchange(other.s, nullptr))
	{
	}
	server &operator=(server &&other) noexcept
	{
		if (this == &other)
			return *this;
		free();
		state = std::move(other.state);
		s = std::exchange(other.s, nullptr);
		return *this;
	}
	~server() { free(); }

	weir_server *get() const noexcept { return s; }

	/* Returns the id. */
	int listen(const std::string &where, service what)
	{
		auto *kept = state->keep(state->services,
					 std::make_unique<detail::served>(
						 std::move(what), state->log,
						 false));
		int rc = weir_server_listen(s, where.c_str(), kept->options());

		if (rc < 0)
			state->forget(kept);
		return check(rc, where.c_str());
	}
	void unlisten(int id) { check(weir_server_unlisten(s, id), "unlisten"); }
	int listener_fd(int id)
	{
		return check(weir_server_listener_fd(s, id), "listener_fd");
	}
	std::string address(int id = 0) const
	{
		return detail::text_of(
			[this, id](char *buf, std::size_t cap) {
				return weir_server_address(s, id, buf, cap);
			},
			"address");
	}

	/* As the C functions: callbacks and log do not change. */
	void configure(weir_config options)
	{
		options.log = state->log.log;
		options.log_arg = state->log.arg;
		check(weir_server_configure(s, &options), "configure");
	}
	void configure_service(int id, const weir_service &options)
	{
		check(weir_server_configure_service(s, id, &options),
		      "configure_service");
	}

	void start() { check(weir_server_start(s), "start"); }
	int run(unsigned flags = WEIR_SIGNALS) noexcept
	{
		return weir_server_run(s, flags);
	}
	int stop(int grace_ms) noexcept { return weir_server_stop(s, grace_ms); }
	int drain() noexcept { return weir_server_drain(s); }
	bool is_draining() const noexcept
	{
		return weir_server_is_draining(s) > 0;
	}
	int fd() const noexcept { return weir_server_fd(s); }
	int join(weir_report *report = nullptr, int ms = WEIR_NEVER) noexcept
	{
		return weir_server_join_for(s, report, sizeof *report, ms);
	}
	weir_stats stats() const
	{
		weir_stats now = {};

		check(weir_server_stats(s, &now, sizeof now), "stats");
		return now;
	}

	weir::ref dial(const std::string &where, service what,
		       int timeout_ms = 0)
	{
		return own(std::move(what), [&](weir_ref **ret,
						const weir_service *with) {
			return weir_server_dial(s, ret, where.c_str(),
						timeout_ms, with);
		});
	}
	/* The callable is freed at the end, also if it was never called. */
	weir::ref spawn(handler fn)
	{
		auto kept = std::unique_ptr<detail::spawned>(
			new detail::spawned{ std::move(fn), state->log });
		weir_ref *r = nullptr;

		check(weir_server_spawn(s, &r, detail::spawned::call,
					kept.get(), detail::spawned::drop),
		      "spawn");
		(void)kept.release();
		return weir::ref(r);
	}
	weir::ref adopt(int fd, service what)
	{
		return own(std::move(what),
			   [&](weir_ref **ret, const weir_service *with) {
				   return weir_server_adopt(s, ret, fd, with);
			   });
	}
};

/* A timer of a server, which must end before the server does. */
class timer {
	detail::state *state = nullptr;
	std::unique_ptr<detail::timed> kept;
	weir_timer *t = nullptr;

	void free() noexcept
	{
		int rc = t ? weir_timer_free(std::exchange(t, nullptr)) : 0;

		if (rc != -EBUSY)
			return;
		/* A call in another thread has begun and may use it. */
		auto *used = kept.release();

		try {
			state->keep(state->late_timers,
				    std::unique_ptr<detail::timed>(used));
		} catch (...) {
			/* never freed */
		}
	}

public:
	timer() = default;
	timer(server &of, int ms, int every_ms, std::function<void()> fn)
		: state(of.state.get()),
		  kept(new detail::timed{
			  std::make_shared<std::function<void()>>(
				  std::move(fn)),
			  state->log })
	{
		check(weir_server_timer(of.get(), &t, ms, every_ms,
					detail::timed::call, kept.get()),
		      "timer");
	}
	timer(timer &&other) noexcept
		: state(other.state), kept(std::move(other.kept)),
		  t(std::exchange(other.t, nullptr))
	{
	}
	timer &operator=(timer &&other) noexcept
	{
		if (this == &other)
			return *this;
		free();
		state = other.state;
		kept = std::move(other.kept);
		t = std::exchange(other.t, nullptr);
		return *this;
	}
	~timer() { free(); }

	weir_timer *get() const noexcept { return t; }
	int set(int ms) noexcept { return weir_timer_set(t, ms); }
};

/* As weir_sleep(). */
inline int sleep(int ms) noexcept { return weir_sleep(ms); }

/* As weir_conn_wait(); list has the connections by their get(). */
template <std::size_t Count>
int wait(weir_poll (&list)[Count], int timeout_ms = WEIR_NEVER) noexcept
{
	return weir_conn_wait(list, static_cast<int>(Count), timeout_ms);
}

/* As weir_resolve(): all addresses. */
inline std::vector<weir_address> resolve(const std::string &where,
					 int timeout_ms = 0)
{
	std::vector<weir_address> found(16);

	for (;;) {
		int n = check(weir_resolve(found.data(),
					   static_cast<int>(found.size()),
					   where.c_str(), timeout_ms),
			      where.c_str());
		bool is_all = static_cast<std::size_t>(n) <= found.size();

		found.resize(static_cast<std::size_t>(n));
		if (is_all)
			return found;
	}
}

inline std::string reverse(const std::string &where, int timeout_ms = 0)
{
	/* Long enough: -ENOSPC may also be that of the wait of a session. */
	std::string text(1100, '\0');

	text.resize(static_cast<std::size_t>(
		check(weir_reverse(&text[0], text.size(), where.c_str(),
				   timeout_ms),
		      where.c_str())));
	return text;
}

/* As weir_address_check(); throws std::invalid_argument with the reason. */
inline int check_address(const std::string &where, int use)
{
	char why[256] = "";
	int rc = weir_address_check(where.c_str(), use, why, sizeof why);

	if (rc < 0)
		throw std::invalid_argument(why);
	return rc;
}

} // namespace weir

#endif
