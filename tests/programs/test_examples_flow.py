#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Examples that stand between others: what comes in on one side goes out on
the other, with its end, its errors and its back-pressure."""

import contextlib
import functools
import http.server
import os
import random
import resource
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
import unittest

from test_examples import Example
from weirtest import (DEADLINE, PythonServer, SLOWNESS, TestCase, connect,
                      in_time, main, nobody, read_all, read_exactly, reset,
                      until)

MUCH = 50000000 if SLOWNESS == 1 else 5000000
CURL = shutil.which("curl")
SOCAT = shutil.which("socat")
SUB, PUB = shutil.which("mosquitto_sub"), shutil.which("mosquitto_pub")


class Folder(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and answers a PUT with the number of its bytes."""

    def do_PUT(self):
        size = int(self.headers["Content-Length"])
        answer = b"%d bytes" % len(self.rfile.read(size))
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *unused):
        pass


@contextlib.contextmanager
def http_server(folder):
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Folder, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield "127.0.0.1:%d" % server.server_port
    finally:
        server.shutdown()
        thread.join(DEADLINE)
        server.server_close()


def curl(*args):
    return subprocess.run([CURL, "-sS", "--fail", *args], check=True,
                          capture_output=True, timeout=DEADLINE).stdout


def is_listening(where):
    """Without a connection, which the relay would have to serve."""
    entry = "0100007F:%04X 00000000:0000 0A" % int(where.rsplit(":", 1)[1])
    with open("/proc/net/tcp") as file:
        return entry in file.read()


def count_all(sock):
    count = 0
    while piece := sock.recv(65536):
        count += len(piece)
    return count


def send_all(sock, count):
    sock.sendall(b"x" * count)
    sock.shutdown(socket.SHUT_WR)


def send_until_stuck(sock):
    """How much is taken of a sender whose reader does not read."""
    sock.settimeout(0.5 * SLOWNESS)
    count = 0
    with contextlib.suppress(TimeoutError):
        while True:
            count += sock.send(b"x" * 65536)
    sock.settimeout(DEADLINE)
    return count


