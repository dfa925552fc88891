#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""As many greedy peers as there are workers, each with hundreds of requests
under way, and a polite one that asks for one thing at a time.  A round of the
server is one callback for each of them, so the polite one waits for no more
than that, however deep the others' heaps are; nor do they make a callback long
that takes all lines there are, for its turn is a millisecond."""

from flooding import (Flooded, Load, TestCase, at_most, check_quiet, load, main,
                      median, ms, say, twice)

WORKERS = 4
WORK_MS = 5
TURN_MS = 1
LINE_US = 50
DEPTH = 500
POLITE = ("-c", 1, "-n", 1000, "--expect", "echo")
ROUNDS = 3


class GreedyPeers(TestCase):
    def polite_p99(self, where):
        found = load(where, *POLITE)
        self.assertEqual(found["metrics"]["errors"], 0, found["errors"])
        return ms(found["metrics"]["p99"])

    def beside_the_greedy(self, service, work_us, round_ms):
        with Flooded(service + "@127.0.0.1:0", workers=WORKERS,
                     work_us=work_us) as server:
            where = server.addresses[0]
            beside = []
            alone = self.polite_p99(where)
            with Load(where, "-c", WORKERS, "--depth", DEPTH, "-d",
                      "300s") as greedy:
                for _ in range(ROUNDS):
                    beside.append(self.polite_p99(where))
                served = server.stats()["callbacks"]
                greedy.interrupt()
            say("p99 of the polite one: %.1f ms alone, %s beside %d greedy "
                "ones of depth %d; %d callbacks" %
                (alone, " ".join("%.1f" % p99 for p99 in beside), WORKERS,
                 DEPTH, served))
            # Its own, one that runs, and its share of a round of the others.
            at_most(median(beside), 3 * round_ms + 5)
            check_quiet(self, server)

    @twice
    def test_one_that_asks_politely_waits_for_one_round_of_the_greedy(self):
        self.beside_the_greedy("work", WORK_MS * 1000, WORK_MS)

    @twice
    def test_nor_does_it_wait_for_all_the_lines_of_the_greedy(self):
        # A turn may last twice its time.
        self.beside_the_greedy("loop", LINE_US, 2 * TURN_MS)


if __name__ == "__main__":
    main()
