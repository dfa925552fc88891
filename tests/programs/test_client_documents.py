#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weir-client in the place of each client of the documents' programs, with
their server: what the two people see on their terminals."""

import contextlib
import os
import sys

from weirtest import Terminal, TestCase, main

os.environ.setdefault("PYTHON", sys.executable)
SERVERS = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                       "documents_servers.py")


class Screens(TestCase):
    @contextlib.contextmanager
    def pair(self, server, command, *options, term="xterm"):
        """Both terminals, and the address of the server."""
        with Terminal(SERVERS, server, program_of="PYTHON") as left:
            where = "127.0.0.1:%d" % int(left.expect(b"\r\n"))
            with Terminal(command, where, *options, term=term) as right:
                yield left, right, where

    def check(self, side, status, *lines):
        """It has ended like that, and shows these lines and nothing else; but
        without line editing a prompt may be left behind."""
        self.assertEqual(side.end(), status, side.all)
        self.assertEqual([line for line in side.screen() if line not in
                          ("", ">>", "Enter message:")], list(lines))

    def check_server(self, left, *lines):
        left.end()
        seen = [line for line in left.screen()[1:] if line]
        self.assertEqual(seen, ["CONNECTION FROM: 127.0.0.1", *lines])

    @staticmethod
    def hello(user, where):
        return "Connected to %s, my pid is %d" % (where, user.pid)

    def test_connect_only(self):
        with self.pair("connect_only", "talk") as (left, right, where):
            self.check(right, 0, self.hello(right, where),
                       where + " closed the connection")
            self.check_server(left)

    def test_the_new_years_greeting(self):
        with self.pair("greet", "talk", "-r") as (left, right, _):
            self.check(right, 0, "新年好 — happy new year")
            self.check_server(left)

    def test_one_message(self):
        with self.pair("collect", "send", "Hello from client") as (
                left, right, _):
            self.check(right, 0)
            self.check_server(left, "Hello from client")

    def test_welcome(self):
        for options in ((), ("--once",)):
            with self.subTest(options=options), \
                    self.pair("welcome", "talk", *options) as (
                        left, right, where):
                right.expect(b"Enter message: ")
                right.type("I was here, 客户\n".encode())
                end = () if options else (where + " closed the connection",)
                self.check(right, 0, self.hello(right, where),
                           "Welcome to the server",
                           "Enter message: I was here, 客户", *end)
                self.check_server(left, "I was here, 客户")

    def test_threaded_echo(self):
        with self.pair("reply", "talk") as (left, right, where):
            for line in (b"hello", b"windup"):
                right.expect(b"Enter message: ")
                right.type(line + b"\n")
            self.check(right, 0, self.hello(right, where), "Connect",
                       "Enter message: hello", "Server replies: hello",
                       "Enter message: windup", "Server replies: windup")
            self.check_server(left)

    def test_file(self):
        path = self.folder() + "/received"
        with self.pair("file", "fetch", "-o", path) as (left, right, _):
            self.assertEqual(right.end(), 0)
            self.assertRegex(right.all, rb"received 58 bytes in [^\n]*; the "
                             rb"last 24 are 'Thank you for connecting'")
            self.check_server(left, "Server received Client connected",
                              "Sent  This is my line", "Sent  another",
                              "Sent  last line", "Finished sending")
        with open(path, "rb") as file:
            self.assertEqual(file.read(), b"This is my line\nanother\n"
                             b"last line\nThank you for connecting")

    def dialogue(self, left, right, ours, theirs):
        right.expect(b">> ")
        right.type(ours + b"\n")
        left.expect(b">>  " + ours + b"\r\n>> ")
        left.type(theirs + b"\n")
        right.expect(b">>  " + theirs + b"\r\n")

    def test_chat_that_the_client_ends(self):
        for term in ("xterm", "dumb"):
            with self.subTest(term=term), \
                    self.pair("chat", "chat", term=term) as (
                        left, right, where):
                self.dialogue(left, right, b"hello from client",
                              b"hello from server")
                self.dialogue(left, right, b"windup", b"windup")
                self.check(right, 0, self.hello(right, where),
                           ">> hello from client", ">>  hello from server",
                           ">> windup", ">>  windup")
                self.check_server(
                    left, ">>  hello from client", ">> hello from server",
                    ">>  windup", ">> windup")

    def test_chat_that_the_operator_ends(self):
        with self.pair("chat", "chat") as (left, right, where):
            self.dialogue(left, right, b"hello", b"good morning")
            self.dialogue(left, right, "Grüße".encode(), b"windup")
            self.check(right, 0, self.hello(right, where), ">> hello",
                       ">>  good morning", ">> Grüße", ">>  windup")
            self.check_server(left, ">>  hello", ">> good morning",
                              ">>  Grüße", ">> windup")


if __name__ == "__main__":
    main()
