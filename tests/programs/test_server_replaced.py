#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The keeper that docs/STOPPING.md shows: it holds a listening socket and
replaces weir-server while clients come and go."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading

from weirtest import (DEADLINE, TestCase, ask, connect, free_port, main,
                      program, read_all, until)

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def the_keeper():
    with open(os.path.join(TOP, "docs", "STOPPING.md")) as file:
        return re.search(r"^```python\n(.*?)^```$", file.read(),
                         re.S | re.M)[1]


class RollingClients:
    """They come one after the other and ask; an error ends it."""

    def __init__(self, where):
        self.where = where
        self.count = 0
        self.error = None
        self._is_over = False
        self._thread = threading.Thread(target=self._come)
        self._thread.start()

    def _come(self):
        try:
            while not self._is_over:
                answer = ask(self.where, ends=True)
                if answer not in (b"hello", None):
                    raise AssertionError("answered %r" % answer)
                self.count += answer is not None
        except (OSError, AssertionError) as error:
            self.error = error

    def more(self):
        """Some more of them have been served."""
        before = self.count
        until(lambda: self.error or self.count > before + 20, "more clients")

    def end(self):
        self._is_over = True
        self._thread.join(DEADLINE)


class Keeper(TestCase):
    def keep(self, folder, where):
        """The keeper, from the start of its first server."""
        path = os.path.join(folder, "keeper.py")
        # In the build folder the program's name is that of a script.
        os.symlink(program("WEIR_SERVER"), os.path.join(folder, "weir-server"))
        with open(path, "w") as file:
            file.write(the_keeper())
        keeper = subprocess.Popen(
            [sys.executable, path, where.rsplit(":", 1)[1], "echo",
             "--log-level", "error", "--pid-file", self.pid_file],
            env=dict(os.environ, PATH=folder + ":" + os.environ["PATH"]),
            start_new_session=True)

        def end():
            # Its servers too, which stay if only it is killed.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(keeper.pid, signal.SIGKILL)
            keeper.wait()
        self.addCleanup(end)
        until(self.server, "the first server")
        return keeper

    def server(self):
        """The id of the server that came up last."""
        try:
            with open(self.pid_file) as file:
                return int(file.read())
        except FileNotFoundError:
            return None

    def is_gone(self, pid):
        return not os.path.exists("/proc/%d" % pid)

    def is_dead(self, pid):
        """Though nobody has waited for it yet."""
        with open("/proc/%d/stat" % pid) as file:
            return ") Z " in file.read()

    def test_it_replaces_the_server_under_clients_that_notice_nothing(self):
        folder = self.folder()
        self.pid_file = os.path.join(folder, "pid")
        where = "127.0.0.1:%d" % free_port("")
        keeper = self.keep(folder, where)
        clients = RollingClients(where)
        self.addCleanup(clients.end)
        for _ in range(3):
            last = self.server()
            clients.more()
            keeper.send_signal(signal.SIGHUP)
            until(lambda: self.server() not in (None, last), "the next one")
            until(lambda: self.is_gone(last), "the end of the last one")
        clients.more()
        clients.end()
        self.assertIsNone(clients.error)
        # A crash: who comes waits, and is served by the next.
        last = self.server()
        os.kill(last, signal.SIGKILL)
        until(lambda: self.is_dead(last), "the crash")
        with connect(where) as waiting:
            waiting.sendall(b"hello")
            waiting.shutdown(socket.SHUT_WR)
            keeper.send_signal(signal.SIGHUP)
            self.assertEqual(read_all(waiting), b"hello")
        keeper.terminate()
        self.assertEqual(keeper.wait(DEADLINE), 0)
        with self.assertRaises(ConnectionRefusedError):
            connect(where)


if __name__ == "__main__":
    main()
