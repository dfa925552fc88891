#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How weir-client load connects and when it sends, seen by the server."""

import array
import contextlib
import errno
import fcntl
import itertools
import json
import os
import socket
import struct
import subprocess
import termios
import threading
import time

from weirtest import (DEADLINE, PythonServer, Server, TestCase, built_with,
                      main, program, run, until)


def load(where, *options, **kwargs):
    return run("WEIR_CLIENT", "load", where, *options, **kwargs)


def input_size(sock):
    count = array.array("i", [0])
    fcntl.ioctl(sock, termios.FIONREAD, count)
    return count[0]


def echo(sock):
    for line in sock.makefile("rb"):
        sock.sendall(line)


class Headers(TestCase):
    """The header of the PROXY protocol is first, and counted nowhere."""

    def serve(self, take):
        self.seen = []

        def serve(sock):
            file = sock.makefile("rb")
            self.seen.append((take(file), sock.getpeername(),
                              sock.getsockname()))
            for line in file:
                sock.sendall(line)
        return PythonServer(serve)

    def check(self, server, *options):
        answer = load(server.address, "-c", "3", "-n", "60", *options)
        self.assertEqual(answer.returncode, 0, answer)
        self.assertIn(b"60 sent = 60 answered", answer.stdout)
        self.assertIn(b"60 checked: all as expected", answer.stdout)

    def test_version_1_is_a_line(self):
        with self.serve(lambda file: file.readline()) as server:
            self.check(server, "--proxy", "v1")
        self.assertEqual(len(self.seen), 3)
        for line, peer, own in self.seen:
            self.assertEqual(line.decode(), "PROXY TCP4 %s %s %d %d\r\n" %
                             (peer[0], own[0], peer[1], own[1]))

    def test_version_2_is_binary(self):
        with self.serve(lambda file: file.read(28)) as server:
            self.check(server, "--proxy", "v2", "--churn")
        self.assertEqual(len(self.seen), 60)
        for head, peer, own in self.seen:
            self.assertEqual(head, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" +
                             socket.inet_aton(peer[0]) +
                             socket.inet_aton(own[0]) +
                             struct.pack("!HH", peer[1], own[1]))

    def test_misbehaving_clients_send_it_once_to_a_unix_socket_too(self):
        heads = []

        def serve(sock):
            head, answered = bytearray(), 0
            heads.append(head)
            while got := sock.recv(100):
                head += got
                body = head.partition(b"\r\n")[2]
                sock.sendall(body[answered:])
                answered = len(body)
        path = os.path.join(self.folder(), "socket")
        with PythonServer(serve, path) as server:
            answer = load(server.address, "-c", "1", "-r", "1", "-d", "3s",
                          "--proxy", "v1", "--with", "idle:2,vanish:1")
        self.assertEqual(len(heads), 4, answer)
        once = b"PROXY UNKNOWN\r\n"
        self.assertEqual(heads.count(once), 2)
        for head in heads:
            self.assertEqual(head[:len(once)], once)
            self.assertNotIn(b"PROXY", head[len(once):])


class Addresses(TestCase):
    def test_each_source_of_a_range_is_used(self):
        peers = []

        def serve(sock):
            peers.append(sock.getpeername()[0])
            echo(sock)
        with PythonServer(serve) as server:
            answer = load(server.address, "-c", "6", "-n", "60", "--source",
                          "127.0.0.2-4")
        self.assertEqual(answer.returncode, 0, answer)
        self.assertEqual(sorted(peers), ["127.0.0.2", "127.0.0.2", "127.0.0.3",
                                         "127.0.0.3", "127.0.0.4",
                                         "127.0.0.4"])


