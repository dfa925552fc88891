#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What 100,000 access rules cost an accepted connection: the processor time of
its whole judgement, with one rule and with all of them, IPv4 and IPv6.  The
median of some rounds is at most a microsecond.

The judgement is that of tests/unit/check_admission, without the system calls of
an accept: of each rule an address is judged, in an order that is not that of
the rules."""

import os
import re
import statistics
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "programs"))

from weirtest import SLOWNESS, TestCase  # noqa: E402

PROGRAM = os.path.join("tests", "unit", "check_admission")
RULES, ROUNDS, MOST_NS = 100_000, 7, 1000


def measure():
    """{(rules, version of IP): nanoseconds}, of one round."""
    done = subprocess.run([PROGRAM], env=dict(os.environ, WEIR_BENCH="1"),
                          stdout=subprocess.PIPE, check=True)
    return {(int(rules), int(version)): int(ns) for rules, version, ns in
            re.findall(rb"(\d+) IPv(\d) rules: (\d+) ns", done.stdout)}


class AccessRules(TestCase):
    def test_a_judgement_takes_a_microsecond_at_most(self):
        if SLOWNESS > 1:
            self.skipTest("a sanitizer takes most of the time")
        rounds = [measure() for _ in range(ROUNDS)]
        for version in 4, 6:
            one, all_of_them = (
                statistics.median(each[count, version] for each in rounds)
                for count in (1, RULES))
            print("IPv%d: %d ns with 1 rule, %d ns with %d, %.1f times" %
                  (version, one, all_of_them, RULES, all_of_them / one),
                  flush=True)
            self.assertLessEqual(all_of_them, MOST_NS)


if __name__ == "__main__":
    unittest.main(verbosity=2)
