#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weir-client chat: with the documents' operator, who answers each message;
with somebody who speaks at any time; in a room; and with peers that go."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import tempfile
import threading

from weirtest import (DEADLINE, PythonServer, Server, Terminal, TestCase,
                      at_once, freeze, in_time, main, program, read_all,
                      read_exactly, read_pieces, reset, run, until)

PROMPT = b">> "
THEIRS = b">>  "
TERMS = ("xterm", "dumb")


def chat(where, text=b"", *options, **kwargs):
    return run("WEIR_CLIENT", "chat", where, *options, input=text, **kwargs)


class Operator:
    """Handler: the documents' chat, where one recv is one message, and each
    is answered; the operator's `windup` ends it."""

    def __init__(self, *answers, piece=65536):
        self.answers = list(answers)
        self.piece = piece
        self.heard = []

    def __call__(self, sock):
        for answer in self.answers:
            message = sock.recv(1024)
            if not message:
                return
            self.heard.append(message)
            with at_once() as send:
                for i in range(0, len(answer), self.piece):
                    send(sock, answer[i:i + self.piece])
            if answer == b"windup":
                return
        message = sock.recv(1024)
        if message:
            self.heard.append(message)


class Peer:
    """Handler: the test itself speaks and hears, through its socket."""

    def __init__(self):
        self._ready = threading.Event()
        self._release = threading.Event()
        self.sock = None

    def __call__(self, sock):
        self.sock = sock
        self._ready.set()
        self._release.wait(DEADLINE)

    def wait(self):
        if not self._ready.wait(DEADLINE):
            raise AssertionError("nobody connects")
        return self.sock

    def hears(self, message):
        heard = read_exactly(self.wait(), len(message))
        if heard != message:
            raise AssertionError("%r, not %r" % (heard, message))

    def says(self, message, size=None):
        size, sock = size or len(message), self.wait()
        with at_once() as send:
            for i in range(0, len(message), size):
                send(sock, message[i:i + size])

    def goes(self):
        self._release.set()


@contextlib.contextmanager
def conversation(*options, term="xterm", path=None):
    peer = Peer()
    with PythonServer(peer, path) as server:
        try:
            with Terminal("chat", server.address, *options,
                          term=term) as user:
                peer.wait()
                yield user, peer
        finally:
            peer.goes()


