# SPDX-License-Identifier: MIT
"""Tables of medians, ratios and goals, for the screen and for Markdown."""

import json
from statistics import median, quantiles

from workloads import METRICS, SERVERS, WORKLOADS


def load(paths):
    """(facts, samples) of one or more recorded files."""
    facts, samples = [], []
    for path in paths:
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                (samples if "workload" in record else facts).append(record)
    return facts, samples


def rounded(value):
    """A figure as it is recorded: five digits."""
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    return float(f"{value:.5g}") if isinstance(value, float) else value


# Columns that are also shown as multiples of the baseline's.
BY_RATIO = ("cpu_us", "rate")


# The largest share of the processors that other programs may have used.
DISTURBED = 0.8


def is_disturbed(sample):
    return sample["raw"].get("others", 0) > DISTURBED


class Data:
    """figures[workload, server][metric][round], of undisturbed samples"""

    def __init__(self, samples):
        self.figures = {}
        self.left_out = sum(is_disturbed(s) for s in samples)
        for s in samples:
            if is_disturbed(s):
                continue
            of = self.figures.setdefault((s["workload"], s["server"]), {})
            for metric, value in s["figures"].items():
                of.setdefault(metric, {})[s["run"], s["round"]] = value
        self._add_growth()
        self._add_extra()

    def _add_growth(self):
        for (workload, server), of in list(self.figures.items()):
            base = self.get("echo64_c100", server, "cpu_us")
            if workload != "echo64_c10000" or not base:
                continue
            of["growth"] = {at: value / base[at]
                            for at, value in of["cpu_us"].items()
                            if at in base}

    def _add_extra(self):
        for (workload, server), of in list(self.figures.items()):
            clear = self.get(workload, SERVERS[server].clear, "cpu_us") \
                if server in SERVERS else {}
            if clear and "cpu_us" in of:
                of["extra_us"] = {at: value - clear[at]
                                  for at, value in of["cpu_us"].items()
                                  if at in clear}

    def get(self, workload, server, metric):
        return self.figures.get((workload, server), {}).get(metric, {})

    def servers(self, workload):
        return [server for at, server in self.figures if at == workload]

    def ratios(self, metric, mine, other):
        """Of two pairs of workload and server, round by round."""
        a, b = self.get(*mine, metric), self.get(*other, metric)
        return [a[at] / b[at] for at in a if b.get(at)]


def number(value, decimals):
    return f"{value:,.{decimals}f}"


def with_spread(values, decimals):
    """The median, and in parentheses the lowest and the highest; from eight
    values on, the middle half."""
    values = list(values)
    if not values:
        return "-"
    text = number(median(values), decimals)
    if len(values) == 1:
        return text
    low, high = min(values), max(values)
    if len(values) >= 8:
        low, _, high = quantiles(values, n=4)
    return f"{text} ({number(low, decimals)}–{number(high, decimals)})"


# The columns of a workload that names none.
USUAL = ("cpu_us", "extra_us", "rate", "p99_us", "switches", "idle_bytes", "growth",
         "stop_s", "instructions", "instructions_own", "syscalls",
         "syscalls_but_waits", "allocations", "errors")


def present(workload, data, servers):
    return [m for m in METRICS if m in (workload.shown or USUAL) and
            any(data.get(workload.name, s, m) for s in servers)]


def cells(workload, data, server, metric, baseline):
    """The figure, and for some metrics its ratio to the baseline."""
    out = [with_spread(data.get(workload.name, server, metric).values(),
                       METRICS[metric][2])]
    if metric in BY_RATIO:
        ratios = data.ratios(metric, (workload.name, server),
                             (workload.name, baseline))
        out.append("1" if server == baseline else with_spread(ratios, 2))
    return out


def heads(metric, baseline):
    name, unit, _ = METRICS[metric]
    return [f"{name}, {unit}" if unit else name] + \
        ([f"× {baseline}"] if metric in BY_RATIO else [])


def measured(workload, data, baseline):
    """The servers of a workload and the one they are compared with."""
    servers = [s for s in workload.servers if s in data.servers(workload.name)]
    return servers, baseline if baseline in servers else servers[0]


def workload_table(workload, data, baseline):
    """Rows of cells: a header, then one for each server."""
    servers, baseline = measured(workload, data, baseline)
    metrics = present(workload, data, servers)
    rows = [["server"] + sum((heads(m, baseline) for m in metrics), [])]
    for server in servers:
        rows.append([server] + sum((cells(workload, data, server, m, baseline)
                                    for m in metrics), []))
    return rows


def whole_table(workloads, data, baseline):
    """All workloads in one table, for the screen.  The server whose ratio is 1
    is the one that the others of its workload are compared with."""
    rows = [["workload", "server"] +
            sum((heads(m, "base") for m in ("cpu_us", "rate")), []) +
            ["p99, µs", "also"]]
    for workload in workloads:
        if not data.servers(workload.name):
            continue
        servers, base = measured(workload, data, baseline)
        for server in servers:
            also = [f"{METRICS[m][0]} "
                    f"{with_spread(data.get(workload.name, server, m).values(), METRICS[m][2])}"
                    for m in present(workload, data, servers)
                    if m not in ("cpu_us", "rate", "p99_us", "switches")
                    and data.get(workload.name, server, m)]
            rows.append([workload.name, server] + sum(
                (cells(workload, data, server, m, base)
                 for m in ("cpu_us", "rate", "p99_us")), []) +
                ["; ".join(also)])
    return rows


def versus_table(workloads, data, mine, other):
    """One server as a multiple of another, in each workload of both."""
    metrics = ("cpu_us", "rate", "p99_us")
    rows = [["workload"] + [METRICS[m][0] for m in metrics]]
    for workload in workloads:
        ratios = [data.ratios(m, (workload.name, mine), (workload.name, other))
                  for m in metrics]
        if ratios[0]:
            rows.append([workload.title] + [with_spread(r, 2) for r in ratios])
    return rows


def goals_table(data):
    rows = [["workload", "figure", "goal", "measured", "reached"]]
    for workload in WORKLOADS:
        for goal in workload.goals:
            mine = (workload.name, goal.server)
            if goal.against:
                other = (goal.against_workload or workload.name, goal.against)
                values = data.ratios(goal.metric, mine, other)
                what = (f"{goal.op} {goal.limit:.2f} × " + goal.against +
                        (f" in {goal.against_workload}" if goal.against_workload
                         else ""))
                decimals = 2
            else:
                values = list(data.get(*mine, goal.metric).values())
                unit, decimals = METRICS[goal.metric][1:]
                what = f"{goal.op} {goal.limit:g} {unit}".strip()
            if not values:
                continue
            got = median(values)
            ok = got <= goal.limit if goal.op == "<=" else got >= goal.limit
            name = METRICS[goal.metric][0]
            if goal.server != "weir":
                name += f", {goal.server}"
            rows.append([workload.name, name, what,
                         with_spread(values, decimals), "yes" if ok else "NO"])
    return rows


def plain(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(
        cell.ljust(width) if i in (0, len(row) - 1) else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(row, widths))).rstrip()
        for row in rows)


def markdown(rows):
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|---" * len(rows[0]) + "|")
    return "\n".join(lines)
