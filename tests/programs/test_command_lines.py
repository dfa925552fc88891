#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Help at the command line: completions in the real shells, guesses for
misspelt words, and examples that work."""

import os
import re
import shlex
import shutil
import subprocess
import tempfile

from weirtest import (Server, Terminal, TestCase, built_with, is_built_without,
                      main, program, run, until)

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
COMPLETIONS = os.path.join(TOP, "completions")
PROGRAMS = {"weir-server": "WEIR_SERVER", "weir-client": "WEIR_CLIENT"}
START = {
    "bash": "bash --norc --noprofile -i",
    "zsh": "zsh -f -i",
    "fish": "fish --no-config",
}
# What is typed before the tab, and what the line is then.
LINES = [
    ("weir-client tal", "weir-client talk "),
    ("weir-client load fi", "weir-client load find "),
    ("weir-client load find 127.0.0.1:1 --gat",
     "weir-client load find 127.0.0.1:1 --gate "),
    ("weir-client fetch 127.0.0.1:1 --outp",
     "weir-client fetch 127.0.0.1:1 --output "),
    ("weir-server --pid-file one-fi", "weir-server --pid-file one-file "),
    ("weir-server dayt", "weir-server daytime@"),
    ("weir-server echo@ --max-conn", "weir-server echo@ --max-connections "),
    ("weir-server ctl conn", "weir-server ctl connections "),
]


def words(variable, *typed):
    """What the program says may follow."""
    done = run(variable, "__complete", *typed)
    assert done.returncode == 0 and not done.stderr, done
    return [line.split("\t")[0] for line in done.stdout.decode().splitlines()]


def long_options(variable, *command):
    """The long options that the help lists."""
    text = run(variable, *command, "--help").stdout.decode()
    return set(re.findall(r"^  (?:-., |    )(--[a-z-]+)", text, re.MULTILINE))


class Completions(TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        open(self.folder + "/one-file", "w").close()
        os.mkdir(self.folder + "/bin")
        for name, variable in PROGRAMS.items():
            path = "%s/bin/%s" % (self.folder, name)
            with open(path, "w") as file:
                file.write('#!/bin/sh\nexec %s "$@"\n' %
                           shlex.quote(program(variable)))
            os.chmod(path, 0o755)

    def complete(self, shell, setup, what):
        typed, wanted = what
        command = "cd %s && PATH=%s/bin:$PATH HOME=%s exec %s" % (
            (shlex.quote(self.folder),) * 3 + (START[shell],))
        with Terminal(shell=command, term="dumb") as terminal:
            terminal.type(setup.encode() + b"; echo rea''dy\n")
            terminal.expect(b"ready")
            terminal.type(typed.encode() + b"\t")
            terminal.expect(wanted.split()[-1].encode())

    def try_all(self, shell, setup):
        if not shutil.which(shell):
            self.skipTest("%s is not installed" % shell)
        for what in LINES:
            with self.subTest(shell=shell, typed=what[0]):
                self.complete(shell, setup, what)

    def test_bash_completes(self):
        self.try_all("bash", "PS1='$ '; . %s/weir.bash" % COMPLETIONS)

    def test_zsh_completes(self):
        self.try_all("zsh", "PS1='$ '; setopt no_beep; fpath=(%s $fpath); "
                     "autoload -Uz compinit; compinit -u -D" % COMPLETIONS)

    def test_fish_completes(self):
        if not shutil.which("fish"):
            self.skipTest("fish is not installed")
        for typed, wanted in LINES:
            with self.subTest(typed=typed):
                answer = subprocess.run(
                    "cd %s && PATH=%s/bin:$PATH HOME=%s fish --no-config -c "
                    "'source %s/weir.fish; complete -C \"%s\"'" % (
                        (shlex.quote(self.folder),) * 3 +
                        (COMPLETIONS, typed)), shell=True, check=True,
                    stdout=subprocess.PIPE, text=True).stdout
                self.assertIn(wanted.split()[-1],
                              [line.split("\t")[0]
                               for line in answer.splitlines()])

    def test_every_option_is_completed(self):
        for variable, command in (
                ("WEIR_SERVER", []), ("WEIR_CLIENT", []),
                ("WEIR_CLIENT", ["talk"]), ("WEIR_CLIENT", ["chat"]),
                ("WEIR_CLIENT", ["fetch"]), ("WEIR_CLIENT", ["send"]),
                ("WEIR_CLIENT", ["load"]), ("WEIR_CLIENT", ["load", "find"]),
                ("WEIR_CLIENT", ["load", "compare"]),
                ("WEIR_CLIENT", ["load", "merge"])):
            with self.subTest(command=command):
                found = set(words(variable, *command, "--"))
                if variable == "WEIR_SERVER":
                    found |= set(words(variable, "ctl", "--"))
                self.assertEqual(found, long_options(variable, *command))

    def test_values_are_files_or_nothing(self):
        self.assertEqual(words("WEIR_SERVER", "--pid-file", ""), [":files"])
        self.assertEqual(words("WEIR_SERVER", "-p", ""), [":files"])
        self.assertEqual(words("WEIR_SERVER", "--workers", ""), [])
        self.assertEqual(words("WEIR_CLIENT", "load", "compare", "a", ""),
                         [":files"])


class Guesses(TestCase):
    def test_a_misspelt_word_gets_a_guess(self):
        for variable, line, guess in (
                ("WEIR_CLIENT", ["tlak", ":1"], "talk"),
                ("WEIR_CLIENT", ["talk", ":1", "--liens"], "--lines"),
                ("WEIR_CLIENT", ["load", ":1", "--conections=3"],
                 "--connections"),
                ("WEIR_CLIENT", ["load", "fnid", "127.0.0.1:1"], "find"),
                ("WEIR_CLIENT", ["load", "comapre", "a", "b"], "compare"),
                ("WEIR_SERVER", ["ctl", "drian"], "drain"),
                ("WEIR_SERVER", ["--wrokers", "3"], "--workers"),
                ("WEIR_SERVER", ["eco@:0"], "echo"),
                ("WEIR_SERVER", ["colect@:0"], "collect")):
            with self.subTest(line=line):
                done = run(variable, *line)
                self.assertEqual(done.returncode, 2)
                self.assertIn("did you mean '%s'?" % guess,
                              done.stderr.decode())

    def test_other_words_get_none(self):
        for variable, line in (("WEIR_CLIENT", ["x", ":1"]),
                               ("WEIR_CLIENT", ["talk", ":1", "--bogus"]),
                               ("WEIR_CLIENT", ["a" * 1000, ":1"]),
                               ("WEIR_CLIENT", ["load", "find:1", "x"]),
                               ("WEIR_CLIENT", ["load", "host"]),
                               ("WEIR_SERVER", ["ctl", "x"]),
                               ("WEIR_SERVER", ["--" + "w" * 1000]),
                               ("WEIR_SERVER", ["@:0"]),
                               ("WEIR_SERVER", ["zzz@:0"])):
            with self.subTest(line=line):
                done = run(variable, *line)
                self.assertEqual(done.returncode, 2)
                self.assertNotIn(b"did you mean", done.stderr)


class Examples(TestCase):
    def examples(self, variable, *command):
        text = run(variable, *command, "--help").stdout.decode()
        found = text.split("\nExamples:\n")[1].splitlines()
        self.assertTrue(found)
        return [line.strip() for line in found]

    def test_the_server_takes_its_examples(self):
        for line in self.examples("WEIR_SERVER"):
            with self.subTest(line=line):
                done = run("WEIR_SERVER", "--check", *shlex.split(line)[1:])
                self.assertEqual((done.returncode, done.stderr), (0, b""))

    def test_the_requests_of_its_examples_are_answered(self):
        control = self.folder() + "/control"
        with Server("echo@127.0.0.1:0", "--control", control):
            for line in self.examples("WEIR_SERVER", "ctl"):
                words = [control if word.startswith("/") else word
                         for word in shlex.split(line)[1:]]
                if control not in words:
                    words[1:1] = ["-c", control]
                with self.subTest(line=line):
                    done = run("WEIR_SERVER", *words)
                    self.assertEqual((done.returncode, done.stderr), (0, b""))

    @built_with("jansson")
    @built_with("zlib")
    def test_the_examples_for_results_work(self):
        folder = self.folder()
        with Server("echo@127.0.0.1:0") as server:
            for name in "old", "new", "one", "two":
                run("WEIR_CLIENT", "load", server.address(), "-c", "2", "-d",
                    "300ms", "--json", name + ".json", "--hlog",
                    name + ".hlog", cwd=folder)
            for command in (["load", "compare"], ["load", "merge"]):
                for line in self.examples("WEIR_CLIENT", *command):
                    with self.subTest(line=line):
                        done = run("WEIR_CLIENT", *shlex.split(line)[1:],
                                   cwd=folder)
                        # The new one may be worse, or not known to be better.
                        self.assertIn(done.returncode, (0, 1, 3), done.stderr)
                        self.assertIn(b" p99", done.stdout)

    def test_the_examples_of_the_client_work(self):
        with tempfile.TemporaryDirectory() as folder:
            page = folder + "/page"
            with open(page, "w") as file:
                file.write("text\n")
            with Server("reply@127.0.0.1:0", "echo@127.0.0.1:0",
                        "room@127.0.0.1:0", "file@127.0.0.1:0",
                        "--file", page) as server:
                for port, i in (("1234", 0), ("7007", 1), ("4000", 2),
                                ("3000", 3)):
                    self.place = {**getattr(self, "place", {}),
                                  "127.0.0.1:" + port: server.address(i)}
                for command in ([], ["talk"], ["chat"], ["fetch"], ["send"],
                                ["load"], ["load", "find"]):
                    for line in self.examples("WEIR_CLIENT", *command):
                        with self.subTest(line=line):
                            self.works(line, folder)

    def works(self, line, folder):
        if "--json" in line and is_built_without("jansson"):
            self.skipTest("built without jansson")
        text = line.rpartition("| ")[2]
        arguments = [self.place.get(word, word)
                     for word in shlex.split(text)[1:]]
        if arguments[0] == "load":
            arguments += ["-c", "2", "-d", "300ms", "--gate", "p99<60s"]
        if arguments[1] == "find":
            arguments += ["--min", "100", "--max", "200"]
        done = run("WEIR_CLIENT", *arguments, input=b"hello\nwindup\n",
                   cwd=folder)
        # On a busy machine a gate or the verdict may be missed.
        self.assertIn(done.returncode,
                      (0, 1, 3) if arguments[0] == "load" else (0,),
                      done.stderr)


if __name__ == "__main__":
    main()
