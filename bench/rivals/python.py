#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Python's asyncio with a protocol class; with --style socketserver its
ThreadingTCPServer.  There is one interpreter: --threads is ignored."""

import argparse
import asyncio
import resource
import socketserver
import time


def nap(message):
    if message.startswith(b"SLEEP "):
        time.sleep(int(message[6:].split(b"\n")[0]) / 1000)


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        nap(data)
        self.transport.write(data)


class EchoHandler(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            nap(data)
            self.request.sendall(data)


class EchoServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 4096


async def serve(port):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", port, backlog=4096)
    print("listening", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--style", default="asyncio")
    args = parser.parse_args()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    if args.style == "asyncio":
        asyncio.run(serve(args.port))
    with EchoServer(("127.0.0.1", args.port), EchoHandler) as server:
        print("listening", server.server_address[1], flush=True)
        server.serve_forever()


main()
