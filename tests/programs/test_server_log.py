#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weir-server's log where whoever reads it is slow, or does not read at all."""

import contextlib
import fcntl
import os
import re
import select
import threading

from weirtest import (DEADLINE, Server, TestCase, connect,
                      connect_soon, main, read_all,
                      until)


class Losses(TestCase):
    """Each line is read, or counted as lost, once."""

    CLIENTS, AT_ONCE, MISSED = 2000, 8, 20 # the last: while it is full

    def setUp(self):
        self.reader, self.writer = os.pipe()
        self.addCleanup(os.close, self.reader)
        self.addCleanup(os.close, self.writer)
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, 8192)
        self.served = 0
        self.read = b""

    def is_full(self):
        return not select.select([], [self.writer], [], 0)[1]

    def empty(self):
        while select.select([self.reader], [], [], 0)[0]:
            self.read += os.read(self.reader, 65536)

    def meet(self, where):
        """A client is greeted and leaves, which makes a line in the log."""
        with connect(where) as client:
            read_all(client)
        self.served += 1 # one lost to another thread does not matter

    def crowd(self, where):
        for _ in range(self.CLIENTS // self.AT_ONCE):
            self.meet(where)

    def test_while_several_workers_log(self):
        path = self.folder() + "/s"
        with Server("-w", "4", "greet@unix:" + path,
                    stderr=self.writer) as server:
            crowd = [threading.Thread(target=self.crowd,
                                      args=("unix:" + path,))
                     for _ in range(self.AT_ONCE)]
            for thread in crowd:
                thread.start()
            while any(thread.is_alive() for thread in crowd):
                missed = self.served + self.MISSED
                if self.is_full():
                    until(lambda: self.served >= missed or not any(
                        thread.is_alive() for thread in crowd), "the crowd")
                    self.empty()
            self.empty()
            self.meet("unix:" + path)
            self.assertEqual(server.stop()[1]["accepted"], self.CLIENTS + 1)
        self.empty()
        lines = len(re.findall(rb" info connection ", self.read))
        lost = [int(n) for n in re.findall(rb" (\d+) log lines were dropped",
                                           self.read)]
        self.assertGreater(sum(lost), 0)
        self.assertEqual(lines + sum(lost), self.CLIENTS + 1, lost)


class UnreadTerminal(TestCase):
    """A terminal calls itself writable as long as it takes one byte, and a
    write of more than it takes would wait for its reader."""

    CLIENTS = 500

    def setUp(self):
        self.path = self.folder() + "/s"
        self.master, self.slave = os.openpty()
        self.addCleanup(os.close, self.master)
        self.addCleanup(os.close, self.slave)
        os.set_blocking(self.master, False)
        self.read = b""

    def empty(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.read += os.read(self.master, 65536)

    def meet(self, say=b""):
        with connect("unix:" + self.path) as client:
            client.sendall(say)
            self.assertEqual(read_all(client), b"")
        self.met += 1

    def meet_crowd(self, say):
        self.met = 0
        while self.met < self.CLIENTS:
            self.meet(say)

    def check_flags(self):
        """Others have the terminal as it was."""
        self.assertTrue(os.get_blocking(self.slave))

    def test_as_standard_error(self):
        with Server("-w", "2", "collect@unix:" + self.path,
                    stderr=self.slave) as server:
            self.meet_crowd(b"x" * 50)
            self.check_flags()

            # Somebody reads again.  Who gets through tells of those before.
            def all_is_told():
                self.empty()
                lines = re.findall(rb"Z info connection \d+ from unix:\r\n",
                                   self.read)
                lost = re.findall(rb"Z warning (\d+) log lines were dropped"
                                  rb"\r\n", self.read)
                if lost and len(lines) + sum(map(int, lost)) == self.met:
                    return True
                self.meet(b"x")
            until(all_is_told, "the number of lost lines")
            self.assertEqual(server.stop()[0], 0)

    def test_as_standard_output(self):
        with Server("-w", "2", "collect@unix:" + self.path, ready=False,
                    stdout=self.slave) as server:
            connect_soon("unix:" + self.path).close()
            self.meet_crowd(b"x" * 50)
            self.check_flags()
            server.logs(rb" warning standard output takes no more")
            server.process.terminate()
            self.assertEqual(server.process.wait(DEADLINE), 0)


if __name__ == "__main__":
    main()
