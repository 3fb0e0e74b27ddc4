"""Finds the statistics that `streamflow stats` shows, and compares them."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import fsspec
from psycopg import Connection

from jobs.run.instants import midnight
from jobs.run.urls import without_secrets
from jobs.statistics import training_set
from jobs.statistics.training_set import SetOfRows
from streamflow import settings
from streamflow.errors import ConfigurationError, SchemaMissing
from streamflow.feast.registry.open import require_applied
from streamflow.offline.connect import connect, from_environment
from streamflow.postgres import migrate as schema
from streamflow.postgres.connect import connect as connect_to_check
from streamflow.registry.stores import OwnStores, own_stores
from streamflow.statistics.comparison.compare import (
    Comparison,
    Finding,
    compare,
    findings_of_table,
)
from streamflow.statistics.counting import served
from streamflow.statistics.notes import notes
from streamflow.statistics.subjects import Subject, subjects
from streamflow.statistics.summary import TableSummary

WORK_MEM = "64MB"
MANIFEST = ".manifest.json"
"""The end of the name of a manifest, which is beside its training set."""


@dataclass(frozen=True)
class Against:
    """The other side of a comparison: a day, or a training set's manifest."""

    instant: datetime | None
    """None of a training set whose rows are of many times."""
    features: frozenset[tuple[str, str]] | None = None
    """Views and features of the training set; None where all are meant."""
    rows: SetOfRows | None = None
    """Of such a training set."""


@dataclass(frozen=True)
class Part:
    """One subject of a report."""

    now: TableSummary
    before: TableSummary | None
    findings: Sequence[Finding]
    is_served: bool = False
    """True where it is what is online, and not what a month has."""

    @property
    def entities(self) -> tuple[int | None, int | None]:
        """The new and the vanished entities; None where the other side is not the month before."""
        if self.is_served or self.before is None or self.now.before != self.before.instant:
            return None, None
        return self.now.new, self.now.vanished

    def notes(self, feature: str) -> list[str]:
        """Sentences about a feature that are no drift."""
        before = self.before.columns.get(feature) if self.before else None
        return list(notes(self.now.columns[feature], before))

    def comparison(self, feature: str) -> Comparison:
        """The distances of a feature; without any where there is nothing to compare with."""
        if self.before is None or feature not in self.before.columns:
            return Comparison()
        return compare(self.before.columns[feature], self.now.columns[feature])


@dataclass(frozen=True)
class Report:
    """All that is shown."""

    parts: Sequence[Part]
    left_out: Sequence[str]
    """Feature views that are more than columns of their source."""


def report(
    view: str | None, as_of: date | None, against: str | None, is_served: bool = False
) -> Report:
    """The statistics of a view, or of all, and their drift.

    Args:
        as_of: the day of a month; None for the newest. Of a view whose source is no monthly table,
            the newest row of each key at that time is meant.
        against: a day or a training set's manifest; None for the month before.
        is_served: compare what is online now, by default with the newest month.

    Raises:
        SchemaMissing: an earlier version applied the database.
        UnknownName: there is no such view.
        ConfigurationError: there is no such month, `against` is neither, or nothing is online.
    """
    if is_served and as_of:
        raise ConfigurationError("--served is of now; name a month to compare it with by --against")
    require_applied()
    stores = own_stores(settings.streamflow().feature_repo)
    if stores is None:
        raise ConfigurationError(
            "statistics are of projects whose feature_store.yaml names StreamFlow's stores, with"
            " their own settings and nothing else"
        )
    other = parse_against(against) if against else None
    with connect_to_check() as checked:
        schema.require(checked)
        if not schema.exists(checked, "ops.statistics"):
            raise SchemaMissing("the database has no tables of statistics; run: streamflow apply")
    with connect(from_environment(), stores.search_path, WORK_MEM, subject="statistics") as found:
        if is_served:
            return made_of_served(found, stores, view, other)
        return made(found, stores, view, as_of, other)


