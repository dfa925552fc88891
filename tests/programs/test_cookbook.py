#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The programs of docs/COOKBOOK.md do what their recipes say."""

import contextlib
import os
import signal
import ssl
import subprocess
import threading
import unittest

import certificates
from test_examples import Example, ExampleTest
from weirtest import (DEADLINE, connect, connect_soon, free_port, main,
                      read_all, shared_libraries)


class Cookbook(ExampleTest):
    def echoes(self, peer, text="hello"):
        peer.says(text)
        self.assertEqual(peer.hears(), text + "\n")

    @unittest.skipUnless(os.path.exists("examples/tls_echo"),
                         "built without TLS")
    @unittest.skipUnless(certificates.OPENSSL, "openssl is not installed")
    def test_lines_are_echoed_by_tls(self):
        folder = self.folder()
        certificates.make_certificate(folder, "server", ca=None)
        with Example("tls_echo", self.where, folder + "/server.pem",
                     folder + "/server.key") as example:
            context = ssl.create_default_context(cafile=folder + "/server.pem")
            with connect_soon(self.where) as plain, context.wrap_socket(
                    plain, server_hostname="localhost") as client:
                client.sendall(b"hello\n")
                self.assertEqual(client.recv(100), b"hello\n")
            self.assertEqual(example.stop()[0], 0)

    @unittest.skipUnless(os.path.exists("examples/cookbook/starttls"),
                         "built without TLS")
    @unittest.skipUnless(certificates.OPENSSL, "openssl is not installed")
    def test_starttls_begins_in_clear_and_goes_on_encrypted(self):
        folder = self.folder()
        certificates.make_certificate(folder, "server", ca=None)
        with Example("cookbook/starttls", self.where, folder + "/server.pem",
                     folder + "/server.key") as example:
            peer = self.peer()
            self.echoes(peer)
            peer.says("STARTTLS")
            self.assertEqual(peer.hears(), "go ahead\n")
            context = ssl.create_default_context(cafile=folder + "/server.pem")
            with context.wrap_socket(peer.sock,
                                     server_hostname="localhost") as secret:
                secret.sendall(b"hidden\n")
                self.assertEqual(secret.recv(100), b"hidden\n")
            self.assertEqual(example.stop()[0], 0)

    def test_limits_apply_to_each_source(self):
        where = "127.0.0.1:%d" % free_port()
        with Example("cookbook/limits", where, "limit 2") as example:
            peers = [self.peer(where), self.peer(where)]
            for peer in peers:
                self.echoes(peer)
            third = self.peer(where)
            self.assertEqual(third.rest(), "try later\n")
            self.echoes(peers[0])
            self.assertEqual(example.stop()[0], 0)
        with Example("cookbook/limits", where, "limit many") as example:
            example.err.expect(rb"line 1")

    def test_metrics_are_counted(self):
        metrics = "unix:%s/metrics" % self.folder()
        with Example("cookbook/metrics", self.where, metrics) as example:
            peers = [self.peer() for _ in range(3)]
            for peer in peers:
                self.echoes(peer)
            with connect_soon(metrics) as scraper:
                scraper.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
                text = read_all(scraper).decode()
            self.assertIn("connections_open 4\n", text)
            self.assertIn("connections_accepted_total 4\n", text)
            self.assertEqual(example.stop()[0], 0)

    def test_a_program_runs_for_each_client(self):
        with Example("cookbook/program", self.where,
                     "echo from $(echo a program)") as example:
            for _ in range(2):
                self.assertEqual(self.peer().rest(), "from a program\n")
            self.assertEqual(example.stop()[0], 0)

    def test_a_program_ends_with_its_client(self):
        with Example("cookbook/program", self.where,
                     "while :; do echo tick; done") as example:
            for _ in range(os.cpu_count() + 1):  # more than workers
                peer = self.peer()
                self.assertEqual(peer.hears(), "tick\n")
                peer.close()
            self.assertEqual(example.stop()[0], 0)

    def test_output_of_a_program_is_sent_at_once(self):
        with Example("cookbook/program", self.where,
                     "echo one; read line; echo $line",
                     stdin=subprocess.PIPE) as example:
            peer = self.peer()
            self.assertEqual(peer.hears(), "one\n")
            example.types(b"two\n")
            self.assertEqual(peer.rest(), "two\n")
            self.assertEqual(example.stop()[0], 0)

    def test_a_program_can_be_interrupted(self):
        with Example("cookbook/program", self.where,
                     "while read name mask; do [ $name != SigBlk: ] || "
                     "echo $mask; done </proc/$$/status") as example:
            self.assertRegex(self.peer().rest(), r"^0+\n$")
            self.assertEqual(example.stop()[0], 0)

    def test_a_loop_of_its_own_goes_on_until_the_stop(self):
        with Example("cookbook/loop", self.where,
                     stdin=subprocess.PIPE) as example:
            peer = self.peer()
            self.echoes(peer)
            example.types(b"count\n")
            example.out.expect(rb"1 open\n")
            example.types(b"stop\n")
            self.assertEqual(peer.rest(), "")
            self.assertEqual(example.process.wait(DEADLINE), 0)

    def test_ctrl_c_drains_a_server_beside_a_loop(self):
        with Example("cookbook/loop", self.where,
                     stdin=subprocess.PIPE) as example:
            peer = self.peer()
            self.echoes(peer)
            example.process.send_signal(signal.SIGINT)
            self.assertEqual(peer.rest(), "")
            self.assertEqual(example.process.wait(DEADLINE), 0)

    def answerer(self):
        """The process that answers, and a connection to it."""
        peer = self.peer()
        peer.says("hello")
        return int(peer.hears().split(":")[0]), peer

    def test_a_restart_refuses_no_client(self):
        refused, is_over = [], threading.Event()

        def come():
            while not is_over.is_set():
                try:
                    client = connect(self.where)
                except OSError as error:
                    refused.append(error)
                    return
                # Who comes as the first one ends may hear nothing.
                with client, contextlib.suppress(OSError):
                    client.sendall(b"hello\n")
                    client.recv(100)

        with Example("cookbook/restart", self.where) as example:
            first, _ = self.answerer()
            self.assertEqual(first, example.process.pid)
            clients = threading.Thread(target=come)
            clients.start()
            try:
                example.process.send_signal(signal.SIGHUP)
                self.assertEqual(example.process.wait(DEADLINE), 0)
                second, peer = self.answerer()
                self.assertNotEqual(second, first)
            finally:
                is_over.set()
                clients.join()
            os.kill(second, signal.SIGTERM)
            self.assertEqual(refused, [])
            self.assertEqual(peer.rest(), "")

    def test_ctrl_c_drains_what_can_be_restarted(self):
        with Example("cookbook/restart", self.where) as example:
            _, peer = self.answerer()
            example.process.send_signal(signal.SIGINT)
            self.assertEqual(peer.rest(), "")
            self.assertEqual(example.process.wait(DEADLINE), 0)

    def test_a_restart_runs_the_program_that_was_installed_meanwhile(self):
        name = os.path.abspath("examples/cookbook/restart")
        binary = os.path.join(os.path.dirname(name), ".libs", "restart")
        old = binary if os.path.exists(binary) else name
        folder = os.path.abspath(self.folder())
        installed, new = folder + "/restart", folder + "/new"
        os.symlink(old, installed)
        with open(new, "w") as file:
            file.write("#!/bin/sh\n: >%s/ran\nexec %s \"$@\"\n" %
                       (folder, old))
        os.chmod(new, 0o755)
        with Example(installed, self.where,
                     env=dict(os.environ, LD_LIBRARY_PATH=shared_libraries())
                     ) as example:
            self.answerer()
            os.rename(new, installed)
            example.process.send_signal(signal.SIGHUP)
            self.assertEqual(example.process.wait(DEADLINE), 0)
            successor, peer = self.answerer()
            os.kill(successor, signal.SIGTERM)
            self.assertEqual(peer.rest(), "")
            self.assertTrue(os.path.exists(folder + "/ran"))


if __name__ == "__main__":
    main()
