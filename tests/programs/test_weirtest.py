#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the tests of the programs share cleans up behind itself."""

import contextlib
import gc
import os
import signal
import subprocess
import sys
import warnings

from weirtest import (DEADLINE, TestCase, connect, is_alive, main, nobody,
                      until)

# A test that is ended while a successor serves.
ENDED = """
import signal
import test_server_upgrade

class Ended(test_server_upgrade.Base):
    def test_it(self):
        with self.serve("-t", "never") as server, server.connect() as client:
            test_server_upgrade.stuff(client, server)
            print(server.pid, self.upgrade(), flush=True)
            signal.pause()

test_server_upgrade.main()
"""


def end(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


class Cleanup(TestCase):
    def test_a_refused_connection_leaves_no_socket(self):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            for where in nobody(), "unix:/none/none", "unix:@weir-none":
                with self.assertRaises(OSError):
                    connect(where)
            gc.collect()
        self.assertEqual([str(warning.message) for warning in found], [])

    def test_an_ended_test_leaves_no_server(self):
        for signo in signal.SIGTERM, signal.SIGKILL:
            with subprocess.Popen(
                    [sys.executable, "-c", ENDED], stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env=dict(os.environ, TMPDIR=self.folder(),
                             PYTHONPATH=os.path.dirname(__file__))) as test:
                pids = [int(pid) for pid in test.stdout.readline().split()]
                test.send_signal(signo)
                self.assertNotEqual(test.wait(DEADLINE), 0)
            self.assertEqual(len(pids), 2)
            for pid in pids:
                self.addCleanup(end, pid)
            until(lambda: not any(map(is_alive, pids)), "the ends of both")


if __name__ == "__main__":
    main()
