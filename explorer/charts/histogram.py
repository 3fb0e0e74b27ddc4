"""A month's distribution of a number beside another month's, in one chart with one scale."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from explorer import words
from explorer.charts import axes, svg
from explorer.charts.axes import HEIGHT, LEFT, RIGHT, WIDTH
from streamflow.statistics.edges import ranges
from streamflow.statistics.summary import Summary

END = 16
"""The width of the open bins at both ends, which have no scale."""
WIDEST = 140
"""The width of a value's bars, also where there is only one value."""
GAP = 6
"""The room between them and the others."""


@dataclass(frozen=True)
class Bin:
    """A bin of the chart: its place, and the shares that both months have in it."""

    name: str
    x: float
    width: float
    now: float
    before: float | None


def histogram(title: str, now: Summary, before: Summary | None) -> Markup:
    """The chart; a month that was counted in other bins is left out of it.

    Args:
        title: says what is shown.
        before: the month that it is compared with.
    """
    if before is not None and list(before.edges) != list(now.edges):
        before = None
    is_listed = has_bin_per_value(now.edges)
    bins = list(listed_bins(now, before) if is_listed else measured_bins(now, before))
    most = max((max(one.now, one.before or 0) for one in bins), default=0)
    scale = axes.upwards(0, axes.round_up(most))
    marks = axes.ticks(0, scale.high)
    parts = [
        *axes.horizontal_lines(scale, marks, axes.percent_labels(marks)),
        *bars(bins, scale, is_listed),
        *([] if before is None or is_listed else outline(bins, scale)),
        *(names_below(bins) if is_listed else ends_below(bins, now)),
    ]
    return svg.drawing(WIDTH, HEIGHT, title, parts)


def has_bin_per_value(edges: Sequence[float]) -> bool:
    """True where each value has a bin of its own."""
    return len(edges) > 1 and edges[-1] == math.nextafter(edges[-2], math.inf)


def shares(one: Summary) -> list[float]:
    """The share of each bin among the values that are not null."""
    return [count / one.values if one.values else 0.0 for count in one.bins]


def measured_bins(now: Summary, before: Summary | None) -> Iterator[Bin]:
    """Bins of a number of many values: equally wide ones, and open ones at both ends."""
    edges = now.edges
    inner = axes.Scale(edges[0], edges[-1], LEFT + END + GAP, WIDTH - RIGHT - END - GAP)
    places = [
        (LEFT, END),
        *((inner(a), inner(b) - inner(a)) for a, b in itertools.pairwise(edges)),
        (WIDTH - RIGHT - END, END),
    ]
    ours, theirs = shares(now), shares(before) if before else None
    for at, (name, (x, width)) in enumerate(zip(ranges(edges), places, strict=True)):
        yield Bin(name, float(x), float(width), ours[at], theirs[at] if theirs else None)


def listed_bins(now: Summary, before: Summary | None) -> Iterator[Bin]:
    """Bins of a number of few values: one for each value; open ones only where they are used."""
    names = ranges(now.edges)
    ours, theirs = shares(now), shares(before) if before else None
    used = [
        at
        for at in range(len(names))
        if 0 < at < len(names) - 1 or ours[at] or (theirs and theirs[at])
    ]
    width = (WIDTH - LEFT - RIGHT) / max(len(used), 1)
    for place, at in enumerate(used):
        yield Bin(names[at], LEFT + place * width, width, ours[at], theirs[at] if theirs else None)


def bars(bins: Sequence[Bin], scale: axes.Scale, is_listed: bool) -> Iterator[Markup]:
    """A filled bar for each bin; of listed values an outlined one beside it for the other month."""
    zero = scale(0)
    for one in bins:
        title = f"{one.name}: {words.percent(one.now)}"
        if one.before is not None:
            title += f", before {words.percent(one.before)}"
        inset = max(min(one.width * 0.15, 8), (one.width - WIDEST) / 2) if is_listed else 0.5
        width = one.width - 2 * inset
        if is_listed and one.before is not None:
            width /= 2
            top = scale(one.before)
            yield svg.rect(
                one.x + inset + width, top, width, zero - top, title, class_="bar-before"
            )
        top = scale(one.now)
        yield svg.rect(one.x + inset, top, width, zero - top, title, class_="bar-now")


def outline(bins: Sequence[Bin], scale: axes.Scale) -> Iterator[Markup]:
    """The other month as a stepped line over the bars; the open bins have steps of their own."""
    for part in (bins[:1], bins[1:-1], bins[-1:]):
        points = [(part[0].x, scale(0))] if part else []
        for one in part:
            y = scale(one.before or 0)
            points += [(one.x, y), (one.x + one.width, y)]
        if part:
            points.append((part[-1].x + part[-1].width, scale(0)))
            yield svg.polyline(points, class_="line-before")


def names_below(bins: Sequence[Bin]) -> Iterator[Markup]:
    """The values below their bars, not all of them where they are many."""
    y = HEIGHT - axes.BOTTOM
    yield svg.line(LEFT, y, WIDTH - RIGHT, y, class_="axis")
    longest = max((len(one.name) for one in bins), default=1)
    each = math.ceil(longest * 8 / max(bins[0].width, 1)) if bins else 1
    for one in bins[::each]:
        middle = one.x + one.width / 2
        yield svg.text(one.name, middle, y + 19, class_="tick", text_anchor="middle")


def ends_below(bins: Sequence[Bin], now: Summary) -> Iterator[Markup]:
    """The horizontal axis between the open bins, which are marked as less and more."""
    low, high = now.edges[0], now.edges[-1]
    scale = axes.Scale(low, high, bins[1].x, bins[-1].x - GAP)
    y = HEIGHT - axes.BOTTOM
    values = axes.ticks(low, high, 5)
    yield svg.line(bins[1].x, y, bins[-1].x - GAP, y, class_="axis")
    for value, name in zip(values, axes.labels(values), strict=True):
        yield svg.line(scale(value), y, scale(value), y + 4, class_="axis")
        yield svg.text(name, scale(value), y + 19, class_="tick", text_anchor="middle")
    for one, sign in ((bins[0], "less"), (bins[-1], "more")):
        yield svg.line(one.x, y, one.x + one.width, y, class_="axis")
        middle = one.x + one.width / 2
        yield svg.text(sign, middle, y + 34, class_="tick end", text_anchor="middle")


def small(counts: Sequence[int], title: str) -> Markup:
    """A distribution the size of a word."""
    most = max(counts, default=0) or 1
    step = 96 / max(len(counts), 1)
    parts = (
        svg.rect(
            at * step,
            24 - 24 * count / most,
            max(step - 1, 0.5),
            24 * count / most,
            class_="bar-now",
        )
        for at, count in enumerate(counts)
        if count
    )
    return svg.drawing(96, 24, title, parts, class_="spark")
