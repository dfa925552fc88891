#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The pages of weir-server --status: what they say, and how strictly they are
asked for."""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import unittest

from certificates import OPENSSL, CertifiedCase
from weirtest import (DEADLINE, Server, TestCase, add_address, connect,
                      fields_of, in_a_network_of_its_own, main, read_all, run,
                      read_exactly, until, why_not_preloaded,
                      without_leak_check)


class Status(Server):
    """A server with the pages."""

    def __init__(self, *args, **kwargs):
        super().__init__("--status", "127.0.0.1:0", *args, **kwargs)

    def status_address(self):
        return self.out.expect(rb"^status (.*)\n").group(1).decode()

    def get(self, path, method="GET", headers=None):
        """Status, headers and body of one request."""
        host, port = self.status_address().rsplit(":", 1)
        http_ = http.client.HTTPConnection(host, int(port), timeout=DEADLINE)
        http_.request(method, path, headers=headers or {})
        answer = http_.getresponse()
        body = answer.read().decode()
        http_.close()
        return answer.status, answer.headers, body

    def ask(self, text):
        """Everything that comes after these bytes, up to the end."""
        with connect(self.status_address()) as sock:
            sock.sendall(text)
            return read_all(sock)

    def metric(self, name):
        """The value of a sample, with its labels as they are written."""
        body = self.get("/metrics")[2]
        found = re.search("^" + re.escape(name) + " (.*)$", body, re.M)
        return found and float(found.group(1))


class Base(TestCase):
    def setUp(self):
        self.skip_without_status()


# Times are in seconds.
IN_JSON = {"queue_wait_us": "queue_wait", "callback_us": "callback_time",
           "longest_callback_ms": "longest_callback"}

# Each listener has its handshakes; ready and draining are the phase.
LEFT_OUT_OF_JSON = {"handshakes", "truncated", "handshake_us",
                    "handshake_time", "phase"}


class Pages(Base):
    """What they say."""

    def test_a_server_that_serves_is_ready(self):
        with Status() as server:
            self.assertEqual(server.get("/healthz")[::2], (200, "ok\n"))
            self.assertEqual(server.get("/readyz")[::2], (200, "ready\n"))

    def test_from_the_request_to_stop_on_it_is_not_ready(self):
        with Status("echo@127.0.0.1:0", "--lame-duck", "1h") as server:
            with server.connect() as client:
                client.sendall(b"hello")
                self.assertEqual(client.recv(5), b"hello")
                server.process.send_signal(signal.SIGTERM)
                until(lambda: server.get("/readyz")[0] == 503, "not ready")
                self.assertEqual(server.get("/readyz")[2],
                                 "not ready: the server stops; "
                                 "open connections: 1\n")
                self.assertEqual(server.get("/healthz")[0], 200)
                self.assertEqual(server.metric("weir_draining"), 1)
                self.assertFalse(json.loads(
                    server.get("/status.json")[2])["ready"])
            until(lambda: json.loads(
                server.get("/status.json")[2])["ledger"]["completed"] == 1,
                "the end")
            status, counts = server.stop()
            self.assertEqual((status, counts["completed"]), (0, 1))

    def test_its_connections_appear_in_no_count(self):
        with Status() as server:
            for _ in range(5):
                server.get("/metrics")
            figures = json.loads(server.get("/status.json")[2])
            self.assertEqual(figures["ledger"]["accepted"], 0)
            self.assertEqual(figures["ledger"]["open"], 0)
            status, counts = server.stop()
            self.assertEqual((status, counts["accepted"]), (0, 0))

    def test_each_counter_is_in_the_json(self):
        with Status() as server:
            figures = json.loads(server.get("/status.json")[2])
        shown = set(figures).union(figures["ledger"], figures["now"],
                                   figures["limits"])
        for field in fields_of("ledger") + fields_of("stats"):
            if field not in LEFT_OUT_OF_JSON:
                self.assertIn(IN_JSON.get(field, field), shown)
        self.assertEqual(len(figures["timeouts"]), 7)

    def test_each_listener_has_its_own_counts(self):
        with Status("greet@127.0.0.1:0", "echo@127.0.0.1:0") as server:
            for _ in range(3):
                with server.connect(0) as client:
                    read_all(client)
            labels = '{service="greet",listener="%s"' % server.address(0)
            until(lambda: server.metric(
                "weir_connections_ended_total" + labels +
                ',outcome="completed"}') == 3, "the three")
            self.assertEqual(server.metric(
                "weir_connections_accepted_total" + labels + "}"), 3)
            self.assertEqual(server.metric(
                "weir_connections_accepted_total"
                '{service="echo",listener="%s"}' % server.address(1)), 0)

    def test_the_history_is_extended_from_a_number_on(self):
        with Status() as server:
            first = until(lambda: [
                s for s in [json.loads(server.get("/status.json")[2])]
                if s["history"]["seq"] >= 2], "two samples")[0]["history"]
            self.assertEqual(len(first["t"]), first["seq"])
            rest = json.loads(server.get("/status.json?since=%d"
                                         % (first["seq"] - 1))[2])["history"]
            self.assertEqual(rest["t"][0], first["t"][-1])
            self.assertEqual({len(v) for k, v in rest.items() if k != "seq"},
                             {len(rest["t"])})

    def test_what_a_new_root_hides_is_left_out(self):
        if os.getuid() != 0:
            self.skipTest("this is left to root")
        with Status("--chroot", self.folder(), "echo@127.0.0.1:0",
                    env=without_leak_check()) as server:
            self.assertEqual(
                re.findall(r"^(process_\w+) ", server.get("/metrics")[2], re.M),
                ["process_cpu_seconds_total", "process_max_fds"])
        with Status("echo@127.0.0.1:0") as server:
            for name in ("process_open_fds", "process_resident_memory_bytes",
                         "process_start_time_seconds"):
                self.assertGreater(server.metric(name), 0)

    def test_the_page_needs_nothing_from_elsewhere(self):
        with Status() as server:
            status, headers, body = server.get("/status")
            self.assertEqual(status, 200)
            self.assertIn("default-src 'none'",
                          headers["Content-Security-Policy"])
            self.assertNotRegex(body, r"(src|href)=\"?(https?:)?//")
            self.assertIn("uPlot", body)

    def test_no_pid_file_is_left_if_their_address_is_taken(self):
        path = self.folder() + "/pid"
        with Status() as server:
            self.check_usage(
                run("WEIR_SERVER", "echo@127.0.0.1:0", "-p", path, "--status",
                    server.status_address()), "weir-server", "--status")
        self.assertFalse(os.path.exists(path))


class Formats(Base):
    """What Prometheus reads."""

    def families(self, text):
        """The names in TYPE lines, with their types."""
        return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))

    def test_each_sample_belongs_to_the_family_before_it(self):
        with Status() as server:
            for accept, suffix in (("text/plain", "_total"),
                                   ("application/openmetrics-text", "")):
                _, headers, text = server.get("/metrics",
                                              headers={"Accept": accept})
                self.assertTrue(headers["Content-Type"].startswith(accept))
                self.assertEqual(text.endswith("# EOF\n"), not suffix)
                kind = name = None
                for line in text.splitlines():
                    if line.startswith("# TYPE"):
                        _, _, name, kind = line.split(" ")
                        if kind == "counter":
                            self.assertTrue(name.endswith(suffix), name)
                            name = name[:len(name) - len(suffix)] + "_total"
                    elif not line.startswith("#"):
                        sample = re.match(r"\w+", line)[0]
                        if kind == "histogram":
                            sample = re.sub("_(bucket|sum|count)$", "", sample)
                        self.assertEqual(sample, name)
                self.assertEqual(len(self.families(text)),
                                 text.count("# HELP"))

    def test_a_histogram_adds_up(self):
        with Status("greet@127.0.0.1:0") as server:
            with server.connect() as client:
                read_all(client)
            until(lambda: server.metric("weir_queue_wait_seconds_count") == 1,
                  "the wait")
            text = server.get("/metrics")[2]
            buckets = [int(n) for n in re.findall(
                r'^weir_queue_wait_seconds_bucket{.*} (\d+)$', text, re.M)]
            self.assertEqual(buckets, sorted(buckets))
            self.assertEqual(buckets[-1], 1)
            self.assertGreater(server.metric("weir_queue_wait_seconds_sum"), 0)


class Paths(Base):
    """The path of a Unix socket may have bytes that no format takes as they
    are."""

    def names(self, path):
        """Of the listener, in the metrics and in JSON."""
        with Status("echo@unix:" + path) as server:
            sample = re.search('^weir_[a-z_]*{service="echo",listener="(.*)"} ',
                               server.get("/metrics")[2], re.M)
            return sample.group(1), json.loads(
                server.get("/status.json")[2])["listeners"][0]["address"]

    def test_that_are_not_utf_8(self):
        path = self.folder() + "/a"
        for name in b"\xff", b"\xc3", b"\xc0\x80", b"\xed\xa0\x80":
            shown = "unix:" + path + "".join("\\x%02x" % c for c in name)
            self.assertEqual(self.names(path + os.fsdecode(name)),
                             (shown.replace("\\", "\\\\"), shown))

    def test_that_have_a_meaning_there(self):
        name = '/"\\\u00fc'
        path = self.folder()
        shown = "unix:" + path + name
        self.assertEqual(
            self.names(path + os.fsdecode(name.encode())),
            (shown.replace("\\", "\\\\").replace('"', '\\"'), shown))

    def test_of_the_longest(self):
        path = self.folder() + "/"
        path += "\udcff" * (107 - len(path))
        self.assertEqual(self.names(path)[1],
                         "unix:" + path.replace("\udcff", "\\xff"))


class Memory(Base):
    """A page that does not fit into the memory is no page."""

    def test_a_page_is_whole_or_an_error(self):
        why = why_not_preloaded("WEIR_BROKEN_SHIM")
        if why:
            self.skipTest(why)
        path = self.folder() + "/%d"
        with Status(*("echo@unix:" + path % i for i in range(20)),
                    env=dict(os.environ, BROKEN_SIZE="40000",
                             LD_PRELOAD=os.environ["WEIR_BROKEN_SHIM"]),
                    ) as server:
            json.loads(server.get("/status.json")[2]) # is short
            status, headers, body = server.get("/metrics")
            self.assertEqual((status, body), (500, "out of memory\n"))
            self.assertEqual(server.get("/readyz")[::2], (200, "ready\n"))


CURL = shutil.which("curl")


@unittest.skipUnless(CURL, "curl is not installed")
class Handshakes(CertifiedCase):
    """What became of them, as clients of other programs make them."""

    RESULTS = ("full", "resumed", "not_tls", "protocol", "certificate",
               "timed_out", "lost", "cut")

    def setUp(self):
        self.skip_without_status()
        self.skip_without_tls()

    def client(self, *args):
        return subprocess.run(args, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=DEADLINE, check=False).returncode

    def s_client(self, server, *args):
        return self.client(OPENSSL, "s_client", "-connect", server.address(),
                           "-CAfile", self.file("ca.pem"), *args)

    def curl(self, server, scheme, *args):
        return self.client(CURL, "-s", "--noproxy", "*", "--http0.9", *args,
                           "%s://%s/" % (scheme, server.address()))

    def counts(self, server):
        where = '{service="daytime",listener="%s",result="%%s"}' \
            % server.address()
        shown = {r: server.metric("weir_tls_handshakes_total" + where % r)
                 for r in self.RESULTS}
        return {result: n for result, n in shown.items() if n}

    def test_each_result_is_counted(self):
        kept = self.file("session")
        control = self.folder() + "/control"
        with Status("daytime+tls@127.0.0.1:0", "echo@127.0.0.1:0",
                    "--control", control,
                    "--tls-certificate", self.file("server.pem"), "--tls-key",
                    self.file("server.key")) as server:
            seen = {}

            def expect(result):
                seen[result] = seen.get(result, 0) + 1
                until(lambda: self.counts(server) == seen, result)

            self.assertEqual(self.counts(server), seen)
            self.assertEqual(self.s_client(server, "-tls1_2", "-sess_out",
                                           kept), 0)
            expect("full")
            self.assertEqual(self.s_client(server, "-tls1_2", "-sess_in",
                                           kept), 0)
            expect("resumed")
            self.assertEqual(self.curl(server, "https", "--cacert",
                                       self.file("ca.pem")), 0)
            expect("full")
            self.assertNotEqual(self.curl(server, "http"), 0)
            expect("not_tls")
            self.assertEqual(self.curl(server, "https"), 60)
            expect("certificate")
            self.assertNotEqual(self.s_client(server, "-groups", "ffdhe8192"),
                                0)
            expect("protocol")
            server.connect().close()
            with server.connect() as client:
                client.sendall(b"\x16\x03\x01\x02")
            expect("lost")
            self.check_other_pages(server, control, seen)

    def check_other_pages(self, server, control, seen):
        tls, plain = json.loads(server.get("/status.json")[2])["listeners"]
        self.assertEqual({r: n for r, n in tls["handshakes"].items() if n},
                         seen)
        self.assertEqual(sorted(tls["handshakes"]), sorted(self.RESULTS))
        self.assertNotIn("handshakes", plain)
        self.assertNotIn('listener="%s",result=' % server.address(1),
                         server.get("/metrics")[2])
        asked = run("WEIR_SERVER", "ctl", "stats", "--json", "--control",
                    control)
        stats = json.loads(asked.stdout)
        self.assertEqual({r: stats["tls_" + r] for r in self.RESULTS
                          if stats["tls_" + r]}, seen)
        self.assertEqual(server.metric("weir_tls_handshake_seconds_count"),
                         seen["full"] + seen["resumed"])
        self.assertGreater(server.metric("weir_tls_handshake_seconds_sum"), 0)

    def test_an_end_without_close_notify_is_counted(self):
        with Status("echo+tls@127.0.0.1:0", "--tls-certificate",
                    self.file("server.pem"), "--tls-key",
                    self.file("server.key")) as server:
            name = 'weir_tls_truncated_total{service="echo",listener="%s"}' \
                % server.address()
            context = ssl.create_default_context(cafile=self.file("ca.pem"))
            for has_notified in True, False:
                client = context.wrap_socket(server.connect(),
                                             server_hostname="localhost")
                client.sendall(b"hello\n")
                self.assertEqual(read_exactly(client, 6), b"hello\n")
                if has_notified:
                    client = client.unwrap()
                client.close()
                until(lambda: json.loads(server.get("/status.json")[2])
                      ["ledger"]["open"] == 0, "the end")
                self.assertEqual(server.metric(name), not has_notified)

    def test_a_server_without_tls_has_no_metrics_of_it(self):
        with Status() as server:
            self.assertNotIn("weir_tls_", server.get("/metrics")[2])


class Requests(Base):
    """How strictly they are asked for."""

    def status_of(self, answer):
        return int(re.match(rb"HTTP/1.1 (\d+) ", answer).group(1))

    def test_wrong_requests_have_their_own_status(self):
        host = b"Host: x\r\n\r\n"
        wanted = {
            b"GET /nothing HTTP/1.0\r\n\r\n": 404,
            b"GET /metrics/ HTTP/1.0\r\n\r\n": 404,
            b"GET /healthz HTTP/1.1\r\n\r\n": 400,
            b"nonsense\r\n\r\n": 400,
            b"POST /healthz HTTP/1.1\r\n" + host: 405,
            b"GET /healthz HTTP/2.0\r\n" + host: 505,
            b"GET /healthz HTTP/1.1\r\nContent-Length: 3\r\n" + host: 413,
            b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n" + host: 431,
        }
        with Status() as server:
            for request, status in wanted.items():
                answer = server.ask(request)
                self.assertEqual(self.status_of(answer), status, request)
                self.assertIn(b"Connection: close\r\n", answer)
            self.assertIn(b"Allow: GET, HEAD\r\n",
                          server.ask(b"PUT / HTTP/1.1\r\n" + host))

    def test_head_has_no_body(self):
        with Status() as server:
            answer = server.ask(b"HEAD /healthz HTTP/1.0\r\n\r\n")
            self.assertIn(b"Content-Length: 3\r\n", answer)
            self.assertTrue(answer.endswith(b"\r\n\r\n"))

    def test_a_connection_takes_one_request_after_the_other(self):
        with Status() as server:
            answer = server.ask(
                b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
                b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
                b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
                b"Connection: close\r\n\r\n")
            self.assertEqual(answer.count(b"HTTP/1.1 200 OK\r\n"), 3)
            self.assertEqual(answer.count(b"Connection: close"), 1)

    def test_half_a_head_is_answered_after_its_time(self):
        with Status() as server:
            self.assertEqual(self.status_of(server.ask(
                b"GET /healthz HTTP/1.1\r\nHost:")), 408)

    def test_more_clients_than_places_are_told(self):
        with Status() as server:
            with_place = [connect(server.status_address()) for _ in range(32)]
            answer = server.ask(b"")
            self.assertEqual(self.status_of(answer), 503)
            for sock in with_place:
                sock.close()
            until(lambda: server.get("/healthz")[0] == 200, "a place")

    def test_one_address_may_have_all_places(self):
        def body():
            add_address(self, "192.0.2.1/32")
            with Server("--status", "192.0.2.1:0") as server, \
                    contextlib.ExitStack() as stack:
                where = server.out.expect(rb"^status (.*)\n")[1].decode()
                for _ in range(32):
                    client = stack.enter_context(connect(where))
                    client.sendall(b"GET /healthz HTTP/1.1\r\nHost: h\r\n")
                client.sendall(b"\r\n")
                self.assertEqual(self.status_of(client.recv(4096)), 200)
        in_a_network_of_its_own(self, body)

    def test_clients_that_keep_connections_leave_places(self):
        request = b"GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n"
        with Status() as server, contextlib.ExitStack() as stack:
            for _ in range(40):
                client = stack.enter_context(connect(server.status_address()))
                client.sendall(request)
                answer = client.recv(4096)
                self.assertEqual(self.status_of(answer), 200)
                if b"Connection: close" in answer:
                    client.close()
            self.assertEqual(server.get("/healthz")[0], 200)

    def test_an_address_is_checked_and_a_port_in_use_named(self):
        with Status() as server:
            taken = server.status_address()
            with Server("--status", taken, ready=False) as second:
                self.assertEqual(second.process.wait(DEADLINE), 2)
                second.err.expect(rb"^weir-server: --status: cannot listen on")
        with Server("--status", "nowhere", ready=False) as server:
            self.assertEqual(server.process.wait(DEADLINE), 2)
            server.err.expect(rb"^weir-server: --status: bad address")

    def test_a_unix_socket_serves_them_too(self):
        path = self.folder() + "/s"
        with Server("--status", "unix:" + path) as server:
            with connect("unix:" + path) as sock:
                sock.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
                self.assertTrue(read_all(sock).endswith(b"ok\n"))
            server.stop()
        self.assertFalse(os.path.exists(path))


if __name__ == "__main__":
    main()
