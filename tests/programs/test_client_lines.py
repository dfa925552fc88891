#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weir-client talk --lines and --crlf: by hand and from a script with servers
that read lines.  Those of others are skipped where they are not installed."""

import concurrent.futures
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from subprocess import DEVNULL, PIPE

from weirtest import (DEADLINE, PythonServer, Server, Terminal, TestCase,
                      at_once, connect_soon, free_port, in_time, main, program,
                      read_all, run, sleeps, until)

PROMPT = b"> "


def talk(where, text=b"", *options, **kwargs):
    return run("WEIR_CLIENT", "talk", where, *options, input=text, **kwargs)


def python_with(module):
    """A Python that has it."""
    for python in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([python, "-c", "import " + module], stdout=DEVNULL,
                          stderr=DEVNULL, check=False).returncode == 0:
            return python
    return None


@contextlib.contextmanager
def running(argv, where, **kwargs):
    """A server of somebody else's, once it takes connections."""
    with subprocess.Popen(argv, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL,
                          **kwargs) as process:
        try:
            connect_soon(where).close()
            yield where
        finally:
            process.kill()


class Conversation:
    """Handler: hears lines, and what it is told to say."""

    def __init__(self, *says):
        self.says = says
        self.heard = b""

    def __call__(self, sock):
        with at_once() as send:
            for piece in self.says:
                send(sock, piece)
        self.heard = read_all(sock)


class WhatIsSent(TestCase):
    def test_each_line_with_its_end(self):
        text = b"one\n\ntwo  \n\xff\r\n\n"
        for option, end in (("-l", b"\n"), ("-c", b"\r\n"), ("-lc", b"\r\n"),
                            ("-cl", b"\r\n")):
            peer = Conversation()
            with self.subTest(option=option), PythonServer(peer) as server:
                result = talk(server.address, text, option)
                self.assertEqual((result.returncode, result.stderr), (0, b""))
                until(lambda: peer.heard, "what was said")
            self.assertEqual(peer.heard, text.replace(b"\n", end))

    def test_no_word_ends_it(self):
        with Server("echo@127.0.0.1:0") as server:
            result = talk(server.address(), b"windup\nquit\n", "--lines")
        self.assertEqual((result.returncode, result.stdout),
                         (0, b"windup\nquit\n"))

    def test_by_hand(self):
        for option, end in (("-l", b"\n"), ("-c", b"\r\n")):
            for term in ("xterm", "dumb"):
                peer = Conversation()
                with self.subTest(option=option, term=term), \
                        PythonServer(peer) as server, \
                        Terminal("talk", server.address, option,
                                 term=term) as user:
                    user.expect(b"\r\n" + PROMPT)
                    for line in (b"GET / HTTP/1.0", b"Host: x", b""):
                        user.type(line + b"\n")
                        user.expect(b"\r\n" + PROMPT)
                    user.type(b"\x04")
                    self.assertEqual(user.end(), 0)
                    until(lambda: peer.heard, "what was said")
                self.assertEqual(peer.heard, b"GET / HTTP/1.0" + end +
                                 b"Host: x" + end + end)

    def test_a_long_line_to_a_slow_reader(self):
        """The timeout counts from the latest progress."""
        line = b"x" * 600000 + b"\n"

        def read_slowly(sock, heard):
            with sock:
                while True:
                    data = sock.recv(16384)
                    heard.append(data)
                    if not data:
                        break
                    time.sleep(0.05)

        def dialogue():
            ours, theirs = socket.socketpair()
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32768)
            heard = []
            reader = threading.Thread(target=read_slowly, args=(theirs, heard))
            reader.start()
            with ours:
                fd = ours.fileno()
                result = talk("fd:%d" % fd, line, "-l", "-t", "1s",
                              pass_fds=(fd,))
            reader.join()
            self.assertEqual((result.returncode, result.stderr), (0, b""))
            self.assertEqual(b"".join(heard), line)
        in_time(dialogue)

    def read_in_small_pieces(self, listener):
        """For longer than the timeout.  The kernel reports no room for more
        before 64 KiB have been taken, here after 3 s."""
        heard = []
        with listener, listener.accept()[0] as sock:
            for _ in range(80):
                heard.append(sock.recv(1024))
                time.sleep(0.05)
            return b"".join(heard) + read_all(sock)

    def test_a_steady_reader_makes_progress(self):
        line = b"x" * 600000
        cases = ((["talk", "-l"], line + b"\n"), (["talk", "-1B"], line),
                 (["send"], line + b"\n"))

        def one(argv, sent):
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            where = "127.0.0.1:%d" % listener.getsockname()[1]
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                heard = pool.submit(self.read_in_small_pieces, listener)
                result = run("WEIR_CLIENT", *argv, where, "-t", "2s",
                             input=line + b"\n")
            return result.stderr, heard.result() == sent

        def dialogues():
            with concurrent.futures.ThreadPoolExecutor() as pool:
                self.assertEqual(list(pool.map(lambda case: one(*case), cases)),
                                 [(b"", True)] * len(cases))
        in_time(dialogues)

    def test_contradictions(self):
        for options in (["-l", "-1"], ["-c", "-1"], ["-r", "-l"]):
            self.check_usage(run("WEIR_CLIENT", "talk", ":1", *options),
                             "weir-client", "contradicts",
                             "crlf" if "-c" in options else "lines")


