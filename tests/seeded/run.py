#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""run.py [--named] [NUMBER...]: put defects back that servers like this one have had,
one at a time, and see whether the tests find them.

Called by "make check-seeded" in the build folder.  A defect is a patch
NN-name.patch in this folder; its head says what is wrong, where that
happened, and which tests should notice.  The sources are copied to seeded/
in the build folder and built there; for each patch the library and the
programs are built again, the tests it names run first, and if none of them
fails and --named is not given, all others that are quick.  Those that a patch
names run once without any patch before, so that a test that fails anyway
shows nothing.

A patch that does not apply or does not compile is an error.  With all of
them done docs/SEEDED_BUGS.md is written.  Exit status 1 if one in twenty or
more was not noticed.
"""
import glob
import json
import os
import re
import shutil
import subprocess
import sys

TOP = os.path.abspath(os.environ.get("srcdir") or
                      os.path.join(os.path.dirname(__file__), "..", ".."))
WORK = os.path.abspath("seeded")
TREE, BUILD = os.path.join(WORK, "tree"), os.path.join(WORK, "build")
RESULTS = os.path.join(WORK, "results.json")
HERE = os.path.join(TOP, "tests", "seeded")
LIMIT = 90  # seconds for one test program
COPIED = ("bench build-aux cli client docs examples lib m4 server tests tools "
          ".clang-format .editorconfig CHANGELOG.md CONTRIBUTING.md LICENSE "
          "Makefile.am Makefile.in README.md aclocal.m4 bootstrap configure "
          "configure.ac").split()
# What is asked of a defect that the tests named for it have not noticed.
OTHERS = "tests/faults tests/unit tests/behaviour"


class Seed:
    def __init__(self, path):
        self.path = path
        self.number = os.path.basename(path)[:2]
        with open(path, encoding="utf-8") as file:
            head = dict(line.rstrip("\n").split(": ", 1)
                        for line in (file.readline() for _ in range(3)))
        self.defect, self.history = head["Defect"], head["History"]
        self.tests = head["Tests"].split()
        with open(path, encoding="utf-8") as file:
            self.files = re.findall(r"(?m)^\+\+\+ b/(\S+)", file.read())


def call(command, where, log):
    with open(os.path.join(WORK, log), "w") as out:
        return subprocess.run(command, cwd=where, stdout=out,
                              stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL).returncode


def must(command, where, log):
    if call(command, where, log):
        with open(os.path.join(WORK, log), errors="replace") as text:
            sys.exit("".join(text.readlines()[-30:]) +
                     "failed: " + " ".join(command))


def copy(name):
    """What differs, so that nothing else is built again."""
    source, target = os.path.join(TOP, name), os.path.join(TREE, name)
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
        for entry in os.listdir(source):
            if entry not in ("__pycache__", ".libs", ".deps"):
                copy(os.path.join(name, entry))
    elif os.path.exists(source):
        with open(source, "rb") as file:
            text = file.read()
        if os.path.exists(target):
            with open(target, "rb") as file:
                if file.read() == text:
                    return
        shutil.copy2(source, target)


def prepare():
    os.makedirs(TREE, exist_ok=True)
    os.makedirs(BUILD, exist_ok=True)
    print("Building in", WORK, flush=True)
    for name in COPIED:
        copy(name)
    if not os.path.exists(os.path.join(BUILD, "Makefile")):
        must([TREE + "/configure", "--disable-static", "CFLAGS=-g -O1"],
             BUILD, "configure.log")
    must(["make", "-s", "-j2"], BUILD, "make.log")
    must(["make", "-s", "-j2", "check", "TESTS="], BUILD, "make.log")


def compile_for(tests):
    targets = [test for test in tests
               if os.path.splitext(test)[1] not in (".py", ".sh")]
    if len(targets) < len(tests):
        targets += ["server/weir-server", "client/weir-client",
                    "tests/programs/hlog_tool"]
    return call(["make", "-s", "-j2"] + targets, BUILD, "make.log") == 0


def environment():
    built = {"WEIR_SERVER": "server/weir-server",
             "WEIR_CLIENT": "client/weir-client",
             "WEIR_HLOG_TOOL": "tests/programs/hlog_tool"}
    env = dict(os.environ, srcdir=TREE, PYTHONDONTWRITEBYTECODE="1",
               WEIR_TEST_SLOW="1", CC="cc", NM="nm", MALLOC_PERTURB_="165")
    env.update((name, os.path.join(BUILD, path))
               for name, path in built.items())
    return env


def run(test):
    """None if it passes, else what failed in it."""
    command = [os.path.join(BUILD, test)]
    if test.endswith(".py"):
        command = [sys.executable, os.path.join(TREE, test)]
    elif test.endswith(".sh"):
        command = ["sh", os.path.join(TREE, test)]
    log = os.path.join(WORK, "test.log")
    with open(log, "w") as out:
        status = subprocess.run(
            ["timeout", "-k", "5", str(LIMIT)] + command, cwd=BUILD,
            env=environment(), stdout=out, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL).returncode
    if status in (0, 77):
        return None
    with open(log, errors="replace") as file:
        text = file.read()
    single = re.findall(r"(?m)^\S+?:\d+:[FE]:[^:]*:(\w+):", text) or \
        re.findall(r"(?m)^(?:FAIL|ERROR): (\w+)", text)
    if single:
        return single[0]
    return "does not end" if status in (124, 137) else "fails"


def others(than):
    found = []
    for folder in OTHERS.split():
        names = sorted(glob.glob(os.path.join(BUILD, folder, "check_*")))
        found += [os.path.relpath(name, BUILD) for name in names
                  if os.access(name, os.X_OK) and "." not in
                  os.path.basename(name)]
    return [test for test in found if test not in than]


def restore(seed):
    for name in seed.files:
        shutil.copy(os.path.join(TOP, name), os.path.join(TREE, name))


def hunt(seed, named):
    """(test, what failed in it), or None if nobody noticed."""
    must(["patch", "-p1", "-F0", "--batch", "-i", seed.path], TREE,
         "patch.log")
    try:
        if not compile_for(seed.tests):
            sys.exit("%s: does not compile, see %s/make.log" %
                     (seed.path, WORK))
        for test in seed.tests:
            failed = run(test)
            if failed:
                return test, failed
        rest = [] if named else others(seed.tests)
        compile_for(rest)
        for test in rest:
            failed = run(test)
            if failed:
                return test, failed
        return None
    finally:
        restore(seed)


def control(seeds, known):
    """Without a defect all of them pass, or they say nothing."""
    tests = sorted({test for seed in seeds for test in seed.tests} -
                   set(known.get("passing", [])))
    compile_for(tests)
    bad = [test for test in tests if run(test) and run(test)]
    if bad:
        sys.exit("fail without any defect: " + " ".join(bad))
    known["passing"] = sorted(set(known.get("passing", [])) | set(tests))


def write_table(seeds, caught):
    found = sum(1 for seed in seeds if caught[seed.number])
    lines = ["# Seeded bugs", "",
             "Defects that servers of this kind have had, put back into weir "
             "one at a time", "by `make check-seeded` "
             "(`tests/seeded/NN-*.patch`), and the test that noticed first.",
             "%d of %d were noticed." % (found, len(seeds)), "",
             "| | Defect | Known from | Noticed by |", "|---|---|---|---|"]
    for seed in seeds:
        test, failed = caught[seed.number] or ("**nobody**", "")
        name = test.replace("tests/", "", 1)
        by = "`%s`" % name if test[0] != "*" else test
        if failed:
            by += ": " + (failed if " " in failed or failed == "fails"
                          else "`%s`" % failed)
        lines.append("| %s | %s | %s | %s |" % (seed.number, seed.defect,
                                                seed.history, by))
    with open(os.path.join(TOP, "docs", "SEEDED_BUGS.md"), "w",
              encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def main():
    seeds = [Seed(path)
             for path in sorted(glob.glob(os.path.join(HERE, "*.patch")))]
    numbers = [word for word in sys.argv[1:] if word != "--named"]
    named = "--named" in sys.argv[1:]
    chosen = [seed for seed in seeds
              if not numbers or seed.number in numbers]
    prepare()
    known = {}
    if os.path.exists(RESULTS) and numbers:
        with open(RESULTS) as file:
            known = json.load(file)
    control(chosen, known)
    caught = known.setdefault("caught", {})
    for seed in chosen:
        caught[seed.number] = hunt(seed, named)
        print(seed.number, "%s: %s" % tuple(caught[seed.number] or
                                            ("NOT NOTICED", seed.defect)),
              flush=True)
        with open(RESULTS, "w") as file:
            json.dump(known, file)
    missed = [seed.number for seed in chosen if not caught[seed.number]]
    if all(seed.number in caught for seed in seeds):
        write_table(seeds, caught)
    print("%d of %d noticed" % (len(chosen) - len(missed), len(chosen)))
    return 20 * len(missed) > len(chosen)


if __name__ == "__main__":
    sys.exit(main())
