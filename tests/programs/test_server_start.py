#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weir-server where the system is short of something: threads, memory,
descriptors, a file that can be opened."""

import contextlib
import glob
import os
import pty
import resource
import signal
import socket
import unittest

from weirtest import (BANNER, DEADLINE, PREFIX, DocumentsClient, Server, TestCase,
                      connect, full_pipe, has_status, main, read_exactly, run,
                      until, why_not_preloaded)


class Broken(TestCase):
    """With the library broken_shim, loaded before all others."""

    def broken(self, **settings):
        """The environment of a program for which these are broken."""
        why = why_not_preloaded("WEIR_BROKEN_SHIM")
        if why:
            self.skipTest(why)
        return dict(os.environ, LD_PRELOAD=os.environ["WEIR_BROKEN_SHIM"],
                    **settings)


class Start(Broken):
    def test_nothing_is_announced_before_all_threads_are_there(self):
        folder = self.folder()
        args = ["-w", "3", "-p", folder + "/pid", "echo@unix:" + folder + "/s",
                "echo@127.0.0.1:0"]
        env = self.broken()
        threads = 7 # for the outputs, SIGHUP, workers, and last the acceptor
        for number in range(1, threads + 1):
            with self.subTest(number=number):
                result = run("WEIR_SERVER", *args,
                             env=dict(env, BROKEN_THREAD=str(number)))
                self.assertEqual((result.returncode, result.stdout), (1, b""))
                self.check_one_line(result, "weir-server", "cannot start",
                                    "thread")
                self.assertEqual(os.listdir(folder), [])
        with Server(*args, env=dict(env, BROKEN_THREAD=str(threads + 1)),
                    ) as server:
            self.assertEqual(server.stop()[0], 0)

    def test_what_services_print_comes_behind_the_announcement(self):
        env = self.broken(BROKEN_PID="100")
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(
                socket.create_server(("127.0.0.1", 0), backlog=50))
            for _ in range(20):
                client = stack.enter_context(connect(
                    "127.0.0.1:%d" % listener.getsockname()[1]))
                client.sendall(b"hello")
            server = stack.enter_context(Server(
                "-w", "2", "collect@fd:%d" % listener.fileno(),
                pass_fds=[listener.fileno()], env=env))
            self.assertEqual(server.stop()[0], 0)
            self.assertRegex(server.out.rest(),
                             rb"\Apid \d+\nlistening .*\nready\n"
                             rb"(collect: hello\n){20}drained .*\n\Z")


def threads(pid):
    """The names of a process's threads."""
    names = []
    for path in glob.glob("/proc/%d/task/*/comm" % pid):
        with contextlib.suppress(OSError), open(path) as file:
            names.append(file.read().strip())
    return names


class NameServer(Broken):
    """One that does not answer."""

    def test_a_signal_ends_the_wait_for_it_and_the_program(self):
        master, terminal = pty.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, terminal)
        for signo in signal.SIGTERM, signal.SIGINT, signal.SIGHUP:
            folder = self.folder()
            with Server("echo@unix:" + folder + "/s", "echo@silent.test:0",
                        ready=False, stdin=terminal,
                        env=self.broken(BROKEN_LOOKUP="600000")) as server:
                until(lambda: "weir-look-up" in threads(server.pid),
                      "the look-up has begun")
                server.process.send_signal(signo)
                ended_by = server.process.wait(DEADLINE)
                self.assertEqual(-ended_by, signal.SIGINT
                                 if signo == signal.SIGINT else signal.SIGTERM)
                self.assertEqual(server.out.rest(), b"")
                self.assertEqual(os.listdir(folder), [])


class Stuck(Broken):
    def test_a_callback_that_does_not_return_is_left_at_the_deadline(self):
        folder = self.folder()
        path = folder + "/file"
        with open(path, "w") as file:
            file.write("never read")
        with Server("-w", "2", "-t", "300ms", "-f", path, "-p",
                    folder + "/pid", "--control", folder + "/control",
                    "file@unix:" + folder + "/s", "echo@127.0.0.1:0",
                    env=self.broken(BROKEN_FILE=path)) as server:
            with server.connect(0) as client, server.connect(1) as other:
                client.sendall(b"please")
                server.out.expect(rb"^file: please\n")
                other.sendall(b"hello")
                self.assertEqual(read_exactly(other, 5), b"hello")
                other.close()
                server.counts(completed=1)
                status, counts = server.stop()
            self.check_sum(counts)
            self.assertEqual((status, counts["completed"], counts["cut"]),
                             (1, 1, 1))
            self.assertRegex(server.err.rest(), rb" error worker . is stuck: ")
        self.assertEqual(os.listdir(folder), ["file"])


