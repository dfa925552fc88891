#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weir-client load with the script for PostgreSQL against such a server, which
is large, and does not run as root."""

import os
import pwd
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "programs"))
import test_load_scripts
from weirtest import until

VERSIONS = "/usr/lib/postgresql"


def someone():
    """Options for a process that must not run as root."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


class Postgresql(test_load_scripts.Examples):
    def test_postgresql(self):
        versions = os.listdir(VERSIONS) if os.path.isdir(VERSIONS) else []
        bins = [os.path.join(VERSIONS, v, "bin") for v in versions]
        initdb = self.program("initdb", bins)
        # Another user than this has to reach it.
        folder = tempfile.TemporaryDirectory(dir="/tmp")
        self.addCleanup(folder.cleanup)
        data = os.path.join(folder.name, "data")
        os.mkdir(data)
        if someone():
            os.chmod(folder.name, 0o755)
            os.chown(data, someone()["user"], someone()["group"])
        subprocess.run([initdb, "-D", data, "-A", "trust", "-U", "postgres",
                        "--no-sync"], cwd="/", check=True,
                       stdout=subprocess.DEVNULL, **someone())
        port = test_load_scripts.free_port()
        where = self.start([self.program("postgres", bins), "-D", data, "-p",
                            str(port), "-k", "", "-h", "127.0.0.1", "-F"],
                           port, cwd="/", **someone())
        # It accepts before it is ready.
        path = os.path.join(test_load_scripts.SCRIPTS, "postgresql.load")
        until(lambda: test_load_scripts.load(where, "--script", path,
                                             "--show").returncode == 0,
              "a server that is ready")
        self.check("postgresql.load", where)


if __name__ == "__main__":
    unittest.main(verbosity=2, argv=[sys.argv[0],
                                     "Postgresql.test_postgresql"])
