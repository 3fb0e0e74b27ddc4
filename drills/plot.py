"""A small SVG: figures over time, a panel for each kind, a line for each thing measured."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from xml.sax.saxutils import escape

WIDTH, PANEL, GAP, LEFT, RIGHT, TOP = 720, 130, 62, 70, 20, 40
LEGEND, ROW = 4, 18
COLORS = ("#1f5fbf", "#c2410c", "#15803d", "#7c3aed", "#525252")
DASHES = ("", "6 3", "2 3", "8 3 2 3")
"""Lines are told apart without their color, too."""

Line = Sequence[tuple[float, float]]
"""Points: seconds from the beginning, and the figure."""


def draw(title: str, panels: Mapping[str, Mapping[str, Line]]) -> str:
    """The picture as SVG text.

    Args:
        title: above all panels.
        panels: by what it shows and its unit, the lines by what they belong to; none is empty.
    """
    tops = list(accumulate(map(height, panels.values()), initial=TOP))
    last = max(at for lines in panels.values() for line in lines.values() for at, _ in line)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {tops[-1]}"'
        f' font-family="sans-serif" font-size="12" role="img" aria-label="{escape(title)}">',
        f'<rect width="{WIDTH}" height="{tops[-1]}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="20" font-size="15">{escape(title)}</text>',
    ]
    for top, (name, lines) in zip(tops, panels.items(), strict=False):
        parts += panel(top, name, lines, last)
    return "\n".join([*parts, "</svg>"]) + "\n"


def height(lines: Mapping[str, Line]) -> int:
    """The height of a panel with the legend below it, a row of which has four lines' names."""
    return PANEL + GAP + (len(lines) - 1) // LEGEND * ROW


def panel(top: float, name: str, lines: Mapping[str, Line], last: float) -> list[str]:
    """One panel over `last` seconds."""
    bottom, across = top + PANEL, (WIDTH - LEFT - RIGHT) / max(last, 1.0)
    share, marks = scale(figure for line in lines.values() for _, figure in line)
    parts = [f'<text x="{LEFT}" y="{top - 6}">{escape(name)}</text>']
    for mark in marks:
        down = bottom - share(mark) * PANEL
        parts.append(f'<path d="M{LEFT} {down:.1f}H{WIDTH - RIGHT}" stroke="#dddddd"/>')
        figure = f"{mark:,.0f}" if mark >= 100 else f"{mark:.3g}"
        parts.append(f'<text x="{LEFT - 8}" y="{down + 4:.1f}" text-anchor="end">{figure}</text>')
    minutes = max(1, round(last / 60))
    for minute in range(0, minutes + 1, max(1, minutes // 6)):
        at = f"{LEFT + minute * 60 * across:.1f}"
        parts.append(f'<text x="{at}" y="{bottom + 16}" text-anchor="middle">{minute} min</text>')
    for number, (what, line) in enumerate(lines.items()):
        stroke = f'stroke="{COLORS[number % 5]}" stroke-dasharray="{DASHES[number % 4]}"'
        path = "M" + "L".join(
            f"{LEFT + at * across:.1f} {bottom - share(figure) * PANEL:.1f}" for at, figure in line
        )
        left, legend = LEFT + number % LEGEND * 160, bottom + 34 + number // LEGEND * ROW
        parts.append(f'<path d="{path}" fill="none" stroke-width="1.5" {stroke}/>')
        parts.append(f'<path d="M{left} {legend}h28" stroke-width="2" {stroke}/>')
        parts.append(f'<text x="{left + 34}" y="{legend + 4}">{escape(what)}</text>')
    return parts


def scale(figures: Iterable[float]) -> tuple[Callable[[float], float], list[float]]:
    """Returns a function from a figure to its share of the panel's height, and the figures to mark.

    From zero to a little above the highest; by powers of ten where that is over a hundred times the
    lowest one, which is then above zero.
    """
    ordered = sorted(figures)
    low, high = ordered[0], ordered[-1]
    if not 0 < low < high / 100:
        most = high * 1.1 or 1.0
        return lambda figure: figure / most, [0.0, most / 2, most]
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    marks = [10.0**power for power in range(first, last + 1)]
    return lambda figure: (math.log10(figure) - first) / (last - first), marks
