# SPDX-License-Identifier: MIT
"""One server under one load: start both, sample both, stop both."""

import ctypes
import glob
import os
import resource
import signal
import socket
import ssl
import subprocess
import time
from contextlib import ExitStack, contextmanager

from loads import Trouble
from workloads import SERVERS

CONGESTION = "/proc/sys/net/ipv4/tcp_congestion_control"
CERTIFICATE = "tls.pem"
PROCESSORS = len(os.sched_getaffinity(0))
WANTED_LATENCIES = ("p50", "p99", "p999", "connect_p99", "connect_max")


def raise_file_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def read_word(path):
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def write_word(path, word):
    with open(path, "w", encoding="ascii") as file:
        file.write(f"{word}")


def go_apart():
    """Enter a network namespace of our own, with the congestion control that
    every kernel has: other sockets and the machine's tuning stay outside."""
    clone_newnet = 0x40000000
    if ctypes.CDLL(None, use_errno=True).unshare(clone_newnet) != 0:
        raise Trouble("--apart: " + os.strerror(ctypes.get_errno()))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    write_word(CONGESTION, "reno")


class Running:
    """A server that listens."""

    def __init__(self, process, port, is_tls=False):
        self.process, self.pid, self.port = process, process.pid, port
        self.is_tls = is_tls

    def pids(self):
        """Its own and those of its children, if it works in these."""
        with open(f"/proc/{self.pid}/task/{self.pid}/children",
                  encoding="ascii") as children:
            return [self.pid, *map(int, children.read().split())]

    def files(self):
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.pids())

    def rss_kib(self):
        return self._sum("status", "VmRSS:")

    def switches(self):
        """Context switches of the threads that exist now."""
        return self._sum("task/*/status", "voluntary_ctxt_switches:",
                         "nonvoluntary_ctxt_switches:")

    def _sum(self, pattern, *names):
        total = 0
        for path in (path for pid in self.pids()
                     for path in glob.glob(f"/proc/{pid}/{pattern}")):
            with open(path, encoding="ascii") as status:
                words = [line.split() for line in status]
            total += sum(int(w[1]) for w in words if w and w[0] in names)
        return total

    def stop(self, seconds=30):
        """Terminate it; returns how long that took, and its output."""
        began = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            said = self.process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            self.process.kill()
            said = self.process.communicate()[0]
        return time.monotonic() - began, said


def threads_for(server, load, threads):
    if SERVERS[server].threads:
        return SERVERS[server].threads
    if not SERVERS[server].holds_thread:
        return threads or PROCESSORS
    return load["connections"] + load.get("sleepers", 0) + load.get("idle", 0)


def limited(server, cpus):
    """A function that the server's process calls before exec."""
    files = SERVERS[server].files

    def begin():
        if cpus:
            os.sched_setaffinity(0, cpus)
        if files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    return begin


@contextmanager
def system_set(values):
    """System settings for the time of a run, in a network namespace."""
    before = {}
    try:
        for name, value in values.items():
            path = "/proc/sys/" + name.replace(".", "/")
            before[path] = read_word(path)
            write_word(path, value)
        yield
    finally:
        for path, value in before.items():
            write_word(path, value)


def is_built(bins, server):
    needs = SERVERS[server].command[:1]
    if SERVERS[server].clear:
        needs.append(CERTIFICATE)
    return all(os.path.exists(os.path.join(bins, name)) for name in needs)


@contextmanager
def running(bins, server, threads, cpus=None, wrapper=(), env=None, to=None):
    """to: the server that it relays to."""
    program, *more = SERVERS[server].command
    command = [*wrapper, os.path.join(bins, program), *more, "--port", "0",
               "--threads", str(threads)]
    is_tls = SERVERS[server].clear is not None
    if to:
        command += ["--to", str(to.port)]
    if is_tls:
        command += ["--certificate", os.path.join(bins, CERTIFICATE)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True,
        preexec_fn=limited(server, cpus), env={**os.environ, **(env or {})})
    it = None
    try:
        line = process.stdout.readline().split()
        if line[:1] != ["listening"]:
            raise Trouble(f"{server} did not start")
        it = Running(process, int(line[1]), is_tls)
        yield it
    finally:
        (it or Running(process, 0)).stop()


