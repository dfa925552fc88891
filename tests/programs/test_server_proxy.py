#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weir-server behind proxies: SERVICE+proxy@ADDRESS and --proxy-trust, by hand
and with HAProxy, nginx, hitch, curl and weir-client load, as far as they are
installed."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import unittest

from certificates import OPENSSL, make_certificate
from weirtest import (DEADLINE, Server, TestCase, connect, connect_soon,
                      free_port, main, read_all, read_exactly, reset, run,
                      until)

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 203.0.113.9 198.51.100.1 4711 80\r\n"
V2 = SIGNATURE + b"\x21\x11\0\x0c" + bytes(
    [203, 0, 113, 9, 198, 51, 100, 1]) + struct.pack(">HH", 4711, 80)
LOCAL = SIGNATURE + b"\x20\0\0\0"
TRUST = ("--proxy-trust", "127.0.0.0/8,::1")

HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
STREAM = "/usr/lib/nginx/modules/ngx_stream_module.so"
HITCH = shutil.which("hitch") or shutil.which("hitch", path="/usr/sbin")
CURL = shutil.which("curl")


def echo_behind_proxy(*args, **kwargs):
    return Server("echo+proxy@127.0.0.1:0", *TRUST, *args, **kwargs)


def say(sock, text):
    sock.sendall(text)
    return read_exactly(sock, len(text))


def name_of(sock):
    return "%s:%d" % sock.getsockname()[:2]


class Headers(TestCase):
    """What the lines and counts of the server say."""

    def test_log_lines_have_the_client_and_the_proxy(self):
        with echo_behind_proxy() as server:
            for header in V1, V2:
                with server.connect() as client:
                    client.sendall(header)
                    self.assertEqual(say(client, b"hello\n"), b"hello\n")
                    proxy = name_of(client)
                place = (" from 203.0.113.9:4711 via %s to echo@" %
                         proxy).encode()
                server.logs(rb"connection \d+" + place + rb"\S+$")
                server.logs(place + rb"\S+ ended ")

    def test_a_listener_without_it_takes_no_header(self):
        with Server("echo+proxy@127.0.0.1:0", "echo@127.0.0.1:0",
                    *TRUST) as server:
            with server.connect(1) as client:
                self.assertEqual(say(client, V1), V1)
            with server.connect(0) as client:
                client.sendall(V1)
                self.assertEqual(say(client, V1), V1)

    def test_the_access_log_has_the_field_via(self):
        with echo_behind_proxy("--access-log", "all") as server:
            with server.connect() as client:
                client.sendall(V2)
                say(client, b"hello\n")
                proxy = name_of(client)
            server.logs((r" peer=203.0.113.9:4711 via=%s id=" %
                         proxy).encode())

    def test_the_list_of_connections_has_both(self):
        with tempfile.TemporaryDirectory() as folder:
            control = folder + "/control"
            with echo_behind_proxy("--control", control) as server:
                with server.connect() as client:
                    client.sendall(V2)
                    say(client, b"hello\n")
                    answer = run("WEIR_SERVER", "ctl", "--control", control,
                                 "connections")
                    self.assertIn((" peer=203.0.113.9:4711 via=%s " %
                                   name_of(client)).encode(), answer.stdout)
                    answer = run("WEIR_SERVER", "ctl", "--control", control,
                                 "connections", "--json")
                    self.assertIn(('"peer": "203.0.113.9:4711", "via": "%s"' %
                                   name_of(client)).encode(), answer.stdout)

    def test_health_checks_are_counted_apart_and_not_logged(self):
        with Server("reply+proxy@127.0.0.1:0", *TRUST, "--control",
                    self.folder() + "/control",
                    "--log-level", "warning") as server:
            for header in b"", V1, V2, LOCAL:
                for end in socket.socket.close, reset:
                    client = server.connect()
                    client.sendall(header)
                    end(client)
            server.counts(accepted=8, open=0)
            status, counts = server.stop()
            self.assertEqual(status, 0)
            self.assertEqual(counts["probed"], 8)
            self.assertEqual(counts["failed"], 0)
            self.assertEqual(server.err.rest(), b"")

    def test_from_elsewhere_and_without_a_header_clients_are_refused(self):
        with Server("echo+proxy@127.0.0.1:0", "--proxy-trust",
                    "127.0.0.1") as server:
            host, port = server.address().rsplit(":", 1)
            with socket.create_connection((host, int(port)), DEADLINE,
                                          ("127.0.0.2", 0)) as client:
                self.gone(client)
            server.logs(rb"from 127.0.0.2:\d+ refused: it is no trusted proxy")
            with server.connect() as client:
                client.sendall(b"hello\n")
                self.gone(client)
            server.logs(rb"refused: a wrong PROXY header: there is none")
            _, counts = server.stop()
            self.assertEqual(counts["refused"], 2)

    def gone(self, client):
        with contextlib.suppress(ConnectionResetError):
            self.assertEqual(read_all(client), b"")


