#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Standard streams that others share with us: a shell, a terminal program, a
parent written in some other language may have made them non-blocking, and
may be gone."""

import contextlib
import os
import pty
import resource
import select
import signal
import socket
import subprocess
import threading
from subprocess import PIPE

from weirtest import (DEADLINE, PythonServer, Server, Terminal, TestCase,
                      is_built_without, main, program, run, until,
                      without_core_dumps)

LONG = b"x" * 3000000
LINES = b"".join(b"%d %s\n" % (i, b"x" * 100) for i in range(20000))


def slow_pair(kind):
    """(ours, the program's): what the program writes does not fit, and it is
    told so instead of made to wait."""
    if kind == "pipe":
        ours, theirs = os.pipe()
    else:
        pair = socket.socketpair()
        ours, theirs = (sock.detach() for sock in pair)
    os.set_blocking(theirs, False)
    return ours, theirs


def read_once_full(fd, process):
    """All that comes, but nothing before the writer has had to stop."""
    def is_stuck():
        return process.poll() is not None or select.select(
            [fd], [], [], 0)[0] and waits(process.pid)
    until(is_stuck, "a program that waits to write")
    data = b""
    while piece := os.read(fd, 65536):
        data += piece
    os.close(fd)
    return data


def waits(pid):
    """The program, and not the shell that starts it in the build folder."""
    with contextlib.suppress(FileNotFoundError):
        if os.readlink("/proc/%d/exe" % pid).endswith(("-client", "-server")):
            with open("/proc/%d/stat" % pid) as stat:
                return stat.read().rsplit(")", 1)[1].split()[0] == "S"
    return False


class NonBlocking(TestCase):
    def run_slowly(self, kind, args, text, error=False):
        """Its exit status, and what came out at the slow end."""
        ours, theirs = slow_pair(kind)
        with subprocess.Popen(
                args, stdin=PIPE,
                stdout=PIPE if error else theirs,
                stderr=theirs if error else PIPE) as process:
            os.close(theirs)

            def feed():
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(text)
                    process.stdin.close()
            writer = threading.Thread(target=feed)
            writer.start()
            data = read_once_full(ours, process)
            writer.join(DEADLINE)
            other = (process.stdout if error else process.stderr).read()
            return process.wait(DEADLINE), data, other

    def test_standard_output(self):
        with Server("echo@127.0.0.1:0") as server:
            for kind in ("pipe", "socket"):
                for args, text in ((("send",), LONG),
                                   (("chat", "-l"), LINES),
                                   (("talk", "-B"), LONG[:900000] + b"\n")):
                    with self.subTest(kind=kind, args=args):
                        client = [program("WEIR_CLIENT"), args[0],
                                  server.address(), *args[1:]]
                        status, data, err = self.run_slowly(kind, client,
                                                            text)
                        if args[0] == "talk":  # a pause is a line's end
                            data = data.replace(b"\n", b"") + b"\n"
                        self.assertEqual((status, err, len(data)),
                                         (0, b"", len(text)))
                        self.assertTrue(data == text)

    def test_a_file_on_standard_output(self):
        def handler(sock):
            sock.recv(100)
            sock.sendall(LONG)
        with PythonServer(handler) as server:
            for kind in ("pipe", "socket"):
                with self.subTest(kind=kind):
                    status, data, err = self.run_slowly(
                        kind, [program("WEIR_CLIENT"), "fetch",
                               server.address, "-o", "-"], b"")
                    self.assertEqual((status, len(data)), (0, len(LONG)))
                    self.assertRegex(err, rb"^received 3000000 bytes")

    def into_a_full_pipe(self, *args):
        """What comes, and the exit status, once there is room again."""
        ours, theirs = os.pipe()
        os.set_blocking(theirs, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(theirs, b"\0" * 4096)
        with subprocess.Popen(args, stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            data = read_once_full(ours, process).lstrip(b"\0")
            return data, process.wait(DEADLINE)

    def test_help(self):
        for args in (("WEIR_CLIENT", "--help"), ("WEIR_CLIENT", "talk", "-h"),
                     ("WEIR_CLIENT", "load", "-h"), ("WEIR_SERVER", "-h")):
            with self.subTest(args=args):
                args = [program(args[0]), *args[1:]]
                whole = subprocess.run(args, stdout=PIPE,
                                       timeout=DEADLINE).stdout
                self.assertEqual(self.into_a_full_pipe(*args), (whole, 0))

    def test_a_plan(self):
        data, status = self.into_a_full_pipe(
            program("WEIR_CLIENT"), "load", "127.0.0.1:1", "--dry-run")
        self.assertRegex(data, rb"(?s)^127\.0\.0\.1:1 .*\nports .*\n$")
        self.assertEqual(status, 0)

    def test_a_complaint(self):
        data, status = self.into_a_full_pipe(program("WEIR_CLIENT"), "talk")
        self.assertRegex(data, rb"^weir-client: the address is missing.*\n$")
        self.assertEqual(status, 2)

    def test_standard_input(self):
        """Nothing there yet is not the end, and no failure."""
        with Server("echo@127.0.0.1:0") as server:
            for args in (("send",), ("chat", "-l"), ("talk", "-B")):
                ours, theirs = os.pipe()
                os.set_blocking(ours, False)
                with self.subTest(args=args), subprocess.Popen(
                        [program("WEIR_CLIENT"), args[0], server.address(),
                         *args[1:]], stdin=ours, stdout=PIPE,
                        stderr=PIPE) as process:
                    os.close(ours)
                    until(lambda: process.poll() is not None or
                          waits(process.pid), "a client that waits")
                    os.write(theirs, b"hello\n")
                    os.close(theirs)
                    out, err = process.communicate(timeout=DEADLINE)
                    self.assertEqual((process.returncode, out, err),
                                     (0, b"hello\n", b""))


class Gone(TestCase):
    """A reader or a terminal that is not there any more."""

    def skip_without_json(self, args):
        if "--json" in args and is_built_without("jansson"):
            self.skipTest("built without jansson")

    def test_a_reader_that_has_had_enough(self):
        """As with cat(1): no word, and the signal's status."""
        with Server("daytime@127.0.0.1:0", "echo@127.0.0.1:0",
                    "file@127.0.0.1:0", "--file", program("WEIR_SERVER")
                    ) as server:
            for args in (("talk", server.address(0), "-r"),
                         ("send", server.address(1), "hello"),
                         ("chat", server.address(1)),
                         ("fetch", server.address(2), "-o", "-"),
                         ("load", server.address(1), "-n", "10"),
                         ("load", server.address(1), "-n", "10", "--json",
                          "-"),
                         ("talk", "--help"), ("--help",), ("--version",)):
                with self.subTest(args=args), \
                        open(os.devnull, "wb") as null:
                    self.skip_without_json(args)
                    ours, theirs = os.pipe()
                    os.close(ours)
                    result = run("WEIR_CLIENT", *args, input=b"hello\n",
                                 stdout=theirs,
                                 stderr=null if args[0] == "load" else PIPE)
                    os.close(theirs)
                    self.assertEqual(result.returncode, -signal.SIGPIPE)
                    self.assertFalse(result.stderr)

    def test_one_whose_parent_ignores_it(self):
        """Then it is an error like others."""
        ours, theirs = os.pipe()
        os.close(ours)
        result = run("WEIR_CLIENT", "--help", stdout=theirs,
                     restore_signals=False)
        os.close(theirs)
        self.check_failure(result, "standard output", "Broken pipe")

    def test_a_file_that_may_not_grow(self):
        """As a disk that is full."""
        def few_bytes():
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
            without_core_dumps()
        with Server("echo@127.0.0.1:0") as server:
            for args in (("send", server.address(), "x" * 200),
                         ("chat", server.address()),
                         ("talk", "-B", server.address()),
                         ("load", server.address(), "-n", "10", "-q",
                          "--json", "-"),
                         ("load", "-h")):
                with self.subTest(args=args), \
                        open(self.folder() + "/out", "wb") as out:
                    self.skip_without_json(args)
                    result = run("WEIR_CLIENT", *args, input=b"x" * 200,
                                 stdout=out, preexec_fn=few_bytes)
                    self.assertEqual(result.returncode, 1, result)
                    self.assertIn(b"cannot write to standard output: File too "
                                  b"large\n", result.stderr)
        with open(self.folder() + "/out", "wb") as out:
            result = run("WEIR_SERVER", "-h", stdout=out,
                         preexec_fn=few_bytes)
        self.assertEqual(result.returncode, 1, result)

    def test_a_terminal_that_does_not_control_us(self):
        """Nobody sends a signal then."""
        for term in ("xterm", "dumb"):
            for args in (("talk", "-B"), ("chat",), ("chat", "-l")):
                for typed in (b"", b"half a line"):
                    with self.subTest(term=term, args=args, typed=typed):
                        self.lose_terminal(term, args, typed)

    def lose_terminal(self, term, args, typed):
        def stays(sock):
            while sock.recv(100):
                pass
        ours, theirs = pty.openpty()
        with PythonServer(stays) as server, subprocess.Popen(
                [program("WEIR_CLIENT"), args[0], server.address, *args[1:]],
                stdin=theirs, stdout=theirs, stderr=theirs,
                env=dict(os.environ, TERM=term)) as client:
            os.close(theirs)
            seen = b""
            while b": " not in seen and b">> " not in seen:
                seen += os.read(ours, 1000)
            os.write(ours, typed)
            while typed not in seen:
                seen += os.read(ours, 1000)
            os.close(ours)
            try:
                client.wait(DEADLINE)
            finally:
                client.kill()

    def test_an_ignored_hangup_and_a_terminal_that_goes(self):
        with PythonServer(lambda sock: sock.recv(100)) as server:
            for command in ("talk", "chat"):
                with self.subTest(command=command), Terminal(
                        command, server.address,
                        shell="trap '' HUP; exec \"$@\"") as user:
                    user.expect(b": " if command == "talk" else b">> ")
                    user.hang_up()
                    user.end()


class IgnoredSignals(TestCase):
    """nohup(1), cron(8) and shells in the background: what they have ignored
    stays so."""

    SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)

    def test_on_a_pipe(self):
        commands = [(("talk", "-B"), b"hi\n", b"hi\n"),
                    (("chat",), b"hi\n", b"hi\n"), (("send", "-"), b"hi",
                                                     b"hi")]
        with Server("echo@127.0.0.1:0") as server:
            for args, text, answer in commands:
                with self.subTest(args=args), subprocess.Popen(
                        ["/bin/sh", "-c", "trap '' HUP INT TERM; exec \"$@\"",
                         "sh", program("WEIR_CLIENT"), args[0],
                         server.address(), *args[1:]], stdin=PIPE,
                        stdout=PIPE, stderr=PIPE) as client:
                    until(lambda: waits(client.pid), "a client that waits")
                    for signo in self.SIGNALS:
                        client.send_signal(signo)
                    out, err = client.communicate(text, DEADLINE)
                    self.assertEqual((client.returncode, out, err),
                                     (0, answer, b""))

    def test_at_the_prompt(self):
        with Server("echo@127.0.0.1:0") as server:
            for term in ("xterm", "dumb"):
                with self.subTest(term=term), Terminal(
                        "chat", server.address(), term=term,
                        shell="trap '' HUP INT TERM; exec \"$@\"") as user:
                    user.expect(b">> ")
                    user.type(b"hel")
                    user.expect(b"hel")
                    for signo in self.SIGNALS:
                        os.kill(user.pid, signo)
                    user.type(b"lo\n")
                    user.expect(b">>  hello\r\n>> ")
                    user.type(b"\x04")
                    self.assertEqual(user.end(), 0)


