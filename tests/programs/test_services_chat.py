#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The chat service of weir-server: an operator at a terminal, a pipe or
nowhere, one conversation at a time, and clients that wait for theirs."""

import os
import pty
import re
import socket
import threading

import documents
from weirtest import (DEADLINE, Server, TestCase, main, read_all,
                      read_exactly, reset, until)

WAIT = b"Please wait, somebody else is talking.\n"
TURN = b"It is your turn.\n"
LEFT = b"The operator has left.\n"


class Base(TestCase):
    listeners = 1

    def serve(self, *args, count=1):
        """With an operator whose keyboard is what open_stdin() gives."""
        theirs = self.open_stdin()
        server = Server(*["chat@127.0.0.1:0"] * count, *args, stdin=theirs)
        os.close(theirs)
        return server

    def type(self, text):
        os.write(self.keyboard, text)

    def hang_up(self):
        os.close(self.keyboard)
        self.keyboard = os.open(os.devnull, os.O_WRONLY)

    def setUp(self):
        self.keyboard = -1
        self.addCleanup(lambda: self.keyboard >= 0 and
                        os.close(self.keyboard))

    def enter(self, server, i=0):
        """A client that has the conversation."""
        sock = server.connect(i)
        name = "%s:%d at %s" % (*sock.getsockname(), server.address(i))
        server.out.expect(b"^chat: talking with %s\n" %
                          re.escape(name).encode())
        return sock

    def wait_in_line(self, server, i=0):
        sock = server.connect(i)
        self.expect(sock, WAIT)
        return sock

    def expect(self, sock, data):
        self.assertEqual(read_exactly(sock, len(data)), data)

    def ask(self, server, sock, message):
        sock.sendall(message)
        server.out.expect(b"^>> " + re.escape(message) + b"\n")

    def end(self, server, **expected):
        status, counts = server.stop()
        self.assertEqual(status, 0)
        self.check_sum(counts)
        self.assertEqual({key: counts[key] for key in expected}, expected)


class AtATerminal(Base):
    """Lines leave as they are typed."""

    def open_stdin(self):
        self.keyboard, theirs = pty.openpty()
        return theirs

    def type_and_see(self, text):
        """Until the terminal shows it, so that it lies there by now."""
        self.type(text)
        shown = b""
        while text.replace(b"\n", b"\r\n") not in shown:
            shown += os.read(self.keyboard, 1000)

    def test_a_conversation(self):
        with self.serve() as server:
            with self.enter(server) as sock:
                for i in range(5):
                    self.ask(server, sock, b"question %d" % i)
                    self.type(b"answer %d\n" % i)
                    self.expect(sock, b"answer %d" % i)
                # Nobody need wait for the other.
                self.type("one\nzwölf\n".encode())
                self.expect(sock, "onezwölf".encode())
                self.type(b"windup\n")
                self.assertEqual(read_all(sock), b"windup")
            self.end(server, completed=1)

    def test_the_documents_client(self):
        heard = []
        with self.serve() as server:
            client = threading.Thread(target=lambda: heard.extend(
                documents.chat(server.address(), [b"Hi", b"Bye", b"windup"])))
            client.start()
            for message, answer in ((b"Hi", b"hello\n"), (b"Bye", b"bye\n")):
                server.out.expect(b"^>> " + message)
                self.type(answer)
            server.out.expect(rb"^>> windup\nchat: ended: ")
            client.join(DEADLINE)
            self.assertEqual(heard, [b"hello", b"bye"])
            self.end(server, completed=1)

    def test_bytes_are_shown_escaped_and_sent_as_they_are(self):
        with self.serve() as server:
            with self.enter(server) as sock:
                sock.sendall(b"\xff\x1b[2J\xc3\xa4\r\n")
                server.out.expect(rb"^>> \\xff\\x1b\[2J\xc3\xa4\n")
                self.type(b"\xfe\xc3\xa4\n")
                self.expect(sock, b"\xfe\xc3\xa4")
            self.end(server, accepted=1)

    def test_in_one_byte_pieces_each_is_shown(self):
        with self.serve() as server:
            with self.enter(server) as sock:
                for i in range(6):
                    sock.sendall(b"pieces"[i:i + 1])
                until(lambda: b"".join(re.findall(
                    rb"^>> (\w+)$", server.out.data, re.M)) == b"pieces",
                    "all pieces")
                self.type(b"still here\n")
                self.expect(sock, b"still here")
            self.end(server, completed=1)

    def test_the_others_wait_and_are_told(self):
        with self.serve() as server:
            first = self.enter(server)
            second, third = (self.wait_in_line(server) for _ in range(2))
            server.out.expect(rb"^chat: waiting: 127\.0\.0\.1:\d+ at ")
            # What they say meanwhile is kept, and what is typed is not
            # for them.
            second.sendall(b"second was here")
            self.ask(server, first, b"first")
            self.assertNotIn(b"second was", server.out.data)
            self.type(b"for the first\n")
            self.expect(first, b"for the first")
            self.ask(server, first, b"windup")
            self.assertEqual(read_all(first), b"")
            server.out.expect(rb"^>> second was here\n")
            self.type(b"for the second\nwindup\n")
            self.assertEqual(read_all(second),
                             TURN + b"for the second" + b"windup")
            self.ask(server, third, b"third")
            self.type(b"windup\n")
            self.assertEqual(read_all(third), TURN + b"windup")
            for sock in (first, second, third):
                sock.close()
            self.end(server, completed=3)

    def test_two_listeners_never_hear_each_other(self):
        with self.serve(count=2) as server:
            here, there = self.enter(server, 0), self.wait_in_line(server, 1)
            there.sendall(b"from there")
            self.ask(server, here, b"from here")
            self.type(b"to here\n")
            self.expect(here, b"to here")
            self.assertNotIn(b"from there", server.out.data)
            self.type(b"windup\n")
            self.assertEqual(read_all(here), b"windup")
            server.out.expect(rb"^>> from there\n")
            self.type(b"to there\nwindup\n")
            self.assertEqual(read_all(there), TURN + b"to therewindup")
            here.close()
            there.close()
            self.end(server, completed=2)

    def test_what_was_typed_for_nobody_reaches_nobody(self):
        with self.serve() as server:
            self.type_and_see(b"before anybody came\n")
            with self.enter(server) as sock:
                self.type(b"you\n")
                self.expect(sock, b"you")
                # Begun in this conversation, ended in the next.
                self.type_and_see(b"the secret of the first ")
            server.out.expect(rb"^chat: ended: ")
            with self.enter(server) as sock:
                self.type(b"you too\n")
                self.expect(sock, b"you too")
            server.out.expect(rb"(?s)ended: .*ended: ")
            self.type_and_see(b"nobody\n")
            with self.enter(server) as sock:
                self.type(b"and you\nwindup\n")
                self.assertEqual(read_all(sock), b"and youwindup")
            self.end(server, completed=3)

    def test_the_end_of_the_operators_input(self):
        with self.serve() as server:
            talking, waiting = self.enter(server), self.wait_in_line(server)
            self.type(b"\x04")
            self.assertEqual(read_all(talking), LEFT)
            self.assertEqual(read_all(waiting), LEFT)
            with server.connect() as late:
                self.assertEqual(read_all(late), LEFT)
            server.out.expect(rb"^chat: the operator has left\n")
            self.assertNotIn(b"your turn", server.out.data)
            talking.close()
            waiting.close()
            self.end(server, completed=3)

    def test_a_terminal_that_hangs_up(self):
        with self.serve() as server:
            with self.enter(server) as sock:
                self.hang_up()
                self.assertEqual(read_all(sock), LEFT)
            self.end(server, completed=1)

    def test_who_vanishes_at_any_stage_makes_room_for_the_next(self):
        def half_close(sock):
            sock.shutdown(socket.SHUT_WR)
            self.assertIn(read_all(sock), (b"", TURN))
            sock.close()

        with self.serve() as server:
            for leave in (reset, socket.socket.close, half_close):
                leave(self.enter(server))
                sock = self.enter(server)
                self.ask(server, sock, b"a question")
                leave(sock)
                first = self.enter(server)
                leave(self.wait_in_line(server))
                server.out.expect(rb"^chat: left the line: ")
                waiting = self.wait_in_line(server)
                waiting.sendall(b"said before the turn")
                leave(waiting)
                last = self.wait_in_line(server)
                first.close()
                self.expect(last, TURN)
                self.ask(server, last, b"the last asks")
                self.type(b"windup\n")
                self.assertEqual(read_all(last), b"windup")
                last.close()
            self.end(server, accepted=18, cut=0, timed_out=0)

    def test_silent_clients_hold_no_worker(self):
        with self.serve("echo@127.0.0.1:0", "-w", "1") as server:
            sock = self.enter(server)
            waiting = [self.wait_in_line(server) for _ in range(50)]
            with server.connect(1) as other:
                other.sendall(b"echo")
                self.expect(other, b"echo")
            for each in (sock, *waiting):
                each.close()
            self.end(server, accepted=52)

    def test_what_waits_for_its_turn_is_never_late(self):
        with self.serve("--read-timeout", "100ms") as server:
            sock, other = self.enter(server), self.wait_in_line(server)
            other.sendall(b"early")
            other.settimeout(0.5)
            with self.assertRaises(TimeoutError):
                other.recv(1)
            other.settimeout(DEADLINE)
            sock.close()
            server.out.expect(rb"^>> early\n")
            other.close()
            self.end(server, timed_out=0)

    def test_who_talks_too_much_in_the_line_is_sent_away(self):
        with self.serve() as server:
            sock, other = self.enter(server), self.wait_in_line(server)
            other.sendall(b"x" * 16383)
            server.out.expect(rb"^chat: waiting")
            other.sendall(b"y")
            self.assertEqual(read_all(other),
                             b"That is too much to wait with.\n")
            other.close()
            sock.close()
            self.end(server, completed=2)

    def test_an_operator_who_thinks_does_not_delay_a_stop(self):
        with self.serve("-t", "never") as server:
            talking, waiting = self.enter(server), self.wait_in_line(server)
            self.ask(server, talking, b"are you there")
            self.type(b"half a li")
            talking.settimeout(DEADLINE)
            server.process.terminate()
            self.assertEqual(read_all(talking), b"")
            self.assertEqual(read_all(waiting), b"")
            talking.close()
            waiting.close()
            status, counts = server.end()
            self.assertEqual((status, counts["completed"]), (0, 2))


class FromAPipe(Base):
    """Each line answers a message, and is not read before."""

    def open_stdin(self):
        theirs, self.keyboard = os.pipe()
        return theirs

    def test_a_prepared_conversation(self):
        with self.serve() as server:
            self.type(b"one\r\ntwo\n\nwindup\nfour\nfive")
            self.hang_up()
            self.assertEqual(
                documents.chat(server.address(), [b"1", b"2", b"3", b"no"]),
                [b"one", b"two", b"windup"])
            self.assertEqual(
                documents.chat(server.address(), [b"4", b"5", b"6"]),
                [b"four", b"five", LEFT])
            self.assertEqual(documents.chat(server.address(), [b"7"]), [LEFT])
            self.end(server, accepted=3)

    def test_an_answer_that_comes_too_late_reaches_nobody(self):
        with self.serve() as server:
            for i in range(10):
                with self.enter(server) as sock:
                    self.ask(server, sock, b"number %d" % i)
                server.out.expect(rb"(?s)(^chat: ended.*){%d}" % (i + 1))
            with self.enter(server) as sock:
                self.ask(server, sock, b"the last")
                self.type(b"too late\n" * 10 + b"to the last\n")
                self.expect(sock, b"to the last")
            server.out.expect(rb"(?s)(^chat: not sent: the client has left\n"
                              rb".*){10}")
            self.end(server, completed=11)

    def test_a_long_line_comes_in_pieces(self):
        with self.serve() as server:
            with self.enter(server) as sock:
                self.type(b"z" * 2500 + b"\n")
                for count in (1024, 1024, 452):
                    sock.sendall(b"more")
                    self.expect(sock, b"z" * count)
            self.end(server, accepted=1)

    def test_two_listeners_and_their_clients(self):
        with self.serve(count=2) as server:
            answers = []

            def talk(i):
                answers.append((i, documents.chat(
                    server.address(i), [b"from %d" % i, b"windup"])))
            here = threading.Thread(target=talk, args=(0,))
            there = threading.Thread(target=talk, args=(1,))
            here.start()
            there.start()
            for _ in range(2):
                self.type(b"hello\n")
            here.join(DEADLINE)
            there.join(DEADLINE)
            heard = sorted(answer for _, answer in answers)
            # One of them may have had to wait.
            self.assertIn([b"hello"], heard)
            self.end(server, accepted=2)


class Nobody(Base):
    def open_stdin(self):
        return os.open(os.devnull, os.O_RDONLY)

    def test_without_an_operator_clients_are_told(self):
        with self.serve() as server:
            for _ in range(3):
                with server.connect() as sock:
                    sock.sendall(b"anybody?")
                    self.assertEqual(read_all(sock), LEFT)
            self.end(server, completed=3)


if __name__ == "__main__":
    main()
