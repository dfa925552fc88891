/* SPDX-License-Identifier: MIT */
/*
 * POCO's TCPServer: for each connection a thread of its pool, whose size is
 * --threads.
 */
#include <Poco/Net/ServerSocket.h>
#include <Poco/Net/StreamSocket.h>
#include <Poco/Net/TCPServer.h>
#include <Poco/Net/TCPServerConnection.h>
#include <Poco/Net/TCPServerConnectionFactory.h>
#include <Poco/ThreadPool.h>
#include <unistd.h>
#include <vector>

#include "rival.h"

using namespace Poco::Net;

namespace
{

class Echo : public TCPServerConnection
{
public:
	explicit Echo(const StreamSocket &s) : TCPServerConnection(s) {}

	void run() override
	{
		static thread_local std::vector<char> data(RIVAL_CHUNK);
		int n;

		try {
			while ((n = socket().receiveBytes(data.data(),
							  RIVAL_CHUNK)) > 0) {
				rival_nap(data.data(), size_t(n));
				socket().sendBytes(data.data(), n);
			}
		} catch (const Poco::Exception &) {
		}
	}
};

} /* namespace */

int main(int argc, char **argv)
{
	struct rival r;

	rival_begin(&r, argc, argv);
	ServerSocket listener(SocketAddress("127.0.0.1", Poco::UInt16(r.port)),
			      4096);
	TCPServerParams::Ptr params = new TCPServerParams;
	Poco::ThreadPool pool(2, r.threads + 1, 60, 256 * 1024);

	params->setMaxThreads(r.threads);
	params->setMaxQueued(20000);
	TCPServer server(new TCPServerConnectionFactoryImpl<Echo>, pool,
			 listener, params);
	server.start();
	r.port = listener.address().port();
	rival_ready(&r);
	pause();
}
