#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weir-client load find: against servers whose capacity is known, and what it
says of a search that comes to nothing."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import threading
import time

from weirtest import (DEADLINE, Server, TestCase, is_built_without, main,
                      mostly, nobody, program, run, stolen)

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def find(where, *options):
    return run("WEIR_CLIENT", "load", "find", where, "--warmup", "100ms",
               *options)


LATE = 0.03  # seconds that a SlowServer makes up for


class SlowServer:
    """Echoes lines, capacity a second and no more.  While requests wait, it
    makes up for sleeps that a busy machine has made longer."""

    def __init__(self, capacity):
        self.each = 1 / capacity
        self.free_at = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.sockets = [self.listener]
        self.is_over = False
        self.thread = threading.Thread(target=self._serve)

    def address(self):
        return "127.0.0.1:%d" % self.listener.getsockname()[1]

    def _begin(self, late):
        self.free_at = max(self.free_at, time.monotonic() - late)

    def _ready(self):
        """The sockets with requests; waits for one."""
        ready = select.select(self.sockets, [], [], 0)[0]
        if not ready:
            ready = select.select(self.sockets, [], [], 0.1)[0]
            self._begin(0)
        return ready

    def _echo(self, sock):
        try:
            data = sock.recv(65536)
            if data:
                self._begin(LATE)
                self.free_at += data.count(b"\n") * self.each
                time.sleep(max(0, self.free_at - time.monotonic()))
                sock.sendall(data)
                return
        except OSError:
            pass
        self.sockets.remove(sock)
        sock.close()

    def _serve(self):
        while not self.is_over:
            for sock in self._ready():
                if sock is self.listener:
                    self.sockets.append(sock.accept()[0])
                else:
                    self._echo(sock)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *unused):
        self.is_over = True
        self.thread.join()
        for sock in self.sockets:
            sock.close()


def documented():
    with open(os.path.join(TOP, "docs", "LOAD_JSON.md")) as file:
        section = file.read().split("\n# The JSON of a search\n")[1]
    return set(re.findall(r"^\| `([^`]+)` \|", section, re.M))


