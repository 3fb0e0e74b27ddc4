"""The figures of a feature in a month beside another's, as rows of tables and as sentences."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from explorer import words
from streamflow.statistics.comparison.compare import Measure, measures
from streamflow.statistics.comparison.thresholds import Thresholds
from streamflow.statistics.edges import ranges
from streamflow.statistics.notes import about_frequent, is_same, only_value
from streamflow.statistics.summary import PROBABILITIES, Summary

NAMES = {
    "psi": "Population stability index",
    "js": "Jensen-Shannon distance",
    "nulls": "Change of the share of nulls, points",
    "categories": "Categories gone or new",
    "constant": "Has become a constant",
    "relation": "Change of the AUC by the label",
}
"""The measures in words."""


@dataclass(frozen=True)
class Figure:
    """A line in the table of figures."""

    name: str
    now: str
    before: str


@dataclass(frozen=True)
class MeasureRow:
    """A measure of drift with its threshold."""

    name: str
    value: str
    threshold: str
    is_past: bool


@dataclass(frozen=True)
class Part:
    """A category, or a bin, with its shares in both months."""

    name: str
    count: int
    now: float
    before: float | None
    """None where there is no other month, or it was counted in other bins."""


def figures(now: Summary, before: Summary | None) -> Iterator[Figure]:
    """The figures of a month beside those of another."""

    def line(name: str, said: Callable[[Summary], str]) -> Figure:
        return Figure(name, said(now), said(before) if before else "")

    yield line("Rows", lambda one: words.number(one.rows))
    yield line("Nulls", lambda one: words.percent(one.null_rate))
    if now.kind == "other":
        return
    yield line("Different values", distinct)
    if now.kind == "category":
        return
    if now.not_finite or (before and before.not_finite):
        yield line("Not finite", lambda one: words.number(one.not_finite))
    yield line("Mean", lambda one: words.figure(one.mean))
    yield line("Standard deviation", lambda one: words.figure(one.deviation))
    yield line("Smallest", lambda one: words.figure(one.minimum))
    if now.relation or (before and before.relation):
        yield line("AUC by the label", area)
    for at, probability in enumerate(PROBABILITIES):
        name = "Median" if probability == 0.5 else f"{probability * 100:.0f} % are at most"
        yield line(name, quantile_at(at))
    yield line("Largest", lambda one: words.figure(one.maximum))


def area(one: Summary) -> str:
    """The area under the ROC curve by which a number ranks rows by their label."""
    return words.fixed(one.relation.auc) if one.relation else words.NONE


def quantile_at(at: int) -> Callable[[Summary], str]:
    """Says a quantile by its place."""
    return lambda one: words.figure(one.quantiles[at] if one.quantiles else None)


def distinct(one: Summary) -> str:
    """The number of different values, marked where it is an estimate."""
    mark = "" if one.is_exact or one.distinct is None else "about "
    return f"{mark}{words.number(one.distinct)}"


def sentences(now: Summary, before: Summary | None, against: datetime | None) -> Iterator[str]:
    """Sentences of a month that its measures of drift do not tell."""
    if not now.rows:
        yield "The month has no rows."
    elif not now.values:
        yield "No row has a value."
    elif now.nulls:
        yield (
            f"{words.number(now.nulls)} of {words.number(now.rows)} rows have no value"
            f" ({words.percent(now.null_rate)})."
        )
    if now.is_constant:
        yield f"It is a constant: every value is {words.shown(only_value(now))}."
    if now.frequent is not None:
        yield f"{words.shown(about_frequent(now.frequent, now.rows))}."
    if before is not None and is_same(now, before):
        yield f"Count for count it is the same as in {words.instant(against)}."
    if before is not None and now.kind == "number" and list(now.edges) != list(before.edges):
        yield f"{words.instant(against)} was counted in other bins, so that the two do not compare."
    if not now.is_exact:
        yield "Quantiles and different values are estimated from a sample; all else is exact."


def measure_rows(before: Summary, now: Summary, limits: Thresholds) -> list[MeasureRow]:
    """The measures of drift, as far as there are any of this kind of column."""
    return [
        MeasureRow(NAMES[one.name], *said(one), one.is_past)
        for one in measures(before, now, limits)
        if one.value is not None and (one.name != "categories" or now.kind == "category")
    ]


def said(one: Measure) -> tuple[str, str]:
    """Value and threshold of a measure."""
    if one.threshold == math.inf:
        return said(replace(one, threshold=0))[0], "off"
    if one.name == "nulls":
        change, limit = (words.points(each).split()[0] for each in (one.value, one.threshold))
        return change, f"± {limit.removeprefix('+')}"
    if one.name == "constant":
        return ("yes" if one.value else "no"), "no"
    if one.name == "categories":
        return words.number(round(one.value or 0)), words.figure(one.threshold)
    return words.fixed(one.value), words.fixed(one.threshold)


def categories(now: Summary, before: Summary | None) -> Iterator[Part]:
    """The categories of both months, the most frequent first, and the further ones together."""
    if now.kind != "category":
        return
    both = before if before is not None and before.kind == "category" else None
    for name in dict.fromkeys([*now.categories, *(both.categories if both else ())]):
        count = now.categories.get(name, 0)
        there = both.categories.get(name, 0) if both else 0
        yield part(name, count, now, there, both)
    if now.others or (both and both.others):
        yield part("(all others)", now.others, now, both.others if both else 0, both)


def bins(now: Summary, before: Summary | None) -> Iterator[Part]:
    """The bins of a number with their counts: the chart as a table."""
    if now.kind != "number":
        return
    both = before if before is not None and list(before.edges) == list(now.edges) else None
    theirs: Sequence[int] = both.bins if both else [0] * len(now.bins)
    for name, count, there in zip(ranges(now.edges), now.bins, theirs, strict=True):
        yield part(name, count, now, there, both)


def part(name: str, count: int, now: Summary, there: int, before: Summary | None) -> Part:
    """A category or bin with its shares of the values that are not null."""
    return Part(
        name,
        count,
        count / now.values if now.values else 0.0,
        None if before is None else there / before.values if before.values else 0.0,
    )
