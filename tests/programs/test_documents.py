#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every command of every page is typed by a test.  TYPED_BY says by which; those
that no other test types are typed here, in a network of their own, as they name
ports."""

import glob
import os
import re
import shutil
import subprocess

from certificates import OPENSSL, make_certificate
from weirtest import (DEADLINE, TestCase, main, needs_ctypes, program, run,
                      shared_libraries)

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
NAMESPACE = ["unshare", "--net", "--mount", "--map-root-user"]
# Succeeds as soon as the commands do.
UNTIL = "until { %s; } 2>&-; do sleep 0.05; done"

HERE = "tests/programs/test_documents.py"
NEWCOMER = "tests/newcomer/first_steps.py"
# The pages that tell their readers to type something.
TYPED_BY = {
    "CONTRIBUTING.md": "tests/long/contributing.py",
    "README.md": NEWCOMER,
    "README.zh-CN.md": "tests/tools/examples-in-docs.sh",  # the same commands
    "SECURITY.md": HERE,
    "bench/README.md": "tests/long/commands.py",
    "docs/COOKBOOK.md": NEWCOMER,
    "docs/CPP.md": NEWCOMER,
    "docs/DEPLOYING.md": "tests/long/systemd.py",
    "docs/FLEETS.md": "tests/long/rollouts.py",
    "docs/FROM_PYTHON.md": NEWCOMER,
    "docs/LOAD_CI.md": HERE,  # and test_load_ci.py and contributing.py
    "docs/OBSERVING.md": HERE,  # and tests/long/commands.py, for bpftrace
    "docs/PERFORMANCE.md": "tests/long/commands.py",
    "docs/PROGRAMS.md": NEWCOMER,
    "docs/PROXY.md": HERE,
    "docs/RELEASING.md": "tests/long/release.sh",
    "docs/RELIABILITY.md": "tests/long/commands.py",
    "docs/SECURITY.md": "tests/long/commands.py",
    "docs/SESSIONS.md": "tests/programs/test_gdb.py",
    "docs/TLS.md": HERE,
    "docs/TUNING.md": "tests/long/commands.py",
    "docs/TUTORIAL.md": NEWCOMER,
    "docs/man/weir-client-load.1": NEWCOMER,
    "docs/man/weir-client.1": NEWCOMER,
    "docs/man/weir-server.8": NEWCOMER,
    "examples/scripts/README.md": HERE,
}
# Blocks of other kinds hold no command.
LANGUAGES = "sh", "console", "c", "cpp", "python", "yaml", ""
COMMAND = (r"(\$ |sudo |make |\.?\.?/|tools/|build/|weir-(client|server) "
           r"|git |apt|gdb |curl |cc )")

# Commands within a sentence, by which test each is typed.
IN_SENTENCES = {
    "make -C build bench": "tests/long/commands.py",  # make bench
    "make bench BENCH_ARGS='--only stacks,stacks_c10000,stacks_churn'":
        "tests/long/commands.py",
    "make check TESTS='$(tool_tests) $(source_tests)'": ".ci/run",
    'make check-mutants MUTANTS="--named 12 34"': "tests/long/commands.py",
    "python3 examples/from_python/upper.py 127.0.0.1:1234": HERE,
    "weir-server echo@fd:echo": "tests/long/systemd.py",
    "weir-server reply@fd:reply": "tests/programs/test_server_activation.py",
    "./configure --disable-status": ".ci/run",
}
# Names of commands, and forms with a word to put in.
NAMES = (r"(make [a-z-]+|make check TESTS=tests/\S+|systemctl [a-z]+"
         r"|weir-(client|server)( [a-z-]+){1,2}( --[a-z-]+)*"
         r"|weir-server --[a-z]+|pkg-config .*|.*(\b[A-Z]{2,}\b(?!=)|\.\.\.).*)")


def read(page):
    with open(os.path.join(TOP, page), encoding="utf-8") as file:
        return file.read()


def commands(page):
    """The blocks of commands of a page."""
    return re.findall(r"^```sh\n(.*?)^```", read(page), re.M | re.S)


def lines(block):
    """The commands of a block, without comments."""
    joined = re.sub(r"\\\n\s*", "", block).splitlines()
    return [line for line in (re.sub(r"(^| +)#.*", "", line)
                              for line in joined) if line]


def pages():
    """Every page in the tree, but for those that are made."""
    for folder, folders, names in os.walk(TOP):
        folders[:] = [name for name in folders if name == ".github" or
                      not re.match(r"\.|_?build|weir-\d|autom4te|third_party|"
                                   r"man3$|root$|__pycache__", name) and
                      not os.path.exists(
                          os.path.join(folder, name, "config.status"))]
        if folder == TOP and "mutants" in folders:
            folders.remove("mutants")  # make check-mutants
        for name in names:
            if re.search(r"\.md$|^weir.*\.[1-8]$|^README", name):
                yield os.path.relpath(os.path.join(folder, name), TOP)


# What pages name and the tree has not.
MADE = ("bench/bin/weir", "lib/systemd/system", "tests/long/outbox_total",
        "tests/long/session_stops", "tests/mutants/NN-*.patch")

# Takes what is pushed to it once.
GATEWAY = """
import http.server, sys

