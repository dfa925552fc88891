#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prometheus and a browser, as far as they are installed, read what weir-server
--status answers.  The controls: each finds a mistake that is put in."""

import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "programs"))
import test_server_prometheus as names
from test_server_status import Status
from weirtest import DEADLINE, Server, TestCase, main, until


def free_port():
    """One that nobody listens at now; Prometheus cannot pick one itself."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


class Browser(TestCase):
    """The page in a browser without a window."""

    def setUp(self):
        if not shutil.which("chromium"):
            self.skipTest("chromium is not installed")

    def show(self, where):
        return subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu",
             "--user-data-dir=" + self.folder() + "/c",
             "--enable-logging=stderr", "--virtual-time-budget=5000",
             "--dump-dom", "http://%s/status" % where],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            timeout=4 * DEADLINE)

    def test_control_an_error_of_the_page_is_seen(self):
        with Status("echo@127.0.0.1:0") as server:
            text = server.get("/status")[2].encode()

        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(text + b"<script>nonsense()</script>")

            def log_message(self, *unused):
                pass
        with http.server.HTTPServer(("127.0.0.1", 0), Page) as other:
            thread = threading.Thread(target=other.serve_forever)
            thread.start()
            try:
                page = self.show("127.0.0.1:%d" % other.server_port)
            finally:
                other.shutdown()
                thread.join()
        self.assertIn(b"CONSOLE", page.stderr)
        self.assertIn(b"nonsense is not defined", page.stderr)

    def test_it_shows_the_server_without_an_error(self):
        with Status("-w", "3", "echo@127.0.0.1:0") as server:
            page = self.show(server.status_address())
            self.assertNotIn(b"CONSOLE", page.stderr)
            self.assertRegex(page.stdout, rb'class="pill good">ready<')
            self.assertIn(b"0 of 3 busy", page.stdout)
            self.assertIn(b"echo@" + server.address().encode(), page.stdout)
            self.assertEqual(page.stdout.count(b"<canvas"), 4)


class Prometheus(TestCase):
    """A real one."""

    def setUp(self):
        if not shutil.which("prometheus"):
            self.skipTest("prometheus is not installed")

    def check(self, what, *args, text=""):
        """Status and output of promtool."""
        said = subprocess.run(["promtool", "check", what, *args], input=text,
                              text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=DEADLINE)
        return said.returncode, said.stdout

    def test_it_takes_the_alerts(self):
        status, said = self.check(
            "rules", os.path.join(names.DEPLOY, "weir.rules.yml"))
        self.assertEqual(status, 0, said)

    def test_control_it_does_not_take_a_wrong_alert(self):
        path = self.folder() + "/rules.yml"
        with open(path, "w") as file:
            file.write(names.text_of("weir.rules.yml").replace(
                "expr: ", "expr: sum by ", 1))
        status, said = self.check("rules", path)
        self.assertNotEqual(status, 0, said)

    def query(self, port, what):
        with urllib.request.urlopen(
                "http://127.0.0.1:%d/api/v1/query?query=%s" % (port, what),
                timeout=DEADLINE) as page:
            return [float(r["value"][1])
                    for r in json.load(page)["data"]["result"]]

    def test_it_scrapes_the_server(self):
        folder = self.folder()
        with Server("--status", "127.0.0.1:0") as server:
            where = server.out.expect(rb"^status (.*)\n").group(1).decode()
            shutil.copy(os.path.join(names.DEPLOY, "weir.rules.yml"), folder)
            with open(folder + "/prometheus.yml", "w") as file:
                file.write(names.text_of("prometheus.yml")
                           .replace("127.0.0.1:9107", where)
                           .replace("15s", "100ms"))
            port = free_port()
            process = subprocess.Popen(
                ["prometheus", "--config.file=" + folder + "/prometheus.yml",
                 "--storage.tsdb.path=" + folder + "/data",
                 "--web.listen-address=127.0.0.1:%d" % port],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                until(lambda: self.answers(port, "up") == [1.0], "up")
                self.assertEqual(self.query(port, "weir_ready"), [1.0])
                self.assertEqual(
                    len(self.query(port, "weir_queue_wait_seconds_bucket")), 32)
            finally:
                process.terminate()
                process.wait()

    def answers(self, port, what):
        try:
            return self.query(port, what)
        except OSError:
            return None

    def test_promtool_finds_nothing(self):
        with Status() as server:
            text = server.get("/metrics")[2]
        self.assertEqual(self.check("metrics", text=text), (0, ""))
        # The control.
        self.assertIn("_total", self.check("metrics", text=text + (
            "# HELP weir_wrong Without the suffix of a counter.\n"
            "# TYPE weir_wrong counter\nweir_wrong 1\n"))[1])


if __name__ == "__main__":
    main()
