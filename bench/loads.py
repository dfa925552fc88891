# SPDX-License-Identifier: MIT
"""Load generators.  open() returns when the connections are open and the load
begins, begun() when the measured part begins, and finish() returns the result:
messages, errors, seconds, own_cpu_s and server_cpu_s over these seconds, and
latency_us.  hang_up() ends the load at any time."""

import json
import os
import subprocess
import tempfile
import time


class Trouble(Exception):
    pass


def pin(cpus):
    return (lambda: os.sched_setaffinity(0, cpus)) if cpus else None


def cpu_clock(pid):
    """The CPU time clock of a process, as clock_getcpuclockid(3) returns it."""
    return ~pid << 3 | 2


class Gauge:
    """The CPU times of the server's processes and of the load, sampled repeatedly: the load reports
    only afterwards when its measured part was."""

    EVERY = 0.01

    def __init__(self, server, load):
        self.clocks = [[cpu_clock(pid) for pid in pids]
                       for pids in (server, load)]
        self.looks = []
        self.look()

    def look(self):
        at = time.time()
        try:
            self.looks.append((at, *(sum(map(time.clock_gettime, clocks))
                                     for clocks in self.clocks)))
        except OSError:
            pass  # one of them has just ended

    def between(self, begin, end):
        """The CPU time of each from begin to end."""
        return [high - low for low, high
                in zip(self._at(begin), self._at(end))]

    def _at(self, when):
        after = next((i for i, look in enumerate(self.looks)
                      if look[0] >= when), len(self.looks) - 1)
        if after == 0:
            return self.looks[0][1:]
        a, b = self.looks[after - 1], self.looks[after]
        part = (when - a[0]) / (b[0] - a[0])
        return [low + (high - low) * part for low, high in zip(a[1:], b[1:])]


class WeirClient:
    """weir-client load.  The clients that make the server sleep are a second
    process of it."""

    def __init__(self, program, cpus=None, threads=1):
        self.program, self.cpus, self.threads = program, cpus, threads

    def _start(self, server, *words):
        tls = ["--tls", "--insecure"] if server.is_tls else []
        return subprocess.Popen(
            [self.program, "load", f"127.0.0.1:{server.port}", *tls,
             *map(str, words)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, preexec_fn=pin(self.cpus))

    def open(self, server, load, seconds, warmup=0, messages=0):
        self.folder = tempfile.TemporaryDirectory()
        self.report = os.path.join(self.folder.name, "report.json")
        self.sleepers = None
        files = server.files()
        if load.get("sleepers"):
            self.sleepers = self._start(
                server, "-c", load["sleepers"], "-d", "600s",
                "--text", f"SLEEP {load['sleep_ms']}\n")
        self.process = self._start(
            server, *self._words(load, seconds, warmup, messages))
        self.gauge = Gauge(server.pids(), [self.process.pid])
        self._wait_for_connections(server, load, files)
        self.begins_at = time.time() + warmup

    def _words(self, load, seconds, warmup, messages):
        words = ["--json", self.report, "-T", self.threads,
                 "-c", load["connections"]]
        if warmup:
            words += ["--warmup", f"{warmup * 1000:.0f}ms"]
        words += ["-n", messages] if messages else \
            ["-d", f"{seconds * 1000:.0f}ms"]
        for name, option in (("depth", "-P"), ("idle", "--idle")):
            if load.get(name):
                words += [option, load[name]]
        if load.get("rate"):
            words += ["--rate", f"{load['rate']:.0f}"]
        if load.get("churn"):
            words.append("--churn")
        if load.get("sources"):
            words += ["--source", ",".join(f"127.0.0.{n + 2}" for n
                                           in range(load["sources"]))]
        if "text" in load:
            return words + ["--text", load["text"]]
        return words + ["-s", load["size"]]

    def _wait_for_connections(self, server, load, before):
        """Until the server has accepted them; with churn not at all."""
        if load.get("churn"):
            return
        # A connection that has just closed may be counted in `before`.
        wanted = before - 1 + load["connections"] + load.get("idle", 0) + \
            load.get("sleepers", 0)
        deadline = time.monotonic() + load.get("patience", 20)
        while server.files() < wanted:
            if self.process.poll() is not None:
                return  # it was short; finish() sees whether it failed
            if time.monotonic() > deadline:
                if "patience" in load:
                    return
                self.hang_up()
                raise Trouble("the connections were not taken")
            self.gauge.look()
            time.sleep(Gauge.EVERY)

    def _fail(self):
        said = self.process.stderr.read().strip()
        self.hang_up()
        raise Trouble(f"the load failed: {said or self.process.returncode}")

    def begun(self):
        self._look_until(lambda: time.time() >= self.begins_at)

    def _look_until(self, is_time):
        while self.process.poll() is None and not is_time():
            self.gauge.look()
            time.sleep(Gauge.EVERY)

    def finish(self):
        self._look_until(lambda: False)
        if not os.path.exists(self.report):
            self._fail()
        with open(self.report, encoding="utf-8") as file:
            said = json.load(file)
        if self.sleepers and self.sleepers.poll() is not None:
            why = self.sleepers.stderr.read().strip()
            self.hang_up()
            raise Trouble(f"the clients that make it sleep have ended: {why}")
        self.hang_up()
        return self._result(said)

    def _result(self, said):
        metrics, begin = said["metrics"], said["run"]["started"]
        seconds = said["run"]["elapsed_ns"] / 1e9
        server, own = self.gauge.between(begin, begin + seconds)
        latency = {name: metrics[key] / 1000 for name, key in (
            ("p50", "p50"), ("p99", "p99"), ("p999", "p99.9"),
            ("connect_p99", "connect.p99"), ("connect_max", "connect.max"))
            if metrics[key] is not None}
        return {"messages": metrics["answered"] - metrics["wrong"],
                "errors": metrics["errors"],
                "unserved": said["connections"]["asked"] - metrics["served"],
                "seconds": seconds, "own_cpu_s": own, "server_cpu_s": server,
                "latency_us": latency, "verdict": said["verdict"]["verdict"]}

    def hang_up(self):
        for process in (self.process, self.sleepers):
            if process:
                process.terminate()
                process.wait()
                process.stderr.close()
        self.folder.cleanup()


def arguments(load, **more):
    words = []
    for name, value in {**load, **more}.items():
        if value is True:
            words.append(f"--{name.replace('_', '-')}")
        elif value:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return words


class Bare:
    """bench/bin/gen, which checks only the length of replies."""

    def __init__(self, program, cpus=None):
        self.program, self.cpus = program, cpus

    def open(self, server, load, seconds, warmup=0, messages=0):
        self.process = subprocess.Popen(
            [self.program, "--port", str(server.port), "--server",
             str(server.pid), *arguments(load, seconds=seconds, warmup=warmup,
                                         messages=messages)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            preexec_fn=pin(self.cpus))
        self._expect("open")

    def _expect(self, word):
        line = self.process.stdout.readline().strip()
        if line != word:
            self.hang_up()
            raise Trouble(f"the load failed before '{word}'")

    def begun(self):
        self._expect("begin")

    def finish(self):
        line = self.process.stdout.readline()
        self.hang_up()
        if not line:
            raise Trouble("the load failed")
        return json.loads(line)

    def hang_up(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.stdout.close()
        self.process.wait()
