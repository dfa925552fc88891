#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weir-server with listening sockets that a service manager passes: fd:NAME."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys

from weirtest import (DEADLINE, Server, TestCase, connect, main, program,
                      read_exactly, run, until)

# Called with the count of descriptors, these, and a command line.  Starts that
# with the descriptors moved to 3 and up, as a service manager does.
ACTIVATE = """
import fcntl, os, sys
count = int(sys.argv[1])
fds = [fcntl.fcntl(int(fd), fcntl.F_DUPFD_CLOEXEC, 100)
       for fd in sys.argv[2:2 + count]]
for i, fd in enumerate(fds):
    os.dup2(fd, 3 + i)
os.environ.setdefault("LISTEN_PID", str(os.getpid()))
os.execv(sys.argv[2 + count], sys.argv[2 + count:])
"""

CLOEXEC = 0o2000000


class Base(TestCase):
    def listeners(self, count):
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        return [stack.enter_context(socket.create_server(("127.0.0.1", 0)))
                for _ in range(count)]

    def passing(self, sockets, names, **settings):
        """For a program that gets these sockets under these names."""
        env = dict(os.environ, LISTEN_FDS=str(len(sockets)))
        if names is not None:
            env["LISTEN_FDNAMES"] = names
        fds = [sock.fileno() for sock in sockets]
        return {"under": [sys.executable, "-c", ACTIVATE, str(len(fds)),
                          *map(str, fds)],
                "pass_fds": fds, "env": dict(env, **settings)}

    def refused(self, sockets, names, *args, **settings):
        """What a server says that does not start with these."""
        how = self.passing(sockets, names, **settings)
        under = how.pop("under")
        return subprocess.run([*under, program("WEIR_SERVER"), *args],
                              stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=DEADLINE, **how)

    def check_echo(self, where):
        with connect(where) as client:
            client.sendall(b"hello")
            self.assertEqual(read_exactly(client, 5), b"hello")


def where_of(sock):
    return "127.0.0.1:%d" % sock.getsockname()[1]


class Names(Base):
    def test_names_count_and_not_positions(self):
        one, two = self.listeners(2)
        with Server("daytime@fd:clock", "echo@fd:echo",
                    **self.passing([one, two], "echo:clock")) as server:
            self.assertEqual([server.address(i) for i in range(2)],
                             [where_of(two), where_of(one)])
            self.check_echo(where_of(one))
            self.assertEqual(server.stop()[0], 0)

    def test_two_of_one_name_are_two_listeners(self):
        sockets = self.listeners(3)
        with Server("echo@fd:echo", "daytime@fd:clock",
                    **self.passing(sockets, "echo:clock:echo")) as server:
            self.assertEqual([server.address(i) for i in range(3)],
                             [where_of(sockets[i]) for i in (0, 2, 1)])
            self.check_echo(where_of(sockets[0]))
            self.check_echo(where_of(sockets[2]))
            self.assertEqual(server.stop()[0], 0)

    def test_without_names_all_are_unknown(self):
        for names in (None, ":"):
            sockets = self.listeners(2)
            with Server("echo@fd:unknown",
                        **self.passing(sockets, names)) as server:
                for sock in sockets:
                    self.check_echo(where_of(sock))
                self.assertEqual(server.stop()[0], 0)

    def test_numbers_and_names_together(self):
        one, two = self.listeners(2)
        with Server("echo@fd:3", "echo@fd:other", "echo@127.0.0.1:0",
                    **self.passing([one, two], "echo:other")) as server:
            for i in range(3):
                self.check_echo(server.address(i))
            self.assertEqual(server.stop()[0], 0)

    def test_no_program_inherits_them(self):
        sockets = self.listeners(2)
        with Server("echo@fd:unknown", **self.passing(sockets, None)) as server:
            for fd in 3, 4:
                with open("/proc/%d/fdinfo/%d" % (server.pid, fd)) as info:
                    flags = int(info.read().split("flags:")[1].split()[0], 8)
                self.assertTrue(flags & CLOEXEC)
            server.stop()

    def test_another_process_is_not_meant(self):
        with Server(**self.passing(self.listeners(1), "echo",
                                   LISTEN_PID="1")) as server:
            self.assertEqual(server.stop()[0], 0)


