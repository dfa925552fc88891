#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weir-client send: one message that arrives, or a complaint that it may not
have; against our server, the documents', and servers that disappear."""

import array
import fcntl
import os
import select
import signal
import socket
import subprocess
import tempfile
import termios
import threading
import time

from weirtest import (BANNER, DEADLINE, PREFIX, PythonServer, Server, Terminal,
                      TestCase, has_ipv6, in_a_network_of_its_own, in_time,
                      main, program, read_all, read_exactly, reset, run,
                      set_loopback, sleeps, until)

TCP_FIN_WAIT1, TCP_CLOSING = 4, 11  # of the kernel


def send(where, *args, **kwargs):
    return run("WEIR_CLIENT", "send", where, *args, **kwargs)


def is_empty(pipe):
    """Has all been read that was written to it?"""
    waiting = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, waiting)
    return waiting[0] == 0


def state_of(sock):
    """Of its connection, as the kernel numbers it."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


class Sink:
    """Handler: the documents' message sink, where one recv is one message."""

    def __init__(self, size=1024):
        self.size = size
        self.heard = []

    def __call__(self, sock):
        self.heard.append(sock.recv(self.size))


class Collector:
    """Handler: hears everything; says something before, and after."""

    def __init__(self, before=b"", after=b"", size=65536):
        self.before = before
        self.after = after
        self.size = size
        self.heard = b""

    def __call__(self, sock):
        sock.sendall(self.before)
        while True:
            data = sock.recv(self.size)
            if not data:
                break
            self.heard += data
        for i in range(len(self.after)):
            sock.sendall(self.after[i:i + 1])


class OneMessage(TestCase):
    def check_done(self, result, output=b""):
        self.assertEqual((result.returncode, result.stderr, result.stdout),
                         (0, b"", output))

    def test_the_documents_message_sink(self):
        messages = [b"hello", "Grüße, 世界".encode(), b"\xff\xfe\x80", b" ",
                    b"x" * 1024]
        sink = Sink()
        with PythonServer(sink) as server:
            for message in messages:
                self.check_done(send(server.address, message))
        self.assertEqual(sink.heard, messages)

    def test_the_documents_welcome_exchange(self):
        def welcome(sock):
            sock.sendall(b"Welcome")
            heard.append(sock.recv(1024))
        heard = []
        with PythonServer(welcome) as server:
            self.check_done(send(server.address, "hello"), b"Welcome")
        self.assertEqual(heard, [b"hello"])

    def test_standard_input(self):
        """As it is, its last newline included; with - or without a text."""
        text = bytes(range(256)) * 3 + b"\n"
        for args in ((), ("-",)):
            sink = Sink()
            with self.subTest(args=args), PythonServer(sink) as server:
                self.check_done(send(server.address, *args, input=text))
            self.assertEqual(sink.heard, [text])

    def test_a_text_that_looks_like_an_option(self):
        sink = Sink()
        with PythonServer(sink) as server:
            self.check_done(send(server.address, "--", "--timeout"))
            self.check_done(send("-t", "9s", server.address, "--", "--"))
        self.assertEqual(sink.heard, [b"--timeout", b"--"])

    def test_standard_input_in_pieces_is_one_message(self):
        """However long whoever writes it takes: one recv has all of it.  The
        client has read each piece before the next is written."""
        sink = Sink()
        with PythonServer(sink) as server, subprocess.Popen(
                [program("WEIR_CLIENT"), "send", server.address],
                stdin=subprocess.PIPE) as client:
            for i in range(10):
                client.stdin.write(b"%d" % i)
                client.stdin.flush()
                until(lambda: is_empty(client.stdin), "a client that reads")
            client.stdin.close()
            self.assertEqual(client.wait(DEADLINE), 0)
        self.assertEqual(sink.heard, [b"0123456789"])

    def test_standard_input_of_any_size(self):
        text = os.urandom(5 * 1024 * 1024 + 3)
        for size in (4096, 65536):
            collector = Collector(size=size)
            with self.subTest(size=size), PythonServer(collector) as server:
                self.check_done(send(server.address, input=text))
            self.assertEqual(collector.heard, text)

    def test_a_server_that_answers_while_we_send(self):
        """It waits for us to read before it reads on."""
        text = os.urandom(20 * 1024 * 1024)
        with Server("echo@127.0.0.1:0") as server:
            self.check_done(send(server.address(), input=text), text)

    def test_a_server_that_answers_at_the_end(self):
        collector = Collector(b"hello ", b"and thank you")
        with PythonServer(collector) as server:
            self.check_done(send(server.address, "message"),
                            b"hello and thank you")
        self.assertEqual(collector.heard, b"message")

    def test_our_server(self):
        for where in ("127.0.0.1:0", "[::1]:0", "unix:" + self.folder() + "/s",
                      "unix:@weir-send-%d" % os.getpid()):
            if where == "[::1]:0" and not has_ipv6():
                continue
            with self.subTest(where=where), \
                    Server("reply@" + where) as server:
                self.check_done(send(server.address(), "hello"),
                                BANNER + PREFIX + b"hello")
                status, counts = server.stop()
                self.assertEqual((status, counts["completed"]), (0, 1))

    def test_a_unix_socket_whose_reader_is_slow(self):
        """What it has not read yet is not taken for arrived."""
        path = self.folder() + "/s"
        text = b"x" * 50000
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            client = subprocess.Popen([program("WEIR_CLIENT"), "send",
                                       "unix:" + path, text])
            sock, _ = listener.accept()
            with sock, client:
                sock.shutdown(socket.SHUT_WR)
                with self.assertRaises(subprocess.TimeoutExpired):
                    client.wait(0.1)
                self.assertEqual(read_all(sock), text)
                self.assertEqual(client.wait(DEADLINE), 0)


