"""Plans of reads for Feast's SDK: one query per table, all views in it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from feast import FeatureView
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import RepoConfig
from psycopg import adapters, sql

from streamflow.catalog.layout import SCHEMA, Column, Layout
from streamflow.catalog.model import TtlPolicy
from streamflow.feast.online.values import reader
from streamflow.feast.registry.compile import ttl_of
from streamflow.feast.registry.layouts import layout_in

MOST_PLANS = 256
"""Requests of different shapes whose queries are kept."""


@dataclass(frozen=True)
class ViewRead:
    """What a request wants of one view."""

    view: Any
    """Feast's feature view, with its projection."""
    layout: Layout
    features: tuple[str, ...]
    """In the view's order: Feast hands them over in one that changes between processes."""
    readers: tuple[Callable[[Value, Any], Any], ...]
    """Of `features`."""
    asked_as: tuple[str, ...]
    """The names under which a request gives the join keys."""
    ttl: timedelta
    policy: TtlPolicy


@dataclass(frozen=True)
class TableRead:
    """One query: all views of one table, for the keys of all of them."""

    reads: tuple[ViewRead, ...]
    query: str
    types: tuple[int, ...]
    """Of the result's columns, as PostgreSQL numbers them."""

    @property
    def keys(self) -> tuple[Column, ...]:
        """The columns of the primary key, with which the rows begin."""
        return self.reads[0].layout.keys


@dataclass(frozen=True)
class Placed:
    """Where a view's columns are in the answers."""

    read: ViewRead
    table: int
    at: int
    """The column of the event time; the features follow."""


@dataclass(frozen=True)
class Plan:
    """The queries that answer a request."""

    tables: tuple[TableRead, ...]
    views: tuple[Placed, ...]
    """In the request's order."""


class Plans:
    """The plans of requests, kept while Feast asks with the same views."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], tuple[Plan, list[FeatureView]]] = {}

    def of(self, config: RepoConfig, grouped_refs: Sequence[tuple[FeatureView, list[str]]]) -> Plan:
        """The plan for features of views, which Feast gives in an order that changes."""
        # Feast hands over the same view objects until its registry's cache is renewed; they
        # are kept with the plan, so that an id is not given to another one.
        key = tuple((id(view), *sorted(features)) for view, features in grouped_refs)
        kept = self._kept.get(key)
        if kept is None:
            plan = plan_of([read_of(config, view, features) for view, features in grouped_refs])
            if len(self._kept) >= MOST_PLANS:
                self._kept.clear()
            kept = self._kept[key] = plan, [view for view, _ in grouped_refs]
        return kept[0]


def read_of(
    config: RepoConfig, view: FeatureView, requested: Sequence[str] | None = None
) -> ViewRead:
    """What a request for features of a view (all for none) reads.

    Args:
        config: the project's.
        view: with the projection of the request.
        requested: features by name.

    Raises:
        KeyError: the view has no such feature.
    """
    layout = layout_in(config, view)
    types = {one.name: one.dtype.to_value_type().name for one in view.features}
    unknown = sorted(set(requested or ()) - types.keys())
    if unknown:
        raise KeyError(f"Feature {unknown[0]} not found in feature view {view.name}")
    features = tuple(name for name in layout.features if not requested or name in requested)
    aliases = view.projection.join_key_map
    return ViewRead(
        view,
        layout,
        features,
        tuple(reader(types[name]) for name in features),
        tuple(aliases.get(key, key) for key in layout.join_keys),
        *ttl_of(view, config.online_store.ttl_policy),
    )


def plan_of(reads: Sequence[ViewRead]) -> Plan:
    """The queries that answer `reads`, one for each table."""
    groups: dict[str, list[ViewRead]] = {}
    placed = []
    for read in reads:
        group = groups.setdefault(read.layout.table, [])
        at = len(read.layout.keys) + sum(1 + len(one.features) for one in group)
        placed.append(Placed(read, list(groups).index(read.layout.table), at))
        group.append(read)
    tables = (
        TableRead(
            tuple(group),
            select(group),
            tuple(number_of(column) for column in (*group[0].layout.keys, *wanted(group))),
        )
        for group in groups.values()
    )
    return Plan(tuple(tables), tuple(placed))


def wanted(reads: Sequence[ViewRead]) -> list[Column]:
    """Each view's event time and features."""
    return [
        column
        for read in reads
        for column in (read.layout.event, *(read.layout.features[one] for one in read.features))
    ]


def select(reads: Sequence[ViewRead], there: Mapping[str, str] | None = None) -> str:
    """Key columns, then each view's event time and features, for the keys given as arrays.

    Args:
        reads: all of one table.
        there: types of the columns that the table has, if not all; the others are read as null.
    """
    layout = reads[0].layout
    keys = [quoted(column.name) for column in layout.keys]
    events = {read.layout.event for read in reads}
    columns = [
        f"NULL::{one.type}"
        if there is not None and there.get(one.name) != one.type
        else bounded(quoted(one.name))
        if one in events
        else quoted(one.name)
        for one in wanted(reads)
    ]
    arrays = [f"%b::{column.type}[]" for column in layout.keys]
    if len(keys) == 1:
        where = f"{keys[0]} = ANY({arrays[0]})"
    else:
        where = f"({', '.join(keys)}) IN (SELECT * FROM unnest({', '.join(arrays)}))"  # noqa: S608
    table = f"{quoted(SCHEMA)}.{quoted(layout.table)}"
    return f"SELECT {', '.join([*keys, *columns])} FROM {table} WHERE {where}"  # noqa: S608


def bounded(event: str) -> str:
    """An event time that a date can name; an earlier version stored others, which fail the read."""
    first, last = "'0001-01-01Z'::timestamptz", "'9999-12-31Z'::timestamptz"
    low, high = f"WHEN {event} < {first} THEN {first}", f"WHEN {event} > {last} THEN {last}"
    return f"CASE {low} {high} ELSE {event} END"


def quoted(name: str) -> str:
    """A name inside a query that has parameters."""
    return sql.Identifier(name).as_string().replace("%", "%%")


def number_of(column: Column) -> int:
    """PostgreSQL's number of a column's type."""
    base = column.type.removesuffix("[]")
    found = adapters.types[base]
    return found.oid if base == column.type else found.array_oid
