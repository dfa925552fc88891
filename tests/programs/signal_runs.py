# SPDX-License-Identifier: MIT
"""Lives of weir-server in which signals come after its n-th call to the system
(signal_shim.c counts and sends).  Each must end as the manual page says:

  status 0 if nothing was cut, 3 if something was; one signal cuts nothing
  never by the default action of a signal, and never later than its deadline
  "drained" is said, and its numbers add up
  neither the Unix path nor the pid file is left, and the port can be bound

The kinds are one SIGTERM, a second one after the call that follows, SIGINT as
the second, and one SIGHUP, with a terminal as standard input and without.
Each asks the server to stop, but SIGHUP without a terminal does not.  A server
that none has asked gets another SIGTERM once it has served a client.

What comes before the first call of main(), which blocks them all, is out
of reach: the parent may block them, then they wait.
"""

import concurrent.futures
import contextlib
import os
import pty
import re
import select
import signal
import socket
import subprocess
import tempfile
import time

import weirtest

TERMINAL = "1 "
KINDS = ("15", "15,15", "15,2", "1", TERMINAL)
AT_ONCE = 4
MOST_CALLS = 1000
NOTICE = 0.06  # seconds in which a callback notices that it was cut


def why_not():
    """Why this cannot run here, or None."""
    return weirtest.why_not_preloaded("WEIR_SIGNAL_SHIM")


def command(variable="WEIR_SERVER"):
    """The program itself, not the script that libtool puts before it."""
    path = weirtest.program(variable)
    folder, name = os.path.split(path)
    real = os.path.join(folder, ".libs", name)
    return (real if os.path.exists(real) else path), weirtest.shared_libraries()


class Life:
    """One life; .problems is empty if all went well, .at names the call after
    which the first signal came, .calls says how many there were in all."""

    def __init__(self, number, kind):
        self.number, self.kind = number, kind
        self.problems, self.at, self.calls = [], None, 0
        self.may_be_late = False
        self.out = self.notes = b""
        began = time.monotonic()
        self.waited = weirtest.all_waited()
        self.end = began + weirtest.DEADLINE
        with tempfile.TemporaryDirectory() as folder:
            self.path = os.path.join(folder, "socket")
            self.pid_file = os.path.join(folder, "pid")
            self.live()
        self.took = time.monotonic() - began

    def __str__(self):
        return "signals %s at call %d (%s): %s" % (
            self.kind, self.number, self.at, "; ".join(self.problems))

    def live(self):
        program, libraries = command()
        notes, theirs = os.pipe()
        master, terminal = pty.openpty()
        env = dict(os.environ, LD_PRELOAD=os.environ["WEIR_SIGNAL_SHIM"],
                   LD_LIBRARY_PATH=libraries, SHIM_AT=str(self.number),
                   SHIM_SIGNALS=self.kind, SHIM_FD=str(theirs))
        process = subprocess.Popen(
            [program, "--workers", "2", "--log-level", "error",
             "--pid-file", self.pid_file, "echo@127.0.0.1:0",
             "echo@unix:" + self.path, "relay@127.0.0.1:0",
             "--to", "unix:" + self.path],
            stdin=terminal if self.kind == TERMINAL else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            pass_fds=(theirs,), env=env)
        os.close(theirs)
        os.close(terminal)
        try:
            self.meet(process, notes)
            status = process.wait(max(0, self.end - time.monotonic()))
            self.judge(status)
        except (subprocess.TimeoutExpired, TimeoutError):
            self.problems.append("does not end")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            process.stdout.close()
            os.close(notes)
            os.close(master)

    def read(self, process, notes, until):
        """Until the output says so, or is over."""
        while not re.search(until, self.out, re.M):
            left = self.end - time.monotonic()
            ready = select.select([process.stdout], [], [], max(0, left))[0]
            if not ready:
                raise TimeoutError
            piece = os.read(process.stdout.fileno(), 4096)
            if not piece:
                break
            self.out += piece
        while select.select([notes], [], [], 0)[0]:
            piece = os.read(notes, 4096)
            if not piece:
                break
            self.notes += piece

    def meet(self, process, notes):
        self.read(process, notes, rb"^ready\n")
        with contextlib.ExitStack() as open_sockets:
            clients = [open_sockets.enter_context(socket.socket())
                       for _ in self.ports()]
            talks = contextlib.suppress(OSError)  # it may stop already
            for client, port in zip(clients, self.ports()):
                client.settimeout(weirtest.DEADLINE)
                with talks:
                    client.connect(("127.0.0.1", port))
                    client.sendall(b"hello\n")
                    client.recv(100)
            self.read(process, notes, rb"^ready\n")
            self.was_asked = b"at " in self.notes and self.kind != "1"
            if not self.was_asked:
                process.send_signal(signal.SIGTERM)
            for client in clients:
                with talks:
                    client.recv(100)
        self.read(process, notes, rb"\Z.")
        for line in self.notes.decode().splitlines():
            word, value = line.split()
            if word == "at":
                self.at = value
            else:
                self.calls = int(value)

    def ports(self):
        """Of echo, and of the relay to the other echo."""
        return list(map(int, re.findall(rb"@127\.0\.0\.1:(\d+)\n",
                                        self.out)))

    def judge(self, status):
        if status < 0:
            self.problems.append("ended by " + signal.strsignal(-status))
            return
        ledger = re.search(rb"^drained (.*)\n\Z", self.out, re.M)
        if not ledger:
            self.problems.append("status %d after %r" % (status, self.out))
            return
        counts = {name.decode(): int(n) for name, n in
                  (pair.split(b"=") for pair in ledger.group(1).split())}
        if counts["accepted"] * 2 != sum(counts.values()):
            self.problems.append("drained %s" % counts)
        is_held_up = weirtest.all_waited() - self.waited >= NOTICE
        self.may_be_late = status == 1 and counts["cut"] > 0 and is_held_up
        if status != (3 if counts["cut"] else 0):
            self.problems.append("status %d, drained %s" % (status, counts))
        is_one = "," not in self.kind and self.was_asked
        if counts["cut"] and is_one:
            self.problems.append("one signal has cut")
        for path in (self.path, self.pid_file):
            if os.path.lexists(path):
                self.problems.append("%s is left" % os.path.basename(path))
        self.bind_again()

    def bind_again(self):
        """Another life may have got a port of this one, and listens soon."""
        def is_free(port):
            with socket.socket() as again, contextlib.suppress(OSError):
                again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                again.bind(("127.0.0.1", port))
                again.listen()
                return True
            return False
        for port in self.ports():
            weirtest.until(lambda port=port: is_free(port) or
                           weirtest.is_listening("127.0.0.1:%d" % port),
                           "a free port")


def live(number, kind):
    """A life, which is led again where a callback may not have returned for
    want of a processor; most of them have to go well."""
    life = None

    def attempt():
        nonlocal life
        life = Life(number, kind)
        return not life.problems, life.may_be_late
    weirtest.mostly(attempt)
    return life


def sweep(first, step):
    """Lives of each kind, one without a signal of the shim and one for each
    step-th call from first on; yields them as they end."""
    whole = [live(MOST_CALLS, kind) for kind in KINDS]
    yield from whole
    calls = max(life.calls for life in whole)
    plans = [(number, kind) for kind in KINDS
             for number in range(first, calls + 1, step)]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(lambda plan: live(*plan), plans)