class Find(TestCase):
    def find_json(self, where, *options):
        path = os.path.join(self.folder(), "find.json")
        if is_built_without("jansson"):
            return find(where, *options), None
        answer = find(where, "--json", path, *options)
        with open(path) as file:
            return answer, json.load(file)

    def found(self, search, pattern):
        """What a search finds that has this pattern on a machine that runs."""
        began, before = time.monotonic(), stolen()
        answer = result = None

        def attempt():
            nonlocal answer, result
            answer, result = search()
            return re.search(pattern, answer.stdout, re.S) is not None, True
        if mostly(attempt, worst=5):
            return answer, result
        share = (stolen() - before) / (time.monotonic() - began)
        if share > os.cpu_count() / 5:
            self.skipTest("the machine stood still: its host took %.1f of %d "
                          "processors" % (share, os.cpu_count()))
        return answer, result

    def test_it_finds_what_the_server_can_do(self):
        with SlowServer(360) as server:
            answer, result = self.found(lambda: self.find_json(
                server.address(), "--max", "600", "-d", "600ms",
                "--resolution", "20%", "--gate", "p50<200ms"),
                rb"confirmed.*: (at least )?[0-9]{3,} msg/s\n")
        text = answer.stdout.decode()
        self.assertEqual(answer.returncode, 0, text)
        self.assertIn("between 41.7 and 600 msg/s\nat most ", text)
        self.assertIn(" PASS  p50 ", text)
        self.assertIn(" FAIL  ", text)
        self.assertIn("   trying again\n", text)
        self.assertIn("   confirmed in a run twice as long\n", text)
        last = re.search(r"highest rate that holds p50<200ms: (?:at least )?"
                         r"([\d.]+) msg/s\n    \((?:next tried|at) ([\d.]+) ",
                         text)
        self.assertTrue(last, text)
        self.assertLess(100, float(last[1]))
        self.assertLess(float(last[1]), 440)
        self.assertLessEqual(max(map(len, text.splitlines())), 80)
        if result is None:
            return
        self.assertEqual(result["outcome"], "found")
        self.assertIn(result["limit"], ("server", "client"))
        self.assertEqual(round(result["held"]), int(last[1]))
        self.assertEqual(round(result["failed"]), int(last[2]))
        self.assertLessEqual(result["failed"], result["held"] * 1.2001)
        self.assertLessEqual(len(result["steps"]), result["steps_most"])
        self.assertTrue(result["steps"][-1]["confirming"])
        self.assertGreaterEqual(result["steps"][-1]["elapsed_ns"], 1.2e9)
        self.assertIsNone(result["plan"]["rate"])
        fields = set(result) - {"steps"}
        fields |= {"steps[]." + name for name in result["steps"][0]}
        self.assertEqual(fields, documented())

    def test_what_holds_at_the_highest_rate_is_a_lower_bound(self):
        with Server("echo@127.0.0.1:0") as server:
            answer, _ = self.found(lambda: (find(
                server.address(), "--max", "200", "-d", "500ms",
                "--gate", "wrong=0", "-q"), None), b"at least 200 ")
        self.assertEqual(answer.returncode, 0, answer.stdout)
        self.assertEqual(answer.stdout, b"highest rate that holds wrong=0: at "
                         b"least 200 msg/s\n"
                         b"    (--max: no higher rate was tried)\n")

    def test_a_rate_that_is_not_answered_does_not_hold(self):
        with SlowServer(100) as server:
            answer = find(server.address(), "--min", "400", "--max", "400",
                          "-d", "300ms", "--gate", "wrong=0")
        text = answer.stdout.decode()
        self.assertEqual(answer.returncode, 3, text)
        self.assertRegex(text, r"FAIL  [0-9.]+% answered")
        self.assertRegex(text, r"not even 400 msg/s holds wrong=0\n"
                         r"    \([0-9.]+% answered")

    def test_without_a_highest_rate_a_closed_loop_says_it(self):
        with SlowServer(200) as server:
            answer = find(server.address(), "-d", "400ms", "--gate", "p50<1ns",
                          "--min", "20")
        text = answer.stdout.decode()
        self.assertEqual(answer.returncode, 3, text)
        reached = re.search(r"a closed loop reaches ([\d.]+) msg/s\n", text)
        self.assertLess(float(reached[1]), 230)
        highest = re.search(r"between 20 and ([\d.]+) msg/s\n", text)
        self.assertAlmostEqual(float(highest[1]), float(reached[1]) * 1.1,
                               delta=2)
        self.assertRegex(text, r"not even 20 msg/s holds p50<1ns\n"
                         r"    \((?:[0-9.]+% answered   )?p50 ")

    def test_a_run_without_arrivals_says_nothing_of_the_rate(self):
        """Half a message in each run, by chance."""
        with Server("echo@127.0.0.1:0") as server:
            answer, result = self.find_json(
                server.address(), "--poisson", "--min", "2", "--max", "2",
                "-d", "250ms", "--gate", "errors=0")
        text = answer.stdout.decode()
        self.assertEqual(answer.returncode, 0, text)
        self.assertIn("2/s  ----  no message fell into this run   repeated\n",
                      text)
        self.assertNotIn("FAIL", text)
        self.assertIn("highest rate that holds errors=0: at least 2 msg/s\n",
                      text)
        if result is None:
            return
        empty = [step for step in result["steps"] if step["empty"]]
        self.assertGreater(len(empty), 0)
        self.assertEqual({step["held"] for step in empty}, {False})
        self.assertLessEqual(len(result["steps"]), result["steps_most"])

    def test_runs_that_are_too_short_for_arrivals_are_told_of(self):
        with Server("echo@127.0.0.1:0") as server:
            answer, result = self.find_json(
                server.address(), "--poisson", "--min", "0.01", "--max",
                "0.01", "-d", "50ms", "--gate", "errors=0")
        text = answer.stdout.decode()
        self.assertEqual(answer.returncode, 1, text)
        self.assertRegex(text, r"too few messages to say: (\d+) of \1 runs "
                         r"had none; use a longer\s+--duration or a higher "
                         r"--min\n$")
        self.assertLessEqual(max(map(len, text.splitlines())), 80)
        if result is not None:
            self.assertEqual(result["outcome"], "unsettled")
            self.assertIsNone(result["failed"])

    def test_nobody_there_is_said_at_once(self):
        where = nobody()
        answer = find(where, "--gate", "errors=0")
        self.check_failure(answer, where, "no connection could be made")

    def test_an_interrupt_ends_it_with_what_is_known(self):
        with Server("echo@127.0.0.1:0") as server:
            client = subprocess.Popen(
                [program("WEIR_CLIENT"), "load", "find", server.address(),
                 "--max", "400", "-d", "700ms", "--warmup", "100ms",
                 "--gate", "wrong=0"], stdout=subprocess.PIPE)
            self.addCleanup(client.kill)
            line = b""
            while b"PASS" not in line:
                line = client.stdout.readline()
                self.assertTrue(line)
            client.send_signal(signal.SIGINT)
            text = client.communicate(timeout=DEADLINE)[0]
        self.assertEqual(client.returncode, 1, text)
        self.assertRegex(text, rb"interrupted: \d+ msg/s held wrong=0, not "
                         rb"confirmed\n$")

    def test_what_it_cannot_do_is_one_line_and_exit_status_2(self):
        for options, fragment in (
                ((), "a --gate is needed"),
                (("--gate", "wrong=0", "--max", "0"), "--max: '0' is not"),
                (("--gate", "wrong=0", "--min", "9", "--max", "8"),
                 "--min is above --max"),
                (("--gate", "p99<1s", "--max", "100"), "too few messages"),
                # Ten above the median, and more for the whims of chance.
                (("--gate", "p50<1s", "--max", "8", "--poisson"),
                 "too few messages"),
                (("--gate", "wrong=0", "--resolution", "0"),
                 "--resolution: '0' is not a percentage"),
                (("--gate", "wrong=0", "--rate", "5"), "rate"),
                (("--gate", "wrong=0", "-d", "never"), "--duration never")):
            answer = find("127.0.0.1:1", *options)
            self.check_usage(answer, "weir-client", fragment)


if __name__ == "__main__":
    main()
