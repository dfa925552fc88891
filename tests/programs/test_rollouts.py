#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Two weir-servers behind a balancer are restarted one after the other while
clients come: tests/long/rollouts.py at a rate of its own.

Here each server goes when the balancer has heard of it and the last client has
left, however long that takes: its lame duck ends at a second signal."""

import re
import signal
import socket

from balancers import Clients, KubeProxy, Site
from weirtest import DEADLINE, TestCase, main, read_exactly, until

LAME_DUCK = "--lame-duck", "never"


class Rollout(TestCase):
    def restart(self, site, name, clients, hear):
        """The status of the one that went."""
        server = site.servers[name]
        server.process.send_signal(signal.SIGTERM)
        clients.go_on()
        hear(name)
        site.has_left(name)
        clients.go_on()
        status, _ = server.stop()
        site.serve(name)
        return status


class Haproxy(Rollout):
    """With the file that is shipped."""

    def site(self, *options):
        site = Site(self, *options)
        for name in "ab":
            site.is_up(name)
        return site

    def test_the_access_log_has_the_client(self):
        site = self.site("--access-log", "all")
        host, port = site.front.split(":")
        with socket.create_connection((host, int(port)), DEADLINE,
                                      ("127.0.0.2", 0)) as client:
            client.sendall(b"hello\n")
            self.assertEqual(read_exactly(client, 6), b"hello\n")
            name = "%s:%d" % client.getsockname()
        line = (r" peer=%s via=127\.0\.0\.1:\d+ " % re.escape(name)).encode()
        until(lambda: any(re.search(line, server.err.data)
                          for server in site.servers.values()), "its line")

    def test_its_checks_are_no_failures(self):
        site = self.site()
        for name in "ab":
            until(lambda: site.count(name, "probed") >= 2, "checks")
            status, counts = site.servers[name].stop()
            self.assertEqual((status, counts["failed"], counts["refused"]),
                             (0, 0, 0))

    def test_no_client_is_lost_or_sent_again(self):
        site = self.site(*LAME_DUCK)
        with Clients(site.front) as clients:
            for name in "abab":
                # 3: a check of HAProxy was open.
                self.assertIn(self.restart(site, name, clients,
                                           site.is_drained), (0, 3))
                site.is_up(name)
                clients.go_on()
        self.assertEqual((clients.lost, site.sent_again()), ([], 0))

    def test_control_without_lame_duck_and_agent_clients_are_sent_again(self):
        site = self.site()
        for name in "ab":
            site.command("disable agent weir/" + name)

        def is_met():
            site.stop("a")
            until(lambda: site.sent_again() or
                  site.column("a", "status") == "DOWN", "the end")
            site.serve("a")
            site.is_up("a")
            return site.sent_again()
        with Clients(site.front) as clients:
            until(is_met, "a client that is sent again")
        self.assertEqual(clients.lost, [])


class WithoutRetries(Rollout):
    """As kube-proxy: all hear later that an endpoint has gone."""

    def test_no_client_is_lost(self):
        site = KubeProxy(self, *LAME_DUCK)
        with Clients(site.front) as clients:
            for name in "abab":
                self.assertEqual(self.restart(
                    site, name, clients,
                    lambda name: site.endpoint(name, "maint")), 0)
                site.endpoint(name, "ready")
                clients.go_on()
        self.assertEqual(clients.lost, [])

    def test_control_without_a_lame_duck_clients_are_lost(self):
        site = KubeProxy(self)
        with Clients(site.front) as clients:
            site.stop("a")
            until(lambda: clients.lost, "a client that is lost")


if __name__ == "__main__":
    main()
