#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""distant_peers.py: stops of weir-server under load from clients that are 200 ms
away.  Each connects, asks, and reads the answer.  None may be reset, and none
may connect without an answer.  A server that closes its socket instead resets
some, as the control shows.

The path between the two network namespaces is a pair of tun devices; each
packet is passed on after half of the round trip.  A server that stops ends a
client that has said nothing for 100 ms, so a stop counts only if clients and
path were not held up for as long."""

import collections
import concurrent.futures
import ctypes
import errno
import fcntl
import os
import select
import selectors
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "programs"))
from weirtest import DEADLINE, Server, TestCase  # noqa: E402

ONE_WAY_S = 0.1
RATE = 200  # connections a second
STOPS = 10
HELD_UP_S = 0.05
HERE, THERE = "10.77.9.1", "10.77.9.2"
CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454ca, 1, 0x1000

# Answers, and at SIGTERM closes its socket and ends what it has accepted.
CLOSES = """
import selectors, signal, socket, sys
selector, listener = selectors.DefaultSelector(), socket.socket()
listener.bind((sys.argv[1], 0))
listener.listen(1000)
selector.register(listener, selectors.EVENT_READ)
signal.signal(signal.SIGTERM, lambda *_: selector.unregister(listener) or
              listener.close())
print(listener.getsockname()[1], flush=True)
while selector.get_map():
    for key, _ in selector.select():
        if key.fileobj is listener:
            client = listener.accept()[0]
            selector.register(client, selectors.EVENT_READ)
        elif key.fileobj.fileno() >= 0:
            data = key.fileobj.recv(100)
            if data:
                key.fileobj.sendall(data)
            else:
                selector.unregister(key.fileobj)
                key.fileobj.close()
"""


def enter_network(address, peer):
    """A new namespace for this thread.  Returns its end of the path."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) < 0:
        raise unittest.SkipTest("no network namespace")
    try:
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH", b"path",
                                               IFF_TUN | IFF_NO_PI))
    except OSError as error:
        raise unittest.SkipTest("no tun device: %s" % error) from error
    for command in (("link", "set", "lo", "up"),
                    ("address", "add", address, "peer", peer, "dev", "path"),
                    ("link", "set", "path", "up")):
        subprocess.run(["ip", *command], check=True)
    return fd


class Path(threading.Thread):
    """Passes each packet on after ONE_WAY_S; late is the longest delay beyond
    that."""

    def __init__(self, one, other):
        super().__init__(daemon=True)
        self.to = {one: other, other: one}
        self.under_way = collections.deque()
        self.late = 0

    def run(self):
        while True:
            wait = None
            if self.under_way:
                wait = max(0, self.under_way[0][0] - time.monotonic())
            for fd in select.select(list(self.to), [], [], wait)[0]:
                self.under_way.append((time.monotonic() + ONE_WAY_S,
                                       self.to[fd], os.read(fd, 65536)))
            while (self.under_way and
                   self.under_way[0][0] <= time.monotonic()):
                due, fd, packet = self.under_way.popleft()
                self.late = max(self.late, time.monotonic() - due)
                os.write(fd, packet)


class Clients:
    """Each has connected, has asked, and ends as one of the counts says."""

    def __init__(self, port):
        self.where = HERE, port
        self.selector = selectors.DefaultSelector()
        self.counts = collections.Counter()
        self.open = set()
        self.late = 0  # the longest time between two looks

    def connect(self):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(self.where)
        self.open.add(sock)
        self.selector.register(sock, selectors.EVENT_WRITE)

    def end(self, sock, how):
        self.counts[how] += 1
        self.selector.unregister(sock)
        self.open.remove(sock)
        sock.close()

    def act(self, sock, events):
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self.end(sock, "refused" if error == errno.ECONNREFUSED and
                     events & selectors.EVENT_WRITE else "reset")
        elif events & selectors.EVENT_WRITE:
            sock.send(b"hello")
            self.selector.modify(sock, selectors.EVENT_READ)
        else:
            self.end(sock, "answered" if sock.recv(100) == b"hello"
                     else "unanswered")

    def run(self, seconds, rate=0):
        """Make connections for so long; without a rate, until none is open."""
        now = began = time.monotonic()
        made = 0
        while now < began + seconds and (rate or self.open):
            while rate and made < (now - began) * rate:
                self.connect()
                made += 1
            for key, events in self.selector.select(0.002):
                try:
                    self.act(key.fileobj, events)
                except ConnectionError:
                    self.end(key.fileobj, "reset")
            before, now = now, time.monotonic()
            self.late = max(self.late, now - before)


class Distant(TestCase):
    """The servers are in the network of this thread, the clients in that of
    another one."""

    @classmethod
    def setUpClass(cls):
        if os.getuid() != 0:
            raise unittest.SkipTest("a network of its own is left to root")
        cls.afar = concurrent.futures.ThreadPoolExecutor(1)
        near = enter_network(HERE, THERE)
        far = cls.afar.submit(enter_network, THERE, HERE).result()
        cls.path = Path(near, far)
        cls.path.start()

    @classmethod
    def tearDownClass(cls):
        cls.afar.shutdown()

    def load(self, port, stop):
        """What becomes of the clients of a server that is stopped meanwhile,
        and whether nothing but the server held them up."""
        clients, self.path.late = Clients(port), 0
        self.afar.submit(clients.run, 2, RATE).result()
        later = self.afar.submit(clients.run, 1, RATE)
        stop()
        later.result()
        self.afar.submit(clients.run, DEADLINE).result()
        late = max(clients.late, self.path.late)
        print(dict(clients.counts), "held up for %.3f s" % late, flush=True)
        self.assertFalse(clients.open)
        self.assertGreater(clients.counts["answered"], RATE)
        self.assertGreater(clients.counts["refused"], RATE / 10)
        return clients.counts, late < HELD_UP_S

    def test_none_is_reset_and_all_that_connect_are_answered(self):
        judged = tries = 0
        while judged < STOPS:
            tries += 1
            self.assertLess(tries, 4 * STOPS, "held up all the time")
            with Server("echo@%s:0" % HERE) as server:
                port = int(server.address().rpartition(":")[2])

                def stop():
                    began = time.monotonic()
                    self.assertEqual(server.stop()[0], 0)
                    print("stopped in %.2f s" % (time.monotonic() - began))
                counts, is_judged = self.load(port, stop)
            if is_judged:
                judged += 1
                self.assertEqual(set(counts), {"answered", "refused"})

    def test_control_a_server_that_closes_its_socket_resets_some(self):
        bad = 0
        for _ in range(STOPS):
            with subprocess.Popen([sys.executable, "-c", CLOSES, HERE],
                                  stdout=subprocess.PIPE) as server:
                try:
                    counts, _ = self.load(int(server.stdout.readline()),
                                          server.terminate)
                    self.assertEqual(server.wait(DEADLINE), 0)
                finally:
                    server.kill()
            bad += counts["reset"] + counts["unanswered"]
        self.assertGreater(bad, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
