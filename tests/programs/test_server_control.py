#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The control socket of weir-server, weir-server ctl, and what a reload of
--config changes."""

import contextlib
import json
import os
import re
import resource
import signal
import socket
import stat
import subprocess
import time

from weirtest import (DEADLINE, Server, TestCase, fields_of, is_listening, main,
                      program, read_all, read_exactly, run, sleeps, stuff, until)


class Base(TestCase):
    def setUp(self):
        self.path = self.folder() + "/control"
        self.config = self.folder() + "/config"

    def serve(self, *args, **kwargs):
        return Server("--control", self.path, *args, **kwargs)

    def configure(self, text):
        with open(self.config, "w") as file:
            file.write(text)

    def ctl(self, *args):
        return run("WEIR_SERVER", "ctl", "--control", self.path, *args)

    def asks(self, *args):
        result = self.ctl(*args)
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        return result.stdout.decode()

    def refused(self, *args):
        """The reason."""
        result = self.ctl(*args)
        self.assertEqual((result.returncode, result.stdout), (1, b""))
        self.check_one_line(result, "weir-server")
        return result.stderr.decode()

    def stats(self):
        return dict(line.rsplit(" ", 1)
                    for line in self.asks("stats").splitlines())


class Requests(Base):
    def test_the_socket_is_of_its_owner_and_goes_with_the_server(self):
        with self.serve() as server:
            mode = os.stat(self.path).st_mode
            self.assertTrue(stat.S_ISSOCK(mode))
            self.assertEqual(stat.S_IMODE(mode), 0o600)
            self.assertEqual(server.stop()[0], 0)
        self.assertFalse(os.path.exists(self.path))

    def test_stats_count_clients_and_no_requests(self):
        with self.serve("-w", "3", "echo@127.0.0.1:0") as server:
            with server.connect() as client:
                client.sendall(b"hello")
                read_exactly(client, 5)
                now = self.stats()
                self.assertEqual((now["phase"], now["accepted"], now["open"],
                                  now["bytes_in"], now["workers"]),
                                 ("serving", "1", "1", "5", "3"))
                as_json = json.loads(self.asks("stats", "--json"))
                self.assertEqual(set(as_json), set(now))
                self.assertEqual(as_json["accepted"], 1)
            counts = server.stop()[1]
            self.assertEqual(counts["accepted"], 1)

    def test_stats_have_each_counter(self):
        with self.serve() as server:
            shown = self.stats()
            self.assertEqual(server.stop()[0], 0)
        kinds = ("first_byte", "read", "write", "idle", "lifetime", "pause",
                 "handshake")
        names = {"handshakes": ["tls_full", "tls_resumed", "tls_cut"],
                 "truncated": ["tls_truncated"],
                 "handshake_us": ["tls_handshake_us"],
                 "timed_out": ["timed_out"] +
                              ["timed_out_" + kind for kind in kinds]}
        for field in fields_of("ledger") + fields_of("stats"):
            for name in names.get(field, [field]):
                if field not in ("ledger", "queue_wait", "callback_time",
                                 "handshake_time"):
                    self.assertIn(name, shown)

    def test_connections_say_what_they_wait_for(self):
        with self.serve("-t", "200ms", "echo@127.0.0.1:0") as server:
            self.assertEqual(self.asks("connections"), "")
            self.assertEqual(json.loads(self.asks("connections", "-j")), [])
            with server.connect() as idle, server.connect() as deaf:
                idle.sendall(b"hello")
                read_exactly(idle, 5)
                stuff(deaf, server)
                until(lambda: "room for output" in self.asks("connections"),
                      "unsent output")
                one, other = sorted(
                    json.loads(self.asks("connections", "--json")),
                    key=lambda entry: entry["bytes_in"])
                self.assertEqual(one["peer"],
                                 "127.0.0.1:%d" % idle.getsockname()[1])
                self.assertEqual((one["bytes_in"], one["bytes_out"],
                                  one["unsent"], one["waits_for"]),
                                 (5, 5, 0, "input"))
                self.assertEqual(other["waits_for"], "room for output")
                self.assertGreater(other["unsent"], 0)
                self.assertIn("peer=" + one["peer"], self.asks("connections"))
                self.assertEqual(server.stop()[0], 3)

    def test_the_name_of_a_client_acts_on_no_terminal(self):
        path = self.folder() + "/clients"
        with self.serve("echo@unix:" + path, "--access-log", "all",
                        "--access-log-format", "json") as server:
            with socket.socket(socket.AF_UNIX) as client:
                client.bind(b"\0%d a=\xff\xc2\x9b2J\"\x1b" % server.pid)
                client.connect(path)
                client.sendall(b"hello")
                read_exactly(client, 5)
                shown = r"%d a=\xff\xc2\x9b2J\"\x1b" % server.pid
                shown = "unix:@" + shown.replace('\\"', '"')
                self.assertIn("peer=%s " % shown.replace(" ", r"\x20"),
                              self.asks("connections"))
                [entry] = json.loads(self.asks("connections", "--json"))
                self.assertEqual(entry["peer"], shown)
            line = server.logs(rb'\{"time":.*\n')[0]
            self.assertEqual(json.loads(line.decode())["peer"], shown)
            self.assertEqual(server.stop()[0], 0)

    def test_drain_stops_the_server_which_is_no_longer_ready(self):
        with self.serve("-t", "never", "echo@127.0.0.1:0") as server:
            self.asks("ready")
            with server.connect() as client:
                stuff(client, server)
                self.asks("drain")
                until(lambda: not is_listening(server.address()), "the drain")
                self.assertIn("draining", self.refused("ready"))
                self.assertEqual(self.stats()["phase"], "draining")
                client.setblocking(True)
                while client.recv(65536):
                    pass
            self.assertEqual(server.end()[0], 0)

    def test_in_a_lame_duck_it_is_not_ready_and_accepts(self):
        with self.serve("--lame-duck", "never", "echo@127.0.0.1:0") as server:
            self.asks("drain")
            until(lambda: self.stats()["phase"] == "lame-duck", "the phase")
            self.assertIn("lame-duck", self.refused("ready"))
            with server.connect() as client:
                client.sendall(b"hello")
                self.assertEqual(read_exactly(client, 5), b"hello")
            server.counts(completed=1)
            self.assertEqual(server.stop()[0], 0)

    def test_the_log_level_changes(self):
        with self.serve("-l", "warning") as server:
            self.assertEqual(self.asks("log-level"), "warning\n")
            self.asks("log-level", "debug")
            self.assertEqual(self.asks("log-level"), "debug\n")
            self.assertIn("'loud'", self.refused("log-level", "loud"))
            self.assertEqual(self.asks("log-level"), "debug\n")
            server.stop()
            server.logs(rb" info stopped: ")

    def test_with_the_level_come_lines_of_connections(self):
        for by_file in False, True:
            self.configure("log-level = warning\n")
            with self.serve("--config", self.config,
                            "echo@127.0.0.1:0") as server:
                with server.connect() as client:
                    client.sendall(b"hello")
                    read_exactly(client, 5)
                    if by_file:
                        self.configure("log-level = info\n")
                        self.asks("reload")
                    else:
                        self.asks("log-level", "info")
                server.logs(rb" info connection 1 from .*echo@127.* ended .*: "
                            rb"the client has closed\n")
                self.asks("log-level", "warning")
                with server.connect() as client:
                    client.sendall(b"hello")
                    read_exactly(client, 5)
                server.counts(completed=2)
                self.assertEqual(server.stop()[0], 0)
                self.assertNotIn(b"connection 2", server.err.rest())

    def test_what_is_no_request(self):
        with self.serve() as server:
            for words in (["stats", "x"], ["drain", "--", "x"],
                          ["log-level", "info", "debug"], ["ready", "-j"]):
                self.refused(*words)
            for words in ([], ["nonsense"], ["stats", ""], ["a b"],
                          ["--nonsense"], ["x" * 2000]):
                self.check_usage(self.ctl(*words), "weir-server")
            for line in (b"", b"\n", b"\0\n", b"x" * 5000, b"nonsense\n",
                         b"stats \n", b" stats\n"):
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(self.path)
                    client.sendall(line)
                    client.shutdown(socket.SHUT_WR)
                    self.assertNotIn(b"ok", read_all(client))
            self.assertEqual(self.stats()["phase"], "serving")
            self.assertEqual(server.stop()[0], 0)

    def test_where_nobody_listens(self):
        self.assertIn("no server listens", self.refused("stats"))
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(self.path)
        self.assertIn("no server listens", self.refused("ready"))

    def test_sockets_that_cannot_be(self):
        for path in ("@abstract", "", "/" + "x" * 200, "/nonexistent/x"):
            self.check_usage(run("WEIR_SERVER", "--control", path,
                                 "echo@127.0.0.1:0"),
                             "weir-server", "--control")
        with self.serve():
            self.check_usage(
                run("WEIR_SERVER", "--control", self.path, "echo@127.0.0.1:0"),
                "weir-server", "--control", "another process")

    def test_more_listeners_than_a_successor_gets(self):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if 0 <= hard < 1200:
            self.skipTest("no more than %d descriptors are allowed" % hard)
        name = "discard@unix:@weir-%d-%%d" % os.getpid()
        with self.serve("--agent", "127.0.0.1:0",
                        *(name % i for i in range(1000))) as server:
            for option in b"--control", b"--agent":
                server.logs(rb" warning '%s' cannot be passed on: " % option)
            self.assertEqual(server.err.data.count(b"cannot be passed on"), 2)
            self.asks("ready")
            self.assertEqual(server.stop()[0], 0)

    def test_help_has_the_requests(self):
        result = run("WEIR_SERVER", "ctl", "--help")
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        for word in (b"drain", b"reload", b"stats", b"connections",
                     b"log-level", b"ready"):
            self.assertIn(word, result.stdout)


class Replies(Base):
    """What another server says to ctl."""

    def setUp(self):
        super().setUp()
        self.listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.listener.close)
        self.listener.bind(self.path)
        self.listener.listen()
        self.listener.settimeout(DEADLINE)

    def answer(self, reply):
        """Returns ctl once it has read the reply."""
        ctl = subprocess.Popen(
            [program("WEIR_SERVER"), "ctl", "--control", self.path, "stats"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        self.addCleanup(ctl.communicate)
        self.addCleanup(ctl.kill)
        client = self.listener.accept()[0]
        with client:
            client.settimeout(DEADLINE)
            self.assertEqual(read_exactly(client, 6), b"stats\n")
            client.sendall(reply)
        return ctl

    def test_a_whole_reply_is_printed(self):
        for text in b"", b"a\nb\n", b"end\n", b"the end\n":
            ctl = self.answer(b"ok\n" + text + b"end\n")
            self.assertEqual(ctl.communicate(timeout=DEADLINE), (text, b""))
            self.assertEqual(ctl.returncode, 0)

    def test_of_a_reply_that_is_cut_nothing_is_printed(self):
        for reply in (b"", b"o", b"ok", b"ok\n", b"ok\nend", b"ok\na\n",
                      b"ok\na\nen", b"ok\n" + b"a\n" * 100000,
                      b"ok\nthe end\n", b"error no", b"ok\nend\na\n"):
            ctl = self.answer(reply)
            output, errors = ctl.communicate(timeout=DEADLINE)
            self.assertEqual((output, ctl.returncode), (b"", 1), reply)
            self.assertEqual(errors, b"weir-server: no complete reply from "
                             b"the server: it has closed the connection\n")

    def test_the_server_does_not_wait_for_a_slow_reader(self):
        text = b"a line of a long list\n" * 200000
        ctl = self.answer(b"ok\n" + text + b"end\n")
        self.assertEqual(ctl.communicate(timeout=DEADLINE), (text, b""))
        self.assertEqual(ctl.returncode, 0)


class Reload(Base):
    def test_limits_and_log_level_change(self):
        self.configure("# the first\n\nqueue = 50\n  log-level=debug \n")
        with self.serve("--config", self.config) as server:
            self.assertEqual(self.stats()["queue_length"], "50")
            self.configure("queue = 70\nmax-connections = 90\n"
                           "max-unsent = 2\n"
                           "log-level = warning\nlame-duck = never\n")
            self.asks("reload")
            now = self.stats()
            self.assertEqual((now["queue_length"], now["max_connections"],
                              now["outbox_total"]),
                             ("70", "90", str(2 << 20)))
            self.assertEqual(self.asks("log-level"), "warning\n")
            self.configure("")
            server.process.send_signal(signal.SIGHUP)
            until(lambda: self.stats()["queue_length"] == "128", "the default")
            self.assertEqual(server.stop()[0], 0)

    def test_timeouts_change_for_open_connections(self):
        self.configure("")
        with self.serve("--config", self.config, "echo@127.0.0.1:0",
                        "room@127.0.0.1:0") as server:
            with server.connect() as client, server.connect(1) as patient:
                client.sendall(b"hello")
                read_exactly(client, 5)
                patient.recv(1)
                self.configure("lifetime = never\nread-timeout = 9s\n")
                self.asks("reload")
                client.sendall(b"hello")
                self.assertEqual(read_exactly(client, 5), b"hello")
                self.configure("idle-timeout = 1ms\n")
                self.asks("reload")
                self.assertEqual(client.recv(1), b"")
                read_all(patient)
            self.assertEqual(server.stop()[1]["timed_out"], 2)

    def test_the_command_line_wins(self):
        self.configure("queue = 50\nworkers = 3\n")
        with self.serve("--config", self.config, "-q", "60") as server:
            now = self.stats()
            self.assertEqual((now["queue_length"], now["workers"]),
                             ("60", "3"))
            self.assertEqual(server.stop()[0], 0)

    def test_what_is_wrong_changes_nothing_and_is_named(self):
        self.configure("queue = 50\nmax-connections = 100\n")
        with self.serve("--config", self.config) as server:
            for text, words in (
                    ("queue = 7\ndrain-timeout = x\n", ("--drain-timeout",)),
                    ("queue = 7\nnonsense = 1\n", (":2:", "'nonsense'")),
                    ("queue 7\n", (":1:", "name = value")),
                    ("queue = 7\ncheck = 1\n", ("'check'",)),
                    ("queue = 7\nconfig = /x\n", ("'config'",)),
                    ("queue = 7\nworkers = 9\n", ("--workers", "restart")),
                    ("queue = 7\ngreeting = x\n", ("--greeting",)),
                    ("queue = 7\npid-file = /x\n", ("--pid-file",)),
                    ("file = %snone\n" % (2000 * "/"), ("No such file",)),
                    ("queue = 7\naccess-log = all\n", ("--access-log",)),
                    ("queue = 7\0\n", ("not a text",))):
                self.configure(text)
                why = self.refused("reload")
                for word in words:
                    self.assertIn(word, why)
                self.assertEqual(self.stats()["queue_length"], "50", text)
            server.logs(rb" not reloaded: --file: .*none': No such file")
            os.unlink(self.config)
            self.assertIn("cannot read", self.refused("reload"))
            os.mkdir(self.config)
            self.assertIn("cannot read", self.refused("reload"))
            self.assertEqual(self.stats()["queue_length"], "50")
            server.logs(rb" warning not reloaded: --workers cannot change")
            self.assertEqual(server.stop()[0], 0)

    def test_an_option_that_is_fixed_cannot_be_left_out_either(self):
        check = run("WEIR_SERVER", "--check").stdout
        preset = int(re.match(rb"workers (\d+)\n", check)[1])
        self.configure("workers = %d\n" % (preset + 1))
        with self.serve("--config", self.config) as server:
            self.configure("")
            self.assertIn("--workers cannot change", self.refused("reload"))
            self.assertEqual(self.stats()["workers"], str(preset + 1))
            self.assertEqual(server.stop()[0], 0)

    def writer(self):
        """Of the pipe, once the server reads it."""
        def attempt():
            with contextlib.suppress(OSError):
                return os.open(self.config, os.O_WRONLY | os.O_NONBLOCK)
        return until(attempt, "a reader of " + self.config)

    def test_of_a_pipe_all_is_read(self):
        os.mkfifo(self.config)
        with self.serve("--config", self.config, ready=False) as server:
            writer = self.writer()
            for piece in b"queue = 5", b"0\nmax-connec", b"tions = 60\n":
                until(lambda: sleeps(server.pid), "a wait for more")
                os.write(writer, piece)
            os.close(writer)
            server.out.expect(rb"^ready\n")
            now = self.stats()
            self.assertEqual((now["queue_length"], now["max_connections"]),
                             ("50", "60"))
            self.assertEqual(server.stop()[0], 0)

    def test_of_a_pipe_that_nobody_writes_nothing_is_read(self):
        os.mkfifo(self.config)
        silent = self.folder() + "/silent"
        os.mkfifo(silent)
        with Server("--config", silent, ready=False) as other, \
                self.serve("--config", self.config, ready=False) as server:
            writer = self.writer()
            os.write(writer, b"queue = 50\n")
            os.close(writer)
            server.out.expect(rb"^ready\n")
            self.assertIn("nothing came within 10s", self.refused("reload"))
            self.assertEqual(self.stats()["queue_length"], "50")
            self.assertEqual(other.end(), (2, None))
            self.assertEqual(other.err.rest().decode(),
                             "weir-server: --config: cannot read '%s': "
                             "nothing came within 10s\n" % silent)
            self.assertEqual(server.stop()[0], 0)

    def reloading(self):
        """A server that reads its file, a pipe, and the end to write to."""
        self.configure("queue = 50\n")
        process = subprocess.Popen(
            [program("WEIR_SERVER"), "--control", self.path, "--config",
             self.config, "--pid-file", self.path + ".pid",
             "echo@127.0.0.1:0"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            # glibc: memory that is freed is filled with other bytes
            env=dict(os.environ, MALLOC_PERTURB_="90"))
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        until(lambda: self.ctl("ready").returncode == 0, "the server")
        os.unlink(self.config)
        os.mkfifo(self.config)
        process.send_signal(signal.SIGHUP)
        return process, self.writer()

    def test_a_stop_waits_a_moment_for_a_reload(self):
        process, writer = self.reloading()
        self.addCleanup(os.close, writer)
        began_at = time.monotonic()
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(DEADLINE), 0)
        self.assertGreater(time.monotonic() - began_at, 0.9)

    def test_a_reload_after_a_stop_uses_nothing_that_is_gone(self):
        process, writer = self.reloading()
        process.send_signal(signal.SIGTERM)
        until(lambda: not os.path.exists(self.path + ".pid"),
              "the last steps of the stop")
        with contextlib.suppress(BrokenPipeError):
            os.write(writer, b"queue = 51\n")
        os.close(writer)
        self.assertEqual(process.wait(DEADLINE), 0)

    def test_without_a_file_there_is_nothing_to_reload(self):
        with self.serve() as server:
            self.assertRegex(self.asks("reload"), r"^nothing to reload: .*\n$")
            server.logs(rb" info nothing to reload: ")
            self.assertEqual(server.stop()[0], 0)

    def test_files_that_cannot_be_read_at_the_start(self):
        for text in (None, "nonsense\n", "queue = none\n"):
            if text:
                self.configure(text)
            self.check_usage(run("WEIR_SERVER", "--config", self.config, "-n"),
                             "weir-server")

    def expect_reload(self, manager):
        """The service manager hears of its begin and of its end."""
        while not (said := manager.recv(4096)).startswith(b"RELOAD"):
            pass
        self.assertRegex(said, rb"^RELOADING=1\nMONOTONIC_USEC=[0-9]+$")
        while manager.recv(4096) != b"READY=1":
            pass

    def test_the_service_manager_is_told(self):
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        manager.bind(self.folder() + "/notify")
        manager.settimeout(DEADLINE)
        self.configure("queue = 50\n")
        env = dict(os.environ, NOTIFY_SOCKET=manager.getsockname())
        with self.serve("--config", self.config, env=env) as server:
            for text in ("queue = 51\n", "queue = none\n"):
                self.configure(text)
                self.ctl("reload")
                self.expect_reload(manager)
            self.assertEqual(server.stop()[0], 0)
        with self.serve(env=env) as server:
            self.asks("reload")  # it changes nothing
            self.expect_reload(manager)
            self.assertEqual(server.stop()[0], 0)


if __name__ == "__main__":
    main()
