# SPDX-License-Identifier: MIT
"""What is measured: the servers, the workloads and their goals."""

from dataclasses import dataclass, field

BARE = "raw_epoll_reuseport"
BLOCKING = "raw_blocking_pool"


@dataclass
class Server:
    command: list          # program in bench/bin and its own arguments
    holds_thread: bool = False  # a thread for each connection
    threads: int = 0       # 0: as many as the workload says
    files: int = 0         # its limit of descriptors; 0: none
    system: dict = field(default_factory=dict)  # sysctls, by name
    clear: str = None      # it speaks TLS: the same server in clear


SERVERS = {
    "weir": Server(["weir"]),
    "weir_line": Server(["weir", "--style", "line"]),
    "weir_session": Server(["weir", "--style", "worker"], True),
    "weir_stacks": Server(["weir", "--style", "session"]),
    "weir_stripped": Server(["weir_stripped"]),
    "weir_tls": Server(["weir_tls"], clear="weir"),
    "raw_tls": Server(["raw_tls"], clear="raw_epoll_reuseport"),
    BARE: Server([BARE]),
    "raw_epoll_shared": Server(["raw_epoll_shared"]),
    "raw_epoll_edge": Server(["raw_epoll_shared", "--style", "edge"]),
    "raw_poller_queue": Server(["raw_poller_queue"]),
    "raw_iouring": Server(["raw_iouring"]),
    BLOCKING: Server([BLOCKING], True),
    "libevent": Server(["libevent"]),
    "libuv": Server(["libuv"]),
    "asio": Server(["asio"]),
    "asio_shared": Server(["asio", "--style", "shared"]),
    "poco": Server(["poco"], True),
    "thrift": Server(["thrift"], True),
    "state_threads": Server(["state_threads"]),
    "go": Server(["go"]),
    "go_16k": Server(["go", "--style", "16k"]),
    "go_tls": Server(["go"], clear="go"),
    "go_tls_16k": Server(["go", "--style", "16k"], clear="go_16k"),
    "python": Server(["python"]),
    "relay_weir": Server(["relay_weir"]),
    "relay_haproxy": Server(["relay_haproxy"]),
    "relay_nginx": Server(["relay_nginx"]),
}

BARES = [BARE, "raw_epoll_shared", "raw_epoll_edge", "raw_poller_queue",
         "raw_iouring"]
LOOPS = ["libevent", "libuv", "asio"]
# Those whose connections belong to one thread for life.
TIED = [BARE, "raw_iouring"] + LOOPS
POOLS = ["poco", "thrift"]
RELAYS = ["relay_weir", "relay_haproxy", "relay_nginx"]
TLS = ["weir_tls", "weir", "go_tls", "go"]


@dataclass
class Goal:
    """A limit for a metric of a server: absolute (against is None), or as a
    multiple of another server's or another workload's."""

    metric: str
    op: str                # "<=" or ">="
    limit: float
    against: str = None
    server: str = "weir"
    against_workload: str = None


@dataclass
class Workload:
    name: str
    title: str
    load: dict
    servers: list
    goals: list = field(default_factory=list)
    threads: int = 0       # 0: as many as processors
    kind: str = "load"     # load, half_peak, idle, stop, counts
    upstream: str = None   # the server that it relays to
    shown: tuple = ()      # metrics in the table; none: tables.USUAL


def cheaper(limit, *rivals, **more):
    """CPU per message, the main metric."""
    return [Goal("cpu_us", "<=", limit, rival, **more) for rival in rivals]


def level(part, *rivals, **more):
    """At least this part of the rival's messages in a second, and in a second
    of CPU time."""
    return [Goal("rate", ">=", part, rival, **more) for rival in rivals] + \
        cheaper(1 / part, *rivals, **more)


def shorter(limit, *rivals, metric="p99_us", **more):
    return [Goal(metric, "<=", limit, rival, **more) for rival in rivals]


def echo(connections, size=64, depth=1, **more):
    return dict(connections=connections, size=size, depth=depth, **more)


IDLE = 15000

