# SPDX-License-Identifier: MIT
"""Bars of medians with their spread, as SVG; a logarithmic scale where the
longest is more than thirty times the shortest."""

from math import log10
from statistics import median
from xml.sax.saxutils import escape

from tables import number
from works import METRICS

WIDTH, LEFT, ROW, TOP = 720, 160, 24, 44
ROOM = WIDTH - LEFT - 90
STYLE = """text{font:13px sans-serif;fill:#24292f}
rect{fill:#8c959f} .own{fill:#0969da}
line{stroke:#24292f} .back{fill:#fff}
@media (prefers-color-scheme:dark){text{fill:#e6edf3} line{stroke:#e6edf3}
.back{fill:#0d1117}}"""


def scale(values):
    low, high = min(values), max(values)
    if low > 0 and high > 30 * low:
        floor = log10(low) - 0.3
        return lambda v: (log10(v) - floor) / (log10(high) - floor) * ROOM
    return lambda v: v / high * ROOM


def bars(title, metric, data, work):
    """An SVG with one bar for each server of the work, the best first."""
    name, unit, decimals = METRICS[metric]
    rows = [(server, list(data.get(work, server, metric).values()))
            for server in data.servers(work)]
    rows = sorted(((s, v) for s, v in rows if v),
                  key=lambda row: median(row[1]))
    if not rows:
        return None
    at = scale([v for _, values in rows for v in values])
    height = TOP + ROW * len(rows) + 8
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
           f'height="{height}" viewBox="0 0 {WIDTH} {height}" role="img">',
           f"<title>{escape(title)}</title><style>{STYLE}</style>",
           '<rect class="back" width="100%" height="100%"/>',
           f'<text x="8" y="22">{escape(title)}: '
           f'{escape(name)}{", " + unit if unit else ""}</text>']
    for i, (server, values) in enumerate(rows):
        y, middle = TOP + i * ROW, median(values)
        own = ' class="own"' if server.startswith("weir") else ""
        low, high = at(min(values)), at(max(values))
        out.append(
            f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">'
            f'{escape(server)}</text>'
            f'<rect{own} x="{LEFT}" y="{y}" width="{at(middle):.1f}" '
            f'height="{ROW - 8}"/>'
            f'<line x1="{LEFT + low:.1f}" x2="{LEFT + high:.1f}" '
            f'y1="{y + 8}" y2="{y + 8}"/>'
            f'<text x="{LEFT + high + 6:.1f}" y="{y + 13}">'
            f'{number(middle, decimals)}</text>')
    return "\n".join(out + ["</svg>", ""])
