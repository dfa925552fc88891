#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The file service of weir-server: whole files, files that change, vanish or
cannot be read, large ones, and clients of all kinds."""

import contextlib
import os
import random
import re
import socket
import threading

import documents
from weirtest import (DEADLINE, Server, TestCase, main, read_all,
                      read_exactly, reset, run, until)

HELLO = b"Client connected"
THANKS = b"Thank you for connecting"
LARGE = 16 << 20  # more than sockets and outbox hold


def descriptors(server, what):
    """How many the server has open on what begins like that."""
    folder = "/proc/%d/fd/" % server.pid
    count = 0
    for fd in os.listdir(folder):
        with contextlib.suppress(OSError):
            count += os.readlink(folder + fd).startswith(what)
    return count


def read_to_an_end(sock):
    """Of whatever kind."""
    data = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while piece := sock.recv(65536):
            data += piece
    return data


class Base(TestCase):
    def make(self, data):
        path = self.folder() + "/file"
        self.fill(path, data)
        return path

    @staticmethod
    def fill(path, data):
        with open(path, "wb") as file:
            file.write(data)

    def serve(self, path, *args):
        return Server("file@127.0.0.1:0", "--file", path, *args)

    def fetch(self, server):
        pieces = []
        documents.fetch_file(server.address(), pieces.append)
        return b"".join(pieces)

    def begin(self, server):
        """A client that has asked and reads no more than it must."""
        sock = server.connect()
        sock.sendall(HELLO)
        server.out.expect(rb"^file: Client connected\n")
        return sock

    def begin_large(self, server, data):
        """The same, in the middle of a transfer."""
        sock = self.begin(server)
        self.assertEqual(read_exactly(sock, 1000), data[:1000])
        return sock

    def end(self, server, status=0, **expected):
        got, counts = server.stop()
        self.assertEqual(got, status)
        self.check_sum(counts)
        self.assertEqual({key: counts[key] for key in expected}, expected)


class Whole(Base):
    def test_the_file_and_the_thanks(self):
        data = random.randbytes(300_001)
        with self.serve(self.make(data)) as server:
            for _ in range(5):
                self.assertEqual(self.fetch(server), data + THANKS)
            server.out.expect(rb"(?s)(^file: " + re.escape(HELLO) + rb".*){5}")
            server.out.expect(rb"(?s)(^file to 127\.0\.0\.1:\d+: all 300001 "
                              rb"bytes sent\n.*){5}")
            self.end(server, accepted=5, completed=5)

    def test_a_client_that_does_not_take_all_is_told_of(self):
        data = random.randbytes(LARGE)
        with self.serve(self.make(data)) as server:
            sock = self.begin_large(server, data)
            reset(sock)
            server.out.expect(rb"^file to 127\.0\.0\.1:\d+: only \d+ of %d "
                              rb"bytes sent\n" % LARGE)
            self.end(server, failed=1)

    def test_any_message_will_do_also_in_pieces(self):
        with self.serve(self.make(b"content")) as server:
            for message in (b"x", b"\xff\xfe", b"m" * 1024, b"n" * 30000):
                with server.connect() as sock:
                    sock.sendall(message)
                    self.assertEqual(read_all(sock), b"content" + THANKS)
            with server.connect() as sock:
                for i in range(len(HELLO)):
                    sock.sendall(HELLO[i:i + 1])
                self.assertEqual(read_all(sock), b"content" + THANKS)
            self.end(server, completed=5)

    def test_an_empty_file(self):
        with self.serve(self.make(b"")) as server:
            self.assertEqual(self.fetch(server), THANKS)
            self.end(server, completed=1)

    def test_nothing_is_sent_before_the_message(self):
        with self.serve(self.make(b"content")) as server:
            with server.connect() as sock:
                sock.settimeout(0.2)
                with self.assertRaises(TimeoutError):
                    sock.recv(1)
                sock.settimeout(DEADLINE)
                sock.sendall(HELLO)
                self.assertEqual(read_all(sock), b"content" + THANKS)
            with server.connect() as sock:
                sock.shutdown(socket.SHUT_WR)
                self.assertEqual(read_all(sock), b"")
            self.end(server, completed=2)

    def test_many_clients_at_once(self):
        data = random.randbytes(500_000)
        failures = []

        def fetch(server):
            if self.fetch(server) != data + THANKS:
                failures.append("a file that is not the file")

        with self.serve(self.make(data), "-w", "2") as server:
            threads = [threading.Thread(target=fetch, args=(server,))
                       for _ in range(100)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(DEADLINE)
            self.assertEqual(failures, [])
            self.end(server, accepted=100, completed=100)

    def test_more_than_four_gibibytes(self):
        size = (4 << 30) + 12345
        head, tail = b"the beginning", b"the end of it"
        path = self.make(head)
        with open(path, "r+b") as file:
            file.truncate(size - len(tail))
            file.seek(0, os.SEEK_END)
            file.write(tail)
        with self.serve(path) as server:
            with server.connect() as sock:
                sock.sendall(HELLO)
                self.assertEqual(read_exactly(sock, len(head)), head)
                # What is in between is zeros, and is not even looked at.
                left = size - len(head) - len(tail)
                room = bytearray(4 << 20)
                while left > 0:
                    n = sock.recv_into(room, min(left, len(room)),
                                       socket.MSG_TRUNC)
                    self.assertGreater(n, 0)
                    left -= n
                self.assertEqual(read_all(sock), tail + THANKS)
            self.end(server, completed=1)


class Changing(Base):
    def test_each_client_has_the_file_of_its_time(self):
        path = self.make(b"old")
        with self.serve(path) as server:
            self.assertEqual(self.fetch(server), b"old" + THANKS)
            self.fill(path, b"a new one")
            self.assertEqual(self.fetch(server), b"a new one" + THANKS)
            self.fill(path + ".new", b"another")
            os.rename(path + ".new", path)
            self.assertEqual(self.fetch(server), b"another" + THANKS)
            self.end(server, completed=3)

    def test_a_file_that_grows_is_sent_to_its_first_end(self):
        data = random.randbytes(LARGE)
        path = self.make(data)
        with self.serve(path) as server:
            with self.begin_large(server, data) as sock:
                with open(path, "ab") as file:
                    file.write(b"more")
                self.assertEqual(read_all(sock), data[1000:] + THANKS)
            self.end(server, completed=1)

    def test_a_file_that_is_cut_short_ends_with_a_reset(self):
        data = random.randbytes(LARGE)
        path = self.make(data)
        with self.serve(path) as server:
            with self.begin_large(server, data) as sock:
                os.truncate(path, 2000)
                with self.assertRaises(ConnectionResetError):
                    read_all(sock)
            server.logs(rb"a file is shorter than was promised")
            self.end(server, failed=1)

    def test_a_file_that_is_removed_meanwhile_arrives(self):
        data = random.randbytes(LARGE)
        path = self.make(data)
        with self.serve(path) as server:
            with self.begin_large(server, data) as sock:
                os.remove(path)
                self.assertEqual(read_all(sock), data[1000:] + THANKS)
            self.end(server, completed=1)

    def check_missing(self, path, change, reason):
        """change() spoils it: the client hears nothing and the log says why;
        when it is there again it is sent again."""
        with self.serve(path) as server:
            change()
            self.assertEqual(self.fetch(server), b"")
            server.logs(b"error connection 1: cannot send '%s': %s" %
                        (path.encode(), reason))
            if os.path.isdir(path):
                os.rmdir(path)
            elif os.path.lexists(path):
                os.remove(path)
            self.fill(path, b"again")
            self.assertEqual(self.fetch(server), b"again" + THANKS)
            self.end(server, completed=1, failed=1)

    def test_a_file_that_has_vanished(self):
        path = self.make(b"x")
        self.check_missing(path, lambda: os.remove(path),
                           b"No such file or directory")

    def test_a_folder_in_its_place(self):
        path = self.make(b"x")

        def change():
            os.remove(path)
            os.mkdir(path)
        self.check_missing(path, change, b"Is a directory")

    def test_a_pipe_in_its_place(self):
        path = self.make(b"x")

        def change():
            os.remove(path)
            os.mkfifo(path)
        self.check_missing(path, change, b"not a regular file")

    def test_a_link_to_itself_in_its_place(self):
        path = self.make(b"x")

        def change():
            os.remove(path)
            os.symlink(path, path)
        self.check_missing(path, change, b"(Too many levels|Symbolic link loop)")

    def test_a_file_that_has_become_unreadable(self):
        if os.geteuid() == 0:
            self.skipTest("everything is readable to root")
        path = self.make(b"x")
        self.check_missing(path, lambda: os.chmod(path, 0),
                           b"Permission denied")


class Usage(Base):
    def test_the_service_needs_a_file(self):
        self.check_usage(run("WEIR_SERVER", "file@127.0.0.1:0"),
                         "weir-server", "--file PATH", "'file'")


class Clients(Base):
    def test_slow_ones_hold_no_worker(self):
        data = random.randbytes(LARGE)
        with self.serve(self.make(data), "-w", "1") as server:
            slow = [self.begin(server) for _ in range(10)]
            self.assertEqual(self.fetch(server), data + THANKS)
            for sock in slow:
                self.assertEqual(read_all(sock), data + THANKS)
                sock.close()
            self.end(server, completed=11)

    def test_a_client_that_vanishes_at_any_stage_harms_nobody(self):
        data = random.randbytes(LARGE)
        with self.serve(self.make(data)) as server:
            for leave in (reset, socket.socket.close):
                leave(server.connect())
                leave(self.begin(server))
                leave(self.begin_large(server, data))
            self.assertEqual(self.fetch(server), data + THANKS)
            self.end(server, cut=0, timed_out=0, refused=0)

    def test_a_client_that_half_closes_has_the_file(self):
        with self.serve(self.make(b"content")) as server:
            with server.connect() as sock:
                sock.sendall(HELLO)
                sock.shutdown(socket.SHUT_WR)
                self.assertEqual(read_all(sock), b"content" + THANKS)
            self.end(server, completed=1)

    def test_descriptors_are_given_back(self):
        data = random.randbytes(LARGE)
        path = self.make(data)
        with self.serve(path) as server:
            for sock in [self.begin(server) for _ in range(20)]:
                reset(sock)
            self.assertEqual(self.fetch(server), data + THANKS)
            # The listener is a socket as well.
            until(lambda: descriptors(server, "socket:") == 1 and
                  descriptors(server, path) == 0, "all descriptors closed")
            self.end(server, accepted=21)


class Stop(Base):
    def test_a_transfer_that_goes_on_is_finished(self):
        data = random.randbytes(LARGE)
        with self.serve(self.make(data)) as server:
            with self.begin_large(server, data) as sock:
                server.process.terminate()
                server.logs(rb"stopping")
                self.assertEqual(read_all(sock), data[1000:] + THANKS)
            status, counts = server.end()
            self.assertEqual((status, counts["completed"]), (0, 1))

    def test_one_that_does_not_go_on_is_cut_at_the_deadline(self):
        data = random.randbytes(LARGE)
        with self.serve(self.make(data), "-t", "300ms") as server:
            with self.begin_large(server, data):
                self.end(server, status=3, cut=1)

    def test_one_that_does_not_go_on_is_ended_by_the_write_timeout(self):
        data = random.randbytes(LARGE)
        path = self.make(data)
        with self.serve(path, "--write-timeout", "300ms") as server:
            with self.begin_large(server, data) as sock:
                until(lambda: descriptors(server, path) == 0,
                      "the end of the transfer")
                self.assertLess(len(read_to_an_end(sock)), LARGE)
            self.end(server, timed_out=1)


if __name__ == "__main__":
    main()
