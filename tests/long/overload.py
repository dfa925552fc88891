#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Overload: four workers whose callbacks take 10 ms can serve 400 requests a
second on any machine, and are asked for twice and ten times as many.

New connections, under `refuse`: a queue of 16 is 40 ms of work.  Who finds it
full is told so at once, so that those who are let in are served in time.

New connections, under `hold`: nobody is refused, the excess waits in the
kernel.

Messages on connections that are open already stand in no queue: nothing is
refused.  A connection has at most one callback at a time, and what it sends
meanwhile waits in its socket, at its own cost.  So no reply takes longer than
each of the others needs for one callback."""

import contextlib
import socket
import threading
import time

from flooding import (Flooded, Load, TestCase, at_least, at_most, check_quiet,
                      load, main, percentile_ms, say, twice)

WORKERS, WORK_MS = 4, 10
CAPACITY = WORKERS * 1000 // WORK_MS
QUEUE = 16
DEADLINE_MS = 100
REFUSAL = b"busy, try later\n"
# Ports in TIME_WAIT are no limit with so many addresses.
SOURCES = ",".join("127.0.0.%d" % i for i in range(1, 9))
CHURN = ("--churn", "--expect", "line", "--source", SOURCES)
# They come one after the other, so that the queue refuses none of them.
KEPT_COUNT = 100
KEPT = ("-c", KEPT_COUNT, "--connect-rate", 200, "--expect", "echo")
SECONDS = 5


def work(**settings):
    return Flooded("work@127.0.0.1:0", workers=WORKERS,
                   work_us=WORK_MS * 1000, **settings)


class Prober:
    """Asks as an ordinary client does, beside the load, and notes how long
    it takes to be refused."""

    def __init__(self, where):
        self.refused_ms = []
        self.odd = []
        host, port = where.rsplit(":", 1)
        self._where = (host, int(port))
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *unused):
        self._is_over.set()
        self._thread.join()

    def _ask(self):
        while not self._is_over.wait(0.004):
            began = time.perf_counter()
            try:
                with socket.create_connection(self._where, 10) as sock:
                    with contextlib.suppress(BrokenPipeError):
                        sock.sendall(b"hello\n")
                    answer = sock.recv(100)
            except OSError as error:
                answer = repr(error)
            if answer == REFUSAL:
                self.refused_ms.append((time.perf_counter() - began) * 1e3)
            elif answer != b"hello\n":
                self.odd.append(answer)


def rate_of(server, what, seconds):
    """How fast a counter of the server goes up."""
    before, began = server.stats()[what], time.perf_counter()
    time.sleep(seconds)
    return (server.stats()[what] - before) / (time.perf_counter() - began)


class Overload(TestCase):
    def peak(self, server, what, *options):
        with Load(server.addresses[0], "-c", QUEUE, "-d", "2500ms",
                  *options) as running:
            time.sleep(0.5)
            peak = rate_of(server, what, 1.8)
            running.result()
        return peak

    def usual_p95(self, where, *options):
        """Of half of what it can serve, in ms; the server has a second to
        recover before that."""
        found = load(where, "-r", CAPACITY // 2, "-d", "4s", "--warmup", "1s",
                     *options)
        self.assertEqual(found["metrics"]["errors"], 0, found["errors"])
        return percentile_ms(found, "from-plan", 95)

    def recovers(self, before_ms, after_ms):
        say("p95 of half the load: %.1f ms before, %.1f ms from one second "
            "after" % (before_ms, after_ms))
        at_most(after_ms, 1.5 * before_ms + 5)

    def flood(self, server, times, least):
        """New connections, so many times what it can serve."""
        peak = self.peak(server, "completed", *CHURN)
        with Load(server.addresses[0], *CHURN, "-c", 400, "-r",
                  times * CAPACITY, "-d", "%ds" % SECONDS) as running, \
                Prober(server.addresses[0]) as prober:
            time.sleep(1)
            rss = server.rss()
            good = rate_of(server, "completed", SECONDS - 2)
            rss = server.rss() - rss
            found = running.result(may_be_incomplete=True)
        refused = sorted(prober.refused_ms)
        p99 = refused[len(refused) * 99 // 100]
        p95 = percentile_ms(found, "from-plan", 95)
        say("%2d x: goodput %.1f%% of %.0f a second; refused p99 %.2f ms of "
            "%d; answers p95 %.1f ms; RSS + %d KB" %
            (times, 100 * good / peak, peak, p99, len(refused), p95,
             rss >> 10))
        self.assertEqual(prober.odd, [])
        self.assertEqual(found["metrics"]["errors"], 0, found["errors"])
        at_least(good, least * peak)
        at_most(p99, 10)
        at_most(p95, DEADLINE_MS)
        self.assertLess(rss, 512 << 10)

    @twice
    def test_new_connections_are_served_or_refused_at_once(self):
        with work(refuse=1, queue=QUEUE) as server:
            where = server.addresses[0]
            before = self.usual_p95(where, *CHURN)
            self.flood(server, 2, 0.95)
            self.flood(server, 10, 0.90)
            self.recovers(before, self.usual_p95(where, *CHURN))
            check_quiet(self, server)

    @twice
    def test_held_connections_wait_and_none_is_refused(self):
        with work(refuse=0, queue=QUEUE, backlog=64) as server:
            where = server.addresses[0]
            peak = self.peak(server, "completed", *CHURN)
            with Load(where, *CHURN, "-c", 1000, "-r", 2 * CAPACITY, "-d",
                      "4s", "--timeout", "30s", "--connect-timeout",
                      "30s") as running:
                time.sleep(1)
                good = rate_of(server, "completed", 2)
                found = running.result(may_be_incomplete=True)
            say(" 2 x, held: goodput %.1f%% of %.0f a second; p95 %.0f ms" %
                (100 * good / peak, peak,
                 percentile_ms(found, "from-plan", 95)))
            at_least(good, 0.95 * peak)
            self.assertEqual(found["metrics"]["errors"], 0, found["errors"])
            self.assertEqual(found["metrics"]["wrong"], 0)
            now = check_quiet(self, server)
            self.assertEqual(now["completed"], now["accepted"], now)

    def ask_in_excess(self, server, times, least):
        """On connections that are open, so many times what it can serve."""
        where = server.addresses[0]
        peak = self.peak(server, "callbacks")
        with Load(where, *KEPT, "-r", times * CAPACITY, "-d",
                  "%ds" % SECONDS) as running:
            time.sleep(1)
            rss = server.rss()
            good = rate_of(server, "callbacks", SECONDS - 2)
            rss = server.rss() - rss
            found = running.result(may_be_incomplete=True)
        m = found["metrics"]
        a_round = KEPT_COUNT * 1000 / good
        p95 = percentile_ms(found, "from-send", 95)
        say("%2d x, kept alive: goodput %.1f%% of %.0f a second; a round of "
            "all %.0f ms, p95 from send %.0f ms; fairness %.1f%%; RSS + %d KB"
            % (times, 100 * good / peak, peak, a_round, p95, m["fairness"],
               rss >> 10))
        at_least(good, least * peak)
        self.assertEqual(m["errors"], 0, found["errors"])
        self.assertEqual(m["starved"], 0)
        at_most(p95, 1.25 * a_round + 2 * WORK_MS)
        self.assertLess(rss, 512 << 10)

    @twice
    def test_messages_on_open_connections_wait_for_one_round_of_the_others(
            self):
        with work(refuse=1, queue=QUEUE) as server:
            where = server.addresses[0]
            before = self.usual_p95(where, *KEPT)
            self.ask_in_excess(server, 2, 0.95)
            self.ask_in_excess(server, 10, 0.90)
            self.recovers(before, self.usual_p95(where, *KEPT))
            check_quiet(self, server)


if __name__ == "__main__":
    main()
