#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""100 hot upgrades of weir-server under load: no client is lost or refused.

The same, 100 in all, while clients come at a rate of 2,000 a second.  They
notice none: 999 of 1,000 are served within 10 ms, or on a busy machine within
twice the time of clients of another server while this one is replaced: in most
loads, at least three.  The controls: when the server is stopped and started
instead, clients are refused; when it stands still instead for twice that time,
they notice."""

import os
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "programs"))
os.environ["WEIR_UPGRADES"] = "100"
from test_server_upgrade import Base, Upgrade  # noqa: E402,F401
from flooding import Load  # noqa: E402
from weirtest import Server  # noqa: E402

RATE, SECONDS, P999_MS = 2000, 15, 10
UPGRADES = 100
LOADS, TRIES = 3, 7  # in which they take place: at least, at most


def late_ms(metrics):
    return metrics["p99.9"] / 1e6


class Latency(Base):
    def measure(self, where, during):
        """The metrics of a load, while during() is called again and again."""
        with Load(where, "-c", 100, "--churn", "-r", RATE, "-d",
                  "%ds" % SECONDS) as load:
            while not load.has_ended():
                during()
            return load.result(may_be_incomplete=True)["metrics"]

    def test_clients_are_served_as_fast_as_without(self):
        upgrades, done, good = [], 0, 0

        def upgrade():
            time.sleep(0.1)
            upgrades.append(self.upgrade())
        with Server("echo@127.0.0.1:0") as other, \
                self.serve("echo@127.0.0.1:0") as server:
            for loads in range(1, TRIES + 1):
                # The same work for the machine, but of another server.
                without = self.measure(other.address(), upgrade)
                before = len(upgrades)
                found = self.measure(server.address(), upgrade)
                self.assertEqual(found["errors"], 0, found)
                done += len(upgrades) - before
                print("%d upgrades, %d/s of %d/s without, p99.9 %.1f ms of "
                      "%.1f ms" % (done, found["rate"], without["rate"],
                                   late_ms(found), late_ms(without)))
                good += (late_ms(found) <= max(P999_MS, 2 * late_ms(without))
                         and found["rate"] >=
                         0.98 * min(RATE, without["rate"]))
                if loads >= LOADS and done >= UPGRADES and 2 * good > loads:
                    break
            else:
                self.fail("%d upgrades, and %d of %d loads as fast as "
                          "without" % (done, good, TRIES))
            self.end_last(server)

    def test_control_a_server_that_stands_still_is_noticed(self):
        with Server("echo@127.0.0.1:0") as server:
            without = late_ms(self.measure(server.address(),
                                           lambda: time.sleep(0.1)))
            bound = max(P999_MS, 2 * without)

            def stand_still():
                time.sleep(0.3)
                server.process.send_signal(signal.SIGSTOP)
                time.sleep(2 * bound / 1000)
                server.process.send_signal(signal.SIGCONT)
            found = late_ms(self.measure(server.address(), stand_still))
            print("p99.9 %.1f ms of %.1f ms" % (found, without))
            self.assertGreater(found, bound)
            self.assertEqual(server.stop()[0], 0)

    def test_control_a_restart_refuses_clients(self):
        with Server("echo@127.0.0.1:0") as first:
            servers = [first]

            def restart():
                servers[-1].stop()
                servers.append(Server("echo@" + first.address()))
                servers[-1].__enter__()
            try:
                found = self.measure(first.address(), restart)
            finally:
                for server in servers[1:]:
                    server.__exit__()
        self.assertGreater(found["errors"], 0)


if __name__ == "__main__":
    unittest.main(verbosity=2, argv=[
        sys.argv[0], "Upgrade.test_under_load_nothing_is_lost_or_refused",
        "Latency"])
