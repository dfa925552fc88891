#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weir-server as its users meet it: command line, lines on standard output,
log, pid file, signals, exit status, and both services byte for byte."""

import contextlib
import os
import random
import re
import select
import signal
import socket
import stat
import threading
import time

from weirtest import (BANNER, DEADLINE, PREFIX, DocumentsClient, Server,
                      TestCase, connect, free_port, full_pipe, has_ipv6,
                      in_time, is_in_main, is_listening, main, read_all,
                      read_exactly, reset, run, stuff, until)


def usage(*args, **kwargs):
    return run("WEIR_SERVER", *args, **kwargs)


class ControlGroup:
    """A folder of the controller cpu, of version 1 or 2."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "r+") as file:
            file.write(text)

    def limit(self, quota):
        """Microseconds in each 100,000; -1: no limit."""
        if os.path.exists(self.folder + "/cpu.max"):
            self.write("cpu.max", "%d 100000" % quota if quota > 0 else "max")
        else:
            self.write("cpu.cfs_period_us", "100000")
            self.write("cpu.cfs_quota_us", "%d" % quota)

    def enter(self):
        self.write("cgroup.procs", "0")


@contextlib.contextmanager
def control_group(test):
    """A group of our own at the top; the test is skipped if we may have none."""
    for top in ("/sys/fs/cgroup/cpu", "/sys/fs/cgroup"):
        folder = "%s/weir-test-%d" % (top, os.getpid())
        try:
            os.mkdir(folder)
        except OSError:
            continue
        try:
            group = ControlGroup(folder)
            try:
                group.limit(-1)
            except OSError:
                continue
            yield group
            return
        finally:
            os.rmdir(folder)
    test.skipTest("no control group with a CPU quota can be made here")


