"""The distribution of what an audit was served, beside that of the month that the values are of.

Each value may be served as it was trained on, and the values together be others than those of the
month: where many are too old and so null, or the keys that are not online are of one kind.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
from psycopg import Connection

from jobs.audit import comparable
from jobs.audit.keys import Key
from jobs.audit.served import Served
from jobs.audit.views import AuditedView
from streamflow import settings
from streamflow.catalog.contract import Feature
from streamflow.postgres import migrate as schema
from streamflow.registry.stores import own_stores
from streamflow.statistics import store
from streamflow.statistics.comparison.compare import Finding, findings_of_table
from streamflow.statistics.counting.in_memory import of_categories, of_numbers
from streamflow.statistics.counting.served import SECONDS
from streamflow.statistics.subjects import Subject, subjects
from streamflow.statistics.summary import Summary, TableSummary


@dataclass
class Sample:
    """The values of a feature view that an audit was served."""

    newest: datetime | None = None
    """The instant of the newest."""
    values: dict[str, dict[Key, Any]] = field(default_factory=dict)
    """By feature and key: numbers, texts, truths and instants; of keys that are online alone."""

    def add(self, view: AuditedView, rows: Mapping[Key, Served]) -> None:
        """Adds the rows of some keys; a key that is there already has the same values."""
        known = {key: one for key, one in rows.items() if one.as_of.get(view.alias) is not None}
        for feature in view.features:
            kept = self.values.setdefault(feature.name, {})
            kept.update((key, value_of(one, feature)) for key, one in known.items())
        instants = (self.newest, *(one.as_of[view.alias] for one in known.values()))
        self.newest = max((one for one in instants if one is not None), default=None)

    def take(self, other: "Sample") -> None:
        """Adds the features of another sample of the view."""
        self.values = {**other.values, **self.values}
        instants = (one for one in (self.newest, other.newest) if one is not None)
        self.newest = max(instants, default=None)


def value_of(row: Served, feature: Feature) -> Any:
    """A value as it was served; an instant as one, whichever way it was asked for.

    An instant that no date has is None.
    """
    value = comparable.served(row.values.get(feature.reference), feature.type, row.is_json)
    if value is None or not comparable.INSTANTS.fullmatch(feature.type):
        return value
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None


@dataclass(frozen=True)
class Distribution:
    """The values of a view as they are served, beside those of their month."""

    month: TableSummary
    served: TableSummary
    findings: Sequence[Finding]


def distributions(
    connection: Connection[Any], samples: Mapping[str, Sample]
) -> Iterator[Distribution]:
    """The distributions of the views whose months have statistics.

    Args:
        samples: by the view's name in the registry.
    """
    stores = own_stores(settings.streamflow().feature_repo)
    if stores is None or not store.are_there(connection):
        return
    for subject in subjects(connection, stores)[0]:
        sample = samples.get(subject.name)
        if sample is None or sample.newest is None or not (subject.view and subject.snapshot):
            continue
        found = store.load(connection, subject.snapshot.table, sample.newest)
        if found is not None:  # else nothing was counted of that month
            yield distribution(subject, sample, found)


def distribution(subject: Subject, sample: Sample, found: TableSummary) -> Distribution:
    """The distribution of one view.

    Args:
        found: the statistics of the month, by the table's columns.
    """
    assert subject.snapshot is not None  # noqa: S101  # the caller has looked
    month, served = {}, {}
    for name, values in sample.values.items():
        column = subject.columns.get(name, "")
        if column in found.columns:
            is_day = subject.snapshot.columns[column].type == "date"
            month[name] = found.columns[column]
            served[name] = summary_of(list(values.values()), month[name], is_day)
    rows = max((one.rows for one in served.values()), default=0)
    before = replace(found, name=subject.name, columns=month)
    now = TableSummary(subject.name, found.instant, rows, served)
    # So many keys were asked for, which is no month's number.
    unlimited = replace(subject.limits.rows, rows=math.inf)
    return Distribution(
        before, now, findings_of_table(before, now, subject.limits.columns, unlimited)
    )


def summary_of(values: Sequence[Any], like: Summary, is_day: bool) -> Summary:
    """The statistics of a feature's values in a sample, as its month has them."""
    known = [one for one in values if one is not None]
    if like.kind == "number":
        numbers = np.array([number(one, is_day) for one in known], np.float64)
        return of_numbers(numbers, len(values), like)
    if like.kind == "category":
        return of_categories(((text(one), 1) for one in known), len(values))
    return Summary(kind="other", rows=len(values), nulls=len(values) - len(known))


def text(value: Any) -> str:
    """A text, or a truth as PostgreSQL writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def number(value: Any, is_day: bool) -> float:
    """A number, the text of one, or the seconds or days from 1970 to an instant."""
    if isinstance(value, datetime):
        return value.timestamp() / SECONDS if is_day else value.timestamp()
    return float(value)


def record(
    connection: Connection[Any],
    project: str,
    run: int,
    samples: Mapping[str, Sample],
    found: Sequence[Distribution],
) -> None:
    """Enters the distributions in ops.served in place of earlier ones of the audited features.

    What could not be counted this time has none any more.
    """
    if not schema.exists(connection, "ops.served"):  # before the `apply` of the same upgrade
        return
    rows = []
    for one in found:
        for name, summary in one.served.columns.items():
            said = [each.text for each in one.findings if each.feature == name]
            fields = {k: v for k, v in asdict(summary).items() if k not in ("frequent", "relation")}
            place = [project, one.served.name, name]
            rows.append([*place, run, one.month.instant, json.dumps(fields), said])
    audited = [(view, name) for view, one in samples.items() for name in one.values]
    views, features = (list(one) for one in zip(*audited, strict=True)) if audited else ([], [])
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(CLEAR, [project, views, features])
        cursor.executemany(RECORD, rows)


CLEAR = """
    DELETE FROM ops.served
    WHERE project = %s AND (view, feature) IN (SELECT * FROM unnest(%s::text[], %s::text[]))"""
"""Removes what earlier audits counted of some features."""

RECORD = """
    INSERT INTO ops.served (project, view, feature, run, as_of, summary, findings)
    VALUES (%s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (project, view, feature) DO UPDATE
    SET (run, counted_at, as_of, summary, findings)
      = (EXCLUDED.run, now(), EXCLUDED.as_of, EXCLUDED.summary, EXCLUDED.findings)"""
"""Enters a feature; another audit may have done so meanwhile."""
