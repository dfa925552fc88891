#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What weir-server tells a service manager, byte for byte: a datagram socket of
the test is the manager's."""

import os
import re
import signal
import socket
import threading
import time

import documents
from test_server_signals import blocked
from weirtest import (DEADLINE, SLOWNESS, Server, TestCase, main,
                      read_exactly, run, stuff, why_not_preloaded)

# Of a watchdog that must not bark: the acceptor runs in it, in seconds.
PERIOD = max(2, SLOWNESS)
TICK = 0.25  # seconds between two looks at the server


class Manager:
    """The socket that NOTIFY_SOCKET names."""

    def __init__(self, test, is_abstract=False):
        path = test.folder() + "/notify"
        self.name = "@" + path if is_abstract else path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        test.addCleanup(self.socket.close)
        self.socket.bind("\0" + path if is_abstract else path)
        self.socket.settimeout(DEADLINE)
        self.said = []

    def env(self, **settings):
        return dict(os.environ, NOTIFY_SOCKET=self.name, **settings)

    def next(self):
        self.said.append(self.socket.recv(4096).decode())
        return self.said[-1]

    def expect(self, pattern):
        """Wait for a message like this."""
        end = time.monotonic() + DEADLINE
        while not re.fullmatch(pattern, self.next()):
            if time.monotonic() > end:
                raise AssertionError("no %r in %r" % (pattern, self.said))

    def rest(self):
        """All that has been sent, once the server has ended."""
        self.socket.setblocking(False)
        try:
            while True:
                self.next()
        except BlockingIOError:
            return self.said


class Notifications(TestCase):
    def test_the_messages_of_a_life(self):
        for is_abstract in (False, True):
            manager = Manager(self, is_abstract)
            with Server("-w", "2", env=manager.env()) as server:
                self.assertEqual(manager.next(), "READY=1")
                self.assertEqual(
                    manager.next(), "STATUS=serving, 0 open, 0 of 2 workers "
                    "busy, 0 queued")
                with server.connect():
                    manager.expect("STATUS=serving, 1 open, .*")
                    self.assertEqual(server.stop()[0], 0)
            said = manager.rest()
            self.assertEqual(said.count("READY=1"), 1)
            self.assertEqual(said.count("STOPPING=1"), 1)
            self.assertFalse([line for line in said if "\n" in line])

    def test_no_message_before_clients_are_served(self):
        manager = Manager(self)
        self.check_usage(
            run("WEIR_SERVER", "echo@192.0.2.1:0", env=manager.env()),
            "weir-server", "192.0.2.1")
        self.assertEqual(manager.rest(), [])

    def test_the_end_of_a_reload_does_not_say_so_before(self):
        manager = Manager(self)
        with blocked(signal.SIGHUP), \
                Server(env=manager.env(), ready=False) as server:
            server.process.send_signal(signal.SIGHUP)
            self.assertEqual(manager.next(), "READY=1")
            server.logs(rb" info nothing to reload: ")
            self.assertEqual(server.stop()[0], 0)

    def test_a_stop_asks_for_time_until_its_deadline(self):
        manager = Manager(self)
        with Server("-t", "5s", "echo@127.0.0.1:0",
                    env=manager.env()) as server:
            client = server.connect()
            stuff(client, server)
            server.process.terminate()
            manager.expect("STOPPING=1")
            self.assertEqual(manager.next(), "EXTEND_TIMEOUT_USEC=2000000")
            manager.expect("STATUS=stopping, 1 open, .*")
            self.assertEqual(server.end()[0], 3)
            client.close()
        asked = [line for line in manager.rest() if "EXTEND" in line]
        # Every second, from the stop to its deadline, or a look at the server
        # later.  It may stand still for two of them.
        self.assertIn(len(asked), range(3, 7))
        self.assertEqual(set(asked), {"EXTEND_TIMEOUT_USEC=2000000"})

    def test_a_lame_duck_is_a_stop_that_still_accepts(self):
        manager = Manager(self)
        with Server("--lame-duck", "never", "-t", "never", "echo@127.0.0.1:0",
                    env=manager.env()) as server:
            server.process.terminate()
            manager.expect("STOPPING=1")
            manager.expect("EXTEND_TIMEOUT_USEC=2000000")
            manager.expect("STATUS=lame duck, 0 open, .*")
            with server.connect() as client:
                client.sendall(b"hello")
                self.assertEqual(read_exactly(client, 5), b"hello")
                manager.expect("STATUS=lame duck, 1 open, .*")
            # The second signal cuts what is open.
            manager.expect("STATUS=lame duck, 0 open, .*")
            self.assertEqual(server.stop()[0], 0)

    def test_a_stop_without_a_deadline_asks_again_and_again(self):
        manager = Manager(self)
        with Server("-t", "never", "echo@127.0.0.1:0",
                    env=manager.env()) as server:
            client = server.connect()
            stuff(client, server)
            server.process.terminate()
            for _ in range(3):
                manager.expect("EXTEND_TIMEOUT_USEC=2000000")
            self.assertEqual(server.stop()[0], 3)
            client.close()

    def test_a_manager_that_reads_nothing_holds_up_no_client(self):
        manager = Manager(self)
        with Server("echo@127.0.0.1:0", env=manager.env(WATCHDOG_USEC="2000"),
                    ) as server:
            server.logs(rb" warning the service manager takes no messages: ")
            with server.connect() as client:
                client.sendall(b"hello")
                self.assertEqual(read_exactly(client, 5), b"hello")
            self.assertEqual(server.stop()[0], 0)

    def test_a_socket_that_cannot_be(self):
        for name in ("", "relative", "@", "/" + "x" * 108, "vsock:2:3",
                     "/nonexistent/socket"):
            self.check_usage(
                run("WEIR_SERVER", "echo@127.0.0.1:0",
                    env=dict(os.environ, NOTIFY_SOCKET=name)),
                "weir-server", "NOTIFY_SOCKET", "'%s'" % name)


    def test_without_a_manager_nothing_is_kept_and_that_is_told(self):
        with Server("--keep-listeners", "echo@127.0.0.1:0") as server:
            server.logs(rb"warning --keep-listeners has no effect: no service "
                        rb"manager")