def connect(it):
    s = socket.create_connection(("127.0.0.1", it.port), 10)
    s.settimeout(10)
    if not it.is_tls:
        return s
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(s)


def exchange(s, message):
    s.sendall(message)
    got = b""
    while len(got) < len(message):
        piece = s.recv(1 << 16)
        if not piece:
            raise Trouble("the server hung up")
        got += piece
    if got != message:
        raise Trouble("the echo differs from what was sent")


def probe(it, lines=2000):
    """Check that it echoes any amount, and sleeps as told.  Returns the cipher
    of TLS."""
    much = b"".join(b"x" + os.urandom(25).hex().encode() + b"\n"
                    for _ in range(lines))
    with connect(it) as s:
        exchange(s, much)
        began = time.monotonic()
        exchange(s, b"SLEEP 30\n")
        if time.monotonic() - began < 0.03:
            raise Trouble("the server did not sleep as told")
        return s.cipher()[0] if it.is_tls else None


def machine_busy_s():
    with open("/proc/stat", encoding="ascii") as stat:
        ticks = [int(word) for word in stat.readline().split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def figures(result):
    """The metrics of workloads.py from the result of a load."""
    messages = result["messages"]
    if not messages:
        raise Trouble("no message came back")
    out = {"rate": messages / result["seconds"],
           "cpu_us": result["server_cpu_s"] / messages * 1e6}
    if result["own_cpu_s"]:
        out["cpu_rel"] = result["server_cpu_s"] / result["own_cpu_s"]
    for name, value in result["latency_us"].items():
        if name in WANTED_LATENCIES:
            out[f"{name}_us"] = value
    for name in ("errors", "unserved"):
        if result.get(name):
            out[name] = result[name]
    return out


def run_load(it, gen, load, seconds, warmup):
    """A load on a running server: figures and how far to trust them."""
    idle = load.get("idle", 0)
    cipher = probe(it)
    before = it.rss_kib()
    gen.open(it, load, seconds, warmup)
    opened = it.rss_kib()
    gen.begun()
    began, busy, switches = time.monotonic(), machine_busy_s(), it.switches()
    result = gen.finish()
    passed = time.monotonic() - began
    busy, switches = machine_busy_s() - busy, it.switches() - switches
    out = figures(result)
    out["switches"] = switches / passed / out["rate"]
    out["rss_kib"] = it.rss_kib()
    if idle:
        out["idle_bytes"] = (opened - before) * 1024 / idle
    used = (result["server_cpu_s"] + result["own_cpu_s"]) / result["seconds"]
    others = max(0, busy / passed - used) / PROCESSORS
    return out, {"others": others, **({"cipher": cipher} if cipher else {}),
                 **{name: result[name] for name in ("messages", "verdict")
                    if name in result}}


def half_peak(it, gen, load, seconds, warmup):
    gen.open(it, load, min(seconds, 2), warmup)
    gen.begun()
    peak = figures(gen.finish())["rate"]
    return run_load(it, gen, {**load, "rate": peak / 2}, seconds, warmup)


def idle(it, _gen, load, _seconds, _warmup):
    """The memory of connections after an exchange: their handshakes are over.
    """
    probe(it)
    before = it.rss_kib()
    with ExitStack() as opened:
        for _ in range(load["idle"]):
            exchange(opened.enter_context(connect(it)), bytes(64))
        grown = it.rss_kib() - before
    return {"idle_bytes": grown * 1024 / load["idle"]}, {}


def stop(it, gen, load, _seconds, _warmup):
    """The time of a graceful stop with all these connections open."""
    gen.open(it, load, 600)
    if it.process.poll() is not None:
        raise Trouble(f"it ended with {it.process.returncode} before the stop")
    stop_s, said = it.stop()
    gen.hang_up()
    return {"stop_s": stop_s}, {"said": said.strip()}
