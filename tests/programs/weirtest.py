# SPDX-License-Identifier: MIT
"""What the tests of the programs share: programs under test, a Python server
and client that behave as the documents' do, a terminal, and waits.

Every wait is for a condition and has a deadline; no test sleeps in the hope
that something has happened.  A test ends only processes that it started.
"""

import atexit
import contextlib
import ctypes
import fcntl
import glob
import json
import os
import pty
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unicodedata
import unittest

# A build with sanitizers is slower; the harness says by how much.
SLOWNESS = float(os.environ.get("WEIR_TEST_SLOW", "1"))
DEADLINE = 20 * SLOWNESS
FIRST_BYTE = 0.1  # seconds that a stop waits for it
SHORT_PAUSE = 0.005  # seconds; a quarter of what a client takes for an end

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1

PREFIX = b"Server replies: "
BANNER = b"Connect"


def program(variable):
    """The program that the environment names."""
    path = os.environ.get(variable)
    if not path:
        raise SystemExit("set %s to the program to be tested" % variable)
    return path


def shared_libraries():
    """For a program that is started without the script of libtool."""
    top = os.path.join(os.path.dirname(program("WEIR_SERVER")), "..")
    return ":".join(os.path.abspath(os.path.join(top, folder, ".libs"))
                    for folder in ("lib", "tls"))


def needs_ctypes(test):
    """Skip it if Python cannot load the library."""
    library = os.path.join(shared_libraries().split(":")[0], "libweir.so.0")
    if not os.path.exists(library):
        test.skipTest("the library is not shared")
    with open(library, "rb") as file:
        if re.search(rb"__[at]san_init|__ubsan_", file.read()):
            test.skipTest("a sanitizer has to be loaded before Python")


def until(condition, what, seconds=DEADLINE):
    """Wait until condition() is true; return what it said."""
    end = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError("waited in vain: " + what)
        time.sleep(0.002)


def waited_to_run(thread="thread-self"):
    """For how many seconds it has waited for a processor so far."""
    with open("/proc/%s/schedstat" % thread) as file:
        return int(file.read().split()[1]) / 1e9


def stolen():
    """For how many seconds the host has taken a processor away so far."""
    with open("/proc/stat") as file:
        return int(file.readline().split()[8]) / os.sysconf("SC_CLK_TCK")


def all_waited():
    """For how many seconds all threads here have waited to run (one may hold
    what another needs), and for how many the host took a processor."""
    waited = sum(PythonServer.waits) + stolen()
    for thread in os.listdir("/proc/self/task"):
        # It may end before its file is opened, or read.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            waited += waited_to_run("self/task/" + thread)
    return waited


def mostly(attempt, worst=15):
    """Call attempt() until more tries were good than not.  It says whether it
    was good, and if not, whether it may have been late.  A bad one that was not
    late ends this, and so do that many bad ones.  Returns whether the last one
    was good."""
    good = bad = 0
    while good <= bad:
        is_good, was_late = attempt()
        good, bad = good + is_good, bad + (not is_good)
        if not is_good and (bad == worst or not was_late):
            return False
    return True


def in_time(dialogue):
    """Call dialogue(), in which one side takes a pause of the other for an
    end.  It is tried again if it failed and a thread of ours had to wait for a
    processor, but most tries have to succeed."""
    failure = None

    def attempt():
        nonlocal failure
        waited, known = all_waited(), len(thread_errors)
        before = set(threading.enumerate())
        try:
            dialogue()
        except (AssertionError, OSError) as error:
            failure = error
            is_late = all_waited() - waited >= 0.01
            if is_late:
                until(lambda: set(threading.enumerate()) <= before,
                      "the end of the threads of an attempt")
                del thread_errors[known:]
            return False, is_late
        return True, False
    if not mostly(attempt):
        raise failure


