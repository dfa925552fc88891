#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The files that weir-client load writes, and standard output among them."""

import json
import os
import resource
import signal

from weirtest import (Server, TestCase, built_with, main, run,
                      why_not_preloaded)


def load(where, *options, **kwargs):
    return run("WEIR_CLIENT", "load", where, *options, **kwargs)


@built_with("jansson")
@built_with("zlib")
class Outputs(TestCase):
    def setUp(self):
        self.server = Server("echo@127.0.0.1:0")
        self.server.__enter__()
        self.addCleanup(self.server.__exit__)
        self.place = self.folder()

    def path(self, name):
        return os.path.join(self.place, name)

    def load(self, *options, **kwargs):
        return load(self.server.address(), *options, **kwargs)

    def test_what_was_written_is_named_and_nothing_else(self):
        good = self.path("run.json")
        for option in ("--json", "--html", "--hlog"):
            answer = self.load("-n", "1000", option, "/dev/full")
            self.check_failure(answer, "/dev/full: No space left on device"
                               if option != "--hlog" else "/dev/full")
            self.assertNotIn(b"saved", answer.stdout)
            other = "--html" if option == "--json" else "--json"
            answer = self.load("-n", "1000", option, "/dev/full", other, good)
            self.assertEqual(answer.returncode, 1, answer)
            self.assertRegex(answer.stdout.decode(), "saved +" + good + "\n")

    def test_a_file_that_may_not_grow_is_an_error_and_no_end(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        for option in ("--json", "--html", "--hlog"):
            answer = self.load("-n", "1000", option, self.path("small"),
                               preexec_fn=limit)
            self.check_failure(answer, "File too large")
            self.assertIn(b"1,000 sent = 1,000 answered", answer.stdout)
            self.assertNotIn(b"saved", answer.stdout)

    def test_a_page_is_whole_or_an_error(self):
        why = why_not_preloaded("WEIR_BROKEN_SHIM")
        if why:
            self.skipTest(why)
        result, page = self.path("run.json"), self.path("page")
        answer = self.load("-n", "1000", "--json", result)
        self.assertEqual(answer.returncode, 0, answer)
        # Less than the page needs, and more than the rest.
        answer = run("WEIR_CLIENT", "load", "merge", result, "--html", page,
                     env=dict(os.environ, BROKEN_SIZE="120000",
                              LD_PRELOAD=os.environ["WEIR_BROKEN_SHIM"]))
        if answer.returncode == 0:
            with open(page) as file:
                self.assertTrue(file.read().endswith("</html>\n"))
        else:
            self.check_failure(answer, "out of memory for the page")

    def test_a_run_of_a_moment_is_in_its_log_and_its_rows(self):
        log, result = self.path("run.hlog"), self.path("run.json")
        answer = self.load("-n", "1000", "--hlog", log, "--json", result)
        self.assertEqual(answer.returncode, 0, answer)
        with open(result) as file:
            rows = json.load(file)["seconds"]
        self.assertEqual(sum(row["answered"] for row in rows), 1000)
        answer = run("WEIR_CLIENT", "load", "merge", log)
        self.assertRegex(answer.stdout, rb"from-send .* 1,000 samples\n")
        self.assertRegex(answer.stdout, rb"connect .* 10 samples\n")

    def test_no_two_of_them_are_the_same_file(self):
        os.symlink("a", self.path("b"))
        for first, second in (("a", "a"), ("a", "./a"), ("a", "b")):
            answer = self.load("-n", "1", "--json", self.path(first),
                               "--hlog", self.path(second))
            self.check_usage(answer, "weir-client", "--json and --hlog",
                             "the same file")
        for options in (("--json", "-", "--html", "-"),
                        ("--json", "-", "--hlog", "/dev/stdout")):
            self.check_usage(self.load("-n", "1", *options), "weir-client",
                             "the same file")
        answer = self.load("-n", "10", "--json", "/dev/null", "--html",
                           "/dev/null")
        self.assertEqual(answer.returncode, 0, answer)

    def test_each_can_be_standard_output_and_is_alone_there(self):
        os.chdir(self.place)
        self.addCleanup(os.chdir, "/")
        for option, first in (("--json", b"{"), ("--html", b"<!doctype html"),
                              ("--hlog", b"#[")):
            answer = self.load("-n", "1000", option, "-")
            self.assertEqual(answer.returncode, 0, answer)
            self.assertEqual(answer.stdout[:len(first)].lower(), first)
            self.assertNotIn(b"latency  ", answer.stdout)
            self.assertIn(b"1,000 sent = 1,000 answered", answer.stderr)
            self.assertNotIn(b"saved", answer.stderr)
        self.assertEqual(os.listdir("."), [])

    def test_merged_logs_can_be_standard_output(self):
        log = self.path("run.hlog")
        with open(log, "wb") as file:
            file.write(self.load("-n", "1000", "--hlog", "-").stdout)
        answer = run("WEIR_CLIENT", "load", "merge", log, log, "-o", "-",
                     cwd=self.place)
        self.assertEqual(answer.returncode, 0, answer)
        self.assertIn(b" 2,000 samples\n", answer.stderr)
        self.assertEqual(os.listdir(self.place), ["run.hlog"])
        with open(self.path("both.hlog"), "wb") as file:
            file.write(answer.stdout)
        answer = run("WEIR_CLIENT", "load", "merge", self.path("both.hlog"))
        self.assertRegex(answer.stdout, rb"from-send .* 2,000 samples\n")

    def test_what_is_no_log_is_named_without_a_line_that_is_none(self):
        answer = run("WEIR_CLIENT", "load", "merge", self.place)
        self.check_usage(answer, "weir-client",
                         "cannot read %s: Is a directory" % self.place)
        answer = run("WEIR_CLIENT", "load", "merge", "/dev/zero")
        self.check_usage(answer, "weir-client",
                         "/dev/zero:1: the line is too long")


if __name__ == "__main__":
    main()