class WhatIsShown(TestCase):
    def test_every_byte_passes_on_a_pipe(self):
        """Whenever it comes: nothing is added in a pause."""
        data = bytes(range(256)) * 1000
        with PythonServer(Conversation(data, b"no newline")) as server:
            result = talk(server.address, b"", "-l")
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        self.assertEqual(result.stdout, data + b"no newline")

    def test_a_return_before_a_newline_is_not_shown(self):
        """Any other is, on a terminal; on a pipe all of them pass."""
        data = b"one\r\ntwo\r\n\r\r\nlone\rx\r\n"
        for size in (1, 100):
            peer = Conversation(*(data[i:i + size]
                                  for i in range(0, len(data), size)))
            for options in (["-r"], ["-l"]):
                def ends(sock, peer=peer):
                    sock.settimeout(0.2)
                    with contextlib.suppress(OSError):
                        peer(sock)

                def dialogue(options=options, ends=ends):
                    with PythonServer(ends) as server, Terminal(
                            "talk", server.address, *options,
                            term="dumb") as user:
                        user.expect(b"one\r\n")
                        user.expect(b"two\r\n")
                        user.expect(b"\\x0d\r\n")
                        user.expect(b"lone\\x0dx\r\n")
                        self.assertEqual(user.end(), 0)
                        self.assertEqual(user.all.count(b"\\x0d"), 2)
                with self.subTest(size=size, options=options):
                    in_time(dialogue)

    def test_input_that_was_not_sent_is_a_failure(self):
        """Though no line is sent in part when the server ends its output."""
        line, count = b"x" * 15 + b"\n", 500000
        is_full = threading.Event()
        heard = []

        def ends(sock):
            is_full.wait(DEADLINE)
            sock.shutdown(socket.SHUT_WR)
            heard.append(read_all(sock))
        path = self.folder() + "/lines"
        with open(path, "wb") as file:
            file.write(line * count)
        with PythonServer(ends) as server, open(path, "rb") as lines, \
                subprocess.Popen([program("WEIR_CLIENT"), "talk",
                                  server.address, "-l", "-t", "never"],
                                 stdin=lines, stdout=PIPE,
                                 stderr=PIPE) as client:
            until(lambda: os.lseek(lines.fileno(), 0, os.SEEK_CUR) > 0 and
                  all(sleeps(client.pid) for _ in range(20)), "a full socket")
            is_full.set()
            self.assertEqual(client.wait(DEADLINE), 1)
            self.assertIn(b"closed the connection", client.stderr.read())
            until(lambda: heard, "the end")
        self.assertLess(len(heard[0]), len(line) * count)

    def test_a_server_that_is_done_is_no_failure(self):
        """Though the input has not ended."""
        def answers(sock):
            sock.recv(100)
            sock.sendall(b"yes\n")
        with PythonServer(answers) as server, subprocess.Popen(
                [program("WEIR_CLIENT"), "talk", server.address, "-l"],
                stdin=PIPE, stdout=PIPE, stderr=PIPE) as client:
            client.stdin.write(b"well?\n")
            client.stdin.flush()
            self.assertEqual(client.wait(DEADLINE), 0)
            self.assertEqual(client.stdout.read(), b"yes\n")
            self.assertEqual(client.stderr.read(), b"")


