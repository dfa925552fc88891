#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Connections of every kind at once, for minutes or hours, and nothing left of
them: no descriptor, no thread, no byte of heap, nothing missing in the books.

	soak.py [SECONDS]

In rounds: loads that connect for one message and loads that stay, over IPv4,
IPv6 and a Unix socket, on three services, with clients beside them that read
slowly, drip, half-close, reset, say nothing, flood and vanish.  Between the
rounds the server comes to rest and is measured.  In a network of its own the
kernel counts the connections too."""

import contextlib
import os
import socket
import statistics
import sys
import tempfile
import time

from flooding import (Flooded, Load, TestCase, allow_descriptors, check_books,
                      has_ipv6, main, network_of_its_own, say, until)

SECONDS = 180
ROUND_S = 12
WARM_UP = 2  # rounds
FEWEST_A_MINUTE = 66700  # 200,000 in 3 minutes
SNAPSHOTS_A_SECOND = 50  # at least; one each 10 ms is tried
MOST_AT_ONCE = 3000
WORKERS = 8
# What workers keep for the next reply and message, once they had one.
KEPT = WORKERS * 2 * (16 << 10) + 4096
RSS_KB_A_MINUTE = 64

DEADLINES = {"first_byte": 3000, "read": 3000, "write": 3000, "idle": 4000}
ALL_KINDS = "slow-read:20,drip:20,half-close:20,reset:20,idle:40,flood:2," \
    "vanish:20"
# Of a session each that says nothing more holds a worker.
BRIEF_KINDS = "half-close:3,reset:3,vanish:1"


def passive_opens():
    with open("/proc/self/net/snmp") as file:
        names, values = [line.split() for line in file
                         if line.startswith("Tcp:")]
    return int(values[names.index("PassiveOpens")])


def slope(samples):
    """Of (x, y), by Theil and Sen: the median over all pairs."""
    return statistics.median(
        (y2 - y1) / (x2 - x1) for i, (x1, y1) in enumerate(samples)
        for x2, y2 in samples[:i])


class Soak(TestCase):
    def loads(self, server):
        """What each round does."""
        v4, v6, unix, session = server.addresses
        sources = ",".join("127.0.0.%d" % i for i in range(1, 5))
        times = ("-d", "%ds" % ROUND_S)
        churn = ("--churn", "-c", 100, *times)
        return [
            (v4, *churn, "-r", 600, "--source", sources, "--with", ALL_KINDS),
            (v6, *churn, "-r", 300),
            (unix, *churn, "-r", 600),
            (v6, "-c", 40, "-r", 1000, "-s", "1-4000", *times, "--with",
             ALL_KINDS),
            (unix, "-c", 20, "-r", 500, *times, "--with", ALL_KINDS),
            (session, "-c", 4, "-r", 100, *times, "--with", BRIEF_KINDS)]

    def one_round(self, server):
        with contextlib.ExitStack() as stack:  # a failure ends all of them
            running = [stack.enter_context(Load(*options))
                       for options in self.loads(server)]
            for load in running:
                found = load.result()
                self.assertEqual(found["metrics"]["errors"], 0,
                                 found["errors"])
        return self.at_rest(server)

    def at_rest(self, server):
        now = server.comes_to_rest()
        return {"at": time.monotonic(), "heap": now["heap"],
                "rss": server.trimmed_rss(), "descriptors": server.descriptors(),
                "threads": server.threads(), "accepted": now["accepted"]}

    def as_many_as_ever_at_once(self, server):
        host, port = server.addresses[0].rsplit(":", 1)
        crowd = [socket.create_connection((host, int(port)))
                 for _ in range(MOST_AT_ONCE)]
        for sock in crowd:
            sock.close()
        server.comes_to_rest()

    def check_with_the_kernel(self, server, before):
        """One whose client is gone may still wait to be accepted."""
        def counts():
            return passive_opens() - before, server.stats()["accepted_tcp"]
        with contextlib.suppress(AssertionError):
            until(lambda: len(set(counts())) == 1, "the same counts")
        self.assertEqual(*counts())

    def check_growth(self, samples, seconds):
        first, last = samples[WARM_UP], samples[-1]
        growth = slope([(s["at"] / 60, s["rss"] / 1024)
                        for s in samples[WARM_UP:]])
        say("RSS in KB:", *(s["rss"] >> 10 for s in samples))
        say("%d connections in %d s; RSS %.0f KB, %+.1f KB a minute; heap %d "
            "and then %d bytes; %d descriptors, %d threads" %
            (last["accepted"], seconds, last["rss"] / 1024, growth,
             first["heap"], last["heap"], last["descriptors"],
             last["threads"]))
        self.assertGreaterEqual(last["accepted"],
                                FEWEST_A_MINUTE * seconds / 60)
        for what in "descriptors", "threads":
            self.assertEqual(last[what], samples[0][what], what)
        self.assertLessEqual(last["heap"], first["heap"] + KEPT)
        self.assertLessEqual(growth, RSS_KB_A_MINUTE)

    def test_nothing_is_left_of_any_kind_of_connection(self):
        allow_descriptors()
        # What threads keep for their next allocations is no leak, but takes
        # hours to come to its end.
        os.environ["GLIBC_TUNABLES"] = \
            "glibc.malloc.tcache_count=0:glibc.malloc.arena_max=1"
        is_counted = network_of_its_own()
        with tempfile.TemporaryDirectory(prefix="weir-") as folder, \
                Flooded("echo@127.0.0.1:0",
                        "work@[::1]:0" if has_ipv6() else "work@127.0.0.1:0",
                        "echo@unix:%s/s" % folder, "session@127.0.0.1:0",
                        workers=WORKERS, queue=1024, **DEADLINES) as server:
            began, before = time.monotonic(), passive_opens()
            self.as_many_as_ever_at_once(server)
            samples = [self.at_rest(server)]
            while time.monotonic() < began + SECONDS - ROUND_S:
                samples.append(self.one_round(server))
            if is_counted:
                self.check_with_the_kernel(server, before)
            now = server.stats()
            report = server.stop(10000)
            say("%d snapshots, %d impossible; %r" %
                (now["snapshots"], now["impossible"], report))
            self.assertEqual(now["impossible"], 0, server.log.data.decode())
            self.assertGreater(now["snapshots"],
                               SNAPSHOTS_A_SECOND * (time.monotonic() - began))
            self.assertEqual((report["rc"], report["cut"], report["open"]),
                             (0, 0, 0))
            check_books(report)
            self.check_growth(samples, samples[-1]["at"] - began)
            if not is_counted:
                print("SKIPPED: no network of its own, whose kernel would "
                      "count its connections")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        SECONDS = int(sys.argv.pop())
    main()
