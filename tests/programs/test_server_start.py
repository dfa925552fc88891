#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weir-server where the system is short of something: threads, descriptors,
files that answer; and what it says of its start, and when."""

import os

from weirtest import Server, TestCase, main, run, why_not_preloaded


class Broken(TestCase):
    """With the library broken_shim, loaded before all others."""

    def broken(self, **settings):
        """The environment of a program for which these are broken."""
        why = why_not_preloaded("WEIR_BROKEN_SHIM")
        if why:
            self.skipTest(why)
        return dict(os.environ, LD_PRELOAD=os.environ["WEIR_BROKEN_SHIM"],
                    **settings)


class Start(Broken):
    def test_nothing_is_announced_before_all_threads_are_there(self):
        folder = self.folder()
        args = ["-w", "3", "-p", folder + "/pid", "echo@unix:" + folder + "/s",
                "echo@127.0.0.1:0"]
        for number in range(1, 5): # the acceptor is the last
            with self.subTest(number=number):
                result = run("WEIR_SERVER", *args,
                             env=self.broken(BROKEN_THREAD=str(number)))
                self.assertEqual((result.returncode, result.stdout), (1, b""))
                self.check_one_line(result, "weir-server", "cannot start",
                                    "thread")
                self.assertEqual(os.listdir(folder), [])
        # There is no fifth.
        with Server(*args, env=self.broken(BROKEN_THREAD="5")) as server:
            self.assertEqual(server.stop()[0], 0)


if __name__ == "__main__":
    main()
