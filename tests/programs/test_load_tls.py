#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weir-client load --tls: handshakes on a clock of their own, full and resumed
ones and failures as the server counts them."""

import itertools
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time

from certificates import OPENSSL, make_certificate
from test_client_tls import TLSCase, is_built
from test_load_reports import documented, fields
from weirtest import (DEADLINE, PythonServer, TestCase, built_with, free_port,
                      is_listening, main, mostly, run, until)

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
VERSIONS = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def load(where, *options, **kwargs):
    return run("WEIR_CLIENT", "load", where, *options, **kwargs)


def echo(sock):
    for line in sock.makefile("rb"):
        sock.sendall(line)


class Options(TestCase):
    def check(self, options, *fragments, where="127.0.0.1:9"):
        for command in ["load"], ["load", "find", "--gate", "errors=0"]:
            if "--with" in options and len(command) > 1:
                continue
            with self.subTest(options=options, command=command):
                self.check_usage(run("WEIR_CLIENT", *command, where,
                                     *options), "weir-client", *fragments)

    def test_a_build_without_tls_says_so(self):
        if is_built():
            self.skipTest("this build has TLS")
        for options in ["--tls"], ["--tls=x"], ["--ca", "x"], ["--insecure"]:
            self.check(options, "built without TLS")

    def test_options_that_do_not_agree(self):
        if not is_built():
            self.skipTest("weir-client is built without TLS")
        self.check(["--insecure"], "--insecure needs --tls")
        self.check(["--alpn", "h2"], "--alpn needs --tls")
        self.check(["--full-handshakes"], "--full-handshakes needs --tls")
        self.check(["--tls", "--alpn", "h2,,h3"], "--alpn: 'h2,,h3'")
        self.check(["--tls", "--alpn", "x" * 255], "up to 255 bytes")
        self.check(["--tls", "--with", "drip:1"],
                   "misbehaving clients do not speak TLS")
        self.check(["--tls"], "has no host", where="unix:/nowhere")
        self.check(["--tls", "--tls-key", "x"],
                   "--tls-key needs --tls-certificate")

    def test_a_file_that_is_not_good_is_named(self):
        if not is_built():
            self.skipTest("weir-client is built without TLS")
        for option in "--ca", "--tls-certificate":
            self.check(["--tls", option, "/nowhere/x.pem"],
                       option + ": /nowhere/x.pem: no such")


@built_with("jansson")
class LoadCase(TLSCase):
    def load(self, where, *options, status=0, trust=None):
        """The result as JSON."""
        path = os.path.join(self.folder(), "run.json")
        answer = load(where, *(self.trusting() if trust is None else trust),
                      "--timeout", "100", "--connect-timeout", "100",
                      "--json", path, *options)
        self.assertEqual(answer.returncode, status, answer)
        self.assertEqual(answer.stderr, b"")
        self.report = answer.stdout.decode()
        self.json = path
        with open(path) as file:
            return json.load(file)

    def handshakes(self, result):
        m = result["metrics"]
        return (m["full-handshakes"], m["resumed-handshakes"],
                m["handshake-failed"])

    def check_all(self, result, count):
        m = result["metrics"]
        self.assertEqual((m["planned"], m["answered"], m["errors"]),
                         (count, count, 0), self.report)

    def versions(self, handler=echo):
        """A server for each version of TLS, with its context."""
        for version in VERSIONS:
            context = self.context()
            context.minimum_version = context.maximum_version = version
            with self.subTest(version=version.name), \
                    self.python(handler, context) as server:
                yield server, context


class Runs(LoadCase):
    def test_each_connection_makes_one_handshake(self):
        with self.weir("echo+tls@127.0.0.1:0") as server:
            result = self.load(server.address(), "-c", "6", "-T", "2", "-P",
                               "4", "-n", "3000", "--idle", "2")
            _, counts = server.stop()
        self.check_all(result, 3000)
        self.assertEqual(counts["accepted"], 8)
        self.assertEqual(self.handshakes(result), (8, 0, 0))
        self.assertEqual(result["clocks"]["handshake"]["samples"], 8)
        self.assertEqual(result["clocks"]["connect"]["samples"], 8)
        self.assertEqual(result["plan"]["tls"], {
            "name": "127.0.0.1", "insecure": False, "certificate": False,
            "alpn": None, "full_handshakes": False})
        self.assertRegex(self.report, r"\nhandshakes +8 full(   waited for this"
                         r" client up to \d+% of the time)?\n")

    def test_messages_of_many_records_arrive_whole(self):
        with self.weir("echo+tls@127.0.0.1:0") as server:
            for options in (["-s", "1-100k", "--random", "-n", "300"],
                            ["-s", "70k", "-n", "100"],
                            ["-s", "20k", "-n", "50", "--churn"]):
                with self.subTest(options=options):
                    depth = [] if "--churn" in options else ["-P", "8"]
                    result = self.load(server.address(), "-c", "3", *depth,
                                       *options)
                    self.check_all(result, int(options[options.index("-n")
                                                       + 1]))

    def test_bytes_of_one_way_are_those_of_the_server(self):
        got = []

        def discard(sock):
            taken = 0
            while data := sock.recv(65536):
                taken += len(data)
            got.append(taken)

        def stream(sock):
            while True:
                sock.sendall(b"x" * 50000)

        with self.python(discard) as server:
            result = self.load(server.address, "--upload", "-c", "2", "-d",
                               "3")
            until(lambda: len(got) == 2, "the end of both")
        self.assertLessEqual(result["run"]["bytes_out"], sum(got))
        self.assertGreater(result["run"]["bytes_out"], 0)
        with self.python(stream) as server:
            result = self.load(server.address, "--download", "-c", "2", "-d",
                               "3")
        self.assertGreater(result["run"]["bytes_in"], 0)

    def test_a_server_that_speaks_first_is_heard(self):
        def greet(sock):
            sock.sendall(b"Connect\r\n")
            for line in sock.makefile("rb"):
                sock.sendall(b"Server replies: " + line)

        for server, _ in self.versions(greet):
            result = self.load(server.address, "-c", "5", "-n", "50",
                               "--expect", "reply", "--banner",
                               "text:Connect\\r\\n", "--churn")
            self.check_all(result, 50)

    def test_a_script_has_its_parts(self):
        path = os.path.join(self.folder(), "test.load")
        with open(path, "w") as file:
            file.write("once\n\tsend login\\n\n\texpect line\n\tok login\n"
                       "loop\n\tsend a{seq}\\n\n\texpect line\n\tok a\n"
                       "end\n\tsend quit\\n\n\texpect line\n")
        for server, _ in self.versions():
            result = self.load(server.address, "--script", path, "-c", "3",
                               "-n", "60")
            self.check_all(result, 60)
            for clock in "handshake", "once":
                self.assertEqual(result["clocks"][clock]["samples"], 3)

    def test_a_header_of_a_proxy_comes_before_tls(self):
        with self.weir("echo+proxy+tls@127.0.0.1:0", "--proxy-trust",
                       "127.0.0.1") as server:
            for version in "v1", "v2":
                result = self.load(server.address(), "--proxy", version, "-n",
                                   "40", "-c", "4")
                self.check_all(result, 40)
                self.assertEqual(self.handshakes(result), (4, 0, 0))

    def test_the_protocol_is_offered(self):
        context = self.context()
        context.set_alpn_protocols(["two", "three"])
        with self.python(echo, context) as server:
            answer = load(server.address, *self.trusting(), "--alpn",
                          "one,two", "--show")
            self.assertEqual(answer.returncode, 0, answer)
            self.assertRegex(answer.stdout, rb"\nTLS in [^:]*: TLSv1.3, "
                             rb"\w+, two\n")
        context.set_alpn_protocols(["\x1b[31m"])
        with self.python(echo, context) as server:
            answer = load(server.address, *self.trusting(), "--alpn",
                          "\x1b[31m", "--show")
            self.assertEqual(answer.returncode, 0, answer)
            self.assertIn(rb", \x1b[31m" b"\n", answer.stdout)

    def test_show_says_why_there_is_no_tls(self):
        with self.weir("echo+tls@127.0.0.1:0") as server:
            answer = load(server.address(), "--tls", "--show")
            self.assertEqual(answer.returncode, 1)
            self.assertIn(b"failed: no TLS: the certificate is of an unknown "
                          b"authority\n", answer.stdout)
        with PythonServer(lambda sock: sock.recv(4096)) as server:
            answer = load(server.address, "--tls", "--show")
            self.assertIn(b"failed: the server closed the connection",
                          answer.stdout)

    def test_a_search_uses_it_in_each_run(self):
        with self.weir("echo+tls@127.0.0.1:0") as server:
            answers = []

            def attempt():
                answers.append(load(
                    "find", server.address(), *self.trusting(), "-c", "2",
                    "-d", "1", "--min", "50", "--max", "100", "--gate",
                    "errors=0"))
                # A machine that stands still holds no rate.
                return answers[-1].returncode == 0, True
            self.assertTrue(mostly(attempt), answers)
            _, counts = server.stop()
        self.assertEqual(counts["failed"], 0)


class Clocks(LoadCase):
    def test_all_fields_are_documented(self):
        with self.weir("echo+tls@127.0.0.1:0") as server:
            result = self.load(server.address(), "-n", "10")
        names = "clocks.handshake", "plan.tls"
        self.assertEqual({name for name in fields(result)
                          if name.startswith(names)},
                         {name for name in documented()
                          if name.startswith(names)} - {"plan.tls"})

    def test_a_slow_handshake_is_on_no_other_clock(self):
        slow = 0.2

        def handle(sock):
            sock.recv(1, socket.MSG_PEEK)  # the handshake has begun
            time.sleep(slow)
            with self.context().wrap_socket(sock, server_side=True) as client:
                echo(client)

        for options in [], ["--churn"], ["-r", "50"]:
            with self.subTest(options=options), PythonServer(handle) as server:
                result = self.load(server.address, "-c", "2", "-n", "6",
                                   *options)
                self.check_all(result, 6)
                clocks = result["clocks"]
                self.assertGreaterEqual(clocks["handshake"]["min_ns"],
                                        slow * 1e9)
                for clock in "connect", "from-send":
                    self.assertLess(clocks[clock]["min_ns"], slow * 1e9)

    def test_it_has_gates_and_a_tag_in_the_log(self):
        log = os.path.join(self.folder(), "run.hlog")
        with self.weir("echo+tls@127.0.0.1:0") as server:
            self.load(server.address(), "-n", "200", "--churn", "--hlog", log,
                      "--gate", "handshake.p50<30s", "--gate",
                      "handshake.max<30s", "--gate", "handshake-failed=0")
            self.load(server.address(), "-n", "200", "--gate",
                      "resumed-handshakes>0", status=3)
        with open(log) as file:
            self.assertIn("\nTag=handshake,", file.read())

    def test_sums_have_both_kinds(self):
        paths, sums, lag = [], [0, 0, 0], 0
        with self.weir("echo+tls@127.0.0.1:0") as server:
            for seed in "1", "2":
                result = self.load(server.address(), "--churn", "-n", "100",
                                   "--seed", seed)
                paths.append(self.json)
                own = result["self"]["handshake_lag_ns"]
                clock = result["clocks"]["handshake"]
                self.assertGreater(own, 0)
                self.assertAlmostEqual(
                    result["metrics"]["handshake-lag%"],
                    100 * own / clock["mean_ns"] / clock["samples"], places=3)
                self.assertLess(result["metrics"]["handshake-lag%"], 100)
                lag += own
                sums = [a + b for a, b in zip(sums, self.handshakes(result))]
        path = os.path.join(self.folder(), "all.json")
        answer = load("merge", *paths, "--json", path)
        self.assertEqual(answer.returncode, 0, answer)
        with open(path) as file:
            result = json.load(file)
        self.assertEqual(list(self.handshakes(result)), sums)
        self.assertEqual(result["clocks"]["handshake"]["samples"], 200)
        self.assertEqual(result["self"]["handshake_lag_ns"], lag)
        self.assertEqual(result["plan"]["tls"]["name"], "127.0.0.1")


class Sessions(LoadCase):
    def check_server(self, context, result, failed=0):
        """Its own counters."""
        full, resumed, failures = self.handshakes(result)
        stats = context.session_stats()
        self.assertEqual((full + resumed, resumed, failures),
                         (stats["accept_good"], stats["hits"], failed))

    def test_churn_resumes_all_but_the_first(self):
        for server, context in self.versions():
            result = self.load(server.address, "--churn", "-c", "1", "-n",
                               "40")
            self.check_all(result, 40)
            self.assertEqual(self.handshakes(result), (1, 39, 0))
            self.check_server(context, result)

    def test_each_thread_has_its_sessions(self):
        for server, context in self.versions():
            result = self.load(server.address, "--churn", "-c", "6", "-T",
                               "3", "-n", "90", "--close", "rst")
            self.check_all(result, 90)
            self.assertEqual(self.handshakes(result), (6, 84, 0))
            self.check_server(context, result)

    def test_a_session_is_resumed_by_many_at_once(self):
        with self.weir("echo+tls@127.0.0.1:0") as server:
            result = self.load(server.address(), "--churn", "-c", "8", "-n",
                               "300")
        self.assertEqual(self.handshakes(result), (8, 292, 0))

    def test_without_sessions_all_are_full(self):
        for server, context in self.versions():
            result = self.load(server.address, "--churn", "-c", "3", "-n",
                               "30", "--full-handshakes")
            self.assertEqual(self.handshakes(result), (30, 0, 0))
            self.check_server(context, result)

    def test_a_connection_that_is_made_again_resumes(self):
        path = os.path.join(self.folder(), "test.load")
        with open(path, "w") as file:
            file.write("loop\n\tsend a\\n\n\texpect line\n\tsend b\\n\n"
                       "\texpect line\n\tclose\n")
        for server, context in self.versions():
            result = self.load(server.address, "-c", "1", "-n", "50",
                               "--script", path)
            self.check_all(result, 50)
            self.assertEqual(self.handshakes(result), (1, 24, 0))
            self.check_server(context, result)

    def test_s_server_counts_the_same(self):
        for version in "-tls1_2", "-tls1_3":
            port = free_port()
            certificate, key = self.pair("server")
            server = subprocess.Popen(
                [OPENSSL, "s_server", "-accept", "127.0.0.1:%d" % port,
                 "-cert", certificate, "-key", key, "-rev", version],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT)
            try:
                self.wait_for(port)
                result = self.load("127.0.0.1:%d" % port, "--churn", "-c",
                                   "1", "-n", "30", "--expect", "line")
            finally:
                server.kill()
                said = server.communicate()[0]
            self.check_all(result, 30)
            self.assertEqual(self.handshakes(result), (1, 29, 0))
            self.assertEqual(said.count(b"CONNECTION ESTABLISHED\n"), 30)

    def wait_for(self, port):
        until(lambda: is_listening("127.0.0.1:%d" % port), "the server")

    def test_nginx_logs_the_same(self):
        if not NGINX:
            self.skipTest("nginx is not installed")
        port, folder = free_port(), self.folder()
        certificate, key = self.pair("server")
        path, log = os.path.join(folder, "conf"), os.path.join(folder, "log")
        with open(path, "w") as file:
            file.write(
                "daemon off; master_process off; pid %s/pid;\n"
                "error_log %s/error; events {}\n"
                "http { log_format one \"<$ssl_session_reused>\";\n"
                "%s\nserver { listen 127.0.0.1:%d ssl; access_log %s one;\n"
                "ssl_certificate %s; ssl_certificate_key %s;\n"
                "location / { return 200 \"hello\"; } } }\n" %
                (folder, folder, " ".join(
                    "%s_temp_path %s/t;" % (kind, folder) for kind in (
                        "client_body", "proxy", "fastcgi", "uwsgi", "scgi")),
                 port, log, certificate, key))
        server = subprocess.Popen([NGINX, "-p", folder, "-e", "stderr", "-c",
                                   path], stdin=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        try:
            self.wait_for(port)
            result = self.load(
                "127.0.0.1:%d" % port, "--churn", "-c", "4", "-n", "80",
                "--text", "GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n",
                "--expect", "http", "--alpn", "http/1.1")
        finally:
            server.terminate()
            server.wait(DEADLINE)
        self.check_all(result, 80)
        with open(log) as file:
            reused = re.findall("<(.*)>", file.read())
        self.assertEqual(self.handshakes(result), (4, 76, 0))
        self.assertEqual((reused.count("."), reused.count("r")), (4, 76))


class Failures(LoadCase):
    def check_failed(self, result, count, why, shown=None):
        self.assertEqual(self.handshakes(result), (0, 0, count))
        self.assertEqual(result["metrics"]["answered"], 0)
        self.assertEqual(result["metrics"]["failed"], count)
        self.assertEqual([(e["phase"], e["text"], e["count"])
                          for e in result["errors"]],
                         [("handshake", why, count)])
        self.assertIsNone(result["clocks"]["handshake"])
        self.assertIsNone(result["clocks"]["from-send"])
        self.assertRegex(self.report, r"\nerrors +%d in the handshake of TLS: "
                         % count + (shown or why).split()[0])

    def test_a_certificate_that_is_not_good_is_told_in_a_line(self):
        for name, trust, why in (
                ("server", ["--tls"],
                 "the certificate is of an unknown authority"),
                ("server", self.trusting("example.org"), "hostname mismatch"),
                ("expired", None, "certificate has expired")):
            with self.subTest(why=why), \
                    self.python(echo, self.context(name)) as server:
                result = self.load(server.address, "-c", "3", "-d", "20",
                                   trust=trust, status=1)
                self.check_failed(result, 3, why)

    def test_insecure_takes_it(self):
        with self.python(echo, self.context("expired")) as server:
            result = self.load(server.address, "-n", "10",
                               trust=["--tls=example.org", "--insecure"])
            self.check_all(result, 10)

    def test_a_server_without_tls_is_told(self):
        def refuse(sock):
            sock.recv(1)
            sock.sendall(b"220 hello\r\n")
            sock.recv(4096)

        def leave(sock):
            sock.recv(4096)

        for handler, why in ((refuse, "the server does not speak TLS"),
                             (leave, "end of input")):
            with self.subTest(why=why), PythonServer(handler) as server:
                result = self.load(server.address, "-c", "2", "-d", "20",
                                   status=1)
                self.check_failed(result, 2, why)

    def test_a_server_that_says_nothing_is_waited_for_as_in_a_connect(self):
        with PythonServer(lambda sock: sock.recv(1 << 20) and
                          sock.recv(1)) as server:
            result = self.load(server.address, "-c", "2", "-d", "20",
                               "--connect-timeout", "3s", status=1)
            self.check_failed(result, 2, os.strerror(110),
                              "timed out")

    def test_a_server_that_demands_a_certificate(self):
        make_certificate(self.made, "client")
        certificate, key = self.pair("client")
        for version, why in ("TLSv1_2", "handshake failure"), \
                ("TLSv1_3", "tlsv13 alert certificate required"):
            context = self.context()
            context.load_verify_locations(self.file("ca.pem"))
            context.verify_mode = ssl.CERT_REQUIRED
            context.minimum_version = context.maximum_version = \
                ssl.TLSVersion[version]
            with self.subTest(version=version), \
                    self.python(echo, context) as server:
                result = self.load(server.address, "-n", "20",
                                   "--tls-certificate", certificate,
                                   "--tls-key", key)
                self.check_all(result, 20)
                result = self.load(server.address, "-c", "2", "-d", "20",
                                   status=1)
                self.assertEqual([e["phase"] for e in result["errors"]],
                                 ["handshake"])
                self.assertEqual(self.handshakes(result)[2], 2)
                self.assertIn(why, result["tls_why"])

    def test_an_error_after_input_is_not_one_of_the_handshake(self):
        def break_off(sock):
            sock.sendall(b"x" * 50000)
            os.write(sock.fileno(), b"this is no record of TLS")
            sock.recv(1)

        with self.python(break_off) as server:
            result = self.load(server.address, "--download", "-c", "1", "-d",
                               "20", status=1)
        self.assertEqual(self.handshakes(result), (1, 0, 0))
        self.assertEqual([(e["phase"], e["count"]) for e in result["errors"]],
                         [("between", 1)])

    def test_some_that_fail_are_counted_and_the_others_go_on(self):
        numbers = itertools.count(1)

        def handle(sock):
            if next(numbers) % 3 == 0:
                return
            with self.context().wrap_socket(sock, server_side=True) as client:
                echo(client)

        with PythonServer(handle) as server:
            result = self.load(server.address, "--churn", "-c", "1", "-n",
                               "60", "--full-handshakes")
        self.assertEqual(self.handshakes(result), (40, 0, 20))
        m = result["metrics"]
        self.assertEqual((m["answered"], m["never-sent"]), (40, 20))
        self.assertEqual(result["clocks"]["connect"]["samples"], 60)
        self.assertEqual(result["clocks"]["handshake"]["samples"], 40)


if __name__ == "__main__":
    main()