class BadUsage(TestCase):
    """One clear line that names the thing and what would be right."""

    def test_everything_that_can_be_seen_without_a_socket(self):
        cases = [
            (["--workers", "0"], "--workers", "'0'", "from 1 to"),
            (["--workers", "-3"], "--workers", "'-3'"),
            (["--workers", "two"], "--workers", "'two'"),
            (["--workers", "2x"], "--workers", "'2x'"),
            (["--workers", ""], "--workers", "''"),
            (["--workers", "1025"], "--workers", "1024"),
            (["--workers", "9" * 40], "--workers", "99999"),
            (["-w", "0x10"], "--workers", "'0x10'"),
            (["--queue", "0"], "--queue", "'0'"),
            (["--max-connections", "0"], "--max-connections", "'0'"),
            (["--queue-age", "5"], "--queue-age", "'5'", "10s"),
            (["--drain-timeout", "0"], "--drain-timeout", "never"),
            (["--drain-timeout", "0s"], "--drain-timeout", "'0s'"),
            (["--idle-timeout", "1.5s"], "--idle-timeout", "'1.5s'"),
            (["--idle-timeout", "-1s"], "--idle-timeout", "'-1s'"),
            (["--read-timeout", "10 s"], "--read-timeout", "'10 s'"),
            (["--write-timeout", "s"], "--write-timeout", "'s'"),
            (["--lifetime", "597h"], "--lifetime", "596h"),
            (["--lifetime", "99999999999ms"], "--lifetime", "596h"),
            (["--overload", "panic"], "--overload", "'panic'", "hold",
             "refuse"),
            (["--overload", "hold", "--refusal", "no"], "--refusal",
             "--overload hold"),
            (["--refusal", "no", "-o", "hold"], "--refusal",
             "--overload hold"),
            (["--log-level", "noisy"], "--log-level", "'noisy'", "debug"),
            (["--mode", "0660"], "--mode", "Unix"),
            (["--mode", "0600", "echo@unix:@x"], "--mode", "'echo@unix:@x'",
             "network namespace"),
            (["echo@unix:a\nb"], "control characters"),
            (["echo@tcp://127.0.0.1:1"], "'tcp://127.0.0.1:1'", "not a URL"),
            (["--mode", "8", "echo@unix:/x"], "--mode", "'8'", "octal"),
            (["--mode", "0", "echo@unix:/x"], "--mode", "'0'"),
            (["--mode", "01777", "echo@unix:/x"], "--mode", "'01777'"),
            (["--greeting", "hi", "echo@:0"], "--greeting",
             "no service here uses it"),
            (["--file", "/nonexistent/x"], "--file", "'/nonexistent/x'",
             "No such file"),
            (["--file", "/"], "--file", "'/'", "not a regular file"),
            (["--file", "/etc/passwd"], "--file", "no service here uses it"),
            (["--bogus"], "'--bogus'", "--help"),
            (["--bogus=3"], "'--bogus'", "--help"),
            (["-Z"], "'-Z'", "--help"),
            (["-nZ"], "'-Z'", "--help"),
            (["--workers"], "'--workers'", "needs a value"),
            (["-w"], "'--workers'", "needs a value"),
            (["--check=yes"], "'--check'", "takes no value"),
            (["nonsense"], "'nonsense'", "SERVICE@ADDRESS"),
            (["replay@:0"], "'replay'", "reply, echo"),
            (["@:0"], "unknown service ''", "reply, echo"),
            (["reply@"], "reply@", "port is missing"),
            (["reply@localhost"], "'localhost'", "port is missing"),
            (["reply@localhost:"], "'localhost:'", "0 to 65535"),
            (["reply@localhost:http"], "'localhost:http'", "0 to 65535"),
            (["reply@127.0.0.1:65536"], "127.0.0.1:65536", "0 to 65535"),
            (["reply@127.0.0.1:-1"], "127.0.0.1:-1", "0 to 65535"),
            (["reply@127.0.0.1:+1"], "127.0.0.1:+1", "0 to 65535"),
            (["reply@::1:1234"], "'::1:1234'", "brackets"),
            (["reply@[::1]"], "'[::1]'", "port is missing"),
            (["reply@[::1:1234"], "'[::1:1234'"),
            (["reply@[127.0.0.1]:0"], "IPv6"),
            (["reply@[::1%]:0"], "IPv6"),
            (["reply@a b:0"], "'a b:0'", "host"),
            (["reply@unix:"], "'unix:'", "path is missing"),
            (["reply@unix:@"], "'unix:@'", "path is missing"),
            (["reply@unix:/" + "x" * 107], "too long", "107"),
            (["reply@fd:"], "'fd:'", "fd:3"),
            (["reply@127.0.0.1:7", "echo@127.0.0.1:7"], "twice",
             "'reply@127.0.0.1:7'", "'echo@127.0.0.1:7'"),
            (["reply@Localhost:7", "reply@localhost:07"], "twice"),
            (["reply@unix:/x", "echo@:0", "reply@unix:/x"], "twice"),
            (["reply@fd:9", "reply@fd:09"], "twice"),
        ]
        for args, *fragments in cases:
            with self.subTest(args=args):
                self.check_usage(usage(*args), "weir-server", *fragments)
                # What is wrong is wrong for --check too.
                self.check_usage(usage("--check", *args), "weir-server",
                                 *fragments)

    def test_control_characters_cannot_forge_a_second_line(self):
        for bad in ("1\n2", "\x1b[2J", "\r", "\x7f", "\u009b31m", "\u061c",
                    "\u200e\u200f", "\u2028\u2029", "\u202a\u202e",
                    "\u2066\u2069"):
            for args in (["--workers", bad], ["--" + bad], [bad],
                         ["reply@" + bad], [bad + "@:0"]):
                with self.subTest(args=args):
                    result = usage(*args)
                    self.check_usage(result, "weir-server")
                    self.assertNotRegex(
                        result.stderr.decode()[:-1],
                        "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f"
                        "\u2028-\u202e\u2066-\u2069]")

    def test_a_port_in_use(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            where = "127.0.0.1:%d" % taken.getsockname()[1]
            self.check_usage(usage("reply@" + where), "weir-server",
                             "reply@" + where,
                             "in use, or was a minute ago")
            # Also when it is not the first.
            self.check_usage(usage("echo@127.0.0.1:0", "reply@" + where),
                             "weir-server", "reply@" + where, "in use")

    def test_two_names_of_one_address(self):
        port = free_port()
        self.check_usage(usage("reply@127.0.0.1:%d" % port,
                               "echo@127.1:%d" % port),
                         "weir-server", "echo@127.1:%d" % port, "in use")

    def test_an_address_that_is_not_ours(self):
        self.check_usage(usage("reply@192.0.2.1:0"), "weir-server",
                         "reply@192.0.2.1:0", "does not have that address")

    def test_a_host_that_does_not_exist(self):
        result = usage("reply@no-such-host.invalid:0")
        self.assertEqual(result.returncode, 2)
        self.check_one_line(result, "weir-server", "no-such-host.invalid")

    def test_a_port_without_permission(self):
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as first:
            if int(first.read()) <= 1:
                self.skipTest("every port is free to everybody here")
        nobody = {}
        if os.geteuid() == 0:
            nobody = {"user": 65534, "group": 65534, "extra_groups": []}
            if not self.can_run_as(nobody):
                self.skipTest("the program cannot be run as nobody here")
        self.check_usage(usage("reply@127.0.0.1:1", **nobody), "weir-server",
                         "reply@127.0.0.1:1", "permission denied", "1024")

    @staticmethod
    def can_run_as(user):
        try:
            return usage("--version", **user).returncode == 0
        except PermissionError:
            return False

    def test_bad_unix_paths(self):
        folder = self.folder()
        open(folder + "/file", "w").close()
        with socket.socket(socket.AF_UNIX) as live:
            live.bind(folder + "/live")
            live.listen()
            for name, fragment in (("file", "not a socket"),
                                   ("live", "listens there already"),
                                   ("no/such", "no such folder")):
                spec = "reply@unix:%s/%s" % (folder, name)
                with self.subTest(spec=spec):
                    self.check_usage(usage(spec), "weir-server", spec,
                                     fragment)
        self.assertTrue(os.path.isfile(folder + "/file"))

    def test_bad_descriptors(self):
        reader, writer = os.pipe()
        for fd, passed, fragment in ((reader, [reader], "not a listening"),
                                     (4000, [], "no such open descriptor")):
            self.check_usage(usage("reply@fd:%d" % fd, pass_fds=passed),
                             "weir-server", "reply@fd:%d" % fd, fragment)
        with socket.socket() as deaf:
            self.check_usage(usage("reply@fd:%d" % deaf.fileno(),
                                   pass_fds=[deaf.fileno()]),
                             "weir-server", "not a listening")
        os.close(reader)
        os.close(writer)

    def test_a_pid_file_that_cannot_be_written(self):
        for path in ("/nonexistent/pid", self.folder()):
            self.check_usage(usage("reply@127.0.0.1:0", "--pid-file", path),
                             "weir-server", "--pid-file", "'%s'" % path)
        path = "/nonexistent" + 1000 * "/x"
        self.check_usage(usage("reply@127.0.0.1:0", "--pid-file", path),
                         "weir-server", "'%s': No such file" % path)


class Answers(TestCase):
    """--help, --version and --check."""

    def test_help_names_services_and_options(self):
        for flag in ("--help", "-h"):
            result = usage(flag)
            self.assertEqual((result.returncode, result.stderr), (0, b""))
            for word in (b"reply", b"echo", b"--workers", b"--drain-timeout",
                         b"--check", b"127.0.0.1:1234", b"3 stopped but"):
                self.assertIn(word, result.stdout)
            longest = max(map(len, result.stdout.splitlines()))
            self.assertLessEqual(longest, 80)

    def test_version(self):
        for flag in ("--version", "-V"):
            result = usage(flag)
            self.assertEqual(result.returncode, 0)
            self.assertRegex(result.stdout, rb"^weir-server \d+\.\d+\.\d+\n$")
        expected = os.environ.get("WEIR_PACKAGE_VERSION")
        if expected:
            self.assertIn(expected.encode(), result.stdout)

    def test_help_that_cannot_be_written_fails(self):
        with open("/dev/full", "wb") as full:
            result = usage("--help", stdout=full)
        self.assertEqual(result.returncode, 1)
        self.check_one_line(result, "weir-server", "standard output")

    def test_check_prints_the_defaults(self):
        result = usage("--check")
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        lines = result.stdout.decode().splitlines()
        workers = int(lines[0].split()[1])
        self.assertIn(workers, range(1, len(os.sched_getaffinity(0)) + 1))
        self.assertEqual(lines, [
            "workers %d" % workers, "queue 128", "queue-age 10s",
            "max-connections 10000", "max-unsent 1024", "overload hold",
            'refusal "busy, try later\\x0a"', "drain-timeout 10s",
            "first-byte-timeout 10m", "idle-timeout 10m", "read-timeout 30s",
            "write-timeout 30s", "lifetime never", 'greeting reply "Connect"',
            "upgrade-timeout 30s", "max-per-source 2500", "evict-idle never",
            "log-level info", 'listen "reply@127.0.0.1:1234"'])

    def test_a_quota_of_the_control_group_limits_the_workers(self):
        allowed = len(os.sched_getaffinity(0))
        if allowed < 2:
            self.skipTest("this process may use one processor only")
        with control_group(self) as group:
            def workers():
                result = usage("--check", preexec_fn=group.enter)
                return int(result.stdout.split()[1])

            # The groups around ours may have a quota, too.
            most = workers()
            self.assertIn(most, range(1, allowed + 1))
            for quota, count in ((50000, 1), (100001, 2), (-1, most)):
                with self.subTest(quota=quota):
                    group.limit(quota)
                    self.assertEqual(workers(), min(count, most))

    def test_check_prints_what_was_asked_for(self):
        path = self.folder() + "/none"
        result = usage(
            "-w", "3", "-q", "7", "--queue-age", "never", "-m", "9",
            "--refusal", "go\taway", "-t", "90s", "-i", "1500ms",
            "--read-timeout", "60000ms", "--write-timeout", "2h",
            "--lifetime", "59m", "-g", "", "-l", "debug", "--mode", "660",
            "--max-unsent", "64",
            "--lame-duck", "5s", "--upgrade-timeout", "7s",
            "-p", path, "-n", "echo@unix:" + path, "reply@[::1]:0")
        self.assertEqual(result.returncode, 0, result)
        self.assertEqual(result.stdout.decode().splitlines(), [
            "workers 3", "queue 7", "queue-age never", "max-connections 9",
            "max-unsent 64",
            "overload refuse", 'refusal "go\\x09away"', "lame-duck 5s",
            "drain-timeout 90s",
            "first-byte-timeout 1500ms", "idle-timeout 1500ms",
            "read-timeout 1m", "write-timeout 2h", "lifetime 59m",
            'greeting reply ""', 'pid-file "%s"' % path, "upgrade-timeout 7s",
            "max-per-source 16", "evict-idle never", "mode 0660",
            "log-level debug", 'listen "echo@unix:%s"' % path,
            'listen "reply@[::1]:0"'])
        self.assertFalse(os.path.exists(path))

    def timeouts(self, *args):
        lines = usage("--check", *args).stdout.decode().splitlines()
        return [line for line in lines if line.partition(" ")[0] in
                ("first-byte-timeout", "idle-timeout", "read-timeout")]

    def test_check_prints_the_timeouts_that_each_service_has(self):
        room, echo, chat = "room@:1", "echo@:2", "chat@:3"
        self.assertEqual(self.timeouts(room), [
            "first-byte-timeout room never", "idle-timeout room never",
            "read-timeout 30s"])
        self.assertEqual(self.timeouts(chat, "--read-timeout", "5s"), [
            "first-byte-timeout chat never", "idle-timeout chat never",
            "read-timeout chat never"])
        self.assertEqual(self.timeouts(room, echo, chat, "room@:4"), [
            "first-byte-timeout 10m", "first-byte-timeout room never",
            "first-byte-timeout chat never", "idle-timeout 10m",
            "idle-timeout room never", "idle-timeout chat never",
            "read-timeout 30s", "read-timeout chat never"])
        self.assertEqual(self.timeouts(room, echo, "--idle-timeout", "5s"), [
            "first-byte-timeout 5s", "idle-timeout 5s", "read-timeout 30s"])

    def test_of_an_option_that_is_given_twice_the_last_counts(self):
        once = ["-w3", "-q4", "--queue-age=5s", "-m6", "-orefuse",
                "--refusal=go", "--lame-duck=7s", "-t7s", "-i8s", "--read-timeout=9s",
                "--write-timeout=10s", "--lifetime=11s", "-ghi", "-f/etc/group",
                "-p/run/a", "--mode=600", "-ldebug", "-n"]
        first = ["--workers=30", "--queue=40", "--queue-age=never",
                 "--max-connections=60", "--overload=hold", "--refusal=no",
                 "--lame-duck=never", "--drain-timeout=never",
                 "--idle-timeout=80s",
                 "--read-timeout=90s", "--write-timeout=never",
                 "--lifetime=never", "--greeting=", "--file=/nonexistent/x",
                 "--pid-file=/run/b", "--mode=0777", "--log-level=error",
                 "--check"]
        where = ["reply@127.0.0.1:0", "file@unix:/x"]
        result = usage(*once, *where)
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        twice = usage(*first, *where, *once)
        self.assertEqual((twice.returncode, twice.stderr), (0, b""))
        self.assertEqual(twice.stdout, result.stdout)
        # What is no value at all is none, wherever it stands.
        self.check_usage(usage("-w", "two", "-w", "2"), "weir-server",
                         "--workers", "'two'")

    def test_check_binds_nothing(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            spec = "reply@127.0.0.1:%d" % taken.getsockname()[1]
            self.assertEqual(usage("--check", spec).returncode, 0)


class Output(TestCase):
    """The lines on standard output."""

    def test_the_lines_and_their_order(self):
        with Server("reply@127.0.0.1:0", "echo@127.0.0.1:0") as server:
            self.assertRegex(
                server.out.data,
                rb"\Apid (\d+)\n"
                rb"listening reply@127\.0\.0\.1:[1-9]\d*\n"
                rb"listening echo@127\.0\.0\.1:[1-9]\d*\nready\n\Z")
            self.assertIn(b"pid %d\n" % server.pid, server.out.data)
            status, counts = server.stop()
            self.assertEqual(status, 0)
            self.assertRegex(
                server.out.data,
                rb"ready\ndrained accepted=0 completed=0 refused=0 cut=0 "
                rb"failed=0 timed_out=0\n\Z")

    def test_nothing_on_standard_output_if_it_cannot_start(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            result = usage("reply@127.0.0.1:%d" % taken.getsockname()[1])
        self.assertEqual(result.stdout, b"")

    def test_a_closed_standard_output_harms_nobody(self):
        path = self.folder() + "/s"
        with Server("reply@unix:" + path, ready=False, stdout=None,
                    preexec_fn=lambda: os.close(1)) as server:
            client = DocumentsClient("unix:" + path)
            self.assertEqual(client.banner, BANNER)
            client.close()
            server.process.terminate()
            self.assertEqual(server.process.wait(DEADLINE), 0)

    def test_a_full_standard_output_harms_nobody(self):
        reader, writer = full_pipe()
        with open("/dev/full", "wb") as device:
            for stdout in (writer, device):
                self.serve_and_stop(stdout)
        os.close(reader)
        os.close(writer)

    def test_a_standard_output_without_reader_harms_nobody(self):
        reader, writer = os.pipe()
        os.close(reader)
        self.serve_and_stop(writer)
        os.close(writer)

    def serve_and_stop(self, stdout):
        path = self.folder() + "/s"
        with Server("reply@unix:" + path, ready=False,
                    stdout=stdout) as server:
            client = DocumentsClient("unix:" + path)
            self.assertEqual(client.say(b"x"), PREFIX + b"x")
            client.close()
            server.process.terminate()
            self.assertEqual(server.process.wait(DEADLINE), 0)


class Log(TestCase):
    """The journal on standard error."""

    LINE = rb"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (error|warning|info|" \
           rb"debug) [ -~]*$"

    def test_each_connection_with_its_address_and_count(self):
        with Server("reply@127.0.0.1:0", "echo@127.0.0.1:0") as server:
            for number in range(1, 6):
                client = server.connect(number % 2)
                name = "%s:%d" % client.getsockname()
                name = b"connection %d from %s to (reply|echo)@127[0-9.:]*" % (
                    number, name.encode().replace(b".", rb"\."))
                server.logs(rb"Z info %s$" % name)
                client.close()
                server.logs(rb"Z info %s ended after \d+\.\d{3} s "
                            rb"\(0 bytes in, [07] out\): "
                            rb"the client has (closed|reset)" % name)
            server.stop()
            for line in server.err.rest().splitlines():
                self.assertRegex(line, self.LINE)

    def test_the_level(self):
        with Server("--log-level", "warning") as server:
            client = DocumentsClient(server.address())
            client.close()
            server.stop()
            self.assertEqual(server.err.rest(), b"")

    def test_bytes_of_a_peer_are_escaped(self):
        folder = self.folder()
        with Server("reply@unix:" + folder + "/s") as server:
            with socket.socket(socket.AF_UNIX) as client:
                client.bind(os.fsencode(folder) + b"/\x1b[31m\n\xff\xc3\xa9")
                client.connect(folder + "/s")
                self.assertEqual(client.recv(100), BANNER)
            server.logs(rb"from unix:.*x1b\[31m.x0a.*ff.*c3.*a9 to reply@unix:")
            server.stop()
            for line in server.err.rest().splitlines():
                self.assertRegex(line, self.LINE)

    def test_a_full_standard_error_stalls_nobody(self):
        reader, writer = full_pipe()
        with Server("--workers", "1", stderr=writer) as server:
            clients = [DocumentsClient(server.address()) for _ in range(40)]
            for client in clients:
                self.assertEqual(client.say(b"hello"), PREFIX + b"hello")
            # Somebody reads again: the loss is told, then all is as before.
            filler = 0
            while select.select([reader], [], [], 0)[0]:
                filler += len(os.read(reader, 65536))
            clients.append(DocumentsClient(server.address()))
            lines = b""
            while lines.count(b"\n") < 2:
                self.assertTrue(select.select([reader], [], [], DEADLINE)[0])
                lines += os.read(reader, 65536)
            self.assertRegex(lines, rb"\A\S+ warning 40 log lines were "
                                    rb"dropped\n\S+ info connection 41 from")
            for client in clients:
                client.close()
            status, counts = server.stop()
            self.assertEqual((status, counts["completed"]), (0, 41))
        os.close(reader)
        os.close(writer)


class PidFile(TestCase):
    def test_it_holds_the_process_id_while_the_server_runs(self):
        path = self.folder() + "/pid"
        with open(path, "w") as stale:
            stale.write("1\n")
        with Server("--pid-file", path) as server:
            with open(path) as file:
                self.assertEqual(file.read(), "%d\n" % server.pid)
                self.assertEqual(stat.S_IMODE(os.fstat(
                    file.fileno()).st_mode), 0o644)
            self.assertEqual(os.listdir(os.path.dirname(path)), ["pid"])
            self.assertEqual(server.stop()[0], 0)
        self.assertEqual(os.listdir(os.path.dirname(path)), [])

    def test_it_is_left_alone_when_it_has_become_somebody_elses(self):
        path = self.folder() + "/pid"
        with Server("--pid-file", path) as server:
            with open(path, "w") as file:
                file.write("1\n")
            self.assertEqual(server.stop()[0], 0)
        with open(path) as file:
            self.assertEqual(file.read(), "1\n")

    def test_it_may_vanish(self):
        path = self.folder() + "/pid"
        with Server("--pid-file", path) as server:
            os.unlink(path)
            self.assertEqual(server.stop()[0], 0)

    def test_none_is_left_if_the_server_cannot_start(self):
        folder = self.folder()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            usage("reply@127.0.0.1:%d" % taken.getsockname()[1],
                  "--pid-file", folder + "/pid")
        self.assertEqual(os.listdir(folder), [])


class Listeners(TestCase):
    def test_two_in_one_process_never_mix(self):
        with Server("reply@127.0.0.1:0", "reply@127.0.0.1:0",
                    "echo@127.0.0.1:0") as server:
            self.assertEqual(len({server.address(i) for i in range(3)}), 3)
            clients = [DocumentsClient(server.address(i % 2))
                       for i in range(20)]
            for turn in range(10):
                for i, client in enumerate(clients):
                    message = b"client %d turn %d" % (i, turn)
                    self.assertEqual(client.say(message), PREFIX + message)
            echo = server.connect(2)
            echo.sendall(b"mine")
            self.assertEqual(read_exactly(echo, 4), b"mine")
            for client in clients:
                client.close()
            echo.close()
            status, counts = server.stop()
            self.assertEqual((status, counts["completed"]), (0, 21))

    def test_all_interfaces_serve_both_families(self):
        with Server("reply@:0") as server:
            port = server.address().rsplit(":", 1)[1]
            for host in ("127.0.0.1", "[::1]"):
                if host == "[::1]" and not has_ipv6():
                    continue
                client = DocumentsClient("%s:%s" % (host, port))
                self.assertEqual(client.say(b"x"), PREFIX + b"x")
                server.logs(rb"from " + re.escape(host.encode()) + rb":\d+ to")
                client.close()
            self.assertEqual(server.stop()[0], 0)

    def test_a_unix_socket_has_its_mode_and_goes_away(self):
        path = self.folder() + "/s"
        for args, mode in (([], 0o600), (["--mode", "0666"], 0o666)):
            with Server("echo@unix:" + path, *args) as server:
                self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), mode)
                self.assertEqual(server.address(), "unix:" + path)
                client = server.connect()
                client.sendall(b"hello")
                self.assertEqual(read_exactly(client, 5), b"hello")
                client.close()
                self.assertEqual(server.stop()[0], 0)
            self.assertFalse(os.path.exists(path))

    def test_a_stale_unix_socket_is_replaced(self):
        path = self.folder() + "/s"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(path)
        with Server("echo@unix:" + path) as server:
            server.connect().close()

    def test_an_abstract_unix_socket(self):
        with Server("reply@unix:@weir-test-%d" % os.getpid()) as server:
            client = DocumentsClient(server.address())
            self.assertEqual(client.say(b"x"), PREFIX + b"x")
            client.close()

    def test_an_inherited_listener(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            fd = listener.fileno()
            with Server("reply@fd:%d" % fd, pass_fds=[fd]) as server:
                where = "127.0.0.1:%d" % listener.getsockname()[1]
                self.assertEqual(server.address(), where)
                client = DocumentsClient(where)
                self.assertEqual(client.say(b"x"), PREFIX + b"x")
                client.close()
                self.assertEqual(server.stop()[0], 0)


class Wire(TestCase):
    """What the two services say, byte for byte."""

    MESSAGES = [b"hello", "Grüße, 世界 🙂".encode(), b"\xff\xfe\x00\x80\n\r",
                bytes(range(256)), b" ", b"windup", b"x" * 4096]

    def test_the_documents_dialogue(self):
        with Server() as server:
            client = DocumentsClient(server.address())
            self.assertEqual(client.banner, BANNER)
            for message in self.MESSAGES:
                self.assertEqual(client.say(message), PREFIX + message)
            client.sock.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(client.sock), b"")
            client.close()

    def test_the_dialogue_in_one_byte_pieces(self):
        text = "Connect? ünï\xff".encode("latin-1") + b"\xf0\x9f\x99\x82"
        with Server() as server:
            client = DocumentsClient(server.address())
            for byte in text:
                self.assertEqual(client.say(bytes([byte])),
                                 PREFIX + bytes([byte]))
            # Without waiting: TCP may join them, nothing may be lost.
            for byte in text:
                client.sock.sendall(bytes([byte]))
            client.sock.shutdown(socket.SHUT_WR)
            replies = read_all(client.sock)
            self.assertTrue(replies.startswith(PREFIX))
            self.assertEqual(replies.replace(PREFIX, b""), text)
            client.close()

    def test_a_long_message_loses_nothing(self):
        text = random.Random(1).randbytes(300000)
        with Server() as server:
            client = DocumentsClient(server.address())
            writer = threading.Thread(target=self.send_and_end,
                                      args=(client.sock, text))
            writer.start()
            replies = read_all(client.sock)
            writer.join()
            self.assertEqual(replies.replace(PREFIX, b""), text)
            client.close()

    @staticmethod
    def send_and_end(sock, data):
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)

    def test_the_greeting(self):
        for greeting in ("", "Grüß Gott\n", "x" * 5000):
            with Server("--greeting", greeting) as server:
                client = server.connect()
                expected = greeting.encode()
                self.assertEqual(read_exactly(client, len(expected)),
                                 expected)
                client.sendall(b"hello")
                self.assertEqual(read_exactly(client, 21),
                                 PREFIX + b"hello")
                client.close()

    def test_many_documents_clients_at_once(self):
        with Server("--workers", "2") as server:
            clients = [DocumentsClient(server.address()) for _ in range(200)]
            for turn in range(3):
                for i, client in enumerate(clients):
                    client.sock.sendall(b"%d/%d" % (i, turn))
                for i, client in enumerate(reversed(clients)):
                    i = len(clients) - 1 - i
                    self.assertEqual(client.sock.recv(1024),
                                     PREFIX + b"%d/%d" % (i, turn))
            for client in clients:
                client.close()
            status, counts = server.stop()
            self.assertEqual((status, counts["accepted"],
                              counts["completed"]), (0, 200, 200))

    def test_echo_gives_back_every_byte(self):
        data = bytes(range(256)) * 4096
        with Server("echo@127.0.0.1:0") as server:
            client = server.connect()
            writer = threading.Thread(target=self.send_and_end,
                                      args=(client, data))
            writer.start()
            self.assertEqual(read_all(client), data)
            writer.join()
            client.close()

    def test_echo_says_nothing_first(self):
        with Server("echo@127.0.0.1:0") as server:
            client = server.connect()
            for byte in range(256):
                client.sendall(bytes([byte]))
                self.assertEqual(client.recv(100), bytes([byte]))
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(client), b"")
            client.close()