class Starts(TestCase):
    @built_with("jansson")
    def test_two_machines_begin_at_the_same_time(self):
        place = self.folder()
        lead, started = 2, None
        # On a busy machine the time may have come before both are there.
        while not started or max(started) > at:
            lead *= 2
            self.assertLess(lead, DEADLINE)
            at = int(time.time()) + lead
            with PythonServer(echo) as server:
                clients = [subprocess.Popen(
                    [program("WEIR_CLIENT"), "load", server.address, "-c", "2",
                     "-n", "100", "--start-at", str(at), "--json",
                     os.path.join(place, name)], stdout=subprocess.DEVNULL)
                    for name in ("a", "b")]
                for client in clients:
                    self.addCleanup(client.wait)
                    self.addCleanup(client.kill)
                status = [client.wait(lead + DEADLINE) for client in clients]
            if 2 in status:
                continue  # the time was in the past
            self.assertEqual(status, [0, 0])
            started = []
            for name in ("a", "b"):
                with open(os.path.join(place, name)) as file:
                    started.append(json.load(file)["run"]["started"])
        self.assertEqual(started, [at, at])

    def test_one_that_is_too_late_says_so(self):
        # The banner is late, so that connecting takes longer.
        def serve(sock):
            time.sleep(0.4)
            sock.sendall(b"hello\n")
            echo(sock)
        with PythonServer(serve) as server:
            answer = load(server.address, "-n", "100", "--banner", "line",
                          "--start-at", "+100ms")
        self.assertRegex(answer.stdout, rb"NOT TRUSTWORTHY  connecting took "
                         rb"too long: the run began \S+\s+after --start-at")
        for wrong in ("1", "+never", "+2000h", "x", "", "-5"):
            self.check_usage(load(server.address, "--start-at", wrong),
                             "weir-client", "--start-at")


class Losses(TestCase):
    @built_with("jansson")
    def test_pauses_between_attempts_are_told_apart(self):
        path = os.path.join(self.folder(), "run.json")
        served = threading.Event()

        def serve(sock):
            for line in sock.makefile("rb"):
                sock.sendall(line)
                served.set()
        with PythonServer(serve) as server:
            client = subprocess.Popen(
                [program("WEIR_CLIENT"), "load", server.address, "-c", "4",
                 "-d", "6s", "--reconnect", "--json", path],
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            self.addCleanup(client.stderr.close)
            self.addCleanup(client.wait)
            self.addCleanup(client.kill)
            self.assertTrue(served.wait(DEADLINE) or client.poll() is not None)
        client.communicate(timeout=DEADLINE)
        with open(path) as file:
            metrics = json.load(file)["metrics"]
        # Nobody listens: an attempt takes no time, the pauses do.
        self.assertGreater(metrics["downtime%"], 20)
        self.assertGreater(metrics["paused%"], 80)
        self.assertLessEqual(metrics["paused%"], 100)
        self.assertGreater(metrics["refused"], 4)

    @built_with("jansson")
    def test_a_loss_does_not_last_longer_than_the_measured_part(self):
        """One is lost after its only message, and made again when all
        messages have been sent and the other still waits for its reply."""
        path = os.path.join(self.folder(), "run.json")
        accepted, asked = itertools.count(), itertools.count()
        is_again = threading.Event()

        def serve(sock):
            if next(accepted) == 2:
                time.sleep(1)  # the messages are sent in 400 ms
                sock.sendall(b"hello\n")
                is_again.set()
                sock.recv(1)
                return
            sock.sendall(b"hello\n")
            line = sock.makefile("rb").readline()
            if next(asked) == 1:
                is_again.wait(DEADLINE)
            sock.sendall(line)

        with PythonServer(serve) as server:
            load(server.address, "-c", "2", "-n", "2", "-r", "5",
                 "--banner", "line", "--reconnect", "--json", path)
        with open(path) as file:
            metrics = json.load(file)["metrics"]
        self.assertEqual(metrics["answered"], 2)
        self.assertEqual(metrics["reopened"], 1)
        self.assertGreater(metrics["downtime%"], 0)
        self.assertLessEqual(metrics["downtime%"], 50)

    def test_an_upload_to_servers_that_read_nothing_is_not_counted(self):
        """What a lost connection had in its send buffer was not taken."""
        rooms = []

        def refuses(sock):
            rooms.append(sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))
            was, same = -1, 0
            while same < 5:
                size = input_size(sock)
                same = same + 1 if size == was else 0
                was = size
                time.sleep(0.01)

        with PythonServer(refuses) as server:
            answer, run = self.load_json(server, "--upload", "--reconnect",
                                         "-c", "2", "-d", "1s")
        self.assertGreater(run["metrics"]["reopened"], 0)
        self.assertLessEqual(run["run"]["bytes_out"], sum(rooms))

    @built_with("jansson")
    def test_a_server_may_end_what_has_nothing_to_do_in_the_drain(self):
        """All is sent in 100 ms; then the silent connection and the one that
        has its replies are ended, before the other one has any."""
        asked, sockets, talkers = itertools.count(1), [], []
        all_sent, has_ended = threading.Event(), threading.Event()

        def serve(sock):
            lines = []
            sockets.append(sock)
            for line in itertools.islice(sock.makefile("rb"), 5):
                if not lines:
                    talkers.append(sock)
                lines.append(line)
                if sock is talkers[0]:
                    sock.sendall(line)
                if next(asked) == 10:
                    time.sleep(0.3)  # the plan ends with an interval
                    all_sent.set()
            if not lines:
                return
            all_sent.wait(DEADLINE)
            if sock is talkers[1]:
                has_ended.wait(DEADLINE)
                sock.sendall(b"".join(lines))
                return
            until(lambda: len(sockets) == 3, "the silent connection")
            for other in sockets:
                if other is not talkers[1]:
                    other.shutdown(socket.SHUT_RDWR)
            time.sleep(0.1)
            has_ended.set()

        with PythonServer(serve) as server:
            answer, run = self.load_json(server, "-c", "2", "--idle", "1",
                                         "-n", "10", "-r", "100", "-P", "8")
        self.assertTrue(has_ended.is_set())
        self.assertEqual(run["metrics"]["answered"], 10)
        self.assertEqual(run["errors"], [])
        self.assertEqual(run["metrics"]["ended"], 0)
        self.assertEqual(run["metrics"]["lost"], 0)
        self.assertEqual(run["connections"]["idle_open"], 1)
        self.assertNotIn(b"not kept", answer.stderr)

    @built_with("jansson")
    def test_so_may_it_when_a_closed_loop_has_used_up_its_count(self):
        """Of four messages, one connection sends three.  When it has its
        replies, it and the silent one are ended, before the other has any."""
        sockets, talkers = [], []
        closed = threading.Semaphore(0)

        def serve(sock):
            file = sock.makefile("rb")
            sockets.append(sock)
            line = file.readline()
            if not line:
                closed.release()
                return
            talkers.append(sock)
            if sock is not talkers[0]:
                for _ in range(2):
                    closed.acquire(timeout=DEADLINE)
                sock.sendall(line)
                return
            for _ in range(2):
                sock.sendall(line)
                line = file.readline()
            sock.sendall(line)
            until(lambda: len(sockets) == 3 and len(talkers) == 2, "all three")
            for other in sockets:
                if other is not talkers[1]:
                    other.shutdown(socket.SHUT_WR)
            if not file.readline():
                closed.release()

        with PythonServer(serve) as server:
            answer, run = self.load_json(server, "-c", "2", "--idle", "1",
                                         "-n", "4")
        self.assertEqual(run["metrics"]["answered"], 4)
        self.assertEqual(run["errors"], [])
        self.assertEqual(run["metrics"]["ended"], 0)
        self.assertEqual(run["metrics"]["lost"], 0)
        self.assertEqual(run["connections"]["idle_open"], 1)
        self.assertNotIn(b"not kept", answer.stderr)


