"""Compares two summaries of a column or table, and says what has drifted past its threshold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamflow.statistics import ranks
from streamflow.statistics.comparison import drift
from streamflow.statistics.comparison.thresholds import Thresholds
from streamflow.statistics.summary import Relation, Summary, TableSummary

EXPECTED = 7
"""A category of which so many values are expected is missing by chance less than once in a thousand
(Poisson: exp(-7) is 0.0009)."""


@dataclass(frozen=True)
class Comparison:
    """The distances of a column between two instants; None where there is none to tell."""

    psi: float | None = None
    js: float | None = None
    nulls: float | None = None
    """Change of the share of nulls."""
    gone: tuple[str, ...] = ()
    """Categories that are not there any more, and whose absence is no chance."""
    new: tuple[str, ...] = ()
    """The same of those that were not there before."""
    constant: bool = False
    """True where several values have become one."""
    relation: float | None = None
    """Change of the area under the ROC curve by the label."""


@dataclass(frozen=True)
class Finding:
    """A measure that is past its threshold."""

    feature: str
    """A column, or the empty text where it is the rows of the whole table."""
    measure: str
    """A name of `Thresholds`."""
    value: float
    threshold: float
    """The one that was asked for, or what chance explains if that is more."""
    text: str
    """The finding in words."""


def compare(before: Summary, now: Summary) -> Comparison:
    """The distances of a column between two instants, before and now."""
    if before.kind != now.kind or now.kind == "other":
        return Comparison(nulls=difference(before.null_rate, now.null_rate))
    p, q = counts(before, now)
    return Comparison(
        psi=drift.population_stability_index(p, q),
        js=drift.jensen_shannon_distance(p, q),
        nulls=difference(before.null_rate, now.null_rate),
        gone=missing(before, now),
        new=missing(now, before),
        constant=has_become_constant(before, now, p),
        relation=change_of_relation(before.relation, now.relation),
    )


def difference(before: float | None, now: float | None) -> float | None:
    """The change of a rate; None where there is none on either side."""
    return None if before is None or now is None else now - before


def change_of_relation(before: Relation | None, now: Relation | None) -> float | None:
    """The change of the area under the ROC curve; None where there is none on either side."""
    return difference(before.auc, now.auc) if before and now else None


def counts(before: Summary, now: Summary) -> tuple[list[int], list[int]]:
    """Both sides' counts in the same bins; none where they were counted in different ones.

    Of categories, those that both sides have counted by name, or that one has and the other,
    which counts all of its own by name, has not; all further ones are one bin.
    """
    if now.kind == "number":
        if list(before.edges) != list(now.edges):
            return [], []
        return [*before.bins, before.not_finite], [*now.bins, now.not_finite]
    names = [
        name
        for name in dict.fromkeys([*before.categories, *now.categories])
        if all(name in one.categories or one.is_complete for one in (before, now))
    ]
    p, q = ([one.categories.get(name, 0) for name in names] for one in (before, now))
    return [*p, before.values - sum(p)], [*q, now.values - sum(q)]


def missing(there: Summary, here: Summary) -> tuple[str, ...]:
    """The categories of one side that the other has not, although chance would have let it."""
    if not (there.kind == here.kind == "category" and here.is_complete and there.values):
        return ()
    scale = min(1.0, here.values / there.values)
    return tuple(
        name
        for name, count in there.categories.items()
        if name not in here.categories and count * scale >= EXPECTED
    )


def has_become_constant(before: Summary, now: Summary, p: Sequence[int]) -> bool:
    """True where all values are one now, although EXPECTED others would have been expected."""
    if now.distinct != 1 or not now.is_exact or (before.distinct or 0) < 2:
        return False
    others = before.values - max(p, default=0)
    if now.kind == "number" and (before.distinct or 0) > EXPECTED:
        others = before.values  # which are spread within a bin, too
    return bool(before.values) and others * min(1.0, now.values / before.values) >= EXPECTED


@dataclass(frozen=True)
class Measure:
    """The value of a measure beside the threshold that it is held against."""

    name: str
    """A name of `Thresholds`."""
    value: float | None
    """None where there is none to tell."""
    threshold: float
    """The one that was asked for, or what chance explains if that is more."""
    words: str
    """Its name in words; empty where a finding tells itself."""

    @property
    def is_past(self) -> bool:
        """True where the value is past the threshold, in either direction."""
        return self.value is not None and abs(self.value) > self.threshold


def measures(before: Summary, now: Summary, limits: Thresholds) -> list[Measure]:
    """All measures of a column between two instants, with their thresholds."""
    found, (p, q) = compare(before, now), counts(before, now)
    index, distance = drift.index_by_chance(p, q), drift.distance_by_chance(p, q)
    changed = drift.rate_by_chance(before.nulls, before.rows, now.nulls, now.rows)
    categories = float(len(found.gone) + len(found.new))
    ranked = 0.0
    if before.relation and now.relation:
        ranked = ranks.change_by_chance(before.relation, now.relation)
    return [
        Measure("psi", found.psi, max(limits.psi, index), "population stability index"),
        Measure("js", found.js, max(limits.js, distance), "Jensen-Shannon distance"),
        Measure("nulls", found.nulls, max(limits.nulls, changed), "share of nulls"),
        Measure("categories", categories, limits.categories, ""),
        Measure("constant", float(found.constant), limits.constant, ""),
        Measure("relation", found.relation, max(limits.relation, ranked), "AUC by the label"),
    ]


def findings(name: str, before: Summary, now: Summary, limits: Thresholds) -> list[Finding]:
    """The measures of a column that are past their thresholds, and past what chance explains."""
    found = compare(before, now)
    return [
        Finding(
            name,
            one.name,
            one.value,
            one.threshold,
            said(found, before, now, one.name, one.value, one.threshold, one.words),
        )
        for one in measures(before, now, limits)
        if one.value is not None and one.is_past
    ]


def said(
    found: Comparison,
    before: Summary,
    now: Summary,
    measure: str,
    value: float,
    limit: float,
    words: str,
) -> str:
    """A finding about a column in words."""
    if measure == "categories":
        parts = {"gone": found.gone, "new": found.new}
        return "; ".join(f"{key}: {', '.join(names)}" for key, names in parts.items() if names)
    if measure == "constant":
        return f"one value alone, before {before.distinct:,}"
    if measure == "nulls":
        rates = f"{before.null_rate or 0:.1%} before, {now.null_rate or 0:.1%} now"
        return f"{words} changed by {100 * value:+.1f} points ({rates})"
    if measure == "relation" and before.relation and now.relation:
        areas = f"{before.relation.auc or 0:.2f} before, {now.relation.auc or 0:.2f} now"
        return f"{words} changed by {value:+.2f} ({areas})"
    return f"{words} {value:.3f}, above {limit:.3f}"


def findings_of_rows(before: TableSummary, now: TableSummary, limits: Thresholds) -> list[Finding]:
    """The change of the number of rows, if it is past its threshold."""
    if not before.rows:
        return []
    change = now.rows / before.rows - 1
    if abs(change) <= limits.rows:
        return []
    text = f"{now.rows:,} rows, {before.rows:,} before ({change:+.0%})"
    return [Finding("", "rows", change, limits.rows, text)]


def findings_of_table(
    before: TableSummary,
    now: TableSummary,
    limits: Mapping[str, Thresholds],
    whole: Thresholds,
) -> list[Finding]:
    """All findings of a table: its rows, then column by column.

    Args:
        limits: by column; the default ones of a column that is not there.
        whole: the one for the rows.
    """
    found = findings_of_rows(before, now, whole)
    for name, column in now.columns.items():
        if name in before.columns:
            asked = limits.get(name, Thresholds())
            found += findings(name, before.columns[name], column, asked)
    return found


def as_json(one: Finding) -> dict[str, Any]:
    """A finding as JSON has it."""
    return {
        "feature": one.feature or None,
        "measure": one.measure,
        "value": round(one.value, 4),
        "threshold": round(one.threshold, 4),
        "text": one.text,
    }
