#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Five kinds of bad peers, 500 of each, on eight workers, beside honest ones
that do not notice; and all of them are gone when their time is up.

They are: silent, one byte a second, asking and never reading, half a message
and no more, and gone without a word in the middle of one.  They come and stay
for rounds, in which the honest ones are clients of the same server or, as the
control, of another one: what the peers themselves take of the processors hits
both alike."""

import contextlib
import errno
import fcntl
import selectors
import socket
import struct
import termios
import time

from flooding import (Flooded, Load, TestCase, allow_descriptors, at_most,
                      check_quiet, load, main, median, ms, reset, say, twice,
                      until)

EACH = 500
KINDS = ("silent", "drip", "never reads", "half", "vanishes")
DEADLINE_S = 12
OUTBOX = 64 << 10
HONEST = ("-c", 50, "-r", 1000, "-d", "3s", "--expect", "echo")
ROUNDS = 3
# What the server keeps of a peer that has its end and does not finish.
LINGER_S = 2
TCP_REPAIR = 19
ASK = b"x" * 8191 + b"\n"


def connect(where):
    host, port = where.rsplit(":", 1)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
    sock.settimeout(10)
    sock.connect((host, int(port)))
    sock.setblocking(False)
    return sock


def vanish(sock):
    """No FIN and no RST, where that is allowed; else a reset."""
    try:
        sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        is_silent = True
    except PermissionError:
        reset(sock)
        is_silent = False
    sock.close()
    return is_silent


def queued(sock, which):
    return struct.unpack("i", fcntl.ioctl(sock, which, b"\0\0\0\0"))[0]


def is_acknowledged(sock):
    """Else the server's kernel would hear that nobody is there any more."""
    return queued(sock, termios.TIOCOUTQ) == 0


class BadPeers:
    """All of them; until they are closed they keep their ends open."""

    def __init__(self, where):
        self._where = where
        self._selector = selectors.EpollSelector()
        self._peers = {kind: [] for kind in KINDS}
        self._due = {}
        self._taken = {}
        self.took_at = time.monotonic()
        self.silent = (len(KINDS) - 1) * EACH  # those the server must end
        self.latest = {kind: 0 for kind in KINDS}

    def __enter__(self):
        for kind in KINDS:
            for _ in range(EACH):
                self._begin(kind, connect(self._where))
        until(self._all_have_asked, "nobody can ask for more")
        vanishing = self._peers.pop("vanishes")
        until(lambda: all(map(is_acknowledged, vanishing)),
              "half messages that have arrived")
        if all([vanish(sock) for sock in vanishing]):
            self.silent += EACH
        return self

    def __exit__(self, *unused):
        self._selector.close()
        for peers in self._peers.values():
            for sock in peers:
                sock.close()

    def _begin(self, kind, sock):
        if kind in ("half", "vanishes", "drip"):
            sock.send(b"half")
        self._peers[kind].append(sock)
        if kind in ("never reads", "vanishes"):
            return
        self._due[sock] = time.monotonic() + DEADLINE_S
        self._selector.register(sock, selectors.EVENT_READ, kind)

    def _all_have_asked(self):
        """Those that never read ask until the server does not read either."""
        asked = 0
        for sock in self._peers["never reads"]:
            with contextlib.suppress(OSError):
                for _ in range(1000):
                    asked += sock.send(ASK)
        return not asked

    def _drip(self, part):
        """Those whose byte is due in this hundredth of a second."""
        for sock in self._peers["drip"][part % 100::100]:
            if sock in self._due:
                with contextlib.suppress(OSError):
                    sock.send(b"x")

    def _look_who_took(self):
        """The kernel of one that never reads may find room for some more."""
        for sock in self._peers["never reads"]:
            taken = queued(sock, termios.FIONREAD)
            if taken > self._taken.get(sock, 0):
                self._taken[sock] = taken
                self.took_at = time.monotonic()

    def _notice(self, sock, kind):
        """Has its end come?  Who never reads is not asked."""
        try:
            has_ended = not sock.recv(4096)
        except OSError as error:
            has_ended = error.errno != errno.EAGAIN
        if has_ended:
            self._selector.unregister(sock)
            late = time.monotonic() - self._due.pop(sock)
            self.latest[kind] = max(self.latest[kind], late)

    def live(self, is_over):
        """Misbehave until is_over()."""
        began, part = time.monotonic(), 0
        while not is_over():
            while part < (time.monotonic() - began) * 100:
                self._drip(part)
                part += 1
                if part % 50 == 0:
                    self._look_who_took()
            for key, _ in self._selector.select(0.01):
                self._notice(key.fileobj, key.data)
            time.sleep(0.005)


class BadPeersBesideGoodOnes(TestCase):
    def all_go(self, server, peers, due):
        """None of them has anything to say to by a second after its time;
        none has a descriptor when the wait for its end is over too, but for
        those whose last replies still lie in the kernel."""
        def unended():
            now = server.stats()
            return now["open"] - now["lingering"]
        def kept():
            return max(0, server.stats()["open"] - EACH)
        for what, count, grace in (("served", unended, 1),
                                   ("kept", kept, LINGER_S + 1)):
            peers.live(lambda: not count() or time.monotonic() > grace + max(
                due, peers.took_at + DEADLINE_S))
            self.assertEqual(count(), 0, "of the bad peers are still " + what)

    def p99_beside_them(self, server, honest_at):
        before = server.stats()["heap"]
        with BadPeers(server.addresses[0]) as peers:
            due = time.monotonic() + DEADLINE_S
            with Load(honest_at, *HONEST) as honest:
                peers.live(lambda: honest.has_ended() or
                           time.monotonic() > due - 2)
                self.assertGreaterEqual(server.stats()["open"],
                                        peers.silent)
                grown = server.stats()["heap"] - before
                peers.live(honest.has_ended)
                found = honest.result()
            self.all_go(server, peers, due)
            late = max(peers.latest.values())
        self.assertEqual(found["metrics"]["errors"], 0, found["errors"])
        p99 = ms(found["metrics"]["p99"])
        say("p99 %.2f ms; heap + %d KB; the last knew of its end "
            "%.2f s after its time" % (p99, grown >> 10, late))
        self.assertLess(grown, EACH * OUTBOX + len(KINDS) * EACH * 4096)
        at_most(late, 1)
        return p99

    @twice
    def test_honest_clients_do_not_notice_and_bad_ones_go_in_time(self):
        allow_descriptors()
        deadlines = dict.fromkeys(("first_byte", "read", "write", "idle"),
                                  DEADLINE_S * 1000)
        with Flooded("work@127.0.0.1:0", workers=8, outbox=OUTBOX,
                     **deadlines) as server, \
                Flooded("work@127.0.0.1:0", workers=8) as other:
            here, there = server.addresses[0], other.addresses[0]
            for address in here, there:
                self.assertEqual(load(address, *HONEST)["metrics"]["errors"], 0)
            beside, elsewhere = [], []
            for _ in range(ROUNDS):
                elsewhere.append(self.p99_beside_them(server, there))
                beside.append(self.p99_beside_them(server, here))
            say("p99 at another server %s, beside them %s ms" % (
                *(["%.2f" % p99 for p99 in p] for p in (elsewhere, beside)),))
            at_most(median(beside), 2 * median(elsewhere))
            at_most(median(beside), median(elsewhere) + 5)
            check_quiet(self, other)
            now = check_quiet(self, server)
            self.assertGreaterEqual(now["timed_out"],
                                    2 * ROUNDS * (len(KINDS) - 1) * EACH)


if __name__ == "__main__":
    main()