@contextlib.contextmanager
def at_once(pause=0):
    """For what the other side takes for one thing because no pause is in it, or
    none but this.  Gives a function that sends.  in_time() is told how much
    longer the longest pause was, whatever held us up; the time in which the
    other side leaves no room is no pause of ours."""
    longest, began = 0, time.monotonic()

    def end_pause():
        nonlocal longest, began
        now = time.monotonic()
        longest, began = max(longest, now - began), now

    def send(sock, data):
        nonlocal began
        data = memoryview(data)
        while data:
            if not select.select([], [sock], [], 0)[1]:
                end_pause()
                select.select([], [sock], [], sock.gettimeout())
                began = time.monotonic()
            data = data[sock.send(data):]
            end_pause()

    try:
        yield send
    finally:
        end_pause()
        if longest - pause > SHORT_PAUSE:
            PythonServer.waits.append(longest - pause)


def read_pieces(sock, size, begin):
    """What each recv() returns of the next size bytes, which come after begin()
    and with pauses of 40 ms.  None if it did not look at the socket for so long
    that it may have read two pieces at once."""
    pieces, is_late = [], False
    end = time.monotonic() + DEADLINE
    looked_at = time.monotonic()
    begin()
    while size > 0 and looked_at < end:
        if select.select([sock], [], [], 0.005)[0]:
            pieces.append(sock.recv(1024))
            if not pieces[-1]:
                break
            size -= len(pieces[-1])
        before, looked_at = looked_at, time.monotonic()
        is_late = is_late or looked_at - before > 0.02
    return None if is_late else pieces


def run(variable, *args, input=b"", **kwargs):
    """Run a program to its end; standard output and error are bytes."""
    return subprocess.run([*kwargs.pop("under", ()), program(variable), *args],
                          input=input,
                          stdout=kwargs.pop("stdout", subprocess.PIPE),
                          stderr=kwargs.pop("stderr", subprocess.PIPE),
                          timeout=DEADLINE, **kwargs)


class Pump:
    """Reads a descriptor in the background, so that its writer never waits."""

    def __init__(self, file):
        self.data = b""
        self._file = file
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        while True:
            try:
                piece = os.read(self._file.fileno(), 65536)
            except OSError:
                piece = b""
            with self._changed:
                self.data += piece
                self._ended = not piece
                self._changed.notify_all()
            if not piece:
                return

    def expect(self, pattern, seconds=DEADLINE):
        """Wait for a regular expression; return its match."""
        end = time.monotonic() + seconds
        with self._changed:
            while True:
                match = re.search(pattern, self.data, re.M)
                left = end - time.monotonic()
                if match:
                    return match
                if self._ended or left <= 0:
                    raise AssertionError("no %r in %r" % (pattern, self.data))
                self._changed.wait(left)

    def rest(self):
        """Everything up to the end, which is that of the last process that
        may write to it."""
        self._thread.join(DEADLINE)
        if self._thread.is_alive():
            raise AssertionError("no end after %r" % self.data[-1000:])
        return self.data

    def close(self):
        self._thread.join(DEADLINE)
        self._file.close()


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
        return True
    except OSError:
        return False


def without_leak_check():
    """An environment for a server that gives up its privileges: then the checker
    cannot look into it."""
    return dict(os.environ, **{
        name: ":".join(filter(None, (os.environ.get(name),
                                     "detect_leaks=0")))
        for name in ("ASAN_OPTIONS", "LSAN_OPTIONS")})


SANITIZER = rb"(ERROR: (Address|Leak)|WARNING: Thread)Sanitizer|runtime error:"


def check_sum(counts):
    """Of the last line of a server: each connection has ended in one way."""
    names = ["accepted", "completed", "refused", "cut", "failed", "timed_out"]
    if list(counts) not in (names, [*names, "probed"]):
        raise AssertionError("other counts: %r" % counts)
    if 2 * counts["accepted"] != sum(counts.values()):
        raise AssertionError("the counts do not agree: %r" % counts)


