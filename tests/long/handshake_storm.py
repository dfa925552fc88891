#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Fifty established TLS connections, beside a storm of full handshakes: at the
same server, at another one, which is the control, and none.  The storm's own
clients take a processor, too, whoever serves them: what the control does not
show is what the storm costs the others by being in their server."""

from flooding import Load, at_most, load, main, median, ms, say, twice
from test_server_tls import TLSCase
from weirtest import Server

RATE = 1000
ROUNDS = 5
STEADY = ("-c", 50, "-r", 2000, "--warmup", "500ms", "-d", "2s")
STORM = ("--full-handshakes", "--churn", "-c", 20, "-r", RATE, "-d", "6s")


class HandshakeStorm(TLSCase):
    def server(self):
        return Server("echo+tls@127.0.0.1:0", "--log-level", "error",
                      *self.options())

    def trusting(self):
        return "--tls=localhost", "--ca", self.file("ca.pem")

    def p99(self, server):
        found = load(server.address(), *self.trusting(), *STEADY)["metrics"]
        self.assertEqual(found["errors"], 0, found)
        return ms(found["p99"])

    def p99_beside(self, server, stormed):
        """And the handshakes a second of the storm."""
        with Load(stormed.address(), *self.trusting(), *STORM) as storm:
            p99 = self.p99(server)
            self.assertFalse(storm.has_ended())
            found = storm.result(may_be_incomplete=True)["metrics"]
        self.assertEqual(found["errors"], 0, found)
        return p99, found["rate"]

    @twice
    def test_established_connections_are_served_in_a_storm(self):
        rounds = []
        with self.server() as server, self.server() as other:
            for _ in range(ROUNDS):
                quiet = self.p99(server)
                own, rate = self.p99_beside(server, server)
                others, other_rate = self.p99_beside(server, other)
                rounds.append((own / quiet, others / quiet, own / others))
                say("p99 %.2f ms; beside %.0f handshakes/s %.2f ms; beside "
                    "%.0f/s of another server %.2f ms" %
                    (quiet, rate, own, other_rate, others))
        own, others, ratio = map(median, zip(*rounds))
        say("%.1f times the quiet p99, in the control %.1f times; %.2f times "
            "that of the control" % (own, others, ratio))
        at_most(ratio, 1.5)


if __name__ == "__main__":
    main()
