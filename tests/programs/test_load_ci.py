#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What weir-client load writes for other programs: JUnit, Markdown,
OpenMetrics, lines of progress; and the recipes that use them."""

import itertools
import json
import os
import re
import shutil
import subprocess
import textwrap
import time
import xml.etree.ElementTree

from test_documents import commands, read
from weirtest import (DEADLINE, PythonServer, Server, TestCase, built_with,
                      main, nobody, program, run)

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PAGE = "docs/LOAD_CI.md"


def load(where, *options, **kwargs):
    return run("WEIR_CLIENT", "load", where, *options, **kwargs)


class Files(TestCase):
    def setUp(self):
        super().setUp()
        self.place = self.folder()

    def path(self, name):
        return os.path.join(self.place, name)

    def read(self, name):
        with open(self.path(name)) as file:
            return file.read()

    def test_each_gate_is_a_test_of_junit_and_so_is_the_verdict(self):
        with Server("echo@127.0.0.1:0") as server:
            answer = load(server.address(), "-n", "2000", "--gate", "wrong=0",
                          "--gate", "p95<1ns", "--junit", self.path("a.xml"))
        self.assertEqual(answer.returncode, 3)
        suite = xml.etree.ElementTree.parse(self.path("a.xml")).getroot()
        self.assertEqual([suite.get(name) for name in
                          ("tests", "failures", "errors")], ["3", "1", "0"])
        cases = {case.get("name"): case for case in suite}
        self.assertEqual(set(cases), {"wrong=0", "p95<1ns", "verdict"})
        self.assertEqual(len(cases["wrong=0"]), 0)
        self.assertRegex(cases["p95<1ns"].find("failure").get("message"),
                         r"^p95 is \S+$")
        self.assertIsNone(cases["verdict"].find("failure"))

    def test_a_run_that_ended_early_fails_the_verdict(self):
        with PythonServer(lambda sock: sock.recv(1)) as server:
            answer = load(server.address, "-d", "30s", "-c", "2", "--gate",
                          "wrong=0", "--junit", "-")
        self.assertEqual(answer.returncode, 1)
        suite = xml.etree.ElementTree.fromstring(answer.stdout)
        self.assertEqual([suite.get(name) for name in
                          ("tests", "failures", "errors")], ["2", "1", "1"])
        self.assertIn(b"NOT TRUSTWORTHY", answer.stderr)

    def stopped(self, address, *options, status=3):
        answer = load(address, "-d", "60s", "--stop-early", *options)
        self.assertEqual(answer.returncode, status, answer)
        self.assertRegex(answer.stdout, rb"STOPPED after \S+ of 1m")
        self.assertIn(b"a gate could not pass any more", answer.stdout)
        return answer

    def test_a_run_that_cannot_pass_is_stopped(self):
        def late(sock):
            for line in sock.makefile("rb"):
                time.sleep(0.05)
                sock.sendall(line)

        def wrong(sock):
            for line in sock.makefile("rb"):
                sock.sendall(b"x" + line[1:])
        with PythonServer(wrong) as server:
            answer = self.stopped(server.address, "--gate", "errors<10", "--gate",
                                  "p99<1000s")
            self.assertIn(b"1 of 2 gates failed", answer.stdout)
            self.assertRegex(answer.stdout, rb"errors<10 .*FAIL")
            self.assertRegex(answer.stdout, rb"p99<1000s .*not judged")
            self.stopped(server.address, "--gate", "errors%<1%", "-r", "1k")
        with PythonServer(late) as server:
            self.stopped(server.address, "--gate", "max<40ms")
            # Of 6000 messages 60 may be late.
            self.stopped(server.address, "-r", "100", "--gate", "p99<40ms")
            # How many there will be is not known: it may still pass.
            answer = load(server.address, "-d", "4s", "--stop-early",
                          "--gate", "p50<40ms")
            self.assertNotIn(b"STOPPED", answer.stdout)
            self.assertEqual(answer.returncode, 3, answer)
        self.check_usage(load("127.0.0.1:1", "--stop-early"), "weir-client",
                         "--stop-early", "--gate")

    def test_connections_that_fail_or_end_stop_a_run(self):
        def once(sock):
            for line in sock.makefile("rb"):
                sock.sendall(line)
                return
        for gate in ("errors=0", "errors%<1%", "refused<10",
                     "connect-failed<10", "never-sent<10"):
            # Without any reply the status is 1.
            answer = self.stopped(nobody(), "--churn", "-r", "100", "--gate",
                                  gate, status=1)
            self.assertRegex(answer.stdout, rb"%s .*FAIL" % gate.encode())
        with PythonServer(once) as server:
            for gate in "ended<5", "reopened<5":
                self.stopped(server.address, "-c", "1", "--reconnect",
                             "--gate", gate)

    @built_with("openssl")
    def test_failed_handshakes_stop_a_run(self):
        with PythonServer(lambda sock: sock.recv(1)) as server:
            self.stopped(server.address, "--tls", "--insecure", "--churn", "-r",
                         "100", "--gate", "handshake-failed=0", status=1)

    def test_a_summary_has_tables_of_gates_and_latencies(self):
        with Server("echo@127.0.0.1:0") as server:
            load(server.address(), "-n", "2000", "--percentiles", "50,95",
                 "--gate", "wrong=0", "--markdown", self.path("a.md"))
        text = self.read("a.md")
        self.assertRegex(text, r"(?m)^### weir-client load 127\.0\.0\.1:")
        self.assertRegex(text, r"(?m)^\*\*rate [\d,]+/s, p50 .*errors 0\*\*$")
        self.assertIn("| wrong=0 | 0 | PASS |", text)
        self.assertIn("| latency | p50 | p95 | max |\n|---|--:|--:|--:|\n",
                      text)
        self.assertRegex(text, r"(?m)^\| from-send \| \S+ \| \S+ \| \S+ \|$")

    def documented(self):
        return set(re.findall(r"(?m)^\| `(weir_load_.*?)` \|", read(PAGE)))

    def samples(self, text):
        """The names and the labels, but for the address."""
        for name, labels in re.findall(r"(?m)^(weir_load_\w+)\{(.*)\} ", text):
            address, *others = re.findall(r'(\w+)="', labels)
            self.assertEqual(address, "address")
            yield name, others

    def test_metrics_are_the_counts_of_the_run(self):
        with Server("echo@127.0.0.1:0") as server:
            answer = load(server.address(), "-n", "2000", "-s", "100",
                          "--percentiles", "50,95",
                          "--metrics", self.path("a.prom"))
        self.assertEqual(answer.returncode, 0, answer)
        text = self.read("a.prom")
        label = r'\{address="127\.0\.0\.1:\d+"\}'
        for name, value in (("replies_total", "2000"), ("errors_total", "0"),
                            ("sent_bytes_total", "200000"),
                            ("received_bytes_total", "200000")):
            self.assertRegex(text, r"(?m)^weir_load_%s%s %s$" %
                             (name, label, value))
        self.assertIn('clock="from-send",percentile="95"} ', text)
        self.assertEqual(self.documented(), {
            name + "{%s}" % ",".join(labels) * bool(labels)
            for name, labels in self.samples(text)})
        self.assertTrue(text.endswith("# EOF\n"))
        self.assertEqual(os.listdir(self.place), ["a.prom"])
        self.check_format(text)

    def test_metrics_say_what_is_a_lower_bound(self):
        def serve(sock):
            for number, line in enumerate(sock.makefile("rb")):
                if number % 50 != 49:  # nor the last one
                    sock.sendall(line)
        with PythonServer(serve) as server:
            load(server.address, "-c", "1", "-n", "400", "-t", "200ms",
                 "--metrics", self.path("a.prom"))
        text = self.read("a.prom")
        self.assertRegex(text, r'weir_load_latency_samples\{address="[^"]*",'
                         r'clock="from-send"\} \d+\n')
        self.assertRegex(text, r'weir_load_latency_at_least\{address="[^"]*",'
                         r'clock="from-send",percentile="99\.9"\} 1\n')
        self.check_format(text)

    @built_with("jansson")
    def test_metrics_and_the_run_count_the_same_errors(self):
        lives = itertools.count()

        def serve(sock):
            if next(lives) % 2 == 0:
                sock.recv(1)  # and it ends, with all that is under way
                return
            for line in sock.makefile("rb"):
                sock.sendall(line)
        for options in (["--warmup", "300ms"], ["-P", "8"], ["--churn"]):
            with self.subTest(options=options), PythonServer(serve) as server:
                answer = load(server.address, "-c", "2", "-n", "60",
                              "--reconnect", *options, "--metrics",
                              self.path("a.prom"), "--json",
                              self.path("a.json"))
                errors = json.loads(self.read("a.json"))["metrics"]["errors"]
                self.assertRegex(self.read("a.prom"), r"(?m)^weir_load_errors"
                                 r"_total\{.*\} %d$" % errors)

    def check_format(self, text):
        families = set()
        for line in text.splitlines()[:-1]:
            if line.startswith("# TYPE "):
                families.add(line.split()[2])
            elif not line.startswith("# "):
                name = re.match(r'^(\w+)\{(\w+="[^"]*",?)+\} [\d.e+-]+$',
                                line)[1]
                self.assertIn(name.removesuffix("_total"), families)
        if shutil.which("promtool"):
            found = subprocess.run(["promtool", "check", "metrics"],
                                   input=text.encode(), timeout=DEADLINE,
                                   stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT)
            # In the older format that it checks, the help of a counter has
            # its full name.
            self.assertRegex(found.stdout,
                             rb"^(weir_load_\w+_total no help text\n)*$")

    def test_metrics_that_cannot_be_written_fail_the_run(self):
        with Server("echo@127.0.0.1:0") as server:
            answer = load(server.address(), "-n", "100", "--metrics",
                          self.path("no/a.prom"))
            self.check_usage(answer, "weir-client", "--metrics: cannot write")
            self.check_usage(load(server.address(), "--metrics", "-"),
                             "weir-client", "--metrics")
            os.mkdir(self.path("a.prom.new"))
            answer = load(server.address(), "-n", "100", "--metrics",
                          self.path("a.prom"))
        self.assertEqual(answer.returncode, 1)
        self.assertEqual(answer.stderr.count(b"\n"), 1)

    def test_progress_is_printed_on_a_pipe(self):
        with Server("echo@127.0.0.1:0") as server:
            answer = load(server.address(), "-d", "4s", "--progress", "1")
        self.assertRegex(answer.stderr, rb"(?m)^\d.*s: .*\d/s   p99 .* errors")
        self.assertNotIn(b"\r", answer.stderr)
        for wrong in ("never", "100ms", "0"):
            self.check_usage(load("127.0.0.1:1", "--progress", wrong),
                             "weir-client", "--progress")


class Recipes(TestCase):
    """The shell parts of docs/LOAD_CI.md work as they stand.  Those that install
    weir are typed by tests/long/contributing.py."""

    def scripts(self):
        for block in re.findall(r"(?ms)^```yaml\n(.*?)^```", read(PAGE)):
            parts = [textwrap.dedent(part) for _, part in re.findall(
                r"(?m)^( *)(?:- \||run: \|)\n((?:\1  .*\n)+)", block)]
            self.assertEqual(len(parts), 2)
            self.assertIn("make install\n", parts[0])
            yield parts[1]

    def environment(self, place):
        for variable in ("WEIR_SERVER", "WEIR_CLIENT"):
            path = program(variable)
            os.symlink(path, os.path.join(place, os.path.basename(path)))
        return dict(os.environ, PATH=place + ":" + os.environ["PATH"],
                    ADDRESS="unix:" + os.path.join(place, "socket"),
                    GITHUB_STEP_SUMMARY=os.path.join(place, "summary.md"))

    @built_with("jansson")
    def test_they_run_and_can_be_compared(self):
        places = [self.folder(), self.folder()]
        scripts = list(self.scripts())
        self.assertEqual(len(scripts), 2)
        jobs = [subprocess.Popen(
            ["bash", "-e", "-c", script], cwd=place,
            env=self.environment(place), start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                for script, place in zip(scripts, places)]
        self.addCleanup(lambda: [os.killpg(job.pid, 9) for job in jobs
                                 if job.poll() is None])
        for job, script, place in zip(jobs, scripts, places):
            with job:
                output = job.communicate(timeout=20 + DEADLINE)[0]
            self.assertEqual(job.returncode, 0, output)
            suite = xml.etree.ElementTree.parse(
                os.path.join(place, "load.xml")).getroot()
            self.assertEqual(suite.get("tests"), "3")
            self.assertTrue(os.path.exists(os.path.join(place, "load.html")))
            self.assertEqual("GITHUB" in script, os.path.exists(
                os.path.join(place, "summary.md")))
        shutil.move(os.path.join(places[1], "load.json"),
                    os.path.join(places[0], "main.json"))
        done = subprocess.run(
            ["sh", "-c", commands(PAGE)[0]], cwd=places[0], env=dict(
                os.environ, PATH=places[0] + ":" + os.environ["PATH"]),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertIn(done.returncode, (0, 3), done.stdout)  # it is judged
        self.assertIn(b"95% interval", done.stdout)


@built_with("jansson")
@built_with("zlib")
class Generators(TestCase):
    """The recipes of the man page for several machines, which are folders of
    this one: ssh and scp are replaced."""

    SSH = """#!/bin/sh