class Memory(Broken):
    """None for one allocation of a reload, from the first one to the last."""

    def configure(self, path, **options):
        with open(path, "w") as file:
            file.writelines("%s = %s\n" % (name.replace("_", "-"), value)
                            for name, value in options.items())

    def serves(self, server, i):
        """Listener i trusts the header of a proxy at 127.0.0.1."""
        with server.connect(i) as client:
            client.sendall(b"PROXY TCP4 10.1.1.1 10.1.1.2 1 2\r\nhello")
            try:
                return read_exactly(client, 5) == b"hello"
            except ConnectionResetError:
                return False

    def reload_without(self, number):
        """An allocation, from 1; whether the reload failed, None if it made
        fewer of them."""
        folder = self.folder()
        path = folder + "/config"
        self.configure(path, queue=50, proxy_trust="127.0.0.1")
        with Server("--config", path, "--control", folder + "/control",
                    "echo+proxy@127.0.0.1:0", "echo+proxy@127.0.0.1:0",
                    env=self.broken(BROKEN_MEMORY=path,
                                    BROKEN_CALLOC=str(number))) as server:
            self.configure(path, queue=70, refusal="no", write_timeout="7m",
                           proxy_trust="10.0.0.1")
            server.process.send_signal(signal.SIGHUP)
            failed = server.logs(rb"(not )?reloaded")[1] is not None
            server.counts(queue_length=50 if failed else 70)
            for i in range(2):
                self.assertEqual(self.serves(server, i), failed, number)
            self.assertEqual(server.stop()[0], 0)
            return failed if b"memory is broken\n" in server.err.rest() else None

    def test_a_reload_that_fails_changes_nothing(self):
        results = [self.reload_without(1)]
        while results[-1] is not None:
            results.append(self.reload_without(len(results) + 1))
        # Of both listeners and of the server, besides those of the files.
        self.assertGreater(results.count(True), 5, results)


class Replaced(Broken):
    """Another process puts its own file in the place of ours at the worst
    moment: after a look at it, and before it is used."""

    def replaced(self, path, by):
        return self.broken(BROKEN_PATH=path, BROKEN_WITH=by)

    def test_the_pid_file_of_another_process_stays(self):
        folder = self.folder()
        path, other = folder + "/pid", folder + "/other"
        with open(other, "w") as file:
            file.write("12345\n")
        with Server("--pid-file", path,
                    env=self.replaced(path, other)) as server:
            with open(path) as file:
                self.assertEqual(int(file.read()), server.pid)
            self.assertEqual(server.stop()[0], 0)
        self.assertEqual(os.listdir(folder), ["pid"])
        with open(path) as file:
            self.assertEqual(file.read(), "12345\n")

    @unittest.skipIf(os.getuid() != 0, "this is left to root")
    def test_the_user_gets_no_file_but_the_control_socket(self):
        if not has_status():
            self.skipTest("built without --status")
        folder = self.folder()
        path, other = folder + "/control", folder + "/other"
        with socket.socket(socket.AF_UNIX) as others:
            others.bind(folder + "/others")
            for make in (lambda: open(other, "w").close(),
                         lambda: os.symlink("others", other),
                         lambda: os.link(folder + "/others", other)):
                make()
                with Server("--user", "65534:65534", "--control", path,
                            env=self.replaced(path, other)) as server:
                    server.logs(rb" warning '\S+/control' stays root's")
                    self.assertEqual(server.stop()[0], 0)
                self.assertEqual({os.lstat(os.path.join(folder, name)).st_uid
                                  for name in os.listdir(folder)}, {0})
                os.unlink(path)