class OneWay(TestCase):
    """A server that speaks first is greeted before bytes are counted."""

    def check_bytes(self, serve, name, *options):
        with PythonServer(serve) as server:
            _, run = self.load_json(server, "-c", "2", "-d", "500ms",
                                    "--banner", "line", *options)
        self.assertEqual(run["errors"], [])
        self.assertEqual(run["metrics"]["served"], 2)
        self.assertGreater(run["run"][name], 2 * 65536)
        return run

    def test_a_download_begins_after_the_banner(self):
        def pours(sock):
            sock.sendall(b"hel")
            sock.sendall(b"lo\n" + 10 * b"x")
            while True:
                sock.sendall(65536 * b"x")
        for options in ([], ["--warmup", "100ms"]):
            self.check_bytes(pours, "bytes_in", "--download", *options)

    def test_an_upload_begins_after_the_banner(self):
        received = itertools.count()

        def takes(sock):
            sock.settimeout(0.1)  # nothing comes before the banner
            with self.assertRaises(TimeoutError):
                sock.recv(1)
            sock.settimeout(DEADLINE)
            sock.sendall(b"hello\n")
            while sock.recv(1 << 20):
                next(received)
        run = self.check_bytes(takes, "bytes_out", "--upload")
        self.assertEqual(run["run"]["bytes_in"], 0)
        self.assertGreater(next(received), 0)


class Seconds(TestCase):
    @built_with("jansson")
    def test_a_second_that_ends_with_the_measured_part_ends_once(self):
        """The client is busy then."""
        with Server("echo@127.0.0.1:0") as server:
            for _ in range(5):
                answer = run("WEIR_CLIENT", "load", server.address(), "-c",
                             "64", "-P", "16", "-s", "30000", "-d", "1s",
                             "--json", "-")
                rows = json.loads(answer.stdout)["seconds"]
                for row in rows[:-1]:
                    if row["drain"]:
                        self.assertGreaterEqual(
                            row["at_ns"] + row["length_ns"], 2e9, rows)


