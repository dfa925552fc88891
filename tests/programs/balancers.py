# SPDX-License-Identifier: MIT
"""HAProxy in front of two weir-servers, for tests that restart these."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import threading

from weirtest import (DEADLINE, Server, connect, connect_soon, free_port,
                      read_all, read_exactly, run, until)

CONFIG = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..",
                      "deploy", "haproxy", "haproxy.cfg")
HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
BEHIND_PROXY = "echo+proxy", "--proxy-trust", "127.0.0.1"

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


class Site:
    """A balancer in front of two servers, which are started with options."""

    service, *proxy = BEHIND_PROXY

    def __init__(self, test, *options):
        if not HAPROXY:
            test.skipTest("haproxy is not installed")
        self.options = options
        self.folder = os.path.abspath(test.folder())
        self.stats = self.folder + "/stats"
        self.front = "127.0.0.1:%d" % free_port()
        self.ports = {name: free_port() for name in "ab"}
        self.agents = {name: free_port() for name in "ab"}
        self.servers = {}
        self.stack = contextlib.ExitStack()
        test.addCleanup(self.stack.close)
        for name in "ab":
            self.serve(name)
        self.balance(test)

    def config(self):
        """The path of the balancer's file."""
        return CONFIG

    def serve(self, name):
        args = ["%s@127.0.0.1:%d" % (self.service, self.ports[name]),
                "-l", "error", "--agent", "127.0.0.1:%d" % self.agents[name],
                "--control", self.folder + "/" + name]
        server = Server(*args, *self.proxy, *self.options)
        self.stack.enter_context(server)
        self.servers[name] = server

    def balance(self, test):
        env = dict(os.environ, WEIR_STATS=self.stats, WEIR_FRONT=self.front)
        for name in "ab":
            variable = "WEIR_" + name.upper()
            env[variable] = "127.0.0.1:%d" % self.ports[name]
            env[variable + "_AGENT"] = "127.0.0.1"
            env[variable + "_AGENT_PORT"] = str(self.agents[name])
        balancer = subprocess.Popen(
            [HAPROXY, "-db", "-f", self.config()], env=env,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        test.addCleanup(balancer.wait)
        test.addCleanup(balancer.kill)
        connect_soon(self.front).close()
        connect_soon("unix:" + self.stats).close()

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

    def is_up(self, name):
        until(lambda: self.column(name, "status") == "UP", "the server is up")

    def count(self, name, what):
        """Of the statistics of that server."""
        said = run("WEIR_SERVER", "ctl", "--control",
                   self.folder + "/" + name, "stats").stdout.decode()
        return int(re.search("^%s (.*)$" % what, said, re.M)[1])

    def is_drained(self, name):
        until(lambda: self.column(name, "status").startswith("DRAIN"),
              "the balancer hears of the stop")

    def has_left(self, name):
        """No client is on its way to that server or with it."""
        until(lambda: self.column(name, "scur") == "0", "no session")
        until(lambda: self.count(name, "open") == 0, "nothing open")

    def sent_again(self):
        return sum(int(self.column(name, column)) for name in "ab"
                   for column in ("wredis", "wretr"))

    def stop(self, name):
        """The status of the server."""
        return self.servers[name].stop()[0]


class KubeProxy(Site):
    """Its balancer does not check the servers and does not try again."""

    service, proxy = "echo", ()

    def config(self):
        path = self.folder + "/haproxy.cfg"
        with open(path, "w") as file:
            file.write(KUBE_PROXY)
        return path

    def endpoint(self, name, state):
        """All of the cluster know: it is "ready", or gone by "maint"."""
        self.command("set server weir/%s state %s" % (name, state))


class Clients:
    """Some that connect, ask and leave again and again, until the end."""

    def __init__(self, where, count=4):
        self.answered, self.lost = 0, []
        self._where = where
        self._lock, self._end = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._run)
                         for _ in range(count)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *unused):
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _run(self):
        while not self._end.wait(0.01):
            try:
                with connect(self._where) as sock:
                    sock.sendall(b"hello\n")
                    said = read_exactly(sock, 6)
            except OSError as error:
                said = error
            with self._lock:
                if said == b"hello\n":
                    self.answered += 1
                else:
                    self.lost.append(said)

    def go_on(self, count=50):
        """Wait for so many further answers."""
        wanted = self.answered + count
        until(lambda: self.answered >= wanted, "answers")
