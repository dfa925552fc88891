#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weir-client talk as its users meet it: on a pipe, on a terminal, against
our server, against the documents', and against servers that misbehave."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import threading
import time

from weirtest import (BANNER, DEADLINE, PREFIX, PythonServer, Server, Terminal,
                      TestCase, at_once, documents_server, freeze,
                      in_a_network_of_its_own, in_time, main, nobody, program,
                      read_all, reset, run, sleeps, until)

PROMPT = b"Enter message: "


def talk(where, text=b"", *options, **kwargs):
    return run("WEIR_CLIENT", "talk", where, *options, input=text, **kwargs)


def in_pieces(data, size=1):
    return [data[i:i + size] for i in range(0, len(data), size)]


class Keeper:
    """A handler that keeps what the client said until its end of input."""

    def __init__(self, hello=b"", answer=None):
        self.hello = hello
        self.answer = answer
        self.heard = b""
        self.sock = None
        self.done = threading.Event()

    def __call__(self, sock):
        self.sock = sock
        try:
            sock.sendall(self.hello)
            while True:
                data = sock.recv(65536)
                if not data:
                    return
                self.heard += data
                if self.answer:
                    sock.sendall(self.answer)
        finally:
            self.done.set()

    def wait(self):
        if not self.done.wait(DEADLINE):
            raise AssertionError("the client goes on")
        return self.heard


class CommandLine(TestCase):
    def test_bad_usage(self):
        cases = [
            ([], "command is missing", "talk"),
            (["--once", "talk", ":1"], "must come before", "'--once'", "talk"),
            (["talk"], "address is missing", "talk 127.0.0.1:1234"),
            (["tolk", ":1"], "unknown command 'tolk'", "talk"),
            (["talk", ":1", ":2"], "':2'"),
            (["talk", "localhost"], "'localhost'", "port is missing"),
            (["talk", "localhost:0"], "'localhost:0'", "1 to 65535"),
            (["talk", "localhost:65536"], "1 to 65535"),
            (["talk", "localhost:echo"], "1 to 65535"),
            (["talk", "::1:1"], "brackets"),
            (["talk", "unix:"], "path is missing"),
            (["talk", "unix:/" + "x" * 107], "too long"),
            (["talk", "fd:x"], "fd:3"),
            (["talk", ":1", "--bogus"], "'--bogus'", "--help"),
            (["talk", ":1", "-Z"], "'-Z'"),
            (["talk", ":1", "--timeout"], "'--timeout'", "needs a value"),
            (["talk", ":1", "--timeout", "0"], "--timeout", "'0'", "10s"),
            (["talk", ":1", "--timeout", "5"], "--timeout", "'5'"),
            (["talk", ":1", "--once=2"], "'--once'", "takes no value"),
            (["talk", ":1", "--once", "--read-only"], "--read-only",
             "--once"),
            (["talk", ":1", "-B", "-r"], "--read-only", "--no-banner"),
            (["talk", "x\ny:1\x1b"], "weir-client"),
        ]
        for args, *fragments in cases:
            with self.subTest(args=args):
                result = run("WEIR_CLIENT", *args)
                self.check_usage(result, "weir-client", *fragments)
                self.assertNotIn(b"\x1b", result.stderr)

    def test_help_and_version(self):
        for flag in ("--help", "-h"):
            result = run("WEIR_CLIENT", flag)
            self.assertEqual((result.returncode, result.stderr), (0, b""))
            self.assertIn(b"\n  talk ", result.stdout)
            result = run("WEIR_CLIENT", "talk", flag)
            self.assertEqual((result.returncode, result.stderr), (0, b""))
            for word in (b"ADDRESS", b"--once", b"--read-only", b"--timeout"):
                self.assertIn(word, result.stdout)
        for flag in ("--version", "-V"):
            result = run("WEIR_CLIENT", flag)
            self.assertEqual(result.returncode, 0)
            self.assertRegex(result.stdout, rb"^weir-client \d+\.\d+\.\d+\n"
                             rb"line editing .*, JSON .*, "
                             rb"histogram logs .*\n$")

    def test_operands_and_options_in_any_order(self):
        with PythonServer(documents_server) as server:
            result = run("WEIR_CLIENT", "talk", "-t", "5s", "--once",
                         server.address, "--timeout=9s", input=b"hello\n")
        self.assertEqual(result.returncode, 0, result)


