# SPDX-License-Identifier: MIT
"""Instructions, system calls and allocations for one message: the difference
between two runs of a server with few and with many messages."""

import contextlib
import os
import re
import select
import shutil
import tempfile

from loads import Trouble
from measure import running
from workloads import SERVERS

FEW, MANY = 2000, 12000
WAITS = {"epoll_wait", "epoll_pwait", "epoll_pwait2", "futex", "poll",
         "io_uring_enter"}
# weir asks for preemptions after a callback of 200 us, which only
# strace makes of an echo.
STRACE_MAKES = {"getrusage"}


def difference(few, many):
    return (many - few) / (MANY - FEW)


def exchange(bins, server, gen, load, messages, wrapper=(), env=None):
    with running(bins, server, 2, wrapper=wrapper, env=env) as it, \
            tracer_of(it.pid) as tracer:
        gen.open(it, load, 120, messages=messages)
        gen.begun()
        if gen.finish()["messages"] < messages:
            raise Trouble(f"{server} was too slow to be counted")
        it.stop()
        # It writes its counts after the end of the server.
        if tracer and not select.select([tracer], [], [], 30)[0]:
            raise Trouble("strace does not end")


@contextlib.contextmanager
def tracer_of(pid):
    """A descriptor of the process that traces this one; None: there is none."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        tracer = next(int(line.split()[1]) for line in status
                      if line.startswith("TracerPid:"))
    if not tracer:
        yield None
        return
    fd = os.pidfd_open(tracer)
    try:
        yield fd
    finally:
        os.close(fd)


def instructions_by_object(path):
    """Self cost by object file, from callgrind's own format."""
    totals, place, inclusive = {}, None, False
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith("ob="):
                place = line[3:].strip()
            elif line.startswith("calls="):
                inclusive = True
            elif line[:1].isdigit() or line[:1] in "+-*":
                if not inclusive:
                    totals[place] = totals.get(place, 0) + \
                        int(line.split()[1])
                inclusive = False
    return totals


def instructions(bins, server, gen, load, folder):
    runs = []
    for messages in (FEW, MANY):
        out = os.path.join(folder, f"callgrind.{messages}")
        exchange(bins, server, gen, load, messages, wrapper=[
            "valgrind", "-q", "--tool=callgrind", "--compress-strings=no",
            "--compress-pos=no", f"--callgrind-out-file={out}"])
        runs.append(instructions_by_object(out))
    per = {place: difference(runs[0].get(place, 0), cost)
           for place, cost in runs[1].items() if place}
    program = SERVERS[server].command[0].removesuffix("_stripped")
    own = re.compile(rf"lib{program.removeprefix('lib')}[-_.]|/{program}(_stripped)?$")
    return {"instructions": sum(per.values()),
            "instructions_own": sum(
                cost for place, cost in per.items() if own.search(place))}, {
                    os.path.basename(place): cost
                    for place, cost in per.items()}


def system_calls(bins, server, gen, load, folder):
    runs = []
    for messages in (FEW, MANY):
        out = os.path.join(folder, f"strace.{messages}")
        exchange(bins, server, gen, load, messages,
                 wrapper=["strace", "-D", "-f", "-c", "-o", out])
        with open(out, encoding="ascii") as table:
            rows = [line.split() for line in table]
        runs.append({row[-1]: int(row[3]) for row in rows
                     if len(row) >= 5 and row[3].isdigit()
                     and row[-1] != "total"})
    per = {name: difference(runs[0].get(name, 0), count)
           for name, count in runs[1].items()}
    per = {name: count for name, count in per.items()
           if abs(count) > 1e-3 and name not in STRACE_MAKES}
    return {"syscalls": sum(per.values()),
            "syscalls_but_waits": sum(count for name, count in per.items()
                                      if name not in WAITS)}, per


def allocations(bins, server, gen, load, folder):
    runs = []
    for messages in (FEW, MANY):
        out = os.path.join(folder, f"alloc.{messages}")
        exchange(bins, server, gen, load, messages, env={
            "LD_PRELOAD": os.path.join(bins, "alloc_count.so"),
            "ALLOC_COUNT": out})
        with open(out, encoding="ascii") as count:
            runs.append(int(count.read()))
    return {"allocations": difference(*runs)}, {}


def counts(bins, server, gen, load):
    """Everything that the installed tools can count."""
    out, raw = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for count, tool in ((instructions, "valgrind"),
                            (system_calls, "strace"), (allocations, None)):
            if tool and not shutil.which(tool):
                raw[count.__name__] = f"no {tool} here"
                continue
            more, detail = count(bins, server, gen, load, folder)
            out.update(more)
            raw[count.__name__] = detail
    return out, raw
