#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What two persons see who follow an introduction to sockets: one has our
server in a terminal, the other a simple client in Python in another."""

import os
import re
import signal
import sys

from weirtest import Terminal, TestCase, main

os.environ["WEIR_PYTHON"] = sys.executable

HEAD = """
import socket, sys
sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
"""

CONNECTS = HEAD + """
input("connected")
"""

SENDS = HEAD + """
sock.sendall("Hello from client".encode())
sock.close()
"""

GREETED = HEAD + """
print("--" + sock.recv(1024).decode() + "--")
"""

WELCOMED = HEAD + """
print(sock.recv(1024).decode())
sock.sendall("客户端到此一游".encode())
sock.close()
"""

FETCHES = HEAD + """
sock.sendall(b"Client connected")
with open(sys.argv[2], "wb") as file:
    while True:
        print("receiving data from server")
        data = sock.recv(1024)
        print("data is ", data.decode())
        if not data:
            break
        file.write(data)
print("Successfully got the file")
"""

ECHOES = HEAD + """
print("Client My pid is", __import__("os").getpid())
sock.recv(1024)
while True:
    message = input("Enter message: ")
    sock.sendall(message.encode())
    reply = sock.recv(2048).decode()
    if message == "windup":
        break
    print(reply)
"""

CHATS = HEAD + """
while True:
    message = input(">> ")
    sock.sendall(message.encode())
    answer = sock.recv(1024).decode()
    print(">> ", answer)
    if message == "windup" or answer == "windup":
        break
