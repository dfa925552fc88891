#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The programs where the system denies them a call, as the filter of a
container does, or a kernel or a file system that lacks it.

Each call is denied with each of three errors, and flock(2) with ENOLCK, as on
NFS without a lock service.  A program then works, or ends
soon with status 1 or 2 and a line that says why; a server that runs but cannot
serve says so in its log.  None waits without end, uses up a processor, or dies
by a signal.

Not denied are calls without which a program is not loaded or cannot speak:
arch_prctl, close, execve, exit_group, mmap, mprotect, openat, fstat, pread64,
read, write; futex, without which the C library aborts; and rt_sigprocmask,
without which a signal cannot be kept from ending the process.
"""

import concurrent.futures
import contextlib
import errno
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

import signal_runs
from weirtest import DEADLINE, SLOWNESS, Server, TestCase, main

ERRORS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP)
OF_FILE_SYSTEMS = {"flock": (errno.ENOLCK,)}

BOTH = (
    "brk", "clone3", "connect", "epoll_create1", "epoll_ctl", "eventfd2",
    "fcntl", "flock", "getpid", "getrandom", "getrusage", "getsockname",
    "getsockopt", "ioctl", "lseek", "madvise", "munmap", "poll", "prctl",
    "prlimit64", "recvfrom", "rseq", "rt_sigaction", "sched_getaffinity",
    "sendmsg", "sendto", "set_robust_list", "setsockopt", "shutdown", "socket",
    "unlink",
)
SERVER = BOTH + (
    "accept4", "bind", "epoll_wait", "fchmod", "fchmodat2", "getpeername",
    "listen", "rename", "sendfile", "signalfd4",
)
FETCH = ("faccessat2", "fsync", "ftruncate", "renameat2", "rename")
LOAD = ("epoll_pwait2", "epoll_wait", "clock_gettime")

# A program works without them.
SPARED = (
    "brk", "faccessat2", "fchmod", "flock", "fsync", "epoll_pwait2",
    "getpeername", "getpid", "getrandom", "getrusage", "ioctl", "lseek",
    "madvise", "munmap", "prctl", "prlimit64", "renameat2", "rseq",
    "rt_sigaction", "sched_getaffinity", "sendfile", "set_robust_list",
    "unlink",
)

# A life takes some hundredths of a second.  One that may fail is told to have
# no more patience than this.
PATIENCE = 2 * SLOWNESS
MOST_CPU = 1 * SLOWNESS
AT_ONCE = 4

# By which the threads of the server wait for events.
WAIT = {"epoll": "epoll_wait", "poll": "poll"}[
    os.environ.get("WEIR_POLLER", "epoll")]

SKIPPED = 77

SIZE = 300000  # of the file
THANKS = b"Thank you for connecting"


def patience(call):
    return DEADLINE if call in SPARED else PATIENCE


class Life:
    """A program, from its start where a call is denied to its end."""

    def __init__(self, call, error, variable, *args, **kwargs):
        self.title = "%s: %s, %s" % (
            call, errno.errorcode[error], " ".join(args))
        path, libraries = signal_runs.command(variable)
        self.out, self.err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [os.environ["WEIR_DENY"], call, str(error), path, *args],
            stdout=self.out, stderr=self.err,
            env=dict(os.environ, LD_LIBRARY_PATH=libraries),
            stdin=kwargs.pop("stdin", subprocess.DEVNULL), **kwargs)
        self.name = os.path.basename(path)
        self.status = None
        self.must_work = call in SPARED

    def text(self, file):
        return os.pread(file.fileno(), 1 << 20, 0).decode(errors="replace")

    def has_ended(self):
        if self.status is None:
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
                self.cpu = usage.ru_utime + usage.ru_stime
                self.process.returncode = self.status
        return self.status is not None

    def wait(self, condition, seconds):
        """Until that, or the end; was it that?"""
        end = time.monotonic() + seconds
        while not condition():
            if self.has_ended():
                return condition()
            if time.monotonic() > end:
                return False
            time.sleep(0.002)
        return True

    def is_skipped(self):
        return self.status == SKIPPED and "SKIPPED" in self.text(self.err)

    def finish(self, expected=""):
        """Wait for the end, much longer than the program would; return what
        is wrong, or None."""
        self.wait(self.has_ended, 2 * DEADLINE)
        try:
            problem = self.problem(expected)
            return problem and "%s: %s" % (self.title, problem)
        finally:
            if self.status is None:
                self.process.kill()
                self.process.wait()
            self.out.close()
            self.err.close()

    def problem(self, expected):
        said, errors = self.text(self.out), self.text(self.err)
        if self.status is None:
            return "does not end, has said %r" % errors
        if self.status < 0:
            return "%s, after %r" % (signal.strsignal(-self.status), errors)
        if self.cpu > MOST_CPU:
            return "used %.1f s of a processor" % self.cpu
        if self.is_skipped():
            return None
        if self.status == 0:
            if not self.must_work:
                expected += "|^NOT TRUSTWORTHY"
            return (None if re.search(expected, said, re.M) else
                    "status 0, but only %r, %r" % (said, errors))
        if self.status > 2 or self.must_work:
            return "status %d, after %r" % (self.status, errors)
        if not re.search("^(%s: |NOT TRUSTWORTHY) *." % self.name,
                         errors + said, re.M):
            return "status %d, but only %r" % (self.status, errors)
        return None


class Sweep(TestCase):
    def sweep(self, live, calls):
        """live(call, error) says what is wrong, or None."""
        plans = [(call, error) for call in calls
                 for error in ERRORS + OF_FILE_SYSTEMS.get(call, ())]
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            problems = [problem for problem
                        in pool.map(lambda plan: live(*plan), plans)
                        if problem]
        self.assertEqual(problems, [], "\n".join(problems))

    def setUp(self):
        if SLOWNESS > 1:
            self.skipTest("a sanitizer makes calls of its own")
        result = subprocess.run(
            [os.environ["WEIR_DENY"], "getpid", str(errno.EPERM),
             sys.executable, "-c", ""],
            stderr=subprocess.PIPE, timeout=DEADLINE)
        if result.returncode == SKIPPED:
            self.skipTest("no filter of system calls can be set here")
        self.assertEqual(result.returncode, 0, result)


class ServerLife(Life):
    def __init__(self, call, error, folder):
        self.path = os.path.join(folder, "%s-%d" % (call, error))
        self.file = os.path.join(folder, "file")
        self.patience = patience(call) / 2
        super().__init__(
            call, error, "WEIR_SERVER", "--workers", "2", "--log-level",
            "warning", "--pid-file", self.path + ".pid", "--file", self.file,
            "--max-connections", "100",
            "--drain", "%dms" % (1000 * PATIENCE), "echo@127.0.0.1:0",
            "echo@unix:" + self.path, "file@127.0.0.1:0")

    def is_ready(self):
        return "\nready\n" in self.text(self.out)

    def live(self):
        if not self.wait(self.is_ready, 2 * DEADLINE):
            return self.finish()
        served = [self.serves(talk) for talk in
                  (self.talk_tcp, self.talk_unix, self.fetch)]
        is_silent = not all(served) and (
            self.must_work or
            not self.wait(lambda: self.text(self.err), DEADLINE))
        is_busy = self.spins()
        if not self.has_ended():
            self.process.send_signal(signal.SIGTERM)
        problem = self.finish()
        if is_silent:
            return "%s: does not serve (%s), and does not say so" % (
                self.title, served)
        if is_busy:
            return self.title + ": uses a processor with nothing to do"
        return problem

    def serves(self, talk):
        with contextlib.suppress(OSError):
            return talk()
        return False

    def ports(self):
        return re.findall(r"@127\.0\.0\.1:(\d+)\n", self.text(self.out))

    def talk(self, sock):
        sock.settimeout(self.patience)
        sock.sendall(b"hello\n")
        return sock.recv(100) == b"hello\n"

    def talk_tcp(self):
        with socket.create_connection(("127.0.0.1", self.ports()[0])) as sock:
            return self.talk(sock)

    def talk_unix(self):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(self.path)
            return self.talk(sock)

    def fetch(self):
        with socket.create_connection(("127.0.0.1", self.ports()[1])) as sock:
            sock.settimeout(self.patience)
            sock.sendall(b"Client connected")
            got = 0
            while piece := sock.recv(65536):
                got += len(piece)
            return got > os.path.getsize(self.file)

    def ticks(self):
        with contextlib.suppress(OSError):
            with open("/proc/%d/stat" % self.process.pid) as stat:
                fields = stat.read().rsplit(")")[1].split()
                return int(fields[11]) + int(fields[12])
        return 0

    def spins(self):
        """Is it busy though nobody wants anything of it?"""
        ticks = self.ticks()
        self.wait(self.has_ended, 0.3)
        return self.ticks() - ticks > 0.15 * os.sysconf("SC_CLK_TCK")


def fill(path):
    with open(path, "wb") as file:
        file.write(b"x" * SIZE)


class Servers(Sweep):
    def test_the_server_serves_or_says_why_not(self):
        folder = self.folder()
        fill(os.path.join(folder, "file"))
        self.sweep(lambda *plan: ServerLife(*plan, folder).live(), SERVER)

    def test_the_server_says_what_has_happened(self):
        for call, words in (
                ("listen", "'echo@127.0.0.1:0': Operation not permitted"),
                (WAIT, "cannot go on: Operation not permitted")):
            life = Life(call, errno.EPERM, "WEIR_SERVER", "echo@127.0.0.1:0")
            life.wait(life.has_ended, DEADLINE)
            said, is_skipped = life.text(life.err), life.is_skipped()
            self.assertIsNone(life.finish())
            if not is_skipped:
                self.assertIn(words, said)


class Clients(Sweep):
    def setUp(self):
        super().setUp()
        self.dir = self.folder()
        fill(os.path.join(self.dir, "file"))
        server = Server(
            "--file", os.path.join(self.dir, "file"), "--log-level", "error",
            "echo@127.0.0.1:0", "echo@unix:" + os.path.join(self.dir, "s"),
            "file@127.0.0.1:0")
        server.__enter__()
        self.addCleanup(server.__exit__)
        self.tcp, self.unix, self.files = map(server.address, range(3))

    def client(self, calls, expected, *args, typed=b"", made=None):
        """What succeeds says what matches that, and has made that file."""
        def live(call, error):
            with tempfile.TemporaryFile() as stdin:
                stdin.write(typed)
                stdin.seek(0)
                life = Life(call, error, "WEIR_CLIENT",
                            *(arg.format(call, error) for arg in args), "-t",
                            "%dms" % (1000 * patience(call)), stdin=stdin)
            problem = life.finish(expected)
            if not problem and life.status == 0 and made and \
                    not os.path.exists(made.format(call, error)):
                return life.title + ": status 0, and there is no file"
            return problem
        self.sweep(live, calls)

    def test_talk_works_or_says_why_not(self):
        for address in self.tcp, self.unix:
            self.client(BOTH, "hello", "talk", address, "--no-banner",
                        typed=b"hello\n")

    def test_send_works_or_says_why_not(self):
        self.client(BOTH, "hello", "send", self.tcp, typed=b"hello\n")

    def test_chat_works_or_says_why_not(self):
        self.client(BOTH, "hello", "chat", self.unix, typed=b"hello\n")

    def test_fetch_works_or_says_why_not(self):
        os.mkdir(os.path.join(self.dir, "got"))
        path = os.path.join(self.dir, "got", "{}-{}")
        self.client(BOTH + FETCH, "^received %d bytes " % (SIZE + len(THANKS)),
                    "fetch", self.files, "-o", path, made=path)
        sizes = {name: os.path.getsize(os.path.join(self.dir, "got", name))
                 for name in os.listdir(os.path.join(self.dir, "got"))}
        self.assertGreater(len(sizes), 0)
        self.assertEqual({name: size for name, size in sizes.items()
                          if size != SIZE + len(THANKS)
                          and not name.endswith(".part")}, {})

    def test_load_works_or_says_why_not(self):
        # Calls on connections fail in the report, as the network does.
        self.client(BOTH + LOAD, "100 sent = 100 answered", "load", self.tcp,
                    "-n", "100")


if __name__ == "__main__":
    main()
