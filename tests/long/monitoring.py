#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prometheus and a browser, as far as they are installed, read what weir-server
--status answers.  The controls: each finds a mistake that is put in."""

import contextlib
import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from datetime import datetime, timezone

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "programs"))
import test_server_prometheus as names
from browser import CHROMIUM, WIDTH, Browser
from certificates import OPENSSL, make_certificate, make_crl
from flooding import Load
from test_server_status import Status
from test_server_tls import is_built
from weirtest import DEADLINE, TestCase, main, program, until

PICTURES = os.path.join(os.path.dirname(program("WEIR_SERVER")), "..",
                        "tests", "long")
SAMPLES = 20


def free_port():
    """One that nobody listens at now; Prometheus cannot pick one itself."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


# Text whose contrast with what is behind it is below 4.5.
FAINT = """(() => {
const c = document.createElement("canvas").getContext("2d");
const pixel = (color) => {
	c.clearRect(0, 0, 1, 1);
	c.fillStyle = color;
	c.fillRect(0, 0, 1, 1);
	return [...c.getImageData(0, 0, 1, 1).data];
};
const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const luminance = ([r, g, b]) => 0.2126 * linear(r / 255) +
	0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
const behind = (e) => {
	const color = pixel(getComputedStyle(e).backgroundColor);
	return color[3] === 255 ? color : behind(e.parentElement);
};
const faint = [], texts = document.createTreeWalker(document.body, 4);
while (texts.nextNode()) {
	const e = texts.currentNode.parentElement;
	if (!e.clientWidth || !texts.currentNode.textContent.trim())
		continue;
	const [less, more] = [pixel(getComputedStyle(e).color), behind(e)]
		.map(luminance).sort((a, b) => a - b);
	if ((more + 0.05) / (less + 0.05) < 4.5)
		faint.push(texts.currentNode.textContent);
}
return faint.join("; ");
})()"""
# Is this color, which the style has by that name, in each graph?
DRAWN = """[...document.querySelectorAll("canvas")].every(canvas => {
	const name = getComputedStyle(document.documentElement)
		.getPropertyValue("%s").trim();
	const color = [1, 3, 5].map(i => parseInt(name.slice(i, i + 2), 16));
	const { data } = canvas.getContext("2d")
		.getImageData(0, 0, canvas.width, canvas.height);
	for (let i = 0; i < data.length; i += 4)
		if (data[i + 3] === 255 && color.every((v, k) => v === data[i + k]))
			return true;
	return false;
})"""
TEXT = 'document.getElementById("%s").textContent'