class Between(TestCase):
    @contextlib.contextmanager
    def run_example(self, name, *args):
        with Example(name, "127.0.0.1:0", *args) as example:
            example.where = example.out.expect(rb" at (\S+)\n")[1].decode()
            yield example

    def allow_descriptors(self, count):
        """To this process and the programs that it starts."""
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limits[1] != resource.RLIM_INFINITY and limits[1] < count:
            self.skipTest("not enough descriptors")
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, limits[1]))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limits)

    def connect(self, example):
        sock = connect(example.where)
        self.addCleanup(sock.close)
        return sock

    def check_counts(self, example, text, is_stopping=False):
        if not is_stopping:
            example.process.send_signal(signal.SIGTERM)
        self.assertEqual(example.process.wait(DEADLINE), 0)
        self.assertEqual(example.out.rest().splitlines()[-1].decode(), text)
        self.assertEqual(example.err.rest(), b"")

    @contextlib.contextmanager
    def both_ends(self):
        """A relay with a client and its upstream: both sockets."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(DEADLINE)
            where = "127.0.0.1:%d" % listener.getsockname()[1]
            with self.run_example("relay", where) as relay:
                client = self.connect(relay)
                upstream = listener.accept()[0]
                self.addCleanup(upstream.close)
                upstream.settimeout(DEADLINE)
                yield relay, client, upstream

    @contextlib.contextmanager
    def curl_through(self, name, *args):
        """An example that has passed a download and an upload on."""
        folder = self.folder()
        content = random.Random(1).randbytes(3000000)
        path = os.path.join(folder, "file")
        with open(path, "wb") as file:
            file.write(content)
        with http_server(folder) as where, \
                self.run_example(name, *args, where) as example:
            url = "http://%s/file" % example.where
            self.assertEqual(curl(url), content)
            self.assertEqual(curl("-T", path, url), b"3000000 bytes")
            yield example

    def check_idle_pairs(self, name, most, *args):
        """A thousand take no thread, and so much memory each."""
        count = 1000
        if SLOWNESS != 1:
            self.skipTest("a sanitizer needs memory of its own")
        self.allow_descriptors(3 * count)

        def status():
            with open("/proc/%d/status" % relay.process.pid) as file:
                return {name: int(value.split()[0]) for name, value in
                        (line.split(":") for line in file)
                        if name in ("VmRSS", "Threads")}

        def talk(_):
            client = self.connect(relay)
            client.sendall(b"hello")
            self.assertEqual(read_exactly(client, 5), b"hello")

        with PythonServer(lambda sock: sock.sendall(sock.recv(5)) or
                          sock.recv(1)) as upstream, \
                self.run_example(name, *args, upstream.address) as relay:
            for i in range(10):
                talk(i)
            before = status()
            for i in range(count):
                talk(i)
            after = status()
            size = (after["VmRSS"] - before["VmRSS"]) * 1024 // count
            print("bytes a pair:", size)
            self.assertLess(size, most)
            self.assertEqual(after["Threads"], before["Threads"])


class Relay(Between):
    @unittest.skipUnless(CURL, "curl is not installed")
    def test_curl_gets_and_puts_files(self):
        with self.curl_through("relay") as relay:
            self.check_counts(relay, "2 clients: 2 completed, 0 failed, 0 cut")

    def test_the_end_of_a_request_is_passed_on_before_the_reply(self):
        def answer_at_the_end(sock):
            sock.sendall(b"heard: " + read_all(sock))
        with PythonServer(answer_at_the_end) as upstream, \
                self.run_example("relay", upstream.address) as relay:
            client = self.connect(relay)
            client.sendall(b"hello")
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(client), b"heard: hello")
            self.check_counts(relay, "1 clients: 1 completed, 0 failed, 0 cut")

    def test_the_end_of_the_upstream_is_passed_on_while_the_client_sends(self):
        with self.both_ends() as (relay, client, upstream):
            upstream.sendall(b"welcome")
            upstream.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(client), b"welcome")
            client.sendall(b"thanks")
            self.assertEqual(read_exactly(upstream, 6), b"thanks")
            client.close()
            self.assertEqual(upstream.recv(1), b"")
            self.check_counts(relay, "1 clients: 1 completed, 0 failed, 0 cut")

    def test_each_direction_flows_while_the_other_stands_still(self):
        with self.both_ends() as (relay, client, upstream):
            counts = []
            threads = [
                threading.Thread(target=send_all, args=(upstream, MUCH)),
                threading.Thread(target=lambda: counts.append(
                    count_all(upstream)))]
            for thread in threads:
                thread.start()
            send_all(client, MUCH)  # and reads nothing before
            counts.append(count_all(client))
            for thread in threads:
                thread.join(DEADLINE)
            self.assertEqual(counts, [MUCH, MUCH])
            self.check_counts(relay, "1 clients: 1 completed, 0 failed, 0 cut")

    def test_a_peer_that_does_not_read_makes_the_sender_wait(self):
        with self.both_ends() as (relay, client, upstream):
            # What the sockets of a loopback connection hold, and a mark.
            for sender, reader in ((client, upstream), (upstream, client)):
                taken = send_until_stuck(sender)
                self.assertLess(taken, 32000000)
                self.assertEqual(read_exactly(reader, taken), b"x" * taken)
            client.close()
            upstream.close()
            self.check_counts(relay, "1 clients: 1 completed, 0 failed, 0 cut")

    def test_memory_is_bounded_by_the_mark(self):
        if SLOWNESS != 1:
            self.skipTest("a sanitizer needs memory of its own")
        with self.both_ends() as (relay, client, upstream):
            taken = send_until_stuck(client)
            sender = threading.Thread(target=send_all, args=(client, MUCH))
            sender.start()
            count = count_all(upstream)
            sender.join(DEADLINE)
            self.assertEqual(count, taken + MUCH)
            with open("/proc/%d/status" % relay.process.pid) as file:
                peak = int(file.read().split("VmHWM:")[1].split()[0])
            self.assertLess(peak, 16 * 1024)

    def test_a_thousand_idle_pairs_take_no_thread_and_20_KiB_each(self):
        self.check_idle_pairs("relay", 20 * 1024)

    def test_an_upstream_that_refuses_ends_the_client(self):
        with self.run_example("relay", nobody()) as relay:
            client = self.connect(relay)
            self.assertEqual(read_all(client), b"")
            self.check_counts(relay, "1 clients: 0 completed, 1 failed, 0 cut")

    def test_an_upstream_that_dies_ends_the_client(self):
        with self.both_ends() as (relay, client, upstream):
            client.sendall(b"hello")
            self.assertEqual(read_exactly(upstream, 5), b"hello")
            reset(upstream)
            with contextlib.suppress(ConnectionResetError):
                self.assertEqual(read_all(client), b"")
            self.check_counts(relay, "1 clients: 0 completed, 0 failed, 1 cut")

    def test_a_client_that_dies_ends_the_upstream(self):
        with self.both_ends() as (relay, client, upstream):
            client.sendall(b"hello")
            self.assertEqual(read_exactly(upstream, 5), b"hello")
            reset(client)
            with contextlib.suppress(ConnectionResetError):
                self.assertEqual(read_all(upstream), b"")
            self.check_counts(relay, "1 clients: 0 completed, 1 failed, 0 cut")

    def test_a_stop_lets_transfers_end(self):
        # One of the senders may not come to run for those 100 ms.
        in_time(self.check_stop_in_transfers)

    def check_stop_in_transfers(self):
        with self.both_ends() as (relay, client, upstream):
            sent = send_until_stuck(client)
            relay.process.send_signal(signal.SIGTERM)
            until(lambda: not is_listening(relay.where), "no listener")
            sender = threading.Thread(target=send_all, args=(client, MUCH))
            sender.start()
            self.assertEqual(count_all(upstream), sent + MUCH)
            sender.join(DEADLINE)
            upstream.sendall(b"x")
            self.assertEqual(client.recv(1), b"x")
            time.sleep(0.3)  # a stop waits 100 ms for the next message
            sender = threading.Thread(target=send_all, args=(upstream, MUCH))
            sender.start()
            self.assertEqual(count_all(client), MUCH)
            sender.join(DEADLINE)
            self.check_counts(relay, "1 clients: 1 completed, 0 failed, 0 cut",
                              is_stopping=True)


def say(name):
    """A server that tells its name."""
    return lambda sock: sock.sendall(name)


class Proxy(Between):
    def ask(self, proxy):
        with contextlib.closing(self.connect(proxy)) as client:
            return read_all(client)

    @unittest.skipUnless(CURL, "curl is not installed")
    def test_curl_gets_and_puts_files(self):
        with self.curl_through("proxy", "60000") as proxy:
            self.assertEqual(proxy.stop(), (0,))

    def test_clients_take_turns_at_the_upstreams(self):
        with PythonServer(say(b"one")) as one, \
                PythonServer(say(b"two")) as two, \
                self.run_example("proxy", "60000", one.address,
                                 two.address) as proxy:
            said = [self.ask(proxy) for _ in range(4)]
            self.assertEqual(sorted(said), [b"one", b"one", b"two", b"two"])
            self.assertEqual(proxy.stop(), (0,))

    def test_one_that_is_down_gets_no_client_until_it_is_up_again(self):
        path = self.folder() + "/upstream"
        with PythonServer(say(b"one")) as one, \
                self.run_example("proxy", "2500", one.address,
                                 "unix:" + path) as proxy:
            proxy.out.expect(b"upstream is down\n")
            self.assertEqual([self.ask(proxy) for _ in range(4)], [b"one"] * 4)
            with PythonServer(say(b"two"), path):
                proxy.out.expect(b"upstream is up\n")
                self.assertEqual(sorted(self.ask(proxy) for _ in range(4)),
                                 [b"one", b"one", b"two", b"two"])
            self.assertEqual(proxy.stop(), (0,))

    def test_a_client_goes_to_the_next_upstream_when_one_cannot_be_reached(
            self):
        def echo(sock):
            sock.sendall(read_all(sock))
        with PythonServer(echo) as one, \
                self.run_example("proxy", "60000", nobody(), nobody(),
                                 one.address) as proxy:
            for _ in range(6):
                client = self.connect(proxy)
                client.sendall(b"hello")
                client.shutdown(socket.SHUT_WR)
                self.assertEqual(read_all(client), b"hello")
            self.assertEqual(proxy.stop(), (0,))

    def test_a_thousand_idle_pairs_take_no_thread_and_4_KiB_each(self):
        self.check_idle_pairs("proxy", 4096, "60000")

    def test_no_upstream_ends_the_client(self):
        with self.run_example("proxy", "1000", nobody(), nobody()) as proxy:
            self.assertEqual(self.ask(proxy), b"")
            self.assertEqual(proxy.stop(), (0,))


class Store(Between):
    def ask(self, store, text):
        client = self.connect(store)
        client.sendall(text)
        client.shutdown(socket.SHUT_WR)
        return client

    def test_answers_come_in_order_after_the_end_of_the_requests(self):
        with self.run_example("store", "1") as store:
            client = self.ask(store, b"add\n" * 200)
            self.assertEqual(read_all(client).split(),
                             [b"%d" % i for i in range(1, 201)])
            self.assertEqual(store.stop(), (0,))

    def test_a_sum_that_is_too_large_is_refused(self):
        with self.run_example("store", "1") as store:
            client = self.ask(store, b"add 9223372036854775807\nadd\n"
                              b"add -9223372036854775807\n"
                              b"add 9223372036854775808\nadd x\nadd 5\n")
            self.assertEqual(read_all(client).splitlines(),
                             [b"9223372036854775807", b"too large", b"0",
                              b"too large", b"1", b"6"])
            self.assertEqual(store.stop(), (0,))

    @unittest.skipUnless(SOCAT, "socat is not installed")
    def test_socat_is_a_client_of_the_store(self):
        """It ends its input at once, and then waits for the answers."""
        with self.run_example("store", "20") as store:
            said = subprocess.run(
                [SOCAT, "-t%d" % DEADLINE, "-", "TCP:" + store.where],
                input=b"add 5\nadd\nadd 36\n", stdout=subprocess.PIPE,
                timeout=DEADLINE, check=True).stdout
            self.assertEqual(said, b"5\n6\n42\n")
            self.assertEqual(store.stop(), (0,))

    def test_clients_do_not_wait_for_one_another(self):
        with self.run_example("store", "20") as store:
            clients = [self.ask(store, b"add 2\n" * 5) for _ in range(40)]
            answers = [read_all(client).split() for client in clients]
            for each in answers:
                self.assertEqual(each, sorted(each, key=int))
            self.assertEqual(sorted((n for each in answers for n in each),
                                    key=int),
                             [b"%d" % i for i in range(2, 402, 2)])
            self.assertEqual(store.stop(), (0,))

    def test_a_client_that_sends_faster_than_answers_come_has_to_wait(self):
        with self.run_example("store", "1000") as store:
            client = self.connect(store)
            client.settimeout(0.5 * SLOWNESS)
            sent = 0
            with contextlib.suppress(TimeoutError):
                while sent < 64000000:
                    sent += client.send(b"add\n" * 10000)
            self.assertLess(sent, 32000000)

    def test_beyond_a_thousand_requests_clients_are_told(self):
        """8 threads have one each, and 1,000 wait."""
        served, more = 1008, 12
        self.allow_descriptors(served + more + 100)
        with self.run_example("store", "100000") as store:
            clients = [self.ask(store, b"add\n")
                       for _ in range(served + more)]
            told = selectors.DefaultSelector()
            self.addCleanup(told.close)
            for client in clients:
                told.register(client, selectors.EVENT_READ)
            for _ in range(more):
                client = told.select(DEADLINE)[0][0].fileobj
                self.assertEqual(read_all(client), b"busy\n")
                told.unregister(client)
            self.assertEqual(told.select(0), [])

    def test_a_stop_answers_what_has_arrived(self):
        with self.run_example("store", "50") as store:
            client = self.ask(store, b"add\n" * 5)
            self.assertEqual(client.recv(2), b"1\n")
            store.process.send_signal(signal.SIGTERM)
            self.assertEqual(read_all(client), b"2\n3\n4\n5\n")
            self.assertEqual(store.process.wait(DEADLINE), 0)


@unittest.skipUnless(SUB and PUB, "mosquitto_sub is not installed")
class Broker(Between):
    @contextlib.contextmanager
    def run_broker(self):
        with self.run_example("broker") as broker:
            host, port = broker.where.split(":")
            self.at = ["-h", host, "-p", port]
            yield broker

    def subscribe(self, count, *filters):
        """A subscriber that ends after count messages."""
        topics = [word for each in filters for word in ("-t", each)]
        process = subprocess.Popen(
            ["stdbuf", "-oL", SUB, *self.at, "-v", "-d", "-C", str(count),
             *topics], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        for line in process.stdout:
            if b"SUBACK" in line:
                return process
        self.fail("no answer to the subscription")

    def publish(self, topic, text):
        subprocess.run([PUB, *self.at, "-t", topic, "-s"], input=text,
                       check=True, timeout=DEADLINE)

    def heard(self, process):
        out = process.communicate(timeout=DEADLINE)[0]
        self.assertEqual(process.returncode, 0)
        return [line for line in out.splitlines()
                if not line.startswith((b"Client", b"Subscribed"))]

    def test_a_message_reaches_the_subscribers_of_its_topic(self):
        with self.run_broker() as broker:
            one = self.subscribe(3, "a/+/c", "other/#")
            two = self.subscribe(1, "a/b")
            for topic in "a/b/c", "a/b", "other", "x", "a/b/c/d", "other/x/y":
                self.publish(topic, topic.encode())
            self.assertEqual(self.heard(one), [
                b"a/b/c a/b/c", b"other other", b"other/x/y other/x/y"])
            self.assertEqual(self.heard(two), [b"a/b a/b"])
            self.assertEqual(broker.stop(), (0,))

    def test_a_burst_reaches_all_in_order(self):
        lines = [b"%d" % i for i in range(2000)]
        with self.run_broker() as broker:
            readers = [self.subscribe(2000, "#") for _ in range(5)]
            subprocess.run([PUB, *self.at, "-t", "t", "-l"],
                           input=b"\n".join(lines), check=True,
                           timeout=DEADLINE)
            for each in readers:
                self.assertEqual(self.heard(each),
                                 [b"t " + line for line in lines])

    def greeted(self, broker):
        client = self.connect(broker)
        client.sendall(b"\x10\x0c\0\4MQTT\4\2\0\0\0\0")
        self.assertEqual(read_exactly(client, 4), b"\x20\2\0\0")
        return client

    def packet(self, kind, *filters, after=b""):
        """SUBSCRIBE or UNSUBSCRIBE, with the number 7."""
        body = b"\0\7" + b"".join(struct.pack("!H", len(f)) + f + after
                                  for f in filters)
        head = struct.pack("BBB", kind, len(body) & 127 | 128, len(body) >> 7)
        return head + body

    def test_a_subscription_can_be_repeated_and_given_up(self):
        with self.run_broker() as broker:
            client, publisher = self.greeted(broker), self.greeted(broker)
            for _ in range(2):
                client.sendall(self.packet(0x82, b"a", b"b", after=b"\0"))
                self.assertEqual(read_exactly(client, 6),
                                 b"\x90\4\0\7\0\0")
            client.sendall(self.packet(0xa2, b"a", b"never"))
            self.assertEqual(read_exactly(client, 4), b"\xb0\2\0\7")
            publisher.sendall(b"\x30\7\0\1anone" + b"\x30\7\0\1bonce" +
                              b"\xc0\0")
            self.assertEqual(read_exactly(publisher, 2), b"\xd0\0")
            client.sendall(b"\xc0\0")
            self.assertEqual(read_exactly(client, 11),
                             b"\x30\7\0\1bonce\xd0\0")

    def test_a_client_has_a_limited_number_of_subscriptions(self):
        filters = [b"%d" % i for i in range(100)]
        with self.run_broker() as broker:
            client = self.greeted(broker)
            client.sendall(self.packet(0x82, *filters, after=b"\0") +
                           self.packet(0x82, b"0", b"more", after=b"\0"))
            self.assertEqual(
                read_exactly(client, 110), b"\x90\x66\0\7" + bytes(100) +
                b"\x90\4\0\7\0\x80")
            client.sendall(self.packet(0x82, *filters, b"100", after=b"\0"))
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(client), b"")

    def test_what_is_no_mqtt_ends_its_connection(self):
        with self.run_broker() as broker:
            for text in b"\x10\xff\xff\xff\xff\x01", b"\xc0\0", b"GET /\r\n":
                client = self.connect(broker)
                client.sendall(text)
                client.shutdown(socket.SHUT_WR)
                self.assertEqual(read_all(client), b"")


if __name__ == "__main__":
    main()
