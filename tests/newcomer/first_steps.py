#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""first_steps.py [--user|--root] [--tarball] [--folder FOLDER] [--base BASE]:
somebody who has just installed Debian types what README.md says, all of it, in
its order, in a fresh clone, then what the pages of the programs, the tutorial,
the cookbook, FROM_PYTHON.md, CPP.md and the manual pages say.  Every command
must succeed and show what the page shows.

By default that is an ordinary user who may use sudo; with --root it is root,
with --tarball it is not a clone but what "make dist" makes (in the current
folder, a build).  FOLDER is where the Debian is made and removed; BASE is where
an empty one is kept for the next run.

A command that begins to listen is a server: it keeps its terminal, and the next
command is typed into another one.  It is ended by Ctrl-C, and must end with 0,
before a block of the same page in which there is a server, and at the end of
the page."""

import argparse
import ctypes
import os
import re
import subprocess
import sys
import tempfile
import time

import debian
import pages
from terminal import Stuck, Terminal

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
PATIENCE = {"tools/check": 3600, "tools/demo": 900, "./bootstrap": 900}
# A server, to judge by its name: a program of an example, or ours.
SERVER = re.compile(r"weir-server|\./[a-z0-9_]+( [a-z0-9.:]+)*( *#.*)?$")
# What the manual pages speak of, and nobody has started.
STAGE = ("weir-server reply@127.0.0.1:1234 echo@:7 chat@127.0.0.1:1001 "
         "room@unix:/run/room file@:3000 greet@[::1]:12357 "
         "collect@127.0.0.1:12345 collect@unix:/run/notes --mode 0666 "
         "--file /srv/notes.txt", "python3 -m http.server 80",
         "python3 -m http.server 8080 --protocol HTTP/1.1",
         "weir-server reply+tls@127.0.0.1:7443 echo+tls@127.0.0.1:443 "
         "--tls-certificate /srv/ca.pem --tls-key /srv/key.pem")
# An authority that the system trusts, and a user has the certificate of.
AUTHORITY = """
cd /srv
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost \\
    -addext subjectAltName=DNS:localhost,DNS:www.example.org \\
    -keyout key.pem -out ca.pem