class Watchdog(TestCase):
    """Its time is short here, and the test waits for counts, not for times."""

    def stuck_server(self, manager, workers):
        """A server one of whose workers is stuck, and its client."""
        why = why_not_preloaded("WEIR_BROKEN_SHIM")
        if why:
            self.skipTest(why)
        path = self.folder() + "/file"
        with open(path, "w") as file:
            file.write("never read")
        server = Server("-w", workers, "-t", "200ms", "-f", path,
                        "file@127.0.0.1:0",
                        env=manager.env(
                            WATCHDOG_USEC="%d" % (PERIOD * 1000000),
                            BROKEN_FILE=path,
                            LD_PRELOAD=os.environ["WEIR_BROKEN_SHIM"]))
        self.addCleanup(server.__exit__)
        server.__enter__()
        client = server.connect()
        self.addCleanup(client.close)
        client.sendall(b"please")
        server.out.expect(rb"^file: please\n")
        return server

    def test_it_is_fed_twice_in_its_time(self):
        manager = Manager(self)
        began = time.monotonic()
        with Server(env=manager.env(
                WATCHDOG_USEC="%d" % (PERIOD * 1000000))) as server:
            for _ in range(4):
                manager.expect("WATCHDOG=1")
            self.assertGreater(time.monotonic() - began,
                               3 * (PERIOD - TICK) / 2)
            self.assertEqual(server.stop()[0], 0)
        self.assertNotIn("WATCHDOG=trigger", manager.rest())

    def test_it_ends_a_server_whose_workers_are_all_stuck(self):
        manager = Manager(self)
        server = self.stuck_server(manager, "1")
        manager.expect("WATCHDOG=trigger")
        server.logs(rb" error every worker is stuck in a callback; ")
        manager.said = []
        self.assertEqual(server.stop()[0], 1)
        self.assertFalse([line for line in manager.rest()
                          if "WATCHDOG" in line])

    def test_it_ends_a_server_whose_acceptor_is_stuck(self):
        why = why_not_preloaded("WEIR_BROKEN_SHIM")
        if why:
            self.skipTest(why)
        path = self.folder() + "/stuck"
        manager = Manager(self)
        with Server("-w", "2", "-t", "200ms", "echo@127.0.0.1:0",
                    env=manager.env(
                        WATCHDOG_USEC="400000", BROKEN_ACCEPT=path,
                        LD_PRELOAD=os.environ["WEIR_BROKEN_SHIM"])) as server:
            with server.connect() as client:
                for _ in range(10):
                    manager.expect("WATCHDOG=1")
                end = time.monotonic() + DEADLINE
                with open(path, "w"), server.connect():
                    while "WATCHDOG=trigger" not in manager.said:
                        self.assertLess(time.monotonic(), end)
                        # Those that it has serve on.
                        client.sendall(b"hello")
                        self.assertEqual(read_exactly(client, 5), b"hello")
                        manager.next()
                server.logs(rb" error the acceptor is stuck; ")
            server.kill()

    def test_one_stuck_worker_among_others_is_no_reason(self):
        manager = Manager(self)
        server = self.stuck_server(manager, "2")
        for _ in range(4):
            manager.expect("WATCHDOG=1")
        self.assertEqual(server.stop()[0], 1)
        self.assertNotIn("WATCHDOG=trigger", manager.rest())

    def test_workers_that_are_all_busy_are_no_reason(self):
        why = why_not_preloaded("WEIR_BROKEN_SHIM")
        if why:
            self.skipTest(why)
        path, manager = self.folder() + "/file", Manager(self)
        with open(path, "w") as file:
            file.write("read slowly")
        is_over = threading.Event()

        def fetch_again_and_again(where):
            while not is_over.is_set():
                documents.fetch_file(where, lambda piece: None)
        with Server("-w", "1", "-f", path, "file@127.0.0.1:0",
                    env=manager.env(
                        WATCHDOG_USEC="%d" % (PERIOD * 1000000),
                        BROKEN_FILE=path, BROKEN_OPEN="100",
                        LD_PRELOAD=os.environ["WEIR_BROKEN_SHIM"])) as server:
            threads = [threading.Thread(target=fetch_again_and_again,
                                        args=[server.address()])
                       for _ in range(4)]
            for thread in threads:
                thread.start()
            try:
                manager.expect("STATUS=serving, .* 1 of 1 workers busy, .*")
                for _ in range(6):
                    manager.expect("WATCHDOG=1")
            finally:
                is_over.set()
                for thread in threads:
                    thread.join()
            server.stop()
        self.assertNotIn("WATCHDOG=trigger", manager.rest())

    def test_that_of_another_process_is_not_fed(self):
        manager = Manager(self)
        with Server(env=manager.env(WATCHDOG_USEC="2000", WATCHDOG_PID="1"),
                    ) as server:
            with server.connect():
                manager.expect("STATUS=serving, 1 open, .*")
            self.assertEqual(server.stop()[0], 0)
        self.assertNotIn("WATCHDOG=1", manager.rest())

    def test_times_that_cannot_be(self):
        for usec in ("", "0", "-1", "+5", "1s", "99999999999999999999"):
            self.check_usage(
                run("WEIR_SERVER", "echo@127.0.0.1:0",
                    env=Manager(self).env(WATCHDOG_USEC=usec)),
                "weir-server", "WATCHDOG_USEC", "'%s'" % usec)


class Journal(TestCase):
    def log(self, stream):
        """What is logged to a pipe if JOURNAL_STREAM is that, or of another
        pipe."""
        reader, writer = os.pipe()
        stat = os.fstat(writer)
        env = dict(os.environ, JOURNAL_STREAM=stream % {
            "dev": stat.st_dev, "ino": stat.st_ino})
        with open(reader, "rb") as pipe:
            with Server("-l", "debug", stderr=writer, env=env) as server:
                os.close(writer)
                server.connect().close()
                server.stop()
            return pipe.read().splitlines()

    def test_lines_to_it_begin_with_their_priority(self):
        lines = self.log("%(dev)d:%(ino)d")
        for line in lines:
            self.assertRegex(line, rb"^(<4>.* warning|<6>.* info|<7>.* debug) ")
        self.assertIn(b"<6>", [line[:3] for line in lines])

    def test_lines_to_another_file_do_not(self):
        for stream in ("%(dev)d:1%(ino)d", "1%(dev)d:%(ino)d", "%(dev)d", "",
                       "%(dev)d:%(ino)d:"):
            for line in self.log(stream):
                self.assertRegex(line, rb"^\d{4}-")


if __name__ == "__main__":
    main()
