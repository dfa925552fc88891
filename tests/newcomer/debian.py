# SPDX-License-Identifier: MIT
"""A Debian with nothing installed, in a folder, from where this machine gets
its packages.

What is mounted is mounted in a namespace of its own, and what runs runs in a
namespace of its own, so both end with the process that called contain(),
however it ends."""

import os
import shutil
import subprocess
import sys

USER = "visitor"


class Impossible(Exception):
    """This machine cannot do that."""


def contain():
    """Run this program again, in namespaces of its own, in which it is not the
    first process: that one waits for all that nobody else waits for."""
    if os.environ.get("WEIR_CONTAINED"):
        child = os.fork()
        while child:
            pid, status = os.wait()
            if pid == child:
                os._exit(os.waitstatus_to_exitcode(status) & 0xff)
        return
    if os.getuid() != 0:
        raise Impossible("that is left to root")
    command = ["unshare", "--mount", "--propagation", "private", "--pid",
               "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run(command + ["true"], check=False).returncode != 0:
        raise Impossible("no namespace of one's own")
    os.environ["WEIR_CONTAINED"] = "yes"
    os.execvp(command[0], command + [sys.executable] + sys.argv)


def _sources():
    """Where this machine has its packages of Debian from, the main one first:
    addresses, releases, components."""
    for tool in ("mmdebstrap", "apt-get"):
        if not shutil.which(tool):
            raise Impossible(tool + " is not installed")
    text = ""
    for update in (["true"], ["apt-get", "update", "-qq"]):
        # Whose packages they are is known once there has been an update.
        if not text:
            subprocess.run(update, check=False)
            text = subprocess.run(
                ["apt-get", "indextargets", "--format",
                 "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages",
                 "Origin: Debian"], capture_output=True, text=True,
                check=False).stdout
    if not text:
        raise Impossible("no packages of Debian")
    return sorted({tuple(line.split()) for line in text.splitlines()},
                  key=lambda source: len(source[1]))


def _proxies():
    """How apt reaches them, as lines of its configuration."""
    text = subprocess.run(["apt-config", "dump", "--format", '%f "%v";%n',
                           "Acquire"], capture_output=True, text=True,
                          check=True).stdout
    return "".join(line + "\n" for line in text.splitlines()
                   if "proxy" in line.lower() or "verify" in line.lower())


class Debian:
    """An empty one at this path.  copy() is cheaper than a second one."""

    def __init__(self, root):
        self.root = root

    def make(self):
        sources = _sources()
        address, release = sources[0][:2]
        run = subprocess.run(
            ["mmdebstrap", "--variant=minbase", "--format=directory",
             "--include=sudo,ca-certificates", release, self.root, address],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
        if run.returncode != 0:
            sys.stdout.write(run.stdout[-3000:])
            raise Impossible("mmdebstrap has failed")
        self.write("etc/apt/sources.list", "".join(
            "deb %s %s %s\n" % source for source in sources))
        self.write("etc/apt/apt.conf.d/80machine", _proxies())
        for name in ("etc/resolv.conf", "etc/hosts"):
            if os.path.exists("/" + name):
                shutil.copy("/" + name, os.path.join(self.root, name))
        self.write("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
        self.run("useradd", "--create-home", "--shell", "/bin/bash", USER)
        self.write("etc/sudoers.d/" + USER, USER + " ALL=(ALL) NOPASSWD: ALL\n",
                   0o440)

    def copy(self, root):
        subprocess.run(["cp", "-a", self.root, root], check=True)
        return Debian(root)

    def write(self, name, text, mode=0o644):
        path = os.path.join(self.root, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)

    def run(self, *command):
        subprocess.run(["chroot", self.root, *command], check=True)

    def mount(self):
        """What a running system has."""
        script = """
            cd "$1"
            mount --bind . .
            cd "$1"
            mount -t proc proc proc
            mount -t tmpfs tmpfs tmp
            chmod 1777 tmp
            mount -t tmpfs -o mode=755 tmpfs dev
            mkdir dev/pts dev/shm
            mount -t devpts -o newinstance,ptmxmode=0666,gid=5 devpts dev/pts
            mount -t tmpfs -o mode=1777 tmpfs dev/shm
            ln -s pts/ptmx dev/ptmx
            ln -s /proc/self/fd dev/fd
            for i in 0,stdin 1,stdout 2,stderr; do
                ln -s /proc/self/fd/${i%,*} dev/${i#*,}
            done
            for device in null zero full random urandom tty; do
                touch dev/$device
                mount --bind /dev/$device dev/$device
            done
            mount --rbind /sys sys
            mount --make-rslave sys"""
        run = subprocess.run(["sh", "-e", "-c", script, "sh", self.root],
                             check=False)
        if run.returncode != 0:
            raise Impossible("nothing can be mounted")

    def login(self, user):
        """The command that is a login of this user.  The system is the root of
        its processes, not a chroot, so that they may do what they may on any
        machine."""
        script = ('cd "$1" && pivot_root . mnt && '
                  'exec chroot . /bin/sh -c "umount -l /mnt && '
                  'exec env -i TERM=dumb PATH=/usr/sbin:/usr/bin:/sbin:/bin '
                  'su - \\"\\$1\\"" sh "$2"')
        return ["unshare", "--mount", "sh", "-c", script, "sh", self.root,
                user]
