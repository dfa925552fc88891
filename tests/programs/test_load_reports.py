#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What weir-client load says of a run: on a pipe, on a terminal, as JSON, and
by its exit status.  What it measures is the subject of other tests."""

import errno
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import unittest

from weirtest import (DEADLINE, PythonServer, Server, Terminal, TestCase,
                      built_with, main, nobody, program, reset, run)

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def load(where, *options, **kwargs):
    return run("WEIR_CLIENT", "load", where, *options, **kwargs)


def fields(value, name=""):
    """The names of all fields, those of list elements with []."""
    if name.endswith("spectrum[]"):
        return {name}
    if isinstance(value, dict) and value:
        return set().union(*(fields(v, name + "." + k if name else k)
                             for k, v in value.items()))
    if isinstance(value, list):
        return set().union(*(fields(v, name + "[]") for v in value))
    return {name}


def documented():
    with open(os.path.join(TOP, "docs", "LOAD_JSON.md")) as file:
        text = file.read().split("\n# The JSON of a search\n")[0]
    return set(re.findall(r"^\| `([^`]+)` \|", text, re.M))


@built_with("jansson")
class Json(TestCase):
    def load_json(self, where, *options):
        path = os.path.join(self.folder(), "run.json")
        answer = load(where, "--json", path, *options)
        with open(path) as file:
            return answer, json.load(file)

    def test_every_field_is_documented_and_every_documented_field_is_there(
            self):
        with Server("echo@127.0.0.1:0") as server:
            _, full = self.load_json(
                server.address(), "-r", "2000:1500ms", "--with",
                "drip:2", "--gate", "p99<100s",
                "--source", "127.0.0.1")
            _, bad = self.load_json(
                server.address(), "-n", "1", "--expect", "line", "--ok", "a",
                "--bad", "b", "--match", "c", "--think", "1ms")
            path = os.path.join(self.folder(), "test.load")
            with open(path, "w") as file:
                file.write("once\nsend a\\n\nexpect line\n"
                           "loop\nsend b\\n\nexpect line\n")
            _, scripted = self.load_json(
                server.address(), "-n", "1", "--script", path, "--lifetime",
                "1s")
        _, refused = self.load_json(nobody(), "-n", "1")
        found = fields(full) | fields(bad) | fields(refused) | fields(scripted)
        # What is null in one run and more in another, and empty lists.
        found -= {name for name in found - documented()
                  if any(other.startswith((name + ".", name + "[]"))
                         for other in documented())}
        optional = {"connections.starved_numbers[]", "metrics_at_least[]",
                    "seconds[].at_least[]"}
        # test_load_tls.py has these.
        optional |= {name for name in documented()
                     if name.startswith(("clocks.handshake.", "plan.tls."))}
        self.assertEqual(documented() - found - optional, set())
        self.assertEqual(found - documented(), set())

    def test_the_counts_and_percentiles_in_it_agree(self):
        with Server("echo@127.0.0.1:0") as server:
            answer, found = self.load_json(server.address(), "-n", "5000",
                                           "-r", "5000")
        self.assertEqual(answer.returncode, 0, answer.stderr)
        m = found["metrics"]
        self.assertEqual(m["sent"], 5000)
        self.assertEqual(m["sent"], m["answered"] + m["timed-out"] +
                         m["reset"] + m["closed-early"] + m["open"])
        clock = found["clocks"]["from-plan"]
        self.assertEqual(clock["samples"], 5000)
        by_percent = {p["percent"]: p for p in clock["percentiles"]}
        self.assertEqual(by_percent[99]["ns"], m["p99"])
        self.assertLessEqual(by_percent[99]["low_ns"], m["p99"])
        self.assertGreaterEqual(by_percent[99]["high_ns"], m["p99"])
        self.assertEqual(clock["spectrum"][-1], [clock["max_ns"], 100])
        self.assertIsNone(m["p99.99"])
        self.assertGreater(sum(s["answered"] for s in found["seconds"]), 4000)

    def test_the_page_holds_the_run_and_asks_for_nothing_else(self):
        path = os.path.join(self.folder(), "run.html")
        with Server("echo@127.0.0.1:0") as server:
            load(server.address(), "-n", "100", "--html", path,
                 "--text", "</script><!--<script>")
        with open(path, encoding="utf-8") as file:
            page = file.read()
        found = page.split('id="run">')[1].split("</script>")[0]
        self.assertEqual(json.loads(found)["plan"]["content"]["text"],
                         "</script><!--<script>")
        self.assertEqual(page.count("<script"), page.count("</script>"))
        self.assertNotRegex(page, r"(src|href)\s*=|@import|url\(|fetch\(")
        self.assertIn("Permission is hereby granted, free of charge", page)

    def test_on_standard_output_it_is_alone(self):
        with Server("echo@127.0.0.1:0") as server:
            answer = load(server.address(), "-n", "100", "--json", "-")
        self.assertEqual(json.loads(answer.stdout)["metrics"]["sent"], 100)
        self.assertIn(b"100 sent = 100 answered", answer.stderr)

    def test_a_file_that_cannot_be_written_is_known_before_the_run(self):
        answer = load(nobody(), "--json", "/nowhere/run.json")
        self.assertEqual(answer.returncode, 2)
        self.assertEqual(answer.stderr,
                         b"weir-client: --json: cannot write "
                         b"'/nowhere/run.json': No such file or directory\n")


@built_with("jansson")
@built_with("zlib")
class Log(TestCase):
    def test_it_has_every_message_of_the_run(self):
        path = os.path.join(self.folder(), "run.hlog")
        with Server("echo@127.0.0.1:0") as server:
            answer = load(server.address(), "-n", "2000", "-r", "1k", "--hlog",
                          path)
        self.assertEqual(answer.returncode, 0, answer)
        self.assertIn(path.encode(), answer.stdout)
        merged = run("WEIR_CLIENT", "load", "merge", path, path)
        self.assertEqual(merged.returncode, 0, merged)
        for tag in (b"from-plan", b"from-send", b"client-lag"):
            self.assertRegex(merged.stdout, tag + rb" .* 4,000 samples\n")

    def test_a_file_that_cannot_be_written_is_known_before_the_run(self):
        answer = load(nobody(), "--hlog", "/nowhere/run.hlog")
        self.check_usage(answer, "weir-client", "--hlog", "/nowhere/run.hlog")


def answers(count):
    """Serves that many lines of a connection."""
    def serve(sock):
        for line, _ in zip(sock.makefile("rb"), range(count)):
            sock.sendall(line)
    return serve


def swallows(sock):
    while sock.recv(65536):
        pass


class Shortfall(TestCase):
    """A run that is less than was asked for says so everywhere."""

    def test_a_run_without_connections_has_ended_early(self):
        for options in (("-d", "30s"), ("-n", "3k"), ("-d", "30s", "-r", "1k"),
                        ("-n", "3k", "-r", "1k", "-P", "4")):
            with PythonServer(answers(1)) as server:
                answer = load(server.address, "-c", "3", *options,
                              "--gate", "answered>0")
                short = load(server.address, "-c", "3", *options, "-q",
                             "--gate", "answered>0")
            for text in (answer, short):
                self.assertEqual(text.returncode, 1, text)
                self.assertRegex(text.stdout,
                                 rb"NOT TRUSTWORTHY  the run ended after ")
                self.assertIn(b"answered>0 not judged", text.stdout)
            self.assertRegex(answer.stdout, rb"ENDED after \S+( of 30s)?\s")
            self.assertIn(b"3 lost", answer.stdout)

    def test_one_that_has_answered_nothing_has_failed(self):
        for mode in ((), ("-r", "50"), ("--churn",), ("--download",)):
            with PythonServer(swallows) as server:
                answer = load(server.address, "-c", "2", "-d", "200ms",
                              "-t", "100ms", *mode)
            self.assertEqual(answer.returncode, 1, answer)
            self.assertIn(b"NOT TRUSTWORTHY", answer.stdout)

    def test_one_whose_connections_are_mostly_lost_has_failed(self):
        lives = iter((1, 2, 3, None))

        def serve(sock):
            answers(next(lives) or 10**9)(sock)
        with PythonServer(serve) as server:
            answer = load(server.address, "-c", "4", "-n", "2k", "--gate",
                          "answered>0")
        self.assertEqual(answer.returncode, 1, answer)
        self.assertRegex(answer.stdout, rb"NOT TRUSTWORTHY  3 of 4 connections"
                         rb" were lost, from \S+ on: the figures\s+describe")
        self.assertIn(b"answered>0 PASS", answer.stdout)

    def test_a_reset_met_in_sending_is_an_end_by_the_server(self):
        def serve(sock):
            sock.recv(1)
            reset(sock)
        with PythonServer(serve) as server:
            answer = load(server.address, "-c", "3", "-d", "30s", "--upload")
        self.assertEqual(answer.returncode, 1, answer)
        self.assertIn(b"3 lost, 3 ended by the server", answer.stdout)

    @built_with("jansson")
    def test_it_is_in_the_json_and_in_a_comparison(self):
        path = os.path.join(self.folder(), "run.json")
        with PythonServer(answers(1)) as server:
            load(server.address, "-c", "3", "-d", "30s", "--json", path)
        with open(path) as file:
            found = json.load(file)
        self.assertEqual((found["run"]["ended_early"],
                          found["run"]["incomplete"], found["run"]["cut"]),
                         (True, True, False))
        self.assertEqual(found["metrics"]["lost"], 3)
        self.assertGreater(found["connections"]["lost_at_ns"], 0)
        answer = run("WEIR_CLIENT", "load", "compare", path, path)
        self.assertEqual(answer.stdout.count(b"ENDED EARLY"), 2)
        self.assertEqual(answer.returncode, 0)
        answer = run("WEIR_CLIENT", "load", "compare", path, path,
                     "--fail-if-worse")
        self.assertEqual(answer.returncode, 1)

    def test_a_search_does_not_build_on_it(self):
        with PythonServer(answers(1)) as server:
            answer = run("WEIR_CLIENT", "load", "find", server.address,
                         "-d", "1s", "--gate", "answered>0")
        self.assertEqual(answer.returncode, 1, answer)
        self.assertIn(b"the run ended after ", answer.stderr)


@built_with("zlib")
class MergedLogs(TestCase):
    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.folder(), "run.hlog")

    def merge(self, *paths):
        return run("WEIR_CLIENT", "load", "merge", *paths)

    def test_unanswered_messages_make_lower_bounds_there_too(self):
        def serve(sock):
            for number, line in enumerate(sock.makefile("rb")):
                if number % 20 != 7:
                    sock.sendall(line)
        with PythonServer(serve) as server:
            load(server.address, "-c", "1", "-n", "400", "-t", "50ms",
                 "--hlog", self.path)
        both = os.path.join(os.path.dirname(self.path), "both.hlog")
        answer = self.merge(self.path, self.path, "-o", both)
        for text in (answer, self.merge(both)):
            self.assertEqual(text.returncode, 0, text)
            self.assertRegex(text.stdout, rb"(?m)^  from-send .* +>\S+  800 "
                             rb"samples$")
            self.assertNotIn(b"unanswered", text.stdout)
            self.assertRegex(text.stdout, rb"(?m)^  connect .* -  +[^> ]+  ")

    @built_with("jansson")
    def test_a_pipe_is_read_once(self):
        found = os.path.join(os.path.dirname(self.path), "run.json")
        with Server("echo@127.0.0.1:0") as server:
            load(server.address(), "-n", "20", "--hlog", self.path, "--json",
                 found)
        for path, more, says in ((self.path, [self.path], b" 40 samples"),
                                 (self.path, [], b" 20 samples"),
                                 (found, ["--gate", "answered=20"], b" PASS ")):
            receiver, sender = os.pipe()
            with os.fdopen(sender, "wb") as pipe, open(path, "rb") as file:
                shutil.copyfileobj(file, pipe)
            answer = run("WEIR_CLIENT", "load", "merge", "/dev/fd/%d" % receiver,
                         *more, pass_fds=[receiver])
            os.close(receiver)
            self.assertIn(says, answer.stdout, answer)

    def test_each_second_of_a_long_log_is_one_of_the_sum(self):
        """Though the first was a little longer than the others."""
        with Server("echo@127.0.0.1:0") as server:
            load(server.address(), "-n", "20", "--hlog", self.path)
        with open(self.path) as file:
            lines = file.read().splitlines(True)
        rest = lines[-1].split(",", 3)[3]
        with open(self.path, "w") as file:
            file.writelines(line for line in lines if line[0] in '#"')
            for i in range(600):
                file.write("Tag=x,%d.000,%s,%s" % (
                    i, "1.001" if i == 0 else "1.000", rest))
        both = os.path.join(os.path.dirname(self.path), "both.hlog")
        self.assertEqual(self.merge(self.path, self.path, "-o",
                                    both).returncode, 0)
        with open(both) as file:
            starts = [line.split(",")[1] for line in file
                      if line.startswith("Tag=x,")]
        self.assertEqual(starts, ["%d.000" % i for i in range(600)])

    def test_incomplete_runs_are_told_of_and_fail(self):
        with PythonServer(answers(1)) as server:
            load(server.address, "-c", "3", "-d", "30s", "--hlog", self.path)
        answer = self.merge(self.path, self.path)
        self.assertEqual(answer.returncode, 1, answer)
        self.assertIn(b"\nINCOMPLETE: 2 of the runs\n", answer.stdout)
        self.assertNotIn(b"\n  incomplete", answer.stdout)


# Runs the script of a page, whose path is given, and prints its texts.
BROWSER = """
const page = require("fs").readFileSync(process.argv[1], "utf8");
const script = page.slice(page.lastIndexOf("<script>") + 8,
	page.lastIndexOf("</script>"));
