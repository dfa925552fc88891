#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weir-client load where the kernel has few ports to give: in a network
namespace of its own, where they can be counted."""

import os

from weirtest import (Server, TestCase, has_ipv6, main, network_of_its_own, run,
                      why_not_preloaded)

PORT = 40000
WHERE = "127.0.0.1:%d" % PORT


def load(*options, where=WHERE, **kwargs):
    return run("WEIR_CLIENT", "load", where, "--expect", "echo", *options,
               **kwargs)


class Ports(TestCase):
    def setUp(self):
        # One for each test: what the last one closed keeps ports for a while.
        if not network_of_its_own():
            self.skipTest("no network namespace allowed here")

    def give(self, count):
        """That many ports, that of WHERE among them."""
        try:
            with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as f:
                f.write("%d %d\n" % (PORT, PORT + count - 1))
        except OSError:
            self.skipTest("the ports of a network namespace cannot be set")

    def check_shortage(self, answer):
        """It is named, and nobody else is to blame."""
        self.assertRegex(answer.stdout, b"connecting: (Cannot assign requested "
                         b"address|Address not available)")  # glibc, musl
        self.assertIn(b"local ports ran out", answer.stdout)
        self.assertNotRegex(answer.stdout, b"refused|reset|backlog|listens")

    def test_a_client_that_finds_nobody_is_not_answered_by_itself(self):
        self.give(4)  # soon a socket gets the one it connects to
        for mode in (("--reconnect",), ("--churn",),
                     ("--churn", "--rate", "200")):
            answer = load("-c", "3", "-d", "300ms", "--with", "reset:1",
                          *mode)
            self.assertEqual(answer.returncode, 1, answer)
            self.assertIn(b"all 3 connections could not be made",
                          answer.stdout)
            self.assertIn(b"nothing was answered", answer.stdout)
            self.assertNotRegex(answer.stdout, rb"\b[1-9]\d* (sent|opened)")
            self.assertRegex(answer.stdout,
                             rb"errors +\d+ connecting: Connection refused")
            self.assertIn(b"nothing listens at that address", answer.stdout)
        with Server("echo@" + WHERE):  # nor has it taken the port
            self.give(50)
            answer = load("-n", "10")
            self.assertEqual(answer.returncode, 0, answer)

    def test_connections_beyond_the_ports_are_not_begun(self):
        self.give(50)
        with Server("echo@" + WHERE) as server:
            self.check_usage(load("-c", "100", "-n", "1"), "weir-client",
                             "100 connections", "2 source addresses",
                             "50 ports", "--source")
            self.assertEqual(server.stop()[1]["accepted"], 0)

    def test_each_address_of_a_spread_run_has_all_ports(self):
        why = why_not_preloaded("WEIR_BROKEN_SHIM")
        if why:
            self.skipTest(why)
        if not has_ipv6():
            self.skipTest("no IPv6 here")
        self.give(50)
        env = dict(os.environ, BROKEN_NAMES="1",
                   LD_PRELOAD=os.environ["WEIR_BROKEN_SHIM"])

        def spread(*options):
            return load("--spread", *options, env=env,
                        where="both.example:%d" % PORT)
        with Server("echo@" + WHERE, "echo@[::1]:%d" % PORT) as server:
            answer = spread("-c", "90", "-n", "1000")
            self.assertEqual(answer.returncode, 0, answer)
            self.assertIn(b"90 opened", answer.stdout)
            self.check_usage(spread("-c", "101", "-n", "1"), "weir-client",
                             "101 connections", "2 addresses",
                             "3 source addresses", "50 ports", "--source")
            self.assertEqual(server.stop()[1]["accepted"], 90)
        # How many addresses there are is not looked up.
        answer = spread("-c", "101", "--dry-run")
        self.assertEqual(answer.returncode, 0, answer)
        self.assertIn(b"to each address", answer.stdout)

    def test_ports_that_others_have_are_a_shortage_of_ours(self):
        self.give(50)
        with Server("echo@" + WHERE) as server:  # which has one of them
            answer = load("-c", "50", "-n", "1000")
            self.check_shortage(answer)
            self.assertIn(b"49 opened", answer.stdout)
            counts = server.stop()[1]
        self.assertEqual(counts["accepted"], 49)

    def test_one_source_given_twice_has_no_more_ports(self):
        self.give(50)
        with Server("echo@" + WHERE):
            self.check_shortage(load("-c", "90", "-n", "1000", "--source",
                                     "127.0.0.1,127.0.0.1"))
            answer = load("-c", "90", "-n", "1000", "--source",
                          "127.0.0.2,127.0.0.3")
            self.assertIn(b"90 opened", answer.stdout)
            self.assertEqual(answer.returncode, 0, answer)


if __name__ == "__main__":
    main()
