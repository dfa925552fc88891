#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weir-server's log where whoever reads it is slow, or does not read at all."""

import collections
import contextlib
import ctypes
import fcntl
import json
import os
import re
import resource
import select
import threading

from weirtest import (DEADLINE, Server, TestCase, connect,
                      connect_soon, in_time, main, read_all, reset, run, until)


class Losses(TestCase):
    """Each line is read, or counted as lost, once."""

    CLIENTS, AT_ONCE, MISSED = 2000, 8, 20 # the last: while it is full

    def setUp(self):
        self.reader, self.writer = os.pipe()
        self.addCleanup(os.close, self.reader)
        self.addCleanup(os.close, self.writer)
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, 8192)
        self.served = 0
        self.read = b""

    def is_full(self):
        return not select.select([], [self.writer], [], 0)[1]

    def empty(self):
        while select.select([self.reader], [], [], 0)[0]:
            self.read += os.read(self.reader, 65536)

    def meet(self, where):
        """A client is greeted and leaves, which makes a line in the log."""
        with connect(where) as client:
            read_all(client)
        self.served += 1 # one lost to another thread does not matter

    def talk_to(self, where):
        for _ in range(self.CLIENTS // self.AT_ONCE):
            self.meet(where)

    def test_while_several_workers_log(self):
        path = self.folder() + "/s"
        with Server("-w", "4", "greet@unix:" + path,
                    stderr=self.writer) as server:
            threads = [threading.Thread(target=self.talk_to,
                                      args=("unix:" + path,))
                     for _ in range(self.AT_ONCE)]
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                missed = self.served + self.MISSED
                if self.is_full():
                    until(lambda: self.served >= missed or not any(
                        thread.is_alive() for thread in threads), "the clients")
                    self.empty()
            self.empty()
            self.meet("unix:" + path)
            self.empty()
            self.assertEqual(server.stop()[1]["accepted"], self.CLIENTS + 1)
        self.empty()
        # One when it begins, and one when it ends.
        lines = len(re.findall(rb" info connection ", self.read))
        lost = [int(n) for n in re.findall(rb" (\d+) log lines were dropped",
                                           self.read)]
        self.assertGreater(sum(lost), 0)
        self.assertEqual(lines + sum(lost), 2 * (self.CLIENTS + 1), lost)


class Connections(TestCase):
    """Each has a line when it begins and one when it ends, which says why."""

    SERVICES = ("reply", "echo", "collect", "welcome", "file", "chat", "room",
                "discard", "chargen")

    def ends(self, server, name, why):
        return server.logs(
            rb"Z info connection \d+ from %s to \w+@\S+ ended after "
            rb"\d+\.\d{3} s \((\d+) bytes in, (\d+) out\): %s" % (name, why))

    @staticmethod
    def name(sock):
        return b"127\\.0\\.0\\.1:%d" % sock.getsockname()[1]

    def test_one_that_says_nothing(self):
        with Server(*(s + "@127.0.0.1:0" for s in self.SERVICES),
                    "-f", __file__) as server:
            for i, service in enumerate(self.SERVICES):
                with server.connect(i) as sock:
                    name = self.name(sock)
                    server.logs(rb"Z info connection %d from %s to %s@%s$" % (
                        i + 1, name, service.encode(),
                        re.escape(server.address(i)).encode()))
                self.ends(server, name, b"the client has (closed|reset)")
            self.assertEqual(server.stop()[0], 0)

    def check_idle_end(self, server):
        with server.connect() as sock:
            name = self.name(sock)
            sock.sendall(b"hello")
            self.assertEqual(sock.recv(5), b"hello")
            end = self.ends(server, name,
                            b"the client said no more, idle timeout$")
            self.assertEqual(end.groups(), (b"5", b"5"))

    def test_why_it_ended(self):
        with Server("echo@127.0.0.1:0", "-i", "300ms") as server:
            in_time(lambda: self.check_idle_end(server))
            with server.connect() as sock:
                self.ends(server, self.name(sock),
                          b"the client said nothing, idle timeout$")
            self.assertEqual(server.stop()[0], 0)
        with Server("echo@127.0.0.1:0", "greet@127.0.0.1:0") as server:
            with server.connect(1) as sock:
                name = self.name(sock)
                greeting = read_all(sock)
            end = self.ends(server, name, b"the service has closed$")
            self.assertEqual(end.groups(), (b"0", b"%d" % len(greeting)))
            sock = server.connect()
            name = self.name(sock)
            sock.sendall(b"hello")
            self.assertEqual(sock.recv(5), b"hello")
            reset(sock)
            self.ends(server, name, b"the client has reset it or is gone$")
            self.assertEqual(server.stop()[0], 0)

    def test_a_stop_is_a_reason(self):
        with Server("echo@127.0.0.1:0") as server, server.connect() as sock:
            sock.sendall(b"hello")
            self.assertEqual(sock.recv(5), b"hello")
            self.assertEqual(server.stop()[0], 0)
            self.ends(server, self.name(sock), b"the server stops$")

    def test_a_crowd_has_a_limit_of_lines_a_second(self):
        clients, limit = 1000, 100
        with Server("greet@127.0.0.1:0") as server:
            for _ in range(clients):
                with server.connect() as sock:
                    read_all(sock)
            self.assertEqual(server.stop()[0], 0)
            log = server.err.rest()
        by_second = collections.Counter(
            re.findall(rb"^(\S+)\.\d{3}Z info connection ", log, re.M))
        lost = re.findall(rb" (\d+) log lines were dropped", log)
        # Its second is not the clock's: of two halves each may have all.
        self.assertLessEqual(max(by_second.values()), 2 * limit)
        self.assertEqual(sum(by_second.values()) + sum(map(int, lost)),
                         2 * clients)

    def test_a_crowd_displaces_no_line_about_the_server(self):
        folder, rounds = self.folder(), 5
        config, control = folder + "/config", folder + "/control"
        with open(config, "w") as file:
            file.write("log-level = info\n")
        with Server("--config", config, "--control", control,
                    "greet@127.0.0.1:0") as server:
            for _ in range(rounds):
                for _ in range(100):
                    with server.connect() as sock:
                        read_all(sock)
                self.assertEqual(run("WEIR_SERVER", "ctl", "-c", control,
                                     "reload").returncode, 0)
            self.assertEqual(server.stop()[0], 0)
            log = server.err.rest()
        self.assertIn(b" log lines were dropped", log)
        self.assertEqual(log.count(b" info reloaded "), rounds)


class FullFile(TestCase):
    """A file that may not grow is like a full disk."""

    def check(self, which):
        folder = self.folder()

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))

        with open(folder + "/out", "wb") as out, \
                Server("greet@unix:" + folder + "/s", ready=False,
                       preexec_fn=limit, **{which: out}) as server:
            for _ in range(10):
                with connect_soon("unix:" + folder + "/s") as sock:
                    self.assertTrue(read_all(sock))
            server.process.terminate()
            self.assertEqual(server.process.wait(DEADLINE), 0)
        self.assertLessEqual(os.path.getsize(folder + "/out"), 20)

    def test_as_standard_error(self):
        self.check("stderr")

    def test_as_standard_output(self):
        self.check("stdout")


