# SPDX-License-Identifier: MIT
"""What the floods and the soak share: the server they are let loose on, loads
whose result is read, and bounds that hold on a busy machine.

A bound on a time is a bound on a median of several rounds, and a test that
exceeds one is repeated once.  All else must be right the first time.
"""

import contextlib
import functools
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "programs"))

from weirtest import (DEADLINE, Pump, TestCase, has_ipv6, main,  # noqa
                      network_of_its_own, program, reset, until)

__all__ = ["DEADLINE", "Flooded", "Load", "TestCase", "allow_descriptors",
           "at_least", "at_most", "check_books", "check_quiet", "has_ipv6",
           "load", "main", "median", "ms", "network_of_its_own",
           "percentile_ms", "reset", "say", "twice", "until"]

ENDED = ("completed", "failed", "timed_out", "refused_full", "refused_age",
         "refused_limit", "refused_drain", "cut")


def say(*words):
    """A figure, for the log of the run."""
    print(*words, file=sys.stderr, flush=True)


def median(values):
    return statistics.median(values)


def ms(ns):
    return ns / 1e6


def percentile_ms(found, clock, percent):
    """Of the result of a load."""
    return ms(next(p["ns"] for p in found["clocks"][clock]["percentiles"]
                   if p["percent"] == percent))


class TooSlow(AssertionError):
    """A bound on a time or a rate does not hold."""


def at_most(figure, bound):
    """Of a time."""
    if not figure <= bound:
        raise TooSlow("%r, and at most %r is allowed" % (figure, bound))


def at_least(figure, bound):
    """Of a rate."""
    if not figure >= bound:
        raise TooSlow("%r, and at least %r is required" % (figure, bound))


def twice(test):
    """A machine that others use too is given a second chance, no third."""
    @functools.wraps(test)
    def attempt(self):
        try:
            test(self)
        except TooSlow as failure:
            say("once more, because:", failure)
            self.doCleanups()
            test(self)
    return attempt


def allow_descriptors():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Flooded:
    """flood_server, running; leaving the context ends it, if it still is."""

    def __init__(self, *services, **settings):
        self._process = subprocess.Popen(
            [program("WEIR_FLOOD_SERVER"),
             *("%s=%d" % pair for pair in settings.items()), *services],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        self._lock = threading.Lock()
        self.pid = self._process.pid
        self.log = Pump(self._process.stderr)
        self.addresses = []

    def __enter__(self):
        while (line := self._process.stdout.readline()) != "ready\n":
            if not line:
                raise AssertionError(self.log.rest())
            self.addresses.append(line.strip())
        return self

    def __exit__(self, failure, *unused):
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self.log.close()
        if self._process.returncode != 0:
            how = "the server ended with status %d: %s" % (
                self._process.returncode, self.log.data.decode())
            say(how)
            if failure is None:
                raise AssertionError(how)

    def _order(self, words):
        with self._lock:
            self._process.stdin.write(words + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())

    def stats(self):
        """Counters, gauges, heap in use, processor time."""
        return self._order("stats")

    def stop(self, grace_ms):
        """The report of the stop."""
        return self._order("stop %d" % grace_ms)

    def rss(self):
        """Bytes."""
        with open("/proc/%d/statm" % self.pid) as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    def trimmed_rss(self):
        """Without what the heap keeps of what was freed."""
        self._order("trim")
        return self.rss()

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.pid))

    def threads(self):
        return len(os.listdir("/proc/%d/task" % self.pid))

    def comes_to_rest(self, seconds=DEADLINE):
        """Wait until nothing is open; the books are exact then."""
        def rest():
            now = self.stats()
            return now if now["open"] == 0 else None
        now = until(rest, "nothing open", seconds)
        check_books(now)
        return now


def check_books(now):
    ended = sum(now[column] for column in ENDED)
    if now["accepted"] != ended + now["open"]:
        raise AssertionError("the books do not balance: %r" % now)


class Load:
    """weir-client load, running in the background; result() waits."""

    def __init__(self, where, *options):
        self._file = tempfile.NamedTemporaryFile(prefix="weir-load-")
        self._process = subprocess.Popen(
            [program("WEIR_CLIENT"), "load", where, "--json",
             self._file.name, *map(str, options)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        self._file.close()

    def interrupt(self):
        """It has lasted long enough; there will be no result."""
        if self._process.poll() is not None:
            raise AssertionError(self._process.stdout.read().decode())
        self._process.send_signal(signal.SIGINT)
        self._process.wait(DEADLINE)

    def has_ended(self):
        return os.path.getsize(self._file.name) > 0

    def result(self, may_be_incomplete=False):
        """Status 1 says that not all of the plan was sent: what a load beyond
        the capacity is made for."""
        text = self._process.stdout.read().decode()
        allowed = (0, 1) if may_be_incomplete else (0,)
        if self._process.wait() not in allowed or not self.has_ended():
            raise AssertionError(text)
        with open(self._file.name) as file:
            return json.load(file)


def load(where, *options):
    """The result of a load, when it has ended."""
    with Load(where, *options) as running:
        return running.result()


def check_quiet(test, server):
    """At rest the books are exact, and were possible all the time."""
    now = server.comes_to_rest()
    test.assertEqual(now["impossible"], 0, server.log.data.decode())
    return now
