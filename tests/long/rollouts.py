#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Two weir-servers behind a balancer are restarted one after the other under
load.

With deploy/haproxy/haproxy.cfg no client is lost, none has to be sent to another
server, and none waits for long.  The controls: without a lame duck and agent,
clients are sent again, and a server that stands still is noticed.

A balancer without retries, which hears of the end of a server only after a
second, stands for kube-proxy.  With a lame duck no client is lost.  The
control: without one, clients are.

What docs/FLEETS.md tells the reader to type works as it is written.  The
control: clients that do not go through the balancer make it fail.
"""

import os
import re
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "programs"))
import balancers  # noqa: E402
from balancers import HAPROXY, Site  # noqa: E402
from flooding import Load, median, say  # noqa: E402
from test_server_upgrade import real_program  # noqa: E402
from weirtest import (DEADLINE, TestCase, network_of_its_own,  # noqa
                      program, shared_libraries)

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PAGE = os.path.join(TOP, "docs", "FLEETS.md")
RATE, SECONDS = 1000, 14
ROUNDS, ROUND_S, MAX_MS = 5, 8, 100
HEARD_S = 1  # until all of a cluster know that an endpoint has gone

def load(site, during, seconds=SECONDS):
    """Clients come at a fixed rate while during(load) runs: what they met."""
    with Load(site.front, "-c", 100, "--churn", "-r", RATE, "-d",
              "%ds" % seconds) as running:
        time.sleep(1)
        during(running)
        return running.result(may_be_incomplete=True)["metrics"]


def lost(metrics):
    return int(metrics["errors"])


def max_ms(metrics):
    return metrics["max"] / 1e6


def bound_ms(controls):
    """Of the longest answers of a load without a restart."""
    return max(MAX_MS, 2 * max(controls))


class Haproxy(TestCase):
    def site(self, *options, uses_agent=True):
        site = Site(self, *options)
        for name in "ab":
            if not uses_agent:
                site.command("disable agent weir/" + name)
            site.is_up(name)
        return site

    def restarts(self, site, count):
        """The servers take turns.  For load()."""
        def restart(load):
            nonlocal restarted
            while not load.has_ended() and restarted < count:
                name = "ab"[restarted % 2]
                self.assertEqual(site.stop(name), 0)
                site.serve(name)
                site.is_up(name)
                restarted += 1
            self.assertGreater(restarted, 0)
        restarted = 0
        return restart

    def test_with_a_lame_duck_and_agent_no_client_notices(self):
        """No client is lost or sent again, or waits for longer than 100 ms.
        On a busy machine that is twice the longest wait of clients of another
        site, while the same servers are restarted."""
        site, other = (self.site("--lame-duck", "2s") for _ in range(2))
        longest, controls = [], []
        for _ in range(ROUNDS):
            controls.append(max_ms(load(
                other, self.restarts(site, 2), ROUND_S)))
            found = load(site, self.restarts(site, 2), ROUND_S)
            longest.append(max_ms(found))
            say("%d answered, %d lost, %d sent again, max %.0f ms, of the "
                "other site %.0f ms" % (
                    found["answered"], lost(found), site.sent_again(),
                    longest[-1], controls[-1]))
            self.assertEqual((lost(found), site.sent_again()), (0, 0))
        self.assertLessEqual(median(longest), bound_ms(controls))

    def test_control_a_server_that_stands_still_is_noticed(self):
        site = self.site("--lame-duck", "2s")
        control = max_ms(load(site, lambda load: None, ROUND_S))
        bound = bound_ms([control])

        def stand_still(load):
            process = site.servers["a"].process
            process.send_signal(signal.SIGSTOP)
            time.sleep(2 * bound / 1000)
            process.send_signal(signal.SIGCONT)
        found = max_ms(load(site, stand_still, ROUND_S))
        say("max %.0f ms, without the pause %.0f ms" % (found, control))
        self.assertGreater(found, bound)

    def test_control_without_them_clients_are_sent_again(self):
        site = self.site(uses_agent=False)
        found = load(site, self.restarts(site, 4))
        say("%d answered, %d lost, %d sent again, max %.0f ms" % (
            found["answered"], lost(found), site.sent_again(), max_ms(found)))
        self.assertEqual(lost(found), 0)
        self.assertGreater(site.sent_again(), 0)


class KubeProxy(TestCase):
    def roll(self, *options):
        site = balancers.KubeProxy(self, *options)

        def replace(load):
            """Pods are deleted: TERM, and the endpoint goes HEARD_S later."""
            for name in "abab":
                if load.has_ended():
                    break
                server = site.servers[name]
                server.process.send_signal(signal.SIGTERM)
                time.sleep(HEARD_S)
                site.endpoint(name, "maint")
                server.end()
                site.serve(name)
                site.endpoint(name, "ready")
                time.sleep(0.5)
        found = load(site, replace)
        say("%d answered, %d lost, max %.0f ms" % (
            found["answered"], lost(found), max_ms(found)))
        return lost(found), int(found["answered"])

    def test_with_a_lame_duck_no_client_is_lost(self):
        lost_ones, done = self.roll("--lame-duck", "%dms" % (1500 * HEARD_S))
        self.assertEqual(lost_ones, 0)
        self.assertGreaterEqual(done, 10000)

    def test_control_without_one_clients_are_lost(self):
        self.assertGreater(self.roll()[0], 0)


class Page(TestCase):
    """In a network of its own, as the page names its ports."""

    def setUp(self):
        with open(PAGE) as file:
            *steps, self.find = re.findall(r"^```sh\n(.*?)^```", file.read(),
                                           re.M | re.S)
        self.steps = "".join(steps)

    def type_in(self, commands):
        folder = os.path.abspath(self.folder())
        for name, path in (("weir-server", real_program()),
                           ("weir-client", program("WEIR_CLIENT"))):
            with open(os.path.join(folder, name), "w") as file:
                file.write('#!/bin/sh\nexec "%s" "$@"\n' %
                           os.path.abspath(path))
            os.chmod(os.path.join(folder, name), 0o755)
        env = dict(os.environ, LD_LIBRARY_PATH=shared_libraries(),
                   PATH=folder + ":" + os.environ["PATH"])
        with subprocess.Popen(
                ["unshare", "--pid", "--fork", "--kill-child", "sh", "-e",
                 "-x", "-c", commands], cwd=TOP, env=env, text=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda: network_of_its_own() or os._exit(77)
        ) as shell:
            try:
                output = shell.communicate(timeout=6 * DEADLINE)[0]
            finally:
                shell.kill()
        if shell.returncode == 77:
            self.skipTest("no network namespace")
        return shell.returncode, output

    @unittest.skipUnless(HAPROXY, "haproxy is not installed")
    def test_the_steps_of_the_page_work(self):
        status, output = self.type_in(self.steps)
        self.assertEqual(status, 0, output)

    @unittest.skipUnless(HAPROXY, "haproxy is not installed")
    def test_control_clients_without_the_balancer_are_lost(self):
        status, output = self.type_in(self.steps.replace(
            "load 127.0.0.1:7000", "load --proxy v2 127.0.0.1:7001"))
        self.assertEqual(status, 3, output)

    def test_a_rate_is_found_for_each_kind_of_load(self):
        """Or it is told that there is none, or no saying, on a busy machine."""
        searches = [line for line in self.find.splitlines() if line]
        self.assertEqual(len(searches), 2)
        for search in searches:
            self.assertIn(" find 192.0.2.1:7007 ", search)
            status, output = self.type_in(
                "ip address add 192.0.2.1 dev lo\n"
                "weir-server -l error echo@192.0.2.1:7007 >&2 & server=$!\n"
                "until echo | weir-client talk -lB 192.0.2.1:7007\n"
                "do sleep 0.1; done\nrc=0\n"
                "%s -d 2s --resolution 50 || rc=$?\n"
                "kill $server; wait $server; exit $rc" % search)
            self.assertIn(status, (0, 1, 3), output)
            self.assertRegex(output, r"(?m)^(highest rate that |not even |"
                             r"too noisy to say: )")


if __name__ == "__main__":
    unittest.main(verbosity=2)
