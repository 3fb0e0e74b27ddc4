"""What was materialized: in ops.materializations and, for Feast, in its registry."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from feast.feature_view import FeatureViewState
from feast.infra.common.materialization_job import MaterializationTask
from feast.infra.registry.base_registry import BaseRegistry
from feast.protos.feast.core.FeatureView_pb2 import FeatureView as FeatureViewProto
from google.protobuf.timestamp_pb2 import Timestamp
from psycopg import Connection, sql

from feature_repo.engine_plan import in_utc
from feature_repo.online_layout import SCHEMA, Layout


@dataclass(frozen=True)
class Result:
    """What became of one view's rows: each read one was written, unchanged or older."""

    project: str
    view: str
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
    def of(
        cls,
        task: MaterializationTask,
        way: str,
        seen_at: datetime,
        counts: tuple[int, int, int, int, int],
        newest: tuple[datetime | None, int],
        ahead: int,
    ) -> Self:
        """The result of a task.

        Args:
            counts: read, written, late, unchanged and older.
            newest: of `newest_events`.
        """
        start, end = in_utc(task.start_time), in_utc(task.end_time)
        name = task.feature_view.name
        return cls(task.project, name, task, start, end, seen_at, way, *counts, *newest, ahead)


def seen_at(connection: Connection, project: str, view: str) -> datetime | None:
    """When a view was materialized last; None for never."""
    row = connection.execute(
        "SELECT max(seen_at) FROM ops.materializations WHERE project = %s AND view = %s",
        [project, view],
    ).fetchone()
    return row[0] if row else None


def newest_events(
    connection: Connection, layouts: Sequence[Layout], limit: datetime
) -> list[tuple[datetime | None, int]]:
    """For each view of one online table: the newest instant that any of its values describes.

    Beside it stands how many keys have a value of an instant after `limit`.
    """
    row = (
        connection.execute(
            sql.SQL("SELECT {} FROM {}").format(
                sql.SQL(", ").join(
                    sql.SQL("max({event}), count(*) FILTER (WHERE {event} > {limit})").format(
                        event=sql.Identifier(one.event.name), limit=sql.Literal(limit)
                    )
                    for one in layouts
                ),
                sql.Identifier(SCHEMA, layouts[0].table),
            )
        ).fetchone()
        or ()
    )
    return list(zip(row[::2], row[1::2], strict=True))


def record(connection: Connection, registry: BaseRegistry, results: Sequence[Result]) -> None:
    """Writes the results and Feast's intervals, in the transaction that is open."""
    for one in results:
        connection.execute(RECORD, {**vars(one), "task": None})
        if lives_here(connection, registry):
            into_registry(connection, registry, one)
        else:
            registry.apply_materialization(one.task.feature_view, one.project, one.start, one.end)


RECORD = """
    INSERT INTO ops.materializations
        (project, view, window_start, window_end, seen_at, way, rows_read, rows_written,
         rows_late, rows_unchanged, rows_older, newest_event)
    VALUES (%(project)s, %(view)s, %(start)s, %(end)s, %(seen_at)s, %(way)s, %(read)s,
            %(written)s, %(late)s, %(unchanged)s, %(older)s, %(newest_event)s)"""
"""One view of one run."""


def lives_here(connection: Connection, registry: BaseRegistry) -> bool:
    """Whether the registry is Feast's SQL one in this very database."""
    engine = getattr(registry, "read_engine", None)
    if engine is None or engine.dialect.name != "postgresql":
        return False
    with engine.connect() as other:
        return bool(
            tuple(other.exec_driver_sql(IDENTITY).one()) == connection.execute(IDENTITY).fetchone()
        )


IDENTITY = "SELECT pg_postmaster_start_time()::text, current_database()"
"""Which server, and which of its databases."""


def into_registry(connection: Connection, registry: Any, result: Result) -> None:
    """Adds the interval to the view's entry, which nobody else changes meanwhile.

    Feast reads the entry, adds to it and writes it back without a lock, so that of two runs at
    once one interval is lost; here the ones that ops.materializations knows are put back.
    """
    with registry.read_engine.connect() as other:
        schema = other.exec_driver_sql("SELECT current_schema()").scalar_one()
    for table in ("feature_views", "stream_feature_views"):
        row = connection.execute(
            sql.SQL(
                "SELECT feature_view_proto FROM {} WHERE feature_view_name = %s"
                " AND project_id = %s FOR UPDATE"
            ).format(sql.Identifier(schema, table)),
            [result.view, result.project],
        ).fetchone()
        if row:
            connection.execute(
                sql.SQL(
                    "UPDATE {} SET feature_view_proto = %s, last_updated_timestamp ="
                    " extract(epoch FROM now())::bigint"
                    " WHERE feature_view_name = %s AND project_id = %s"
                ).format(sql.Identifier(schema, table)),
                [with_intervals(connection, row[0], result), result.view, result.project],
            )


def with_intervals(connection: Connection, entry: bytes, result: Result) -> bytes:
    """A view's entry with every interval that either side knows, and as available online."""
    proto = FeatureViewProto.FromString(entry)
    there = {
        (one.start_time.ToNanoseconds(), one.end_time.ToNanoseconds())
        for one in proto.meta.materialization_intervals
    }
    known = connection.execute(
        "SELECT window_start, window_end FROM ops.materializations"
        " WHERE project = %s AND view = %s ORDER BY materialization",
        [result.project, result.view],
    )
    for start, end in known:
        interval = (stamp(start), stamp(end))
        if (interval[0].ToNanoseconds(), interval[1].ToNanoseconds()) not in there:
            there.add((interval[0].ToNanoseconds(), interval[1].ToNanoseconds()))
            proto.meta.materialization_intervals.add(start_time=interval[0], end_time=interval[1])
    if proto.meta.state:
        proto.meta.state = FeatureViewState.AVAILABLE_ONLINE.to_proto()
    return bytes(proto.SerializeToString())


def stamp(instant: datetime) -> Timestamp:
    """An instant as protobuf has it."""
    found = Timestamp()
    found.FromDatetime(instant)
    return found
