#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""fanout.py BROKER [ROUNDS [SUBSCRIBERS [SILENT]]]: what a delivery costs.

BROKER is examples/broker.  A publisher sends bursts of 400 messages of 100
bytes to all subscribers, in rounds that alternate between BROKER and mosquitto,
if that is installed.  Then SILENT subscribers read nothing while 600 messages
of 1 KiB are published to them: that shows what unsent output takes.
"""

import os
import selectors
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

BURST = 400
TICK = os.sysconf("SC_CLK_TCK")
MOSQUITTO = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")


def packet(first, body):
    size, text = len(body), b""
    while True:
        text += bytes([size & 127 | (128 if size > 127 else 0)])
        size >>= 7
        if size == 0:
            return bytes([first]) + text + body


def string(text):
    return struct.pack(">H", len(text)) + text


def message(size):
    return packet(0x30, string(b"t") + b"x" * size)


def client(port, name, buffer=None):
    sock = socket.socket()
    if buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.connect(("127.0.0.1", port))
    sock.sendall(packet(0x10, string(b"MQTT") + b"\4\2\0\0" + string(name)))
    read_exactly(sock, 4)
    return sock


def subscriber(port, i, buffer=None):
    sock = client(port, b"sub%d" % i, buffer)
    sock.sendall(packet(0x82, b"\0\1" + string(b"t") + b"\0"))
    read_exactly(sock, 5)
    return sock


def read_exactly(sock, size):
    while size > 0:
        size -= len(sock.recv(size)) or sys.exit("the broker has closed")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


class Broker:
    def __init__(self, command):
        self.name = os.path.basename(command)
        self.port = free_port()
        self.folder = tempfile.TemporaryDirectory()
        arguments = ["127.0.0.1:%d" % self.port]
        if self.name == "mosquitto":
            path = os.path.join(self.folder.name, "conf")
            with open(path, "w", encoding="ascii") as file:
                file.write("listener %d 127.0.0.1\nallow_anonymous true\n"
                           "log_type none\n" % self.port)
            arguments = ["-c", path]
        self.process = subprocess.Popen([command, *arguments],
                                        stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        while True:
            try:
                client(self.port, b"first").close()
                return
            except ConnectionRefusedError:
                time.sleep(0.01)

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()

    def cpu(self):
        """Seconds of user time, and of the kernel's."""
        with open("/proc/%d/stat" % self.process.pid, encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return int(fields[11]) / TICK, int(fields[12]) / TICK

    def memory(self):
        with open("/proc/%d/status" % self.process.pid,
                  encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file
                        if line.startswith("VmRSS"))


def read_all(socks, size):
    left = {sock: size for sock in socks}
    with selectors.DefaultSelector() as selector:
        for sock in socks:
            selector.register(sock, selectors.EVENT_READ)
        while left:
            for key, _ in selector.select():
                left[key.fileobj] -= len(key.fileobj.recv(1 << 16))
                if left[key.fileobj] == 0:
                    del left[key.fileobj]
                    selector.unregister(key.fileobj)


def burst(broker, socks, publisher):
    before = broker.cpu()
    text = message(100)
    for _ in range(10):
        publisher.sendall(text * BURST)
        read_all(socks, BURST * len(text))
    return [1e6 * (b - a) / (10 * BURST * len(socks))
            for a, b in zip(before, broker.cpu())]


def compare(brokers, rounds, count):
    users = [(broker, [subscriber(broker.port, i) for i in range(count)],
              client(broker.port, b"pub")) for broker in brokers]
    for _ in range(rounds):
        for broker, socks, publisher in users:
            user, kernel = burst(broker, socks, publisher)
            print("%-10s %.3f us a delivery: %.3f user, %.3f kernel"
                  % (broker.name, user + kernel, user, kernel), flush=True)


def silence(broker, count):
    socks = [subscriber(broker.port, i, 4096) for i in range(count)]
    publisher = client(broker.port, b"pub")
    before, text = broker.memory(), message(1024)
    for _ in range(600):
        publisher.sendall(text)
    publisher.sendall(packet(0xc0, b""))
    read_exactly(publisher, 2)
    print("%-10s %d KiB for %d subscribers that do not read: %.1f KiB each"
          % (broker.name, broker.memory() - before, count,
             (broker.memory() - before) / count))
    for sock in socks:
        sock.close()


def main():
    numbers = [int(text) for text in sys.argv[2:]] + [3, 500, 1000][
        len(sys.argv) - 2:]
    brokers = [Broker(command) for command in (sys.argv[1], MOSQUITTO)
               if command]
    try:
        compare(brokers, numbers[0], numbers[1])
        for broker in brokers:
            silence(broker, numbers[2])
    finally:
        for broker in brokers:
            broker.stop()


if __name__ == "__main__":
    main()