class UnixNames(TestCase):
    """A client of a Unix socket chooses the text of both addresses: that of its
    header and that of its own socket."""

    MOST = 107 # bytes of a name

    @staticmethod
    def header(path):
        """Of a client with that path, at most 108 bytes."""
        return SIGNATURE + b"\x21\x31\0\xd8" + path.ljust(
            108, b"\0") + b"/t".ljust(108, b"\0")

    @staticmethod
    def logged(name):
        """Of a path, as the log writes it."""
        return b"unix:" + re.sub(
            b"[^ -~]", lambda match: b"\\x%02x" % match.group()[0], name)

    def check(self, server, source, name):
        """A client with these two has its lines, and is served."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE)
            client.bind(b"\0" + name)
            client.connect(server.address().split(":", 1)[1])
            client.sendall(self.header(source))
            self.assertEqual(say(client, b"hello\n"), b"hello\n")
        line = re.escape(b" from %s via %s to echo@%s" % (
            self.logged(source), self.logged(b"@" + name),
            server.address().encode()))
        server.logs(line + b"$")
        server.logs(line + rb" ended after .*: the client has closed$")

    def name(self, of):
        """That nobody else has, as long as a name may be."""
        unique = b"%d.%d." % (os.getpid(), id(self))
        return unique + of * (self.MOST - len(unique))

    def test_names_of_each_length_are_logged(self):
        path = self.folder() + "/s"
        sources = [b"\x01" * 81 + b"a" * more for more in range(8)]
        for of in b"n", b"\x02", b"\xff":
            # Each second has room for the lines of 50 clients.
            with Server("echo+proxy@unix:" + path) as server:
                for source in b"a", *sources, b"\x01" * 107, b"\xff" * 108:
                    self.check(server, source, self.name(of))
                self.assertEqual(server.stop()[0], 0)

    def test_the_access_log_has_both(self):
        path = self.folder() + "/s"
        source, name = b"\x01" * 108, self.name(b"\x02")
        with Server("echo+proxy@unix:" + path, "--access-log", "all",
                    "--access-log-format", "json") as server:
            with socket.socket(socket.AF_UNIX) as client:
                client.bind(b"\0" + name)
                client.connect(path)
                client.sendall(self.header(source))
                say(client, b"hello\n")
            line = json.loads(server.logs(rb"^{.*}\n").group())
            self.assertEqual(line["peer"], self.logged(source).decode())
            self.assertEqual(line["via"], self.logged(b"@" + name).decode())


class Options(TestCase):
    """What is refused, printed and read again."""

    def refused(self, words, *args):
        done = run("WEIR_SERVER", "--check", *args)
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stderr.decode(), "weir-server: " + words + "\n")

    def test_what_cannot_be_is_said_in_one_line(self):
        self.refused("'echo+proxy@:7' needs --proxy-trust NETWORKS, where its "
                     "proxies connect from", "echo+proxy@:7")
        self.refused("--proxy-trust: no listener here has +proxy",
                     "echo@:7", *TRUST)
        self.refused("unknown '+proxies' in 'echo+proxies@:7'; known are "
                     "+proxy and +tls", "echo+proxies@:7")
        self.refused("unknown '+' in 'echo+@:7'; known are +proxy and +tls",
                     "echo+@:7")
        self.refused("'+proxy' is given twice in 'echo+proxy+proxy@:7'",
                     "echo+proxy+proxy@:7", *TRUST)
        self.refused("--proxy-trust: proxy_trust: '10.0.0.1/8': bits are set "
                     "behind the prefix", "--proxy-trust", "10.0.0.1/8")

    def test_a_unix_socket_needs_no_trust(self):
        done = run("WEIR_SERVER", "--check", "echo+proxy@unix:/tmp/x")
        self.assertEqual(done.returncode, 0)
        self.assertIn(b'\nlisten "echo+proxy@unix:/tmp/x"\n', done.stdout)

    def test_the_check_prints_the_trust(self):
        done = run("WEIR_SERVER", "--check", "echo+proxy@:7", *TRUST)
        self.assertIn(b'\nproxy-trust "127.0.0.0/8,::1"\n', done.stdout)

    def test_a_reload_changes_the_trust(self):
        with tempfile.TemporaryDirectory() as folder:
            path = folder + "/config"
            self.write(path, "192.0.2.0/24")
            with Server("--config", path, "echo+proxy@127.0.0.1:0") as server:
                with server.connect() as client:
                    with contextlib.suppress(ConnectionResetError):
                        self.assertEqual(read_all(client), b"")
                self.write(path, "127.0.0.1/32")
                server.process.send_signal(signal.SIGHUP)
                server.logs(rb"reloaded '")
                with server.connect() as client:
                    client.sendall(V1)
                    self.assertEqual(say(client, b"hello\n"), b"hello\n")
                self.write(path, "127.0.0.1/8")
                server.process.send_signal(signal.SIGHUP)
                server.logs(rb"not reloaded: .*bits are set")
                with server.connect() as client:
                    client.sendall(V2)
                    self.assertEqual(say(client, b"hello\n"), b"hello\n")

    @staticmethod
    def write(path, trust):
        with open(path, "w") as file:
            file.write("proxy-trust = %s\n" % trust)


class Clients(TestCase):
    """Clients that send a header of their own."""

    def test_of_weir_client_load(self):
        for version in "v1", "v2":
            with echo_behind_proxy() as server:
                done = run("WEIR_CLIENT", "load", "--proxy", version,
                           "--connections", "3", "--duration", "200ms",
                           server.address())
                self.assertEqual(done.returncode, 0, done.stderr)
                server.logs(rb"connection \d+ from (127.0.0.1:\d+) via \1 to ")
                _, counts = server.stop()
                self.assertEqual(counts["refused"], 0)
                self.assertEqual(counts["failed"], 0)

    def test_of_the_other_commands(self):
        path = self.folder() + "/sent"
        with open(path, "wb") as file:
            file.write(b"content")
        services = ("reply", "discard", "file", "room")
        for version in "v1", "v2":
            with Server(*(s + "+proxy@127.0.0.1:0" for s in services),
                        *TRUST, "--file", path) as server:
                def command(i, name, *args, **kwargs):
                    done = run("WEIR_CLIENT", name, server.address(i),
                               *args, "--proxy", version, **kwargs)
                    self.assertEqual(done.returncode, 0, done)
                    server.logs((r"connection \d+ from (127.0.0.1:\d+) via "
                                 r"\1 to %s" % services[i]).encode())
                    return done.stdout

                self.assertIn(b"Server replies: hello", command(
                    0, "talk", "--once", input=b"hello\n"))
                command(1, "send", "hello")
                command(2, "fetch", "-o", path + version)
                with open(path + version, "rb") as file:
                    self.assertIn(b"content", file.read())
                command(3, "chat", input=b"")
                _, counts = server.stop()
                self.assertEqual(counts["refused"], 0)

    def test_of_another_version(self):
        for name in "talk", "send", "fetch", "chat":
            self.check_usage(run("WEIR_CLIENT", name, ":1", "--proxy", "v3"),
                             "weir-client", "'v3' is neither v1 nor v2")

    @unittest.skipUnless(CURL, "curl is not installed")
    def test_of_curl(self):
        with Server("greet+proxy@127.0.0.1:0", *TRUST) as server:
            done = subprocess.run(
                [CURL, "-s", "--haproxy-protocol", "--http0.9",
                 "http://%s/" % server.address()],
                stdout=subprocess.PIPE, timeout=DEADLINE)
            self.assertEqual(done.stdout, b"Got your connection")
            server.logs(rb"connection \d+ from (127.0.0.1:\d+) via \1 to ")


def make_pem(folder):
    """A certificate with its key in one file, as proxies want it."""
    make_certificate(folder, "server", ca=None)
    with open(folder + "/pem", "w") as pem:
        for suffix in ".pem", ".key":
            with open(folder + "/server" + suffix) as part:
                pem.write(part.read())
    return folder + "/pem"


def by_tls(sock, folder):
    """To that certificate."""
    context = ssl.create_default_context(cafile=folder + "/server.pem")
    context.set_alpn_protocols(["echo"])
    return context.wrap_socket(sock, server_hostname="localhost")


class Relay(TestCase):
    """The relay service tells the server behind it who the client is."""

    def front(self, back, version, where="relay@127.0.0.1:0", *args):
        return Server(where, "--to", back, "--to-proxy", version, *args)

    def test_the_address_of_a_client_is_passed_on(self):
        for version in "v1", "v2":
            with echo_behind_proxy() as back, \
                    self.front(back.address(), version) as front:
                with front.connect() as client:
                    self.assertEqual(say(client, b"hello\n"), b"hello\n")
                    name = name_of(client)
                back.logs((r"connection \d+ from %s via 127.0.0.1:" %
                           name).encode())
                self.assertEqual(back.stop()[1]["refused"], 0)

    def test_a_server_that_speaks_first_is_told_of_a_silent_client(self):
        with Server("greet+proxy@127.0.0.1:0", *TRUST) as back, \
                self.front(back.address(), "v2") as front:
            with front.connect() as client:
                self.assertEqual(read_all(client), b"Got your connection")
                name = name_of(client)
            back.logs(("from %s via " % name).encode())

    def test_what_a_proxy_before_it_has_told_is_passed_on(self):
        for version in "v1", "v2":
            with echo_behind_proxy() as back, \
                    self.front(back.address(), version,
                               "relay+proxy@127.0.0.1:0", *TRUST) as front:
                with front.connect() as client:
                    client.sendall(V2)
                    self.assertEqual(say(client, b"hello\n"), b"hello\n")
                back.logs(rb"connection \d+ from 203.0.113.9:4711 via ")

    def test_a_client_of_a_unix_socket_has_no_address(self):
        path = self.folder() + "/front"
        for version in "v1", "v2":
            with echo_behind_proxy() as back, \
                    self.front(back.address(), version,
                               "relay@unix:" + path):
                with connect("unix:" + path) as client:
                    self.assertEqual(say(client, b"hello\n"), b"hello\n")
                back.logs(rb"connection \d+ from 127.0.0.1:\d+ to ")

    def test_options(self):
        done = run("WEIR_SERVER", "--check", "relay@:0", "--to", ":80",
                   "--to-proxy", "v2")
        self.assertIn(b'\nto ":80"\nto-proxy v2\n', done.stdout)
        for args, words in (
                (("relay@:0", "--to", ":80", "--to-proxy", "2"),
                 "'2' is neither v1 nor v2"),
                (("echo@:0", "--to-proxy", "v2"), "--to-proxy needs --to")):
            self.check_usage(run("WEIR_SERVER", "--check", *args),
                             "weir-server", words)


class Proxy:
    """A proxy in the foreground, with a folder for its files.  This signal
    ends it and its processes."""

    def __init__(self, *argv, config, signo=signal.SIGKILL, **kwargs):
        self.signo = signo
        self.folder = tempfile.TemporaryDirectory()
        path = self.folder.name + "/config"
        with open(path, "w") as file:
            file.write(config.replace("@DIR@", self.folder.name))
        self.log = open(self.folder.name + "/log", "w+b")
        self.process = subprocess.Popen(
            [arg.replace("@CONFIG@", path) for arg in argv],
            stdin=subprocess.DEVNULL, stdout=self.log,
            stderr=subprocess.STDOUT, **kwargs)

    def __enter__(self):
        return self

    def has_said(self, words):
        return words in os.pread(self.log.fileno(), 1 << 20, 0)

    def __exit__(self, *unused):
        self.process.send_signal(self.signo)
        try:
            self.process.wait(DEADLINE)
        finally:
            self.process.kill()
            self.log.close()
            self.folder.cleanup()


FRONT = """
global
  maxconn 100
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen front
  bind %s
  server back %s %s