class Descriptors(Broken):
    """The soft limit is raised to what the command line asks for."""

    def limited(self, soft, hard):
        """For a program with these limits."""
        if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < hard:
            self.skipTest("fewer than %d descriptors are allowed" % hard)
        return {"preexec_fn": lambda: resource.setrlimit(
            resource.RLIMIT_NOFILE, (soft, hard))}

    def soft_limit(self, server):
        with open("/proc/%d/limits" % server.pid) as limits:
            return [int(line.split()[3]) for line in limits
                    if line.startswith("Max open files")][0]

    def open_now(self, server):
        return len(os.listdir("/proc/%d/fd" % server.pid))

    def converse(self, server, count):
        """So many clients, all at once."""
        clients = [DocumentsClient(server.address()) for _ in range(count)]
        for client in clients:
            self.assertEqual(client.say(b"x"), PREFIX + b"x")
        return clients

    def test_too_few_are_told_and_serve(self):
        with Server("-w", "2", "-m", "100", **self.limited(64, 64)) as server:
            server.logs(rb" warning 64 descriptors are allowed, \d+ are needed "
                        rb"for 100 connections and 2 workers; ")
            for client in self.converse(server, 3):
                client.close()
            self.assertEqual(server.stop()[0], 0)

    def test_nobody_is_warned_of_a_default(self):
        with Server("-w", "2", **self.limited(64, 64)) as server:
            server.logs(rb" info 64 descriptors are allowed, \d+ are needed "
                        rb"for 10000 connections and 2 workers; ")
            self.assertEqual(server.stop()[0], 0)

    def test_too_few_are_told_if_the_limit_stays(self):
        with Server("-w", "2", "-m", "100", env=self.broken(BROKEN_LIMIT="1"),
                    **self.limited(64, 4096)) as server:
            server.logs(rb" warning 64 descriptors are allowed, \d+ are needed "
                        rb"for 100 connections and 2 workers; ")
            self.assertEqual(self.soft_limit(server), 64)
            self.assertEqual(server.stop()[0], 0)

    def test_as_many_as_are_needed_are_taken(self):
        with Server("-w", "2", "-m", "100", **self.limited(64, 4096)) as server:
            self.assertGreaterEqual(self.soft_limit(server),
                                    100 + self.open_now(server))
            self.assertLess(self.soft_limit(server), 4096)
            server.stop()
            self.assertNotIn(b"descriptors", server.err.rest())

    def test_workers_and_listeners_need_some(self):
        folder = self.folder()
        more = ["echo@unix:%s/%d" % (folder, i) for i in range(60)]
        for args in (["-w", "1024", "-m", "100"],
                     ["-w", "2", "-m", "900", "reply@127.0.0.1:0", *more]):
            with Server(*args, **self.limited(1024, 4096)) as server:
                self.assertGreaterEqual(self.soft_limit(server),
                                        int(args[3]) + self.open_now(server))
                server.stop()
                self.assertNotIn(b"descriptors", server.err.rest())

    def test_each_connection_of_a_relay_needs_two(self):
        clients = 60
        with Server() as upstream:
            relay = "relay@127.0.0.1:0", "--to", upstream.address()
            with Server("-w", "2", "-m", str(clients), *relay,
                        **self.limited(64, 4096)) as server:
                # Besides, a client may be dialled for at several addresses.
                self.assertGreaterEqual(self.soft_limit(server),
                                        2 * clients + self.open_now(server))
                for client in self.converse(server, clients):
                    client.close()
                server.stop()
                self.assertNotIn(b"descriptors", server.err.rest())
            with Server("-w", "2", "-m", "100", *relay,
                        **self.limited(256, 256)) as server:
                server.logs(rb" warning 256 descriptors are allowed, 2\d\d are "
                            rb"needed for 100 connections and 2 workers; ")

    def test_a_reload_raises_the_limit(self):
        path = self.folder() + "/config"
        with open(path, "w") as file:
            file.write("max-connections = 50\n")
        with Server("-w", "2", "--config", path,
                    **self.limited(64, 4096)) as server:
            self.assertLess(self.soft_limit(server), 1000)
            with open(path, "w") as file:
                file.write("max-connections = 1000\n")
            server.process.send_signal(signal.SIGHUP)
            server.logs(rb" info reloaded ")
            self.assertGreaterEqual(self.soft_limit(server),
                                    1000 + self.open_now(server))

    def test_a_crowd_at_the_start_takes_none_that_signals_need(self):
        reader, writer = full_pipe() # which makes the announcement slow
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(
                socket.create_server(("127.0.0.1", 0), backlog=200))
            where = "127.0.0.1:%d" % listener.getsockname()[1]
            group = [stack.enter_context(connect(where)) for _ in range(100)]
            server = stack.enter_context(Server(
                "-w", "2", "-t", "200ms", "reply@fd:%d" % listener.fileno(),
                ready=False, stdout=writer, pass_fds=[listener.fileno()],
                **self.limited(64, 64)))
            self.assertEqual(group[0].recv(100), BANNER)
            server.logs(rb" cannot accept: too many open descriptors")
            server.process.terminate()
            server.process.wait(DEADLINE)
            self.assertNotIn(b"weir-server: ", server.err.rest())
        os.close(reader)
        os.close(writer)

    def test_each_connection_gets_one_beside_many_workers(self):
        with Server("-w", "100", "-m", "60", **self.limited(128, 4096),
                    ) as server:
            for client in self.converse(server, 60):
                client.close()
            status, counts = server.stop()
            self.assertEqual((status, counts["completed"]), (0, 60))

    def test_those_who_are_refused_have_some_if_there_are_any(self):
        for hard in (512, 8192):
            with Server("-w", "2", "-m", "100", "-o", "refuse",
                        **self.limited(64, hard)) as server:
                self.assertGreaterEqual(self.soft_limit(server),
                                        min(hard, 4096))
                server.stop()
                self.assertNotIn(b"descriptors", server.err.rest())


if __name__ == "__main__":
    main()