class RealServers(TestCase):
    def tool(self, name):
        path = shutil.which(name, path=os.environ.get("PATH", "") +
                            ":/usr/sbin:/usr/local/sbin")
        if not path:
            self.skipTest(name + " is not installed")
        return path

    def module(self, name):
        python = python_with(name)
        if not python:
            self.skipTest("the Python module %s is not installed" % name)
        return python

    def by_hand(self, where, lines, *options):
        """Type each line once what is to come before it has come; the whole
        that was seen."""
        with Terminal("talk", where, *options) as user:
            for before, line in lines:
                user.expect(before)
                user.type(line + b"\n")
            user.expect(b" closed the connection\r\n")
            self.assertEqual(user.end(), 0)
            return user.screen()

    def check_http(self, where, body):
        request = b"GET / HTTP/1.0\nHost: localhost\n\n"
        result = talk(where, request, "--crlf")
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        self.assertRegex(result.stdout, rb"^HTTP/1\.[01] 200 OK\r\n")
        self.assertTrue(result.stdout.endswith(body))
        seen = self.by_hand(where, [(PROMPT, b"GET / HTTP/1.0"),
                                    (PROMPT, b"Host: localhost"),
                                    (PROMPT, b"")], "--crlf")
        self.assertTrue([line for line in seen if line.startswith("HTTP/1.")
                         and line.endswith(" 200 OK")], seen)
        self.assertIn("Content-Length: %d" % len(body),
                      [line.replace("length", "Length") for line in seen])
        self.assertIn(body.decode().strip(), seen)
        self.assertNotIn("\\x0d", "".join(seen))

    def test_http_of_python(self):
        folder = self.folder()
        with open(folder + "/index.html", "wb") as page:
            page.write(b"hello from Python\n")
        port = free_port()
        with running([sys.executable, "-m", "http.server", str(port), "-b",
                      "127.0.0.1"], "127.0.0.1:%d" % port,
                     cwd=folder) as where:
            self.check_http(where, b"hello from Python\n")

    def test_http_of_nginx(self):
        nginx, folder = self.tool("nginx"), self.folder()
        temp = "".join("%s_temp_path %s/temp;" % (name, folder) for name in
                       ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        with open(folder + "/conf", "w") as conf:
            conf.write("""daemon off; master_process off;
                pid %s/pid; error_log stderr; events { }
                http { access_log off; %s
                    server { listen unix:%s/s;
                        location / { return 200 "hello from nginx\\n"; } } }
                """ % (folder, temp, folder))
        with running([nginx, "-p", folder, "-e", "stderr", "-c",
                      folder + "/conf"], "unix:%s/s" % folder) as where:
            self.check_http(where, b"hello from nginx\n")

    def test_redis(self):
        redis, folder = self.tool("redis-server"), self.folder()
        with running([redis, "--port", "0", "--unixsocket", folder + "/s",
                      "--save", "", "--dir", folder],
                     "unix:%s/s" % folder) as where:
            for option in ("--lines", "--crlf"):
                result = talk(where, b"PING\nSET cat Mimi\nGET cat\nQUIT\n",
                              option)
                self.assertEqual((result.returncode, result.stderr), (0, b""))
                self.assertEqual(result.stdout,
                                 b"+PONG\r\n+OK\r\n$4\r\nMimi\r\n+OK\r\n")
            seen = self.by_hand(where, [
                (PROMPT, b"PING"), (b"+PONG\r\n" + PROMPT, b"GET cat"),
                (b"Mimi\r\n" + PROMPT, b"QUIT")], "--lines")
            # Without line editing a prompt may be left behind.
            self.assertEqual([line for line in seen[1:-2] if line != ">"], [
                "> PING", "+PONG", "> GET cat", "$4", "Mimi", "> QUIT",
                "+OK"])

    def test_smtp(self):
        python, port = self.module("aiosmtpd"), free_port()
        with running([python, "-m", "aiosmtpd", "-n", "-l",
                      "127.0.0.1:%d" % port, "-c",
                      "aiosmtpd.handlers.Sink"],
                     "127.0.0.1:%d" % port) as where:
            seen = self.by_hand(where, [
                (b"220 ", b"HELO me"), (b"250 ", b"MAIL FROM:<ann@example>"),
                (b"250 OK", b"RCPT TO:<bob@example>"), (b"250 OK", b"DATA"),
                (b"354 ", b"Subject: hello"), (PROMPT, b""),
                (PROMPT, b"How are you?"), (PROMPT, b"."),
                (b"250 OK", b"QUIT")], "--crlf")
            self.assertIn("221 Bye", seen)
            self.assertNotIn("\\x0d", "".join(seen))

    def test_ftp(self):
        python, port = self.module("pyftpdlib"), free_port()
        with running([python, "-m", "pyftpdlib", "-i", "127.0.0.1", "-p",
                      str(port), "-d", self.folder()],
                     "127.0.0.1:%d" % port) as where:
            seen = self.by_hand(where, [
                (b"220 ", b"USER anonymous"), (b"331 ", b"PASS ann"),
                (b"230 ", b"PWD"), (b'257 "/"', b"QUIT")], "--crlf")
            self.assertIn("221 Goodbye.", seen)
            self.assertNotIn("\\x0d", "".join(seen))


if __name__ == "__main__":
    main()