while :; do case $1 in -*) shift ;; *) break ;; esac; done
mkdir -p "$HOSTS/$1" && cd "$HOSTS/$1" || exit
shift
[ "$1" != -- ] || shift
exec sh -c "$*"
"""
    SCP = """#!/bin/sh
cp "$HOSTS/${1%%:*}/${1#*:}" "$2"
"""

    def recipe(self, tool):
        """The commands from the start time to the sum."""
        with open(os.path.join(TOP, "docs", "man",
                               "weir-client-load.1")) as file:
            text = file.read().replace("\\e", "\\")
        blocks = re.findall(r"(?ms)^\.Bd -literal.*?\n(.*?)^\.Ed", text)
        lines = next(b for b in blocks if "$ T=" in b)
        if tool == "pdsh":
            first = next(b for b in blocks if "$ pdsh" in b)
            lines = re.sub(r"(?s)\$ parallel.*?(?=^\$ for)", lambda _: first,
                           lines, flags=re.M)
        for old, new in (("-r 20k", "-r 200"), ("-d 60s", "-d 1s"),
                         ("+ 10", "+ $LEAD"), ("p99<5ms", "errors=0")):
            self.assertIn(old, lines)
            lines = lines.replace(old, new)
        return re.sub(r"(?m)^\$ ", "", lines)

    def check(self, tool):
        if not shutil.which(tool):
            self.skipTest(tool + " is not installed")
        place = self.folder()
        for name, text in (("ssh", self.SSH), ("scp", self.SCP)):
            with open(os.path.join(place, name), "w") as file:
                file.write(text)
            os.chmod(os.path.join(place, name), 0o755)
        os.symlink(program("WEIR_CLIENT"), os.path.join(place, "weir-client"))
        env = dict(os.environ, PATH=place + ":" + os.environ["PATH"],
                   HOSTS=os.path.join(place, "hosts"), HOME=place,
                   PDSH_RCMD_TYPE="ssh")
        with Server("echo@127.0.0.1:0") as server:
            recipe = self.recipe(tool).replace("server:9000", server.address())
            lead, done = 1, None
            # On a busy machine the time may have come before all are there.
            while not done or b"--start-at" in done.stderr:
                lead *= 2
                self.assertLess(lead, DEADLINE, done)
                done = subprocess.run(
                    ["sh", "-e", "-c", recipe], cwd=place,
                    env=dict(env, LEAD=str(lead)), timeout=lead + DEADLINE,
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 0, done)
        self.assertIn(b"600 planned = 600 sent", done.stdout)
        self.assertEqual(os.listdir(os.path.join(place, "hosts", "b")),
                         ["run.json"])

    def test_parallel(self):
        self.check("parallel")

    def test_pdsh(self):
        self.check("pdsh")


if __name__ == "__main__":
    main()
