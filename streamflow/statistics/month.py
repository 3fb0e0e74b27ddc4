"""Keeps the statistics of a month in line with its rows, in the transaction that stores them."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from psycopg import Connection, sql

from streamflow.postgres.snapshot_tables import SCHEMA
from streamflow.snapshots import KEY, LOADED, TIME, Snapshot, Snapshots
from streamflow.statistics import store
from streamflow.statistics.comparison.compare import Finding, findings_of_table
from streamflow.statistics.comparison.limits import Limits
from streamflow.statistics.counting import gather
from streamflow.statistics.counting.measured import month_of
from streamflow.statistics.counting.relations import Label, label_of, relations_of
from streamflow.statistics.summary import TableSummary

log = logging.getLogger(__name__)

Changes = dict[tuple[tuple[int, int], tuple[int, int]], tuple[int, int]]
"""By rows and hash of two months: the new and the vanished entities, found once for all tables."""


def update(
    connection: Connection[Any],
    declared: Snapshots,
    instant: datetime,
    written: Mapping[str, int],
    limits: Mapping[str, Limits],
) -> list[tuple[Snapshot, datetime, Finding]]:
    """Makes the statistics of a month, of tables that changed or have none; gives its drift.

    Idempotent: of a month that did not change nothing is written. The month before gets its
    statistics as well where it has none, as after an upgrade.

    Args:
        written: the rows that were written, by file.
        limits: by table; the defaults of a table that is not there.

    Returns:
        Each finding with its table and the month before, against which it is.
    """
    connection.execute("SET LOCAL jit = off")  # compiling takes longer than it saves
    found = []
    changes: Changes = {}
    label = label_of(declared)
    is_relabelled = bool(written[declared.labels.file]) or not is_current(
        connection, declared.labels, instant
    )
    for snapshot in (one for one in declared.files if not one.newest_only):
        before = neighbour(connection, snapshot, instant, "before")
        if before is not None and store.entities_of(connection, snapshot.table, before) is None:
            measure(connection, snapshot, before, label)
        elif before is not None:
            relate(connection, snapshot, label, before, is_relabelled=False)
        is_new = bool(written[snapshot.file]) or not is_current(connection, snapshot, instant)
        if is_new:
            measure(connection, snapshot, instant, label)
            count_change(connection, snapshot, before, instant, changes)
        is_related = not is_new and relate(connection, snapshot, label, instant, is_relabelled)
        after = neighbour(connection, snapshot, instant, "after") if is_new or is_related else None
        if after is not None:
            if is_new:
                count_change(connection, snapshot, instant, after, changes)
            drift(connection, snapshot, instant, after, limits.get(snapshot.table))
        if before is not None:
            drifted = drift(connection, snapshot, before, instant, limits.get(snapshot.table))
            found += [(snapshot, before, one) for one in drifted]
    return found


def is_current(connection: Connection[Any], snapshot: Snapshot, instant: datetime) -> bool:
    """True where a month has statistics, and no row of it was loaded after they were made.

    An earlier version, which makes none, may have corrected it meanwhile.
    """
    query = sql.SQL(IS_CURRENT).format(
        loaded=sql.Identifier(LOADED),
        time=sql.Identifier(TIME),
        table=sql.Identifier(SCHEMA, snapshot.table),
    )
    return connection.execute(query, {"table": snapshot.table, "as_of": instant}).fetchone() == (
        True,
    )


IS_CURRENT = """
    SELECT computed_at >= coalesce(
        (SELECT max({loaded}) FROM {table} WHERE {time} = %(as_of)s), '-infinity')
    FROM ops.statistics_months WHERE table_name = %(table)s AND as_of = %(as_of)s"""
"""Compares the times; rows and statistics of one transaction have the same."""


def measure(
    connection: Connection[Any], snapshot: Snapshot, instant: datetime, label: Label | None
) -> TableSummary:
    """Makes and writes the statistics of a month of a table."""
    summary, entities = measured(connection, snapshot, instant, label)
    store.save(connection, summary, entities, f"{snapshot.file}.csv")
    return summary


def relate(
    connection: Connection[Any],
    snapshot: Snapshot,
    label: Label | None,
    instant: datetime,
    is_relabelled: bool,
) -> bool:
    """Counts how a month's numbers go with its label, where that is not known; True if it did."""
    here = store.entities_of(connection, snapshot.table, instant)
    if label is None or here is None or snapshot is label.snapshot:
        return False
    if not is_relabelled and not store.lacks_relations(connection, snapshot.table, instant):
        return False
    found = relations_of(connection, snapshot, label, instant, here[0])
    store.save_relations(connection, snapshot.table, instant, found)
    return True


