#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ten thousand pairs that weir-server relays, and that say nothing.

They take no thread, and at most 20 KiB of resident memory each: two
connections and a stack.  The relay raises its limit on descriptors itself.  A
newcomer is served at once, and each pair still passes bytes on.  The figure of
HAProxy for the same pairs is printed beside, if it is installed."""

import contextlib
import os
import resource
import shutil
import socket
import subprocess
import tempfile
import time

from flooding import TestCase, main, say, until
from weirtest import DEADLINE, Server, read_exactly

PAIRS = 10000
SPARE = 200
NEEDED = 2 * PAIRS + SPARE  # descriptors of the relay
MOST_BYTES = 20 * 1024
SOURCES = ["127.0.0.%d" % n for n in range(2, 6)]
HAPROXY = shutil.which("haproxy")
CONFIG = """
global
    nbthread 2
    maxconn %(most)d
defaults
    mode tcp
    timeout connect 30s
    timeout client 600s
    timeout server 600s
listen relay
    bind %(at)s
    server upstream %(to)s
"""


def allow_descriptors(count):
    """So many, or as many as there may be."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(ValueError, PermissionError):
        hard = max(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return hard
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def status(pid):
    """Bytes of resident memory, and threads."""
    with open("/proc/%d/status" % pid) as file:
        lines = dict(line.split(":", 1) for line in file)
    return int(lines["VmRSS"].split()[0]) * 1024, int(lines["Threads"])


class HAProxy:
    def __init__(self, to, pairs):
        self._folder = tempfile.TemporaryDirectory()
        self.where = os.path.join(self._folder.name, "socket")
        path = os.path.join(self._folder.name, "config")
        with open(path, "w") as file:
            file.write(CONFIG % {"most": pairs + 10, "at": self.where,
                                 "to": to})
        self._process = subprocess.Popen(
            [HAPROXY, "-db", "-f", path], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.pid = self._process.pid

    def __enter__(self):
        until(lambda: not self.runs() or self._listens(), "HAProxy")
        return self

    def __exit__(self, *unused):
        self._process.terminate()
        self._process.wait()
        self._folder.cleanup()

    def _listens(self):
        with socket.socket(socket.AF_UNIX) as sock:
            return sock.connect_ex(self.where) == 0

    def runs(self):
        return self._process.poll() is None

    def client(self, _source):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(DEADLINE)
        sock.connect(self.where)
        return sock


class Relay(Server):
    """It begins with the soft limit of a shell."""

    def __init__(self, *args):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        super().__init__(*args, preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_NOFILE, (min(1024, hard), hard)))

    def client(self, source):
        host, port = self.address().rsplit(":", 1)
        return socket.create_connection((host, int(port)), DEADLINE,
                                        (source, 0))


def echoes(sock, text):
    sock.sendall(text)
    return read_exactly(sock, len(text)) == text


class IdleRelays(TestCase):
    def setUp(self):
        self.pairs = min(PAIRS, (allow_descriptors(NEEDED) - SPARE) // 2)
        if self.pairs < PAIRS:
            say("%d pairs, as there are too few descriptors" % self.pairs)

    def hold(self, relay):
        """Bytes of a pair, which were all used; the relay has no more threads
        than before."""
        pairs = []
        try:
            with relay.client(SOURCES[0]) as first:
                self.assertTrue(echoes(first, b"first"))
            before = status(relay.pid)
            for i in range(self.pairs):
                pairs.append(relay.client(SOURCES[i % len(SOURCES)]))
                self.assertTrue(echoes(pairs[-1], b"hello"))
            after = status(relay.pid)
            self.assertEqual(after[1], before[1])
            began = time.monotonic()
            with relay.client(SOURCES[0]) as newcomer:
                self.assertTrue(echoes(newcomer, b"newcomer"))
            took = time.monotonic() - began
            for sock in pairs:
                self.assertTrue(echoes(sock, b"still here"))
        finally:
            for sock in pairs:
                sock.close()
        size = (after[0] - before[0]) // self.pairs
        say("%-8s %d bytes of RSS a pair, a newcomer after %.1f ms" %
            (type(relay).__name__, size, took * 1e3))
        return size

    def test_ten_thousand_idle_pairs_on_two_workers(self):
        most = ("--workers", "2", "--max-connections", str(PAIRS + 100))
        with Server("echo@127.0.0.1:0", "echo@127.0.0.2:0",
                    *most) as upstream:
            with Relay("relay@127.0.0.1:0", "--to", upstream.address(0),
                       *most) as relay:
                self.assertLessEqual(self.hold(relay), MOST_BYTES)
                self.assertEqual(relay.stop()[0], 0)
            if HAPROXY is None:
                say("HAProxy is not installed")
                return
            with HAProxy(upstream.address(1), self.pairs) as other:
                if other.runs():
                    self.hold(other)
                else:
                    say("HAProxy did not start")


if __name__ == "__main__":
    main()