WORKLOADS = [
    Workload("echo64_c100", "echo 64 B, depth 1, 100 connections", echo(100),
             ["weir"] + BARES + [BLOCKING] + LOOPS + ["asio_shared"] + POOLS +
             ["go", "python"],
             cheaper(1.03, BARE) + [Goal("rate", ">=", 0.98, BARE)] +
             level(1.0, *LOOPS, "go") + level(1.5, *POOLS) +
             shorter(0.5, *TIED)),
    Workload("echo64_c10", "echo 64 B, depth 1, 10 connections", echo(10),
             ["weir", BARE, "raw_iouring", "libuv", "go"], cheaper(1.05, BARE)),
    Workload("echo64_c1000", "echo 64 B, depth 1, 1,000 connections",
             echo(1000),
             ["weir", BARE, "raw_iouring", "libuv", "go"], cheaper(1.05, BARE)),
    Workload("echo64_c10000", "echo 64 B, depth 1, 10,000 connections",
             echo(10000),
             ["weir", BARE, "raw_iouring", "libuv", "go"],
             cheaper(1.05, BARE) + [Goal("growth", "<=", 1.05, BARE)]),
    Workload("pingpong", "one connection, ping-pong", echo(1),
             ["weir", BARE, "raw_iouring", BLOCKING, "libuv", "go"],
             level(0.97, BLOCKING)),
    Workload("echo64_d16", "echo 64 B, depth 16, 100 connections",
             echo(100, depth=16),
             ["weir", BARE, "raw_iouring", "libevent", "libuv", "go"],
             level(0.97, BARE)),
    Workload("echo16k", "echo 16 KiB, 100 connections", echo(100, size=16384),
             ["weir", BARE, "raw_iouring", "libevent", "libuv", "go"],
             level(1.0, BARE, "libuv")),
    Workload("churn", "churn: connect, one exchange, close; 50 at a time",
             echo(50, churn=True, sources=8),
             ["weir", BARE, "raw_epoll_edge", "raw_iouring", BLOCKING,
              "libevent", "libuv", "go", "poco", "thrift"],
             level(1.0, BARE, "go") + level(0.95, "libevent", "libuv")),
    Workload("slow_callbacks", "open loop 20,000/s on 50 connections while 2 "
             "others make their callback sleep 10 ms; 4 workers",
             echo(50, rate=20000, sleepers=2, sleep_ms=10),
             ["weir", BARE, "raw_epoll_edge", "raw_iouring", "libevent",
              "libuv", "asio", "asio_shared", "go", "poco"],
             shorter(0.02, BARE, "libuv") + shorter(1.5, "go", "poco"),
             threads=4),
    Workload("half_peak", "open loop at half of each server's own peak, "
             "100 connections", echo(100),
             ["weir", BARE] + LOOPS + ["asio_shared", "go"] + POOLS,
             shorter(1.0, *LOOPS, "go", *POOLS), kind="half_peak"),
    Workload("active50", "50 active connections", echo(50),
             ["weir", BARE, "libuv", "go"]),
    Workload("active50_idle", f"50 active among {IDLE:,} idle",
             echo(50, idle=IDLE),
             ["weir", BARE, "raw_iouring", "libevent", "libuv", "asio", "go"],
             [Goal("idle_bytes", "<=", 512),
              Goal("cpu_us", "<=", 1.1, "weir", against_workload="active50"),
              Goal("p99_us", "<=", 1.1, "weir", against_workload="active50")]),
    Workload("session", "session style, connections = workers = 100", echo(100),
             ["weir_session", BLOCKING, "poco", "thrift"],
             level(1.0, BLOCKING, server="weir_session")),
    Workload("stacks", "sessions on stacks of their own, 100 connections",
             echo(100),
             ["weir_stacks", "weir", BLOCKING, "state_threads", "go", "poco"],
             cheaper(1.05, "weir", server="weir_stacks") +
             cheaper(0.7, BLOCKING, server="weir_stacks") +
             [Goal("rate", ">=", 1.0, BLOCKING, "weir_stacks")]),
    Workload("stacks_c1000", "the same, 1,000 connections", echo(1000),
             ["weir_stacks", "weir", "state_threads", "go"],
             cheaper(1.08, "weir", server="weir_stacks")),
    # State Threads of Debian waits by select(2), for 1,024 at most.
    Workload("stacks_c10000", "the same, 10,000 connections", echo(10000),
             ["weir_stacks", "weir", "go"],
             cheaper(1.08, "weir", server="weir_stacks")),
    Workload("stacks_churn", "the same: connect, one exchange, close; 50 at a "
             "time", echo(50, churn=True, sources=8),
             ["weir_stacks", "weir", "go"],
             cheaper(1.05, "weir", server="weir_stacks")),
    Workload("stacks_slow", "the same: open loop 20,000/s on 50 connections "
             "while 2 others sleep 10 ms; 4 workers",
             echo(50, rate=20000, sleepers=2, sleep_ms=10),
             ["weir_stacks", "weir", "go"],
             shorter(1.2, "weir", server="weir_stacks"), threads=4),
    Workload("relay64", "a relay before an echo server: 64 B, "
             "100 connections", echo(100), RELAYS,
             cheaper(1.0, *RELAYS[1:], server="relay_weir"), upstream=BARE),
    Workload("relay16k", "the same, 16 KiB", echo(100, size=16384), RELAYS,
             cheaper(1.0, *RELAYS[1:], server="relay_weir"), upstream=BARE),
    Workload("tls64", "TLS 1.3: echo 64 B, 100 connections", echo(100),
             TLS + ["raw_tls", BARE],
             cheaper(1.05, "go_tls", server="weir_tls") +
             cheaper(1, "raw_tls", server="weir_tls") +
             [Goal("extra_us", "<=", 2.2, server="weir_tls")]),
    Workload("tls16k", "the same, 16 KiB", echo(100, size=16384),
             TLS + ["go_tls_16k", "go_16k"],
             cheaper(0.6, "go_tls", server="weir_tls")),
    Workload("tls_idle", "the same, 2,000 connections that are idle after one "
             "echo", dict(idle=2000), TLS,
             [Goal("idle_bytes", "<=", 15500, server="weir_tls")],
             kind="idle"),
    Workload("lines", "lines of 32 bytes, depth 16, 100 connections",
             echo(100, size=32, depth=16), ["weir_line", "weir"],
             level(0.9, "weir", server="weir_line")),
    Workload("bookkeeping", "the same server without counters, histograms, "
             "deadlines and log", echo(100), ["weir", "weir_stripped"],
             cheaper(1.03, "weir_stripped")),
    Workload("stop", f"stop with {IDLE:,} idle", echo(1, idle=IDLE), ["weir"],
             [Goal("stop_s", "<=", 1.0)], kind="stop"),
    Workload("counts", "cost of the code, for each 64-byte echo", echo(100),
             ["weir", "weir_stripped", BARE, "libevent", "libuv"],
             [Goal("instructions_own", "<=", 1000),
              Goal("syscalls_but_waits", "<=", 2.01),
              Goal("allocations", "<=", 0.001)], kind="counts"),
]

# metric: (what it is, unit, decimals)
METRICS = {
    "cpu_us": ("CPU per message", "µs", 2),
    "cpu_rel": ("the same over the load's own", "×", 2),
    "extra_us": ("CPU over that in clear", "µs", 2),
    "rate": ("messages per second", "", 0),
    "p50_us": ("median latency", "µs", 0),
    "p99_us": ("p99 latency", "µs", 0),
    "p999_us": ("p99.9 latency", "µs", 0),
    "connect_p99_us": ("p99 of connecting", "µs", 0),
    "connect_max_us": ("longest time to connect", "µs", 0),
    "errors": ("errors", "", 0),
    "unserved": ("connections never answered", "", 0),
    "switches": ("context switches per message", "", 3),
    "rss_kib": ("resident memory", "KiB", 0),
    "idle_bytes": ("memory per idle connection", "B", 0),
    "growth": ("CPU over that at 100 connections", "×", 2),
    "stop_s": ("time to stop", "s", 2),
    "instructions": ("instructions per message", "", 0),
    "instructions_own": ("its own instructions", "", 0),
    "syscalls": ("system calls per message", "", 2),
    "syscalls_but_waits": ("without waits", "", 2),
    "allocations": ("allocations per message", "", 3),
}
