#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weir-client fetch: a file that is there as a whole, or a complaint and what
came of it as a part; against the documents' server, and servers that end too
early, on terminals of any width."""

import os
import re
import resource
import signal
import socket
import subprocess
import threading
import time

from weirtest import (DEADLINE, PythonServer, Terminal, TestCase, at_once,
                      in_a_network_of_its_own, in_time, main, program,
                      read_all, reset, run, set_loopback, until)

REQUEST = b"Client connected"
THANKS = b"Thank you for connecting"


def in_pieces(data, size):
    return [data[i:i + size] for i in range(0, len(data), size)]


class FileServer:
    """Handler: the documents' file transfer, where one recv is one message.
    What follows the data, and then the end, can be another than theirs."""

    def __init__(self, data, thanks=THANKS, piece=65536, end=None):
        self.data = data + thanks
        self.piece = piece
        self.end = end
        self.heard = []

    def __call__(self, sock):
        self.heard.append(sock.recv(1024))
        for piece in in_pieces(self.data, self.piece):
            sock.sendall(piece)
        if self.end:
            self.end(sock)


class Stream:
    """Handler: data without end, or silence, until it is told to end."""

    def __init__(self, piece=b"x" * 10000):
        self.piece = piece
        self.release = threading.Event()

    def __call__(self, sock):
        sock.recv(1024)
        sock.sendall(self.piece)  # some of it, however early it is told
        while not self.release.wait(0.01):
            sock.sendall(self.piece)


class Fetching(TestCase):
    def setUp(self):
        self.home = self.folder()
        self.path = self.home + "/file"

    def fetch(self, where, *args, path=None, **kwargs):
        return run("WEIR_CLIENT", "fetch", where, "-o", path or self.path,
                   *args, **kwargs)

    def content(self, path=None):
        with open(path or self.path, "rb") as file:
            return file.read()

    def check_files(self, **files):
        self.assertEqual(sorted(os.listdir(self.home)), sorted(
            name.replace("_", ".") for name in files))
        for name, content in files.items():
            self.assertEqual(self.content(
                self.home + "/" + name.replace("_", ".")), content)

    def check_done(self, result, size, path=None):
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        self.assertRegex(result.stdout.decode(), r"^received %d bytes in "
                         r"\d+\.\ds, \S+ [KMG]?i?B/s: %s"
                         r"(; the last 24 are [^\n]+)?\n$"
                         % (size, re.escape(path or self.path)))


class WholeFiles(Fetching):
    def test_the_documents_server(self):
        """All that comes is kept, the closing text included."""
        for data in (b"", b"x", bytes(range(256)) * 999, b"\n" * 65536):
            for piece in (65536, 1000):
                serve = FileServer(data, piece=piece)
                with self.subTest(size=len(data), piece=piece), \
                        PythonServer(serve) as server:
                    result = self.fetch(server.address, "--force")
                    self.check_done(result, len(data + THANKS))
                    self.check_files(file=data + THANKS)
                    self.assertEqual(serve.heard, [REQUEST])

    def test_in_pieces_of_one_byte(self):
        with PythonServer(FileServer(b"some content\0", piece=1)) as server:
            self.check_done(self.fetch(server.address), 13 + 24)
            self.check_files(file=b"some content\0" + THANKS)
            self.check_done(self.fetch(server.address, "-f", "-T"), 13)
            self.check_files(file=b"some content\0")

    def test_a_unix_socket(self):
        with PythonServer(FileServer(b"content"),
                          self.folder() + "/s") as server:
            self.check_done(self.fetch(server.address), 31)
        self.check_files(file=b"content" + THANKS)

    def test_the_closing_text_is_left_out_on_demand(self):
        for data in (b"", b"x", THANKS, THANKS[1:], THANKS[:-1],
                     THANKS * 3000, b"y" * 65536, b"z" * (65536 - 24)):
            for piece in (65536, 65535, 23):
                with self.subTest(size=len(data), piece=piece), \
                        PythonServer(FileServer(data, piece=piece)) as server:
                    self.check_done(self.fetch(
                        server.address, "-f", "--strip-thanks", "--size",
                        str(len(data))), len(data))
                    self.check_files(file=data)

    def test_a_closing_text_in_the_file_is_told(self):
        """It would spoil an archive; one that was left out does not."""
        for piece in (65536, 30, 5, 1):
            for data, options, is_told in (
                    (b"content", (), True), (b"", (), True),
                    (b"content", ("-T",), False), (THANKS, ("-T",), False)):
                with self.subTest(piece=piece, data=data, options=options), \
                        PythonServer(FileServer(data, piece=piece)) as server:
                    result = self.fetch(server.address, "-f", *options)
                    self.assertEqual(result.stdout.endswith(
                        b"; the last 24 are 'Thank you for connecting', see "
                        b"--strip-thanks\n"), is_told, result)
        for data in (b"", THANKS[:-1], THANKS + b"!"):
            def other(sock, data=data):
                sock.recv(100)
                sock.sendall(b"x" + data)
            with self.subTest(data=data), PythonServer(other) as server:
                result = self.fetch(server.address, "-f")
                self.assertNotIn(b"the last", result.stdout)

    def test_the_size_that_was_expected(self):
        with PythonServer(FileServer(b"content")) as server:
            self.check_done(self.fetch(server.address, "--size", "31"), 31)

    def test_the_usual_name(self):
        with PythonServer(FileServer(b"content")) as server:
            result = run("WEIR_CLIENT", "fetch", server.address,
                         cwd=self.home)
        self.check_done(result, 31, "received")
        self.check_files(received=b"content" + THANKS)

    def test_standard_output(self):
        data = bytes(range(256)) * 500
        with PythonServer(FileServer(data)) as server:
            result = self.fetch(server.address, "-T", path="-")
        self.assertEqual((result.returncode, result.stdout), (0, data))
        self.assertRegex(result.stderr,
                         rb"^received 128000 bytes in [\d.]+s, [^:\n]+/s\n$")
        self.check_files()

    def test_a_file_is_replaced_by_force_and_only_when_all_is_there(self):
        stream = Stream()
        with open(self.path, "wb") as file:
            file.write(b"old")
        with PythonServer(stream) as server, subprocess.Popen(
                [program("WEIR_CLIENT"), "fetch", server.address, "-f", "-o",
                 self.path], stdout=subprocess.DEVNULL) as client:
            until(lambda: os.path.exists(self.path + ".part") and
                  os.path.getsize(self.path + ".part"), "a part")
            self.assertEqual(self.content(), b"old")
            stream.release.set()
            self.assertEqual(client.wait(DEADLINE), 0)
        self.assertEqual(self.content()[:1], b"x")
        self.assertEqual(os.listdir(self.home), ["file"])

    def test_a_link_is_replaced_not_followed(self):
        with open(self.home + "/other", "wb") as file:
            file.write(b"old")
        os.symlink("other", self.path)
        with PythonServer(FileServer(b"new")) as server:
            self.check_done(self.fetch(server.address, "-fT"), 3)
        self.assertFalse(os.path.islink(self.path))
        self.check_files(file=b"new", other=b"old")

    def test_the_part_of_an_earlier_transfer_is_written_anew(self):
        with open(self.path + ".part", "wb") as file:
            file.write(b"a longer beginning of it")
        with PythonServer(FileServer(b"new")) as server:
            self.check_done(self.fetch(server.address, "-T"), 3)
        self.check_files(file=b"new")

    def test_the_mode_is_the_umask_s(self):
        with PythonServer(FileServer(b"new")) as server:
            self.check_done(self.fetch(
                server.address, preexec_fn=lambda: os.umask(0o027)), 27)
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o640)

    def test_no_time_out_while_something_comes(self):
        """However slowly: the time counts from the last byte."""
        def slow(sock):
            sock.recv(1024)
            for byte in in_pieces(b"very slowly", 1):
                with at_once(0.25) as send:
                    time.sleep(0.25)
                    send(sock, byte)
        with PythonServer(slow) as server:
            in_time(lambda: self.check_done(
                self.fetch(server.address, "-f", "-t", "2600ms"), 11))


class NothingIsOverwritten(Fetching):
    def test_bad_usage(self):
        for args, *fragments in (
                ([], "address is missing", "fetch 127.0.0.1:3000"),
                (["localhost"], "'localhost'", "port"),
                ([":1", "x"], "'x'", "unexpected"),
                ([":1", "-o", ""], "--output", "name"),
                ([":1", "--size", ""], "--size", "''"),
                ([":1", "--size", "1k"], "--size", "'1k'", "bytes"),
                ([":1", "--size", "-1"], "--size", "'-1'"),
                ([":1", "-s", "9" * 20], "--size"),
                ([":1", "-t", "5"], "--timeout", "'5'")):
            with self.subTest(args=args):
                self.check_usage(run("WEIR_CLIENT", "fetch", *args,
                                     cwd=self.home), "weir-client",
                                 *fragments)
        self.check_files()

    def test_help(self):
        result = run("WEIR_CLIENT", "fetch", "--help")
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        for word in (b"--output", b"--force", b"--size", b"--strip-thanks"):
            self.assertIn(word, result.stdout)

    def test_a_file_that_is_there(self):
        """Nobody even connects."""
        with open(self.path, "wb") as file:
            file.write(b"old")
        serve = FileServer(b"new")
        with PythonServer(serve) as server:
            self.check_usage(self.fetch(server.address), "weir-client",
                             self.path, "--force")
        self.check_files(file=b"old")
        self.assertEqual(serve.heard, [])

    def test_what_is_no_file_is_never_replaced(self):
        os.mkfifo(self.path)
        os.symlink(self.path, self.home + "/link")
        for path in (self.home, self.path, self.home + "/link", "/dev/null"):
            with self.subTest(path=path):
                self.check_usage(self.fetch(":1", "--force", path=path),
                                 "weir-client", path, "not a plain file",
                                 "-o -")

    def test_nor_is_a_link_to_standard_output(self):
        os.symlink("/dev/stdout", self.home + "/link")
        with open(self.path, "wb") as file:
            result = self.fetch(":1", "--force", path=self.home + "/link",
                                stdout=file)
        self.assertEqual(result.returncode, 2)
        self.assertIn(b"use -o -", result.stderr)

    def test_a_file_that_came_meanwhile(self):
        stream = Stream()
        with PythonServer(stream) as server, subprocess.Popen(
                [program("WEIR_CLIENT"), "fetch", server.address, "-o",
                 self.path], stderr=subprocess.PIPE) as client:
            until(lambda: os.path.exists(self.path + ".part") and
                  os.path.getsize(self.path + ".part"), "a part")
            with open(self.path, "wb") as file:
                file.write(b"other")
            stream.release.set()
            self.assertEqual(client.wait(DEADLINE), 1)
            self.assertRegex(client.stderr.read(), rb"^weir-client: cannot "
                             rb"rename .*/file\.part to .*/file: File exists"
                             rb"\n$")
        self.assertEqual(self.content(), b"other")
        self.assertTrue(os.path.exists(self.path + ".part"))

    def test_two_transfers_to_one_file(self):
        stream = Stream()
        with PythonServer(stream) as server, subprocess.Popen(
                [program("WEIR_CLIENT"), "fetch", server.address, "-o",
                 self.path], stdout=subprocess.DEVNULL) as client:
            until(lambda: os.path.exists(self.path + ".part") and
                  os.path.getsize(self.path + ".part"), "a part")
            self.check_failure(self.fetch(server.address), "file.part",
                               "another transfer")
            stream.release.set()
            self.assertEqual(client.wait(DEADLINE), 0)
        self.assertEqual(self.content().strip(b"x"), b"")

    def test_a_part_that_is_no_file(self):
        victim = self.home + "/victim"
        with open(victim, "wb") as file:
            file.write(b"precious")
        for make in (lambda part: os.symlink(victim, part), os.mkfifo,
                     os.mkdir):
            path = self.folder() + "/file"
            make(path + ".part")
            with PythonServer(FileServer(b"new")) as server:
                self.check_failure(self.fetch(server.address, path=path),
                                   "cannot write", "file.part")
        self.check_files(victim=b"precious")

    def test_folders_that_cannot_be_written(self):
        with open(self.path, "wb"):
            pass
        cases = [(self.home + "/none/file", "No such file"),
                 (self.path + "/file", "Not a directory"),
                 (self.home + "/" + "x" * 300, "too long")]
        if os.geteuid() != 0:
            closed = self.folder()
            os.chmod(closed, 0o555)
            cases.append((closed + "/file", "Permission denied"))
        for path, why in cases:
            serve = FileServer(b"new")
            with self.subTest(path=path), PythonServer(serve) as server:
                self.check_failure(self.fetch(server.address, path=path),
                                   "cannot write " + path + ".part", why)
            # The server was not made to send a file for nothing.
            self.assertIn(serve.heard, ([], [b""]))


class CutTransfers(Fetching):
    """An error of one line, and what came in the part."""

    def check_cut(self, handler, came, *fragments, args=()):
        with PythonServer(handler) as server:
            result = self.fetch(server.address, *args)
            release = getattr(handler, "release", None)
            if release:
                release.set()
        self.check_failure(result, server.address, *fragments,
                           "received %d bytes" % len(came))
        self.assertEqual(result.stdout, b"")
        if came:
            self.check_one_line(result, "weir-client", self.path + ".part")
            self.check_files(file_part=came)
        else:
            self.check_files()

    def test_nobody_there(self):
        where = "unix:" + self.home + "/s"
        self.check_failure(self.fetch(where), where, "no such socket")
        self.check_files()

    def test_a_server_that_ends_at_once(self):
        self.check_cut(FileServer(b"", b""), b"", "closed the connection")
        self.check_cut(lambda sock: sock.recv(100) and None, b"",
                       "closed the connection")

    def test_a_server_that_has_nothing_but_says_so(self):
        with PythonServer(FileServer(b"", b"")) as server:
            self.check_done(self.fetch(server.address, "--size", "0"), 0)
        self.check_files(file=b"")

    def test_a_server_that_resets(self):
        for came in (b"", b"x", b"x" * 100):
            with self.subTest(came=came):
                def resets(sock, came=came):
                    part = self.path + ".part"
                    sock.recv(1024)
                    sock.sendall(came)
                    if came:
                        until(lambda: os.path.exists(part) and
                              os.path.getsize(part) == len(came), "the part")
                    reset(sock)
                self.check_cut(resets, came, "reset the connection")

    def test_a_server_that_falls_silent(self):
        for came in (b"", b"x", b"x" * 100000):
            for args in ((), ("-T",), ("-s", "999999")):
                with self.subTest(size=len(came), args=args):
                    in_time(lambda: self.check_silence(came, args))

    def check_silence(self, came, args):
        class Silent(FileServer):
            def __call__(self, sock):
                self.heard.append(sock.recv(1024))
                with at_once() as send:
                    send(sock, self.data)
                self.release.wait(DEADLINE)
        silent = Silent(came, b"")
        silent.release = threading.Event()
        try:
            self.check_cut(silent, came, "no data", "300ms",
                           args=("-t", "300ms", *args))
        finally:
            silent.release.set()
            for name in os.listdir(self.home):
                os.unlink(self.home + "/" + name)

    def test_a_server_that_cannot_be_reached_any_more(self):
        """The kernel gives up, and then tells of an end of input."""
        def body():
            with socket.create_server(("127.0.0.1", 0)) as listener:
                ours = socket.create_connection(listener.getsockname())
                theirs = listener.accept()[0]
            with ours, theirs:
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                for name in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL,
                             socket.TCP_KEEPCNT):
                    ours.setsockopt(socket.IPPROTO_TCP, name, 1)
                fd = ours.fileno()
                with subprocess.Popen(
                        [program("WEIR_CLIENT"), "fetch", "fd:%d" % fd, "-o",
                         self.path, "-t", "never"], pass_fds=(fd,),
                        stderr=subprocess.PIPE) as client:
                    theirs.recv(100)
                    theirs.sendall(b"half of it")
                    until(lambda: os.path.exists(self.path + ".part") and
                          os.path.getsize(self.path + ".part") == 10, "half")
                    set_loopback(0)
                    self.assertEqual(client.wait(DEADLINE), 1)
                    self.assertRegex(client.stderr.read(),
                                     rb": fd:\d+ no longer answers; received "
                                     rb"10 bytes, kept in \S+\n$")
            self.assertFalse(os.path.exists(self.path))
        in_a_network_of_its_own(self, body)

    def test_less_than_was_expected(self):
        for data, args in ((b"x" * 99, ("--size", "100")),
                           (b"x" * 99, ("--size", "100", "-T")),
                           (b"", ("--size", "1", "-T"))):
            thanks = THANKS if "-T" in args else b""
            with self.subTest(args=args):
                self.check_cut(FileServer(data, thanks), data,
                               "less than", args=args + ("-f",))

    def test_more_than_was_expected(self):
        self.check_cut(FileServer(b"x" * 101, b""), b"x" * 101,
                       "more than 100 bytes", args=("--size", "100"))
        stream = Stream()
        with PythonServer(stream) as server:
            result = self.fetch(server.address, "--size", "20001", "-T")
            stream.release.set()
        self.check_failure(result, "more than 20001 bytes")

    def test_a_closing_text_that_is_not_whole(self):
        for size in list(range(len(THANKS))) + [100]:
            data = b"content" + (THANKS[:size] if size < 100
                                 else THANKS + b"\n")
            with self.subTest(size=size):
                self.check_cut(FileServer(data, b"", 5), data,
                               "without the closing text", args=("-T",))

    def test_the_file_before_it_stays(self):
        with open(self.path, "wb") as file:
            file.write(b"old")
        with PythonServer(FileServer(b"new", b"", end=reset)) as server:
            self.check_failure(self.fetch(server.address, "-f"), "reset")
        self.assertEqual(self.content(), b"old")

    def test_standard_output(self):
        with PythonServer(FileServer(b"content", b"")) as server:
            result = self.fetch(server.address, "-T", path="-")
        self.check_failure(result, "closing text", "received 7 bytes")
        self.assertEqual(result.stdout, b"content")
        with PythonServer(FileServer(b"content")) as server, \
                open("/dev/full", "wb") as full:
            result = self.fetch(server.address, path="-", stdout=full)
        self.check_failure(result, "standard output", "No space")

    def test_a_file_that_may_not_grow(self):
        with PythonServer(FileServer(b"x" * 200000)) as server:
            result = self.fetch(
                server.address, preexec_fn=lambda: resource.setrlimit(
                    resource.RLIMIT_FSIZE, (100000, 100000)))
        self.check_failure(result, "cannot write", "file.part",
                           "File too large")
        self.check_files(file_part=b"x" * 100000)

    def test_a_disk_that_is_full(self):
        """In a mount namespace of its own, where that is allowed."""
        mount = 'mount -t tmpfs -o size=64k none "$0" || exit; '
        script = mount + '"$@"; rc=$?; wc -c <"$0/file.part" >&2; exit $rc'
        for unshare in (["unshare", "-m"], ["unshare", "-r", "-m"]):
            try:
                probe = subprocess.run(
                    [*unshare, "sh", "-c", mount + "true", self.home],
                    stderr=subprocess.PIPE, timeout=DEADLINE)
            except OSError as error:
                self.skipTest(str(error))
            if probe.returncode == 0:
                break
        else:
            self.skipTest("no mount namespace: %r" % probe.stderr)
        with PythonServer(FileServer(b"x" * 200000)) as server:
            result = subprocess.run(
                [*unshare, "sh", "-c", script, self.home,
                 program("WEIR_CLIENT"), "fetch", server.address, "-o",
                 self.path], stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, timeout=DEADLINE)
        self.assertEqual(result.returncode, 1, result)
        line, size = result.stderr.splitlines()
        self.assertEqual(line.decode(), "weir-client: cannot write %s.part: "
                         "No space left on device" % self.path)
        self.assertEqual(int(size), 65536)

    def test_interrupted(self):
        for signo in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            stream = Stream()
            with self.subTest(signo=signo), PythonServer(stream) as server, \
                    subprocess.Popen(
                        [program("WEIR_CLIENT"), "fetch", server.address,
                         "-o", self.path], stderr=subprocess.PIPE) as client:
                until(lambda: os.path.exists(self.path + ".part") and
                      os.path.getsize(self.path + ".part"), "a part")
                client.send_signal(signo)
                self.assertEqual(client.wait(DEADLINE), -signo)
                self.assertEqual(client.stderr.read(),
                                 b"weir-client: interrupted\n")
                stream.release.set()
            self.assertEqual(os.listdir(self.home), ["file.part"])
            self.assertEqual(self.content(self.path + ".part").strip(b"x"),
                             b"")
            os.unlink(self.path + ".part")


class Progress(Fetching):
    """On a terminal; on a pipe there is none, as WholeFiles sees."""

    FIGURES = rb"[\d.]+ [KM]?i?B  [\d.]+ [KM]?i?B/s  \d+\.\ds"
    WITH_SIZE = (rb" *\d+%% %s[\d.]+ [KM]?i?B of 9.5 MiB  "
                 rb"[\d.]+ [KM]?i?B/s  \d+\.\ds  (\?|[\d.:]+s?) left")
    BAR = rb"\[=*>? *\] "

    def watch(self, stream, columns, *args, lines=3, then=None, term="xterm"):
        """Lines as they are drawn, until there are enough; then the end."""
        with PythonServer(stream) as server, Terminal(
                "fetch", server.address, "-o", self.path, *args, term=term,
                shell='stty cols %d; exec "$@"' % columns) as user:
            seen = []
            user.expect(b"\r")
            while len(seen) < lines:
                seen.append(user.expect(b"\r"))
            if then:
                seen += then(user) or []
            stream.release.set()
            status = user.end()
        return seen, status, user.seen

    @staticmethod
    def text(drawn):
        """Without what blanks out the line before."""
        return re.sub(rb" *\x08*$", b"", drawn)

    def test_a_size_that_is_not_known(self):
        for columns, term in ((80, "xterm"), (0, "dumb"), (1000, "xterm")):
            with self.subTest(columns=columns):
                seen, status, rest = self.watch(Stream(), columns, "-f",
                                                term=term)
                for line in seen:
                    self.assertRegex(self.text(line), rb"^%s$" % self.FIGURES)
                self.assertEqual(status, 0, rest)
                size = os.path.getsize(self.path)
                last = rest.split(b"\r")[-2]
                self.assertTrue(last.startswith(b"received %d bytes" % size),
                                rest)

    def test_a_size_that_is_known(self):
        stream = Stream()
        seen, status, rest = self.watch(stream, 100, "-s", "10000000")
        for line in seen:
            self.assertRegex(self.text(line),
                             b"^" + self.WITH_SIZE % self.BAR + b"$")
        self.assertEqual(status, 1)
        self.assertIn(b"less than 10000000 bytes", rest)

    def test_the_bar_gives_way_in_a_narrow_terminal(self):
        seen, _, _ = self.watch(Stream(), 50, "-s", "10000000")
        for line in seen:
            self.assertRegex(self.text(line),
                             rb"^ *\d+% [\d.]+ [KM]?i?B of 9.5 MiB  [\d.]+ ")

    def test_no_line_is_longer_than_the_terminal(self):
        for columns in (1, 2, 12, 40, 80):
            for args in ((), ("-s", "10000000")):
                with self.subTest(columns=columns, args=args):
                    stream = Stream()
                    with PythonServer(stream) as server, Terminal(
                            "fetch", server.address, "-o", self.path, "-f",
                            *args, shell='stty cols %d; exec "$@"'
                            % columns) as user:
                        for _ in range(4):
                            user.expect(b"\r")
                        stream.release.set()
                        user.end()
                    *lines, _ = re.split(b"received|weir-client:", user.all, 1)
                    self.assertEqual(len(lines), 1)
                    lines = lines[0].split(b"\r")
                    self.assertEqual(len(lines[1]) > 0, columns > 1, lines)
                    for line in lines:
                        self.assertLess(len(line.replace(b"\x08", b"")),
                                        columns, line)
                        self.assertNotIn(b"\n", line)

    def test_a_terminal_that_is_resized(self):
        def shrink(user):
            user.resize(20)
            end = time.monotonic() + DEADLINE
            while time.monotonic() < end:
                line = self.text(user.expect(b"\r"))
                if len(line) == 19:
                    return [line]
            self.fail("it does not follow")
        seen, status, _ = self.watch(Stream(), 80, "-s", "10000000",
                                     then=shrink)
        self.assertRegex(seen[-1], rb"^ *\d+% [\d.]+ [KM]iB of")
        self.assertEqual(status, 1)

    def test_it_goes_on_while_nothing_comes(self):
        """The time does, and the rate falls."""
        seen, status, _ = self.watch(Stream(b""), 80, "-f", lines=4)
        times = [float(re.search(rb"([\d.]+)s$", self.text(line))[1])
                 for line in seen]
        self.assertGreater(times[-1], times[0] + 0.3)
        self.assertEqual(status, 1)

    def test_interrupted(self):
        def interrupt(user):
            user.type(b"\x03")
            user.expect(b"\r\nweir-client: interrupted\r\n")
        self.assertEqual(self.watch(Stream(), 80, then=interrupt)[1],
                         -signal.SIGINT)
        self.assertEqual(os.listdir(self.home), ["file.part"])

        def end(user):
            os.kill(user.pid, signal.SIGTERM)
            user.expect(b"\r\nweir-client: interrupted\r\n")
        self.assertEqual(self.watch(Stream(), 80, then=end)[1],
                         -signal.SIGTERM)

    def test_a_failure_has_a_line_of_its_own(self):
        seen, status, rest = self.watch(Stream(), 80, "-T")
        self.assertEqual(status, 1)
        self.assertRegex(rest, rb"\x08\rweir-client: \S+ closed without")

    def test_no_progress_among_the_data(self):
        with PythonServer(FileServer(b"a\x1b[2Jb\n")) as server, Terminal(
                "fetch", server.address, "-o", "-", "-T") as user:
            self.assertEqual(user.end(), 0)
        self.assertRegex(user.seen, rb"^a\\x1b\[2Jb\r\nreceived 7 bytes")


if __name__ == "__main__":
    main()
