"""Sentences about a column that are no drift, and that whoever uses its values should know."""

from collections.abc import Iterator

from streamflow.statistics.summary import Frequent, Summary


def notes(now: Summary, before: Summary | None) -> Iterator[str]:
    """The sentences about a month of a column, beside another month where there is one."""
    if now.is_constant:
        yield f"it is a constant: every value is {only_value(now)}"
    if now.frequent is not None:
        yield about_frequent(now.frequent, now.rows)
    if before is not None and is_same(now, before):
        yield "count for count it is the same as before"


def only_value(one: Summary) -> str:
    """The value of a constant."""
    return next(iter(one.categories), f"{one.minimum or 0:g}")


def about_frequent(one: Frequent, rows: int) -> str:
    """A value that stands out, and which rows have it."""
    said = f"{one.count:,} of {rows:,} rows have {one.value}, the next value {one.next_count:,}"
    if one.column is None:
        return said
    value = "null" if one.column_value is None else one.column_value
    return f"{said}; they are exactly those where {one.column} is {value}"


def is_same(now: Summary, before: Summary) -> bool:
    """True where two months have the same counts and figures, in so far as they were kept."""
    return now.kind != "other" and bool(before.rows) and now == before
