#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ten thousand clients in the middle of a dialogue of five steps, each command
sent byte by byte, with a server of two workers (examples/smtp.c).

Each client is served to the end.  While all wait, a newcomer is served at
once, there are no more threads, and a waiting session takes at most 9 KiB of
resident memory, its stack and its part of a message included."""

import signal
import time

from flooding import TestCase, main, say
from smtp_clients import GREETING, STEPS, Clients, may_open, talk
from test_examples import Example

COUNT = 10000
MOST_BYTES = 9 * 1024


def status(pid):
    with open("/proc/%d/status" % pid) as file:
        lines = dict(line.split(":", 1) for line in file)
    return int(lines["VmRSS"].split()[0]) * 1024, int(lines["Threads"])


class Dialogues(TestCase):
    def test_ten_thousand_dialogues_on_two_workers(self):
        if not may_open(COUNT):
            self.skipTest("too few descriptors")
        with Example("smtp", "127.0.0.1:0") as smtp:
            where = smtp.out.expect(rb" at (\S+)\n")[1].decode()
            self.assertTrue(talk(where))
            before = status(smtp.process.pid)
            clients = Clients(where, COUNT)
            self.addCleanup(clients.close)
            self.assertEqual(clients.hear(GREETING), COUNT)
            for text, answer in STEPS:
                clients.send(text[:-1])
                began = time.monotonic()
                self.assertTrue(talk(where))
                took = time.monotonic() - began
                now = status(smtp.process.pid)
                size = (now[0] - before[0]) // COUNT
                say("%-18s %5d bytes of RSS a session, a newcomer after "
                    "%.1f ms" % (text[:-2].decode(), size, took * 1e3))
                self.assertEqual(now[1], before[1])
                self.assertLessEqual(size, MOST_BYTES)
                clients.send(text[-1:])
                self.assertEqual(clients.hear(answer), COUNT)
            smtp.process.send_signal(signal.SIGTERM)
            self.assertEqual(smtp.process.wait(), 0)
            self.assertIn(b"%d to the end" % (COUNT + 1 + len(STEPS)),
                          smtp.out.rest())


if __name__ == "__main__":
    main()
