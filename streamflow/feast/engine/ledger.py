"""Records of what was materialized, in ops.materializations and in Feast's registry."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from feast import FeatureView, StreamFeatureView
from feast.errors import FeatureViewNotFoundException
from feast.feature_view import FeatureViewState
from feast.infra.common.materialization_job import MaterializationTask
from feast.infra.registry.base_registry import BaseRegistry
from feast.protos.feast.core.FeatureView_pb2 import FeatureView as FeatureViewProto
from feast.protos.feast.core.StreamFeatureView_pb2 import (
    StreamFeatureView as StreamFeatureViewProto,
)
from feast.version_utils import parse_version
from google.protobuf.timestamp_pb2 import Timestamp
from psycopg import Connection, sql

from streamflow.feast.engine.plan import in_utc

MOST_INTERVALS = 100
"""So many of a view stand in its entry one by one; those of before are merged where they meet."""


@dataclass(frozen=True)
class Result:
    """The outcome for one view's rows: each row that was read was written, unchanged or older."""

    project: str
    view: str
    """Its name, with `@vN` for a version that is not the current one."""
    task: MaterializationTask
    start: datetime
    end: datetime
    seen_at: datetime
    way: str
    """`database` or `feast`."""
    read: int
    written: int
    late: int
    """Of those read, how many came after a materialization had passed their time."""
    unchanged: int
    older: int
    """Not the newest of their key, or kept back by a newer stored one."""
    newest_event: datetime | None
    """The newest instant that any online value of the view describes now."""
    held: int
    """Keys whose stored row is too far ahead, and keeps all others back."""
    ahead: int
    """Rows that were left out since they are too far ahead; not among those read."""

    @classmethod
    def for_task(
        cls,
        task: MaterializationTask,
        view: str,
        way: str,
        seen_at: datetime,
        counts: tuple[int, int, int, int, int],
        newest: tuple[datetime | None, int],
        ahead: int,
    ) -> Self:
        """The result of a task, recorded as `view`.

        Args:
            counts: read, written, late, unchanged and older.
            newest: of `newest_events`.
        """
        start, end = in_utc(task.start_time), in_utc(task.end_time)
        return cls(task.project, view, task, start, end, seen_at, way, *counts, *newest, ahead)


def registry_schema(connection: Connection, registry: BaseRegistry) -> str | None:
    """The schema of Feast's SQL registry where that is in this very database."""
    engine = getattr(registry, "read_engine", None)
    if engine is None or engine.dialect.name != "postgresql":
        return None
    with engine.connect() as other:
        schema, *there = other.exec_driver_sql(f"SELECT current_schema(), {IDENTITY}").one()
    here = connection.execute(f"SELECT {IDENTITY}").fetchone()
    return schema if tuple(there) == here else None


IDENTITY = "pg_postmaster_start_time()::text, current_database()"
"""A server and one of its databases."""


def hold(connection: Connection, home: str, tasks: Sequence[MaterializationTask]) -> None:
    """Keeps the entries of the tasks' views as they are, until the transaction ends.

    Feast writes an entry when it begins with a view; one that was changed after this
    transaction's snapshot could not be added to at its end.
    """
    for table in ENTRIES:
        names = [one.feature_view.name for one in tasks if table_of(one.feature_view) == table]
        if names:
            connection.execute(
                sql.SQL(
                    "SELECT FROM {} WHERE feature_view_name = ANY(%s) AND project_id = %s"
                    " ORDER BY feature_view_name FOR UPDATE"
                ).format(sql.Identifier(home, table)),
                [names, tasks[0].project],
            )


def record(
    connection: Connection, registry: BaseRegistry, home: str | None, results: Sequence[Result]
) -> None:
    """Writes the results and Feast's intervals, in the transaction that is open.

    Args:
        home: as `registry_schema` gives it; a registry elsewhere is told by Feast.

    Raises:
        FeatureViewNotFoundException: the registry no longer has a view.
    """
    for one in results:
        connection.execute(RECORD, {**vars(one), "task": None})
        if home is not None:
            into_registry(connection, home, one)
    if home is None:
        for one in results:
            view = one.task.feature_view
            registry.apply_materialization(view, one.project, one.start, one.end)


RECORD = """
    INSERT INTO ops.materializations
        (project, view, window_start, window_end, seen_at, way, rows_read, rows_written,
         rows_late, rows_unchanged, rows_older, newest_event)
    VALUES (%(project)s, %(view)s, %(start)s, %(end)s, %(seen_at)s, %(way)s, %(read)s,
            %(written)s, %(late)s, %(unchanged)s, %(older)s, %(newest_event)s)"""