class OnAPipe(TestCase):
    """No prompts and no marks; a line waits for the answer to the last."""

    def test_the_documents_operator(self):
        lines = [b"hello", "schön".encode(), b"\xff\xfe", b"windup"]

        def dialogue(piece):
            operator = Operator(b"good morning", "Grüße, 世界".encode(), b"ok",
                                piece=piece)
            with PythonServer(operator) as server:
                result = chat(server.address, b"\n".join(lines) +
                              b"\nnot sent\n")
            self.assertEqual((result.returncode, result.stderr), (0, b""))
            self.assertEqual(result.stdout, "good morning\nGrüße, 世界\nok\n"
                             .encode())
            self.assertEqual(operator.heard, lines)
        for piece in (65536, 1):
            with self.subTest(piece=piece):
                in_time(lambda: dialogue(piece))

    def test_the_operator_ends_it(self):
        def dialogue(piece):
            operator = Operator(b"hi", b"windup", piece=piece)
            with PythonServer(operator) as server:
                result = chat(server.address, b"one\ntwo\nthree\n")
            self.assertEqual((result.returncode, result.stdout,
                              result.stderr), (0, b"hi\nwindup\n", b""))
            self.assertEqual(operator.heard, [b"one", b"two"])
        for piece in (65536, 1):
            with self.subTest(piece=piece):
                in_time(lambda: dialogue(piece))

    def test_a_goodbye_may_end_with_crlf(self):
        operator = Operator(b"windup\r\n")
        with PythonServer(operator) as server:
            result = chat(server.address, b"one\ntwo\n")
        self.assertEqual((result.returncode, result.stdout, result.stderr),
                         (0, b"windup\r\n", b""))
        self.assertEqual(operator.heard, [b"one"])
        operator = Operator(b"see you", b"I am not asked")
        with PythonServer(operator) as server:
            result = chat(server.address, b"windup\r\ntwo\r\n")
        self.assertEqual((result.returncode, result.stdout),
                         (0, b"see you\n"))
        self.assertEqual(operator.heard, [b"windup\r"])

    def test_the_operator_answers_a_goodbye(self):
        operator = Operator(b"hi", b"see you")
        with PythonServer(operator) as server:
            result = chat(server.address, b"one\nwindup\n")
        self.assertEqual((result.returncode, result.stdout),
                         (0, b"hi\nsee you\n"))
        self.assertEqual(operator.heard, [b"one", b"windup"])

    def test_words_like_the_goodbye_end_nothing(self):
        answers = [b"windu", b"windups", b"wind up", b"Windup", b" windup",
                   b"windup\rx", b"windup\r\r"]
        lines = [b"x"] + answers
        operator = Operator(*answers, b"ok")
        with PythonServer(operator) as server:
            result = chat(server.address, b"\n".join(lines))
        self.assertEqual((result.returncode, result.stdout), (
            0, b"\n".join(answers) + b"\nok\n"))
        self.assertEqual(operator.heard, lines)

    def test_the_end_of_input_ends_it(self):
        for text, heard in ((b"", b""), (b"\n\n", b""), (b"one", b"one")):
            got = []

            def hears(sock, got=got):
                data = sock.recv(100)
                if data:
                    sock.sendall(b"yes\n")
                got.append(data + read_all(sock))
                sock.sendall(b"bye")
            with self.subTest(text=text), PythonServer(hears) as server:
                result = chat(server.address, text)
            self.assertEqual((result.returncode, result.stderr), (0, b""))
            self.assertEqual(result.stdout, (b"yes\n" if heard else b"") +
                             b"bye\n")
            # Who answers in lines is sent lines.
            self.assertEqual(got, [heard and heard + b"\n"])

    def test_our_server(self):
        for where in ("127.0.0.1:0", "unix:" + self.folder() + "/s"):
            with self.subTest(where=where), \
                    Server("echo@" + where) as server:
                result = chat(server.address(), b"hello\nwindup\n")
                self.assertEqual((result.returncode, result.stdout,
                                  result.stderr),
                                 (0, b"hello\nwindup\n", b""))
                self.assertEqual(server.stop()[1]["completed"], 1)

    def test_a_long_line_to_somebody_who_answers_while_he_reads(self):
        line = os.urandom(500000).replace(b"\n", b".")
        with Server("echo@127.0.0.1:0") as server:
            result = chat(server.address(), line)
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        self.assertEqual(result.stdout.replace(b"\n", b""), line)

    def test_an_answer_that_is_the_last(self):
        """All has been said, and so it does not matter who ends first."""
        def answers(sock):
            sock.recv(100)
            with at_once() as send:
                send(sock, b"good night\n")
                sock.close()

        def dialogue():
            # The end of the input is there when the answer comes.
            with PythonServer(answers) as server, \
                    tempfile.TemporaryFile() as said:
                said.write(b"hello\n")
                said.seek(0)
                result = chat(server.address, None, stdin=said)
            self.assertEqual((result.returncode, result.stdout,
                              result.stderr), (0, b"good night\n", b""))
        for _ in range(30):
            in_time(dialogue)

    def test_every_byte_passes(self):
        said = bytes(set(range(256)) - {10}) * 30 + b"\n"
        operator = Operator(said)
        with PythonServer(operator) as server:
            result = chat(server.address, b"hello\n")
        self.assertEqual((result.returncode, result.stdout), (0, said))


