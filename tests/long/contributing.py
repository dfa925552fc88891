#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""contributing.py: what CONTRIBUTING.md tells its readers to type works, in what
"make dist" makes.  The library and one of its test programs stand for all that is
built and tested.  tools/check is left to tests/newcomer/first_steps.py, as
README.md names it, too."""

import glob
import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "programs"))
from test_documents import commands, lines  # noqa: E402
from weirtest import TestCase  # noqa: E402

PATIENCE_S = 3000
TEST = "tests/unit/check_buffer"
# It needs the library alone.
SHORT = ("TESTS=%s check_PROGRAMS=%s bin_PROGRAMS= noinst_PROGRAMS= "
         "noinst_LIBRARIES= check_LIBRARIES=" % (TEST, TEST))
# What "make check-long" sets for its tests.
SET = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "INSTRUMENT_CFLAGS", "NM", "srcdir",
       "ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS")


class Contributing(TestCase):
    def unpack(self):
        """What is unpacked from the tarball, a folder of its own."""
        folder = self.folder()
        subprocess.run(["make", "-s", "dist"], check=True, env=self.env,
                       stdout=subprocess.DEVNULL)
        name = max(glob.glob("weir-*.tar.xz"), key=os.path.getmtime)
        shutil.move(name, folder)
        subprocess.run(["tar", "-xf", name], check=True, cwd=folder)
        return os.path.join(folder, name[:-len(".tar.xz")])

    def setUp(self):
        self.env = {name: value for name, value in os.environ.items()
                    if name not in SET and not name.startswith("WEIR_")}
        self.where = self.unpack()

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


if __name__ == "__main__":
    unittest.main(verbosity=2)
