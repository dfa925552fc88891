#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""image.py: the image of deploy/compose/Containerfile is built from the last
commit, by the command that the file names, on an empty Debian in place of the
base image.  A container of it is healthy and serves a client, and SIGTERM ends
it with status 0.  The control: one whose server has no control socket is not
healthy.

The services of deploy/compose/compose.yaml are run as it says, on a network of
their own, HAProxy from Debian's package.  Its two servers are restarted one
after the other under load, and no client is lost.  The control: clients are
lost while both are away."""

import contextlib
import ipaddress
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

try:
    import yaml
except ImportError:
    yaml = None

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(TOP, "tests", "newcomer"))
import debian  # noqa: E402

FILE = "deploy/compose/Containerfile"
COMPOSE = os.path.join(TOP, "deploy", "compose", "compose.yaml")
BASE = "docker.io/library/debian:bookworm-slim"
BALANCER = "docker.io/library/haproxy:lts"
BALANCER_FILE = """
FROM %s
RUN apt-get update && apt-get install -y --no-install-recommends haproxy
CMD ["haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]
""" % BASE
BUILD = "--pull=never", "--isolation=chroot", "--layers=false"
# Without this machine's control groups, limits and service manager.
HERE = ("--cgroups=disabled", "--ulimit=nofile=4096:4096",
        "--ulimit=nproc=4096:4096", "--health-interval=disable")
# As in deploy/compose/compose.yaml, and without a network.
CONFINED = (*HERE, "--read-only", "--cap-drop=ALL",
            "--security-opt=no-new-privileges", "--network=none")
WAIT_S = 60
LOAD_S = 20


def fail(*why):
    print("FAIL:", *why)
    sys.exit(1)


class Podman:
    """With storage of its own."""

    def __init__(self, folder):
        # The second one copies an image for each step that changes it.
        for driver in "overlay", "vfs":
            self.command = ["podman", "--root", folder + "/" + driver,
                            "--runroot", folder + "/run-" + driver,
                            "--storage-driver", driver,
                            "--cgroup-manager=cgroupfs",
                            "--events-backend=none"]
            if self.run("info")[0] == 0:
                break

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

    def pid(self, name):
        return self("inspect", "--format", "{{.State.Pid}}", name)


@contextlib.contextmanager
def timed(what):
    began = time.monotonic()
    yield
    print("%s: %.0f s" % (what, time.monotonic() - began), flush=True)


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
    # The base image has that.
    system.write("etc/dpkg/dpkg.cfg.d/docker-apt-speedup", "force-unsafe-io\n")
    tarball = folder + "/base.tar"
    subprocess.run(["tar", "-C", system.root, "-cf", tarball, "."], check=True)
    shutil.rmtree(system.root)
    podman("import", tarball, BASE)
    os.unlink(tarball)


def build_balancer(podman, folder):
    """HAProxy's own image is one of Debian, too."""
    os.mkdir(folder + "/balancer")
    with open(folder + "/balancer/Containerfile", "w") as file:
        file.write(BALANCER_FILE)
    podman("build", *BUILD, "-t", BALANCER, folder + "/balancer")


def build(podman, folder):
    """Returns the name of the image."""
    sources = folder + "/sources"
    os.mkdir(sources)
    git = subprocess.run(
        "git -c safe.directory='*' archive HEAD | tar -x -C '%s'" % sources,
        shell=True, cwd=TOP, check=False)
    if git.returncode != 0 or not os.path.exists(sources + "/" + FILE):
        raise debian.Impossible("this is not a clone")
    # As if it had been built in the tree.
    for name in "config.status", "lib/libweir.la", "server/weir-server":
        with open(os.path.join(sources, name), "w"):
            pass
    with open(os.path.join(sources, FILE), encoding="utf-8") as file:
        [command] = re.findall(r"^#   podman (build .*)$", file.read(), re.M)
    podman(*command.split(), *BUILD, cwd=sources)
    return re.search(r"-t (\S+)", command).group(1)


def is_healthy(podman, name):
    return podman.run("healthcheck", "run", name)[0] == 0


def serves(podman, name):
    said = subprocess.run(
        ["nsenter", "--net", "--target", podman.pid(name),
         os.environ["WEIR_CLIENT"],
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


class Lan:
    """A network namespace with a bridge, and one for each name beside it."""

    def __init__(self, names, subnet):
        os.makedirs("/run/netns", exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run/netns"],
                       check=True)
        ours, *hosts = map(str, ipaddress.ip_network(subnet).hosts())
        self.addresses = dict(zip(names, hosts))
        self.ip("netns add lan")
        self.ip("-n lan link set lo up")
        self.ip("-n lan link add name bridge type bridge")
        self.ip("-n lan addr add %s/24 dev bridge" % ours)
        self.ip("-n lan link set bridge up")
        for name, address in self.addresses.items():
            self.ip("netns add " + name)
            self.ip("-n %s link set lo up" % name)
            self.ip("-n lan link add name %s type veth "
                    "peer name eth0 netns %s" % (name, name))
            self.ip("-n lan link set dev %s master bridge up" % name)
            self.ip("-n %s addr add %s/24 dev eth0" % (name, address))
            self.ip("-n %s link set eth0 up" % name)

    @staticmethod
    def ip(words):
        subprocess.run(["ip", *words.split()], check=True)

    def command(self, *command):
        """One that runs beside the others."""
        return ["nsenter", "--net=/run/netns/lan", *command]


def options_of(service):
    """Those of podman for a service in compose.yaml."""
    service = dict(service)
    for left_to_us in ("build", "depends_on", "ports", "restart",
                       "stop_grace_period"):
        service.pop(left_to_us, None)
    image, command = service.pop("image"), service.pop("command", [])
    options = ["--read-only"] if service.pop("read_only", False) else []
    for key, option in (("tmpfs", "tmpfs"), ("cap_drop", "cap-drop"),
                        ("security_opt", "security-opt")):
        options += ["--%s=%s" % (option, value)
                    for value in service.pop(key, [])]
    options += ["--env=%s=%s" % pair
                for pair in service.pop("environment", {}).items()]
    for volume in service.pop("volumes", []):
        path, _, rest = volume.partition(":")
        options.append("--volume=%s:%s" % (os.path.normpath(os.path.join(
            os.path.dirname(COMPOSE), path)), rest))
    health = service.pop("healthcheck", None)
    if health:
        options.append("--health-cmd=" + " ".join(health["test"]))
    if service:
        fail("compose.yaml:", service, "is not known here")
    return [*options, image, *command]


def is_up(podman, name):
    """HAProxy's word."""
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(WAIT_S)
            sock.connect("/proc/%s/root/tmp/admin.sock" %
                         podman.pid("haproxy"))
            sock.sendall(b"show stat\n")
            text = b"".join(iter(lambda: sock.recv(65536), b"")).decode()
    except OSError:
        return False
    return bool(re.search(r"^weir,%s,.*,UP," % name, text, re.M))


def stop(podman, name, grace):
    podman("stop", "--time", grace.rstrip("s"), name)
    status = podman("inspect", "--format", "{{.State.ExitCode}}", name)
    if status != "0":
        fail(name, "has ended with status", status)


def load(lan, where):
    return subprocess.Popen(
        lan.command(os.environ["WEIR_CLIENT"], "load", where, "-c", "50",
                    "--churn", "-r", "200", "-d", "%ds" % LOAD_S, "--gate",
                    "errors=0"),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True)


def result(running):
    """Status 3 is that of a missed gate."""
    text = running.communicate()[0]
    if running.returncode not in (0, 3):
        fail("load\n" + text)
    return running.returncode, text


def check_compose(podman, image):
    with open(COMPOSE, encoding="utf-8") as file:
        text = yaml.safe_load(file)
    services = text["services"]
    [subnet] = text["networks"]["default"]["ipam"]["config"]
    if services["a"]["image"].partition(":")[0] != "localhost/" + image:
        fail(services["a"]["image"], "is not", image)
    lan = Lan(services, subnet["subnet"])
    hosts = ["--add-host=%s:%s" % pair for pair in lan.addresses.items()]
    for name, service in services.items():
        podman("run", "--detach", "--name=" + name, *HERE, *hosts,
               "--network=ns:/run/netns/" + name, *options_of(service))
    servers = [name for name in services if name != "haproxy"]
    for name in servers:
        until(lambda: is_healthy(podman, name), name + " is not healthy")
        until(lambda: is_up(podman, name), name + " is not up")
    [port] = services["haproxy"]["ports"]
    where = "%s:%s" % (lan.addresses["haproxy"], port.split(":")[1])

    running = load(lan, where)
    for name in servers:
        stop(podman, name, services[name]["stop_grace_period"])
        podman("start", name)
        until(lambda: is_healthy(podman, name), name + " is not healthy")
        until(lambda: is_up(podman, name), name + " is not up")
    if running.poll() is not None:
        fail("the load has ended too early")
    status, text = result(running)
    if status != 0:
        fail("clients were lost\n" + text)
    print("two restarts of compose.yaml, no client lost: passed")

    running = load(lan, where)
    for name in servers:
        stop(podman, name, services[name]["stop_grace_period"])
    status, text = result(running)
    if status != 3:
        fail("no client was lost without servers\n" + text)
    print("clients lost while both are away: passed")


def main():
    if not yaml:
        raise debian.Impossible("python3-yaml is not installed")
    for tool in ("podman", "crun", "git", "ip"):
        if not shutil.which(tool):
            raise debian.Impossible(tool + " is not installed")
    debian.contain()
    # crun does not start beside control groups of version 1.
    subprocess.run(["mount", "-t", "cgroup2", "none", "/sys/fs/cgroup"],
                   check=False)
    folder = tempfile.mkdtemp(dir=os.environ.get("TMPDIR"))
    podman = Podman(folder)
    try:
        with timed("an empty Debian as the base image"):
            import_base(podman, folder)
        with timed("podman build"):
            image = build(podman, folder)
        print("image:", podman("image", "ls", "--format", "{{.Size}}", image))
        check(podman, image)
        check_control(podman, image)
        with timed("an image of HAProxy"):
            build_balancer(podman, folder)
        with timed("compose.yaml"):
            check_compose(podman, image)
    finally:
        podman.run("rm", "--all", "--force", "--time=0")
        subprocess.run("umount -l '%s'/overlay/* '%s'/vfs/* 2>&-" % (
            folder, folder), shell=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    try:
        main()
    except debian.Impossible as reason:
        print("SKIPPED: %s" % reason)
        sys.exit(77)