class Limits(TestCase):
    """Each way in which a connection can end is counted as what it is."""

    def stop(self, server, **expected):
        status, counts = server.stop()
        self.check_sum(counts)
        for name, value in expected.items():
            self.assertEqual(counts[name], value, counts)
        return status

    def test_a_silent_client_is_timed_out(self):
        def both():
            with Server("--idle-timeout", "200ms") as server:
                silent, once = server.connect(), server.connect()
                once.sendall(b"hello")
                for client in (silent, once):
                    self.assertTrue(read_all(client).startswith(BANNER))
                    client.close()
                self.assertEqual(self.stop(server, accepted=2, timed_out=2), 0)
        in_time(both)

    def test_a_lifetime_ends_a_busy_client(self):
        with Server("--lifetime", "300ms", "echo@127.0.0.1:0") as server:
            client = server.connect()
            with self.assertRaises(OSError):
                while True:
                    client.sendall(b"x")
                    if not client.recv(1):
                        raise ConnectionError
            client.close()
            self.assertEqual(self.stop(server, accepted=1, timed_out=1), 0)

    def test_a_client_that_takes_nothing_is_timed_out(self):
        with Server("--write-timeout", "300ms", "echo@127.0.0.1:0",
                    "--log-level", "debug") as server:
            client = server.connect()
            stuff_until_closed(client)
            client.close()
            self.assertEqual(self.stop(server, accepted=1, timed_out=1), 0)

    def test_a_client_that_resets_has_failed(self):
        with Server() as server:
            client = server.connect()
            self.assertEqual(client.recv(100), BANNER)
            reset(client)
            server.logs(rb": the client has reset it or is gone$")
            self.assertEqual(self.stop(server, accepted=1, failed=1), 0)

    def test_a_client_too_many_is_listening_and_told_so(self):
        with Server("--max-connections", "1", "--overload", "refuse",
                    "--refusal", "Kein Platz für dich\n") as server:
            first = DocumentsClient(server.address())
            second = server.connect()
            self.assertEqual(read_all(second),
                             "Kein Platz für dich\n".encode())
            second.close()
            self.assertEqual(first.say(b"x"), PREFIX + b"x")
            first.close()
            self.assertEqual(self.stop(server, accepted=2, completed=1,
                                       refused=1), 0)

    def test_a_refusal_alone_implies_refuse(self):
        with Server("-m", "1", "--refusal", "no") as server:
            first = DocumentsClient(server.address())
            second = server.connect()
            self.assertEqual(read_all(second), b"no")
            first.close()
            second.close()

    def test_a_client_too_many_waits_under_hold(self):
        with Server("--max-connections", "1") as server:
            first = DocumentsClient(server.address())
            second = server.connect()
            self.assertEqual(select.select([second], [], [], 0.1)[0], [])
            first.close()
            self.assertEqual(second.recv(100), BANNER)
            second.close()
            self.assertEqual(self.stop(server, accepted=2, completed=2), 0)


