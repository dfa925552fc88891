#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""As many greedy peers as there are workers, each with hundreds of requests
under way, and a polite one that asks for one thing at a time.  A round of the
server is one callback for each of them, so the polite one waits for no more
than that, however deep the others' heaps are."""

from flooding import (Flooded, Load, TestCase, check_quiet, load, main, median,
                      ms, say, twice)

WORKERS = 4
WORK_MS = 5
DEPTH = 500
POLITE = ("-c", 1, "-n", 1000, "--expect", "echo")
ROUNDS = 1


class GreedyPeers(TestCase):
    def polite_p99(self, where):
        found = load(where, *POLITE)
        self.assertEqual(found["metrics"]["errors"], 0, found["errors"])
        return ms(found["metrics"]["p99"])

    @twice
    def test_one_that_asks_politely_waits_for_one_round_of_the_greedy(self):
        with Flooded("work@127.0.0.1:0", workers=WORKERS,
                     work_us=WORK_MS * 1000) as server:
            where = server.addresses[0]
            beside = []
            alone = self.polite_p99(where)
            with Load(where, "-c", WORKERS, "--depth", DEPTH, "-d",
                      "100s") as greedy:
                for _ in range(ROUNDS):
                    beside.append(self.polite_p99(where))
                served = server.stats()["callbacks"]
                greedy.interrupt()
            say("p99 of the polite one: %.1f ms alone, %s beside %d greedy "
                "ones of depth %d; %d callbacks" %
                (alone, " ".join("%.1f" % p99 for p99 in beside), WORKERS,
                 DEPTH, served))
            # Its own, one that runs, and its share of a round of the others.
            self.assertLess(median(beside), 3 * WORK_MS + 5)
            check_quiet(self, server)


if __name__ == "__main__":
    main()
