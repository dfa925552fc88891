#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weir-server as the TLS tools of others see it: clients that verify it and
get an echo, sessions that are resumed, and scanners that grade it.  A tool that
is not installed skips its test by name."""

import os
import re
import shutil
import subprocess

from test_server_tls import OPENSSL, TLSCase
from weirtest import DEADLINE, Server, main, until

LINE = b"hello\n"


class ToolCase(TLSCase):
    def setUp(self):
        server = Server("echo+tls@127.0.0.1:0", *self.options())
        self.server = server.__enter__()
        self.addCleanup(server.__exit__)
        self.address = server.address()
        self.port = self.address.rpartition(":")[2]
        self.ca = self.file("ca.pem")

    def find(self, tool):
        path = shutil.which(tool)
        if not path:
            self.skipTest(tool + " is not installed")
        return path

    def run_tool(self, tool, *args):
        """What it prints, on either stream; it must succeed."""
        result = subprocess.run([self.find(tool), *args], timeout=DEADLINE,
                                stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, check=False)
        text = result.stdout.decode(errors="replace")
        self.assertEqual(result.returncode, 0, text)
        return text

    def converse(self, tool, *args):
        """Type a line, wait for its echo, and only then end the input: a tool
        may end with it.  Returns all that the tool printed."""
        with subprocess.Popen([self.find(tool), *args],
                              stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL) as client:
            client.stdin.write(LINE)
            client.stdin.flush()
            text = b""
            while b"hello\n" not in text:
                piece = client.stdout.readline()
                self.assertTrue(piece, text)
                text += piece
            client.stdin.close()
            return (text + client.stdout.read()).decode(errors="replace")

    def check_counts(self):
        """Nothing that a client did has failed."""
        status, counts = self.server.stop()
        self.assertEqual(status, 0)
        self.check_sum(counts)
        self.assertEqual(counts["completed"], counts["accepted"], counts)


class Clients(ToolCase):
    """They verify the certificate, send a line and end their output."""

    def test_gnutls_cli(self):
        text = self.converse("gnutls-cli", "--x509cafile", self.ca,
                             "--verify-hostname=localhost", "-p", self.port,
                             "127.0.0.1")
        self.assertIn("The certificate is trusted", text)
        self.assertIn("\nhello\n", text)
        self.check_counts()

    def test_gnutls_cli_does_not_trust_another_authority(self):
        result = subprocess.run(
            [self.find("gnutls-cli"), "--x509cafile", self.file("second.pem"),
             "-p", self.port, "127.0.0.1"], input=LINE, timeout=DEADLINE, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertNotEqual(result.returncode, 0)
        self.assertNotIn(b"\nhello\n", result.stdout)

    def test_ncat(self):
        text = self.converse("ncat", "-4", "--ssl-verify", "--ssl-trustfile",
                             self.ca, "localhost", self.port)
        self.assertEqual(text, "hello\n")
        self.check_counts()

    def test_socat(self):
        text = self.converse("socat", "-", "OPENSSL:%s,cafile=%s,commonname="
                             "localhost" % (self.address, self.ca))
        self.assertEqual(text, "hello\n")
        self.check_counts()


class Sessions(ToolCase):
    """A client with a ticket does not get the certificate again."""

    def connections(self, *args):
        text = self.run_tool("openssl", "s_time", "-connect", self.address,
                             "-time", "1", *args)
        return int(re.search(r"^(\d+) connections in \d+ real", text,
                             re.M)[1])

    def test_s_time_makes_new_sessions_and_resumes_them(self):
        # If it does not run for this second, it makes none.
        for kind in "-new", "-reuse":
            until(lambda: self.connections(kind) > 0, "a connection")

    def test_s_client_with_short_records_gets_a_whole_file(self):
        path = self.file("data")
        with open(path, "wb") as file:
            file.write(os.urandom(3_000_000))
        with Server("file+tls@127.0.0.1:0", "--file", path,
                    *self.options()) as server:
            for version in "-tls1_2", "-tls1_3":
                with self.subTest(version):
                    result = subprocess.run(
                        [OPENSSL, "s_client", "-quiet", version, "-maxfraglen",
                         "512", "-connect", server.address(), "-CAfile",
                         self.ca], timeout=DEADLINE, input=LINE,
                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                        check=False)
                    with open(path, "rb") as file:
                        self.assertTrue(result.stdout.startswith(
                            file.read()), len(result.stdout))
            self.assertEqual(server.stop()[1]["completed"], 2)

    def test_s_client_resumes_with_each_version(self):
        session = self.file("session")
        for version in "-tls1_2", "-tls1_3":
            with self.subTest(version):
                client = [OPENSSL, "s_client", version, "-connect",
                          self.address, "-CAfile", self.ca]
                self.assertIn("New, TLSv1", self.converse(
                    *client, "-sess_out", session))
                self.assertIn("Reused, TLSv1", self.converse(
                    *client, "-sess_in", session))


class Scanners(ToolCase):
    def test_sslscan_finds_two_versions_and_nothing_old(self):
        text = self.run_tool("sslscan", "--no-colour",
                             "--timeout=%d" % DEADLINE, self.address)
        for old in "SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1":
            self.assertRegex(text, r"\n%s +disabled\n" % re.escape(old))
        for new in "TLSv1.2", "TLSv1.3":
            self.assertRegex(text, r"\n%s +enabled\n" % re.escape(new))
        self.assertIn("Session renegotiation not supported", text)
        self.assertNotRegex(text, r"(?m)^TLSv\S+ vulnerable")
        self.assertEqual(
            set(re.findall(r"^TLSv\S+ +\d+ bits +(\S+) ?\(?\S* ?\S*\)?$",
                           text, re.M)), {"secp256r1", "x25519"})
        ciphers = re.findall(r"^(?:Preferred|Accepted) +TLSv\S+ +\d+ bits +"
                             r"(\S+)", text, re.M)
        self.assertGreaterEqual(len(ciphers), 6)
        for cipher in ciphers:
            self.assertRegex(cipher, "^TLS_|^ECDHE-.*(GCM|CHACHA20)")

    def test_nmap_grades_it_a(self):
        text = self.run_tool("nmap", "-Pn", "-n", "-p", self.port, "--script",
                             "ssl-enum-ciphers", "127.0.0.1")
        self.assertIn("least strength: A\n", text)
        self.assertIn("cipher preference: server", text)
        self.assertEqual(set(re.findall(r"\) - (.)\n", text)), {"A"})


if __name__ == "__main__":
    main()
