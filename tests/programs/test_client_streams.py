#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Standard streams that others share with us: a shell, a terminal program, a
parent written in some other language may have made them non-blocking, and
may be gone."""

import contextlib
import os
import select
import socket
import subprocess
import threading

from weirtest import (DEADLINE, PythonServer, Server, TestCase, main, program,
                      until)

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
                args, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if error else theirs,
                stderr=theirs if error else subprocess.PIPE) as process:
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
                whole = subprocess.run(args, stdout=subprocess.PIPE,
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
                         *args[1:]], stdin=ours, stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE) as process:
                    os.close(ours)
                    until(lambda: process.poll() is not None or
                          waits(process.pid), "a client that waits")
                    os.write(theirs, b"hello\n")
                    os.close(theirs)
                    out, err = process.communicate(timeout=DEADLINE)
                    self.assertEqual((process.returncode, out, err),
                                     (0, b"hello\n", b""))


if __name__ == "__main__":
    main()
