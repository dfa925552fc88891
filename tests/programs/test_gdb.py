#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/weir-gdb.py shows sessions that wait, in a process and a core file."""

import os
import re
import shutil
import signal
import subprocess
import unittest

from smtp_clients import GREETING, STEPS, Clients
from test_documents import TOP, commands, lines
from test_examples import Example
from weirtest import DEADLINE, SLOWNESS, TestCase, main, until

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                      "../../tools/weir-gdb.py")
COUNT = 300  # more than a slab of connections
NO_SERVER = "no server: acceptor_main() is in no backtrace"


@unittest.skipUnless(shutil.which("gdb"), "gdb is not installed")
class Gdb(TestCase):
    def gdb(self, *args, **how):
        return self.run_gdb(
            ["gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off",
             "-x", SCRIPT, *args], **how)

    def run_gdb(self, command, expected=None, **how):
        """What gdb prints; the test is skipped where it cannot do that."""
        result = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=10 * DEADLINE, **how)
        text = result.stdout.decode(errors="replace")
        for words in ("Operation not permitted", "No struct type named",
                      "No symbol table", "not configured to support Python",
                      NO_SERVER):
            if words in text and words != expected:
                self.skipTest("gdb: " + words)
        return text

    def dialogues(self, smtp):
        where = smtp.out.expect(rb" at (\S+)\n")[1].decode()
        clients = Clients(where, COUNT)
        self.addCleanup(clients.close)
        clients.hear(GREETING)
        clients.send(STEPS[0][0])
        clients.hear(STEPS[0][1])
        return where, clients

    def look(self, clients, step, show, count=COUNT):
        """What is shown of so many clients in the middle of a step, for which
        each has 30 seconds; then they go on."""
        text, answer = STEPS[step]

        def shown():
            said = show()
            return said.count("waits for rest") == count and said
        clients.send(text[:4])
        said = until(shown, "all wait")
        clients.send(text[4:])
        self.assertEqual(clients.hear(answer), COUNT)
        return said

    def check_list(self, text, where, clients):
        found = re.findall(
            r"^connection (\d+) from (\S+) at (\S+), session receive_mail: "
            r"parked for \d+\.\d s, waits for (\w+)$", text, re.M)
        self.assertEqual(len(found), COUNT, text)
        self.assertEqual({peer for _, peer, _, _ in found},
                         {"%s:%d" % c.getsockname() for c in clients.all})
        self.assertEqual({(at, what) for _, _, at, what in found},
                         {(where, "rest")})

    def check_backtraces(self, text, count):
        functions = ["weir_conn_read_line", "expect", "receive_mail"]
        for trace in re.split(r"^connection ", text, flags=re.M)[1:]:
            called = [name for name in re.findall(r"\b([a-z_]+) \(", trace)
                      if name in functions]
            self.assertEqual(called, functions, trace)
            count -= 1
        self.assertEqual(count, 0, text)

    def test_sessions_of_a_process(self):
        with Example("smtp", "127.0.0.1:0") as smtp:
            where, clients = self.dialogues(smtp)
            pid = str(smtp.process.pid)
            text = self.look(clients, 1, lambda: self.gdb(
                "-p", pid, "-ex", "weir-sessions"))
            self.check_list(text, where, clients)
            self.check_backtraces(text, COUNT)
            text = self.look(clients, 2, lambda: self.gdb(
                "-p", pid, "-ex", "weir-sessions -brief"))
            self.check_list(text, where, clients)
            text = self.look(clients, 3, lambda: self.gdb(
                "-p", pid, "-ex", "weir-sessions 7"), 1)
            self.check_backtraces(text, 1)

    def test_session_of_the_program(self):
        program = subprocess.Popen(["tests/programs/spawned"],
                                   stdout=subprocess.PIPE)
        self.addCleanup(program.stdout.close)
        self.addCleanup(program.wait)
        self.addCleanup(program.kill)
        self.assertEqual(program.stdout.readline(), b"started\n")

        def shown():
            said = self.gdb("-p", str(program.pid), "-ex", "weir-sessions")
            return "parked for" in said and said
        text = until(shown, "the session waits")
        program.send_signal(signal.SIGTERM)
        self.assertEqual(program.wait(DEADLINE), 0)
        said, trace = re.search(r"^connection (.*)\n((?:#.*\n)*)", text,
                                re.M).groups()
        self.assertRegex(said, r"^1 of the program, session keep_time: "
                         r"parked for \d+\.\d s, waits for other$")
        self.assertRegex(trace, r"\bweir_sleep \((.*\n)+.*\bkeep_time \(")

    def test_it_says_that_there_is_nothing_to_show(self):
        with Example("smtp", "127.0.0.1:0") as smtp:
            smtp.out.expect(b" at ")
            self.assertIn("\nno session waits\n", self.gdb(
                "-p", str(smtp.process.pid), "-ex", "weir-sessions"))
        with subprocess.Popen(["sleep", "60"]) as other:
            self.addCleanup(other.wait)
            self.addCleanup(other.kill)
            self.assertIn("\n" + NO_SERVER, self.gdb(
                "-p", str(other.pid), "-ex", "weir-sessions",
                expected=NO_SERVER))
            other.kill()

    def test_the_command_of_the_page(self):
        [line] = [line for block in commands("docs/SESSIONS.md")
                  for line in lines(block)]
        with Example("smtp", "127.0.0.1:0") as smtp:
            where, clients = self.dialogues(smtp)
            line = line.replace("PID", str(smtp.process.pid))
            self.assertTrue(line.startswith("gdb -p "), line)

            def type_in():
                return self.run_gdb(
                    ["sh", "-c", line], cwd=TOP,
                    env=dict(os.environ, HOME=self.folder()))
            text = self.look(clients, 1, type_in)
        self.check_list(text, where, clients)
        self.check_backtraces(text, COUNT)

    @unittest.skipIf(SLOWNESS != 1, "a sanitizer needs memory of its own")
    def test_sessions_of_a_core_file(self):
        core = os.path.join(self.folder(), "core")
        with Example("smtp", "127.0.0.1:0") as smtp:
            where, clients = self.dialogues(smtp)
            pid = smtp.process.pid
            program = os.readlink("/proc/%d/exe" % pid)

            def dump_and_show():
                self.gdb("-p", str(pid), "-ex", "generate-core-file " + core)
                return self.gdb(program, core, "-ex", "weir-sessions")
            text = self.look(clients, 1, dump_and_show)
        self.check_list(text, where, clients)
        self.check_backtraces(text, COUNT)


if __name__ == "__main__":
    main()