class StatusPage(TestCase):
    """In a browser, light and dark, in a window and on a phone.  Pictures are
    in the build folder, as status-STATE-SCHEME-WIDTH.png."""

    WIDTHS = 1280, 390, 320

    def setUp(self):
        if not CHROMIUM:
            self.skipTest("chromium is not installed")
        self.browser = Browser(self.folder() + "/c")
        self.addCleanup(self.browser.__exit__)

    def has(self, expression, what=None):
        until(lambda: self.browser.value(expression), what or expression)

    def is_narrow(self, width):
        """Nothing is beside the window, which has this width now."""
        self.browser.resize(width)
        self.has("%s <= %d && innerWidth === %d" % (WIDTH, width, width))

    def check_look(self, state):
        for scheme in "light", "dark":
            self.browser.prefer(scheme)
            self.has('matchMedia("(prefers-color-scheme: %s)").matches' %
                     scheme)
            self.has(DRAWN % "--grid", "graphs are drawn again")
            for width in self.WIDTHS:
                self.is_narrow(width)
                self.has(DRAWN % "--grid", "graphs of that width")
                self.assertEqual(self.browser.value(FAINT), "")
                self.browser.resize(width, self.browser.value(
                    "document.documentElement.scrollHeight"))
                self.browser.picture("%s/status-%s-%s-%d.png" % (
                    PICTURES, state, scheme, width))

    def test_of_a_server_that_serves_and_stops_and_has_gone(self):
        with Status("-w", "3", "echo@127.0.0.1:0", "greet@127.0.0.1:0",
                    "--lame-duck", "1h", "-l", "error") as server:
            self.browser.show("http://%s/status" % server.status_address(),
                              1280)
            self.has(TEXT % "state" + ' === "ready"')
            self.has(TEXT % "workers-text" + '.startsWith("0 of 3 busy")')
            self.assertIn("echo@" + server.address(),
                          self.browser.value(TEXT % "listeners"))
            self.browser.value('document.querySelector("button").click()')
            with Load(server.address(), "-c", 50, "--churn", "-r", 300, "-d",
                      "1h"), server.connect() as client:
                until(lambda: json.loads(server.get("/status.json")[2])
                      ["history"]["seq"] >= SAMPLES, "samples", 2 * DEADLINE)
                self.check_look("ready")
                self.assertTrue(self.browser.value(
                    'document.getElementById("banner").hidden'))
                server.process.send_signal(signal.SIGTERM)
                self.has(TEXT % "banner" +
                         '.startsWith("Not ready: the server stops.")')
                self.has(TEXT % "state" + ' === "stopping"')
                self.check_look("stopping")
            self.has(TEXT % "banner" +
                     '.endsWith("0 connections are still served.")')
            self.assertEqual(self.browser.errors, [])
            self.assertEqual(server.stop()[0], 0)
        self.has(TEXT % "banner" + '.startsWith("No answer since ")')
        self.has(TEXT % "state" + ' === "no answer"')
        self.check_look("gone")

    def show_changed(self, markup):
        """The page, with that behind it."""
        with Status("echo@127.0.0.1:0") as server:
            text = (server.get("/status")[2] + markup).encode()

        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *unused):
                pass
        with http.server.HTTPServer(("127.0.0.1", 0), Page) as other:
            thread = threading.Thread(target=other.serve_forever)
            thread.start()
            try:
                self.browser.show("http://127.0.0.1:%d" % other.server_port,
                                  1280)
            finally:
                other.shutdown()
                thread.join()

    def test_control_what_is_wrong_with_a_page_is_seen(self):
        self.show_changed(
            "<script>nonsense()</script>"
            "<style>footer { min-width: 500px; color: #888 } "
            ":root { --grid: transparent }</style>")
        self.assertIn("nonsense is not defined", str(self.browser.errors))
        self.assertIn("Graphs by uPlot", self.browser.value(FAINT))
        self.browser.resize(390)
        self.has(WIDTH + " >= 500")


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

    def ask(self, port, what):
        with urllib.request.urlopen("http://127.0.0.1:%d/api/v1/%s" % (
                port, what), timeout=DEADLINE) as page:
            return json.load(page)["data"]

    def query(self, port, what):
        found = self.ask(port, "query?query=" + urllib.parse.quote(what))
        return [float(r["value"][1]) for r in found["result"]]

    def wait_for_alerts(self, port):
        """Until they have been evaluated with what is known now."""
        now = datetime.now(timezone.utc)
        until(lambda: all(datetime.fromisoformat(group["lastEvaluation"]) > now
                          for group in self.ask(port, "rules")["groups"]),
              "evaluation")

    @contextlib.contextmanager
    def scraping(self, *servers):
        """Gives its port: the shipped files, for these servers."""
        folder = self.folder()
        where = ", ".join('"%s"' % s.status_address() for s in servers)
        shutil.copy(os.path.join(names.DEPLOY, "weir.rules.yml"), folder)
        with open(folder + "/prometheus.yml", "w") as file:
            file.write(names.text_of("prometheus.yml")
                       .replace('"127.0.0.1:9107"', where)
                       .replace("15s", "100ms\n  evaluation_interval: 100ms"))
        port = free_port()
        process = subprocess.Popen(
            ["prometheus", "--config.file=" + folder + "/prometheus.yml",
             "--storage.tsdb.path=" + folder + "/data",
             "--web.listen-address=127.0.0.1:%d" % port],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until(lambda: self.answers(port, "up") == [1.0] * len(servers),
                  "up")
            yield port
        finally:
            process.terminate()
            process.wait()

    def test_it_scrapes_the_server(self):
        with Status() as server, self.scraping(server) as port:
            self.assertEqual(self.query(port, "weir_ready"), [1.0])
            self.assertEqual(
                len(self.query(port, "weir_queue_wait_seconds_bucket")), 32)

    def with_certificate(self, days=30, hours=24):
        """It ends after the days, the list of revoked ones after the hours."""
        folder = self.folder()
        make_certificate(folder, "server", ca=None, days=days)
        make_certificate(folder, "ca", ca=None, names=None)
        make_crl(folder, "none", [], hours=hours)
        return Status("echo+tls@127.0.0.1:0",
                      "--tls-certificate", folder + "/server.pem",
                      "--tls-key", folder + "/server.key",
                      "--tls-client-ca", folder + "/ca.pem",
                      "--tls-crl", folder + "/none.crl")

    def test_what_ends_soon_is_an_alert(self):
        """The control: what ends a little later is none."""
        if not OPENSSL:
            self.skipTest("openssl is not installed")
        if not is_built():
            self.skipTest("weir-server is built without TLS")
        alerts = {"days": 'ALERTS{alertname="WeirCertificateEnds"%s}',
                  "hours": 'ALERTS{alertname="WeirRevocationListEnds"%s}'}
        for unit, soon, later in ("days", 14, 15), ("hours", 6, 7):
            with self.with_certificate(**{unit: soon}) as first, \
                    self.with_certificate(**{unit: later}) as second, \
                    self.scraping(first, second) as port:
                self.wait_for_alerts(port)
                self.assertEqual(self.query(port, alerts[unit] % (
                    ',instance="%s"' % first.status_address())), [1.0])
                self.assertEqual(self.query(port, alerts[unit] % ""), [1.0])

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
