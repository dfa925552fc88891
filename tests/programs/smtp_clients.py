# SPDX-License-Identifier: MIT
"""Many clients of examples/smtp.c at the same step of its dialogue."""

import resource
import socket

from weirtest import DEADLINE, read_exactly

GREETING = b"220 weir\r\n"
STEPS = (
    (b"HELO client\r\n", b"250 hello\r\n"),
    (b"MAIL FROM:<a@b>\r\n", b"250 go on\r\n"),
    (b"RCPT TO:<c@d>\r\n", b"250 go on\r\n"),
    (b"DATA\r\n", b"354 end with a dot\r\n"),
    (b"Hi.\r\n.\r\n", b"250 took 5 bytes from <a@b> to <c@d>\r\n"),
    (b"QUIT\r\n", b"221 bye\r\n"),
)


def may_open(count):
    """Descriptors for that many clients."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard == resource.RLIM_INFINITY or hard >= count + 100


def talk(where):
    """The dialogue of one client, to its end."""
    host, port = where.rsplit(":", 1)
    with socket.create_connection((host, int(port)), DEADLINE) as sock:
        answers = read_exactly(sock, len(GREETING))
        for text, answer in STEPS:
            sock.sendall(text)
            answers += read_exactly(sock, len(answer))
        return answers == GREETING + b"".join(a for _, a in STEPS)


class Clients:
    def __init__(self, where, count):
        host, port = where.rsplit(":", 1)
        self.all = []
        for _ in range(count):
            sock = socket.create_connection((host, int(port)), DEADLINE)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.all.append(sock)

    def send(self, data):
        """One byte of each in turn."""
        for i in range(len(data)):
            for sock in self.all:
                sock.send(data[i:i + 1])

    def hear(self, data):
        """How many got exactly that."""
        return sum(read_exactly(sock, len(data)) == data for sock in self.all)

    def close(self):
        for sock in self.all:
            sock.close()
