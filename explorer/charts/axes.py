"""Axes: scales from values to places, and few round ticks."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from explorer import words
from explorer.charts import svg

WIDTH, HEIGHT = 560, 270
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 14, 40
"""The room around a chart for its axes' texts."""


@dataclass(frozen=True)
class Scale:
    """A linear scale: `low` lies at `start`, `high` at `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of a value."""
        if self.high == self.low:
            return (self.start + self.end) / 2
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def across(low: float, high: float) -> Scale:
    """A scale from the left of a chart to its right."""
    return Scale(low, high, LEFT, WIDTH - RIGHT)


def upwards(low: float, high: float) -> Scale:
    """A scale from the bottom of a chart to its top."""
    return Scale(low, high, HEIGHT - BOTTOM, TOP)


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round values between two others, `about` as many as said: 1, 2 or 5 times a power of ten."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    rough = (high - low) / about
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * one for one in (1, 2, 5, 10) if power * one >= rough)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [at * step for at in range(first, last + 1)]


def round_up(most: float) -> float:
    """The end of an axis that begins at zero: the next round value."""
    if most <= 0:
        return 1.0
    step = ticks(0, most)[1] if len(ticks(0, most)) > 1 else most
    return math.ceil(most / step - 1e-9) * step


def labels(values: Sequence[float]) -> list[str]:
    """Ticks in words, with as many digits behind the point as their step has."""
    if len(values) < 2:
        return [words.figure(one) for one in values]
    step = values[1] - values[0]
    most = max(abs(one) for one in values)
    if most >= 1e12 or 0 < most < 1e-4:
        return [f"{one:.3g}" for one in values]
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return [f"{one:,.{digits}f}" for one in values]


def percent_labels(values: Sequence[float]) -> list[str]:
    """Ticks of shares in percent."""
    return [f"{one} %" for one in labels([100 * one for one in values])]


def horizontal_lines(
    scale: Scale, values: Sequence[float], names: Sequence[str]
) -> Iterator[Markup]:
    """Lines across a chart at the ticks of its vertical axis, each with its value."""
    for value, name in zip(values, names, strict=True):
        y = scale(value)
        yield svg.line(LEFT, y, WIDTH - RIGHT, y, class_="grid")
        yield svg.text(name, LEFT - 8, y + 4, class_="tick", text_anchor="end")


def below(scale: Scale, values: Sequence[float], names: Sequence[str]) -> Iterator[Markup]:
    """Marks and values below a chart, at the ticks of its horizontal axis."""
    y = HEIGHT - BOTTOM
    yield svg.line(LEFT, y, WIDTH - RIGHT, y, class_="axis")
    for value, name in zip(values, names, strict=True):
        x = scale(value)
        yield svg.line(x, y, x, y + 4, class_="axis")
        yield svg.text(name, x, y + 19, class_="tick", text_anchor="middle")


def time_ticks(moments: Sequence[datetime], most: int = 5) -> list[datetime]:
    """Some of the moments, evenly taken, the last one always."""
    if len(moments) <= most:
        return list(moments)
    step = math.ceil((len(moments) - 1) / (most - 1))
    return list(reversed(list(reversed(moments))[::step]))
