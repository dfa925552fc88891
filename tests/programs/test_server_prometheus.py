#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The alerts and the dashboard in deploy/prometheus name metrics that exist."""

import json
import os
import re
import urllib.request

from certificates import OPENSSL, make_certificate, make_crl
from test_server_tls import is_built
from weirtest import DEADLINE, Server, TestCase, main

DEPLOY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..",
                      "deploy", "prometheus")
NAME = r"\b((?:weir|process)_[a-z_]+)\b"


def text_of(name):
    with open(os.path.join(DEPLOY, name)) as file:
        return file.read()


class Names(TestCase):
    """Each metric that a file names is one that the server has."""

    def setUp(self):
        self.skip_without_status()
        self.with_tls = ()
        if OPENSSL and is_built():
            folder = self.folder()
            make_certificate(folder, "server", ca=None)
            make_crl(folder, "server", [], ca="server")
            self.with_tls = ("echo+tls@127.0.0.1:0",
                             "--tls-certificate", folder + "/server.pem",
                             "--tls-key", folder + "/server.key",
                             "--tls-client-ca", folder + "/server.pem",
                             "--tls-crl", folder + "/server.crl")

    def can_be_shown(self, names):
        """Those of TLS are left out where there is none."""
        return {name for name in names
                if self.with_tls or not name.startswith("weir_tls_")}

    def test_of_the_alerts_and_the_dashboard(self):
        dashboard = json.loads(text_of("weir-dashboard.json"))
        expressions = [target["expr"] for panel in dashboard["panels"]
                       for target in panel["targets"]]
        expressions += [v["query"] for v in dashboard["templating"]["list"]]
        expressions += re.findall(r"^ +expr: (.*)$",
                                  text_of("weir.rules.yml"), re.M)
        self.assertGreater(len(expressions), 30)
        with self.serve() as server:
            text = self.metrics(server)
        known = set(re.findall(r"^([a-z_]+)[ {]", text, re.M))
        for expression in expressions:
            self.assertLessEqual(
                self.can_be_shown(re.findall(NAME, expression)), known,
                expression)

    def test_an_alert_and_a_panel_show_the_end_of_a_certificate(self):
        for name in "weir.rules.yml", "weir-dashboard.json":
            for kind in "certificate", "crl":
                self.assertIn("weir_tls_%s_expiry_seconds" % kind,
                              text_of(name))

    @staticmethod
    def observing():
        with open(os.path.join(DEPLOY, "..", "..", "docs",
                               "OBSERVING.md")) as file:
            return file.read()

    def test_of_the_documents(self):
        named = set(re.findall("`" + NAME + "`", self.observing()))
        with self.serve() as server:
            families = set(re.findall(r"^# TYPE (\S+) ", self.metrics(server),
                                      re.M))
        self.assertEqual(self.can_be_shown(named), families)

    def test_of_the_values_of_labels(self):
        rows = self.observing().split("| label | value |")[1].split("\n\n")[0]
        label, named = None, set()
        for first, second in re.findall(r"^\| (\S*) ?\| (`[^|]*) \|", rows,
                                        re.M):
            label = first.strip("`") or label
            named.update((label, value)
                         for value in re.findall("`([a-z_]+)`", second))
        with self.serve() as server:
            shown = set(re.findall(
                r'\b(outcome|reason|timeout)="([a-z_]+)"',
                self.metrics(server)))
        self.assertEqual(named, shown)

    def test_of_the_reasons_of_refusals(self):
        with open(os.path.join(DEPLOY, "..", "..", "lib", "weir.h")) as file:
            counted = set(re.findall(r"uint64_t refused_([a-z]+);",
                                     file.read()))
        with self.serve() as server:
            shown = set(re.findall(
                r'^weir_connections_refused_total\{.*reason="([a-z]+)"',
                self.metrics(server), re.M))
        self.assertEqual(shown, counted)

    def serve(self):
        return Server("--status", "127.0.0.1:0", *self.with_tls)

    @staticmethod
    def metrics(server):
        where = server.out.expect(rb"^status (.*)\n").group(1).decode()
        with urllib.request.urlopen("http://%s/metrics" % where,
                                    timeout=DEADLINE) as page:
            return page.read().decode()


if __name__ == "__main__":
    main()
