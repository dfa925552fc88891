#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a peer that has proved nothing can cost weir-server: the memory that it
holds and the processor time that it uses, for each byte that it sends.

Each attack runs against a server of its own with the default limits, over
loopback.  Bytes sent are those of IP packets: 112 to connect, 52 for each
segment, and the payload.  Acknowledgements are not counted.  Memory is what the
server's resident set grows by, and what the kernel holds in the socket's
buffers on the server's side (sk_buffs, by ss).  Processor time is that of the
server's threads, in the kernel too; the kernel counts its work for packets as
time of the sender on loopback.

The test holds the memory of each attack against a bound, and prints the table
of docs/SECURITY.md.  It asserts no time."""

import os
import pty
import re
import resource
import shutil
import socket
import ssl
import subprocess
import tempfile
import termios
import time
import tty
import unittest

from flooding import allow_descriptors, main, reset, say
from certificates import OPENSSL, make_certificate
from weirtest import (DEADLINE, Server, connect, connect_soon, read_all, run,
                      until)

CONNECT, SEGMENT = 60 + 52, 52  # a SYN and an ACK; headers of IP and TCP
V1 = b"PROXY TCP4 203.0.113.9 198.51.100.1 4711 80\r\n"
RECORD = 22  # what TLS 1.3 adds to data
UPDATES = 100  # of keys, which are not yet too many
KB = 1024
HEADINGS = ("A peer that", "sends, B", "holds, B", "B per B",
            "uses, us", "us per B")


def processor_seconds(pid):
    """Of all threads, from the scheduler's clock in nanoseconds."""
    total = 0
    for thread in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/schedstat" % (pid, thread)) as file:
            total += int(file.read().split()[0])
    return total / 1e9


def resident_bytes(pid):
    with open("/proc/%d/statm" % pid) as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def buffered_bytes(where):
    """In the kernel, for the server's ends of its connections."""
    found = subprocess.run(["ss", "-tmnH", "state", "connected", "sport", "=",
                            where.rpartition(":")[2]], check=True,
                           timeout=DEADLINE, stdout=subprocess.PIPE)
    return sum(int(received) + int(queued) for received, queued in re.findall(
        r"skmem:\(r(\d+),.*?,w(\d+),", found.stdout.decode()))


class Peers:
    """Those of one attack: their sockets, and the bytes that they sent."""

    def __init__(self, where):
        self.where = where
        self._open = []
        self.sent = self.count = 0

    def connect(self):
        sock = connect(self.where)
        self._open.append(sock)
        self.count += 1
        self.sent += CONNECT
        return sock

    def send(self, sock, data, flags=0):
        sock.send(data, flags)
        self.sent += SEGMENT + len(data)

    def fill(self, sock):
        """Send until the server reads no more."""
        sock.setblocking(False)
        idle_since = time.monotonic()
        while time.monotonic() - idle_since < 0.2:
            try:
                self.sent += sock.send(bytes(64 * KB))
                idle_since = time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
            except (BrokenPipeError, ConnectionResetError):
                return

    def close(self, sock):
        self._open.remove(sock)
        sock.close()
        self.sent += SEGMENT

    def reset(self, sock):
        self._open.remove(sock)
        reset(sock)
        self.sent += SEGMENT

    def close_all(self):
        for sock in self._open:
            sock.close()


# Each of these is one attack.

def keep_silent(peers):
    peers.connect()


def leave(peers):
    peers.close(peers.connect())


def leave_with_a_reset(peers):
    peers.reset(peers.connect())


def send_a_byte(peers):
    peers.send(peers.connect(), b"x")


def send_single_bytes(peers):
    sock = peers.connect()
    for _ in range(1000):
        peers.send(sock, b"x")
        sock.recv(1)


def send_urgent_bytes(peers):
    sock = peers.connect()
    for _ in range(1000):
        peers.send(sock, b"x", socket.MSG_OOB)


def ask_and_not_read(peers):
    peers.fill(peers.connect())


def send_after_the_end(peers):
    """The service has replied and closed, and the server lingers."""
    sock = peers.connect()
    read_all(sock)
    peers.fill(sock)


def be_refused(peers):
    read_all(peers.connect())