class Errors(Base):
    def test_a_name_that_was_not_passed(self):
        self.check_usage(run("WEIR_SERVER", "echo@fd:three"), "weir-server",
                         "'echo@fd:three'", "no socket was passed")
        self.check_usage(
            self.refused(self.listeners(2), "a:b", "echo@fd:a", "echo@fd:c"),
            "weir-server", "'echo@fd:c'", "passed are: a, b")

    def test_a_socket_that_no_operand_names(self):
        for args in (["echo@fd:b"], ["echo@fd:4"], []):
            self.check_usage(
                self.refused(self.listeners(3), "a:b:c", *args),
                "weir-server", "'a'", "passed are: a, b, c")

    def test_one_socket_by_number_and_by_name(self):
        self.check_usage(
            self.refused(self.listeners(1), "a", "echo@fd:3", "echo@fd:a"),
            "weir-server", "'echo@fd:a'", "twice")

    def test_a_name_twice(self):
        self.check_usage(run("WEIR_SERVER", "echo@fd:a", "daytime@fd:a"),
                         "weir-server", "twice")

    def test_names_that_cannot_be(self):
        for name in ("a:b", "a\x7f", "x" * 256):
            self.check_usage(run("WEIR_SERVER", "--check", "echo@fd:" + name),
                             "weir-server", "255 printable")

    def test_a_passed_descriptor_that_does_not_listen(self):
        with socket.socket() as deaf:
            self.check_usage(self.refused([deaf], "a", "echo@fd:a"),
                             "weir-server", "'echo@fd:a'", "not a listening")

    def test_variables_that_are_wrong(self):
        for settings, *fragments in (
                ({"LISTEN_PID": "0x1"}, "LISTEN_PID", "'0x1'"),
                ({"LISTEN_PID": "99999999999999999999"}, "LISTEN_PID"),
                ({"LISTEN_FDS": "-1"}, "LISTEN_FDS", "'-1'"),
                ({"LISTEN_FDS": "2147483645"}, "LISTEN_FDS"),
                ({"LISTEN_FDS": "4294967297"}, "LISTEN_FDS"),
                ({"LISTEN_FDS": "1000"}, "LISTEN_FDS", "not open"),
                ({"LISTEN_FDNAMES": "a:b"}, "LISTEN_FDNAMES", "1")):
            with self.subTest(settings=settings):
                self.check_usage(
                    self.refused(self.listeners(1), "a", "echo@fd:a",
                                 **settings),
                    "weir-server", *fragments)

    def test_check_looks_at_no_socket(self):
        result = run("WEIR_SERVER", "--check", "echo@fd:a", "echo@fd:b")
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        self.assertIn(b'listen "echo@fd:a"\n', result.stdout)


class SocketActivate(Base):
    """By the tool that systemd has for this."""

    def test_it_serves_what_that_passes(self):
        tool = shutil.which("systemd-socket-activate")
        if not tool:
            self.skipTest("systemd-socket-activate is not installed")
        folder = self.folder()
        keep = ["-E%s=%s" % (name, os.environ[name])
                for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ]
        with Server("echo@fd:echo", "daytime@fd:clock", ready=False,
                    under=[tool, "-l", folder + "/e", "-l", folder + "/c",
                           "--fdname=echo:clock", *keep]) as server:
            until(lambda: os.path.exists(folder + "/c"), "the sockets")
            self.check_echo("unix:" + folder + "/e")
            server.out.expect(rb"^ready\n")
            self.assertEqual(server.address(1), "unix:" + folder + "/c")
            self.assertEqual(server.stop()[0], 0)


if __name__ == "__main__":
    main()
