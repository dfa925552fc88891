#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""run.py [--named] [NUMBER...]
run.py --page

Put a defect back, one at a time, and see whether a test fails: mutation tests
with defects that servers of this kind have had.

Called by "make check-mutants" in the build folder.  A mutant is a patch
NN-name.patch in this folder.  Its head names the defect, where it happened, and
the tests that should fail.  The sources are copied to mutants/ in the build
folder and built there.  For each patch the library and the programs are built
again and the named tests run; if they all pass and --named is not given, every
other quick test runs too.

A test notices a defect if it fails twice in a row with it, and passes without
it: the named tests run without any patch first, the other ones that fail are
run again once the patch is taken back.  A named test that failed once before it
passed there has to fail three times; one that failed twice ends the run.

A patch that does not apply or does not compile is an error.  Exit status 1 if
one in twenty or more passed every test.  With --page: print docs/MUTANTS.md,
which is made of the heads.
"""
import concurrent.futures
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import time

TOP = os.path.abspath(os.environ.get("srcdir") or
                      os.path.join(os.path.dirname(__file__), "..", ".."))
WORK = os.path.abspath("mutants")
TREE, BUILD = os.path.join(WORK, "tree"), os.path.join(WORK, "build")
RESULTS = os.path.join(WORK, "results.json")
HERE = os.path.join(TOP, "tests", "mutants")
# Seconds that a test program may take without a defect, and at least with one.
LIMIT, LEAST = 600, 90
AT_ONCE = 4  # tests without a defect: most of them wait
COPIED = ("bench build-aux cli client completions deploy docs examples lib m4 "
          "packaging server tests third_party tls tools .clang-format "
          ".editorconfig CHANGELOG.md CONTRIBUTING.md LICENSE Makefile.am "
          "Makefile.in README.md README.zh-CN.md aclocal.m4 bootstrap "
          "configure configure.ac").split()
# Where to look when the named tests have all passed.
OTHERS = "tests/faults tests/unit tests/behaviour"


class Mutant:
    def __init__(self, path):
        self.path = path
        self.number = os.path.basename(path).split("-")[0]
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
    """Copy what differs, so that nothing else is built again."""
    source, target = os.path.join(TOP, name), os.path.join(TREE, name)
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
        for entry in os.listdir(source):
            if entry not in ("__pycache__", ".libs", ".deps"):
                copy(os.path.join(name, entry))
    elif os.path.exists(source):
        with open(source, "rb") as file:
            text = file.read()
        was_there = os.path.exists(target)
        if was_there:
            with open(target, "rb") as file:
                if file.read() == text:
                    return
        shutil.copy2(source, target)
        if was_there and target.endswith((".c", ".h")):
            os.utime(target)  # newer than an object made of a defect


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
    if any(test.endswith(".sh") for test in tests):
        targets += ["all"]  # what is checked may be any file that is made
    return call(["make", "-s", "-j2"] + targets, BUILD, "make.log") == 0


def environment():
    built = {"WEIR_SERVER": "server/weir-server",
             "WEIR_CLIENT": "client/weir-client",
             "WEIR_HLOG_TOOL": "tests/programs/hlog_tool",
             "WEIR_DENY": "tests/programs/deny",
             "WEIR_BROKEN_SHIM": "tests/programs/.libs/broken_shim.so",
             "WEIR_SIGNAL_SHIM": "tests/programs/.libs/signal_shim.so",
             "WEIR_TLS_PROXY": "tests/tls/tls_proxy",
             "WEIR_TLS_SWITCH": "tests/tls/.libs/tls_switch.so"}
    env = dict(os.environ, srcdir=TREE, PYTHONDONTWRITEBYTECODE="1",
               WEIR_TEST_SLOW="1", CC="cc", NM="nm", MALLOC_PERTURB_="165")
    env.update((name, os.path.join(BUILD, path))
               for name, path in built.items())
    return env


def run(test, limit):
    """None if it passes, else the name of what failed in it."""
    command = [os.path.join(BUILD, test)]
    if test.endswith(".py"):
        command = [sys.executable, os.path.join(TREE, test)]
    elif test.endswith(".sh"):
        command = ["sh", os.path.join(TREE, test)]
    log = os.path.join(WORK, "test." + test.replace("/", "."))
    with open(log, "w") as out:
        status = subprocess.run(
            ["timeout", "-k", "5", str(limit)] + command, cwd=BUILD,
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


def restore(mutant):
    for name in mutant.files:
        shutil.copy(os.path.join(TOP, name), os.path.join(TREE, name))


def failure_of(test, times, limit):
    """What failed first in it, if it fails that many times in a row."""
    first = None
    for at in range(times):
        failed = run(test, limit)
        if not failed:
            if at:
                print("%s: %s, but then passes" % (test, first), flush=True)
            return None
        first = first or failed
    return first


def hunt_with(mutant, tests, times, limit):
    """(test, what failed in it): the first that fails with the defect."""
    must(["patch", "-p1", "-F0", "--batch", "--forward",
          "--no-backup-if-mismatch", "-i", mutant.path], TREE,
         "patch.log")
    try:
        if not compile_for(tests):
            sys.exit("%s: does not compile with %s, see %s/make.log" %
                     (mutant.path, " ".join(tests), WORK))
        for test in tests:
            failed = failure_of(test, times(test), limit(test))
            if failed:
                return test, failed
        return None
    finally:
        restore(mutant)


def passes_without(test):
    """The patch has been taken back."""
    if not compile_for([test]):
        sys.exit("%s: does not compile, see %s/make.log" % (test, WORK))
    failed = run(test, LIMIT)
    if failed:
        print("%s: %s, without a defect, too" % (test, failed), flush=True)
    return not failed


def hunt(mutant, named, control):
    """(test, what failed in it), or None if no test notices."""
    found = hunt_with(mutant, mutant.tests,
                      lambda test: 2 + control[test]["failures"],
                      lambda test: max(LEAST, 5 * control[test]["took"]))
    rest = [] if named or found else others(mutant.tests)
    while rest:
        found = hunt_with(mutant, rest, lambda test: 2, lambda test: LIMIT)
        if not found or passes_without(found[0]):
            break
        rest, found = rest[rest.index(found[0]) + 1:], None
    return found


def run_without(test):
    """The seconds it takes and how often it fails first; None if twice."""
    for failures in range(2):
        began = time.monotonic()
        if not run(test, LIMIT):
            return {"took": int(time.monotonic() - began),
                    "failures": failures}
    return None


def run_control(mutants):
    """How the named tests do without a defect, where all of them must pass."""
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    if not compile_for(tests):
        sys.exit("the named tests do not compile, see %s/make.log" % WORK)
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        control = dict(zip(tests, pool.map(run_without, tests)))
    bad = [test for test in tests if control[test] is None]
    if bad:
        sys.exit("fail without any defect, see %s/test.*: %s" %
                 (WORK, " ".join(bad)))
    for test in tests:
        if control[test]["failures"]:
            print("%s: failed once without any defect" % test, flush=True)
    return control


PAGE = """# Mutants

