# SPDX-License-Identifier: MIT
"""Signals after every call that weir-server makes, from the first of main() to
the last: see tests/programs/signal_runs.py.

    signal_sweep.py [NUMBER KIND]       all, or one as a failure names it
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "programs"))

import signal_runs

FEWEST = 1000

def main():
    why = signal_runs.why_not()
    if why:
        print("SKIPPED:", why)
        return 77
    if len(sys.argv) == 3:
        life = signal_runs.live(int(sys.argv[1]), sys.argv[2])
        print(life)
        return 1 if life.problems else 0
    lives = list(signal_runs.sweep(1, 1))
    bad = [life for life in lives if life.problems]
    for life in bad:
        print(life)
    print("%d lives, in %d of them the signals came; %d failed; longest "
          "%.2f s" % (len(lives), sum(life.at is not None for life in lives),
                      len(bad), max(life.took for life in lives)))
    if len(lives) < FEWEST:
        print("at least %d lives are expected; does the shim count?" % FEWEST)
        return 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