class Threads(TestCase):
    """A run does not depend on which thread has which connection."""

    def test_a_thread_whose_server_is_fast_takes_more_of_the_count(self):
        """The slow connection has its reply when the other has had most."""
        had_most = threading.Event()

        def serve(sock):
            is_slow = next(accepted) == 1
            for n, line in enumerate(sock.makefile("rb"), 1):
                if is_slow:
                    had_most.wait(DEADLINE)
                elif n == 80:
                    had_most.set()
                sock.sendall(line)

        for options in [], ["-P", "4"], ["--think", "1ms"]:
            accepted = itertools.count()
            had_most.clear()
            with PythonServer(serve) as server:
                _, run = self.load_json(server, "-c", "2", "-T", "2", "-n",
                                        "100", *options)
            self.assertTrue(had_most.is_set())
            self.assertEqual(run["metrics"]["answered"], 100)
            self.assertEqual(run["metrics"]["errors"], 0)

    def test_in_churn_too(self):
        slow, had_most = threading.Lock(), threading.Event()
        answered = itertools.count(1)

        def serve(sock):
            line = sock.makefile("rb").readline()
            if slow.acquire(blocking=False):
                had_most.wait(DEADLINE)
            elif next(answered) == 80:
                had_most.set()
            sock.sendall(line)

        with PythonServer(serve) as server:
            _, run = self.load_json(server, "-c", "2", "-T", "2", "-n", "100",
                                    "--churn")
        self.assertTrue(had_most.is_set())
        self.assertEqual(run["metrics"]["answered"], 100)
        self.assertEqual(run["metrics"]["errors"], 0)

    def test_a_thread_that_has_sent_all_keeps_its_connections(self):
        """One is lost after its last message.  The other has its first reply,
        and sends more, when that one has been made again."""
        accepted, is_again = itertools.count(), threading.Event()

        def serve(sock):
            number = next(accepted)
            if number == 2:
                is_again.set()
            for n, line in enumerate(sock.makefile("rb"), 1):
                if number == 1:
                    is_again.wait(DEADLINE)
                sock.sendall(line)
                if number == 0 and n == 10:
                    return

        with PythonServer(serve) as server:
            _, run = self.load_json(server, "-c", "2", "-T", "2", "-n", "20",
                                    "-r", "200", "--reconnect")
        self.assertTrue(is_again.is_set())
        self.assertEqual(run["metrics"]["answered"], 20)
        self.assertEqual(run["metrics"]["errors"], 0)
        self.assertEqual(run["metrics"]["reopened"], 1)