def stuff_until_closed(sock):
    """Send, and read no answer, until the server gives up."""
    end = time.monotonic() + DEADLINE
    sock.setblocking(False)
    while time.monotonic() < end:
        try:
            sock.send(b"x" * 65536)
        except BlockingIOError:
            select.select([], [sock], [], 0.05)
        except OSError:
            return
    raise AssertionError("the server waits for ever")


class Stopping(TestCase):
    def test_the_numbers_are_those_of_the_clients(self):
        for signo in (signal.SIGTERM, signal.SIGINT):
            with Server() as server:
                gone = [DocumentsClient(server.address()) for _ in range(7)]
                for client in gone:
                    self.assertEqual(client.say(b"bye"), PREFIX + b"bye")
                    client.close()
                there = [DocumentsClient(server.address()) for _ in range(5)]
                for client in there[:3]:
                    self.assertEqual(client.say(b"hi"), PREFIX + b"hi")
                status, counts = server.stop(signo)
                self.assertEqual(status, 0)
                self.check_sum(counts)
                self.assertEqual((counts["accepted"], counts["completed"]),
                                 (12, 12))
                for client in there:
                    self.assertEqual(read_all(client.sock), b"")
                    client.close()

    def test_what_was_sent_before_the_stop_is_answered(self):
        for _ in range(5):
            with Server("--workers", "2", "--log-level", "error") as server:
                clients = [DocumentsClient(server.address())
                           for _ in range(20)]
                for client in clients:
                    client.sock.sendall(b"last words")
                status, counts = server.stop()
                self.assertEqual(status, 0)
                self.assertEqual(counts["completed"], 20, counts)
                for client in clients:
                    self.assertEqual(read_all(client.sock),
                                     PREFIX + b"last words")
                    client.close()

    def test_a_late_client_is_turned_away(self):
        with Server("echo@127.0.0.1:%d" % free_port(), "-t",
                    "never") as server:
            client = server.connect()
            stuff(client, server)
            server.process.terminate()
            until(lambda: not is_listening(server.address()), "the drain")
            with self.assertRaises(ConnectionRefusedError):
                server.connect()
            self.assertIsNone(server.process.poll())
            client.close()

    def test_a_client_that_takes_nothing_is_cut_at_the_deadline(self):
        with Server("echo@127.0.0.1:0", "--drain-timeout",
                    "300ms") as server:
            client = server.connect()
            stuff(client, server)
            began = time.monotonic()
            status, counts = server.stop()
            self.assertLess(time.monotonic() - began, 0.3 + 5)
            self.check_sum(counts)
            self.assertEqual((status, counts["cut"]), (3, 1))
            client.close()

    def test_a_second_signal_cuts_at_once(self):
        for first, second in ((signal.SIGTERM, signal.SIGTERM),
                              (signal.SIGINT, signal.SIGTERM),
                              (signal.SIGTERM, signal.SIGINT)):
            with Server("echo@127.0.0.1:0", "--drain-timeout",
                        "never") as server:
                client = server.connect()
                stuff(client, server)
                server.process.send_signal(first)
                until(lambda: not is_listening(server.address()), "the drain")
                self.assertIsNone(server.process.poll())
                status, counts = server.stop(second)
                self.check_sum(counts)
                self.assertEqual((status, counts["cut"]), (3, 1))
                client.close()

    def test_in_a_lame_duck_clients_are_served_until_the_second_signal(self):
        with Server("--lame-duck", "never", "-t", "never", "--control",
                    self.folder() + "/control",
                    "echo@127.0.0.1:0") as server:
            client = server.connect()
            stuff(client, server)
            server.process.terminate()
            server.logs(rb" info a stop was requested; ")
            for _ in range(10):
                with server.connect() as late:
                    late.sendall(b"hello")
                    self.assertEqual(read_exactly(late, 5), b"hello")
            # The second signal cuts a client whose end was not noticed.
            server.counts(completed=10)
            status, counts = server.stop()
            self.check_sum(counts)
            self.assertEqual((status, counts["completed"], counts["cut"]),
                             (3, 10, 1))
            client.close()

    def test_after_a_lame_duck_the_stop_begins(self):
        with Server("--lame-duck", "100ms", "-t", "never") as server:
            self.assertEqual(server.stop()[0], 0)

    def test_a_silent_client_does_not_hold_up_the_stop(self):
        with Server("--drain-timeout", "never") as server:
            silent = [server.connect() for _ in range(20)]
            for client in silent:
                self.assertEqual(client.recv(100), BANNER)
            status, counts = server.stop()
            self.assertEqual((status, counts["completed"]), (0, 20))
            for client in silent:
                client.close()


