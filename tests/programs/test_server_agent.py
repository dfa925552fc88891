#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What weir-server --agent answers HAProxy."""

import contextlib
import signal

from weirtest import (Server, TestCase, add_address, connect,
                      in_a_network_of_its_own, main, read_all, read_exactly,
                      run, until)


class Agent(TestCase):
    def serve(self, *args):
        return Server("--agent", "127.0.0.1:0", *args)

    @staticmethod
    def ask(server, text=b""):
        where = server.out.expect(rb"^agent (.*)\n")[1].decode()
        with connect(where) as client:
            client.sendall(text)
            return read_all(client)

    def test_ready_is_said_at_the_beginning_alone(self):
        with self.serve() as server:
            said = []

            def has_changed():
                said.append(self.ask(server))
                return said[-1] != b"up ready 100%\n"
            until(has_changed, "another answer")
            self.assertGreater(len(said), 3)
            self.assertEqual(said[-1], b"up 100%\n")
            self.assertEqual(self.ask(server), b"up 100%\n")
            self.assertEqual(server.stop()[0], 0)

    def test_each_balancer_gets_a_share_of_the_connections(self):
        with self.serve("-m", "1000", "--agent-balancers", "3") as server:
            self.assertEqual(self.ask(server), b"up ready 100% maxconn:333\n")
            self.assertEqual(server.stop()[0], 0)

    def test_a_reload_changes_the_share(self):
        config = self.folder() + "/config"

        def write(text):
            with open(config, "w") as file:
                file.write(text)
        write("max-connections = 1000\n")
        with self.serve("--agent-balancers", "2", "--config",
                        config) as server:
            self.assertIn(b" maxconn:500\n", self.ask(server))
            write("max-connections = 100\n")
            server.process.send_signal(signal.SIGHUP)
            server.logs(rb"info reloaded")
            self.assertIn(b" maxconn:50\n", self.ask(server))
            self.assertEqual(server.stop()[0], 0)

    def test_from_the_request_to_stop_on_it_drains(self):
        with self.serve("--lame-duck", "never", "--control",
                        self.folder() + "/control",
                        "echo@127.0.0.1:0") as server:
            server.process.send_signal(signal.SIGTERM)
            until(lambda: self.ask(server) == b"drain\n", "the drain")
            with server.connect() as client:
                client.sendall(b"hello")
                self.assertEqual(read_exactly(client, 5), b"hello")
            server.counts(completed=1)
            self.assertEqual(self.ask(server), b"drain\n")
            self.assertEqual(server.stop()[0], 0)

    def test_one_balancer_may_have_all_places(self):
        def body():
            add_address(self, "192.0.2.1/32")
            with Server("--agent", "192.0.2.1:0") as server, \
                    contextlib.ExitStack() as stack:
                where = server.out.expect(rb"^agent (.*)\n")[1].decode()
                for _ in range(32):
                    client = stack.enter_context(connect(where))
                    self.assertRegex(read_all(client), b"^up ")
        in_a_network_of_its_own(self, body)

    def test_what_the_balancer_sends_is_ignored(self):
        with self.serve() as server:
            for text in b"state\n", b"\0" * 100, b"x" * 100000:
                self.assertEqual(self.ask(server, text), b"up ready 100%\n")
            # Nor does it count as a client.
            self.assertEqual(server.stop()[1]["accepted"], 0)

    def test_options_that_cannot_be(self):
        for args in (["--agent", "nonsense"], ["--agent", "fd:"],
                     ["--agent-balancers", "0"], ["--agent-balancers", "x"],
                     ["--agent-balancers", "3"],
                     ["--agent-balancers", "3", "-m", "2", "--agent", ":0"]):
            self.check_usage(run("WEIR_SERVER", *args, "echo@127.0.0.1:0"),
                             "weir-server", args[0])


if __name__ == "__main__":
    main()
