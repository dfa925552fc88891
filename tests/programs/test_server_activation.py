#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weir-server with listening sockets that a service manager passes: fd:NAME."""

import contextlib
import os
import shutil
import socket
import subprocess

from weirtest import (DEADLINE, Server, TestCase, connect, main, passing,
                      program, read_exactly, run, until)

CLOEXEC = 0o2000000


class Base(TestCase):
    def listeners(self, count):
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        return [stack.enter_context(socket.create_server(("127.0.0.1", 0)))
                for _ in range(count)]

    def refused(self, sockets, names, *args, **settings):
        """What a server says that does not start with these."""
        how = passing(sockets, names, **settings)
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
                    **passing([one, two], "echo:clock")) as server:
            self.assertEqual([server.address(i) for i in range(2)],
                             [where_of(two), where_of(one)])
            self.check_echo(where_of(one))
            self.assertEqual(server.stop()[0], 0)

    def test_two_of_one_name_are_two_listeners(self):
        sockets = self.listeners(3)
        with Server("echo@fd:echo", "daytime@fd:clock",
                    **passing(sockets, "echo:clock:echo")) as server:
            self.assertEqual([server.address(i) for i in range(3)],
                             [where_of(sockets[i]) for i in (0, 2, 1)])
            self.check_echo(where_of(sockets[0]))
            self.check_echo(where_of(sockets[2]))
            self.assertEqual(server.stop()[0], 0)

    def test_without_names_all_are_unknown(self):
        for names in (None, ":"):
            sockets = self.listeners(2)
            with Server("echo@fd:unknown",
                        **passing(sockets, names)) as server:
                for sock in sockets:
                    self.check_echo(where_of(sock))
                self.assertEqual(server.stop()[0], 0)

    def test_numbers_and_names_together(self):
        one, two = self.listeners(2)
        with Server("echo@fd:3", "echo@fd:other", "echo@127.0.0.1:0",
                    **passing([one, two], "echo:other")) as server:
            for i in range(3):
                self.check_echo(server.address(i))
            self.assertEqual(server.stop()[0], 0)

    def test_names_of_our_own_sockets_are_free(self):
        path = self.folder() + "/control"
        for name in "control", "status", "listener-0":
            sockets = self.listeners(1)
            with Server("echo@127.0.0.1:0", "daytime@fd:" + name,
                        "--control", path,
                        **passing(sockets, name)) as server:
                self.assertTrue(os.path.exists(path))
                self.check_echo(server.address())
                self.assertEqual(server.address(1), where_of(sockets[0]))
                self.assertEqual(server.stop()[0], 0)

    def test_the_pages_of_the_status(self):
        self.skip_without_status()
        for where in "fd:pages", "fd:3":
            sockets = self.listeners(1)
            with Server("--status", where, "echo@127.0.0.1:0",
                        **passing(sockets, "pages")) as server:
                with connect(where_of(sockets[0])) as client:
                    client.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
                    self.assertEqual(read_exactly(client, 12), b"HTTP/1.1 200")
                self.check_echo(server.address())
                self.assertEqual(server.stop()[0], 0)
        self.check_usage(
            self.refused(self.listeners(1), "a", "--status", "fd:b",
                         "echo@fd:a"),
            "weir-server", "--status", "'fd:b'", "passed are: a")

    def test_a_socket_has_one_listener(self):
        self.skip_without_status()
        for args in (("--status", "fd:3", "echo@fd:3"),
                     ("--agent", "fd:3", "echo@fd:3"),
                     ("--agent", "fd:3", "--status", "fd:3"),
                     ("--agent", "fd:a", "echo@fd:a")):
            self.check_usage(self.refused(self.listeners(1), "a", *args),
                             "weir-server", args[0], "given twice")
        for args in (("--status", "fd:3", "echo@fd:a"),
                     ("--status", "fd:a", "echo@fd:3"),
                     ("--agent", "fd:3", "echo@fd:a"),
                     ("--agent", "fd:3", "--status", "fd:a", "echo@127.0.0.1:0"),
                     ("--agent", "fd:a", "--status", "fd:3",
                      "echo@127.0.0.1:0")):
            self.check_usage(self.refused(self.listeners(1), "a", *args),
                             "weir-server", "%s: cannot listen on '%s'" %
                             args[:2], "another listener has that socket")

    def test_no_program_inherits_them(self):
        sockets = self.listeners(2)
        with Server("echo@fd:unknown", **passing(sockets, None)) as server:
            for fd in 3, 4:
                with open("/proc/%d/fdinfo/%d" % (server.pid, fd)) as info:
                    flags = int(info.read().split("flags:")[1].split()[0], 8)
                self.assertTrue(flags & CLOEXEC)
            server.stop()

    def test_another_process_is_not_meant(self):
        with Server(**passing(self.listeners(1), "echo",
                              LISTEN_PID="1")) as server:
            self.assertEqual(server.stop()[0], 0)


