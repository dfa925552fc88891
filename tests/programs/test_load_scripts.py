#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weir-client load --script: what it sends, and the scripts of the examples
against the servers that they are for."""

import contextlib
import os
import shutil
import struct
import subprocess
import sys
import threading
import time

from weirtest import (DEADLINE, SLOWNESS, PythonServer, Server, TestCase,
                      connect_soon, free_port, main, run)

SCRIPTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..",
                       "examples", "scripts")


def load(where, *options, **kwargs):
    return run("WEIR_CLIENT", "load", where, *options, **kwargs)


class Scripts(TestCase):
    def write(self, text):
        path = os.path.join(self.folder(), "test.load")
        with open(path, "w") as file:
            file.write(text)
        return path

    def test_the_steps_are_sent_in_their_order_on_each_connection(self):
        heard, lock = [], threading.Lock()

        def handle(sock):
            lines = []
            with sock, sock.makefile("rwb") as file:
                file.write(b"hello\n")
                file.flush()
                for line in file:
                    lines.append(line.decode())
                    if not line.startswith(b"quiet"):
                        file.write(b"ok " + line)
                        file.flush()
            with lock:
                heard.append(lines)

        path = self.write("# A comment\n\nconnect\n\texpect line\n\tok hello\n"
                          "\tsend quiet\\n\n\tsend login {connection}\\n\n"
                          "\texpect line\n\tok ok login\nloop\n"
                          "\tsend a{seq}\\n\n\texpect line\n\tok ok a\n"
                          "\tsend b{seq}\\n\n\texpect line\n\tmatch ^ok b\n"
                          "\tsend c\\n\n\texpect len:5\n\tbad no\n")
        with PythonServer(handle) as server:
            answer = load(server.address, "--script", path, "-c", "4", "-n",
                          "600", "-P", "3")
        self.assertEqual(answer.returncode, 0, answer)
        self.assertIn(b"600 checked: all as expected", answer.stdout)
        self.assertEqual(len(heard), 4)
        self.assertEqual(sorted(lines[1] for lines in heard),
                         ["login %d\n" % i for i in range(4)])
        self.assertEqual(sum(len(lines) - 2 for lines in heard), 600)
        for lines in heard:
            self.assertEqual(lines[0], "quiet\n")
            for i, line in enumerate(lines[2:]):
                self.assertEqual(line, ("a%d\n" % (i // 3), "b%d\n" % (i // 3),
                                        "c\n")[i % 3])

    def test_a_new_connection_begins_at_the_beginning(self):
        heard, lock = [], threading.Lock()

        def handle(sock):
            lines = []
            with sock, sock.makefile("rwb") as file:
                for line in file:
                    lines.append(line)
                    file.write(line)
                    file.flush()
                    if len(lines) == 3:
                        break
            with lock:
                heard.append(lines)

        path = self.write("connect\nsend hi\\n\nexpect line\nloop\n"
                          "send one\\n\nexpect line\nok one\n"
                          "send two\\n\nexpect line\nok two\n"
                          "send three\\n\nexpect line\nok three\n")
        with PythonServer(handle) as server:
            answer = load(server.address, "--script", path, "-c", "1", "-n",
                          "20", "--reconnect")
        self.assertGreater(len(heard), 6)
        self.assertNotIn(b" bad", answer.stdout)
        for lines in heard:
            self.assertEqual(lines, [b"hi\n", b"one\n", b"two\n"][:len(lines)])

    def test_a_login_that_fails_is_no_connection(self):
        def handle(sock):
            with sock, sock.makefile("rwb") as file:
                for _ in file:
                    file.write(b"530 no\n")
                    file.flush()

        path = self.write("connect\nsend login\\n\nexpect line\nok 230\n"
                          "loop\nsend x\\n\nexpect line\n")
        with PythonServer(handle) as server:
            answer = load(server.address, "--script", path, "-n", "20")
            show = load(server.address, "--script", path, "--show")
        self.assertEqual(answer.returncode, 1, answer)
        self.assertIn(b"waiting for the banner: not what was expected",
                      answer.stdout)
        self.assertEqual(show.returncode, 1)
        self.assertIn(b"530 no", show.stdout)
        self.assertIn(b"bad: it does not begin as --ok says", show.stdout)

    def log_lines(self, delay=0):
        """A server that answers each line with itself, "login" late; the
        lines of each connection."""
        heard, lock = [], threading.Lock()

        def handle(sock):
            lines = []
            with lock:
                heard.append(lines)
            with sock, sock.makefile("rwb") as file:
                for line in file:
                    lines.append(line.decode().rstrip("\n"))
                    if line.startswith(b"login"):
                        time.sleep(delay)
                    file.write(line)
                    file.flush()
        return PythonServer(handle), heard

    def test_once_is_measured_on_a_clock_of_its_own(self):
        path = self.write("connect\nsend hi\\n\nexpect line\n"
                          "once\nsend login\\n\nexpect line\nok login\n"
                          "loop\nsend a\\n\nexpect line\nok a\n")
        server, heard = self.log_lines(0.2)
        with server:
            answer, run = self.load_json(server, "--script", path, "-c", "4",
                                         "-n", "400")
        self.assertEqual(answer.returncode, 0, answer)
        self.assertRegex(answer.stderr, rb"\n  once +-.* before the loop\n")
        self.assertEqual(run["clocks"]["once"]["samples"], 4)
        self.assertGreaterEqual(run["clocks"]["once"]["min_ns"], 200e6)
        self.assertLess(run["clocks"]["from-send"]["min_ns"], 200e6)
        self.assertEqual(run["clocks"]["from-send"]["samples"], 400)
        self.assertEqual([lines[:3] for lines in heard],
                         [["hi", "login", "a"]] * 4)

    def test_the_end_part_is_sent_before_a_connection_is_closed(self):
        path = self.write("loop\nsend a\\n\nexpect line\n"
                          "end\nsend so long\\n\nexpect line\n"
                          "pause 100ms\nsend bye\\n\nexpect line\nok bye\n")
        heard = None

        def serve():
            nonlocal heard
            server, heard = self.log_lines()
            return server

        for options in (["-n", "400"], ["-d", "3s"],
                        ["-d", "500ms", "-r", "400"]):
            _, run = self.load_in_time(serve, "--script", path, "-c", "4",
                                       *options)
            self.assertEqual(run["errors"], [])
            self.assertEqual(run["metrics"]["lost"], 0)
            self.assertEqual(run["connections"]["open"], 4)
            self.assertEqual([lines[-2:] for lines in heard],
                             [["so long", "bye"]] * 4)
            self.assertEqual(sum(len(lines) - 2 for lines in heard),
                             run["metrics"]["answered"])
            self.assertEqual(run["run"]["bytes_in"],
                             2 * run["metrics"]["answered"])

    def test_a_bad_reply_at_the_end_is_an_error(self):
        path = self.write("loop\nsend a\\n\nexpect line\n"
                          "end\nsend bye\\n\nexpect line\nok good\n")
        server, _ = self.log_lines()
        with server:
            answer = load(server.address, "--script", path, "-c", "2", "-n",
                          "40")
            show = load(server.address, "--script", path, "--show")
        self.assertIn(b"2 in the end part of the script: not what was "
                      b"expected", answer.stdout)
        self.assertEqual(show.returncode, 1)
        self.assertIn(b"bad: it does not begin as --ok says", show.stdout)

    def test_a_pause_is_not_the_server_s_time(self):
        path = self.write("connect\npause 50ms\nsend hi\\n\nexpect line\n"
                          "pause 50ms\n"
                          "loop\nsend a\\n\nexpect line\npause 50ms\n"
                          "send b\\n\nexpect line\npause 150ms\n")
        server, heard = self.log_lines()
        with server:
            answer, run = self.load_json(server, "--script", path, "-c", "3",
                                         "-n", "30")
            show = load(server.address, "--script", path, "--show")
        self.assertEqual(answer.returncode, 0, answer)
        self.assertEqual(sum(map(len, heard[:3])), 3 + 30)
        for lines in heard[:3]:
            self.assertEqual(lines, (["hi"] + ["a", "b"] * 15)[:len(lines)])
        # One of them sent ten messages or more: nine pauses.
        self.assertGreaterEqual(run["run"]["elapsed_ns"], 850e6)
        self.assertLess(run["clocks"]["from-send"]["min_ns"], 50e6)
        if run["metrics"]["stall"] < 20e6:
            self.assertNotIn(b"waited for this client", answer.stderr)
        self.assertEqual(show.returncode, 0)
        self.assertEqual(show.stdout.count(b"pause of "), 4)

    def check_reads_after_pauses(self, script, first, handle):
        """Of two connections; handle(file) answers before the loop."""
        def serve(sock):
            with sock, sock.makefile("rwb") as file:
                handle(file)
                for line in file:
                    file.write(line)
                    file.flush()
        path = self.write(script + "loop\nsend a\\n\nexpect line\nok a\n")
        with PythonServer(serve) as server:
            answer, run = self.load_json(server, "--script", path, "-c", "2",
                                         "-n", "20")
            show = load(server.address, "--script", path, "--show")
        self.assertEqual(run["errors"], [])
        self.assertEqual((answer.returncode, run["metrics"]["answered"]),
                         (0, 20))
        self.assertEqual(show.returncode, 0, show)
        self.assertRegex(show.stdout, first)

    def test_an_expect_after_a_pause_is_done_after_it(self):
        def handle(file):
            file.write(b"hello\n")
            file.flush()
            file.readline()
            file.write(b"hi\n")
            file.flush()
        self.check_reads_after_pauses(
            "connect\npause 10ms\nexpect line\nok hello\n"
            "send hi\\n\npause 20ms\nexpect line\nok hi\n",
            rb"(?s)pause of 10.*hello.*hi.*pause of 20.*hi", handle)

    def test_replies_that_come_in_a_pause_are_read_after_the_last_one(self):
        def handle(file):
            for _ in range(3):
                file.write(file.readline())
                file.flush()
        self.check_reads_after_pauses(
            "connect\nsend 1\\n\npause 50ms\nsend 2\\n\npause 50ms\n"
            "send 3\\n\nexpect lines:3\nok 1\n", rb"(?s)pause.*pause",
            handle)

    def test_input_before_a_pause_may_come_at_once(self):
        """Or later, as the network has it."""
        def handle(file):
            file.write(b"1\n2\n3\n")
            file.flush()
        self.check_reads_after_pauses(
            "connect\nexpect line\nok 1\npause 20ms\nexpect line\nok 2\n"
            "pause 20ms\nexpect line\nok 3\n", rb"(?s)pause.*pause", handle)

    def test_close_ends_the_connection_after_a_pass(self):
        path = self.write("once\nsend login\\n\nexpect line\n"
                          "loop\nsend a{seq}\\n\nexpect line\n"
                          "send b\\n\nexpect line\nclose\n"
                          "end\nsend bye\\n\nexpect line\n")
        for options in (["-c", "1"], ["-c", "2", "-r", "1000"]):
            server, heard = self.log_lines()
            with server:
                answer, run = self.load_json(server, "--script", path, "-n",
                                             "40", *options)
            self.assertEqual(answer.returncode, 0, answer)
            self.assertEqual([[line[0] for line in lines] for lines in heard],
                             [["l", "a", "b", "b"]] * 20)
            self.assertEqual(run["clocks"]["once"]["samples"], 20)
            self.assertEqual(run["metrics"]["answered"], 40)
            self.assertEqual(run["metrics"]["lost"], 0)

    def test_what_was_planned_is_sent_at_the_end_on_new_connections(self):
        lives = []

        def serve(sock):
            life = []
            lives.append(life)
            for line in sock.makefile("rb"):
                life.append(line)
                time.sleep(0.05)
                sock.sendall(line)

        once = "once\nsend login\\n\nexpect line\n"
        loop = "loop\nsend a\\n\nexpect line\nclose\n"
        for script, each in ((loop, 1), (once + loop, 2)):
            lives.clear()
            with PythonServer(serve) as server:
                _, run = self.load_json(
                    server, "--script", self.write(script), "-c", "1", "-r",
                    "40", "-d", "400ms", "-t", "%ds" % DEADLINE)
            metrics = run["metrics"]
            self.assertEqual((metrics["planned"], metrics["sent"],
                              metrics["answered"], metrics["errors"]),
                             (16, 16, 16, 0))
            self.assertEqual([len(life) for life in lives], [each] * 16)
            self.assertGreaterEqual(metrics["drained"], 1)
            # Not that of waiting in a loop for the last instant to send.
            self.assertLess(run["self"]["cpu_user_s"], 5)

    def test_bytes_of_steps_before_the_loop_count_in_both_directions(self):
        path = self.write("connect\nsend a long login\\n\nexpect line\n"
                          "once\nsend another one\\n\nexpect line\n"
                          "loop\nsend a\\n\nexpect line\nclose\n")
        server, heard = self.log_lines()
        with server:
            _, run = self.load_json(server, "--script", path, "-c", "2", "-n",
                                    "40")
        # At the end a new connection may have sent what is not answered.
        self.assertGreaterEqual(run["run"]["bytes_out"], run["run"]["bytes_in"])
        self.assertLessEqual(run["run"]["bytes_out"], sum(
            len(line) + 1 for lines in heard for line in lines))

    def test_what_cannot_be_sent_in_time_is_never_sent(self):
        def serve(sock):
            for line in sock.makefile("rb"):
                time.sleep(0.05)
                sock.sendall(line)

        path = self.write("loop\nsend a\\n\nexpect line\nclose\n")
        limit = 0.5 * SLOWNESS
        with PythonServer(serve) as server:
            _, run = self.load_json(server, "--script", path, "-c", "1", "-r",
                                    "400", "-d", "400ms", "-t", "%dms" %
                                    (1000 * limit))
        metrics = run["metrics"]
        self.assertEqual(metrics["planned"], 160)
        self.assertEqual(metrics["sent"] + metrics["never-sent"], 160)
        # Those of 400 ms and of the time-out after them.
        self.assertLessEqual(metrics["sent"], (0.4 + limit) / 0.05 + 1)

    def test_an_empty_line_of_data_is_no_message(self):
        data = os.path.join(self.folder(), "data")
        with open(data, "w") as file:
            file.write("a\n\nb\n")
        step = "send {line}\nexpect line\n"
        loop = "loop\nsend a\nexpect line\n"
        for text in ("loop\n" + step, "connect\n" + step + loop,
                     "once\n" + step + loop, loop + "end\n" + step):
            path = self.write(text)
            answer = load("127.0.0.1:1", "--script", path, "--data", data)
            self.assertEqual(answer.returncode, 2, answer)
            self.assertIn(b"an empty message cannot be sent", answer.stderr)

    def test_a_mistake_is_named_with_its_line(self):
        for text, line, says in (
                ("", 1, "expected a loop with a send and an expect"),
                ("send x\n", 1, "expected connect, once, loop or end, not"),
                ("once\nsend x\nloop\n", 3, "expected an expect after each"),
                ("once\nexpect line\n", 2, "expected a send before this"),
                ("loop\npause 1s\n", 2, "expected a send before this pause"),
                ("end\npause 1\n", 2, "expected a duration like 500ms"),
                ("end\n" + 5000 * "pause 596h\n", 4300,
                 "the pauses of this step are too long"),
                ("end\npause never\n", 2, "expected a duration like 500ms"),
                ("end\nclose\n", 2, "expected close at the end of the loop"),
                ("loop\nclose\n", 2, "expected close at the end of the"),
                ("loop\nsend x\nexpect line\nclose\nsend y\n", 5,
                 "expected no step of the loop after close"),
                ("loop\nsend x\0y\n", 2, "a text without NUL bytes"),
                ("loop\nsend x\nsend y\n", 3, "expected an expect after each"),
                ("loop\nsend x\n", 3, "expected an expect after each send"),
                ("loop\nexpect line\n", 2, "expected a send before this"),
                ("loop\nsend\n", 2, "expected a text to send"),
                ("loop\nsend \\q\n", 2, "an escape is none of"),
                ("loop\nsend {seqq}\n", 2, "a variable is none of"),
                ("loop\nsend x\nexpect any\n", 3, "expected len:N, line"),
                ("loop\nsend x\nok y\n", 3, "expected an expect before this"),
                # In the words of the C library, glibc or musl.
                ("loop\nsend x\nexpect line\nmatch (\n", 4,
                 ("Unmatched ( or \\(", "Missing ')'")),
                ("loop\nsend x\nexpect line\nloop\n", 4, "each part once"),
                ("loop\nsend x\nexpect line\nsay y\n", 4, "not 'say'"),
                ("loop 10\nsend x\nexpect line\n", 1,
                 "expected the end of the line after connect, once, loop, end "
                 "and close, not '10'"),
                ("loop\nsend x\nexpect line\nend\t \tnow\nsend x\n", 4,
                 "expected the end of the line"),
                ("connect # greets\n", 1, "not '# greets'"),
                ("once 1\n", 1, "expected the end of the line"),
                ("loop\nsend x\nexpect line\nclose now\n", 4, "not 'now'"),
                ("loop\nsend x\nexpect line\nmatch\n", 4, "text is empty"),
                ("loop\nsend x\nexpect line\nmatch a\nmatch b\n", 5,
                 "expected one match for each expect"),
        ):
            path = self.write(text)
            answer = load("127.0.0.1:1", "--script", path)
            if not text:
                self.assertEqual(answer.returncode, 2)
                continue
            self.assertEqual(answer.returncode, 2, answer)
            self.assertEqual(answer.stderr.count(b"\n"), 1, answer)
            self.assertIn(("%s:%d: " % (path, line)).encode(), answer.stderr)
            said = answer.stderr.decode()
            self.assertTrue(any(words in said for words in (
                says if isinstance(says, tuple) else (says,))), said)
        # Blanks after a word are none.
        path = self.write("loop \r\nsend x\nexpect line\nclose\t\n")
        self.assertEqual(load("127.0.0.1:1", "--script", path,
                              "--dry-run").returncode, 0)
        path = self.write("loop\nsend x\nexpect line\npause 1s\n")
        for options, says in ((["-r", "10"], b"omit the pauses of the loop"),
                              (["-P", "2"], b"omit --depth"),
                              (["--think", "1s"], b"omit --think")):
            answer = load("127.0.0.1:1", "--script", path, *options)
            self.assertEqual(answer.returncode, 2, answer)
            self.assertIn(says, answer.stderr)
        path = self.write("loop\nsend x\nexpect line\nclose\n")
        answer = load("127.0.0.1:1", "--script", path, "-P", "2")
        self.assertIn(b"omit --depth", answer.stderr)
        path = self.write("loop\nsend {line}\nexpect line\n")
        for options, says in (([], b"{line} needs a file of lines"),
                              (["--text", "x"], b"--script says what is sent"),
                              (["--churn"], b"--script has connections")):
            answer = load("127.0.0.1:1", "--script", path, *options)
            self.assertEqual(answer.returncode, 2, answer)
            self.assertIn(says, answer.stderr)


def length_server(sock):
    """Answers each request with itself, a length in front."""
    with sock, sock.makefile("rwb") as file:
        while head := file.read(4):
            size = struct.unpack(">I", head)[0]
            file.write(head + file.read(size))
            file.flush()


def http_behind_a_proxy(sock):
    with sock, sock.makefile("rwb") as file:
        if not file.readline().startswith(b"PROXY TCP4 192.0.2."):
            return
        while file.readline().startswith(b"GET "):
            while file.readline() != b"\r\n":
                pass
            file.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            file.flush()


class Examples(TestCase):
    """Each script of the examples against a server of its kind."""

    def check(self, name, where):
        path = os.path.join(SCRIPTS, name)
        show = load(where, "--script", path, "--show")
        self.assertEqual(show.returncode, 0, show)
        self.assertTrue(show.stdout.endswith(b"good\n"))
        answer = load(where, "--script", path, "-n", "600", "-c", "4",
                      "--gate", "errors=0")
        self.assertEqual(answer.returncode, 0, answer)
        self.assertIn(b"600 checked: all as expected", answer.stdout)

    def start(self, command, port, **kwargs):
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, **kwargs)

        def end():
            process.terminate()
            process.wait()
        self.addCleanup(end)
        where = "127.0.0.1:%d" % port
        connect_soon(where).close()
        return where

    def program(self, name, folders=()):
        path = shutil.which(name, path=os.pathsep.join(
            [os.environ["PATH"], "/usr/sbin", *folders]))
        if not path:
            self.skipTest(name + " is not installed")
        return path

    def module(self, name):
        """A Python that has the module: Debian's, if not this one."""
        for python in sys.executable, "/usr/bin/python3":
            with contextlib.suppress(OSError):
                if subprocess.run([python, "-c", "import " + name],
                                  stderr=subprocess.DEVNULL).returncode == 0:
                    return python
        self.skipTest(name + " is not installed")

    def test_redis(self):
        port = free_port()
        where = self.start([self.program("redis-server"), "--port", str(port),
                            "--bind", "127.0.0.1", "--save", "",
                            "--requirepass", "secret"], port)
        self.check("redis.load", where)

    def test_memcached(self):
        port = free_port()
        where = self.start([self.program("memcached"), "-l", "127.0.0.1",
                            "-p", str(port), "-U", "0", "-u", "nobody"], port)
        self.check("memcached.load", where)

    def test_http(self):
        port, folder = free_port(), self.folder()
        os.chmod(folder, 0o755)
        with open(os.path.join(folder, "index.html"), "w") as file:
            file.write("hello")
        path = os.path.join(folder, "nginx.conf")
        with open(path, "w") as file:
            file.write("daemon off; master_process off; pid %s/pid;\n"
                       "error_log %s/error; events {}\n"
                       "http { access_log off; keepalive_requests 100000;\n"
                       "%s\nserver { listen 127.0.0.1:%d; root %s; } }\n" %
                       (folder, folder, " ".join(
                           "%s_temp_path %s/t;" % (kind, folder) for kind in (
                               "client_body", "proxy", "fastcgi", "uwsgi",
                               "scgi")), port, folder))
        where = self.start([self.program("nginx"), "-p", folder, "-e",
                            "stderr", "-c", path], port)
        self.check("http.load", where)

    def test_smtp(self):
        port = free_port()
        where = self.start([self.module("aiosmtpd"), "-m", "aiosmtpd", "-n",
                            "-l", "127.0.0.1:%d" % port], port)
        self.check("smtp.load", where)

    def test_ftp(self):
        port = free_port()
        where = self.start([self.module("pyftpdlib"), "-m", "pyftpdlib", "-i",
                            "127.0.0.1", "-p", str(port), "-d",
                            self.folder()], port)
        self.check("ftp.load", where)

    def test_mqtt(self):
        port, path = free_port(), os.path.join(self.folder(), "conf")
        with open(path, "w") as file:
            file.write("listener %d 127.0.0.1\nallow_anonymous true\n" % port)
        where = self.start([self.program("mosquitto"), "-c", path], port)
        self.check("mqtt.load", where)

    def test_a_length_in_front(self):
        with PythonServer(length_server) as server:
            self.check("rpc.load", server.address)

    def test_the_reply_service(self):
        with Server("reply@127.0.0.1:0") as server:
            self.check("reply.load", server.address())

    def test_a_proxy_header(self):
        with PythonServer(http_behind_a_proxy) as server:
            self.check("proxy.load", server.address)


if __name__ == "__main__":
    main()
