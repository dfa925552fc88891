#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""image.py: the image of deploy/compose/Containerfile is built from the last
commit, by the command that the file names, on an empty Debian in place of the
base image.  A container of it is healthy and serves a client, and SIGTERM ends
it with status 0.  The control: one whose server has no control socket is not
healthy."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(TOP, "tests", "newcomer"))
import debian  # noqa: E402

FILE = "deploy/compose/Containerfile"
BASE = "docker.io/library/debian:bookworm-slim"
# As in deploy/compose/compose.yaml, and without this machine's network, control
# groups, limits and service manager.
CONFINED = ("--read-only", "--cap-drop=ALL",
            "--security-opt=no-new-privileges", "--cgroups=disabled",
            "--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096",
            "--network=none", "--health-interval=disable")
WAIT_S = 60


def fail(*why):
    print("FAIL:", *why)
    sys.exit(1)


class Podman:
    """With storage of its own."""

    def __init__(self, folder):
        self.command = ["podman", "--root", folder + "/storage", "--runroot",
                        folder + "/run", "--storage-driver", "vfs",
                        "--cgroup-manager=cgroupfs", "--events-backend=none"]

    def run(self, *args, cwd=None):
        """Returns the status, and what was printed."""
        done = subprocess.run(self.command + list(args), cwd=cwd, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        return done.returncode, done.stdout.strip()

    def __call__(self, *args, **where):
        status, text = self.run(*args, **where)
        if status != 0:
            fail(args[0], "\n" + text[-4000:])
        return text


def until(condition, what):
    end = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > end:
            fail(what)
        time.sleep(0.1)


def import_base(podman, folder):
    system = debian.Debian(folder + "/debian")
    system.make()
    # The base image has none of them.
    system.run("env", "SUDO_FORCE_REMOVE=yes", "dpkg", "--purge", "sudo",
               "ca-certificates", "openssl", "libssl3")
    tarball = folder + "/base.tar"
    subprocess.run(["tar", "-C", system.root, "-cf", tarball, "."], check=True)
    shutil.rmtree(system.root)
    podman("import", tarball, BASE)
    os.unlink(tarball)


def build(podman, folder):
    """Returns the name of the image."""
    sources = folder + "/sources"
    os.mkdir(sources)
    git = subprocess.run(
        "git -c safe.directory='*' archive HEAD | tar -x -C '%s'" % sources,
        shell=True, cwd=TOP, check=False)
    if git.returncode != 0 or not os.path.exists(sources + "/" + FILE):
        raise debian.Impossible("this is not a clone")
    with open(os.path.join(sources, FILE), encoding="utf-8") as file:
        [command] = re.findall(r"^#   podman (build .*)$", file.read(), re.M)
    podman(*command.split(), "--pull=never", "--isolation=chroot", cwd=sources)
    return re.search(r"-t (\S+)", command).group(1)


def is_healthy(podman, name):
    return podman.run("healthcheck", "run", name)[0] == 0


def serves(podman, name):
    pid = podman("inspect", "--format", "{{.State.Pid}}", name)
    said = subprocess.run(
        ["nsenter", "--net", "--target", pid, os.environ["WEIR_CLIENT"],
         "talk", "-lB", "127.0.0.1:7007"], input="hello\n", text=True,
        stdout=subprocess.PIPE, timeout=WAIT_S, check=False).stdout
    return said == "hello\n"


def check(podman, image):
    podman("run", "--detach", "--name=weir", *CONFINED,
           "--tmpfs=/run/weir-server:mode=1777", image)
    until(lambda: is_healthy(podman, "weir"), "it does not become healthy")
    if not serves(podman, "weir"):
        fail("no echo\n" + podman("logs", "weir"))
    podman("kill", "--signal=TERM", "weir")
    status = podman("wait", "weir")
    if status != "0":
        fail("status", status, "after SIGTERM\n" + podman("logs", "weir"))
    print("healthy, an echo, and status 0 after SIGTERM: passed")


def check_control(podman, image):
    podman("run", "--detach", "--name=control", *CONFINED, image, "echo@:7007")
    until(lambda: serves(podman, "control"), "no echo without --control")
    if is_healthy(podman, "control"):
        fail("the health check does not ask the server")
    podman("kill", "--signal=TERM", "control")
    print("not healthy without --control: passed")


def main():
    for tool in ("podman", "crun", "git"):
        if not shutil.which(tool):
            raise debian.Impossible(tool + " is not installed")
    debian.contain()
    # crun does not start beside control groups of version 1.
    subprocess.run(["mount", "-t", "cgroup2", "none", "/sys/fs/cgroup"],
                   check=False)
    folder = tempfile.mkdtemp(dir=os.environ.get("TMPDIR"))
    podman = Podman(folder)
    try:
        import_base(podman, folder)
        image = build(podman, folder)
        print("image:", podman("image", "ls", "--format", "{{.Size}}", image))
        check(podman, image)
        check_control(podman, image)
    finally:
        podman.run("rm", "--all", "--force", "--time=0")
        subprocess.run("umount -l '%s'/storage/* 2>&-" % folder, shell=True,
                       check=False)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    try:
        main()
    except debian.Impossible as reason:
        print("SKIPPED: %s" % reason)
        sys.exit(77)
