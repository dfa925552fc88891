#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weir-server with SERVICE+tls@ADDRESS: the certificates, their reload, and
clients that are openssl, curl and Python."""

import contextlib
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import unittest

from certificates import (OPENSSL, CertifiedCase, make_certificate, make_crl,
                          make_expired_certificate)
from weirtest import (DEADLINE, FirstServer, Server, TestCase, connect, main,
                      read_all, read_exactly, run, until, why_not_preloaded,
                      without_leak_check)

CURL = shutil.which("curl")
V1 = b"PROXY TCP4 203.0.113.9 198.51.100.1 4711 80\r\n"


def is_built():
    result = run("WEIR_SERVER", "--tls-key", "x", "--check")
    return b"built without TLS" not in result.stderr


class WithoutTLS(TestCase):
    """What holds in a build without OpenSSL."""

    def test_the_options_say_that_there_is_no_tls(self):
        if is_built():
            self.skipTest("this build has TLS")
        for args in (["echo+tls@127.0.0.1:0"], ["--tls-certificate", "x"],
                     ["--tls-key", "x"], ["--tls-client-ca", "x"]):
            self.check_usage(run("WEIR_SERVER", *args, "--check"),
                             "weir-server", "built without TLS")


class TLSCase(CertifiedCase):
    @classmethod
    def setUpClass(cls):
        if not is_built():
            raise unittest.SkipTest("weir-server is built without TLS")
        super().setUpClass()
        make_certificate(cls.made, "second")
        make_expired_certificate(cls.made)

    def options(self, name="server"):
        return ("--tls-certificate", self.file(name + ".pem"),
                "--tls-key", self.file(name + ".key"))

    def context(self, certificate=None):
        context = ssl.create_default_context(cafile=self.file("ca.pem"))
        if certificate:
            context.load_cert_chain(self.file(certificate + ".pem"),
                                    self.file(certificate + ".key"))
        return context

    def wrap(self, sock, **kwargs):
        self.addCleanup(sock.close)
        return self.context(**kwargs).wrap_socket(
            sock, server_hostname="localhost")

    def echoes(self, server, i=0):
        with self.wrap(server.connect(i)) as client:
            client.sendall(b"hello\n")
            return read_exactly(client, 6) == b"hello\n"

    def name_served(self, server):
        with self.wrap(server.connect()) as client:
            subject = dict(part[0] for part in client.getpeercert()["subject"])
            return subject["commonName"]

    def check_refused(self, args, *fragments):
        self.check_usage(run("WEIR_SERVER", *args, "--check"), "weir-server",
                         *fragments)
        self.check_usage(run("WEIR_SERVER", *args), "weir-server", *fragments)


class Start(TLSCase):
    """Certificates are checked before anything listens."""

    def test_a_file_that_is_not_good_is_named(self):
        junk = self.file("junk.pem")
        with open(junk, "w", encoding="ascii") as file:
            file.write("no certificate\n")
        for args, fragments in (
                (["--tls-certificate", self.file("none.pem")],
                 ["--tls-certificate: ", "none.pem: no such"]),
                (["--tls-certificate", junk],
                 ["--tls-certificate: ", "junk.pem: no certificate"]),
                (["--tls-certificate", self.file("server.pem"), "--tls-key",
                  self.file("none.key")],
                 ["--tls-key: ", "none.key: no such"]),
                (["--tls-certificate", self.file("server.pem"), "--tls-key",
                  self.file("ca.key")],
                 ["--tls-key: ", "ca.key: the key is not that of "]),
                (["--tls-certificate", self.file("server.pem")],
                 ["--tls-certificate: ", "server.pem: no key"]),
                (self.options("expired"), ["expired.pem: the certificate has "
                                           "expired"]),
                ([*self.options(), "--tls-client-ca", junk],
                 ["--tls-client-ca: ", "junk.pem: no certificate"]),
                ([*self.options(), "--tls-client-ca", self.file("ca.pem"),
                  "--tls-crl", junk],
                 ["--tls-crl: ", "junk.pem: no list of revoked"]),
                ([*self.options(), "--tls-client-ca", self.file("ca.pem"),
                  "--tls-crl", self.file("none.crl")],
                 ["--tls-crl: ", "none.crl: no such"]),
                ([*self.options(), "--tls-client-ca",
                  self.file(600 * "/" + "none.pem")],
                 ["--tls-client-ca: ", "none.pem: no such"])):
            with self.subTest(args=args):
                self.check_refused(["echo+tls@127.0.0.1:0", *args], *fragments)

    @unittest.skipIf(os.geteuid() == 0, "everything is readable to root")
    def test_a_key_that_may_not_be_read_is_named(self):
        shutil.copy(self.file("server.key"), self.file("hidden.key"))
        os.chmod(self.file("hidden.key"), 0)
        self.check_refused(["echo+tls@127.0.0.1:0", "--tls-certificate",
                            self.file("server.pem"), "--tls-key",
                            self.file("hidden.key")],
                           "--tls-key: ", "hidden.key: not permitted")

    def test_libraries_of_two_releases_do_not_meet(self):
        why = why_not_preloaded("WEIR_BROKEN_SHIM")
        if why:
            self.skipTest(why)
        env = dict(os.environ, LD_PRELOAD=os.environ["WEIR_BROKEN_SHIM"])
        args = ["echo+tls@127.0.0.1:0", *self.options(), "--check"]
        self.assertEqual(run("WEIR_SERVER", *args, env=env).returncode, 0)
        self.check_usage(
            run("WEIR_SERVER", *args, env=dict(env, BROKEN_VERSION="0.0.9")),
            "weir-server", "libweir is of version 0.0.9, libweir-tls of ")

    def test_options_and_listeners_belong_together(self):
        self.check_refused(["echo+tls@127.0.0.1:0"], "echo+tls@127.0.0.1:0",
                           "needs --tls-certificate FILE")
        for option in "--tls-certificate", "--tls-key", "--tls-client-ca":
            self.check_refused(["echo@127.0.0.1:0", option, "x"],
                               option + ": no listener here has +tls")
        for option in ("--tls-client", "--tls-client-names", "--tls-crl",
                       "--tls-alpn", "--tls-min", "--tls-groups",
                       "--tls-ciphers", "--tls-ciphersuites",
                       "--tls-ticket-keys"):
            self.check_refused(["echo@127.0.0.1:0", option, "x"],
                               option + ": no listener here has +tls")
        served = ["echo+tls@127.0.0.1:0", *self.options()]
        for args, words in (
                (["--tls-key", "x"], "--tls-key: 2 keys for 1 certificates"),
                (["--tls-client", "ask"], "--tls-client needs --tls-client-ca"),
                (["--tls-client-names", "a"],
                 "--tls-client-names needs --tls-client-ca"),
                (["--tls-crl", "a"], "--tls-crl needs --tls-client-ca"),
                (["--tls-min", "1.1"], "'1.1' is neither 1.2 nor 1.3"),
                (["--tls-groups", "P-256:ffdhe2048"],
                 "--tls-groups: groups: 'P-256:ffdhe2048' is not a list of"),
                (["--tls-ciphers", "x"],
                 "--tls-ciphers: ciphers: there is none in 'x'"),
                (["--tls-ciphersuites", "x"],
                 "--tls-ciphersuites: ciphersuites: there is none in 'x'"),
                (["--tls-alpn", "a,,b"], "--tls-alpn: alpn: a name has"),
                (["--tls-client-ca", self.file("ca.pem"), "--tls-client",
                  "maybe"], "'maybe' is neither ask nor require"),
                (["--tls-client-ca", self.file("ca.pem"),
                  "--tls-client-names", "a,"],
                 "--tls-client-names: client_names: '' is no host"),
                (["--tls-ticket-keys", self.file("ca.pem")],
                 "--tls-ticket-keys: ")):
            self.check_refused(served + args, words)
        self.check_refused(["echo+tls+proxy@127.0.0.1:0"],
                           "'+proxy' comes before +tls")
        self.check_refused(["echo+tls+tls@127.0.0.1:0"], "is given twice")

    def test_check_prints_names_and_days_left(self):
        result = run("WEIR_SERVER", "echo+tls@127.0.0.1:0", *self.options(),
                     "--check")
        self.assertEqual(result.returncode, 0, result)
        self.assertRegex(result.stdout, rb'\ncertificate of "localhost '
                         rb'127\.0\.0\.1", (29|30) days left\n')


    def test_check_prints_each_certificate(self):
        make_certificate(self.made, "other", names="DNS:other.example")
        result = run("WEIR_SERVER", "echo+tls@127.0.0.1:0", *self.options(),
                     *self.options("other"), "--tls-alpn", "a,b", "--tls-min",
                     "1.3", "--check")
        self.assertEqual(result.returncode, 0, result)
        self.assertRegex(result.stdout, rb'(?s)\ncertificate of "localhost '
                         rb'127\.0\.0\.1", (29|30) days left\n.*\n'
                         rb'certificate of "other\.example", (29|30) days '
                         rb'left\n.*\ntls-alpn "a,b"\ntls-min "1\.3"\n')


class Warnings(TLSCase):
    """Files that can be used, and are not as they should be."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name, ca, days in (("middle", "ca", 30), ("ending", "ca", 3),
                               ("below", "middle", 30), ("soon", "ca", 13),
                               ("later", "ca", 15), ("late", "ending", 30)):
            make_certificate(cls.made, name, ca=ca, days=days)
        make_certificate(cls.made, "far", extensions=[
            "authorityInfoAccess=caIssuers;URI:http://ca.example/ca.der"])

    def chain(self, *names):
        path = self.file("chain.pem")
        with open(path, "wb") as whole:
            for name in names:
                with open(self.file(name + ".pem"), "rb") as file:
                    whole.write(file.read())
        return ("--tls-certificate", path, "--tls-key",
                self.file(names[0] + ".key"))

    def warnings(self, *args):
        result = run("WEIR_SERVER", "echo+tls@127.0.0.1:0", *args, "--check")
        self.assertEqual(result.returncode, 0, result)
        return result.stderr.decode()

    def check_warning(self, args, option, file, words):
        self.assertRegex(self.warnings(*args),
                         r"\Aweir-server: warning: --tls-%s: \S+/%s: %s\n\Z" %
                         (option, file, words))

    def test_good_files_have_none(self):
        for names in (["server"], ["below"], ["below", "middle"],
                      ["below", "middle", "ca"], ["later"]):
            self.assertEqual(self.warnings(*self.chain(*names)), "")

    def test_a_certificate_that_ends_soon_is_told(self):
        for names, number, days in ((["ending"], 1, "[34]"),
                                    (["soon"], 1, "1[34]"),
                                    (["late", "ending"], 2, "[34]")):
            self.check_warning(
                self.chain(*names), "certificate", "chain.pem",
                "certificate %d ends within %s days; at least 14 are expected"
                % (number, days))

    def test_a_chain_with_a_fault_is_told(self):
        for names, words in (
                (["below", "ca", "middle"],
                 "the chain is out of order: the issuer of certificate 1 is "
                 "expected as certificate 2, and is certificate 3"),
                (["below", "ca"], "the issuer of certificate 1 is missing; it "
                 "is expected as certificate 2"),
                (["below", "middle", "later"], "the issuer of certificate 2 is "
                 "missing; it is expected as certificate 3"),
                (["far"], "the issuer of certificate 1 is missing; it is "
                 "expected as certificate 2")):
            self.check_warning(self.chain(*names), "certificate", "chain.pem",
                               words)

    def test_a_key_that_others_may_read_is_told(self):
        for name in "server.key", "ticket.keys":
            shutil.copy(self.file("server.key"), self.file("open." + name))
        with open(self.file("open.ticket.keys"), "wb") as file:
            file.write(os.urandom(80))
        for mode in 0o600, 0o640, 0o644:
            for name, option, args in (
                    ("open.server.key", "key",
                     ["--tls-certificate", self.file("server.pem"),
                      "--tls-key", self.file("open.server.key")]),
                    ("open.ticket.keys", "ticket-keys",
                     [*self.options(), "--tls-ticket-keys",
                      self.file("open.ticket.keys")])):
                os.chmod(self.file(name), mode)
                if mode == 0o644:
                    self.check_warning(
                        args, option, name, "others may read this key: its "
                        "mode is 0644, 0600 is expected")
                else:
                    self.assertEqual(self.warnings(*args), "")

    def test_a_start_and_a_reload_log_them(self):
        place = self.folder()

        def install(name):
            for end in ".pem", ".key":
                shutil.copy(self.file(name + end), place + "/live" + end)

        install("ending")
        with Server("echo+tls@127.0.0.1:0", "--tls-certificate",
                    place + "/live.pem", "--tls-key",
                    place + "/live.key") as server:
            told = rb" warning --tls-certificate: \S+/live\.pem: certificate "
            server.logs(told + rb"1 ends within [34] days")
            install("server")
            os.chmod(place + "/live.key", 0o604)
            server.process.send_signal(signal.SIGHUP)
            server.logs(rb" reloaded '")
            server.logs(rb" warning --tls-key: \S+/live\.key: others may read "
                        rb"this key: its mode is 0604")
            self.assertEqual(server.err.data.count(b" warning --tls-"), 2)


