#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A systemd of the test's own, in namespaces without anything of the host's,
restarts weir-server under load: with --keep-listeners, and with the installed
unit and its socket.  No client is lost or refused, also not after a crash.  A
reload of the unit loses none either, and takes effect.  A server that hangs is
replaced.  The controls: with the limit of starts that systemd has by default,
the socket closes; restarts of a server whose sockets systemd does not hold
refuse clients.
The commands of docs/DEPLOYING.md work there as they are written, and do not if
the server is elsewhere.

systemd.py --drive FUNCTION FOLDER is what the unit drive.service runs inside."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "programs"))
from test_server_upgrade import real_program  # noqa: E402
from weirtest import (DEADLINE, TestCase, connect, program,  # noqa: E402
                      read_exactly, shared_libraries, until)

SYSTEMD = "/lib/systemd/systemd"
RATE, SECONDS, RESTARTS = 300, 15, 8
KEPT, PASSED = "127.0.0.1:7007", "127.0.0.1:7008"
TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PAGE = os.path.join(TOP, "docs", "DEPLOYING.md")

# Becomes the first process of its namespaces.
BOOT = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /sys/fs/cgroup
umount /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mount -t tmpfs tmpfs /etc/systemd/system
ip link set lo up
mkdir -p /run/systemd/system
cp -r "$1"/. /run/systemd/system
exec env -i PATH="$PATH" container=weirtest %s --system --unit=drive.service \
    --log-target=null --show-status=no
""" % SYSTEMD

KEEP = """
[Unit]
DefaultDependencies=no
StartLimitIntervalSec=0
[Service]
Type=notify
ExecStart=%s %s -w 2 echo@""" + KEPT + """
Environment=LD_LIBRARY_PATH=%s
FileDescriptorStoreMax=8
Restart=on-failure
RestartSec=50ms
SuccessExitStatus=3
"""

DRIVE = """
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=%s %s --drive %s %s
Environment=%s
ExecStopPost=/bin/kill -s RTMIN+4 1
TimeoutStartSec=200
"""


def is_quiet(*command):
    return subprocess.run(command, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0


def is_denied():
    try:
        with connect(PASSED) as sock:
            sock.sendall(b"x")
            return sock.recv(1) == b""
    except ConnectionError:
        return True


def load_during(folder, unit, where, *way):
    """The metrics of a load while systemctl does that to the unit."""
    path = os.path.join(folder, "load")
    load = subprocess.Popen(
        [os.environ["WEIR_CLIENT"], "load", where, "-c", "20", "--churn", "-r",
         str(RATE), "-d", "%ds" % SECONDS, "--json", path],
        stdout=subprocess.DEVNULL)
    count = 0
    while load.poll() is None and count < RESTARTS:
        time.sleep(1)
        count += is_quiet("systemctl", *way, unit)
    load.wait()
    with open(path) as file:
        metrics = json.load(file)["metrics"]
    return dict(metrics, restarts=count,
                is_active=is_quiet("systemctl", "is-active", unit))


def drive(folder):
    """Inside: restarts and crashes under load.  The result goes to a file."""
    found = {}
    for unit, where, ways in (
            ("keep.service", KEPT, ("restart", "kill")),
            ("weir-server@echo.service", PASSED, ("restart", "reload"))):
        if unit.startswith("weir-server@"):
            is_quiet("systemctl", "start", "weir-server@echo.socket")
        is_quiet("systemctl", "start", unit)
        for way in ways:
            found["%s %s" % (way, unit)] = load_during(
                folder, unit, where, *(["kill", "-s", "KILL"]
                                       if way == "kill" else [way]))
    with open(os.path.join(folder, "units", "config"), "w") as file:
        file.write("access = deny 127.0.0.0/8\n")
    is_quiet("systemctl", "reload", "weir-server@echo.service")
    until(is_denied, "the effect of a reload")
    tell(folder, found)


def restart_keep(folder):
    """Inside: restarts of that unit."""
    is_quiet("systemctl", "start", "keep.service")
    tell(folder, load_during(folder, "keep.service", KEPT, "restart"))


def follow_page(folder, change=str):
    """Inside: the commands of the page.  Each leaves a server that serves."""
    with open(PAGE) as file:
        blocks = re.findall(r"^```sh\n(.*?)^```", file.read(), re.M | re.S)
    found = {}
    for commands in blocks:
        result = subprocess.run(["sh", "-e", "-c", change(commands)],
                                stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)
        found[commands] = [result.returncode, result.stdout.decode()]
        if result.returncode == 0 and not is_served(KEPT):
            found[commands] = [-1, "no echo"]
    tell(folder, found)


def follow_page_elsewhere(folder):
    """Inside: the same for another address."""
    follow_page(folder, lambda text: text.replace(KEPT, PASSED))


def restart_often(folder):
    """Inside: with the limit of starts that systemd has by default."""
    is_quiet("systemctl", "start", "weir-server@echo.socket")
    served = is_served(PASSED)
    count = 0
    while count < RESTARTS and is_quiet("systemctl", "restart",
                                        "weir-server@echo.service"):
        count += 1
    tell(folder, [served, count, is_served(PASSED)])


def stop_all_threads(folder):
    """Inside: the server gives no sign of life any more."""
    def main_pid():
        return subprocess.run(
            ["systemctl", "show", "-P", "MainPID", "weir-server@echo.service"],
            stdout=subprocess.PIPE).stdout
    is_quiet("systemctl", "start", "weir-server@echo.socket")
    served = is_served(PASSED)
    first = main_pid()
    os.kill(int(first), signal.SIGSTOP)
    until(lambda: main_pid() not in (first, b"0\n"), "another server")
    tell(folder, [served, is_served(PASSED)])


def is_served(where):
    with contextlib.suppress(OSError), connect(where) as sock:
        sock.sendall(b"hello")
        return read_exactly(sock, 5) == b"hello"
    return False


def tell(folder, found):
    with open(os.path.join(folder, "found.tmp"), "w") as file:
        json.dump(found, file)
    os.rename(os.path.join(folder, "found.tmp"),
              os.path.join(folder, "found"))


class Systemd(TestCase):
    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("only root may make these namespaces")
        if not os.path.exists(SYSTEMD):
            self.skipTest("systemd is not installed")
        self.where = os.path.abspath(self.folder())
        os.mkdir(self.where + "/units")

    def write(self, name, text):
        path = os.path.join(self.where, "units", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)

    def write_units(self, function, options, keep):
        server = os.path.abspath(real_program())
        self.write("keep.service", KEEP % (server, keep, shared_libraries()))
        shutil.copy(os.path.join(TOP, "server", "weir-server@.socket"),
                    self.where + "/units")
        with open(os.path.join(os.path.dirname(program("WEIR_SERVER")),
                               "weir-server@.service")) as file:
            service = file.read()
        self.write("weir-server@.service", service)
        self.write("weir-server@.service.d/00-here.conf", """