class InARoom(TestCase):
    """--lines: newlines are sent, and no answers are waited for."""

    def test_lines_go_out_at_once(self):
        lines = b"one\ntwo\n\nthree"
        got = []

        def silent(sock):
            got.append(read_all(sock))
            sock.sendall(b"ann: hello\nbob: windup\nwindup\n")
        with PythonServer(silent) as server:
            result = chat(server.address, lines, "--lines")
        self.assertEqual(got, [b"one\ntwo\nthree\n"])
        self.assertEqual((result.returncode, result.stdout, result.stderr),
                         (0, b"ann: hello\nbob: windup\nwindup\n", b""))

    def test_windup_leaves(self):
        got = []
        with PythonServer(lambda sock: got.append(read_all(sock))) as server:
            result = chat(server.address, b"one\nwindup\nthree\n", "-l")
        self.assertEqual((result.returncode, got), (0, [b"one\nwindup\n"]))

    def test_ten_thousand_lines_to_an_echo(self):
        text = b"".join(b"%d %s\n" % (i, b"x" * 200) for i in range(10000))
        with Server("echo@127.0.0.1:0") as server:
            result = chat(server.address(), text, "--lines")
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        self.assertEqual(result.stdout, text)

    def test_what_others_say_comes_at_once(self):
        def dialogue():
            peer = Peer()
            with PythonServer(peer) as server, subprocess.Popen(
                    [program("WEIR_CLIENT"), "chat", server.address, "-l"],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
                try:
                    self.talk(peer, client)
                finally:
                    peer.goes()
                self.assertEqual(client.wait(DEADLINE), 0)
        in_time(dialogue)

    def talk(self, peer, client):
        for i in range(3):
            peer.says(b"ann: %d\n" % i, size=1)
            self.assertEqual(client.stdout.readline(), b"ann: %d\n" % i)
            client.stdin.write(b"me too\n")
            client.stdin.flush()
            peer.hears(b"me too\n")
        client.stdin.close()
        self.assertEqual(peer.wait().recv(10), b"")

    def test_on_a_terminal(self):
        with conversation("--lines") as (user, peer):
            user.expect(PROMPT)
            peer.says(b"* ann joins\nbob: hi ann\n")
            user.expect(b">>  * ann joins\r\n" + THEIRS +
                        b"bob: hi ann\r\n" + PROMPT)
            user.type(b"hello\n")
            peer.hears(b"hello\n")
            peer.says(b"windup\n")
            user.expect(b">>  windup\r\n" + PROMPT)
            user.type(b"windup\n")
            peer.hears(b"windup\n")
            peer.goes()
            self.assertEqual(user.end(), 0)


def line_with(file, text):
    for line in file:
        if text in line:
            return
    raise AssertionError("%r is not said" % text)


class WithoutBeingTold(TestCase):
    """The other side has lines: it ends a message with a newline."""

    def test_our_room(self):
        with Server("room@127.0.0.1:0") as server, \
                server.connect() as other:
            other.sendall(b"here\n")
            heard = other.makefile("rb")
            line_with(heard, b": here\n")
            with Terminal("chat", server.address()) as user:
                user.expect(b">>  * you are guest 2")
                user.expect(b"\r\n" + PROMPT)
                for text in (b"hello", "Grüße".encode()):
                    user.type(text + b"\n")
                    line_with(heard, b"guest 2: " + text + b"\n")
                    user.expect(b">>  guest 2: " + text + b"\r\n" + PROMPT)
                other.sendall(b"hi\n")
                user.expect(b">>  guest 1: hi\r\n" + PROMPT)
                user.type(b"windup\n")
                self.assertEqual(user.end(), 0)

    def test_our_room_from_a_script(self):
        """Which may well speak before it is greeted."""
        with Server("room@127.0.0.1:0") as server, \
                server.connect() as other:
            other.sendall(b"here\n")
            heard = other.makefile("rb")
            line_with(heard, b": here\n")
            result = chat(server.address(), b"one\ntwo\nwindup\n")
            self.assertEqual((result.returncode, result.stderr), (0, b""))
            for text in (b"one", b"two"):
                line_with(heard, b"guest 2: " + text + b"\n")

    def test_what_was_pasted_before_is_ended(self):
        """The second line waits, so that it is a message of its own."""
        def heard():
            with conversation() as (user, peer):
                user.expect(PROMPT)
                user.type(b"early\nhello\n")
                sock = peer.wait()
                peer.hears(b"early")
                peer.says(b"* welcome\n")
                rest = b""
                while not rest.endswith(b"hello\n"):
                    piece = sock.recv(100)
                    self.assertTrue(piece, rest)
                    rest += piece
                # Without the first newline: our welcome came too late.
                return rest == b"\nhello\n"
        until(heard, "a peer that is in time")

    def test_what_was_said_before_is_ended(self):
        with conversation() as (user, peer):
            user.expect(PROMPT)
            user.type(b"early\n")
            peer.hears(b"early")
            peer.says(b"* welcome\n")
            peer.hears(b"\n")
            user.expect(b">>  * welcome\r\n" + PROMPT)
            user.type(b"hello\n")
            peer.hears(b"hello\n")
            peer.says(b"windup\n")
            peer.goes()
            self.assertEqual(user.end(), 0)


class Failures(TestCase):
    """One line says what happened; exit 1."""

    def test_bad_usage(self):
        for args, *fragments in (([], "address is missing", "chat 127."),
                                 ([":1", "hello"], "'hello'", "unexpected"),
                                 ([":1", "--timeout", "x"], "--timeout"),
                                 ([":1", "--once"], "'--once'")):
            with self.subTest(args=args):
                self.check_usage(run("WEIR_CLIENT", "chat", *args),
                                 "weir-client", *fragments)

    def test_nobody_there(self):
        where = "unix:" + self.folder() + "/s"
        self.check_failure(chat(where), where, "no such socket")

    def test_no_answer(self):
        for text in (b"hello\n", b"hello\nwindup\n", b"hello"):
            peer = Peer()
            with self.subTest(text=text), PythonServer(peer) as server:
                result = chat(server.address, text, "-t", "300ms")
                self.assertEqual(peer.wait().recv(100), b"hello")
                peer.goes()
            self.check_failure(result, "no answer from", "300ms")

    def test_nobody_reads(self):
        peer = Peer()
        with PythonServer(peer) as server:
            result = chat(server.address, (b"x" * 1000 + b"\n") * 20000,
                          "-l", "-t", "300ms")
            peer.goes()
        self.check_failure(result, "no progress from", "300ms")

    def test_somebody_who_stays_after_the_end(self):
        peer = Peer()
        with PythonServer(peer) as server:
            result = chat(server.address, b"windup\n", "-t", "200ms")
            peer.goes()
        self.assertEqual((result.returncode, result.stdout, result.stderr),
                         (0, b"", b""))

    def test_the_peer_ends(self):
        """Without a goodbye, at every stage; it is heard to the end."""
        def ends(count, words):
            def handler(sock):
                for _ in range(count):
                    sock.recv(100)
                    sock.sendall(b"yes")
                sock.recv(100)
                with at_once() as send:
                    send(sock, words)
                    sock.close()
            return handler

        def dialogue(count, words):
            with PythonServer(ends(count, words)) as server:
                result = chat(server.address, b"x\n" * 5)
                self.check_failure(result, server.address,
                                   "closed the connection")
                self.assertEqual(result.stdout, b"yes\n" * count +
                                 (words and words + b"\n"))
        for count in (0, 1, 2):
            for words in (b"", b"bye", b"windup, I mean"):
                with self.subTest(count=count, words=words):
                    in_time(lambda: dialogue(count, words))

    def test_the_peer_resets(self):
        def resets(count):
            def handler(sock):
                for _ in range(count):
                    sock.recv(100)
                    sock.sendall(b"yes")
                sock.recv(100)
                reset(sock)
            return handler
        for count in (0, 1, 2):
            with self.subTest(count=count), \
                    PythonServer(resets(count)) as server:
                result = chat(server.address, b"x\n" * 5)
                self.check_failure(result, server.address,
                                   "reset the connection")
                self.assertEqual(result.stdout, b"yes\n" * count)

    def test_the_peer_resets_after_the_goodbye(self):
        """Whether it has heard it nobody knows."""
        def handler(sock):
            sock.recv(100)
            reset(sock)
        with PythonServer(handler) as server:
            self.check_failure(chat(server.address, b"windup\n"),
                               server.address, "reset the connection")

    def test_the_peer_ends_while_there_is_nothing_to_say(self):
        for words in (b"", b"good night"):
            with PythonServer(lambda sock: sock.sendall(words)) as server, \
                    subprocess.Popen(
                        [program("WEIR_CLIENT"), "chat", server.address],
                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE) as client:
                self.assertEqual(client.wait(DEADLINE), 1)
                self.assertEqual(client.stdout.read(),
                                 words and words + b"\n")
                self.assertRegex(client.stderr.read(),
                                 rb"^weir-client: \S+ closed the "
                                 rb"connection\n$")

    def test_a_refusal_can_be_read(self):
        """Though what we said was answered with a reset."""
        ours, theirs = socket.socketpair()
        theirs.sendall(b"busy, try later")
        theirs.close()
        with ours:
            fd = ours.fileno()
            result = chat("fd:%d" % fd, b"hello\nhello\n", pass_fds=(fd,))
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stdout, b"busy, try later\n")

    def test_a_standard_output_that_takes_nothing(self):
        with PythonServer(Operator(b"yes")) as server, \
                open("/dev/full", "wb") as full:
            result = chat(server.address, b"hello\n", stdout=full)
        self.check_failure(result, "standard output", "No space")

    def test_interrupted(self):
        for options in ((), ("-l",)):
            peer = Peer()
            with PythonServer(peer) as server, subprocess.Popen(
                    [program("WEIR_CLIENT"), "chat", server.address,
                     *options], stdin=subprocess.PIPE,
                    stderr=subprocess.PIPE) as client:
                client.stdin.write(b"hello\n")
                client.stdin.flush()
                peer.hears(b"hello")
                client.send_signal(signal.SIGINT)
                self.assertEqual(client.wait(DEADLINE), -signal.SIGINT)
                self.assertEqual(client.stderr.read(),
                                 b"weir-client: interrupted\n")
                peer.goes()