class Kept(Base):
    """By a service manager, which gets them from a server and passes them to
    the next one."""

    def setUp(self):
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.manager.close)
        self.manager.bind(self.folder() + "/notify")
        self.manager.settimeout(DEADLINE)

    def serve(self, *args, **kwargs):
        env = dict(kwargs.pop("env", os.environ),
                   NOTIFY_SOCKET=self.manager.getsockname())
        return Server("--keep-listeners", *args, env=env, **kwargs)

    def next(self):
        """A message, and the socket that came with it."""
        text, fds, _, _ = socket.recv_fds(self.manager, 4096, 2)
        return text.decode(), [socket.socket(fileno=fd) for fd in fds]

    def kept(self, count):
        """By their names, of a server that is ready then."""
        found = {}
        for _ in range(count):
            text, [sock] = self.next()
            self.addCleanup(sock.close)
            # systemd stores one of another name as "stored".
            self.assertRegex(text, r"\AFDSTORE=1\nFDNAME=~[!-9;-~]{1,254}\Z")
            found[text.partition("FDNAME=")[2]] = sock
        self.assertEqual(self.next(), ("READY=1", []))
        return found

    def rest(self):
        """All messages that were sent."""
        self.manager.setblocking(False)
        said = []
        with contextlib.suppress(BlockingIOError):
            while True:
                said.append(self.next()[0])
        self.manager.settimeout(DEADLINE)
        return said

    def test_clients_wait_for_the_next_server(self):
        path = self.folder() + "/socket"
        args = ("echo@127.0.0.1:0", "echo@unix:" + path)
        with self.serve(*args) as server:
            kept = self.kept(2)
            where = [server.address(i) for i in range(2)]
            self.check_echo(where[0])
            self.assertEqual(server.stop()[0], 0)
        self.rest()
        clients = [connect(address) for address in where]
        for client in clients:
            client.sendall(b"hello")
        with self.serve(*args, **passing(
                list(kept.values()), ":".join(kept))) as server:
            self.assertEqual([server.address(i) for i in range(2)], where)
            for client in clients:
                self.assertEqual(read_exactly(client, 5), b"hello")
                client.close()
            self.assertEqual(server.stop()[0], 0)
        self.assertTrue(os.path.exists(path))

    def test_a_kept_path_gets_the_mode_of_the_next_server(self):
        path = self.folder() + "/socket"
        with self.serve("echo@unix:" + path, "--mode", "666") as server:
            kept = self.kept(1)
            self.assertEqual(server.stop()[0], 0)
        self.rest()
        with self.serve("echo@unix:" + path, "--mode", "640", **passing(
                list(kept.values()), ":".join(kept))) as server:
            self.assertEqual(os.stat(path).st_mode & 0o7777, 0o640)
            self.assertEqual(server.stop()[0], 0)
        # Another file may have taken its place.
        os.unlink(path)
        os.symlink(self.folder(), path)
        with self.serve("echo@unix:" + path, "--mode", "600", **passing(
                list(kept.values()), ":".join(kept))) as server:
            self.assertEqual(os.stat(path).st_mode & 0o7777, 0o700)
            self.assertEqual(server.stop()[0], 0)

    def test_names_are_ascii_and_those_of_long_paths_differ(self):
        folder = self.folder() + "/"
        args = ["echo@unix:" + folder + name
                for name in ("b\u00fcro %", "b\u00fcro\u00bc",
                             26 * "\u6570" + "1", 26 * "\u6570" + "2")]
        with self.serve(*args) as server:
            kept = self.kept(4)
            self.assertEqual(len(kept), 4)
            self.assertEqual(server.stop()[0], 0)
        self.rest()
        with self.serve(*args, **passing(
                list(kept.values()), ":".join(kept))) as server:
            for i in range(4):
                self.check_echo(args[i].partition("@")[2])
            self.assertEqual(server.stop()[0], 0)

    def test_two_on_any_port_are_kept_apart(self):
        args = ("echo@127.0.0.1:0", "daytime@127.0.0.1:0")
        env = dict(os.environ, NOTIFY_SOCKET=self.manager.getsockname())
        with Server("--keep-listeners", *args, env=env) as server:
            where = [server.address(i) for i in range(2)]
            (one, [first]), (two, [second]) = self.next(), self.next()
            self.assertEqual(one, two)
            self.assertEqual(server.stop()[0], 0)
        self.rest()
        name = one.partition("FDNAME=")[2]
        with self.serve(*args, **passing(
                [first, second], name + ":" + name)) as server:
            self.assertEqual([server.address(i) for i in range(2)], where)
            self.assertEqual(server.stop()[0], 0)
        first.close()
        second.close()

    def test_one_that_no_operand_has_any_more_is_given_back(self):
        [sock] = self.listeners(1)
        with self.serve("echo@127.0.0.1:0", **passing(
                [sock], "~127.0.0.1,1")) as server:
            self.assertEqual(self.next()[0],
                             "FDSTOREREMOVE=1\nFDNAME=~127.0.0.1,1")
            self.assertEqual(list(self.kept(1)), ["~127.0.0.1,0"])
            self.assertEqual(server.stop()[0], 0)

    def test_without_a_manager_the_option_has_no_effect(self):
        path = self.folder() + "/socket"
        with Server("--keep-listeners", "echo@unix:" + path) as server:
            self.assertEqual(server.stop()[0], 0)
        self.assertFalse(os.path.exists(path))


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
        for name in ("a:b", "a\x7f", "~a", "x" * 256):
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
