#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weir-client with --tls: whom it trusts, and each command over TLS, with
weir-server, openssl s_server and Python at the other end."""

import contextlib
import os
import select
import socket
import ssl
import subprocess
import threading
import unittest

from certificates import (OPENSSL, CertifiedCase, make_certificate,
                          make_expired_certificate)
from weirtest import (DEADLINE, Pump, PythonServer, Server, Terminal, TestCase,
                      in_time, main, program, read_all, reset, run)

COMMANDS = "talk", "send", "fetch", "chat"
# More than two reads take, each of which ends with a line.
RECORD = b"records\n" * 1500


def is_built():
    return b"TLS yes" in run("WEIR_CLIENT", "--version").stdout


class Options(TestCase):
    def check_refused(self, options, *fragments, address="127.0.0.1:9"):
        for command in COMMANDS:
            with self.subTest(command=command, options=options):
                self.check_usage(run("WEIR_CLIENT", command, address, *options,
                                     input=b"x", cwd=self.folder()),
                                 "weir-client", *fragments)

    def test_a_build_without_tls_says_so(self):
        if is_built():
            self.skipTest("this build has TLS")
        for options in (["--tls"], ["--tls=example.org"], ["--ca", "x"],
                        ["--insecure"], ["--tls-certificate", "x"],
                        ["--tls-key", "x"]):
            self.check_refused(options, "built without TLS")

    def test_options_that_do_not_agree(self):
        if not is_built():
            self.skipTest("weir-client is built without TLS")
        self.check_refused(["--ca", "x"], "--ca needs --tls")
        self.check_refused(["--insecure"], "--insecure needs --tls")
        self.check_refused(["--tls-certificate", "x"],
                           "--tls-certificate needs --tls")
        self.check_refused(["--tls", "--tls-key", "x"],
                           "--tls-key needs --tls-certificate")
        self.check_refused(["--tls", "--insecure", "--ca", "x"],
                           "--ca contradicts --insecure")
        self.check_refused(["--tls="], "--tls: '' is not the name")
        self.check_refused(["--tls=.example"], "'.example' is not the name")
        for address in "unix:/nowhere", "unix:@nowhere", "fd:0":
            self.check_refused(["--tls"], "has no host", "--tls=example.org",
                               address=address)

    def test_a_file_that_is_not_good_is_named(self):
        if not is_built():
            self.skipTest("weir-client is built without TLS")
        for option in "--ca", "--tls-certificate":
            self.check_refused(["--tls", option, "/nowhere/x.pem"],
                               option + ": /nowhere/x.pem: no such")


class Wrapped:
    """Handler: TLS, then another handler, which gets the socket."""

    def __init__(self, context, handler):
        self.context = context
        self.handler = handler

    def __call__(self, sock):
        with self.context.wrap_socket(sock, server_side=True) as client:
            self.handler(client)


class TLSCase(CertifiedCase):
    @classmethod
    def setUpClass(cls):
        if not is_built():
            raise unittest.SkipTest("weir-client is built without TLS")
        super().setUpClass()
        make_expired_certificate(cls.made)

    def pair(self, name):
        return self.file(name + ".pem"), self.file(name + ".key")

    def trusting(self, name=None):
        return "--tls=" + name if name else "--tls", "--ca", \
            self.file("ca.pem")

    def weir(self, *args, name="server"):
        certificate, key = self.pair(name)
        return Server(*args, "--tls-certificate", certificate,
                      "--tls-key", key)

    def context(self, name="server"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.pair(name))
        return context

    def python(self, handler, context=None):
        return PythonServer(Wrapped(context or self.context(), handler))

    def check_done(self, result, output=b""):
        self.assertEqual((result.returncode, result.stderr, result.stdout),
                         (0, b"", output))

    def start(self, *args):
        """A client whose input stays open."""
        process = subprocess.Popen([program("WEIR_CLIENT"), *args],
                                   stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        out, err = Pump(process.stdout), Pump(process.stderr)

        def end():
            process.stdin.close()
            if process.poll() is None:
                process.kill()
            process.wait()
            out.close()
            err.close()
        self.addCleanup(end)
        return process, out


class Trust(TLSCase):
    def send(self, where, *options):
        return run("WEIR_CLIENT", "send", where, "hello", *options)

    def test_a_certificate_of_the_authority_with_the_name_is_trusted(self):
        with self.weir("echo+tls@127.0.0.1:0") as server:
            port = server.address().rpartition(":")[2]
            for where, name in ((server.address(), None),
                                (server.address(), "localhost"),
                                ("localhost:" + port, None),
                                (":" + port, None)):
                with self.subTest(where=where, name=name):
                    self.check_done(self.send(where, *self.trusting(name)),
                                    b"hello")

    @staticmethod
    def echo(client):
        client.sendall(client.recv(5))
        client.unwrap()

    def test_certificates_of_all_common_curves_are_taken(self):
        for curve in "P-384", "P-521":
            make_certificate(self.made, curve, curve=curve)
            for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
                with self.subTest(curve=curve, version=version):
                    context = self.context(curve)
                    context.maximum_version = version
                    with self.python(self.echo, context) as server:
                        self.check_done(self.send(server.address,
                                                  *self.trusting()), b"hello")

    def test_another_name_is_refused_and_those_of_the_certificate_told(self):
        with self.weir("echo+tls@127.0.0.1:0") as server:
            for name, why in (("example.org", "hostname mismatch"),
                              ("127.0.0.2", "IP address mismatch")):
                for command in COMMANDS:
                    with self.subTest(name=name, command=command):
                        result = run("WEIR_CLIENT", command, server.address(),
                                     *self.trusting(name), input=b"secret\n",
                                     cwd=self.folder())
                        self.check_failure(
                            result, 'as "%s" failed: %s' % (name, why),
                            'its certificate is for "localhost 127.0.0.1"')
                        self.assertEqual(result.stdout, b"")
            _, counts = server.stop()
            self.assertEqual(counts["failed"], 8)

    def test_an_expired_certificate_is_refused(self):
        # weir-server does not start with one
        with self.python(lambda client: client.recv(1),
                         self.context("expired")) as server:
            self.check_failure(self.send(server.address, *self.trusting()),
                               "failed: certificate has expired; its "
                               'certificate is for "localhost 127.0.0.1"')

    def test_an_unknown_authority_is_refused_by_default(self):
        make_certificate(self.made, "stranger", ca=None)
        with self.weir("echo+tls@127.0.0.1:0") as server:
            self.check_failure(self.send(server.address(), "--tls"),
                               "the certificate is of an unknown authority")
        with self.weir("echo+tls@127.0.0.1:0", name="stranger") as server:
            self.check_failure(self.send(server.address(), *self.trusting()),
                               "self-signed certificate")

    def test_insecure_takes_any_certificate(self):
        with self.weir("echo+tls@127.0.0.1:0") as server:
            for option in "--tls", "--tls=example.org":
                self.check_done(self.send(server.address(), option,
                                          "--insecure"), b"hello")

    def test_the_name_is_asked_for(self):
        asked = []
        context = self.context()
        context.sni_callback = lambda sock, name, _: asked.append(name)
        with self.python(read_all, context) as server:
            port = server.address.rpartition(":")[2]
            self.send("localhost:" + port, *self.trusting())
            self.send(server.address, *self.trusting("localhost"))
            self.send(server.address, "--tls=other.example", "--insecure")
            self.send(server.address, *self.trusting())
        # the name of an address is none
        self.assertEqual(asked, ["localhost", "localhost", "other.example",
                                 None])

    def test_a_client_shows_its_certificate(self):
        make_certificate(self.made, "client")
        certificate, key = self.pair("client")
        both = self.file("both.pem")
        with open(both, "wb") as file:
            for path in certificate, key:
                with open(path, "rb") as part:
                    file.write(part.read())
        with self.weir("echo+tls@127.0.0.1:0", "--tls-client-ca",
                       self.file("ca.pem")) as server:
            self.check_done(self.send(server.address(), *self.trusting(),
                                      "--tls-certificate", certificate,
                                      "--tls-key", key), b"hello")
            self.check_done(self.send(server.address(), *self.trusting(),
                                      "--tls-certificate", both), b"hello")
            for options in self.trusting(), ["--tls", "--insecure"]:
                self.check_failure(self.send(server.address(), *options),
                                   "failed: ", "certificate required")

    def test_a_server_without_tls_is_told(self):
        with Server("reply@127.0.0.1:0", "echo@127.0.0.1:0") as server:
            for i in range(2):
                for option in [], ["--insecure"]:
                    self.check_failure(
                        self.send(server.address(i), "--tls", *option),
                        "failed: the server does not speak TLS")

    def test_a_server_that_closes_in_the_handshake_is_told(self):
        def reset_later(sock):
            sock.recv(1)
            reset(sock)
        for end in (reset_later, lambda sock: None,
                    lambda sock: sock.recv(1 << 20)):
            with self.subTest(end=end), PythonServer(end) as server:
                self.check_failure(
                    self.send(server.address, "--tls"), "failed: the peer "
                    "closed the connection in the handshake")

    def test_a_silent_server_is_told_after_the_timeout(self):
        def dialogue():
            silent = threading.Event()
            with PythonServer(lambda sock: silent.wait(DEADLINE)) as server:
                result = self.send(server.address, "--tls", "--timeout=100ms")
                silent.set()
            self.check_failure(result, "no TLS handshake from ",
                               "within 100ms")
        in_time(dialogue)

    def test_the_end_of_tcp_alone_is_no_end(self):
        def cut(client):
            client.recv(100)
            client.sendall(b"half of it")
            # closed without unwrap()
        with self.python(cut) as server:
            folder = self.folder()
            result = run("WEIR_CLIENT", "fetch", server.address, "--output",
                         folder + "/data", *self.trusting())
            self.check_failure(result, "the peer ended without close_notify",
                               "received 10 bytes, kept in")
            self.assertEqual(os.listdir(folder), ["data.part"])
        with self.python(lambda client: client.sendall(b"half")) as server:
            result = run("WEIR_CLIENT", "talk", server.address, "--read-only",
                         *self.trusting())
            self.check_failure(result, "the peer ended without close_notify")
            self.assertEqual(result.stdout, b"half")


class Commands(TLSCase):
    def test_talk_shows_banner_and_replies(self):
        with self.weir("reply+tls@127.0.0.1:0") as server:
            result = run("WEIR_CLIENT", "talk", server.address(),
                         *self.trusting(), input=b"hello\nyou\nwindup\n")
            self.check_done(result, b"Connect\nServer replies: hello\n"
                            b"Server replies: you\nServer replies: windup\n")

    def test_talk_on_a_terminal(self):
        with self.weir("reply+tls@127.0.0.1:0") as server, Terminal(
                "talk", server.address(), *self.trusting()) as user:
            user.expect(b"Enter message: ")
            user.type(b"hello\r")
            user.expect(b"Server replies: hello")
            user.type(b"windup\r")
            self.assertEqual(user.end(), 0)

    def test_tickets_are_not_taken_for_input(self):
        """A client that reads for their sake waits for the server, while the
        server waits for the user."""
        heard = []

        def hear(client):
            heard.append(client.recv(100))
            client.sendall(b"thanks\n")
            client.unwrap()
        for option in "--no-banner", "--lines":
            with self.subTest(option=option), self.python(hear) as server:
                process, out = self.start("talk", option, server.address,
                                          "--timeout=2s", *self.trusting())
                # Longer than the timeout: nothing is expected of the server.
                with self.assertRaises(subprocess.TimeoutExpired):
                    process.wait(3)
                process.stdin.write(b"hello\n")
                process.stdin.flush()
                out.expect(rb"^thanks\n")
        self.assertEqual([text.strip() for text in heard], [b"hello"] * 2)

    def test_all_of_a_record_is_shown(self):
        """Its rest is there, and the socket is not readable."""
        done = threading.Event()

        def speak(client):
            client.sendall(RECORD)
            done.wait(DEADLINE)
        for command in (["talk", "--lines"], ["talk", "--read-only"],
                        ["talk"], ["chat"], ["chat", "--lines"]):
            done.clear()
            with self.subTest(command=command), self.python(speak) as server:
                _, out = self.start(*command, server.address, *self.trusting())
                try:
                    out.expect(rb"(records\n){1500}")
                finally:
                    done.set()

    def say_together(self, client, *records):
        """In one segment."""
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        for record in records:
            client.sendall(record)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)

    def check_conversation(self, command, first, turns):
        """The client says a line for each turn, the last one when all that was
        said before the answer to the one before has come.  A turn is a line and
        the records that answer it."""
        heard, seen = b"", b"".join(b"".join(said) for _, said in turns)
        early = []

        def converse(client):
            nonlocal heard
            if first:
                client.sendall(first)
            for i, (line, said) in enumerate(turns):
                while line not in heard:
                    said_by_client = client.recv(100)
                    if not said_by_client:
                        return
                    heard += said_by_client
                if i == len(turns) - 2:
                    # Another line before the answer answers something else.
                    early.extend(select.select([client], [], [], 0.2)[0])
                self.say_together(client, *said)
            read_all(client)
            client.unwrap()
        with self.python(converse) as server:
            result = run("WEIR_CLIENT", command, server.address,
                         *self.trusting(),
                         input=b"".join(line.strip() + b"\n"
                                        for line, _ in turns))
        self.assertEqual((result.returncode, result.stderr, early),
                         (0, b"", []))
        self.assertEqual(result.stdout.replace(b"\n", b""),
                         (first + seen).replace(b"\n", b""))

    def test_records_that_come_together_are_read_together(self):
        self.check_conversation("talk", b"Connect", (
            (b"one", (b"Server replies: one", b"news\n", b"more news\n")),
            (b"two", (b"Server replies: two",)),
            (b"windup", (b"Server replies: windup",))))
        # Its second line ends with a newline, as the first answer does.
        self.check_conversation("chat", b"", (
            (b"one", (b"hello\n",)),
            (b"two\n", (b"yes\n", b"and no\n")),
            (b"three\n", (b"good\n",)),
            (b"four\n", (b"bye\n",))))

    def test_half_a_close_leaves_the_answer(self):
        def answer(client):
            heard = read_all(client)
            client.sendall(b"%d bytes" % len(heard))
            client.unwrap()
        text = b"hello\n" * 1000
        with self.python(answer) as server:
            self.check_done(run("WEIR_CLIENT", "send", server.address, "-",
                                *self.trusting(), input=text), b"6000 bytes")
            self.check_done(run("WEIR_CLIENT", "talk", server.address,
                                "--lines", *self.trusting(), input=text),
                            b"6000 bytes")

    def test_send_takes_much_in_both_directions(self):
        data = os.urandom(20_000_000)
        with self.weir("echo+tls@127.0.0.1:0") as server:
            result = run("WEIR_CLIENT", "send", server.address(),
                         *self.trusting(), input=data)
            self.assertEqual((result.returncode, result.stderr), (0, b""))
            self.assertTrue(result.stdout == data)
            _, counts = server.stop()
            self.assertEqual(counts["completed"], 1)

    def test_lines_take_much_in_both_directions(self):
        # A record each.  Of a client that takes them one by one the kernel may
        # tell the server nothing for longer than the usual write timeout.
        lines = b"".join(b"line %0100d\n" % i for i in range(20_000))
        with self.weir("echo+tls@127.0.0.1:0", "--write-timeout",
                       "never") as server:
            result = run("WEIR_CLIENT", "talk", server.address(), "--lines",
                         *self.trusting(), input=lines)
            self.assertEqual((result.returncode, result.stderr), (0, b""))
            self.assertTrue(result.stdout == lines)

    def test_fetch_gets_a_whole_file(self):
        data = os.urandom(10_000_000)
        path, folder = self.file("data"), self.folder()
        with open(path, "wb") as file:
            file.write(data)
        with self.weir("file+tls@127.0.0.1:0", "--file", path) as server:
            result = run("WEIR_CLIENT", "fetch", server.address(), "-T",
                         "--size", str(len(data)), "-o", folder + "/got",
                         *self.trusting())
            self.assertEqual((result.returncode, result.stderr), (0, b""))
        with open(folder + "/got", "rb") as file:
            self.assertTrue(file.read() == data)

    def test_chat_in_a_room(self):
        with self.weir("room+tls@127.0.0.1:0") as server:
            options = [server.address(), "--lines", *self.trusting()]
            _, out = self.start("chat", *options)
            out.expect(rb"\n")
            result = run("WEIR_CLIENT", "chat", *options,
                         input=b"good evening\nwindup\n")
            self.assertEqual((result.returncode, result.stderr), (0, b""))
            out.expect(rb"good evening\n")


class OpenSSL(TLSCase):
    """openssl s_server at the other end."""

    @contextlib.contextmanager
    def s_server(self, *options):
        certificate, key = self.pair("server")
        with subprocess.Popen(
                [OPENSSL, "s_server", "-accept", "127.0.0.1:0", "-cert",
                 certificate, "-key", key, *options], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            out = Pump(process.stdout)
            try:
                where = out.expect(rb"^ACCEPT (127\.0\.0\.1:\d+)")[1].decode()
                yield where, process, out
            finally:
                process.kill()
                process.wait()
                out.close()

    def test_each_line_comes_back_reversed(self):
        for version in "-tls1_2", "-tls1_3":
            with self.subTest(version=version), \
                    self.s_server("-rev", version) as (where, _, _):
                process, out = self.start("talk", where, "--lines",
                                          *self.trusting())
                for line, reply in ((b"hello\n", rb"^olleh\n"),
                                    (b"again\n", rb"^niaga\n")):
                    process.stdin.write(line)
                    process.stdin.flush()
                    out.expect(reply)

    def test_a_message_arrives(self):
        with self.s_server("-naccept", "1") as (where, _, out):
            result = run("WEIR_CLIENT", "send", where, "good morning",
                         *self.trusting())
            self.assertEqual((result.returncode, result.stderr), (0, b""))
            out.expect(rb"good morning")

    def test_a_person_at_the_other_end(self):
        with self.s_server("-naccept", "1") as (where, person, heard):
            process, out = self.start("chat", where, "--lines",
                                      *self.trusting())
            process.stdin.write(b"hello there\n")
            process.stdin.flush()
            heard.expect(rb"^hello there\n")
            person.stdin.write(b"hello yourself\n")
            person.stdin.flush()
            out.expect(rb"hello yourself\n")

    def test_a_page_is_shown(self):
        with self.s_server("-www") as (where, _, _):
            result = run("WEIR_CLIENT", "talk", where, "--crlf",
                         *self.trusting(), input=b"GET / HTTP/1.0\n\n")
            self.assertEqual((result.returncode, result.stderr), (0, b""))
            self.assertTrue(result.stdout.startswith(b"HTTP/1.0 200 ok"),
                            result.stdout)
            self.assertIn(b"</pre></BODY></HTML>", result.stdout)


if __name__ == "__main__":
    main()