class Closed(TestCase):
    """Standard output is closed, as by >&- in a shell."""

    def test_what_would_go_there_is_not_lost_in_silence(self):
        def answers(sock):
            sock.sendall(b"answer\n")
            sock.recv(100)
        for args, text in ((["fetch", "-o", "-"], b""), (["talk", "-r"], b""),
                           (["send"], b"hello\n"), (["chat"], b"hello\n"),
                           (["talk", "-B"], b"hello\n")):
            with PythonServer(answers) as server:
                result = run("WEIR_CLIENT", *args, server.address, input=text,
                             preexec_fn=lambda: os.close(1))
            with self.subTest(args=args):
                self.check_failure(result, "cannot write to standard output")

    def test_nor_while_nothing_is_typed(self):
        def speaks(sock):
            sock.sendall(b"news\n")
            sock.recv(100)
        for command in ["talk", "-B"], ["talk", "-l"], ["chat"]:
            with PythonServer(speaks) as server, subprocess.Popen(
                    [program("WEIR_CLIENT"), *command, server.address],
                    stdin=PIPE, stderr=PIPE,
                    preexec_fn=lambda: os.close(1)) as client:
                self.assertEqual(client.wait(DEADLINE), 1)
                self.assertIn(b"cannot write to standard output",
                              client.stderr.read())


if __name__ == "__main__":
    main()
