#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The objects in deploy/kubernetes have the types of Kubernetes and of its
Gateway API, as packages of npm tell them: TypeScript checks all keys and
values, and the generated validators what a type cannot say, such as the range
of a port.

The controls: each mapping with a key more, each value of another type, and
some values beyond their range are refused."""

import copy
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "programs"))
from test_deploy import text_of, yaml  # noqa: E402
from weirtest import TestCase  # noqa: E402

PACKAGES = ("kubernetes-models@5.1.0", "@kubernetes-models/gateway-api@2.0.0",
            "typescript@5.9.3")
NODE = 20  # or later
INSTALL_S = 300
OPTIONS = {"strict": True, "noEmit": True, "skipLibCheck": True,
           "module": "preserve", "target": "es2022", "types": []}
FILES = "weir-server.yaml", "tcproute.yaml"
# Names of their own in them; every key is one.
FREE = {"labels", "annotations", "matchLabels", "requests", "limits"}

CHECK = """
import { readFileSync } from "fs";
for (const name of process.argv.slice(2)) {
  const { from, object } = JSON.parse(readFileSync(name + ".json", "utf8"));
  const Kind = (await import(from))[object.kind];
  try {
    new Kind(object).validate();
  } catch (error) {
    console.log(name + ": " + error.message);
  }
}
"""


def module_of(thing):
    group = thing["apiVersion"].split("/")[0]
    package = ("@kubernetes-models/gateway-api/" if group.endswith(".k8s.io")
               else "kubernetes-models/")
    return package + thing["apiVersion"]


def places(value, path=()):
    """All mappings and values in it, each with the keys that lead to it."""
    yield path, value
    steps = (value.items() if isinstance(value, dict) else
             enumerate(value) if isinstance(value, list) else ())
    for step, part in steps:
        yield from places(part, path + (step,))


def is_free(thing, path):
    """May any key be there?"""
    return path[-1:] and path[-1] in FREE or (
        thing["kind"] == "Service" and path == ("spec", "selector"))


def changed(thing, path, value):
    thing = copy.deepcopy(thing)
    part = thing
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    return thing


def with_wrong_keys(thing):
    for path, value in places(thing):
        if isinstance(value, dict) and not is_free(thing, path):
            yield changed(thing, path + ("wrongKey",), 1)


def with_wrong_types(thing):
    for path, value in places(thing):
        if path in (("apiVersion",), ("kind",)):
            continue
        if isinstance(value, bool):
            yield changed(thing, path, "yes")
        elif path:
            yield changed(thing, path, True)


class Kubernetes(TestCase):
    @classmethod
    def setUpClass(cls):
        if not yaml:
            raise unittest.SkipTest("python3-yaml is not installed")
        for tool in ("node", "npm"):
            if not shutil.which(tool):
                raise unittest.SkipTest(tool + " is not installed")
        version = subprocess.run(["node", "--version"], text=True, check=True,
                                 stdout=subprocess.PIPE).stdout
        if int(re.match(r"v(\d+)", version)[1]) < NODE:
            raise unittest.SkipTest("Node.js %d is not installed" % NODE)
        folder = tempfile.TemporaryDirectory(prefix="f-")
        cls.addClassCleanup(folder.cleanup)
        cls.where = folder.name
        cls.install()
        cls.things = [thing for name in FILES for thing in
                      yaml.safe_load_all(text_of("kubernetes", name))]

    @classmethod
    def install(cls):
        with open(cls.where + "/package.json", "w") as file:
            file.write('{"private": true, "type": "module"}\n')
        npm = subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts",
             "--loglevel=error", *PACKAGES], cwd=cls.where, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=INSTALL_S, check=False)
        if npm.returncode != 0:
            print(npm.stdout)
            raise unittest.SkipTest("npm cannot install the packages here")

    def run_node(self, *args):
        """What it prints; it may find mistakes."""
        done = subprocess.run(["node", *args], cwd=self.where, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.stderr, "")
        return done.stdout

    def found(self, things):
        """What both say of each of them."""
        names = ["t%d" % i for i in range(len(things))]
        for name, thing in zip(names, things):
            from_ = module_of(thing)
            with open("%s/%s.ts" % (self.where, name), "w") as file:
                file.write('import type { I%s } from "%s";\n'
                           "export const it: I%s = %s;\n" % (
                               thing["kind"], from_, thing["kind"],
                               json.dumps(thing, indent=1)))
            with open("%s/%s.json" % (self.where, name), "w") as file:
                json.dump({"from": from_, "object": thing}, file)
        with open(self.where + "/check.js", "w") as file:
            file.write(CHECK)
        with open(self.where + "/tsconfig.json", "w") as file:
            json.dump({"compilerOptions": OPTIONS,
                       "files": [name + ".ts" for name in names]}, file)
        text = self.run_node("node_modules/typescript/bin/tsc")
        text += self.run_node("check.js", *names)
        said = {name: "" for name in names}
        for line in text.splitlines():
            # The lines after the first of a message are indented.
            name = re.match(r"(t\d+)(?:\.ts\(\d+,\d+\))?: ", line)
            if name:
                said[name[1]] += line + "\n"
            else:
                self.assertTrue(line.startswith(" ") and any(said.values()),
                                text)
        return list(said.values())

    def check_refused(self, things):
        self.assertTrue(things)
        for thing, said in zip(things, self.found(things)):
            self.assertTrue(said, json.dumps(thing, indent=1))

    def test_all_objects_have_the_types_of_kubernetes(self):
        self.assertEqual(sorted(thing["kind"] for thing in self.things), [
            "Deployment", "Gateway", "PodDisruptionBudget", "Service",
            "TCPRoute"])
        for thing, said in zip(self.things, self.found(self.things)):
            self.assertEqual(said, "", thing["kind"])

    def test_control_a_wrong_key_is_refused_wherever_it_is(self):
        self.check_refused([wrong for thing in self.things
                            for wrong in with_wrong_keys(thing)])

    def test_control_a_value_of_another_type_is_refused(self):
        self.check_refused([wrong for thing in self.things
                            for wrong in with_wrong_types(thing)])

    def test_control_what_no_type_says_is_refused(self):
        by_kind = {thing["kind"]: thing for thing in self.things}
        self.check_refused([
            changed(by_kind["Gateway"], ("spec", "listeners", 0, "port"),
                    65536),
            changed(by_kind["Gateway"], ("spec", "listeners", 0, "name"),
                    "not a name"),
            changed(by_kind["TCPRoute"], ("spec", "rules"), []),
            changed(by_kind["Deployment"], ("spec", "replicas"), 1.5)])


if __name__ == "__main__":
    unittest.main(verbosity=2)
