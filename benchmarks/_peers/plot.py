"""mIoU over milliseconds as SVG, written by hand: no plotting package is needed."""

from __future__ import annotations

import math
from html import escape

from _peers.findings import Findings, Row
from _peers.roster import is_nncf, is_ours

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 460, 60, 220, 40, 50
LINE = 14
COLOURS = (("ours", "#c2410c"), ("nncf", "#1d4ed8"), ("others", "#6b7280"))


def plot(found: Findings) -> str:
    """One dot per contestant: milliseconds of the plain network (logarithmic), mIoU on CamVid val."""
    rows = [r for r in found.rows if r.miou is not None and "native" in r.times]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="14">{escape(found.network)}: mIoU on CamVid val '
        "over milliseconds of the network</text>",
    ]
    if rows:
        parts += _drawn(rows)
    return "\n".join([*parts, "</svg>", ""])


def _drawn(rows: list[Row]) -> list[str]:
    times = [r.times["native"].network.p50 for r in rows]
    scores = [r.miou or 0.0 for r in rows]
    low, high = math.log(min(times) * 0.85), math.log(max(times) * 1.15)
    floor, top = math.floor(min(scores) - 0.5), math.ceil(max(scores) + 0.5)

    def x(ms: float) -> float:
        return LEFT + (math.log(ms) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(miou: float) -> float:
        return HEIGHT - BOTTOM - (miou - floor) / (top - floor) * (HEIGHT - TOP - BOTTOM)

    parts = []
    for ms in (
        m for m in (2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300) if low <= math.log(m) <= high
    ):
        parts.append(_line(x(ms), TOP, x(ms), HEIGHT - BOTTOM))
        parts.append(f'<text x="{x(ms):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{ms} ms</text>')
    step = max(1, (top - floor) // 8)
    for score in range(floor, top + 1, step):
        parts.append(_line(LEFT, y(score), WIDTH - RIGHT, y(score)))
        parts.append(f'<text x="{LEFT - 8}" y="{y(score) + 4:.1f}" text-anchor="end">{score}</text>')
    below = -math.inf
    for row in sorted(rows, key=lambda r: y(r.miou or 0.0)):
        here = x(row.times["native"].network.p50), y(row.miou or 0.0)
        below = max(here[1] + 4, below + LINE)
        parts.append(_line(here[0], here[1], WIDTH - RIGHT + 8, below - 4, "#d1d5db"))
        parts.append(f'<circle cx="{here[0]:.1f}" cy="{here[1]:.1f}" r="5" fill="{_colour(row)}"/>')
        parts.append(
            f'<text x="{WIDTH - RIGHT + 10}" y="{below:.1f}" fill="{_colour(row)}">{escape(row.label)}</text>'
        )
    return parts


def _colour(row: Row) -> str:
    kind = "ours" if is_ours(row.name) else "nncf" if is_nncf(row.name) else "others"
    return dict(COLOURS)[kind]


def _line(x1: float, y1: float, x2: float, y2: float, colour: str = "#e5e7eb") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'