"""


@unittest.skipUnless(HAPROXY, "haproxy is not installed")
class HAProxy(TestCase):
    """HAProxy in front of the server."""

    def through(self, server, options, bind="fd@%d", wrap=None):
        """What a client says, through HAProxy, comes back; its own name."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            fd = listener.fileno()
            front = FRONT % (bind % fd, server.address(), options)
            with Proxy(HAPROXY, "-db", "-f", "@CONFIG@", config=front,
                       pass_fds=[fd]):
                with socket.create_connection(listener.getsockname(),
                                              DEADLINE) as client:
                    name = name_of(client)
                    if wrap:
                        client = wrap(client)
                    self.assertEqual(say(client, b"hello\n"), b"hello\n")
                    client.close()
        return name.encode()

    def expect_client(self, options, **kwargs):
        with echo_behind_proxy() as server:
            name = self.through(server, options, **kwargs)
            server.logs(rb"connection \d+ from " + name + rb" via 127.0.0.1:")
            _, counts = server.stop()
            self.assertEqual(counts["refused"], 0)

    def test_with_a_header_of_each_version(self):
        for option in "send-proxy", "send-proxy-v2":
            self.expect_client(option)

    def test_with_a_checksum_and_an_id(self):
        self.expect_client("send-proxy-v2 proxy-v2-options crc32c,unique-id\n"
                           "  unique-id-format %[uuid()]")

    @unittest.skipUnless(OPENSSL, "openssl is not installed")
    def test_with_what_it_knows_of_tls(self):
        with tempfile.TemporaryDirectory() as folder:
            self.expect_client(
                "send-proxy-v2-ssl-cn proxy-v2-options ssl,cert-cn,"
                "ssl-cipher,cert-sig,cert-key,authority,crc32c",
                bind="fd@%d ssl crt " + make_pem(folder) + " alpn echo",
                wrap=lambda client: by_tls(client, folder))

    def test_from_a_unix_socket_the_address_is_its_own(self):
        for option in "send-proxy", "send-proxy-v2":
            with echo_behind_proxy() as server, tempfile.TemporaryDirectory(
                    ) as folder:
                path = folder + "/front"
                front = FRONT % ("unix@" + path, server.address(), option)
                with Proxy(HAPROXY, "-db", "-f", "@CONFIG@", config=front):
                    with connect_soon("unix:" + path) as client:
                        self.assertEqual(say(client, b"hello\n"), b"hello\n")
                server.logs(rb"connection \d+ from 127.0.0.1:\d+ to ")

    @contextlib.contextmanager
    def accepting(self, server):
        """The address of one that wants a header, and sends one on."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            fd = listener.fileno()
            front = FRONT % ("fd@%d accept-proxy" % fd, server.address(),
                             "send-proxy-v2")
            with Proxy(HAPROXY, "-db", "-f", "@CONFIG@", config=front,
                       pass_fds=[fd]):
                yield "127.0.0.1:%d" % listener.getsockname()[1]

    def test_it_takes_the_header_of_a_client(self):
        for version in "v1", "v2":
            with echo_behind_proxy() as server, \
                    self.accepting(server) as where:
                done = run("WEIR_CLIENT", "send", where, "hello", "--proxy",
                           version)
                self.assertEqual(done.stdout, b"hello", done)
                self.assertEqual(server.stop()[1]["refused"], 0)

    def test_it_takes_the_header_of_a_relay(self):
        for version in "v1", "v2":
            with echo_behind_proxy() as server, \
                    self.accepting(server) as where, \
                    Server("relay@127.0.0.1:0", "--to", where, "--to-proxy",
                           version) as relay:
                with relay.connect() as client:
                    self.assertEqual(say(client, b"hello\n"), b"hello\n")
                    name = name_of(client)
                server.logs(("from %s via 127.0.0.1:" % name).encode())

    def test_its_checks_are_no_failures(self):
        self.skip_without_status()
        for option in "send-proxy", "send-proxy-v2":
            with Server("reply+proxy@127.0.0.1:0", "--status", "127.0.0.1:0",
                        *TRUST) as server:
                with socket.create_server(("127.0.0.1", 0)) as listener:
                    fd = listener.fileno()
                    front = FRONT % ("fd@%d" % fd, server.address(),
                                     option + " check inter 20ms")
                    with Proxy(HAPROXY, "-db", "-f", "@CONFIG@", config=front,
                               pass_fds=[fd]):
                        until(lambda: self.probed(server) >= 10, "checks")
                _, counts = server.stop()
                self.assertGreaterEqual(counts["probed"], 10)
                self.assertEqual(counts["failed"], 0)
                self.assertEqual(counts["refused"], 0)

    @staticmethod
    def probed(server):
        where = server.out.expect(rb"^status (.*)\n").group(1).decode()
        with connect(where) as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n"
                           b"Connection: close\r\n\r\n")
            found = re.search(rb'outcome="probed"\} (\d+)', read_all(client))
        return int(found.group(1))


@unittest.skipUnless(NGINX and os.path.exists(STREAM),
                     "nginx with its stream module is not installed")
class Nginx(TestCase):
    """nginx in front of the server."""

    CONFIG = """
