# SPDX-License-Identifier: MIT
"""From samples to medians, ratios and verdicts, for the screen and for
Markdown."""

import json
from statistics import median, quantiles

from works import METRICS, WORKS


def load(paths):
    """(facts, samples) of one or more recorded files."""
    facts, samples = [], []
    for path in paths:
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                (samples if "work" in record else facts).append(record)
    return facts, samples


def rounded(value):
    """What is written down of a figure: five digits."""
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    return float(f"{value:.5g}") if isinstance(value, float) else value


# Columns that are also shown as multiples of the baseline's.
BY_RATIO = ("cpu_us", "rate")


# The most of the machine that other programs may have used meanwhile.
DISTURBED = 0.8


def is_disturbed(sample):
    return sample["raw"].get("others", 0) > DISTURBED


class Data:
    """figures[work, server][metric][round], of undisturbed samples"""

    def __init__(self, samples):
        self.figures = {}
        self.left_out = sum(is_disturbed(s) for s in samples)
        for s in samples:
            if is_disturbed(s):
                continue
            of = self.figures.setdefault((s["work"], s["server"]), {})
            for metric, value in s["figures"].items():
                of.setdefault(metric, {})[s["run"], s["round"]] = value
        self._add_growth()

    def _add_growth(self):
        for (work, server), of in list(self.figures.items()):
            base = self.get("echo64_c100", server, "cpu_us")
            if work != "echo64_c10000" or not base:
                continue
            of["growth"] = {at: value / base[at]
                            for at, value in of["cpu_us"].items()
                            if at in base}

    def get(self, work, server, metric):
        return self.figures.get((work, server), {}).get(metric, {})

    def servers(self, work):
        return [server for at, server in self.figures if at == work]

    def ratios(self, metric, mine, other):
        """Of two (work, server), round by round."""
        a, b = self.get(*mine, metric), self.get(*other, metric)
        return [a[at] / b[at] for at in a if b.get(at)]


def number(value, decimals):
    return f"{value:,.{decimals}f}"


def with_spread(values, decimals):
    """The median and in parentheses the lowest and the highest; of eight and
    more, the middle half."""
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


# Columns of a work that asks for none.
USUAL = ("cpu_us", "rate", "p99_us", "switches", "idle_bytes", "growth",
         "stop_s", "instructions", "instructions_own", "syscalls",
         "syscalls_but_waits", "allocations", "errors")


def present(work, data, servers):
    return [m for m in METRICS if m in (work.shown or USUAL) and
            any(data.get(work.name, s, m) for s in servers)]


def cells(work, data, server, metric, baseline):
    """The figure, and where that says something its ratio."""
    out = [with_spread(data.get(work.name, server, metric).values(),
                       METRICS[metric][2])]
    if metric in BY_RATIO:
        ratios = data.ratios(metric, (work.name, server),
                             (work.name, baseline))
        out.append("1" if server == baseline else with_spread(ratios, 2))
    return out


def heads(metric, baseline):
    name, unit, _ = METRICS[metric]
    return [f"{name}, {unit}" if unit else name] + \
        ([f"× {baseline}"] if metric in BY_RATIO else [])


def measured(work, data, baseline):
    """The servers of a work and the one they are compared with."""
    servers = [s for s in work.servers if s in data.servers(work.name)]
    return servers, baseline if baseline in servers else servers[0]


def work_table(work, data, baseline):
    """Rows of cells: a header, then one for each server."""
    servers, baseline = measured(work, data, baseline)
    metrics = present(work, data, servers)
    rows = [["server"] + sum((heads(m, baseline) for m in metrics), [])]
    for server in servers:
        rows.append([server] + sum((cells(work, data, server, m, baseline)
                                    for m in metrics), []))
    return rows


def whole_table(works, data, baseline):
    """All works in one, for the screen: what each server's cell is compared
    with is the first of its work that is "1.00"."""
    rows = [["work", "server"] +
            sum((heads(m, "base") for m in ("cpu_us", "rate")), []) +
            ["p99, µs", "also"]]
    for work in works:
        if not data.servers(work.name):
            continue
        servers, base = measured(work, data, baseline)
        for server in servers:
            also = [f"{METRICS[m][0]} "
                    f"{with_spread(data.get(work.name, server, m).values(), METRICS[m][2])}"
                    for m in present(work, data, servers)
                    if m not in ("cpu_us", "rate", "p99_us", "switches")
                    and data.get(work.name, server, m)]
            rows.append([work.name, server] + sum(
                (cells(work, data, server, m, base)
                 for m in ("cpu_us", "rate", "p99_us")), []) +
                ["; ".join(also)])
    return rows


def versus_table(works, data, mine, other):
    """One server as a multiple of another, in each work of both."""
    metrics = ("cpu_us", "rate", "p99_us")
    rows = [["work"] + [METRICS[m][0] for m in metrics]]
    for work in works:
        ratios = [data.ratios(m, (work.name, mine), (work.name, other))
                  for m in metrics]
        if ratios[0]:
            rows.append([work.title] + [with_spread(r, 2) for r in ratios])
    return rows


def wants_table(data):
    rows = [["work", "figure", "wanted", "measured", "reached"]]
    for work in WORKS:
        for want in work.wants:
            mine = (work.name, want.server)
            if want.against:
                other = (want.against_work or work.name, want.against)
                values = data.ratios(want.metric, mine, other)
                what = (f"{want.op} {want.limit:.2f} × " + want.against +
                        (f" in {want.against_work}" if want.against_work
                         else ""))
                decimals = 2
            else:
                values = list(data.get(*mine, want.metric).values())
                unit, decimals = METRICS[want.metric][1:]
                what = f"{want.op} {want.limit:g} {unit}".strip()
            if not values:
                continue
            got = median(values)
            ok = got <= want.limit if want.op == "<=" else got >= want.limit
            name = METRICS[want.metric][0]
            if want.server != "weir":
                name += f", {want.server}"
            rows.append([work.name, name, what,
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