class EarlySignals(TestCase):
    """A signal is never answered by the default action: from the first moment
    of main() it waits for the server, which then stops cleanly."""

    CLEAN = rb"drained accepted=0 completed=0 refused=0 cut=0 failed=0 " \
            rb"timed_out=0\n\Z"

    def check_clean(self, server):
        status = server.process.wait(DEADLINE)
        self.assertEqual(status, 0)
        self.assertRegex(server.out.rest(), self.CLEAN)

    def test_before_main_if_the_parent_blocks_it(self):
        for signo in (signal.SIGTERM, signal.SIGINT):
            old = signal.pthread_sigmask(signal.SIG_BLOCK, [signo])
            try:
                with Server("reply@127.0.0.1:0", ready=False) as server:
                    server.process.send_signal(signo)
                    self.check_clean(server)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, old)

    def test_at_any_moment_of_the_start(self):
        began = time.monotonic()
        with Server() as server:
            took = time.monotonic() - began
            server.stop()
        for i in range(30):
            with Server("reply@127.0.0.1:0", ready=False) as server:
                until(lambda: is_in_main(server.pid), "main")
                end = time.monotonic() + took * i / 30
                while time.monotonic() < end:
                    pass
                server.process.terminate()
                self.check_clean(server)

    def test_usage_errors_are_not_turned_into_a_clean_exit(self):
        old = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        try:
            with Server("--workers", "0", ready=False) as server:
                server.process.terminate()
                self.assertEqual(server.process.wait(DEADLINE), 2)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, old)


if __name__ == "__main__":
    main()