class Server:
    """weir-server, running.  Leaving the context ends it, if it still is.  It
    must end well, and its counts must agree.  It fails if the server has crashed
    by then, and the test has not seen it."""

    CRASHES = (signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL,
               signal.SIGSEGV, signal.SIGSYS)

    def __init__(self, *args, ready=True, port=True, under=(), **kwargs):
        if port and not any("@" in arg for arg in args):
            args += ("reply@127.0.0.1:0",)
        self._wait = ready
        self._args = args
        self.process = subprocess.Popen(
            [*under, program("WEIR_SERVER"), *args],
            stdin=kwargs.pop("stdin", subprocess.DEVNULL),
            stdout=kwargs.pop("stdout", subprocess.PIPE),
            stderr=kwargs.pop("stderr", subprocess.PIPE), **kwargs)
        self.pid = self.process.pid
        self.out = self.process.stdout and Pump(self.process.stdout)
        self.err = self.process.stderr and Pump(self.process.stderr)

    def __enter__(self):
        try:
            if self._wait:
                self.out.expect(rb"^ready\n")
        except BaseException as failure:
            self.__exit__(type(failure))
            raise
        return self

    def __exit__(self, failure=None, *unused):
        is_known = self.process.returncode is not None
        is_running = self.process.poll() is None
        try:
            if is_running and not failure:
                self._end_soon()
        finally:
            self.kill()
        status = self.process.wait()
        for pump in (self.out, self.err):
            if pump:
                pump.close()
        if failure:
            return
        said = self.err.data if self.err else b""
        if (is_running and status not in (0, 3, -signal.SIGKILL) or
                not is_known and -status in self.CRASHES or
                re.search(SANITIZER, said)):
            raise AssertionError("the server has ended with status %d, after %r"
                                 % (status, said))
        if is_running and status >= 0 and self.out:
            check_sum(self.end()[1])

    def _end_soon(self):
        """What is open after a moment is cut."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(0.5)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(DEADLINE)

    def kill(self):
        self.process.kill()

    def address(self, i=0):
        """Of listener i, as a client writes it."""
        return re.findall(rb"^listening [a-z+]+@(.*)$", self.out.data,
                          re.M)[i].decode()

    def connect(self, i=0):
        return connect(self.address(i))

    def logs(self, pattern):
        return self.err.expect(pattern)

    def counts(self, **wanted):
        """Wait until these are its statistics; with --control."""
        control = self._args[self._args.index("--control") + 1]
        lines = {b"%s %d" % (name.encode(), count)
                 for name, count in wanted.items()}
        until(lambda: lines <= set(run("WEIR_SERVER", "ctl", "--control",
                                       control, "stats").stdout.splitlines()),
              "%r" % wanted)

    def stop(self, signo=signal.SIGTERM):
        """Signal it and wait; return exit status and the drained counts."""
        self.process.send_signal(signo)
        return self.end()

    def end(self):
        status = self.process.wait(DEADLINE)
        lines = self.out.rest().splitlines()
        last = lines[-1].decode() if lines else ""
        if not last.startswith("drained "):
            return status, None
        return status, {k: int(v) for k, v in
                        (pair.split("=") for pair in last.split()[1:])}


class FirstServer(Server):
    """Leaving the context ends its successors, too, and those that have not
    told their pid yet.  So does the end of this process, however it ends."""

    # Leads their process group, and waits for the end of its input.
    KEEPER = "/bin/sh", "-c", "read _; kill -KILL 0"

    def __init__(self, *args, preexec_fn=lambda: None, **kwargs):
        self._keeper = subprocess.Popen(
            self.KEEPER, stdin=subprocess.PIPE,
            preexec_fn=lambda: os.setpgid(0, 0))

        def begin():
            os.setpgid(0, self._keeper.pid)
            preexec_fn()
        try:
            super().__init__(*args, preexec_fn=begin, **kwargs)
        except BaseException:
            self.kill()
            raise

    def kill(self):
        """The pid of the group is not used again before the wait."""
        if self._keeper.returncode is None:
            os.killpg(self._keeper.pid, signal.SIGKILL)
            self._keeper.communicate()


# Called with the count of descriptors, these, and a command line.  Starts that
# with the descriptors moved to 3 and up, as a service manager does.
ACTIVATE = """
import fcntl, os, sys
count = int(sys.argv[1])
fds = [fcntl.fcntl(int(fd), fcntl.F_DUPFD_CLOEXEC, 100)
       for fd in sys.argv[2:2 + count]]
for i, fd in enumerate(fds):
    os.dup2(fd, 3 + i)