class Serving(TLSCase):
    def test_python_is_served_beside_a_plain_listener(self):
        with Server("echo+tls@127.0.0.1:0", "echo@127.0.0.1:0",
                    *self.options()) as server:
            self.assertTrue(self.echoes(server))
            with server.connect(1) as client:
                client.sendall(b"plain\n")
                self.assertEqual(read_exactly(client, 6), b"plain\n")
            status, counts = server.stop()
            self.assertEqual(status, 0)
            self.check_sum(counts)
            self.assertEqual(counts["completed"], 2)

    def test_openssl_is_served(self):
        with Server("daytime+tls@127.0.0.1:0", *self.options()) as server:
            result = subprocess.run(
                [OPENSSL, "s_client", "-connect", server.address(), "-CAfile",
                 self.file("ca.pem"), "-verify_return_error",
                 "-verify_hostname", "localhost"], timeout=DEADLINE,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, check=False)
            self.assertEqual(result.returncode, 0, result)
            self.assertIn(b"Verify return code: 0 (ok)", result.stdout)

    @unittest.skipUnless(CURL, "curl is not installed")
    def test_curl_gets_a_whole_file(self):
        path = self.file("data")
        with open(path, "wb") as file:
            file.write(os.urandom(3_000_000))
        with Server("file+tls@127.0.0.1:0", "--file", path,
                    *self.options()) as server:
            result = subprocess.run(
                [CURL, "-s", "--noproxy", "*", "--http0.9", "--cacert",
                 self.file("ca.pem"), "https://%s/" % server.address()],
                timeout=DEADLINE, stdout=subprocess.PIPE, check=False)
            self.assertEqual(result.returncode, 0)
            with open(path, "rb") as file:
                self.assertTrue(result.stdout.startswith(file.read()))

    def test_a_header_of_a_proxy_comes_before_tls(self):
        with Server("echo+proxy+tls@127.0.0.1:0", "--proxy-trust",
                    "127.0.0.0/8", *self.options()) as server:
            sock = server.connect()
            sock.sendall(V1)
            with self.wrap(sock) as client:
                client.sendall(b"hello\n")
                self.assertEqual(read_exactly(client, 6), b"hello\n")
            server.logs(rb" from 203.0.113.9:4711 via ")

    def test_a_relay_ends_the_tls_of_its_clients(self):
        with Server("echo@127.0.0.1:0") as back, \
                Server("relay+tls@127.0.0.1:0", "--to", back.address(),
                       *self.options()) as front:
            self.assertTrue(self.echoes(front))
            status, counts = front.stop()
            self.assertEqual(status, 0)
            self.check_sum(counts)

    def test_plain_text_is_closed_and_logged(self):
        with Server("reply+tls@127.0.0.1:0", *self.options()) as server:
            with server.connect() as client:
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                try:
                    self.assertEqual(read_all(client), b"")
                except ConnectionResetError:
                    pass
            server.logs(rb"the client does not speak TLS")

    def test_a_failed_handshake_is_an_error_of_the_access_log(self):
        with Server("reply+tls@127.0.0.1:0", "--access-log", "errors",
                    *self.options()) as server:
            server.connect().close()
            with server.connect() as client:
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                server.logs(rb"^time=.* id=2 .* end=lost\n")
            server.stop()
            self.assertEqual(server.err.data.count(b"time="), 1)

    def test_clients_need_a_certificate_of_the_authority(self):
        make_certificate(self.made, "ca2", ca=None, names=None)
        make_certificate(self.made, "client")
        make_certificate(self.made, "stranger", ca="ca2")
        with Server("echo+tls@127.0.0.1:0", "--tls-client-ca",
                    self.file("ca.pem"), *self.options()) as server:
            with self.wrap(server.connect(), certificate="client") as client:
                client.sendall(b"hello\n")
                self.assertEqual(read_exactly(client, 6), b"hello\n")
            for certificate in None, "stranger":
                with self.assertRaises((ssl.SSLError, ConnectionError)):
                    with self.wrap(server.connect(),
                                   certificate=certificate) as client:
                        client.sendall(b"hello\n")
                        if not client.recv(6):
                            raise ConnectionError

    def test_the_name_that_is_asked_for_chooses_the_certificate(self):
        make_certificate(self.made, "other", names="DNS:other.example")
        with Server("echo+tls@127.0.0.1:0", *self.options(),
                    *self.options("other")) as server:
            for name, shown in (("localhost", "server"),
                                ("other.example", "other")):
                with self.context().wrap_socket(
                        server.connect(), server_hostname=name) as client:
                    subject = dict(part[0] for part in
                                   client.getpeercert()["subject"])
                    self.assertEqual(subject["commonName"], shown)

    def test_protocol_and_version_are_agreed_on(self):
        with Server("echo+tls@127.0.0.1:0", "--tls-alpn", "x,y", "--tls-min",
                    "1.3", *self.options()) as server:
            context = self.context()
            context.set_alpn_protocols(["z", "y"])
            with context.wrap_socket(server.connect(),
                                     server_hostname="localhost") as client:
                self.assertEqual(client.selected_alpn_protocol(), "y")
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            with server.connect() as sock, self.assertRaises(ssl.SSLError):
                context.wrap_socket(sock, server_hostname="localhost")

    def test_ciphers_are_chosen(self):
        with Server("echo+tls@127.0.0.1:0", "--tls-groups", "P-384",
                    "--tls-ciphers", "ECDHE+CHACHA20", "--tls-ciphersuites",
                    "TLS_AES_128_GCM_SHA256", *self.options()) as server:
            context = self.context()
            for version, cipher in (
                    (ssl.TLSVersion.TLSv1_3, "TLS_AES_128_GCM_SHA256"),
                    (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-CHACHA20-POLY1305")):
                context.maximum_version = version
                with context.wrap_socket(
                        server.connect(),
                        server_hostname="localhost") as client:
                    self.assertEqual(client.cipher()[0], cipher)
            context.set_ecdh_curve("prime256v1")
            with server.connect() as sock, self.assertRaises(ssl.SSLError):
                context.wrap_socket(sock, server_hostname="localhost")

    def test_clients_are_asked_and_logged_by_their_names(self):
        make_certificate(self.made, "good", names="DNS:good.example")
        make_certificate(self.made, "bad", names="DNS:bad.example")
        for name, subject in (("empty", "/"),
                              ("long", "/CN=x" + "/OU=" + "/OU=".join(
                                  ["y" * 60] * 9))):
            make_certificate(self.made, name, names="DNS:good.example",
                             subject=subject)
        with Server("echo+tls@127.0.0.1:0", "--tls-client-ca",
                    self.file("ca.pem"), "--tls-client", "ask",
                    "--tls-client-names", "other.example,good.example",
                    "--access-log", "all", *self.options()) as server:
            for certificate, logged in (
                    ("good", rb" tls=1\.3 client=\"CN=good\" id="),
                    ("empty", rb" tls=1\.3 client=[0-9a-f]{64} id=2 "),
                    ("long", rb" tls=1\.3 client=[0-9a-f]{64} id=3 "),
                    (None, rb" tls=1\.3 id=")):
                with self.wrap(server.connect(),
                               certificate=certificate) as client:
                    client.sendall(b"hello\n")
                    self.assertEqual(read_exactly(client, 6), b"hello\n")
                server.logs(logged)
            with self.assertRaises((ssl.SSLError, ConnectionError)):
                with self.wrap(server.connect(), certificate="bad") as client:
                    client.sendall(b"hello\n")
                    if not client.recv(6):
                        raise ConnectionError

    def test_servers_with_the_same_ticket_keys_resume(self):
        keys = self.file("ticket.keys")
        with open(keys, "wb") as file:
            file.write(os.urandom(160))
        args = ("echo+tls@127.0.0.1:0", "--tls-ticket-keys", keys,
                *self.options())
        with Server(*args) as one, Server(*args) as two:
            context = self.context()
            with context.wrap_socket(one.connect(),
                                     server_hostname="localhost") as client:
                client.sendall(b"hello\n")
                read_exactly(client, 6)
                session = client.session
            with context.wrap_socket(two.connect(), session=session,
                                     server_hostname="localhost") as client:
                self.assertTrue(client.session_reused)

    def ends(self, *args):
        """What /metrics says: days to the end, by the kind of the file."""
        with Server("echo+tls@127.0.0.1:0", "--status", "127.0.0.1:0",
                    *self.options(), *args) as server:
            where = server.out.expect(rb"^status (.*)\n")[1].decode()
            with connect(where) as client:
                client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
                text = read_all(client).decode()
            return {kind: float(seconds) / 86400 for kind, seconds in
                    re.findall(r"\nweir_tls_(\w+)_expiry_seconds (\S+)",
                               text)}

    def test_metrics_tell_when_the_certificate_and_the_list_end(self):
        self.skip_without_status()
        ends = self.ends()
        self.assertEqual(list(ends), ["certificate"])
        self.assertTrue(29 < ends["certificate"] <= 30, ends)
        make_crl(self.made, "week", [], hours=7 * 24)
        ends = self.ends("--tls-client-ca", self.file("ca.pem"),
                         "--tls-crl", self.file("week.crl"))
        self.assertTrue(29 < ends["certificate"] <= 30, ends)
        self.assertTrue(6 < ends["crl"] <= 7, ends)


class Reload(TLSCase):
    def setUp(self):
        self.place = self.folder()
        self.install("server")

    def install(self, name):
        for end in ".pem", ".key":
            shutil.copy(self.file(name + end), self.place + "/new" + end)
            os.replace(self.place + "/new" + end, self.place + "/live" + end)

    def is_client(self, server, certificate):
        try:
            with self.wrap(server.connect(),
                           certificate=certificate) as client:
                client.sendall(b"hello\n")
                return client.recv(6) == b"hello\n"
        except (ssl.SSLError, ConnectionError):
            return False

    def live(self, *args, kind=Server, **kwargs):
        return kind("echo+tls@127.0.0.1:0", "--tls-certificate",
                      self.place + "/live.pem", "--tls-key",
                      self.place + "/live.key", *args, **kwargs)

    def reload(self, server, done=True):
        seen = server.err.data.count(b"reloaded")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: server.err.data.count(b"reloaded") > seen, "a reload")
        last = [line for line in server.err.data.splitlines()
                if b"reloaded" in line][-1]
        self.assertEqual(b"not reloaded" not in last, done, last)

    def test_new_files_are_used_and_old_connections_stay(self):
        with self.live() as server:
            with self.wrap(server.connect()) as old:
                self.install("second")
                self.reload(server)
                self.assertEqual(self.name_served(server), "second")
                old.sendall(b"still\n")
                self.assertEqual(read_exactly(old, 6), b"still\n")

    def test_a_bad_file_keeps_the_old_certificate(self):
        with self.live() as server:
            shutil.copy(self.file("second.pem"), self.place + "/live.pem")
            self.reload(server, done=False)
            server.logs(rb"not reloaded: --tls-key: \S+live.key: the key is "
                        rb"not that of ")
            self.assertEqual(self.name_served(server), "server")
            self.install("expired")
            self.reload(server, done=False)
            self.assertEqual(self.name_served(server), "server")

    def test_a_slow_file_delays_neither_pages_nor_a_stop(self):
        self.skip_without_status()
        path = self.place + "/live.pem"

        def open_if_it_is_read():
            with contextlib.suppress(OSError):
                return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            return None

        with self.live("--status", "127.0.0.1:0") as server:
            where = server.out.expect(rb"^status (.*)\n")[1].decode()
            os.unlink(path)
            os.mkfifo(path)
            server.process.send_signal(signal.SIGHUP)
            self.addCleanup(os.close, until(open_if_it_is_read,
                                            "the reload has begun"))
            with connect(where) as client:
                client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
                self.assertIn(b" 200 OK", read_all(client))
            self.assertEqual(server.stop()[0], 0)

    def test_a_client_that_was_revoked_is_refused(self):
        make_certificate(self.made, "good")
        make_certificate(self.made, "lost")
        live = self.place + "/live.crl"
        make_crl(self.made, "first", [])
        make_crl(self.made, "second", ["lost"])
        shutil.copy(self.file("first.crl"), live)
        args = ("--tls-client-ca", self.file("ca.pem"), "--tls-crl", live)
        result = run("WEIR_SERVER", "echo+tls@127.0.0.1:0", *self.options(),
                     *args, "--check")
        self.assertEqual(result.returncode, 0, result)
        self.assertIn(b'\ntls-crl "%s"\n' % os.fsencode(live), result.stdout)
        with self.live(*args) as server:
            self.assertTrue(self.is_client(server, "good"))
            self.assertTrue(self.is_client(server, "lost"))
            shutil.copy(self.file("second.crl"), live)
            self.reload(server)
            self.assertTrue(self.is_client(server, "good"))
            self.assertFalse(self.is_client(server, "lost"))
            server.logs(rb"connection \d+ from \S+: TLS: certificate "
                        rb"revoked")
            with open(live, "w", encoding="ascii") as file:
                file.write("no list\n")
            self.reload(server, done=False)
            server.logs(rb"not reloaded: --tls-crl: \S+live\.crl: no list of "
                        rb"revoked certificates")
            self.assertTrue(self.is_client(server, "good"))
            self.assertFalse(self.is_client(server, "lost"))

    def test_reloads_under_load_lose_no_connection(self):
        with self.live("--log-level", "info") as server:
            is_over = threading.Event()
            lost, made = [], []

            def connect_often():
                context = self.context()
                while not is_over.is_set():
                    try:
                        with socket.create_connection(
                                ("127.0.0.1",
                                 int(server.address().split(":")[1])),
                                DEADLINE) as sock, context.wrap_socket(
                                    sock, server_hostname="localhost") as c:
                            c.sendall(b"hello\n")
                            made.append(read_exactly(c, 6) == b"hello\n")
                    except OSError as error:
                        lost.append(error)

            threads = [threading.Thread(target=connect_often)
                       for _ in range(4)]
            for thread in threads:
                thread.start()
            try:
                for name in ["second", "expired", "server"] * 4:
                    before = len(made)
                    self.install(name)
                    self.reload(server, done=name != "expired")
                    until(lambda: len(made) > before + 4 or lost, "load")
            finally:
                is_over.set()
                for thread in threads:
                    thread.join(DEADLINE)
            self.assertEqual(lost, [])
            self.assertTrue(all(made))

    def test_a_successor_has_the_new_certificate(self):
        with self.live(kind=FirstServer) as server:
            self.install("second")
            where = server.address()
            server.process.send_signal(signal.SIGUSR2)
            until(lambda: server.out.data.count(b"\nready\n") > 1,
                  "the successor")
            self.assertEqual(server.process.wait(DEADLINE), 0)
            with self.wrap(connect(where)) as client:
                subject = client.getpeercert()["subject"]
                self.assertIn((("commonName", "second"),), subject)

    @unittest.skipIf(os.getuid() != 0, "this is left to root")
    def test_a_key_that_only_root_can_read_is_told(self):
        become = ["setpriv", "--reuid", "65534", "--regid", "65534",
                  "--clear-groups"]
        can_run = run("WEIR_SERVER", "--version",
                      under=become).returncode == 0
        os.chmod(self.place, 0o755)
        os.chmod(self.place + "/live.key", 0o600)
        with self.live("--user", "65534:65534", kind=FirstServer) as server:
            server.logs(rb" warning the server's user cannot read '\S+live\.key'"
                        rb": Permission denied; a reload or an upgrade will "
                        rb"fail")
            self.reload(server, done=False)
            reason = (rb"--tls-key: \S+live\.key: not permitted to use this "
                      rb"address or file; it is read as user 65534")
            server.logs(rb" not reloaded: " + reason)
            server.process.send_signal(signal.SIGUSR2)
            server.logs(rb" no upgrade: '\S+' has ended with status 2: " +
                        reason if can_run else rb" no upgrade: cannot execute ")
            self.assertEqual(self.name_served(server), "server")
            self.assertNotIn(b"live.pem", server.err.data)

    def session(self, context, sock, session=None):
        with context.wrap_socket(sock, session=session,
                                 server_hostname="localhost") as client:
            client.sendall(b"hello\n")
            self.assertEqual(read_exactly(client, 6), b"hello\n")
            return client.session, client.session_reused

    def test_keys_of_a_file_open_tickets_after_a_reload_and_an_upgrade(self):
        keys = self.place + "/ticket.keys"
        with open(keys, "wb") as file:
            file.write(os.urandom(80))
        os.chmod(keys, 0o600)
        for args, is_good in (("--tls-ticket-keys", keys), True), ((), False):
            with self.subTest(args=args), \
                    self.live(*args, kind=FirstServer) as server:
                where, context = server.address(), self.context()
                session, _ = self.session(context, server.connect())
                self.assertTrue(self.session(context, server.connect(),
                                             session)[1])
                self.reload(server)
                session, is_reused = self.session(context, server.connect(),
                                                  session)
                self.assertEqual(is_reused, is_good)
                server.process.send_signal(signal.SIGUSR2)
                until(lambda: server.out.data.count(b"\nready\n") > 1,
                      "the successor")
                self.assertEqual(server.process.wait(DEADLINE), 0)
                self.assertEqual(self.session(context, connect(where),
                                              session)[1], is_good)

    def test_the_sandbox_leaves_the_files_in_reach(self):
        with self.live("--sandbox", ready=False,
                       env=without_leak_check()) as server:
            until(lambda: b"ready\n" in server.out.data or
                  server.process.poll() is not None, "the start")
            if b"has no Landlock" in server.err.data:
                self.skipTest("the kernel has no Landlock")
            self.install("second")
            self.reload(server)
            self.assertEqual(self.name_served(server), "second")


if __name__ == "__main__":
    main()
