/* SPDX-License-Identifier: MIT */
/*
 * Asio: for each thread an io_context and a listener on the shared port; with
 * --style shared one io_context that all threads run.
 */
#include <array>
#include <asio.hpp>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "rival.h"

using asio::ip::tcp;

namespace
{

class Session : public std::enable_shared_from_this<Session>
{
public:
	explicit Session(tcp::socket socket) : socket_(std::move(socket)) {}

	void read()
	{
		auto self = shared_from_this();

		socket_.async_read_some(
			asio::buffer(data_),
			[this, self](const asio::error_code &ec, size_t n) {
				if (!ec)
					write(n);
			});
	}

private:
	void write(size_t n)
	{
		auto self = shared_from_this();

		rival_nap(data_.data(), n);
		asio::async_write(
			socket_, asio::buffer(data_, n),
			[this, self](const asio::error_code &ec, size_t) {
				if (!ec)
					read();
			});
	}

	tcp::socket socket_;
	std::array<char, 4096> data_;
};

void accept(tcp::acceptor &acceptor)
{
	acceptor.async_accept(
		[&acceptor](const asio::error_code &ec, tcp::socket peer) {
			if (!ec)
				std::make_shared<Session>(std::move(peer))
					->read();
			accept(acceptor);
		});
}

} /* namespace */

int main(int argc, char **argv)
{
	struct rival r;

	rival_begin(&r, argc, argv);
	bool shared = std::string(r.style) == "shared";
	int contexts = shared ? 1 : r.threads;
	std::vector<std::unique_ptr<asio::io_context>> io;
	std::vector<std::unique_ptr<tcp::acceptor>> acceptors;

	for (int i = 0; i < contexts; i++) {
		io.push_back(std::make_unique<asio::io_context>(
			shared ? r.threads : 1));
		acceptors.push_back(std::make_unique<tcp::acceptor>(*io[i]));
		acceptors[i]->assign(tcp::v4(), rival_listen(&r));
		accept(*acceptors[i]);
	}
	rival_ready(&r);
	std::vector<std::thread> threads;
	for (int i = 0; i < r.threads; i++)
		threads.emplace_back(
			[&io, i, contexts] { io[i % contexts]->run(); });
	for (auto &thread : threads)
		thread.join();
}
