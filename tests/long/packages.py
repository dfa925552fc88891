#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""packages.py: the packages that tools/package makes, in an empty Debian.  They
are installed, what debian/tests says runs, a service starts under its unit,
serves a client, is reloaded and upgraded by its control socket, returns when
the package is installed again, and after "dpkg --purge" nothing is left.

The Debian has a systemd of its own, in namespaces, which starts no unit but
those named here, so it changes nothing of this machine."""

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(TOP, "tests", "newcomer"))
import debian  # noqa: E402

# What packages of others need, and what the tests compile with.
NEEDED = ("gcc iproute2 libc6-dev pkg-config systemd libedit2 libjansson4 libssl-dev "
          "libssl3 zlib1g")

INSTALL = """
set -e
files() {
    find / -xdev \\( -path /proc -o -path /sys -o -path /dev -o -path /tmp \\
        -o -path /run -o -path /var/lib/dpkg -o -path /var/lib/apt \\
        -o -path /var/cache -o -path /var/log -o -path /opt \\) -prune \\
        -o -print | sort
}
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq -y --no-install-recommends install %s
files >/opt/before
dpkg --install /opt/packages/*.deb
""" % NEEDED

TEST = """
AUTOPKGTEST_TMP=$(mktemp -d) /opt/tests/%s 2>/opt/errors
result=$?
cat /opt/errors
exit $result
"""

SERVE = """
set -e
systemctl enable --now weir-server@echo.socket
answer=$(echo hello | weir-client talk -lB 127.0.0.1:7007)
[ "$answer" = hello ]
# The server tells systemd that it is ready after it has begun to serve.
until systemctl is-active weir-server@echo.service; do sleep 0.1; done
systemctl show -p User,MainPID,StatusText weir-server@echo.service
control=/run/weir-server-echo/control
[ "$(stat -c %a $control)" = 600 ]
[ "$(stat -c %u $control)" != 0 ]
refused=$(setpriv --reuid 65534 --clear-groups \
	weir-server ctl -c $control stats 2>&1 || true)
echo "$refused" | grep 'not permitted'
weir-server ctl -c $control stats | grep 'phase serving'
systemctl reload weir-server@echo.service
before=$(systemctl show -P MainPID weir-server@echo.service)
weir-server ctl -c $control upgrade
until [ "$(systemctl show -P MainPID weir-server@echo.service)" != "$before" ]
do sleep 0.1; done
[ "$(echo again | weir-client talk -lB 127.0.0.1:7007)" = again ]
systemctl is-active weir-server@echo.service
mv /usr/sbin/policy-rc.d /opt  # it forbids packages to stop a service
# Another version, with another unit: its instances run with that one.
before=$(systemctl show -P MainPID weir-server@echo.service)
dpkg-deb --raw-extract /opt/packages/weir_*.deb /opt/next
sed -i 's/^Version: .*/&+next/' /opt/next/DEBIAN/control
sed -i 's/^WatchdogSec=.*/WatchdogSec=29s/' \
    /opt/next/lib/systemd/system/weir-server@.service
dpkg-deb --build /opt/next /opt/next.deb
dpkg --install /opt/next.deb
[ "$(systemctl show -P MainPID weir-server@echo.service)" != "$before" ]
[ "$(systemctl show -P NeedDaemonReload weir-server@echo.service)" = no ]
[ "$(systemctl show -P WatchdogUSec weir-server@echo.service)" = 29s ]
[ "$(echo new | weir-client talk -lB 127.0.0.1:7007)" = new ]
# An enabled socket listens again when the package is installed after a removal,
# and when a removal has failed.
dpkg --remove weir
if systemctl is-active weir-server@echo.socket; then exit 1; fi
dpkg --install /opt/next.deb
[ "$(echo back | weir-client talk -lB 127.0.0.1:7007)" = back ]
echo 'exit 1' >>/var/lib/dpkg/info/weir.prerm
if dpkg --remove weir; then exit 1; fi
[ "$(echo still | weir-client talk -lB 127.0.0.1:7007)" = still ]
sed -i '$d' /var/lib/dpkg/info/weir.prerm
dpkg --purge weir libweir-dev libweir-tls-dev libweir-tls0 libweir0
mv /opt/policy-rc.d /usr/sbin
for state in active failed; do
    if systemctl is-$state weir-server@echo.service weir-server@echo.socket
    then exit 1; fi