def measured(
    connection: Connection[Any], snapshot: Snapshot, instant: datetime, label: Label | None
) -> tuple[TableSummary, int]:
    """The statistics of a month of a table, and the hash over its keys; nothing is written."""
    month = month_of(snapshot, instant)
    rows, entities = gather.count(connection, month)
    edges = store.edges_in(connection, snapshot.table)
    columns = gather.summarize(connection, month, rows, edges)
    if label is not None:
        for name, one in relations_of(connection, snapshot, label, instant, rows).items():
            columns[name] = replace(columns[name], relation=one)
    return TableSummary(snapshot.table, instant, rows, columns), entities


def neighbour(
    connection: Connection[Any], snapshot: Snapshot, instant: datetime, side: str
) -> datetime | None:
    """The month of a table before or after an instant; None where there is none."""
    row = connection.execute(
        sql.SQL(NEIGHBOURS[side]).format(
            time=sql.Identifier(TIME), table=sql.Identifier(SCHEMA, snapshot.table)
        ),
        [instant],
    ).fetchone()
    return row[0] if row else None


NEIGHBOURS = {
    "before": "SELECT max({time}) FROM {table} WHERE {time} < %s",
    "after": "SELECT min({time}) FROM {table} WHERE {time} > %s",
}
"""The months beside an instant, each found in the index of the instants."""


def count_change(
    connection: Connection[Any],
    snapshot: Snapshot,
    before: datetime | None,
    instant: datetime,
    changes: Changes,
) -> None:
    """Counts the entities that are new in a month, and those of the month before that vanished."""
    here = store.entities_of(connection, snapshot.table, instant)
    there = before and store.entities_of(connection, snapshot.table, before)
    if here is None:
        return
    if not there or before is None:
        store.save_change(connection, snapshot.table, instant, None, (None, None))
        return
    if there == here:
        changes[there, here] = (0, 0)
    elif (there, here) not in changes:
        query = sql.SQL(CHANGE).format(
            key=sql.Identifier(KEY),
            time=sql.Identifier(TIME),
            table=sql.Identifier(SCHEMA, snapshot.table),
        )
        row = connection.execute(query, {"before": before, "now": instant}).fetchone()
        changes[there, here] = row or (0, 0)
    change = changes[there, here]
    store.save_change(connection, snapshot.table, instant, before, change)


CHANGE = """
    SELECT count(*) FILTER (WHERE b.{key} IS NULL), count(*) FILTER (WHERE a.{key} IS NULL)
    FROM (SELECT {key} FROM {table} WHERE {time} = %(now)s) AS a
    FULL JOIN (SELECT {key} FROM {table} WHERE {time} = %(before)s) AS b USING ({key})"""
"""The entities of either month that the other has not."""


def drift(
    connection: Connection[Any],
    snapshot: Snapshot,
    before: datetime,
    instant: datetime,
    limits: Limits | None,
) -> list[Finding]:
    """The findings of a month against the month before, by their statistics; writes them down."""
    there = store.load(connection, snapshot.table, before)
    here = store.load(connection, snapshot.table, instant)
    if there is None or here is None:
        return []
    limits = limits or Limits()
    found = findings_of_table(there, here, limits.columns, limits.rows)
    store.save_drift(connection, snapshot.table, instant, found)
    return found