const nothing = new Proxy(function () {}, {
	get: () => nothing, apply: () => nothing, construct: () => nothing });
class Node {
	append(...more) {
		more.filter(one => typeof one === "string")
			.forEach(one => console.log(one));
	}
	setAttribute() {}
}
const document = {
	createElement: () => new Node(), querySelector: () => new Node(),
	getElementById: () => ({ textContent:
		page.split('id="run">')[1].split("</script>")[0] }) };
Object.assign(globalThis, { Node, document, uPlot: nothing,
	ResizeObserver: nothing, matchMedia: nothing });
eval(script);
"""


@built_with("jansson")
@unittest.skipUnless(shutil.which("node"), "node is not installed")
class Page(TestCase):
    def texts(self, *options):
        path = os.path.join(self.folder(), "run.html")
        with Server("echo@127.0.0.1:0") as server:
            load(server.address(), "-c", "1", *options, "--html", path)
        return subprocess.run(
            ["node", "-e", BROWSER, path], stdout=subprocess.PIPE,
            check=True).stdout.decode().splitlines()

    def test_a_low_rate_is_not_rounded_to_a_whole_number(self):
        texts = self.texts("-r", "2.5", "-d", "800ms", "--gate", "rate>1.25")
        self.assertRegex(" ".join(texts), "open loop.* at 2.5/s")
        self.assertEqual([text for text in texts if text == "2.5"],
                         2 * ["2.5"])


@built_with("jansson")
@built_with("zlib")
class MergedResults(TestCase):
    def setUp(self):
        super().setUp()
        self.place = self.folder()
        self.paths = []

    def load(self, where, *options):
        path = os.path.join(self.place, "%d.json" % len(self.paths))
        load(where, *options, "--json", path)
        self.paths.append(path)
        with open(path) as file:
            return json.load(file)

    def trust(self, path):
        """The run of this file, whatever its machine did besides."""
        with open(path) as file:
            found = json.load(file)
        found["verdict"] = {"verdict": "TRUSTWORTHY", "reasons": []}
        with open(path, "w") as file:
            json.dump(found, file)

    def merge(self, *options):
        path = os.path.join(self.place, "sum.json")
        answer = run("WEIR_CLIENT", "load", "merge", *self.paths, "--json",
                     path, *options)
        with open(path) as file:
            text = file.read()
        return answer, json.loads(text) if text else None

    def test_one_result_is_its_own_sum(self):
        def serve(sock):
            for number, line in enumerate(sock.makefile("rb")):
                if number % 50 != 7:
                    sock.sendall(b"x" + line[1:] if number == 9 else line)
        with PythonServer(serve) as server:
            one = self.load(server.address, "-c", "4", "-r", "1000", "-d",
                            "3s", "-t", "500ms", "--poisson")
        self.assertGreater(one["metrics"]["timed-out"], 0)
        self.assertGreater(one["metrics"]["wrong"], 0)
        _, same = self.merge()
        for name, value in one["metrics"].items():
            if isinstance(value, float) or name in ("replies_median", "rate"):
                self.assertAlmostEqual(same["metrics"][name], value,
                                       delta=1e-3 * abs(value) + 1e-6,
                                       msg=name)
            else:
                self.assertEqual(same["metrics"][name], value, name)
        for name in ("metrics_at_least", "errors", "first_bad", "bad_clients"):
            self.assertEqual(same[name], one[name], name)
        for name in ("from-plan", "from-send", "client-lag", "connect"):
            for key, value in one["clocks"][name].items():
                if key not in ("mean_ns", "deviation_ns"):
                    self.assertEqual(same["clocks"][name][key], value, key)
        self.assertEqual(same["plan"]["content"], one["plan"]["content"])
        self.assertEqual(same["verdict"]["verdict"], one["verdict"]["verdict"])
        for key, seconds in (("one", one["seconds"]),
                             ("same", same["seconds"])):
            self.assertTrue(any("max_ns" in s["at_least"] for s in seconds),
                            key)
        self.assertEqual(*([(s["answered"], s["max_ns"],
                             "max_ns" in s["at_least"]) for s in r["seconds"]]
                           for r in (one, same)))

    def test_sums_whose_runs_did_not_start_at_once_can_be_compared(self):
        sums = []
        with Server("echo@127.0.0.1:0") as server:
            for _ in range(2):
                self.paths.clear()
                for _ in range(2):
                    self.load(server.address(), "-c", "1", "-d", "200ms")
                _, found = self.merge()
                sums.append(os.path.join(self.place, "sum%d" % len(sums)))
                os.rename(os.path.join(self.place, "sum.json"), sums[-1])
                self.assertEqual(found["plan"]["times"]["duration_ns"], 200e6)
                self.assertFalse(found["run"]["ended_early"])
        answer = run("WEIR_CLIENT", "load", "compare", *sums)
        self.assertEqual((answer.returncode, answer.stderr), (0, b""))

    def test_the_start_is_known_to_the_microsecond(self):
        with Server("echo@127.0.0.1:0") as server:
            one = self.load(server.address(), "-c", "1", "-n", "10")
        one["run"]["started"] = 1700000000.123456
        with open(self.paths[0], "w") as file:
            json.dump(one, file)
        self.assertAlmostEqual(self.merge()[1]["run"]["started"],
                               one["run"]["started"], delta=1e-5)

    def test_counts_clocks_and_gates_are_those_of_the_sum(self):
        with Server("echo@127.0.0.1:0") as server:
            runs = [self.load(server.address(), "-c", str(c), "-n", str(n))
                    for c, n in ((1, 300), (2, 500), (3, 900))]
        for path in self.paths:
            self.trust(path)
        answer, found = self.merge("--gate", "answered=1700", "--gate",
                                   "errors=0", "--html",
                                   os.path.join(self.place, "sum.html"))
        self.assertEqual(answer.returncode, 0, answer)
        self.assertIn(b"2 of 2 gates passed", answer.stdout)
        self.assertIn(b"1,700 sent = 1,700 answered", answer.stdout)
        self.assertRegex(answer.stdout, rb" all runs were under way "
                         rb"for 0ns of \S+ only")
        self.assertEqual(found["plan"]["connections"], 6)
        self.assertEqual(found["connections"]["asked"], 6)
        clocks = [r["clocks"]["from-send"] for r in runs]
        clock = found["clocks"]["from-send"]
        self.assertEqual(clock["samples"], 1700)
        self.assertEqual(clock["max_ns"], max(c["max_ns"] for c in clocks))
        self.assertEqual(clock["min_ns"], min(c["min_ns"] for c in clocks))
        self.assertAlmostEqual(clock["mean_ns"], sum(
            c["mean_ns"] * c["samples"] for c in clocks) / 1700, delta=1)
        start = min(r["run"]["started"] for r in runs)
        end = max(r["run"]["started"] + r["run"]["elapsed_ns"] / 1e9
                  for r in runs)
        self.assertAlmostEqual(found["metrics"]["rate"],
                               1700 / (end - start),
                               delta=170 / (end - start))
        self.assertEqual(self.merge("--gate", "answered>1700")[0].returncode,
                         3)

    def test_bad_clients_are_added_up(self):
        with Server("echo@127.0.0.1:0") as server:
            runs = [self.load(server.address(), "-r", "200:1500ms", "--with",
                              "drip:2,idle:1") for _ in range(2)]
        _, both = self.merge()
        self.assertEqual(both["plan"]["bad_clients"],
                         {kind: 2 * count for kind, count
                          in runs[0]["plan"]["bad_clients"].items()})
        self.assertEqual(both["plan"]["bad_clients"]["drip"], 4)
        self.assertEqual([row["kind"] for row in both["bad_clients"]],
                         ["drip", "idle"])
        for row, *parts in zip(*(found["bad_clients"]
                                 for found in (both, *runs))):
            for name in ("asked", "opened", "attempts", "let_go", "open"):
                self.assertEqual(row[name], sum(part[name] for part in parts),
                                 name)
        self.assertEqual(any(row["bad_clients"] for row in both["seconds"]),
                         any(row["bad_clients"] for run in runs
                             for row in run["seconds"]))

    def test_the_worst_is_told_of_with_its_file(self):
        with Server("echo@127.0.0.1:0") as server:
            self.load(server.address(), "-c", "2", "-d", "200ms")
        self.trust(self.paths[0])
        with PythonServer(answers(1)) as server:
            self.load(server.address, "-c", "2", "-d", "30s")
        answer, found = self.merge("--gate", "errors<1000")
        self.assertEqual(answer.returncode, 1, answer)
        self.assertTrue(found["run"]["incomplete"])
        self.assertRegex(answer.stdout, rb"NOT TRUSTWORTHY +1.json: ")

    def test_gates_are_not_judged_if_one_run_has_ended_early(self):
        with Server("echo@127.0.0.1:0") as server:
            self.load(server.address(), "-c", "2", "-d", "200ms")
        with PythonServer(answers(1)) as server:
            early = self.load(server.address, "-c", "2", "-d", "30s")
        self.assertTrue(early["run"]["ended_early"])
        for _ in range(2):
            # As of such a run by itself, the status is not that of the gate.
            answer, found = self.merge("--gate", "errors=1000")
            self.assertEqual(answer.returncode, 1, answer)
            self.assertTrue(found["run"]["ended_early"])
            self.assertRegex(answer.stdout, rb"errors=1000 .*not judged")
            self.assertRegex(answer.stdout, rb"ENDED after \S+\n")
            # A sum of the sum says so, too.
            once = os.path.join(self.place, "once.json")
            os.rename(os.path.join(self.place, "sum.json"), once)
            self.paths = [once]

    def test_a_run_that_never_measured_counts_with_what_it_planned(self):
        options = ["-r", "200", "--warmup", "100ms", "-d", "500ms"]
        with Server("echo@127.0.0.1:0") as server:
            good = self.load(server.address(), *options)
        none = self.load(nobody(), *options)
        self.assertEqual(none["run"]["elapsed_ns"], 0)
        self.assertEqual(none["metrics"]["never-sent"], 100)
        answer, found = self.merge()
        self.assertEqual(answer.returncode, 1, answer)
        self.assertTrue(found["run"]["incomplete"])
        self.assertEqual(found["metrics"]["planned"], 200)
        self.assertEqual(found["metrics"]["never-sent"],
                         100 + good["metrics"]["never-sent"])
        # One that was interrupted while it connected has no place in time.
        none["run"].update(started=0, cut=True)
        with open(self.paths[1], "w") as file:
            json.dump(none, file)
        answer = run("WEIR_CLIENT", "load", "merge", *self.paths)
        self.assertEqual(answer.returncode, 2, answer)
        self.assertIn(b"1.json: the run was interrupted before its load began",
                      answer.stderr)

    def test_other_files_are_refused(self):
        with Server("echo@127.0.0.1:0") as server:
            self.load(server.address(), "-n", "100")
            self.load(server.address(), "-n", "100", "-P", "2")
        answer, _ = self.merge()
        self.assertEqual(answer.returncode, 2)
        self.assertIn(b"1.json: plan.depth differs", answer.stderr)
        self.paths.pop()
        with open(self.paths[0]) as file:
            good = json.load(file)
        other = dict(good["run"], ids=["other"])
        for change, says in (
                ({"schema": "other"}, b"not a run that"),
                ({"run": {}}, b"not a run that"),
                ({"clocks": {"connect": {"histogram": "HISTFAAA"}}},
                 b"histogram"),
                ({"clocks": {"connect": {"histogram": 7}}}, b"no histogram"),
                ({"clocks": {"connect": dict(good["clocks"]["connect"],
                                             samples=1)}}, b"contradicts")):
            path = os.path.join(self.place, "changed.json")
            with open(path, "w") as file:
                json.dump({**good, "run": other, **change}, file)
            answer = run("WEIR_CLIENT", "load", "merge", self.paths[0], path)
            self.assertEqual(answer.returncode, 2, answer)
            self.assertIn(says, answer.stderr)
        for verdict in ({}, {"verdict": "fine"},
                        {"verdict": "NOT TRUSTWORTHY", "reasons": []}):
            with open(path, "w") as file:
                json.dump(dict(good, verdict=verdict), file)
            answer = run("WEIR_CLIENT", "load", "merge", path, "--strict")
            self.assertEqual(answer.returncode, 3, answer)
        most = dict(good["connections"], asked=2**31 - 2, open=2**31 - 2)
        paths = [os.path.join(self.place, name) for name in ("a", "b")]
        for path in paths:
            with open(path, "w") as file:
                json.dump(dict(good, connections=most, run=dict(
                    good["run"], ids=[path])), file)
        answer = run("WEIR_CLIENT", "load", "merge", *paths, "--json", "-")
        found = json.loads(answer.stdout)
        self.assertEqual(found["connections"]["asked"], 2**31 - 1)
        self.assertEqual(found["connections"]["open"], 2**31 - 1)
        # Values of another type are absent, whatever they are.
        for key in good:
            for value in (None, -1, "x", [], {}, [[]], [{}], {"a": 1}):
                with open(path, "w") as file:
                    json.dump({**good, "run": other, key: value}, file)
                answer = run("WEIR_CLIENT", "load", "merge", self.paths[0],
                             path)
                self.assertIn(answer.returncode, (0, 1, 2), answer)
                self.assertNotIn(b"runtime error", answer.stderr)
        answer = run("WEIR_CLIENT", "load", "merge", self.paths[0], "--json",
                     self.paths[0])
        self.assertEqual(answer.returncode, 2)
        self.assertIn(b"is an input", answer.stderr)

    def test_a_run_is_added_once(self):
        with Server("echo@127.0.0.1:0") as server:
            runs = [self.load(server.address(), "-n", "100")
                    for _ in range(2)]
        _, found = self.merge()
        ids = [id for r in runs for id in r["run"]["ids"]]
        self.assertEqual(found["run"]["ids"], ids)
        self.assertEqual(len(set(ids)), 2)
        for id in ids:
            self.assertRegex(id, "^[0-9a-f]{32}$")
        whole = os.path.join(self.place, "sum.json")
        for paths, twice in (([self.paths[0], self.paths[0]], 0),
                             ([*self.paths, whole], 0),
                             ([whole, self.paths[1]], 1)):
            answer = run("WEIR_CLIENT", "load", "merge", *paths)
            self.check_usage(answer, "weir-client", "%s: a run in it is in %s,"
                             " too" % (paths[-1], paths[0]))
        named = os.path.join(os.fsencode(self.place), b"\xff.json")
        shutil.copy(self.paths[0], named)
        self.check_usage(run("WEIR_CLIENT", "load", "merge", named, named),
                         "weir-client", "a run in it is in")
        del runs[0]["run"]["ids"]
        with open(self.paths[0], "w") as file:
            json.dump(runs[0], file)
        self.check_usage(run("WEIR_CLIENT", "load", "merge", *self.paths),
                         "weir-client", "it has no run.ids")

    def test_rows_that_no_run_writes_are_refused(self):
        with Server("echo@127.0.0.1:0") as server:
            good = self.load(server.address(), "-n", "100")
        row = dict(good["seconds"][0], at_ns=300 * 86400 * 10**9)
        error = {"phase": "dreaming", "errno": 1, "count": 1, "first_ns": 0,
                 "last_ns": 0}
        for change, says in (
                ({"seconds": [row]}, "a second of it is far"),
                ({"errors": [error]}, "in a phase that is not known"),
                ({"bad_clients": [{"kind": "shy"}]},
                 "a kind that is not known")):
            with open(self.paths[0], "w") as file:
                json.dump(dict(good, **change), file)
            self.check_usage(run("WEIR_CLIENT", "load", "merge",
                                 self.paths[0]), "weir-client", says)

    def test_bytes_of_files_and_their_names_are_escaped(self):
        with Server("echo@127.0.0.1:0") as server:
            good = self.load(server.address(), "-n", "100")
        error = {"phase": "handshake", "errno": errno.EPROTO, "count": 1,
                 "first_ns": 0, "last_ns": 0}
        named = os.path.join(os.fsencode(self.place), b"\xff.json")
        with open(named, "w") as file:
            json.dump(dict(good, verdict={"verdict": "NOT TRUSTWORTHY",
                                          "reasons": ["\x1b[31m"]},
                           tls_why="\x1b[32m", errors=[error],
                           first_bad={"why": "\x1b[33m", "at_ns": 0,
                                      "connection": 0, "message": 0,
                                      "sent": "a", "received": "b"}), file)
        path = os.path.join(self.place, "sum.json")
        answer = run("WEIR_CLIENT", "load", "merge", named, "--json", path)
        self.assertEqual((answer.returncode, answer.stderr), (0, b""))
        self.assertIn(rb"\xff.json: \x1b[31m", answer.stdout)
        self.assertIn(rb"TLS: \x1b[32m", answer.stdout)
        self.assertIn(rb"\x1b[33m", answer.stdout)
        with open(path) as file:
            self.assertEqual(json.load(file)["verdict"]["reasons"],
                             [r"\xff.json: \x1b[31m"])

    def test_an_expectation_of_a_file_is_escaped(self):
        with Server("echo@127.0.0.1:0") as server:
            good = self.load(server.address(), "-n", "100")
        good["plan"]["content"]["expect"] = "\x1b[34m"
        with open(self.paths[0], "w") as file:
            json.dump(good, file)
        answer, _ = self.merge()
        self.assertIn(rb"reply \x1b[34m", answer.stdout)

    def test_figures_that_no_run_can_have_are_bounded(self):
        with Server("echo@127.0.0.1:0") as server:
            good = self.load(server.address(), "-n", "100")
        good["clocks"]["from-send"]["mean_ns"] = 1e300
        good["plan"]["rate"] = 1e300
        good["self"]["cpu_user_s"] = 1e300
        good["self"]["handshake_lag_ns"] = 1 << 61
        self.paths = []
        for number in range(4):
            self.paths.append(os.path.join(self.place, "%d.json" % number))
            good["run"]["ids"] = [str(number)]
            with open(self.paths[-1], "w") as file:
                json.dump(good, file)
        answer, found = self.merge()
        self.assertEqual(answer.stderr, b"")
        self.assertGreater(found["self"]["handshake_lag_ns"], 1 << 61)
        self.assertGreater(found["clocks"]["from-send"]["mean_ns"], 1e18)
        self.assertLess(found["clocks"]["from-send"]["mean_ns"], 2**63)
        self.assertLess(found["plan"]["rate"], 2**63)

    def test_the_numbers_of_connections_are_those_of_one_run_only(self):
        def serve(sock):
            if next(numbers) == 0:
                answers(10**6)(sock)
            else:
                sock.recv(1 << 20)
                sock.recv(1)
        for _ in range(2):
            numbers = itertools.count()
            with PythonServer(serve) as server:
                self.load(server.address, "-c", "3", "-d", "300ms", "-t",
                          "3s")
        _, both = self.merge()
        self.assertEqual(both["metrics"]["starved"], 4)
        self.assertEqual(both["connections"]["starved_numbers"], [])
        self.paths.pop()
        answer, one = self.merge()
        self.assertEqual(len(one["connections"]["starved_numbers"]), 2)
        self.assertRegex(answer.stdout, rb"2 STARVED #\d #\d")


class Options(TestCase):
    def test_a_seed_is_taken_as_it_is_or_refused(self):
        answer = load(nobody(), "--dry-run", "--seed", str(2**63 - 1))
        self.assertEqual(answer.returncode, 0, answer.stderr)
        for seed in (2**63, 2**64 - 1, 2**64):
            self.check_usage(load(nobody(), "--dry-run", "--seed", str(seed)),
                             "weir-client", "--seed", str(2**63 - 1))

    def test_what_is_no_whole_number_of_messages_is_refused(self):
        for count in ("1.9", "0.5", "1.0005k"):
            self.check_usage(load(nobody(), "--dry-run", "-n", count),
                             "weir-client", "--count", count)
        answer = load(nobody(), "--dry-run", "-n", "4.35k")
        self.assertIn(b"4,350 in all", answer.stdout)

    def test_a_count_that_takes_decades_is_refused(self):
        for how in ((), ("--poisson",), ("-d", "10s")):
            answer = load(nobody(), "--dry-run", "-r", "1", "-n", "1001M",
                          *how)
            self.check_usage(answer, "weir-client", "--count", "years")
        answer = load(nobody(), "--dry-run", "-r", "10", "-n", "1000M")
        self.assertEqual(answer.returncode, 0, answer.stderr)

    def test_numbers_have_the_same_units_everywhere(self):
        answer = load(nobody(), "--dry-run", "-c", "1.5k", "-d", "10", "-s",
                      "1k-2k", "-r", "2k", "-n", "1k")
        for words in (b"1,500 connections", b"measured for 10.0s",
                      b"1000 to 2000 bytes", b"2,000 a second",
                      b"1,000 in all"):
            self.assertIn(words, answer.stdout)
        for wrong in (("-c", "1.5"), ("-c", "2M"), ("-d", "10x"),
                      ("-d", "-1"), ("-s", "0"), ("-s", "2k-1k"),
                      ("-t", "1.5")):
            self.check_usage(load(nobody(), "--dry-run", *wrong),
                             "weir-client", wrong[1])

    def test_sources_are_addresses_ranges_and_networks(self):
        for sources, count in (("127.0.0.2", 1), ("127.0.0.2-5", 4),
                               ("127.0.0.250-127.0.1.3,127.0.0.2", 11),
                               ("127.1.0.0/24", 254), ("127.1.0.4/31", 2)):
            answer = load(nobody(), "--dry-run", "--source", sources)
            self.assertIn(b"for each of %d source" % count, answer.stdout)
        for wrong in ("", "127.0.0.2,", "127.0.0.5-2", "127.0.0.0/8",
                      "127.0.0.2-", "127.0.0.2-300"):
            self.check_usage(load(nobody(), "--dry-run", "--source", wrong),
                             "weir-client", "--source")

    def test_percentiles_are_a_list(self):
        for wrong in ("", "50,", "99,50", "100", "x", "0", "50,50"):
            self.check_usage(load(nobody(), "--dry-run", "--percentiles",
                                  wrong), "weir-client", "--percentiles")

    def test_socket_options_are_checked_before_the_run(self):
        for wrong in ("", "rcvbuf", "rcvbuf=x", "dscp=64", "nagle=1", "odd=1",
                      "congestion="):
            self.check_usage(load(nobody(), "--dry-run", "--socket", wrong),
                             "weir-client", "--socket")
        self.check_usage(load(nobody(), "--socket", "congestion=nosuch"),
                         "weir-client", "--socket: cannot set congestion")
        self.check_usage(load(nobody(), "--proxy", "v3"), "weir-client",
                         "--proxy")

    def test_a_kind_of_client_that_is_not_named_is_refused(self):
        for kinds in ("", ",", "drip:1,", ",drip:1"):
            self.check_usage(load(nobody(), "--dry-run", "--with", kinds),
                             "weir-client", "--with")

    def test_misbehaving_clients_are_counted_together(self):
        answer = load(nobody(), "--dry-run", "--with", "drip:1",
                      "--with", "idle:5,drip:2")
        self.assertEqual(answer.returncode, 0, answer.stderr)
        self.check_usage(load(nobody(), "--dry-run", "--with", "drip:600000",
                              "--with", "idle:1,drip:400001"),
                         "weir-client", "--with", "at most 1000000 of a kind")


class DryRun(TestCase):
    def test_it_says_what_it_would_do_and_does_nothing(self):
        answer = load(nobody(), "--dry-run", "-c", "100", "-r", "20k")
        self.assertEqual((answer.returncode, answer.stderr), (0, b""))
        for word in (b"open loop", b"100 connections", b"20,000 a second",
                     b"descriptors"):
            self.assertIn(word, answer.stdout)


@built_with("jansson")
class Compare(TestCase):
    """Two files made of one run, so that what differs is known."""

    def setUp(self):
        super().setUp()
        self.place = self.folder()
        with Server("echo@127.0.0.1:0") as server:
            load(server.address(), "-d", "1s", "--json", self.path("run"))
        with open(self.path("run")) as file:
            self.run_json = json.load(file)

    def path(self, name):
        return os.path.join(self.place, name + ".json")

    def make(self, name, factor, seconds=20, **plan):
        """A run with steady seconds, its p99 factor times the usual."""
        made = json.loads(json.dumps(self.run_json))
        made["plan"].update(plan)
        second = dict(made["seconds"][0], length_ns=10**9, answered=1000)
        made["seconds"] = [dict(second, **{
            key: round(10**6 * (factor if key == "p99_ns" else 1)) + i % 7
            for key in ("p50_ns", "p90_ns", "p99_ns", "p99.9_ns", "max_ns")})
            for i in range(seconds)]
        with open(self.path(name), "w") as file:
            json.dump(made, file)
        return self.path(name)

    def compare(self, *args):
        return run("WEIR_CLIENT", "load", "compare", *args)

    def test_replies_that_were_not_good_are_told_of(self):
        old, new = self.make("old", 1), self.make("new", 1)
        self.assertNotIn(b"not good", self.compare(old, new).stdout)
        with open(new) as file:
            made = json.load(file)
        made["metrics"].update(bad=7, wrong=5, answered=5000)
        with open(new, "w") as file:
            json.dump(made, file)
        self.assertRegex(self.compare(old, new).stdout,
                         rb"Replies that were not good: 0 of \S+ in the old "
                         rb"run, 12 of 5,000 in the new one.\n")

    def test_counts_that_no_run_can_have_are_bounded(self):
        old, new = self.make("old", 1), self.make("new", 1)
        for path, bad in ((old, -5), (new, 1e300)):
            with open(path) as file:
                made = json.load(file)
            made["metrics"].update(bad=bad, wrong=0, answered=5000)
            with open(path, "w") as file:
                json.dump(made, file)
        self.assertRegex(self.compare(old, new).stdout,
                         rb"good: 0 of 5,000 in the old run, [1-9][0-9,]+ of "
                         rb"5,000 in the new one.\n")

    def test_the_texts_of_a_file_are_escaped(self):
        path = self.make("run", 1)
        with open(path) as file:
            made = json.load(file)
        made["run"]["target"] = "\x1b[31m"
        made["verdict"]["verdict"] = "\x1b[32m"
        with open(path, "w") as file:
            json.dump(made, file)
        answer = self.compare(path, path)
        self.assertNotIn(b"\x1b", answer.stdout)
        self.assertIn(rb"\x1b[31m   \x1b[32m", answer.stdout)

    def word_of(self, text, name):
        return re.search(rb"(?m)^  %s .*  (\S.*)$" % name, text)[1]

    def test_what_is_worse_is_said_and_can_fail(self):
        old, new = self.make("old", 1), self.make("new", 1.5)
        answer = self.compare(old, new)
        self.assertEqual(answer.returncode, 0, answer.stderr)
        self.assertEqual(self.word_of(answer.stdout, b"p99"), b"worse")
        self.assertIn(b" +50.0%", answer.stdout)
        self.assertEqual(self.word_of(answer.stdout, b"p50"),
                         b"no difference shown")
        self.assertLessEqual(max(map(len, answer.stdout.splitlines()[2:])), 80)
        self.assertEqual(self.compare(old, new, "--fail-if-worse").returncode,
                         3)
        answer = self.compare(new, old, "--fail-if-worse")
        self.assertEqual(answer.returncode, 0)
        self.assertEqual(self.word_of(answer.stdout, b"p99"), b"better")

    def test_a_difference_below_the_margin_is_none(self):
        answer = self.compare(self.make("old", 1), self.make("new", 1.5),
                              "--margin", "60", "--fail-if-worse")
        self.assertEqual(answer.returncode, 0)
        self.assertEqual(self.word_of(answer.stdout, b"p99"),
                         b"no difference shown")

    def test_of_a_few_seconds_nothing_is_said(self):
        answer = self.compare(self.make("old", 1, 5), self.make("new", 9, 5))
        self.assertEqual(self.word_of(answer.stdout, b"p99"),
                         b"too few seconds")
        self.assertEqual(self.compare(self.make("old", 1, 5),
                                      self.make("new", 9, 5),
                                      "--fail-if-worse").returncode, 1)

    def test_the_drain_and_a_short_second_are_left_out(self):
        old, new = self.make("old", 1), self.make("new", 1)
        with open(new) as file:
            made = json.load(file)
        last = dict(made["seconds"][-1], answered=0, max_ns=10**10,
                    p99_ns=10**10)
        made["seconds"] += [dict(last, length_ns=4 * 10**8),
                            *[dict(last, drain=True)] * 20]
        with open(new, "w") as file:
            json.dump(made, file)
        answer = self.compare(old, new, "--fail-if-worse")
        self.assertEqual(answer.returncode, 0, answer)
        for name in b"rate", b"p99", b"max":
            self.assertEqual(self.word_of(answer.stdout, name),
                             b"no difference shown")

    def test_the_figures_beside_a_change_are_those_that_changed(self):
        answer = self.compare(self.make("old", 1), self.make("new", 1.5))
        self.assertRegex(answer.stdout,
                         rb"(?m)^  p99 +1\.00ms +1\.50ms +\+50\.0% ")

    def test_a_lower_bound_says_so_and_is_not_better(self):
        old, new = self.make("old", 1), self.make("new", 0.5)
        with open(new) as file:
            made = json.load(file)
        for second in made["seconds"]:
            second["at_least"] = ["p99_ns"]
        with open(new, "w") as file:
            json.dump(made, file)
        answer = self.compare(old, new, "--fail-if-worse")
        self.assertEqual(answer.returncode, 1, answer)
        self.assertRegex(answer.stdout, rb"(?m)^  p99 +1\.00ms +>500us .*"
                         rb"  a lower bound$")

    def test_runs_with_other_settings_are_refused(self):
        answer = self.compare(self.make("old", 1),
                              self.make("new", 1, connections=11))
        self.check_usage(answer, "weir-client", "plan.connections is 10 in "
                         "the first and 11 in the second")

    def test_the_address_and_the_seed_may_differ(self):
        answer = self.compare(self.make("old", 1),
                              self.make("new", 1, address="b:1", seed=2))
        self.assertEqual(answer.returncode, 0, answer.stderr)

    def test_figures_that_no_run_can_have_are_left_out(self):
        path = self.make("odd", 1)
        with open(path) as file:
            odd = json.load(file)
        for second in odd["seconds"]:
            second.update({"answered": -5.0, "p50_ns": 1e300})
        with open(path, "w") as file:
            json.dump(odd, file)
        answer = self.compare(path, path)
        self.assertEqual(answer.returncode, 0, answer.stderr)
        for name in ("rate", "p50"):
            self.assertRegex(answer.stdout.decode(),
                             r"(?m)^  %s +- +- " % name)

    def test_what_is_no_result_is_refused(self):
        with open(self.path("odd"), "w") as file:
            file.write('{"schema": "other"}')
        self.check_usage(self.compare(self.path("odd"), self.path("run")),
                         "weir-client", "odd.json: not written by")
        self.check_usage(self.compare("/nowhere", self.path("run")),
                         "weir-client", "/nowhere: No such file")
        self.check_usage(self.compare(self.path("run")), "weir-client",
                         "the second file is missing")


@built_with("jansson")
class LowerBounds(TestCase):
    """A message that is not answered could have taken any time."""

    def test_each_figure_in_the_json_has_its_own(self):
        def serve(sock):
            for number, line in enumerate(sock.makefile("rb")):
                if number % 20 != 7:
                    sock.sendall(line)
        path = os.path.join(self.folder(), "run.json")
        limit_ms = 3000  # for a machine that stands still
        with PythonServer(serve) as server:
            load(server.address, "-c", "1", "-n", "40", "-t",
                 "%dms" % limit_ms, "--json", path, "--with", "idle:1")
        with open(path) as file:
            found = json.load(file)
        self.assertEqual(found["metrics"]["timed-out"], 2)
        more = found["metrics_at_least"]
        for name in ("max", "mean", "from-send.max", "from-send.mean"):
            self.assertIn(name, more)
        self.assertNotIn("p50", more)
        self.assertNotIn("connect.max", more)
        clocks = found["clocks"]
        self.assertTrue(clocks["from-send"]["max_at_least"])
        self.assertTrue(clocks["from-send"]["mean_at_least"])
        self.assertFalse(clocks["connect"]["max_at_least"])
        for second in found["seconds"]:
            self.assertEqual("max_ns" in second["at_least"],
                             (second["max_ns"] or 0) >= limit_ms * 10**6)
        self.assertTrue(any("max_ns" in second["at_least"]
                            for second in found["seconds"]))
        self.assertIs(type(found["p99_with_bad_clients_at_least"]), bool)


class Report(TestCase):
    def test_it_fits_a_terminal_and_its_sums_meet(self):
        with Server("echo@127.0.0.1:0") as server:
            answer = load(server.address(), "-n", "3000", "-c", "20")
        self.assertEqual(answer.returncode, 0, answer.stderr)
        self.assertEqual(answer.stderr, b"")
        text = answer.stdout.decode()
        lines = text.splitlines()
        self.assertLessEqual(len(lines), 22)
        self.assertRegex(lines[0], r"^[\d,]+ replies/s   p50 \S+   p99 \S+ "
                         r"  0 errors$")
        self.assertRegex(lines[1], r"^(TRUSTWORTHY|WITH CARE|NOT TRUSTWORTHY) ")
        self.assertLessEqual(max(map(len, lines)), 80)
        self.assertIn("3,000 sent = 3,000 answered", text)
        self.assertIn("20 asked, 20 opened, 20 served", text)
        self.assertIn("3,000 checked: all as expected", text)
        self.assertNotIn("\033", text)

    def test_quiet_is_the_answer_alone(self):
        with Server("echo@127.0.0.1:0") as server:
            answer = load(server.address(), "-n", "3000", "-q")
        self.assertLessEqual(len(answer.stdout.splitlines()), 8)
        self.assertRegex(answer.stdout, rb"^[\d,]+ replies/s   p50 \S+   p99 ")

    def test_nobody_there_is_said_in_words(self):
        answer = load(nobody(), "-d", "1s")
        self.assertEqual(answer.returncode, 1)
        self.assertIn(b"10 connecting: Connection refused", answer.stdout)
        self.assertIn(b"nothing listens at that address", answer.stdout)

    def test_a_terminal_has_a_live_line_and_then_a_report_in_colours(self):
        with Server("echo@127.0.0.1:0") as server:
            with Terminal("load", server.address(), "-d", "3s") as user:
                user.expect(b" s left")
                user.expect("\u2501".encode())
                user.expect(b" replies/s")
                user.expect(b"latency")
                user.expect("\u2588".encode())
                self.assertEqual(user.end(), 0)

    def test_the_warm_up_is_shown_while_it_lasts(self):
        with Server("echo@127.0.0.1:0") as server:
            with Terminal("load", server.address(), "--churn", "-r", "500",
                          "-n", "400", "--warmup", "3s") as user:
                user.expect(b"\r\033[Kwarming up   ")
                user.expect(b" s left")
                user.expect(b"\r\033[K  0%   0 errors")
                user.expect(b"latency")
                self.assertEqual(user.end(), 0)

    def test_no_color_is_respected_and_ascii_is_enough(self):
        with Server("echo@127.0.0.1:0") as server:
            with Terminal("load", server.address(), "-d", "3s",
                          shell='NO_COLOR=1 LC_ALL=C exec "$@"') as user:
                user.expect(b"#")
                user.expect(b"\nload ")
                self.assertEqual(user.end(), 0)
                self.assertNotIn(b"\033[1m", user.seen)
                user.seen.decode("ascii")


    def test_a_terminal_that_is_dumb_gets_no_colours(self):
        with Server("echo@127.0.0.1:0") as server:
            with Terminal("load", server.address(), "-n", "100",
                          term="dumb") as user:
                user.expect(b"latency")
                self.assertEqual(user.end(), 0)
                self.assertNotIn(b"\033", user.all)

    def test_its_help_names_the_addresses_that_it_takes(self):
        for command in (("load",), ("load", "find")):
            answer = run("WEIR_CLIENT", *command, "--help")
            self.assertIn(b"unix:@name", answer.stdout)
            self.assertNotIn(b"fd:", answer.stdout)

    def test_an_upload_has_no_size_of_messages(self):
        answer = load("127.0.0.1:1", "--upload", "--dry-run")
        self.assertNotIn(b"64", answer.stdout)


class Gates(TestCase):
    def test_one_that_holds_is_exit_status_0(self):
        with Server("echo@127.0.0.1:0") as server:
            answer = load(server.address(), "-n", "2000", "--gate", "errors=0",
                          "--gate", "p50 < 100s", "--gate", "wrong=0")
        self.assertEqual(answer.returncode, 0, answer.stdout)
        self.assertIn(b"errors=0 PASS (0)", answer.stdout)

    def test_one_that_does_not_is_exit_status_3(self):
        with Server("echo@127.0.0.1:0") as server:
            answer = load(server.address(), "-n", "2000", "--gate", "p50<1ns")
        self.assertEqual(answer.returncode, 3, answer.stdout)
        self.assertIn(b"p50<1ns FAIL", answer.stdout)

    def test_what_is_no_gate_is_one_line_and_exit_status_2(self):
        answer = load("127.0.0.1:1", "--gate", "p100<5ms")
        self.assertEqual(answer.returncode, 2)
        self.assertEqual(answer.stderr.count(b"\n"), 1)
        self.assertIn(b"--gate 'p100<5ms': unknown figure; known are: p50 ",
                      answer.stderr)

    def test_a_run_that_was_cut_is_not_judged(self):
        with Server("echo@127.0.0.1:0") as server:
            client = subprocess.Popen(
                [program("WEIR_CLIENT"), "load", server.address(), "-d", "1h",
                 "--gate", "errors=0"], stdout=subprocess.PIPE)
            self.addCleanup(client.kill)
            server.logs(rb"connection 10 ")
            client.send_signal(signal.SIGINT)
            text = client.communicate(timeout=DEADLINE)[0]
        self.assertEqual(client.returncode, 1, text)
        self.assertIn(b"CUT SHORT", text)
        self.assertIn(b"errors=0 not judged", text)


if __name__ == "__main__":
    main()
