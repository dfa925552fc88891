#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Commands of pages that nobody types elsewhere work as they are written: those
of docs/TLS.md, PROXY.md and OBSERVING.md that start a server, in a network of
their own, as they name ports."""

import os
import re
import shutil
import subprocess

from certificates import OPENSSL, make_certificate
from weirtest import DEADLINE, TestCase, main, program, run

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
NAMESPACE = ["unshare", "--net", "--map-root-user"]
# Succeeds as soon as the commands do.
UNTIL = "until { %s; } 2>&-; do sleep 0.05; done"


def commands(page):
    """The blocks of commands of a page."""
    with open(os.path.join(TOP, "docs", page)) as file:
        return re.findall(r"^```sh\n(.*?)^```", file.read(), re.M | re.S)


class Commands(TestCase):
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

    def test_tls(self):
        result = run("WEIR_SERVER", "--tls-key", "x", "--check")
        if b"built without TLS" in result.stderr:
            self.skipTest("weir-server is built without TLS")
        if not OPENSSL:
            self.skipTest("openssl is not installed")
        make_certificate(self.where, "ca", ca=None)
        make_certificate(self.where, "server")
        server, client = commands("TLS.md")
        output = self.serve(
            server, UNTIL % ("echo over TLS | " + client.rstrip()) +
            "\necho in clear | weir-client talk -lB 127.0.0.1:7")
        self.assertEqual(output, "over TLS\nin clear\n")

    def test_a_proxy(self):
        [server] = commands("PROXY.md")
        header = r"PROXY TCP4 192.0.2.1 192.0.2.2 4711 7007\r\nhello\n"
        output = self.serve(
            server, "ip address add 10.0.0.1/8 dev lo\n" + UNTIL %
            ("printf '%s' | weir-client talk -lB 10.0.0.1:7007" % header))
        self.assertEqual(output, "hello\n")

    def test_the_pages_of_the_status(self):
        output = self.serve(commands("OBSERVING.md")[0], UNTIL % (
            "printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' | "
            "weir-client talk -lB 127.0.0.1:9107"))
        self.assertIn("200 OK", output)


if __name__ == "__main__":
    main()
