#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ten thousand connections that say nothing, and a hundred that do.

Two servers, one with the crowd and one without, are asked in turn, so that
what else the machine does hits both alike.  The crowd costs the active ones
little, next to no processor time while nobody speaks, some KB each, and a stop
no more than a second, though its peers do not answer the server's end."""

import socket
import time

from flooding import (Flooded, TestCase, allow_descriptors, at_most, check_quiet,
                      load, main, median, ms, say, twice, until)

CROWD = 10000
ACTIVE = ("-c", 100, "-r", 4000, "-d", "2s", "--expect", "echo")
ROUNDS = 5
IDLE_S = 3
NEEDED = CROWD + 200


class IdleCrowd(TestCase):
    def setUp(self):
        if allow_descriptors() < NEEDED:
            self.skipTest("fewer than %d descriptors are allowed" % NEEDED)

    def gather(self, where):
        host, port = where.rsplit(":", 1)
        crowd = []
        for _ in range(CROWD):
            sock = socket.socket()
            self.addCleanup(sock.close)
            sock.connect((host, int(port)))
            crowd.append(sock)
        return crowd

    def p99(self, server):
        found = load(server.addresses[0], *ACTIVE)
        self.assertEqual(found["metrics"]["errors"], 0, found["errors"])
        return ms(found["metrics"]["p99"])

    def costs_no_time_while_idle(self, server):
        before, began = server.stats()["cpu_us"], time.monotonic()
        time.sleep(IDLE_S)
        used = server.stats()["cpu_us"] - before
        share = used / 1e4 / (time.monotonic() - began)
        say("processor time while %d are idle: %.3f%%" % (CROWD, share))
        at_most(share, 0.5)

    def costs_the_active_little(self, alone, crowded):
        without, beside = [], []
        for i in range(-1, ROUNDS):
            pair = self.p99(alone), self.p99(crowded)
            if i >= 0:
                without.append(pair[0])
                beside.append(pair[1])
        ratio = median(b / w for b, w in zip(beside, without))
        more = median(b - w for b, w in zip(beside, without))
        say("p99 without %s, beside them %s ms: %.2f x" % (
            *(["%.2f" % p99 for p99 in p] for p in (without, beside)),
            ratio))
        # The figure is 1.25; the noise of a busy machine is more than that.
        if more >= 1:
            at_most(ratio, 1.5)

    @twice
    def test_ten_thousand_idle_connections_cost_little(self):
        with Flooded("echo@127.0.0.1:0", workers=4) as alone, \
                Flooded("echo@127.0.0.1:0", workers=4) as crowded:
            before = crowded.stats()["heap"], crowded.rss()
            crowd = self.gather(crowded.addresses[0])
            until(lambda: crowded.stats()["parked"] == CROWD, "all parked")
            heap = (crowded.stats()["heap"] - before[0]) / CROWD
            rss = (crowded.rss() - before[1]) / CROWD
            say("each of them: %.0f bytes of heap, %.0f of RSS" % (heap, rss))
            self.assertLess(heap, 4096)
            self.assertLess(rss, 4096)
            self.costs_no_time_while_idle(crowded)
            self.costs_the_active_little(alone, crowded)
            check_quiet(self, alone)
            began = time.monotonic()
            report = crowded.stop(5000)
            took = time.monotonic() - began
            say("the stop took %.2f s" % took)
            self.assertEqual(report["rc"], 0, report)
            self.assertEqual(report["cut"], 0, report)
            # The figure is 1; see above.
            at_most(took, 1.5)
            for sock in crowd:
                self.assertEqual(sock.recv(1), b"")


if __name__ == "__main__":
    main()
