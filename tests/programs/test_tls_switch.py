# SPDX-License-Identifier: MIT
"""A part of the tests of behaviour with TLS switched in: all of them are run by
tests/long/tls_switched.py."""

import tls_switch
from weirtest import TestCase, main

FEW = ("check_input", "check_kept", "check_sessions")


class Switched(TestCase):
    def test_tls_changes_nothing_that_a_handler_sees(self):
        why = tls_switch.why_not()
        if why:
            self.skipTest(why)
        with tls_switch.switched_on() as env:
            for name in FEW:
                with self.subTest(name):
                    self.assertIsNone(tls_switch.run(name, env))


if __name__ == "__main__":
    main()