class TornLine(TestCase):
    """A file that may grow no more takes a part of a line.  Once it may, each
    line is whole, or that part alone, and each connection has a line or is
    counted as lost."""

    CLIENTS, ROOM = 10, 1111

    def meet_some(self, path):
        for _ in range(self.CLIENTS):
            with connect("unix:" + path) as client:
                self.assertTrue(read_all(client))

    def lines_of(self, whole, *options):
        """Those of twice as many clients that are whole."""
        folder = self.folder()
        unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
        limited = (self.ROOM, unlimited[1])
        with open(folder + "/log", "wb") as log, Server(
                "greet@unix:" + folder + "/s", *options, stderr=log,
                preexec_fn=lambda: resource.setrlimit(
                    resource.RLIMIT_FSIZE, limited)) as server:
            self.meet_some(folder + "/s")
            until(lambda: os.path.getsize(folder + "/log") == self.ROOM,
                  "a full file")
            self.assertEqual(resource.prlimit(
                server.pid, resource.RLIMIT_FSIZE, unlimited), limited)
            self.meet_some(folder + "/s")
            self.assertEqual(server.stop()[0], 0)
        with open(folder + "/log", "rb") as log:
            text = log.read()
        if text[self.ROOM - 1:self.ROOM] != b"\n":
            self.assertEqual(text[self.ROOM:self.ROOM + 1], b"\n", text)
        lines = text.splitlines()
        torn = [line for line in lines if not re.match(whole, line)]
        self.assertLessEqual(len(torn), 1, torn)
        return [line for line in lines if line not in torn]

    def check(self, lines, name, dropped, count):
        told = sum(name in line for line in lines)
        lost = [int(n) for line in lines for n in re.findall(dropped, line)]
        self.assertEqual(told + sum(lost), count, lines)

    def test_in_the_log(self):
        lines = self.lines_of(
            rb"\S+Z (info stop.*|warning \d+ log lines were dropped|"
            rb"info connection \d+ from unix: to greet@unix:\S+/s"
            rb"( ended after .*: the service has closed)?)$")
        self.check(lines, b" info connection ",
                   rb" (\d+) log lines were dropped", 2 * 2 * self.CLIENTS)

    def test_in_the_access_log(self):
        lines = self.lines_of(
            rb"time=\S+ (dropped=\d+|service=greet .* end=closed)$",
            "--access-log", "all", "--log-level", "warning")
        self.check(lines, b" peer=", rb" dropped=(\d+)", 2 * self.CLIENTS)

    def test_in_the_access_log_as_json(self):
        lines = self.lines_of(
            rb'{"time":"\S+",("dropped":\d+|"service":.*"end":"closed")}$',
            "--access-log", "all", "--access-log-format", "json",
            "--log-level", "warning")
        for line in lines:
            json.loads(line)
        self.check(lines, b'"peer":', rb'"dropped":(\d+)', 2 * self.CLIENTS)


