#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The files in deploy/kubernetes and deploy/compose agree with each other and
with what weir-server offers."""

import os
import re
import shlex
import subprocess
import urllib.request

from weirtest import DEADLINE, Server, TestCase, main, run

try:
    import yaml
except ImportError:
    yaml = None

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
DEPLOY = os.path.join(TOP, "deploy")


def text_of(*names):
    with open(os.path.join(DEPLOY, *names)) as file:
        return file.read()


def seconds(text):
    """Of a duration as the programs write it."""
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)", text).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit]


class Deploy(TestCase):
    def settings(self, args):
        """What --check prints of a command line that is valid."""
        result = run("WEIR_SERVER", "--check", *args)
        self.assertEqual((result.returncode, result.stderr), (0, b""), args)
        return dict(line.split(" ", 1)
                    for line in result.stdout.decode().splitlines())

    def check_grace(self, args, grace):
        """The longest stop ends before the process is killed."""
        has = self.settings(args)
        self.assertGreater(seconds(has["lame-duck"]), 0)
        self.assertGreater(grace, seconds(has["lame-duck"]) +
                           seconds(has["drain-timeout"]))

    def port_of(self, args, option=None):
        """Of --option=, or of the first operand."""
        for arg in args:
            name, _, where = arg.partition("=" if option else "@")
            if name == "--" + option if option else not arg.startswith("-"):
                return int(where.rpartition(":")[2])
        self.fail("no %s in %s" % (option, args))

    def check_trust(self, args):
        """Each listener wants the header of a trusted proxy.  Gives whom."""
        has = self.settings(args)
        self.assertRegex(has["listen"], r'^"[a-z]+\+proxy@')
        return has["proxy-trust"].strip('"')

    def parse(self, *names):
        if not yaml:
            self.skipTest("python3-yaml is not installed")
        return list(yaml.safe_load_all(text_of(*names)))


class Image(Deploy):
    def test_what_a_build_has_made_is_not_copied(self):
        """It would be taken for what the image has built."""
        ignored = text_of("..", ".dockerignore").splitlines()
        self.assertIn(".git", ignored)
        if not os.path.exists(os.path.join(TOP, ".gitignore")):
            self.skipTest("this is not a clone")
        for line in text_of("..", ".gitignore").splitlines():
            if line and not line.startswith("#") and "examples" not in line:
                sign, anchor, name = re.fullmatch("(!?)(/?)(.*?)/?",
                                                  line).groups()
                self.assertIn(sign + ("" if anchor else "**/") + name, ignored)


class Kubernetes(Deploy):
    def setUp(self):
        self.skip_without_status()
        self.all = {d["kind"]: d for name in ("weir-server", "tcproute")
                    for d in self.parse("kubernetes", name + ".yaml")}
        self.deployment = self.all["Deployment"]["spec"]
        self.pod = self.deployment["template"]["spec"]
        [self.container] = self.pod["containers"]
        self.args = self.container["args"]
        self.ports = {p["name"]: p["containerPort"]
                      for p in self.container["ports"]}

    def test_the_ports_are_those_of_the_arguments(self):
        self.assertEqual(self.ports, {
            "tcp": self.port_of(self.args),
            "status": self.port_of(self.args, "status")})
        notes = self.deployment["template"]["metadata"]["annotations"]
        self.assertEqual(int(notes["prometheus.io/port"]),
                         self.ports["status"])

    def test_an_image_that_was_loaded_is_not_pulled(self):
        """There is no registry behind localhost."""
        self.assertTrue(self.container["image"].startswith("localhost/"))
        self.assertIn(self.container.get("imagePullPolicy"),
                      ("IfNotPresent", "Never"))

    def test_the_pages_of_the_probes_are_there(self):
        probes = [self.container[kind]["httpGet"] for kind in
                  ("readinessProbe", "livenessProbe")]
        with Server("echo@127.0.0.1:0", "--status", "127.0.0.1:0") as server:
            where = server.out.expect(rb"^status (.*)\n")[1].decode()
            for probe in probes:
                self.assertEqual(probe["port"], "status")
                with urllib.request.urlopen(
                        "http://" + where + probe["path"],
                        timeout=DEADLINE) as page:
                    self.assertEqual(page.status, 200)
        self.assertEqual([probe["path"] for probe in probes],
                         ["/readyz", "/healthz"])

    def test_a_stop_ends_before_the_grace_period(self):
        self.check_grace(self.args, self.pod["terminationGracePeriodSeconds"])

    def test_unsent_output_fits_into_half_of_the_memory(self):
        memory = self.container["resources"]["limits"]["memory"]
        self.assertLessEqual(
            2 * int(self.settings(self.args)["max-unsent"]),
            int(memory.removesuffix("Mi")))

    def test_the_lame_duck_outlasts_what_finds_it(self):
        probe = self.container["readinessProbe"]
        self.assertGreater(
            seconds(self.settings(self.args)["lame-duck"]),
            2 * probe["periodSeconds"] * probe["failureThreshold"])

    def test_a_rollout_takes_no_replica_away(self):
        rolling = self.deployment["strategy"]["rollingUpdate"]
        self.assertEqual(rolling["maxUnavailable"], 0)
        self.assertGreater(rolling["maxSurge"], 0)
        self.assertLess(self.all["PodDisruptionBudget"]["spec"]["minAvailable"],
                        self.deployment["replicas"])

    def test_all_select_the_same_pods(self):
        labels = self.deployment["template"]["metadata"]["labels"]
        for selector in (
                self.deployment["selector"]["matchLabels"],
                self.all["PodDisruptionBudget"]["spec"]["selector"][
                    "matchLabels"],
                self.all["Service"]["spec"]["selector"]):
            self.assertEqual(selector, labels)

    def test_the_route_leads_to_the_service(self):
        [port] = self.all["Service"]["spec"]["ports"]
        self.assertIn(port["targetPort"], self.ports)
        [rule] = self.all["TCPRoute"]["spec"]["rules"]
        self.assertEqual(rule["backendRefs"],
                         [{"name": self.all["Service"]["metadata"]["name"],
                           "port": port["port"]}])
        [parent] = self.all["TCPRoute"]["spec"]["parentRefs"]
        [listener] = self.all["Gateway"]["spec"]["listeners"]
        self.assertEqual(parent, {
            "name": self.all["Gateway"]["metadata"]["name"],
            "sectionName": listener["name"]})


class Compose(Deploy):
    def setUp(self):
        self.skip_without_status()
        [self.all] = self.parse("compose", "compose.yaml")
        self.services = self.all["services"]
        self.args = self.services["a"]["command"]

    def test_a_stop_ends_before_the_grace_period(self):
        self.assertEqual(self.services["a"], self.services["b"])
        self.check_grace(self.args,
                         seconds(self.services["a"]["stop_grace_period"]))

    def test_the_balancer_knows_the_servers(self):
        config = text_of("haproxy", "haproxy.cfg")
        env = self.services["haproxy"]["environment"]
        for name in "a", "b":
            variable = "WEIR_" + name.upper()
            self.assertEqual(env[variable],
                             "%s:%d" % (name, self.port_of(self.args)))
            self.assertEqual(env[variable + "_AGENT"], name)
            self.assertIn("${%s_AGENT_PORT-%d}" % (
                variable, self.port_of(self.args, "agent")), config)
        for variable in env:
            self.assertIn("${%s-" % variable, config)
        for host in self.services["haproxy"]["ports"]:
            self.assertIn("${WEIR_FRONT-:%s}" % host.rpartition(":")[2],
                          config)

    def test_the_servers_believe_the_network_of_the_balancer(self):
        [subnet] = self.all["networks"]["default"]["ipam"]["config"]
        self.assertEqual(self.check_trust(self.args), subnet["subnet"])

    def test_its_files_are_there(self):
        folder = os.path.join(DEPLOY, "compose")
        build = self.services["a"]["build"]
        context = os.path.join(folder, build["context"])
        self.assertTrue(os.path.samefile(context, TOP))
        self.assertTrue(os.path.exists(
            os.path.join(context, build["dockerfile"])))
        for volume in self.services["haproxy"]["volumes"]:
            self.assertTrue(os.path.exists(
                os.path.join(folder, volume.partition(":")[0])))

    def test_the_health_check_asks_the_control_socket(self):
        control = self.settings(self.args)["control"].strip('"')
        self.assertIn(control,
                      run("WEIR_SERVER", "ctl", "--help").stdout.decode())
        [mount] = self.services["a"]["tmpfs"]
        self.assertEqual(mount.partition(":")[0], os.path.dirname(control))


class Containerfile(Deploy):
    """Its lines; no image is built."""

    def setUp(self):
        text = text_of("compose", "Containerfile").replace("\\\n", " ")
        self.lines = [line.split(None, 1) for line in text.splitlines()
                      if line and not line.startswith("#")]

    def of(self, word):
        return [rest for name, rest in self.lines if name == word]

    def list_of(self, word):
        [rest] = self.of(word)
        return re.findall(r'"([^"]*)"', rest)

    def test_its_command_line_is_valid_and_its_ports_are_named(self):
        self.skip_without_status()
        args = self.list_of("CMD")
        self.settings(args)
        self.assertEqual(self.of("EXPOSE"), ["%d %d" % (
            self.port_of(args), self.port_of(args, "status"))])
        self.assertEqual(self.of("STOPSIGNAL"), ["SIGTERM"])

    def test_the_programs_are_those_that_are_installed(self):
        [program] = self.list_of("ENTRYPOINT")
        self.assertEqual(self.list_of("HEALTHCHECK"), [program, "ctl", "ready"])
        install = [run_ for run_ in self.of("RUN") if "install -D" in run_]
        self.assertIn("/root-fs" + program, install[0])
        [source] = re.findall(r"install -D -s (\S+)", install[0])
        self.assertIn(source, install[0].split("make", 1)[1].split("&&")[0])

    def test_its_health_check_finds_the_control_socket(self):
        args = self.list_of("CMD")
        control = [a.partition("=")[2] for a in args if "--control=" in a]
        self.assertIn(control[0],
                      run("WEIR_SERVER", "ctl", "--help").stdout.decode())
        [user] = self.of("USER")
        folder = "-o %s -g %s -m 700 /root-fs%s" % (
            *user.split(":"), os.path.dirname(control[0]))
        self.assertTrue(any(folder in run_ for run_ in self.of("RUN")))

    def test_its_commands_are_in_the_sources(self):
        for command in self.of("RUN"):
            for word in shlex.split(command):
                if re.fullmatch(r"(tools/|\./)\S+", word):
                    self.assertTrue(os.access(os.path.join(TOP, word),
                                              os.X_OK), word)


class Haproxy(Deploy):
    def setUp(self):
        self.config = text_of("haproxy", "haproxy.cfg")
        [args] = re.findall(r"^#   weir-server (.*)$", self.config, re.M)
        self.args = re.sub(r"(--\S+) ", r"\1=", args).split()

    def test_it_is_valid(self):
        try:
            subprocess.run(
                ["haproxy", "-c", "-q", "-f",
                 os.path.join(DEPLOY, "haproxy", "haproxy.cfg")],
                check=True, timeout=DEADLINE)
        except FileNotFoundError:
            self.skipTest("haproxy is not installed")

    def test_the_lame_duck_outlasts_the_agent_checks(self):
        lame_duck = self.settings(self.args)["lame-duck"]
        [inter] = re.findall(r"agent-inter (\S+)", self.config)
        self.assertGreaterEqual(seconds(lame_duck), 5 * seconds(inter))

    def test_the_servers_are_told_the_client(self):
        self.check_trust(self.args)
        [words] = re.findall(r"^\tdefault-server (.*)$", self.config, re.M)
        self.assertIn("send-proxy-v2", words.split())

    def test_the_balancer_knows_the_servers(self):
        for name in "A", "B":
            self.assertRegex(self.config, r'"\$\{WEIR_%s-[0-9.]+:%d\}"' % (
                name, self.port_of(self.args)))
            self.assertIn("${WEIR_%s_AGENT_PORT-%d}" % (
                name, self.port_of(self.args, "agent")), self.config)


if __name__ == "__main__":
    main()
