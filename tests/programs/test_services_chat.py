#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The chat service of weir-server: an operator at a terminal, a pipe or
nowhere, one conversation at a time, and clients that wait for theirs."""

import contextlib
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import socket
import threading

import documents
from weirtest import (DEADLINE, Server, Terminal, TestCase, built_with,
                      connect, freeze, main, read_all, read_exactly,
                      read_pieces, reset, until)

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
        server.out.expect(rb"^chat: (\d: )?talking with %s\n" %
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
        server.out.expect(b"^>>  " + re.escape(message) + b"\n")

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
                # Nobody need wait for the other, and lines that are typed at
                # once stay apart on their way.
                lines = [b"one", "zwölf".encode()]

                def heard():
                    return read_pieces(
                        sock, len(b"".join(lines)),
                        lambda: self.type(b"\n".join(lines) + b"\n"))
                self.assertEqual(until(heard, "a client that reads in time"),
                                 lines)
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
                server.out.expect(b"^>>  " + message)
                self.type(answer)
            # The document's client waits for an answer to its last word.
            server.out.expect(rb"^>>  windup\n")
            self.type(b"windup\n")
            client.join(DEADLINE)
            self.assertEqual(heard, [b"hello", b"bye", b"windup"])
            server.out.expect(rb"^chat: ended: ")
            self.end(server, completed=1)

    def test_bytes_are_shown_escaped_and_sent_as_they_are(self):
        with self.serve() as server:
            with self.enter(server) as sock:
                sock.sendall(b"\xff\x1b[2J\xc3\xa4\r\n")
                server.out.expect(rb"^>>  \\xff\\x1b\[2J\xc3\xa4\n")
                self.type(b"\xfe\xc3\xa4\n")
                self.expect(sock, b"\xfe\xc3\xa4")
            self.end(server, accepted=1)

    def test_in_one_byte_pieces_each_is_shown(self):
        with self.serve() as server:
            with self.enter(server) as sock:
                for i in range(6):
                    sock.sendall(b"pieces"[i:i + 1])
                until(lambda: b"".join(re.findall(
                    rb"^>>  (\w+)$", server.out.data, re.M)) == b"pieces",
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
            self.type(b"goodbye\n")
            self.assertEqual(read_all(first), b"goodbye")
            server.out.expect(rb"^>>  second was here\n")
            self.type(b"for the second\nwindup\n")
            self.assertEqual(read_all(second),
                             TURN + b"for the second" + b"windup")
            self.ask(server, third, b"third")
            self.type(b"windup\n")
            self.assertEqual(read_all(third), TURN + b"windup")
            for sock in (first, second, third):
                sock.close()
            self.end(server, completed=3)

    def test_two_listeners_talk_at_once_and_never_hear_each_other(self):
        with self.serve(count=2) as server:
            here, there = self.enter(server, 0), self.enter(server, 1)
            server.out.expect(rb"^chat: 2: talking with ")
            for i in range(3):
                here.sendall(b"from here %d" % i)
                server.out.expect(rb"^1>>  from here %d\n" % i)
                there.sendall(b"from there %d" % i)
                server.out.expect(rb"^2>>  from there %d\n" % i)
                self.type(b"/1 to here %d\n" % i)
                self.expect(here, b"to here %d" % i)
                # Without a number: where the last line went.
                self.type(b"and again\n/2 to there %d\n" % i)
                self.expect(here, b"and again")
                self.expect(there, b"to there %d" % i)
            self.type(b"/3 is no number\n")
            self.expect(there, b"/3 is no number")
            self.type(b"/1\nwindup\n")
            self.assertEqual(read_all(here), b"windup")
            # The other goes on, and its line needs no number.
            self.type(b"still here\n")
            self.expect(there, b"still here")
            self.type(b"/1 anybody?\n")
            server.out.expect(rb"^chat: nobody is there to talk with at 1\n")
            self.type(b"windup\n")
            self.assertEqual(read_all(there), b"windup")
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

    def test_a_client_that_vanishes_at_any_stage_makes_room_for_the_next(self):
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
            server.out.expect(rb"^>>  early\n")
            other.close()
            self.end(server, timed_out=0)

    def test_a_client_that_talks_too_much_in_the_line_is_sent_away(self):
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

    def test_each_message_has_its_answer(self):
        with self.serve() as server:
            with self.enter(server) as sock:
                self.ask(server, sock, b"one")
                self.ask(server, sock, b"two")
                self.type(b"first\nsecond\n")
                self.expect(sock, b"firstsecond")
            self.end(server, completed=1)

    def test_no_answer_reaches_the_next_client(self):
        with self.serve() as server:
            with self.enter(server) as sock:
                self.ask(server, sock, b"one")
                self.ask(server, sock, b"two")
            server.out.expect(rb"^chat: ended")
            with self.enter(server) as sock:
                self.ask(server, sock, b"three")
                self.ask(server, sock, b"four")
                self.type(b"first\nsecond\nthird\nwindup\n")
                self.assertEqual(read_all(sock), b"thirdwindup")
            self.end(server, completed=2)

    def test_a_goodbye_has_its_answer(self):
        with self.serve() as server:
            with self.enter(server) as sock:
                self.ask(server, sock, b"one")
                self.ask(server, sock, b"windup")
                self.type(b"first\nsee you\n")
                self.assertEqual(read_all(sock), b"firstsee you")
            self.end(server, completed=1)

    def test_a_long_line_is_one_answer(self):
        with self.serve() as server:
            for length in (1024, 2500):
                with self.enter(server) as sock:
                    self.ask(server, sock, b"say %d" % length)
                    self.ask(server, sock, b"and %d" % length)
                    self.type(b"z" * length + b"\nwindup\n")
                    self.assertEqual(read_all(sock),
                                     b"z" * length + b"windup")
            self.end(server, completed=2)

    def test_a_long_line_that_comes_too_late_reaches_nobody(self):
        with self.serve() as server:
            with self.enter(server) as sock:
                self.ask(server, sock, b"one")
            server.out.expect(rb"^chat: ended")
            with self.enter(server) as sock:
                self.ask(server, sock, b"two")
                # Its last piece is no goodbye.
                self.type(b"z" * 2048 + b"windup\nsecond\n")
                self.expect(sock, b"second")
                self.ask(server, sock, b"three")
                self.type(b"z" * 2048 + b"windup\n")
                self.expect(sock, b"z" * 2048 + b"windup")
                self.ask(server, sock, b"four")
            self.end(server, completed=2)

    def test_a_message_that_could_not_be_shown_has_no_answer(self):
        shown, write_end = os.pipe()
        self.addCleanup(os.close, shown)
        seen = b""

        def is_shown():
            return select.select([shown], [], [], 0)[0]

        def read_until(what):
            nonlocal seen
            while what not in seen:
                until(is_shown, "%r" % what)
                piece = os.read(shown, 4096)
                self.assertTrue(piece, seen)
                seen += piece
            before, seen = seen.split(what, 1)
            return before

        theirs = self.open_stdin()
        with Server("chat@127.0.0.1:0", stdin=theirs, stdout=write_end,
                    ready=False) as server:
            os.close(theirs)
            os.close(write_end)
            read_until(b"listening chat@")
            where = read_until(b"\n").decode()
            read_until(b"ready\n")
            # A pipe of one page has room for one write.
            fcntl.fcntl(shown, fcntl.F_SETPIPE_SZ, 4096)
            with connect(where) as sock:
                read_until(b"talking with ")
                sock.sendall(b"one")
                until(is_shown, "the message")
                sock.sendall(b"two")
                server.logs(rb"1 line was lost")
                read_until(b">>  one\n")
            read_until(b"chat: ended: ")
            with connect(where) as sock:
                read_until(b"talking with ")
                sock.sendall(b"three")
                self.assertNotIn(b"two", read_until(b">>  three\n"))
                self.type(b"to one\nto three\n")
                self.expect(sock, b"to three")

    def test_messages_that_wait_for_an_answer_are_limited(self):
        with self.serve() as server:
            with self.enter(server) as sock:
                def say():
                    """A message for each read, if it can be shown."""
                    sock.sendall(b"x" * 1024 * 10)
                    return select.select([sock], [], [], 0)[0]
                until(say, "the refusal")
                self.assertEqual(read_all(sock),
                                 b"Too many messages wait for an answer.\n")
            server.out.expect(rb"^chat: ended")
            count = server.out.data.count(b">>  x")
            # The operator is about to answer one of them.
            self.assertIn(count, (1024, 1025))
            self.type(b"late\n")
            server.out.expect(rb"^chat: not sent: the client has left\n")
            with self.enter(server) as sock:
                self.ask(server, sock, b"hello")
                self.type(b"late\n" * (count - 1) + b"to the last\n")
                self.expect(sock, b"to the last")
            self.end(server, completed=2)

    def test_two_listeners_and_their_clients(self):
        with self.serve(count=2) as server:
            here, there = self.enter(server, 0), self.enter(server, 1)
            # Who has waited longest is answered first.
            there.sendall(b"from there")
            server.out.expect(rb"^2>>  from there\n")
            here.sendall(b"from here")
            server.out.expect(rb"^1>>  from here\n")
            self.type(b"to there\nto here\nwindup\nwindup\n")
            self.expect(there, b"to there")
            self.expect(here, b"to here")
            for sock in (here, there):
                sock.sendall(b"more")
                self.assertEqual(read_all(sock), b"windup")
                sock.close()
            self.end(server, completed=2)

    def test_an_answer_that_comes_too_late_is_not_that_to_another(self):
        with self.serve(count=3) as server:
            first, second, third = (self.enter(server, i) for i in range(3))
            for number, sock in enumerate((first, second, third), 1):
                sock.sendall(b"hello")
                server.out.expect(rb"^%d>>  hello\n" % number)
            third.close()
            server.out.expect(rb"^chat: 3: ended")
            self.type(b"to 1\nto 2\nto 3\n")
            self.expect(first, b"to 1")
            self.expect(second, b"to 2")
            server.out.expect(rb"^chat: not sent: the client has left\n")
            first.close()
            second.close()
            self.end(server, completed=3)


class AtAConsole(TestCase):
    """Both sides of the server are the operator's terminal: there is a prompt,
    and what comes is printed above the line that is being typed."""

    def serve(self, *services):
        terminal = Terminal(*(services or ("chat@127.0.0.1:0",)),
                            program_of="WEIR_SERVER")
        self.addCleanup(terminal.__exit__)
        terminal.where = []
        for _ in services or (1,):
            terminal.expect(b"listening ")
            where = terminal.expect(b"\r\n").decode()
            terminal.where.append(where.split("@", 1)[1])
        terminal.expect(b"ready\r\n")
        return terminal

    def enter(self, terminal, i=0, prompt=b">> "):
        sock = connect(terminal.where[i])
        self.addCleanup(sock.close)
        terminal.expect(b"talking with 127.0.0.1:%d at " %
                        sock.getsockname()[1])
        if prompt:
            terminal.expect(prompt)
        return sock

    def test_a_conversation_as_in_the_document(self):
        terminal = self.serve()
        sock = self.enter(terminal)
        sock.sendall(b"hello from client")
        terminal.expect(b">>  hello from client\r\n")
        terminal.expect(b">> ")
        terminal.type(b"hello from server\n")
        self.assertEqual(sock.recv(100), b"hello from server")
        sock.sendall(b"windup")
        terminal.expect(b">>  windup\r\n")
        terminal.expect(b">> ")
        terminal.type(b"windup\n")
        self.assertEqual(read_all(sock), b"windup")
        terminal.expect(b"chat: ended: ")
        # The log's lines are not between those of the talk.
        self.assertNotIn(b" info ", terminal.all)
        self.stop(terminal)

    def stop(self, terminal):
        os.kill(terminal.pid, signal.SIGTERM)
        terminal.expect(b"drained ")
        self.assertEqual(terminal.end(), 0)

    @built_with("libedit")
    def test_what_comes_does_not_tear_what_is_being_typed(self):
        terminal = self.serve()
        sock = self.enter(terminal)
        terminal.type("I am typing a lo".encode())
        terminal.expect(b"typing a lo")
        sock.sendall(b"an interruption")
        # First the draft is taken away, then it comes back below.
        self.assertNotIn(b"typing", terminal.expect(b">>  an interruption\r\n"))
        terminal.expect(b">> ")
        terminal.expect(b"I am typing a lo")
        terminal.type(b"ng line\n")
        self.assertEqual(sock.recv(100), b"I am typing a long line")
        self.stop(terminal)

    def test_lines_that_are_pasted_stay_apart(self):
        terminal = self.serve()
        sock = self.enter(terminal)

        def heard():
            return read_pieces(
                sock, len("onetwothree"),
                lambda: terminal.type(b"one\ntwo\nthree\n"))
        self.assertEqual(until(heard, "a client that reads in time"),
                         [b"one", b"two", b"three"])
        self.stop(terminal)

    def test_a_draft_is_not_for_the_next_caller(self):
        terminal = self.serve()
        first = self.enter(terminal)
        terminal.type(b"the secret of the first ")
        terminal.expect(b"first ")
        first.close()
        terminal.expect(b"chat: ended: ")
        sock = self.enter(terminal)
        terminal.type(b"you too\n")
        self.assertEqual(sock.recv(100), b"you too")
        self.stop(terminal)

    def test_the_end_of_input_ends_this_conversation_only(self):
        terminal = self.serve()
        first = self.enter(terminal)
        second = connect(terminal.where[0])
        self.addCleanup(second.close)
        self.assertEqual(second.recv(100), WAIT)
        terminal.type(b"\x04")
        self.assertEqual(read_all(first), LEFT)
        self.assertEqual(second.recv(100), TURN)
        terminal.expect(b"talking with ")
        terminal.expect(b">> ")
        terminal.type(b"\x04")
        self.assertEqual(read_all(second), LEFT)
        third = self.enter(terminal)
        terminal.type(b"welcome\n")
        self.assertEqual(third.recv(100), b"welcome")
        self.stop(terminal)

    @built_with("libedit")
    def test_an_end_of_input_typed_while_the_editor_is_hidden(self):
        # The terminal makes this of a Ctrl-D when the editor takes it back.
        terminal = self.serve()
        sock = self.enter(terminal)
        terminal.type(b"\0")
        self.assertEqual(read_all(sock), LEFT)
        self.stop(terminal)

    def test_two_ports_have_a_conversation_each(self):
        terminal = self.serve("chat@127.0.0.1:0", "chat@127.0.0.1:0")
        here = self.enter(terminal, 0, b"1>> ")
        there = self.enter(terminal, 1, None)
        there.sendall(b"from there")
        terminal.expect(b"2>>  from there\r\n")
        terminal.expect(b"1>> ")
        terminal.type(b"to here\n")
        self.assertEqual(here.recv(100), b"to here")
        terminal.type(b"/2 to there\n")
        self.assertEqual(there.recv(100), b"to there")
        terminal.expect(b"2>> ")
        terminal.type(b"and more\n")
        self.assertEqual(there.recv(100), b"and more")
        self.stop(terminal)

    def test_a_terminal_that_hangs_up(self):
        terminal = self.serve()
        sock = self.enter(terminal)
        terminal.hang_up()
        # SIGHUP stops the server as well; either is the end.
        self.assertIn(read_all(sock), (LEFT, b""))

    @built_with("libedit")
    def test_it_goes_on_after_it_was_stopped(self):
        terminal = self.serve()
        sock = self.enter(terminal)
        terminal.type(b"half a ")
        terminal.expect(b"half a ")
        freeze(terminal.pid)
        # What a shell does, so that it can be used meanwhile.
        terminal.set_canonical()
        os.kill(terminal.pid, signal.SIGCONT)
        until(lambda: not terminal.is_canonical(), "the editor's mode")
        terminal.type(b"line\n")
        self.assertEqual(sock.recv(100), b"half a line")
        self.stop(terminal)

    def serve_by(self, shell, **kwargs):
        """A shell that starts the server."""
        terminal = Terminal("chat@127.0.0.1:0", program_of="WEIR_SERVER",
                            shell=shell, **kwargs)
        self.addCleanup(terminal.__exit__)
        terminal.expect(b"pid ")
        terminal.server_pid = int(terminal.expect(b"\r\n"))
        self.addCleanup(self.kill_if_it_goes_on, terminal)
        terminal.expect(b"listening chat@")
        terminal.where = [terminal.expect(b"\r\n").decode()]
        return terminal

    def serve_in_a_shell(self, shell, then, term="xterm"):
        """One that stops the server by Ctrl-Z, lets it go on in the background
        and does then something.  Gives the client of a conversation, too."""
        terminal = self.serve_by("""exec %s -c 'set -m; "$@"; stty sane; bg
                                 echo now in the background; %s' sh "$@"
                                 """ % (shell, then), term=term)
        sock = self.enter(terminal)
        terminal.type(b"a draft")
        terminal.expect(b"draft")
        terminal.type(b"\x1a")
        terminal.expect(b"now in the background\r\n")
        return terminal, sock

    def kill_if_it_goes_on(self, terminal):
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(terminal.server_pid) == terminal.pid:
                os.kill(terminal.server_pid, signal.SIGKILL)

    def test_in_the_background_it_leaves_the_terminal_alone(self):
        # The second one does not send SIGCONT to a job that runs.
        for shell, term in (("sh", "xterm"), ("bash", "xterm"),
                            ("sh", "dumb")):
            if not shutil.which(shell):
                continue
            with self.subTest(shell=shell, term=term):
                terminal, sock = self.serve_in_a_shell(
                    shell, "read -r line; echo the shell reads $line; fg",
                    term)
                for text in (b"one", b"two"):
                    sock.sendall(text)
                    terminal.expect(b">>  " + text + b"\r\n")
                self.assertTrue(terminal.is_canonical())
                terminal.type(b"half")
                sock.sendall(b"three")
                terminal.expect(b">>  three\r\n")
                terminal.type(b" a line\n")
                terminal.expect(b"the shell reads half a line\r\n")
                terminal.expect(b">> ")
                terminal.type(b" and more\n")
                self.assertTrue(sock.recv(100).endswith(b" and more"))
                os.kill(terminal.server_pid, signal.SIGTERM)
                terminal.expect(b"drained ")
                self.assertEqual(terminal.end(), 0)

    def test_one_that_begins_in_the_background_reads_nothing_there(self):
        gate = self.folder() + "/gate"
        os.mkfifo(gate)
        terminal = self.serve_by(
            'set -m; "$@" & read -r line <%s; read -r line; '
            'echo the shell reads $line; fg' % gate)
        terminal.expect(b"ready\r\n")
        sock = self.enter(terminal, prompt=None)
        terminal.type(b"a line\n")
        terminal.expect(b"a line\r\n")
        sock.settimeout(0.5)
        with self.assertRaises(TimeoutError):
            sock.recv(100)
        sock.settimeout(DEADLINE)
        with open(gate, "w") as file:
            file.write("\n")
        terminal.expect(b"the shell reads a line\r\n")
        terminal.type(b"hello\n")
        self.assertEqual(sock.recv(100), b"hello")
        os.kill(terminal.server_pid, signal.SIGTERM)
        terminal.expect(b"drained ")
        self.assertEqual(terminal.end(), 0)

    def test_a_stop_in_the_background(self):
        terminal, sock = self.serve_in_a_shell("sh", "wait %1; echo ends: $?")
        os.kill(terminal.server_pid, signal.SIGTERM)
        self.assertEqual(read_all(sock), b"")
        terminal.expect(b"drained ")
        terminal.expect(b"ends: 0\r\n")
        self.assertTrue(terminal.is_canonical())

    def test_the_terminal_is_given_back(self):
        terminal = Terminal("chat@127.0.0.1:0", program_of="WEIR_SERVER",
                            shell='trap : INT; stty -a | grep -o " -\\?icanon"; "$@"; '
                            'stty -a | grep -o " -\\?icanon"')
        self.addCleanup(terminal.__exit__)
        terminal.expect(b" icanon\r\n")
        terminal.expect(b"listening chat@")
        terminal.where = [terminal.expect(b"\r\n").decode()]
        self.enter(terminal)
        terminal.type(b"a draft")
        terminal.expect(b"draft")
        terminal.type(b"\x03")
        terminal.expect(b"drained ")
        terminal.expect(b" icanon\r\n")
        self.assertEqual(terminal.end(), 0)


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