class NoReader(TestCase):
    """Lines that standard error does not take any more are counted."""

    CLIENTS = 10

    def setUp(self):
        self.skip_without_status()

    @contextlib.contextmanager
    def server(self, stderr, *options):
        self.path = self.folder() + "/s"
        with Server("greet@unix:" + self.path, "--status", "127.0.0.1:0",
                    *options, stderr=stderr) as server:
            self.status = server.out.expect(
                rb"^status (.*)$").group(1).decode()
            yield server
            self.assertEqual(server.stop()[0], 0)

    def meet(self):
        with connect("unix:" + self.path) as client:
            self.assertTrue(read_all(client))

    def lost(self, source):
        with connect(self.status) as client:
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            return int(re.search(
                rb'^weir_log_dropped_total{source="%s"} (\d+)$' % source,
                read_all(client), re.M).group(1))

    def check_broken_pipe(self, source, count, *options):
        reader, writer = os.pipe()
        self.addCleanup(os.close, writer)
        os.close(reader)
        with self.server(writer, *options):
            for _ in range(self.CLIENTS):
                self.meet()
            until(lambda: self.lost(source) == count, "%d lost lines" % count)

    def test_of_the_log(self):
        self.check_broken_pipe(b"server", 2 * self.CLIENTS)

    def test_of_the_access_log(self):
        self.check_broken_pipe(b"access", self.CLIENTS, "--access-log", "all")

    def test_lines_that_wait_for_a_terminal_that_goes_away(self):
        queue = 128 # lines
        control = self.folder() + "/control"
        with contextlib.ExitStack() as stack:
            master, slave = (stack.enter_context(open(fd, "wb", 0))
                             for fd in os.openpty())
            server = stack.enter_context(self.server(
                slave, "--access-log", "all", "--control", control))
            met = 0
            while self.lost(b"access") == 0: # until the queue is full
                self.meet()
                met += 1
            server.counts(completed=met)
            before = self.lost(b"access")
            slave.close()
            master.close()
            # Of the first line only the newline may be missing.
            until(lambda: self.lost(b"access") >= before + queue - 1,
                  "the lines of the queue")


def without_privilege():
    """Before exec: nor may root open what its mode does not allow."""
    for capability in 1, 2: # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0) # PR_CAPBSET_DROP


