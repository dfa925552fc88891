#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The services of weir-server with one thing to say or to hear: greet,
collect, welcome, discard, daytime and chargen, byte for byte."""

import calendar
import contextlib
import os
import re
import signal
import socket
import threading
import time

import documents
from weirtest import (DEADLINE, Server, TestCase, connect_soon, freeze,
                      full_pipe, main, read_all, read_exactly, reset, until)

PERIOD = 95 * 74  # of the generated characters


def in_one_byte_pieces(sock, data):
    for i in range(len(data)):
        sock.sendall(data[i:i + 1])


class Base(TestCase):
    def end(self, server, **expected):
        """Stop it: nothing is cut and the ledger adds up."""
        status, counts = server.stop()
        self.assertEqual(status, 0)
        self.check_sum(counts)
        self.assertEqual({key: counts[key] for key in expected}, expected)


class Greet(Base):
    def test_the_greeting_and_the_end(self):
        with Server("greet@127.0.0.1:0") as server:
            for _ in range(20):
                self.assertEqual(documents.hear_greeting(server.address()),
                                 b"Got your connection")
            self.end(server, accepted=20, completed=20)

    def test_any_greeting_also_a_long_one(self):
        for text in ("", "Grüß Gott\n", "x" * 100000):
            with Server("greet@127.0.0.1:0", "-g", text) as server:
                self.assertEqual(documents.hear_greeting(server.address()),
                                 text.encode())
                self.end(server, completed=1)

    def test_a_client_that_talks_meanwhile_has_the_whole_greeting(self):
        with Server("greet@127.0.0.1:0", "-g", "y" * 20000) as server:
            for _ in range(20):
                sock = server.connect()
                sock.sendall(b"I talk and talk" * 100)
                self.assertEqual(read_all(sock), b"y" * 20000)
                sock.close()
            self.end(server, completed=20)

    def test_each_service_has_its_own_greeting(self):
        with Server("reply@127.0.0.1:0", "greet@127.0.0.1:0",
                    "welcome@127.0.0.1:0") as server:
            for i, text in enumerate((b"Connect", b"Got your connection",
                                      b"Welcome")):
                with server.connect(i) as sock:
                    self.assertEqual(read_exactly(sock, len(text)), text)
            self.end(server, accepted=3)


class Collect(Base):
    def test_each_message_is_a_line(self):
        messages = [b"Hello", "Grüße €".encode(), b"line\n", b"dos\r\n",
                    b"two\nlines\n", b"\xff\x00\x1b[2J", b" ",
                    b"drained accepted=0", b"a" * 1024]
        shown = [b"Hello", "Grüße €".encode(), b"line", b"dos",
                 b"two\\x0alines", b"\\xff\\x00\\x1b[2J", b" ",
                 b"drained accepted=0", b"a" * 1024]
        with Server("collect@127.0.0.1:0") as server:
            for message, line in zip(messages, shown):
                documents.send_message(server.address(), message)
                server.out.expect(rb"^collect: " + re.escape(line) + rb"\n")
            self.end(server, accepted=len(messages))
            lines = server.out.data.splitlines()[3:-1]
        self.assertEqual(lines, [b"collect: " + line for line in shown])

    def test_it_closes_after_one_message(self):
        with Server("collect@127.0.0.1:0") as server:
            with server.connect() as sock:
                sock.sendall(b"a message")
                self.assertEqual(read_all(sock), b"")
            self.end(server, completed=1)

    def test_of_what_comes_in_pieces_the_first_counts(self):
        with Server("collect@127.0.0.1:0") as server:
            with server.connect() as sock:
                in_one_byte_pieces(sock, b"pieces")
                self.assertEqual(read_all(sock), b"")
            server.out.expect(rb"^collect: p(i(e(c(es?)?)?)?)?\n")
            with server.connect() as sock:
                sock.sendall(b"b" * 1030)
                self.assertEqual(read_all(sock), b"")
            server.out.expect(rb"^collect: b{1024}\n")
            self.end(server, completed=2)

    def test_an_unprintable_message_is_cut_to_the_longest_line(self):
        with Server("collect@127.0.0.1:0") as server:
            with server.connect() as sock:
                sock.sendall(b"\xfe" * 1024)
                self.assertEqual(read_all(sock), b"")
            server.out.expect(rb"^collect: (\\xfe){1021}\n")
            self.end(server, completed=1)

    def test_a_full_standard_output_harms_nobody_and_is_logged(self):
        reader, writer = full_pipe()
        path = self.folder() + "/s"
        with Server("collect@unix:" + path, ready=False,
                    stdout=writer) as server:
            connect_soon("unix:" + path).close()

            def say():
                with documents.Peer("unix:" + path) as peer:
                    peer.send(b"x")
                    self.assertEqual(peer.recv(), b"")
                return b"standard output takes no more" in server.err.data
            for _ in range(20):
                say()
            # Lines that come before the announcement are kept.
            until(say, "the warning")
            server.process.terminate()
            self.assertEqual(server.process.wait(DEADLINE), 0)
        os.close(reader)
        os.close(writer)


class Welcome(Base):
    def test_the_exchange(self):
        with Server("welcome@127.0.0.1:0") as server:
            for i in range(10):
                message = b"Hello %d" % i
                self.assertEqual(
                    documents.exchange_welcome(server.address(), message),
                    b"Welcome")
                server.out.expect(rb"^welcome: Hello %d\n" % i)
            self.end(server, accepted=10)

    def test_it_closes_after_one_message(self):
        with Server("welcome@127.0.0.1:0", "-g", "Moin") as server:
            with server.connect() as sock:
                sock.sendall("schön".encode())
                self.assertEqual(read_all(sock), b"Moin")
            server.out.expect("^welcome: schön\n".encode())
            self.end(server, completed=1)

    def test_in_one_byte_pieces(self):
        with Server("welcome@127.0.0.1:0") as server:
            with server.connect() as sock:
                in_one_byte_pieces(sock, b"abc")
                self.assertEqual(read_all(sock), b"Welcome")
            server.out.expect(rb"^welcome: a(bc?)?\n")
            self.end(server, completed=1)


class Discard(Base):
    def test_all_is_taken_and_nothing_is_said(self):
        with Server("discard@127.0.0.1:0") as server:
            with server.connect() as sock:
                sock.sendall(bytes(20_000_000))
                in_one_byte_pieces(sock, b"and a bit more")
                sock.shutdown(socket.SHUT_WR)
                self.assertEqual(read_all(sock), b"")
            self.end(server, completed=1)


class Daytime(Base):
    def test_the_time_in_utc_on_one_line(self):
        with Server("daytime@127.0.0.1:0") as server:
            before = int(time.time())
            with server.connect() as sock:
                line = read_all(sock).decode("ascii")
            self.assertTrue(line.endswith("-UTC\r\n"), line)
            told = time.strptime(line, "%A, %B %d, %Y %H:%M:%S-UTC\r\n")
            told = calendar.timegm(told)
            self.assertLessEqual(before, told)
            self.assertLessEqual(told, time.time())
            self.end(server, completed=1)


class Chargen(Base):
    def test_the_pattern(self):
        with Server("chargen@127.0.0.1:0") as server:
            with server.connect() as sock:
                data = read_exactly(sock, 3 * PERIOD)
            lines = data.split(b"\r\n")
            ring = bytes(range(32, 127)) * 3
            for i, line in enumerate(lines[:-1]):
                self.assertEqual(line, ring[i % 95:i % 95 + 72])
            self.end(server, accepted=1)

    def read_pattern(self, sock, count):
        """Count bytes, checked against the first period."""
        first = read_exactly(sock, PERIOD)
        data = read_exactly(sock, count)
        self.assertEqual(data, (first * (count // PERIOD + 1))[:count])

    def test_many_readers_of_many_speeds_and_a_free_worker(self):
        with Server("chargen@127.0.0.1:0", "echo@127.0.0.1:0",
                    "-w", "1") as server:
            lazy = [server.connect() for _ in range(20)]
            busy = server.connect()
            self.read_pattern(busy, 5_000_000)
            with server.connect(1) as sock:
                sock.sendall(b"is anybody there")
                self.assertEqual(read_exactly(sock, 16), b"is anybody there")
            # Those who did not read have missed nothing.
            for sock in lazy:
                self.read_pattern(sock, 300_000)
                sock.close()
            busy.close()
            self.end(server, accepted=22)

    def test_what_the_client_says_is_thrown_away(self):
        with Server("chargen@127.0.0.1:0") as server:
            with server.connect() as sock:
                in_one_byte_pieces(sock, b"some words")
                sock.sendall(bytes(1_000_000))
                self.read_pattern(sock, 1_000_000)
            self.end(server, accepted=1)

    def test_the_end_of_input_ends_it_with_a_whole_piece(self):
        with Server("chargen@127.0.0.1:0") as server:
            with server.connect() as sock:
                first = read_exactly(sock, PERIOD)
                sock.shutdown(socket.SHUT_WR)
                rest = read_all(sock)
            self.assertEqual(rest, first * (len(rest) // PERIOD))
            self.end(server, completed=1)

    def test_an_end_that_was_there_before_us_gets_a_piece_too(self):
        with Server("chargen@127.0.0.1:0") as server:
            freeze(server.pid)
            with server.connect() as sock:
                sock.shutdown(socket.SHUT_WR)
                os.kill(server.pid, signal.SIGCONT)
                self.assertEqual(len(read_all(sock)), PERIOD)
            self.end(server, completed=1)

    def test_a_stop_is_not_kept_waiting_by_one_that_reads(self):
        with Server("chargen@127.0.0.1:0", "-t", "never") as server:
            sock = server.connect()
            done = []
            reader = threading.Thread(
                target=lambda: done.append(len(read_all(sock)) % PERIOD))
            reader.start()
            self.end(server, accepted=1, completed=1)
            reader.join(DEADLINE)
            self.assertEqual(done, [0])
            sock.close()

    def test_one_that_does_not_read_is_ended_by_the_write_timeout(self):
        with Server("chargen@127.0.0.1:0", "--write-timeout",
                    "300ms") as server:
            sock = server.connect()
            self.assertGreater(len(read_exactly(sock, 100)), 0)
            until(lambda: self.is_ended(sock), "the end")
            sock.close()
            self.end(server, timed_out=1)

    @staticmethod
    def is_ended(sock):
        """Has the kernel forgotten the other end?"""
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
        if info[0] != 1:  # TCP_ESTABLISHED
            return True
        with contextlib.suppress(ConnectionError):
            sock.sendall(b"?")
        return False


class Vanishing(Base):
    """Clients that go at every stage harm nobody."""

    SERVICES = {"greet": b"Got your connection", "collect": b"",
                "welcome": b"Welcome", "discard": b"",
                "daytime": b"", "chargen": b" !\"#$"}

    def test_by_fin_reset_and_half_close_at_every_stage(self):
        with Server(*(name + "@127.0.0.1:0" for name in self.SERVICES),
                    ) as server:
            for i, greeting in enumerate(self.SERVICES.values()):
                for how in ("fin", "reset", "half"):
                    for stage in range(3):
                        with self.subTest(service=i, how=how, stage=stage):
                            sock = server.connect(i)
                            self.go_so_far(sock, stage, greeting)
                            self.vanish(sock, how)
            # Everybody else is served as before.
            self.assertEqual(documents.hear_greeting(server.address(0)),
                             b"Got your connection")
            self.end(server, cut=0, refused=0, timed_out=0)

    def go_so_far(self, sock, stage, greeting):
        if stage > 0:
            self.assertEqual(read_exactly(sock, len(greeting)), greeting)
        if stage > 1:
            try:
                sock.sendall(b"a message that nobody awaits")
            except OSError:
                pass  # the server was done with us before

    @staticmethod
    def vanish(sock, how):
        if how == "reset":
            reset(sock)
            return
        try:
            if how == "half":
                sock.shutdown(socket.SHUT_WR)
                read_all(sock)
        except OSError:
            pass
        sock.close()


if __name__ == "__main__":
    main()