class Usage(TestCase):
    def test_bad_usage(self):
        for args, *fragments in (
                (["send"], "address is missing", "send 127.0.0.1:1234"),
                (["send", "localhost", "x"], "'localhost'", "port"),
                (["send", ":1", "hello", "world"], "'world'", "unexpected"),
                (["send", ":1", ""], "text is empty"),
                (["send", ":1", "x", "-t", "5"], "--timeout", "'5'"),
                (["send", ":1", "x", "--once"], "'--once'")):
            with self.subTest(args=args):
                self.check_usage(run("WEIR_CLIENT", *args), "weir-client",
                                 *fragments)

    def test_help(self):
        result = run("WEIR_CLIENT", "send", "--help")
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        self.assertIn(b"send ADDRESS [TEXT] [OPTION]", result.stdout)
        self.assertIn(b"\n  send ", run("WEIR_CLIENT", "-h").stdout)

    def test_an_empty_standard_input(self):
        """Nothing is sent, and nobody connects."""
        sink = Sink()
        with PythonServer(sink) as server:
            self.check_failure(send(server.address), "input is empty")
        self.assertEqual(sink.heard, [])

    def test_a_standard_input_that_cannot_be_read(self):
        folder = os.open("/", os.O_RDONLY)
        self.addCleanup(os.close, folder)
        result = subprocess.run(
            [program("WEIR_CLIENT"), "send", "127.0.0.1:1"], stdin=folder,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=DEADLINE)
        self.check_failure(result, "standard input", "Is a directory")


