"""Seconds against faces as an SVG, both axes logarithmic; thin lines are decades."""

import math
from dataclasses import dataclass

WIDE, HIGH, MARGIN = 640, 400, 64
FEWEST, MOST = 8e3, 2.5e6
"""Faces from the left to the right."""


@dataclass(frozen=True)
class Series:
    title: str
    color: str
    points: list[tuple[int, float]]
    """(faces, seconds)"""


def drawing(series: list[Series]) -> str:
    """The text of the file."""
    every = [seconds for one in series for _, seconds in one.points]
    low = math.floor(math.log10(min(every)))
    high = max(math.ceil(math.log10(max(every))), low + 1)

    def place(faces: float, seconds: float) -> tuple[float, float]:
        x = math.log10(faces / FEWEST) / math.log10(MOST / FEWEST)
        y = (math.log10(seconds) - low) / (high - low)
        return MARGIN + x * (WIDE - 2 * MARGIN), HIGH - MARGIN - y * (HIGH - 2 * MARGIN)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDE}" height="{HIGH}" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
    ]
    for decade in range(low, high + 1):
        x, y = place(FEWEST, 10**decade)
        parts.append(f'<path d="M{x:.1f} {y:.1f}H{WIDE - MARGIN}" stroke="#ddd"/>')
        parts.append(_text(x - 6, y + 4, f"{10**decade:g} s", "end"))
    for decade in (4, 5, 6):
        x, y = place(10**decade, 10**low)
        parts.append(f'<path d="M{x:.1f} {y:.1f}V{MARGIN}" stroke="#ddd"/>')
        parts.append(_text(x, y + 18, f"{10**decade:,} faces", "middle"))
    for k, one in enumerate(series):
        spots = [place(*point) for point in one.points]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{one.color}" stroke-width="2"/>'
        )
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{one.color}"/>' for x, y in spots]
        parts.append(_text(MARGIN + 12, MARGIN + 16 * k, one.title, "start", one.color))
    return "\n".join([*parts, "</svg>", ""])


def _text(x: float, y: float, words: str, anchor: str, color: str = "#444") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">{words}</text>'
