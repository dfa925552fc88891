# SPDX-License-Identifier: MIT
"""A shell on a terminal, and somebody who types into it and reads."""

import os
import pty
import re
import select
import signal
import time

PROMPT = "[$?]your turn> "
TURN = re.compile(r"\[(\d+)\]your turn> $")
ASKED = re.compile(r"(^|\n)(Enter message: |>> |> )$")
INHERITED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM,
             signal.SIGPIPE, signal.SIGXFSZ)


class Stuck(Exception):
    """What was waited for has not come."""


def listens(pid):
    """Does this process itself listen on a socket?"""
    listening = set()
    for name, state in (("tcp", 3), ("tcp6", 3)):
        with open("/proc/%d/net/%s" % (pid, name), encoding="ascii") as file:
            listening |= {line.split()[9] for line in file
                          if line.split()[state] == "0A"}
    # An abstract name has any bytes.
    with open("/proc/%d/net/unix" % pid, encoding="latin-1") as file:
        listening |= {fields[6] for fields in map(str.split, file)
                      if len(fields) > 6 and fields[3] == "00010000"}
    for fd in os.listdir("/proc/%d/fd" % pid):
        found = re.match(r"socket:\[(\d+)\]",
                         os.readlink("/proc/%d/fd/%s" % (pid, fd)))
        if found and found.group(1) in listening:
            return True
    return False


class Terminal:
    in_use = set()

    def __init__(self, command):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            # Whoever started us, nohup(1) for one, may ignore some.
            for signo in INHERITED:
                signal.signal(signo, signal.SIG_DFL)
            os.execvp(command[0], command)
        self.screen = ""
        Terminal.in_use.add(self)
        self.types("PS1='%s'\n" % PROMPT)
        self.expect(lambda: TURN.search(self.screen), 60, "a shell")
        self.clear()

    def read(self, seconds):
        """Take in what is shown within this time, on any terminal: what writes
        to one that nobody reads stands still."""
        by_fd = {terminal.fd: terminal for terminal in Terminal.in_use}
        for fd in select.select(list(by_fd), [], [], seconds)[0]:
            by_fd[fd].take_in()

    def take_in(self):
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            Terminal.in_use.discard(self)
            raise Stuck("the terminal is gone:\n" + self.screen) from None
        text = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", data)
        self.screen += text.decode(errors="replace").replace("\r", "")

    def expect(self, condition, seconds, what):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise Stuck("waited in vain for %s" % what)
            self.read(0.1)

    def clear(self):
        self.screen = ""

    def types(self, text):
        os.write(self.fd, text.encode())

    def turn(self):
        """The exit status of the last command, when the shell waits for the
        next one."""
        found = TURN.search(self.screen)
        return int(found.group(1)) if found else None

    def child(self):
        """What runs in the foreground, if it is a program."""
        try:
            group = os.tcgetpgrp(self.fd)
            with open("/proc/%d/stat" % group, encoding="utf-8") as file:
                name = re.search(r"\((.*)\)", file.read()).group(1)
            return None if name in ("bash", "su", "sh") else group
        except (OSError, AttributeError):
            return None

    def is_served(self):
        """Is what runs here a server, and ready?"""
        try:
            pid = self.child()
            return bool(pid) and listens(pid)
        except OSError:
            return False

    def is_asked(self):
        """Does what runs here want to be told something?"""
        return bool(ASKED.search(self.screen))

    def interrupt(self, seconds):
        """Ctrl-C; the exit status."""
        self.types("\x03")
        self.expect(lambda: self.turn() is not None, seconds, "its end")
        return self.turn()

    def close(self):
        Terminal.in_use.discard(self)
        os.kill(self.pid, signal.SIGHUP)
        os.close(self.fd)
        deadline = time.monotonic() + 5
        while not os.waitpid(self.pid, os.WNOHANG)[0]:
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.02)
