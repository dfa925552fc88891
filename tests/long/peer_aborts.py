#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Peers that end after every byte of the dialogue with each service of
weir-server: by FIN, by RST, by closing their half, by falling silent.

After each of them the server has the descriptors and threads that it had
before, at the end the memory too, and the counts of its last line are those of
the clients.  Who only closes its half still gets the right text and a clean
end; who falls silent is ended by the deadline, not before and not late.

A byte of a dialogue is one that the client sends, or one that it reads and
then reads no further."""

import os
import re
import resource
import select
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "programs"))

from weirtest import (PREFIX, SLOWNESS, Server, TestCase, connect, main,
                      program, read_all, reset, until)

FILE = b"This is the file that everybody gets.\n"
THANKS = b"Thank you for connecting"
GENERATED = bytes(range(32, 104)) + b"\r\n"
SILENCE = 0.5  # what the hasty server bears
SLACK = 0.05 * SLOWNESS
ROUNDS = 4  # after the first
MEMORY = 64 * 1024


class Dialogue:
    """What a client of a service says and what it hears.  answer(message)
    is a regular expression; so is the greeting.  heard is how the answer
    to a whole message looks, for its length."""

    def __init__(self, service, greeting=b"", says=(), answer=lambda said: b"",
                 heard=lambda said: b"", heard_first=b"", once=False):
        self.service = service
        self.greeting = greeting
        self.heard_first = heard_first
        self.says = says
        self.answer = answer
        self.heard = heard
        self.once = once  # the server closes after one message, or none

    def points(self):
        """(messages sent whole, bytes sent of the next, bytes then read)."""
        for i in range(len(self.heard_first) + 1):
            yield 0, 0, i
        for done, said in enumerate(self.says):
            for i in range(1, len(said)):
                yield done, i, 0
            for i in range(len(self.heard(said)) + 1):
                yield done + 1, 0, i

    def is_waited_for(self, point):
        """Does the server wait for more from who has come so far?"""
        done, part, _ = point
        if self.once:
            return bool(self.says) and done == part == 0
        return True

    def expected(self, point):
        """All that the server says to who closes its half there."""
        done, part, _ = point
        text = self.greeting
        for said in self.says[:done]:
            text += self.answer(said)
        if part:
            text += self.answer(self.says[done][:part])
        return text


def guest(said):
    return rb"\1: " + re.escape(said.rstrip(b"\n")) + rb"\n"


def room_line(said):
    return b"guest 1: " + said


DIALOGUES = [
    Dialogue("reply", b"Connect", (b"hello there", b"windup"),
             lambda said: re.escape(PREFIX + said),
             lambda said: PREFIX + said, b"Connect"),
    Dialogue("echo", says=(b"hello there\n", b"again"), answer=re.escape,
             heard=lambda said: said),
    Dialogue("greet", b"Got your connection", heard_first=b"Got your "
             b"connection", once=True),
    Dialogue("collect", says=(b"a message\n",), once=True),
    Dialogue("welcome", b"Welcome", (b"a message\n",), heard_first=b"Welcome",
             once=True),
    Dialogue("file", says=(b"the file, please\n",),
             answer=lambda said: re.escape(FILE + THANKS),
             heard=lambda said: FILE + THANKS, once=True),
    # The end of its input ends the conversation: an answer may come before.
    Dialogue("chat", says=(b"hello\n", b"bye\n"),
             answer=lambda said: b"(answer)?", heard=lambda said: b"answer"),
    # Many that come at once are told in one line.
    Dialogue("room", rb"\* you are (guest \d+); .*\n\* .*\n"
             rb"(?:\* and \d+ more have joined, .*\n)?",
             (b"hello\n", b"bye\n"), guest, room_line,
             b"* you are guest 1; /help lists the commands\n"
             b"* 1 is here: guest 1\n"),
    # To another server, which echoes.
    Dialogue("relay", says=(b"hello there\n", b"again"), answer=re.escape,
             heard=lambda said: said),
    Dialogue("discard", says=(b"hello there\n",)),
    Dialogue("chargen", re.escape(GENERATED) + rb"(?s:.*)",
             heard_first=GENERATED),
    Dialogue("daytime", rb"[A-Z][a-z]+, [A-Z][a-z]+ \d\d, \d{4} "
             rb"\d\d:\d\d:\d\d-UTC\r\n", heard_first=b"Saturday, November 21, "
             b"2026", once=True),
]


def read_some(sock, count):
    """Exactly so many, or less if the end comes first."""
    have = b""
    while len(have) < count:
        piece = sock.recv(count - len(have))
        if not piece:
            break
        have += piece
    return have


def go_to(dialogue, point, where):
    """A client that has come so far in the dialogue; what it has heard."""
    done, part, read = point
    sock = connect(where)
    heard = b""
    wait = len(dialogue.heard_first)
    for said in dialogue.says[:done]:
        heard += read_some(sock, wait)
        sock.sendall(said)
        wait = len(dialogue.heard(said))
    if part:
        heard += read_some(sock, wait)
        sock.sendall(dialogue.says[done][:part])
    else:
        heard += read_some(sock, read)
    return sock, heard


class Watched(Server):
    """With all services, seen from outside."""

    def __init__(self, folder, *args):
        words = os.path.join(folder, "words")
        path = os.path.join(folder, "file")
        with open(words, "w") as f:
            f.write("answer\n" * 100000)
        with open(path, "wb") as f:
            f.write(FILE)
        self.upstream = Server("echo@127.0.0.1:0").__enter__()
        with open(words) as stdin:
            super().__init__(
                "-w", "4", "--log-level", "error", "--file", path,
                "--to", self.upstream.address(), *args,
                *(d.service + "@127.0.0.1:0" for d in DIALOGUES), stdin=stdin)

    def __exit__(self, *exception):
        super().__exit__(*exception)
        self.upstream.__exit__(*exception)

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.pid))

    def threads(self):
        return len(os.listdir("/proc/%d/task" % self.pid))

    def memory(self):
        with open("/proc/%d/statm" % self.pid) as f:
            return int(f.read().split()[1]) * resource.getpagesize()

    def at_rest(self):
        """How many descriptors it has without clients."""
        with connect(self.address(1)) as sock:
            sock.sendall(b"hello")
            read_some(sock, 5)
            count = self.descriptors() - 1
        self.comes_back_to(count, "the end of the first client")
        return count

    def comes_back_to(self, descriptors, what):
        until(lambda: self.descriptors() <= descriptors, what)


class Noise:
    """How late this machine wakes a thread that only sleeps."""

    def __init__(self):
        self.worst = 0
        self._is_over = False
        self._thread = threading.Thread(target=self._sleep)
        self._thread.start()

    def _sleep(self):
        while not self._is_over:
            began = time.monotonic()
            time.sleep(0.005)
            self.worst = max(self.worst, time.monotonic() - began - 0.005)

    def end(self):
        self._is_over = True
        self._thread.join()
        return self.worst


class PeerAborts(TestCase):
    def one_end(self, server, idle, i, point, how):
        """One client that goes there and ends in this way."""
        dialogue = DIALOGUES[i]
        sock, heard = go_to(dialogue, point, server.address(i))
        until(lambda: server.descriptors() > idle, "it is accepted")
        if how == "RST":
            reset(sock)
            return
        if how == "half-close":
            sock.shutdown(socket.SHUT_WR)
            heard += read_all(sock)
            self.assertRegex(
                heard, rb"\A" + dialogue.expected(point) + rb"\Z",
                "%s, half-close at %s" % (dialogue.service, point))
        sock.close()

    def all_ends(self, server, idle):
        """How many there were; each leaves no descriptor behind."""
        count = 0
        for i, dialogue in enumerate(DIALOGUES):
            for point in dialogue.points():
                for how in ("FIN", "RST", "half-close"):
                    self.one_end(server, idle, i, point, how)
                    server.comes_back_to(idle, "the end of %s after %s at %s"
                                         % (dialogue.service, how, point))
                    count += 1
        return count

    def test_ends_after_every_byte_leave_nothing(self):
        with Watched(self.folder(), "--idle-timeout", "never") as server:
            idle = server.at_rest()
            count = self.all_ends(server, idle)
            threads, memory = server.threads(), [server.memory()]
            for _ in range(ROUNDS):
                self.all_ends(server, idle)
                memory.append(server.memory())
            self.assertEqual(server.descriptors(), idle)
            self.assertEqual(server.threads(), threads)
            status, counts = server.stop()
        self.assertEqual(status, 0)
        self.check_sum(counts)
        self.assertEqual(counts["accepted"], 1 + (1 + ROUNDS) * count)
        for what in ("refused", "cut", "timed_out"):
            self.assertEqual(counts[what], 0, counts)
        # Arenas of the allocator grow when a worker does something for the
        # first time, a leak in every round.
        grown = [after - before for before, after in zip(memory, memory[1:])]
        self.assertLessEqual(min(grown), MEMORY, grown)
        print("%d ends %d times over: %s bytes of memory more in the rounds "
              "after the first" % (count, 1 + ROUNDS,
                                   ", ".join(map(str, grown))),
              file=sys.stderr)

    # Silence.

    def is_ended(self, silence, now):
        """Never early; how late is noted, if the server waited for it."""
        sock, dialogue, point, began, after = silence
        sock.close()
        if dialogue.is_waited_for(point):
            self.assertGreaterEqual(now - began, SILENCE, "%s at %s" % (
                dialogue.service, point))
            self.late.append(now - after - SILENCE)

    def watch(self, silent):
        """Until the server has ended all of them."""
        poll = select.poll()
        for fd in silent:
            poll.register(fd, select.POLLIN | select.POLLRDHUP)
        while silent:
            events = poll.poll(20000 * SLOWNESS)
            now = time.monotonic()
            self.assertTrue(events, "silence is not ended: %s" % [
                (d.service, point) for _, d, point, _, _ in silent.values()])
            for fd, event in events:
                # Input that was not read stays; the end comes behind it.
                if event == select.POLLIN:
                    poll.modify(fd, select.POLLRDHUP)
                    continue
                poll.unregister(fd)
                self.is_ended(silent.pop(fd), now)

    def watch_server(self, silent, server, idle):
        """The same for who does not read, whom no end of input reaches.  Its
        kernel takes a little more after a while, and its time begins anew
        when that is noticed."""
        server.comes_back_to(idle, "the end of who does not read")
        took = time.monotonic() - max(s[3] for s in silent.values())
        self.assertGreaterEqual(took, SILENCE)
        self.assertLessEqual(took, 3 * SILENCE * SLOWNESS)
        for silence in silent.values():
            silence[0].close()

    def begin_silence(self, i, point, where, silent):
        began = time.monotonic()
        sock, _ = go_to(DIALOGUES[i], point, where)
        silent[sock.fileno()] = (sock, DIALOGUES[i], point, began,
                                 time.monotonic())

    def test_silence_after_every_byte_is_ended_by_its_deadline(self):
        limit = "%dms" % (SILENCE * 1000)
        count = waited = 0
        self.late = []
        noise = Noise()
        self.addCleanup(noise.end)
        with Watched(self.folder(), "--idle-timeout", limit, "--read-timeout",
                     limit, "--write-timeout", limit) as server:
            idle = server.at_rest()
            for i, dialogue in enumerate(DIALOGUES):
                silent = {}
                for point in dialogue.points():
                    self.begin_silence(i, point, server.address(i), silent)
                    count += 1
                    waited += dialogue.is_waited_for(point)
                    if dialogue.service == "chat":  # one at a time
                        self.watch(silent)
                if dialogue.service == "chargen":
                    self.watch_server(silent, server, idle)
                else:
                    self.watch(silent)
                server.comes_back_to(idle, "the end of who said nothing")
            status, counts = server.stop()
        self.assertEqual(status, 0)
        self.check_sum(counts)
        self.assertEqual(counts["accepted"], count + 1)
        self.assertEqual(counts["timed_out"], waited)
        self.assertEqual(counts["completed"], count + 1 - waited)
        late, worst = sorted(self.late), noise.end()
        print("%d silences, %d ended by a deadline of %s: at most %.0f ms "
              "late (a thread that sleeps: %.0f ms)"
              % (count, waited, limit, late[-1] * 1000, worst * 1000),
              file=sys.stderr)
        # Acceptor, worker and client are woken, one after the other.
        self.assertLessEqual(late[-1], SLACK + 3 * worst)


if __name__ == "__main__":
    main()
