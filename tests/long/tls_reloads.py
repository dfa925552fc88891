#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""100 reloads of the certificate of weir-server, with good and bad files in
turn, beside 500 new TLS connections a second, each of which verifies the
server: none is lost.  A machine that cannot make so many takes longer.

After each reload a client sees the certificate that it should see.  At the end
the server has as many descriptors as before, and its ledger no failure.  The
control: a certificate of another authority, which a reload takes, loses
connections."""

import os
import shutil
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "programs"))

import test_server_tls  # noqa: E402
from certificates import make_certificate  # noqa: E402
from flooding import Load, say  # noqa: E402
from weirtest import read_exactly, until  # noqa: E402

RELOADS, RATE, SECONDS, PAUSE_S = 100, 500, 10, 0.05


class Reloads(test_server_tls.Reload):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        make_certificate(cls.made, "ca2", ca=None, names=None)
        make_certificate(cls.made, "foreign", ca="ca2")

    def spoil(self, name):
        """Make the files such that they are refused."""
        live = self.place + "/live"
        if name == "key":
            shutil.copy(self.file("ca.key"), live + ".key")
        elif name == "expired":
            self.install("expired")
        elif name == "missing":
            os.unlink(live + ".key")
        else:
            with open(live + ".pem", "rb+") as file:
                file.truncate(os.path.getsize(live + ".pem") // 2)

    def load(self, server):
        return Load(server.address(), "--tls=localhost", "--ca",
                    self.file("ca.pem"), "--full-handshakes", "--churn", "-c",
                    20, "-r", RATE, "-n", RATE * SECONDS)

    def descriptors(self, server):
        return len(os.listdir("/proc/%d/fd" % server.pid))

    def name_served(self, server):
        """It reads all, tickets too, so that its end is no reset."""
        with self.wrap(server.connect()) as client:
            client.sendall(b"hello\n")
            self.assertEqual(read_exactly(client, 6), b"hello\n")
            subject = dict(part[0] for part in client.getpeercert()["subject"])
            return subject["commonName"]

    def reload_once(self, server, n):
        """With other good files, or with bad ones: then those before stay."""
        name = ("second", "server")[n // 2 % 2]
        if n % 2:
            self.spoil(("key", "expired", "half", "missing")[n // 2 % 4])
        else:
            self.install(name)
        self.reload(server, done=n % 2 == 0)
        self.assertEqual(self.name_served(server), name)

    def test_reloads_lose_no_connection(self):
        reloads = connections = 0
        with self.live("--log-level", "info") as server:
            before = self.descriptors(server)
            while reloads < RELOADS:
                with self.load(server) as load:
                    while not load.has_ended():
                        self.reload_once(server, reloads)
                        reloads += 1
                        time.sleep(PAUSE_S)
                    found = load.result(may_be_incomplete=True)["metrics"]
                self.assertEqual(found["errors"], 0, found)
                self.assertEqual(found["answered"], RATE * SECONDS, found)
                self.assertEqual(found["full-handshakes"], RATE * SECONDS)
                connections += found["answered"]
                say("%d reloads beside %d connections, now %.0f/s, 0 lost" %
                    (reloads, connections, found["rate"]))
            until(lambda: self.descriptors(server) == before,
                  "as many descriptors as before")
            status, counts = server.stop()
            self.assertEqual(status, 0)
            self.assertEqual(counts["completed"], counts["accepted"], counts)

    def test_control_a_certificate_of_another_authority_loses_connections(
            self):
        with self.live("--log-level", "info") as server, \
                self.load(server) as load:
            server.logs(rb"ended ")
            self.install("foreign")
            self.reload(server)
            found = load.result(may_be_incomplete=True)["metrics"]
            self.assertGreater(found["errors"], 0)


if __name__ == "__main__":
    unittest.main(verbosity=2, argv=[
        sys.argv[0], "Reloads.test_reloads_lose_no_connection",
        "Reloads.test_control_a_certificate_of_another_authority_loses_"
        "connections"])
