#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A running weir-server replaces itself: by weir-server ctl upgrade and by
SIGUSR2, under load, and by successors that do not come up.

WEIR_UPGRADES is the number of hand-overs under load, 5 if it is not set."""

import contextlib
import errno
import fcntl
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import types
import unittest

from weirtest import (DEADLINE, SLOWNESS, FirstServer, Server, TestCase, ask,
                      connect, free_port, freeze, is_alive, main, passing,
                      program, read_all, read_exactly, run, shared_libraries,
                      stuff, until)

LONG = 3 * DEADLINE  # more than an upgrade may take
UPGRADES = int(os.environ.get("WEIR_UPGRADES", "5"))


def real_program():
    """Not the wrapper of libtool, which would change argv[0]."""
    path = program("WEIR_SERVER")
    binary = os.path.join(os.path.dirname(path), ".libs", "weir-server")
    return binary if os.path.exists(binary) else path


def parent(pid):
    with open("/proc/%d/stat" % pid) as file:
        return int(file.read().rsplit(")", 1)[1].split()[1])


def children(pid):
    """Also those that have ended and were not waited for."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if parent(int(name)) == pid:
                found.append(int(name))
    return found


class Load:
    """Threads that connect, ask and close, until they are to stop."""

    def __init__(self, where, threads=3):
        self.where, self.done, self.failures = where, 0, []
        self.is_over = False
        self.threads = [threading.Thread(target=self.work)
                        for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def work(self):
        while not self.is_over:
            try:
                reply = ask(self.where)
                if reply not in (b"hello", None):
                    raise OSError("the reply is %r" % reply)
                self.done += reply is not None
            except OSError as error:
                self.failures.append(error)

    def stop(self):
        self.is_over = True
        for thread in self.threads:
            thread.join()


# Run a program with a filter of system calls: NUMBER ANSWER PROGRAM [ARGUMENT].
# What answers 0x7fc00000 waits for somebody with a descriptor, which is kept
# open and not read: the call does not return.
FILTER = """
import ctypes, os, resource, struct, sys
libc = ctypes.CDLL(None)
number, answer = int(sys.argv[1]), int(sys.argv[2])
rules = b"".join(struct.pack("HBBI", *rule) for rule in (
    (0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, answer),
    (0x06, 0, 0, 0x7fff0000)))
buffer = ctypes.create_string_buffer(rules)
program = struct.pack("HP", 4, ctypes.addressof(buffer))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
call = {"x86_64": 317, "aarch64": 277}[os.uname().machine]
if libc.prctl(38, 1, 0, 0, 0) < 0:
    sys.exit(77)
fd = libc.syscall(call, 1, 8 if answer == 0x7fc00000 else 0, program)
if fd < 0:
    sys.exit(77)
if fd > 0:
    os.set_inheritable(fd, True)
os.execv(sys.argv[3], sys.argv[3:])
"""
CLOSE_RANGE = 436
GETPPID = {"x86_64": 110, "aarch64": 173}.get(os.uname().machine)
KILLED, NO_SUCH_CALL, HELD = 0x80000000, 0x50000 | errno.ENOSYS, 0x7fc00000


def filtered(number, answer):
    return [sys.executable, "-c", FILTER, str(number), str(answer)]


class Base(TestCase):
    def setUp(self):
        self.where = self.folder()
        self.link = self.where + "/weir-server"
        self.pid_file = self.where + "/pid"
        self.path = self.where + "/socket"
        os.symlink(real_program(), self.link)
        self.env = dict(os.environ, LD_LIBRARY_PATH=":".join(
            [shared_libraries(), os.environ.get("LD_LIBRARY_PATH", "")]))

    def serve(self, *args, control=True, **kwargs):
        before = os.environ["WEIR_SERVER"]
        os.environ["WEIR_SERVER"] = self.link
        try:
            return FirstServer(
                *(["--control", self.where + "/control"] if control else []),
                "-p", self.pid_file,
                *(args or ("echo@127.0.0.1:0", "echo@unix:" + self.path)),
                env=kwargs.pop("env", self.env), **kwargs)
        finally:
            os.environ["WEIR_SERVER"] = before

    def pid(self):
        with open(self.pid_file) as file:
            return int(file.read())

    def ctl(self, *args):
        return run("WEIR_SERVER", "ctl", "-c", self.where + "/control", *args)

    def upgrade(self):
        """Returns the process id of the successor."""
        before = self.pid()
        result = self.ctl("upgrade")
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        self.assertNotEqual(self.pid(), before)
        return self.pid()

    def check_echo(self, where):
        with connect(where) as client:
            client.sendall(b"hello")
            self.assertEqual(read_exactly(client, 5), b"hello")

    def end_last(self, server):
        """Stop the server that serves now, which has the sockets alone once
        it knows that the one before it has closed them."""
        pid = self.pid()
        server.logs(b"the predecessor of process %d has closed" % pid)
        os.kill(pid, signal.SIGTERM)
        until(lambda: not is_alive(pid), "the end of the successor")
        self.assertEqual(os.listdir(self.where), ["weir-server"])


class Upgrade(Base):
    def test_a_successor_serves_and_the_old_one_ends(self):
        with self.serve() as server:
            with server.connect() as client, server.connect(1) as other:
                for one in (client, other):
                    one.sendall(b"hello")
                    self.assertEqual(read_exactly(one, 5), b"hello")
                pid = self.upgrade()
                self.assertEqual(client.recv(1), b"")
                self.assertEqual(server.process.wait(LONG), 0)
                self.assertTrue(is_alive(pid))
            for where in (server.address(), server.address(1)):
                self.check_echo(where)
            self.assertEqual(self.ctl("ready").returncode, 0)
            self.end_last(server)

    def test_the_signal_does_the_same(self):
        with self.serve() as server:
            server.process.send_signal(signal.SIGUSR2)
            self.assertEqual(server.process.wait(LONG), 0)
            self.assertNotEqual(self.pid(), server.pid)
            self.check_echo(server.address())
            self.end_last(server)

    def test_a_passed_socket_may_have_the_name_of_one_of_ours(self):
        with socket.create_server(("127.0.0.1", 0)) as passed, \
                self.serve("echo@fd:control", **passing(
                    [passed], "control", self.env)) as server:
            where = "127.0.0.1:%d" % passed.getsockname()[1]
            for _ in range(2):
                self.upgrade()
                self.assertEqual(self.ctl("ready").returncode, 0)
                self.check_echo(where)
            self.end_last(server)

    def test_under_load_nothing_is_lost_or_refused(self):
        with self.serve() as server:
            load = Load(server.address())
            try:
                for _ in range(UPGRADES):
                    before = load.done
                    self.upgrade()
                    until(lambda: load.done > before + 50, "clients")
            finally:
                load.stop()
            self.assertEqual(load.failures, [])
            print("%d hand-overs, %d clients" % (UPGRADES, load.done))
            self.end_last(server)

    def test_control_a_plain_restart_under_load_refuses_clients(self):
        with self.serve() as server:
            load = Load(server.address())
            try:
                until(lambda: load.done > 50, "clients")
                server.stop()
                until(lambda: load.failures, "a refused client")
            finally:
                load.stop()

    @unittest.skipIf(os.getuid() != 0, "this is left to root")
    def test_a_mode_that_the_user_cannot_set_is_refused(self):
        config, write = self.configured()
        write(user="65534:65534")
        for name in self.where, os.path.dirname(config):
            os.chmod(name, 0o755)
        if not self.may_run(65534):
            self.skipTest("that user cannot run the program here")
        with self.serve("--config", config, "echo@unix:" + self.path) as server:
            os.chown(self.where, 65534, 65534)
            write(user="65534:65534", mode="666")
            self.assertEqual(self.ctl("upgrade").returncode, 1)
            server.logs(b"cannot set the mode of '%s': Operation not permitted"
                        % self.path.encode())
            self.assertEqual(os.stat(self.path).st_mode & 0o7777, 0o600)
            self.check_echo(server.address())
            self.assertEqual(server.stop()[0], 0)

    @unittest.skipIf(os.getuid() != 0, "this is left to root")
    def test_a_user_that_cannot_write_the_pid_file_is_told(self):
        os.chmod(self.where, 0o755)
        with self.serve("--user", "65534:65534", "echo@127.0.0.1:0") as server:
            result = self.ctl("upgrade")
            self.assertEqual(result.returncode, 1)
            self.assertIn(b"cannot write the --pid-file: Permission denied",
                          result.stderr)
            self.check_echo(server.address())
            self.assertEqual(server.stop()[0], 0)

    def test_the_service_manager_follows(self):
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        manager.bind(self.folder() + "/notify")
        manager.settimeout(LONG)
        with self.serve(env=dict(self.env, NOTIFY_SOCKET=manager.getsockname(),
                                 WATCHDOG_USEC="%d" % (2e6 * SLOWNESS))) \
                as server:
            said = [""]
            while not said[-1].startswith("STATUS="):
                said.append(manager.recv(4096).decode())
            pid = self.upgrade()
            while not said[-1].startswith("MAINPID="):
                said.append(manager.recv(4096).decode())
            # The first WATCHDOG=1 of the successor may have been ignored.
            self.assertEqual(said[-1],
                             "MAINPID=%d\nREADY=1\nWATCHDOG=1" % pid)
            self.assertEqual(said.count("READY=1"), 1)
            self.assertNotIn("STOPPING=1", said)
            # Its first STATUS= may have been ignored, too.
            until(lambda: manager.recv(4096).startswith(b"STATUS=serving"),
                  "the status again")
            self.assertEqual(server.process.wait(LONG), 0)
            os.kill(pid, signal.SIGTERM)
            while manager.recv(4096) != b"STOPPING=1":
                pass
            until(lambda: not is_alive(pid), "the end of the successor")

    def test_a_service_manager_is_told_of_a_process_that_may_be_its_child(self):
        """The successor is no descendant of the server any more.  systemd looks
        at its parent when it takes the message, and never again."""
        path = self.folder() + "/notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            manager.settimeout(LONG)
            for _ in range(10):
                with self.serve(env=dict(self.env,
                                         NOTIFY_SOCKET=path)) as server:
                    server.process.send_signal(signal.SIGUSR2)
                    said = b""
                    while not said.startswith(b"MAINPID="):
                        said = manager.recv(4096)
                    pid = int(said.split()[0][len("MAINPID="):])
                    ancestors = [parent(pid), parent(parent(pid))]
                    self.assertNotIn(server.pid, ancestors)
                    self.assertEqual(server.process.wait(LONG), 0)
                    self.end_last(server)

    def fill(self, manager):
        """Until even a socket that has sent nothing has to wait."""
        sent = 1
        while sent > 0:
            sent = 0
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other, \
                    contextlib.suppress(BlockingIOError):
                other.setblocking(False)
                while True:
                    other.sendto(b"x", manager.getsockname())
                    sent += 1

    def empty(self, manager):
        manager.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                manager.recv(4096)

    def check_no_manager(self, *ways):
        """Each takes the manager's socket, and leaves one that is not read."""
        path = self.folder() + "/notify"
        for leave in ways:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
                manager.bind(path)
                manager.settimeout(LONG)
                with self.serve(env=dict(self.env,
                                         NOTIFY_SOCKET=path)) as server:
                    while not manager.recv(4096).startswith(b"STATUS="):
                        pass
                    leave(manager)
                    result = self.ctl("upgrade")
                    self.assertEqual(result.returncode, 1)
                    self.assertIn(b"the service manager takes no messages",
                                  result.stderr)
                    self.assertEqual(self.pid(), server.pid)
                    self.assertEqual(children(server.pid), [])
                    # No other process has been started, and served clients.
                    self.assertEqual(server.out.data.count(b"ready\n"), 1)
                    for i in range(2):
                        self.check_echo(server.address(i))
                    self.empty(manager)
                    self.assertEqual(server.stop()[0], 0)
            self.assertEqual(os.listdir(self.where), ["weir-server"])
            os.unlink(path)

    def test_a_service_manager_that_does_not_follow_is_an_error(self):
        """It would end the successor when the old process ends."""
        self.check_no_manager(self.fill, lambda manager: manager.shutdown(
            socket.SHUT_RD))

    def test_the_process_id_is_sent_until_it_is_taken(self):
        path = self.folder() + "/notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            manager.settimeout(LONG)
            with self.serve("-t", "never", "echo@127.0.0.1:0", env=dict(
                    self.env, NOTIFY_SOCKET=path)) as server:
                with server.connect() as client:
                    stuff(client, server)
                    server.process.send_signal(signal.SIGUSR2)
                    while manager.recv(4096) != b"STATUS=upgrading":
                        pass
                    self.fill(manager)
                    # That comes behind the first attempt.
                    server.logs(rb"the predecessor of process \d+ has closed")
                    time.sleep(1.5)  # one that has begun meanwhile fails, too
                    until(lambda: manager.recv(4096).startswith(
                        b"MAINPID=%d\n" % self.pid()), "the process id")
                    client.setblocking(True)
                    while client.recv(65536):
                        pass
                self.assertEqual(server.process.wait(LONG), 0)
                self.end_last(server)

    def test_a_successor_does_not_feed_the_watchdog_of_another_process(self):
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        manager.bind(self.folder() + "/notify")
        manager.settimeout(LONG)
        said = []

        def expect(text):
            while not said or text not in said[-1]:
                said.append(manager.recv(4096).decode())
        with self.serve(env=dict(
                self.env, NOTIFY_SOCKET=manager.getsockname(),
                WATCHDOG_USEC="2000", WATCHDOG_PID="1")) as server:
            pid = self.upgrade()
            expect("MAINPID=%d\nREADY=1" % pid)
            self.assertEqual(server.process.wait(LONG), 0)
            # Its numbers are looked at as often as the watchdog is fed.
            with connect(server.address()):
                expect("STATUS=serving, 1 open, ")
            os.kill(pid, signal.SIGTERM)
            expect("STOPPING=1")
            until(lambda: not is_alive(pid), "the end of the successor")
        self.assertFalse([line for line in said if "WATCHDOG" in line], said)

    def test_the_service_manager_keeps_the_sockets_of_a_successor(self):
        """It may ignore messages of processes that it does not follow yet."""
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        manager.bind(self.folder() + "/notify")
        manager.settimeout(LONG)
        with self.serve("--keep-listeners", "echo@127.0.0.1:0", env=dict(
                self.env, NOTIFY_SOCKET=manager.getsockname())) as server:
            pid = self.upgrade()
            said = []
            while not said or not said[-1].startswith("MAINPID="):
                said.append(manager.recv(4096).decode())
            kept = [line for line in said if line.startswith("FDSTORE=1\n")]
            self.assertEqual(len(kept), len(set(kept)), said)
            again = set()
            while again != set(kept):
                line = manager.recv(4096).decode()
                if line.startswith("FDSTORE=1\n"):
                    again.add(line)
            self.assertEqual(server.process.wait(LONG), 0)
            os.kill(pid, signal.SIGTERM)
            while manager.recv(4096) != b"STOPPING=1":
                pass
            until(lambda: not is_alive(pid), "the end of the successor")

    def test_a_successor_stops_while_its_predecessor_drains(self):
        with self.serve("-t", "never", "echo@127.0.0.1:0",
                        "echo@unix:" + self.path) as server:
            with server.connect() as client:
                stuff(client, server)  # it is not answered before it reads
                pid = self.upgrade()
                # systemd would kill it, and not wait for its stop.
                self.assertNotEqual(parent(pid), server.pid)
                self.assertEqual(children(server.pid), [])
                os.kill(pid, signal.SIGTERM)
                until(lambda: not is_alive(pid), "the end of the successor")
                self.assertIsNone(server.process.poll())
                self.assertEqual(os.listdir(self.where), ["weir-server"])
                client.setblocking(True)
                while client.recv(65536):
                    pass
            self.assertEqual(server.process.wait(LONG), 0)

    def test_a_socket_that_the_successor_does_not_want_is_gone(self):
        config, control = self.folder() + "/config", self.where + "/control"
        with open(config, "w") as file:
            file.write("control = %s\n" % control)
        with self.serve("--config", config, "echo@127.0.0.1:0",
                        control=False) as server:
            self.assertEqual(self.ctl("ready").returncode, 0)
            with open(config, "w"):
                pass
            server.process.send_signal(signal.SIGUSR2)
            self.assertEqual(server.process.wait(LONG), 0)
            self.assertFalse(os.path.exists(control))
            self.check_echo(server.address())
            self.end_last(server)

    def may_run(self, user):
        try:
            subprocess.run([self.link, "--version"], env=self.env, user=user,
                           stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, check=True)
        except (PermissionError, subprocess.CalledProcessError):
            return False
        return True

    def configured(self):
        """A server with options in a file, and a function that changes them."""
        path = self.folder() + "/config"

        def write(**options):
            with open(path, "w") as file:
                for name, value in options.items():
                    file.write("%s = %s\n" % (name, value))
        return path, write

    def check_moved(self, option, probe):
        """Its address changes: probe(where) asks there."""
        config, write = self.configured()
        write(**{option: "127.0.0.1:%d" % free_port()})
        with self.serve("--config", config, "echo@127.0.0.1:0") as server:
            before = server.out.expect(b"^%s (.*)\n" % option.encode())[1]
            probe(before.decode())
            write(**{option: "127.0.0.2:0"})
            self.upgrade()
            after = server.out.expect(
                b"^%s (127.0.0.2:.*)\n" % option.encode())[1]
            probe(after.decode())
            self.assertEqual(server.process.wait(LONG), 0)
            with self.assertRaises(ConnectionRefusedError):
                connect(before.decode())
            self.end_last(server)

    def test_the_status_moves_to_another_address(self):
        self.skip_without_status()

        def probe(where):
            with connect(where) as client:
                client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
                self.assertEqual(read_exactly(client, 12), b"HTTP/1.1 200")
        self.check_moved("status", probe)

    def test_the_agent_moves_to_another_address(self):
        def probe(where):
            with connect(where) as client:
                self.assertRegex(read_all(client), b"^up .*100%")
        self.check_moved("agent", probe)

    def test_an_address_that_the_old_one_occupies_is_refused(self):
        config, write = self.configured()
        write(agent="127.0.0.1:0")
        with self.serve("--config", config, "echo@127.0.0.1:0") as server:
            agent = server.out.expect(rb"^agent (.*)\n")[1].decode()
            other = ":" + agent.rpartition(":")[2]
            write(agent=other)
            self.assertEqual(self.ctl("upgrade").returncode, 1)
            server.logs(b"--agent: cannot listen on '%s': the port is in use"
                        % other.encode())
            with connect(agent) as client:
                self.assertRegex(read_all(client), b"^up .*100%")
            self.assertEqual(server.stop()[0], 0)

    def test_the_control_socket_moves_to_another_path(self):
        config, write = self.configured()
        write(control=self.where + "/before")
        with self.serve("--config", config, "echo@127.0.0.1:0",
                        control=False) as server:
            write(control=self.where + "/control")
            server.process.send_signal(signal.SIGUSR2)
            self.assertEqual(server.process.wait(LONG), 0)
            self.assertEqual(self.ctl("ready").returncode, 0)
            self.assertFalse(os.path.exists(self.where + "/before"))
            self.end_last(server)

    def test_a_path_gets_the_mode_of_the_successor(self):
        config, write = self.configured()
        write()
        with self.serve("--config", config, "echo@unix:" + self.path) as server:
            for mode in 0o666, 0o640, None:
                write(**({"mode": "%o" % mode} if mode else {}))
                self.upgrade()
                self.assertEqual(os.stat(self.path).st_mode & 0o7777,
                                 mode or 0o600)
                self.assertEqual(
                    os.stat(self.where + "/control").st_mode & 0o7777, 0o600)
            self.check_echo(server.address())
            self.end_last(server)

    def test_a_program_that_was_found_by_its_name_may_be_replaced(self):
        def install():
            os.unlink(self.link)
            shutil.copy(real_program(), self.link)
        install()
        by_name = ("import os, sys; os.execvp('weir-server', "
                   "['weir-server', *sys.argv[2:]])")
        env = dict(self.env, PATH=self.where + ":" + os.environ["PATH"])
        with self.serve(under=[sys.executable, "-c", by_name],
                        env=env) as server:
            install()
            self.upgrade()
            self.assertEqual(server.process.wait(LONG), 0)
            self.check_echo(server.address())
            self.end_last(server)

    def test_health_checks_notice_nothing(self):
        self.skip_without_status()
        said, is_over = [], threading.Event()

        def ask_often(where):
            while not is_over.is_set():
                try:
                    said.append(ask(where, size=12, request=b"GET /readyz "
                                    b"HTTP/1.0\r\n\r\n"))
                except OSError as error:
                    said.append(repr(error))
        with self.serve("--status", "127.0.0.1:0",
                        "echo@127.0.0.1:0") as server:
            where = server.out.expect(rb"^status (.*)\n")[1].decode()
            threads = [threading.Thread(target=ask_often, args=[where])
                       for _ in range(3)]
            for thread in threads:
                thread.start()
            try:
                for _ in range(UPGRADES):
                    before = len(said)
                    self.upgrade()
                    until(lambda: len(said) > before + 20, "answers")
            finally:
                is_over.set()
                for thread in threads:
                    thread.join()
            self.assertEqual(set(said) - {None}, {b"HTTP/1.1 200"})
            self.end_last(server)

    def test_a_connection_to_the_status_is_not_kept(self):
        """Else a monitoring system would go on reading the old process."""
        self.skip_without_status()
        with self.serve("--status", "127.0.0.1:0", "-t", "never",
                        "echo@127.0.0.1:0") as server, \
                server.connect() as client:
            stuff(client, server)  # so that the old one goes on
            where = server.out.expect(rb"^status (.*)\n")[1].decode()
            status = http.client.HTTPConnection(where, timeout=DEADLINE)
            self.addCleanup(status.close)

            def pid():
                status.request("GET", "/status.json")
                return json.load(status.getresponse())["pid"]
            self.assertEqual(pid(), server.pid)
            successor = self.upgrade()
            self.assertIn(pid(), (server.pid, successor))
            self.assertEqual(pid(), successor)
            client.setblocking(True)
            while client.recv(65536):
                pass
            self.assertEqual(server.process.wait(LONG), 0)
            self.end_last(server)

    def late_reply(self, server, request):
        """Of the old process, if it has accepted the connection before an
        upgrade; b"" if the upgrade took longer than it waits for a request."""
        with server.connect() as client:
            stuff(client, server)  # so that it goes on
            with connect("unix:" + self.where + "/control") as control:
                # The answer to another one comes after the accept of this.
                self.assertEqual(self.ctl("ready").returncode, 0)
                self.upgrade()
                with contextlib.suppress(ConnectionError):
                    control.sendall(request)
                    return read_all(control)
        return b""

    def test_who_has_connected_before_is_told_to_ask_again(self):
        error = b"error another process serves now; ask again\nend\n"
        for request, answer in ((b"ready\n", b"ok\nend\n"),
                                (b"drain\n", error),
                                (b"log-level debug\n", error)):
            def reply(request=request):
                with self.serve("-t", "never", "echo@127.0.0.1:0") as server:
                    said = self.late_reply(server, request)
                    self.assertEqual(server.process.wait(LONG), 0)
                    self.end_last(server)
                return said
            self.assertEqual(until(reply, "a reply in time"), answer)

    def test_a_balancer_is_not_told_of_a_new_server(self):
        with self.serve("--agent", "127.0.0.1:0",
                        "echo@127.0.0.1:0") as server:
            where = server.out.expect(rb"^agent (.*)\n")[1].decode()
            for answer in b"up ready 100%\n", b"up 100%\n":
                with connect(where) as client:
                    self.assertEqual(read_all(client), answer)
                if answer.startswith(b"up ready"):
                    self.upgrade()
            self.end_last(server)

    def test_a_second_upgrade_at_once_is_refused(self):
        with self.serve() as server:
            os.unlink(self.link)
            with open(self.link, "w") as file:
                file.write("#!/bin/sh\n: >%s/begun\nexec sleep 60\n" %
                           self.where)
            os.chmod(self.link, 0o755)
            server.process.send_signal(signal.SIGUSR2)
            until(lambda: os.path.exists(self.where + "/begun"), "the first")
            # What waits for its end holds no socket of a client.
            [guard] = children(server.pid)
            until(lambda: len(os.listdir("/proc/%d/fd" % guard)) == 1,
                  "no other descriptor")
            self.assertIn(b"under way", self.ctl("upgrade").stderr)
            # Other requests are answered meanwhile.
            self.assertEqual(self.ctl("stats").returncode, 0)
            self.assertEqual(server.stop()[0], 0)

    def test_a_server_that_stops_is_not_replaced(self):
        with self.serve("-t", "never", "--lame-duck", "never",
                        "echo@127.0.0.1:0") as server:
            self.ctl("drain")
            until(lambda: self.ctl("ready").returncode == 1, "the drain")
            self.assertIn(b"does not serve", self.ctl("upgrade").stderr)
            self.assertEqual(server.stop()[0], 0)


SCRIPTS = {
    "ends at once": "exit 0",
    "fails": "exit 1",
    "says an error": "echo broken >&2; exit 2",
    "is killed": "kill -KILL $$",
    "crashes": "kill -SEGV $$",
    "is terminated": "kill -TERM $$",
    "hangs": "exec sleep 60",
    "hangs and ignores the signal": "trap '' TERM; while :; do sleep 1; done",
    "hangs without its descriptors":
        "exec 3>&- 4>&- 5>&- 6>&- 7>&-; exec sleep 60",
    "says that it is ready, without its report, and stays":
        "printf R >&$WEIR_PREDECESSOR; exec sleep 60",
    "ends late": "sleep 0.2; exit 3",
    "has an unknown option": 'exec "$REAL" --nonsense "$@"',
    "has a wrong value": 'exec "$REAL" "$@" -w 0',
    "has an unknown service": 'exec "$REAL" "$@" nonsense@127.0.0.1:0',
    "has a port that is in use": 'exec "$REAL" "$@" echo@127.0.0.1:$PORT',
    "cannot write its pid file": 'exec "$REAL" "$@" -p /nonexistent/pid',
    "is another program": 'exec cat "$REAL" >/dev/null',
    "does not know of its predecessor":
        'unset WEIR_PREDECESSOR; exec "$REAL" "$@"',
}
FILES = {
    "is not there": lambda path: None,
    "is a folder": os.mkdir,
    "is empty": lambda path: os.close(os.open(path, os.O_CREAT, 0o755)),
    "leads nowhere": lambda path: os.symlink("nowhere", path),
    "leads to itself": lambda path: os.symlink(path, path),
    "is not executable": lambda path: os.close(os.open(path, os.O_CREAT,
                                                       0o644)),
}


LONG_PATH = 1000 * "/" + "none"

# A successor that reads what its predecessor says, to the end, and writes it to
# FOLDER/said, with the signal that follows: FOLDER [PATH [TAKEN]].  With a path
# it says that it is ready; once that is gone, it goes on with which sockets it
# takes: all or these.
LISTENER = """
import contextlib, os, signal, socket, sys, time
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
is_ready = len(sys.argv) > 2
here = socket.socket(fileno=int(os.environ["WEIR_PREDECESSOR"]))
said = b""
with contextlib.suppress(OSError):  # it may close the socket before
    if is_ready:
        here.sendall(b"R")
    open(sys.argv[1] + "/begun", "w").close()
    while is_ready and os.path.exists(sys.argv[2]):
        time.sleep(0.001)
    if is_ready:
        count = int(os.environ["LISTEN_FDS"])
        here.sendall((sys.argv[3:] or ["T" * count])[0].encode())
with contextlib.suppress(OSError):
    while piece := here.recv(64):
        said += piece
here.close()
if signal.sigtimedwait([signal.SIGTERM], 1 if is_ready else 20):
    said += b" SIGTERM"
with open(sys.argv[1] + "/draft", "wb") as file:
    file.write(said)
os.rename(sys.argv[1] + "/draft", sys.argv[1] + "/said")
"""


class Stop(Base):
    """One that comes while an upgrade is under way."""

    def begin(self, server, script):
        """Wait until the script, as the successor, has written FOLDER/begun."""
        os.unlink(self.link)
        with open(self.link, "w") as file:
            file.write("#!/bin/sh\n%s\n" % script)
        os.chmod(self.link, 0o755)
        server.process.send_signal(signal.SIGUSR2)
        until(lambda: os.path.exists(self.where + "/begun"), "the successor")

    def check_stop(self, script, begins):
        with self.serve(env=dict(self.env, REAL=real_program())) as server:
            self.begin(server, ": >%s/begun; %s" % (self.where, script))
            until(lambda: begins(server), "a successor that serves")
            loads = [Load(server.address(i)) for i in range(2)]
            try:
                until(lambda: all(load.done > 50 for load in loads), "clients")
                status, counts = server.stop()
            finally:
                for load in loads:
                    load.stop()
            # Who comes when nobody listens any more is refused; nothing else.
            self.assertEqual({type(e) for load in loads for e in load.failures}
                             - {ConnectionRefusedError, FileNotFoundError},
                             set())
            self.assertEqual((status, counts["completed"]),
                             (0, counts["accepted"]))
            self.assertFalse(os.path.exists(self.path))

    def test_before_the_successor_serves(self):
        self.check_stop("exec sleep 60", lambda server: True)

    def test_when_the_successor_serves_and_has_not_said_so(self):
        self.check_stop(
            'unset WEIR_PREDECESSOR; exec "$REAL" "$@"',
            lambda server: server.out.data.count(b"ready\n") == 2)

    @contextlib.contextmanager
    def successor_with_client(self, *args):
        """One that serves and does not say so, with a client that it cannot
        answer in full.  Its predecessor, its process id, the client."""
        with self.serve(*args, "echo@127.0.0.1:0",
                        env=dict(self.env, REAL=real_program())) as server:
            self.begin(server, ": >%s/begun; unset WEIR_PREDECESSOR\n"
                       'exec "$REAL" "$@"' % self.where)
            until(lambda: server.out.data.count(b"ready\n") == 2,
                  "a successor that serves")
            pid = int(re.findall(rb"^pid (\d+)$", server.out.data, re.M)[1])
            freeze(server.pid)
            try:
                client = server.connect()
                stuff(client, types.SimpleNamespace(pid=pid))
            finally:
                server.process.send_signal(signal.SIGCONT)
            with client:
                yield server, pid, client

    def stop_both(self, server):
        server.process.send_signal(signal.SIGTERM)
        until(lambda: server.err.data.count(b"stopping; connections") == 2,
              "the stop of both")

    def test_the_successor_has_as_much_time_for_its_clients(self):
        with self.successor_with_client("-t", "100s") as (server, pid, client):
            self.stop_both(server)
            end = time.monotonic() + 3
            while time.monotonic() < end and is_alive(pid):
                time.sleep(0.01)
            client.settimeout(DEADLINE)
            while client.recv(65536):
                pass
            self.assertEqual(server.process.wait(LONG), 0)

    def test_a_second_signal_ends_the_successor(self):
        with self.successor_with_client("-t", "never") as (server, pid, client):
            self.stop_both(server)
            server.logs(b"stopped: ")

            def is_over():
                with contextlib.suppress(ProcessLookupError):
                    server.process.send_signal(signal.SIGTERM)
                return server.process.poll() is not None
            until(is_over, "the end of both")
            until(lambda: not is_alive(pid), "the end of the successor")

    def test_so_does_a_stop_that_cuts(self):
        """The second signal is taken while the old one has a client, too."""
        with self.successor_with_client("-t", "never") as (server, pid, client):
            with contextlib.ExitStack() as stack:
                freeze(pid)
                try:
                    other = stack.enter_context(server.connect())
                    stuff(other, server)
                finally:
                    os.kill(pid, signal.SIGCONT)
                self.stop_both(server)
                server.process.send_signal(signal.SIGTERM)
                self.assertEqual(server.process.wait(LONG), 3)
                until(lambda: not is_alive(pid), "the end of the successor")

    def test_its_deadline_holds_though_the_successor_does_not_end(self):
        """It is ended some time after 0.1 s, and 1.5 s are not over."""
        def is_in_time():
            with self.serve("-t", "100ms", "echo@127.0.0.1:0") as server:
                self.begin(server, "trap '' TERM; : >%s/begun\n%s"
                           ": >%s/late\nexec sleep 60" % (
                               self.where, 15 * "sleep 0.1\n", self.where))
                self.assertEqual(server.stop()[0], 0)
            os.unlink(self.link)
            os.symlink(real_program(), self.link)
            left = set(os.listdir(self.where)) - {"weir-server"}
            for name in left:
                os.unlink(self.where + "/" + name)
            return "late" not in left
        # A busy machine may need longer for a stop.
        self.assertTrue(any(is_in_time() for _ in range(5)))

    def listen(self, server, *args):
        """Begin with the program above."""
        self.begin(server, 'exec "%s" -c \'%s\' %s %s' % (
            sys.executable, LISTENER, self.where, " ".join(args)))

    def check_said(self, answer, path=None):
        """To a successor that is ready once the path is gone, or not at all."""
        with self.serve() as server:
            self.listen(server, *([path] if path else []))
            if path != self.where + "/none":
                server.process.send_signal(signal.SIGTERM)
            self.assertEqual(server.end()[0], 0)
            until(lambda: os.path.exists(self.where + "/said"), "its end")
        with open(self.where + "/said", "rb") as file:
            self.assertEqual(file.read(), answer)

    def test_a_successor_that_is_not_ready_is_told_that_it_gets_nothing(self):
        self.check_said(b"K SIGTERM")

    def test_so_is_one_that_is_ready_after_the_stop_has_begun(self):
        self.check_said(b"K", self.path)

    def test_so_is_one_that_is_ready_in_a_lame_duck(self):
        """The stop begins while it tells which sockets it takes."""
        gate = self.folder() + "/gate"
        with open(gate, "w"), self.serve("--lame-duck", "never",
                                         "echo@127.0.0.1:0") as server:
            self.listen(server, gate)
            server.process.send_signal(signal.SIGTERM)
            server.logs(b" a stop was requested; ")
            os.unlink(gate)
            until(lambda: os.path.exists(self.where + "/said"), "its end")
            server.logs(b" no upgrade: the server is to stop")
            self.check_echo(server.address())  # the lame duck goes on
            server.counts(completed=1)
            self.assertEqual(server.stop()[0], 0)
        with open(self.where + "/said", "rb") as file:
            self.assertEqual(file.read(), b"K")

    def test_one_that_is_ready_before_gets_the_sockets(self):
        self.check_said(b"", self.where + "/none")

    def test_after_the_hand_over_the_successor_is_told_at_once(self):
        """Though the stop begins while a socket that it has not taken is being
        closed, and connections stay open."""
        with self.serve("-t", "never", "echo@127.0.0.1:0",
                        "echo@unix:" + self.path) as server:
            with server.connect() as client:
                stuff(client, server)
                self.listen(server, self.where + "/none", "-TT")
                server.logs(b"serves now")
                server.process.send_signal(signal.SIGTERM)
                until(lambda: os.path.exists(self.where + "/said"), "its end")
                self.assertIsNone(server.process.poll())
                client.setblocking(True)
                while client.recv(65536):
                    pass
            self.assertEqual(server.process.wait(LONG), 0)

    def successor(self, *args):
        """One of ours: the process, its listening socket and what it says."""
        listener = socket.create_server(("127.0.0.1", 0))
        ours, theirs = socket.socketpair()
        for sock in listener, ours, theirs:
            self.addCleanup(sock.close)
        # Above the numbers that passed sockets get.
        fd = fcntl.fcntl(theirs, fcntl.F_DUPFD, 200)
        self.addCleanup(os.close, fd)
        theirs.close()
        how = passing([listener], "~127.0.0.1,0", WEIR_PREDECESSOR=str(fd))
        how["pass_fds"].append(fd)
        return Server(*args, "echo@127.0.0.1:0", **how), listener, ours

    def test_a_successor_that_gets_nothing_ends_and_leaves_the_sockets(self):
        server, listener, predecessor = self.successor("--lame-duck", "never")
        with server:
            self.assertEqual(read_exactly(predecessor, 2), b"RT")
            with server.connect() as client:
                client.sendall(b"hello")
                self.assertEqual(read_exactly(client, 5), b"hello")
                predecessor.sendall(b"K")
                predecessor.shutdown(socket.SHUT_WR)
                self.assertEqual(client.recv(1), b"")
            self.assertEqual(server.end()[0], 0)
            with server.connect() as client:
                listener.accept()[0].close()
                self.assertEqual(client.recv(1), b"")

    def test_one_that_gets_the_sockets_closes_them(self):
        server, listener, predecessor = self.successor()
        with server:
            self.assertEqual(read_exactly(predecessor, 2), b"RT")
            predecessor.shutdown(socket.SHUT_WR)
            server.logs(b"the predecessor of process %d has closed" %
                        server.pid)
            self.check_echo(server.address())
            self.assertEqual(server.stop()[0], 0)
            with self.assertRaises(ConnectionRefusedError):
                server.connect()


class Filtered(Base):
    """What runs beside a successor is slow, or ended by somebody else."""

    def setUp(self):
        super().setUp()
        if GETPPID is None or subprocess.run(
                filtered(GETPPID, HELD) + ["/bin/true"]).returncode:
            self.skipTest("no filter of system calls can be set here")
        self.addCleanup(self.end_all)

    def end_all(self):
        """Also a successor that nobody knows."""
        mine = b"\0" + self.pid_file.encode() + b"\0"
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                with open("/proc/%s/cmdline" % name, "rb") as file:
                    if mine in file.read():
                        os.kill(int(name), signal.SIGKILL)

    def test_descriptors_are_closed_one_by_one(self):
        with self.serve(under=filtered(CLOSE_RANGE, NO_SUCH_CALL)) as server:
            os.unlink(self.link)
            with open(self.link, "w") as file:
                file.write("#!/bin/sh\nexec sleep 60\n")
            os.chmod(self.link, 0o755)
            with server.connect() as client:
                client.sendall(b"hello")
                self.assertEqual(read_exactly(client, 5), b"hello")
                server.process.send_signal(signal.SIGUSR2)
                until(lambda: children(server.pid), "what waits for its end")
                [guard] = children(server.pid)
                until(lambda: len(os.listdir("/proc/%d/fd" % guard)) == 1,
                      "no other descriptor")
            self.assertEqual(server.stop()[0], 0)

    def test_a_successor_whose_guard_is_killed_is_known(self):
        with self.serve(under=filtered(CLOSE_RANGE, KILLED)) as server:
            self.upgrade()
            self.assertEqual(server.process.wait(LONG), 0)
            self.check_echo(server.address())
            self.end_last(server)

    def test_one_that_does_not_begin_is_given_up(self):
        if SLOWNESS > 1:
            self.skipTest("a sanitizer makes calls of its own")
        with self.serve("--upgrade-timeout", "100ms", "echo@127.0.0.1:0",
                        under=filtered(GETPPID, HELD)) as server:
            for _ in range(2):
                result = self.ctl("upgrade")
                self.assertEqual(result.returncode, 1)
                self.assertIn(b"was not ready after 100 ms", result.stderr)
                self.assertEqual(children(server.pid), [])
            self.check_echo(server.address())
            self.assertEqual(server.stop()[0], 0)


class Broken(Base):
    """A successor that does not come up changes nothing."""

    def write(self, text):
        with open(self.link, "w") as file:
            file.write(text)
        os.chmod(self.link, 0o755)

    def check_unchanged(self, server, client, what):
        result = self.ctl("upgrade")
        self.assertEqual(result.returncode, 1, (what, result))
        self.assertRegex(result.stderr, rb"^weir-server: .+\n$")
        self.assertEqual(self.pid(), server.pid, what)
        self.assertEqual(children(server.pid), [], what)
        client.sendall(b"hello")
        self.assertEqual(read_exactly(client, 5), b"hello", what)
        for where in (server.address(), server.address(1)):
            self.check_echo(where)
        self.assertEqual(self.ctl("ready").returncode, 0, what)

    def test_all_kinds(self):
        real = real_program()
        with self.serve("--upgrade-timeout", "%dms" % (400 * SLOWNESS),
                        "echo@127.0.0.1:0", "echo@unix:" + self.path,
                        env=dict(self.env, REAL=real, PORT="1")) as server:
            busy = socket.create_server(("127.0.0.1", 0))
            self.addCleanup(busy.close)
            client = server.connect()
            for what, script in SCRIPTS.items():
                os.unlink(self.link)
                self.write("#!/bin/sh\nPORT=%d\n%s\n" % (
                    busy.getsockname()[1], script))
                with self.subTest(what):
                    self.check_unchanged(server, client, what)
            for what, make in FILES.items():
                if os.path.isdir(self.link) and not os.path.islink(self.link):
                    shutil.rmtree(self.link)
                elif os.path.lexists(self.link):
                    os.unlink(self.link)
                make(self.link)
                with self.subTest(what):
                    self.check_unchanged(server, client, what)
            os.unlink(self.link)
            for text in ("#!/nonexistent/interpreter\n", "\x7fELF nonsense"):
                self.write(text)
                with self.subTest(text):
                    self.check_unchanged(server, client, text)
            os.unlink(self.link)
            os.symlink(real, self.link)
            client.close()
            # A good one may need more than its time on a busy machine.
            until(lambda: self.ctl("upgrade").returncode == 0, "the upgrade")
            self.assertNotEqual(self.pid(), server.pid)
            self.assertEqual(server.process.wait(LONG), 0)
            self.end_last(server)

    def test_a_path_gets_its_mode_back(self):
        """The successor has set another one before it fails."""
        fails = self.where + "/fails"
        with self.serve(env=dict(self.env, REAL=real_program())) as server:
            os.unlink(self.link)
            self.write("#!%s\nimport os, sys\nargs = sys.argv\n"
                       "if os.path.exists('%s'):\n"
                       "    args += ['--mode', '666', '-p', '%s/pid']\n"
                       "os.execv(os.environ['REAL'], args)\n" % (
                           sys.executable, fails, fails))
            for mode in 0o600, 0o640:
                with open(fails, "w"):
                    os.chmod(self.path, mode)
                self.assertIn(b"cannot write '%s/pid'" % fails.encode(),
                              self.ctl("upgrade").stderr)
                self.assertEqual(os.stat(self.path).st_mode & 0o7777, mode)
                os.unlink(fails)
                self.upgrade()  # it has not opened the socket itself
            self.check_echo(server.address(1))
            self.end_last(server)

    def test_its_own_message_is_passed_on(self):
        with self.serve(env=dict(self.env, REAL=real_program())) as server:
            for arg, words in (
                    ("--nonsense", b"unknown option '--nonsense'; see --help"),
                    ("--file=/none", b"--file: cannot read '/none': No such "),
                    ("--file=" + LONG_PATH, b"--file: cannot read '%s': No such"
                     % LONG_PATH.encode()),
                    ("echo@192.0.2.1:1", b"cannot listen on 'echo@192.0.2.1"),
                    ("--pid-file=/none/p", b"--pid-file: cannot write '/none/"),
                    ("--\x1b[2J", b"unknown option '--\\x1b[2J'")):
                os.unlink(self.link)
                self.write("#!/bin/sh\nexec \"$REAL\" \"$@\" '%s'\n" % arg)
                result = self.ctl("upgrade")
                self.assertIn(b"has ended with status 2: " + words,
                              result.stderr)
                server.logs(b" no upgrade: '\\S+' has ended with status 2: " +
                            re.escape(words))
            self.assertEqual(server.stop()[0], 0)

    def test_its_status_is_known_though_children_are_ignored(self):
        with self.serve(preexec_fn=lambda: signal.signal(
                signal.SIGCHLD, signal.SIG_IGN)) as server:
            os.unlink(self.link)
            self.write("#!/bin/sh\nexit 7\n")
            self.assertIn(b"has ended with status 7",
                          self.ctl("upgrade").stderr)
            self.assertEqual(server.stop()[0], 0)

    def test_after_a_failure_a_stop_under_load_loses_nothing(self):
        with self.serve() as server:
            os.unlink(self.link)
            self.write("#!/bin/sh\nexit 1\n")
            self.assertEqual(self.ctl("upgrade").returncode, 1)
            load = Load(server.address())
            try:
                until(lambda: load.done > 50, "clients")
                status, counts = server.stop()
            finally:
                load.stop()
            self.assertEqual((status, counts["completed"]),
                             (0, counts["accepted"]))
            # Who comes when nobody listens any more is refused; nothing else.
            self.assertFalse([e for e in load.failures if
                              not isinstance(e, ConnectionRefusedError)])
            self.assertFalse(os.path.exists(self.path))


if __name__ == "__main__":
    main()
