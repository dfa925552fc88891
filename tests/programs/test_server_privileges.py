#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What weir-server gives up before it serves: --user, --chroot, --sandbox."""

import ctypes
import os
import pwd
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import unittest

from weirtest import (DEADLINE, Server, TestCase, has_status, main, program,
                      read_all, run, until, without_leak_check)

LANDLOCK_CREATE_RULESET = 444
NOBODY = 65534

os.environ.update(without_leak_check())


def landlock():
    """Version of the kernel's Landlock; 0: it has none."""
    libc = ctypes.CDLL(None, use_errno=True)
    return max(0, libc.syscall(LANDLOCK_CREATE_RULESET, None, 0, 1))


# Run a program where a ruleset cannot be made, though the kernel has them: the
# call is denied if its first argument is not NULL.
NO_RULESETS = """
import ctypes, errno, os, struct, sys
libc = ctypes.CDLL(None)
rules = b"".join(struct.pack("HBBI", *rule) for rule in (
    (0x20, 0, 0, 0), (0x15, 0, 3, %d), (0x20, 0, 0, 16), (0x15, 1, 0, 0),
    (0x06, 0, 0, 0x50000 | errno.ENOSPC), (0x06, 0, 0, 0x7fff0000)))
buffer = ctypes.create_string_buffer(rules)
program = struct.pack("HP", len(rules) // 8, ctypes.addressof(buffer))
if libc.prctl(38, 1, 0, 0, 0) < 0 or libc.prctl(22, 2, program) < 0:
    sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
""" % LANDLOCK_CREATE_RULESET


def status_of(pid):
    with open("/proc/%d/status" % pid) as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file
                    if ":\t" in line)


def threads_of(pid):
    return [int(tid) for tid in os.listdir("/proc/%d/task" % pid)]


def echoes(sock):
    sock.sendall(b"hello\n")
    return sock.recv(64) == b"hello\n"


def refused(test, *args):
    """The error of a server that does not start."""
    got = run("WEIR_SERVER", *args)
    test.assertEqual(got.returncode, 2, got)
    return got.stderr.decode()


def run_as(user, group, *args):
    """Run the server.  It may be in a folder of root's."""
    return subprocess.run(
        ["setpriv", "--reuid", str(user), "--regid", str(user), "--groups",
         str(group), "--inh-caps", "+dac_read_search", "--ambient-caps",
         "+dac_read_search", program("WEIR_SERVER"), *args],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, timeout=DEADLINE)


def needs_root(test):
    return unittest.skipIf(os.getuid() != 0, "this is left to root")(test)


# Options with an address.
SIDES = ["agent"] + ["status"] * has_status()


def sides(path):
    """path: of the socket, by the name of the option."""
    return [arg for name in SIDES for arg in ("--" + name, "unix:" + path(name))]