class UnreadTerminal(TestCase):
    """A terminal calls itself writable as long as it takes one byte, and a
    write of more than it takes would wait for its reader."""

    CLIENTS = 500
    OPTIONS = {}

    def setUp(self):
        self.path = self.folder() + "/s"
        self.master, self.slave = os.openpty()
        self.addCleanup(os.close, self.master)
        self.addCleanup(os.close, self.slave)
        os.set_blocking(self.master, False)
        self.read = b""

    def empty(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.read += os.read(self.master, 65536)

    def meet(self, say=b""):
        with connect("unix:" + self.path) as client:
            client.sendall(say)
            self.assertEqual(read_all(client), b"")
        self.met += 1

    def meet_crowd(self, say):
        self.met = 0
        while self.met < self.CLIENTS:
            self.meet(say)

    def check_flags(self):
        """Others have the terminal as it was."""
        self.assertTrue(os.get_blocking(self.slave))

    def test_as_standard_error(self):
        with Server("-w", "2", "collect@unix:" + self.path,
                    stderr=self.slave, **self.OPTIONS) as server:
            self.meet_crowd(b"x" * 50)
            self.check_flags()

            # Somebody reads again.  Who gets through tells of those before.
            def all_is_told():
                self.empty()
                lines = re.findall(rb"Z info connection \d+ from unix: .*\r\n",
                                   self.read)
                lost = re.findall(rb"Z warning (\d+) log lines were dropped"
                                  rb"\r\n", self.read)
                if lost and len(lines) + sum(map(int, lost)) == 2 * self.met:
                    return True
                self.meet(b"x")
            until(all_is_told, "the number of lost lines")
            self.assertEqual(server.stop()[0], 0)

    def test_as_standard_output(self):
        with Server("-w", "2", "collect@unix:" + self.path, ready=False,
                    stdout=self.slave, **self.OPTIONS) as server:
            connect_soon("unix:" + self.path).close()
            self.meet_crowd(b"x" * 50)
            self.check_flags()
            server.logs(rb" warning standard output takes no more")
            server.process.terminate()
            self.assertEqual(server.process.wait(DEADLINE), 0)

    def test_as_both_it_does_not_delay_a_stop(self):
        with Server("-w", "2", "collect@unix:" + self.path, ready=False,
                    stdout=self.slave, stderr=self.slave,
                    **self.OPTIONS) as server:
            connect_soon("unix:" + self.path).close()
            self.meet_crowd(b"x" * 50)
            server.process.terminate()
            self.assertEqual(server.process.wait(DEADLINE), 0)


class TerminalOfAnother(UnreadTerminal):
    """One that the server may not open again, as after su(1)."""

    OPTIONS = {"preexec_fn": without_privilege}

    def setUp(self):
        super().setUp()
        os.fchmod(self.slave, 0)


class AccessLog(TestCase):
    """One line for each connection, with --access-log."""

    FIELDS = ["time", "service", "listener", "peer", "id", "start", "duration",
              "received", "sent", "end"]

    @staticmethod
    def fields(line):
        """Of a line in logfmt."""
        return dict((name, quoted.replace('\\"', '"') or plain) for
                    name, quoted, plain in re.findall(
                        r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))',
                        line.decode()))

    def ask(self, sock):
        sock.sendall(b"hello")
        self.assertEqual(sock.recv(5), b"hello")

    def access_lines(self, server):
        return [line for line in server.err.data.splitlines()
                if line.startswith((b"time=", b"{"))]

    def test_a_line_says_who_when_why_and_how_much(self):
        with Server("echo@127.0.0.1:0", "--access-log", "all") as server:
            with server.connect() as sock:
                peer = "127.0.0.1:%d" % sock.getsockname()[1]
                self.ask(sock)
            line = self.fields(server.logs(rb"^time=.*\n").group())
            self.assertEqual(list(line), self.FIELDS)
            self.assertEqual((line["service"], line["listener"], line["peer"],
                              line["received"], line["sent"], line["end"]),
                             ("echo", server.address(), peer, "5", "5",
                              "peer"))
            self.assertLessEqual(line["start"], line["time"])
            server.stop()
            self.assertNotIn(b" info connection ", server.err.rest())

    def test_json_has_the_same_fields(self):
        path = self.folder() + '/a "b" \\'
        with Server("greet@unix:" + path, "--access-log", "all",
                    "--access-log-format", "json") as server:
            with connect("unix:" + path) as sock:
                read_all(sock)
            line = json.loads(server.logs(rb"^{.*}\n").group())
            self.assertEqual(list(line), self.FIELDS)
            self.assertEqual(line["end"], "closed")
            self.assertEqual(line["listener"], server.address())
            self.assertEqual(line["sent"], len("Got your connection"))
            self.assertIsInstance(line["duration"], float)

    def test_a_refused_client_has_a_line_with_its_reason(self):
        for lines in "all", "errors":
            with Server("echo@127.0.0.1:0", "--access-log", lines, "--access",
                        "deny 127.0.0.0/8") as server:
                with server.connect() as sock:
                    peer = "127.0.0.1:%d" % sock.getsockname()[1]
                    self.assertEqual(read_all(sock), b"")
                line = self.fields(server.logs(rb"^time=.*\n").group())
                self.assertEqual(list(line), ["time", "service", "listener",
                                              "peer", "end", "reason"])
                self.assertEqual(
                    (line["service"], line["listener"], line["peer"],
                     line["end"], line["reason"]),
                    ("echo", server.address(), peer, "refused",
                     "the access rules deny it"))
                server.stop()
                self.assertNotIn(b" refused: ", server.err.rest())

    def test_errors_are_those_that_were_not_completed(self):
        errors = ("echo@127.0.0.1:0", "--access-log", "errors")
        with Server(*errors) as server:
            with server.connect() as sock:
                self.ask(sock)
            sock = server.connect()
            self.ask(sock)
            reset(sock)
            server.logs(rb"^time=.* end=lost\n")
            server.stop()
            self.assertEqual(len(self.access_lines(server)), 1)

        def falls_silent():
            with Server(*errors, "-i", "300ms") as server:
                with server.connect() as sock:
                    self.ask(sock)
                    server.logs(rb"^time=.* end=idle_timeout\n")
                server.stop()
                self.assertEqual(len(self.access_lines(server)), 1)
        in_time(falls_silent)

    def test_a_client_that_was_not_served_has_a_line_too(self):
        def silent(lines):
            with Server("echo@127.0.0.1:0", "--access-log", lines,
                        "-i", "300ms") as server:
                with server.connect() as sock:
                    peer = "127.0.0.1:%d" % sock.getsockname()[1]
                    line = self.fields(server.logs(rb"^time=.*\n").group())
                self.assertEqual(list(line), self.FIELDS)
                self.assertEqual((line["peer"], line["received"], line["end"]),
                                 (peer, "0", "first_byte_timeout"))
                server.stop()
                self.assertEqual(len(self.access_lines(server)), 1)
        for lines in "all", "errors":
            in_time(lambda: silent(lines))

    def test_a_client_that_goes_unserved_is_no_error(self):
        for lines, expected in ("all", 2), ("errors", 0):
            with Server("echo@127.0.0.1:0", "--access-log", lines, "--control",
                        self.folder() + "/control") as server:
                server.connect().close()
                reset(server.connect())
                server.counts(completed=1, failed=1)
                server.stop()
                self.assertEqual(len(self.access_lines(server)), expected)

    def test_off_writes_none(self):
        path = self.folder() + "/rules"
        with open(path, "w") as file:
            file.write("deny 127.0.0.0/8\n")
        with Server("echo@127.0.0.1:0", "echo@unix:" + path + ".socket",
                    "--access-log", "off", "--access", path) as server:
            with server.connect() as sock:
                self.assertEqual(read_all(sock), b"")
            with server.connect(1) as sock:
                self.ask(sock)
            counts = server.stop()[1]
            self.assertEqual((counts["completed"], counts["refused"]), (1, 1))
            self.assertNotRegex(server.err.rest(),
                                rb"time=|info connection|refused:")

    def test_lines_left_out_are_counted_and_hold_nobody(self):
        clients = 3000
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        with Server("greet@127.0.0.1:0", "--access-log", "all",
                    stderr=writer) as server:
            os.close(writer)
            for _ in range(clients): # nobody reads the log
                with server.connect() as sock:
                    read_all(sock)
            read = []
            thread = threading.Thread(target=lambda: read.extend(
                iter(lambda: os.read(reader, 65536), b"")))
            thread.start()
            self.assertEqual(server.stop()[1]["accepted"], clients)
        thread.join(DEADLINE)
        lines = b"".join(read).splitlines()
        lost = [int(self.fields(line)["dropped"]) for line in lines
                if b" dropped=" in line]
        self.assertGreater(sum(lost), clients / 2)
        self.assertEqual(sum(b" peer=" in line for line in lines) + sum(lost),
                         clients)

    def test_wrong_values_are_refused(self):
        for option, value in (("--access-log", "some"),
                              ("--access-log-format", "xml")):
            with Server(option, value, ready=False) as server:
                self.assertEqual(server.process.wait(DEADLINE), 2)
                server.err.expect(rb"^weir-server: %s: '%s' is n" % (
                    option.encode(), value.encode()))

    def test_a_format_without_lines_is_refused(self):
        self.check_usage(run("WEIR_SERVER", "--access-log-format", "json"),
                         "weir-server", "--access-log-format: there is no "
                         "--access-log")


if __name__ == "__main__":
    main()