class OnATerminal(TestCase):
    def test_the_documents_operator(self):
        for term in TERMS:
            operator = Operator(b"good morning", "schön".encode(), b"windup")
            with self.subTest(term=term), PythonServer(operator) as server, \
                    Terminal("chat", server.address, term=term) as user:
                for line, answer in ((b"hello", b"good morning"),
                                     ("Grüße".encode(), "schön".encode()),
                                     (b"and now?", b"windup")):
                    user.expect(PROMPT)
                    user.type(line + b"\n")
                    user.expect(THEIRS + answer + b"\r\n")
                self.assertEqual(user.end(), 0)
                self.assertEqual(operator.heard, [
                    b"hello", "Grüße".encode(), b"and now?"])

    def test_our_goodbye(self):
        for term in TERMS:
            with self.subTest(term=term), \
                    conversation("-t", "300ms", term=term) as (user, peer):
                user.expect(PROMPT)
                user.type(b"windup\n")
                peer.hears(b"windup")
                user.expect(b"(still waiting, Ctrl-C to leave)\r\n")
                peer.says(b"so long")
                user.expect(b">>  so long")
                self.assertEqual(peer.wait().recv(10), b"")
                peer.goes()
                self.assertEqual(user.end(), 0)

    def test_our_output_ends_after_the_answer_to_our_goodbye(self):
        for term in TERMS:
            with self.subTest(term=term), \
                    conversation("-t", "never", term=term) as (user, peer):
                user.expect(PROMPT)
                user.type(b"hello\n")
                peer.hears(b"hello")
                peer.says(b"hi")
                user.expect(b">>  hi\r\n" + PROMPT)
                user.type(b"windup\n")
                peer.hears(b"windup")
                peer.says(b"so long")
                self.assertEqual(peer.wait().recv(10), b"")
                peer.says(b", my friend")
                user.expect(b">>  so long\r\n")
                user.expect(b"my friend")
                peer.goes()
                self.assertEqual(user.end(), 0)

    def test_an_answer_to_an_earlier_line_is_not_that_to_our_goodbye(self):
        with conversation("-t", "never") as (user, peer):
            for line in (b"one", b"two", b"three", b"windup"):
                user.expect(PROMPT)
                user.type(line + b"\n")
                peer.hears(line)
            for answer in (b"to one", b"to two", b"to three"):
                peer.says(answer)
                user.expect(THEIRS + answer)
                user.expect(b"\r\n")
            sock = peer.wait()
            self.assertEqual(select.select([sock], [], [], 0)[0], [])
            peer.says(b"so long")
            self.assertEqual(sock.recv(10), b"")
            peer.goes()
            self.assertEqual(user.end(), 0)

    def test_a_goodbye_to_somebody_who_does_not_answer_each_line(self):
        def dialogue():
            with conversation("-t", "2s") as (user, peer):
                for line in (b"one", b"two", b"windup"):
                    user.expect(PROMPT)
                    user.type(line + b"\n")
                    peer.hears(line)
                peer.says(b"so long")
                self.assertEqual(peer.wait().recv(10), b"")
                peer.says(b"I see")
                user.expect(b"I see")
                peer.goes()
                self.assertEqual(user.end(), 0)
        in_time(dialogue)

    def test_nobody_has_to_wait_for_an_answer(self):
        for term in TERMS:
            with self.subTest(term=term), \
                    conversation(term=term) as (user, peer):
                for line in (b"one", b"two", b"three"):
                    user.expect(PROMPT)
                    user.type(line + b"\n")
                    peer.hears(line)
                user.expect(PROMPT)
                peer.says(b"all at once")
                user.expect(b">>  all at once\r\n" + PROMPT)
                user.type(b"\x04")
                self.assertEqual(peer.wait().recv(10), b"")
                peer.goes()
                self.assertEqual(user.end(), 0)

    def test_what_comes_at_the_prompt_is_shown_and_the_line_kept(self):
        def dialogue(size):
            with conversation() as (user, peer):
                user.expect(PROMPT)
                user.type("grß\x1b[D".encode())
                user.expect("grß".encode())
                peer.says("späte Nachricht".encode(), size)
                user.expect(">>  späte Nachricht\r\n".encode() + PROMPT)
                user.type("ü\n".encode())
                heard = until(lambda: peer.wait().recv(100), "the line")
                if heard != "grß\x1b[Dü".encode():  # without libedit
                    self.assertEqual(heard, "grüß".encode())
        for size in (None, 1):
            with self.subTest(size=size):
                in_time(lambda: dialogue(size))

    def test_a_line_that_ends_while_a_message_comes_is_sent_once(self):
        """The client finds both at one look, which it takes when it goes on."""
        for term in TERMS:
            with self.subTest(term=term), \
                    conversation(term=term) as (user, peer):
                user.expect(PROMPT)
                user.type(b"hello")
                user.expect(b"hello")
                freeze(user.pid)
                peer.says(b"hi\n")
                user.type(b"\n")
                os.kill(user.pid, signal.SIGCONT)
                peer.hears(b"hello\n")
                user.expect(b">>  hi\r\n" + PROMPT)
                user.type(b"bye\n")
                peer.hears(b"bye\n")

    def test_a_prompt_where_nothing_is_typed_leaves_no_trace(self):
        with conversation() as (user, peer):
            user.expect(PROMPT)
            peer.says(b"hello")
            before = user.expect(b">>  hello\r\n" + PROMPT)
            user.type(b"b\x1b[Da\n")
            heard = until(lambda: peer.wait().recv(100), "the line")
            if heard != b"ab":
                self.skipTest("built without libedit")
            self.assertEqual(before, b"\b \b" * len(PROMPT))

    def test_a_draft_is_where_the_line_is_and_nowhere_else(self):
        # Its third row is there because of the wide letters.
        draft = ("a longer story about my cat, 世界 " * 5).rpartition("cat")[0]
        with conversation() as (user, peer):
            user.expect(PROMPT)
            for word in draft.split(" ")[:-1]:
                user.type(word.encode())
                user.expect(word.encode())
                user.type(b" ")
                user.expect(b" ")
            for text in (b"one", b"two", b"three"):
                peer.says(text)
                user.expect(b">>  " + text + b"\r\n" + PROMPT)
            user.type(b"!\n")
            heard = until(lambda: peer.wait().recv(1000), "the line")
            self.assertEqual(heard.decode(), draft + "!")
            peer.says(b"four")
            user.expect(b">>  four\r\n" + PROMPT)
            seen = user.screen()
            if seen[1].startswith(">> a"):
                self.skipTest("built without libedit")
            self.assertEqual(seen[1:4], [">>  one", ">>  two", ">>  three"])
            self.assertEqual("".join(seen).replace(" ", "").count(
                "alongerstory"), 5)
            self.assertEqual(seen[-2:], [">>  four", ">>"])

    def test_pasted_lines_are_messages_of_their_own(self):
        """Even the goodbye; for a peer that reads as it comes."""
        def heard(term):
            got, reading = [], threading.Event()

            def reads(sock):
                got.append(read_pieces(sock, len("thankssee youwindup"),
                                       reading.set))
                sock.sendall(b"windup")
            with PythonServer(reads) as server, \
                    Terminal("chat", server.address, term=term) as user:
                user.expect(PROMPT)
                reading.wait(DEADLINE)
                user.type(b"thanks\nsee you\nwindup\n")
                user.expect(b">>  windup\r\n")
                self.assertEqual(user.end(), 0)
            return got[0]
        for term in TERMS:
            with self.subTest(term=term):
                self.assertEqual(
                    until(lambda: heard(term), "a peer that reads in time"),
                    [b"thanks", b"see you", b"windup"])

    def test_a_pasted_tab_arrives(self):
        with conversation() as (user, peer):
            user.expect(PROMPT)
            user.type(b"tab\there\n")
            self.assertEqual(until(lambda: peer.wait().recv(100), "the line"),
                             b"tab\there")

    def test_what_it_is_connected_to(self):
        with conversation() as (user, peer):
            host, port = peer.wait().getsockname()
            user.expect(b"Connected to %s:%d, my pid is %d\r\n" %
                        (host.encode(), port, user.pid))
            user.expect(PROMPT)
            peer.goes()
            user.expect(b" closed the connection\r\n")
            self.assertEqual(user.end(), 0)

    def test_a_message_of_several_lines(self):
        with conversation() as (user, peer):
            user.expect(PROMPT)
            peer.says(b"one\ntwo\n\nthree")
            user.expect(b">>  one\r\n>>  two\r\n>>  \r\n>>  three\r\n" + PROMPT)

    def test_control_characters_are_shown_not_obeyed(self):
        def dialogue(size):
            with conversation() as (user, peer):
                user.expect(PROMPT)
                peer.says("\x1b[2J\r\u009b1m🙂".encode() + b"\xe2\x82", size)
                user.expect("\\x1b[2J\\x0d\\xc2\\x9b1m🙂\\xe2\\x82\r\n"
                            .encode() + PROMPT)
        for size in (None, 1):
            with self.subTest(size=size):
                in_time(lambda: dialogue(size))

    def test_interrupted_at_the_prompt(self):
        for term in TERMS:
            for how in (b"\x03", signal.SIGTERM, signal.SIGHUP):
                with self.subTest(term=term, how=how), \
                        conversation(term=term) as (user, peer):
                    user.expect(PROMPT)
                    user.type(b"half a line")
                    user.expect(b"line")
                    if isinstance(how, bytes):
                        user.type(how)
                    else:
                        os.kill(user.pid, how)
                    user.expect(b"\r\nweir-client: interrupted\r\n")
                    self.assertEqual(user.end(), -signal.SIGINT if
                                     isinstance(how, bytes) else -how)
                    self.assertEqual(peer.wait().recv(100), b"")

    def test_a_key_that_is_not_complete_holds_nothing_up(self):
        with conversation() as (user, peer):
            user.expect(PROMPT)
            user.type(b"b\x1b[Da\n")
            if until(lambda: peer.wait().recv(100), "the line") != b"ab":
                self.skipTest("built without libedit")
            user.expect(PROMPT)
            for key in (b"\x1b", b"\x1b5", b"\x1bx", b"\x1bh", b"\x18",
                        b"\x16", b"\x12", b"\xc3", b"\xff"):
                with self.subTest(key=key):
                    user.type(key)
                    for text in (b"one", b"two"):
                        peer.says(text)
                        user.expect(b">>  " + text + b"\r\n" + PROMPT)
                    user.type(b"hello\n")
                    peer.hears(b"hello")
                    user.expect(PROMPT)
            user.type(b"\x1b")
            os.kill(user.pid, signal.SIGTERM)
            self.assertEqual(user.end(), -signal.SIGTERM)

    def test_a_key_that_is_not_complete_is_no_end(self):
        """Of those that a person has chosen."""
        settings = self.folder() + "/editrc"
        with open(settings, "w", encoding="ascii") as file:
            file.write("bind ^T ed-quoted-insert\n")
        peer = Peer()
        with PythonServer(peer) as server, \
                Terminal("chat", server.address, shell=
                         'exec env EDITRC=%s "$@"' % settings) as user:
            user.expect(PROMPT)
            user.type(b"\x14")
            for text in (b"one", b"two", b"three"):
                peer.says(text)
                user.expect(b">>  " + text + b"\r\n" + PROMPT)
            user.type(b"hello\n")
            self.assertIn(until(lambda: peer.wait().recv(100), "the line"),
                          (b"hello", b"\x14hello"))  # without libedit
            peer.goes()

    def test_the_peer_goes_at_the_prompt(self):
        for term in TERMS:
            for rude in (False, True):
                with self.subTest(term=term, rude=rude), \
                        conversation(term=term) as (user, peer):
                    user.expect(PROMPT)
                    user.type(b"half a line")
                    user.expect(b"line")
                    if rude:
                        peer.wait().sendall(b"x")
                        user.expect(b">>  x")
                        reset(peer.wait())
                    peer.goes()
                    if rude:
                        user.expect(b"\r\nweir-client: ")
                        user.expect(b"reset the connection\r\n")
                    else:
                        user.expect(b" closed the connection\r\n")
                    self.assertEqual(user.end(), 1 if rude else 0)

    def test_stopped_and_continued(self):
        for term in TERMS:
            peer = Peer()
            with self.subTest(term=term), PythonServer(peer) as server, \
                    Terminal("chat", server.address, term=term,
                             shell='set -m; "$@"; fg') as user:
                user.expect(PROMPT)
                user.type(b"\x1a")
                user.type(b"hello\n")
                peer.hears(b"hello")
                # The prompt comes first: an end of input that is typed
                # before it is not one to the line editor.
                peer.says(b"hi")
                user.expect(b">>  hi\r\n" + PROMPT)
                user.type(b"\x04")
                self.assertEqual(peer.wait().recv(10), b"")
                peer.goes()
                self.assertEqual(user.end(), 0)

    def test_a_terminal_that_is_resized(self):
        with conversation() as (user, peer):
            user.expect(PROMPT)
            user.resize(10)
            user.type(b"a line that is longer than that\n")
            peer.hears(b"a line that is longer than that")
            peer.says(b"so is this answer to it")
            user.expect(b">>  so is this answer to it")

    def test_a_terminal_that_goes_away(self):
        for term in TERMS:
            with self.subTest(term=term), \
                    conversation(term=term) as (user, peer):
                user.expect(PROMPT)
                user.hang_up()
                self.assertEqual(peer.wait().recv(100), b"")
                self.assertEqual(user.end(), -signal.SIGHUP)

    def test_a_unix_socket(self):
        with conversation(path=self.folder() + "/s") as (user, peer):
            user.expect(PROMPT)
            user.type(b"hello\n")
            peer.hears(b"hello")
            peer.says(b"hi")
            user.expect(b">>  hi\r\n" + PROMPT)
            peer.goes()
            user.expect(b"closed the connection")
            self.assertEqual(user.end(), 0)


if __name__ == "__main__":
    main()
