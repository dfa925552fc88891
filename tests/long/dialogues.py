#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ten thousand clients in the middle of a dialogue of five steps, each command
sent byte by byte, with a server of two workers (examples/smtp.c).

Each client is served to the end.  While all wait, a newcomer is served at
once, there are no more threads, and a waiting session takes at most 9 KiB of
resident memory, its stack and its part of a message included.  That is at most
what a goroutine takes in the same dialogue (dialogues.go), if Go is
installed."""

import os
import shutil
import signal
import subprocess
import time

from flooding import TestCase, main, say
from smtp_clients import GREETING, STEPS, Clients, may_open, talk
from test_examples import Example
from weirtest import Pump

COUNT = 10000
MOST_BYTES = 9 * 1024
GO = shutil.which("go")


def status(pid):
    with open("/proc/%d/status" % pid) as file:
        lines = dict(line.split(":", 1) for line in file)
    return int(lines["VmRSS"].split()[0]) * 1024, int(lines["Threads"])


class Goroutines:
    """Runs dialogues.go, as Example does its example."""

    def __init__(self, folder):
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                              "dialogues.go")
        program = os.path.join(folder, "dialogues")
        subprocess.run(
            [GO, "build", "-o", program, source], check=True,
            env=dict(os.environ, GO111MODULE="off", GOFLAGS="",
                     GOCACHE=os.path.join(folder, "cache")))
        self.process = subprocess.Popen([program], stdout=subprocess.PIPE)
        self.out = Pump(self.process.stdout)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.kill()
        self.process.wait()
        self.out.close()


class Dialogues(TestCase):
    def setUp(self):
        if not may_open(COUNT):
            self.skipTest("too few descriptors")

    def hold(self, name, server):
        """Bytes of a session at each step, while a newcomer is served."""
        sizes = []
        where = server.out.expect(rb" at (\S+)\n")[1].decode()
        self.assertTrue(talk(where))
        before = status(server.process.pid)
        clients = Clients(where, COUNT)
        self.addCleanup(clients.close)
        self.assertEqual(clients.hear(GREETING), COUNT)
        for text, answer in STEPS:
            clients.send(text[:-1])
            began = time.monotonic()
            self.assertTrue(talk(where))
            took = time.monotonic() - began
            now = status(server.process.pid)
            sizes.append((now[0] - before[0]) // COUNT)
            say("%-4s %-18s %5d bytes of RSS a session, a newcomer after "
                "%.1f ms" % (name, text[:-2].decode(), sizes[-1], took * 1e3))
            if name == "weir":
                self.assertEqual(now[1], before[1])
            clients.send(text[-1:])
            self.assertEqual(clients.hear(answer), COUNT)
        clients.close()
        return sizes

    def test_ten_thousand_dialogues_on_two_workers(self):
        with Example("smtp", "127.0.0.1:0") as smtp:
            sizes = self.hold("weir", smtp)
            self.assertLessEqual(max(sizes), MOST_BYTES)
            smtp.process.send_signal(signal.SIGTERM)
            self.assertEqual(smtp.process.wait(), 0)
            self.assertIn(b"%d to the end" % (COUNT + 1 + len(STEPS)),
                          smtp.out.rest())
        if GO is None:
            say("Go is not installed")
            return
        with Goroutines(self.folder()) as other:
            theirs = self.hold("Go", other)
        for mine, its in zip(sizes, theirs):
            self.assertLessEqual(mine, its)


if __name__ == "__main__":
    main()
