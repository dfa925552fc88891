#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weir-client load where the system is not as it would like: a name server
that does not answer, a parent that has it ignore signals, a server that dies."""

import os
import signal
import subprocess

from weirtest import (DEADLINE, Server, TestCase, main, program, run, until,
                      why_not_preloaded)


def started(*args, **kwargs):
    return subprocess.Popen([program("WEIR_CLIENT"), "load", *args],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            **kwargs)


class SlowNames(TestCase):
    """Each look-up takes an hour."""

    def setUp(self):
        why = why_not_preloaded("WEIR_BROKEN_SHIM")
        if why:
            self.skipTest(why)
        self.env = dict(os.environ, BROKEN_LOOKUP="3600000",
                        LD_PRELOAD=os.environ["WEIR_BROKEN_SHIM"])

    def test_a_name_is_looked_up_for_no_longer_than_the_connect_timeout(self):
        for command in ((), ("find", "--gate", "p99<5s")):
            answer = run("WEIR_CLIENT", "load", *command[:1],
                         "slow.example:1", "--connect-timeout", "200ms",
                         *command[1:], env=self.env)
            self.check_failure(answer, "cannot look up 'slow.example:1'",
                               "deadline passed")

    def test_an_interruption_ends_a_look_up_at_once(self):
        client = started("slow.example:1", "--connect-timeout", "1h",
                         env=self.env)
        self.addCleanup(client.kill)

        def looks_up():
            try:
                with open("/proc/%d/stat" % client.pid) as file:
                    return int(file.read().rsplit(")")[1].split()[17]) > 1
            except OSError:
                return False
        until(looks_up, "the thread that looks up")
        client.send_signal(signal.SIGINT)
        errors = client.communicate(timeout=DEADLINE)[1]
        self.assertNotEqual(client.returncode, 0)
        self.assertIn(b"interrupted", errors)


class Signals(TestCase):
    def check_goes_on(self, *signals):
        """What the parent ignored stays ignored."""
        def ignore():
            for signo in signals:
                signal.signal(signo, signal.SIG_IGN)
        with Server("echo@127.0.0.1:0") as server:
            client = started(server.address(), "-r", "100", "-n", "200",
                             preexec_fn=ignore)
            self.addCleanup(client.kill)
            server.logs(rb"connection 10 ")
            for signo in signals:
                client.send_signal(signo)
            text, errors = client.communicate(timeout=DEADLINE)
        self.assertEqual(client.returncode, 0, errors)
        self.assertIn(b"200 sent = 200 answered", text)

    def test_ignored_ones_stay_ignored(self):
        self.check_goes_on(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DeadServer(TestCase):
    def test_what_was_still_planned_takes_no_time_to_be_counted(self):
        with Server("echo@127.0.0.1:0") as server:
            client = started(server.address(), "-r", "1M", "-d", "100h")
            self.addCleanup(client.kill)
            server.logs(rb"connection 10 ")
            server.process.kill()
            text = client.communicate(timeout=DEADLINE)[0]
        self.assertIn(b"never sent", text)
        self.assertRegex(text, rb"360,000,\d\d\d,\d\d\d planned|"
                         rb"36\d,\d\d\d,\d\d\d,\d\d\d planned")


if __name__ == "__main__":
    main()