os.environ.setdefault("LISTEN_PID", str(os.getpid()))
os.execv(sys.argv[2 + count], sys.argv[2 + count:])
"""


def passing(sockets, names, env=None, **settings):
    """For a program that gets these listening sockets under these names."""
    env = dict(env or os.environ, LISTEN_FDS=str(len(sockets)))
    if names is not None:
        env["LISTEN_FDNAMES"] = names
    fds = [sock.fileno() for sock in sockets]
    return {"under": [sys.executable, "-c", ACTIVATE, str(len(fds)),
                      *map(str, fds)],
            "pass_fds": fds, "env": dict(env, **settings)}


def connect(where, timeout=DEADLINE):
    """A blocking socket to an address of the programs."""
    if where.startswith("unix:"):
        path = where[5:]
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.settimeout(timeout)
            sock.connect("\0" + path[1:] if path[0] == "@" else path)
        except BaseException:
            sock.close()
            raise
        return sock
    host, port = where.rsplit(":", 1)
    sock = socket.create_connection((host.strip("[]"), int(port)), timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def read_exactly(sock, count):
    data = bytearray()
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            break
        data += piece
    return bytes(data)


def read_all(sock):
    data = bytearray()
    while True:
        piece = sock.recv(65536)
        if not piece:
            return bytes(data)
        data += piece


def connect_soon(where):
    """To a server that is still starting."""
    def attempt():
        with contextlib.suppress(OSError):
            return connect(where)
    return until(attempt, "a listener at " + where)


def ask(where, ends=False, request=b"hello", size=5):
    """What comes for the request, up to this size or by the end of input.  None
    if nothing came and the request was so late that a stop need not have waited
    for it."""
    began, sent_at, answer = time.monotonic(), None, b""
    with connect(where) as sock:
        try:
            sock.sendall(request)
            sent_at = time.monotonic()
            if ends:
                sock.shutdown(socket.SHUT_WR)
            answer = read_all(sock) if ends else read_exactly(sock, size)
        except OSError:
            if (sent_at or time.monotonic()) - began < FIRST_BYTE / 2:
                raise
    was_late = not sent_at or sent_at - began >= FIRST_BYTE / 2
    return answer or (None if was_late else b"")


def reset(sock):
    """Close with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("ii", 1, 0))
    sock.close()


class DocumentsClient:
    """One recv is one message, as in the documents."""

    def __init__(self, where):
        self.sock = connect_soon(where)
        self.banner = self.sock.recv(1024)

    def say(self, message):
        self.sock.sendall(message)
        return self.sock.recv(65536)

    def close(self):
        self.sock.close()


class PythonServer:
    """A listener that gives every client to handler(sock) on a thread, also
    one that has connected just before the end."""

    waits = []  # seconds in which handlers were late or had no processor

    def __init__(self, handler, path=None):
        self._handler = handler
        self._open = []
        self._threads = []
        if path:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(path)
            self._listener.listen()
            self.address = "unix:" + path
        else:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        self._listener.setblocking(False)
        self._stop, self._stopped = socket.socketpair()
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def _accept(self):
        waits = select.poll()
        waits.register(self._listener, select.POLLIN)
        waits.register(self._stopped, select.POLLIN)
        is_over = False
        while True:
            with contextlib.suppress(BlockingIOError):
                while True:
                    self._start(self._listener.accept()[0])
            if is_over:
                return
            is_over = self._stopped.fileno() in dict(waits.poll())

    def _start(self, sock):
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(DEADLINE)
        self._open.append(sock)
        thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self, sock):
        waited = waited_to_run()
        with contextlib.suppress(OSError):
            self._handler(sock)
        with contextlib.suppress(OSError):
            sock.close()
        self.waits.append(waited_to_run() - waited)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self._stop.sendall(b"x")
        self._acceptor.join(DEADLINE)
        for sock in self._listener, self._stop, self._stopped:
            sock.close()
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(DEADLINE)


def documents_server(sock):
    """Handler for PythonServer: the documents' threaded echo."""
    sock.sendall(BANNER)
    while True:
        message = sock.recv(2048)
        if not message:
            return
        sock.sendall(PREFIX + message)


