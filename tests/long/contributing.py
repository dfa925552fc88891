#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""contributing.py: what CONTRIBUTING.md tells its readers to type works, in what
"make dist" makes.  The library and one of its test programs stand for all that is
built and tested.  tools/check is left to tests/newcomer/first_steps.py, as
README.md names it, too.  The recipes of LOAD_CI.md install weir from the same
tarball, in a folder that stands for the root of a system."""

import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "programs"))
from test_documents import commands, lines, read  # noqa: E402
from weirtest import TestCase  # noqa: E402

PATIENCE_S = 3000
TEST = "tests/unit/check_buffer"
# It needs the library alone.
SHORT = ("TESTS=%s check_PROGRAMS=%s bin_PROGRAMS= noinst_PROGRAMS= "
         "noinst_LIBRARIES= check_LIBRARIES=" % (TEST, TEST))
# What "make check-long" sets for its tests.
SET = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "INSTRUMENT_CFLAGS", "NM", "srcdir",
       "ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS")


class Tarball(TestCase):
    def setUp(self):
        self.env = {name: value for name, value in os.environ.items()
                    if name not in SET and not name.startswith("WEIR_")}
        self.where = self.folder()
        subprocess.run(["make", "-s", "dist"], check=True, env=self.env,
                       stdout=subprocess.DEVNULL)
        self.tarball = max(glob.glob("weir-*.tar.xz"), key=os.path.getmtime)
        shutil.move(self.tarball, self.where)


class Contributing(Tarball):
    def setUp(self):
        super().setUp()
        subprocess.run(["tar", "-xf", self.tarball], check=True, cwd=self.where)
        self.where = os.path.join(self.where, self.tarball[:-len(".tar.xz")])

    def type_in(self, line):
        print("$ " + line, file=sys.stderr, flush=True)
        done = subprocess.run(
            ["sh", "-e", "-c", line], cwd=self.where, text=True,
            env=dict(self.env, MAKEFLAGS=SHORT), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=PATIENCE_S)
        return done.returncode, done.stdout

    def test_the_commands_of_the_page_work(self):
        [block] = commands("CONTRIBUTING.md")
        checked = lines("".join(commands("README.md")))
        for line in lines(block):
            if line in checked:
                continue
            tool = {"tools/site": "mkdocs"}.get(line)
            if line.endswith(" coverage"):
                tool = "gcovr"
            if tool and not shutil.which(tool):
                print("SKIPPED: %s: %s is not installed" % (line, tool))
                continue
            status, output = self.type_in(line)
            if tool == "gcovr":
                # One program is no suite.
                self.assertRegex(output, r"(?m)^lines: \d+\.\d% \(\d+ out of")
            else:
                self.assertEqual(status, 0, line + output[-5000:])
            if " check" in line:
                self.assertIn("PASS: " + TEST, output)
            elif line == "tools/repeat 20":
                self.assertIn("run 20 of 20: ", output)


class LoadInCI(Tarball):
    # Without the privileges of the machine that runs a job.
    SUDO = '#!/bin/sh\nexec "$@"\n'
    MAKE = '#!/bin/sh\nexec %s "$@" "DESTDIR=$ROOT"\n'

    def type_in(self, script):
        print(script, file=sys.stderr, flush=True)
        with subprocess.Popen(
                ["bash", "-e", "-c", script], cwd=self.where, text=True,
                start_new_session=True, env=self.env,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT) as job:
            try:
                output = job.communicate(timeout=PATIENCE_S)[0]
            finally:
                if job.poll() is None:
                    os.killpg(job.pid, signal.SIGKILL)
        self.assertEqual(job.returncode, 0, output[-5000:])

    def test_the_recipes_install_what_they_use(self):
        root = os.path.join(self.where, "root")
        programs = os.path.join(self.where, "programs")
        os.mkdir(programs)
        for name, text in (("sudo", self.SUDO),
                           ("make", self.MAKE % shutil.which("make"))):
            with open(os.path.join(programs, name), "w") as file:
                file.write(text)
            os.chmod(os.path.join(programs, name), 0o755)
        self.env.update(
            PATH=":".join((programs, root + "/usr/local/bin",
                           os.environ["PATH"])),
            LD_LIBRARY_PATH=root + "/usr/local/lib", ROOT=root,
            ADDRESS="unix:" + os.path.join(self.where, "socket"),
            GITHUB_STEP_SUMMARY=os.path.join(self.where, "summary.md"))
        github, gitlab = [
            [textwrap.dedent(part) for _, part in re.findall(
                r"(?m)^( *)(?:- \||run: \|)\n((?:\1  .*\n)+)", block)]
            for block in re.findall(r"(?ms)^```yaml\n(.*?)^```",
                                    read("docs/LOAD_CI.md"))]
        # It is root, and has one shell.
        self.assertEqual(github[0].replace("sudo ", "") + "cd ..\n", gitlab[0])
        for script in github:
            self.type_in(script)
        self.assertTrue(os.path.exists(os.path.join(self.where, "load.json")))


if __name__ == "__main__":
    unittest.main(verbosity=2)
