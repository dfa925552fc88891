# SPDX-License-Identifier: MIT
"""One server under one load: start both, sample both, stop both."""

import ctypes
import glob
import json
import os
import resource
import signal
import socket
import subprocess
import time
from contextlib import contextmanager

from works import SERVERS

CONGESTION = "/proc/sys/net/ipv4/tcp_congestion_control"
PROCESSORS = len(os.sched_getaffinity(0))


class Trouble(Exception):
    pass


def raise_file_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def read_word(path):
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def go_apart():
    """Into a network namespace of our own, with the congestion control that
    is always there: others' sockets and the machine's tuning stay outside."""
    clone_newnet = 0x40000000
    if ctypes.CDLL(None, use_errno=True).unshare(clone_newnet) != 0:
        raise Trouble("--apart: " + os.strerror(ctypes.get_errno()))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with open(CONGESTION, "w", encoding="ascii") as control:
        control.write("reno")


def pin(cpus):
    return (lambda: os.sched_setaffinity(0, cpus)) if cpus else None


class Running:
    """A server that listens."""

    def __init__(self, process, port):
        self.process, self.pid, self.port = process, process.pid, port

    def rss_kib(self):
        return self._sum(f"/proc/{self.pid}/status", "VmRSS:")

    def switches(self):
        """Times a thread that lives has gone to sleep or was put aside."""
        return self._sum(f"/proc/{self.pid}/task/*/status",
                         "voluntary_ctxt_switches:",
                         "nonvoluntary_ctxt_switches:")

    def _sum(self, pattern, *names):
        total = 0
        for path in glob.glob(pattern):
            with open(path, encoding="ascii") as status:
                words = [line.split() for line in status]
            total += sum(int(w[1]) for w in words if w and w[0] in names)
        return total

    def stop(self, seconds=30):
        """Ask it to end; returns how long that took and what it said."""
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
    if not SERVERS[server].holds_thread:
        return threads or PROCESSORS
    return load["connections"] + load.get("sleepers", 0) + load.get("idle", 0)


@contextmanager
def running(bins, server, threads, cpus=None, wrapper=(), env=None):
    program, *more = SERVERS[server].command
    command = [*wrapper, os.path.join(bins, program), *more, "--port", "0",
               "--threads", str(threads)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, preexec_fn=pin(cpus),
        env={**os.environ, **(env or {})})
    it = None
    try:
        line = process.stdout.readline().split()
        if line[:1] != ["listening"]:
            raise Trouble(f"{server} did not start")
        it = Running(process, int(line[1]))
        yield it
    finally:
        (it or Running(process, 0)).stop()


def probe(port, lines=2000):
    """It echoes, however much comes, and sleeps if told to."""
    much = b"".join(b"x" + os.urandom(25).hex().encode() + b"\n"
                    for _ in range(lines))
    with socket.create_connection(("127.0.0.1", port), 10) as s:
        s.settimeout(10)
        for message in (much, b"SLEEP 30\n"):
            began = time.monotonic()
            s.sendall(message)
            got = b""
            while len(got) < len(message):
                piece = s.recv(1 << 16)
                if not piece:
                    raise Trouble("the server hung up")
                got += piece
            if got != message:
                raise Trouble("the echo differs from what was sent")
        if time.monotonic() - began < 0.03:
            raise Trouble("the server did not sleep as told")


def machine_busy_s():
    with open("/proc/stat", encoding="ascii") as stat:
        ticks = [int(word) for word in stat.readline().split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def arguments(load, **more):
    words = []
    for name, value in {**load, **more}.items():
        if value is True:
            words.append(f"--{name.replace('_', '-')}")
        elif value:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return words


class Gen:
    """The adapter to bench/bin/gen.  Another load generator needs a class
    with the same two steps: open() returns when the connections stand and
    finish() returns a dictionary with messages, errors, seconds, own_cpu_s,
    server_cpu_s (over the same seconds) and latency_us with p50, p99, p999.
    """

    def __init__(self, bins, cpus=None):
        self.program, self.cpus = os.path.join(bins, "gen"), cpus

    def open(self, server, load, **more):
        self.process = subprocess.Popen(
            [self.program, "--port", str(server.port), "--server",
             str(server.pid), *arguments(load, **more)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            preexec_fn=pin(self.cpus))
        self._expect("open")

    def _expect(self, word):
        line = self.process.stdout.readline().strip()
        if line != word:
            self.process.wait()
            raise Trouble(f"the load generator failed before '{word}'")

    def warmed(self):
        self._expect("begin")

    def finish(self):
        line = self.process.stdout.readline()
        self.hang_up()
        if not line:
            raise Trouble("the load generator failed")
        return json.loads(line)

    def hang_up(self):
        self.process.stdin.close()
        self.process.wait()


def figures(result):
    """The metrics of works.py from what the generator said."""
    messages = result["messages"]
    if not messages:
        raise Trouble("no message came back")
    out = {"rate": messages / result["seconds"],
           "cpu_us": result["server_cpu_s"] / messages * 1e6,
           "cpu_rel": result["server_cpu_s"] / result["own_cpu_s"]}
    for name in ("p50", "p99", "p999"):
        out[f"{name}_us"] = result["latency_us"][name]
    return out


def run_load(it, gen, load, seconds, warmup):
    """A load on a running server: figures and the raw result."""
    idle = load.get("idle", 0)
    probe(it.port)
    before = it.rss_kib()
    gen.open(it, load, seconds=seconds, warmup=warmup)
    opened = it.rss_kib()
    gen.warmed()
    busy, switches = machine_busy_s(), it.switches()
    result = gen.finish()
    busy, switches = machine_busy_s() - busy, it.switches() - switches
    out = figures(result)
    out["switches"] = switches / result["messages"]
    out["rss_kib"] = it.rss_kib()
    if idle:
        out["idle_bytes"] = (opened - before) * 1024 / idle
    result["others_cpu_s"] = max(
        0, busy - result["server_cpu_s"] - result["own_cpu_s"])
    return out, result


def half_peak(it, gen, load, seconds, warmup):
    gen.open(it, load, seconds=min(seconds, 2), warmup=0.5)
    gen.warmed()
    peak = figures(gen.finish())["rate"]
    return run_load(it, gen, {**load, "rate": peak / 2}, seconds, warmup)


def stop(it, gen, load, seconds, warmup):
    """How long a graceful stop takes with all these connections open."""
    gen.open(it, load, seconds=60, warmup=0.2)
    gen.warmed()
    stop_s, said = it.stop()
    result = gen.finish()
    return {"stop_s": stop_s}, {"said": said.strip(), **result}
