#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ten runs of weir-client load against a server that takes 20 ms, on a machine
that is kept busy: none is called NOT TRUSTWORTHY although its p99 is within 5
percent.  Both run before what keeps the machine busy, if that is allowed."""

import asyncio
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile

RUNS = 10
DELAY = 0.020
TAKES = DELAY + 0.001  # the event loop waits for whole milliseconds
CLIENT = os.environ.get("WEIR_CLIENT", "client/weir-client")


class Late(asyncio.Protocol):
    """Answers each line with itself, later."""

    def connection_made(self, transport):
        self.transport, self.rest = transport, b""

    def data_received(self, data):
        *lines, self.rest = (self.rest + data).split(b"\n")
        loop = asyncio.get_running_loop()
        for line in lines:
            loop.call_later(DELAY, self.transport.write, line + b"\n")


def serve(say):
    prefer()

    async def go():
        server = await asyncio.get_running_loop().create_server(
            Late, "127.0.0.1", 0)
        say.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()
    asyncio.run(go())


def prefer():
    """Over what keeps the machine busy, if that is allowed."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        print("not allowed to run before others", file=sys.stderr)


def burn():
    os.nice(19)
    while True:
        pass


def check(port, path):
    """Whether p99 is within 5 %, and the verdict."""
    subprocess.run([CLIENT, "load", "127.0.0.1:%d" % port, "-c", "20", "-r",
                    "400", "-d", "5s", "--warmup", "500ms", "--json", path],
                   stdout=subprocess.DEVNULL, preexec_fn=prefer)
    with open(path) as file:
        run = json.load(file)
    os.unlink(path)  # else a run that writes none would have that of the last
    p99 = run["metrics"]["p99"]
    verdict = run["verdict"]["verdict"]
    print("p99 %.2f ms  %s  %s" % (p99 / 1e6, verdict,
                                   run["verdict"]["reasons"][0]), flush=True)
    return p99 <= 1.05e9 * TAKES, verdict


def main():
    ours, theirs = multiprocessing.Pipe()
    helpers = [multiprocessing.Process(target=serve, args=(theirs,),
                                       daemon=True)]
    helpers += [multiprocessing.Process(target=burn, daemon=True)
                for _ in range(os.cpu_count())]
    for helper in helpers:
        helper.start()
    with tempfile.TemporaryDirectory() as folder:
        port = ours.recv()
        found = [check(port, os.path.join(folder, "run.json"))
                 for _ in range(RUNS)]
    for helper in helpers:
        helper.terminate()
    right = [verdict for is_right, verdict in found if is_right]
    print("%d of %d runs have the right p99" % (len(right), RUNS))
    if "NOT TRUSTWORTHY" in right:
        sys.exit("one of them is called NOT TRUSTWORTHY")
    if not right:
        print("SKIPPED: no p99 is right on this machine, so nothing is shown")
        sys.exit(77)


main()
