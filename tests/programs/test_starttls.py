#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Clients of others begin TLS in mid-connection, of SMTP with a session and of
PostgreSQL with callbacks: tests/tls/starttls_server.c.  A program that is not
installed skips its tests by name."""

import os
import shutil
import signal
import struct
import subprocess
import unittest

from certificates import OPENSSL, CertifiedCase, make_certificate
from weirtest import DEADLINE, Pump, connect, main, read_all, read_exactly

PROGRAM = os.path.join("tests", "tls", "starttls_server")
VERSIONS = "TLSv1.2", "TLSv1.3"
MAIL = b"Subject: hello\r\n\r\nThree lines.\r\n"
SSL_REQUEST = struct.pack(">II", 8, 80877103)
STARTUP = struct.pack(">II", 8 + 7, 196608) + b"user\0u\0"


class StartTLS(CertifiedCase):
    @classmethod
    def setUpClass(cls):
        if not os.path.exists(PROGRAM):
            raise unittest.SkipTest("weir is built without TLS")
        super().setUpClass()
        make_certificate(cls.made, "stranger", ca=None, names=None)

    def setUp(self):
        self.server = subprocess.Popen(
            [PROGRAM, self.file("server.pem"), self.file("server.key")],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        self.addCleanup(self.end)
        self.out = Pump(self.server.stdout)
        self.log = Pump(self.server.stderr)
        self.out.expect(rb"(?m)^ready\n")

    def end(self):
        if self.server.poll() is None:
            self.server.kill()
        self.server.wait()
        self.out.close()
        self.log.close()

    def stop(self):
        self.server.send_signal(signal.SIGTERM)
        self.assertEqual(self.server.wait(DEADLINE), 0)

    def where(self, name):
        return self.out.expect(rb"(?m)^%s (.*)\n" %
                               name.encode())[1].decode()

    def port(self, name):
        return self.where(name).rpartition(":")[2]

    def find(self, tool):
        path = shutil.which(tool)
        if not path:
            self.skipTest(tool + " is not installed")
        return path

    def run_tool(self, *args, **kwargs):
        return subprocess.run(args, timeout=DEADLINE, check=False,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, **kwargs)

    def converse(self, args, says, until_it_prints):
        """Start a tool, say this to the server, and end its input when it has
        printed that."""
        with subprocess.Popen(args, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT) as tool:
            printed = Pump(tool.stdout)
            try:
                tool.stdin.write(says)
                tool.stdin.flush()
                printed.expect(until_it_prints)
                tool.stdin.close()
                self.assertEqual(tool.wait(DEADLINE), 0, printed.data)
                return printed.rest()
            finally:
                tool.kill()
                printed.close()


class SMTP(StartTLS):
    def curl(self, *args, ca="ca.pem"):
        return self.run_tool(
            self.find("curl"), "-sS", "-4", "--noproxy", "*", "--ssl-reqd",
            "--cacert", self.file(ca), "smtp://localhost:" + self.port("smtp"),
            "--mail-from", "a@example.org", "--mail-rcpt", "b@example.org",
            "-T", "-", *args, input=MAIL)

    def test_curl_sends_a_mail_with_each_version(self):
        for version, most in zip(VERSIONS, ("1.2", "1.3")):
            done = self.curl("--tls-max", most)
            self.assertEqual((done.returncode, done.stdout), (0, b""))
            self.out.expect(rb"mail of 3 lines by %s\n" % version.encode())
        self.stop()

    def test_curl_sends_nothing_to_a_server_that_it_does_not_trust(self):
        done = self.curl(ca="stranger.pem")
        self.assertEqual(done.returncode, 60, done)
        self.stop()
        self.assertNotIn(b"mail of", self.out.rest())

    def test_openssl_talks_behind_starttls(self):
        text = self.converse(
            [OPENSSL, "s_client", "-quiet", "-starttls", "smtp", "-connect",
             self.where("smtp"), "-CAfile", self.file("ca.pem"),
             "-verify_return_error", "-verify_hostname", "localhost"],
            b"MAIL FROM:<a@example.org>\r\nQUIT\r\n", rb"221 bye")
        self.assertIn(b"250 go on\r\n221 bye\r\n", text)
        self.stop()

    def test_gnutls_talks_behind_starttls(self):
        text = self.converse(
            [self.find("gnutls-cli"), "--starttls-proto=smtp",
             "--x509cafile", self.file("ca.pem"),
             "--verify-hostname=localhost", "-p", self.port("smtp"),
             "127.0.0.1"], b"MAIL FROM:<a@example.org>\r\nQUIT\r\n",
            rb"221 bye")
        self.assertIn(b"The certificate is trusted", text)
        self.assertIn(b"250 go on", text)
        self.stop()

    def test_nothing_is_obeyed_in_clear(self):
        with connect(self.where("smtp")) as client:
            lines = client.makefile("rb")
            self.assertEqual(lines.readline(), b"220 weir ESMTP\r\n")
            client.sendall(b"MAIL FROM:<a@example.org>\r\n")
            self.assertEqual(lines.readline(), b"530 STARTTLS comes first\r\n")
            # The second line is a part of the handshake, which fails.
            client.sendall(b"STARTTLS\r\nMAIL FROM:<a@example.org>\r\n")
            self.assertEqual(lines.readline(), b"220 go ahead\r\n")
            self.assertNotIn(b"250", self.rest(lines))
            lines.close()
        self.stop()

    @staticmethod
    def rest(lines):
        try:
            return lines.read()
        except ConnectionResetError:
            return b""


class PostgreSQL(StartTLS):
    def psql(self, mode, host="localhost", ca="ca.pem", password="secret",
             **env):
        """What it prints when it is asked for a row."""
        return self.run_tool(
            self.find("psql"), "-X", "-A", "-t", "-w", "-c", "select tls",
            "host=%s hostaddr=127.0.0.1 port=%s user=u dbname=d sslmode=%s "
            "sslrootcert=%s" % (host, self.port("postgresql"), mode,
                                self.file(ca)),
            stdin=subprocess.DEVNULL, cwd="/",
            env={"PATH": os.environ["PATH"], "HOME": self.made, "LC_ALL": "C",
                 "PGPASSWORD": password, **env})

    def expect_refused(self, done, words):
        self.assertEqual(done.returncode, 2, done)
        self.assertIn(words, done.stdout)

    def test_psql_asks_with_each_version(self):
        for mode in "require", "verify-ca", "verify-full":
            for version in VERSIONS:
                done = self.psql(mode, PGSSLMAXPROTOCOLVERSION=version)
                self.assertEqual((done.returncode, done.stdout.decode()),
                                 (0, version + "\n"))
        self.stop()

    def test_psql_does_not_trust_another_authority_or_name(self):
        self.expect_refused(self.psql("verify-full", ca="stranger.pem"),
                            b"certificate verify failed")
        self.expect_refused(self.psql("verify-full", host="other.example"),
                            b'does not match host name "other.example"')
        self.stop()

    def test_psql_is_refused_without_tls_and_with_a_wrong_password(self):
        self.expect_refused(self.psql("disable"), b"TLS comes first")
        self.expect_refused(self.psql("require", password="secrets"),
                            b"wrong password")
        self.stop()

    def test_openssl_begins_tls(self):
        done = self.run_tool(
            OPENSSL, "s_client", "-starttls", "postgres", "-connect",
            self.where("postgresql"), "-CAfile", self.file("ca.pem"),
            "-verify_return_error", "-verify_hostname", "localhost",
            stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0, done)
        self.assertIn(b"Verify return code: 0 (ok)", done.stdout)
        self.stop()

    def test_what_comes_in_clear_behind_the_request_is_not_obeyed(self):
        with connect(self.where("postgresql")) as client:
            client.sendall(SSL_REQUEST + STARTUP)
            self.assertEqual(read_exactly(client, 1), b"S")
            try:
                self.assertEqual(read_all(client), b"")
            except ConnectionResetError:
                pass
        self.stop()


if __name__ == "__main__":
    main()