def made(
    connection: Connection[Any],
    stores: OwnStores,
    view: str | None,
    as_of: date | None,
    against: Against | None,
) -> Report:
    """The report from one state of the database."""
    wanted, left_out = subjects(connection, stores, view)
    parts = []
    for one in wanted:
        if against and against.features is not None:
            one = only(one, against.features)
            if not one.columns:
                continue
        instants = one.instants(connection)
        if not instants and view is None and as_of is None:
            continue
        if not instants and as_of is None:
            raise ConfigurationError(f"{one.name} has no rows yet")
        parts.append(part(connection, one, instants, as_of, against))
    if against and against.features is not None and not parts:
        raise ConfigurationError("no feature of the training set is a feature of these views")
    return Report(parts, left_out)


def made_of_served(
    connection: Connection[Any], stores: OwnStores, view: str | None, against: Against | None
) -> Report:
    """The report of what is online, from one state of the database.

    Raises:
        ConfigurationError: nothing is online.
    """
    wanted, left_out = subjects(connection, stores, view)
    parts = []
    for one in wanted:
        if against and against.features is not None:
            one = only(one, against.features)
        instants = one.instants(connection)
        if one.view is None or not one.view.is_online or not one.columns or not instants:
            continue
        at = (against and against.instant) or instants[-1]
        before = one.summary(connection, at)
        now = served.summary(connection, one.view, one.columns, one.snapshot, before)
        if now is not None and against and against.rows:
            parts.append(beside_rows(one, now, against.rows, is_served=True))
        elif now is not None:
            found = findings_of_table(before, now, one.limits.columns, one.limits.rows)
            parts.append(Part(now, before, found, is_served=True))
    if not parts:
        raise ConfigurationError(
            f"nothing of {view or 'the feature views'} is online; run: streamflow materialize"
        )
    return Report(parts, left_out)


def only(subject: Subject, features: frozenset[tuple[str, str]]) -> Subject:
    """A subject with the features of a training set alone."""
    columns = {
        name: column for name, column in subject.columns.items() if (subject.name, name) in features
    }
    return replace(subject, columns=columns)


def part(
    connection: Connection[Any],
    subject: Subject,
    instants: Sequence[datetime],
    as_of: date | None,
    against: Against | None,
) -> Part:
    """The statistics of a subject and their drift."""
    instant = midnight(as_of) if as_of else instants[-1]
    earlier = [one for one in instants if one < instant]
    if against is not None and against.rows is not None:
        now = subject.summary(connection, instant)
        return beside_rows(subject, now, against.rows, is_served=False)
    if against is None or against.instant is None:
        is_monthly = subject.snapshot is not None and earlier
        before = subject.summary(connection, earlier[-1]) if is_monthly else None
    else:
        before = subject.summary(connection, against.instant)
    now = subject.summary(connection, instant, before)
    found = []
    if before is not None:
        found = findings_of_table(before, now, subject.limits.columns, subject.limits.rows)
    return Part(now, before, found)


def beside_rows(subject: Subject, now: TableSummary, rows: SetOfRows, is_served: bool) -> Part:
    """The statistics of a subject beside those of a training set's own rows.

    Its number of rows is no month's, and tells nothing.
    """
    types = subject.snapshot.columns if subject.snapshot is not None else {}
    days = frozenset(
        name for name, one in subject.columns.items() if one in types and types[one].type == "date"
    )
    before = rows.summary(subject.name, now, days)
    unlimited = replace(subject.limits.rows, rows=math.inf)
    found = findings_of_table(before, now, subject.limits.columns, unlimited)
    return Part(now, before, found, is_served)


def parse_against(text: str) -> Against:
    """A day, or the instant and features of a training set.

    Raises:
        ConfigurationError: it is neither a day nor a training set with its manifest.
    """
    try:
        return Against(midnight(date.fromisoformat(text)))
    except ValueError:
        pass
    said = without_secrets(text)
    path = text if text.endswith(".json") else f"{text}{MANIFEST}"
    try:
        with fsspec.open(path, "rb") as file:
            found = json.loads(file.read())
        features = frozenset((one["view"], one["name"]) for one in found["features"])
        as_of = found.get("as_of", "")
        day = date.fromisoformat(as_of) if as_of else None
    except (ImportError, OSError) as error:
        raise ConfigurationError(
            f"--against {said}: neither a day like 2024-01-31 nor a training set with a manifest"
            f" ({without_secrets(str(error))})"
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError, UnicodeError):
        raise ConfigurationError(f"--against {said}: not the manifest of a training set") from None
    if day is None:
        return Against(None, features, training_set.read(path.removesuffix(MANIFEST)))
    return Against(midnight(day), features)
