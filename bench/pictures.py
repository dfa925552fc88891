# SPDX-License-Identifier: MIT
"""SVG pictures of medians with their spread, drawn by matplotlib (Debian:
python3-matplotlib)."""

import os
import textwrap
from statistics import median

from workloads import METRICS

OURS, OTHERS = "#0969da", "#8c959f"
# Workload, metric, whether the scale is logarithmic.
BARS = [("echo64_c100", "cpu_us", False), ("echo64_c100", "p99_us", True),
        ("churn", "cpu_us", False), ("slow_callbacks", "p99_us", True),
        ("active50_idle", "idle_bytes", True)]
# Numbers of connections with their workloads, and the servers to show.
BY_CONNECTIONS = [(1, "pingpong"), (10, "echo64_c10"), (100, "echo64_c100"),
          (1000, "echo64_c1000"), (10000, "echo64_c10000")]
SHOWN = {"weir": ("o", OURS), "raw_epoll_reuseport": ("s", "#24292f"),
            "raw_iouring": ("^", "#9a6700"), "libuv": ("D", "#8250df"),
            "go": ("v", "#1a7f37")}


def plotter():
    """matplotlib's pyplot, or None if it is not installed."""
    try:
        import matplotlib
    except ImportError:
        return None
    matplotlib.use("svg")
    from matplotlib import pyplot
    pyplot.rcParams.update({
        "font.family": "DejaVu Sans", "font.size": 10,
        "svg.hashsalt": "weir", "svg.fonttype": "none",
        "axes.spines.top": False, "axes.spines.right": False})
    return pyplot


def label(metric):
    name, unit, _ = METRICS[metric]
    return f"{name}, {unit}" if unit else name


def spread(values):
    """Distances of the lowest and the highest from the median."""
    middle = median(values)
    return middle - min(values), max(values) - middle


def finish(pyplot, figure, path):
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    with open(path, encoding="utf-8") as file:
        lines = [line.rstrip() for line in file]
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def bars(pyplot, workload, metric, is_log, data, path):
    """A bar for each server of the workload, the smallest on top."""
    rows = [(server, list(data.get(workload.name, server, metric).values()))
            for server in data.servers(workload.name)]
    rows = sorted(((s, v) for s, v in rows if v),
                  key=lambda row: -median(row[1]))
    if not rows:
        return False
    figure, axes = pyplot.subplots(
        figsize=(7.5, 1.2 + 0.28 * len(rows)), layout="constrained")
    middles = [median(values) for _, values in rows]
    spreads = list(zip(*(spread(values) for _, values in rows)))
    drawn = axes.barh(
        [server for server, _ in rows], middles, xerr=spreads, log=is_log,
        color=[OURS if server.startswith("weir") else OTHERS
               for server, _ in rows],
        error_kw={"elinewidth": 1, "capsize": 2, "ecolor": "#24292f"})
    decimals = METRICS[metric][2]
    for bar, middle, high in zip(drawn, middles, spreads[1]):
        axes.annotate(f"{middle:,.{decimals}f}",
                      (middle + high, bar.get_y() + bar.get_height() / 2),
                      xytext=(5, 0), textcoords="offset points", va="center")
    axes.margins(x=0.12)
    axes.set_xlabel(label(metric) + (", logarithmic" if is_log else ""))
    figure.suptitle("\n".join(textwrap.wrap(workload.title, 90)), x=0.01,
                    ha="left", fontsize=10)
    finish(pyplot, figure, path)
    return True


def by_connections(pyplot, data, path):
    """CPU per message against the number of connections."""
    figure, axes = pyplot.subplots(figsize=(7.5, 3.6), layout="constrained")
    for server, (marker, color) in SHOWN.items():
        points = [(count, list(data.get(workload, server, "cpu_us").values()))
                  for count, workload in BY_CONNECTIONS]
        points = [(count, values) for count, values in points if values]
        if points:
            axes.errorbar(
                [count for count, _ in points],
                [median(values) for _, values in points],
                yerr=list(zip(*(spread(values) for _, values in points))),
                marker=marker, color=color, label=server, capsize=2)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("connections, 64 bytes, depth 1")
    axes.set_ylabel(label("cpu_us"))
    axes.grid(axis="y", color="#d0d7de")
    axes.legend(frameon=False)
    finish(pyplot, figure, path)


def draw(data, workloads, folder):
    """Draw all; False without matplotlib."""
    pyplot = plotter()
    if pyplot is None:
        return False
    os.makedirs(folder, exist_ok=True)
    by_name = {workload.name: workload for workload in workloads}
    for name, metric, is_log in BARS:
        bars(pyplot, by_name[name], metric, is_log, data,
             os.path.join(folder, f"{name}-{metric}.svg"))
    if data.get("echo64_c100", "weir", "cpu_us"):
        by_connections(pyplot, data,
                       os.path.join(folder, "connections-cpu_us.svg"))
    return True