cp ca.pem /etc/ssl/certs/ && openssl rehash /etc/ssl/certs
cp ca.pem "$1/" && chmod a+r "$1/ca.pem"
"""


def may_miss(line, status, screen):
    """A gate of a load may well be missed on a machine that does other things,
    and a search be told that there is no saying."""
    if not re.search(r"weir-client load .*--gate", line):
        return False
    return status == 3 or (status == 1 and "too noisy to say" in screen)


class Typist:
    def __init__(self, system, user, folder):
        self.system = system
        self.user = user
        self.folder = folder
        self.environment = []
        self.terminals = []
        self.servers = []
        self.passed = self.failed = 0
        self.skipped = []
        self.page = ""

    def open(self, user=None):
        terminal = Terminal(self.system.login(user or self.user))
        self.terminals.append(terminal)
        for line in ["cd " + self.folder] + self.environment:
            terminal.types(line + "\n")
            terminal.expect(lambda: terminal.turn() is not None, 30, line)
            terminal.clear()
        return terminal

    def free(self):
        """A terminal that waits for a command."""
        for terminal in self.terminals:
            if terminal not in self.servers:
                return terminal
        return self.open()

    def close(self):
        for terminal in self.terminals:
            terminal.close()
        self.terminals = []
        self.servers = []

    def judge(self, line, why, screen=""):
        if why is None:
            self.passed += 1
        else:
            self.failed += 1
            print("FAIL: %s: %s: %s" % (self.page, line, why))
        for text in screen.splitlines()[-10 if why is None else -2000:]:
            print("  | " + text)

    def end_servers(self):
        for terminal in self.servers:
            try:
                terminal.clear()
                status = terminal.interrupt(30)
                why = None if status == 0 else "Ctrl-C: exit %d" % status
            except Stuck as stuck:
                why = "Ctrl-C: %s" % stuck
            self.judge("(the server)", why, terminal.screen)
            terminal.clear()
        self.servers = []

    def converse(self, terminal):
        """Say what a person would, to the end.  The operator of a chat answers
        a goodbye; what knows no goodbye ends with the input."""
        clients = [terminal]
        for text, listeners in (("hello\n", clients), ("windup\n", clients),
                                ("windup\n", self.servers),
                                ("\x04", clients)):
            if terminal.turn() is not None:
                return
            terminal.clear()
            for listener in listeners:
                listener.types(text)
            patience = time.monotonic() + 3
            while terminal.turn() is None and time.monotonic() < patience:
                terminal.read(0.1)
                if text == "hello\n" and terminal.is_asked():
                    break
        terminal.expect(lambda: terminal.turn() is not None, 30,
                        "the end of the conversation")

    def replay(self, terminal, shown):
        """Type what the page shows behind prompts, see the rest."""
        at = 0
        for line in shown:
            prompt = re.match(r"(Enter message:|>>?)( |$)", line)
            if prompt:
                terminal.expect(terminal.is_asked, 30, repr(line))
                at = terminal.screen.rindex(prompt.group(1) + " ")
                terminal.types(line[prompt.end():] + "\n")
            # A process has another number each time.
            seen = re.compile(re.sub(r"pid\\ is\\ \d+", r"pid is \\d+",
                                     re.escape(line)))
            terminal.expect(lambda: seen.search(terminal.screen, at), 30,
                            repr(line))
            at = seen.search(terminal.screen, at).end()

    def types(self, command):
        line = command.line
        if "make install" in line:
            # What is installed is found without more ado.
            self.close()
            self.environment = []
        terminal = self.free()
        print("$ " + line, flush=True)
        start = time.monotonic()
        terminal.clear()
        terminal.types(line + "\n")
        terminal.expect(lambda: "\n" in terminal.screen, 30, "an echo")
        patience = max([120] + [seconds for word, seconds in PATIENCE.items()
                                if word in line])
        why = None
        try:
            if command.shown:
                self.replay(terminal, command.shown)
            terminal.expect(
                lambda: terminal.turn() is not None or terminal.is_asked() or
                terminal.is_served(), patience, "its end")
            if terminal.turn() is None and terminal.is_asked():
                if command.shown:
                    terminal.types("\x04")
                    terminal.expect(lambda: terminal.turn() is not None, 30,
                                    "the end on Ctrl-D")
                else:
                    self.converse(terminal)
            if terminal.turn() is None:
                self.servers.append(terminal)
            elif terminal.turn() != 0 and not may_miss(
                    line, terminal.turn(), terminal.screen):
                why = "exit %d" % terminal.turn()
        except Stuck as stuck:
            why = str(stuck)
        self.judge(line, why, terminal.screen)
        print("  (%.1f s)" % (time.monotonic() - start), flush=True)
        if why is not None and terminal.turn() is None:
            terminal.close()
            self.terminals.remove(terminal)
        if line.startswith(". "):
            self.environment.append(line)
        if "tools/check" in line:
            self.count(terminal.screen)
            # No step needs the network any more; in another one of its own no
            # port is taken.
            own_network()
            self.close()

    def count(self, screen):
        """Tests that a command has run count as such."""
        found = re.findall(r"^(\d+) passed, (\d+) failed", screen, re.MULTILINE)
        if found:
            self.passed += int(found[-1][0])
            self.failed += int(found[-1][1])
            print("  %s passed, %s failed" % found[-1])
            for text in sorted(set(re.findall(r"^SKIPPED: .*$", screen,
                                              re.MULTILINE))):
                self.skipped.append(text)
                print(text)
        else:
            self.judge("(the tests)", "no count of them")

    def follow(self, path):
        self.page = path
        print("== " + path, flush=True)
        for block in pages.blocks(self.system.root + self.folder + "/" + path):
            if any(SERVER.match(command.line) for command in block):
                self.end_servers()
            for command in block:
                self.types(command)
        self.end_servers()
        self.close()


def own_network():
    """What is started from now on has a network of its own."""
    if ctypes.CDLL(None, use_errno=True).unshare(0x40000000) != 0:
        raise OSError(ctypes.get_errno(), "no network namespace")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def unpack(system, user, tarball):
    """What a fresh clone has, or the tarball, in the user's home; its path."""
    home = "/root" if user == "root" else "/home/" + user
    target = system.root + home
    if tarball:
        subprocess.run(["make", "-s", "dist"], check=True)
        name = max((name for name in os.listdir(".")
                    if re.fullmatch(r"weir-[0-9.]+\.tar\.xz", name)),
                   key=os.path.getmtime)
        subprocess.run(["tar", "-xf", name, "-C", target], check=True)
        folder = name[:-len(".tar.xz")]
    else:
        folder = "weir"
        os.mkdir(target + "/weir")
        with subprocess.Popen(["git", "-C", TOP, "-c", "safe.directory=*",
                               "archive", "HEAD"],
                              stdout=subprocess.PIPE) as archive:
            subprocess.run(["tar", "-x", "-C", target + "/weir"],
                           stdin=archive.stdout, check=True)
        if archive.returncode != 0:
            raise debian.Impossible("no clone of the sources")
    if user != "root":
        system.run("chown", "-R", "%s:%s" % (user, user), home)
    return "%s/%s" % (home, folder)


