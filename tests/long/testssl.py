#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""testssl.sh examines weir-server for a minute: it finds nothing above INFO but
what follows from a certificate that has signed itself.  The control: with a
certificate that ends in a few days it finds that, too."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "programs"))

from certificates import OPENSSL, make_certificate  # noqa: E402
from test_server_tls import is_built  # noqa: E402
from weirtest import Server, TestCase, main  # noqa: E402

TOOL = shutil.which("testssl") or shutil.which("testssl.sh")
LIMIT = 450

# Everything but HTTP and the simulation of browsers: protocols, kinds of
# ciphers, forward secrecy, defaults, preferences and vulnerabilities.
ALL = "-p", "-s", "-f", "-S", "-P", "-U"

# No authority has signed it, so nobody can say where it would be revoked, and
# the name localhost has no record of its authority in the DNS.
SELF_SIGNED = {"cert_chain_of_trust", "cert_revocation", "DNS_CAArecord"}
# What testssl.sh says about itself: this openssl has no engine for GOST, and
# the service is no HTTP.  It may close before a ticket has come; see
# test_s_client_resumes_with_each_version() of test_tls_tools.py.
NOT_EXAMINED = {"engine_problem", "service", "sessionresumption_ticket"}


class TestSSL(TestCase):
    @classmethod
    def setUpClass(cls):
        if not TOOL:
            raise unittest.SkipTest("testssl.sh is not installed")
        if not OPENSSL:
            raise unittest.SkipTest("openssl is not installed")
        if not is_built():
            raise unittest.SkipTest("weir-server is built without TLS")

    def examine(self, days, *options):
        """{id: finding} of what is above INFO, and of all."""
        with tempfile.TemporaryDirectory() as folder:
            make_certificate(folder, "server", ca=None, days=days)
            found = folder + "/found.json"
            with Server("reply+tls@127.0.0.1:0", "--tls-certificate",
                        folder + "/server.pem", "--tls-key",
                        folder + "/server.key", "--log-level",
                        "error") as server:
                subprocess.run(
                    [TOOL, "--quiet", "--color", "0", "--warnings", "off",
                     "--jsonfile", found, *options, server.address()],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                    stderr=subprocess.STDOUT, timeout=LIMIT, check=False)
                self.assertIsNone(server.process.poll())
            with open(found, encoding="utf-8") as file:
                entries = json.load(file)
        print("%d findings" % len(entries))
        return ({entry["id"]: entry for entry in entries
                 if entry["severity"] not in ("OK", "INFO")},
                {entry["id"]: entry["finding"] for entry in entries})

    def test_nothing_but_the_certificate_is_found(self):
        above, found = self.examine(90, *ALL)
        above = {name: entry for name, entry in above.items()
                 if name not in SELF_SIGNED | NOT_EXAMINED}
        self.assertEqual(above, {})
        # It was really examined.
        self.assertGreater(len(found), 80)
        for name in "TLS1", "TLS1_1", "SSLv3":
            self.assertIn("not offered", found[name])
        for name in "heartbleed", "ROBOT", "BEAST", "LUCKY13", "SWEET32":
            self.assertIn("not vulnerable", found[name])

    def test_control_a_short_lived_certificate_is_found(self):
        above, _ = self.examine(3, "-S")
        self.assertIn("cert_expirationStatus", above)


if __name__ == "__main__":
    main()
