"""A small SVG: cost against size, both axes logarithmic, a line for each side."""

import math
from collections.abc import Mapping
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 40, 95
COLORS = ("#1f5fbf", "#c2410c", "#15803d", "#7c3aed", "#525252")
DASHES = ("", "6 3", "2 3", "8 3 2 3", "1 4")
"""Lines are told apart without their color, too."""

Series = Mapping[str, Mapping[float, float]]
"""By side: seconds by size."""


class Axis:
    """A logarithmic axis over whole decades, between two places in the picture."""

    def __init__(self, values: list[float], first: float, last: float) -> None:
        self.low = math.floor(math.log10(min(values)) + 1e-9)
        self.high = max(math.ceil(math.log10(max(values)) - 1e-9), self.low + 1)
        self.first, self.last = first, last

    def place(self, value: float) -> float:
        """Returns the position of a value on the axis, in the picture's units."""
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.first + share * (self.last - self.first)

    @property
    def decades(self) -> list[float]:
        """The powers of ten that the axis covers."""
        return [10.0**power for power in range(self.low, self.high + 1)]


def draw(series: Series, title: str, size_name: str) -> str:
    """The picture as SVG text; sides without a point are left out."""
    lines = {side: dict(sorted(points.items())) for side, points in series.items() if points}
    x = Axis([size for points in lines.values() for size in points], LEFT, WIDTH - RIGHT)
    y = Axis([cost for points in lines.values() for cost in points.values()], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        f' font-family="sans-serif" font-size="12" role="img" aria-label="{escape(title)}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{escape(title)}: seconds by {size_name},'
        " both logarithmic</text>",
        *grid(x, y),
    ]
    for number, (side, points) in enumerate(lines.items()):
        parts += line(number, side, points, x, y)
    return "\n".join([*parts, "</svg>"]) + "\n"


def grid(x: Axis, y: Axis) -> list[str]:
    """Lines and labels of the decades."""
    parts = []
    for size in x.decades:
        at = f"{x.place(size):.1f}"
        parts.append(f'<path d="M{at} {TOP}V{HEIGHT - BOTTOM}" stroke="#dddddd"/>')
        parts.append(
            f'<text x="{at}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{size:,.0f}</text>'
        )
    for cost in y.decades:
        at = f"{y.place(cost):.1f}"
        parts.append(f'<path d="M{LEFT} {at}H{WIDTH - RIGHT}" stroke="#dddddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{at}" dy="4" text-anchor="end">{cost:g} s</text>')
    return parts


def line(number: int, side: str, points: Mapping[float, float], x: Axis, y: Axis) -> list[str]:
    """A side's line with its points and its place in the legend."""
    color, dash = COLORS[number % len(COLORS)], DASHES[number % len(DASHES)]
    places = [(x.place(size), y.place(cost)) for size, cost in points.items()]
    path = "M" + "L".join(f"{across:.1f} {down:.1f}" for across, down in places)
    stroke = f'stroke="{color}" stroke-width="2" stroke-dasharray="{dash}"'
    left, top = LEFT + (number % 2) * 300, HEIGHT - 48 + (number // 2) * 20
    return [
        f'<path d="{path}" fill="none" {stroke}/>',
        *(f'<circle cx="{a:.1f}" cy="{d:.1f}" r="3.5" fill="{color}"/>' for a, d in places),
        f'<path d="M{left} {top}h36" {stroke}/>',
        f'<text x="{left + 44}" y="{top + 4}">{escape(side)}</text>',
    ]