def send_half_a_header(peers):
    peers.send(peers.connect(), V1[:-1])


def send_a_wrong_header(peers):
    sock = peers.connect()
    peers.send(sock, b"GET / HTTP/1.0\r\n\r\n")
    be_closed(sock)


def be_closed(sock):
    try:
        read_all(sock)
    except ConnectionResetError:
        pass


def hello():
    """The first flight of a client, and the client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(inward, outward)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outward.read(), inward, outward, client


def send_half_a_hello(peers):
    first = hello()[0]
    peers.send(peers.connect(), first[:len(first) // 2])


def send_a_hello(peers):
    sock = peers.connect()
    peers.send(sock, hello()[0])
    sock.recv(5)


def shake_hands(peers):
    """To the end of the handshake; the connection stays."""
    sock = peers.connect()
    first, inward, outward, client = hello()
    peers.send(sock, first)
    while True:
        inward.write(sock.recv(64 * KB))
        try:
            client.do_handshake()
            break
        except ssl.SSLWantReadError:
            pass
    peers.send(sock, outward.read())
    return sock


def shake_hands_and_leave(peers):
    peers.close(shake_hands(peers))


def update_keys(peers, data=b""):
    """By s_client, which takes each line for a command or for data."""
    before = peers.sent
    peers.close(shake_hands(peers))
    peers.sent += peers.sent - before  # s_client makes a handshake, too
    peers.sent += UPDATES * (SEGMENT + RECORD + 5)
    if data:
        peers.sent += UPDATES * (SEGMENT + RECORD + len(data))
    master, slave = pty.openpty()  # a read gets one line
    tty.setraw(slave, termios.TCSANOW)
    attributes = termios.tcgetattr(slave)
    attributes[3] |= termios.ICANON
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    with subprocess.Popen([OPENSSL, "s_client", "-connect", peers.where],
                          stdin=slave, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as client:
        os.close(slave)
        os.write(master, UPDATES * (b"K\n" + data) + b"Q\n")
        client.wait(DEADLINE)
    os.close(master)


def update_keys_and_send(peers):
    update_keys(peers, b"x\n")


def send_no_record(peers):
    sock = peers.connect()
    peers.send(sock, b"GET / HTTP/1.0\r\n\r\n")
    be_closed(sock)


def ask_for_metrics(peers):
    sock = peers.connect()
    peers.send(sock, b"GET /metrics HTTP/1.0\r\n\r\n")
    read_all(sock)


PROXY = "--proxy-trust", "127.0.0.0/8"
# (name in the table, attack, peers, most memory of each, service, options)
PLAIN = (
    ("connects and is silent", keep_silent, 1000, 1 * KB, "echo"),
    ("connects and closes", leave, 1000, KB // 2, "echo"),
    ("connects and resets", leave_with_a_reset, 1000, KB // 2, "echo"),
    ("sends one byte of a line", send_a_byte, 1000, 2 * KB, "room"),
    ("sends 1,000 single bytes", send_single_bytes, 20, 16 * KB, "echo"),
    ("sends 1,000 urgent bytes", send_urgent_bytes, 20, 16 * KB, "discard"),
    ("sends and does not read", ask_and_not_read, 20, 24 * KB * KB, "echo"),
    ("reads nothing of an endless reply", keep_silent, 20, 12 * KB * KB,
     "chargen"),
    ("sends on after the end", send_after_the_end, 20, 4 * KB * KB, "daytime"),
    ("is denied by a rule", be_refused, 1000, KB // 2, "echo", "--access",
     "deny 127.0.0.0/8"),
    ("is over its limit", be_refused, 1000, KB // 2, "daytime",
     "--access", "rate 1/1h"),
    ("sends half a PROXY header", send_half_a_header, 1000, 3 * KB,
     "echo+proxy", *PROXY),
    ("sends no PROXY header", send_a_wrong_header, 1000, KB // 2, "echo+proxy",
     *PROXY),
    ("sends PROXY from elsewhere", be_refused, 1000, KB // 2, "echo+proxy",
     "--proxy-trust", "192.0.2.1"),
)
TLS = (
    ("sends half a hello", send_half_a_hello, 1000, 3 * KB // 2),
    ("sends a hello and is silent", send_a_hello, 200, 64 * KB),
    ("ends a handshake and is silent", shake_hands, 200, 16 * KB),
    ("ends a handshake and closes", shake_hands_and_leave, 200, 8 * KB),
    ("sends 100 KeyUpdates after a handshake", update_keys, 20, 24 * KB),
    ("sends them with a byte after each", update_keys_and_send, 20, 24 * KB),
    ("does not speak TLS", send_no_record, 1000, KB),
)


class Costs(unittest.TestCase):
    rows = []

    @classmethod
    def setUpClass(cls):
        allow_descriptors()
        if not shutil.which("ss"):
            raise unittest.SkipTest("ss is not installed")

    @classmethod
    def tearDownClass(cls):
        say("\n| %s |\n|---|%s" % (" | ".join(HEADINGS), "---:|" * 5))
        for row in cls.rows:
            say("| %s | %s | %s | %s | %s | %.2g |" % row)

    def rests(self, server):
        """Wait until its threads have nothing to do."""
        def is_resting():
            before = processor_seconds(server.pid)
            time.sleep(0.05)
            return processor_seconds(server.pid) - before < 0.0005
        until(is_resting, "a server at rest")

    def measure(self, name, attack, count, most, server, where):
        for _ in range(3 + count // 10):  # what is made once
            peers = Peers(where)
            attack(peers)
            peers.close_all()
        self.rests(server)
        used = processor_seconds(server.pid)
        resident = resident_bytes(server.pid)
        peers = Peers(where)
        for _ in range(count):
            attack(peers)
        self.rests(server)
        used = (processor_seconds(server.pid) - used) / peers.count
        held = max(resident_bytes(server.pid) - resident, 0)
        held = (held + buffered_bytes(where)) / peers.count
        sent = peers.sent / peers.count
        peers.close_all()
        self.rows.append((name, f"{sent:,.0f}", f"{held:,.0f}",
                          f"{held / sent:.3g}" if held < 1000 * sent else
                          f"{held / sent:,.0f}",
                          f"{used * 1e6:,.0f}", used * 1e6 / sent))
        self.assertLessEqual(held, most, name)

    def test_what_is_held_has_a_bound(self):
        for name, attack, count, most, service, *options in PLAIN:
            with self.subTest(name), Server(
                    service + "@127.0.0.1:0", "--log-level", "error",
                    *options) as server:
                self.measure(name, attack, count, most, server,
                             server.address())

    def test_what_is_held_under_tls_has_a_bound(self):
        result = run("WEIR_SERVER", "--tls-key", "x", "--check")
        if b"built without TLS" in result.stderr:
            self.skipTest("weir-server is built without TLS")
        if not OPENSSL:
            self.skipTest("openssl is not installed")
        with tempfile.TemporaryDirectory() as folder:
            make_certificate(folder, "server", ca=None)
            for name, attack, count, most in TLS:
                with self.subTest(name), Server(
                        "echo+tls@127.0.0.1:0", "--log-level", "error",
                        "--tls-certificate", folder + "/server.pem",
                        "--tls-key", folder + "/server.key") as server:
                    self.measure(name, attack, count, most, server,
                                 server.address())

    def test_the_status_page_is_no_cheaper_way(self):
        result = run("WEIR_SERVER", "--status", "127.0.0.1:0", "--check")
        if b"built without it" in result.stderr:
            self.skipTest("weir-server is built without --status")
        with Server("echo@127.0.0.1:0", "--status", "127.0.0.1:0",
                    "--log-level", "error") as server:
            where = server.out.expect(rb"^status (.*)\n")[1].decode()
            connect_soon(where).close()
            self.measure("asks for /metrics", ask_for_metrics, 200, 4 * KB,
                         server, where)

    def test_control_the_measurement_sees_memory(self):
        """A peer that does not read holds what the limits permit."""
        with Server("chargen@127.0.0.1:0", "--log-level", "error") as server:
            with self.assertRaises(AssertionError):
                self.measure("control", keep_silent, 20, 16 * KB, server,
                             server.address())
        self.rows.pop()


if __name__ == "__main__":
    main()