def manuals(typist):
    """Servers and root's pages are root's."""
    typist.system.write("srv/notes.txt", "Notes.\n")
    typist.system.write("etc/hosts", "127.0.0.1 localhost www.example.org\n"
                        "::1 localhost\n")
    typist.system.run("sh", "-e", "-c", AUTHORITY, "sh", typist.folder)
    for name in ("weir-client.1", "weir-client-load.1"):
        for command in STAGE:
            stage = typist.open("root")
            stage.types(command + "\n")
            try:
                stage.expect(stage.is_served, 30, command)
            except Stuck as stuck:
                typist.judge(command, str(stuck), stage.screen)
                stage.close()
                typist.terminals.remove(stage)
                continue
            typist.servers.append(stage)
        typist.follow("docs/man/" + name)
    typist.user = "root"
    typist.follow("docs/man/weir-server.8")


def steps(options, folder):
    print("== an empty Debian", flush=True)
    start = time.monotonic()
    system = debian.Debian(os.path.join(folder, "debian"))
    if options.base and os.path.exists(options.base):
        system = debian.Debian(options.base).copy(system.root)
    else:
        system.make()
        if options.base:
            system.copy(options.base)
    system.mount()
    print("  (%.1f s)" % (time.monotonic() - start), flush=True)
    user = "root" if options.root else debian.USER
    typist = Typist(system, user, unpack(system, user, options.tarball))
    for name in ("README.md", "docs/PROGRAMS.md", "docs/TUTORIAL.md",
                 "docs/COOKBOOK.md", "docs/FROM_PYTHON.md", "docs/CPP.md"):
        typist.follow(name)
    manuals(typist)
    return typist


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--user", action="store_true")
    parser.add_argument("--root", action="store_true")
    parser.add_argument("--tarball", action="store_true")
    parser.add_argument("--folder", default=".")
    parser.add_argument("--base")
    options = parser.parse_args()
    try:
        debian.contain()
        folder = tempfile.mkdtemp(prefix="first-steps-",
                                  dir=os.path.abspath(options.folder))
    except debian.Impossible as why:
        print("SKIPPED: no empty Debian can be made here: %s" % why)
        return 77
    try:
        typist = steps(options, folder)
    except debian.Impossible as why:
        print("SKIPPED: no empty Debian can be made here: %s" % why)
        return 77
    finally:
        subprocess.run(["umount", "-R", "-l", folder + "/debian"],
                       stderr=subprocess.DEVNULL, check=False)
        subprocess.run(["rm", "-rf", "--one-file-system", folder],
                       check=False)
    counts = "%d passed, %d failed" % (typist.passed, typist.failed)
    if typist.skipped:
        counts += ", %d skipped" % len(typist.skipped)
    print(counts)
    return typist.failed > 0


if __name__ == "__main__":
    sys.exit(main())
