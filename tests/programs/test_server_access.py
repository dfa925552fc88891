#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weir-server and its clients: rules, limits of an address, reloads."""

import errno
import os
import signal
import socket
import subprocess
import traceback

from weirtest import (DEADLINE, Server, TestCase, connect, main, passing,
                      read_all, run, until)

REFUSAL = b"busy, try later\n"


def connect_from(server, source, i=0):
    """A client with this address of its own."""
    host, port = server.address(i).rsplit(":", 1)
    return socket.create_connection((host, int(port)), DEADLINE, (source, 0))


def echoes(sock):
    sock.sendall(b"hello\n")
    return sock.recv(64) == b"hello\n"


def greeting(name, user):
    """What this user gets from an abstract socket.  There need be no program
    that the user may run."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(1001)
            os.setuid(user)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(DEADLINE)
                sock.connect("\0" + name[1:])
                os.write(writing, sock.recv(9))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    os.close(writing)
    with open(reading, "rb") as pipe:
        said = pipe.read()
    if os.waitpid(child, 0)[1] != 0:
        raise AssertionError("the client of user %d has failed" % user)
    return said


class Access(TestCase):
    def setUp(self):
        self.place = self.folder()
        self.rules = os.path.join(self.place, "rules")

    def write(self, text, path=None):
        with open(path or self.rules, "w") as file:
            file.write(text)

    def test_rules_on_the_command_line(self):
        with Server("--access", "deny 127.0.0.3; limit 2",
                    "echo@127.0.0.1:0") as server:
            with connect_from(server, "127.0.0.3") as sock:
                self.assertEqual(read_all(sock), b"")
            with connect_from(server, "127.0.0.2") as one, \
                    connect_from(server, "127.0.0.2") as two:
                self.assertTrue(echoes(one) and echoes(two))
                with connect_from(server, "127.0.0.2") as three:
                    self.assertEqual(read_all(three), REFUSAL)
            server.logs(rb"client 127\.0\.0\.3:\d+ refused: the access rules")
            server.logs(rb"client 127\.0\.0\.2:\d+ refused: its address has "
                        rb"too many open")
            status, counts = server.stop()
            self.assertEqual((status, counts["refused"]), (0, 2))

    def test_a_rate_is_told_from_a_limit(self):
        with Server("--access", "rate 1/1h", "echo@127.0.0.1:0") as server:
            with connect_from(server, "127.0.0.2") as one:
                self.assertTrue(echoes(one))
                with connect_from(server, "127.0.0.2") as two:
                    self.assertEqual(read_all(two), REFUSAL)
            server.logs(rb"client 127\.0\.0\.2:\d+ refused: its address "
                        rb"connects too often")

    def test_a_limit_without_rules_is_not_for_loopback(self):
        with Server("--max-per-source", "1", "echo@127.0.0.1:0") as server:
            with connect_from(server, "127.0.0.2") as one, \
                    connect_from(server, "127.0.0.2") as two:
                self.assertTrue(echoes(one) and echoes(two))

    def test_a_file_of_rules_is_read_again(self):
        self.write("deny 127.0.0.3\n")
        with Server("--access", self.rules, "echo@127.0.0.1:0") as server:
            with connect_from(server, "127.0.0.3") as sock:
                self.assertEqual(read_all(sock), b"")
            self.write("# nobody is denied\n")
            server.process.send_signal(signal.SIGHUP)
            server.logs(rb"reloaded '.*rules'")
            with connect_from(server, "127.0.0.3") as sock:
                self.assertTrue(echoes(sock))
            self.write("deny 127.0.0.3\ndeny 127.0.0.3/8\n")
            server.process.send_signal(signal.SIGHUP)
            server.logs(rb"not reloaded: --access: .*rules: line 2: "
                        rb"'127\.0\.0\.3/8': bits are set")
            with connect_from(server, "127.0.0.3") as sock:
                self.assertTrue(echoes(sock))

    def test_a_configuration_changes_rules_and_limits_together(self):
        config = os.path.join(self.place, "config")
        self.write("access = limit 1\n", config)
        with Server("--config", config, "echo@127.0.0.1:0") as server:
            with connect_from(server, "127.0.0.2") as one:
                self.assertTrue(echoes(one))
                with connect_from(server, "127.0.0.2") as two:
                    self.assertEqual(read_all(two), REFUSAL)
                # One wrong line: nothing of the file has an effect.
                self.write("access = limit 5\nearly-drop = 5\n", config)
                server.process.send_signal(signal.SIGHUP)
                server.logs(rb"not reloaded: --early-drop: '5' is not like")
                with connect_from(server, "127.0.0.2") as two:
                    self.assertEqual(read_all(two), REFUSAL)
                self.write("access = limit 5\nrefusal = full\n", config)
                server.process.send_signal(signal.SIGHUP)
                server.logs(rb"info reloaded")
                with connect_from(server, "127.0.0.2") as two:
                    self.assertTrue(echoes(two))

    def test_a_check_names_the_wrong_line(self):
        self.write("allow 10.0.0.0/8\n\ndeny ten\n")
        got = run("WEIR_SERVER", "--check", "--access", self.rules)
        self.assertEqual(got.returncode, 2)
        self.assertEqual(got.stderr.decode(),
                         "weir-server: --access: %s: line 3: 'ten': it is no "
                         "IP address\n" % self.rules)
        got = run("WEIR_SERVER", "--check", "--access", "limit 5; rate 7")
        self.assertRegex(got.stderr, rb"--access: line 2: 'rate 7' is not")
        got = run("WEIR_SERVER", "--check", "--access", "/nowhere/rules")
        self.assertRegex(got.stderr, rb"--access: /nowhere/rules: no such")
        for value in ("10", "10:30", "10:30:10", "0:30:10", "10:101:20",
                      "10:0:20", "10:30:20x", "1:30:10000001"):
            got = run("WEIR_SERVER", "--check", "--early-drop", value)
            self.assertEqual(got.returncode, 2, value)

    def test_wrong_bounds_of_unsent_output_are_refused(self):
        for value in ("0", "1048577", "64k", "never", ""):
            got = run("WEIR_SERVER", "--check", "--max-unsent", value)
            self.assertEqual(got.returncode, 2, value)
            self.assertIn(b"--max-unsent", got.stderr)

    def test_rules_of_several_options_add_up(self):
        self.write("# of the file\n\ndeny 127.0.0.4")
        with Server("--access", "allow 127.0.0.3; limit 1",
                    "--access", self.rules, "--access", "deny 127.0.0.0/28",
                    "echo@127.0.0.1:0") as server:
            for denied in "127.0.0.2", "127.0.0.4":
                with connect_from(server, denied) as sock:
                    self.assertEqual(read_all(sock), b"", denied)
            with connect_from(server, "127.0.0.3") as one:
                self.assertTrue(echoes(one))
                with connect_from(server, "127.0.0.3") as two:
                    self.assertEqual(read_all(two), REFUSAL)
            self.write("")
            server.process.send_signal(signal.SIGHUP)
            server.logs(rb"reloaded '.*rules'")
            with connect_from(server, "127.0.0.4") as sock:
                self.assertEqual(read_all(sock), b"")

    def test_of_several_options_the_wrong_one_is_named(self):
        self.write("limit 5\ndeny ten\n")
        for values, words in (
                (("limit 5", "rate 7"), "'rate 7': line 1: 'rate 7' is not"),
                (("limit 5; rate 7", "deny ten"),
                 "'limit 5; rate 7': line 2: 'rate 7' is not"),
                (("rate 5/1s", self.rules), self.rules + ": line 2: 'ten'"),
                (("/nowhere/rules", "limit 5"), "/nowhere/rules: no such"),
                (("limit 5; rate 7/1s", "deny ::/0; limit 6"),
                 "'deny ::/0; limit 6': line 2: a second 'limit'")):
            got = run("WEIR_SERVER", "--check",
                      *("--access=" + value for value in values))
            self.assertEqual(got.returncode, 2)
            self.assertIn("weir-server: --access: " + words,
                          got.stderr.decode())
        self.write("deny 10.0.0.0/8\nlimit 7")
        got = run("WEIR_SERVER", "--check", "--access", self.rules,
                  "--access", self.rules)
        self.assertIn("--access: %s: line 2: a second 'limit'" % self.rules,
                      got.stderr.decode())
        got = run("WEIR_SERVER", "--check", *65 * ("--access", "deny ::/0"))
        self.assertIn(b"--access: 'deny ::/0' is one too many, at most 64",
                      got.stderr)

    def test_the_command_line_replaces_the_rules_of_the_configuration(self):
        config = os.path.join(self.place, "config")
        self.write("access = limit 5\naccess = deny ::/0\n", config)
        for args, rules in (((), ["limit 5", "deny ::/0"]),
                            (("--access", "limit 6"), ["limit 6"]),
                            (("--access", "limit 6", "--access", "rate 1/1s"),
                             ["limit 6", "rate 1/1s"])):
            got = run("WEIR_SERVER", "--check", "--config", config, *args)
            self.assertEqual(got.returncode, 0, got.stderr)
            self.assertEqual([line for line in got.stdout.decode().splitlines()
                              if line.startswith("access ")],
                             ['access "%s"' % rule for rule in rules])
        self.write(64 * "access = deny ::/0\n", config)
        for count in 1, 64:
            got = run("WEIR_SERVER", "--check", "--config", config,
                      *count * ("--access", "deny 10.0.0.0/8"))
            self.assertEqual((got.returncode, got.stderr), (0, b""))
            self.assertEqual(got.stdout.count(b'\naccess "deny 10.'), count)
            self.assertNotIn(b"::/0", got.stdout)

    def test_a_check_shows_what_runs(self):
        got = run("WEIR_SERVER", "--check", "--access", "limit 5",
                  "--max-per-source", "7", "--early-drop", "10:30:100",
                  "--evict-idle", "5s")
        self.assertEqual(got.returncode, 0, got.stderr)
        for line in (b'access "limit 5"', b"max-per-source 7",
                     b"early-drop 10:30:100", b"evict-idle 5s"):
            self.assertIn(line, got.stdout.splitlines())

    def test_idle_clients_make_room(self):
        with Server("-m", "2", "--evict-idle", "50ms",
                    "echo@127.0.0.1:0") as server:
            with server.connect() as one, server.connect() as two:
                self.assertTrue(echoes(one) and echoes(two))
                with server.connect() as three:
                    self.assertTrue(echoes(three))
                self.assertEqual(read_all(one), b"")

    def test_rules_for_users_decide_about_unix_sockets(self):
        path = os.path.join(self.place, "socket")
        with Server("--access", "allow uid:%d" % os.getuid(),
                    "echo@unix:" + path, "echo@127.0.0.1:0") as server:
            with server.connect() as sock:
                self.assertTrue(echoes(sock))
            with server.connect(1) as sock:
                self.assertTrue(echoes(sock))
        with Server("--access", "allow uid:%d" % (os.getuid() + 1),
                    "echo@unix:" + path) as server:
            with server.connect() as sock:
                self.assertEqual(read_all(sock), b"")

    def test_another_user_is_denied(self):
        if os.getuid() != 0:
            self.skipTest("becoming another user is left to root")
        # Without a file, whose folder may be closed to others.
        name = "@weir-access-%d" % os.getpid()
        with Server("--access", "deny uid:1002", "greet@unix:" + name,
                    "--greeting", "hello"):
            for user, answer in ((1002, b""), (1001, b"hello")):
                self.assertEqual(greeting(name, user), answer)

    def test_rules_for_users_need_no_new_unix_socket(self):
        """As with RestrictAddressFamilies= of systemd, which leaves sockets
        alone that are passed."""
        deny = [os.environ["WEIR_DENY"], "socket", str(errno.EAFNOSUPPORT)]
        if not os.path.exists(deny[0]):
            self.skipTest("built without the program that denies calls")
        if subprocess.run(deny + ["/bin/true"]).returncode == 77:
            self.skipTest("no filter of system calls can be set here")
        path = os.path.join(self.place, "socket")
        with socket.create_server(("127.0.0.1", 0)) as tcp, \
                socket.socket(socket.AF_UNIX) as unix:
            unix.bind(path)
            unix.listen()
            where = "127.0.0.1:%d" % tcp.getsockname()[1]
            for rule, served in ("deny", False), ("allow", True):
                under = passing([tcp, unix], "tcp:unix")
                under["under"] = deny + under["under"]
                with Server("--access", "%s uid:%d" % (rule, os.getuid()),
                            "echo@fd:tcp", "echo@fd:unix", **under):
                    with connect(where) as sock:
                        self.assertTrue(echoes(sock))
                    with connect("unix:" + path) as sock:
                        self.assertEqual(
                            echoes(sock) if served else read_all(sock),
                            served or b"")


if __name__ == "__main__":
    main()