class OnAPipe(TestCase):
    """No prompts; replies on standard output, one a line."""

    def check(self, where):
        messages = [b"hello", "Grüße, 世界".encode(), b"\xff\xfe\x80 \x1b[31m",
                    b"a\x00b", b" ", b"x" * 10000]
        result = talk(where, b"\n".join(messages) + b"\nwindup\nnot sent\n")
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        self.assertEqual(result.stdout, BANNER + b"\n" + b"".join(
            PREFIX + m + b"\n" for m in messages + [b"windup"]))

    def test_with_our_server(self):
        with Server() as server:
            self.check(server.address())
            self.assertEqual(server.stop()[1]["completed"], 1)

    def test_with_our_server_on_a_unix_socket(self):
        with Server("reply@unix:" + self.folder() + "/s") as server:
            self.check(server.address())

    def test_with_the_documents_server(self):
        def documents_server_with_room(sock):
            sock.sendall(BANNER)
            while True:
                message = sock.recv(65536)
                if not message:
                    return
                sock.sendall(PREFIX + message)
        with PythonServer(documents_server_with_room) as server:
            self.check(server.address)

    def test_the_end_of_input_ends_it(self):
        for text in (b"", b"one\n", b"one\ntwo", b"\n\none\n\n"):
            with self.subTest(text=text):
                keeper = Keeper(BANNER, b"yes")
                with PythonServer(keeper) as server:
                    result = talk(server.address, text)
                    self.assertEqual(keeper.wait(),
                                     text.replace(b"\n", b""))
                self.assertEqual((result.returncode, result.stderr), (0, b""))
                lines = [line for line in text.split(b"\n") if line]
                self.assertEqual(result.stdout,
                                 BANNER + b"\n" + b"yes\n" * len(lines))

    def test_what_still_comes_after_the_end_of_input_is_printed(self):
        def late(sock):
            sock.sendall(BANNER)
            read_all(sock)
            sock.sendall(b"one more ")
            sock.sendall(b"thing")
        with PythonServer(late) as server:
            result = talk(server.address)
        self.assertEqual((result.returncode, result.stdout),
                         (0, b"Connect\none more thing\n"))

    def test_a_server_that_stays_after_the_end_of_input(self):
        in_time(self.check_staying)

    def check_staying(self):
        release = threading.Event()

        def stays(sock):
            sock.sendall(BANNER)
            read_all(sock)
            release.wait(DEADLINE)
        with PythonServer(stays) as server:
            result = talk(server.address, b"", "--timeout", "200ms")
            release.set()
        self.assertEqual((result.returncode, result.stdout, result.stderr),
                         (0, b"Connect\n", b""))

    def test_a_reply_of_the_known_form_in_pieces(self):
        """However long the pauses, since its length is known."""
        def drip(sock):
            sock.sendall(BANNER)
            while True:
                message = sock.recv(2048)
                if not message:
                    return
                with at_once() as send:
                    for piece in in_pieces(PREFIX):
                        send(sock, piece)
                for i, piece in enumerate(in_pieces(message)):
                    if i in (0, 2):
                        time.sleep(0.3)
                    sock.sendall(piece)

        def dialogue():
            with PythonServer(drip) as server:
                result = talk(server.address, b"hello\nwindup\n")
            self.assertEqual((result.returncode, result.stdout), (0, (
                b"Connect\nServer replies: hello\nServer replies: windup\n")))
        in_time(dialogue)

    def test_replies_of_other_forms(self):
        """They end with the quiet; a newline of their own is not doubled."""
        answers = [b"ok", b"Server", b"Server replies: not that", b"two\nlines",
                   b"a line\n", b"Server replies: you", b"x" * 50000]

        def other(sock):
            sock.sendall(b"Welcome\n")
            for answer in answers:
                sock.recv(100)
                with at_once() as send:
                    for piece in in_pieces(answer, 1000):
                        send(sock, piece)
            read_all(sock)

        def dialogue():
            with PythonServer(other) as server:
                # What may be of the known form is waited for all that time.
                result = talk(server.address, b"you too\n" * len(answers),
                              "-t", "%ds" % (DEADLINE / 10))
            self.assertEqual(result.returncode, 0, result)
            self.assertEqual(result.stdout, b"Welcome\n" + b"".join(
                a if a.endswith(b"\n") else a + b"\n" for a in answers))
        in_time(dialogue)

    def test_an_echo_server_without_banner(self):
        with Server("echo@127.0.0.1:0") as server:
            result = talk(server.address(), b"S\nhello\nwindup\nno\n",
                          "--no-banner")
        self.assertEqual((result.returncode, result.stdout),
                         (0, b"S\nhello\nwindup\n"))

    def test_it_does_not_wait_for_more_lines_than_there_are(self):
        """A line is sent and answered as soon as it is there."""
        with Server() as server, subprocess.Popen(
                [program("WEIR_CLIENT"), "talk", server.address()],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
            self.assertEqual(client.stdout.readline(), b"Connect\n")
            for i in range(5):
                client.stdin.write(b"line %d\n" % i)
                client.stdin.flush()
                self.assertEqual(client.stdout.readline(),
                                 PREFIX + b"line %d\n" % i)
            client.stdin.close()
            self.assertEqual(client.wait(DEADLINE), 0)

    def test_a_long_line_to_a_server_that_answers_while_it_reads(self):
        line = os.urandom(900000).replace(b"\n", b".")
        for where in ("127.0.0.1:0", "unix:" + self.folder() + "/s"):
            with self.subTest(where=where), \
                    Server("echo@" + where) as server:
                result = talk(server.address(), line + b"\nbye\n", "-B")
            self.assertEqual((result.returncode, result.stderr), (0, b""))
            self.assertEqual(result.stdout.replace(b"\n", b""), line + b"bye")

    def test_a_standard_input_that_is_closed(self):
        with Server() as server:
            result = subprocess.run(
                [program("WEIR_CLIENT"), "talk", server.address()],
                stdout=subprocess.PIPE, timeout=DEADLINE,
                preexec_fn=lambda: os.close(0))
        self.assertEqual((result.returncode, result.stdout),
                         (0, b"Connect\n"))

    def test_a_standard_output_that_takes_nothing(self):
        with Server() as server, open("/dev/full", "wb") as full:
            result = talk(server.address(), b"hello\n", stdout=full)
        self.check_failure(result, "standard output", "No space")

    def test_a_line_without_end(self):
        with Server() as server, open("/dev/zero", "rb") as zero:
            result = subprocess.run(
                [program("WEIR_CLIENT"), "talk", server.address()],
                stdin=zero, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                timeout=DEADLINE)
        self.check_failure(result, "longer than")


class Once(TestCase):
    """Welcome, one message, end."""

    def test_the_documents_welcome_exchange(self):
        heard = []

        def welcome(sock):
            sock.sendall("Willkommen!".encode())
            heard.append(sock.recv(1024))
        with PythonServer(welcome) as server:
            result = talk(server.address, "schönen Tag\nnot this\n".encode(),
                          "--once")
        self.assertEqual((result.returncode, result.stdout, result.stderr),
                         (0, b"Willkommen!\n", b""))
        self.assertEqual(heard, ["schönen Tag".encode()])

    def test_with_our_server(self):
        with Server() as server:
            result = talk(server.address(), b"hello\nno\n", "-1")
            self.assertEqual((result.returncode, result.stdout),
                             (0, b"Connect\nServer replies: hello\n"))
            self.assertEqual(server.stop()[1]["completed"], 1)

    def test_no_message_at_all(self):
        keeper = Keeper(b"Welcome")
        with PythonServer(keeper) as server:
            result = talk(server.address, b"", "--once")
            self.assertEqual(keeper.wait(), b"")
        self.assertEqual((result.returncode, result.stdout),
                         (0, b"Welcome\n"))


class ReadOnly(TestCase):
    """All there is to read, as it is."""

    def test_the_documents_greeting(self):
        def greet(sock):
            for piece in in_pieces("Got your connection — grüß dich".encode()):
                sock.sendall(piece)
        with PythonServer(greet) as server:
            result = talk(server.address, b"never sent\n", "--read-only")
        self.assertEqual((result.returncode, result.stdout, result.stderr),
                         (0, "Got your connection — grüß dich".encode(), b""))

    def test_every_byte_passes(self):
        data = bytes(range(256)) * 1000
        with PythonServer(lambda sock: sock.sendall(data)) as server:
            result = talk(server.address, b"", "-r")
        self.assertEqual((result.returncode, result.stdout), (0, data))

    def test_an_empty_greeting(self):
        with PythonServer(lambda sock: None) as server:
            result = talk(server.address, b"", "-r")
        self.assertEqual((result.returncode, result.stdout), (0, b""))

    def test_a_server_that_does_not_end(self):
        def dialogue():
            with PythonServer(Keeper(b"half")) as server:
                result = talk(server.address, b"", "-r", "--timeout", "300ms")
            self.check_failure(result, server.address, "end of input", "300ms")
            self.assertEqual(result.stdout, b"half")
        in_time(dialogue)


class Failures(TestCase):
    """One line says what happened; exit 1."""

    def test_nobody_there(self):
        where = nobody()
        self.check_failure(talk(where), where, "nobody listens")

    def test_a_kernel_that_gives_up_first(self):
        """The error says how long it has tried."""
        def body():
            try:
                with open("/proc/sys/net/ipv4/tcp_syn_retries", "w") as file:
                    file.write("1\n")
            except OSError:
                self.skipTest("a network namespace cannot be set up here")
            with socket.socket() as listener:
                listener.bind(("127.0.0.1", 0))
                listener.listen(0)
                with socket.create_connection(listener.getsockname()):
                    where = "127.0.0.1:%d" % listener.getsockname()[1]
                    for timeout in ("never", "1h"):
                        result = talk(where, b"", "-t", timeout)
                        self.assertEqual(result.returncode, 1)
                        self.assertRegex(result.stderr,
                                         rb" no connection to \S+ within "
                                         rb"[1-9][0-9]*s\n$")
        in_a_network_of_its_own(self, body)

    def test_no_such_unix_socket(self):
        where = "unix:" + self.folder() + "/s"
        self.check_failure(talk(where), where, "no such socket")

    def test_no_such_host(self):
        result = talk("no-such-host.invalid:1")
        self.check_failure(result, "no-such-host.invalid:1")

    def test_nobody_answers_the_connection(self):
        """A listener whose backlog is full."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            where = listener.getsockname()
            waiting = []
            for _ in range(5):
                sock = socket.socket()
                sock.setblocking(False)
                sock.connect_ex(where)
                waiting.append(sock)
            result = talk("127.0.0.1:%d" % where[1], b"", "-t", "300ms")
            for sock in waiting:
                sock.close()
        self.check_failure(result, "no connection", "300ms")

    def test_no_banner(self):
        with PythonServer(Keeper()) as server:
            result = talk(server.address, b"hello\n", "--timeout", "300ms")
        self.check_failure(result, "no banner", server.address, "300ms",
                           "--no-banner")

    def test_no_reply(self):
        def dialogue():
            with PythonServer(Keeper(BANNER)) as server:
                began = time.monotonic()
                result = talk(server.address, b"hello\n", "--timeout", "300ms")
                self.assertGreater(time.monotonic() - began, 0.3)
            self.check_failure(result, "no reply", server.address, "300ms")
            self.assertEqual(result.stdout, b"Connect\n")
        in_time(dialogue)

    def test_no_reply_long_after_the_connection_began(self):
        """The time for a reply counts from its message."""
        def slow(sock):
            for _ in range(4):
                sock.recv(100)
                with at_once(0.2) as send:
                    time.sleep(0.2)
                    send(sock, b"yes")
            read_all(sock)

        def dialogue():
            with PythonServer(slow) as server:
                result = talk(server.address, b"x\n" * 5, "--no-banner", "-t",
                              "%dms" % (DEADLINE * 30))
            self.check_failure(result, "no reply")
            self.assertEqual(result.stdout, b"yes\n" * 4)
        in_time(dialogue)

    def test_the_server_ends_instead_of_a_banner(self):
        with PythonServer(lambda sock: None) as server:
            result = talk(server.address, b"hello\n")
        self.check_failure(result, server.address, "closed the connection")

    def test_the_server_ends_instead_of_a_reply(self):
        def rude(sock):
            sock.sendall(BANNER)
            sock.recv(100)
        with PythonServer(rude) as server:
            result = talk(server.address, b"hello\nmore\n")
        self.check_failure(result, server.address, "closed the connection")
        self.assertEqual(result.stdout, b"Connect\n")

    def test_the_server_ends_while_there_is_nothing_to_say(self):
        with PythonServer(lambda sock: sock.sendall(BANNER)) as server, \
                subprocess.Popen(
                    [program("WEIR_CLIENT"), "talk", server.address],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE) as client:
            self.assertEqual(client.wait(DEADLINE), 1)
            self.assertEqual(client.stdout.read(), b"Connect\n")
            self.assertRegex(client.stderr.read(),
                             rb"^weir-client: \S+ closed the connection\n$")

    def test_the_server_resets(self):
        def resets(sock):
            sock.sendall(BANNER)
            sock.recv(100)
            reset(sock)
        with PythonServer(resets) as server:
            result = talk(server.address, b"hello\nmore\n")
        self.check_failure(result, server.address, "reset the connection")

    def test_all_that_came_before_a_reset_can_be_read(self):
        """Though our line is what finds that the server has gone."""
        ours, theirs = socket.socketpair()
        fd = ours.fileno()
        with ours, theirs, subprocess.Popen(
                [program("WEIR_CLIENT"), "talk", "fd:%d" % fd, "-B"],
                pass_fds=(fd,), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE) as client:
            client.stdin.write(b"x" * 900000 + b"\n")
            client.stdin.flush()
            until(lambda: select.select([theirs], [], [], 0)[0] and
                  sleeps(client.pid), "a line that does not fit")
            freeze(client.pid)
            try:
                theirs.sendall(b"y" * 5000)
                theirs.close()
            finally:
                client.send_signal(signal.SIGCONT)
            self.assertEqual(client.stdout.read(), b"y" * 5000 + b"\n")
            self.assertEqual(client.wait(DEADLINE), 1)
            client.stderr.read()

    def test_what_was_there_before_the_line_is_one_message(self):
        ours, theirs = socket.socketpair()
        theirs.sendall(b"x" * 5000)

        def answer():
            theirs.recv(100)
            theirs.sendall(b"yes")
            theirs.close()
        thread = threading.Thread(target=answer)
        thread.start()
        with ours:
            fd = ours.fileno()
            result = talk("fd:%d" % fd, b"hello\n", "-B", pass_fds=(fd,))
        thread.join()
        self.assertEqual(result.stdout, b"x" * 5000 + b"\nyes\n")

    def test_a_refusal_can_be_read(self):
        with Server("-m", "1", "--refusal", "busy, try later\n") as server:
            first = server.connect()
            result = talk(server.address(), b"hello\n")
            first.close()
        self.check_failure(result, "closed the connection")
        self.assertEqual(result.stdout, b"busy, try later\n")

    def test_an_end_after_silence(self):
        """It may well be the server's limit, of which it says nothing."""
        heard = threading.Event()

        def quiet(sock):
            sock.sendall(BANNER)
            heard.wait(DEADLINE)
            time.sleep(5.5)
        with PythonServer(quiet) as server, subprocess.Popen(
                [program("WEIR_CLIENT"), "talk", server.address],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE) as client:
            self.assertEqual(client.stdout.readline(), b"Connect\n")
            heard.set()
            self.assertEqual(client.wait(DEADLINE), 1)
            self.assertRegex(client.stderr.read(),
                             rb"closed the connection after \d+s of "
                             rb"silence\n$")

    def test_our_server_stops(self):
        """The last reply comes, then the end of input."""
        with Server() as server, subprocess.Popen(
                [program("WEIR_CLIENT"), "talk", server.address()],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE) as client:
            self.assertEqual(client.stdout.readline(), b"Connect\n")
            client.stdin.write(b"hello\n")
            client.stdin.flush()
            self.assertEqual(client.stdout.readline(), PREFIX + b"hello\n")
            self.assertEqual(server.stop()[0], 0)
            self.assertEqual(client.wait(DEADLINE), 1)
            self.assertIn(b"closed the connection", client.stderr.read())

    def test_interrupted_on_a_pipe(self):
        for signo in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with PythonServer(Keeper(BANNER)) as server, subprocess.Popen(
                    [program("WEIR_CLIENT"), "talk", server.address],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE) as client:
                self.assertEqual(client.stdout.readline(), b"Connect\n")
                client.send_signal(signo)
                self.assertEqual(client.wait(DEADLINE), -signo)
                self.assertEqual(client.stderr.read(),
                                 b"weir-client: interrupted\n")


class OnATerminal(TestCase):
    """Driven through a pseudo-terminal.  TERM=dumb has no line editing."""

    TERMS = ("xterm", "dumb")

    def test_a_dialogue(self):
        for term in self.TERMS:
            with self.subTest(term=term), Server() as server, \
                    Terminal("talk", server.address(), term=term) as user:
                user.expect(b"Connect\r\n" + PROMPT)
                for message in ("hello", "Grüße, 世界"):
                    user.type(message.encode() + b"\n")
                    user.expect(PREFIX + message.encode() + b"\r\n")
                    user.expect(PROMPT)
                user.type(b"\n")
                user.expect(PROMPT)
                user.type(b"windup\n")
                user.expect(PREFIX + b"windup\r\n")
                self.assertEqual(user.end(), 0)
                self.assertEqual(user.seen, b"")
                self.assertEqual(server.stop()[1]["completed"], 1)

    def test_the_documents_server(self):
        with PythonServer(documents_server) as server, \
                Terminal("talk", server.address) as user:
            user.expect(b"Connect\r\n" + PROMPT)
            user.type(b"hello\n")
            user.expect(PREFIX + b"hello\r\n" + PROMPT)
            user.type(b"windup\n")
            user.expect(PREFIX + b"windup\r\n")
            self.assertEqual(user.end(), 0)

    def test_history_and_editing(self):
        keeper = Keeper(BANNER, b"yes")
        with PythonServer(keeper) as server, \
                Terminal("talk", server.address) as user:
            user.expect(PROMPT)
            user.type(b"first\n")
            user.expect(b"yes\r\n")
            user.expect(PROMPT)
            if not self.has_editing(user):
                self.skipTest("built without libedit")
            user.expect(b"yes\r\n")
            user.expect(PROMPT)
            user.type(b"ac\x1b[Db\n")  # cursor left, then insert
            user.expect(b"yes\r\n")
            user.expect(PROMPT)
            user.type(b"\x04")
            self.assertEqual(user.end(), 0)
            self.assertEqual(keeper.wait(), b"firstfirstabc")

    @staticmethod
    def has_editing(user):
        """Cursor up brings the line back, unless the terminal just echoes."""
        user.type(b"\x1b[A\n")
        before = user.expect(b"\r\n")
        return b"first" in before

    def test_the_end_of_input(self):
        for term in self.TERMS:
            keeper = Keeper(BANNER)
            with self.subTest(term=term), PythonServer(keeper) as server, \
                    Terminal("talk", server.address, term=term) as user:
                user.expect(PROMPT)
                user.type(b"\x04")
                self.assertEqual(user.end(), 0)
                self.assertEqual(keeper.wait(), b"")
                self.assertNotIn(b"weir-client:", user.seen)

    def test_interrupted_at_the_prompt(self):
        for term in self.TERMS:
            keeper = Keeper(BANNER)
            with self.subTest(term=term), PythonServer(keeper) as server, \
                    Terminal("talk", server.address, term=term) as user:
                user.expect(PROMPT)
                user.type(b"half a mess")
                user.expect(b"mess")
                user.type(b"\x03")
                user.expect(b"\r\nweir-client: interrupted\r\n")
                self.assertEqual(user.end(), -signal.SIGINT)
                self.assertEqual(keeper.wait(), b"")

    def test_interrupted_while_it_waits_for_a_reply(self):
        keeper = Keeper(BANNER)
        with PythonServer(keeper) as server, \
                Terminal("talk", server.address) as user:
            user.expect(PROMPT)
            user.type(b"hello\n")
            user.expect(b"hello\r\n")
            user.type(b"\x03")
            user.expect(b"weir-client: interrupted\r\n")
            self.assertEqual(user.end(), -signal.SIGINT)

    def test_ended_by_signals_at_the_prompt(self):
        for term in self.TERMS:
            for signo in (signal.SIGTERM, signal.SIGHUP):
                with self.subTest(signo=signo, term=term), \
                        PythonServer(documents_server) as server, \
                        Terminal("talk", server.address, term=term) as user:
                    user.expect(PROMPT)
                    user.type(b"edited")
                    user.expect(b"edited")
                    os.kill(user.pid, signo)
                    user.expect(b"\r\nweir-client: interrupted\r\n")
                    self.assertEqual(user.end(), -signo)

    def test_a_terminal_that_goes_away(self):
        for term in self.TERMS:
            keeper = Keeper(BANNER)
            with self.subTest(term=term), PythonServer(keeper) as server, \
                    Terminal("talk", server.address, term=term) as user:
                user.expect(PROMPT)
                user.hang_up()
                keeper.wait()
                self.assertEqual(user.end(), -signal.SIGHUP)

    def test_the_server_dies_at_the_prompt(self):
        for term in self.TERMS:
            with self.subTest(term=term), Server() as server, \
                    Terminal("talk", server.address(), term=term) as user:
                user.expect(PROMPT)
                server.process.kill()
                user.expect(b"\r\n" + server.address().encode() +
                            b" closed the connection\r\n")
                self.assertEqual(user.end(), 0)

    def test_what_comes_at_the_prompt_is_one_message_until_a_pause(self):
        text = b"\xe4\xb8\xad" * 2000  # 4096 bytes end inside a character
        speak = threading.Event()

        def speaks_up(sock):
            sock.sendall(BANNER)
            sock.recv(100)
            sock.sendall(b"ok")
            speak.wait(DEADLINE)
            sock.sendall(text)
            sock.recv(100)
        with PythonServer(speaks_up) as server, \
                Terminal("talk", server.address) as user:
            user.expect(PROMPT)
            user.type(b"hello\n")
            user.expect(b"ok\r\n" + PROMPT)
            speak.set()
            user.expect(text + b"\r\n" + PROMPT)
            user.type(b"bye\n")
            user.expect(b"closed the connection")
            self.assertEqual(user.end(), 0)

    def test_lines_in_quick_succession_leave_the_prompt(self):
        speak = threading.Event()

        def ticks(sock):
            sock.sendall(BANNER)
            heard = sock.recv(100)
            sock.sendall(b"ok")
            speak.wait(DEADLINE)  # until the reply has ended
            sock.settimeout(0.01)
            while heard != b"hi":
                with contextlib.suppress(TimeoutError):
                    heard = sock.recv(100)
                sock.sendall(b"tick\n")
        with PythonServer(ticks) as server, \
                Terminal("talk", server.address) as user:
            user.expect(PROMPT)
            user.type(b"go\n")
            user.expect(b"ok\r\n" + PROMPT)
            speak.set()
            for _ in range(5):
                user.expect(b"tick\r\n" + PROMPT)
            user.type(b"hi\n")
            user.expect(b"closed the connection")
            self.assertEqual(user.end(), 0)

    def test_what_comes_at_the_prompt_is_shown_and_the_line_kept(self):
        speak = threading.Event()
        heard = []

        def speaks_up(sock):
            sock.sendall(BANNER)
            speak.wait(DEADLINE)
            sock.sendall("späte Nachricht".encode())
            heard.append(sock.recv(100))
            sock.sendall(b"yes")
        with PythonServer(speaks_up) as server, \
                Terminal("talk", server.address) as user:
            user.expect(PROMPT)
            user.type("grß\x1b[D".encode())
            user.expect("grß".encode())
            speak.set()
            user.expect("späte Nachricht\r\n".encode() + PROMPT)
            user.type("ü\n".encode())
            user.expect(b"yes")
            user.expect(b"closed the connection")
            self.assertEqual(user.end(), 0)
        if heard[0] != "grß\x1b[Dü".encode():  # without libedit
            self.assertEqual(heard, ["grüß".encode()])

    def test_no_banner_is_not_waited_for(self):
        with Server("echo@127.0.0.1:0") as server, \
                Terminal("talk", server.address()) as user:
            user.expect(PROMPT)
            user.type(b"hello\n")
            user.expect(b"hello\r\n")
            user.expect(b"hello\r\n" + PROMPT)
            user.type(b"\x04")
            self.assertEqual(user.end(), 0)

    def test_somebody_who_takes_his_time(self):
        """There may be a person at the other end too."""
        keeper = Keeper(BANNER)
        with PythonServer(keeper) as server, \
                Terminal("talk", server.address, "-t", "300ms") as user:
            user.expect(PROMPT)
            user.type(b"hello\n")
            user.expect(b"(still waiting, Ctrl-C to leave)\r\n")
            until(lambda: keeper.sock, "the message").sendall(b"well")
            user.expect(b"well\r\n" + PROMPT)
            user.type(b"\x04")
            self.assertEqual(user.end(), 0)

    def test_a_server_that_is_done(self):
        """After the exchange, before it, and without one."""
        def welcome(sock):
            sock.sendall(b"Welcome")
            sock.recv(100)

        def collect(sock):
            sock.recv(100)
        for handler, says in ((welcome, b"Welcome\r\n"), (collect, b""),
                              (lambda sock: sock.sendall(b"Hi"), b"Hi\r\n")):
            with PythonServer(handler) as server, \
                    Terminal("talk", server.address) as user:
                user.expect(says + PROMPT)
                if not says.startswith(b"Hi"):
                    user.type(b"hello\n")
                user.expect(server.address.encode() +
                            b" closed the connection\r\n")
                self.assertEqual(user.end(), 0)

    def test_control_characters_are_shown_not_obeyed(self):
        evil = (b"\x1b]0;title\x07\x1b[2J\r\x00\x7f\t" +
                "\u009b31m Gr\u202eüße 🙂\n".encode() +
                b"\xff\xc3\x28\xe2\x82")
        shown = (b"\\x1b]0;title\\x07\\x1b[2J\\x0d\\x00\\x7f\t" +
                 b"\\xc2\\x9b31m Gr\\xe2\\x80\\xae" +
                 "üße 🙂\r\n".encode() +
                 b"\\xff\\xc3(\\xe2\\x82\r\n")
        # At a prompt what comes late is shown as a line of its own.
        for options, sizes in (["--read-only"], (1, 3, 1000)), ([], (1000,)):
            for size in sizes:
                def speak(sock, size=size):
                    for piece in in_pieces(evil, size):
                        sock.sendall(piece)
                    read_all(sock)
                if options:
                    def speak(sock, size=size):
                        for piece in in_pieces(evil, size):
                            sock.sendall(piece)
                with self.subTest(options=options, size=size), \
                        PythonServer(speak) as server, \
                        Terminal("talk", server.address, *options,
                                 term="dumb") as user:
                    if not options:
                        user.expect(b"Connected to ")
                        user.expect(b"\r\n")
                    self.assertIn(user.expect(b"\\xe2\\x82\r\n").replace(
                        b"        ", b"\t") + b"\\xe2\\x82\r\n", (shown,))
                    if not options:
                        user.expect(PROMPT)
                        user.type(b"\x04")
                    self.assertEqual(user.end(), 0)

    def test_once(self):
        heard = []

        def welcome(sock):
            sock.sendall(b"Welcome")
            heard.append(sock.recv(1024))
        with PythonServer(welcome) as server, \
                Terminal("talk", server.address, "--once") as user:
            user.expect(b"Welcome\r\n" + PROMPT)
            user.type(b"hello\n")
            self.assertEqual(user.end(), 0)
        self.assertEqual(heard, [b"hello"])

    def test_read_only_has_no_prompt(self):
        with PythonServer(lambda sock: sock.sendall(b"greeting")) as server, \
                Terminal("talk", server.address, "--read-only") as user:
            self.assertEqual(user.end(), 0)
            self.assertEqual(user.seen, b"greeting\r\n")

    def test_stopped_and_continued(self):
        """By a shell with job control, whose fg follows at once; and where
        there is none, so that nobody could continue what has stopped.  With
        line editing, what had been typed is still there."""
        for shell in ('set -m; "$@"; fg', None):
            for term in self.TERMS:
                with self.subTest(term=term, shell=shell), \
                        PythonServer(documents_server) as server, \
                        Terminal("talk", server.address, term=term,
                                 shell=shell) as user:
                    user.expect(PROMPT)
                    user.type(b"hel")
                    user.expect(b"hel")
                    user.type(b"\x1a")
                    user.type(b"lo\n")
                    user.expect(PREFIX)
                    kept = user.expect(b"lo\r\n" + PROMPT)
                    self.assertIn(kept, (b"", b"hel"))
                    user.type(b"windup\n")
                    user.expect(PREFIX + b"windup")
                    self.assertEqual(user.end(), 0)


if __name__ == "__main__":
    main()
