#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Four generators of weir-client load in network namespaces of their own,
against one server: what they count together is what the server counts."""

import json
import os
import shutil
import subprocess
import time

from weirtest import (DEADLINE, Server, TestCase, built_with, main, program,
                      run, until)

GENERATORS = 4


class Network(TestCase):
    def hold(self, *command):
        """A process that keeps a namespace until the test ends; how to enter
        it."""
        before = os.readlink("/proc/self/ns/net")
        holder = subprocess.Popen([*command, "sleep", "1000"],
                                  stdin=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)

        def end():
            holder.kill()
            holder.wait()
        self.addCleanup(end)

        def has_begun():
            if holder.poll() is not None:
                self.skipTest("network namespaces are not allowed here")
            with open("/proc/%d/comm" % holder.pid) as file:
                return (file.read() == "sleep\n" and before != os.readlink(
                    "/proc/%d/ns/net" % holder.pid))
        until(has_begun, "a namespace")
        user = [] if os.getuid() == 0 else ["-U", "--preserve-credentials"]
        return holder.pid, ["nsenter", "-t", str(holder.pid), "-n", *user]

    def command(self, *words):
        answer = subprocess.run(words, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE)
        if answer.returncode != 0:
            self.skipTest("a virtual network is not to be had: %s" %
                          answer.stderr.decode().strip())

    def connect_networks(self):
        """Pairs of interfaces from the server's namespace to each other."""
        for tool in ("ip", "nsenter", "unshare"):
            if not shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin"):
                self.skipTest(tool + " is not installed")
        os.environ["PATH"] += ":/usr/sbin"
        _, server = self.hold("unshare",
                              "-n" if os.getuid() == 0 else "-rn")
        clients = []
        for i in range(GENERATORS):
            pid, client = self.hold(*server, "unshare", "-n")
            name = "to%d" % i
            self.command(*server, "ip", "link", "add", name, "type", "veth",
                         "peer", "name", "uplink", "netns", str(pid))
            for where, link, last in ((server, name, 1), (client, "uplink", 2)):
                self.command(*where, "ip", "address", "add",
                             "10.77.%d.%d/24" % (i, last), "dev", link)
                self.command(*where, "ip", "link", "set", link, "up")
            clients.append(client)
        return server, clients

    def generate(self, here, clients, paths, at):
        """Loads of all generators that begin at that time; how they ended, and
        what the server counted."""
        control = os.path.join(self.folder(), "control")
        with Server("echo@0.0.0.0:0", "--control", control,
                    under=here) as server:
            port = server.address().split(":")[1]
            runs = [subprocess.Popen(
                [*client, program("WEIR_CLIENT"), "load",
                 "10.77.%d.1:%s" % (i, port), "-c", str(i + 1), "-r",
                 str(100 * (i + 1)), "-d", "2s", "--start-at", str(at),
                 "--seed", str(i), "--poisson", "--json", paths[i]],
                stdout=subprocess.DEVNULL)
                for i, client in enumerate(clients)]
            for one in runs:
                self.addCleanup(one.wait)
                self.addCleanup(one.kill)
            status = [one.wait(DEADLINE) for one in runs]
            stats = run("WEIR_SERVER", "ctl", "--control", control, "stats")
        return status, dict(line.rsplit(" ", 1)
                            for line in stats.stdout.decode().splitlines())

    @built_with("jansson")
    @built_with("zlib")
    def test_four_generators_together_count_what_the_server_counts(self):
        here, clients = self.connect_networks()
        folder = self.folder()
        paths = [os.path.join(folder, "%d.json" % i)
                 for i in range(GENERATORS)]
        lead, started = 1, None
        # On a busy machine the time may have come before all are there.
        while not started or max(started) > at:
            lead *= 2
            self.assertLess(lead, DEADLINE)
            at = int(time.time()) + lead
            status, counted = self.generate(here, clients, paths, at)
            if 2 in status:
                continue  # the time was in the past
            self.assertEqual(status, [0] * GENERATORS)
            started = []
            for path in paths:
                with open(path) as file:
                    started.append(json.load(file)["run"]["started"])
        merged = os.path.join(folder, "sum.json")
        answer = run("WEIR_CLIENT", "load", "merge", *paths, "--json", merged)
        with open(merged) as file:
            found = json.load(file)
        self.assertEqual(found["metrics"]["errors"], 0, answer)
        self.assertEqual(found["connections"]["asked"], 10)
        for name, count in (
                ("accepted", found["metrics"]["opened"]),
                ("bytes_in", found["run"]["bytes_out"]),
                ("bytes_out", found["run"]["bytes_in"]),
                ("bytes_in", 64 * found["metrics"]["answered"])):
            self.assertEqual(int(counted[name]), count, name)
        self.assertEqual(found["plan"]["rate"], 1000)
        self.assertEqual(found["run"]["started"], at)
        self.assertEqual(found["clocks"]["from-plan"]["samples"],
                         found["metrics"]["planned"])

    def test_a_proxy_header_has_no_zone(self):
        here, _ = self.connect_networks()
        self.command(*here, "ip", "address", "add", "fe80::77/64", "dev",
                     "lo", "nodad")
        self.command(*here, "ip", "link", "set", "lo", "up")
        script = os.path.join(self.folder(), "echoed.load")
        with open(script, "w") as file:
            file.write("connect\nexpect line\n"
                       "ok PROXY TCP6 fe80::77 fe80::77 \n"
                       "loop\nsend x\\n\nexpect line\n")
        with Server("echo@[fe80::77%lo]:0", under=here) as server:
            answer = subprocess.run(
                [*here, program("WEIR_CLIENT"), "load",
                 server.address(), "-c", "1", "-n", "1", "--proxy", "v1",
                 "--script", script], stdout=subprocess.PIPE,
                stderr=subprocess.PIPE)
        self.assertEqual(answer.returncode, 0, answer)


if __name__ == "__main__":
    main()
