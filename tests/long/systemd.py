#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A systemd of the test's own, in namespaces without anything of the host's,
restarts weir-server under load: with --keep-listeners, and with the installed
unit and its socket.  No client is lost or refused, also not after a crash.

systemd.py --drive is what the unit drive.service runs inside."""

import json
import os
import shutil
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "programs"))
from test_server_upgrade import real_program  # noqa: E402
from weirtest import (DEADLINE, TestCase, program,  # noqa: E402
                      shared_libraries, until)

SYSTEMD = "/lib/systemd/systemd"
RATE, SECONDS, RESTARTS = 300, 15, 8
KEPT, PASSED = "127.0.0.1:7007", "127.0.0.1:7008"

# Becomes the first process of its namespaces.
BOOT = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /sys/fs/cgroup
umount /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
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
ExecStart=%s --keep-listeners -w 2 echo@""" + KEPT + """
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
ExecStart=%s %s --drive %s
Environment=%s
ExecStopPost=/bin/kill -s RTMIN+4 1
TimeoutStartSec=200
"""


def is_quiet(*command):
    return subprocess.run(command, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0


def drive(folder):
    """Inside: restarts and crashes under load.  The result goes to a file."""
    found = {}
    for unit, where, ways in (
            ("keep.service", KEPT, ("restart", "kill")),
            ("weir-server@echo.service", PASSED, ("restart",))):
        if unit.startswith("weir-server@"):
            is_quiet("systemctl", "start", "weir-server@echo.socket")
        is_quiet("systemctl", "start", unit)
        for way in ways:
            path = os.path.join(folder, "load")
            load = subprocess.Popen(
                [os.environ["WEIR_CLIENT"], "load", where, "-c", "20",
                 "--churn", "-r", str(RATE), "-d", "%ds" % SECONDS, "--json",
                 path], stdout=subprocess.DEVNULL)
            count = 0
            while load.poll() is None and count < RESTARTS:
                time.sleep(1)
                command = (["restart", unit] if way == "restart" else
                           ["kill", "-s", "KILL", unit])
                count += is_quiet("systemctl", *command)
            load.wait()
            with open(path) as file:
                metrics = json.load(file)["metrics"]
            found["%s %s" % (way, unit)] = dict(
                metrics, restarts=count,
                is_active=is_quiet("systemctl", "is-active", unit))
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

    def write_units(self):
        server = os.path.abspath(real_program())
        self.write("keep.service", KEEP % (server, shared_libraries()))
        top = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..",
                           "..")
        shutil.copy(os.path.join(top, "server", "weir-server@.socket"),
                    self.where + "/units")
        with open(os.path.join(os.path.dirname(program("WEIR_SERVER")),
                               "weir-server@.service")) as file:
            service = file.read()
        self.write("weir-server@.service", service)
        self.write("weir-server@.service.d/here.conf", """
[Unit]
DefaultDependencies=no
[Service]
ExecStart=
ExecStart=%s $WEIR_OPTIONS %%i@fd:%%i
Environment=LD_LIBRARY_PATH=%s
DynamicUser=no
ProtectHome=no
PrivateTmp=no
""" % (server, libraries))
        self.write("weir-server@.socket.d/here.conf", """
[Unit]
DefaultDependencies=no
[Socket]
ListenStream=
ListenStream=%s
""" % PASSED)
        self.write("drive.service", DRIVE % (
            sys.executable, os.path.abspath(__file__), self.where,
            " ".join("%s=%s" % (name, os.path.abspath(program(name)))
                     for name in ("WEIR_SERVER", "WEIR_CLIENT"))))

    def test_restarts_and_crashes_under_load(self):
        self.write_units()
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
        with open(path) as file:
            found = json.load(file)
        boot.stderr.close()
        for what, metrics in found.items():
            print("%s: %d times, %d clients, %d lost, max %.0f ms" % (
                what, metrics["restarts"], metrics["answered"],
                metrics["errors"], metrics["max"] / 1e6), file=sys.stderr)
            self.assertTrue(metrics["is_active"], what)
            self.assertGreater(metrics["restarts"], 3, what)
            if what.startswith("restart"):
                self.assertEqual(metrics["errors"], 0, what)
            # A crash loses those that are served, and no other.
            self.assertEqual(metrics["refused"], 0, what)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--drive"]:
        drive(sys.argv[2])
    else:
        unittest.main(verbosity=2)