class Gateway(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers["Content-Length"])
        assert self.path == "/metrics/job/load"
        with open(sys.argv[1], "wb") as file:
            file.write(self.rfile.read(length))
        self.send_response(200)
        self.end_headers()

http.server.HTTPServer(("127.0.0.1", 9091), Gateway).handle_request()
"""


class Pages(TestCase):
    def test_each_page_with_commands_has_a_test_that_types_them(self):
        found = set()
        for page in pages():
            text = read(page)
            if re.search(r"^```(sh|console)$", text, re.M) or re.search(
                    r"^(\.Dl )?(\$ |weir-(client|server) ).*", text
                    if not page.endswith(".md") else "", re.M):
                found.add(page)
            # The newcomer types these, and sees what the page shows.
            if "\n```console\n" in text:
                self.assertEqual(TYPED_BY.get(page), NEWCOMER, page)
        self.assertEqual(found, set(TYPED_BY))
        for page, test in TYPED_BY.items():
            self.assertIn(os.path.basename(page), read(test), test)

    def test_files_that_a_page_names_are_there(self):
        folders = "|".join(name for name in os.listdir(TOP) if
                           re.fullmatch(r"(?!build$|root$)[a-z]+", name))
        for page in pages():
            for name in re.findall(r"`((?:%s)/[\w./*-]+)" % folders,
                                   read(page)):
                if name not in MADE:
                    self.assertTrue(any(
                        glob.glob(os.path.join(TOP, part, name + end))
                        for part in ("", "tests") for end in ("", ".*")),
                        "%s: no %s" % (page, name))

    def test_commands_stand_in_blocks_that_say_so(self):
        for page in pages():
            if not page.endswith(".md"):
                continue
            text = read(page)
            parts = re.split(r"^```(.*)\n", text, flags=re.M)
            prose, marks, bodies = parts[::4], parts[1::4], parts[2::4]
            self.assertEqual(set(parts[3::4]) - {""}, set(), page)
            for mark, body in zip(marks, bodies):
                language = mark.split(" ")[0]
                self.assertIn(language, LANGUAGES, page)
                if not language:
                    for line in body.splitlines():
                        self.assertNotRegex(line, "^" + COMMAND, page)
            for text in prose:
                for line in text.splitlines():
                    self.assertNotRegex(line, r"^( {4,}|\t\s*)" +
                                        COMMAND, page)
                    self.assertNotRegex(line, r"^\s+```", page)


    def test_commands_in_sentences_have_a_test_that_types_them(self):
        found, typed = set(), set()
        for page in pages():
            if not page.endswith(".md"):
                continue
            for block in commands(page):
                typed.update(lines(block))
            prose = re.sub(r"(?ms)^```.*?^```", "", read(page))
            found.update(" ".join(text.split())
                         for text in re.findall(r"`([^`]+)`", prose))
        found = {text for text in found if " " in text and
                 re.match(COMMAND + "|python3 |strace |journalctl ", text) and
                 not re.fullmatch(NAMES, text)} - typed
        self.assertEqual(found, set(IN_SENTENCES))
        for test in IN_SENTENCES.values():
            if test != ".ci/run":  # which is in no tarball
                self.assertTrue(os.path.exists(os.path.join(TOP, test)), test)


def source(path):
    with open(os.path.join(TOP, path)) as file:
        return file.read()


def rows(page, first):
    """Of the table whose first heading is this: the cells of each row."""
    table = source(page).split("\n| " + first + " |", 1)[1].split("\n\n")[0]
    table = table.rstrip("\n")
    return [[cell.strip() for cell in line.strip("|").split("|")]
            for line in table.split("\n")[2:]]


def in_code(cell):
    return re.findall("`([^`]+)`", cell)


class Tables(TestCase):
    """That say what the sources say."""

    def test_of_fields_and_options(self):
        fields = set()
        for struct in "config", "service":
            text = re.search(r"^struct weir_%s \{(.*?)^\};" % struct,
                             source("lib/weir.h"), re.M | re.S)[1]
            fields.update(re.findall(
                r"^\t(?:int|size_t|const char|weir_access) \*?(\w+);", text,
                re.M))
        table = rows("docs/TUNING.md", "field")
        self.assertEqual(sorted(name for row in table
                                for name in in_code(row[0])),
                         sorted(fields - {"size", "exact"}))
        options = re.findall(r"--([a-z-]+)",
                             run("WEIR_SERVER", "--help").stdout.decode())
        checks = source("server/options.c").split("checks[] = {")[1]
        fixed = re.findall(r'\{ "([a-z-]+)",', checks.split("};")[0])
        for _, setting, changes in table:
            found = re.match("`--([a-z-]+)`", setting)
            if found:
                self.assertIn(found[1], options)
                self.assertEqual(changes,
                                 "no" if found[1] in fixed else "yes", found[1])

    def test_of_reasons(self):
        reasons = re.findall(r'refused_(\w+), "(.*?)"', source("lib/stats.h"))
        self.assertEqual(
            [(in_code(label)[0], in_code(text)[0]) for text, label in
             rows("docs/OBSERVING.md", "text of `reason` in the log")], reasons)

    def test_of_what_connections_wait_for(self):
        function = source("server/control.c").split("*waits_for(")[1]
        texts = re.findall('"(.*?)"', function.split("\n}")[0])
        cell = dict(rows("docs/OBSERVING.md", "field"))["`waits_for`"]
        self.assertEqual(sorted(in_code(cell)), sorted(texts))


class Shell(TestCase):
    """In a network namespace, with the programs on its path."""

    def setUp(self):
        if not shutil.which("unshare") or subprocess.run(
                [*NAMESPACE, "true"], stderr=subprocess.DEVNULL).returncode:
            self.skipTest("no network namespace")
        self.where = os.path.abspath(self.folder())
        for name in ("weir-server", "weir-client"):
            variable = name.upper().replace("-", "_")
            with open(os.path.join(self.where, name), "w") as file:
                file.write('#!/bin/sh\nexec "%s" "$@"\n' %
                           os.path.abspath(program(variable)))
            os.chmod(os.path.join(self.where, name), 0o755)

    def type_in(self, script):
        """Returns what it printed."""
        env = dict(os.environ, PATH=self.where + ":" + os.environ["PATH"])
        with subprocess.Popen(
                [*NAMESPACE, "sh", "-e", "-c", "ip link set lo up\n" + script],
                cwd=self.where, env=env, text=True, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as shell:
            try:
                output = shell.communicate(timeout=2 * DEADLINE)[0]
            finally:
                if shell.poll() is None:
                    os.killpg(shell.pid, 9)
        self.assertEqual(shell.returncode, 0, output)
        return output

    def serve(self, command, talk):
        """What the talk prints while the command runs, which ends well."""
        return self.type_in("%s >log 2>&1 &\nserver=$!\n%s\nkill $server\n"
                            "wait $server\n" % (command.rstrip(), talk))

    def needs(self, *tools):
        for tool in tools:
            if not shutil.which(tool):
                self.skipTest(tool + " is not installed")


class Commands(Shell):
    def test_the_server_in_python(self):
        needs_ctypes(self)
        [command] = re.findall("`(python3 examples/.*?)`",
                               read("docs/FROM_PYTHON.md"))
        output = self.type_in(
            "cd '%s'\nLD_LIBRARY_PATH=%s %s </dev/null >'%s/log' 2>&1 &\n"
            "server=$!\n%s\ncat '%s/here'\nkill $server\nwait $server\n" %
            (TOP, shared_libraries(), command, self.where,
             UNTIL % ("echo hello | weir-client talk -lB 127.0.0.1:1234 >'%s/here'"
                      % self.where), self.where))
        self.assertEqual(output, "HELLO\n")

    def test_tls(self):
        result = run("WEIR_SERVER", "--tls-key", "x", "--check")
        if b"built without TLS" in result.stderr:
            self.skipTest("weir-server is built without TLS")
        if not OPENSSL:
            self.skipTest("openssl is not installed")
        make_certificate(self.where, "ca", ca=None)
        make_certificate(self.where, "server")
        server, client = commands("docs/TLS.md")
        output = self.serve(
            server, UNTIL % ("echo over TLS | " + client.rstrip()) +
            "\necho in clear | weir-client talk -lB 127.0.0.1:7007")
        self.assertEqual(output, "over TLS\nin clear\n")

    def test_a_proxy(self):
        [server] = commands("docs/PROXY.md")
        header = r"PROXY TCP4 192.0.2.1 192.0.2.2 4711 7007\r\nhello\n"
        output = self.serve(
            server, "ip address add 10.0.0.1/8 dev lo\n" + UNTIL %
            ("printf '%s' | weir-client talk -lB 10.0.0.1:7007" % header))
        self.assertEqual(output, "hello\n")

    def test_the_pages_of_the_status(self):
        self.skip_without_status()
        server, _ = commands("docs/OBSERVING.md")
        output = self.serve(server, UNTIL % (
            "printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' | "
            "weir-client talk -lB 127.0.0.1:9107"))
        self.assertIn("200 OK", output)

    def test_metrics_of_a_load_are_pushed(self):
        self.needs("curl")
        _, push = commands("docs/LOAD_CI.md")
        with open(os.path.join(self.where, "gateway.py"), "w") as file:
            file.write(GATEWAY)
        output = self.serve(
            "weir-server echo@127.0.0.1:7 -l error",
            UNTIL % "echo | weir-client talk -lB 127.0.0.1:7 >here" + "\n"
            "weir-client load 127.0.0.1:7 -n 2000 --metrics load.prom\n"
            "printf '127.0.0.1 pushgateway\\n' >hosts\n"
            "mount --bind hosts /etc/hosts\n"
            "export no_proxy='*'\npython3 gateway.py pushed &\n" + UNTIL % push.rstrip() +
            "\nwait $!\ncmp pushed load.prom && echo pushed\n")
        self.assertRegex(output, r"\npushed\n?$")

    def test_a_script(self):
        self.needs("redis-server")
        shutil.copy(os.path.join(TOP, "examples/scripts/redis.load"),
                    self.where)
        [block] = commands("examples/scripts/README.md")
        self.assertIn(" -d 30s", block)
        output = self.serve(
            "redis-server --port 6379 --requirepass secret --save ''",
            UNTIL % "weir-client talk -lB 127.0.0.1:6379 </dev/null" + "\n" +
            block.replace(" -d 30s", " -d 500ms"))
        self.assertIn("AUTH secret", output)
        self.assertRegex(output, r"(?m)^content .* all as expected$")

    def test_the_address_of_the_maintainers(self):
        self.needs("git")
        [block] = commands("SECURITY.md")
        output = self.type_in(
            "unset $(git rev-parse --local-env-vars)\n"
            "export HOME=$PWD GIT_CONFIG_NOSYSTEM=1\ngit init -q .\n"
            "git -c user.name=x -c user.email=x@example.org commit -q "
            "--allow-empty -m first\n" + block)
        self.assertEqual(output, "x@example.org\n")


if __name__ == "__main__":
    main()
