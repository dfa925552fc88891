#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weir-server's log where whoever reads it is slow, or does not read at all."""

import fcntl
import os
import re
import select
import threading

from weirtest import Server, TestCase, connect, main, read_all, until


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


if __name__ == "__main__":
    main()
