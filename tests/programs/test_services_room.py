#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The room service of weir-server: who hears what and in which order, names,
crowds, members that do not read, and members that vanish."""

import hashlib
import os
import re
import resource
import select
import selectors
import signal
import socket
import struct
import tempfile
import time

from weirtest import (DEADLINE, SLOWNESS, Server, TestCase, connect, main,
                      read_all, read_exactly, reset)


# A group has much to say.
PATIENCE = 5 * DEADLINE


class Base(TestCase):
    def expect(self, sock, data):
        self.assertEqual(read_exactly(sock, len(data)), data)

    def enter(self, server, *others, i=0):
        """A new member and its name; others are told."""
        sock = server.connect(i)
        name = re.fullmatch(rb"\* you are (guest \d+); /help lists the "
                            rb"commands\n", read_line(sock))[1]
        # Who is here, the newcomer first.
        self.assertRegex(read_line(sock), rb"^\* \d+ (is|are) here: " + name)
        for other in others:
            self.expect(other, b"* " + name + b" has joined\n")
        return sock, name

    def enter_many(self, server, count):
        members = []
        for _ in range(count):
            members.append(self.enter(server, *members)[0])
        return members

    def end(self, server, **expected):
        status, counts = server.stop()
        self.assertEqual(status, 0)
        self.check_sum(counts)
        self.assertEqual({key: counts[key] for key in expected}, expected)


def read_line(sock):
    line = b""
    while not line.endswith(b"\n"):
        piece = sock.recv(1)
        if not piece:
            break
        line += piece
    return line


class Reload(Base):
    def test_a_reload_starts_no_other_room(self):
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as config:
            with Server("--config", config.name,
                        "room@127.0.0.1:0") as server:
                a, _ = self.enter(server)
                threads = os.listdir("/proc/%d/task" % server.pid)
                for i in range(3):
                    server.process.send_signal(signal.SIGHUP)
                    server.logs(rb"(?s)( reloaded .*){%d}" % (i + 1))
                b, name = self.enter(server, a)
                b.sendall(b"still here\n")
                self.expect(a, name + b": still here\n")
                self.assertEqual(os.listdir("/proc/%d/task" % server.pid),
                                 threads)
                self.end(server)


class Talk(Base):
    def test_everybody_hears_everything_and_who_said_it(self):
        with Server("room@127.0.0.1:0") as server:
            a, _ = self.enter(server)
            b, _ = self.enter(server, a)
            c, _ = self.enter(server, a, b)
            for sock, line in ((a, b"good morning"), (c, "grüß\tdich".encode()),
                               (b, b""), (a, b"x" * 1024)):
                name = b"guest %d: " % ((a, b, c).index(sock) + 1)
                sock.sendall(line + b"\n")
                for each in (a, b, c):
                    self.expect(each, name + line + b"\n")
            b.close()
            for each in (a, c):
                self.expect(each, b"* guest 2 has left\n")
            a.close()
            self.expect(c, b"* guest 1 has left\n")
            c.close()
            self.end(server, accepted=3, completed=3)

    def test_in_pieces_and_joined(self):
        with Server("room@127.0.0.1:0") as server:
            a, b = self.enter_many(server, 2)
            for byte in b"in pieces\r\nand":
                a.sendall(bytes([byte]))
            a.sendall(b" joined\nlast")
            a.shutdown(socket.SHUT_WR)
            said = b"guest 1: in pieces\nguest 1: and joined\n" \
                   b"guest 1: last\n"
            # Who ends its input is heard out, and hears itself.
            self.assertEqual(read_all(a), said)
            self.expect(b, said + b"* guest 1 has left\n")
            a.close()
            b.close()
            self.end(server, completed=2)

    def test_many_lines_at_once_stay_in_order(self):
        lines = [b"line %d %s\n" % (i, b"." * (i % 70))
                 for i in range(1000)]
        with Server("room@127.0.0.1:0") as server:
            a, b = self.enter_many(server, 2)
            sent = 0
            while sent < len(lines):
                some = lines[sent:sent + 100]
                sent += len(some)
                a.sendall(b"".join(some))
                heard = b"".join(b"guest 1: " + line for line in some)
                self.expect(a, heard)
                self.expect(b, heard)
            a.close()
            b.close()
            self.end(server, accepted=2, cut=0)

    def test_names(self):
        def fault(text):
            a.sendall(text)
            self.assertTrue(read_line(a).startswith(b"* "))

        with Server("room@127.0.0.1:0") as server:
            a, b = self.enter_many(server, 2)
            a.sendall(b"before\n/name anna\nafter\n")
            for sock in (a, b):
                self.expect(sock, b"guest 1: before\n"
                            b"* guest 1 is now anna\nanna: after\n")
            for name in (b"", b" ", b"two words", b"x" * 33, b"a\x1bb",
                         b"tab\t", b"\x7f", b"\xff" * 32, b"*", b"anna:",
                         b"/name", b"guest", b"Guest\xc2\xa02",
                         "anna\u00a0".encode(), "an\u200bna".encode(),
                         "\u2003".encode(), "an\u202ena".encode(),
                         "anna\u3164".encode(), "\u2800".encode()):
                fault(b"/name " + name + b"\n")
            b.sendall(b"/name anna\n")
            self.expect(b, b"* somebody has that name\n")
            for name in ("Jörg".encode(), "安娜".encode()):
                b.sendall(b"/name " + name + b"\r\nhi\n")
                said = b" is now " + name + b"\n" + name + b": hi\n"
                for sock in (a, b):
                    self.assertTrue(
                        (read_line(sock) + read_line(sock)).endswith(said))
            b.close()
            self.expect(a, b"* " + name + b" has left\n")
            # A name is free again when its owner has left.
            a.sendall(b"/name " + name + b"\n")
            self.expect(a, b"* anna is now " + name + b"\n")
            a.close()
            self.end(server, completed=2)

    def test_names_that_look_alike(self):
        alike = (("ann", "Ann"), ("ann", "\u0430nn"), ("ann", "\uff41nn"),
                 ("ace", "\u0430\u0441\u0435"), ("bill", "biII"),
                 ("zoe", "Z0E"), ("pope", "\u03c1o\u0440\u0435"),
                 ("Zoë", "ZOË"), ("Жук", "жУК"), ("Σοφός", "ΣΟΦΌΣ"),
                 ("\u212bsa", "\u00e5sa"))
        unlike = (("ann", "anne"), ("ann", "\u00e4nn"), ("anna", "анна"),
                  ("安娜", "安那"), ("bob", "rob"), ("åsa", "äsa"),
                  ("жук", "зук"))
        with Server("room@127.0.0.1:0") as server:
            a, b = self.enter_many(server, 2)

            def choose(sock, name):
                """What is said of it to whoever asks for a name."""
                sock.sendall(b"/name " + name.encode() + b"\n")
                answer = read_line(sock)
                if b" is now " in answer:
                    self.expect(a if sock is b else b, answer)
                return answer

            for first, second in alike:
                self.assertIn(b" is now ", choose(a, first), first)
                self.assertEqual(choose(b, second),
                                 b"* somebody has that name\n", second)
                # One may write one's own name in another way.
                self.assertIn(b" is now ", choose(a, second), second)
            for i, (first, second) in enumerate(unlike):
                self.assertIn(b" is now ", choose(a, first), first)
                self.assertIn(b" is now ", choose(b, second), second)
                choose(a, "a%d" % i)
                choose(b, "b%d" % i)
            for name in ("gu\u0435st", "\uff47uest", "ann\uff1a",
                         "Jo\u0308rg"):
                self.assertRegex(choose(a, name), rb"^\* a name ", name)
            for sock in a, b:
                sock.close()
            self.end(server, accepted=2)

    def test_too_long_a_line_is_left_out_and_its_author_told(self):
        told = b"* a line has at most 1024 bytes; yours was dropped\n"
        with Server("room@127.0.0.1:0") as server:
            a, b = self.enter_many(server, 2)
            a.sendall(b"x" * 1025 + b"\n")
            self.expect(a, told)
            a.sendall(b"y" * 300000)
            self.expect(a, told)
            a.sendall(b"still the same line\nshort\n")
            for sock in (a, b):
                self.expect(sock, b"guest 1: short\n")
            a.close()
            self.expect(b, b"* guest 1 has left\n")
            b.close()
            self.end(server, accepted=2, cut=0)

    def test_what_a_terminal_obeys_is_escaped(self):
        with Server("room@127.0.0.1:0") as server:
            a, b = self.enter_many(server, 2)
            a.sendall(b"hi\r* guest 2 has left\x1b[2J\x1b]0;owned\x07\xff\n")
            for sock in (a, b):
                self.expect(sock, rb"guest 1: hi\x0d* guest 2 has left\x1b[2J"
                            rb"\x1b]0;owned\x07\xff" + b"\n")
            a.close()
            b.close()
            self.end(server, accepted=2)

    def test_commands(self):
        with Server("room@127.0.0.1:0") as server:
            a, b = self.enter_many(server, 2)
            a.sendall(b"/who\n")
            self.expect(a, b"* 2 are here: guest 2, guest 1\n")
            a.sendall(b"/me waves\n")
            for sock in (a, b):
                self.expect(sock, b"- guest 1 waves\n")
            a.sendall(b"/help\n")
            self.expect(a, b"* /name NAME")
            while not read_line(a).endswith(b"is sent to everybody\n"):
                pass
            for unknown in (b"/quit", b"/names", b"/", b"/nameanna"):
                a.sendall(unknown + b"\n")
                self.assertRegex(read_line(a), rb"^\* there is no such command")
            a.sendall(b"/name\n")
            self.assertRegex(read_line(a), rb"^\* a name has 1 to 32 bytes")
            # Nobody else has heard of it.
            a.sendall(b"the end\n")
            self.expect(b, b"guest 1: the end\n")
            a.close()
            b.close()
            self.end(server, accepted=2)

    def test_a_newcomer_is_told_who_is_here(self):
        with Server("room@127.0.0.1:0") as server:
            a, _ = self.enter(server)
            a.sendall(b"/name anna\n")
            self.expect(a, b"* guest 1 is now anna\n")
            with server.connect() as b:
                read_line(b)
                self.expect(b, b"* 2 are here: guest 2, anna\n")
            a.close()
            self.end(server, accepted=2)

    def test_a_client_that_says_too_much_at_once_is_told_and_left_out(self):
        line, count = b"x" * 1000 + b"\n", 200
        with Server("room@127.0.0.1:0") as server:
            a, b = self.enter_many(server, 2)
            a.sendall(line * count)
            heard = []
            while b"too much at once" not in (said := read_line(a)):
                heard.append(said)
            self.assertTrue(all(each == b"guest 1: " + line for each in heard))
            self.assertGreater(len(heard), 0)
            # The other is heard meanwhile, and has not heard all.
            b.sendall(b"and I\n")
            said = []
            while said[-1:] != [b"guest 2: and I\n"]:
                said.append(read_line(b))
            self.assertLess(len(said), count)
            # After a pause one may speak again.
            end = time.monotonic() + DEADLINE
            while b"again" not in said[-1]:
                self.assertLess(time.monotonic(), end)
                a.sendall(b"again\n")
                if select.select([b], [], [], 0.2)[0]:
                    said.append(read_line(b))
            a.close()
            b.close()
            self.end(server, accepted=2)

    def test_each_listener_is_a_room_of_its_own(self):
        with Server("room@127.0.0.1:0", "room@127.0.0.1:0") as server:
            a, _ = self.enter(server, i=0)
            b, _ = self.enter(server, i=1)
            for sock in (a, b):
                sock.sendall(b"alone\n")
                self.expect(sock, b"guest 1: alone\n")
            a.close()
            b.sendall(b"still\n")
            self.expect(b, b"guest 1: still\n")
            b.close()
            self.end(server, completed=2)


class ClientGroup:
    """Many members, read by one loop; each has a digest of what it heard
    since the group was complete."""

    def __init__(self, server, count):
        self.selector = selectors.DefaultSelector()
        self.socks = []
        self.heard = [0] * count
        self.digests = [hashlib.md5() for _ in range(count)]
        self.first = bytearray()  # what number 0 has heard
        self.pending = [b""] * count
        last = b"guest 1: all are here\n"
        for i in range(count):
            sock = connect(server.address())
            self.socks.append(sock)
            self.selector.register(sock, selectors.EVENT_READ, i)
            # One by one: the number is the name.
            line = read_line(sock)
            if not line.startswith(b"* you are guest %d; " % (i + 1)):
                raise AssertionError(line)
            read_line(sock)
        self.socks[0].sendall(b"all are here\n")
        waiting = set(range(count))
        end = time.monotonic() + PATIENCE
        while waiting:
            for i, data in self.read(end):
                self.pending[i] = self.pending[i][-len(last):] + data
                if self.pending[i].endswith(last):
                    waiting.discard(i)

    def read(self, end):
        if time.monotonic() > end:
            raise AssertionError("the group waits in vain")
        for key, _ in self.selector.select(1):
            data = key.fileobj.recv(262144)
            if not data:
                raise AssertionError("member %d was ended" % key.data)
            yield key.data, data

    def hear(self, count, end):
        """Until everybody has heard so many bytes in all."""
        missing = sum(1 for heard in self.heard if heard < count)
        while missing > 0:
            for i, data in self.read(end):
                was_missing = self.heard[i] < count
                self.heard[i] += len(data)
                self.digests[i].update(data)
                if i == 0:
                    self.first += data
                missing -= was_missing and self.heard[i] >= count

    def close(self):
        self.selector.close()
        for sock in self.socks:
            sock.close()


class Many(Base):
    def setUp(self):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))

    def test_ten_thousand_lines_in_order_to_each_of_a_thousand(self):
        members, speakers, rounds, burst = 1000, 10, 10, 100
        if SLOWNESS > 1:
            members = 200
        with Server("room@127.0.0.1:0", "-l", "warning") as server:
            group = ClientGroup(server, members)
            end = time.monotonic() + PATIENCE
            total = 0
            for turn in range(rounds):
                for who in range(speakers):
                    lines = [b"%d %d\n" % (who, turn * burst + i)
                             for i in range(burst)]
                    total += sum(len(b"guest %d: " % (who + 1)) + len(line)
                                 for line in lines)
                    group.socks[who].sendall(b"".join(lines))
                group.hear(total, end)
            self.assertEqual(set(group.heard), {total})
            self.assertEqual(
                len({digest.digest() for digest in group.digests}), 1)
            self.check_order(group.first, speakers, rounds * burst)
            group.close()
            self.end(server, accepted=members, cut=0, timed_out=0)

    def check_order(self, heard, speakers, count):
        """Each speaker's lines are there in their order."""
        next_of = [0] * speakers
        for line in bytes(heard).splitlines():
            name, who, number = re.fullmatch(rb"guest (\d+): (\d+) (\d+)",
                                             line).groups()
            self.assertEqual(int(name), int(who) + 1)
            self.assertEqual(int(number), next_of[int(who)])
            next_of[int(who)] += 1
        self.assertEqual(next_of, [count] * speakers)

    def test_a_client_that_does_not_read_is_cut_and_delays_nobody(self):
        # Of a Unix socket the system keeps little, so little must be said.
        path = self.folder() + "/s"
        with Server("room@unix:" + path) as server:
            members = self.enter_many(server, 10)
            lazy, name = self.enter(server, *members)
            left = b"* " + name + b" has left\n"
            ears = [Ear(sock, left) for sock in members]
            sent = 0
            while b"does not read" not in server.err.data:
                # As much as they all may say at once.
                self.assertLess(sent, 600)
                who = sent // 60
                lines = [b"%d %s\n" % (sent + i, b"." * 1000)
                         for i in range(15)]
                sent += len(lines)
                members[who].sendall(b"".join(lines))
                # The next are not sent before all others have these.
                for ear in ears:
                    for line in lines:
                        self.assertEqual(ear.next_line(),
                                         b"guest %d: " % (who + 1) + line)
            for ear in ears:
                ear.wait_for_notice()
                ear.close()
            lazy.close()
            status, counts = server.stop()
            # The stop has cut nothing.
            self.assertEqual((status, counts["cut"]), (0, 1))
            self.check_sum(counts)

    def test_joins_and_lines_are_gathered(self):
        """What one member is sent does not grow with what the others do:
        in segments, a second."""
        def segments(sock):
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
            return struct.unpack_from("I", info, 152)[0]

        with Server("room@127.0.0.1:0", "-l", "warning") as server:
            a, _ = self.enter(server)
            ear = Ear(a, b"")
            began, before = time.monotonic(), segments(a)
            for i in range(400):
                with server.connect() as sock:
                    read_line(sock)
                    sock.sendall(b"\n" * 20)
            with server.connect() as sock:
                sock.sendall(b"the last\n")
                while not (line := ear.file.readline()).endswith(b" last\n"):
                    self.assertRegex(line, rb"^(\* |guest \d+: )")
            seconds = time.monotonic() - began
            # A text fits into one segment, or nearly.
            self.assertLess(segments(a) - before, 3 * (10 * seconds + 2))
            ear.close()
            self.end(server, accepted=402)

    def test_silent_members_hold_no_worker(self):
        with Server("room@127.0.0.1:0", "echo@127.0.0.1:0", "-w", "1",
                    "-l", "warning") as server:
            group = ClientGroup(server, 300)
            with server.connect(1) as other:
                other.sendall(b"echo")
                self.expect(other, b"echo")
            group.close()
            self.end(server, accepted=301)