class Terminal:
    """A program on a pseudo-terminal, with somebody who types."""

    def __init__(self, *args, term="xterm", shell=None,
                 program_of="WEIR_CLIENT"):
        self.seen = self.all = b""
        env = dict(os.environ, TERM=term, LC_ALL="C.UTF-8")
        env.pop("EDITRC", None)
        argv = [program(program_of), *args]
        if shell:
            argv = ["/bin/sh", "-c", shell, "sh", *argv]
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            try:
                os.execve(argv[0], argv, env)
            finally:
                os._exit(127)
        self._status = None

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self._status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._fd)

    def type(self, data):
        os.write(self._fd, data)

    def screen(self):
        """The lines that a person sees, as far as they have been read."""
        return shown(self.all)

    def resize(self, columns):
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ,
                    struct.pack("HHHH", 24, columns, 0, 0))

    def is_canonical(self):
        return bool(termios.tcgetattr(self._fd)[3] & termios.ICANON)

    def set_canonical(self):
        mode = termios.tcgetattr(self._fd)
        mode[3] |= termios.ICANON | termios.ECHO
        termios.tcsetattr(self._fd, termios.TCSANOW, mode)

    def hang_up(self):
        os.close(self._fd)
        self._fd = os.open(os.devnull, os.O_RDONLY)

    def _read(self, seconds):
        """False at the end of what the program writes."""
        if not select.select([self._fd], [], [], max(seconds, 0))[0]:
            return True
        try:
            piece = os.read(self._fd, 65536)
        except OSError:
            piece = b""
        self.seen += piece
        self.all += piece
        return bool(piece)

    def expect(self, what, seconds=DEADLINE):
        """Wait for these bytes, and forget what came up to them."""
        end = time.monotonic() + seconds
        while what not in self.seen:
            left = end - time.monotonic()
            if left <= 0 or not self._read(left):
                raise AssertionError("no %r in %r" % (what, self.seen))
        before, self.seen = self.seen.split(what, 1)
        return before

    def end(self):
        """Wait for the end; return the exit status, negative for a signal."""
        end = time.monotonic() + DEADLINE
        while self._read(end - time.monotonic()):
            if time.monotonic() > end:
                raise AssertionError("it goes on, after %r" % self.seen)

        def reaped():
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
            return pid
        until(reaped, "the end of the client")
        return self._status


def shown(data, columns=80):
    """What a terminal shows after these bytes: its lines, without the blanks
    at their ends.  Knows what line editing uses."""
    rows, row, column = [[]], 0, 0
    for codes, final, char in re.findall(
            r"\x1b\[([0-9;?]*)([A-Za-z@])|([^\x1b])",
            data.decode(errors="replace")):
        count = int(codes or 1) if codes.isdecimal() or not codes else 0
        if final == "A":
            row = max(row - count, 0)
        elif final == "B":
            row += count
        elif final == "C":
            column += count
        elif final == "D":
            column = max(column - count, 0)
        elif final == "G":
            column = count - 1
        elif final in "JK" and final:
            del rows[row][column:]
            if final == "J":
                del rows[row + 1:]
        elif final == "P":
            del rows[row][column:column + count]
        elif final == "@":
            rows[row][column:column] = [" "] * count
        elif char == "\r":
            column = 0
        elif char == "\n":
            row += 1
        elif char == "\b":
            column = max(column - 1, 0)
        elif char >= " ":
            cells = [char]
            if unicodedata.east_asian_width(char) in "WF":
                cells.append("")  # its second column
            if column + len(cells) > columns:
                row, column = row + 1, 0
            while len(rows) <= row:
                rows.append([])
            rows[row] += [" "] * (column + len(cells) - len(rows[row]))
            rows[row][column:column + len(cells)] = cells
            column += len(cells)
        while len(rows) <= row:
            rows.append([])
    return ["".join(cells).rstrip() for cells in rows]