class Pace(TestCase):
    def serve(self):
        self.lives = []

        def serve(sock):
            life = []
            self.lives.append(life)
            for line in sock.makefile("rb"):
                life.append(line)
                sock.sendall(line)
        return PythonServer(serve)

    def check_filled(self, answer, run):
        """Unless the client was held up, as it says then."""
        if run["metrics"]["stall"] < 20e6:
            self.assertNotIn(b"waited for this client", answer.stderr)

    def test_clients_think_after_each_reply(self):
        for think, least in (("400ms", 400e6), ("200ms-600ms", 200e6),
                             ("exp:400ms", 0)):
            with self.serve() as server:
                answer, run = self.load_json(server, "-c", "8", "-d", "3s",
                                             "--think", think)
            self.assertEqual(run["metrics"]["errors"], 0)
            self.check_filled(answer, run)
            self.assertGreater(run["metrics"]["answered"], 8)
            if least:
                self.assertLessEqual(run["metrics"]["answered"],
                                     8 * (3e9 / least + 1))
            self.assertLess(run["metrics"]["p50"], 200e6)

    def test_no_two_begin_together(self):
        """Else all clients would send at once again and again."""
        with self.serve() as server:
            _, run = self.load_json(server, "-c", "200", "-n", "200",
                                    "--think", "1s")
        self.assertGreater(run["run"]["elapsed_ns"], 900e6)

    def test_a_connection_is_replaced_after_its_life(self):
        for options in (["-d", "3s"], ["-d", "3s", "-r", "500"],
                        ["-d", "3s", "-P", "8"],
                        ["-d", "3s", "--think", "10ms"]):
            answer, run = self.load_in_time(self.serve, "-c", "4",
                                            "--lifetime", "100ms", *options)
            metrics = run["metrics"]
            self.assertGreater(len(self.lives), 12)
            self.assertLess(len(self.lives), 4 * (3 / 0.1 + 2))
            self.assertEqual(metrics["reopened"], len(self.lives) - 4)
            for name in ("lost", "errors", "closed-early", "reset",
                         "downtime%"):
                self.assertEqual(metrics[name], 0, name)
            self.assertEqual(metrics["answered"],
                             sum(len(life) for life in self.lives))
            self.check_filled(answer, run)

    def serve_slowly(self, delay):
        def serve(sock):
            while data := sock.recv(65536):
                time.sleep(delay)
                sock.sendall(data)
        return PythonServer(serve)

    def test_replies_are_read_while_an_old_connection_waits_for_its_own(self):
        with self.serve_slowly(0.02) as server:
            answer, run = self.load_json(server, "-c", "4", "-r", "400", "-P",
                                         "16", "-d", "1s", "--lifetime",
                                         "100ms")
        self.assertEqual(run["metrics"]["errors"], 0)
        self.assertEqual(run["metrics"]["answered"], 400)
        self.assertGreater(run["metrics"]["reopened"], 4)

    def test_what_was_planned_is_sent_at_the_end_on_old_connections(self):
        with self.serve_slowly(0.1) as server:
            answer, run = self.load_json(server, "-c", "1", "-r", "40", "-d",
                                         "500ms", "--lifetime", "150ms", "-t",
                                         "30s")
        self.assertEqual(run["metrics"]["planned"], 20)
        self.assertEqual(run["metrics"]["answered"], 20)

    def test_ends_of_old_connections_among_many_replies_lose_none(self):
        with Server("echo@127.0.0.1:0", "-l", "warning") as server:
            for _ in range(6):
                answer = load(server.address(), "-c", "100", "-P", "16", "-r",
                              "20k", "-d", "300ms", "--lifetime", "1ms", "-t",
                              "30s")
                self.assertIn(b"6,000 planned = 6,000 sent\n", answer.stdout)

    def test_what_is_no_time_is_refused(self):
        for option in ("--think", "--lifetime"):
            for wrong in ("", "0s", "x", "2s-1s", "1s-", "exp:", "exp:1s-2s",
                          "never", "1s-never"):
                self.check_usage(load("127.0.0.1:1", option, wrong),
                                 "weir-client", option)
            for other in (["--churn"], ["--upload"], ["--download"]):
                self.check_usage(load("127.0.0.1:1", option, "1s", *other),
                                 "weir-client", option)
        for other in (["-r", "10"], ["-P", "2"]):
            self.check_usage(load("127.0.0.1:1", "--think", "1s", *other),
                             "weir-client", "--think")


class Backlogs(TestCase):
    @built_with("jansson")
    def test_no_exchange_begins_before_its_instant(self):
        """Though the one before it gave up on a full backlog."""
        where = os.path.join(self.folder(), "socket")
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(where)
            listener.listen(0)
            is_full = False
            while not is_full:
                sock = stack.enter_context(socket.socket(socket.AF_UNIX))
                sock.setblocking(False)
                is_full = sock.connect_ex(where) == errno.EAGAIN
            answer = load("unix:" + where, "--churn", "-r", "1", "-c", "1",
                          "-d", "2s", "--connect-timeout", "100ms", "--json",
                          "-")
        error, = json.loads(answer.stdout)["errors"]
        self.assertEqual((error["phase"], error["count"]), ("connect", 2))
        self.assertGreater(error["last_ns"], 1e9)


class Stages(TestCase):
    def test_each_has_its_messages(self):
        with PythonServer(echo) as server:
            answer = load(server.address, "-c", "6", "-P", "100", "-r",
                          "100:1s,100-300:1s,300:1s", "--warmup", "100ms")
        self.assertIn(b"600 planned = 600 sent\n", answer.stdout)
        self.assertIn(b"on average over 3 stages", answer.stdout)

    def test_what_is_no_list_of_them_is_refused(self):
        for wrong in ("100:", ":1s", "100:1s,", "100-:1s", "0:1s", "1:never",
                      "1-2-3:1s"):
            self.check_usage(load("127.0.0.1:1", "-r", wrong), "weir-client",
                             "--rate", wrong)
        for other in (("-d", "10s"), ("-n", "10")):
            self.check_usage(load("127.0.0.1:1", "-r", "100:1s", *other),
                             "weir-client", "--rate", "--duration")


if __name__ == "__main__":
    main()