load_module %s;
daemon off;
master_process off;
pid @DIR@/pid;
error_log @DIR@/errors;
events {}
stream {
  proxy_protocol on;
  server { listen 127.0.0.1:%d; proxy_pass %s; }
}
"""

    def test_the_client_is_told(self):
        port = free_port()
        with echo_behind_proxy() as server:
            config = self.CONFIG % (STREAM, port, server.address())
            with Proxy(NGINX, "-c", "@CONFIG@", config=config) as proxy:
                client = self.connected(proxy, port)
                with client:
                    name = name_of(client).encode()
                    self.assertEqual(say(client, b"hello\n"), b"hello\n")
            server.logs(rb"connection \d+ from " + name + rb" via 127.0.0.1:")

    @staticmethod
    def connected(proxy, port):
        def attempt():
            with contextlib.suppress(OSError):
                return connect("127.0.0.1:%d" % port)
            if proxy.process.poll() is not None:
                raise unittest.SkipTest("nginx does not start here")
        return until(attempt, "nginx")


@unittest.skipUnless(HITCH, "hitch is not installed")
@unittest.skipUnless(OPENSSL, "openssl is not installed")
class Hitch(TestCase):
    """hitch, which ends the TLS of clients, in front of the server."""

    CONFIG = """
frontend = "[127.0.0.1]:%d"
backend = "[%s]:%s"
pem-file = "%s"
alpn-protos = "echo"
workers = 1
daemon = off
%s
"""

    def test_the_client_is_told_with_a_header_of_each_version(self):
        folder = self.folder()
        pem = make_pem(folder)
        for option in "write-proxy-v1 = on", "write-proxy-v2 = on":
            if os.geteuid() == 0:
                option += '\nuser = "nobody"'  # it runs no workers as root
            port = free_port()
            with echo_behind_proxy() as server:
                config = self.CONFIG % (
                    port, *server.address().rsplit(":", 1), pem, option)
                with Proxy(HITCH, "--config=@CONFIG@", config=config,
                           signo=signal.SIGTERM) as proxy:
                    # Before that it listens and closes, to see whether it can.
                    until(lambda: proxy.has_said(b"Process 0 online"), "hitch")
                    with by_tls(connect("127.0.0.1:%d" % port),
                                folder) as client:
                        name = name_of(client).encode()
                        self.assertEqual(client.selected_alpn_protocol(),
                                         "echo")
                        self.assertEqual(say(client, b"hello\n"), b"hello\n")
                server.logs(rb"connection \d+ from " + name +
                            rb" via 127.0.0.1:")
                _, counts = server.stop()
                self.assertEqual(counts["refused"], 0)
                self.assertEqual(counts["failed"], 0)


if __name__ == "__main__":
    main()
