#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weir-server when it gets SIGHUP, from a terminal that goes away or from a
service manager, and where it is the first of all processes.  What else signals
do: test_server_cli.py."""

import contextlib
import os
import pty
import shutil
import signal
import subprocess

from weirtest import (DEADLINE, PREFIX, DocumentsClient, Pump, PythonServer,
                      Server, TestCase, is_listening, main, program, stuff,
                      until)


def ignore_hang_up():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


@contextlib.contextmanager
def blocked(signo):
    """For what is started here."""
    old = signal.pthread_sigmask(signal.SIG_BLOCK, [signo])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


class Base(TestCase):
    def setUp(self):
        self.where = self.folder()
        self.args = ["-p", self.where + "/pid", "-t", "never",
                     "reply@unix:" + self.where + "/s"]

    def say_hello(self):
        client = DocumentsClient("unix:" + self.where + "/s")
        self.assertEqual(client.say(b"hello"), PREFIX + b"hello")
        client.close()

    def check_drained(self, end, completed):
        status, counts = end
        self.assertEqual((status, counts["completed"]), (0, completed))
        self.assertEqual(os.listdir(self.where), [])


class Reload(Base):
    """Standard input is no terminal."""

    def hang_up(self, server):
        server.process.send_signal(signal.SIGHUP)
        until(lambda: not is_pending(server.pid, signal.SIGHUP), "the signal")

    def test_it_says_that_there_is_nothing_and_goes_on(self):
        with Server(*self.args) as server:
            for _ in range(3):
                self.hang_up(server)
            server.logs(rb" info nothing to reload: ")
            self.say_hello()
            self.check_drained(server.stop(), 1)

    def test_before_main_if_the_parent_blocks_it(self):
        with blocked(signal.SIGHUP), \
                Server(*self.args, ready=False) as server:
            server.process.send_signal(signal.SIGHUP)
            server.logs(rb"nothing to reload")
            self.say_hello()
            self.check_drained(server.stop(), 1)

    def test_in_a_stop_it_cuts_nothing(self):
        with Server(*self.args, "echo@127.0.0.1:0") as server:
            client = server.connect(1)
            stuff(client, server)
            server.process.terminate()
            until(lambda: not is_listening(server.address(1)), "the drain")
            self.hang_up(server)
            client.setblocking(True)
            while client.recv(65536):
                pass
            client.close()
            status, counts = server.end()
            self.assertEqual((status, counts["cut"]), (0, 0))

    def test_where_it_is_ignored_nothing_is_said(self):
        with Server(*self.args, preexec_fn=ignore_hang_up) as server:
            server.process.send_signal(signal.SIGHUP)
            self.say_hello()
            self.check_drained(server.stop(), 1)
            self.assertNotIn(b"SIGHUP", server.err.rest())


class HangUp(Base):
    """Standard input is a terminal."""

    def serve(self, *args, **kwargs):
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        return Server(*args, stdin=slave, **kwargs)

    def test_it_drains_and_leaves_nothing(self):
        with self.serve(*self.args) as server:
            self.say_hello()
            self.check_drained(server.stop(signal.SIGHUP), 1)

    def test_a_server_started_with_it_ignored_goes_on(self):
        with self.serve(*self.args, preexec_fn=ignore_hang_up) as server:
            server.process.send_signal(signal.SIGHUP)
            self.say_hello()
            self.check_drained(server.stop(), 1)

    def test_nohup_keeps_it_running(self):
        with self.serve(*self.args, under=["nohup"]) as server:
            server.process.send_signal(signal.SIGHUP)
            self.say_hello()
            self.check_drained(server.stop(), 1)

    def test_before_main_if_the_parent_blocks_it(self):
        with blocked(signal.SIGHUP), \
                self.serve(*self.args, ready=False) as server:
            server.process.send_signal(signal.SIGHUP)
            self.check_drained(server.end(), 0)

    def test_a_terminal_that_goes_away_drains(self):
        """It signals the leader of the session, and the foreground group."""
        reader, writer = os.pipe()
        pid, master = pty.fork()
        if pid == 0:
            try:
                os.dup2(writer, 1)
                os.execv(program("WEIR_SERVER"), ["weir-server", *self.args])
            finally:
                os._exit(127)
        os.close(writer)
        out = Pump(open(reader, "rb"))
        try:
            out.expect(rb"^ready\n")
            self.say_hello()
            os.close(master)
            out.expect(rb"^drained accepted=1 completed=1 .*\n\Z")
        except BaseException:
            os.kill(pid, signal.SIGKILL)
            raise
        finally:
            status = os.waitpid(pid, 0)[1]
            out.close()
        self.assertEqual(os.waitstatus_to_exitcode(status), 0)
        self.assertEqual(os.listdir(self.where), [])

    def test_more_than_one_is_one(self):
        with self.serve(*self.args, "echo@127.0.0.1:0") as server:
            client = server.connect(1)
            stuff(client, server)
            for _ in range(3):
                server.process.send_signal(signal.SIGHUP)
                until(lambda: not is_pending(server.pid, signal.SIGHUP),
                      "the signal")
            until(lambda: not is_listening(server.address(1)), "the drain")
            client.setblocking(True)
            while client.recv(65536):
                pass
            client.close()
            status, counts = server.end()
            self.assertEqual((status, counts["cut"]), (0, 0))
            self.assertEqual(os.listdir(self.where), [])

    def test_after_a_termination_it_cuts(self):
        with self.serve(*self.args, "echo@127.0.0.1:0") as server:
            client = server.connect(1)
            stuff(client, server)
            server.process.terminate()
            until(lambda: not is_listening(server.address(1)), "the drain")
            status, counts = server.stop(signal.SIGHUP)
            self.assertEqual((status, counts["cut"]), (3, 1))
            self.assertEqual(os.listdir(self.where), [])
            client.close()


def is_pending(pid, signo):
    with open("/proc/%d/status" % pid) as status:
        for line in status:
            if line.startswith("ShdPnd:"):
                return int(line.split()[1], 16) >> (signo - 1) & 1


class FirstProcess(TestCase):
    """The kernel gives process 1 no signal that has its default action."""

    UNSHARE = ["unshare", "-pf", "--kill-child"]

    def setUp(self):
        if not shutil.which("unshare") or subprocess.run(
                [*self.UNSHARE, "true"], stderr=subprocess.DEVNULL).returncode:
            self.skipTest("no process namespace can be made here")

    def first_process(self, pid):
        """The one that this unshare(1) has started."""
        path = "/proc/%d/task/%d/children" % (pid, pid)
        with open(until(lambda: os.path.exists(path) and path, path)) as file:
            return int(file.read())

    def test_it_stops_in_a_namespace_of_its_own(self):
        for signals in ([signal.SIGTERM], [signal.SIGHUP, signal.SIGTERM]):
            with Server(under=self.UNSHARE) as server:
                self.assertIn(b"pid 1\n", server.out.data)
                first = self.first_process(server.pid)
                for signo in signals:
                    os.kill(first, signo)
                status, counts = server.end()
                self.assertEqual((status, counts["accepted"]), (0, 0))

    def test_so_does_a_client(self):
        def is_asked(sock):
            sock.recv(100)
            sock.sendall(b"come\n")
            sock.recv(100)
        for signo in signal.SIGINT, signal.SIGTERM:
            with PythonServer(is_asked) as server, subprocess.Popen(
                    [*self.UNSHARE, program("WEIR_CLIENT"), "fetch",
                     server.address, "-o", "-"], stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE) as client:
                self.assertEqual(client.stdout.readline(), b"come\n")
                os.kill(self.first_process(client.pid), signo)
                self.assertEqual(client.wait(DEADLINE), 128 + signo)
                self.assertEqual(client.stderr.read(),
                                 b"weir-client: interrupted\n")


if __name__ == "__main__":
    main()
