#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A systemd of the test's own, in namespaces without anything of the host's,
runs weir-server by the installed unit and its socket, with all of its
confinement.

Under load the server is restarted, reloaded and replaced by hot upgrades, and
so is one with --keep-listeners: no client is lost or refused, and none is
refused after a crash.  systemd follows an upgrade; a successor that does not
come up changes nothing.  A reload fails if a file is not good, and the server
serves on.  A stop that cuts connections is no failure.  A server that hangs is
replaced.  The controls: with the limit of starts that systemd has by default,
the socket closes; restarts of a server whose sockets systemd does not hold
refuse clients; with exit status 3 as a failure, a stop that cuts is one.
The commands of docs/DEPLOYING.md work there as they are written, and do not if
the server is elsewhere.

systemd.py --drive FUNCTION is what the unit drive.service runs inside."""

import contextlib
import functools
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import types
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "programs"))
from certificates import OPENSSL, make_certificate  # noqa: E402
from test_server_upgrade import is_alive  # noqa: E402
from weirtest import (DEADLINE, TestCase, connect, program,  # noqa: E402
                      read_exactly, shared_libraries, stuff, until)

SYSTEMD = "/lib/systemd/systemd"
RATE, SECONDS, PAUSE, TIMES = 300, 15, 0.4, 20
KEPT, PASSED = "127.0.0.1:7007", "127.0.0.1:7008"
TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                   "..", ".."))
PAGE = os.path.join(TOP, "docs", "DEPLOYING.md")
# Inside: the folder of the test, and a copy of the programs that every user may
# run.
TOLD, HERE = "/run/told", "/run/weir"
SERVER = HERE + "/bin/weir-server"
ECHO = "weir-server@echo.service"
CONTROL = "/run/weir-server-echo/control"

# Becomes the first process of its namespaces; $1 is the folder of the test and
# $2 that of the sources.  What is written to /etc and /tmp stays inside.
BOOT = """
set -e
umask 022
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /sys/fs/cgroup
umount /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mkdir /run/told /run/tree /run/etc
mount --bind "$1" /run/told
mount --bind "$2" /run/tree
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /var/tmp
cp -a /etc/. /run/etc
mount --bind /run/etc /etc
mkdir -p /etc/systemd/system /run/systemd/system
mount -t tmpfs tmpfs /etc/systemd/system
ip link set lo up
cp -r /run/told/units/. /run/systemd/system
cp -r /run/told/weir /run/weir
chmod -R a+rX /run/weir
exec env -i PATH="$PATH" container=weirtest %s --system --unit=drive.service \
    --log-target=null --show-status=no
""" % SYSTEMD

# Nothing of the host's units.
ALONE = """
[Unit]
DefaultDependencies=no
"""

KEEP = """
[Unit]
StartLimitIntervalSec=0
[Service]
Type=notify
ExecStart=%s %%s -w 2 echo@%s
Environment=LD_LIBRARY_PATH=%s/lib
FileDescriptorStoreMax=8
Restart=on-failure
RestartSec=50ms
SuccessExitStatus=3
""" % (SERVER, KEPT, HERE)

DRIVE = """
[Service]
Type=oneshot
ExecStart=%s /run/tree/tests/long/systemd.py --drive %%s
Environment=PATH=%s/bin:/usr/sbin:/usr/bin:/sbin:/bin
Environment=LD_LIBRARY_PATH=%s/lib PYTHONDONTWRITEBYTECODE=1
Environment=WEIR_SERVER=%s WEIR_CLIENT=%s/bin/weir-client
ExecStopPost=/bin/kill -s RTMIN+4 1
TimeoutStartSec=infinity
""" % (sys.executable, HERE, HERE, SERVER, HERE)


# ------------------------------------------------------------------- inside

def systemctl(*words):
    subprocess.run(["systemctl", *words], check=True,
                   stdin=subprocess.DEVNULL)


def is_quiet(*command):
    return subprocess.run(command, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0


def show(unit, name):
    return subprocess.run(["systemctl", "show", "-P", name, unit], check=True,
                          stdout=subprocess.PIPE, text=True).stdout.strip()


def main_pid(unit):
    return int(show(unit, "MainPID"))


def next_main_pid(unit, before):
    """A process that has told systemd that it is ready, if a service has just
    been started."""
    until(lambda: main_pid(unit) not in (0, before) and
          is_quiet("systemctl", "is-active", unit), "another process")
    return main_pid(unit)


def ctl(*words):
    return subprocess.run([SERVER, "ctl", "--control", CONTROL, *words],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)


def is_served(where):
    with contextlib.suppress(OSError), connect(where) as sock:
        sock.sendall(b"hello")
        return read_exactly(sock, 5) == b"hello"
    return False


def is_denied():
    try:
        with connect(PASSED) as sock:
            sock.sendall(b"x")
            return sock.recv(1) == b""
    except ConnectionError:
        return True


def write(path, text, mode=0o644):
    """In one step, so that a program that runs can be replaced."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "w") as file:
        file.write(text)
    os.chmod(path + ".new", mode)
    os.rename(path + ".new", path)


