# SPDX-License-Identifier: MIT
"""The workloads of docs/TUNING.md: weir against itself with other settings.
The other servers of a workload are compared with its first."""

from workloads import SERVERS, Server, Workload, echo

WORKERS = (1, 2, 3, 4, 8, 16)
SLEEPERS = (2, 8, 32, 64, 128)
QUEUES = (128, 1, 16, 4096)
LIMITS = (10000, 100, 100000, 1000000)

COST = ("cpu_us", "rate", "p99_us")


def weir(style="", **more):
    return Server(["weir", "--style", style] if style else ["weir"], **more)


def tcp(control):
    return weir(system={"net.ipv4.tcp_congestion_control": control})


SERVERS.update({
    **{f"workers_{n}": weir(threads=n) for n in {*WORKERS, *SLEEPERS}},
    **{f"queue_{n}": weir(f"queue={n}", threads=4) for n in QUEUES},
    "queue_128_refuse": weir("queue=128,refuse", threads=4),
    "queue_16_refuse": weir("queue=16,refuse", threads=4),
    **{f"limit_{n}": weir(f"limit={n}") for n in LIMITS},
    "files_any": weir(),
    "files_1024": weir(files=1024),
    "backlog_4096": weir(),
    "backlog_128": weir("backlog=128"),
    "somaxconn_128": weir(system={"net.core.somaxconn": 128}),
    **{f"tcp_{name}": tcp(name) for name in ("reno", "bbr")},
    "default": weir(),
    "spread": weir("spread"),
    "nodelay": weir(),
    "nagle": weir("nagle"),
    "quickack": weir("quickack"),
    "defer_accept": weir("defer"),
})

TUNING = [
    Workload("tuning_workers", "workers, callbacks that never wait",
             echo(100), [f"workers_{n}" for n in sorted(
                 WORKERS, key=lambda n: (n != 2, n))], shown=COST),
    Workload("tuning_blocking", "workers, each callback sleeps 5 ms; "
             "64 connections", dict(connections=64, text="SLEEP 5\n"),
             [f"workers_{n}" for n in SLEEPERS], shown=COST),
    Workload("tuning_queue", "queue of 4 workers; churn of 200 whose callbacks "
             "sleep 1 ms", dict(connections=200, text="SLEEP 1\n", churn=True,
                                sources=8),
             [f"queue_{n}" for n in QUEUES], shown=COST),
    Workload("tuning_refuse", "the same, refused when the queue is full",
             dict(connections=200, text="SLEEP 1\n", churn=True, sources=8),
             ["queue_128", "queue_128_refuse", "queue_16_refuse"],
             shown=("rate", "p99_us", "errors")),
    Workload("tuning_limit", "max_connections; one connection", echo(1),
             [f"limit_{n}" for n in LIMITS], shown=("rss_kib",)),
    Workload("tuning_files", "limit of descriptors; 2,000 connections",
             echo(2000, patience=2), ["files_any", "files_1024"],
             shown=("rate", "unserved")),
    Workload("tuning_backlog", "backlog; 2,000 connections at once", echo(2000),
             ["backlog_4096", "backlog_128", "somaxconn_128"],
             shown=("connect_p99_us", "connect_max_us")),
    Workload("tuning_tcp", "congestion control", echo(100),
             ["tcp_reno", "tcp_bbr"], shown=COST),
    Workload("tuning_affinity", "workers bound to processors", echo(100),
             ["default", "spread"], shown=COST),
    Workload("tuning_nodelay", "TCP_NODELAY off; depth 16", echo(100, depth=16),
             ["nodelay", "nagle"], shown=COST),
    Workload("tuning_quickack", "TCP_QUICKACK in each callback", echo(100),
             ["default", "quickack"], shown=COST),
    Workload("tuning_defer", "TCP_DEFER_ACCEPT; churn, 50 at a time",
             echo(50, churn=True, sources=8), ["default", "defer_accept"],
             shown=COST),
]