class Privileges(TestCase):
    def setUp(self):
        self.place = self.folder()
        os.chmod(self.place, 0o755)

    def path(self, name, text=None):
        path = os.path.join(self.place, name)
        if text is not None:
            with open(path, "w") as file:
                file.write(text)
        return path

    def test_no_thread_can_gain_privileges(self):
        with Server("echo@127.0.0.1:0") as server:
            for tid in threads_of(server.pid):
                self.assertEqual(status_of(tid)["NoNewPrivs"], "1")

    @needs_root
    def test_every_thread_becomes_the_user(self):
        with Server("--user", "65534:65533", "echo@127.0.0.1:0",
                    "room@127.0.0.1:0") as server:
            for tid in threads_of(server.pid):
                status = status_of(tid)
                self.assertEqual(status["Uid"].split(), ["65534"] * 4)
                self.assertEqual(status["Gid"].split(), ["65533"] * 4)
                self.assertEqual(status["Groups"].split(), ["65533"])
                for kind in ("CapPrm", "CapEff", "CapInh"):
                    self.assertEqual(int(status[kind], 16), 0)
            with server.connect() as sock:
                self.assertTrue(echoes(sock))
            self.assertEqual(server.stop()[0], 0)

    @needs_root
    def test_a_user_brings_its_groups(self):
        user = pwd.getpwuid(NOBODY)
        groups = sorted(os.getgrouplist(user.pw_name, user.pw_gid))
        with Server("--user", user.pw_name, "echo@127.0.0.1:0") as server:
            status = status_of(server.pid)
            self.assertEqual(sorted(map(int, status["Groups"].split())),
                             groups)
            self.assertEqual(status["Gid"].split()[0], str(user.pw_gid))

    @needs_root
    def test_the_sockets_are_opened_before(self):
        os.chmod(self.place, 0o700)
        path = self.path("socket")
        with Server("--user", "65534:65534", "--mode", "0600",
                    "echo@unix:" + path) as server:
            with server.connect() as sock:
                self.assertTrue(echoes(sock))

    @needs_root
    def test_a_reload_works_for_the_user(self):
        config = self.path("config", "user = 65534:65534\n"
                           "access = deny 127.0.0.3\n")
        with Server("--config", config, "echo@127.0.0.1:0") as server:
            self.path("config", "user = 65534:65534\n")
            server.process.send_signal(signal.SIGHUP)
            server.logs(rb" reloaded ")
            self.path("config", "user = 65533:65534\n")
            server.process.send_signal(signal.SIGHUP)
            server.logs(rb"not reloaded: --user cannot change")

    @needs_root
    def test_a_process_with_other_groups_is_not_that_user(self):
        got = run_as(NOBODY, 4242, "--user", "65534:65534", "--check")
        self.assertEqual(got.returncode, 2, got)
        self.assertIn(b"only root can become '65534:65534'", got.stderr)

    @needs_root
    def test_what_the_user_cannot_remove_is_told(self):
        with Server("--user", "65534:65534", "--pid-file", self.path("pid"),
                    "--control", self.path("control"),
                    *sides(self.path),
                    "echo@unix:" + self.path("socket")) as server:
            for name in "pid", "control", "socket", *SIDES:
                server.logs(rb"warning '\S+/%s' will stay behind" %
                            name.encode())
            self.assertEqual(server.stop()[0], 0)
            self.assertTrue(os.path.exists(self.path("socket")))

    @needs_root
    def test_the_control_socket_is_the_users(self):
        path = self.path("control")
        with Server("--user", "65534:65533", "--control", path,
                    "echo@unix:" + self.path("socket")) as server:
            st = os.stat(path)
            self.assertEqual((st.st_uid, stat.S_IMODE(st.st_mode)),
                             (NOBODY, 0o600))
            self.assertEqual(os.stat(self.path("socket")).st_uid, 0)
            for user, status in (NOBODY, 0), (NOBODY - 1, 1), (0, 0):
                got = run_as(user, user, "ctl", "--control", path, "ready")
                self.assertEqual(got.returncode, status, got)
            self.assertEqual(server.stop()[0], 0)

    @needs_root
    def test_what_the_user_can_remove_is_not_told(self):
        os.chmod(self.place, 0o777)
        with Server("--user", "65534:65534", "--pid-file", self.path("pid"),
                    "echo@unix:" + self.path("socket")) as server:
            self.assertEqual(server.stop()[0], 0)
            self.assertNotIn(b"stay behind", server.err.rest())
        self.assertEqual(os.listdir(self.place), [])

    @needs_root
    def test_a_new_root_needs_files_to_look_a_name_up(self):
        relay = "--chroot", self.place, "relay@127.0.0.1:0", "--check"
        self.assertIn("--chroot does not go together with a name in --to",
                      refused(self, "--to", "localhost:7", *relay))
        for where in "127.0.0.1:7", "[::1]:7", "unix:@name":
            self.assertEqual(
                run("WEIR_SERVER", "--to", where, *relay).returncode, 0)
        os.mkdir(self.path("etc"))
        self.path("etc/hosts", "127.0.0.1 localhost\n")
        self.assertEqual(
            run("WEIR_SERVER", "--to", "localhost:7", *relay).returncode, 0)

    def test_a_user_that_is_not_there_is_told(self):
        for user, why in (("nobody-here", "there is no user"),
                          ("0:nobody-here", "there is no group"),
                          ("", "is not USER or USER:GROUP"),
                          (":0", "is not USER or USER:GROUP"),
                          ("4000000", "so no group")):
            self.assertIn(why, refused(self, "--user", user))

    def test_only_root_can_become_another_user(self):
        if os.getuid() == 0:
            self.skipTest("it is possible to root")
        self.assertIn("only root can become 'root'",
                      refused(self, "--user", "root"))
        self.assertIn("--chroot: only root can",
                      refused(self, "--chroot", self.place))
        with Server("--user", "%d:%d" % (os.getuid(), os.getgid())):
            pass

    @needs_root
    def test_a_file_that_the_user_cannot_read_is_told(self):
        path = self.path("page", "a page")
        os.chmod(path, 0o600)
        got = run("WEIR_SERVER", "--user", "65534:65534", "--file", path,
                  "file@127.0.0.1:0")
        self.assertEqual((got.returncode, got.stdout), (1, b""), got)
        self.assertIn(b"--file: the server's user cannot read '%s': "
                      b"Permission denied" % path.encode(), got.stderr)

    @needs_root
    def test_a_new_root_hides_all_other_files(self):
        path = self.path("page", "a page")
        with Server("--chroot", self.place, "--user", "65534:65534",
                    "--file", path, "file@127.0.0.1:0") as server:
            self.assertEqual(os.readlink("/proc/%d/root" % server.pid),
                             os.path.realpath(self.place))
            self.assertEqual(os.readlink("/proc/%d/cwd" % server.pid),
                             os.path.realpath(self.place))
            with server.connect() as sock:
                sock.sendall(b"x")
                self.assertTrue(read_all(sock).startswith(b"a page"))

    @needs_root
    def test_what_does_not_go_together_with_a_new_root_is_refused(self):
        for args in (("--control", self.path("control")),
                     ("--pid-file", self.path("pid")),
                     *(("--" + name, "unix:" + self.path(name))
                       for name in SIDES),
                     ("echo@unix:" + self.path("socket"),),
                     ("--file", "/etc/passwd", "file@127.0.0.1:0"),
                     ("--to", "unix:" + self.path("back"), "relay@127.0.0.1:0"),
                     ("chat@127.0.0.1:0",)):
            self.assertRegex(refused(self, "--chroot", self.place, *args),
                             "--chroot does not go together with")
        self.assertIn("is not a folder",
                      refused(self, "--chroot", "/etc/passwd"))

    @needs_root
    def test_a_reload_behind_a_new_root_is_refused(self):
        rules = self.path("rules", "deny 10.0.0.0/8\n")
        with Server("--chroot", self.place, "--access", rules,
                    "echo@127.0.0.1:0") as server:
            server.process.send_signal(signal.SIGHUP)
            server.logs(rb"not reloaded: --chroot has put '.*rules' out of")
            server.process.send_signal(signal.SIGUSR2)
            server.logs(rb"--chroot has put the program out of reach")
            with server.connect() as sock:
                self.assertTrue(echoes(sock))