def drop_in(unit, text):
    write("/run/systemd/system/%s.d/50-here.conf" % unit, text)
    systemctl("daemon-reload")


def restart(unit):
    systemctl("restart", unit)


def reload(unit):
    systemctl("reload", unit)


def crash(unit):
    before = main_pid(unit)
    systemctl("kill", "--kill-who=main", "-s", "KILL", unit)
    next_main_pid(unit, before)


def upgrade_by_signal(unit):
    before = main_pid(unit)
    systemctl("kill", "--kill-who=main", "-s", "USR2", unit)
    next_main_pid(unit, before)


def upgrade_by_ctl(unit):
    before = main_pid(unit)
    result = ctl("upgrade")
    if result.returncode != 0 or next_main_pid(unit, before) == before:
        raise AssertionError(result.stdout)


def load_during(unit, where, *changes):
    """The sums of loads during TIMES changes of the unit, each in its turn."""
    found = {"answered": 0, "errors": 0, "refused": 0, "max": 0, "times": 0}
    path = TOLD + "/load"
    while found["times"] < TIMES:
        load = subprocess.Popen(
            [os.environ["WEIR_CLIENT"], "load", where, "-c", "20", "--churn",
             "-r", str(RATE), "-d", "%ds" % SECONDS, "--json", path],
            stdout=subprocess.DEVNULL)
        while load.poll() is None and found["times"] < TIMES:
            time.sleep(PAUSE)  # clients come and go
            changes[found["times"] % len(changes)](unit)
            found["times"] += 1
        # It has no other reason to fail than lost clients, which are counted.
        load.wait()
        with open(path) as file:
            metrics = json.load(file)["metrics"]
        os.unlink(path)
        for name in "answered", "errors", "refused":
            found[name] += metrics[name]
        found["max"] = max(found["max"], metrics["max"])
        if found["refused"] > 0:
            break
    return dict(found, is_active=is_quiet("systemctl", "is-active", unit))


def start_echo():
    """A client is served before systemd knows that the server is ready."""
    systemctl("start", "weir-server@echo.socket")
    served = is_served(PASSED)
    next_main_pid(ECHO, 0)
    return served


def change_under_load():
    """Restarts, crashes and reloads."""
    systemctl("start", "keep.service")
    found = {"restarts of kept listeners": load_during(
                 "keep.service", KEPT, restart),
             "crashes": load_during("keep.service", KEPT, crash)}
    start_echo()
    found["restarts"] = load_during(ECHO, PASSED, restart)
    found["reloads"] = load_during(ECHO, PASSED, reload)
    return found


def upgrade_under_load():
    start_echo()
    first = main_pid(ECHO)
    found = load_during(ECHO, PASSED, upgrade_by_signal, upgrade_by_ctl)
    return dict(found, is_same=main_pid(ECHO) == first,
                starts=int(show(ECHO, "NRestarts")))


@contextlib.contextmanager
def slow_client():
    """It has not read its answers; at the end it reads all of them."""
    with connect(PASSED) as client:
        stuff(client, types.SimpleNamespace(pid=main_pid(ECHO)))
        yield
        client.setblocking(True)
        while client.recv(1 << 20):
            pass


def upgrade_beside_a_client():
    """Clients of the old server and of the new one have all of their answers,
    though each has to stop."""
    start_echo()
    old = main_pid(ECHO)
    with slow_client():
        upgrade_by_signal(ECHO)
        new = main_pid(ECHO)
        was_kept = is_alive(old) and is_served(PASSED)
    until(lambda: not is_alive(old), "the end of the old server")
    with slow_client():
        systemctl("stop", "--no-block", ECHO)
        until(lambda: show(ECHO, "ActiveState") == "deactivating", "the stop")
    until(lambda: show(ECHO, "ActiveState") != "deactivating", "its end")
    return [was_kept, is_alive(new), show(ECHO, "Result"),
            show(ECHO, "ActiveState")]


