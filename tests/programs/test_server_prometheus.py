#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The alerts and the dashboard in deploy/prometheus name metrics that exist."""

import json
import os
import re
import urllib.request

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

    def test_of_the_reasons_of_refusals(self):
        with open(os.path.join(DEPLOY, "..", "..", "lib", "weir.h")) as file:
            counted = set(re.findall(r"uint64_t refused_([a-z]+);",
                                     file.read()))
        with Server("--status", "127.0.0.1:0") as server:
            shown = set(re.findall(
                r'^weir_connections_refused_total\{.*reason="([a-z]+)"',
                self.metrics(server), re.M))
        self.assertEqual(shown, counted)

    @staticmethod
    def metrics(server):
        where = server.out.expect(rb"^status (.*)\n").group(1).decode()
        with urllib.request.urlopen("http://%s/metrics" % where,
                                    timeout=DEADLINE) as page:
            return page.read().decode()


if __name__ == "__main__":
    main()
