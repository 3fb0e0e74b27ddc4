"""Figures of a number over all months: its quantiles as a fan, and its share of nulls."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from markupsafe import Markup

from explorer import words
from explorer.charts import axes, svg
from explorer.charts.axes import HEIGHT, WIDTH
from streamflow.statistics.summary import PROBABILITIES, Summary

BANDS = ((0, 6, "band-98"), (1, 5, "band-90"), (2, 4, "band-50"))
"""Places in PROBABILITIES of the lower and upper end of each band, and its class."""
MEDIAN = PROBABILITIES.index(0.5)


def fan(title: str, months: Mapping[datetime, Summary], chosen: datetime) -> Markup:
    """The quantiles of a number over months: bands of 98, 90 and 50 % of the values, the median.

    Args:
        months: that have quantiles, at least two, the oldest first.
        chosen: the month that is marked.
    """
    moments = list(months)
    quantiles = [one.quantiles for one in months.values()]
    low = min(one[0] for one in quantiles)
    high = max(one[-1] for one in quantiles)
    if low == high:
        low, high = low - 1, high + 1
    x = axes.across(moments[0].timestamp(), moments[-1].timestamp())
    y = axes.upwards(low - 0.04 * (high - low), high + 0.04 * (high - low))
    places = [x(one.timestamp()) for one in moments]
    marks = axes.ticks(y.low, y.high)
    parts = [
        *axes.horizontal_lines(y, marks, axes.labels(marks)),
        *mark(x, chosen, moments),
        *(
            svg.polygon(
                [
                    *((at, y(one[lower])) for at, one in zip(places, quantiles, strict=True)),
                    *reversed(
                        [(at, y(one[upper])) for at, one in zip(places, quantiles, strict=True)]
                    ),
                ],
                class_=class_,
            )
            for lower, upper, class_ in BANDS
        ),
        svg.polyline(
            ((at, y(one[MEDIAN])) for at, one in zip(places, quantiles, strict=True)),
            class_="line-now",
        ),
        *dots(places, [y(one[MEDIAN]) for one in quantiles], moments, quantiles),
        *moments_below(x, moments),
    ]
    return svg.drawing(WIDTH, HEIGHT, title, parts)


def dots(
    places: Sequence[float],
    heights: Sequence[float],
    moments: Sequence[datetime],
    quantiles: Sequence[Sequence[float]],
) -> Iterator[Markup]:
    """The medians, each with the month's quantiles in words for a pointer."""
    for x, y, moment, each in zip(places, heights, moments, quantiles, strict=True):
        named = zip(("1 %", "5 %", "25 %", "50 %", "75 %", "95 %", "99 %"), each, strict=True)
        said = ", ".join(f"{name} {words.figure(value)}" for name, value in named)
        title = svg.element("title", f"{words.instant(moment)}: {said}")
        yield svg.element("circle", title, cx=x, cy=y, r=radius(len(moments)), class_="dot")


def radius(count: int) -> float:
    """The radius of so many dots: smaller where they would touch each other."""
    return 3.5 if count <= 18 else 2.25


def rates(title: str, months: Mapping[datetime, Summary], chosen: datetime) -> Markup:
    """The share of nulls over months, from zero.

    Args:
        months: at least two, the oldest first.
    """
    moments = list(months)
    shares = [one.null_rate or 0.0 for one in months.values()]
    x = axes.across(moments[0].timestamp(), moments[-1].timestamp())
    y = axes.upwards(0, min(1.0, axes.round_up(max(shares))))
    marks = axes.ticks(0, y.high)
    points = [(x(at.timestamp()), y(share)) for at, share in zip(moments, shares, strict=True)]
    parts = [
        *axes.horizontal_lines(y, marks, axes.percent_labels(marks)),
        *mark(x, chosen, moments),
        svg.polyline(points, class_="line-now"),
        *(
            svg.element(
                "circle",
                svg.element("title", f"{words.instant(at)}: {words.percent(share)}"),
                cx=place[0],
                cy=place[1],
                r=radius(len(moments)),
                class_="dot",
            )
            for at, share, place in zip(moments, shares, points, strict=True)
        ),
        *moments_below(x, moments),
    ]
    return svg.drawing(WIDTH, HEIGHT, title, parts)


def mark(x: axes.Scale, chosen: datetime, moments: Sequence[datetime]) -> Iterator[Markup]:
    """A line at the month that the page is about."""
    if chosen in moments:
        at = x(chosen.timestamp())
        yield svg.line(at, axes.TOP, at, HEIGHT - axes.BOTTOM, class_="chosen")


def moments_below(x: axes.Scale, moments: Sequence[datetime]) -> Iterator[Markup]:
    """Some months below a chart; those at the ends lean inwards."""
    shown = axes.time_ticks(moments)
    y = HEIGHT - axes.BOTTOM
    yield svg.line(axes.LEFT, y, WIDTH - axes.RIGHT, y, class_="axis")
    for place, one in enumerate(reversed(shown)):
        at = x(one.timestamp())
        anchor = "start" if one == moments[0] else "end" if one == moments[-1] else "middle"
        yield svg.line(at, y, at, y + 4, class_="axis")
        class_ = "tick odd" if place % 2 else "tick"  # a narrow page hides every second one
        yield svg.text(words.day(one), at, y + 19, class_=class_, text_anchor=anchor)
