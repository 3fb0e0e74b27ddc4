"""Rows of a batch for the typed online tables, in the order in which they are written."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One entity's values of one view, ready for the driver."""

    key: tuple[Any, ...]
    event: datetime
    created: datetime | None
    features: tuple[str, ...]
    """In the view's order; the others stay as they are stored."""
    values: list[Any]
    """Of `features`."""
    number: int = 0
    """In the batch, from 1."""

    @property
    def age(self) -> tuple[datetime, bool, datetime]:
        """Sorts rows from old to new; a row without a created time is older than any with."""
        return (self.event, self.created is not None, self.created or self.event)


def rounds_of(rows: Iterable[Row]) -> list[list[Row]]:
    """The rows of a batch in rounds to be written one after the other.

    Those of one key in one round have the same features and times.
    """
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(row.key, []).append(row)
    rounds: list[list[Row]] = []
    for of_key in found.values():
        for number, turn in enumerate(turns(of_key) if len(of_key) > 1 else [of_key]):
            if number == len(rounds):
                rounds.append([])
            rounds[number] += turn
    return rounds


def turns(rows: list[Row]) -> list[list[Row]]:
    """The rows of one key from old to new, without those whose features newer ones all have.

    Rows of a turn have the same times and features.
    """
    rows.sort(key=lambda row: (row.age, row.features), reverse=True)
    newer: set[str] = set()
    found: list[list[Row]] = []
    for _, equally_new in groupby(rows, key=lambda row: row.age):
        alike = [list(group) for _, group in groupby(equally_new, key=lambda row: row.features)]
        kept = [turn for turn in alike if not found or not newer.issuperset(turn[0].features)]
        found += kept
        newer.update(*(turn[0].features for turn in kept))
    return found[::-1]


def by_features(rows: Sequence[Row]) -> dict[tuple[str, ...], list[Row]]:
    """The rows by the features that they have."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(row.features, []).append(row)
    return found
