# SPDX-License-Identifier: MIT
"""The servers of the documents' programs, as simple as those are and with what
they print: documents_servers.py NAME.  Each takes one client and ends; the
first line that it prints is its port."""

import socket
import sys

RECV = 1024


def connect_only(sock):
    pass


def greet(sock):
    sock.sendall("新年好 — happy new year".encode())


def collect(sock):
    print(sock.recv(RECV).decode())


def welcome(sock):
    sock.sendall(b"Welcome to the server")
    print(sock.recv(RECV).decode())


def reply(sock):
    sock.sendall(b"Connect")
    while True:
        message = sock.recv(2048)
        if not message:
            return
        sock.sendall(b"Server replies: " + message)


def file(sock):
    print("Server received", sock.recv(RECV).decode())
    for line in ("This is my line\n", "another\n", "last line\n"):
        sock.sendall(line.encode())
        print("Sent ", line.rstrip())
    print("Finished sending")
    sock.sendall(b"Thank you for connecting")


def chat(sock):
    while True:
        message = sock.recv(RECV)
        if not message:
            return
        print(">> ", message.decode())
        line = input(">> ")
        sock.sendall(line.encode())
        if line == "windup":
            return


def main():
    serve = globals()[sys.argv[1]]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1])
        sock, _ = listener.accept()
        print("CONNECTION FROM: 127.0.0.1")
        with sock:
            serve(sock)


if __name__ == "__main__":
    main()
