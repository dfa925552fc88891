#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Two weir-servers behind a balancer are restarted one after the other under
load.

With deploy/haproxy/haproxy.cfg no client is lost, and none has to be sent to
another server.  The control: without a lame duck and agent, clients are.

A balancer without retries, which hears of the end of a server only after a
second, stands for kube-proxy.  With a lame duck no client is lost.  The
control: without one, clients are.

What docs/FLEETS.md tells the reader to type works as it is written.  The
control: clients that do not go through the balancer make it fail.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "programs"))
from flooding import Load, say  # noqa: E402
from test_server_upgrade import real_program  # noqa: E402
from weirtest import (DEADLINE, Server, TestCase, connect_soon,  # noqa
                      network_of_its_own, program, read_all,
                      shared_libraries, until)

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
CONFIG = os.path.join(TOP, "deploy", "haproxy", "haproxy.cfg")
PAGE = os.path.join(TOP, "docs", "FLEETS.md")
RATE, SECONDS = 1000, 14
HEARD_S = 1  # until all of a cluster know that an endpoint has gone

KUBE_PROXY = """
global
	stats socket "${WEIR_STATS}" mode 600 level admin
defaults
	mode tcp
	timeout connect 5s
	timeout client 20s
	timeout server 20s
	retries 0
frontend weir
	bind "${WEIR_FRONT}"
	default_backend weir
backend weir
	balance roundrobin
	server a "${WEIR_A}"
	server b "${WEIR_B}"
"""


def free_ports(count):
    """Which nobody listens at now: a server comes back at the same one."""
    with contextlib.ExitStack() as stack:
        return [stack.enter_context(socket.create_server(
            ("127.0.0.1", 0))).getsockname()[1] for _ in range(count)]


class Rollout(TestCase):
    def setUp(self):
        if not shutil.which("haproxy"):
            self.skipTest("haproxy is not installed")
        self.where = self.folder()
        self.stats = os.path.abspath(self.where + "/stats")
        ports = free_ports(5)
        self.front = "127.0.0.1:%d" % ports[0]
        self.ports = dict(zip("ab", ports[1:3]))
        self.agents = dict(zip("ab", ports[3:5]))
        self.servers = {}
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)

    def serve(self, name):
        args = ["echo@127.0.0.1:%d" % self.ports[name], "-l", "error",
                "--agent", "127.0.0.1:%d" % self.agents[name]]
        server = Server(*args, *self.options)
        self.stack.enter_context(server)
        self.servers[name] = server

    def balance(self, config):
        env = dict(os.environ, WEIR_STATS=self.stats, WEIR_FRONT=self.front)
        for name in "ab":
            variable = "WEIR_" + name.upper()
            env[variable] = "127.0.0.1:%d" % self.ports[name]
            env[variable + "_AGENT"] = "127.0.0.1"
            env[variable + "_AGENT_PORT"] = str(self.agents[name])
        balancer = subprocess.Popen(
            ["haproxy", "-db", "-f", config], env=env,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(balancer.wait)
        self.addCleanup(balancer.kill)
        connect_soon(self.front).close()
        until(lambda: os.path.exists(self.stats), "the socket of commands")

    def command(self, text):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(DEADLINE)
            sock.connect(self.stats)
            sock.sendall(text.encode() + b"\n")
            return read_all(sock).decode()

    def column(self, name, column):
        head, *rows = [line.split(",") for line in
                       self.command("show stat").splitlines() if line]
        head[0] = head[0].lstrip("# ")
        return next(row[head.index(column)] for row in rows
                    if row[:2] == ["weir", name])

    @contextlib.contextmanager
    def load(self):
        """Clients that come at a fixed rate; self.found is the result."""
        with Load(self.front, "-c", 100, "--churn", "-r", RATE, "-d",
                  "%ds" % SECONDS) as load:
            time.sleep(1)
            yield load
            self.found = load.result(may_be_incomplete=True)

    def lost(self):
        metrics = self.found["metrics"]
        return int(metrics["errors"]), int(metrics["answered"])

    def max_ms(self):
        return self.found["metrics"]["max"] / 1e6


class Haproxy(Rollout):
    def restart(self, name):
        status, counts = self.servers[name].stop()
        self.assertEqual(status, 0, counts)
        self.serve(name)
        until(lambda: self.column(name, "status") == "UP", "the server is up")

    def roll(self, *options, uses_agent=True):
        self.options = options
        for name in "ab":
            self.serve(name)
        self.balance(CONFIG)
        for name in "ab":
            if not uses_agent:
                self.command("disable agent weir/" + name)
            until(lambda: self.column(name, "status") == "UP", "the servers")
        rounds = 0
        with self.load() as load:
            while not load.has_ended() and rounds < 4:
                self.restart("ab"[rounds % 2])
                rounds += 1
        lost, done = self.lost()
        again = sum(int(self.column(name, column)) for name in "ab"
                    for column in ("wredis", "wretr"))
        say("%d restarts, %d clients, %d lost, %d sent again, max %.0f ms" % (
            rounds, done, lost, again, self.max_ms()))
        self.assertGreater(rounds, 1)
        return lost, again

    def test_with_a_lame_duck_and_agent_no_client_is_sent_again(self):
        self.assertEqual(self.roll("--lame-duck", "2s"), (0, 0))

    def test_control_without_them_clients_are_sent_again(self):
        lost, again = self.roll(uses_agent=False)
        self.assertEqual(lost, 0)
        self.assertGreater(again, 0)


class KubeProxy(Rollout):
    def replace(self, name):
        """A pod is deleted: TERM, and the endpoint goes HEARD_S later."""
        server = self.servers[name]
        server.process.send_signal(signal.SIGTERM)
        time.sleep(HEARD_S)
        self.command("set server weir/%s state maint" % name)
        server.end()
        self.serve(name)
        self.command("set server weir/%s state ready" % name)
        time.sleep(0.5)

    def roll(self, *options):
        self.options = options
        config = self.where + "/haproxy.cfg"
        with open(config, "w") as file:
            file.write(KUBE_PROXY)
        for name in "ab":
            self.serve(name)
        self.balance(config)
        with self.load() as load:
            for name in "abab":
                if not load.has_ended():
                    self.replace(name)
        lost, done = self.lost()
        say("%d clients, %d lost, max %.0f ms" % (done, lost, self.max_ms()))
        return lost, done

    def test_with_a_lame_duck_no_client_is_lost(self):
        lost, done = self.roll("--lame-duck", "%dms" % (1500 * HEARD_S))
        self.assertEqual(lost, 0)
        self.assertGreaterEqual(done, 10000)

    def test_control_without_one_clients_are_lost(self):
        self.assertGreater(self.roll()[0], 0)


class Page(TestCase):
    """In a network of its own, as the page names its ports."""

    def type_in(self, change=str):
        if not shutil.which("haproxy"):
            self.skipTest("haproxy is not installed")
        with open(PAGE) as file:
            section = file.read().split("## Behind HAProxy, step by step")[1]
        section = section.split("\n## ")[0]
        commands = "".join(re.findall(r"^```sh\n(.*?)^```", section,
                                      re.M | re.S))
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
                 "-x", "-c", change(commands)], cwd=TOP, env=env, text=True,
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

    def test_the_commands_of_the_page_work(self):
        status, output = self.type_in()
        self.assertEqual(status, 0, output)

    def test_control_clients_without_the_balancer_are_lost(self):
        status, output = self.type_in(lambda text: text.replace(
            "load 127.0.0.1:7000", "load 127.0.0.1:7001"))
        self.assertEqual(status, 3, output)


if __name__ == "__main__":
    unittest.main(verbosity=2)