def free_port(host="127.0.0.1"):
    """For a server that sets SO_REUSEADDR; "" is each address.  It is bound
    until the end of this process, so that no other gets it."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind((host, 0))
    atexit.register(holder.close)
    return holder.getsockname()[1]


def nobody():
    """An address where nobody listens."""
    return "127.0.0.1:%d" % free_port()


def is_listening(where):
    """Does a socket listen on this IPv4 address?  The kernel is asked: a
    connection made to find out would be one of those that the server counts."""
    port = ":%04X" % int(where.rpartition(":")[2])
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    return any(row[1].endswith(port) and row[3] == "0A" for row in rows)


def is_alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def sleeps(pid):
    """Does each thread of the process wait for something, and not for a
    processor?"""
    for thread in os.listdir("/proc/%d/task" % pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), \
                open("/proc/%d/task/%s/stat" % (pid, thread)) as stat:
            if stat.read().rsplit(")", 1)[1].split()[0] != "S":
                return False
    return True


def is_frozen(pid):
    """All its threads, which stop one after the other."""
    for path in glob.glob("/proc/%d/task/*/stat" % pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), \
                open(path) as file:
            if file.read().rsplit(")", 1)[1].split()[0] != "T":
                return False
    return True


def freeze(pid):
    """Until SIGCONT."""
    os.kill(pid, signal.SIGSTOP)
    until(lambda: is_frozen(pid), "the process to be stopped")


def stuff(sock, server):
    """Send until the server, which gets no room for its answers, stops
    reading."""
    sock.setblocking(False)
    end = time.monotonic() + DEADLINE
    idle_since, slept = time.monotonic(), False
    while True:
        try:
            sock.send(b"x" * 65536)
            idle_since, slept = time.monotonic(), False
        except BlockingIOError:
            # One that slept before could have read more.
            if slept and time.monotonic() - idle_since > 0.3:
                return
            slept = sleeps(server.pid)
            select.select([], [sock], [], 0.05)
        if time.monotonic() > end:
            raise AssertionError("the server reads and reads")


def is_in_main(pid):
    """Has weir-server come so far that SIGTERM waits for it?  In the build
    folder it is started by a shell script, which does not count."""
    with contextlib.suppress(OSError):
        if not os.readlink("/proc/%d/exe" % pid).endswith("weir-server"):
            return False
        with open("/proc/%d/status" % pid) as status:
            mask = re.search(r"^SigBlk:\s*([0-9a-f]+)", status.read(), re.M)
            return int(mask[1], 16) >> (signal.SIGTERM - 1) & 1
    return False


def full_pipe():
    """A pipe that takes nothing more: (read end, write end)."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    for size in (65536, 1):
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b"x" * size)
    os.set_blocking(writer, True)
    return reader, writer