class Ear:
    """A member that listens to lines, and for one notice among them."""

    def __init__(self, sock, notice):
        self.sock = sock
        self.file = sock.makefile("rb")
        self.notice = notice
        self.is_noticed = False

    def next_line(self):
        line = self.file.readline()
        if line == self.notice and not self.is_noticed:
            self.is_noticed = True
            line = self.file.readline()
        return line

    def wait_for_notice(self):
        if not self.is_noticed and self.file.readline() != self.notice:
            raise AssertionError("no notice")

    def close(self):
        self.file.close()
        self.sock.close()


class Ends(Base):
    def test_a_client_that_vanishes_at_any_stage_is_missed_by_the_others(self):
        def half_close(sock):
            sock.shutdown(socket.SHUT_WR)
            read_all(sock)
            sock.close()

        with Server("room@127.0.0.1:0") as server:
            stays, _ = self.enter(server)
            for leave in (reset, socket.socket.close, half_close):
                for said in (b"", b"half a li", b"a line\n",
                             b"a line\nand a half"):
                    sock, name = self.enter(server, stays)
                    sock.sendall(said)
                    if b"\n" in said:
                        self.expect(stays, name + b": a line\n")
                    leave(sock)
                    line = read_line(stays)
                    # The last line needs no newline, if it gets here.
                    if line == name + b": " + said.split(b"\n")[-1] + b"\n":
                        line = read_line(stays)
                    self.assertEqual(line, b"* " + name + b" has left\n")
            stays.close()
            self.end(server, accepted=13, cut=0, timed_out=0)

    def test_a_stop_is_told_and_ends_it(self):
        with Server("room@127.0.0.1:0", "-t", "never") as server:
            members = self.enter_many(server, 50)
            members[0].sendall(b"half a li")
            server.process.terminate()
            for sock in members:
                self.assertEqual(read_all(sock), b"* the room closes\n")
                sock.close()
            status, counts = server.end()
            self.assertEqual((status, counts["completed"]), (0, 50))

    def test_a_silent_member_is_ended_if_that_was_asked_for(self):
        with Server("room@127.0.0.1:0", "-i", "200ms") as server:
            sock, _ = self.enter(server)
            self.assertEqual(read_all(sock), b"")
            sock.close()
            self.end(server, timed_out=1)


if __name__ == "__main__":
    main()
