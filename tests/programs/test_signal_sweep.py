# SPDX-License-Identifier: MIT
"""A part of the signal sweep: all of it is tests/long/signal_sweep.py."""

import signal_runs
from weirtest import TestCase, main


class SignalSweep(TestCase):
    def test_a_signal_after_any_call_ends_the_server_as_promised(self):
        why = signal_runs.why_not()
        if why:
            self.skipTest(why)
        lives = list(signal_runs.sweep(1, 12))
        self.assertEqual([str(life) for life in lives if life.problems], [])
        self.assertGreater(len([life for life in lives if life.at]), 20)


if __name__ == "__main__":
    main()