def set_loopback(flags):
    """IFF_UP, or 0: it carries nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        lo = struct.pack("16sh14x", b"lo", flags)
        fcntl.ioctl(sock, SIOCSIFFLAGS, lo)


def network_of_its_own():
    """For the calling thread and what it starts; False where not allowed."""
    unshare = ctypes.CDLL(None).unshare
    if unshare(CLONE_NEWNET) and unshare(CLONE_NEWUSER | CLONE_NEWNET):
        return False
    set_loopback(IFF_UP)
    return True


def fields_of(name):
    """Those of a struct of weir.h that count something."""
    with open(os.path.join(os.path.dirname(__file__), "..", "..", "lib",
                           "weir.h")) as file:
        struct = re.search(r"^struct weir_%s \{\n(.*?)^\};" % name, file.read(),
                           re.M | re.S)[1]
    fields = re.findall(r"^\tuint64_t (\w+)", struct, re.M)
    return [field for field in fields if field != "reserved"]


def add_address(test, address):
    """To the loopback interface of such a network.  A server counts it as any
    address of the network, not as loopback."""
    if not shutil.which("ip"):
        test.skipTest("ip is not installed")
    subprocess.run(["ip", "address", "add", address, "dev", "lo"], check=True)


def in_a_network_of_its_own(test, body):
    """Call body() on a thread of its own in such a network; the rest of the
    process stays where it is."""
    failures = []

    def call():
        try:
            if not network_of_its_own():
                test.skipTest("no network namespace allowed here")
            body()
        except Exception as failure:
            failures.append(failure)
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def why_not_preloaded(variable):
    """Why the library that the environment names cannot be loaded before all
    others into a program, or None."""
    if not os.path.exists(os.environ.get(variable, "")):
        return "there is no shared library for %s" % variable
    if SLOWNESS > 1:
        return "a sanitizer wants to be loaded first"
    return None


def is_built_without(library):
    """Are the programs?  weir-client -V names the libraries they lack."""
    return b"(%s)" % library.encode() in run("WEIR_CLIENT", "-V").stdout


def built_with(library):
    """A decorator: skip the tests if the programs are built without it."""
    return unittest.skipIf(is_built_without(library),
                           "built without " + library)


def has_status():
    result = run("WEIR_SERVER", "--status", "127.0.0.1:0", "--check")
    return b"built without it" not in result.stderr


def without_core_dumps():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


# Exceptions that have ended threads.
thread_errors = []


def keep_thread_error(args):
    thread_errors.append(args.exc_value)
    threading.__excepthook__(args)


threading.excepthook = keep_thread_error


class TestCase(unittest.TestCase):
    maxDiff = None
    check_sum = staticmethod(check_sum)

    def run(self, result=None):
        """An exception in a thread of the test is a failure, and so is a thread
        that does not end with it."""
        self.addCleanup(self._check_threads, threading.enumerate())
        return super().run(result)

    def _check_threads(self, before):
        def are_over():
            return set(threading.enumerate()) <= set(before)
        if not thread_errors:
            until(are_over, "the end of the threads of the test")
        errors, thread_errors[:] = thread_errors[:], []
        self.assertEqual(errors, [])

    def folder(self):
        """A folder of this test's own, with a short name."""
        folder = tempfile.TemporaryDirectory(prefix="f-")
        self.addCleanup(folder.cleanup)
        return folder.name

    def skip_without_status(self):
        if not has_status():
            self.skipTest("weir-server is built without --status")

    def skip_without_tls(self):
        result = run("WEIR_SERVER", "--tls-key", "x", "--check")
        if b"built without TLS" in result.stderr:
            self.skipTest("weir-server is built without TLS")

    def load_json(self, server, *options):
        """weir-client load: its result, and its report."""
        if is_built_without("jansson"):
            self.skipTest("built without jansson")
        result = run("WEIR_CLIENT", "load", server.address, *options,
                     "--json", "-")
        return result, json.loads(result.stdout)

    def load_in_time(self, serve, *options):
        """The same, with a new server and with status 0.  It is tried again if
        half of the messages of a rate were not answered in its time, and the
        client or threads here were held up for a good part of that."""
        result = report = None

        def attempt():
            nonlocal result, report
            waited = all_waited()
            with serve() as server:
                result, report = self.load_json(server, *options)
            share = report["metrics"]["rate%"]
            waited = all_waited() - waited + report["metrics"]["stall"] / 1e9
            return (share is None or share >= 50,
                    waited >= report["run"]["elapsed_ns"] / 4e9)
        mostly(attempt)
        self.assertEqual(result.returncode, 0, result)
        return result, report

    def check_usage(self, result, name, *fragments):
        """Exit 2, nothing on stdout, one line that names the thing."""
        self.assertEqual(result.returncode, 2, result)
        self.assertEqual(result.stdout, b"")
        self.check_one_line(result, name, *fragments)

    def check_failure(self, result, *fragments):
        """Exit 1 of the client and one line that says what happened."""
        self.assertEqual(result.returncode, 1, result)
        self.check_one_line(result, "weir-client", *fragments)

    def check_one_line(self, result, name, *fragments):
        # A coverage build adds lines of its own where it may not write.
        text = "".join(line for line in
                       result.stderr.decode().splitlines(keepends=True)
                       if not line.startswith("profiling:"))
        self.assertTrue(text.startswith(name + ": "), text)
        self.assertEqual(text.count("\n"), 1, text)
        self.assertTrue(text.endswith("\n"), text)
        for fragment in fragments:
            self.assertIn(fragment, text)


def main():
    for variable in ("WEIR_SERVER", "WEIR_CLIENT"):
        program(variable)
    without_core_dumps()
    # At the end of its time, too, a test ends what it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    unittest.main(verbosity=2)
