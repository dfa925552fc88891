#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The alerts and the dashboard in deploy/prometheus name metrics that exist,
and Prometheus itself, if it is installed, reads them."""

import json
import os
import re
import shutil
import socket
import subprocess
import urllib.request

from weirtest import DEADLINE, Server, TestCase, main, until

DEPLOY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..",
                      "deploy", "prometheus")
NAME = r"\b((?:weir|process)_[a-z_]+)\b"


def free_port():
    """One that nobody listens at now; Prometheus cannot pick one itself."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def text_of(name):
    with open(os.path.join(DEPLOY, name)) as file:
        return file.read()


class Names(TestCase):
    """Each metric that a file names is one that the server has."""

    def test_of_the_alerts_and_the_dashboard(self):
        dashboard = json.loads(text_of("weir-dashboard.json"))
        expressions = [target["expr"] for panel in dashboard["panels"]
                       for target in panel["targets"]]
        expressions += [v["query"] for v in dashboard["templating"]["list"]]
        expressions += re.findall(r"^ +expr: (.*)$",
                                  text_of("weir.rules.yml"), re.M)
        self.assertGreater(len(expressions), 30)
        with Server("--status", "127.0.0.1:0") as server:
            text = self.metrics(server)
        known = set(re.findall(r"^([a-z_]+)[ {]", text, re.M))
        for expression in expressions:
            for name in re.findall(NAME, expression):
                self.assertIn(name, known, expression)

    def test_of_the_documents(self):
        with open(os.path.join(DEPLOY, "..", "..", "docs",
                               "OBSERVING.md")) as file:
            named = set(re.findall("`" + NAME + "`", file.read()))
        with Server("--status", "127.0.0.1:0") as server:
            families = set(re.findall(r"^# TYPE (\S+) ", self.metrics(server),
                                      re.M))
        self.assertEqual(named, families)

    @staticmethod
    def metrics(server):
        where = server.out.expect(rb"^status (.*)\n").group(1).decode()
        with urllib.request.urlopen("http://%s/metrics" % where,
                                    timeout=DEADLINE) as page:
            return page.read().decode()


class Prometheus(TestCase):
    """A real one."""

    def setUp(self):
        if not shutil.which("prometheus"):
            self.skipTest("prometheus is not installed")

    def test_it_takes_the_alerts(self):
        subprocess.run(["promtool", "check", "rules",
                        os.path.join(DEPLOY, "weir.rules.yml")], check=True,
                       stdout=subprocess.DEVNULL, timeout=DEADLINE)

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
            shutil.copy(os.path.join(DEPLOY, "weir.rules.yml"), folder)
            with open(folder + "/prometheus.yml", "w") as file:
                file.write(text_of("prometheus.yml")
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


if __name__ == "__main__":
    main()