@unittest.skipUnless(landlock(), "the kernel has no Landlock")
class Sandbox(TestCase):
    path = Privileges.path

    def setUp(self):
        Privileges.setUp(self)

    def test_a_sandbox_serves_reloads_and_stops(self):
        rules = self.path("rules", "deny 127.0.0.3\n")
        page = self.path("page", "a page")
        pid, control = self.path("pid"), self.path("control")
        sock_path = self.path("socket")
        alone = {name: self.path(name) for name in SIDES}
        for folder in alone.values():
            os.mkdir(folder)
        with Server("--sandbox", "--access", rules, "--file", page,
                    "--pid-file", pid, "--control", control,
                    *sides(lambda name: alone[name] + "/socket"),
                    "echo@unix:" + sock_path, "file@127.0.0.1:0") as server:
            with server.connect() as sock:
                self.assertTrue(echoes(sock))
            # an editor puts another file in its place
            self.path("new", "another page")
            os.rename(self.path("new"), page)
            with server.connect(1) as sock:
                sock.sendall(b"x")
                self.assertTrue(read_all(sock).startswith(b"another page"))
            self.path("rules", "deny 127.0.0.4\n")
            got = run("WEIR_SERVER", "ctl", "--control", control,
                      "reload")
            self.assertEqual(got.returncode, 0, got)
            server.process.send_signal(signal.SIGUSR2)
            server.logs(rb"--sandbox lets no program be run")
            self.assertEqual(server.stop()[0], 0)
        for folder in alone.values():
            os.rmdir(folder)
        self.assertEqual(sorted(os.listdir(self.place)), ["page", "rules"])

    def test_a_file_elsewhere_is_out_of_reach(self):
        page = self.path("page", "a page")
        os.mkdir(self.path("other"))
        self.path("other/page", "not this page")
        with Server("--sandbox", "--file", page,
                    "file@127.0.0.1:0") as server:
            os.unlink(page)
            os.mkdir(self.path("there"))
            os.symlink("/etc/passwd", page)
            with server.connect() as sock:
                sock.sendall(b"x")
                self.assertEqual(read_all(sock), b"")
            server.logs(rb"cannot send '.*page': Permission denied")

    def test_links_to_files_elsewhere_work_as_before(self):
        there = tempfile.TemporaryDirectory()
        self.addCleanup(there.cleanup)
        for name, text in (("page", "a page"), ("rules", "deny 127.0.0.3\n"),
                           ("config", "log-level = info\n")):
            with open(os.path.join(there.name, name), "w") as file:
                file.write(text)
            os.symlink(file.name, self.path(name))
        with Server("--sandbox", "--file", self.path("page"), "--access",
                    self.path("rules"), "--config", self.path("config"),
                    "file@127.0.0.1:0") as server:
            with server.connect() as sock:
                sock.sendall(b"x")
                self.assertTrue(read_all(sock).startswith(b"a page"))
            server.process.send_signal(signal.SIGHUP)
            server.logs(rb"info reloaded")

    @needs_root
    def test_a_sandbox_in_a_new_root_needs_no_file_outside(self):
        config = self.path("config", "log-level = info\n")
        rules = self.path("rules", "deny 127.0.0.3\n")
        os.mkdir(self.path("root"))
        page = self.path("root/page", "a page")
        with Server("--chroot", self.path("root"), "--sandbox", "--config",
                    config, "--access", rules, "--file", page,
                    "file@127.0.0.1:0") as server:
            with server.connect() as sock:
                sock.sendall(b"x")
                self.assertTrue(read_all(sock).startswith(b"a page"))

    @unittest.skipIf(sys.byteorder == "big", "the filter is not for it")
    def test_rules_that_cannot_be_made_are_told(self):
        got = run("WEIR_SERVER", "--sandbox", "echo@127.0.0.1:0",
                  under=[sys.executable, "-c", NO_RULESETS])
        if got.returncode == 77:
            self.skipTest("no filter of system calls can be set here")
        self.assertEqual(
            (got.returncode, got.stdout, got.stderr.splitlines()[-1:]),
            (1, b"", [b"weir-server: --sandbox: No space left on device"]))

    def test_a_chat_is_refused(self):
        self.assertIn("--sandbox does not go together with chat",
                      refused(self, "--sandbox", "chat@127.0.0.1:0"))


if __name__ == "__main__":
    main()