"""One view of one run."""


ENTRIES: dict[str, Any] = {
    "feature_views": FeatureViewProto,
    "stream_feature_views": StreamFeatureViewProto,
}
"""Feast's message of a view by the registry's table, of the views that an engine is given."""


def table_of(view: FeatureView) -> str:
    """The registry's table that has the view."""
    return "stream_feature_views" if isinstance(view, StreamFeatureView) else "feature_views"


def into_registry(connection: Connection, schema: str, result: Result) -> None:
    """Adds the interval to the view's entry, which nobody else changes meanwhile.

    Feast reads the entry, adds to it and writes it back without a lock, so that of two runs at
    once one interval is lost; here the last ones that ops.materializations knows are put back.
    """
    name, kind = result.task.feature_view.name, table_of(result.task.feature_view)
    table = sql.Identifier(schema, kind)
    row = connection.execute(
        sql.SQL(
            "SELECT feature_view_proto FROM {} WHERE feature_view_name = %s"
            " AND project_id = %s FOR UPDATE"
        ).format(table),
        [name, result.project],
    ).fetchone()
    if row is None:
        raise FeatureViewNotFoundException(name, result.project)
    connection.execute(
        sql.SQL(
            "UPDATE {} SET feature_view_proto = %s, last_updated_timestamp ="
            " extract(epoch FROM now())::bigint"
            " WHERE feature_view_name = %s AND project_id = %s"
        ).format(table),
        [
            with_intervals(connection, ENTRIES[kind].FromString(row[0]), result),
            name,
            result.project,
        ],
    )


def with_intervals(connection: Connection, entry: Any, result: Result) -> bytes:
    """A view's entry with the intervals that either side knows, and as available online.

    A pinned version without a state stays so: Feast writes the pinned entry anew whenever it begins
    with a view that has one, which takes rights on the registry that only `apply` needs.
    """
    there = {
        (one.start_time.ToNanoseconds(), one.end_time.ToNanoseconds())
        for one in entry.meta.materialization_intervals
    }
    known = connection.execute(
        "SELECT window_start, window_end FROM (SELECT * FROM ops.materializations"
        " WHERE project = %s AND view = %s ORDER BY materialization DESC LIMIT %s) AS last"
        " ORDER BY materialization",
        [result.project, result.task.feature_view.name, MOST_INTERVALS],
    ).fetchall()
    for start, end in [*known, (result.start, result.end)]:
        interval = (stamp(start), stamp(end))
        if (interval[0].ToNanoseconds(), interval[1].ToNanoseconds()) not in there:
            there.add((interval[0].ToNanoseconds(), interval[1].ToNanoseconds()))
            entry.meta.materialization_intervals.add(start_time=interval[0], end_time=interval[1])
    shorten_intervals(entry.meta.materialization_intervals)
    is_latest, _ = parse_version(entry.spec.version or "latest")
    if is_latest or entry.meta.state:
        entry.meta.state = FeatureViewState.AVAILABLE_ONLINE.to_proto()
    return bytes(entry.SerializeToString())


def stamp(instant: datetime) -> Timestamp:
    """An instant as protobuf has it."""
    found = Timestamp()
    found.FromDatetime(instant)
    return found


def shorten_intervals(intervals: Any) -> None:
    """Merges the older ones of an entry's `materialization_intervals`, in place.

    Feast appends the window of each materialization, and itself uses their latest end alone. What
    they say together, up to when and without which gaps the view was materialized, stays.
    """
    if len(intervals) <= MOST_INTERVALS:
        return
    found = list(intervals)
    older = sorted(found[:-MOST_INTERVALS], key=start_of)
    merged = older[:1]
    for one in older[1:]:
        last = merged[-1]
        if start_of(one) > end_of(last):
            merged.append(one)
        elif end_of(one) > end_of(last):
            last.end_time.CopyFrom(one.end_time)
    kept = [
        type(one).FromString(one.SerializeToString()) for one in [*merged, *found[-MOST_INTERVALS:]]
    ]
    del intervals[:]
    intervals.extend(kept)


def start_of(interval: Any) -> int:
    """The first instant in nanoseconds."""
    return int(interval.start_time.ToNanoseconds())


def end_of(interval: Any) -> int:
    """The last instant in nanoseconds."""
    return int(interval.end_time.ToNanoseconds())
