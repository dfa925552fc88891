# SPDX-License-Identifier: MIT
"""The clients of the documents' programs, as simple as those are: nothing
frames a message, one recv is one message.  Each plays the other side of one
service of weir-server and returns what its user would have seen."""

from weirtest import connect, read_all

RECV = 1024


class Peer:
    """A connection, closed at the end of the with statement."""

    def __init__(self, where):
        self.where = where

    def __enter__(self):
        self.sock = connect(self.where)
        return self

    def __exit__(self, *unused):
        self.sock.close()

    def send(self, message):
        self.sock.sendall(message)

    def recv(self):
        return self.sock.recv(RECV)


def hear_greeting(where):
    """greet: read until there is no more."""
    with Peer(where) as peer:
        return read_all(peer.sock)


def send_message(where, message):
    """collect: say one thing and close."""
    with Peer(where) as peer:
        peer.send(message)


def exchange_welcome(where, message):
    """welcome: read the welcome, say one thing and close."""
    with Peer(where) as peer:
        welcome = peer.recv()
        peer.send(message)
        return welcome


def fetch_file(where, write):
    """file: announce oneself, and write down all that comes."""
    with Peer(where) as peer:
        peer.send(b"Client connected")
        while True:
            piece = peer.recv()
            if not piece:
                return
            write(piece)


def chat(where, lines):
    """chat: a line and its answer, in turns, until somebody says windup."""
    heard = []
    with Peer(where) as peer:
        for line in lines:
            peer.send(line)
            heard.append(peer.recv())
            if line == b"windup" or heard[-1] in (b"windup", b""):
                break
    return heard