done
"""

PURGED = """
set -e
rm -r /etc/systemd/system/weir-server@* /etc/systemd/system/drive.service
find /etc/systemd/system -name '*.wants' -empty -delete
%s
files >/opt/after
diff /opt/before /opt/after
! dpkg -l 'weir*' 'libweir*' | grep weir
""" % INSTALL[INSTALL.index("files() {"):INSTALL.index("export")]

DRIVE = """
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/bin/sh -c "sh -x /opt/serve >/opt/served 2>&1 && touch /opt/good; \
systemctl status weir-server@echo.service >>/opt/served 2>&1"
ExecStopPost=/bin/bash -c "kill -s RTMIN+4 1"
TimeoutStartSec=200
"""

# Becomes the first process of its namespaces; $1 is the Debian.
BOOT = """
set -e
cd "$1" && pivot_root . mnt
exec chroot . /bin/sh -ec '
umount -l /mnt
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys
umount -l /sys && mount -t sysfs -o ro sysfs /sys
mount -t cgroup2 none /sys/fs/cgroup
mount -t tmpfs tmpfs /run
ip link set lo up || true
exec env -i PATH="$PATH" container=weirtest /lib/systemd/systemd --system \
    --unit=drive.service --log-target=null --show-status=no'
"""


def fail(why, *logs):
    for log in logs:
        if os.path.exists(log):
            with open(log, errors="replace") as file:
                print("".join(file.readlines()[-60:]))
    print("FAIL: " + why)
    sys.exit(1)


def type_in(system, script, what):
    system.write("opt/script", script)
    run = subprocess.run(system.login("root"), text=True, check=False,
                         input="exec sh /opt/script </dev/null\n")
    if run.returncode != 0:
        fail(what)


def run_tests(system):
    """What debian/tests/control lists.  autopkgtest fails a test that writes to
    its standard error, but for a restriction."""
    with open(os.path.join(TOP, "debian/tests/control"),
              encoding="utf-8") as file:
        paragraphs = file.read().split("\n\n")
    for paragraph in paragraphs:
        fields = dict(re.findall(r"^(\S+): *(.*)$", paragraph, re.MULTILINE))
        for test in re.findall(r"[^\s,]+", fields["Tests"]):
            type_in(system, TEST % test, test)
            if "allow-stderr" not in fields.get("Restrictions", "") and \
                    os.path.getsize(os.path.join(system.root, "opt/errors")):
                fail(test + " has written to its standard error")
            print(test + ": passed")


def write_units(system):
    units = "etc/systemd/system/"
    for unit, text in (
            ("socket", "[Socket]\nListenStream=\nListenStream=127.0.0.1:7007"),
            ("service", "")):
        folder = units + "weir-server@echo.%s.d" % unit
        os.makedirs(os.path.join(system.root, folder))
        system.write(folder + "/here.conf",
                     "[Unit]\nDefaultDependencies=no\n%s\n" % text)
    system.write(units + "drive.service", DRIVE)
    system.write("opt/serve", SERVE)


def serve(system):
    """Under systemd."""
    write_units(system)
    subprocess.run(["unshare", "--pid", "--mount", "--net", "--cgroup",
                    "--uts", "--ipc", "--fork", "--kill-child", "sh", "-c",
                    BOOT, "sh", system.root], stdin=subprocess.DEVNULL,
                   timeout=240, check=False)
    served = os.path.join(system.root, "opt/served")
    if not os.path.exists(os.path.join(system.root, "opt/good")):
        fail("the service", served)
    print("the service under its unit, and its removal: passed")


def main():
    debian.contain()
    folder = tempfile.mkdtemp(dir=os.environ.get("TMPDIR"))
    with open(os.path.join(TOP, "debian", "changelog"), encoding="utf-8") as log:
        version = re.match(r"weir \((.*)-", log.readline()).group(1)
    theirs = folder + "/packages/weir-" + version
    try:
        os.makedirs(theirs)
        made = subprocess.run([os.path.join(TOP, "tools", "package"),
                               folder + "/packages"], check=False).returncode
        if made != 0:
            sys.exit(made)
        if not os.path.isdir(theirs):
            sys.exit("FAIL: a folder that was there is gone")
        system = debian.Debian(os.path.join(folder, "debian"))
        system.make()
        shutil.copytree(os.path.join(TOP, "debian", "tests"),
                        os.path.join(system.root, "opt/tests"))
        os.mkdir(os.path.join(system.root, "opt/packages"))
        for name in glob.glob(folder + "/packages/*.deb"):
            if "dbgsym" not in name:
                shutil.copy(name, os.path.join(system.root, "opt/packages"))
        system.mount()
        type_in(system, INSTALL, "the installation")
        run_tests(system)
        serve(system)
        type_in(system, PURGED, "something is left after the purge")
        print("nothing is left after the purge: passed")
    finally:
        subprocess.run(["umount", "--recursive", "--lazy",
                        os.path.join(folder, "debian")], check=False,
                       stderr=subprocess.DEVNULL)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    try:
        main()
    except debian.Impossible as reason:
        print("SKIPPED: %s" % reason)
        sys.exit(77)
