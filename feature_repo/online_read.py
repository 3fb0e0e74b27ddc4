"""Reads of the typed online tables for Feast's SDK: one query per table, all views in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from feast.protos.feast.serving.ServingService_pb2 import FieldStatus, GetOnlineFeaturesResponse
from feast.protos.feast.types.Value_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp
from psycopg import sql

from feature_repo.catalog import TtlPolicy
from feature_repo.errors import StaleFeatures
from feature_repo.online_layout import SCHEMA, Layout
from feature_repo.online_values import reader

Row = tuple[Any, ...]
NOWHERE: Row = ()
"""The row of a key that the table does not have."""


@dataclass(frozen=True)
class ViewRead:
    """What a request wants of one view."""

    view: Any
    """Feast's feature view, with its projection."""
    layout: Layout
    features: tuple[str, ...]
    """In the view's order: Feast hands them over in one that changes between processes."""
    ttl: timedelta
    policy: TtlPolicy

    @property
    def asked_as(self) -> tuple[str, ...]:
        """The names under which a request gives the join keys."""
        aliases = self.view.projection.join_key_map
        return tuple(aliases.get(key, key) for key in self.layout.join_keys)


@dataclass(frozen=True)
class TableRead:
    """One query: the views of one table that are asked for by the same keys."""

    reads: tuple[ViewRead, ...]
    query: sql.Composed

    @property
    def asked_as(self) -> tuple[str, ...]:
        """The names under which a request gives the join keys."""
        return self.reads[0].asked_as


def plan(reads: Sequence[ViewRead]) -> list[TableRead]:
    """The queries that answer `reads`, one for each table and way of giving its keys."""
    groups: dict[tuple[str, tuple[str, ...]], list[ViewRead]] = {}
    for read in reads:
        groups.setdefault((read.layout.table, read.asked_as), []).append(read)
    return [TableRead(tuple(group), select(group)) for group in groups.values()]


def select(reads: Sequence[ViewRead]) -> sql.Composed:
    """Key columns, then each view's event time and features, for the keys given as arrays."""
    layout = reads[0].layout
    keys = [sql.Identifier(column.name) for column in layout.keys]
    columns = [
        sql.Identifier(name)
        for read in reads
        for name in (
            read.layout.event.name,
            *(read.layout.features[feature].name for feature in read.features),
        )
    ]
    table = sql.Identifier(SCHEMA, layout.table)
    arrays = [sql.SQL(f"%s::{column.type}[]") for column in layout.keys]
    if len(keys) == 1:
        where = sql.SQL("{} = ANY({})").format(keys[0], arrays[0])
    else:
        where = sql.SQL("({}) IN (SELECT * FROM unnest({}))").format(
            sql.SQL(", ").join(keys), sql.SQL(", ").join(arrays)
        )
    return sql.SQL("SELECT {} FROM {} WHERE {}").format(
        sql.SQL(", ").join([*keys, *columns]), table, where
    )


def keys_of(asked: Mapping[str, Sequence[Value]], names: Sequence[str]) -> list[Row]:
    """The primary keys that a request asks for, in its order.

    Raises:
        KeyError: a join key is not given.
        ValueError: one is null.
    """
    columns = []
    for name in names:
        if name not in asked:
            raise KeyError(f"Missing join key values for keys: {[name]}; given: {sorted(asked)}")
        fields: list[Any] = [value.WhichOneof("val") for value in asked[name]]
        if not all(fields) or "null_val" in fields:
            raise ValueError(f"join key {name} is null")
        columns.append(
            [getattr(value, field) for value, field in zip(asked[name], fields, strict=True)]
        )
    return list(zip(*columns, strict=True))


def parameters(keys: Sequence[Row]) -> list[list[Any]]:
    """Each join key's distinct values as an array, as `select` takes them."""
    distinct = list(dict.fromkeys(keys))
    return [list(column) for column in zip(*distinct, strict=True)]


def fill(
    response: GetOnlineFeaturesResponse,
    table: TableRead,
    keys: Sequence[Row],
    rows: Sequence[Row],
    full_names: bool,
) -> None:
    """Adds the features of one query to `response`, a row for each of `keys`."""
    width = len(table.reads[0].layout.keys)
    found = {row[:width]: row for row in rows}
    ordered = [found.get(key, NOWHERE) for key in keys]
    at = width
    for read in table.reads:
        fill_view(response, read, ordered, at, full_names)
        at += 1 + len(read.features)


def fill_view(
    response: GetOnlineFeaturesResponse,
    read: ViewRead,
    rows: Sequence[Row],
    at: int,
    full_names: bool,
) -> None:
    """Adds one view, whose event time is in column `at` of `rows` and whose features follow."""
    name = read.view.projection.name_to_use()
    times = [row[at] if row else None for row in rows]
    statuses = [FieldStatus.NOT_FOUND if time is None else FieldStatus.PRESENT for time in times]
    if read.ttl and read.policy != "serve":
        outdate(read, times, statuses)
    stamps = [stamp(time) for time in times]
    types = {one.name: one.dtype.to_value_type().name for one in read.view.features}
    for offset, feature in enumerate(read.features, at + 1):
        value = reader(types[feature])
        response.metadata.feature_names.val.append(f"{name}__{feature}" if full_names else feature)
        response.results.append(
            GetOnlineFeaturesResponse.FeatureVector(
                values=[
                    value(row[offset]) if status == FieldStatus.PRESENT else Value()
                    for row, status in zip(rows, statuses, strict=True)
                ],
                statuses=statuses,
                event_timestamps=stamps,
            )
        )


def outdate(read: ViewRead, times: Sequence[datetime | None], statuses: list[Any]) -> None:
    """Marks the rows that are older than the view's ttl.

    Raises:
        StaleFeatures: the policy is to refuse them.
    """
    now = datetime.now(UTC)
    for row, time in enumerate(times):
        if time is not None and now - time > read.ttl:
            if read.policy == "refuse":
                raise StaleFeatures(read.layout.view, now - time, read.ttl)
            statuses[row] = FieldStatus.OUTSIDE_MAX_AGE


def stamp(time: datetime | None) -> Timestamp:
    """An instant as protobuf has it; the epoch for none."""
    found = Timestamp()
    if time is not None:
        found.FromDatetime(time)
    return found
