#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""commands.py: what the pages of the benchmarks, RELIABILITY.md, SECURITY.md and
OBSERVING.md tell their readers to type in a build folder works.  What takes long is given
more options, or another list of tests, never other words."""

import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "programs"))
from test_documents import (TOP, UNTIL, Shell, commands,  # noqa: E402
                            lines)
from weirtest import (DEADLINE, Server, TestCase, connect,  # noqa: E402
                      read_exactly, shared_libraries)

PATIENCE_S = 1200
FEW = "--rounds 1 --seconds 0.1 --warmup 0.1"
QUICK = "tests/tools/limit.sh"
# By test_there_are_such_packages() and test_system_calls_are_counted().
ELSEWHERE = "apt-get install ", "strace ", "weir-client "


class Typing(TestCase):
    def setUp(self):
        if os.path.samefile(TOP, "."):
            self.skipTest("the build is in the tree, whose documents and "
                          "recordings it would replace")

    def type_in(self, line, **variables):
        """Returns what it printed."""
        print("$ " + line, file=sys.stderr, flush=True)
        env = {name: value for name, value in os.environ.items()
               if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
        with subprocess.Popen(
                ["sh", "-e", "-c", line], env=dict(env, **variables), text=True,
                start_new_session=True, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as shell:
            try:
                output = shell.communicate(timeout=PATIENCE_S)[0]
            finally:
                if shell.poll() is None:
                    os.killpg(shell.pid, signal.SIGKILL)
        self.assertEqual(shell.returncode, 0, output[-5000:])
        return output


class Benchmarks(Typing):
    typed = set()  # by the tests so far: pages have some in common

    def setUp(self):
        super().setUp()
        if os.getuid() != 0:
            self.skipTest("--apart is left to root")
        kept = set(self.made())
        self.addCleanup(lambda: [os.unlink(path) for path in
                                 set(self.made()) - kept])

    @staticmethod
    def made():
        """What recordings are made of, and into."""
        return (glob.glob("bench/data/*") + glob.glob("docs/*.md") +
                glob.glob("docs/pictures/*"))

    def follow(self, page):
        for line in lines("".join(commands(page))):
            if line == "make bench":
                line += " BENCH_ARGS='--only pingpong %s'" % FEW
            elif line.startswith("make bench "):
                line = re.sub(r"BENCH_ARGS='(.*)'$", r"BENCH_ARGS='\1 %s'" % FEW,
                              line)
                self.assertIn(FEW, line)
            if line in self.typed or line.startswith(ELSEWHERE):
                continue
            self.typed.add(line)
            output = self.type_in(line.replace("../bench/", TOP + "/bench/"),
                                  ROUNDS="1")
            if FEW in line:
                self.assertIn("Medians of 1 rounds", output)

    def test_readme(self):
        self.follow("bench/README.md")

    def test_performance(self):
        self.follow("docs/PERFORMANCE.md")

    def test_tuning(self):
        self.follow("docs/TUNING.md")

    def test_sessions(self):
        """Named in a sentence there."""
        with open(os.path.join(TOP, "docs", "SESSIONS.md")) as file:
            [command] = re.findall(r"`(make bench .*)`", file.read())
        self.type_in(re.sub(r"'$", " %s'" % FEW, command))

    def test_there_are_such_packages(self):
        if not shutil.which("apt-get") or not glob.glob(
                "/var/lib/apt/lists/*Packages*"):
            self.skipTest("no lists of packages")
        [line] = [line for line in lines("".join(commands("bench/README.md")))
                  if line.startswith("apt-get install ")]
        self.type_in(line.replace("apt-get install ",
                                  "apt-get install --simulate "))


class SystemCalls(Shell):
    def test_system_calls_are_counted(self):
        self.needs("strace")
        blocks = [lines(block) for block in commands("docs/PERFORMANCE.md")]
        at = next(i for i, block in enumerate(blocks)
                  if block[0].startswith("strace "))
        [counting], loads = blocks[at:at + 2]
        ready = UNTIL % "echo | weir-client talk -lB 127.0.0.1:9000 >here"
        self.assertEqual(len(loads), 2)
        for load, sent in zip(loads, ("198", "6,000")):
            output = self.type_in(
                "%s >log 2>&1 &\ntracer=$!\n%s\n%s\n"
                "kill $(cat /proc/$tracer/task/$tracer/children)\n"
                "wait $tracer\ncat log\n" % (counting, ready, load))
            self.assertIn("%s sent = %s answered" % (sent, sent), output)
            self.assertRegex(output, r"(?m)^ *[\d.]+ .* epoll_p?wait2?$")


class Mutants(Typing):
    def test_two_of_them(self):
        with open(os.path.join(TOP, "docs", "MUTANTS.md")) as file:
            [command] = re.findall(r'`(make check-mutants MUTANTS=.*?)`',
                                   file.read().replace("\n", " "))
        self.addCleanup(shutil.rmtree, "mutants", ignore_errors=True)
        self.assertIn("2 of 2 noticed", self.type_in(command))


class Reliability(Typing):
    def test_the_commands_of_the_page_work(self):
        checks, sweeps = commands("docs/RELIABILITY.md")
        [attacks] = commands("docs/SECURITY.md")
        for line in lines(checks + attacks):
            for test in re.findall(r" long_tests=(\S+)", line):
                self.assertTrue(os.path.exists(os.path.join(TOP, test)), test)
                line = line.replace(test, QUICK)
            output = self.type_in(line, MAKEFLAGS="long_tests=%s soak_tests=%s"
                                  % (QUICK, QUICK))
            self.assertRegex(output, r"(?m)^PASS: %s \(" % re.escape(QUICK))
            self.assertRegex(output, r"(?m)^\d+ passed, 0 failed")
        whole, one, again = lines(sweeps)
        self.assertEqual(whole.split(), one.split()[:1])
        output = self.type_in(one)
        self.assertRegex(output, r"(?m)^park .* 0 failed")
        # The hash is that of another build.
        self.assertIn("not reached", self.type_in(again))


class Probes(Typing):
    def test_bpftrace_counts_callbacks(self):
        _, line = commands("docs/OBSERVING.md")
        if not shutil.which("bpftrace"):
            self.skipTest("bpftrace is not installed")
        able = subprocess.run(["bpftrace", "-e", "BEGIN { exit(); }"], text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        if able.returncode != 0:
            self.skipTest("bpftrace: " + able.stdout.strip())
        library = shared_libraries().split(":")[0] + "/libweir.so.0"
        line = line.strip().replace("/usr/local/lib/libweir.so.0", library)
        self.assertIn(library, line)
        with Server("echo@127.0.0.1:0") as server:
            where, seconds, said = server.address(), 0.5, ""
            # It says that it attaches the probe before it does so.
            while not re.search(r"(?m)^@\[\d+\]: \d+$", said):
                seconds *= 2
                self.assertLess(seconds, DEADLINE, said)
                said = self.trace(line, where, seconds)

    def trace(self, line, where, seconds):
        with tempfile.TemporaryFile("w+") as errors, subprocess.Popen(
                ["sh", "-c", "exec " + line], text=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=errors) as tracer:
            try:
                said = tracer.stdout.readline()
                if not said.startswith("Attaching"):
                    errors.seek(0)
                    self.fail(errors.read())
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    with connect(where) as client:
                        client.sendall(b"hello")
                        self.assertEqual(read_exactly(client, 5), b"hello")
                tracer.send_signal(signal.SIGINT)
                return said + tracer.communicate(timeout=DEADLINE)[0]
            finally:
                tracer.kill()


if __name__ == "__main__":
    unittest.main(verbosity=2)
