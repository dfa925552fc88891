#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The relay service of weir-server: whole streams both ways, half-closes, and
upstreams that are not there."""

import http.server
import os
import random
import shutil
import socket
import subprocess
import threading
import unittest

from weirtest import (DEADLINE, PythonServer, Server, TestCase, main, nobody,
                      read_all, run)

CURL = shutil.which("curl")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *unused):
        pass


class Relay(TestCase):
    def serve(self, to, *args):
        return Server("relay@127.0.0.1:0", "--to", to, *args)

    @unittest.skipUnless(CURL, "curl is not installed")
    def test_curl_gets_a_file(self):
        folder = self.folder()
        content = random.Random(1).randbytes(3000000)
        with open(os.path.join(folder, "file"), "wb") as file:
            file.write(content)
        httpd = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0),
            lambda *args: Quiet(*args, directory=folder))
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        self.addCleanup(httpd.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(httpd.shutdown)
        with self.serve("127.0.0.1:%d" % httpd.server_port) as server:
            got = subprocess.run(
                [CURL, "-sS", "http://%s/file" % server.address()],
                stdout=subprocess.PIPE, timeout=DEADLINE, check=True).stdout
            self.assertEqual(got, content)
            status, counts = server.stop()
            self.assertEqual(status, 0)
            self.assertEqual(counts["completed"], 1)

    def test_the_end_of_a_request_is_passed_on_before_the_reply(self):
        def answer_at_the_end(sock):
            sock.sendall(b"heard: " + read_all(sock))
        with PythonServer(answer_at_the_end) as upstream, \
                self.serve(upstream.address) as server:
            client = server.connect()
            client.sendall(b"hello")
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(client), b"heard: hello")
            client.close()
            status, counts = server.stop()
            self.assertEqual(status, 0)
            self.assertEqual(counts["completed"], 1)

    def test_a_client_is_told_that_a_stop_has_cut_its_download(self):
        is_asked = threading.Event()

        def send_a_part(sock):
            sock.sendall(b"part")
            sock.recv(8, socket.MSG_WAITALL)
            is_asked.set()
            sock.recv(1)
        with PythonServer(send_a_part) as upstream, \
                self.serve(upstream.address,
                           "--drain-timeout", "100ms") as server:
            client = server.connect()
            self.assertEqual(client.recv(4, socket.MSG_WAITALL), b"part")
            client.sendall(b"the rest")
            self.assertTrue(is_asked.wait(DEADLINE))
            self.assertEqual(server.stop()[0], 3)
            with self.assertRaises(ConnectionResetError):
                client.recv(1)
            client.close()

    def test_an_upstream_may_speak_first(self):
        with PythonServer(lambda sock: sock.sendall(b"welcome")) as upstream, \
                self.serve(upstream.address, "--access-log", "all") as server:
            client = server.connect()
            self.assertEqual(client.recv(7, socket.MSG_WAITALL), b"welcome")
            client.close()
            self.assertEqual(server.stop()[0], 0)

    def test_the_log_says_why_an_upstream_cannot_be_reached(self):
        where = nobody()
        with self.serve(where) as server:
            client = server.connect()
            self.assertEqual(read_all(client), b"")
            client.close()
            server.err.expect(
                rb"connection 1: cannot connect to %s: nobody listens at this address\n" %
                where.encode())
            status, counts = server.stop()
            self.assertEqual(status, 0)
            self.assertEqual(counts["failed"], 1)

    def test_options(self):
        result = run("WEIR_SERVER", "--check", "relay@127.0.0.1:0", "--to",
                     "localhost:80")
        self.assertIn(b'to "localhost:80"\n', result.stdout)
        for args, fragment in (
                (("relay@:0",), "needs --to ADDRESS"),
                (("echo@:0", "--to", ":80"), "no service here uses it"),
                (("relay@:0", "--to", "80"), "bad address '80'"),
                (("relay@:0", "--to", ":80", "--sandbox"), "forbids"),
                (("relay@:0", "--to", "fd:3"), "give an address")):
            result = run("WEIR_SERVER", "--check", *args)
            self.check_usage(result, "weir-server", fragment)

    def test_a_configuration_file_names_the_upstream(self):
        path = os.path.join(self.folder(), "config")
        with open(path, "w") as file:
            file.write("to = 127.0.0.1:80\n")
        result = run("WEIR_SERVER", "--check", "--config", path, "relay@:0")
        self.assertIn(b'to "127.0.0.1:80"\n', result.stdout)


if __name__ == "__main__":
    main()