"""


class Screens(TestCase):
    def serve(self, *args):
        """Our server on a terminal; its addresses are in .ports."""
        server = Terminal(*args, program_of="WEIR_SERVER")
        self.addCleanup(server.__exit__)
        server.expect(b"ready\r\n")
        server.ports = re.findall(rb"listening \w+@127.0.0.1:(\d+)\r\n",
                                  server.all)
        return server

    def call(self, source, server, *args, i=0):
        client = Terminal("-u", "-c", source, server.ports[i].decode(), *args,
                          program_of="WEIR_PYTHON")
        self.addCleanup(client.__exit__)
        return client

    def client(self, command, server, *args, i=0):
        client = Terminal(command, "127.0.0.1:" + server.ports[i].decode(),
                          *args)
        self.addCleanup(client.__exit__)
        return client

    def ends(self, *clients):
        for client in clients:
            self.assertEqual(client.end(), 0)

    def stops(self, server):
        os.kill(server.pid, signal.SIGTERM)
        server.expect(b"drained ")
        self.ends(server)

    def test_a_client_that_only_connects(self):
        server = self.serve("collect@127.0.0.1:0")
        client = self.call(CONNECTS, server)
        client.expect(b"connected")
        server.expect(b"info connection 1 from 127.0.0.1:")
        server.expect(b" to collect@127.0.0.1:" + server.ports[0])
        client.type(b"\n")
        self.ends(client)
        server.expect(b"the client has closed\r\n")
        self.stops(server)

    def test_a_message(self):
        server = self.serve("collect@127.0.0.1:0")
        self.ends(self.call(SENDS, server))
        server.expect(b"\ncollect: Hello from client\r\n")
        self.stops(server)

    def test_a_greeting(self):
        text = "您好,您收到了服务器的新年祝福!"
        server = self.serve("greet@127.0.0.1:0", "-g", text)
        client = self.call(GREETED, server)
        client.expect(b"--" + text.encode() + b"--\r\n")
        self.ends(client)
        self.stops(server)

    def test_a_welcome(self):
        server = self.serve("welcome@127.0.0.1:0", "-g", "欢迎来到服务端")
        client = self.call(WELCOMED, server)
        client.expect("欢迎来到服务端\r\n".encode())
        self.ends(client)
        server.expect("\nwelcome: 客户端到此一游\r\n".encode())
        self.stops(server)

    def test_a_file(self):
        folder = self.folder()
        text = b"This is my line\nand my last line\n"
        with open(folder + "/sent", "wb") as file:
            file.write(text)
        server = self.serve("file@127.0.0.1:0", "-f", folder + "/sent")
        client = self.call(FETCHES, server, folder + "/received")
        client.expect(b"receiving data from server\r\n"
                      b"data is  This is my line\r\nand my last line\r\n")
        client.expect(b"Thank you for connecting\r\n")
        client.expect(b"receiving data from server\r\ndata is  \r\n")
        client.expect(b"Successfully got the file\r\n")
        self.ends(client)
        server.expect(b"\nfile: Client connected\r\n")
        server.expect(b": all %d bytes sent\r\n" % len(text))
        with open(folder + "/received", "rb") as file:
            self.assertEqual(file.read(), text + b"Thank you for connecting")
        self.stops(server)

    def test_a_threaded_echo(self):
        server = self.serve("reply@127.0.0.1:0")
        clients = [self.call(ECHOES, server) for _ in range(3)]
        for i, client in enumerate(clients):
            client.expect(b"Client My pid is %d\r\n" % client.pid)
            client.expect(b"Enter message: ")
            client.type(b"I am %d\n" % i)
            client.expect(b"Server replies: I am %d\r\n" % i)
        for i, client in enumerate(clients):
            server.expect(b"connection %d from 127.0.0.1:" % (i + 1))
        for client in clients:
            client.expect(b"Enter message: ")
            client.type(b"windup\n")
            self.assertNotIn(b"Server replies: windup", client.all)
            self.ends(client)
        self.stops(server)

    def chat(self, server, client, last):
        """As it is printed there; last: who says windup first."""
        client.expect(b">> ")
        client.type(b"hello from client\n")
        server.expect(b">>  hello from client\r\n")
        server.expect(b">> ")
        server.type(b"hello from server\n")
        client.expect(b">>  hello from server\r\n")
        client.expect(b">> ")
        client.type(b"windup\n" if last is client else b"goodbye\n")
        server.expect(b">>  windup\r\n" if last is client else
                      b">>  goodbye\r\n")
        server.expect(b">> ")
        server.type(b"windup\n")
        client.expect(b">>  windup\r\n")
        self.ends(client)
        server.expect(b"chat: ended: ")

    def test_a_chat_that_the_client_ends(self):
        server = self.serve("chat@127.0.0.1:0")
        client = self.call(CHATS, server)
        self.chat(server, client, client)
        self.stops(server)

    def test_a_chat_that_the_operator_ends(self):
        server = self.serve("chat@127.0.0.1:0")
        self.chat(server, self.call(CHATS, server), server)
        self.stops(server)

    def test_a_chat_with_our_client(self):
        server = self.serve("chat@127.0.0.1:0")
        for _ in range(2):
            client = self.client("chat", server)
            self.chat(server, client, client)
        self.chat(server, self.client("chat", server), server)
        self.stops(server)

    def test_the_exercise_of_two_ports_and_two_pairs(self):
        server = self.serve("chat@127.0.0.1:0", "chat@127.0.0.1:0")
        one = self.call(CHATS, server, i=0)
        server.expect(b"chat: 1: talking with ")
        two = self.call(CHATS, server, i=1)
        server.expect(b"chat: 2: talking with ")
        # Neither waits for the other, and neither hears the other.
        for i, client in ((2, two), (1, one)):
            client.expect(b">> ")
            client.type(b"from %d\n" % i)
            server.expect(b"%d>>  from %d\r\n" % (i, i))
            server.type(b"/%d to %d\n" % (i, i))
            client.expect(b">>  to %d\r\n" % i)
        for i, client in ((1, one), (2, two)):
            client.expect(b">> ")
            client.type(b"windup\n")
            server.expect(b"%d>>  windup\r\n" % i)
            server.type(b"/%d windup\n" % i)
            client.expect(b">>  windup\r\n")
            self.ends(client)
            self.assertNotIn(b"to %d" % (3 - i), client.all)
        self.stops(server)


if __name__ == "__main__":
    main()