[Unit]
DefaultDependencies=no
[Service]
ExecStart=
ExecStart=%s $WEIR_OPTIONS %%i@fd:%%i
Environment="WEIR_OPTIONS=%s"
Environment=LD_LIBRARY_PATH=%s
DynamicUser=no
ProtectHome=no
PrivateTmp=no
""" % (server, options, shared_libraries()))
        self.write("config", "log-level = info\n")
        self.write("weir-server@.socket.d/00-here.conf", """
[Unit]
DefaultDependencies=no
[Socket]
ListenStream=
ListenStream=%s
""" % PASSED)
        self.write("drive.service", DRIVE % (
            sys.executable, os.path.abspath(__file__), function.__name__,
            self.where,
            " ".join("%s=%s" % (name, os.path.abspath(program(name)))
                     for name in ("WEIR_SERVER", "WEIR_CLIENT"))))

    def boot(self, function, options="", service="", keep="--keep-listeners"):
        """Returns what the function has told; service is a drop-in."""
        self.write_units(function, options, keep)
        self.write("weir-server@.service.d/01-here.conf", service)
        boot = subprocess.Popen(
            ["unshare", "--pid", "--mount", "--net", "--cgroup", "--uts",
             "--ipc", "--fork", "--kill-child", "--mount-proc", "sh", "-c",
             BOOT, "sh", self.where + "/units"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE)
        self.addCleanup(boot.wait)
        self.addCleanup(boot.kill)
        path = self.where + "/found"
        until(lambda: os.path.exists(path) or boot.poll() is not None,
              "the result", 10 * DEADLINE)
        self.assertTrue(os.path.exists(path), boot.stderr.read()
                        if boot.poll() is not None else b"")
        boot.stderr.close()
        with open(path) as file:
            return json.load(file)

    def test_the_commands_of_the_page_work(self):
        found = self.boot(follow_page)
        self.assertGreater(len(found), 4)
        for commands, (status, output) in found.items():
            self.assertEqual(status, 0, commands + output)

    def test_control_a_server_elsewhere_is_not_that_of_the_page(self):
        found = self.boot(follow_page_elsewhere)
        self.assertEqual({status for status, _ in found.values()}, {-1})

    def test_control_restarts_without_kept_listeners_refuse_clients(self):
        metrics = self.boot(restart_keep, keep="")
        self.assertGreater(metrics["restarts"], 3)
        self.assertGreater(metrics["refused"], 0)

    def test_control_with_the_default_limit_restarts_close_the_socket(self):
        served, count, is_open = self.boot(
            restart_often, service="[Unit]\nStartLimitIntervalSec=10s\n")
        self.assertTrue(served)
        self.assertLess(count, RESTARTS)
        self.assertFalse(is_open)

    def test_a_server_that_hangs_is_replaced(self):
        self.assertEqual(
            self.boot(stop_all_threads, service="[Service]\nWatchdogSec=1s\n"),
            [True, True])

    def test_restarts_and_crashes_under_load(self):
        found = self.boot(drive, "--config %s/units/config" % self.where)
        for what, metrics in found.items():
            print("%s: %d times, %d clients, %d lost, max %.0f ms" % (
                what, metrics["restarts"], metrics["answered"],
                metrics["errors"], metrics["max"] / 1e6), file=sys.stderr)
            self.assertTrue(metrics["is_active"], what)
            self.assertGreater(metrics["restarts"], 3, what)
            if not what.startswith("kill"):
                self.assertEqual(metrics["errors"], 0, what)
            # A crash loses those that are served, and no other.
            self.assertEqual(metrics["refused"], 0, what)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--drive"]:
        globals()[sys.argv[2]](sys.argv[3])
    else:
        unittest.main(verbosity=2)
