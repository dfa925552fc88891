#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What weir-client load sends and what it takes for a good reply: options,
--show, and the first bad reply in the report and the JSON."""

import contextlib
import itertools
import json
import os
import socket
import struct

from weirtest import PythonServer, Server, TestCase, built_with, main, run


def load(where, *options, **kwargs):
    return run("WEIR_CLIENT", "load", where, *options, **kwargs)


def answering(reply, received=None):
    """Each line is answered like this."""
    def handle(sock):
        with sock, sock.makefile("rwb") as file:
            for line in file:
                if received is not None:
                    received.append(line)
                answer = reply(line) if callable(reply) else reply
                file.write(answer)
                file.flush()
    return PythonServer(handle)


LOGIN = b"530 not logged in\r\n"


class Replies(TestCase):
    def test_errors_are_no_success(self):
        with answering(LOGIN) as server:
            good = load(server.address, "-n", "50", "--expect", "line")
            bad = load(server.address, "-n", "50", "--expect", "line", "--ok",
                       "2", "--ok", "331 ")
            gate = load(server.address, "-n", "50", "--expect", "line",
                        "--match", "^2[0-9][0-9] ", "--gate", "errors=0")
        self.assertEqual(good.returncode, 0, good)
        self.assertEqual(bad.returncode, 1, bad)
        self.assertIn(b"50 checked: 50 bad", bad.stdout)
        self.assertIn(b"50 of 50 replies were not good", bad.stdout)
        self.assertIn(b"first bad    reply: 530 not logged in\\x0d\\x0a",
                      bad.stdout)
        self.assertIn(b"it does not begin as --ok says", bad.stdout)
        self.assertEqual(gate.returncode, 3, gate)

    @built_with("jansson")
    def test_the_first_bad_reply_is_in_the_json(self):
        path = os.path.join(self.folder(), "run.json")
        with answering(lambda line: b"-ERR %s" % line if b"7" in line
                       else b"+OK\n") as server:
            answer = load(server.address, "-c", "1", "-n", "9", "--text",
                          "GET {seq}\\n", "--expect", "line", "--bad", "-",
                          "--json", path)
        with open(path) as file:
            found = json.load(file)
        self.assertEqual(found["metrics"]["bad"], 1)
        self.assertEqual(found["metrics"]["errors"], 1)
        first = found["first_bad"]
        self.assertEqual(first["connection"], 0)
        self.assertEqual(first["message"], 7)
        self.assertEqual(first["sent"], "GET 7\\x0a")
        self.assertEqual(first["received"], "-ERR GET 7\\x0a")
        self.assertEqual(first["why"], "it begins as --bad says")
        self.assertGreaterEqual(first["at_ns"], 0)
        self.assertEqual(found["plan"]["content"]["bad"], ["-"])
        self.assertEqual(found["plan"]["content"]["expect"], "line")

    def test_a_wrong_echo_is_shown_too(self):
        with answering(lambda line: line.swapcase()) as server:
            answer = load(server.address, "-n", "20", "--text", "Hello\\n")
        self.assertEqual(answer.returncode, 1, answer)
        self.assertIn(b"first bad    reply: hELLO\\x0a", answer.stdout)
        self.assertIn(b"message: Hello\\x0a", answer.stdout)

    def test_variables_are_replaced_in_what_is_sent(self):
        received = []
        path = os.path.join(self.folder(), "names")
        with open(path, "w") as file:
            file.write("anna\nbert\ncarl\n")
        with answering(b"ok\n", received) as server:
            answer = load(server.address, "-c", "1", "-n", "6", "--text",
                          "{line} {seq} {connection} {random:10} {time}\\n",
                          "--data", path, "--expect", "line")
        self.assertEqual(answer.returncode, 0, answer)
        words = [line.decode().split() for line in received]
        self.assertEqual([w[0] for w in words],
                         ["anna", "bert", "carl"] * 2)
        self.assertEqual([w[1] for w in words], list("012345"))
        self.assertEqual({w[2] for w in words}, {"0"})
        self.assertTrue(all(0 <= int(w[3]) < 10 for w in words))
        times = [int(w[4]) for w in words]
        self.assertEqual(times, sorted(times))

    @built_with("jansson")
    def test_a_reply_that_is_cut_by_a_reset_is_not_answered(self):
        path = os.path.join(self.folder(), "run.json")
        asked = itertools.count(1)

        def crashes(sock):
            sock.recv(100)
            sock.sendall(b"HTTP/1.0 200 OK\r\n\r\nhal")
            if next(asked) <= 10:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                struct.pack("ii", 1, 0))
            sock.close()

        for expect in "http", "any:1m":
            for mode in "--churn", "--reconnect":
                asked = itertools.count(1)
                with PythonServer(crashes) as server:
                    load(server.address, mode, "--expect", expect, "-n",
                         "20", "-c", "2", "--json", path)
                with open(path) as file:
                    found = json.load(file)
                metrics = found["metrics"]
                self.assertEqual(metrics["reset"], 10, (expect, mode))
                self.assertEqual(metrics["answered"], 10, (expect, mode))
                self.assertEqual(sum(row["count"] for row in found["errors"]
                                     if row["phase"] == "reply"), 10)


class Show(TestCase):
    def test_a_good_exchange_is_shown_in_text_and_hex(self):
        with answering(b"+PONG\r\n") as server:
            answer = load(server.address, "--show", "--text", "PING\\r\\n",
                          "--expect", "line")
        self.assertEqual(answer.returncode, 0, answer)
        self.assertRegex(
            answer.stdout,
            rb"connected to 127\.0\.0\.1:\d+ in \S+\n"
            rb"sent 6 bytes\n"
            rb"  0000  50 49 4e 47 0d 0a {32}\|PING\.\.\|\n"
            rb"received 7 bytes after \S+\n"
            rb"  0000  2b 50 4f 4e 47 0d 0a {29}\|\+PONG\.\.\|\n"
            rb"good\n")

    def test_an_echo_is_compared(self):
        with Server("echo@127.0.0.1:0") as server:
            for options in [], ["--random"], ["--text", "one"]:
                answer = load(server.address(), "--show", *options)
                self.assertEqual(answer.returncode, 0, answer)
        with Server("reply@127.0.0.1:0") as server:
            answer = load(server.address(), "--show", "--expect", "reply")
            self.assertEqual(answer.returncode, 0, answer)
            answer = load(server.address(), "--show", "--expect", "line",
                          "--ok", "Client", "--banner", "text:Connect")
        self.assertEqual(answer.returncode, 1)
        self.assertIn(b"bad: it does not begin as --ok says\n", answer.stdout)

    def test_what_is_wrong_is_said(self):
        def closes(sock):
            sock.recv(100)
            sock.sendall(b"half a li")
            sock.close()

        def silent(sock):
            sock.recv(100)
            sock.recv(100)
            sock.close()

        def doubled(sock):
            sock.recv(100)
            sock.sendall(b"one\ntwo\n")
            sock.recv(100)
            sock.close()

        for handler, says in (
                (closes, b"closed the connection before the end of a reply"),
                (silent, b"no complete reply in time"),
                (doubled, b"bytes came after the reply")):
            with PythonServer(handler) as server:
                answer = load(server.address, "--show", "--expect", "line",
                              "-t", "1s")
            self.assertEqual(answer.returncode, 1, answer)
            self.assertIn(says, answer.stdout)

    def test_a_server_that_never_ends_its_reply_is_left(self):
        def endless(sock):
            with contextlib.suppress(OSError), sock:
                sock.recv(100)
                while True:
                    sock.sendall(bytes(1 << 20))

        with PythonServer(endless) as server:
            answer = load(server.address, "--show", "--expect", "until:x",
                          "-t", "60s")
        self.assertEqual(answer.returncode, 1, answer)
        self.assertIn(b"bad: it is longer than 128 MiB\n", answer.stdout)

    def test_a_reply_of_any_form_ends_with_the_timeout(self):
        def drips(sock):
            with contextlib.suppress(OSError), sock:
                while True:
                    sock.sendall(b"x")
                    sock.settimeout(0.01)
                    with contextlib.suppress(TimeoutError):
                        if sock.recv(100) == b"":
                            return

        with PythonServer(drips) as server:
            answer = load(server.address, "--show", "--expect", "any:10s",
                          "-t", "1s")
        self.assertEqual(answer.returncode, 0, answer)
        self.assertIn(b"good\n", answer.stdout)


class Options(TestCase):
    def test_each_wrong_value_is_refused_with_one_line(self):
        for options, says in (
                (["--expect", "lines"], "--expect: 'lines' is none of echo"),
                (["--expect", "until:"], "--expect: 'until:' is none of"),
                (["--ok", ""], "--ok: '': the text is empty"),
                (["--bad", "\\q"], "--bad: '\\q': an escape is none of"),
                (["--ok", "a"] * 9, "--ok: 'a': at most 8 texts can be"),
                (["--ok", "a"], "--ok, --bad and --match are for"),
                (["--match", "("], "--match: '(' is not a regular"),
                (["--text", "{seqq}"], "a variable is none of {connection}"),
                (["--text", "\\y"], "an escape is none of"),
                (["--text", ""], "an empty message cannot be sent"),
                (["--text", "{line}"], "{line} needs a file of lines"),
                (["--text", "{time}"], "a message with {time} is not"),
                (["--data", "/dev/null"], "--data: '/dev/null' is not a"),
                (["--show", "--upload"], "--show is one exchange"),
                (["--expect", "any", "-P", "2"], "the end of a reply is"),
        ):
            answer = load("127.0.0.1:1", *options)
            self.assertEqual(answer.returncode, 2, answer)
            self.assertEqual(answer.stderr.count(b"\n"), 1, answer)
            self.assertIn(says.encode(), answer.stderr)


if __name__ == "__main__":
    main()