Defects that servers of this kind have had.  Each is a patch,
`tests/mutants/NN-*.patch`, whose head is a row here.  `make check-mutants` puts
them back into weir one at a time and prints which test failed first;
`make check-mutants MUTANTS="--named 12 34"` does that with these two and only
the tests that are named.

| | Defect | Known from | Noticed by |
|---|---|---|---|"""


def print_page(mutants):
    print(PAGE)
    for mutant in mutants:
        print("| %s | %s | %s | %s |" % (
            mutant.number, mutant.defect, mutant.history,
            ", ".join("`%s`" % test.removeprefix("tests/")
                      for test in mutant.tests)))


def main():
    mutants = sorted((Mutant(path)
                      for path in glob.glob(os.path.join(HERE, "*.patch"))),
                     key=lambda mutant: int(mutant.number))
    if sys.argv[1:] == ["--page"]:
        return print_page(mutants)
    numbers = [word for word in sys.argv[1:] if word != "--named"]
    named = "--named" in sys.argv[1:]
    unknown = set(numbers) - {mutant.number for mutant in mutants}
    if unknown:
        print("run.py: no mutant has the number %s; expected one of those in "
              "%s" % (", ".join(sorted(unknown)), HERE), file=sys.stderr)
        return 2
    chosen = [mutant for mutant in mutants
              if not numbers or mutant.number in numbers]
    prepare()
    caught = {}
    if os.path.exists(RESULTS) and numbers:
        with open(RESULTS) as file:
            caught = json.load(file)["caught"]
    control = run_control(chosen)
    for mutant in chosen:
        caught[mutant.number] = hunt(mutant, named, control)
        print(mutant.number, "%s: %s" % tuple(caught[mutant.number] or
                                            ("NOT NOTICED", mutant.defect)),
              flush=True)
        with open(RESULTS, "w") as file:
            json.dump({"control": control, "caught": caught}, file)
    missed = [mutant.number for mutant in chosen if not caught[mutant.number]]
    print("%d of %d noticed" % (len(chosen) - len(missed), len(chosen)))
    return 20 * len(missed) > len(chosen)


if __name__ == "__main__":
    sys.exit(main())