class Failures(TestCase):
    """One line says what happened; exit 1."""

    def test_nobody_there(self):
        where = "unix:" + self.folder() + "/s"
        self.check_failure(send(where, "hello"), where, "no such socket")

    def test_a_server_that_closes_without_reading(self):
        """Its end comes before ours; only the reset tells that the message
        was not read."""
        def rude(sock):
            sock.sendall(b"busy")
            until_sent.wait(DEADLINE)
        until_sent = threading.Event()
        with PythonServer(rude) as server:
            with subprocess.Popen(
                    [program("WEIR_CLIENT"), "send", server.address, "hello"],
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
                self.assertEqual(client.stdout.read(4), b"busy")
                until_sent.set()
                out, err = client.communicate(timeout=DEADLINE)
        result = subprocess.CompletedProcess([], client.returncode, out, err)
        self.check_failure(result, server.address, "reset the connection",
                           "may be lost")

    def test_a_server_that_has_closed_before_we_send(self):
        """A connection that was handed to us half closed and half gone."""
        ours, theirs = socket.socketpair()
        listener = socket.create_server(("127.0.0.1", 0))
        tcp = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
        for near, other in ((ours, theirs), (tcp, far)):
            other.sendall(b"sorry")
            other.close()
            with near:
                fd = near.fileno()
                result = send("fd:%d" % fd, "hello", pass_fds=(fd,))
            with self.subTest(family=near.family):
                self.check_failure(result, "fd:", "reset the connection",
                                   "may be lost")
                self.assertEqual(result.stdout, b"sorry")
        listener.close()

    def test_a_server_that_resets(self):
        def after(count):
            def resets(sock):
                read_exactly(sock, count)
                reset(sock)
            return resets
        for count in (1, 5, 100000):
            with self.subTest(count=count), \
                    PythonServer(after(count)) as server:
                result = send(server.address, input=b"x" * (5 + 10 * count))
                self.check_failure(result, server.address,
                                   "reset the connection", "may be lost")

    def test_a_server_that_never_ends(self):
        def stays(sock):
            read_all(sock)
            release.wait(DEADLINE)
        release = threading.Event()
        with PythonServer(stays) as server:
            result = send(server.address, "hello", "-t", "300ms")
            release.set()
        self.check_failure(result, "no end from", server.address, "300ms",
                           "may be lost")

    def test_a_server_that_never_reads(self):
        release = threading.Event()
        with PythonServer(lambda sock: release.wait(DEADLINE)) as server:
            result = send(server.address, "-t", "300ms",
                          input=b"x" * (32 << 20))
            release.set()
        self.check_failure(result, "no progress from", server.address,
                           "300ms", "may be lost")

    def test_the_time_counts_from_when_something_was_taken(self):
        def body():
            with socket.create_server(("127.0.0.1", 0)) as listener:
                began = time.monotonic()
                result = send("127.0.0.1:%d" % listener.getsockname()[1], "-t",
                              "2s", input=b"x" * (32 << 20))
                self.assertLess(time.monotonic() - began, 3.5)
            self.check_failure(result, "no progress")
        in_time(body)

    def check_lost(self, size, begin):
        """The kernel gives up sending a message of this size, once begin() has
        been called with the client and both ends of its connection."""
        def body():
            with socket.create_server(("127.0.0.1", 0)) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                ours = socket.create_connection(listener.getsockname())
                theirs = listener.accept()[0]
            with ours, theirs, tempfile.TemporaryFile() as message:
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
                message.truncate(size)
                with subprocess.Popen(
                        [program("WEIR_CLIENT"), "send", "fd:%d" % ours.fileno(),
                         "-t", "never"], pass_fds=(ours.fileno(),),
                        stdin=message, stderr=subprocess.PIPE) as client:
                    try:
                        begin(client, ours, theirs)
                        # It also counts the time of a window that is closed.
                        ours.setsockopt(socket.IPPROTO_TCP,
                                        socket.TCP_USER_TIMEOUT, 500)
                        set_loopback(0)
                        self.assertEqual(client.wait(DEADLINE), 1)
                    finally:
                        client.kill()
                    self.assertRegex(client.stderr.read(),
                                     rb"^weir-client: fd:\d+ no longer answers; "
                                     rb"the message may be lost\n$")
        in_a_network_of_its_own(self, body)

    def test_a_server_that_cannot_be_reached_any_more(self):
        def begin(client, ours, theirs):
            until(lambda: not select.select([], [ours], [], 0)[1] and
                  sleeps(client.pid), "full buffers")
        self.check_lost(64 << 20, begin)

        def begin_after_its_end(client, ours, theirs):
            theirs.shutdown(socket.SHUT_WR)
            begin(client, ours, theirs)
        self.check_lost(64 << 20, begin_after_its_end)

    def test_a_server_that_cannot_be_reached_after_its_end(self):
        def begin(client, ours, theirs):
            until(lambda: state_of(ours) == TCP_FIN_WAIT1, "our end")
            theirs.shutdown(socket.SHUT_WR)
            until(lambda: state_of(ours) == TCP_CLOSING, "the end of the server")
        self.check_lost(30000, begin) # fits the kernel of the client

    def test_a_standard_output_that_takes_nothing(self):
        with Server() as server, open("/dev/full", "wb") as full:
            result = send(server.address(), "hello", stdout=full)
        self.check_failure(result, "standard output", "No space")

    def test_interrupted(self):
        heard = threading.Event()

        def stays(sock):
            sock.recv(100)
            heard.set()
            read_all(sock)
            sock.recv(100)
            release.wait(DEADLINE)
        release = threading.Event()
        with PythonServer(stays) as server, subprocess.Popen(
                [program("WEIR_CLIENT"), "send", server.address, "hello"],
                stderr=subprocess.PIPE) as client:
            self.assertTrue(heard.wait(DEADLINE))
            client.send_signal(signal.SIGTERM)
            self.assertEqual(client.wait(DEADLINE), -signal.SIGTERM)
            release.set()
            self.assertEqual(client.stderr.read(),
                             b"weir-client: interrupted\n")


class OnATerminal(TestCase):
    def test_without_a_text(self):
        with Terminal("send", ":1") as user:
            user.expect(b"weir-client: the text is missing, as in")
            self.assertEqual(user.end(), 2)

    def test_a_text_that_is_typed(self):
        collector = Collector(after=b"\x1b[31mthanks")
        with PythonServer(collector) as server, \
                Terminal("send", server.address, "-") as user:
            user.type(b"one\ntwo\n")
            user.expect(b"two\r\n")
            user.type(b"\x04")
            user.expect(b"\\x1b[31mthanks\r\n")
            self.assertEqual(user.end(), 0)
        self.assertEqual(collector.heard, b"one\ntwo\n")


if __name__ == "__main__":
    main()
