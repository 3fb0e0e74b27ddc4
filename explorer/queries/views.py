"""Reads how far feature views are materialized, and about how many keys are online."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from explorer.database import Connection, row, rows
from streamflow.catalog.layout import SCHEMA


@dataclass(frozen=True)
class Materialized:
    """The materialization of a view: until when, and with which newest values."""

    until: datetime
    """The end of the newest window."""
    newest_event: datetime | None
    """The newest instant that a value of it describes; None where it has no values."""
    seen_at: datetime
    """When its source was looked at last."""


def now(connection: Connection) -> datetime:
    """The moment by the database's clock, by which ages are told."""
    found = row(connection, "SELECT now() AS now")
    assert found is not None  # noqa: S101  # a SELECT without FROM gives one row
    moment: datetime = found["now"]
    return moment


def materialized(connection: Connection, project: str) -> dict[str, Materialized]:
    """The materialization of each view; views that never were are missing."""
    return {
        one["view"]: Materialized(one["until"], one["newest_event"], one["seen_at"])
        for one in rows(connection, MATERIALIZED, {"project": project})
    }


MATERIALIZED = """
    SELECT s.view, s.materialized_until AS until, s.newest_event,
           (SELECT max(seen_at) FROM ops.materializations AS m
            WHERE m.project = s.project AND m.view = s.view) AS seen_at
    FROM ops.status_of_views AS s WHERE s.project = %(project)s"""
"""The views of a project."""


def keys_online(connection: Connection, tables: Sequence[str]) -> Mapping[str, int]:
    """About how many keys each online table has, as PostgreSQL's own statistics know it."""
    found = rows(connection, KEYS, {"schema": SCHEMA, "tables": list(tables)})
    return {one["name"]: one["keys"] for one in found}


KEYS = """
    SELECT c.relname::text AS name,
           greatest(coalesce(s.n_live_tup, 0), c.reltuples::bigint, 0) AS keys
    FROM pg_class AS c LEFT JOIN pg_stat_all_tables AS s ON s.relid = c.oid
    WHERE c.relnamespace = to_regnamespace(%(schema)s) AND c.relname = ANY(%(tables)s)"""
"""Live rows by the statistics collector, or by the last ANALYZE: nothing is counted."""
