#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The programs of examples/ do what their texts and the documents say: each
is run, and its other end is a socket of Python's or the program itself."""

import contextlib
import os
import random
import signal
import subprocess
import threading

import smtp_clients
from weirtest import (DEADLINE, SLOWNESS, Pump, TestCase, connect_soon, main,
                      needs_ctypes, read_all, read_exactly, shared_libraries)

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))


class Example:
    """An example that serves, at an address of its own."""

    def __init__(self, name, *args, stdin=subprocess.DEVNULL, env=None):
        self.process = subprocess.Popen(
            [os.path.join("examples", name), *args], stdin=stdin, env=env,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.out = Pump(self.process.stdout)
        self.err = Pump(self.process.stderr)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stdin:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        self.out.close()
        self.err.close()

    def types(self, line):
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def stop(self, *peers):
        """End it as an operator does; return its exit status and what these
        peers heard last."""
        self.process.send_signal(signal.SIGTERM)
        heard = [peer.rest() for peer in peers]
        return (self.process.wait(DEADLINE), *heard)


class Peer:
    """A client that reads lines."""

    def __init__(self, where):
        self.sock = connect_soon(where)
        self.lines = self.sock.makefile("rb")

    def says(self, text):
        self.sock.sendall(text.encode() + b"\n")

    def hears(self):
        return self.lines.readline().decode()

    def rest(self):
        return self.lines.read().decode()

    def close(self):
        self.lines.close()
        self.sock.close()


def call(name, *args, stdin=b""):
    """The other role of a program in from_python/, run to its end."""
    result = subprocess.run(
        [os.path.join("examples", "from_python", name), "call", *args],
        input=stdin, capture_output=True, timeout=DEADLINE, check=False)
    assert result.returncode == 0, result
    return result.stdout


class ExampleTest(TestCase):
    def setUp(self):
        self.where = "unix:%s/socket" % self.folder()

    def peer(self, where=None):
        peer = Peer(where or self.where)
        self.addCleanup(peer.close)
        return peer

    def stranger(self):
        """A plain socket."""
        sock = connect_soon(self.where)
        self.addCleanup(sock.close)
        return sock


class FirstPrograms(ExampleTest):
    def test_every_call_of_the_table_does_what_it_says(self):
        result = subprocess.run([os.path.join("examples", "calls")],
                                capture_output=True, timeout=DEADLINE,
                                check=False)
        self.assertEqual((result.returncode, result.stderr), (0, b""))

    def test_the_quiz_counts_right_answers(self):
        with Example("quiz", self.where) as quiz:
            peer = self.peer()
            for answer in ("accept", "close", "0"):
                peer.hears()
                peer.says(answer)
                peer.hears()
            self.assertEqual(peer.hears(), "2 of 3\n")
            self.assertEqual(quiz.stop(), (0,))
            self.assertIn(b"1 asked, 1 to the end", quiz.out.rest())

    def test_a_thousand_clients_hold_a_dialogue_of_five_steps(self):
        count = int(1000 // SLOWNESS)
        if not smtp_clients.may_open(count):
            self.skipTest("too few descriptors")
        with Example("smtp", "127.0.0.1:0") as smtp:
            where = smtp.out.expect(rb" at (\S+)\n")[1].decode()
            clients = smtp_clients.Clients(where, count)
            self.addCleanup(clients.close)
            self.assertEqual(clients.hear(smtp_clients.GREETING), count)
            for text, answer in smtp_clients.STEPS:
                clients.send(text[:-1])
                self.assertTrue(smtp_clients.talk(where))
                clients.send(text[-1:])
                self.assertEqual(clients.hear(answer), count)
            self.assertEqual(smtp.stop(), (0,))
            self.assertIn(b"%d to the end" % (count + 6), smtp.out.rest())

    def test_a_mail_in_the_wrong_order_is_told_what_comes_next(self):
        with Example("smtp", self.where) as smtp:
            peer = self.peer()
            for says, hears in (("", "220 weir"),
                                ("RCPT TO:<a@b>", "503 expected HELO "),
                                ("helo me", "250 hello")):
                if says:
                    peer.says(says)
                self.assertEqual(peer.hears(), hears + "\r\n")
            self.assertEqual(smtp.stop()[0], 0)

    def test_lines_of_a_mail_may_be_as_long_as_its_standard_says(self):
        """RFC 5321, 4.5.3.1: 512 bytes for a command, 256 of them for a path,
        1000 for the text, with the ends of the lines."""
        path = "<%s@b>" % ("a" * 251)
        with Example("smtp", self.where) as smtp:
            peer = self.peer()
            for says, hears in (("", "220 weir"),
                                ("HELO " + "x" * 5000, "500 line too long"),
                                ("HELO me", "250 hello"),
                                ("MAIL FROM:" + "x" * 400,
                                 "501 argument too long"),
                                ("MAIL FROM:" + path, "250 go on"),
                                ("RCPT TO:" + path, "250 go on"),
                                ("DATA", "354 end with a dot"),
                                ("x" * 998 + "\r\n.", "250 took 1000 bytes "
                                 "from %s to %s" % (path, path)),
                                ("x" * 99999, "500 line too long"),
                                ("QUIT", "221 bye")):
                if says:
                    peer.says(says + "\r")
                self.assertEqual(peer.hears(), hears + "\r\n")
            self.assertEqual(smtp.stop()[0], 0)

    def test_a_line_of_a_mail_that_is_too_long_refuses_it(self):
        with Example("smtp", self.where) as smtp:
            peer = self.peer()
            peer.hears()
            for text, _ in smtp_clients.STEPS[:4]:
                peer.says(text.decode().strip())
                peer.hears()
            peer.says("x" * 5000 + ".\n.x\n.")
            self.assertEqual(peer.hears(), "500 line too long\r\n")
            peer.says("QUIT")
            self.assertEqual(peer.hears(), "221 bye\r\n")
            self.assertEqual(smtp.stop()[0], 0)

    def test_a_mail_that_is_too_large_is_refused(self):
        with Example("smtp", self.where) as smtp:
            peer = self.peer()
            peer.hears()
            for text, _ in smtp_clients.STEPS[:4]:
                peer.says(text.decode().strip())
                peer.hears()
            peer.says(("x" * 998 + "\r\n") * 10500 + ".")
            self.assertEqual(peer.hears(), "552 too much mail data\r\n")
            peer.says("QUIT")
            self.assertEqual(peer.hears(), "221 bye\r\n")
            self.assertEqual(smtp.stop()[0], 0)

    def test_the_ticker_tells_everybody(self):
        with Example("ticker", self.where, "5") as ticker:
            peers = [self.peer() for _ in range(3)]
            for peer in peers:
                first = int(peer.hears().split()[1])
                self.assertEqual(peer.hears(), "tick %d\n" % (first + 1))
            self.assertEqual(ticker.stop(*peers)[0], 0)


class Tutorial(ExampleTest):
    def test_step_1_echoes_lines(self):
        with Example("tutorial/step1_echo", self.where) as step:
            peer = self.peer()
            peer.says("hello")
            self.assertEqual(peer.hears(), "hello\n")
            self.assertEqual(step.stop(), (0,))

    def test_step_2_has_manners(self):
        with Example("tutorial/step2_manners", self.where) as step:
            peer, other, rude = self.peer(), self.peer(), self.peer()
            for each in (peer, other, rude):
                self.assertIn("Welcome", each.hears())
            peer.says("hello\nbye")
            self.assertEqual(peer.hears(), "You said: hello\n")
            self.assertEqual(peer.hears(), "Bye.\n")
            self.assertEqual(peer.hears(), "")
            rude.says("x" * 600)
            self.assertEqual(rude.hears(), "")
            step.err.expect(rb"longer than its limit")
            self.assertEqual(step.stop(other), (0, "The server stops.\n"))

    def test_step_3_remembers_names(self):
        with Example("tutorial/step3_names", self.where) as step:
            ann, bob = self.peer(), self.peer()
            for peer, name in ((ann, "ann"), (bob, "bob")):
                self.assertEqual(peer.hears(), "Your name?\n")
                peer.says("n" * 32)
                self.assertIn("1 to 31 bytes", peer.hears())
                peer.says(name)
                self.assertEqual(peer.hears(), "Hello, %s.\n" % name)
            ann.says("here")
            self.assertEqual(ann.hears(), "<ann> here\n")
            bob.says("here too")
            self.assertEqual(bob.hears(), "<bob> here too\n")
            self.assertEqual(step.stop(), (0,))

    def test_step_4_lets_everybody_hear_everybody(self):
        with Example("tutorial/step4_everyone", self.where) as step:
            ann, bob = self.peer(), self.peer()
            ann.says("ann")
            self.assertEqual(ann.hears(), "Your name?\n")
            ann.says("echo")
            self.assertEqual(ann.hears(), "<ann> echo\n")
            self.assertEqual(bob.hears(), "Your name?\n")
            bob.says("bob")
            bob.says("hello")
            self.assertEqual(bob.hears(), "<bob> hello\n")
            self.assertEqual(ann.hears(), "<bob> hello\n")
            ann.close()
            bob.says("gone?")
            self.assertEqual(bob.hears(), "<bob> gone?\n")
            self.assertEqual(step.stop(), (0,))


class Room(ExampleTest):
    def member(self, name):
        peer = self.peer()
        self.assertEqual(peer.hears(), "Your name?\n")
        peer.says(name)
        self.assertEqual(peer.hears(), "* %s has come\n" % name)
        return peer

    def test_the_others_are_told_of_clients_that_come_and_go(self):
        with Example("tutorial/step5_room", self.where) as room:
            ann = self.member("ann")
            bob = self.member("bob")
            self.assertEqual(ann.hears(), "* bob has come\n")
            second = self.peer()
            second.says("ann")
            self.assertEqual(second.hears(), "Your name?\n")
            self.assertEqual(second.hears(), "ann is here already.\n")
            bob.says("a\x1b[31mb\x7f")
            self.assertEqual(ann.hears(), "<bob> a?[31mb?\n")
            bob.close()
            self.assertEqual(ann.hears(), "* bob has gone\n")
            self.assertEqual(room.stop(ann, second),
                             (0, *["* the room closes\n"] * 2))

    def test_all_hear_the_same_in_the_same_order(self):
        with Example("tutorial/step5_room", self.where) as room:
            members = [self.member("m%d" % i) for i in range(8)]
            for i, member in enumerate(members):
                for later in range(i + 1, 8):
                    self.assertEqual(member.hears(),
                                     "* m%d has come\n" % later)
            heard = [[] for _ in members]

            def listen(i):
                heard[i] = [members[i].hears() for _ in range(8 * 100)]
            threads = [threading.Thread(target=listen, args=(i,))
                       for i in range(8)]
            for thread in threads:
                thread.start()
            for n in range(100):
                for member in members:
                    member.says(str(n))
            for thread in threads:
                thread.join(DEADLINE)
            for i in range(8):
                self.assertEqual(heard[i], heard[0])
                self.assertEqual(
                    [line for line in heard[0] if line.startswith("<m%d>" % i)],
                    ["<m%d> %d\n" % (i, n) for n in range(100)])
            self.assertEqual(room.stop(*members),
                             (0, *["* the room closes\n"] * 8))

    def test_a_client_that_does_not_read_is_cut_and_delays_nobody(self):
        with Example("tutorial/step5_room", self.where) as room:
            ann = self.member("ann")
            self.member("slow")  # and reads no more
            self.assertEqual(ann.hears(), "* slow has come\n")
            gone = False
            for n in range(20000):
                ann.says("%05d %s" % (n, "x" * 400))
                line = ann.hears()
                if line == "* slow has gone\n":
                    gone = True
                    line = ann.hears()
                self.assertTrue(line.startswith("<ann> %05d " % n), line)
                if gone:
                    break
            self.assertTrue(gone)
            self.assertEqual(room.stop(ann), (0, "* the room closes\n"))


class FromPython(ExampleTest):
    def serves(self, name, *args, **kwargs):
        return Example("from_python/" + name, "serve", self.where, *args,
                       **kwargs)

    def test_reply(self):
        with self.serves("reply") as server:
            sock = self.stranger()
            self.assertEqual(sock.recv(100), b"Connect")
            sock.sendall(b"h\0i\xff")
            self.assertEqual(read_exactly(sock, 20),
                             b"Server replies: h\0i\xff")
            said = call("reply", self.where, stdin=b"hello\nwindup\nno\n")
            self.assertIn(b"Connect\n", said)
            self.assertIn(b"Server replies: hello\n", said)
            self.assertIn(b"Server replies: windup\n", said)
            self.assertNotIn(b"Server replies: no\n", said)
            server.out.expect(rb"client 2: unix:")
            server.out.expect(b"process %d serves" % server.process.pid)
            self.assertEqual(server.stop(), (0,))

    def test_greeting(self):
        with self.serves("greeting") as server:
            self.assertEqual(read_all(self.stranger()), b"Got your connection")
            self.assertEqual(call("greeting", self.where),
                             b"Got your connection\n")
            self.assertEqual(server.stop(), (0,))

    def test_sink(self):
        with self.serves("sink") as server:
            sock = self.stranger()
            sock.sendall(b"from Python")
            self.assertEqual(sock.recv(1), b"")
            server.out.expect(rb"from Python\n")
            call("sink", self.where, "h\u00f6r")
            server.out.expect("h\u00f6r\n".encode())
            self.assertEqual(server.stop(), (0,))

    def test_welcome(self):
        with self.serves("welcome") as server:
            sock = self.stranger()
            self.assertEqual(sock.recv(100), b"Welcome to the server")
            sock.sendall(b"thanks")
            self.assertEqual(sock.recv(1), b"")
            server.out.expect(rb"thanks\n")
            self.assertEqual(call("welcome", self.where),
                             b"Welcome to the server\n")
            server.out.expect(rb"Thank you\n")
            self.assertEqual(server.stop(), (0,))

    def test_file(self):
        folder = self.folder()
        content = random.Random(1).randbytes(3000000)
        with open(folder + "/sent", "wb") as file:
            file.write(content)
        with self.serves("file", folder + "/sent") as server:
            sock = self.stranger()
            sock.sendall(b"Client connected")
            self.assertEqual(read_all(sock),
                             content + b"Thank you for connecting")
            call("file", self.where, folder + "/received")
            with open(folder + "/received", "rb") as file:
                self.assertEqual(file.read(),
                                 content + b"Thank you for connecting")
            os.unlink(folder + "/sent")
            sock = self.stranger()
            sock.sendall(b"Client connected")
            self.assertEqual(read_all(sock), b"")
            server.err.expect(rb"no such host or file")
            self.assertEqual(server.stop(), (0,))

    def test_chat(self):
        with self.serves("chat", stdin=subprocess.PIPE) as operator:
            sock, other = self.stranger(), self.stranger()
            sock.sendall(b"hello")
            operator.out.expect(rb">>  hello\n")
            other.sendall(b"me too")
            operator.types(b"hello yourself\n")
            self.assertEqual(sock.recv(100), b"hello yourself")
            self.assertNotIn(b"me too", operator.out.data)
            sock.sendall(b"well")
            operator.out.expect(rb">>  well\n")
            operator.types(b"windup\n")
            self.assertEqual(read_all(sock), b"windup")
            operator.out.expect(rb">>  me too\n")
            operator.types(b"windup\n")
            self.assertEqual(read_all(other), b"windup")
            caller = threading.Thread(target=lambda: said.append(
                call("chat", self.where, stdin=b"knock\nwindup\n")))
            said = []
            caller.start()
            operator.out.expect(rb">>  knock\n")
            operator.types(b"who is there\n")
            # Its last word is answered as well.
            operator.out.expect(rb">>  windup\n")
            operator.types(b"so long\n")
            caller.join(DEADLINE)
            self.assertEqual(said, [b">> >>  who is there\n"
                                    b">> >>  so long\n"])
            self.assertEqual(operator.stop(), (0,))

    def environment(self):
        """That of a shell which has sourced tools/env."""
        root = os.path.join(os.path.abspath(self.folder()), "root")
        os.makedirs(os.path.join(root, "bin"))
        os.symlink("/bin/true", os.path.join(root, "bin", "weir-server"))
        os.symlink(shared_libraries().split(":")[0], os.path.join(root, "lib"))
        shell = subprocess.run(
            ["sh", "-c", '. tools/env "$1" && env -0', "sh",
             os.path.dirname(root)],
            cwd=TOP, stdout=subprocess.PIPE, check=True,
            env={name: value for name, value in os.environ.items()
                 if name != "LD_LIBRARY_PATH"})
        return dict(line.split(b"=", 1)
                    for line in shell.stdout.split(b"\0") if line)

    def test_upper(self):
        """Python through ctypes: callbacks, another thread, signals."""
        needs_ctypes(self)
        source = os.path.join(TOP, "examples", "from_python", "upper.py")
        with Example(source, self.where, stdin=subprocess.PIPE,
                     env=self.environment()) as upper:
            upper.out.expect(b"listening on unix:")
            peers = [self.peer() for _ in range(3)]
            for peer in peers:
                peer.says("one")
                peer.says("tw\0o")
                self.assertEqual(peer.hears(), "ONE\n")
                self.assertEqual(peer.hears(), "TW\0O\n")
            upper.types(b"to all\n")
            for peer in peers:
                self.assertEqual(peer.hears(), "to all\n")
            peers[0].says("x" * 5000)  # too long
            self.assertEqual(peers[0].hears(), "")
            status, *rest = upper.stop(*peers[1:])
        self.assertEqual((status, rest), (0, ["", ""]))

    def test_socketserver(self):
        requests = "unix:%s/socket" % self.folder()
        with Example("from_python/socketserver", self.where,
                     requests) as server:
            peer = self.peer()
            peer.says("hel\0lo")
            self.assertEqual(peer.hears(), "HEL\0LO\n")
            other = self.peer(requests)
            for i in range(1, 4):
                other.says("x")
                self.assertEqual(other.hears(), "%d\n" % i)
            other.says("shutdown")
            self.assertEqual(other.hears(), "4\n")
            self.assertEqual(server.process.wait(DEADLINE), 0)
            self.assertIn(b"4 requests", server.out.rest())


if __name__ == "__main__":
    main()
