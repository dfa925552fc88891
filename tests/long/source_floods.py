#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A flood from one address, beside a client with another one: the flood keeps
every connection that it gets and replaces every one that is refused.  With the
default limit of a source the other client keeps its rate of new connections.
The control: without a limit the flood takes all places, and it does not."""

import contextlib
import select
import socket
import threading

from flooding import (DEADLINE, Load, TestCase, allow_descriptors, at_least,
                      main, say, twice, until)
from weirtest import Server

FLOOD, CLIENT = "127.0.0.2", "127.0.0.3"
PLACES, SOCKETS = 400, 1000
RATE, SECONDS = 200, 5
LEAST = 0.99


class Flood:
    def __init__(self, where):
        host, port = where.rsplit(":", 1)
        self._where = (host, int(port))
        self._held = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.attempts = 0

    def __enter__(self):
        self._thread.start()
        until(lambda: self.attempts >= SOCKETS, "a flood")
        return self

    def __exit__(self, *unused):
        self._is_over.set()
        self._thread.join(DEADLINE)
        for sock in self._held:
            sock.close()

    def _run(self):
        while not self._is_over.is_set():
            if len(self._held) < SOCKETS:
                self.attempts += 1
                with contextlib.suppress(OSError):
                    # A full backlog does not answer.
                    self._held.append(socket.create_connection(
                        self._where, 0.05, (FLOOD, 0)))
            else:
                self._drop_refused()

    def _drop_refused(self):
        """The served ones are silent."""
        poll = select.poll()
        sockets = {sock.fileno(): sock for sock in self._held}
        for fd in sockets:
            poll.register(fd, select.POLLIN)
        ended = {fd for fd, _ in poll.poll(10)}
        for fd in ended:
            sockets[fd].close()
        self._held = [sock for fd, sock in sockets.items() if fd not in ended]


class SourceFloods(TestCase):
    @classmethod
    def setUpClass(cls):
        allow_descriptors()

    def kept_rate(self, *options):
        """The part of its rate that the client gets beside the flood, and how
        often that has connected meanwhile."""
        with Server("echo@127.0.0.1:0", "-m", str(PLACES), "--log-level",
                    "error", "--access", "allow 127.0.0.0/8",
                    *options) as server:
            where = server.address()
            with Flood(where) as flood:
                before = flood.attempts
                with Load(where, "--churn", "-c", 50, "-r", RATE, "-d",
                          "%ds" % SECONDS, "--source", CLIENT) as load:
                    found = load.result(may_be_incomplete=True)["metrics"]
                attempts = flood.attempts - before
            part = found["rate"] / RATE
            say("%.1f %% of %d/s beside %d connects/s of the flood; %d errors"
                % (100 * part, RATE, attempts / SECONDS, found["errors"]))
            return part if not found["errors"] else 0, attempts

    @twice
    def test_another_address_keeps_its_rate(self):
        part, attempts = self.kept_rate()
        at_least(part, LEAST)
        at_least(attempts, RATE * SECONDS)

    def test_control_without_a_limit_the_flood_takes_all_places(self):
        part, _ = self.kept_rate("--max-per-source", str(PLACES))
        self.assertLess(part, 0.5)


if __name__ == "__main__":
    main()
