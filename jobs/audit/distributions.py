"""The distribution of what an audit was served, beside that of the month that the values are of.

A value may be served as it was trained on, and the values together be others than those of the
month: where keys are lacking online, or older than the view's ttl.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
from psycopg import Connection

from jobs.audit import comparable
from jobs.audit.served import Served
from jobs.audit.views import AuditedView
from streamflow import settings
from streamflow.catalog.contract import Feature
from streamflow.postgres import migrate as schema
from streamflow.registry.stores import own_stores
from streamflow.statistics import store
from streamflow.statistics.comparison.compare import Finding, findings_of_table
from streamflow.statistics.counting.in_memory import SECONDS, of_categories, of_numbers
from streamflow.statistics.subjects import Subject, subjects
from streamflow.statistics.summary import Summary, TableSummary


@dataclass
class Sample:
    """The values of a feature view that an audit was served."""

    newest: datetime | None = None
    """The instant of the newest."""
    values: dict[str, list[Any]] = field(default_factory=dict)
    """By feature: numbers, texts, truths and instants; without keys that are not online."""

    def add(self, view: AuditedView, rows: Sequence[Served]) -> None:
        """Adds the rows of some keys."""
        known = [(one, at) for one in rows if (at := one.as_of.get(view.alias)) is not None]
        for feature in view.features:
            self.values.setdefault(feature.name, []).extend(
                value_of(one, feature) for one, _ in known
            )
        instants = [at for _, at in known] + ([self.newest] if self.newest else [])
        self.newest = max(instants, default=None)


def value_of(row: Served, feature: Feature) -> Any:
    """A value as it was served; an instant as one, whichever way it was asked for."""
    value = comparable.served(row.values.get(feature.reference), feature.type, row.is_json)
    is_instant = isinstance(value, str) and comparable.INSTANTS.fullmatch(feature.type)
    return datetime.fromisoformat(value) if is_instant else value


@dataclass(frozen=True)
class Distribution:
    """The values of a view as they are served, beside those of their month."""

    month: TableSummary
    served: TableSummary
    findings: Sequence[Finding]


def distributions(
    connection: Connection[Any], samples: dict[str, Sample]
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
        if found is not None:
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
            served[name] = summary_of(values, month[name], is_day)
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
    connection: Connection[Any], project: str, run: int, found: Sequence[Distribution]
) -> None:
    """Enters the distributions in ops.served in place of those of earlier audits."""
    if not schema.exists(connection, "ops.served"):  # before the `apply` of the same upgrade
        return
    for one in found:
        for name, summary in one.served.columns.items():
            said = [each.text for each in one.findings if each.feature == name]
            fields = {k: v for k, v in asdict(summary).items() if k not in ("frequent", "relation")}
            values = [project, one.served.name, name, run, one.month.instant]
            connection.execute(RECORD, [*values, json.dumps(fields), said])


RECORD = """
    INSERT INTO ops.served (project, view, feature, run, as_of, summary, findings)
    VALUES (%s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (project, view, feature) DO UPDATE
    SET (run, counted_at, as_of, summary, findings)
      = (EXCLUDED.run, now(), EXCLUDED.as_of, EXCLUDED.summary, EXCLUDED.findings)"""
"""Enters a feature."""
