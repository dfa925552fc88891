/* SPDX-License-Identifier: MIT */
/*
 * Thrift's TThreadPoolServer with its server transport; the processor echoes
 * bytes instead of calling a service.  Each connection holds a thread of the
 * pool, whose size is --threads.
 */
#include <memory>
#include <thrift/TProcessor.h>
#include <thrift/concurrency/ThreadFactory.h>
#include <thrift/concurrency/ThreadManager.h>
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/server/TThreadPoolServer.h>
#include <thrift/transport/TServerSocket.h>
#include <vector>

#include "rival.h"

using namespace apache::thrift;

namespace
{

class Echo : public TProcessor
{
public:
	bool process(std::shared_ptr<protocol::TProtocol> in,
		     std::shared_ptr<protocol::TProtocol> out, void *) override
	{
		static thread_local std::vector<uint8_t> data(RIVAL_CHUNK);
		uint32_t n = in->getTransport()->read(data.data(), RIVAL_CHUNK);

		if (n == 0)
			return false;
		rival_nap(reinterpret_cast<char *>(data.data()), n);
		out->getTransport()->write(data.data(), n);
		out->getTransport()->flush();
		return true;
	}
};

class SayPort : public server::TServerEventHandler
{
public:
	SayPort(struct rival &r, transport::TServerSocket &s) : r_(r), s_(s) {}

	void preServe() override
	{
		r_.port = s_.getPort();
		rival_ready(&r_);
	}

private:
	struct rival &r_;
	transport::TServerSocket &s_;
};

} /* namespace */

int main(int argc, char **argv)
{
	struct rival r;

	rival_begin(&r, argc, argv);
	GlobalOutput.setOutputFunction([](const char *) {});
	auto listener = std::make_shared<transport::TServerSocket>("127.0.0.1",
								   r.port);
	auto manager = concurrency::ThreadManager::newSimpleThreadManager(
		size_t(r.threads));

	listener->setAcceptBacklog(4096);
	manager->threadFactory(std::make_shared<concurrency::ThreadFactory>());
	manager->start();
	server::TThreadPoolServer server(
		std::make_shared<Echo>(), listener,
		std::make_shared<transport::TTransportFactory>(),
		std::make_shared<protocol::TBinaryProtocolFactory>(), manager);
	server.setServerEventHandler(std::make_shared<SayPort>(r, *listener));
	server.serve();
}