def upgrade_to_broken_programs():
    start_echo()
    before, found = main_pid(ECHO), {}
    shutil.copy(SERVER, SERVER + ".good")
    for text, why in (("#!/bin/sh\nexit 7\n", "status 7"),
                      ("#!/bin/sh\nkill -9 $$\n", "signal 9"),
                      ("#!/nonexistent\n", "cannot execute"),
                      ("#!/bin/sh\nexec sleep 1000\n", "was not ready")):
        write(SERVER, text, 0o755)
        result = subprocess.run(
            [SERVER + ".good", "ctl", "--control", CONTROL, "upgrade"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True)
        with open("/sys/fs/cgroup%s/cgroup.procs" %
                  show(ECHO, "ControlGroup")) as file:
            left = [int(line) for line in file]
        found[why] = [result.returncode, why in result.stderr,
                      main_pid(ECHO) == before, left == [before],
                      show(ECHO, "ActiveState"), is_served(PASSED)]
    os.rename(SERVER + ".good", SERVER)
    upgrade_by_ctl(ECHO)
    found["good"] = is_served(PASSED)
    return found


def reload_files():
    """[whether the reload has succeeded, whether the server serves]."""
    make_certificate(HERE, "server", ca=None)
    os.chmod(HERE + "/server.key", 0o644)
    os.rename(HERE + "/server.pem", HERE + "/good.pem")
    with open(HERE + "/good.pem") as file:
        certificate = file.read()
    drop_in(ECHO, """[Service]
Environment="WEIR_OPTIONS=--config %s/config --access %s/rules \
echo+tls@unix:/run/weir-server-echo/tls \
--tls-certificate %s/server.pem --tls-key %s/server.key"
""" % (4 * (HERE,)))
    good = {"config": "queue = 50\n", "rules": "allow 127.0.0.0/8\n",
            "server.pem": certificate}
    for name, text in good.items():
        write(HERE + "/" + name, text)
    start_echo()
    found = {}
    for name, text in good.items():
        for what in "nonsense\n", text:
            write(HERE + "/" + name, what)
            found["%s, %s" % (name, "good" if what == text else "bad")] = [
                is_quiet("systemctl", "reload", ECHO),
                is_quiet("systemctl", "is-active", ECHO) and
                is_served(PASSED)]
    write(HERE + "/rules", "deny 127.0.0.0/8\n")
    reload(ECHO)
    found["effect"] = is_denied()
    return found


def deny_user():
    """The ids of those of two users that the server serves."""
    path = "/run/users"
    drop_in("weir-server@echo.socket", "[Socket]\nListenStream=\n"
            "ListenStream=%s\nSocketMode=0666\n" % path)
    drop_in(ECHO, '[Service]\nEnvironment="WEIR_OPTIONS=--access %s/rules"\n' %
            HERE)
    write(HERE + "/rules", "deny uid:12345\n")
    if not is_quiet("systemctl", "start", ECHO):
        return "refused"
    client = ("import socket; s = socket.socket(socket.AF_UNIX); "
              "s.settimeout(%d); s.connect('%s'); s.sendall(b'x'); "
              "assert s.recv(1) == b'x'" % (DEADLINE, path))
    return [user for user in (12345, 12346) if is_quiet(
        "setpriv", "--reuid", str(user), "--regid", str(user),
        "--clear-groups", sys.executable, "-c", client)]


def stop_that_cuts():
    """The result for systemd, and the exit status of the server."""
    found = []
    for more in "", "SuccessExitStatus=\n":
        drop_in(ECHO, "[Service]\n%s" % more +
                'Environment="WEIR_OPTIONS=--drain-timeout 100ms"\n')
        start_echo()
        with connect(PASSED) as client:
            stuff(client, types.SimpleNamespace(pid=main_pid(ECHO)))
            systemctl("stop", ECHO)
            found.append([show(ECHO, "ActiveState"), show(ECHO, "Result"),
                          show(ECHO, "ExecMainStatus")])
    return found


def restart_keep():
    systemctl("start", "keep.service")
    return load_during("keep.service", KEPT, restart)


def follow_page(change=str):
    """The commands of the page.  Each block leaves a server that serves."""
    with open(PAGE) as file:
        blocks = re.findall(r"^```sh\n(.*?)^```", file.read(), re.M | re.S)
    found = {}
    for commands in blocks:
        result = subprocess.run(["sh", "-e", "-c", change(commands)],
                                stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)
        found[commands] = [result.returncode, result.stdout.decode()]
        if result.returncode == 0 and not is_served(KEPT):
            found[commands][0] = -1
    return found


def follow_page_elsewhere():
    """The same for another address."""
    return follow_page(lambda text: text.replace(KEPT, PASSED))


def restart_often():
    """With the limit of starts that systemd has by default."""
    served, count = start_echo(), 0
    while count < TIMES and is_quiet("systemctl", "restart", ECHO):
        count += 1
    return [served, count, is_served(PASSED)]


def stop_all_threads():
    """The server gives no sign of life any more."""
    served, before = start_echo(), main_pid(ECHO)
    os.kill(before, signal.SIGSTOP)
    until(lambda: main_pid(ECHO) not in (before, 0), "another server")
    return [served, is_served(PASSED)]


def tell_nothing():
    return True


def tell(function):
    """Run it.  What it returns goes to a file."""
    try:
        found = {"found": function()}
    except Exception:  # pylint: disable=broad-except
        found = {"failed": traceback.format_exc()}
    write(TOLD + "/found", json.dumps(found))


# ------------------------------------------------------------------ outside

class Machine:
    """What systemd is started with."""

    def __init__(self, where, function):
        self.where = where
        self.unit("drive.service", DRIVE % function.__name__)
        for kind in "service", "socket":
            self.unit("%s.d/00-here.conf" % kind, ALONE)
        self.copy_programs()

    def unit(self, name, text):
        path = os.path.join(self.where, "units", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)

    def copy_programs(self):
        for folder in "bin", "lib":
            os.makedirs(os.path.join(self.where, "weir", folder))
        for name in "WEIR_SERVER", "WEIR_CLIENT":
            path = program(name)
            binary = os.path.join(os.path.dirname(path), ".libs",
                                  os.path.basename(path))
            shutil.copy(binary if os.path.exists(binary) else path,
                        self.where + "/weir/bin")
        for folder in shared_libraries().split(":"):
            for library in glob.glob(folder + "/*.so*"):
                shutil.copy(library, self.where + "/weir/lib")

    def boot(self):
        """Returns what the function has told, or None, and what was printed."""
        path = self.where + "/found"
        process = subprocess.Popen(
            ["unshare", "--pid", "--mount", "--net", "--cgroup", "--uts",
             "--ipc", "--fork", "--kill-child", "--mount-proc", "sh", "-c",
             BOOT, "sh", self.where, TOP],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE)
        try:
            until(lambda: os.path.exists(path) or process.poll() is not None,
                  "the result", 15 * DEADLINE)
        finally:
            process.kill()
            errors = process.communicate()[1].decode(errors="replace")
        if not os.path.exists(path):
            return None, errors
        with open(path) as file:
            return json.load(file), errors


@functools.lru_cache(maxsize=None)
def why_no_systemd():
    """None if one can be started here."""
    if os.geteuid() != 0:
        return "only root may make these namespaces"
    if not os.path.exists(SYSTEMD):
        return "systemd is not installed"
    with tempfile.TemporaryDirectory(prefix="f-") as where:
        found, errors = Machine(where, tell_nothing).boot()
    return None if found else "systemd starts in no namespace here: " + (
        " ".join(errors.split()))


class Systemd(TestCase):
    def setUp(self):
        why = why_no_systemd()
        if why:
            self.skipTest(why)

    def boot(self, function, options="", service="", keep="--keep-listeners"):
        """Returns what the function has told; service is a drop-in."""
        machine = Machine(os.path.abspath(self.folder()), function)
        machine.unit("keep.service", KEEP % keep)
        with open(os.path.join(TOP, "server", "weir-server@.socket")) as file:
            machine.unit("weir-server@.socket", file.read())
        with open(os.path.join(os.path.dirname(program("WEIR_SERVER")),
                               "weir-server@.service")) as file:
            machine.unit("weir-server@.service", re.sub(
                r"(?m)^(Exec\w+=)\S*/weir-server ", r"\g<1>%s " % SERVER,
                file.read()))
        machine.unit("weir-server@.service.d/00-here.conf", """
[Service]
Environment="WEIR_OPTIONS=%s"
Environment=LD_LIBRARY_PATH=%s/lib
""" % (options, HERE))
        machine.unit("weir-server@.service.d/01-here.conf", service)
        machine.unit("weir-server@.socket.d/00-here.conf",
                     "[Socket]\nListenStream=\nListenStream=%s\n" % PASSED)
        told, errors = machine.boot()
        self.assertIsNotNone(told, errors)
        self.assertIn("found", told, told.get("failed"))
        return told["found"]

    def check_load(self, what, metrics, may_lose=False):
        print("%s: %d, %d clients, %d lost, max %.0f ms" % (
            what, metrics["times"], metrics["answered"],
            metrics["errors"], metrics["max"] / 1e6), file=sys.stderr)
        self.assertTrue(metrics["is_active"], what)
        self.assertEqual(metrics["times"], TIMES, what)
        self.assertEqual(metrics["refused"], 0, what)
        if not may_lose:
            self.assertEqual(metrics["errors"], 0, what)

    def skip_without(self, *tools):
        for tool in tools:
            if not shutil.which(tool):
                self.skipTest(tool + " is not installed")
        result = subprocess.run(
            [program("WEIR_SERVER"), "--check", "echo+tls@127.0.0.1:0"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if b"built without" in result.stderr:
            self.skipTest("weir-server is built without TLS")

    def test_the_commands_of_the_page_work(self):
        self.skip_without("curl", "openssl")
        found = self.boot(follow_page)
        self.assertGreater(len(found), 4)
        for commands, (status, output) in found.items():
            self.assertEqual(status, 0, commands + output)
        printed = "".join(output for _, output in found.values())
        for word in ("phase serving", "weir_build_info", "hello"):
            self.assertIn(word, printed)

    def test_control_a_server_elsewhere_is_not_that_of_the_page(self):
        self.skip_without("curl", "openssl")
        found = self.boot(follow_page_elsewhere)
        self.assertEqual({status for status, _ in found.values()}, {-1})

    def test_control_restarts_without_kept_listeners_refuse_clients(self):
        self.assertGreater(self.boot(restart_keep, keep="")["refused"], 0)

    def test_control_with_the_default_limit_restarts_close_the_socket(self):
        served, count, is_open = self.boot(
            restart_often, service="[Unit]\nStartLimitIntervalSec=10s\n")
        self.assertTrue(served)
        self.assertLess(count, TIMES)
        self.assertFalse(is_open)

    def test_a_server_that_hangs_is_replaced(self):
        self.assertEqual(
            self.boot(stop_all_threads, service="[Service]\nWatchdogSec=1s\n"),
            [True, True])

    def test_restarts_crashes_and_reloads_under_load(self):
        for what, metrics in self.boot(change_under_load).items():
            # A crash loses those that are served, and no other.
            self.check_load(what, metrics, may_lose=what == "crashes")

    def test_upgrades_under_load(self):
        metrics = self.boot(upgrade_under_load)
        self.check_load("upgrades", metrics)
        self.assertFalse(metrics["is_same"])
        self.assertEqual(metrics["starts"], 0)

    def test_an_upgrade_keeps_a_client_and_a_stop_ends_the_successor(self):
        self.assertEqual(
            self.boot(upgrade_beside_a_client, "--drain-timeout 1h",
                      "[Service]\nTimeoutStopSec=2h\n"),
            [True, False, "success", "inactive"])

    def test_a_broken_successor_changes_nothing(self):
        found = self.boot(upgrade_to_broken_programs, "--upgrade-timeout 1s")
        self.assertTrue(found.pop("good"))
        self.assertEqual(len(found), 4)
        for why, what in found.items():
            self.assertEqual(what, [1, True, True, True, "active", True], why)

    def test_a_reload_fails_if_a_file_is_not_good(self):
        self.skip_without(OPENSSL or "openssl")
        found = self.boot(reload_files)
        self.assertTrue(found.pop("effect"))
        self.assertEqual(len(found), 6)
        for what, result in found.items():
            self.assertEqual(result, [what.endswith("good"), True], what)

    def test_rules_for_users_decide(self):
        self.assertEqual(self.boot(deny_user), [12346])

    def test_control_without_other_users_the_rules_are_refused(self):
        self.assertEqual(
            self.boot(deny_user, service="[Service]\nPrivateUsers=yes\n"),
            "refused")

    def test_a_stop_that_cuts_is_a_failure_only_in_the_control(self):
        self.assertEqual(self.boot(stop_that_cuts),
                         [["inactive", "success", "3"],
                          ["failed", "exit-code", "3"]])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--drive"]:
        tell(globals()[sys.argv[2]])
    else:
        unittest.main(verbosity=2)
